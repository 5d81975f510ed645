//! The properties of one component, read leniently: parameters however they are quoted, texts without their escapes.

use crate::lines::{BREAK, Line, text};

/// What reading an event asks for; all else is passed over.
const OF_EVENTS: [&str; 16] = [
    "UID",
    "DTSTART",
    "DTEND",
    "DURATION",
    "SUMMARY",
    "DESCRIPTION",
    "STATUS",
    "TRANSP",
    "RRULE",
    "RDATE",
    "EXDATE",
    "EXRULE",
    "RECURRENCE-ID",
    "SEQUENCE",
    "X-MICROSOFT-CDO-BUSYSTATUS",
    "X-MICROSOFT-CDO-ALLDAYEVENT",
];

/// What reading a calendar, a zone or a list of busy times asks for.
const OF_FRAMES: [&str; 10] = [
    "X-WR-CALNAME",
    "PRODID",
    "X-WR-TIMEZONE",
    "TZID",
    "TZOFFSETFROM",
    "TZOFFSETTO",
    "DTSTART",
    "RDATE",
    "RRULE",
    "FREEBUSY",
];

/// Properties of events that take or free nights, so that a slip of the pen in their names is told.
const THAT_MATTER: [&str; 10] =
    ["DTSTART", "DTEND", "DURATION", "RRULE", "RDATE", "EXDATE", "RECURRENCE-ID", "STATUS", "TRANSP", "SEQUENCE"];

/// Properties of an alarm that an event has too.
const OF_ALARMS: [&str; 4] = ["UID", "DURATION", "SUMMARY", "DESCRIPTION"];

/// Parameters of one line that are looked at, and bytes of a name of one; real lines have five.
const MAX_PARAMETERS: usize = 64;
const MAX_PARAMETER_NAME: usize = 256;

/// A property as it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Property {
    pub(crate) line: u32,
    /// In upper case.
    pub(crate) name: &'static str,
    /// Unescaped where it is text.
    pub(crate) value: String,
    pub(crate) parameters: Parameters,
    /// In an event whose lines are in upper case this one is not (`Transp: transparent`): it may be a line of a text that
    /// was broken by raw line ends.
    pub(crate) prose: bool,
}

/// The parameters that matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Parameters {
    /// `VALUE=DATE`.
    pub(crate) date: bool,
    /// `TZID`, unquoted.
    pub(crate) tzid: Option<String>,
    /// `RANGE=THISANDFUTURE`.
    pub(crate) this_and_future: bool,
    /// `FBTYPE`.
    pub(crate) busy: BusyType,
    /// There were too many parameters, or one whose name is too long to be one.
    pub(crate) excess: bool,
}

impl Property {
    /// The same with another value.
    pub(crate) fn saying(&self, value: &str) -> Self {
        Self {
            line: self.line,
            name: self.name,
            value: value.to_owned(),
            parameters: self.parameters.clone(),
            prose: false,
        }
    }
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

/// Splits what follows a line's name at its first colon outside of quotes. `(UTC+01:00) Amsterdam` stands unquoted in
/// some TZIDs, so the value of a date begins at the first colon that a date follows.
fn split(rest: &str, is_moment: bool) -> (&str, &str) {
    let mut quoted = false;
    let mut first = None;
    let mut colon = None;
    for (place, byte) in rest.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b':' if !quoted => {
                first = first.or(Some(place));
                let value = rest.get(place + 1..).unwrap_or_default().trim_start();
                let dated = value.len() >= 8 && value.bytes().take(4).all(|byte| byte.is_ascii_digit());
                if !is_moment || dated {
                    colon = Some(place);
                    break;
                }
            }
            _ => {}
        }
    }
    // A quote that is never closed hides every colon.
    let colon = colon.or(first).or_else(|| rest.rfind(':'));
    // Without any colon there is no value, which is not the same as no such property.
    colon.map_or((rest, ""), |colon| (rest.get(..colon).unwrap_or_default(), rest.get(colon + 1..).unwrap_or_default()))
}

impl Parameters {
    fn of(head: &str) -> Self {
        let mut parameters = Self::default();
        if head.trim_start().is_empty() {
            return parameters;
        }
        // Before the first semicolon there is nothing but blanks.
        for (place, part) in split_outside_quotes(head).skip(1).enumerate() {
            if place >= MAX_PARAMETERS {
                parameters.excess = true;
                break;
            }
            let Some((key, value)) = part.split_once('=') else { continue };
            let value = value.trim().trim_matches('"').trim();
            match key.trim() {
                key if key.eq_ignore_ascii_case("VALUE") => parameters.date = value.eq_ignore_ascii_case("DATE"),
                key if key.eq_ignore_ascii_case("TZID") => {
                    let tzid: String = value.chars().filter(|c| !c.is_control() && *c != '"').collect();
                    parameters.tzid = Some(tzid).filter(|tzid| !tzid.is_empty());
                }
                key if key.eq_ignore_ascii_case("RANGE") => {
                    parameters.this_and_future = value.eq_ignore_ascii_case("THISANDFUTURE");
                }
                key if key.eq_ignore_ascii_case("FBTYPE") => {
                    parameters.busy = match value {
                        value if value.eq_ignore_ascii_case("FREE") => BusyType::Free,
                        value if value.eq_ignore_ascii_case("BUSY-TENTATIVE") => BusyType::Tentative,
                        _ => BusyType::Busy,
                    };
                }
                key => parameters.excess |= key.len() > MAX_PARAMETER_NAME,
            }
        }
        parameters
    }
}

fn split_outside_quotes(head: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    head.split(move |c: char| {
        quoted ^= c == '"';
        c == ';' && !quoted
    })
}

/// A value as it is used: without control characters, and a text without its escapes (RFC 5545 3.3.11). What is no
/// escape stays as it is. Raw line ends are line ends of a text.
fn cleaned(value: &str, is_text: bool) -> String {
    let value = value.trim();
    // Bytes from C2 on may begin a control character of two bytes.
    if value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'\\') {
        return value.to_owned();
    }
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' if is_text => match chars.as_str().chars().next() {
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
            '\n' if is_text => out.push('\n'),
            '\t' => out.push('\t'),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// A line of an event that reading asks for.
pub(crate) struct Asked<'a> {
    pub(crate) name: &'static str,
    pub(crate) line: Line<'a>,
}

fn known(names: &[&'static str], name: &[u8]) -> Option<&'static str> {
    names.iter().find(|known| known.as_bytes().eq_ignore_ascii_case(name)).copied()
}

/// The name of a line, if reading an event asks for it.
pub(crate) fn asked_of_events(line: &Line<'_>) -> Option<&'static str> {
    known(&OF_EVENTS, line.name())
}

/// Whether an alarm has a property of that name too, which says nothing of its event.
pub(crate) fn is_of_alarms(name: &str) -> bool {
    OF_ALARMS.contains(&name)
}

/// Whether a line at a calendar's own level says something that only an event has.
pub(crate) fn is_of_events_only(line: &Line<'_>) -> bool {
    known(&THAT_MATTER, line.name()).is_some_and(|name| name != "STATUS")
}

/// The known name that matters and is one letter away from that of a line: one missing, one too many, one wrong, or two
/// that changed places.
pub(crate) fn nearly(line: &Line<'_>) -> Option<&'static str> {
    // Words of their own.
    const OTHERS: [&str; 2] = ["EXRULE", "DATE"];
    let name = line.name();
    let bounds = 4..=14;
    if !bounds.contains(&name.len()) || known(&OTHERS, name).is_some() {
        return None;
    }
    THAT_MATTER.iter().find(|known| is_one_letter_away(known.as_bytes(), name)).copied()
}

/// `known` is in upper case.
fn is_one_letter_away(known: &[u8], name: &[u8]) -> bool {
    if known.len().abs_diff(name.len()) > 1 {
        return false;
    }
    let alike = |(known, byte): &(&u8, &u8)| known.eq_ignore_ascii_case(byte);
    let head = known.iter().zip(name).take_while(alike).count();
    let known = known.get(head..).unwrap_or_default();
    let name = name.get(head..).unwrap_or_default();
    let tail = known.iter().rev().zip(name.iter().rev()).take_while(alike).count();
    let left = |bytes: &[u8]| bytes.len().saturating_sub(tail);
    match (known, name) {
        _ if left(known).max(left(name)) == 1 => true,
        ([a, b, ..], [c, d, ..]) => {
            left(known) == 2 && left(name) == 2 && a.eq_ignore_ascii_case(d) && b.eq_ignore_ascii_case(c)
        }
        _ => false,
    }
}

fn property(name: &'static str, line: &Line<'_>, is_text: bool, shouts: bool) -> Property {
    let line_text = text(&line.bytes);
    // A name is ASCII, so that it has as many bytes here.
    let (written, rest) = line_text.split_at_checked(line.name().len()).unwrap_or(("", &line_text));
    let is_moment = name.starts_with("DT") || matches!(name, "RDATE" | "EXDATE" | "RECURRENCE-ID" | "FREEBUSY");
    let (head, value) = split(rest, is_moment);
    let prose = shouts && value.starts_with([' ', '\t']) && written.bytes().any(|byte| byte.is_ascii_lowercase());
    Property { line: line.number, name, value: cleaned(value, is_text), parameters: Parameters::of(head), prose }
}

/// The properties of an event that reading asks for, in the order of the text. `shouts` says that the event begins with
/// `BEGIN` in upper case.
pub(crate) fn of_event(lines: &[Asked<'_>], shouts: bool) -> Vec<Property> {
    let is_text = |name| matches!(name, "UID" | "SUMMARY" | "DESCRIPTION");
    lines.iter().map(|asked| property(asked.name, &asked.line, is_text(asked.name), shouts)).collect()
}

/// A property that reading asks for of a calendar, of a zone's definition or of a list of busy times, text unescaped.
pub(crate) fn of_frame(line: &Line<'_>) -> Option<Property> {
    let name = known(&OF_FRAMES, line.name())?;
    let mut property = property(name, line, true, false);
    // Nothing of these has several lines.
    property.value.retain(|c| c != char::from(BREAK));
    Some(property)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn one(line: &'static str) -> Property {
        let line = Line::new(7, Cow::Borrowed(line.as_bytes()));
        let name = asked_of_events(&line).unwrap();
        of_event(&[Asked { name, line }], false).pop().unwrap()
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

    #[test]
    fn a_slip_of_the_pen_is_known_and_a_word_of_its_own_is_none() {
        let nearly = |name: &str| nearly(&Line::new(1, Cow::Owned(format!("{name}:x").into_bytes())));
        for (slip, meant) in [
            ("DTENE", "DTEND"),
            ("DTEN", "DTEND"),
            ("dtendd", "DTEND"),
            ("DTNED", "DTEND"),
            ("DTSTRAT", "DTSTART"),
            ("DTSTAR", "DTSTART"),
            ("DSTART", "DTSTART"),
            ("RRUL", "RRULE"),
            ("RULE", "RRULE"),
            ("EXDATES", "EXDATE"),
            ("RECURENCE-ID", "RECURRENCE-ID"),
            ("RECURRENCE_ID", "RECURRENCE-ID"),
            ("DURATON", "DURATION"),
            ("XDTEND", "DTEND"),
        ] {
            assert_eq!(nearly(slip), Some(meant), "{slip}");
        }
        for other in ["DTSTAMP", "EXRULE", "DUE", "CREATED", "X-DTEND", "DATE", "RELATED-TO", "A", "CATEGORIES"] {
            assert_eq!(nearly(other), None, "{other}");
        }
    }
}
