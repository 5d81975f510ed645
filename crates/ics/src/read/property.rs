//! The properties of one component, read leniently: parameters however they are quoted, texts without their escapes.
//!
//! What a property says is borrowed from its line wherever it stands there as it is meant.

use std::borrow::Cow;

use crate::{
    lines::{BREAK, Line},
    read::{name::Name, texts::trimmed},
};

/// Parameters of one line that are looked at, and bytes of a name of one; real lines have five.
const MAX_PARAMETERS: usize = 64;
const MAX_PARAMETER_NAME: usize = 256;

/// A property as it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Property<'a> {
    pub(crate) line: u32,
    pub(crate) name: Name,
    /// In an event whose lines are in upper case this one is not (`Transp: transparent`): it may be a line of a text that
    /// was broken by raw line ends.
    pub(crate) prose: bool,
    pub(crate) parameters: Parameters<'a>,
    /// Unescaped where it is text. Of an event there are no blanks around it.
    pub(crate) value: Cow<'a, str>,
}

/// The parameters that matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Parameters<'a> {
    /// `VALUE=DATE`.
    pub(crate) date: bool,
    /// `TZID`, unquoted.
    pub(crate) tzid: Option<Cow<'a, str>>,
    /// `RANGE=THISANDFUTURE`.
    pub(crate) this_and_future: bool,
    /// `FBTYPE`.
    pub(crate) busy: BusyType,
    /// There were too many parameters, or one whose name is too long to be one.
    pub(crate) excess: bool,
}

/// What a period of a VFREEBUSY is (RFC 5545 3.2.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum BusyType {
    Free,
    Tentative,
    /// Also BUSY-UNAVAILABLE, and whatever is not known.
    #[default]
    Busy,
}

impl<'a> Property<'a> {
    /// A property of an event that begins with `BEGIN` in upper case, if `shouts`.
    pub(crate) fn of_event(name: Name, line: &'a Line<'_>, shouts: bool) -> Self {
        let is_text = matches!(name, Name::Uid | Name::Summary | Name::Description);
        let mut property = Self::of(name, line, is_text, shouts);
        if let Cow::Owned(value) = &mut property.value {
            // What was no blank may have stood around them.
            if trimmed(value).len() < value.len() {
                *value = trimmed(value).to_owned();
            }
        }
        property
    }

    /// A property that reading asks for of a calendar, of a zone's definition or of a list of busy times, unescaped.
    pub(crate) fn of_frame(line: &Line<'_>) -> Option<Property<'static>> {
        let name = Name::of(line.name()).filter(|name| name.is_of_frames())?;
        let mut property = Property::of(name, line, true, false).into_owned();
        // Nothing of these has several lines.
        property.value.to_mut().retain(|c| c != char::from(BREAK));
        Some(property)
    }

    fn of(name: Name, line: &'a Line<'_>, is_text: bool, shouts: bool) -> Self {
        // A name is ASCII, so that it has as many bytes in any text.
        let length = line.name().len();
        match line.text() {
            Cow::Borrowed(text) => Self::of_text(name, line.number, text, length, is_text, shouts),
            Cow::Owned(text) => Property::of_text(name, line.number, &text, length, is_text, shouts).into_owned(),
        }
    }

    fn of_text(name: Name, line: u32, text: &'a str, length: usize, is_text: bool, shouts: bool) -> Self {
        let (written, rest) = text.split_at_checked(length).unwrap_or(("", text));
        let (head, value) = split(rest, name.is_moment());
        let is_set_off = matches!(value.as_bytes(), [b' ' | b'\t', ..]);
        let prose = shouts && is_set_off && written.bytes().any(|byte| byte.is_ascii_lowercase());
        Self { line, name, prose, parameters: Parameters::of(head), value: cleaned(value, is_text) }
    }

    fn into_owned(self) -> Property<'static> {
        let Self { line, name, prose, parameters: Parameters { date, tzid, this_and_future, busy, excess }, value } =
            self;
        let tzid = tzid.map(|tzid| Cow::Owned(tzid.into_owned()));
        let parameters = Parameters { date, tzid, this_and_future, busy, excess };
        Property { line, name, prose, parameters, value: Cow::Owned(value.into_owned()) }
    }
}

/// Splits what follows a line's name at its first colon outside of quotes. `(UTC+01:00) Amsterdam` stands unquoted in
/// some TZIDs, so the value of a date begins at the first colon that a date follows.
fn split(rest: &str, is_moment: bool) -> (&str, &str) {
    let at = |colon: usize| (rest.get(..colon).unwrap_or_default(), rest.get(colon + 1..).unwrap_or_default());
    let mut quoted = false;
    let mut first = None;
    let mut from = 0;
    while let Some(found) = rest.as_bytes().get(from..).and_then(|bytes| bytes.iter().position(is_colon_or_quote)) {
        let place = from + found;
        from = place + 1;
        let (head, value) = at(place);
        if rest.as_bytes().get(place) == Some(&b'"') {
            quoted = !quoted;
        } else if !quoted {
            if !is_moment || begins_with_a_year(value) {
                return (head, value);
            }
            first = first.or(Some(place));
        }
    }
    // A quote that is never closed hides every colon. Without any there is no value, which is not the same as no such
    // property.
    first.or_else(|| rest.rfind(':')).map_or((rest, ""), at)
}

fn is_colon_or_quote(byte: &u8) -> bool {
    matches!(byte, b':' | b'"')
}

/// Whether a value may be a date.
fn begins_with_a_year(value: &str) -> bool {
    let value = if value.starts_with(|c: char| c.is_ascii_digit()) { value } else { value.trim_start() };
    value.len() >= 8 && value.bytes().take(4).all(|byte| byte.is_ascii_digit())
}

impl<'a> Parameters<'a> {
    fn of(head: &'a str) -> Self {
        let mut parameters = Self::default();
        // What most say, if they say anything.
        if head == ";VALUE=DATE" {
            parameters.date = true;
            return parameters;
        }
        // Before the first semicolon there is nothing but blanks.
        let Some((_, mut rest)) = split_outside_quotes(head) else { return parameters };
        for _ in 0..MAX_PARAMETERS {
            let (parameter, after) = split_outside_quotes(rest).map_or((rest, None), |(one, rest)| (one, Some(rest)));
            if let Some((key, value)) = parameter.split_once('=') {
                parameters.note(trimmed(key), trimmed(trimmed(value).trim_matches('"')));
            }
            match after {
                Some(after) => rest = after,
                None => return parameters,
            }
        }
        parameters.excess = true;
        parameters
    }

    fn note(&mut self, key: &str, value: &'a str) {
        match key {
            key if key.eq_ignore_ascii_case("VALUE") => self.date = value.eq_ignore_ascii_case("DATE"),
            key if key.eq_ignore_ascii_case("TZID") => {
                let is_foreign = |c: char| c.is_control() || c == '"';
                let tzid = if value.contains(is_foreign) {
                    Cow::Owned(value.replace(is_foreign, ""))
                } else {
                    Cow::Borrowed(value)
                };
                self.tzid = Some(tzid).filter(|tzid| !tzid.is_empty());
            }
            key if key.eq_ignore_ascii_case("RANGE") => {
                self.this_and_future = value.eq_ignore_ascii_case("THISANDFUTURE");
            }
            key if key.eq_ignore_ascii_case("FBTYPE") => {
                self.busy = match value {
                    value if value.eq_ignore_ascii_case("FREE") => BusyType::Free,
                    value if value.eq_ignore_ascii_case("BUSY-TENTATIVE") => BusyType::Tentative,
                    _ => BusyType::Busy,
                };
            }
            key => self.excess |= key.len() > MAX_PARAMETER_NAME,
        }
    }
}

/// What stands before and after the first semicolon outside of quotes.
fn split_outside_quotes(head: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let semicolon = head.bytes().position(|byte| {
        quoted ^= byte == b'"';
        byte == b';' && !quoted
    })?;
    Some((head.get(..semicolon)?, head.get(semicolon + 1..)?))
}

/// A value as it is used: without control characters, and a text without its escapes (RFC 5545 3.3.11). What is no
/// escape stays as it is. Raw line ends are line ends of a text.
fn cleaned(value: &str, is_text: bool) -> Cow<'_, str> {
    let mut rest = trimmed(value);
    if special(rest.as_bytes()).is_none() {
        return Cow::Borrowed(rest);
    }
    let mut out = String::with_capacity(rest.len());
    while let Some((plain, after)) = special(rest.as_bytes()).and_then(|place| rest.split_at_checked(place)) {
        out.push_str(plain);
        let mut chars = after.chars();
        match chars.next() {
            Some('\\') if is_text => match chars.clone().next() {
                Some(escaped @ ('\\' | ',' | ';' | ':')) => {
                    out.push(escaped);
                    chars.next();
                }
                Some('n' | 'N') => {
                    out.push('\n');
                    chars.next();
                }
                _ => out.push('\\'),
            },
            Some('\n') if is_text => out.push('\n'),
            Some('\t') => out.push('\t'),
            Some(c) if !c.is_control() => out.push(c),
            _ => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Where the next character begins that may not stand for itself: a backslash, or what may be a control character,
/// which from 128 on begins with C2.
fn special(bytes: &[u8]) -> Option<usize> {
    /// Bytes that are looked at together.
    const TOGETHER: usize = 8;
    let is_special = |byte: &u8| (*byte < b' ') | (*byte == b'\\') | (*byte == 0x7F) | (*byte == 0xC2);
    let (chunks, rest) = bytes.as_chunks::<TOGETHER>();
    let plain = chunks.iter().take_while(|chunk| !chunk.iter().fold(false, |any, byte| any | is_special(byte))).count();
    let place = plain * TOGETHER;
    let within = chunks.get(plain).map_or(rest, |chunk| chunk.as_slice());
    within.iter().position(is_special).map(|found| place + found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Property<'static> {
        let line = Line::of_text(line);
        Property::of_event(Name::of(line.name()).unwrap(), &line, false).into_owned()
    }

    #[test]
    fn parameters_are_read_however_they_are_written() {
        let tzid = |line| one(line).parameters.tzid;
        assert_eq!(tzid("DTSTART;TZID=Europe/Madrid:20270110T100000").as_deref(), Some("Europe/Madrid"));
        assert_eq!(tzid("dtstart;tzid=\"Europe/Madrid\":20270110T100000").as_deref(), Some("Europe/Madrid"));
        assert_eq!(
            tzid("DTSTART;TZID=(UTC+01:00) Amsterdam, Berlin:20270110T100000").as_deref(),
            Some("(UTC+01:00) Amsterdam, Berlin")
        );
        assert_eq!(tzid("DTSTART;X-A=\"a;b:c\";TZID=\"a;b:c\":20270110T100000").as_deref(), Some("a;b:c"));
        assert_eq!(one("DTSTART;X=a\\;b;VALUE=DATE:20270110 ").value, "20270110");
        assert!(one("DTSTART;VALUE=\"date\":2027-01-10").parameters.date);
        assert!(one("DTSTART ; VALUE = DATE : 2027-01-10").parameters.date);
        assert!(one("RECURRENCE-ID;RANGE=THISANDFUTURE:20270110T100000Z").parameters.this_and_future);
    }

    #[test]
    fn text_is_unescaped_once() {
        assert_eq!(one("SUMMARY;LANGUAGE=en:a\\, b\\; c\\nd \\\\n: e").value, "a, b; c\nd \\n: e");
        assert_eq!(one("DESCRIPTION:one\ntwo\\\nthree\\Nfour\\x\\").value, "one\ntwo\\\nthree\nfour\\x\\");
        assert_eq!(one("UID:a\\,b\u{85}c").value, "a,bc");
        assert_eq!(one("SUMMARY:\u{0}a\u{7}b\tc").value, "ab\tc");
    }
}
