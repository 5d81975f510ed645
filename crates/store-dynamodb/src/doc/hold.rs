//! Holds that ended as JSON.

use calmesh_app::model::ClosedHold;
use calmesh_calendar::{BlockId, ConnectionId, Hold, HoldCause, HoldEnd, HoldId, Nights, PropertyId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::values::{nights_option, text, text_option};

#[derive(Serialize, Deserialize)]
#[serde(remote = "Hold")]
pub(super) struct HoldDoc {
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
pub(super) enum HoldCauseDoc {
    Absent,
    MassVanish,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "HoldEnd", rename_all = "snake_case")]
pub(super) enum HoldEndDoc {
    Released,
    Confirmed,
    Returned,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ClosedHold")]
pub(super) struct ClosedHoldDoc {
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
