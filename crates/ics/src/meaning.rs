//! What a body says, as a digest: the cheap question "has anything changed?" that every sweep asks of every feed.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};

use crate::{
    lines::decode,
    outline::{Kind, Outline, Role},
    refusal::Refusal,
};

/// Digest of what a body says: SHA-256 over its lines without DTSTAMP, LAST-MODIFIED and CREATED, regardless of the
/// order of events, of folding and of line ends. Bodies that read differently never share one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Meaning([u8; 32]);

/// A text that is not the 64 lower-case hex digits of a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the 64 hex digits of a meaning")]
pub struct MeaningError;

impl Meaning {
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Meaning({self})")
    }
}

impl FromStr for Meaning {
    type Err = MeaningError;

    fn from_str(text: &str) -> Result<Self, MeaningError> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(MeaningError),
        };
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
            return Err(MeaningError);
        };
        let bytes = pairs.iter().map(|[high, low]| Ok(digit(*high)? << 4 | digit(*low)?));
        let bytes: Vec<u8> = bytes.collect::<Result<_, _>>()?;
        bytes.try_into().map(Self).map_err(|_| MeaningError)
    }
}

/// What a body says. Total: a body that is refused has a meaning too, that of its very bytes.
#[must_use]
pub fn meaning(body: &[u8]) -> Meaning {
    of_lines(&decode(body)).unwrap_or_else(|_| {
        let mut digest = Sha256::new_with_prefix(b"bytes ");
        digest.update(body);
        Meaning(digest.finalize().into())
    })
}

/// Marks in front of what is digested, so that no text can pass for a list of digests.
const LINE: u8 = b'l';
const EVENTS: u8 = b'e';
/// Ends a line; no line holds one.
const END: u8 = b'\r';

fn of_lines(body: &[u8]) -> Result<Meaning, Refusal> {
    let mut outline = Outline::new(body);
    let mut whole = Sha256::new_with_prefix(b"lines ");
    // What stands outside of events, in its order: names, zones, and all that is passed over.
    let mut frame: Vec<u8> = Vec::with_capacity(512);
    let mut event: Vec<u8> = Vec::with_capacity(512);
    let mut events: Vec<[u8; 32]> = Vec::new();
    while let Some((line, role)) = outline.next()? {
        let changes_by_itself = role == Role::Property
            && [&b"DTSTAMP"[..], b"LAST-MODIFIED", b"CREATED"]
                .iter()
                .any(|stamp| line.name().eq_ignore_ascii_case(stamp));
        if changes_by_itself {
            continue;
        }
        let ends_event = matches!(role, Role::End { kind: Kind::Event, .. });
        let target = if ends_event || outline.inside_event() { &mut event } else { &mut frame };
        target.push(LINE);
        line.append_to(target);
        target.push(END);
        match role {
            Role::End { kind: Kind::Event, .. } => {
                events.push(Sha256::digest(&event).into());
                event.clear();
            }
            Role::End { kind: Kind::Calendar, .. } => close(&mut whole, &mut frame, &mut events),
            _ => {}
        }
    }
    if outline.events() != outline.events_in_text() {
        // Some line reads as `BEGIN:VEVENT` only as long as it is folded this way.
        whole.update(body);
    }
    close(&mut whole, &mut frame, &mut events);
    Ok(Meaning(whole.finalize().into()))
}

fn close(whole: &mut Sha256, frame: &mut Vec<u8>, events: &mut Vec<[u8; 32]>) {
    events.sort_unstable();
    frame.push(EVENTS);
    frame.extend_from_slice(&(events.len() as u64).to_be_bytes());
    whole.update(&frame);
    whole.update(events.as_flattened());
    frame.clear();
    events.clear();
}
