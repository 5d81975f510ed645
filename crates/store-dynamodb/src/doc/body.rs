//! A fetched body and what came with it, or the name alone of one that lies among the objects. Calendars say much in the same
//! words: packed they take an eighth.

use std::io::{Read, Write};

use bytes::Bytes;
use calmesh_app::{
    model::{Snapshot, Validators},
    ports::{ParkedBody, SmallBody, StoreError, WaitingBody},
};
use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};

use super::{
    block::bit,
    pack::{self, Reader, Writer},
};

const WHAT: &str = "the body of a feed";
const VERSION: u8 = 1;

/// The byte of what there is.
const BODY: u8 = 1;
const ETAG: u8 = 1 << 1;
const LAST_MODIFIED: u8 = 1 << 2;

pub(crate) fn encode(waiting: &WaitingBody) -> Result<Vec<u8>, StoreError> {
    let mut to = Writer::of_no_property(VERSION);
    match waiting {
        WaitingBody::Parked(snapshot) => {
            to.byte(0);
            to.text(&snapshot.0);
            Ok(to.into_bytes())
        }
        WaitingBody::Small(SmallBody { snapshot, parked: ParkedBody { body, validators } }) => {
            let Validators { etag, last_modified } = validators;
            to.byte(BODY | bit(etag.is_some(), ETAG) | bit(last_modified.is_some(), LAST_MODIFIED));
            to.text(&snapshot.0);
            for word in [etag, last_modified].into_iter().flatten() {
                to.text(word);
            }
            let unwritable = |_| StoreError::Corrupt { what: format!("{WHAT} can't be written") };
            let mut packed = DeflateEncoder::new(to.into_bytes(), Compression::default());
            packed.write_all(body).map_err(unwritable)?;
            packed.finish().map_err(unwritable)
        }
    }
}

pub(crate) fn decode(bytes: &[u8]) -> Result<WaitingBody, StoreError> {
    read(pack::of_version(bytes, VERSION, WHAT)?).ok_or_else(|| pack::unreadable(WHAT))
}

fn read(bytes: &[u8]) -> Option<WaitingBody> {
    let mut from = Reader::of_no_property(bytes);
    let flags = from.flags(BODY | ETAG | LAST_MODIFIED)?;
    let snapshot = Snapshot(from.text()?);
    if flags & BODY == 0 {
        from.end()?;
        return (flags == 0).then_some(WaitingBody::Parked(snapshot));
    }
    let etag = if flags & ETAG == 0 { None } else { Some(from.text()?) };
    let last_modified = if flags & LAST_MODIFIED == 0 { None } else { Some(from.text()?) };
    let body = Bytes::from(unpacked(from.rest())?);
    let parked = ParkedBody { body, validators: Validators { etag, last_modified } };
    Some(WaitingBody::Small(SmallBody { snapshot, parked }))
}

/// What was packed, where that is a small body and nothing comes after it.
fn unpacked(packed: &[u8]) -> Option<Vec<u8>> {
    let room = u64::try_from(SmallBody::BYTES).ok()? + 1;
    let mut body = Vec::new();
    let mut from = DeflateDecoder::new(packed);
    from.by_ref().take(room).read_to_end(&mut body).ok()?;
    let is_whole = from.total_in() == u64::try_from(packed.len()).ok()?;
    (SmallBody::is(&body) && is_whole).then_some(body)
}
