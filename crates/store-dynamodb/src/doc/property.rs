//! The record of a property, as a compact document. Revision, mark and wake-up time are attributes of its head.

use calmesh_app::{model::Property, ports::StoreError};
use calmesh_calendar::PropertyId;
use jiff::civil::Time;

use super::{
    block::bit,
    pack::{self, Reader, Writer},
};

const WHAT: &str = "a property";
const VERSION: u8 = 1;

const REVISED: u8 = 1;
const DELETED: u8 = 1 << 1;

/// A time of day as its seconds and, with the last bit, nanoseconds.
fn write_time(to: &mut Writer<'_>, time: Time) {
    let seconds = [time.hour(), time.minute(), time.second()]
        .into_iter()
        .fold(0, |sum: u64, part| sum.saturating_mul(60).saturating_add(u64::try_from(part).unwrap_or_default()));
    let rest = u64::try_from(time.subsec_nanosecond()).unwrap_or_default();
    to.number((seconds << 1) | u64::from(rest > 0));
    if rest > 0 {
        to.number(rest);
    }
}

fn read_time(from: &mut Reader<'_>) -> Option<Time> {
    let head: u32 = from.number()?;
    let seconds = head >> 1;
    let rest: i32 = if head & 1 == 0 { 0 } else { from.number()? };
    let part = |value: u32| i8::try_from(value).ok();
    Time::new(part(seconds / 3600)?, part(seconds / 60 % 60)?, part(seconds % 60)?, rest).ok()
}

pub(crate) fn encode(property: &Property) -> Vec<u8> {
    let Property { id, account, name, time_zone, check_in, check_out, turnover_nights, label_prefix, .. } = property;
    let mut to = Writer::new(VERSION, id);
    to.byte(bit(property.revised_at.is_some(), REVISED) | bit(property.deleted_at.is_some(), DELETED));
    to.id(account);
    for word in [name, time_zone, label_prefix] {
        to.word(word);
    }
    write_time(&mut to, *check_in);
    write_time(&mut to, *check_out);
    to.number((*turnover_nights).into());
    to.number(property.version);
    let instants =
        [Some(property.created_at), Some(property.rules_changed_at), property.revised_at, property.deleted_at];
    for at in instants.into_iter().flatten() {
        to.instant(at);
    }
    to.count(property.reading.len());
    for connection in &property.reading {
        to.id(connection);
    }
    to.into_bytes()
}

/// The record of this property, without revision, mark and wake-up time.
pub(crate) fn decode(bytes: &[u8], id: &PropertyId) -> Result<Property, StoreError> {
    let mut from = Reader::new(pack::of_version(bytes, VERSION, WHAT)?, id);
    let property = read(&mut from, id).filter(|_| from.end().is_some());
    property.ok_or_else(|| pack::unreadable(WHAT))
}

fn read(from: &mut Reader<'_>, id: &PropertyId) -> Option<Property> {
    let flags = from.flags(REVISED | DELETED)?;
    Some(Property {
        id: id.clone(),
        account: from.id()?,
        name: from.word()?.to_owned(),
        time_zone: from.word()?.to_owned(),
        label_prefix: from.word()?.to_owned(),
        check_in: read_time(from)?,
        check_out: read_time(from)?,
        turnover_nights: from.number()?,
        version: from.number()?,
        created_at: from.instant()?,
        rules_changed_at: from.instant()?,
        revised_at: from.instant_if(flags & REVISED != 0)?,
        deleted_at: from.instant_if(flags & DELETED != 0)?,
        reading: (0..from.count()?).map(|_| from.id()).collect::<Option<_>>()?,
        revision: 0,
        dirty: None,
        wake_at: None,
    })
}
