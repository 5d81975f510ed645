//! What of a feed blocks, and how much evidence a removal needs (SAFETY.md). Every value is resolved: the
//! profile's default with the connection's own settings on top.

/// How a connection's feed is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Off: the calendar's events are shown to the host and block nothing.
    pub blocks: bool,
    /// Transparent and free events are dropped.
    pub busy_only: bool,
    pub tentative_blocks: bool,
    pub rule_closures_block: bool,
    /// Only events with this word anywhere in their summary count, in any case.
    pub required_word: Option<String>,
    /// The feed repeats stays of other connections (a master feed).
    pub aggregates: bool,
    pub hold: HoldPolicy,
    pub mass_vanish: MassVanishPolicy,
    pub echo: EchoPolicy,
}

/// When the absence of one stay is believed: both the readings and the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldPolicy {
    pub readings: u32,
    pub minutes: u32,
}

/// What counts as a mass vanish, and when that is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MassVanishPolicy {
    pub stays: u32,
    pub nights_percent: u32,
    pub readings: u32,
    pub hours: u32,
}

/// How echoes are asked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EchoPolicy {
    pub probe: bool,
    pub readings: u32,
    pub minutes: u32,
}

impl Default for HoldPolicy {
    fn default() -> Self {
        Self { readings: 2, minutes: 30 }
    }
}

impl Default for MassVanishPolicy {
    fn default() -> Self {
        Self { stays: 2, nights_percent: 30, readings: 3, hours: 24 }
    }
}

impl Default for EchoPolicy {
    fn default() -> Self {
        Self { probe: true, readings: 2, minutes: 60 }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            blocks: true,
            busy_only: true,
            tentative_blocks: true,
            rule_closures_block: true,
            required_word: None,
            aggregates: false,
            hold: HoldPolicy::default(),
            mass_vanish: MassVanishPolicy::default(),
            echo: EchoPolicy::default(),
        }
    }
}
