//! Where a calendar comes from on the command line: an address, a file, or standard input.

use std::{io, net::SocketAddr, path::PathBuf, time::Duration};

use bytes::Bytes;
use calmesh_app::{
    model::{FailureKind, FeedUrl, FeedUrlError, Fetched, Validators},
    ports::{FeedRequest, FeedSource, FetchFailure},
};
use calmesh_feeds_http::{HttpFeeds, HttpFeedsConfig, HttpFeedsError};
use calmesh_lambda_kit::{CONTACT_URL, OwnAgent};
use tokio::io::AsyncReadExt;
use url::Url;

/// As in the service: what is larger is no calendar.
const LARGEST: u64 = 10 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TOTAL_TIMEOUT: Duration = Duration::from_secs(30);

/// The fetcher of this process. The demo's feeds are the one exception to "public addresses only".
///
/// # Errors
/// When TLS can't be set up.
pub(crate) fn feeds(
    agent: &OwnAgent,
    private: bool,
    own_listener: Option<SocketAddr>,
) -> Result<HttpFeeds, HttpFeedsError> {
    let mut config = HttpFeedsConfig::new(agent.as_str());
    config.private_feeds = private;
    config.extra_allowed.extend(own_listener);
    HttpFeeds::new(config)
}

/// The fetcher's name where there is no service, and so no link of its own.
pub(crate) fn agent_of_nobody() -> OwnAgent {
    OwnAgent::of_nobody(&contact())
}

/// The page that the fetcher names when nobody says another one.
#[expect(clippy::expect_used, reason = "a constant, and a test reads it")]
pub(crate) fn contact() -> Url {
    CONTACT_URL.parse().expect("the constant is a URL")
}

/// Where a calendar comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Url(FeedUrl),
    File(PathBuf),
    Stdin,
}

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("this link can't be read: {0}")]
    Url(#[from] FeedUrlError),
    #[error("{} can't be read: look at its name and its rights", file.display())]
    File {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("standard input can't be read")]
    Stdin(#[source] io::Error),
    #[error(transparent)]
    Fetch(#[from] FetchFailure),
    #[error("no feed can be fetched here")]
    Fetcher(#[from] HttpFeedsError),
}

impl Source {
    /// # Errors
    /// For a text that starts like an address and is none.
    pub(crate) fn parse(text: &str) -> Result<Self, SourceError> {
        let has_scheme = ["http:", "https:", "webcal:", "webcals:"]
            .iter()
            .any(|scheme| text.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme)));
        match text {
            "-" => Ok(Self::Stdin),
            _ if has_scheme || text.contains("://") => Ok(Self::Url(text.parse()?)),
            _ => Ok(Self::File(text.into())),
        }
    }

    /// The address, where the calendar comes from one.
    pub(crate) fn url(&self) -> Option<Url> {
        match self {
            Self::Url(url) => url.to_url(),
            Self::File(_) | Self::Stdin => None,
        }
    }

    /// What people see: never the secret part of an address.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Url(url) => url.masked(),
            Self::File(file) => file.display().to_string(),
            Self::Stdin => "standard input".to_owned(),
        }
    }

    /// # Errors
    /// When it can't be fetched or read. A file larger than a feed may be is read a little beyond the limit, so that
    /// whoever reads the calendar says so.
    pub(crate) async fn body(&self, feeds: &dyn FeedSource) -> Result<Bytes, SourceError> {
        match self {
            Self::Url(url) => {
                let request = FeedRequest {
                    user_agent: calmesh_app::user_agent_for(url),
                    url: url.clone(),
                    validators: Validators::default(),
                    connect_timeout: CONNECT_TIMEOUT,
                    total_timeout: TOTAL_TIMEOUT,
                    hops: None,
                    room: None,
                };
                match feeds.fetch(request).await? {
                    Fetched::Body { bytes, .. } => Ok(bytes),
                    // Nothing was sent that could be unmodified, and nobody holds back; what is not there is no calendar.
                    Fetched::NotModified | Fetched::HeldBack { .. } | Fetched::NoRoom => Ok(Bytes::new()),
                }
            }
            Self::File(file) => {
                let failed = |source| SourceError::File { file: file.clone(), source };
                read_to_limit(tokio::fs::File::open(file).await.map_err(failed)?).await.map_err(failed)
            }
            Self::Stdin => read_to_limit(tokio::io::stdin()).await.map_err(SourceError::Stdin),
        }
    }
}

async fn read_to_limit(from: impl tokio::io::AsyncRead + Unpin) -> io::Result<Bytes> {
    let mut body = Vec::new();
    from.take(LARGEST + 1).read_to_end(&mut body).await?;
    Ok(body.into())
}

/// What is said of an address that is not read, with what lets it be read: whoever checks a calendar of this machine has
/// no site to ask.
pub(crate) fn with_flag(failure: FetchFailure, private: bool) -> FetchFailure {
    if private || failure.kind != FailureKind::AddressRefused {
        return failure;
    }
    let detail = format!(
        "{} To read an address of this machine or network for a test, add --allow-private-feeds.",
        failure.detail
    );
    FetchFailure { detail, ..failure }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_files_and_standard_input_are_told_apart() {
        assert!(matches!(Source::parse("https://example.com/a.ics"), Ok(Source::Url(_))));
        assert!(matches!(Source::parse("WEBCAL://example.com/a.ics"), Ok(Source::Url(_))));
        assert!(matches!(Source::parse("ftp://example.com/a.ics"), Err(SourceError::Url(_))));
        assert_eq!(Source::parse("calendars/a.ics").ok(), Some(Source::File("calendars/a.ics".into())));
        assert_eq!(Source::parse("-").ok(), Some(Source::Stdin));
    }

    #[test]
    fn the_secret_part_of_an_address_is_not_shown() {
        let source = Source::parse("https://www.airbnb.com/calendar/ical/1.ics?s=secret").unwrap();
        assert_eq!(source.shown(), "https://www.airbnb.com/••••");
    }
}
