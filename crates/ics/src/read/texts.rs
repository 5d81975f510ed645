//! Texts as they are kept: without blanks around them, and once for many events, since most of a feed's summaries are one
//! of a few.

use std::sync::Arc;

/// A text without blanks around it: `str::trim`, for texts that mostly have none.
pub(crate) fn trimmed(text: &str) -> &str {
    match text.as_bytes() {
        [b'!'..=b'~'] | [b'!'..=b'~', .., b'!'..=b'~'] => text,
        _ => text.trim(),
    }
}

/// Texts that are remembered.
const RECENT: usize = 4;

/// The texts that were said last.
#[derive(Default)]
pub(crate) struct Texts {
    recent: [Arc<str>; RECENT],
    /// Which of them makes room for the next.
    oldest: usize,
}

impl Texts {
    /// A text, kept once if it was said a moment ago.
    pub(crate) fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.recent.iter().find(|known| known.as_ref() == text) {
            return known.clone();
        }
        let shared: Arc<str> = text.into();
        // Nothing is never forgotten: it is in the first place.
        self.oldest = self.oldest % (RECENT - 1) + 1;
        if let Some(room) = self.recent.get_mut(self.oldest) {
            room.clone_from(&shared);
        }
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_a_moment_ago_is_kept_once() {
        let mut texts = Texts::default();
        let first = texts.share("Reserved");
        assert!(Arc::ptr_eq(&first, &texts.share("Reserved")));
        for other in ["", "a", "b", "", "c", "d"] {
            assert_eq!(&*texts.share(other), other);
        }
        assert!(!Arc::ptr_eq(&first, &texts.share("Reserved")), "a text that is long past is kept anew");
        assert!(Arc::ptr_eq(&texts.share(""), &texts.share("")));
    }
}
