//! Opaque prefixed ids. The random part comes from outside; the domain draws no randomness.

use std::{fmt, str::FromStr};

/// Crockford's base 32 in lower case: no letters that read like digits.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const RANDOM_CHARS: usize = 26;

/// A string that is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form {prefix}…")]
pub struct IdError {
    /// What such an id starts with, for example `prp_`.
    pub prefix: &'static str,
}

fn encode(prefix: &str, random: [u8; 16]) -> Box<str> {
    let mut value = u128::from_be_bytes(random);
    let mut text = vec![b'0'; RANDOM_CHARS];
    for slot in text.iter_mut().rev() {
        let digit = usize::try_from(value & 31).unwrap_or_default();
        *slot = ALPHABET.get(digit).copied().unwrap_or(b'0');
        value >>= 5;
    }
    let mut id = String::with_capacity(prefix.len() + RANDOM_CHARS);
    id.push_str(prefix);
    id.extend(text.into_iter().map(char::from));
    id.into_boxed_str()
}

/// The first 63 of the 128 random bits: 13 characters.
const HOME_BITS: u128 = !(u128::MAX >> 63);
const HOME_CHARS: usize = 13;

fn decode(random_part: &str) -> u128 {
    random_part.bytes().fold(0, |value, byte| {
        let digit = ALPHABET.iter().position(|known| *known == byte).unwrap_or_default();
        (value << 5) | u128::try_from(digit).unwrap_or_default()
    })
}

/// The part of an id that a property shares with all that belongs to it, so that whoever has the id of a connection, a
/// block, a hold or a conflict can find its property.
#[must_use]
pub fn home_of(id: &str) -> Option<&str> {
    let (_, random_part) = id.split_once('_')?;
    if is_random_part(random_part) { random_part.get(..HOME_CHARS) } else { None }
}

impl PropertyId {
    /// The random bits for the id of something that belongs to this property: they begin as its own do.
    #[must_use]
    pub fn within(&self, random: [u8; 16]) -> [u8; 16] {
        let own = self.0.strip_prefix(Self::PREFIX).map_or(0, decode);
        ((own & HOME_BITS) | (u128::from_be_bytes(random) & !HOME_BITS)).to_be_bytes()
    }
}

fn is_random_part(text: &str) -> bool {
    text.len() == RANDOM_CHARS && text.bytes().all(|byte| ALPHABET.contains(&byte))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// What every id of this kind starts with.
            pub const PREFIX: &'static str = $prefix;

            /// The id that carries these 128 random bits.
            #[must_use]
            pub fn from_random(random: [u8; 16]) -> Self {
                Self(encode($prefix, random))
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                match text.strip_prefix($prefix) {
                    Some(rest) if is_random_part(rest) => Ok(Self(text.into())),
                    _ => Err(IdError { prefix: $prefix }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

ids! {
    /// A tenant: one host or company.
    AccountId "acc_";
    /// One bookable unit.
    PropertyId "prp_";
    /// One named link between a property and one calendar elsewhere.
    ConnectionId "con_";
    /// A stay or a host's own block; a stay keeps its id while it lives.
    BlockId "blk_";
    /// A removal that was seen but not yet believed.
    HoldId "hld_";
    /// One night claimed by two stays.
    ConflictId "cfl_";
    /// An extra private link that is not a connection's.
    LinkId "lnk_";
    /// An API token's public name; never the secret.
    TokenId "tok_";
    /// One manual refresh of a connection, a property or an account.
    RefreshId "rfr_";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_own_text() {
        let id = PropertyId::from_random([7; 16]);
        assert_eq!(id.as_str().len(), 4 + 26);
        assert_eq!(id.as_str().parse::<PropertyId>(), Ok(id));
    }

    #[test]
    fn what_belongs_to_a_property_is_known_by_its_id_and_told_apart_by_the_rest() {
        for (own, random) in [([7; 16], [255; 16]), ([255; 16], [0; 16]), ([0; 16], [9; 16])] {
            let property = PropertyId::from_random(own);
            let stay = BlockId::from_random(property.within(random));
            assert_eq!(home_of(stay.as_str()), home_of(property.as_str()));
            assert_ne!(stay.as_str()[4..], property.as_str()[4..]);
            let mut other = random;
            other[15] ^= 1;
            assert_ne!(BlockId::from_random(property.within(other)), stay);
        }
        let neighbour = PropertyId::from_random([8; 16]);
        assert_ne!(home_of(neighbour.as_str()), home_of(PropertyId::from_random([7; 16]).as_str()));
        assert_eq!(home_of("blk_"), None);
        assert_eq!(home_of("nonsense"), None);
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        let id = PropertyId::from_random([7; 16]);
        assert!(id.as_str().parse::<ConnectionId>().is_err());
        assert!("prp_SHOUTING0000000000000000000".parse::<PropertyId>().is_err());
        assert!("prp_".parse::<PropertyId>().is_err());
    }
}
