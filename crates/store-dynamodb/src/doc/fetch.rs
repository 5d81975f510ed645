//! Plans and failures as JSON.

use calmesh_app::model::{Failure, FailureKind, FeedUrl, FetchPlan, Provider, Snapshot, Validators};
use calmesh_calendar::{AccountId, ConnectionId, PropertyId};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::values::{feed_url, is_default, text, text_option};

optional! {
    snapshot_option: Snapshot, "SnapshotDoc";
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Snapshot")]
pub(super) struct SnapshotDoc(String);

#[derive(Serialize, Deserialize)]
#[serde(remote = "Validators")]
pub(super) struct ValidatorsDoc {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_modified: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "FailureKind", rename_all = "snake_case")]
pub(super) enum FailureKindDoc {
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
pub(super) struct FetchPlanDoc {
    #[serde(with = "text")]
    connection: ConnectionId,
    #[serde(with = "text")]
    account: AccountId,
    #[serde(with = "text")]
    property: PropertyId,
    #[serde(with = "text")]
    provider: Provider,
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
pub(super) struct FailureDoc {
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
