//! Claims as one document: by connection, runs of nights with what is written down of them.

use std::collections::BTreeMap;

use calmesh_calendar::{
    Asked, Claim, ClaimRule, Claims, ConnectionClaims, ConnectionId, Finding, Habits, LinkNight, Nights, Part, Runs,
    Standing,
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::{nights, text, text_option};

#[derive(Serialize, Deserialize)]
struct Run(#[serde(with = "nights")] Nights);

#[derive(Serialize, Deserialize)]
struct OneClaim(#[serde(with = "ClaimDoc")] Claim);

#[derive(Serialize, Deserialize)]
struct OnePart(#[serde(with = "PartDoc")] Part);

#[derive(Serialize, Deserialize)]
struct OneLinkNight(#[serde(with = "LinkNightDoc")] LinkNight);

#[derive(Serialize, Deserialize)]
struct Mine {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    claims: Vec<(Run, OneClaim)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parts: Vec<(Run, OnePart)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    link: Vec<(Run, OneLinkNight)>,
    #[serde(with = "HabitsDoc")]
    habits: Habits,
}

pub(super) fn serialize<S: Serializer>(value: &Claims, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(value.connections.iter().map(|(connection, mine)| {
        let mine = Mine {
            claims: mine.claims.iter().map(|(run, claim)| (Run(*run), OneClaim(*claim))).collect(),
            parts: mine.parts.iter().map(|(run, part)| (Run(*run), OnePart(*part))).collect(),
            link: mine.link.iter().map(|(run, link)| (Run(*run), OneLinkNight(*link))).collect(),
            habits: mine.habits,
        };
        (connection.as_str(), mine)
    }))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Claims, D::Error> {
    let mut connections = BTreeMap::new();
    for (connection, mine) in BTreeMap::<String, Mine>::deserialize(deserializer)? {
        let connection: ConnectionId = connection.parse().map_err(|_| D::Error::custom("not a connection's id"))?;
        let mine = ConnectionClaims {
            claims: Runs::of(mine.claims.into_iter().map(|(Run(run), OneClaim(claim))| (run, claim))),
            parts: Runs::of(mine.parts.into_iter().map(|(Run(run), OnePart(part))| (run, part))),
            link: Runs::of(mine.link.into_iter().map(|(Run(run), OneLinkNight(link))| (run, link))),
            habits: mine.habits,
        };
        connections.insert(connection, mine);
    }
    Ok(Claims { connections })
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
#[serde(remote = "Claim")]
struct ClaimDoc {
    #[serde(with = "StandingDoc")]
    standing: Standing,
    #[serde(with = "ClaimRuleDoc")]
    rule: ClaimRule,
    #[serde(with = "text")]
    since: Timestamp,
}

mod asked_option {
    use super::{Asked, AskedDoc, Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct One(#[serde(with = "AskedDoc")] Asked);

    pub(super) fn serialize<S: Serializer>(value: &Option<Asked>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(One).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Asked>, D::Error> {
        Ok(Option::<One>::deserialize(deserializer)?.map(|One(asked)| asked))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Asked")]
struct AskedDoc {
    #[serde(with = "text")]
    since: Timestamp,
    #[serde(with = "text_option", default, skip_serializing_if = "Option::is_none")]
    read_at: Option<Timestamp>,
    readings: u32,
    #[serde(with = "text")]
    heard_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Part")]
struct PartDoc {
    #[serde(with = "asked_option", default, skip_serializing_if = "Option::is_none")]
    asked: Option<Asked>,
    #[serde(with = "text_option", default, skip_serializing_if = "Option::is_none")]
    clean_since: Option<Timestamp>,
    #[serde(with = "text_option", default, skip_serializing_if = "Option::is_none")]
    cleaned_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    silent: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "LinkNight")]
struct LinkNightDoc {
    carries: bool,
    #[serde(with = "text")]
    since: Timestamp,
    #[serde(with = "text_option", default, skip_serializing_if = "Option::is_none")]
    put_at: Option<Timestamp>,
    #[serde(with = "text")]
    first: Timestamp,
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
