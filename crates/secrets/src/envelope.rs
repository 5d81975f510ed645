//! AES-256-GCM with a random nonce, bound to a header and a context. Both sealers seal with this.
//!
//! Sealed bytes are: header, 12 bytes of nonce, ciphertext, 16 bytes of tag. A header's first byte says who sealed:
//! [`BY_KEY_FILE`] or [`BY_KMS`]; each sealer opens only its own.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use calmesh_app::ports::SealError;

pub(crate) const BY_KEY_FILE: u8 = 1;
#[cfg(feature = "kms")]
pub(crate) const BY_KMS: u8 = 2;

pub(crate) const KEY_BYTES: usize = 32;

pub(crate) fn refused(what: impl Into<String>) -> SealError {
    SealError { what: what.into(), source: None }
}

pub(crate) fn key(bytes: &[u8]) -> Result<RandomizedNonceKey, SealError> {
    RandomizedNonceKey::new(&AES_256_GCM, bytes).map_err(|_| refused("the key is not one of 32 bytes"))
}

/// What is authenticated beside the plain bytes: the header's length first, so that no header and context can be
/// cut differently.
fn bound(header: &[u8], context: &str) -> Result<Vec<u8>, SealError> {
    let length = u32::try_from(header.len()).map_err(|_| refused("the header is too long"))?;
    Ok([&length.to_be_bytes(), header, context.as_bytes()].concat())
}

pub(crate) fn seal(key: &RandomizedNonceKey, header: &[u8], context: &str, plain: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut text = plain.to_vec();
    let nonce = key
        .seal_in_place_append_tag(Aad::from(bound(header, context)?), &mut text)
        .map_err(|_| refused("the bytes can't be encrypted"))?;
    Ok([header, nonce.as_ref(), &text].concat())
}

/// `sealed` without its header.
pub(crate) fn open(
    key: &RandomizedNonceKey,
    header: &[u8],
    context: &str,
    sealed: &[u8],
) -> Result<Vec<u8>, SealError> {
    let opened = sealed.split_first_chunk::<NONCE_LEN>().and_then(|(nonce, text)| {
        let mut text = text.to_vec();
        let aad = Aad::from(bound(header, context).ok()?);
        let plain = key.open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut text).ok()?.len();
        text.truncate(plain);
        Some(text)
    });
    opened.ok_or_else(|| refused("not sealed with this key for this context, or changed since"))
}
