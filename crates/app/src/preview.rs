//! What a change would open, without making it: the same pure decision, on a copy.

use calmesh_calendar::taken_nights;
use jiff::{Timestamp, civil::Date};

use crate::{App, Draft, model::PropertyState, ports::StoreError};

impl App {
    /// The nights from today on, in the property's zone, that are taken now and would be free after this decision.
    pub(crate) async fn nights_opened_by<T, E: From<StoreError>>(
        &self,
        before: &PropertyState,
        decide: impl FnOnce(&mut Draft) -> Result<T, E>,
    ) -> Result<Vec<Date>, E> {
        let mut draft = self.trial(before.clone());
        decide(&mut draft)?;
        self.weigh(before, &mut draft).await?;
        Ok(nights_opened(before, &draft.state, draft.now))
    }

    /// A draft that nobody will commit.
    pub(crate) fn trial(&self, state: PropertyState) -> Draft {
        self.draft(state, self.clock.now())
    }
}

/// The nights from today on that were taken before and are free after.
pub(crate) fn nights_opened(before: &PropertyState, after: &PropertyState, now: Timestamp) -> Vec<Date> {
    let (old, new) = (before.house(), after.house());
    let taken = taken_nights(&before.taken(), &old, old.date(now));
    let still = taken_nights(&after.taken(), &new, new.date(now));
    taken.difference(&still).copied().collect()
}
