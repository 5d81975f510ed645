//! What is taken in a property, and whether something may still be sold. Reads stored state alone.

use calmesh_calendar::{Availability, BlockId, ConnectionId, PropertyId, in_the_way};
use jiff::{
    Timestamp, Unit,
    civil::{Date, DateTime},
};

use crate::{
    desk::{
        Desk,
        blocks::{When, extent_of, refuse_past},
        edit::{Flaws, InvalidField},
        reach::Reach,
    },
    limits::DAYS_AHEAD,
    ports::StoreError,
};

/// Taken nights and intervals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvailabilityView {
    /// Every night of the range; no blocks means that it is free.
    pub nights: Vec<calmesh_calendar::NightAvailability>,
    /// Runs of taken time, on the property's clock.
    pub intervals: Vec<TakenInterval>,
    /// The present day on the property's clock: nights before it are past.
    pub today: Date,
}

/// A longest run of taken time, on the property's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenInterval {
    pub start: DateTime,
    pub end: DateTime,
    pub blocks: Vec<BlockId>,
}

/// Whether a span may be sold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaleCheck {
    /// In order of time; none means that it may.
    pub blocked_by: Vec<BlockId>,
    /// Every calendar that is read was seen at this instant or later. None while one of them was never read.
    pub valid_as_of: Option<Timestamp>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AvailabilityError {
    #[error("no such property")]
    NotFound,
    #[error("a parameter is not valid")]
    Invalid(Vec<InvalidField>),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Desk {
    /// What is taken from the night of `from` to the night before `to`.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` unless `from` is before `to` and 760 days away at most, or the store's.
    pub async fn availability(
        &self,
        reach: &Reach,
        property: &PropertyId,
        from: Date,
        to: Date,
    ) -> Result<AvailabilityView, AvailabilityError> {
        let state = self.state_within(reach, property).await?.ok_or(AvailabilityError::NotFound)?;
        let mut flaws = Flaws::default();
        if from >= to {
            flaws.add("to", "must be after from; the night of to is not included");
        } else if from.until((Unit::Day, to)).map_or(true, |span| span.get_days() > DAYS_AHEAD) {
            flaws.add("to", format!("must be at most {DAYS_AHEAD} days after from"));
        }
        flaws.into_result().map_err(AvailabilityError::Invalid)?;
        let house = state.house();
        let Availability { nights, intervals } = calmesh_calendar::availability(&state.taken(), &house, from, to);
        let intervals = intervals.into_iter().map(|one| TakenInterval {
            start: house.local(one.times.start()),
            end: house.local(one.times.end()),
            blocks: one.blocks,
        });
        let today = house.date(self.clock.now());
        Ok(AvailabilityView { nights, intervals: intervals.collect(), today })
    }

    /// Whether this extra night, these extra hours may be sold.
    ///
    /// # Errors
    /// `NotFound`, `Invalid`, or the store's.
    pub async fn check_sale(
        &self,
        reach: &Reach,
        property: &PropertyId,
        start: When,
        end: When,
    ) -> Result<SaleCheck, AvailabilityError> {
        let state = self.state_within(reach, property).await?.ok_or(AvailabilityError::NotFound)?;
        let house = state.house();
        let extent = extent_of(start, end, &house).map_err(AvailabilityError::Invalid)?;
        refuse_past(extent, &state, &house, self.clock.now()).map_err(|flaw| AvailabilityError::Invalid(vec![flaw]))?;
        let blocked_by = in_the_way(&state.taken(), extent, &house);
        let reading: Vec<&crate::model::Connection> =
            state.connections.iter().filter(|connection| connection.is_read() && connection.policy().blocks).collect();
        let ids: Vec<ConnectionId> = reading.iter().map(|connection| connection.id.clone()).collect();
        let readings = self.readings_of(&state.property, &ids).await?;
        let seen = reading.iter().map(|connection| readings.last_refreshed_at(connection));
        let valid_as_of = seen.min().unwrap_or(Some(self.clock.now()));
        Ok(SaleCheck { blocked_by, valid_as_of })
    }
}
