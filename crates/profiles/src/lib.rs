//! Provider profiles as data, and their lookup.

use calmesh_calendar::{EchoPolicy, HoldPolicy, MassVanishPolicy};

/// What a provider's feeds are judged by unless a connection says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyDefaults {
    pub busy_only: bool,
    pub tentative_blocks: bool,
    pub rule_closures_block: bool,
    pub required_word: Option<String>,
    pub hold: HoldPolicy,
    pub mass_vanish: MassVanishPolicy,
    pub echo: EchoPolicy,
}

/// What is known of a provider's feeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    pub policy: PolicyDefaults,
    pub aggregates: bool,
}

pub fn find(_id: &str) -> Option<&'static Profile> {
    None
}

pub fn generic() -> &'static Profile {
    static GENERIC: std::sync::LazyLock<Profile> = std::sync::LazyLock::new(|| Profile {
        policy: PolicyDefaults {
            busy_only: true,
            tentative_blocks: true,
            rule_closures_block: true,
            required_word: None,
            hold: HoldPolicy::default(),
            mass_vanish: MassVanishPolicy::default(),
            echo: EchoPolicy::default(),
        },
        aggregates: false,
    });
    &GENERIC
}
