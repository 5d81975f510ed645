//! What happened, as JSON.

use calmesh_app::{
    Span,
    model::{Activity, ActivityKind, FailureKind, NamedStay, Names, Provider, Site, StayPart},
};
use calmesh_calendar::{BlockId, ConflictId, ConnectionId, Finding, HoldId, Nights, PropertyId};
use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    claims::FindingDoc,
    fetch::FailureKindDoc,
    values::{is_default, runs, text, text_list, text_option},
};

optional! {
    site_option: Site, "SiteDoc";
    span_option: Span, "span";
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Activity")]
pub(super) struct ActivityDoc {
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
pub(super) struct NamesDoc {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    property: Option<String>,
    #[serde(with = "site_option", default, skip_serializing_if = "Option::is_none")]
    site: Option<Site>,
    #[serde(with = "stays", default, skip_serializing_if = "Vec::is_empty")]
    stays: Vec<NamedStay>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Site")]
pub(super) struct SiteDoc {
    name: String,
    #[serde(with = "text")]
    provider: Provider,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "NamedStay")]
pub(super) struct NamedStayDoc {
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
pub(super) enum StayPartDoc {
    Itself,
    New,
    Changed,
    Gone,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ActivityKind", rename_all = "snake_case")]
pub(super) enum ActivityKindDoc {
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
