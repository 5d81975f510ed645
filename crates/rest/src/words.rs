//! The words that JSON uses for the domain's alternatives, each once.

use calmesh_app::{
    ConflictStatus, HoldStatus, OwnKind,
    model::{Detail, Direction, Format, Health, Scope, StayPart},
};
use calmesh_calendar::{BlockKind, BlockState, HoldCause};
use serde::Serialize;
use utoipa::ToSchema;

/// Defines the JSON form of an alternative: the value to write and, where a list is named, the words to read.
/// A word is a `tt`, since utoipa does not see through a `literal` that a macro passes on.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident of $of:ident, $list:ident: $($variant:ident = $word:tt),+ $(,)?) => {
        words! { $(#[$doc])* $name of $of: $($variant = $word),+ }

        /// The words, for reading.
        pub(crate) const $list: &[(&str, $of)] = &[$(($word, $of::$variant)),+];
    };
    ($(#[$doc:meta])* $name:ident of $of:ident: $($variant:ident = $word:tt),+ $(,)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
        pub(crate) enum $name {
            $(#[serde(rename = $word)] $variant,)+
        }

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
words! {
    /// Whether a connection takes in, gives out, or both.
    DirectionWord of Direction, DIRECTIONS: Import = "import", Export = "export", Bidirectional = "bidirectional"
}
words! {
    /// How well a feed can be read: `degraded` after a failure, `failing` after three in a row, `dead` after a day
    /// without success.
    HealthWord of Health: Ok = "ok", Degraded = "degraded", Failing = "failing", Dead = "dead"
}
words! {
    /// What a block is.
    KindWord of BlockKind:
    Reservation = "reservation", Closure = "closure", Tentative = "tentative", RuleClosure = "rule_closure"
}
words! {
    /// What the host's own block is.
    OwnKindWord of OwnKind, OWN_KINDS: Reservation = "reservation", Closure = "closure", Tentative = "tentative"
}
words! {
    /// Where a block stands: `held` while its removal is not believed, `possible_echo` while it may be what we exported,
    /// `echo` where it is that and blocks nothing, `mirrored` where it repeats a stay of another connection, `shown`
    /// where its connection is set to block nothing, `paused` while its connection is.
    StateWord of BlockState:
    Standing = "standing", Held = "held", PossibleEcho = "possible_echo", Echo = "echo", Mirrored = "mirrored",
    Shown = "shown", Paused = "paused"
}
words! {
    /// Why a removal is not believed.
    CauseWord of HoldCause: Absent = "absent", MassVanish = "mass_vanish"
}
words! {
    /// Where a conflict stands: `resolved` once you said which stays are gone, `closed` when no two of them clash any more.
    ConflictWord of ConflictStatus: Open = "open", Resolved = "resolved", Closed = "closed"
}
words! {
    /// What happened to a block that an entry of the activity names.
    PartWord of StayPart: Itself = "itself", New = "new", Changed = "changed", Gone = "gone"
}
words! {
    /// Where a hold stands.
    HoldWord of HoldStatus:
    Open = "open", Released = "released", Kept = "kept", Confirmed = "confirmed", Returned = "returned"
}
