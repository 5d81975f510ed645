//! The keys that a deployment derives from its one secret.

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use calmesh_app::Keys;

/// The secret of a deployment is no password: it is drawn at random.
const SECRET_BYTES: usize = 32;
const SALT: &[u8] = b"calmesh keys";

/// Why there are no keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeriveError {
    #[error("the deployment's secret is shorter than {SECRET_BYTES} bytes; draw it at random")]
    TooShort,
    #[error("the keys can't be derived")]
    Derivation,
}

#[derive(Clone, Copy)]
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// The keys of a deployment: HKDF-SHA-256 (RFC 5869), one info text for each.
///
/// The same secret gives the same keys for ever, or every echo would turn real. The number in an info text is the
/// version of that key: a new one is added beside the old one, which stays as long as anything carries its mark.
///
/// # Errors
/// [`DeriveError::TooShort`] for a secret of less than 32 bytes.
pub fn derive_keys(deployment_secret: &[u8]) -> Result<Keys, DeriveError> {
    if deployment_secret.len() < SECRET_BYTES {
        return Err(DeriveError::TooShort);
    }
    Ok(Keys {
        cursor: derive(deployment_secret, "calmesh/cursor/1")?,
        echo: derive(deployment_secret, "calmesh/echo/1")?,
    })
}

pub(crate) fn derive<const N: usize>(secret: &[u8], info: &str) -> Result<[u8; N], DeriveError> {
    let mut key = [0; N];
    Salt::new(HKDF_SHA256, SALT)
        .extract(secret)
        .expand(&[info.as_bytes()], Length(N))
        .and_then(|derived| derived.fill(&mut key))
        .map_err(|_| DeriveError::Derivation)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_secret_gives_the_keys_that_it_always_gave() {
        let keys = derive_keys(b"0123456789abcdef0123456789abcdef").unwrap();
        assert_eq!(hex::encode(keys.cursor), "1b8f9270386137b907b7d38d59695c1b28a0398212ab40f5bea07337cf70168b");
        assert_eq!(hex::encode(keys.echo), "57d5896e020558586b52742c52ced98234b620878bc2d10f9d632493d8b13e1a");
    }

    #[test]
    fn another_secret_gives_other_keys() {
        let (one, two) = (derive_keys(&[1; 32]).unwrap(), derive_keys(&[2; 32]).unwrap());
        assert_ne!(one.cursor, two.cursor);
        assert_ne!(one.echo, two.echo);
        assert_ne!(one.cursor, one.echo);
    }

    #[test]
    fn a_short_secret_is_refused() {
        assert_eq!(derive_keys(&[1; 31]).unwrap_err(), DeriveError::TooShort);
    }
}
