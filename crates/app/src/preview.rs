//! What a change would open, without making it: the same pure decision, on a copy.

use calmesh_calendar::taken_nights;
use jiff::{Timestamp, civil::Date};

use crate::{App, Draft, model::PropertyState};

impl App {
    /// The nights from today on, in the property's zone, that are taken now and would be free after this decision.
    pub(crate) fn nights_opened_by<T, E>(
        &self,
        before: &PropertyState,
        decide: impl FnOnce(&mut Draft) -> Result<T, E>,
    ) -> Result<Vec<Date>, E> {
        let now = self.clock.now();
        let mut draft = Draft { state: before.clone(), now, activity: Vec::new(), closed_holds: Vec::new() };
        decide(&mut draft)?;
        Ok(nights_opened(before, &draft.state, now))
    }
}

fn nights_opened(before: &PropertyState, after: &PropertyState, now: Timestamp) -> Vec<Date> {
    let (old, new) = (before.house(), after.house());
    let taken = taken_nights(&before.taken(), &old, old.date(now));
    let still = taken_nights(&after.taken(), &new, new.date(now));
    taken.difference(&still).copied().collect()
}
