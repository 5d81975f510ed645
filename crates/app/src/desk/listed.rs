//! Lists of nights as they are told: the first of them, and how many more there are.

use calmesh_calendar::{Nights, span::Days};
use jiff::{Timestamp, civil::Date, tz::TimeZone};

use crate::limits::{DAYS_BACK, NIGHTS_LISTED};

/// The first nights of a stretch that count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedNights {
    /// In order, from 30 days before the thing was opened; at most `NIGHTS_LISTED`.
    pub nights: Vec<Date>,
    /// How many nights it has beside these.
    pub more: u32,
}

impl ListedNights {
    /// None are listed where it takes no night.
    #[must_use]
    pub fn of(nights: Option<Nights>, opened_at: Timestamp) -> Self {
        let first = opened_at.to_zoned(TimeZone::UTC).date().days_later(-i64::from(DAYS_BACK));
        let all = nights.map_or(0, Nights::count);
        let listed: Vec<Date> = nights
            .and_then(|nights| Nights::new(nights.first().max(first), nights.end()).ok())
            .into_iter()
            .flat_map(Nights::iter)
            .take(NIGHTS_LISTED)
            .collect();
        let more = all.saturating_sub(u32::try_from(listed.len()).unwrap_or(u32::MAX));
        Self { nights: listed, more }
    }
}
