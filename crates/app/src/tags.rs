//! The names of what we export, and the tags in them, by which our own blocks are known when they come back.

use calmesh_calendar::{BlockId, PropertyId};
use hmac::{Hmac, KeyInit, Mac};
use jiff::civil::Date;
use sha2::Sha256;

/// Hexadecimal digits of a tag.
const DIGITS: usize = 16;

/// The name of an event within its property: letters and digits alone. It stays with the block, and with the first
/// night of a piece of it.
pub(crate) fn export_name(block: &BlockId, turnover: bool, piece: Option<Date>) -> String {
    let bare = block.as_str().trim_start_matches(BlockId::PREFIX);
    match (turnover, piece) {
        (true, _) => format!("{bare}t"),
        (false, Some(first)) => format!("{bare}p{}", first.strftime("%Y%m%d")),
        (false, None) => bare.to_owned(),
    }
}

/// The tag that only the holder of the key can make for this property and name.
#[must_use]
pub fn echo_tag(key: &[u8; 32], property: &PropertyId, name: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    mac.update(property.as_str().as_bytes());
    mac.update(b"/");
    mac.update(name.as_bytes());
    let digest = mac.finalize().into_bytes();
    hex::encode(digest.get(..DIGITS / 2).unwrap_or_default())
}

/// Whether a UID, or a part of it, is one that we exported of this property: a site may put words of its own around it.
pub(crate) fn carries_our_tag(key: &[u8; 32], property: &PropertyId, uid: &str) -> bool {
    let uid = uid.to_ascii_lowercase();
    uid.match_indices('-').any(|(at, _)| {
        let (Some(before), Some(tag)) = (uid.get(..at), uid.get(at + 1..at + 1 + DIGITS)) else { return false };
        let starts = before.rfind(|letter: char| !letter.is_ascii_alphanumeric()).map_or(0, |other| other + 1);
        let Some(name) = before.get(starts..).filter(|name| !name.is_empty()) else { return false };
        tag.bytes().all(|digit| digit.is_ascii_hexdigit()) && echo_tag(key, property, name) == tag
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [9; 32];

    fn property(n: u8) -> PropertyId {
        PropertyId::from_random([n; 16])
    }

    fn uid(piece: Option<Date>) -> String {
        let name = export_name(&BlockId::from_random([3; 16]), false, piece);
        format!("{name}-{}@calmesh", echo_tag(&KEY, &property(1), &name))
    }

    #[test]
    fn our_own_uid_is_known_also_with_words_around_it() {
        for piece in [None, Some(jiff::civil::date(2026, 12, 4))] {
            let uid = uid(piece);
            for written in [uid.clone(), uid.to_uppercase(), format!("site-7_{uid}/2"), uid.replace("@calmesh", "")] {
                assert!(carries_our_tag(&KEY, &property(1), &written), "{written}");
            }
        }
    }

    #[test]
    fn the_uid_of_another_property_key_or_name_is_not_ours() {
        let uid = uid(None);
        assert!(!carries_our_tag(&KEY, &property(2), &uid));
        assert!(!carries_our_tag(&[8; 32], &property(1), &uid));
        assert!(!carries_our_tag(&KEY, &property(1), &format!("x{uid}")));
        for foreign in ["", "-", "1418fb94e984-0123456789abcdef@airbnb.com", "é-é", "a-0123456789abcde"] {
            assert!(!carries_our_tag(&KEY, &property(1), foreign), "{foreign}");
        }
    }
}
