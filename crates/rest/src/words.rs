//! The words that JSON uses for the domain's alternatives, each once.

use calmesh_app::model::{Detail, Format, Scope};
use serde::Serialize;
use utoipa::ToSchema;

/// Defines the JSON form of an alternative: the words to read and the value to write.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident of $of:ident, $list:ident: $($variant:ident = $word:literal),+ $(,)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
        pub(crate) enum $name {
            $(#[serde(rename = $word)] $variant,)+
        }

        /// The words, for reading.
        pub(crate) const $list: &[(&str, $of)] = &[$(($word, $of::$variant)),+];

        impl From<$of> for $name {
            fn from(value: $of) -> Self {
                match value {
                    $($of::$variant => Self::$variant,)+
                }
            }
        }
    };
}

words! {
    /// How much a link's reader learns.
    DetailWord of Detail, DETAILS: Busy = "busy", Label = "label", Full = "full"
}
words! {
    /// Whether a link carries whole nights or exact times.
    FormatWord of Format, FORMATS: Nights = "nights", Times = "times"
}
words! {
    /// What a token may do.
    ScopeWord of Scope, SCOPES: Full = "full", Read = "read"
}
