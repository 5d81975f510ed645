//! The properties of one component: the header of each line is read leniently and written anew, so that
//! `icalendar`, which reads it then, gets one event at a time and never a line that it would give up on.

use icalendar::parser;

use crate::lines::{BREAK, Line, text};

/// What reading an event asks for; all else is passed over.
const OF_EVENTS: [&str; 15] = [
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
];

/// Values that are text, in which raw line ends meant line ends.
const TEXTS: [&str; 2] = ["SUMMARY", "DESCRIPTION"];

/// A property as it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Property {
    pub(crate) line: u32,
    /// In upper case.
    pub(crate) name: String,
    /// Unescaped where it is text.
    pub(crate) value: String,
    pub(crate) parameters: Parameters,
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
}

/// A line's name, its parameters and its raw value.
struct Header<'l> {
    name: String,
    parameters: Parameters,
    value: &'l str,
}

/// Splits a line at its first colon outside of quotes. `(UTC+01:00) Amsterdam` stands unquoted in some TZIDs, so the
/// value of a date begins at the first colon that a date follows.
fn header(line: &str) -> Option<Header<'_>> {
    let name_length = line.find([':', ';'])?;
    let name = line.get(..name_length)?.trim().to_ascii_uppercase();
    let is_moment = name.starts_with("DT") || matches!(name.as_str(), "RDATE" | "EXDATE" | "RECURRENCE-ID");
    let mut quoted = false;
    let mut first = None;
    let mut colon = None;
    for (place, byte) in line.bytes().enumerate().skip(name_length) {
        match byte {
            b'"' => quoted = !quoted,
            b':' if !quoted => {
                first = first.or(Some(place));
                let rest = line.get(place + 1..).unwrap_or_default().trim_start();
                let dated = rest.len() >= 8 && rest.bytes().take(4).all(|byte| byte.is_ascii_digit());
                if !is_moment || dated {
                    colon = Some(place);
                    break;
                }
            }
            _ => {}
        }
    }
    // A quote that is never closed hides every colon.
    let colon = colon.or(first).or_else(|| line.rfind(':'));
    // Without any colon there is no value, which is not the same as no such property.
    let (head, value) = match colon {
        Some(colon) => (line.get(name_length..colon)?, line.get(colon + 1..)?),
        None => (line.get(name_length..)?, ""),
    };
    let mut parameters = Parameters::default();
    for part in split_outside_quotes(head) {
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
            _ => {}
        }
    }
    Some(Header { name, parameters, value })
}

fn split_outside_quotes(head: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    head.split(move |c: char| {
        quoted ^= c == '"';
        c == ';' && !quoted
    })
}

/// A value without what would end its line; raw line ends become escaped ones in text, and nothing elsewhere.
fn push_value(out: &mut String, value: &str, is_text: bool) {
    let value = value.trim();
    // Bytes from C2 on may begin a control character of two bytes.
    if value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return out.push_str(value);
    }
    for c in value.chars() {
        match c {
            '\n' if is_text => out.push_str("\\n"),
            '\t' => out.push('\t'),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
}

/// The properties of an event that reading asks for, in the order of the text.
pub(crate) fn of_event(lines: &[Line<'_>]) -> Vec<Property> {
    let mut rewritten = String::with_capacity(lines.iter().map(|line| line.bytes.len() + 2).sum::<usize>() + 32);
    let mut known = Vec::with_capacity(lines.len());
    let mut starts = Vec::with_capacity(lines.len());
    rewritten.push_str("BEGIN:VEVENT\n");
    for line in lines {
        let line_text = text(&line.bytes);
        let Some(header) = header(&line_text) else { continue };
        starts.push(rewritten.len());
        rewritten.push_str(&header.name);
        if header.parameters.date {
            rewritten.push_str(";VALUE=DATE");
        }
        if let Some(tzid) = &header.parameters.tzid {
            rewritten.push_str(";TZID=\"");
            rewritten.push_str(tzid);
            rewritten.push('"');
        }
        rewritten.push(':');
        push_value(&mut rewritten, header.value, TEXTS.contains(&header.name.as_str()));
        rewritten.push('\n');
        known.push((line.number, header.name, header.parameters));
    }
    let body_end = rewritten.len();
    rewritten.push_str("END:VEVENT\n");
    let values: Option<Vec<String>> = parser::Component::try_from(rewritten.as_str())
        .ok()
        .filter(|event| event.properties.len() == known.len())
        .map(|event| event.properties.into_iter().map(|property| property.val.into_owned().into()).collect());
    // Line by line where the event as a whole does not pass; a value that doesn't pass by itself stays raw.
    let values = values.unwrap_or_else(|| {
        let ends = starts.iter().copied().skip(1).chain([body_end]);
        let lines = starts.iter().copied().zip(ends).map(|(start, end)| rewritten.get(start..end).unwrap_or_default());
        lines
            .map(|line| {
                parser::Property::try_from(line).map_or_else(|_| raw_value(line), |p| p.val.into_owned().into())
            })
            .collect()
    });
    known
        .into_iter()
        .zip(values)
        .map(|((line, name, parameters), value)| Property { line, name, value, parameters })
        .collect()
}

fn raw_value(line: &str) -> String {
    header(line).map(|header| header.value.trim().to_owned()).unwrap_or_default()
}

/// Whether a line is a property that reading an event asks for.
pub(crate) fn is_asked_for(line: &[u8]) -> bool {
    let length = line.iter().position(|byte| matches!(byte, b':' | b';')).unwrap_or(0);
    let name = line.get(..length).unwrap_or_default().trim_ascii();
    OF_EVENTS.iter().any(|known| known.len() == name.len() && known.as_bytes().eq_ignore_ascii_case(name))
}

/// A property of a calendar or of a zone's definition, text unescaped.
pub(crate) fn of_frame(line: &Line<'_>) -> Option<Property> {
    let bytes: Vec<u8> = line.bytes.iter().copied().filter(|byte| *byte != BREAK).collect();
    let line_text = text(&bytes);
    let header = header(&line_text)?;
    let mut rewritten = String::with_capacity(header.value.len() + 16);
    // The crate unescapes by name, and knows this one as text.
    rewritten.push_str("COMMENT:");
    push_value(&mut rewritten, header.value, false);
    let value = parser::Property::try_from(rewritten.as_str())
        .map_or_else(|_| header.value.trim().to_owned(), |property| property.val.into_owned().into());
    Some(Property { line: line.number, name: header.name, value, parameters: header.parameters })
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn one(line: &'static str) -> Property {
        let line = Line { number: 7, bytes: Cow::Borrowed(line.as_bytes()) };
        of_event(&[line]).pop().unwrap()
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
        assert!(one("RECURRENCE-ID;RANGE=THISANDFUTURE:20270110T100000Z").parameters.this_and_future);
    }

    #[test]
    fn text_is_unescaped_once() {
        assert_eq!(one("SUMMARY;LANGUAGE=en:a\\, b\\; c\\nd \\\\n: e").value, "a, b; c\nd \\n: e");
        assert_eq!(one("DESCRIPTION:one\ntwo").value, "one\ntwo");
        assert_eq!(one("UID:a\\,b\nc").value, "a,bc");
        assert_eq!(one("SUMMARY:\u{0}a\u{7}b\tc").value, "ab\tc");
    }
}
