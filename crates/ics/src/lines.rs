//! The lexer: a body's bytes into logical lines, unfolded, each with its number in the text.
//!
//! It knows nothing of iCalendar beyond "a line is `NAME;PARAMS:VALUE`", allocates only for folded lines, and
//! never fails. `read` and `meaning` both stand on it, so that they can't disagree on what a line is.

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
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
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

/// Between the pieces of a line that was broken without folding; it can't occur inside a line.
pub(crate) const BREAK: u8 = b'\n';

/// One logical line.
#[derive(Debug, Clone)]
pub(crate) struct Line<'a> {
    /// Number of its first physical line, from 1.
    pub(crate) number: u32,
    /// Unfolded; pieces of a value that was broken by raw line ends are joined by [`BREAK`].
    pub(crate) bytes: Cow<'a, [u8]>,
}

/// What a line says in the structure of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape<'l> {
    /// `BEGIN:name`, the name without blanks around it.
    Begin(&'l [u8]),
    /// `END:name`.
    End(&'l [u8]),
    /// `NAME:…` or `NAME;…`.
    Property(&'l [u8]),
    /// Anything else.
    Junk,
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

/// No name is longer; the longest known has 32 characters.
const MAX_NAME: usize = 256;

/// Length of the name of a line that looks like a property, and what follows it from its colon or semicolon on; else
/// none. Blanks between them are passed over.
fn split_name(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = line.iter().position(|byte| !is_name(*byte))?;
    let (name, rest) = line.split_at_checked(length)?;
    let rest = rest.trim_ascii_start();
    match rest {
        // A link on a line of its own is a piece of a broken value.
        [b':', b'/', b'/', ..] if name.eq_ignore_ascii_case(b"https") || name.eq_ignore_ascii_case(b"http") => None,
        [b':' | b';', ..] if length > 0 => Some((name, rest)),
        _ => None,
    }
}

pub(crate) fn shape(line: &[u8]) -> Shape<'_> {
    let Some((name, rest)) = split_name(line) else {
        return Shape::Junk;
    };
    let value = || rest.get(1..).unwrap_or_default().trim_ascii();
    match name.len() {
        5 if name.eq_ignore_ascii_case(b"BEGIN") && rest.first() == Some(&b':') => Shape::Begin(value()),
        3 if name.eq_ignore_ascii_case(b"END") && rest.first() == Some(&b':') => Shape::End(value()),
        _ => Shape::Property(name),
    }
}

/// Whether a physical line opens an event; counted in the raw text to check the reading against.
fn opens_event(line: &[u8]) -> bool {
    line.get(..12).is_some_and(|head| head.eq_ignore_ascii_case(b"BEGIN:VEVENT"))
        && line.get(12..).unwrap_or_default().trim_ascii().is_empty()
}

/// An iterator over the logical lines of a body. Blank lines are skipped; CRLF, LF and CR all end a line.
pub(crate) struct Lexer<'a> {
    rest: &'a [u8],
    /// Number of the line that `rest` begins with.
    number: u32,
    /// Physical lines so far that were `BEGIN:VEVENT`.
    pub(crate) events: u32,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Self { rest: body, number: 1, events: 0 }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.rest.trim_ascii().is_empty()
    }

    fn take_physical(&mut self) -> &'a [u8] {
        let length = memchr::memchr2(b'\r', b'\n', self.rest).unwrap_or(self.rest.len());
        let (line, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, &[]));
        self.rest = match rest {
            [b'\r', b'\n', rest @ ..] | [b'\r' | b'\n', rest @ ..] => rest,
            _ => rest,
        };
        self.number = self.number.saturating_add(1);
        if opens_event(line) {
            self.events = self.events.saturating_add(1);
        }
        line
    }

    fn skip_blank_lines(&mut self) {
        while let [b'\r' | b'\n', ..] = self.rest {
            self.take_physical();
        }
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        self.skip_blank_lines();
        // Only the very first line can begin with a blank here: later ones are taken as continuations.
        while let [b' ' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
            self.skip_blank_lines();
        }
        if self.rest.is_empty() {
            return None;
        }
        let number = self.number;
        let mut bytes = Cow::Borrowed(self.take_physical());
        loop {
            self.skip_blank_lines();
            match self.rest.first() {
                Some(b' ' | b'\t') => {
                    let piece = self.take_physical();
                    bytes.to_mut().extend_from_slice(piece.get(1..).unwrap_or_default());
                }
                // What is no property continues one whose value holds raw line ends.
                Some(_) if matches!(shape(&bytes), Shape::Property(_)) && begins_with_junk(self.rest) => {
                    let piece = self.take_physical();
                    let bytes = bytes.to_mut();
                    bytes.push(BREAK);
                    bytes.extend_from_slice(piece);
                }
                _ => return Some(Line { number, bytes }),
            }
        }
    }
}

/// Whether the line that a text begins with is no property. Only as much of it is looked at as tells its shape, with
/// what continues it where its name is folded.
fn begins_with_junk(mut rest: &[u8]) -> bool {
    let mut head: Cow<'_, [u8]> = Cow::Borrowed(&[]);
    loop {
        let window = rest.get(..MAX_NAME).unwrap_or(rest);
        let length = memchr::memchr2(b'\r', b'\n', window).unwrap_or(window.len());
        let (piece, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        if head.is_empty() {
            head = Cow::Borrowed(piece);
        } else {
            head.to_mut().extend_from_slice(piece);
        }
        if shape(&head) != Shape::Junk {
            return false;
        }
        let after = after.strip_prefix(b"\r\n").or_else(|| after.get(1..)).unwrap_or_default();
        match after {
            [b' ' | b'\t', more @ ..] if head.len() < MAX_NAME && head.iter().copied().all(is_name) => rest = more,
            _ => return true,
        }
    }
}
