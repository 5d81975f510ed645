//! What is known of one connection, as one compact document: its settings, its stays, its claims, each where there is any.
//! What the three name in common stands in it once.

use calmesh_app::{
    model::{
        Applied, Connection, Detail, Direction, ExportSide, Format, ImportSide, LinkToken, PolicyOverrides, SecretHash,
        Snapshot, Status, Validators,
    },
    ports::StoreError,
};
use calmesh_calendar::{Block, ConnectionClaims, ConnectionId, PropertyId, ReadWarning};
use serde::{Deserialize, Serialize};

use super::{
    block::{self, bit},
    claims,
    pack::{self, Reader, Writer},
    settings::{policy, warnings},
};

const WHAT: &str = "a connection";
const VERSION: u8 = 1;

/// Which parts there are.
const SETTINGS: u8 = 1;
const STAYS: u8 = 1 << 1;
const CLAIMS: u8 = 1 << 2;
/// The byte of settings: the direction in two bits, and these.
const PAUSED: u8 = 1 << 2;
const UNTIL: u8 = 1 << 3;
const IMPORT: u8 = 1 << 4;
const EXPORT: u8 = 1 << 5;
/// The byte of what is imported.
const POLICY: u8 = 1;
const APPLIED: u8 = 1 << 1;
const REPLACES: u8 = 1 << 2;
const LISTED: u8 = 1 << 3;
/// The byte of what was applied.
const ETAG: u8 = 1;
const LAST_MODIFIED: u8 = 1 << 1;
const MORE: u8 = 1 << 2;
const WARNINGS: u8 = 1 << 3;
const SMALL: u8 = 1 << 4;
/// The byte of what is exported: the detail in two bits, and these.
const TIMES: u8 = 1 << 2;
const STOPPED: u8 = 1 << 3;
const CHANGED: u8 = 1 << 4;

/// What a connection's item holds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Parts<'a> {
    pub(crate) settings: Option<&'a Connection>,
    pub(crate) stays: Option<&'a [&'a Block]>,
    pub(crate) claims: Option<&'a ConnectionClaims>,
}

/// What was read of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct OwnedParts {
    pub(crate) settings: Option<Connection>,
    pub(crate) stays: Option<Vec<Block>>,
    pub(crate) claims: Option<ConnectionClaims>,
}

/// What hardly any connection has, as JSON.
#[derive(Serialize, Deserialize)]
struct Policy(#[serde(with = "policy")] PolicyOverrides);

#[derive(Serialize, Deserialize)]
struct Warnings(#[serde(with = "warnings")] Vec<ReadWarning>);

fn as_json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|_| StoreError::Corrupt { what: format!("{WHAT} can't be written") })
}

fn write_settings<'a>(to: &mut Writer<'a>, connection: &'a Connection) -> Result<(), StoreError> {
    let Connection { id, account, property, name, provider, direction, status, import, export, .. } = connection;
    let direction = match direction {
        Direction::Import => 1,
        Direction::Export => 2,
        Direction::Bidirectional => 3,
    };
    let (paused, until) = match status {
        Status::Active => (false, None),
        Status::Paused { until } => (true, *until),
    };
    let sides = bit(import.is_some(), IMPORT) | bit(export.is_some(), EXPORT);
    to.byte(direction | bit(paused, PAUSED) | bit(until.is_some(), UNTIL) | sides);
    to.id(id);
    to.id(account);
    to.id(property);
    to.word(name);
    to.word(provider.as_str());
    to.instant(connection.created_at);
    to.instant(connection.named_at);
    to.number(connection.version);
    if let Some(until) = until {
        to.instant(until);
    }
    if let Some(import) = import {
        write_import(to, import)?;
    }
    if let Some(export) = export {
        write_export(to, export);
    }
    Ok(())
}

fn write_import<'a>(to: &mut Writer<'a>, import: &'a ImportSide) -> Result<(), StoreError> {
    let ImportSide { url, since, policy, applied, replaces, listed } = import;
    let has_policy = *policy != PolicyOverrides::default();
    let marks = bit(replaces.is_some(), REPLACES) | bit(listed.is_some(), LISTED);
    to.byte(bit(has_policy, POLICY) | bit(applied.is_some(), APPLIED) | marks);
    to.text(url.as_str());
    to.instant(*since);
    if has_policy {
        to.text(&as_json(&Policy(policy.clone()))?);
    }
    for mark in [replaces, listed].into_iter().flatten() {
        to.text(&mark.to_hex());
    }
    let Some(applied) = applied else { return Ok(()) };
    let Applied { snapshot, validators, read_at, changed_at, more_at, reader, small, horizon_at, warnings } = applied;
    let Validators { etag, last_modified } = validators;
    let words = bit(etag.is_some(), ETAG) | bit(last_modified.is_some(), LAST_MODIFIED);
    let marks = bit(*small, SMALL) | bit(more_at.is_some(), MORE) | bit(!warnings.is_empty(), WARNINGS);
    to.byte(words | marks);
    to.text(&snapshot.0);
    for word in [etag, last_modified].into_iter().flatten() {
        to.text(word);
    }
    for at in [*read_at, *changed_at, *horizon_at].into_iter().chain(*more_at) {
        to.instant(at);
    }
    to.number((*reader).into());
    if !warnings.is_empty() {
        to.text(&as_json(&Warnings(warnings.clone()))?);
    }
    Ok(())
}

fn write_export(to: &mut Writer<'_>, export: &ExportSide) {
    let ExportSide { token, detail, format, paused, last_changed_at, recorded_since } = export;
    let detail = match detail {
        Detail::Busy => 0,
        Detail::Label => 1,
        Detail::Full => 2,
    };
    let times = match format {
        Format::Nights => false,
        Format::Times => true,
    };
    to.byte(detail | bit(times, TIMES) | bit(*paused, STOPPED) | bit(last_changed_at.is_some(), CHANGED));
    to.text(token.reveal());
    to.instant(*recorded_since);
    if let Some(at) = last_changed_at {
        to.instant(*at);
    }
}

fn read_settings(from: &mut Reader<'_>) -> Option<Connection> {
    let flags = from.flags(3 | PAUSED | UNTIL | IMPORT | EXPORT)?;
    let direction = match flags & 3 {
        1 => Direction::Import,
        2 => Direction::Export,
        3 => Direction::Bidirectional,
        _ => return None,
    };
    let (id, account, property) = (from.id()?, from.id()?, from.id()?);
    let (name, provider) = (from.word()?.to_owned(), from.word()?.into());
    let (created_at, named_at, version) = (from.instant()?, from.instant()?, from.number()?);
    let until = from.instant_if(flags & UNTIL != 0)?;
    let status = match (flags & PAUSED != 0, until) {
        (true, until) => Status::Paused { until },
        (false, None) => Status::Active,
        (false, Some(_)) => return None,
    };
    let import = if flags & IMPORT == 0 { None } else { Some(read_import(from)?) };
    let export = if flags & EXPORT == 0 { None } else { Some(read_export(from)?) };
    Some(Connection {
        id,
        account,
        property,
        name,
        provider,
        direction,
        status,
        import,
        export,
        created_at,
        named_at,
        version,
    })
}

fn read_import(from: &mut Reader<'_>) -> Option<ImportSide> {
    let flags = from.flags(POLICY | APPLIED | REPLACES | LISTED)?;
    let url = from.text()?.parse().ok()?;
    let since = from.instant()?;
    let policy = match flags & POLICY {
        0 => PolicyOverrides::default(),
        _ => serde_json::from_str::<Policy>(&from.text()?).ok()?.0,
    };
    let mut mark = |flag: u8| match flags & flag {
        0 => Some(None),
        _ => SecretHash::from_hex(&from.text()?).map(Some),
    };
    let (replaces, listed) = (mark(REPLACES)?, mark(LISTED)?);
    let applied = if flags & APPLIED == 0 { None } else { Some(read_applied(from)?) };
    Some(ImportSide { url, since, policy, applied, replaces, listed })
}

fn read_applied(from: &mut Reader<'_>) -> Option<Applied> {
    let flags = from.flags(ETAG | LAST_MODIFIED | MORE | WARNINGS | SMALL)?;
    let snapshot = Snapshot(from.text()?);
    let etag = if flags & ETAG == 0 { None } else { Some(from.text()?) };
    let last_modified = if flags & LAST_MODIFIED == 0 { None } else { Some(from.text()?) };
    let (read_at, changed_at, horizon_at) = (from.instant()?, from.instant()?, from.instant()?);
    let more_at = from.instant_if(flags & MORE != 0)?;
    let reader = from.number()?;
    let warnings = match flags & WARNINGS {
        0 => Vec::new(),
        _ => serde_json::from_str::<Warnings>(&from.text()?).ok()?.0,
    };
    let validators = Validators { etag, last_modified };
    let small = flags & SMALL != 0;
    Some(Applied { snapshot, validators, read_at, changed_at, more_at, reader, small, horizon_at, warnings })
}

fn read_export(from: &mut Reader<'_>) -> Option<ExportSide> {
    let flags = from.flags(3 | TIMES | STOPPED | CHANGED)?;
    let detail = match flags & 3 {
        0 => Detail::Busy,
        1 => Detail::Label,
        2 => Detail::Full,
        _ => return None,
    };
    let token = LinkToken::parse(&from.text()?)?;
    let recorded_since = from.instant()?;
    let last_changed_at = from.instant_if(flags & CHANGED != 0)?;
    let format = if flags & TIMES == 0 { Format::Nights } else { Format::Times };
    Some(ExportSide { token, detail, format, paused: flags & STOPPED != 0, last_changed_at, recorded_since })
}

/// The document of a connection of this property.
pub(crate) fn encode(property: &PropertyId, parts: &Parts<'_>) -> Result<Vec<u8>, StoreError> {
    let Parts { settings, stays, claims } = parts;
    let mut to = Writer::new(VERSION, property);
    to.byte(bit(settings.is_some(), SETTINGS) | bit(stays.is_some(), STAYS) | bit(claims.is_some(), CLAIMS));
    if let Some(settings) = settings {
        write_settings(&mut to, settings)?;
    }
    if let Some(stays) = stays {
        block::write(&mut to, stays);
    }
    if let Some(claims) = claims {
        claims::write(&mut to, claims);
    }
    Ok(to.into_bytes())
}

/// What is known of this connection.
pub(crate) fn decode(bytes: &[u8], property: &PropertyId, id: &ConnectionId) -> Result<OwnedParts, StoreError> {
    let mut from = Reader::new(pack::of_version(bytes, VERSION, WHAT)?, property);
    let known = read(&mut from, id).filter(|_| from.end().is_some());
    known.ok_or_else(|| pack::unreadable(WHAT))
}

fn read(from: &mut Reader<'_>, id: &ConnectionId) -> Option<OwnedParts> {
    let parts = from.flags(SETTINGS | STAYS | CLAIMS)?;
    let settings = if parts & SETTINGS == 0 { None } else { Some(read_settings(from)?) };
    let stays = if parts & STAYS == 0 { None } else { Some(block::read(from, Some(id))?) };
    let claims = if parts & CLAIMS == 0 { None } else { Some(claims::read(from)?) };
    Some(OwnedParts { settings, stays, claims })
}
