//! What an event is on the bus: a detail type and a JSON object of ids with a version in it.
//!
//! The forms are a contract between functions of different ages: during a deployment both are at work. A field may
//! be added; a field that changes its meaning, or goes, makes a new version.

use std::{
    fmt::{self, Display},
    marker::PhantomData,
    str::FromStr,
};

use calmesh_app::{
    model::{RefreshPart, Snapshot},
    ports::{Event, ReadFeed},
};
use calmesh_calendar::{AccountId, ConflictId, ConnectionId, LinkId, PropertyId, RefreshId};
use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Visitor},
};
use serde_json::Value;

/// The `source` of every event of ours.
pub const SOURCE: &str = "calmesh";
/// The `v` of every detail.
pub const VERSION: u64 = 1;

const SWEEP_DUE: &str = "sweep.due";
const REFRESH_REQUESTED: &str = "refresh.requested";
const FEEDS_READ: &str = "feeds.read";
const PROPERTY_DIRTY: &str = "property.dirty";
const LINK_DIRTY: &str = "link.dirty";
const PROPERTY_CHANGED: &str = "property.changed";
const CONFLICT_OPENED: &str = "conflict.opened";
const ACCOUNT_DELETED: &str = "account.deleted";

/// An event as it is put on the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// What rules match on, such as `sweep.due`.
    pub detail_type: &'static str,
    /// A JSON object.
    pub detail: String,
}

/// Why something on a queue is no event.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("not an EventBridge envelope")]
    Envelope(#[source] serde_json::Error),
    /// A rule matched too much.
    #[error("an event of another source than {SOURCE}")]
    ForeignSource,
    #[error("an event of unknown type")]
    UnknownType,
    /// Written by a newer release: to be left on the queue, not dropped.
    #[error("{detail_type} in version {version}, which this release does not know")]
    UnknownVersion { detail_type: &'static str, version: u64 },
    #[error("{detail_type} can't be read")]
    Detail {
        detail_type: &'static str,
        #[source]
        source: serde_json::Error,
    },
}

/// Something that is written as text: an id, an instant in RFC 3339.
struct Text<T>(T);

impl<T: Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

struct TextVisitor<T>(PhantomData<T>);

impl<T: FromStr<Err: Display>> Visitor<'_> for TextVisitor<T> {
    type Value = Text<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        text.parse().map(Text).map_err(E::custom)
    }
}

impl<'de, T: FromStr<Err: Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor(PhantomData))
    }
}

#[derive(Serialize, Deserialize)]
struct SweepDue {
    first_bucket: u16,
    last_bucket: u16,
    number: i64,
}

#[derive(Serialize, Deserialize)]
struct RefreshRequested {
    account: Text<AccountId>,
    refresh: Text<RefreshId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    rest: bool,
}

#[derive(Serialize, Deserialize)]
struct FeedsRead {
    account: Text<AccountId>,
    property: Text<PropertyId>,
    readings: Vec<Reading>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh: Option<Text<RefreshId>>,
    /// Of the refresh.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    page: String,
}

#[derive(Serialize, Deserialize)]
struct Reading {
    connection: Text<ConnectionId>,
    snapshot: String,
    read_at: Text<Timestamp>,
    plan_since: Text<Timestamp>,
}

impl From<ReadFeed> for Reading {
    fn from(read: ReadFeed) -> Self {
        Self {
            connection: Text(read.connection),
            snapshot: read.snapshot.0,
            read_at: Text(read.read_at),
            plan_since: Text(read.plan_since),
        }
    }
}

impl From<Reading> for ReadFeed {
    fn from(read: Reading) -> Self {
        Self {
            connection: read.connection.0,
            snapshot: Snapshot(read.snapshot),
            read_at: read.read_at.0,
            plan_since: read.plan_since.0,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct PropertyDirty {
    property: Text<PropertyId>,
}

#[derive(Serialize, Deserialize)]
struct LinkDirty {
    link: Text<LinkId>,
}

#[derive(Serialize, Deserialize)]
struct PropertyChanged {
    account: Text<AccountId>,
    property: Text<PropertyId>,
    revision: u64,
}

#[derive(Serialize, Deserialize)]
struct ConflictOpened {
    account: Text<AccountId>,
    property: Text<PropertyId>,
    conflict: Text<ConflictId>,
}

#[derive(Serialize, Deserialize)]
struct AccountDeleted {
    account: Text<AccountId>,
}

/// The version stands first, beside the fields.
#[derive(Serialize)]
struct Versioned<T> {
    v: u64,
    #[serde(flatten)]
    detail: T,
}

#[derive(Deserialize)]
struct Version {
    v: u64,
}

/// The wire form of an event.
///
/// # Errors
/// Never for the events there are: no map in them has a key that is not text.
pub fn encode(event: &Event) -> Result<Encoded, serde_json::Error> {
    match event.clone() {
        Event::SweepDue { first_bucket, last_bucket, number } => {
            written(SWEEP_DUE, SweepDue { first_bucket, last_bucket, number })
        }
        Event::RefreshRequested { account, refresh, after, rest } => {
            written(REFRESH_REQUESTED, RefreshRequested { account: Text(account), refresh: Text(refresh), after, rest })
        }
        Event::FeedsRead { account, property, readings, refresh } => {
            let readings = readings.into_iter().map(Reading::from).collect();
            let (refresh, page) = refresh.map(|part| (Text(part.refresh), part.page)).unzip();
            let page = page.unwrap_or_default();
            written(FEEDS_READ, FeedsRead { account: Text(account), property: Text(property), readings, refresh, page })
        }
        Event::PropertyDirty { property } => written(PROPERTY_DIRTY, PropertyDirty { property: Text(property) }),
        Event::LinkDirty { link } => written(LINK_DIRTY, LinkDirty { link: Text(link) }),
        Event::PropertyChanged { account, property, revision } => {
            written(PROPERTY_CHANGED, PropertyChanged { account: Text(account), property: Text(property), revision })
        }
        Event::ConflictOpened { account, property, conflict } => written(
            CONFLICT_OPENED,
            ConflictOpened { account: Text(account), property: Text(property), conflict: Text(conflict) },
        ),
        Event::AccountDeleted { account } => written(ACCOUNT_DELETED, AccountDeleted { account: Text(account) }),
    }
}

fn written<T: Serialize>(detail_type: &'static str, detail: T) -> Result<Encoded, serde_json::Error> {
    let detail = serde_json::to_string(&Versioned { v: VERSION, detail })?;
    Ok(Encoded { detail_type, detail })
}

/// The event of this detail type with this detail. Fields that are not known are passed over.
///
/// # Errors
/// [`DecodeError::UnknownType`], [`DecodeError::UnknownVersion`] before any other field is looked at, and
/// [`DecodeError::Detail`].
pub fn decode(detail_type: &str, detail: &Value) -> Result<Event, DecodeError> {
    Ok(match detail_type {
        SWEEP_DUE => {
            let SweepDue { first_bucket, last_bucket, number } = read(SWEEP_DUE, detail)?;
            Event::SweepDue { first_bucket, last_bucket, number }
        }
        REFRESH_REQUESTED => {
            let RefreshRequested { account: Text(account), refresh: Text(refresh), after, rest } =
                read(REFRESH_REQUESTED, detail)?;
            Event::RefreshRequested { account, refresh, after, rest }
        }
        FEEDS_READ => {
            let read: FeedsRead = read(FEEDS_READ, detail)?;
            Event::FeedsRead {
                account: read.account.0,
                property: read.property.0,
                readings: read.readings.into_iter().map(ReadFeed::from).collect(),
                refresh: read.refresh.map(|Text(refresh)| RefreshPart { refresh, page: read.page }),
            }
        }
        PROPERTY_DIRTY => {
            let PropertyDirty { property: Text(property) } = read(PROPERTY_DIRTY, detail)?;
            Event::PropertyDirty { property }
        }
        LINK_DIRTY => {
            let LinkDirty { link: Text(link) } = read(LINK_DIRTY, detail)?;
            Event::LinkDirty { link }
        }
        PROPERTY_CHANGED => {
            let PropertyChanged { account: Text(account), property: Text(property), revision } =
                read(PROPERTY_CHANGED, detail)?;
            Event::PropertyChanged { account, property, revision }
        }
        CONFLICT_OPENED => {
            let ConflictOpened { account: Text(account), property: Text(property), conflict: Text(conflict) } =
                read(CONFLICT_OPENED, detail)?;
            Event::ConflictOpened { account, property, conflict }
        }
        ACCOUNT_DELETED => {
            let AccountDeleted { account: Text(account) } = read(ACCOUNT_DELETED, detail)?;
            Event::AccountDeleted { account }
        }
        _ => return Err(DecodeError::UnknownType),
    })
}

fn read<T: DeserializeOwned>(detail_type: &'static str, detail: &Value) -> Result<T, DecodeError> {
    let unreadable = |source| DecodeError::Detail { detail_type, source };
    match Version::deserialize(detail).map_err(unreadable)? {
        Version { v: VERSION } => T::deserialize(detail).map_err(unreadable),
        Version { v: version } => Err(DecodeError::UnknownVersion { detail_type, version }),
    }
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "detail-type")]
    detail_type: String,
    source: String,
    detail: Value,
}

/// The event in the body of an SQS message that a rule put there: the whole envelope of EventBridge, `version`,
/// `id`, `detail-type`, `source`, `detail` and more.
///
/// # Errors
/// As [`decode`], and where the envelope can't be read or is somebody else's.
pub fn decode_envelope(body: &str) -> Result<Event, DecodeError> {
    let envelope: Envelope = serde_json::from_str(body).map_err(DecodeError::Envelope)?;
    if envelope.source != SOURCE {
        return Err(DecodeError::ForeignSource);
    }
    decode(&envelope.detail_type, &envelope.detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> AccountId {
        AccountId::from_random([1; 16])
    }

    fn property() -> PropertyId {
        PropertyId::from_random([2; 16])
    }

    fn read(refresh: Option<RefreshPart>) -> Event {
        let one = |n: u8, read_at: &str| ReadFeed {
            connection: ConnectionId::from_random([n; 16]),
            snapshot: Snapshot("5e".repeat(32)),
            read_at: read_at.parse().unwrap(),
            plan_since: "2026-05-01T10:00:00Z".parse().unwrap(),
        };
        let readings = vec![one(3, "2026-06-01T10:00:00.123456789Z"), one(7, "2026-06-01T10:00:01Z")];
        Event::FeedsRead { account: account(), property: property(), readings, refresh }
    }

    /// A detail type and a detail on each line, for the events below.
    const GOLDEN: &str = include_str!("../golden/events.txt");

    /// Every kind of event, with what it may carry and without.
    fn events() -> [Event; 12] {
        let refresh = RefreshId::from_random([4; 16]);
        [
            Event::SweepDue { first_bucket: 192, last_bucket: 255, number: 1_981_234 },
            Event::SweepDue { first_bucket: 4095, last_bucket: 4095, number: -1 },
            Event::RefreshRequested { account: account(), refresh: refresh.clone(), after: None, rest: false },
            Event::RefreshRequested {
                account: account(),
                refresh: refresh.clone(),
                after: Some("prp_1".to_owned()),
                rest: true,
            },
            read(None),
            read(Some(RefreshPart { refresh: refresh.clone(), page: String::new() })),
            read(Some(RefreshPart { refresh, page: "PRP#1".to_owned() })),
            Event::PropertyDirty { property: property() },
            Event::LinkDirty { link: LinkId::from_random([5; 16]) },
            Event::PropertyChanged { account: account(), property: property(), revision: u64::MAX },
            Event::AccountDeleted { account: account() },
            Event::ConflictOpened {
                account: account(),
                property: property(),
                conflict: ConflictId::from_random([6; 16]),
            },
        ]
    }

    fn envelope(detail_type: &str, source: &str, detail: &str) -> String {
        format!(
            r#"{{"version":"0","id":"6a7e8feb-b491-4cf7-a9f1-bf3703467718","detail-type":"{detail_type}",
            "source":"{source}","account":"111122223333","time":"2026-06-01T10:00:00Z","region":"eu-central-1",
            "resources":[],"detail":{detail}}}"#
        )
    }

    #[test]
    fn every_event_is_written_as_it_was_agreed() {
        let written = events().map(|event| {
            let Encoded { detail_type, detail } = encode(&event).unwrap();
            format!("{detail_type} {detail}")
        });
        assert_eq!(written.to_vec(), GOLDEN.lines().collect::<Vec<_>>());
    }

    #[test]
    fn every_event_as_it_was_agreed_is_read_from_its_envelope() {
        let read = GOLDEN.lines().map(|line| {
            let (detail_type, detail) = line.split_once(' ').unwrap();
            decode_envelope(&envelope(detail_type, SOURCE, detail)).unwrap()
        });
        assert_eq!(read.collect::<Vec<_>>(), events());
    }

    #[test]
    fn a_field_that_a_newer_release_added_is_passed_over() {
        let detail = format!(r#"{{"v":1,"why":["new"],"property":"{}"}}"#, property());
        let read = decode_envelope(&envelope("property.dirty", SOURCE, &detail)).unwrap();
        assert_eq!(read, Event::PropertyDirty { property: property() });
    }

    #[test]
    fn an_unknown_version_is_refused_before_its_fields_are_read() {
        let refused = decode_envelope(&envelope("property.dirty", SOURCE, r#"{"v":2,"properties":[]}"#)).unwrap_err();
        assert!(matches!(refused, DecodeError::UnknownVersion { detail_type: "property.dirty", version: 2 }));
    }

    #[test]
    fn what_is_no_event_of_ours_is_refused_by_name() {
        let dirty = format!(r#"{{"v":1,"property":"{}"}}"#, property());
        let refusal = |body: &str| decode_envelope(body).unwrap_err();
        assert!(matches!(refusal("{"), DecodeError::Envelope(_)));
        assert!(matches!(refusal(&dirty), DecodeError::Envelope(_)));
        assert!(matches!(refusal(&envelope("property.dirty", "aws.s3", &dirty)), DecodeError::ForeignSource));
        assert!(matches!(refusal(&envelope("property.sold", SOURCE, &dirty)), DecodeError::UnknownType));
        for detail in ["{}", "[]", r#"{"property":"prp_1"}"#, r#"{"v":1}"#, r#"{"v":1,"property":"acc_1"}"#] {
            let refused = refusal(&envelope("property.dirty", SOURCE, detail));
            assert!(matches!(refused, DecodeError::Detail { detail_type: "property.dirty", .. }), "{detail}");
        }
    }
}
