//! A token's header: which key it asks for.

use calmesh_app::ports::IdentityError;
use jsonwebtoken::Algorithm;

/// Longer ones than this are refused unread, in bytes.
const LONGEST: usize = 16 * 1024;

/// The header of a token whose algorithm is one of ours. Nothing in it is believed but as a question for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: Option<String>,
}

impl Header {
    /// # Errors
    /// `NotAJwt` for another form, `alg: none` included; `Algorithm` for one that is not accepted.
    pub(crate) fn of(jwt: &str) -> Result<Self, IdentityError> {
        if jwt.len() > LONGEST {
            return Err(IdentityError::NotAJwt);
        }
        let header = jsonwebtoken::decode_header(jwt).map_err(|_| IdentityError::NotAJwt)?;
        // RFC 7515, section 4.1.11: what is critical and not understood must be refused.
        if header.crit.is_some() {
            return Err(IdentityError::NotAJwt);
        }
        match header.alg {
            algorithm @ (Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA) => {
                Ok(Self { algorithm, key_id: header.kid })
            }
            _ => Err(IdentityError::Algorithm),
        }
    }
}
