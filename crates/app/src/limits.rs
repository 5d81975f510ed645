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
/// Expired ones included: they are listed until they are revoked.
pub const TOKENS: Limit = Limit { things: "tokens", of: "account", most: 200 };

/// Every limit, for the document.
pub const LIMITS: [Limit; 5] = [CONNECTIONS, OWN_BLOCKS, PROPERTIES, LINKS, TOKENS];

/// There is no room for one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Full(pub Limit);

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let article = if self.of.starts_with('a') { "an" } else { "a" };
        write!(f, "{article} {} has at most {} {}", self.of, self.most, self.things)
    }
}

impl Limit {
    /// # Errors
    /// `Full` when one more than those that are there would be too many.
    pub(crate) fn room_beside(self, present: usize) -> Result<(), Full> {
        if present < self.most { Ok(()) } else { Err(Full(self)) }
    }
}
