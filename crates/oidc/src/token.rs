//! What a token must be like: its algorithm, its signature, its claims.

use std::collections::HashSet;

use calmesh_app::ports::IdentityError;
use jiff::Timestamp;
use jsonwebtoken::{Validation, errors::ErrorKind};
use serde::Deserialize;

use crate::{header::Header, keys::Key};

/// How far the issuer's clock and ours may be apart, in seconds.
const LEEWAY: f64 = 60.0;

#[derive(Deserialize)]
struct Claims {
    sub: Option<String>,
    /// Seconds since 1970, perhaps with a fraction (RFC 7519, section 2).
    exp: Option<f64>,
    nbf: Option<f64>,
}

/// The subject of a token that `key` signed for `audience` and for `now`.
pub(crate) fn verify(
    jwt: &str,
    header: &Header,
    key: &Key,
    issuer: &str,
    audience: &str,
    now: Timestamp,
) -> Result<String, IdentityError> {
    // One algorithm, that of the key: a token can't choose how its key is used.
    let mut validation = Validation::new(header.algorithm);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    validation.required_spec_claims = HashSet::from(["iss", "aud"].map(str::to_owned));
    // The times are compared below, with the clock that everything here goes by.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    let claims =
        jsonwebtoken::decode::<Claims>(jwt, &key.decoding, &validation).map_err(|error| refusal(error.kind()))?.claims;

    let now = now.as_duration().as_secs_f64();
    let expires = claims.exp.ok_or(IdentityError::MissingClaim("exp"))?;
    if expires + LEEWAY <= now {
        return Err(IdentityError::Expired);
    }
    if claims.nbf.is_some_and(|from| from - LEEWAY > now) {
        return Err(IdentityError::NotYetValid);
    }
    claims.sub.filter(|subject| !subject.is_empty()).ok_or(IdentityError::MissingClaim("sub"))
}

fn refusal(kind: &ErrorKind) -> IdentityError {
    match kind {
        ErrorKind::InvalidSignature => IdentityError::Signature,
        ErrorKind::InvalidIssuer => IdentityError::Issuer,
        ErrorKind::InvalidAudience => IdentityError::Audience,
        ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => IdentityError::Algorithm,
        ErrorKind::MissingRequiredClaim(name) if name == "iss" => IdentityError::MissingClaim("iss"),
        ErrorKind::MissingRequiredClaim(_) => IdentityError::MissingClaim("aud"),
        ErrorKind::InvalidEcdsaKey | ErrorKind::InvalidEddsaKey | ErrorKind::InvalidRsaKey(_) => {
            IdentityError::Signature
        }
        _ => IdentityError::NotAJwt,
    }
}
