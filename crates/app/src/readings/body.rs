//! What a body says, read for a house; and why one is refused.

use bytes::Bytes;
use calmesh_calendar::{FeedReading, House};
use calmesh_ics::{self as ics, Horizon, Limits, ReadContext, Refusal, read};
use calmesh_profiles::Profile;
use jiff::Timestamp;

use crate::{
    model::FailureKind,
    ports::FetchFailure,
    readings::aside::{AsideError, aside},
};

/// Reads a body as [`read_body`] does, on a thread of its own.
pub(crate) async fn read_aside(
    body: Bytes,
    house: House,
    profile: &'static Profile,
    now: Timestamp,
) -> Result<Result<FeedReading, Refusal>, AsideError> {
    aside(move || read_body(&body, &house, profile, now)).await
}

/// Reads a body for a house, by the quirks of its provider.
///
/// # Errors
/// What `calmesh_ics::read` refuses.
pub fn read_body(body: &[u8], house: &House, profile: &Profile, now: Timestamp) -> Result<FeedReading, Refusal> {
    let context = ReadContext {
        zone: house.zone(),
        horizon: Horizon::around(now),
        limits: Limits::default(),
        end_is_last_night: profile.quirks.end_is_last_night,
    };
    read(body, &context)
}

/// Refuses what is not a whole calendar, as a failure of the feed.
pub(crate) fn understand(body: &[u8]) -> Result<(), FetchFailure> {
    ics::accept(body, &ics::Limits::default()).map_err(|refusal| refused(&refusal))
}

/// A refused body as a failure.
#[must_use]
pub fn refused(refusal: &ics::Refusal) -> FetchFailure {
    let kind = match refusal {
        ics::Refusal::NotACalendar { .. } => FailureKind::NotACalendar,
        ics::Refusal::Truncated { .. } => FailureKind::Truncated,
        ics::Refusal::TooLarge { .. } => FailureKind::TooLarge,
    };
    FetchFailure { kind, detail: refusal.to_string(), retry_after: None, host: None }
}

pub(crate) fn unasked_304() -> FetchFailure {
    FetchFailure {
        kind: FailureKind::ServerError,
        detail: "The site answered that nothing has changed though it was asked for the whole calendar.".to_owned(),
        retry_after: None,
        host: None,
    }
}
