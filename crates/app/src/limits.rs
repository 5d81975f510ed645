//! How many of everything there may be, all in one place: far more than anybody keeps by hand, and few enough that no
//! list, query or link of one property or account grows without end.

use std::fmt;

/// So many of one kind of thing that one other thing may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// In the plural.
    pub things: &'static str,
    /// Whose they are.
    pub of: &'static str,
    pub most: usize,
}

pub const CONNECTIONS: Limit = Limit { things: "connections", of: "property", most: 50 };
pub const OWN_BLOCKS: Limit = Limit { things: "blocks of the host's own", of: "property", most: 5_000 };
pub const PROPERTIES: Limit = Limit { things: "properties", of: "account", most: 10_000 };
/// A deleted one counts until its address is gone, a week later.
pub const LINKS: Limit = Limit { things: "extra links", of: "account", most: 1_000 };
/// Each is rendered anew whenever any property of the account changes.
pub const LINKS_OVER_ALL: Limit = Limit { things: "extra links over all of its properties", of: "account", most: 20 };
/// Expired ones included: they are listed until they are revoked.
pub const TOKENS: Limit = Limit { things: "tokens", of: "account", most: 200 };

/// Every limit, for the document.
pub const LIMITS: [Limit; 6] = [CONNECTIONS, OWN_BLOCKS, PROPERTIES, LINKS, LINKS_OVER_ALL, TOKENS];

/// Characters of a name: of an account, property, connection, extra link, token.
pub const NAME_MOST: usize = 200;
/// Characters of an own block's summary.
pub const SUMMARY_MOST: usize = 500;
pub const LABEL_PREFIX_MOST: usize = 40;
/// Characters of any other text that a client sends.
pub const TEXT_MOST: usize = 1_000;
pub const TURNOVER_MOST: u8 = 30;
/// Properties that a token or an extra link names one by one.
pub const SELECTION_MOST: usize = 500;
/// Lists of nights reach from so many days back to so many ahead, whatever a feed or a host wrote: as far as feeds are
/// read, and as far as availability is told at once.
pub const DAYS_BACK: i32 = 30;
pub const DAYS_AHEAD: i32 = 760;
/// An entry of the activity names so many stays of each part.
pub const STAYS_TOLD: usize = 10;
/// And so many nights: more than a year's.
pub const NIGHTS_TOLD: usize = 400;
/// A hold and a conflict list so many nights; the rest is counted.
pub const NIGHTS_LISTED: usize = 100;
/// Of one conflict or finding, so many nights or runs of them.
pub const RUNS_TOLD: usize = 100;
/// A check tells so many blocks and warnings.
pub const BLOCKS_TOLD: usize = 1_000;
pub const WARNINGS_TOLD: usize = 100;

/// There is no room for one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Full(pub Limit);

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has at most {} {}", self.one(), grouped(self.most), self.things)
    }
}

/// A figure as it is told: `10,000`.
#[must_use]
pub fn grouped(figure: impl fmt::Display) -> String {
    let digits = figure.to_string();
    let groups: Vec<String> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| group.iter().map(|digit| char::from(*digit)).collect())
        .collect();
    groups.join(",")
}

impl Limit {
    /// Whose they are, with its article: `an account`.
    #[must_use]
    pub fn one(&self) -> String {
        let article = if self.of.starts_with('a') { "an" } else { "a" };
        format!("{article} {}", self.of)
    }

    /// # Errors
    /// `Full` when one more than those that are there would be too many.
    pub(crate) fn room_beside(self, present: usize) -> Result<(), Full> {
        if present < self.most { Ok(()) } else { Err(Full(self)) }
    }
}
