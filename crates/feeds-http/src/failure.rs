//! Every way in which a fetch fails, with its kind (SAFETY.md, "Taking a feed in") and a sentence for the host.
//!
//! A sentence names the host that the link itself names and nothing else of it. What a redirect points at, what a
//! server wrote and what a library says of its error never reach a sentence. Nor does what happens next: whoever
//! asked says that, for a link that is checked is read once and a connection's again and again.

use std::{error::Error, io, time::Duration};

use calmesh_app::{model::FailureKind, ports::FetchFailure};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use reqwest::{
    StatusCode,
    header::{DATE, HeaderMap, RETRY_AFTER},
};

use crate::{
    address::Refusal,
    resolver::{NoAllowedAddress, UnknownName},
};

/// Without a word of the server's own.
const RETRY_AFTER_DEFAULT: SignedDuration = SignedDuration::from_secs(60);
const RETRY_AFTER_LONGEST: SignedDuration = SignedDuration::from_hours(1);

/// Why a redirect was not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RedirectRefusal {
    TooMany(usize),
    /// Without a Location, or with one that is no URL.
    Nowhere,
    /// From https to http: whoever listens on the way could change the calendar.
    Downgrade,
    Address(Refusal),
}

/// A fetch that came to no body, and whose answer it was.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub(crate) trouble: Trouble,
    /// None before anybody answered.
    pub(crate) answered_by: Option<String>,
}

impl From<Trouble> for Stopped {
    fn from(trouble: Trouble) -> Self {
        Self { trouble, answered_by: None }
    }
}

/// Why there is no usable body. The host's name is added by `into_failure`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The link itself may not be read.
    Address(Refusal),
    /// The name leads to addresses that are not public.
    PrivateName,
    Redirect(RedirectRefusal),
    Status(StatusCode, Option<SignedDuration>),
    /// 304 though no validators were sent.
    UnaskedNotModified,
    /// 2xx, but not a status that carries the whole calendar.
    NoWholeBody(StatusCode),
    UnknownName,
    Tls,
    Connect,
    /// The connection ended, or what came was not HTTP, before there was an answer.
    NoAnswer,
    /// Within this time.
    ConnectTimeout(Duration),
    TotalTimeout(Duration),
    /// More than so many bytes.
    TooLarge(usize),
    /// The body ended early, by its own length or encoding.
    Cut,
    /// 206.
    Partial,
    /// A content coding that was not asked for.
    Coding,
    /// The link was never a URL; types upstream exclude it.
    NotAUrl,
}

impl Trouble {
    /// The trouble behind an error that `send` gave.
    pub(crate) fn of_request(error: &reqwest::Error, connect_timeout: Duration) -> Self {
        if has_cause::<NoAllowedAddress>(error) {
            Self::PrivateName
        } else if has_cause::<UnknownName>(error) {
            Self::UnknownName
        } else if has_cause::<rustls::Error>(error) {
            Self::Tls
        } else if error.is_timeout() {
            Self::ConnectTimeout(connect_timeout)
        } else if error.is_connect() {
            Self::Connect
        } else {
            Self::NoAnswer
        }
    }

    /// The trouble with an answer of this status, which is not 200 and not a redirect that was followed.
    pub(crate) fn of_status(status: StatusCode, headers: &HeaderMap) -> Self {
        match status {
            StatusCode::PARTIAL_CONTENT => Self::Partial,
            StatusCode::NOT_MODIFIED => Self::UnaskedNotModified,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                Self::Status(status, Some(retry_after(headers)))
            }
            status if status.is_success() => Self::NoWholeBody(status),
            status => Self::Status(status, None),
        }
    }

    /// The failure of a link at `host`; `answered_by` is the host whose answer it was, if there was one.
    pub(crate) fn into_failure(self, host: &str, answered_by: Option<String>) -> FetchFailure {
        let retry_after = match &self {
            Self::Status(_, retry_after) => *retry_after,
            _ => None,
        };
        FetchFailure { kind: self.kind(), detail: self.sentence(host), retry_after, host: answered_by }
    }

    fn kind(&self) -> FailureKind {
        match self {
            Self::Address(_) | Self::PrivateName | Self::Redirect(RedirectRefusal::Address(_)) => {
                FailureKind::AddressRefused
            }
            Self::Redirect(_) | Self::NotAUrl => FailureKind::LinkRefused,
            Self::UnaskedNotModified => FailureKind::ServerError,
            Self::Status(status, _) => match *status {
                StatusCode::NOT_FOUND | StatusCode::GONE => FailureKind::LinkGone,
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => FailureKind::RateLimited,
                status if status.is_server_error() => FailureKind::ServerError,
                _ => FailureKind::LinkRefused,
            },
            Self::NoWholeBody(_) | Self::Coding => FailureKind::NotACalendar,
            Self::UnknownName | Self::Tls | Self::Connect | Self::NoAnswer => FailureKind::Unreachable,
            Self::ConnectTimeout(_) | Self::TotalTimeout(_) => FailureKind::TimedOut,
            Self::TooLarge(_) => FailureKind::TooLarge,
            Self::Cut | Self::Partial => FailureKind::Truncated,
        }
    }

    fn sentence(&self, host: &str) -> String {
        match self {
            Self::Address(refusal) => format!("{host} is not read: {refusal}."),
            Self::PrivateName => format!("{host} is not read: {}.", Refusal::NotPublic),
            Self::Redirect(RedirectRefusal::Address(refusal)) => {
                format!("{host} leads on to another address, which is not read: {refusal}.")
            }
            Self::Redirect(RedirectRefusal::TooMany(limit)) => {
                format!("{host} led on more than {limit} times without a calendar. Create the link anew there.")
            }
            Self::Redirect(RedirectRefusal::Nowhere) => {
                format!("{host} leads on, but to nowhere. Create the link anew there and replace it here.")
            }
            Self::Redirect(RedirectRefusal::Downgrade) => format!(
                "{host} leads from https on to http, where anybody on the way could change the calendar. Paste a link \
                 that stays with https."
            ),
            Self::Status(status, _) => self::status_sentence(host, *status),
            Self::UnaskedNotModified => format!(
                "{host} answers that nothing has changed though it was not asked so. If it stays so, create the link \
                 anew there."
            ),
            Self::NoWholeBody(status) => format!("{host} answered with status {} and no calendar.", status.as_u16()),
            Self::UnknownName => {
                format!("{host} can't be found on the internet. Check the link for typing errors.")
            }
            Self::Tls => format!(
                "No secure connection to {host} could be made; its certificate may have expired or be made for another \
                 name. If it stays so, tell those who run it."
            ),
            Self::Connect => {
                format!("{host} takes no connection. If it stays so, check the link.")
            }
            Self::NoAnswer => {
                format!("{host} ended the connection without an answer that can be read.")
            }
            Self::ConnectTimeout(time) => {
                format!("{host} took no connection within {} seconds.", time.as_secs())
            }
            Self::TotalTimeout(time) => {
                format!("{host} did not deliver the calendar within {} seconds.", time.as_secs())
            }
            Self::TooLarge(limit) => format!(
                "The calendar of {host} is larger than {} MiB, which is the limit. Use a link to this one home's \
                 calendar, or remove old events there.",
                limit / (1024 * 1024)
            ),
            Self::Cut => format!("The calendar of {host} ended before its announced end, so nothing of it is used."),
            Self::Partial => format!("{host} sent only a part of the calendar (status 206), so nothing of it is used."),
            Self::Coding => format!(
                "{host} sent the calendar in a compression that it was not asked for. Tell those who run it, or use \
                 another link."
            ),
            Self::NotAUrl => "This is not a link. Paste the whole calendar link, starting with https://.".to_owned(),
        }
    }
}

fn status_sentence(host: &str, status: StatusCode) -> String {
    let number = status.as_u16();
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => format!(
            "{host} no longer knows this link (status {number}). Open the calendar's export settings there, copy or \
             create the link anew and replace it here."
        ),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => format!(
            "{host} refuses this link (status {number}). Create the link anew in the calendar's export settings there, \
             make sure that it opens without signing in, and replace it here."
        ),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            format!("{host} asks to be read less often (status {number}).")
        }
        status if status.is_server_error() => {
            format!(
                "{host} could not give the calendar (status {number}). If it stays so, open the link in a private browser \
                 window: where no calendar comes there either, create the link anew there and replace it here."
            )
        }
        _ => format!(
            "{host} refuses this link (status {number}). Check that it is the calendar's export link; if so, create it \
             anew there and replace it here."
        ),
    }
}

/// What a 429 or 503 asks for (RFC 9110, section 10.2.3): seconds, or a date that is compared with the server's own
/// `Date`, so that neither clock needs to be right. 60 s without a readable word, an hour at most.
fn retry_after(headers: &HeaderMap) -> SignedDuration {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let date = |text: &str| rfc2822::parse(text).ok().map(|zoned| zoned.timestamp());
    let asked = text(RETRY_AFTER).and_then(|asked| {
        if !asked.is_empty() && asked.bytes().all(|byte| byte.is_ascii_digit()) {
            // A number beyond any integer is still an hour.
            return Some(SignedDuration::from_secs(asked.parse().unwrap_or(i64::MAX)));
        }
        let (until, now): (Timestamp, Timestamp) = (date(asked)?, text(DATE).and_then(date)?);
        Some(until.duration_since(now))
    });
    asked.unwrap_or(RETRY_AFTER_DEFAULT).clamp(SignedDuration::ZERO, RETRY_AFTER_LONGEST)
}

/// Whether an error of this type is anywhere among the causes, also inside an `io::Error`, which hides what it
/// wraps from `source`.
fn has_cause<E: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<E>() {
            return true;
        }
        if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref)
            && has_cause::<E>(inner)
        {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn asks(fields: &[(&'static str, &str)], seconds: i64) {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.insert(*name, value.parse().unwrap());
        }
        assert_eq!(retry_after(&headers), SignedDuration::from_secs(seconds), "{fields:?}");
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date() {
        asks(&[("retry-after", "120")], 120);
        asks(&[("retry-after", " 5 ")], 5);
        let date = ("date", "Sat, 21 Nov 2026 09:00:00 GMT");
        asks(&[date, ("retry-after", "Sat, 21 Nov 2026 09:02:30 GMT")], 150);
        asks(&[date, ("retry-after", "Sat, 21 Nov 2026 08:00:00 GMT")], 0);
    }

    #[test]
    fn retry_after_is_a_minute_without_a_readable_word_and_an_hour_at_most() {
        asks(&[], 60);
        asks(&[("retry-after", "")], 60);
        asks(&[("retry-after", "soon")], 60);
        asks(&[("retry-after", "-5")], 60);
        asks(&[("retry-after", "Sat, 21 Nov 2026 09:02:30 GMT")], 60);
        asks(&[("retry-after", "86400")], 3600);
        asks(&[("retry-after", "99999999999999999999999999")], 3600);
        asks(&[("date", "Sat, 21 Nov 2026 09:00:00 GMT"), ("retry-after", "Sun, 22 Nov 2026 09:00:00 GMT")], 3600);
    }

    #[test]
    fn every_status_has_its_kind() {
        for (status, kind) in [
            (201, FailureKind::NotACalendar),
            (202, FailureKind::NotACalendar),
            (204, FailureKind::NotACalendar),
            (206, FailureKind::Truncated),
            (300, FailureKind::LinkRefused),
            (304, FailureKind::ServerError),
            (305, FailureKind::LinkRefused),
            (400, FailureKind::LinkRefused),
            (401, FailureKind::LinkRefused),
            (403, FailureKind::LinkRefused),
            (404, FailureKind::LinkGone),
            (405, FailureKind::LinkRefused),
            (410, FailureKind::LinkGone),
            (418, FailureKind::LinkRefused),
            (429, FailureKind::RateLimited),
            (451, FailureKind::LinkRefused),
            (500, FailureKind::ServerError),
            (502, FailureKind::ServerError),
            (503, FailureKind::RateLimited),
            (504, FailureKind::ServerError),
            (520, FailureKind::ServerError),
            (599, FailureKind::ServerError),
        ] {
            let trouble = Trouble::of_status(StatusCode::from_u16(status).unwrap(), &HeaderMap::new());
            let failure = trouble.into_failure("feeds.example", None);
            assert_eq!(failure.kind, kind, "{status}");
            assert_eq!(failure.retry_after.is_some(), kind == FailureKind::RateLimited, "{status}");
            assert!(failure.detail.contains("feeds.example"), "{status}");
        }
    }

    #[test]
    fn a_cause_is_found_inside_an_io_error() {
        let error = io::Error::other(io::Error::other(NoAllowedAddress));
        assert!(has_cause::<NoAllowedAddress>(&error));
        assert!(!has_cause::<UnknownName>(&error));
    }
}
