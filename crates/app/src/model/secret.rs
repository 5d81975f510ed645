//! Secrets as types: feed URLs, private links' tokens, API tokens. None of them shows itself in `Debug`.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use calmesh_calendar::AccountId;
use sha2::{Digest, Sha256};
use url::Url;

/// SHA-256 of a secret with 128 bits or more of randomness, which is how such a secret is stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    #[must_use]
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    #[must_use]
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    /// From 64 hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// Comparison in constant time.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        use subtle::ConstantTimeEq;
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(••••)")
    }
}

/// An API token or the operator's key: `cm_`, 43 characters of base64url (256 bits), then 8 hexadecimal
/// digits of a CRC-32 over what stands before, so that secret scanners can tell one from noise.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSecret(Box<str>);

const TOKEN_PREFIX: &str = "cm_";
const TOKEN_RANDOM_CHARS: usize = 43;
const TOKEN_CHECK_CHARS: usize = 8;

impl TokenSecret {
    #[must_use]
    pub fn from_random(random: [u8; 32]) -> Self {
        let body = format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
        let check = crc32fast::hash(body.as_bytes());
        Self(format!("{body}{check:08x}").into_boxed_str())
    }

    /// A token whose form and checksum are right; whether it is known is another matter.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let at = TOKEN_PREFIX.len() + TOKEN_RANDOM_CHARS;
        if !text.is_ascii() || text.len() != at + TOKEN_CHECK_CHARS || !text.starts_with(TOKEN_PREFIX) {
            return None;
        }
        let (body, check) = text.split_at(at);
        (format!("{:08x}", crc32fast::hash(body.as_bytes())) == check).then(|| Self(text.into()))
    }

    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.0)
    }

    /// The secret itself, to be shown once.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret(••••)")
    }
}

/// The unguessable part of a private link: 32 bytes of randomness, base64url.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkToken(Box<str>);

impl LinkToken {
    #[must_use]
    pub fn from_random(random: [u8; 32]) -> Self {
        Self(URL_SAFE_NO_PAD.encode(random).into_boxed_str())
    }

    /// A token of the right form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let well_formed = text.len() == 43 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        well_formed.then(|| Self(text.into()))
    }

    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.0)
    }

    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for LinkToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkToken(••••)")
    }
}

/// A feed's address as the host gave it, byte for byte (Agoda's keys must keep their escapes);
/// `webcal://` was read as `https://`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedUrl(Box<str>);

/// Why a text is no feed URL. Never quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FeedUrlError {
    #[error("not a URL; paste the whole calendar link, starting with https://")]
    NotAUrl,
    #[error("only http, https and webcal links can be read")]
    Scheme,
    #[error("this is the masked form that an answer shows; paste the calendar link itself")]
    Masked,
    #[error("the link is longer than 2,000 characters")]
    TooLong,
}

const MASK: &str = "••••";

impl FeedUrl {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn to_url(&self) -> Option<Url> {
        Url::parse(&self.0).ok()
    }

    /// The same host's address and nothing else, which opens no feed.
    #[must_use]
    pub fn without_secrets(&self) -> Self {
        Self(format!("https://{}/", self.host()).into())
    }

    /// The host, in lower case as URLs are parsed.
    #[must_use]
    pub fn host(&self) -> String {
        self.to_url().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
    }

    /// Scheme, host and a mask: all that an answer shows.
    #[must_use]
    pub fn masked(&self) -> String {
        match self.to_url() {
            Some(url) => match url.port() {
                Some(port) => format!("{}://{}:{port}/{MASK}", url.scheme(), url.host_str().unwrap_or_default()),
                None => format!("{}://{}/{MASK}", url.scheme(), url.host_str().unwrap_or_default()),
            },
            None => MASK.to_owned(),
        }
    }

    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.0)
    }

    /// By what it reads: without its fragment, and `http` like `https`.
    #[must_use]
    pub fn comparable(&self) -> String {
        let Some(mut parsed) = self.to_url() else { return self.as_str().to_owned() };
        parsed.set_fragment(None);
        let text = parsed.as_str();
        text.split_once("://").map_or(text, |(_, rest)| rest).to_owned()
    }

    /// By what the same feed is known within one account. It rests beside the URL itself, and only there; another
    /// account's mark of the same URL is another one.
    #[must_use]
    pub fn mark(&self, account: &AccountId) -> SecretHash {
        SecretHash::of(&format!("{account} {}", self.comparable()))
    }
}

impl FromStr for FeedUrl {
    type Err = FeedUrlError;

    fn from_str(text: &str) -> Result<Self, FeedUrlError> {
        let text = text.trim();
        if text.contains('•') || text.contains("%E2%80%A2") {
            return Err(FeedUrlError::Masked);
        }
        if text.len() > 2000 {
            return Err(FeedUrlError::TooLong);
        }
        let lower = text.get(..9).map(str::to_ascii_lowercase).unwrap_or_default();
        let text = match (lower.as_str(), text.get(9..)) {
            ("webcal://", Some(rest)) => format!("https://{rest}"),
            _ => match text.get(..10) {
                Some(head) if head.eq_ignore_ascii_case("webcals://") => {
                    format!("https://{}", text.get(10..).unwrap_or_default())
                }
                _ => text.to_owned(),
            },
        };
        let url = Url::parse(&text).map_err(|_| FeedUrlError::NotAUrl)?;
        match url.scheme() {
            "http" | "https" if url.host_str().is_some_and(|host| !host.is_empty()) => Ok(Self(text.into())),
            "http" | "https" => Err(FeedUrlError::NotAUrl),
            _ => Err(FeedUrlError::Scheme),
        }
    }
}

impl fmt::Debug for FeedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_checksum() {
        let token = TokenSecret::from_random([9; 32]);
        assert_eq!(TokenSecret::parse(token.reveal()), Some(token.clone()));
        let mut broken = token.reveal().to_owned();
        broken.replace_range(5..6, if broken.as_bytes()[5] == b'A' { "B" } else { "A" });
        assert_eq!(TokenSecret::parse(&broken), None);
    }

    #[test]
    fn no_secret_shows_itself() {
        let url: FeedUrl = "webcal://www.airbnb.com/calendar/ical/1.ics?s=secret".parse().unwrap();
        assert_eq!(url.as_str(), "https://www.airbnb.com/calendar/ical/1.ics?s=secret");
        assert_eq!(format!("{url:?}"), "https://www.airbnb.com/••••");
        assert!(!format!("{:?}", TokenSecret::from_random([9; 32])).contains("cm_"));
    }

    #[test]
    fn a_masked_url_sent_back_is_refused() {
        assert_eq!("https://www.airbnb.com/••••".parse::<FeedUrl>(), Err(FeedUrlError::Masked));
        assert_eq!("ftp://example.com/a.ics".parse::<FeedUrl>(), Err(FeedUrlError::Scheme));
        assert_eq!("not a link".parse::<FeedUrl>(), Err(FeedUrlError::NotAUrl));
    }
}
