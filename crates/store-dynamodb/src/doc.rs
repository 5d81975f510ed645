//! What is inside items. Most is JSON, one private shape for each record, version 1: `{"v":1,"is":{…}}`. What is written and
//! read with every change, stays, claims and settings, is compact (`pack`).
//!
//! A shape that has not every field of its record does not compile. What is stored stays readable for ever: how a shape
//! may change, the README tells.

pub(crate) mod block;
pub(crate) mod claims;
pub(crate) mod conflict;
pub(crate) mod connection;
pub(crate) mod pack;
pub(crate) mod past;
pub(crate) mod property;

use std::collections::BTreeSet;

use calmesh_app::{
    Span,
    model::{
        Account, Activity, ActivityKind, ClosedHold, ConflictRecord, Detail, EchoOverrides, ExtraLink, Failure,
        FailureKind, FeedUrl, FetchPlan, Format, HoldOverrides, LinkOwner, LinkScope, LinkToken, MassVanishOverrides,
        NamedStay, Names, Outcome, PolicyOverrides, Refresh, RefreshScope, RetiringLink, RetiringServes, Scope,
        SecretHash, Site, Snapshot, StayPart, StoppedExport, Token, Validators,
    },
    ports::StoreError,
};
use calmesh_calendar::{
    AccountId, BlockId, Conflict, ConflictId, ConnectionId, Finding, Hold, HoldCause, HoldEnd, HoldId, LinkId, Nights,
    PropertyId, ReadWarning, RefreshId, TokenId,
};
use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use claims::FindingDoc;

/// A record that is kept as JSON.
pub(crate) trait Document: Sized {
    fn encode(&self) -> Result<String, StoreError>;
    fn decode(text: &str) -> Result<Self, StoreError>;
}

const VERSION: u8 = 1;

#[derive(Deserialize)]
struct OnlyVersion {
    v: u8,
}

fn unreadable(what: &str, text: &str, error: &serde_json::Error) -> StoreError {
    // The parser's own words may quote the document.
    let why = match serde_json::from_str::<OnlyVersion>(text) {
        Ok(known) if known.v != VERSION => format!("version {} is not known here", known.v),
        _ => format!("{:?} error at column {}", error.classify(), error.column()),
    };
    StoreError::Corrupt { what: format!("{what}: {why}") }
}

macro_rules! documents {
    ($($what:literal: $record:ty, $shape:literal;)*) => {$(
        impl Document for $record {
            fn encode(&self) -> Result<String, StoreError> {
                #[derive(Serialize)]
                struct Stored<'a> {
                    v: u8,
                    #[serde(with = $shape)]
                    is: &'a $record,
                }
                serde_json::to_string(&Stored { v: VERSION, is: self })
                    .map_err(|_| StoreError::Corrupt { what: concat!($what, " can't be written").to_owned() })
            }

            fn decode(text: &str) -> Result<Self, StoreError> {
                #[derive(Deserialize)]
                struct Stored {
                    v: u8,
                    #[serde(with = $shape)]
                    is: $record,
                }
                let stored: Stored =
                    serde_json::from_str(text).map_err(|error| unreadable($what, text, &error))?;
                if stored.v != VERSION {
                    let what = format!("{}: version {} is not known here", $what, stored.v);
                    return Err(StoreError::Corrupt { what });
                }
                Ok(stored.is)
            }
        }
    )*};
}

documents! {
    "an account": Account, "AccountDoc";
    "a token": Token, "TokenDoc";
    "a conflict's record": ConflictRecord, "ConflictRecordDoc";
    "a retiring link": RetiringLink, "RetiringLinkDoc";
    "a closed hold": ClosedHold, "ClosedHoldDoc";
    "an activity": Activity, "ActivityDoc";
    "a fetch plan": FetchPlan, "FetchPlanDoc";
    "a failure": Failure, "FailureDoc";
    "validators": Validators, "ValidatorsDoc";
    "an extra link": ExtraLink, "ExtraLinkDoc";
    "a link's owner": LinkOwner, "LinkOwnerDoc";
    "a refresh": Refresh, "RefreshDoc";
    "an outcome": Outcome, "OutcomeDoc";
}

/// What is so by default is left out.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Anything that is its own text: ids, instants, dates, times of day.
mod text {
    use std::{fmt::Display, str::FromStr};

    use super::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| serde::de::Error::custom("not of the expected form"))
    }
}

mod text_option {
    use std::{fmt::Display, str::FromStr};

    use super::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Display, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        value.as_ref().map(ToString::to_string).serialize(serializer)
    }

    pub(super) fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(|_| serde::de::Error::custom("not of the expected form"))).transpose()
    }
}

/// Several things that are each their own text.
mod text_list {
    use std::{fmt::Display, str::FromStr};

    use super::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<T: Display, S: Serializer>(value: &[T], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(value.iter().map(ToString::to_string))
    }

    pub(super) fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let wrong = |_| serde::de::Error::custom("not of the expected form");
        texts.iter().map(|text| text.parse().map_err(wrong)).collect()
    }
}

/// Runs of nights.
mod runs {
    use super::{Deserialize, Deserializer, Nights, Serialize, Serializer, nights};

    #[derive(Serialize, Deserialize)]
    struct One(#[serde(with = "nights")] Nights);

    pub(super) fn serialize<S: Serializer>(value: &[Nights], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(value.iter().copied().map(One))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Nights>, D::Error> {
        Ok(Vec::<One>::deserialize(deserializer)?.into_iter().map(|One(run)| run).collect())
    }
}

/// Ids of properties, none where all are meant.
mod properties_option {
    use super::{BTreeSet, Deserialize, Deserializer, PropertyId, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        value: &Option<BTreeSet<PropertyId>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_ref().map(|ids| ids.iter().map(PropertyId::as_str).collect::<Vec<_>>()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<BTreeSet<PropertyId>>, D::Error> {
        let ids = Option::<Vec<String>>::deserialize(deserializer)?;
        let parse = |id: String| id.parse().map_err(|_| serde::de::Error::custom("not a property's id"));
        ids.map(|ids| ids.into_iter().map(parse).collect()).transpose()
    }
}

mod properties {
    use super::{BTreeSet, Deserializer, PropertyId, Serialize, Serializer, properties_option};

    pub(super) fn serialize<S: Serializer>(value: &BTreeSet<PropertyId>, serializer: S) -> Result<S::Ok, S::Error> {
        value.iter().map(PropertyId::as_str).collect::<Vec<_>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<PropertyId>, D::Error> {
        properties_option::deserialize(deserializer).map(Option::unwrap_or_default)
    }
}

/// A secret's hash as hexadecimal digits.
mod hash {
    use super::{Deserialize, Deserializer, SecretHash, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &SecretHash, serializer: S) -> Result<S::Ok, S::Error> {
        value.to_hex().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretHash, D::Error> {
        let text = String::deserialize(deserializer)?;
        SecretHash::from_hex(&text).ok_or_else(|| serde::de::Error::custom("not a hash"))
    }
}

/// A private link's token. It rests only in this table.
mod link_token {
    use super::{Deserialize, Deserializer, LinkToken, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &LinkToken, serializer: S) -> Result<S::Ok, S::Error> {
        value.reveal().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<LinkToken, D::Error> {
        let text = String::deserialize(deserializer)?;
        LinkToken::parse(&text).ok_or_else(|| serde::de::Error::custom("not a link's token"))
    }
}

/// A feed's address. It rests only in this table.
mod feed_url {
    use super::{Deserialize, Deserializer, FeedUrl, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &FeedUrl, serializer: S) -> Result<S::Ok, S::Error> {
        value.as_str().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<FeedUrl, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// `2026-12-04/2026-12-07`, half-open.
mod nights {
    use super::{Deserialize, Deserializer, Nights, Serializer};

    pub(super) fn parse(text: &str) -> Option<Nights> {
        let (first, end) = text.split_once('/')?;
        Nights::new(first.parse().ok()?, end.parse().ok()?).ok()
    }

    pub(super) fn serialize<S: Serializer>(value: &Nights, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}/{}", value.first(), value.end()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Nights, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text).ok_or_else(|| serde::de::Error::custom("not a run of nights"))
    }
}

macro_rules! optional {
    ($($name:ident: $record:ty, $shape:literal;)*) => {$(
        mod $name {
            use super::*;

            pub(super) fn serialize<S: Serializer>(value: &Option<$record>, serializer: S) -> Result<S::Ok, S::Error> {
                #[derive(Serialize)]
                struct One<'a>(#[serde(with = $shape)] &'a $record);
                value.as_ref().map(One).serialize(serializer)
            }

            pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<$record>, D::Error> {
                #[derive(Deserialize)]
                struct One(#[serde(with = $shape)] $record);
                Ok(Option::<One>::deserialize(d)?.map(|One(value)| value))
            }
        }
    )*};
}

optional! {
    site_option: Site, "SiteDoc";
    span_option: Span, "span";
    nights_option: Nights, "nights";
    stopped_option: StoppedExport, "StoppedExportDoc";
    snapshot_option: Snapshot, "SnapshotDoc";
}

/// Nights, or date-times on the property's clock, which have a `T`: `2026-12-07T11:00:00/2026-12-07T14:00:00`.
mod span {
    use super::{Deserialize, Deserializer, Serializer, Span};

    pub(super) fn serialize<S: Serializer>(value: &Span, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Span::Nights(first, end) => serializer.collect_str(&format_args!("{first}/{end}")),
            Span::Local(start, end) => serializer.collect_str(&format_args!("{start}/{end}")),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parse = || {
            let (start, end) = text.split_once('/')?;
            Some(match text.contains('T') {
                true => Span::Local(start.parse().ok()?, end.parse().ok()?),
                false => Span::Nights(start.parse().ok()?, end.parse().ok()?),
            })
        };
        parse().ok_or_else(|| serde::de::Error::custom("not a span"))
    }
}

/// The stays that an entry of the activity names.
mod stays {
    use super::{Deserialize, Deserializer, NamedStay, NamedStayDoc, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &[NamedStay], serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct One<'a>(#[serde(with = "NamedStayDoc")] &'a NamedStay);
        serializer.collect_seq(value.iter().map(One))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<NamedStay>, D::Error> {
        #[derive(Deserialize)]
        struct One(#[serde(with = "NamedStayDoc")] NamedStay);
        Ok(Vec::<One>::deserialize(deserializer)?.into_iter().map(|One(stay)| stay).collect())
    }
}

/// A list of what could not be read in a feed.
mod warnings {
    use super::{Deserialize, Deserializer, ReadWarning, ReadWarningDoc, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &[ReadWarning], serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct One<'a>(#[serde(with = "ReadWarningDoc")] &'a ReadWarning);
        value.iter().map(One).collect::<Vec<_>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ReadWarning>, D::Error> {
        #[derive(Deserialize)]
        struct One(#[serde(with = "ReadWarningDoc")] ReadWarning);
        Ok(Vec::<One>::deserialize(deserializer)?.into_iter().map(|One(value)| value).collect())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Account")]
struct AccountDoc {
    #[serde(with = "text")]
    id: AccountId,
    name: String,
    #[serde(with = "DetailDoc")]
    default_detail: Detail,
    default_label_prefix: String,
    #[serde(with = "text")]
    created_at: Timestamp,
    #[serde(with = "text_option")]
    deleted_at: Option<Timestamp>,
    #[serde(with = "text_option", default, skip_serializing_if = "Option::is_none")]
    links_until: Option<Timestamp>,
    version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Scope", rename_all = "snake_case")]
enum ScopeDoc {
    Full,
    Read,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Token")]
struct TokenDoc {
    #[serde(with = "text")]
    id: TokenId,
    #[serde(with = "text")]
    account: AccountId,
    #[serde(with = "hash")]
    hash: SecretHash,
    name: String,
    #[serde(with = "ScopeDoc")]
    scope: Scope,
    #[serde(with = "properties_option")]
    properties: Option<BTreeSet<PropertyId>>,
    #[serde(with = "text_option")]
    expires_at: Option<Timestamp>,
    #[serde(with = "text")]
    created_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Detail", rename_all = "snake_case")]
enum DetailDoc {
    Busy,
    Label,
    Full,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Format", rename_all = "snake_case")]
enum FormatDoc {
    Nights,
    Times,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Snapshot")]
struct SnapshotDoc(String);

#[derive(Serialize, Deserialize)]
#[serde(remote = "Validators")]
struct ValidatorsDoc {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_modified: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ReadWarning")]
struct ReadWarningDoc {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
    detail: String,
    unread: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "PolicyOverrides")]
struct PolicyOverridesDoc {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    blocks: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    busy_only: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tentative_blocks: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rule_closures_block: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    required_word: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    aggregates: Option<bool>,
    #[serde(with = "HoldOverridesDoc", default, skip_serializing_if = "is_default")]
    hold: HoldOverrides,
    #[serde(with = "MassVanishOverridesDoc", default, skip_serializing_if = "is_default")]
    mass_vanish: MassVanishOverrides,
    #[serde(with = "EchoOverridesDoc", default, skip_serializing_if = "is_default")]
    echo: EchoOverrides,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "HoldOverrides")]
struct HoldOverridesDoc {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    readings: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    minutes: Option<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "MassVanishOverrides")]
struct MassVanishOverridesDoc {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stays: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nights_percent: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    readings: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hours: Option<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "EchoOverrides")]
struct EchoOverridesDoc {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    probe: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    readings: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    minutes: Option<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Hold")]
struct HoldDoc {
    #[serde(with = "text")]
    id: HoldId,
    #[serde(with = "HoldCauseDoc")]
    cause: HoldCause,
    #[serde(with = "text_option")]
    group: Option<HoldId>,
    #[serde(with = "text")]
    opened_at: Timestamp,
    readings: u32,
    #[serde(with = "text")]
    earliest_release_at: Timestamp,
    kept: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "HoldCause", rename_all = "snake_case")]
enum HoldCauseDoc {
    Absent,
    MassVanish,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "HoldEnd", rename_all = "snake_case")]
enum HoldEndDoc {
    Released,
    Confirmed,
    Returned,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ClosedHold")]
struct ClosedHoldDoc {
    #[serde(with = "HoldDoc")]
    hold: Hold,
    #[serde(with = "HoldEndDoc")]
    end: HoldEnd,
    #[serde(with = "text")]
    closed_at: Timestamp,
    #[serde(with = "text")]
    property: PropertyId,
    #[serde(with = "text")]
    block: BlockId,
    #[serde(with = "text")]
    connection: ConnectionId,
    #[serde(with = "nights_option")]
    nights: Option<Nights>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ConflictRecord")]
struct ConflictRecordDoc {
    #[serde(with = "text")]
    property: PropertyId,
    #[serde(with = "conflict")]
    conflict: Conflict,
    #[serde(with = "text_option", default, skip_serializing_if = "Option::is_none")]
    closed_at: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "RetiringLink")]
struct RetiringLinkDoc {
    #[serde(with = "link_token")]
    token: LinkToken,
    #[serde(with = "RetiringServesDoc")]
    serves: RetiringServes,
    #[serde(with = "text")]
    until: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "RetiringServes", rename_all = "snake_case")]
enum RetiringServesDoc {
    Empty {
        provider: String,
    },
    Current {
        #[serde(with = "text")]
        connection: ConnectionId,
    },
    Stopped {
        #[serde(with = "text")]
        connection: ConnectionId,
        provider: String,
        #[serde(with = "stopped_option", default, skip_serializing_if = "Option::is_none")]
        was: Option<StoppedExport>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "StoppedExport")]
struct StoppedExportDoc {
    #[serde(with = "DetailDoc")]
    detail: Detail,
    #[serde(with = "FormatDoc")]
    format: Format,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Activity")]
struct ActivityDoc {
    #[serde(with = "text")]
    property: PropertyId,
    #[serde(with = "text")]
    at: Timestamp,
    #[serde(with = "text_option", default, skip_serializing_if = "Option::is_none")]
    connection: Option<ConnectionId>,
    #[serde(with = "ActivityKindDoc")]
    kind: ActivityKind,
    #[serde(with = "NamesDoc", default, skip_serializing_if = "is_default")]
    names: Names,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Names")]
struct NamesDoc {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    property: Option<String>,
    #[serde(with = "site_option", default, skip_serializing_if = "Option::is_none")]
    site: Option<Site>,
    #[serde(with = "stays", default, skip_serializing_if = "Vec::is_empty")]
    stays: Vec<NamedStay>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Site")]
struct SiteDoc {
    name: String,
    provider: String,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "NamedStay")]
struct NamedStayDoc {
    #[serde(with = "text")]
    block: BlockId,
    #[serde(with = "StayPartDoc")]
    part: StayPart,
    #[serde(with = "site_option", default, skip_serializing_if = "Option::is_none")]
    site: Option<Site>,
    #[serde(with = "span")]
    span: Span,
    #[serde(with = "span_option", default, skip_serializing_if = "Option::is_none")]
    before: Option<Span>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "StayPart", rename_all = "snake_case")]
enum StayPartDoc {
    Itself,
    New,
    Changed,
    Gone,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ActivityKind", rename_all = "snake_case")]
enum ActivityKindDoc {
    PropertyCreated,
    PropertyChanged,
    ConnectionCreated {
        name: String,
    },
    ConnectionChanged {
        name: String,
    },
    ConnectionDeleted {
        name: String,
    },
    ConnectionPaused {
        name: String,
    },
    ConnectionResumed {
        name: String,
    },
    LinkRotated {
        name: String,
    },
    FeedChanged {
        added: u32,
        changed: u32,
        removed: u32,
        held: u32,
    },
    FeedFailed {
        #[serde(with = "FailureKindDoc")]
        failure: FailureKind,
        detail: String,
    },
    FeedRecovered,
    HoldOpened {
        #[serde(with = "text")]
        hold: HoldId,
        #[serde(with = "text")]
        block: BlockId,
    },
    MassVanished {
        #[serde(with = "text")]
        hold: HoldId,
        stays: u32,
        nights: u32,
        #[serde(with = "text_list")]
        first_nights: Vec<Date>,
    },
    HoldReleased {
        #[serde(with = "text")]
        hold: HoldId,
        #[serde(with = "text")]
        block: BlockId,
    },
    HoldKept {
        #[serde(with = "text")]
        hold: HoldId,
        #[serde(with = "text")]
        block: BlockId,
    },
    HoldConfirmed {
        #[serde(with = "text")]
        hold: HoldId,
        #[serde(with = "text")]
        block: BlockId,
    },
    HoldReturned {
        #[serde(with = "text")]
        hold: HoldId,
        #[serde(with = "text")]
        block: BlockId,
    },
    ClaimsDecided {
        #[serde(with = "FindingDoc")]
        finding: Finding,
        #[serde(with = "runs")]
        nights: Vec<Nights>,
    },
    ConflictOpened {
        #[serde(with = "text")]
        conflict: ConflictId,
        #[serde(with = "text_list")]
        blocks: Vec<BlockId>,
        #[serde(with = "text")]
        first: BlockId,
        #[serde(with = "text")]
        arrives_at: Timestamp,
        #[serde(with = "text_list")]
        nights: Vec<Date>,
    },
    ConflictResolved {
        #[serde(with = "text")]
        conflict: ConflictId,
        #[serde(with = "text")]
        gone: BlockId,
    },
    ConflictClosed {
        #[serde(with = "text")]
        conflict: ConflictId,
        #[serde(with = "text_list")]
        blocks: Vec<BlockId>,
        #[serde(with = "text_list", default, skip_serializing_if = "Vec::is_empty")]
        gone: Vec<BlockId>,
    },
    BlockCreated {
        #[serde(with = "text")]
        block: BlockId,
    },
    BlockChanged {
        #[serde(with = "text")]
        block: BlockId,
    },
    BlockDeleted {
        #[serde(with = "text")]
        block: BlockId,
    },
    ExtensionOrphaned {
        #[serde(with = "text")]
        block: BlockId,
        #[serde(with = "text")]
        stay: BlockId,
    },
    ExtensionLeft {
        #[serde(with = "text")]
        block: BlockId,
        #[serde(with = "text")]
        stay: BlockId,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "FailureKind", rename_all = "snake_case")]
enum FailureKindDoc {
    NotACalendar,
    Truncated,
    LinkRefused,
    LinkGone,
    RateLimited,
    ServerError,
    Unreachable,
    TimedOut,
    TooLarge,
    AddressRefused,
    NotTakenIn,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "FetchPlan")]
struct FetchPlanDoc {
    #[serde(with = "text")]
    connection: ConnectionId,
    #[serde(with = "text")]
    account: AccountId,
    #[serde(with = "text")]
    property: PropertyId,
    provider: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(with = "feed_url")]
    url: FeedUrl,
    #[serde(with = "snapshot_option", default, skip_serializing_if = "Option::is_none")]
    applied: Option<Snapshot>,
    #[serde(with = "ValidatorsDoc", default, skip_serializing_if = "is_default")]
    validators: Validators,
    /// Stands beside the document, which a reading must not write.
    #[serde(skip)]
    validators_at: Option<Timestamp>,
    #[serde(with = "text_option", default, skip_serializing_if = "Option::is_none")]
    applied_read_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    applied_by: Option<u16>,
    #[serde(default, skip_serializing_if = "is_default")]
    pending: bool,
    #[serde(with = "text")]
    since: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Failure")]
struct FailureDoc {
    #[serde(with = "FailureKindDoc")]
    kind: FailureKind,
    detail: String,
    #[serde(with = "text")]
    since: Timestamp,
    count: u32,
    #[serde(with = "text")]
    last_attempt_at: Timestamp,
    #[serde(with = "text")]
    retry_at: Timestamp,
}

/// Revision, mark and the time of the last change are attributes, not part of the document.
#[derive(Serialize, Deserialize)]
#[serde(remote = "ExtraLink")]
struct ExtraLinkDoc {
    #[serde(with = "text")]
    id: LinkId,
    #[serde(with = "text")]
    account: AccountId,
    name: String,
    #[serde(with = "LinkScopeDoc")]
    scope: LinkScope,
    #[serde(with = "DetailDoc")]
    detail: Detail,
    #[serde(with = "FormatDoc")]
    format: Format,
    #[serde(with = "link_token")]
    token: LinkToken,
    #[serde(with = "text")]
    created_at: Timestamp,
    #[serde(skip)]
    last_changed_at: Option<Timestamp>,
    version: u64,
    #[serde(skip)]
    revision: u64,
    #[serde(skip)]
    dirty: Option<calmesh_app::model::Dirty>,
    #[serde(with = "text_option", default, skip_serializing_if = "Option::is_none")]
    deleted_at: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "LinkScope", rename_all = "snake_case")]
enum LinkScopeDoc {
    All,
    Properties(#[serde(with = "properties")] BTreeSet<PropertyId>),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "LinkOwner", rename_all = "snake_case")]
enum LinkOwnerDoc {
    Connection {
        #[serde(with = "text")]
        account: AccountId,
        #[serde(with = "text")]
        property: PropertyId,
        #[serde(with = "text")]
        connection: ConnectionId,
    },
    Link {
        #[serde(with = "text")]
        account: AccountId,
        #[serde(with = "text")]
        link: LinkId,
    },
}

/// Whether it was spread is an attribute, not part of the document.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Refresh")]
struct RefreshDoc {
    #[serde(with = "text")]
    id: RefreshId,
    #[serde(with = "text")]
    account: AccountId,
    #[serde(with = "RefreshScopeDoc")]
    scope: RefreshScope,
    #[serde(with = "text")]
    requested_at: Timestamp,
    #[serde(skip)]
    spread: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "RefreshScope", rename_all = "snake_case")]
enum RefreshScopeDoc {
    Connection {
        #[serde(with = "text")]
        property: PropertyId,
        #[serde(with = "text")]
        connection: ConnectionId,
    },
    Property(#[serde(with = "text")] PropertyId),
    Account,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Outcome", rename_all = "snake_case")]
enum OutcomeDoc {
    Pending,
    Unchanged { blocks_held: u32 },
    Changed { blocks_added: u32, blocks_removed: u32, blocks_held: u32 },
    Failed { reason: String },
}

#[cfg(test)]
mod tests;
