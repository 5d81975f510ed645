//! What is inside items. Most is JSON, one private shape for each record, version 1: `{"v":1,"is":{…}}`. What is written and
//! read with every change, stays, claims and settings, is compact (`pack`).
//!
//! A shape that has not every field of its record does not compile. What is stored stays readable for ever: how a shape
//! may change, the README tells.

#[macro_use]
mod values;

mod account;
mod activity;
pub(crate) mod block;
pub(crate) mod body;
pub(crate) mod claims;
pub(crate) mod conflict;
pub(crate) mod connection;
mod fetch;
mod hold;
mod link;
pub(crate) mod pack;
pub(crate) mod past;
pub(crate) mod property;
mod refresh;
mod settings;

use calmesh_app::{
    model::{
        Account, Activity, ClosedHold, ConflictRecord, ExtraLink, Failure, FetchPlan, LinkOwner, Outcome, Refresh,
        RetiringLink, Token, Validators,
    },
    ports::StoreError,
};
use serde::{Deserialize, Serialize};

use account::{AccountDoc, TokenDoc};
use activity::ActivityDoc;
use conflict::ConflictRecordDoc;
use fetch::{FailureDoc, FetchPlanDoc, ValidatorsDoc};
use hold::ClosedHoldDoc;
use link::{ExtraLinkDoc, LinkOwnerDoc, RetiringLinkDoc};
use refresh::{OutcomeDoc, RefreshDoc};

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

#[cfg(test)]
mod tests;
