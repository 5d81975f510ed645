//! One way to change a property: load, decide, commit what differs, announce. Somebody else's change in between
//! means deciding anew on what is there now.

use std::sync::Arc;

use calmesh_calendar::PropertyId;
use jiff::Timestamp;

use crate::{
    changes::{
        ChangeError, ChangeRefusal, Changed, Changes, Decided,
        difference::difference,
        draft::{Draft, History},
        naming::name_things,
        weighing::KnownReads,
    },
    model::{Dirty, PropertyState, happened},
    ports::{Event, StoreError},
};

const ATTEMPTS: u32 = 12;
impl Changes {
    /// Changes a property that is not deleted, and announces that its exports must follow.
    ///
    /// `decide` may run several times, on a fresh state each time. When it leaves the state as it was, nothing is
    /// written and nothing announced.
    ///
    /// # Errors
    /// `NotFound` for an unknown or deleted property, `Refused` with what `decide` answered, `Store` otherwise.
    pub async fn change_property<T, E>(
        &self,
        id: &PropertyId,
        mut decide: impl FnMut(&mut Draft) -> Result<T, E> + Send,
    ) -> Result<Changed<T>, ChangeError<E>>
    where
        T: Send,
        E: Send,
    {
        let changed = self.commit_change(id, false, &mut decide).await?;
        if changed.written {
            self.bus.announce_soon(&[Event::PropertyDirty { property: id.clone() }]).await;
        }
        Ok(changed)
    }

    /// The same in the words of a use case.
    ///
    /// # Errors
    /// What `decide` answered, and what `ChangeRefusal` says for the rest.
    pub(crate) async fn change<T: Send, E: ChangeRefusal>(
        &self,
        id: &PropertyId,
        decide: impl FnMut(&mut Draft) -> Result<T, E> + Send,
    ) -> Result<Changed<T>, E> {
        self.change_property(id, decide).await.map_err(in_words)
    }

    /// The same without the announcement: for who makes the exports follow before the answer
    /// (`Publish::serve_at_once`).
    ///
    /// # Errors
    /// As `change`.
    pub(crate) async fn change_to_serve<T: Send, E: ChangeRefusal>(
        &self,
        id: &PropertyId,
        decide: impl FnMut(&mut Draft) -> Result<T, E> + Send,
    ) -> Result<Changed<T>, E> {
        self.commit_change(id, false, decide).await.map_err(in_words)
    }

    /// Like `change_property`, without the announcement, also for a deleted property: for workers that publish by themselves.
    pub(crate) async fn commit_change<T, E>(
        &self,
        id: &PropertyId,
        deleted_too: bool,
        decide: impl FnMut(&mut Draft) -> Result<T, E> + Send,
    ) -> Result<Changed<T>, ChangeError<E>>
    where
        T: Send,
        E: Send,
    {
        self.commit_change_of(id, None, deleted_too, decide).await
    }

    /// The same, decided first on a state that was loaded a moment ago, which saves reading all of it again.
    pub(crate) async fn commit_change_of<T, E>(
        &self,
        id: &PropertyId,
        known: Option<PropertyState>,
        deleted_too: bool,
        decide: impl FnMut(&mut Draft) -> Result<T, E> + Send,
    ) -> Result<Changed<T>, ChangeError<E>>
    where
        T: Send,
        E: Send,
    {
        let Changed { mut value, state, written } = self.commit_each(id, known, deleted_too, vec![decide]).await?;
        let Some(Decided { value, .. }) = value.pop() else { unreachable!("what is decided once has one value") };
        Ok(Changed { value, state, written })
    }

    /// Several decisions as one change: each is made, and weighed, on what those before it left, as if each had been
    /// committed by itself.
    pub(crate) async fn commit_each<T, E>(
        &self,
        id: &PropertyId,
        mut known: Option<PropertyState>,
        deleted_too: bool,
        mut decisions: Vec<impl FnMut(&mut Draft) -> Result<T, E> + Send>,
    ) -> Result<Changed<Vec<Decided<T>>>, ChangeError<E>>
    where
        T: Send,
        E: Send,
    {
        let mut attempt = 0;
        loop {
            let before = match known.take() {
                Some(known) => known,
                None => self.properties.load(id).await?.ok_or(ChangeError::NotFound)?,
            };
            let before = Arc::new(before);
            if before.property.deleted_at.is_some() && !deleted_too {
                return Err(ChangeError::NotFound);
            }
            let now = self.clock.now();
            let (mut state, mut history) = (PropertyState::clone(&before), History::default());
            let mut values = Vec::with_capacity(decisions.len());
            let mut reads = KnownReads::for_decisions(decisions.len());
            for (nth, decide) in decisions.iter_mut().enumerate() {
                let on = if nth == 0 { Arc::clone(&before) } else { Arc::new(state.clone()) };
                let mut draft = self.draft(state, now);
                let value = decide(&mut draft).map_err(ChangeError::Refused)?;
                self.weigh(&on, &mut draft, &mut reads).await?;
                name_things(&mut draft.history.activity, &on, &draft.state);
                history.extend(draft.history);
                values.push(Decided { value, passed_holds: draft.passed_holds });
                state = draft.state;
            }
            if state == *before && history.is_empty() {
                return Ok(Changed { value: values, state, written: false });
            }
            list_feeds(&mut state);
            let reading = state.connections.iter().filter(|connection| connection.is_read());
            state.property.reading = reading.map(|connection| connection.id.clone()).collect();
            state.property.revision = before.property.revision + 1;
            // Clocks differ a little; later revisions are never made earlier, unless a clock was wrong.
            state.property.revised_at = happened(before.property.revised_at, now).max(Some(now));
            // What became due first stays due: who tells of it must know since when.
            let since = happened(before.property.dirty.map(|dirty| dirty.since), now).unwrap_or(now);
            state.property.dirty = Some(Dirty { since, ..Dirty::new(now) });
            let commit = difference(Some(&before), &state, history);
            match self.properties.commit(&commit).await {
                Ok(()) => return Ok(Changed { value: values, state, written: true }),
                Err(StoreError::Stale) if attempt < ATTEMPTS => {
                    attempt += 1;
                    self.let_others_through(attempt).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writers of one property take turns; a little time apart lets one of them through.
    async fn let_others_through(&self, attempt: u32) {
        let [jitter, ..] = self.randomness.id();
        let pause = u64::from(attempt) * 5 + u64::from(jitter % 16);
        tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
    }

    pub(crate) fn draft(&self, state: PropertyState, now: Timestamp) -> Draft {
        let echo_key = self.echo_key;
        Draft { state, now, read: None, replaced: None, echo_key, history: History::default(), passed_holds: 0 }
    }
}

fn in_words<E: ChangeRefusal>(error: ChangeError<E>) -> E {
    match error {
        ChangeError::NotFound => E::not_found(),
        ChangeError::Refused(error) => error,
        ChangeError::Store(error) => error.into(),
    }
}

/// Every feed is in the account's list, also one that an earlier version wrote down.
fn list_feeds(state: &mut PropertyState) {
    for connection in &mut state.connections {
        if let Some(import) = &mut connection.import {
            import.listed = Some(import.url.mark(&connection.account));
        }
    }
}
