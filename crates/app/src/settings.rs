//! What a deployment decides once: what it refuses, how often it reads.

use std::{collections::BTreeSet, fmt};

use calmesh_profiles::ProviderId;
use jiff::SignedDuration;

/// A deployment's settings, none of them secret, read from flags or the environment by the program or function that wires the rooms.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Providers refused over iCalendar.
    pub refused_providers: BTreeSet<ProviderId>,
    /// Every connection is read once in this period.
    pub sweep_period: SignedDuration,
    /// A refresh that was asked for so recently answers for one of the same scope, and a feed that was read well so
    /// recently is not fetched again by a refresh.
    pub read_again_after: SignedDuration,
    /// In how many shards the buckets are read; a power of two from 1 to 4,096.
    pub shards: u16,
    /// Feeds may be on private addresses and any port: tests only.
    pub private_feeds: bool,
    /// Every read of a private link is recorded the moment it happens: true where this program serves the links itself,
    /// false where logs tell of them.
    pub every_read_is_recorded: bool,
}

impl Settings {
    /// What a deployment takes where nothing else is said.
    pub const READ_AGAIN_AFTER: SignedDuration = SignedDuration::from_secs(2);
}

/// Keys derived from the deployment's secret. Never printed.
#[derive(Clone)]
pub struct Keys {
    /// Authenticates list cursors.
    pub cursor: [u8; 32],
    /// Marks what we export, so that it is known when it comes back. Versioned: lose it and every echo turns real. Whoever
    /// renders or takes readings in must have this one: another key would mark links that nobody knows again.
    pub echo: [u8; 32],
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(••••)")
    }
}
