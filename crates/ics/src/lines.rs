//! The lexer: a body's bytes into logical lines, unfolded, each with its number in the text.
//!
//! It knows nothing of iCalendar beyond "a line is `NAME;PARAMS:VALUE`" and which values are text. A line is a stretch of
//! the body, and is unfolded only for who asks for its bytes, so nothing is allocated but for names that are folded. Each
//! byte is looked at a fixed number of times, and nothing fails. `read` and `meaning` both stand on it, so that they can't
//! disagree on what a line is.

use std::borrow::Cow;

/// The bytes of a body as UTF-8 or something close to it: UTF-16 is turned into UTF-8, a BOM is dropped.
/// UTF-16 without BOM is known by its zero bytes, since a calendar begins with ASCII.
pub(crate) fn decode(body: &[u8]) -> Cow<'_, [u8]> {
    match body {
        [0xEF, 0xBB, 0xBF, rest @ ..] => Cow::Borrowed(rest),
        [0xFF, 0xFE, rest @ ..] => Cow::Owned(from_utf16(rest, u16::from_le_bytes)),
        [0xFE, 0xFF, rest @ ..] => Cow::Owned(from_utf16(rest, u16::from_be_bytes)),
        [b'B' | b'b', 0, ..] => Cow::Owned(from_utf16(body, u16::from_le_bytes)),
        [0, b'B' | b'b', ..] => Cow::Owned(from_utf16(body, u16::from_be_bytes)),
        _ => Cow::Borrowed(body),
    }
}

fn from_utf16(bytes: &[u8], unit: impl Fn([u8; 2]) -> u16) -> Vec<u8> {
    let units = bytes.chunks_exact(2).map(|pair| match pair {
        [a, b] => unit([*a, *b]),
        _ => 0,
    });
    char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect::<String>().into_bytes()
}

/// Text of bytes that should be UTF-8: what is not is read as Latin-1, byte by byte.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            let mut text = String::with_capacity(bytes.len() + 8);
            for chunk in bytes.utf8_chunks() {
                text.push_str(chunk.valid());
                text.extend(chunk.invalid().iter().copied().map(char::from));
            }
            Cow::Owned(text)
        }
    }
}

/// Between the pieces of a text that was broken without folding; it can't occur inside a line.
pub(crate) const BREAK: u8 = b'\n';

/// Bytes of a name beyond which its line is passed over; the longest known has 32.
const MAX_NAME: usize = 256;

/// Whose values are no text, so that nothing is ever joined to them but folds.
const STRUCTURED: [&[u8]; 46] = [
    b"ACKNOWLEDGED",
    b"ACTION",
    b"ATTACH",
    b"ATTENDEE",
    b"CALENDAR-ADDRESS",
    b"CALSCALE",
    b"CLASS",
    b"COLOR",
    b"COMPLETED",
    b"CONFERENCE",
    b"CREATED",
    b"DTEND",
    b"DTSTAMP",
    b"DTSTART",
    b"DUE",
    b"DURATION",
    b"EXDATE",
    b"EXRULE",
    b"FREEBUSY",
    b"GEO",
    b"IMAGE",
    b"LAST-MODIFIED",
    b"METHOD",
    b"ORGANIZER",
    b"PERCENT-COMPLETE",
    b"PRIORITY",
    b"PRODID",
    b"RDATE",
    b"RECURRENCE-ID",
    b"REFRESH-INTERVAL",
    b"RELATED-TO",
    b"REPEAT",
    b"REQUEST-STATUS",
    b"RRULE",
    b"SEQUENCE",
    b"SOURCE",
    b"STATUS",
    b"TRANSP",
    b"TRIGGER",
    b"TZID",
    b"TZOFFSETFROM",
    b"TZOFFSETTO",
    b"TZURL",
    b"UID",
    b"URL",
    b"VERSION",
];

/// Begins like text of vendors (`X-`), and is none.
const STRUCTURED_OF_VENDORS: [&[u8]; 6] = [
    b"X-MICROSOFT-CDO-ALLDAYEVENT",
    b"X-MICROSOFT-CDO-BUSYSTATUS",
    b"X-MICROSOFT-CDO-INTENDEDSTATUS",
    b"X-PUBLISHED-TTL",
    b"X-WR-RELCALID",
    b"X-WR-TIMEZONE",
];

/// What a line is, by its own text alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `BEGIN:name`, where the name could be that of a component.
    Begin,
    /// `END:name`.
    End,
    /// `NAME:…` or `NAME;…`.
    Property,
    /// A property whose name has more than [`MAX_NAME`] bytes.
    Overlong,
    /// Anything else.
    Junk,
}

/// Where the text of a line is.
#[derive(Debug, Clone)]
enum Stretch<'a> {
    /// In a body that is UTF-8.
    Text(&'a str),
    /// In another body.
    Bytes(&'a [u8]),
    /// Unfolded, since its name was folded.
    Unfolded(Vec<u8>),
}

impl Stretch<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
            Self::Unfolded(bytes) => bytes,
        }
    }
}

/// One logical line.
#[derive(Debug, Clone)]
pub(crate) struct Line<'a> {
    /// Number of its first physical line, from 1.
    pub(crate) number: u32,
    pub(crate) shape: Shape,
    stretch: Stretch<'a>,
    /// Its text has line ends that are still to be undone.
    in_pieces: bool,
    /// Bytes of its name.
    name: u16,
}

impl<'a> Line<'a> {
    /// A line without folds.
    fn whole(number: u32, stretch: Stretch<'a>) -> Self {
        let (shape, name) = shape(stretch.bytes());
        Self { number, shape, stretch, in_pieces: false, name }
    }

    /// A line with folds, of which the first piece mostly tells what it is.
    fn folded(number: u32, stretch: Stretch<'a>, first: &[u8]) -> Self {
        let (shape, name) = shape(first);
        let may_change = || {
            let name = first.get(..usize::from(name)).unwrap_or_default();
            [&b"BEGIN"[..], b"END", b"HTTP", b"HTTPS"].iter().any(|known| known.eq_ignore_ascii_case(name))
        };
        if !matches!(shape, Shape::Property | Shape::Overlong) || may_change() {
            let mut whole = Vec::with_capacity(stretch.bytes().len());
            unfold(stretch.bytes(), &mut whole);
            return Self::whole(number, Stretch::Unfolded(whole));
        }
        Self { number, shape, stretch, in_pieces: true, name }
    }

    #[cfg(test)]
    pub(crate) fn of_text(text: &'a str) -> Self {
        Self::whole(1, Stretch::Text(text))
    }

    /// The name of a property, in the case that it is written in.
    pub(crate) fn name(&self) -> &[u8] {
        self.stretch.bytes().get(..usize::from(self.name)).unwrap_or_default()
    }

    /// What follows the colon of a line without parameters, without blanks around it: for `BEGIN` and `END`, the
    /// component's name.
    pub(crate) fn component(&self) -> &[u8] {
        component(self.stretch.bytes().get(usize::from(self.name)..).unwrap_or_default())
    }

    /// Unfolded; pieces of a text that was broken by raw line ends are joined by [`BREAK`].
    pub(crate) fn bytes(&self) -> Cow<'_, [u8]> {
        let bytes = self.stretch.bytes();
        if !self.in_pieces {
            return Cow::Borrowed(bytes);
        }
        let mut whole = Vec::with_capacity(bytes.len());
        unfold(bytes, &mut whole);
        Cow::Owned(whole)
    }

    /// Adds [`Self::bytes`] to others.
    pub(crate) fn append_to(&self, bytes: &mut Vec<u8>) {
        if self.in_pieces {
            unfold(self.stretch.bytes(), bytes);
        } else {
            bytes.extend_from_slice(self.stretch.bytes());
        }
    }

    /// What it says; bytes that are no UTF-8 are Latin-1.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        if let (Stretch::Text(text), false) = (&self.stretch, self.in_pieces) {
            return Cow::Borrowed(text);
        }
        match self.bytes() {
            Cow::Borrowed(bytes) => text(bytes),
            Cow::Owned(bytes) => {
                Cow::Owned(String::from_utf8(bytes).unwrap_or_else(|other| text(other.as_bytes()).into_owned()))
            }
        }
    }

    fn is_text(&self) -> bool {
        let name = self.name();
        let is_one_of = |names: &[&[u8]]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
        self.shape == Shape::Property
            && !if name.get(1) == Some(&b'-') { is_one_of(&STRUCTURED_OF_VENDORS) } else { is_one_of(&STRUCTURED) }
    }
}

/// Of each byte whether names have it: every byte of a body may be asked for.
#[expect(clippy::indexing_slicing, reason = "worked out while this is compiled, where no `get_mut` is")]
const OF_NAMES: [bool; 256] = {
    let mut of_names = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        of_names[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        byte += 1;
    }
    of_names
};

fn is_name(byte: u8) -> bool {
    OF_NAMES.get(usize::from(byte)).copied().unwrap_or(false)
}

fn component(rest: &[u8]) -> &[u8] {
    rest.trim_ascii_start().get(1..).unwrap_or_default().trim_ascii()
}

/// The shape of a line and the length of its name. Blanks between a name and its colon or semicolon are passed over.
fn shape(line: &[u8]) -> (Shape, u16) {
    let length = line.iter().position(|byte| !is_name(*byte)).unwrap_or(line.len());
    let (name, rest) = line.split_at_checked(length).unwrap_or((line, &[]));
    let parameters = match if let [b':' | b';', ..] = rest { rest } else { rest.trim_ascii_start() } {
        // A link on a line of its own is a piece of a broken value.
        [b':', b'/', b'/', ..] if name.eq_ignore_ascii_case(b"https") || name.eq_ignore_ascii_case(b"http") => {
            return (Shape::Junk, 0);
        }
        [b':', ..] if length > 0 => false,
        [b';', ..] if length > 0 => true,
        _ => return (Shape::Junk, 0),
    };
    // Names of components are tokens (RFC 5545 3.1): `Begin: 15:00` begins nothing.
    let is_component = || {
        let name = component(rest);
        !parameters && !name.is_empty() && name.len() <= MAX_NAME && name.iter().copied().all(is_name)
    };
    let shape = match length {
        5 if name.eq_ignore_ascii_case(b"BEGIN") && is_component() => Shape::Begin,
        3 if name.eq_ignore_ascii_case(b"END") && is_component() => Shape::End,
        ..=MAX_NAME => Shape::Property,
        _ => Shape::Overlong,
    };
    (shape, u16::try_from(length).unwrap_or(u16::MAX))
}

/// The first physical line of a text, without its end, and what follows.
fn first_line(text: &[u8]) -> (&[u8], &[u8]) {
    let length = memchr::memchr2(b'\r', b'\n', text).unwrap_or(text.len());
    let (line, rest) = text.split_at_checked(length).unwrap_or((text, &[]));
    match rest {
        [b'\r', b'\n', rest @ ..] | [b'\r' | b'\n', rest @ ..] => (line, rest),
        _ => (line, rest),
    }
}

/// Undoes the line ends within one logical line: what begins with a blank was folded, what is blank is nothing, and all
/// else is the next piece of a broken text.
fn unfold(text: &[u8], bytes: &mut Vec<u8>) {
    let (first, mut rest) = first_line(text);
    bytes.extend_from_slice(first);
    while !rest.is_empty() {
        let (piece, after) = first_line(rest);
        match piece {
            [] => {}
            [b' ' | b'\t', folded @ ..] => bytes.extend_from_slice(folded),
            broken => {
                bytes.push(BREAK);
                bytes.extend_from_slice(broken);
            }
        }
        rest = after;
    }
}

/// Whether a physical line opens an event; counted in the raw text to check the reading against.
fn opens_event(line: &[u8]) -> bool {
    matches!(line, [b'B' | b'b', ..])
        && line.get(..12).is_some_and(|head| head.eq_ignore_ascii_case(b"BEGIN:VEVENT"))
        && line.get(12..).unwrap_or_default().trim_ascii().is_empty()
}

/// A line, and where it begins and ends in the body.
struct Placed<'a> {
    line: Line<'a>,
    start: usize,
    end: usize,
}

/// An iterator over the logical lines of a body. Blank lines are skipped; CRLF, LF and CR all end a line.
pub(crate) struct Lexer<'a> {
    body: &'a [u8],
    /// The body, if it is UTF-8.
    text: Option<&'a str>,
    rest: &'a [u8],
    /// Number of the line that `rest` begins with.
    number: u32,
    /// The line that ended the one before it.
    ahead: Option<Placed<'a>>,
    /// Physical lines so far that were `BEGIN:VEVENT`.
    pub(crate) events: u32,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Self { body, text: std::str::from_utf8(body).ok(), rest: body, number: 1, ahead: None, events: 0 }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.ahead.is_none() && self.rest.iter().all(u8::is_ascii_whitespace)
    }

    fn take_physical(&mut self) -> &'a [u8] {
        let (line, rest) = first_line(self.rest);
        self.rest = rest;
        self.number = self.number.saturating_add(1);
        if opens_event(line) {
            self.events = self.events.saturating_add(1);
        }
        line
    }

    fn skip_blank_lines(&mut self) {
        while let [b'\r', b'\n', rest @ ..] | [b'\r' | b'\n', rest @ ..] = self.rest {
            self.rest = rest;
            self.number = self.number.saturating_add(1);
        }
    }

    /// Where `rest` begins.
    fn place(&self) -> usize {
        self.body.len() - self.rest.len()
    }

    /// The next line with its folds, and nothing joined to it.
    fn folded(&mut self) -> Option<Placed<'a>> {
        self.skip_blank_lines();
        // Only the very first line can begin with a blank here: later ones are taken as continuations.
        while let [b' ' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
            self.skip_blank_lines();
        }
        if self.rest.is_empty() {
            return None;
        }
        let (number, start) = (self.number, self.place());
        let first = self.take_physical();
        let mut end = start + first.len();
        loop {
            self.skip_blank_lines();
            let [b' ' | b'\t', ..] = self.rest else { break };
            end = self.place() + self.take_physical().len();
        }
        let stretch = self.stretch(start, end);
        let line = if end == start + first.len() {
            Line::whole(number, stretch)
        } else {
            Line::folded(number, stretch, first)
        };
        Some(Placed { line, start, end })
    }

    fn stretch(&self, start: usize, end: usize) -> Stretch<'a> {
        match self.text.and_then(|text| text.get(start..end)) {
            Some(text) => Stretch::Text(text),
            None => Stretch::Bytes(self.body.get(start..end).unwrap_or_default()),
        }
    }

    /// Joins what is ahead to a text, as its next piece.
    fn join(&self, text: &mut Line<'a>, start: usize, piece: &Placed<'a>) {
        if let Stretch::Unfolded(whole) = &mut text.stretch {
            whole.push(BREAK);
            piece.line.append_to(whole);
        } else {
            text.stretch = self.stretch(start, piece.end);
            text.in_pieces = true;
        }
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let Placed { mut line, start, .. } = self.ahead.take().or_else(|| self.folded())?;
        self.ahead = self.folded();
        if self.ahead.as_ref().is_some_and(|next| next.line.shape == Shape::Junk) && line.is_text() {
            // What is no property continues a text that holds raw line ends.
            while let Some(piece) = self.ahead.take_if(|next| next.line.shape == Shape::Junk) {
                self.join(&mut line, start, &piece);
                self.ahead = self.folded();
            }
        }
        Some(line)
    }
}
