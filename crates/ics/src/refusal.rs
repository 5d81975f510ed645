//! Why a whole body is not believed. One bad event is never a refusal; it is a warning of the reading.

use std::fmt;

/// What a body turned out to be instead of a calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Found {
    /// Nothing, or blanks only.
    Empty,
    /// HTML; where a link asks for a login, this is what comes.
    WebPage,
    Xml,
    Json,
    /// Neither text nor any known shape, for example a compressed body or an image.
    Binary,
    /// Another kind of text, for example a vCard or a sentence.
    Text,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "an empty answer",
            Self::WebPage => "a web page, probably a login page",
            Self::Xml => "an XML document",
            Self::Json => "a JSON document",
            Self::Binary => "a file that is not text",
            Self::Text => "some other text",
        })
    }
}

/// What there was too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Excess {
    Bytes,
    Events,
    /// Occurrences of all events of the feed within the horizon.
    Occurrences,
    /// Properties of all events and time zones together.
    Properties,
    /// Components inside each other.
    Nesting,
    /// Bytes of the names and summaries of the occurrences.
    Listed,
    /// Work that the recurrence rules of the feed ask for, in days looked at.
    Recurrence,
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bytes => "bytes",
            Self::Events => "events",
            Self::Occurrences => "occurrences of repeating events",
            Self::Properties => "properties",
            Self::Nesting => "entries inside each other",
            Self::Listed => "bytes of repeated texts",
            Self::Recurrence => "days to work out for repeating events",
        })
    }
}

/// A body that is not believed. Nothing of it is used, and every block stays (SAFETY.md, "Taking a feed in").
/// Each variant displays as a sentence for the host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Does not start with `BEGIN:VCALENDAR`.
    #[error("This is not a calendar but {found}.")]
    NotACalendar { found: Found },
    /// Ends, or lacks a piece, between a `BEGIN` and its `END`. `component` opened at `line` (from 1) and was
    /// never closed, or an end at `line` has lost its beginning.
    #[error("The calendar is cut off: the {component} at line {line} is incomplete.")]
    Truncated { component: &'static str, line: u32 },
    /// Beyond one of the [`Limits`](crate::Limits).
    #[error("The calendar is too large: more than {limit} {what}.")]
    TooLarge { what: Excess, limit: u64 },
}

impl Found {
    /// Guesses from the first kilobyte of what does not start as a calendar.
    pub(crate) fn of(body: &[u8]) -> Self {
        let head = body.get(..1024).unwrap_or(body);
        let text: Vec<u8> = head
            .iter()
            .copied()
            .skip_while(|byte| byte.is_ascii_whitespace() || matches!(byte, 0xEF | 0xBB | 0xBF))
            .map(|byte| byte.to_ascii_lowercase())
            .collect();
        let holds = |needle: &[u8]| memchr::memmem::find(&text, needle).is_some();
        match text.first() {
            None => Self::Empty,
            Some(b'<') if holds(b"<!doctype html") || holds(b"<html") || holds(b"<head") || holds(b"<body") => {
                Self::WebPage
            }
            Some(b'<') => Self::Xml,
            Some(b'{' | b'[') => Self::Json,
            _ if text.iter().any(|byte| matches!(byte, 0..=8 | 14..=26 | 28..=31)) => Self::Binary,
            _ if holds(b"<html") => Self::WebPage,
            _ => Self::Text,
        }
    }
}
