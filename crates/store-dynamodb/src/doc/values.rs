//! The forms of single values in JSON: ids, instants, secrets, nights.

use std::collections::BTreeSet;

use calmesh_app::model::{FeedUrl, LinkToken, SecretHash};
use calmesh_calendar::{Nights, PropertyId};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Anything whose form has a name, where there is any.
macro_rules! optional {
    ($($name:ident: $record:ty, $shape:literal;)*) => {$(
        pub(super) mod $name {
            use super::*;

            pub(in crate::doc) fn serialize<S: Serializer>(value: &Option<$record>, serializer: S) -> Result<S::Ok, S::Error> {
                #[derive(Serialize)]
                struct One<'a>(#[serde(with = $shape)] &'a $record);
                value.as_ref().map(One).serialize(serializer)
            }

            pub(in crate::doc) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<$record>, D::Error> {
                #[derive(Deserialize)]
                struct One(#[serde(with = $shape)] $record);
                Ok(Option::<One>::deserialize(d)?.map(|One(value)| value))
            }
        }
    )*};
}

optional! {
    nights_option: Nights, "nights";
}

/// What is so by default is left out.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Anything that is its own text: ids, instants, dates, times of day.
pub(super) mod text {
    use std::{fmt::Display, str::FromStr};

    use super::{Deserialize, Deserializer, Serializer};

    pub(in crate::doc) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(in crate::doc) fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| serde::de::Error::custom("not of the expected form"))
    }
}

pub(super) mod text_option {
    use std::{fmt::Display, str::FromStr};

    use super::{Deserialize, Deserializer, Serialize, Serializer};

    pub(in crate::doc) fn serialize<T: Display, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_ref().map(ToString::to_string).serialize(serializer)
    }

    pub(in crate::doc) fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(|_| serde::de::Error::custom("not of the expected form"))).transpose()
    }
}

/// Several things that are each their own text.
pub(super) mod text_list {
    use std::{fmt::Display, str::FromStr};

    use super::{Deserialize, Deserializer, Serializer};

    pub(in crate::doc) fn serialize<T: Display, S: Serializer>(value: &[T], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(value.iter().map(ToString::to_string))
    }

    pub(in crate::doc) fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<T>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let wrong = |_| serde::de::Error::custom("not of the expected form");
        texts.iter().map(|text| text.parse().map_err(wrong)).collect()
    }
}

/// Runs of nights.
pub(super) mod runs {
    use super::{Deserialize, Deserializer, Nights, Serialize, Serializer, nights};

    #[derive(Serialize, Deserialize)]
    struct One(#[serde(with = "nights")] Nights);

    pub(in crate::doc) fn serialize<S: Serializer>(value: &[Nights], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(value.iter().copied().map(One))
    }

    pub(in crate::doc) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Nights>, D::Error> {
        Ok(Vec::<One>::deserialize(deserializer)?.into_iter().map(|One(run)| run).collect())
    }
}

/// Ids of properties, none where all are meant.
pub(super) mod properties_option {
    use super::{BTreeSet, Deserialize, Deserializer, PropertyId, Serialize, Serializer};

    pub(in crate::doc) fn serialize<S: Serializer>(
        value: &Option<BTreeSet<PropertyId>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_ref().map(|ids| ids.iter().map(PropertyId::as_str).collect::<Vec<_>>()).serialize(serializer)
    }

    pub(in crate::doc) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<BTreeSet<PropertyId>>, D::Error> {
        let ids = Option::<Vec<String>>::deserialize(deserializer)?;
        let parse = |id: String| id.parse().map_err(|_| serde::de::Error::custom("not a property's id"));
        ids.map(|ids| ids.into_iter().map(parse).collect()).transpose()
    }
}

pub(super) mod properties {
    use super::{BTreeSet, Deserializer, PropertyId, Serialize, Serializer, properties_option};

    pub(in crate::doc) fn serialize<S: Serializer>(
        value: &BTreeSet<PropertyId>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.iter().map(PropertyId::as_str).collect::<Vec<_>>().serialize(serializer)
    }

    pub(in crate::doc) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeSet<PropertyId>, D::Error> {
        properties_option::deserialize(deserializer).map(Option::unwrap_or_default)
    }
}

/// A secret's hash as hexadecimal digits.
pub(super) mod hash {
    use super::{Deserialize, Deserializer, SecretHash, Serialize, Serializer};

    pub(in crate::doc) fn serialize<S: Serializer>(value: &SecretHash, serializer: S) -> Result<S::Ok, S::Error> {
        value.to_hex().serialize(serializer)
    }

    pub(in crate::doc) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretHash, D::Error> {
        let text = String::deserialize(deserializer)?;
        SecretHash::from_hex(&text).ok_or_else(|| serde::de::Error::custom("not a hash"))
    }
}

/// A private link's token. It rests only in this table.
pub(super) mod link_token {
    use super::{Deserialize, Deserializer, LinkToken, Serialize, Serializer};

    pub(in crate::doc) fn serialize<S: Serializer>(value: &LinkToken, serializer: S) -> Result<S::Ok, S::Error> {
        value.reveal().serialize(serializer)
    }

    pub(in crate::doc) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<LinkToken, D::Error> {
        let text = String::deserialize(deserializer)?;
        LinkToken::parse(&text).ok_or_else(|| serde::de::Error::custom("not a link's token"))
    }
}

/// A feed's address. It rests only in this table.
pub(super) mod feed_url {
    use super::{Deserialize, Deserializer, FeedUrl, Serialize, Serializer};

    pub(in crate::doc) fn serialize<S: Serializer>(value: &FeedUrl, serializer: S) -> Result<S::Ok, S::Error> {
        value.as_str().serialize(serializer)
    }

    pub(in crate::doc) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<FeedUrl, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// `2026-12-04/2026-12-07`, half-open.
pub(super) mod nights {
    use super::{Deserialize, Deserializer, Nights, Serializer};

    pub(in crate::doc) fn parse(text: &str) -> Option<Nights> {
        let (first, end) = text.split_once('/')?;
        Nights::new(first.parse().ok()?, end.parse().ok()?).ok()
    }

    pub(in crate::doc) fn serialize<S: Serializer>(value: &Nights, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}/{}", value.first(), value.end()))
    }

    pub(in crate::doc) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Nights, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text).ok_or_else(|| serde::de::Error::custom("not a run of nights"))
    }
}
