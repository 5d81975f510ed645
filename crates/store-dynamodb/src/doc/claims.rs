//! What one connection claims, in a compact document. A share must fit into an item though every night is a run of its
//! own, so a run is a few bytes: the nights since the run before it, how many nights it has, and what is written down of them
//! where that is not what was written down of the run before.

use calmesh_app::ports::StoreError;
use calmesh_calendar::{
    Asked, Claim, ClaimRule, ConnectionClaims, Finding, Habits, LinkNight, Nights, Part, PropertyId, Runs, Standing,
};
use jiff::{SignedDuration, civil::Date};
use serde::{Deserialize, Serialize};

use super::{
    block::bit,
    pack::{self, Reader, Writer, days_between},
};

const WHAT: &str = "claims";
const VERSION: u8 = 1;

/// The byte of a part.
const ASKED: u8 = 1;
const READ: u8 = 1 << 1;
const CLEAN: u8 = 1 << 2;
const CLEANED: u8 = 1 << 3;
const SILENT: u8 = 1 << 4;
/// The byte of a link's night.
const CARRIES: u8 = 1;
const PUT: u8 = 1 << 1;
/// The byte of habits.
const SETTLE: u8 = 1;
const WAIT: u8 = 1 << 1;
const MEMORY: u8 = 1 << 2;

fn write_runs<T: PartialEq + Copy>(to: &mut Writer<'_>, runs: &Runs<T>, value: impl Fn(&mut Writer<'_>, T)) {
    to.count(runs.iter().len());
    let mut before: Option<(Nights, T)> = None;
    for (nights, told) in runs.iter() {
        let gap = match before {
            None => {
                to.day(nights.first());
                0
            }
            Some((known, _)) => days_between(known.end(), nights.first()),
        };
        let same = before.is_some_and(|(_, known)| known == *told);
        to.number((u64::try_from(gap).unwrap_or_default() << 1) | u64::from(same));
        to.number(nights.count().into());
        if !same {
            value(to, *told);
        }
        before = Some((*nights, *told));
    }
}

fn read_runs<T: PartialEq + Copy>(
    from: &mut Reader<'_>,
    value: impl Fn(&mut Reader<'_>) -> Option<T>,
) -> Option<Runs<T>> {
    let count = from.count()?;
    let mut runs = Vec::new();
    let mut before: Option<(Date, T)> = None;
    for _ in 0..count {
        let begin = match before {
            None => from.day()?,
            Some((end, _)) => end,
        };
        let head: u64 = from.number()?;
        let first = pack::later(begin, i64::try_from(head >> 1).ok()?)?;
        let count: u32 = from.number()?;
        let nights = Nights::new(first, pack::later(first, count.into())?).ok()?;
        let told = match before {
            Some((_, known)) if head & 1 == 1 => known,
            None if head & 1 == 1 => return None,
            _ => value(from)?,
        };
        runs.push((nights, told));
        before = Some((nights.end(), told));
    }
    Some(Runs::of(runs))
}

fn write_claim(to: &mut Writer<'_>, claim: Claim) {
    let Claim { standing, rule, since } = claim;
    let standing = match standing {
        Standing::Echo => 0,
        Standing::Possible => 1,
        Standing::Certain => 2,
    };
    to.byte(standing | (rule_number(rule) << 2));
    to.instant(since);
}

fn read_claim(from: &mut Reader<'_>) -> Option<Claim> {
    let byte = from.byte()?;
    let standing = match byte & 3 {
        0 => Standing::Echo,
        1 => Standing::Possible,
        2 => Standing::Certain,
        _ => return None,
    };
    Some(Claim { standing, rule: *RULES.get(usize::from(byte >> 2))?, since: from.instant()? })
}

/// By their numbers, which are part of the stored form.
const RULES: [ClaimRule; 11] = [
    ClaimRule::OurTag,
    ClaimRule::ReservationMark,
    ClaimRule::NeverEchoes,
    ClaimRule::BackAfterClean,
    ClaimRule::NewAfterClean,
    ClaimRule::NotFromUs,
    ClaimRule::MayBeOurs,
    ClaimRule::StoodAfterRead,
    ClaimRule::StoodUnread,
    ClaimRule::CertainElsewhere,
    ClaimRule::SaidGone,
];

fn rule_number(rule: ClaimRule) -> u8 {
    match rule {
        ClaimRule::OurTag => 0,
        ClaimRule::ReservationMark => 1,
        ClaimRule::NeverEchoes => 2,
        ClaimRule::BackAfterClean => 3,
        ClaimRule::NewAfterClean => 4,
        ClaimRule::NotFromUs => 5,
        ClaimRule::MayBeOurs => 6,
        ClaimRule::StoodAfterRead => 7,
        ClaimRule::StoodUnread => 8,
        ClaimRule::CertainElsewhere => 9,
        ClaimRule::SaidGone => 10,
    }
}

fn write_part(to: &mut Writer<'_>, part: Part) {
    let Part { asked, clean_since, cleaned_at, silent } = part;
    let read_at = asked.and_then(|asked| asked.read_at);
    let flags = bit(asked.is_some(), ASKED) | bit(read_at.is_some(), READ) | bit(clean_since.is_some(), CLEAN);
    to.byte(flags | bit(cleaned_at.is_some(), CLEANED) | bit(silent, SILENT));
    if let Some(Asked { since, read_at: _, readings, heard_at }) = asked {
        to.instant(since);
        to.number(readings.into());
        to.instant(heard_at);
    }
    for at in [read_at, clean_since, cleaned_at].into_iter().flatten() {
        to.instant(at);
    }
}

fn read_part(from: &mut Reader<'_>) -> Option<Part> {
    let flags = from.flags(ASKED | READ | CLEAN | CLEANED | SILENT)?;
    let is = |flag: u8| flags & flag != 0;
    let question = match is(ASKED) {
        true => Some((from.instant()?, from.number()?, from.instant()?)),
        false if is(READ) => return None,
        false => None,
    };
    let read_at = from.instant_if(is(READ))?;
    let asked = question.map(|(since, readings, heard_at)| Asked { since, read_at, readings, heard_at });
    let (clean_since, cleaned_at) = (from.instant_if(is(CLEAN))?, from.instant_if(is(CLEANED))?);
    Some(Part { asked, clean_since, cleaned_at, silent: is(SILENT) })
}

fn write_link(to: &mut Writer<'_>, night: LinkNight) {
    let LinkNight { carries, since, put_at, first } = night;
    to.byte(bit(carries, CARRIES) | bit(put_at.is_some(), PUT));
    to.instant(since);
    if let Some(put_at) = put_at {
        to.instant(put_at);
    }
    to.instant(first);
}

fn read_link(from: &mut Reader<'_>) -> Option<LinkNight> {
    let flags = from.flags(CARRIES | PUT)?;
    let since = from.instant()?;
    let put_at = from.instant_if(flags & PUT != 0)?;
    Some(LinkNight { carries: flags & CARRIES != 0, since, put_at, first: from.instant()? })
}

fn write_habits(to: &mut Writer<'_>, habits: Habits) {
    let Habits { settle, wait, memory } = habits;
    to.byte(bit(settle.is_some(), SETTLE) | bit(wait.is_some(), WAIT) | bit(memory.is_some(), MEMORY));
    for time in [settle, wait, memory].into_iter().flatten() {
        to.signed(time.as_nanos());
    }
}

fn read_habits(from: &mut Reader<'_>) -> Option<Habits> {
    let flags = from.flags(SETTLE | WAIT | MEMORY)?;
    let mut time = |flag: u8| -> Option<Option<SignedDuration>> {
        if flags & flag == 0 {
            return Some(None);
        }
        let nanoseconds = from.signed()?;
        let seconds = i64::try_from(nanoseconds.checked_div(NANOSECONDS)?).ok()?;
        let rest = i32::try_from(nanoseconds.checked_rem(NANOSECONDS)?).ok()?;
        Some(Some(SignedDuration::new(seconds, rest)))
    };
    Some(Habits { settle: time(SETTLE)?, wait: time(WAIT)?, memory: time(MEMORY)? })
}

const NANOSECONDS: i128 = 1_000_000_000;

pub(super) fn write(to: &mut Writer<'_>, mine: &ConnectionClaims) {
    let ConnectionClaims { claims, parts, link, habits } = mine;
    write_runs(to, claims, write_claim);
    write_runs(to, parts, write_part);
    write_runs(to, link, write_link);
    write_habits(to, *habits);
}

pub(super) fn read(from: &mut Reader<'_>) -> Option<ConnectionClaims> {
    Some(ConnectionClaims {
        claims: read_runs(from, read_claim)?,
        parts: read_runs(from, read_part)?,
        link: read_runs(from, read_link)?,
        habits: read_habits(from)?,
    })
}

/// Claims as a document of their own.
pub(crate) fn encode(property: &PropertyId, mine: &ConnectionClaims) -> Vec<u8> {
    let mut to = Writer::new(VERSION, property);
    write(&mut to, mine);
    to.into_bytes()
}

pub(crate) fn decode(bytes: &[u8], property: &PropertyId) -> Result<ConnectionClaims, StoreError> {
    let mut from = Reader::new(pack::of_version(bytes, VERSION, WHAT)?, property);
    let claims = read(&mut from);
    claims.filter(|_| from.end().is_some()).ok_or_else(|| pack::unreadable(WHAT))
}

/// What the activity tells, in words.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Finding", rename_all = "snake_case")]
pub(super) enum FindingDoc {
    Judged(#[serde(with = "StandingDoc")] Standing, #[serde(with = "ClaimRuleDoc")] ClaimRule),
    Asked,
    Clean,
    EchoEnded,
    TakenBack,
    SeemsNotToRead,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Standing", rename_all = "snake_case")]
enum StandingDoc {
    Echo,
    Possible,
    Certain,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ClaimRule", rename_all = "snake_case")]
enum ClaimRuleDoc {
    OurTag,
    ReservationMark,
    NeverEchoes,
    BackAfterClean,
    NewAfterClean,
    NotFromUs,
    MayBeOurs,
    StoodAfterRead,
    StoodUnread,
    CertainElsewhere,
    SaidGone,
}
