//! Blocks in a compact document: stays of one connection, or blocks of the host's own. Whose they are says the item's key.
//! What is usual takes no room: the stays of one reading have the same rule, summary and instants as the one before.

use calmesh_app::ports::StoreError;
use calmesh_calendar::{
    Block, BlockKind, ConnectionId, EventKey, Extent, FeedOrigin, Hold, HoldCause, LostStay, Nights, Origin,
    PropertyId, Sign, Times,
};

use super::pack::{self, Reader, Writer};

const WHAT: &str = "a page of blocks";
const VERSION: u8 = 1;

/// The first byte of a block: its kind and the form of its id, in two bits each, and these.
const TIMES: u8 = 1 << 4;
const CHANGED: u8 = 1 << 5;
const SEQUENCE: u8 = 1 << 6;
const SUMMARY: u8 = 1 << 7;
/// The second byte of an own block.
const EXTENDS: u8 = 1;
const LOST: u8 = 1 << 1;
const LOST_OF: u8 = 1 << 2;
const LOST_SITE: u8 = 1 << 3;
const LOST_TIMES: u8 = 1 << 4;
/// The second byte of a stay: its sign in two bits, and these.
const KEY: u8 = 1 << 2;
const OCCURRENCE: u8 = 1 << 3;
const CODE: u8 = 1 << 4;
const HELD: u8 = 1 << 5;
/// Summary, rule and first sight are those of the block before.
const AS_BEFORE: u8 = 1 << 6;
/// The byte of a hold.
const MASS: u8 = 1;
const GROUP: u8 = 1 << 1;
const KEPT: u8 = 1 << 2;

fn kind_bits(kind: BlockKind) -> u8 {
    match kind {
        BlockKind::Reservation => 0,
        BlockKind::Closure => 1,
        BlockKind::Tentative => 2,
        BlockKind::RuleClosure => 3,
    }
}

fn kind_of(bits: u8) -> BlockKind {
    match bits & 3 {
        0 => BlockKind::Reservation,
        1 => BlockKind::Closure,
        2 => BlockKind::Tentative,
        _ => BlockKind::RuleClosure,
    }
}

fn sign_bits(sign: Sign) -> u8 {
    match sign {
        Sign::None => 0,
        Sign::Reservation => 1,
        Sign::Ours => 2,
    }
}

fn sign_of(bits: u8) -> Option<Sign> {
    match bits & 3 {
        0 => Some(Sign::None),
        1 => Some(Sign::Reservation),
        2 => Some(Sign::Ours),
        _ => None,
    }
}

/// The bit where it is so.
pub(super) fn bit(so: bool, bit: u8) -> u8 {
    if so { bit } else { 0 }
}

fn write_extent(to: &mut Writer<'_>, extent: &Extent) {
    match extent {
        Extent::Nights(nights) => write_nights(to, *nights),
        Extent::Times(times) => {
            to.instant(times.start());
            to.instant(times.end());
        }
    }
}

fn read_extent(from: &mut Reader<'_>, times: bool) -> Option<Extent> {
    if times {
        return Times::new(from.instant()?, from.instant()?).ok().map(Extent::Times);
    }
    read_nights(from).map(Extent::Nights)
}

pub(super) fn write_nights(to: &mut Writer<'_>, nights: Nights) {
    to.day(nights.first());
    to.number(nights.count().into());
}

pub(super) fn read_nights(from: &mut Reader<'_>) -> Option<Nights> {
    let first = from.day()?;
    let count: u32 = from.number()?;
    Nights::new(first, pack::later(first, count.into())?).ok()
}

fn write_hold<'a>(to: &mut Writer<'a>, hold: &'a Hold) {
    let Hold { id, cause, group, opened_at, readings, earliest_release_at, kept } = hold;
    let mass = match cause {
        HoldCause::Absent => false,
        HoldCause::MassVanish => true,
    };
    to.byte(bit(mass, MASS) | bit(group.is_some(), GROUP) | bit(*kept, KEPT));
    to.id(id);
    if let Some(group) = group {
        to.id(group);
    }
    to.instant(*opened_at);
    to.number((*readings).into());
    to.instant(*earliest_release_at);
}

fn read_hold(from: &mut Reader<'_>) -> Option<Hold> {
    let flags = from.flags(MASS | GROUP | KEPT)?;
    Some(Hold {
        cause: if flags & MASS == 0 { HoldCause::Absent } else { HoldCause::MassVanish },
        id: from.id()?,
        group: if flags & GROUP == 0 { None } else { Some(from.id()?) },
        opened_at: from.instant()?,
        readings: from.number()?,
        earliest_release_at: from.instant()?,
        kept: flags & KEPT != 0,
    })
}

fn write_own<'a>(to: &mut Writer<'a>, extends: Option<&'a calmesh_calendar::BlockId>, lost: Option<&'a LostStay>) {
    let mut flags = bit(extends.is_some(), EXTENDS) | bit(lost.is_some(), LOST);
    if let Some(LostStay { stay: _, connection, site, extent }) = lost {
        flags |= bit(connection.is_some(), LOST_OF) | bit(site.is_some(), LOST_SITE);
        flags |= bit(matches!(extent, Extent::Times(_)), LOST_TIMES);
    }
    to.byte(flags);
    if let Some(extends) = extends {
        to.id(extends);
    }
    if let Some(LostStay { stay, connection, site, extent }) = lost {
        to.id(stay);
        if let Some(connection) = connection {
            to.id(connection);
        }
        if let Some((name, provider)) = site {
            to.word(name);
            to.word(provider);
        }
        write_extent(to, extent);
    }
}

fn read_own(from: &mut Reader<'_>) -> Option<Origin> {
    let flags = from.flags(EXTENDS | LOST | LOST_OF | LOST_SITE | LOST_TIMES)?;
    let extends = if flags & EXTENDS == 0 { None } else { Some(from.id()?) };
    if flags & LOST == 0 {
        return (flags <= EXTENDS).then_some(Origin::Own { extends, lost: None });
    }
    let stay = from.id()?;
    let connection = if flags & LOST_OF == 0 { None } else { Some(from.id()?) };
    let site = match flags & LOST_SITE {
        0 => None,
        _ => Some((from.word()?.to_owned(), from.word()?.to_owned())),
    };
    let extent = read_extent(from, flags & LOST_TIMES != 0)?;
    Some(Origin::Own { extends, lost: Some(LostStay { stay, connection, site, extent }) })
}

/// Whether a stay says of itself what the one before it said.
fn is_as_before(block: &Block, origin: &FeedOrigin, before: Option<&Block>) -> bool {
    before.is_some_and(|before| {
        let rule = match &before.origin {
            Origin::Feed(known) => known.rule == origin.rule,
            Origin::Own { .. } => false,
        };
        rule && before.summary == block.summary && before.first_seen_at == block.first_seen_at
    })
}

/// `before` is the block that was written before this one.
fn write_block<'a>(to: &mut Writer<'a>, block: &'a Block, before: Option<&Block>) {
    let Block { id, origin, kind, extent, summary, sequence, first_seen_at, changed_at } = block;
    let form = to.form_of(id);
    let changed = changed_at != first_seen_at;
    let flags = bit(matches!(extent, Extent::Times(_)), TIMES) | bit(changed, CHANGED) | bit(*sequence > 0, SEQUENCE);
    to.byte(kind_bits(*kind) | (form << 2) | flags | bit(!summary.is_empty(), SUMMARY));
    to.id_in(form, id);
    let mut as_before = false;
    match origin {
        Origin::Own { extends, lost } => write_own(to, extends.as_ref(), lost.as_ref()),
        Origin::Feed(feed) => {
            as_before = is_as_before(block, feed, before);
            write_stay(to, feed, as_before);
        }
    }
    write_extent(to, extent);
    if !as_before {
        if !summary.is_empty() {
            to.word(summary);
        }
        to.instant(*first_seen_at);
    }
    if *sequence > 0 {
        to.number((*sequence).into());
    }
    if changed {
        to.instant(*changed_at);
    }
}

fn write_stay<'a>(to: &mut Writer<'a>, feed: &'a FeedOrigin, as_before: bool) {
    let FeedOrigin { connection: _, key, code, rule, sign, hold } = feed;
    let occurrence = key.as_ref().and_then(|key| key.occurrence.as_ref());
    let flags = bit(key.is_some(), KEY) | bit(occurrence.is_some(), OCCURRENCE) | bit(code.is_some(), CODE);
    to.byte(sign_bits(*sign) | flags | bit(hold.is_some(), HELD) | bit(as_before, AS_BEFORE));
    if let Some(EventKey { uid, occurrence: _ }) = key {
        to.key(uid);
    }
    if let Some(occurrence) = occurrence {
        to.word(occurrence);
    }
    if let Some(code) = code {
        to.text(code);
    }
    if let Some(hold) = hold {
        write_hold(to, hold);
    }
    if !as_before {
        to.word(rule);
    }
}

/// A stay, and whether it is as the one before.
fn read_stay(from: &mut Reader<'_>, connection: &ConnectionId, before: Option<&Block>) -> Option<(FeedOrigin, bool)> {
    let flags = from.flags(3 | KEY | OCCURRENCE | CODE | HELD | AS_BEFORE)?;
    let sign = sign_of(flags)?;
    let uid = if flags & KEY == 0 { None } else { Some(from.key()?) };
    let occurrence = if flags & OCCURRENCE == 0 { None } else { Some(from.word()?.to_owned()) };
    let key = match (uid, occurrence) {
        (Some(uid), occurrence) => Some(EventKey { uid, occurrence }),
        (None, None) => None,
        (None, Some(_)) => return None,
    };
    let code = if flags & CODE == 0 { None } else { Some(from.text()?) };
    let hold = if flags & HELD == 0 { None } else { Some(read_hold(from)?) };
    let as_before = flags & AS_BEFORE != 0;
    let rule = match (as_before, before.map(|before| &before.origin)) {
        (false, _) => from.word()?.to_owned(),
        (true, Some(Origin::Feed(known))) => from.again(&known.rule)?,
        (true, _) => return None,
    };
    Some((FeedOrigin { connection: connection.clone(), key, code, rule, sign, hold }, as_before))
}

fn read_block(from: &mut Reader<'_>, connection: Option<&ConnectionId>, before: Option<&Block>) -> Option<Block> {
    let flags = from.byte()?;
    let id = from.id_in((flags >> 2) & 3)?;
    let (origin, as_before) = match connection {
        None => (read_own(from)?, false),
        Some(connection) => {
            let (stay, as_before) = read_stay(from, connection, before)?;
            (Origin::Feed(stay), as_before)
        }
    };
    let extent = read_extent(from, flags & TIMES != 0)?;
    let (summary, first_seen_at) = match before.filter(|_| as_before) {
        Some(before) if before.summary.is_empty() == (flags & SUMMARY == 0) => {
            (from.again(&before.summary)?, before.first_seen_at)
        }
        Some(_) => return None,
        None => {
            let summary = if flags & SUMMARY == 0 { "" } else { from.word()? };
            (summary.to_owned(), from.instant()?)
        }
    };
    let sequence = if flags & SEQUENCE == 0 { 0 } else { from.number()? };
    let changed_at = if flags & CHANGED == 0 { first_seen_at } else { from.instant()? };
    Some(Block { id, origin, kind: kind_of(flags), extent, summary, sequence, first_seen_at, changed_at })
}

pub(super) fn write<'a>(to: &mut Writer<'a>, blocks: &[&'a Block]) {
    to.count(blocks.len());
    let mut before = None;
    for block in blocks {
        write_block(to, block, before);
        before = Some(*block);
    }
}

/// Blocks of this connection, or the host's own.
pub(super) fn read(from: &mut Reader<'_>, connection: Option<&ConnectionId>) -> Option<Vec<Block>> {
    let count = from.count()?;
    let mut blocks: Vec<Block> = Vec::new();
    for _ in 0..count {
        let block = read_block(from, connection, blocks.last())?;
        blocks.push(block);
    }
    Some(blocks)
}

/// The page of these blocks of a property, all of one source.
pub(crate) fn encode(property: &PropertyId, blocks: &[&Block]) -> Vec<u8> {
    let mut to = Writer::new(VERSION, property);
    write(&mut to, blocks);
    to.into_bytes()
}

/// The blocks of a page: of this connection, or the host's own.
pub(crate) fn decode(
    bytes: &[u8],
    property: &PropertyId,
    connection: Option<&ConnectionId>,
) -> Result<Vec<Block>, StoreError> {
    let mut from = Reader::new(pack::of_version(bytes, VERSION, WHAT)?, property);
    let blocks = read(&mut from, connection);
    blocks.filter(|_| from.end().is_some()).ok_or_else(|| pack::unreadable(WHAT))
}
