//! Comparing foreign text: folded words with borders, and shapes of identifiers. No pattern language.

/// Text made comparable: lower case, every dash a hyphen, every run of blanks one space, no blanks at the ends.
/// Booking.com writes its dash in two ways, and a non-breaking space looks like any other.
pub(crate) fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    let mut gap = false;
    for c in text.chars() {
        if c.is_whitespace() {
            gap = !folded.is_empty();
            continue;
        }
        if gap {
            folded.push(' ');
            gap = false;
        }
        match c {
            '\u{2010}'..='\u{2015}' | '\u{2212}' => folded.push('-'),
            _ => folded.extend(c.to_lowercase()),
        }
    }
    folded
}

/// Words to look for, folded once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Words(Vec<String>);

impl Words {
    pub(crate) fn new(words: &[String]) -> Self {
        Self(words.iter().map(|word| fold(word)).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One of the words is the whole text.
    pub(crate) fn are(&self, folded: &str) -> bool {
        self.0.iter().any(|word| word == folded)
    }

    /// The text begins with one of the words, and the word ends there.
    pub(crate) fn begin(&self, folded: &str) -> bool {
        self.0.iter().any(|word| folded.strip_prefix(word.as_str()).is_some_and(|rest| !continues(rest.chars().next())))
    }

    /// One of the words stands somewhere in the text as a word of its own: `booked`, not `overbooked`.
    pub(crate) fn stand_in(&self, folded: &str) -> bool {
        self.0.iter().any(|word| {
            folded.match_indices(word.as_str()).any(|(at, found)| {
                let before = folded.get(..at).and_then(|text| text.chars().next_back());
                let after = folded.get(at + found.len()..).and_then(|text| text.chars().next());
                !continues(before) && !continues(after)
            })
        })
    }
}

fn continues(neighbour: Option<char>) -> bool {
    neighbour.is_some_and(char::is_alphanumeric)
}

/// The shape of an identifier: `#` is a decimal digit, `x` a hexadecimal one in any case, all else stands for itself.
#[derive(Debug, Clone)]
pub(crate) struct Shape(String);

impl Shape {
    pub(crate) fn new(mask: String) -> Self {
        Self(mask)
    }

    pub(crate) fn fits(&self, text: &str) -> bool {
        self.0.len() == text.len()
            && self.0.bytes().zip(text.bytes()).all(|(mask, byte)| match mask {
                b'#' => byte.is_ascii_digit(),
                b'x' => byte.is_ascii_hexdigit(),
                _ => mask == byte,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[&str]) -> Words {
        Words::new(&list.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn dashes_blanks_and_case_make_no_difference() {
        assert_eq!(fold(" CLOSED –\u{a0} Not\tavailable "), "closed - not available");
        assert_eq!(fold("RÉSERVÉE"), "réservée");
        assert_eq!(fold(""), "");
    }

    #[test]
    fn a_word_ends_where_letters_end() {
        assert!(words(&["Reserved"]).begin("reserved - ann"));
        assert!(words(&["Reserved"]).begin("reserved"));
        assert!(!words(&["Reserved"]).begin("reservedly"));
        assert!(words(&["booked"]).stand_in("fully booked!"));
        assert!(!words(&["booked"]).stand_in("overbooked"));
        assert!(words(&["booked"]).stand_in("overbooked, booked"));
        assert!(!words(&["é"]).stand_in("née"));
    }

    #[test]
    fn a_shape_fits_only_its_own_length() {
        let shape = Shape::new("##-x4".to_owned());
        assert!(shape.fits("12-F4"));
        assert!(!shape.fits("12-g4"));
        assert!(!shape.fits("12-f44"));
        assert!(!shape.fits("1é-f4"));
    }
}
