//! A page of the past: the form's version, then records, packed together, for those of one change say much in the same words,
//! and hardly any is ever read again.

use std::io::{Read, Write};

use calmesh_app::ports::StoreError;
use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};

use super::pack;

const WHAT: &str = "the history of a property";
const VERSION: u8 = 1;
/// No page is meant for more than 150 kB, nor is a record much longer; what unpacks to more is no page.
const ROOM: u64 = 2_000_000;

/// What a record is. The numbers are part of the stored form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    Activity,
    Hold,
    Property,
    Connection,
    /// Blocks of a source that follow each other, as a page.
    Blocks,
    Claims,
    NewConnections,
    NewBlocks,
    NewClaims,
}

const WORDS: [Word; 9] = [
    Word::Activity,
    Word::Hold,
    Word::Property,
    Word::Connection,
    Word::Blocks,
    Word::Claims,
    Word::NewConnections,
    Word::NewBlocks,
    Word::NewClaims,
];

impl Word {
    fn number(self) -> u8 {
        match self {
            Self::Activity => 0,
            Self::Hold => 1,
            Self::Property => 2,
            Self::Connection => 3,
            Self::Blocks => 4,
            Self::Claims => 5,
            Self::NewConnections => 6,
            Self::NewBlocks => 7,
            Self::NewClaims => 8,
        }
    }
}

/// One thing that happened or was replaced. Of what belongs to a source of blocks, `of` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) word: Word,
    pub(crate) of: String,
    pub(crate) told: Vec<u8>,
}

impl Record {
    pub(crate) fn new(word: Word, told: impl Into<Vec<u8>>) -> Self {
        Self::of(word, String::new(), told)
    }

    pub(crate) fn of(word: Word, of: impl Into<String>, told: impl Into<Vec<u8>>) -> Self {
        Self { word, of: of.into(), told: told.into() }
    }

    pub(crate) fn text(&self) -> Result<&str, StoreError> {
        std::str::from_utf8(&self.told).map_err(|_| pack::unreadable(WHAT))
    }
}

/// Records as pages of so many bytes each before they are packed, or of one record that is longer.
pub(crate) fn paged(records: Vec<Record>, bytes: usize) -> Vec<Vec<Record>> {
    let mut pages: Vec<Vec<Record>> = vec![Vec::new()];
    let mut room = bytes;
    for record in records {
        let size = record.told.len();
        match pages.last_mut().filter(|page| page.is_empty() || size <= room) {
            Some(page) => page.push(record),
            None => {
                pages.push(vec![record]);
                room = bytes;
            }
        }
        room = room.saturating_sub(size);
    }
    pages
}

fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

pub(crate) fn encode(records: &[Record]) -> Result<Vec<u8>, StoreError> {
    let unwritable = |_| StoreError::Corrupt { what: format!("{WHAT} can't be written") };
    // A page that was cut off between two records is not whole either.
    let mut plain = length(records.len()).to_vec();
    for Record { word, of, told } in records {
        plain.push(word.number());
        for part in [of.as_bytes(), told] {
            plain.extend_from_slice(&length(part.len()));
            plain.extend_from_slice(part);
        }
    }
    let mut packed = DeflateEncoder::new(vec![VERSION], Compression::fast());
    packed.write_all(&plain).map_err(unwritable)?;
    packed.finish().map_err(unwritable)
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<Record>, StoreError> {
    let packed = pack::of_version(bytes, VERSION, WHAT)?;
    let mut plain = Vec::new();
    let unpacked = DeflateDecoder::new(packed).take(ROOM).read_to_end(&mut plain);
    let whole = unpacked.is_ok() && u64::try_from(plain.len()).is_ok_and(|length| length < ROOM);
    let records = whole.then(|| records(&plain)).flatten();
    records.ok_or_else(|| pack::unreadable(WHAT))
}

fn records(plain: &[u8]) -> Option<Vec<Record>> {
    fn part<'a>(plain: &mut &'a [u8]) -> Option<&'a [u8]> {
        let (length, rest) = plain.split_first_chunk::<4>()?;
        let (part, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        *plain = rest;
        Some(part)
    }
    let (count, mut plain) = plain.split_first_chunk::<4>()?;
    let mut records = Vec::new();
    while let Some((word, rest)) = plain.split_first() {
        plain = rest;
        let word = *WORDS.get(usize::from(*word))?;
        let of = std::str::from_utf8(part(&mut plain)?).ok()?.to_owned();
        records.push(Record { word, of, told: part(&mut plain)?.to_vec() });
    }
    (length(records.len()) == *count).then_some(records)
}
