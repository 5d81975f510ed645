//! What one connection claims, as a document. A share must fit into an item though every night is a run of its own, so
//! a run is a short list: its first night, how many nights it has, and what is written down of them. Nights are counted
//! from the share's first one. Instants are to the nanosecond, as clocks give them, and many runs have the same ones:
//! each stands once in a list of its own, and a run has its place there. What comes later to be told of a run needs
//! a list of its own.

use calmesh_calendar::{
    Asked, Claim, ClaimRule, ConnectionClaims, Finding, Habits, LinkNight, Nights, Part, Runs, Standing,
};
use jiff::{SignedDuration, Span, Timestamp, civil::Date};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::{
    list::{List, Place},
    text_option,
};

#[derive(Serialize, Deserialize)]
struct Share {
    /// The first of all nights; none where there are no runs.
    #[serde(with = "text_option", default, skip_serializing_if = "Option::is_none")]
    from: Option<Date>,
    /// Nanoseconds since 1970, in the order in which the runs name them first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    at: Vec<i128>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    claims: Vec<ClaimRun>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parts: Vec<PartRun>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    link: Vec<LinkRun>,
    #[serde(with = "HabitsDoc")]
    habits: Habits,
}

/// Days from the first night of the share.
type Day = u32;
/// Nights, at least one.
type Count = u32;
/// … and since when.
type ClaimRun = (Day, Count, OneStanding, OneRule, Place);
/// … since when it is clean, when it was last found so, whether it is silent.
type PartRun = (Day, Count, Option<OneAsked>, Option<Place>, Option<Place>, bool);
/// Since when, its read of the link, good readings, when it was last heard of.
type OneAsked = (Place, Option<Place>, u32, Place);
/// … whether the link carries them, since when, when it was put, and from when on it carried them.
type LinkRun = (Day, Count, bool, Place, Option<Place>, Place);

#[derive(Serialize, Deserialize)]
struct OneStanding(#[serde(with = "StandingTag")] Standing);

#[derive(Serialize, Deserialize)]
struct OneRule(#[serde(with = "ClaimRuleTag")] ClaimRule);

fn days(from: Option<Date>, nights: &Nights) -> Option<(Day, Count)> {
    let days = nights.first().since((jiff::Unit::Day, from?)).ok()?.get_days();
    Some((days.try_into().ok()?, nights.count()))
}

fn nights(from: Option<Date>, first: Day, count: Count) -> Option<Nights> {
    let later = |day: Date, days: u32| day.checked_add(Span::new().try_days(days).ok()?).ok();
    let first = later(from?, first)?;
    Nights::new(first, later(first, count)?).ok()
}

fn first_night<T: PartialEq + Copy>(runs: &Runs<T>) -> Option<Date> {
    runs.iter().next().map(|(nights, _)| nights.first())
}

impl Share {
    /// None where the days between two nights can't be counted, which dates never bring about.
    fn of(mine: &ConnectionClaims) -> Option<Self> {
        let ConnectionClaims { claims, parts, link, habits } = mine;
        let firsts = [first_night(claims), first_night(parts), first_night(link)];
        let from = firsts.into_iter().flatten().min();
        let mut at = List::<Timestamp>::new();
        let mut share = Self { from, at: Vec::new(), claims: vec![], parts: vec![], link: vec![], habits: *habits };
        for (nights, Claim { standing, rule, since }) in claims.iter() {
            let (day, count) = days(from, nights)?;
            share.claims.push((day, count, OneStanding(*standing), OneRule(*rule), at.place(since)));
        }
        for (nights, Part { asked, clean_since, cleaned_at, silent }) in parts.iter() {
            let (day, count) = days(from, nights)?;
            let asked = asked.map(|Asked { since, read_at, readings, heard_at }| {
                (at.place(&since), at.place_option(read_at.as_ref()), readings, at.place(&heard_at))
            });
            let (clean_since, cleaned_at) =
                (at.place_option(clean_since.as_ref()), at.place_option(cleaned_at.as_ref()));
            share.parts.push((day, count, asked, clean_since, cleaned_at, *silent));
        }
        for (nights, LinkNight { carries, since, put_at, first }) in link.iter() {
            let (day, count) = days(from, nights)?;
            let (since, put_at, first) = (at.place(since), at.place_option(put_at.as_ref()), at.place(first));
            share.link.push((day, count, *carries, since, put_at, first));
        }
        share.at = at.into_values().into_iter().map(Timestamp::as_nanosecond).collect();
        Some(share)
    }

    /// None where a run names an instant that is not there, or makes no nights.
    fn read(self) -> Option<ConnectionClaims> {
        let Self { from, at, claims, parts, link, habits } = self;
        let instants: Vec<Timestamp> =
            at.into_iter().map(|at| Timestamp::from_nanosecond(at).ok()).collect::<Option<_>>()?;
        let at = |place: Place| instants.get(place).copied();
        // None inside: there is no instant; none outside: it is not in the list.
        let at_option = |place: Option<Place>| place.map_or(Some(None), |place| at(place).map(Some));
        let claims = claims.into_iter().map(|(day, count, OneStanding(standing), OneRule(rule), since)| {
            Some((nights(from, day, count)?, Claim { standing, rule, since: at(since)? }))
        });
        let asked = |(since, read_at, readings, heard_at): OneAsked| {
            Some(Asked { since: at(since)?, read_at: at_option(read_at)?, readings, heard_at: at(heard_at)? })
        };
        let parts = parts.into_iter().map(|(day, count, question, clean_since, cleaned_at, silent)| {
            let part = Part {
                asked: question.map_or(Some(None), |question| asked(question).map(Some))?,
                clean_since: at_option(clean_since)?,
                cleaned_at: at_option(cleaned_at)?,
                silent,
            };
            Some((nights(from, day, count)?, part))
        });
        let link = link.into_iter().map(|(day, count, carries, since, put_at, first)| {
            let link = LinkNight { carries, since: at(since)?, put_at: at_option(put_at)?, first: at(first)? };
            Some((nights(from, day, count)?, link))
        });
        Some(ConnectionClaims {
            claims: Runs::of(claims.collect::<Option<Vec<_>>>()?),
            parts: Runs::of(parts.collect::<Option<Vec<_>>>()?),
            link: Runs::of(link.collect::<Option<Vec<_>>>()?),
            habits,
        })
    }
}

pub(super) fn serialize<S: Serializer>(value: &ConnectionClaims, serializer: S) -> Result<S::Ok, S::Error> {
    Share::of(value).ok_or_else(|| serde::ser::Error::custom("nights can't be counted"))?.serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ConnectionClaims, D::Error> {
    Share::deserialize(deserializer)?.read().ok_or_else(|| D::Error::custom("not claims"))
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Standing")]
enum StandingTag {
    #[serde(rename = "e")]
    Echo,
    #[serde(rename = "p")]
    Possible,
    #[serde(rename = "c")]
    Certain,
}

/// Rules have their numbers; where several share one, a letter tells them apart.
#[derive(Serialize, Deserialize)]
#[serde(remote = "ClaimRule")]
enum ClaimRuleTag {
    #[serde(rename = "1a")]
    OurTag,
    #[serde(rename = "1bm")]
    ReservationMark,
    #[serde(rename = "1bn")]
    NeverEchoes,
    #[serde(rename = "1cb")]
    BackAfterClean,
    #[serde(rename = "1cn")]
    NewAfterClean,
    #[serde(rename = "1d")]
    NotFromUs,
    #[serde(rename = "1e")]
    MayBeOurs,
    #[serde(rename = "6r")]
    StoodAfterRead,
    #[serde(rename = "6u")]
    StoodUnread,
    #[serde(rename = "7")]
    CertainElsewhere,
    #[serde(rename = "12")]
    SaidGone,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Habits")]
struct HabitsDoc {
    #[serde(with = "text_option", default, skip_serializing_if = "Option::is_none")]
    settle: Option<SignedDuration>,
    #[serde(with = "text_option", default, skip_serializing_if = "Option::is_none")]
    wait: Option<SignedDuration>,
    #[serde(with = "text_option", default, skip_serializing_if = "Option::is_none")]
    memory: Option<SignedDuration>,
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
