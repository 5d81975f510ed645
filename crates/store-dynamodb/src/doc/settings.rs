//! Parts of settings as JSON.

use std::collections::BTreeMap;

use calmesh_app::model::{Detail, Format, PolicyOverrides};
use calmesh_calendar::{
    ReadWarning,
    policy::{Kind, Value},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value as Json;

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

/// A connection's own settings by their paths. A setting that this version does not know is left out.
pub(super) mod policy {
    use super::{BTreeMap, Deserialize, Deserializer, Json, Kind, PolicyOverrides, Serialize, Serializer, Value};

    #[derive(Serialize)]
    #[serde(untagged)]
    enum ValueDoc<'a> {
        Flag(bool),
        Figure(u32),
        Word(&'a str),
    }

    impl<'a> From<&'a Value> for ValueDoc<'a> {
        fn from(value: &'a Value) -> Self {
            match value {
                Value::Flag(flag) => Self::Flag(*flag),
                Value::Figure(figure) => Self::Figure(*figure),
                Value::Word(word) => Self::Word(word),
            }
        }
    }

    pub(in crate::doc) fn serialize<S: Serializer>(value: &PolicyOverrides, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(value.iter().map(|(setting, value)| (setting.path, ValueDoc::from(value))))
    }

    pub(in crate::doc) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PolicyOverrides, D::Error> {
        let set = BTreeMap::<String, Json>::deserialize(deserializer)?;
        let mut odd = None;
        let policy = PolicyOverrides::of(|setting| {
            let json = set.get(setting.path)?;
            let value = match setting.kind {
                Kind::Flag => json.as_bool().map(Value::Flag),
                Kind::Figure { .. } => json.as_u64().and_then(|figure| figure.try_into().ok()).map(Value::Figure),
                Kind::Word { .. } => json.as_str().map(|word| Value::Word(word.to_owned())),
            };
            odd = odd.or(value.is_none().then_some(setting.path));
            value
        });
        odd.map_or(Ok(policy), |path| Err(serde::de::Error::custom(format!("{path} is of another kind"))))
    }
}
