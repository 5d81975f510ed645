//! Parts of settings as JSON.

use calmesh_app::model::{Detail, EchoOverrides, Format, HoldOverrides, MassVanishOverrides, PolicyOverrides};
use calmesh_calendar::ReadWarning;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::values::is_default;

#[derive(Serialize, Deserialize)]
#[serde(remote = "Detail", rename_all = "snake_case")]
pub(super) enum DetailDoc {
    Busy,
    Label,
    Full,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Format", rename_all = "snake_case")]
pub(super) enum FormatDoc {
    Nights,
    Times,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ReadWarning")]
pub(super) struct ReadWarningDoc {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
    detail: String,
    unread: bool,
}

/// A list of what could not be read in a feed.
pub(super) mod warnings {
    use super::{Deserialize, Deserializer, ReadWarning, ReadWarningDoc, Serialize, Serializer};

    pub(in crate::doc) fn serialize<S: Serializer>(value: &[ReadWarning], serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct One<'a>(#[serde(with = "ReadWarningDoc")] &'a ReadWarning);
        value.iter().map(One).collect::<Vec<_>>().serialize(serializer)
    }

    pub(in crate::doc) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<ReadWarning>, D::Error> {
        #[derive(Deserialize)]
        struct One(#[serde(with = "ReadWarningDoc")] ReadWarning);
        Ok(Vec::<One>::deserialize(deserializer)?.into_iter().map(|One(value)| value).collect())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "PolicyOverrides")]
pub(super) struct PolicyOverridesDoc {
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
pub(super) struct HoldOverridesDoc {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    readings: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    minutes: Option<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "MassVanishOverrides")]
pub(super) struct MassVanishOverridesDoc {
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
pub(super) struct EchoOverridesDoc {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    probe: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    readings: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    minutes: Option<u32>,
}
