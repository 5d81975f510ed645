//! Every object that Calmesh keeps: where it is, as what it is served, how long others may keep it.

use calmesh_app::model::{LinkToken, Snapshot};
use calmesh_calendar::{AccountId, ConnectionId};

/// The names of the two buckets. CloudFront reads the first one; nobody but Calmesh reads the second one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buckets {
    pub exports: String,
    pub snapshots: String,
}

/// One object. `Debug` shows no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectKey {
    /// The calendar behind a private link: `f/{token}.ics`, the path under which CloudFront serves it.
    Export { token: LinkToken },
    /// What CloudFront answers where there is no link: `not-found.txt`.
    NotFoundPage,
    /// A body that merge may need: `snapshots/current/{account}/{connection}/{digest}`. Never expires.
    CurrentSnapshot { account: AccountId, connection: ConnectionId, snapshot: Snapshot },
    /// One that was followed by another: `snapshots/superseded/{account}/{connection}/{digest}`. The bucket's
    /// lifecycle rule removes it [`ObjectKey::SUPERSEDED_DAYS`] days after it got there.
    SupersededSnapshot { account: AccountId, connection: ConnectionId, snapshot: Snapshot },
}

impl ObjectKey {
    /// What the bucket's lifecycle rule is on.
    pub const SUPERSEDED_PREFIX: &'static str = "snapshots/superseded/";
    /// What the bucket's lifecycle rule says.
    pub const SUPERSEDED_DAYS: u16 = 30;
    const CURRENT_PREFIX: &'static str = "snapshots/current/";

    /// The prefixes under which all bodies of a connection are, each with its slash at the end, so that no
    /// connection's id is the beginning of another one's.
    pub(crate) fn snapshots_of(account: &AccountId, connection: &ConnectionId) -> [String; 2] {
        [Self::CURRENT_PREFIX, Self::SUPERSEDED_PREFIX].map(|prefix| format!("{prefix}{account}/{connection}/"))
    }

    /// The key in its bucket. An export's is a secret.
    #[must_use]
    pub fn path(&self) -> String {
        match self {
            Self::Export { token } => format!("f/{}.ics", token.reveal()),
            Self::NotFoundPage => "not-found.txt".to_owned(),
            Self::CurrentSnapshot { account, connection, snapshot } => {
                format!("{}{account}/{connection}/{}", Self::CURRENT_PREFIX, snapshot.0)
            }
            Self::SupersededSnapshot { account, connection, snapshot } => {
                format!("{}{account}/{connection}/{}", Self::SUPERSEDED_PREFIX, snapshot.0)
            }
        }
    }

    #[must_use]
    pub fn bucket<'a>(&self, buckets: &'a Buckets) -> &'a str {
        match self {
            Self::Export { .. } | Self::NotFoundPage => &buckets.exports,
            Self::CurrentSnapshot { .. } | Self::SupersededSnapshot { .. } => &buckets.snapshots,
        }
    }

    #[must_use]
    pub fn content_type(&self) -> &'static str {
        match self {
            Self::Export { .. } => "text/calendar; charset=utf-8",
            Self::NotFoundPage => "text/plain; charset=utf-8",
            // Bytes of somebody else, which are shown to nobody as what they claim to be.
            Self::CurrentSnapshot { .. } | Self::SupersededSnapshot { .. } => "application/octet-stream",
        }
    }

    #[must_use]
    pub fn cache_control(&self) -> &'static str {
        match self {
            // API.md, "Private links".
            Self::Export { .. } => "max-age=60",
            // A link that is not there yet may be there in a moment.
            Self::NotFoundPage => "no-store",
            Self::CurrentSnapshot { .. } | Self::SupersededSnapshot { .. } => "private, no-store",
        }
    }

    /// What errors call it.
    pub(crate) fn noun(&self) -> &'static str {
        match self {
            Self::Export { .. } => "an export",
            Self::NotFoundPage => "the page of unknown links",
            Self::CurrentSnapshot { .. } => "a snapshot",
            Self::SupersededSnapshot { .. } => "a superseded snapshot",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> [ObjectKey; 4] {
        let (account, connection) = (AccountId::from_random([1; 16]), ConnectionId::from_random([2; 16]));
        let snapshot = Snapshot("5e".repeat(32));
        [
            ObjectKey::Export { token: LinkToken::from_random([3; 32]) },
            ObjectKey::CurrentSnapshot {
                account: account.clone(),
                connection: connection.clone(),
                snapshot: snapshot.clone(),
            },
            ObjectKey::SupersededSnapshot { account, connection, snapshot },
            ObjectKey::NotFoundPage,
        ]
    }

    #[test]
    fn every_object_has_its_place_type_and_cache_header() {
        let buckets = Buckets { exports: "exports".to_owned(), snapshots: "snapshots".to_owned() };
        let told: Vec<String> = keys()
            .iter()
            .map(|key| [key.bucket(&buckets), &key.path(), key.content_type(), key.cache_control()].join(" | "))
            .collect();
        let digest = "5e".repeat(32);
        let ids = format!("{}/{}", AccountId::from_random([1; 16]), ConnectionId::from_random([2; 16]));
        assert_eq!(
            told,
            [
                "exports | f/AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM.ics | text/calendar; charset=utf-8 | max-age=60"
                    .to_owned(),
                format!("snapshots | snapshots/current/{ids}/{digest} | application/octet-stream | private, no-store"),
                format!(
                    "snapshots | snapshots/superseded/{ids}/{digest} | application/octet-stream | private, no-store"
                ),
                "exports | not-found.txt | text/plain; charset=utf-8 | no-store".to_owned(),
            ]
        );
    }

    #[test]
    fn no_key_shows_its_token() {
        let [export, ..] = keys();
        assert!(!format!("{export:?}").contains("AwMD"));
    }

    #[test]
    fn all_bodies_of_a_connection_are_under_its_prefixes() {
        let [_, current, superseded, _] = keys();
        let (account, connection) = (AccountId::from_random([1; 16]), ConnectionId::from_random([2; 16]));
        let [of_current, of_superseded] = ObjectKey::snapshots_of(&account, &connection);
        assert!(current.path().starts_with(&of_current) && superseded.path().starts_with(&of_superseded));
        assert!(of_superseded.starts_with(ObjectKey::SUPERSEDED_PREFIX));
    }
}
