//! The issuer's public keys, each with the one algorithm that it may be used for.

use calmesh_app::ports::IdentityError;
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse},
};
use serde::Deserialize;

use crate::header::Header;

/// One signing key.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    pub(crate) decoding: DecodingKey,
}

impl Key {
    /// None where the key is not for one of our algorithms, or not for signatures.
    fn of(jwk: &Jwk) -> Option<Self> {
        if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
            return None;
        }
        // The kind of key fixes the algorithm: a public RSA key is never a shared secret here.
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => Algorithm::RS256,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
            _ => return None,
        };
        if jwk.common.key_algorithm.is_some_and(|named| named != algorithm.into()) {
            return None;
        }
        Some(Self { id: jwk.common.key_id.clone(), algorithm, decoding: DecodingKey::from_jwk(jwk).ok()? })
    }
}

/// All usable keys of the issuer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keys(Vec<Key>);

/// RFC 7517, section 5.
#[derive(Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Value>,
}

impl Keys {
    /// From a JWK Set. Keys of a kind that is not known or used here are passed over (RFC 7517, section 5).
    pub(crate) fn of_json(json: &[u8]) -> Result<Self, serde_json::Error> {
        let set: KeySet = serde_json::from_slice(json)?;
        let jwks = set.keys.into_iter().filter_map(|value| serde_json::from_value::<Jwk>(value).ok());
        Ok(Self(jwks.filter_map(|jwk| Key::of(&jwk)).collect()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key with the header's id; without an id the only one of its algorithm.
    ///
    /// # Errors
    /// `UnknownKey`; `Algorithm` where the key of that id is for another one.
    pub(crate) fn find(&self, header: &Header) -> Result<Key, IdentityError> {
        let Some(id) = &header.key_id else {
            let mut fitting = self.0.iter().filter(|key| key.algorithm == header.algorithm);
            return match (fitting.next(), fitting.next()) {
                (Some(key), None) => Ok(key.clone()),
                _ => Err(IdentityError::UnknownKey),
            };
        };
        let mut named = self.0.iter().filter(|key| key.id.as_ref() == Some(id)).peekable();
        if named.peek().is_none() {
            return Err(IdentityError::UnknownKey);
        }
        named.find(|key| key.algorithm == header.algorithm).cloned().ok_or(IdentityError::Algorithm)
    }
}
