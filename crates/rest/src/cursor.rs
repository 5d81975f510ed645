//! Cursors: where a list goes on, authenticated and bound to one caller and one list.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const TAG: usize = 16;

fn mac(key: &[u8; 32], list: &str, after: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(list.as_bytes());
    mac.update(&[0]);
    mac.update(after);
    Some(mac)
}

/// The cursor that names this place of this list.
pub(crate) fn seal(key: &[u8; 32], list: &str, after: &str) -> String {
    let tag = mac(key, list, after.as_bytes()).map(|mac| mac.finalize().into_bytes()).unwrap_or_default();
    let mut bytes: Vec<u8> = tag.iter().take(TAG).copied().collect();
    bytes.extend_from_slice(after.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The place that a cursor names; none for one that was not made by `seal` for this list.
pub(crate) fn open(key: &[u8; 32], list: &str, cursor: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (tag, after) = bytes.split_at_checked(TAG)?;
    mac(key, list, after)?.verify_truncated_left(tag).ok()?;
    String::from_utf8(after.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_works_for_its_own_list_only() {
        let key = [3; 32];
        let cursor = seal(&key, "acc_1 /v1/tokens", "tok_9");
        assert_eq!(open(&key, "acc_1 /v1/tokens", &cursor).as_deref(), Some("tok_9"));
        assert_eq!(open(&key, "acc_2 /v1/tokens", &cursor), None);
        assert_eq!(open(&key, "acc_1 /v1/links", &cursor), None);
        assert_eq!(open(&[4; 32], "acc_1 /v1/tokens", &cursor), None);
    }

    #[test]
    fn a_tampered_cursor_opens_nothing() {
        let key = [3; 32];
        let cursor = seal(&key, "l", "tok_9");
        for at in 0..cursor.len() {
            let mut broken = cursor.clone().into_bytes();
            broken[at] = if broken[at] == b'A' { b'B' } else { b'A' };
            let broken = String::from_utf8(broken).unwrap();
            assert!(broken == cursor || open(&key, "l", &broken).is_none(), "{broken}");
        }
        for nonsense in ["", "A", "!!!!", "AAAA"] {
            assert_eq!(open(&key, "l", nonsense), None);
        }
    }
}
