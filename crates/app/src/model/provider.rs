//! Whose calendar a connection leads to.

use std::{convert::Infallible, fmt, str::FromStr};

use calmesh_profiles::Profile;
pub use calmesh_profiles::ProviderId;

/// The provider of something that is kept. What a later version wrote may be of a provider that this one does not know:
/// it is taken for the generic one, and keeps its id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    Known(ProviderId),
    Unknown(Box<str>),
}

impl Provider {
    /// As it stands in JSON, tables and logs.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(id) => id.as_str(),
            Self::Unknown(id) => id,
        }
    }

    /// What is known of it; what is true of any calendar for one that is not known.
    #[must_use]
    pub fn profile(&self) -> &'static Profile {
        match self {
            Self::Known(id) => id.profile(),
            Self::Unknown(_) => calmesh_profiles::generic(),
        }
    }

    /// Whether nothing is known of it but that it has a calendar.
    #[must_use]
    pub fn is_generic(&self) -> bool {
        self.profile().id == calmesh_profiles::generic().id
    }
}

impl From<ProviderId> for Provider {
    fn from(id: ProviderId) -> Self {
        Self::Known(id)
    }
}

impl From<&str> for Provider {
    fn from(id: &str) -> Self {
        id.parse().map_or_else(|_| Self::Unknown(id.into()), Self::Known)
    }
}

impl FromStr for Provider {
    type Err = Infallible;

    fn from_str(id: &str) -> Result<Self, Infallible> {
        Ok(id.into())
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_that_is_not_known_is_taken_for_the_generic_one_and_keeps_its_id() {
        let airbnb = Provider::from("airbnb");
        assert!(matches!(airbnb, Provider::Known(_)) && !airbnb.is_generic());
        let later = Provider::from("of_a_later_version");
        assert!(later.is_generic() && matches!(later, Provider::Unknown(_)));
        assert_eq!(later.to_string(), "of_a_later_version");
        assert!(Provider::from("generic").is_generic());
        assert_ne!(later, Provider::from("generic"));
    }
}
