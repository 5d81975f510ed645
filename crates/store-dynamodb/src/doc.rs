//! The JSON inside items: one private shape for each record, version 1: `{"v":1,"is":{…}}`.
//!
//! A shape that has not every field of its record does not compile. What is stored stays readable for ever: how a shape
//! may change, the README tells.

mod claims;
mod conflict;
mod list;
pub(crate) mod page;

use std::collections::BTreeSet;

use calmesh_app::{
    Span,
    model::{
        Account, Activity, ActivityKind, Applied, ClosedHold, ConflictRecord, Connection, Detail, Direction,
        EchoOverrides, ExportSide, ExtraLink, Failure, FailureKind, FeedUrl, FetchPlan, Format, HoldOverrides,
        ImportSide, LinkOwner, LinkScope, LinkToken, MassVanishOverrides, NamedStay, Names, Outcome, PolicyOverrides,
        Property, Refresh, RefreshScope, RetiringLink, RetiringServes, Scope, SecretHash, Site, Snapshot, Status,
        StayPart, StoppedExport, Token, Validators,
    },
    ports::StoreError,
};
use calmesh_calendar::{
    AccountId, BlockId, BlockKind, Conflict, ConflictId, ConnectionClaims, ConnectionId, Extent, Finding, Hold,
    HoldCause, HoldEnd, HoldId, LinkId, LostStay, Nights, PropertyId, ReadWarning, RefreshId, Sign, Times, TokenId,
};
use jiff::{
    Timestamp,
    civil::{Date, Time},
};
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
    "a property": Property, "PropertyDoc";
    "a connection": Connection, "ConnectionDoc";
    "claims": ConnectionClaims, "claims";
    "a conflict": Conflict, "conflict";
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

/// Whole nights as above; exact times as two instants. An instant has a `T`.
mod extent {
    use super::{Deserialize, Deserializer, Extent, Serializer, Times, nights};

    pub(super) fn serialize<S: Serializer>(value: &Extent, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Extent::Nights(run) => nights::serialize(run, serializer),
            Extent::Times(times) => serializer.collect_str(&format_args!("{}/{}", times.start(), times.end())),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Extent, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parse = || {
            if !text.contains('T') {
                return nights::parse(&text).map(Extent::Nights);
            }
            let (start, end) = text.split_once('/')?;
            Times::new(start.parse().ok()?, end.parse().ok()?).ok().map(Extent::Times)
        };
        parse().ok_or_else(|| serde::de::Error::custom("not an extent"))
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
    lost_option: LostStay, "LostStayDoc";
    site_option: Site, "SiteDoc";
    span_option: Span, "span";
    nights_option: Nights, "nights";
    import_option: ImportSide, "ImportSideDoc";
    export_option: ExportSide, "ExportSideDoc";
    stopped_option: StoppedExport, "StoppedExportDoc";
    applied_option: Applied, "AppliedDoc";
    snapshot_option: Snapshot, "SnapshotDoc";
    hash_option: SecretHash, "hash";
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

/// Revision, mark and wake-up time are attributes of the head, not part of the document.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Property")]
struct PropertyDoc {
    #[serde(with = "text")]
    id: PropertyId,
    #[serde(with = "text")]
    account: AccountId,
    name: String,
    time_zone: String,
    #[serde(with = "text")]
    check_in: Time,
    #[serde(with = "text")]
    check_out: Time,
    turnover_nights: u8,
    label_prefix: String,
    #[serde(with = "text")]
    created_at: Timestamp,
    #[serde(with = "text")]
    rules_changed_at: Timestamp,
    version: u64,
    #[serde(skip)]
    revision: u64,
    #[serde(with = "text_option", default, skip_serializing_if = "Option::is_none")]
    revised_at: Option<Timestamp>,
    #[serde(skip)]
    dirty: Option<calmesh_app::model::Dirty>,
    #[serde(skip)]
    wake_at: Option<Timestamp>,
    #[serde(with = "text_list", default, skip_serializing_if = "Vec::is_empty")]
    reading: Vec<ConnectionId>,
    #[serde(with = "text_option", default, skip_serializing_if = "Option::is_none")]
    deleted_at: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Direction", rename_all = "snake_case")]
enum DirectionDoc {
    Import,
    Export,
    Bidirectional,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Status", rename_all = "snake_case")]
enum StatusDoc {
    Active,
    Paused {
        #[serde(with = "text_option")]
        until: Option<Timestamp>,
    },
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
#[serde(remote = "Connection")]
struct ConnectionDoc {
    #[serde(with = "text")]
    id: ConnectionId,
    #[serde(with = "text")]
    account: AccountId,
    #[serde(with = "text")]
    property: PropertyId,
    name: String,
    provider: String,
    #[serde(with = "DirectionDoc")]
    direction: Direction,
    #[serde(with = "StatusDoc")]
    status: Status,
    #[serde(with = "import_option", default, skip_serializing_if = "Option::is_none")]
    import: Option<ImportSide>,
    #[serde(with = "export_option", default, skip_serializing_if = "Option::is_none")]
    export: Option<ExportSide>,
    #[serde(with = "text")]
    created_at: Timestamp,
    #[serde(with = "text")]
    named_at: Timestamp,
    version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ImportSide")]
struct ImportSideDoc {
    #[serde(with = "feed_url")]
    url: FeedUrl,
    #[serde(with = "text")]
    since: Timestamp,
    #[serde(with = "PolicyOverridesDoc", default, skip_serializing_if = "is_default")]
    policy: PolicyOverrides,
    #[serde(with = "applied_option", default, skip_serializing_if = "Option::is_none")]
    applied: Option<Applied>,
    #[serde(with = "hash_option", default, skip_serializing_if = "Option::is_none")]
    replaces: Option<SecretHash>,
    #[serde(with = "hash_option", default, skip_serializing_if = "Option::is_none")]
    listed: Option<SecretHash>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Applied")]
struct AppliedDoc {
    #[serde(with = "SnapshotDoc")]
    snapshot: Snapshot,
    #[serde(with = "ValidatorsDoc", default, skip_serializing_if = "is_default")]
    validators: Validators,
    #[serde(with = "text")]
    read_at: Timestamp,
    #[serde(with = "text")]
    changed_at: Timestamp,
    #[serde(with = "text_option", default, skip_serializing_if = "Option::is_none")]
    more_at: Option<Timestamp>,
    reader: u16,
    #[serde(with = "text")]
    horizon_at: Timestamp,
    #[serde(with = "warnings", default, skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<ReadWarning>,
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
#[serde(remote = "ExportSide")]
struct ExportSideDoc {
    #[serde(with = "link_token")]
    token: LinkToken,
    #[serde(with = "DetailDoc")]
    detail: Detail,
    #[serde(with = "FormatDoc")]
    format: Format,
    #[serde(default, skip_serializing_if = "is_default")]
    paused: bool,
    #[serde(with = "text_option", default, skip_serializing_if = "Option::is_none")]
    last_changed_at: Option<Timestamp>,
    #[serde(with = "text")]
    recorded_since: Timestamp,
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
#[serde(remote = "BlockKind", rename_all = "snake_case")]
enum BlockKindDoc {
    Reservation,
    Closure,
    Tentative,
    RuleClosure,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "LostStay")]
struct LostStayDoc {
    #[serde(with = "text")]
    stay: BlockId,
    #[serde(with = "text_option", default, skip_serializing_if = "Option::is_none")]
    connection: Option<ConnectionId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    site: Option<(String, String)>,
    #[serde(with = "extent")]
    extent: Extent,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Sign", rename_all = "snake_case")]
enum SignDoc {
    None,
    Reservation,
    Ours,
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
mod tests {
    use std::fmt::Debug;

    use calmesh_app::contract::{
        a_block, a_conflict, a_connection, a_hold, a_link, a_plan, a_property, a_token, account_id, an_account, at,
        block_id, connection_id, hold_id, link_id, link_token, nights, property_id, refresh_id, some_claims,
    };
    use calmesh_calendar::{
        Asked, Block, Claim, ClaimRule, EventKey, FeedOrigin, LinkNight, Origin, Part, Runs, Standing,
    };
    use jiff::{SignedDuration, civil};
    use proptest::prelude::*;

    use super::*;
    use crate::tests::forms::a_rich_connection;

    #[track_caller]
    fn survives<T: Document + PartialEq + Debug>(record: &T) {
        let text = record.encode().unwrap();
        assert!(text.starts_with(r#"{"v":1,"is":"#), "{text}");
        assert_eq!(T::decode(&text).unwrap(), *record);
    }

    #[track_caller]
    fn survives_on_a_page(block: &Block) {
        let text = page::encode(&[block]).unwrap();
        assert_eq!(page::decode(&text, block.connection()).unwrap(), std::slice::from_ref(block));
    }

    fn an_activity(connection: Option<ConnectionId>, kind: ActivityKind) -> Activity {
        let site = Some(Site { name: "Airbnb, whole flat".to_owned(), provider: "airbnb".to_owned() });
        let stay = |part, site: Option<Site>, span| NamedStay { block: block_id(1), part, site, span, before: None };
        let nights = |part| stay(part, site.clone(), Span::Nights(civil::date(2026, 12, 4), civil::date(2026, 12, 7)));
        let hours = Span::Local(civil::date(2026, 12, 7).at(11, 0, 0, 0), civil::date(2026, 12, 7).at(14, 30, 1, 0));
        let mut stays: Vec<NamedStay> =
            [StayPart::Itself, StayPart::New, StayPart::Changed, StayPart::Gone].map(nights).into();
        stays.push(stay(StayPart::Itself, None, hours));
        stays.push(NamedStay { before: Some(hours), ..nights(StayPart::Changed) });
        let names = Names { property: Some("Casa".to_owned()), site, stays };
        Activity { property: property_id(1), at: at(1), connection, kind, names }
    }

    #[test]
    fn accounts_and_tokens_survive() {
        for default_detail in [Detail::Busy, Detail::Label, Detail::Full] {
            survives(&Account { default_detail, deleted_at: Some(at(3)), ..an_account(1) });
        }
        survives(&a_token(1, 2));
        let properties = Some([property_id(1), property_id(2)].into());
        survives(&Token { scope: Scope::Read, properties, expires_at: Some(at(9)), ..a_token(1, 2) });
        survives(&Token { properties: Some(BTreeSet::new()), ..a_token(1, 2) });
    }

    #[test]
    fn properties_survive_but_for_what_is_an_attribute() {
        let property = a_property(1, 1);
        let kept = Property { revision: 0, dirty: None, deleted_at: Some(at(9)), ..property };
        let text = Property { revision: 7, wake_at: Some(at(1)), ..kept.clone() }.encode().unwrap();
        assert_eq!(Property::decode(&text).unwrap(), kept);
        let odd = Property {
            check_in: civil::time(15, 30, 15, 1),
            created_at: at(0) + SignedDuration::from_nanos(1),
            ..kept
        };
        survives(&odd);
    }

    #[test]
    fn connections_survive() {
        let connection = a_rich_connection(&a_property(1, 1));
        survives(&a_connection(&a_property(1, 1), 1));
        survives(&connection);
        for until in [None, Some(at(7))] {
            survives(&Connection { status: Status::Paused { until }, ..connection.clone() });
        }
        survives(&Connection { direction: Direction::Import, export: None, ..connection.clone() });
        survives(&Connection { direction: Direction::Export, import: None, ..connection });
    }

    #[test]
    fn blocks_and_holds_survive() {
        let block = a_block(1, 1);
        for kind in [BlockKind::Reservation, BlockKind::Closure, BlockKind::Tentative, BlockKind::RuleClosure] {
            survives_on_a_page(&Block { kind, ..block.clone() });
        }
        for extends in [None, Some(block_id(2))] {
            survives_on_a_page(&Block { origin: Origin::Own { extends, lost: None }, ..block.clone() });
        }
        for connection in [None, Some(connection_id(1))] {
            let site = connection.is_some().then(|| ("Airbnb, whole flat".to_owned(), "airbnb".to_owned()));
            let lost = Some(LostStay { stay: block_id(3), connection, site, extent: block.extent });
            survives_on_a_page(&Block { origin: Origin::Own { extends: None, lost }, ..block.clone() });
        }
        for cause in [HoldCause::Absent, HoldCause::MassVanish] {
            let hold = Hold { cause, group: Some(hold_id(3)), kept: true, ..a_hold(1) };
            let Origin::Feed(feed) = block.origin.clone() else { panic!("a feed's block") };
            let key = Some(EventKey { uid: "u".to_owned(), occurrence: Some("20310101".to_owned()) });
            let origin = FeedOrigin { key, code: Some("HM1".to_owned()), hold: Some(hold.clone()), ..feed.clone() };
            survives_on_a_page(&Block { origin: Origin::Feed(origin), ..block.clone() });
            for sign in [Sign::None, Sign::Reservation, Sign::Ours] {
                let origin = FeedOrigin { key: None, sign, ..feed.clone() };
                survives_on_a_page(&Block { origin: Origin::Feed(origin), ..block.clone() });
            }
            for end in [HoldEnd::Released, HoldEnd::Confirmed, HoldEnd::Returned] {
                let nights = Nights::new(civil::date(2031, 2, 3), civil::date(2031, 2, 5)).ok();
                let closed = ClosedHold {
                    hold: hold.clone(),
                    end,
                    closed_at: at(9),
                    property: property_id(1),
                    block: block_id(1),
                    connection: connection_id(1),
                    nights,
                };
                survives(&closed);
                survives(&ClosedHold { nights: None, ..closed });
            }
        }
    }

    #[test]
    fn claims_and_conflicts_survive() {
        for mine in some_claims(1).connections.values() {
            survives(mine);
        }
        survives(&ConnectionClaims::default());
        let rules = [
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
        let mut findings =
            vec![Finding::Asked, Finding::Clean, Finding::EchoEnded, Finding::TakenBack, Finding::SeemsNotToRead];
        for standing in [Standing::Echo, Standing::Possible, Standing::Certain] {
            findings.extend(rules.map(|rule| Finding::Judged(standing, rule)));
        }
        for finding in findings {
            let kind = ActivityKind::ClaimsDecided { finding, nights: vec![nights(0, 2), nights(4, 5)] };
            survives(&an_activity(Some(connection_id(1)), kind));
        }
        let conflict = a_conflict(1);
        survives(&conflict);
        let gone = Conflict { gone: [block_id(1)].into(), settled: true, nights: None, ..conflict.clone() };
        survives(&gone);
        for closed_at in [None, Some(at(9))] {
            survives(&ConflictRecord { property: property_id(1), conflict: gone.clone(), closed_at });
        }
        let kinds = [
            ActivityKind::ConflictOpened {
                conflict: conflict.id.clone(),
                blocks: conflict.blocks.clone(),
                first: conflict.first.clone(),
                arrives_at: at(3),
                nights: conflict.nights.into_iter().flat_map(Nights::iter).collect(),
            },
            ActivityKind::ConflictResolved { conflict: conflict.id.clone(), gone: block_id(1) },
            ActivityKind::ConflictClosed {
                conflict: conflict.id.clone(),
                blocks: conflict.blocks.clone(),
                gone: vec![block_id(1)],
            },
            ActivityKind::ConflictClosed { conflict: conflict.id, blocks: conflict.blocks, gone: Vec::new() },
        ];
        for kind in kinds {
            survives(&an_activity(None, kind));
        }
    }

    #[test]
    fn claims_are_short_and_make_sense_or_are_refused() {
        let some = some_claims(1).connections;
        let told: Vec<String> = some.values().map(|mine| mine.encode().unwrap()).collect();
        let first = r#"{"v":1,"is":{"from":"2031-01-01","at":[1925000001000000000,1925000002000000000,1925000003000000000,1925000005000000000,1925000004000000000,1925000000000000000],"claims":[[0,3,"p","1e",0],[3,1,"e","1a",0],[9,2,"c","6u",0]],"parts":[[0,1,[1,null,0,2],null,null,false],[1,1,[1,3,1,2],null,null,false]],"link":[[0,2,false,1,4,5]],"habits":{}}}"#;
        assert!(told.contains(&first.to_owned()), "{told:#?}");
        let share = |claims: &str| {
            let text = format!(r#"{{"v":1,"is":{{"from":"2031-01-01","at":[7],"claims":[{claims}],"habits":{{}}}}}}"#);
            ConnectionClaims::decode(&text)
        };
        assert_eq!(share(r#"[5,2,"c","12",0]"#).unwrap().claims.iter().len(), 1);
        for wrong in
            [r#"[5,2,"c","12",1]"#, r#"[5,0,"c","12",0]"#, r#"[4294967295,1,"c","12",0]"#, r#"[5,2,"c","?",0]"#]
        {
            let error = share(wrong).unwrap_err().to_string();
            assert!(error.contains("claims") && !error.contains("12"), "{error}");
        }
        let nowhere = r#"{"v":1,"is":{"at":[7],"claims":[[5,2,"c","12",0]],"habits":{}}}"#;
        assert!(ConnectionClaims::decode(nowhere).is_err(), "days from no day");
    }

    #[test]
    fn links_survive() {
        survives(&RetiringLink {
            token: LinkToken::from_random([9; 32]),
            serves: RetiringServes::Stopped {
                connection: connection_id(1),
                provider: "vrbo".to_owned(),
                was: Some(StoppedExport { detail: Detail::Full, format: Format::Times }),
            },
            until: at(5),
        });
        survives(&RetiringLink {
            token: link_token(1),
            serves: RetiringServes::Empty { provider: "vrbo".to_owned() },
            until: at(1),
        });
        survives(&RetiringLink {
            token: link_token(1),
            serves: RetiringServes::Current { connection: connection_id(1) },
            until: at(1),
        });
        let link = ExtraLink { revision: 0, dirty: None, ..a_link(1, 1) };
        survives(&link);
        survives(&ExtraLink { scope: LinkScope::Properties([property_id(1)].into()), ..link });
        survives(&LinkOwner::Link { account: account_id(1), link: link_id(1) });
        survives(&LinkOwner::Connection {
            account: account_id(1),
            property: property_id(1),
            connection: connection_id(1),
        });
    }

    #[test]
    fn activity_survives() {
        let (hold, block) = (hold_id(1), block_id(1));
        let name = || "Casa".to_owned();
        let mut kinds = vec![
            ActivityKind::PropertyCreated,
            ActivityKind::PropertyChanged,
            ActivityKind::ConnectionCreated { name: name() },
            ActivityKind::ConnectionChanged { name: name() },
            ActivityKind::ConnectionDeleted { name: name() },
            ActivityKind::ConnectionPaused { name: name() },
            ActivityKind::ConnectionResumed { name: name() },
            ActivityKind::LinkRotated { name: name() },
            ActivityKind::FeedChanged { added: 1, changed: 2, removed: 3, held: 4 },
            ActivityKind::FeedRecovered,
            ActivityKind::HoldOpened { hold: hold.clone(), block: block.clone() },
            ActivityKind::MassVanished {
                hold: hold.clone(),
                stays: 2,
                nights: 3,
                first_nights: vec![jiff::civil::date(2026, 12, 4)],
            },
            ActivityKind::HoldReleased { hold: hold.clone(), block: block.clone() },
            ActivityKind::HoldKept { hold: hold.clone(), block: block.clone() },
            ActivityKind::HoldConfirmed { hold: hold.clone(), block: block.clone() },
            ActivityKind::HoldReturned { hold, block: block.clone() },
            ActivityKind::BlockCreated { block: block.clone() },
            ActivityKind::BlockChanged { block: block.clone() },
            ActivityKind::BlockDeleted { block: block.clone() },
            ActivityKind::ExtensionOrphaned { block: block.clone(), stay: block_id(2) },
            ActivityKind::ExtensionLeft { block, stay: block_id(2) },
        ];
        kinds.extend(FailureKind::ALL.map(|failure| ActivityKind::FeedFailed { failure, detail: "No.".to_owned() }));
        for kind in kinds {
            survives(&an_activity(Some(connection_id(1)), kind));
        }
    }

    #[test]
    fn fetch_states_survive() {
        let plan = a_plan(&a_property(1, 1), 1);
        survives(&plan);
        let validators = Validators { etag: Some("e".to_owned()), last_modified: None };
        let applied = Some(Snapshot("abc".to_owned()));
        survives(&FetchPlan {
            applied,
            validators,
            applied_read_at: Some(at(3)),
            applied_by: Some(7),
            pending: true,
            ..plan
        });
        for kind in FailureKind::ALL {
            let detail = "Try again.".to_owned();
            survives(&Failure { kind, detail, since: at(1), count: 3, last_attempt_at: at(2), retry_at: at(3) });
        }
    }

    #[test]
    fn refreshes_survive() {
        let scopes = [
            RefreshScope::Account,
            RefreshScope::Property(property_id(1)),
            RefreshScope::Connection { property: property_id(1), connection: connection_id(1) },
        ];
        for scope in scopes {
            survives(&Refresh { id: refresh_id(1), account: account_id(1), scope, requested_at: at(1), spread: false });
        }
        survives(&Outcome::Pending);
        survives(&Outcome::Unchanged { blocks_held: 1 });
        survives(&Outcome::Changed { blocks_added: 1, blocks_removed: 2, blocks_held: 3 });
        survives(&Outcome::Failed { reason: "gave_up".to_owned() });
    }

    #[test]
    fn what_cannot_be_read_is_told_without_being_quoted() {
        let error = Outcome::decode(r#"{"v":1,"is":{"secret":1}}"#).unwrap_err().to_string();
        assert!(error.contains("an outcome") && !error.contains("secret"), "{error}");
        let error = Outcome::decode(r#"{"v":2,"is":{"something":"else"}}"#).unwrap_err().to_string();
        assert!(error.contains("version 2"), "{error}");
    }

    proptest! {
        #[test]
        fn any_instants_and_nights_survive_in_claims(
            runs in proptest::collection::vec((-5_000i64..5_000, 1i64..9, any::<[i64; 4]>(), any::<bool>()), 0..9),
            earliest in any::<bool>(),
        ) {
            let instant = |nanoseconds: i64| match earliest && nanoseconds % 3 == 0 {
                true => Timestamp::MIN,
                false => Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap(),
            };
            let option = |nanoseconds: i64| (nanoseconds % 2 == 0).then(|| instant(nanoseconds));
            let run = |first: i64, count: i64| nights(first, first + count);
            let share = ConnectionClaims {
                claims: Runs::of(runs.iter().map(|(first, count, [a, ..], _)| {
                    let claim = Claim { standing: Standing::Possible, rule: ClaimRule::MayBeOurs, since: instant(*a) };
                    (run(*first, *count), claim)
                })),
                parts: Runs::of(runs.iter().map(|(first, count, [a, b, c, d], silent)| {
                    let asked = Asked { since: instant(*a), read_at: option(*b), readings: 3, heard_at: instant(*d) };
                    let asked = option(*c).map(|_| asked);
                    let part = Part { asked, clean_since: option(*d), cleaned_at: option(*b), silent: *silent };
                    (run(*first, *count), part)
                })),
                link: Runs::of(runs.iter().map(|(first, count, [a, b, c, _], carries)| {
                    let (since, put_at, first_at) = (instant(*c), option(*a), instant(*b));
                    (run(*first, *count), LinkNight { carries: *carries, since, put_at, first: first_at })
                })),
                ..ConnectionClaims::default()
            };
            prop_assert_eq!(ConnectionClaims::decode(&share.encode().unwrap()).unwrap(), share);
        }

        #[test]
        fn any_words_and_times_survive_in_a_block(
            summary in any::<String>(), uid in any::<String>(), code in any::<Option<String>>(),
            start in -1_000_000_000_000_000_000i64..4_000_000_000_000_000_000, length in 1i64..1_000_000_000_000_000_000,
        ) {
            let instant = |nanoseconds: i64| Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap();
            let times = Times::new(instant(start), instant(start + length)).unwrap();
            let mut block = Block { summary, extent: Extent::Times(times), ..a_block(1, 1) };
            if let Origin::Feed(feed) = &mut block.origin {
                feed.key = Some(EventKey { uid, occurrence: None });
                feed.code = code;
            }
            let read = page::decode(&page::encode(&[&block]).unwrap(), block.connection()).unwrap();
            prop_assert_eq!(read, [block]);
        }
    }
}
