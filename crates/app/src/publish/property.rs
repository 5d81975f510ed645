//! Making exports follow: what time brings about, then every private link rendered, and only what differs put.
//!
//! Objects are read before the state that they are rendered from, and put with `If-Match`: whoever rendered an
//! older state finds that its object has moved on, or that its state has.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use calmesh_calendar::{
    ConnectionId, Extent, LinkId, Origin, Picture, PropertyId, ViewEvent, Viewer, next_departure, span::Later, view,
};
use calmesh_ics::{Document, DocumentEvent, render};
use calmesh_profiles::Profile;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp, civil::date};

use crate::{
    changes::{
        ChangeError,
        draft::Draft,
        naming::{all_in_words, provider_in_words},
    },
    model::{
        ActivityKind, Connection, Detail, Dirty, ExtraLink, Format, LinkToken, Property, PropertyState, RetiringLink,
        RetiringServes, SecretHash, Status, is_ahead,
    },
    ports::{Event, ExportVersion, ExportWriteError, PageRequest, StoreError},
    publish::{Publish, served::stays_on_link},
    readings::{
        judge::says,
        kept::{KeptBodies, take_kept},
    },
    tags::{echo_tag, export_name},
    trouble::WorkError,
};

const ATTEMPTS: u32 = 12;
/// How long an answer waits for its new link to be there.
const AT_ONCE: std::time::Duration = std::time::Duration::from_secs(3);
/// A dirty extra link that changes again is announced again no sooner.
const DEBOUNCE: SignedDuration = SignedDuration::from_secs(10);
/// Links ask their readers to come back this often.
const REFRESH_MINUTES: u32 = 15;
/// Stays are forgotten so long after they departed: longer than any feed shows its past.
const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_hours(24 * 35);
/// What `busy` links call everything.
const NOT_AVAILABLE: &str = "Not available";

/// So many objects of one property are looked at at the same time.
const OBJECTS_AT_ONCE: usize = 8;

/// Which bytes lie behind the links.
type Versions = BTreeMap<LinkToken, Option<ExportVersion>>;

impl Publish {
    /// Makes the exports of a property follow its state, and does what its time has come for: a pause that ends, a
    /// link that retires, a stay that departed, a horizon that moved. Doing it twice changes nothing.
    ///
    /// # Errors
    /// When the store or the objects can't be reached; the dirty mark stays, so it is tried again.
    pub async fn publish_property(&self, id: &PropertyId) -> Result<(), WorkError> {
        self.publish(id, None).await.map(drop)
    }

    /// The same from a state that was loaded or written a moment ago, which saves reading all of it again. Answers the
    /// state as it is when the exports stand; none where the property is gone.
    ///
    /// # Errors
    /// As `publish_property`.
    pub(crate) async fn publish_known(&self, known: PropertyState) -> Result<Option<PropertyState>, WorkError> {
        let id = known.property.id.clone();
        self.publish(&id, Some(known)).await
    }

    async fn publish(
        &self,
        id: &PropertyId,
        mut known: Option<PropertyState>,
    ) -> Result<Option<PropertyState>, WorkError> {
        let mut put = BTreeSet::new();
        for _ in 0..ATTEMPTS {
            let state = match known.take() {
                Some(known) => Some(known),
                None => self.properties.load(id).await?,
            };
            let Some(state) = state else {
                // It was purged while this worker rendered it: nothing of it may stay behind.
                for token in &put {
                    self.exports.delete_export(token).await?;
                }
                return Ok(None);
            };
            let has_come = wake_at(&state, self.clock.now()).is_some_and(|at| at <= self.clock.now());
            let state = if has_come { self.let_time_pass(state).await? } else { state };
            if let Some(state) = self.publish_once(state, &mut put).await? {
                return Ok(Some(state));
            }
        }
        Err(StoreError::Stale.into())
    }

    /// One round; answers nothing when something moved in between. `put` collects the links that were written.
    async fn publish_once(
        &self,
        known: PropertyState,
        put: &mut BTreeSet<LinkToken>,
    ) -> Result<Option<PropertyState>, WorkError> {
        let id = known.property.id.clone();
        let versions = self.versions_of(tokens(&known)).await?;
        // Only now the state: no object was looked at after it.
        let Some(mut state) = self.as_it_stands(known).await? else { return Ok(None) };
        let now = self.clock.now();
        if tokens(&state).iter().any(|token| !versions.contains_key(token)) {
            return Ok(None);
        }
        if self.retire(&state, now).await? {
            return Ok(None);
        }
        let Some(moved) = self.put_what_differs(self.exports_of(&state, now)?, &versions, put).await? else {
            return Ok(None);
        };
        let moved: Vec<(ConnectionId, Timestamp)> = state
            .connections
            .iter()
            .filter(|connection| connection.export.as_ref().is_some_and(|export| moved.contains(&export.token)))
            .map(|connection| (connection.id.clone(), now))
            .collect();
        let time_has_come = state.property.wake_at.is_some_and(|at| at <= now);
        if state.property.dirty.is_some() || time_has_come {
            self.mark_extra_links(&state).await?;
        }
        if let Some(dirty) = state.property.dirty {
            self.tell_conflicts(&state, dirty.since).await?;
        }
        let (wake_at, was_dirty) = (wake_at(&state, now), state.property.dirty.is_some());
        if was_dirty || state.property.wake_at != wake_at || !moved.is_empty() {
            match self.properties.settle(&id, state.property.revision, wake_at, &moved).await {
                Ok(()) => settle(&mut state, wake_at, &moved),
                Err(StoreError::Stale) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        if was_dirty {
            let event = Event::PropertyChanged {
                account: state.property.account.clone(),
                property: id,
                revision: state.property.revision,
            };
            self.bus.announce_soon(&[event]).await;
        }
        if state.property.deleted_at.is_some() && state.connections.is_empty() && state.retiring.is_empty() {
            self.properties.purge(&state.property.id).await?;
        }
        Ok(Some(state))
    }

    /// The links that differ from what stands there, put; answers nothing when somebody else put one meanwhile.
    async fn put_what_differs(
        &self,
        exports: Vec<(LinkToken, Vec<u8>)>,
        versions: &Versions,
        put: &mut BTreeSet<LinkToken>,
    ) -> Result<Option<Vec<LinkToken>>, WorkError> {
        let mut moved = Vec::new();
        for (token, bytes) in exports {
            let version = versions.get(&token).and_then(Option::as_ref);
            match self.put_if_different(&token, version, bytes).await {
                Ok(false) => {}
                Ok(true) => {
                    put.insert(token.clone());
                    moved.push(token);
                }
                Err(ExportWriteError::Stale) => return Ok(None),
                Err(ExportWriteError::Object(error)) => return Err(error.into()),
            }
        }
        Ok(Some(moved))
    }

    /// Tells whoever listens of the conflicts that opened since an instant: before the mark is cleared, so that none is
    /// lost, and perhaps twice.
    async fn tell_conflicts(&self, state: &PropertyState, since: Timestamp) -> Result<(), WorkError> {
        let opened = state.conflicts.iter().filter(|conflict| conflict.opened_at >= since && !conflict.settled);
        let events: Vec<Event> = opened
            .map(|conflict| Event::ConflictOpened {
                account: state.property.account.clone(),
                property: state.property.id.clone(),
                conflict: conflict.id.clone(),
            })
            .collect();
        if !events.is_empty() {
            self.bus.publish(&events).await?;
            tracing::info!(target: "calmesh::metric", conflicts_opened = events.len());
        }
        Ok(())
    }

    async fn versions_of(&self, tokens: Vec<LinkToken>) -> Result<Versions, WorkError> {
        let looks: Vec<_> = tokens
            .into_iter()
            .map(|token| async move { Ok::<_, WorkError>((self.exports.export_version(&token).await?, token)) })
            .collect();
        let found: Vec<_> = stream::iter(looks).buffer_unordered(OBJECTS_AT_ONCE).try_collect().await?;
        Ok(found.into_iter().map(|(version, token)| (token, version)).collect())
    }

    /// A state as it stands now. What is known counts while its revision does: then the head alone is read, for its
    /// marks, which move without a revision.
    async fn as_it_stands(&self, known: PropertyState) -> Result<Option<PropertyState>, StoreError> {
        let id = known.property.id.clone();
        match self.properties.property(&id).await? {
            None => Ok(None),
            Some(property) if property.revision == known.property.revision => {
                Ok(Some(PropertyState { property, ..known }))
            }
            Some(_) => self.properties.load(&id).await,
        }
    }

    /// Puts an object only where its bytes differ; answers whether it did.
    async fn put_if_different(
        &self,
        token: &LinkToken,
        version: Option<&ExportVersion>,
        bytes: Vec<u8>,
    ) -> Result<bool, ExportWriteError> {
        if version == Some(&self.exports.version_of(&bytes)) {
            return Ok(false);
        }
        self.exports.put_export(token, Bytes::from(bytes), version).await?;
        Ok(true)
    }

    /// Ends links whose time is over: first the object, then the record of it.
    async fn retire(&self, state: &PropertyState, now: Timestamp) -> Result<bool, WorkError> {
        let over: Vec<LinkToken> =
            state.retiring.iter().filter(|link| link.until <= now).map(|link| link.token.clone()).collect();
        if over.is_empty() {
            return Ok(false);
        }
        for token in &over {
            self.exports.delete_export(token).await?;
        }
        let reads = self.last_reads_of_rotated(state, &over, now).await?;
        let forget = |draft: &mut Draft| {
            // One that was given more time meanwhile is put again by the next round.
            let now = draft.now;
            let goes = |link: &RetiringLink| link.until <= now && over.contains(&link.token);
            let gone: Vec<RetiringLink> = draft.state.retiring.extract_if(.., |link| goes(link)).collect();
            for link in gone {
                // With a link goes the record of its reads: what is left speaks for the time since the last of them.
                let last_read = reads.get(&link.token).copied().flatten();
                if let RetiringServes::Current { connection } = link.serves
                    && let Some(export) = draft.connection_mut(&connection).and_then(|known| known.export.as_mut())
                {
                    let after = last_read.map(|at| at.later(SignedDuration::from_millis(1)));
                    export.recorded_since = export.recorded_since.max(after.unwrap_or(export.recorded_since));
                }
            }
            Ok::<_, WorkError>(())
        };
        match self.changes.commit_change(&state.property.id, true, forget).await {
            Ok(_) | Err(ChangeError::NotFound) => Ok(true),
            Err(ChangeError::Refused(error)) => Err(error),
            Err(ChangeError::Store(error)) => Err(error.into()),
        }
    }

    /// When those of these links were last read that were rotated away and served what the present one does.
    async fn last_reads_of_rotated(
        &self,
        state: &PropertyState,
        over: &[LinkToken],
        now: Timestamp,
    ) -> Result<BTreeMap<LinkToken, Option<Timestamp>>, StoreError> {
        let is_rotated = |link: &&RetiringLink| matches!(link.serves, RetiringServes::Current { .. });
        let rotated = state.retiring.iter().filter(is_rotated).map(|link| link.token.clone());
        let rotated: Vec<LinkToken> = rotated.filter(|token| over.contains(token)).collect();
        if rotated.is_empty() {
            return Ok(BTreeMap::new());
        }
        let hashes: Vec<SecretHash> = rotated.iter().map(LinkToken::hash).collect();
        let reads = self.changes.links.reads(&hashes, now).await?;
        Ok(rotated.into_iter().zip(reads.into_iter().map(|reads| reads.last_read_at)).collect())
    }

    /// Every private link of a property with the bytes that it serves now.
    fn exports_of(&self, state: &PropertyState, now: Timestamp) -> Result<Vec<(LinkToken, Vec<u8>)>, StoreError> {
        let echo = self.echo_key;
        let (sources, house) = (state.sources(), state.house());
        let picture = state.picture(&sources, &house);
        let mut out = Vec::new();
        for connection in &state.connections {
            if let Some(export) = &connection.export {
                out.push((export.token.clone(), render_connection(&echo, state, &picture, connection, now)));
            }
        }
        for link in &state.retiring {
            let bytes = match &link.serves {
                RetiringServes::Empty { provider } | RetiringServes::Stopped { provider, .. } => {
                    render(&document(String::from(BUSY_NAME), Vec::new(), provider.profile()))
                }
                RetiringServes::Current { connection } => match state.connection(connection) {
                    Some(connection) => render_connection(&echo, state, &picture, connection, now),
                    None => render(&document(String::from(BUSY_NAME), Vec::new(), calmesh_profiles::generic())),
                },
            };
            out.push((link.token.clone(), bytes));
        }
        Ok(out)
    }

    /// Puts a new link's calendar there before its address is told, so that a site that tries the link at once finds it.
    /// Best effort within a moment; where it fails, a worker sees to it. Answers the state as it then is.
    pub(crate) async fn serve_at_once(&self, state: PropertyState) -> PropertyState {
        let property = state.property.id.clone();
        match at_once(self.publish_known(state.clone())).await {
            Some(settled) => settled.unwrap_or(state),
            None => {
                self.bus.announce_soon(&[Event::PropertyDirty { property }]).await;
                state
            }
        }
    }

    /// The same for an extra link.
    pub(crate) async fn serve_link_at_once(&self, link: &LinkId) {
        let _ = at_once(self.publish_link(link)).await;
    }

    // ---- extra links --------------------------------------------------------------------------------------------

    /// Marks the extra links that show this property: they follow by a job of their own, so that a change of one
    /// property does not cost the whole account.
    async fn mark_extra_links(&self, state: &PropertyState) -> Result<(), WorkError> {
        let mut after = None;
        loop {
            let page = self.links.links(&state.property.account, PageRequest { limit: 100, after }).await?;
            for link in page.items.iter().filter(|link| link.shows(&state.property.id)) {
                self.mark_link(&link.id).await?;
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Marks one extra link dirty and announces it.
    ///
    /// # Errors
    /// When the store can't be reached.
    pub async fn mark_link(&self, id: &LinkId) -> Result<(), WorkError> {
        for _ in 0..ATTEMPTS {
            let found = self.links.link(id).await?;
            let Some(mut link) = found.filter(|link| link.deleted_at.is_none()) else { return Ok(()) };
            let now = self.clock.now();
            link.revision += 1;
            // A worker that renders the link already finds the new revision and renders once more; only should it
            // have died is the link announced again. So many changes cost few renders.
            let known = link.dirty;
            let fresh = Dirty::new(now);
            link.dirty = Some(known.map_or(fresh, |dirty| Dirty {
                since: dirty.since,
                announce_at: dirty.announce_at.min(now.later(DEBOUNCE)),
                ..fresh
            }));
            match self.links.put_link(&link).await {
                Ok(()) => {
                    if known.is_none() {
                        self.bus.announce_soon(&[Event::LinkDirty { link: id.clone() }]).await;
                    }
                    return Ok(());
                }
                Err(StoreError::Stale) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Stale.into())
    }

    /// Makes the export of an extra link follow.
    ///
    /// # Errors
    /// When the store or the objects can't be reached; the dirty mark stays.
    pub async fn publish_link(&self, id: &LinkId) -> Result<(), WorkError> {
        for _ in 0..ATTEMPTS {
            let Some(known) = self.links.link(id).await? else { return Ok(()) };
            let version = self.exports.export_version(&known.token).await?;
            let Some(link) = self.links.link(id).await? else { return Ok(()) };
            let now = self.clock.now();
            if link.retires_at().is_some_and(|at| at <= now) {
                return self.bury_link(&link).await;
            }
            let (events, name) = self.events_of_link(&link, now).await?;
            let bytes = render(&document(name, events, calmesh_profiles::generic()));
            let put = match self.put_if_different(&link.token, version.as_ref(), bytes).await {
                Ok(put) => put,
                Err(ExportWriteError::Stale) => continue,
                Err(ExportWriteError::Object(error)) => return Err(error.into()),
            };
            // A link that ended while it was rendered must not stay behind as an object.
            if self.links.link(id).await?.is_none() {
                self.exports.delete_export(&link.token).await?;
                return Ok(());
            }
            let changed_at = if put { Some(now) } else { link.last_changed_at };
            match self.links.settle_link(id, link.revision, link.retires_at(), changed_at).await {
                Ok(()) => return Ok(()),
                Err(StoreError::Stale) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Stale.into())
    }

    /// Ends a deleted link whose week is over: first its object, then the record of it.
    ///
    /// # Errors
    /// What failed, to be tried again.
    pub(crate) async fn bury_link(&self, link: &ExtraLink) -> Result<(), WorkError> {
        self.exports.delete_export(&link.token).await?;
        self.links.delete_link(&link.id).await?;
        Ok(())
    }

    async fn events_of_link(
        &self,
        link: &ExtraLink,
        now: Timestamp,
    ) -> Result<(Vec<DocumentEvent>, String), WorkError> {
        if link.deleted_at.is_some() {
            return Ok((Vec::new(), String::from(BUSY_NAME)));
        }
        let echo = self.echo_key;
        let ids = self.properties.properties_of_link(link).await?;
        let mut events = Vec::new();
        let mut shown = Vec::new();
        for id in &ids {
            let Some(state) = self.properties.load(id).await? else { continue };
            if state.property.deleted_at.is_none() && state.property.account == link.account {
                let (sources, house) = (state.sources(), state.house());
                let viewer = Viewer { own: None, times: link.format == Format::Times };
                events.extend(events_of(&echo, &state, &state.picture(&sources, &house), viewer, link.detail, now));
                shown.push(untelling_name(&state));
            }
        }
        let name = match link.detail {
            Detail::Busy => busy_name(&shown),
            Detail::Label | Detail::Full => link.name.clone(),
        };
        Ok((events, name))
    }

    // ---- what time brings about ---------------------------------------------------------------------------------

    /// What a pause that ended by itself left unread is read at once.
    async fn refresh_resumed(&self, property: &Property, resumed: &[ConnectionId]) {
        for connection in resumed {
            self.refreshing.soon(&property.account, &property.id, connection).await;
        }
    }

    /// Does what its time has come for. Feeds that mean more as the horizon moves on are judged anew from their kept bodies.
    async fn let_time_pass(&self, state: PropertyState) -> Result<PropertyState, WorkError> {
        let now = self.clock.now();
        let from = self.kept_at();
        let mut kept = KeptBodies::default();
        for connection in
            state.connections.iter().filter(|connection| must_be_judged_anew(&state.property, connection, now))
        {
            kept.load::<WorkError>(&from, connection, &state.house()).await?;
        }
        let pass = |draft: &mut Draft| {
            let moved: Vec<ConnectionId> = draft
                .state
                .connections
                .iter()
                .filter(|connection| must_be_judged_anew(&draft.state.property, connection, draft.now))
                .map(|connection| connection.id.clone())
                .collect();
            for connection in &moved {
                // One that has taken in another body since is judged by the next wake.
                let _ = take_kept(draft, connection, &kept, &mut self.randomness.ids_in(&state.property.id));
            }
            // A change by a clock that was ahead is followed by one at the right time.
            if was_changed_ahead(&draft.state.property, draft.now) {
                draft.state.property.revised_at = None;
            }
            Ok::<_, WorkError>(pass_time(draft))
        };
        match self.changes.commit_change(&state.property.id, true, pass).await {
            Ok(changed) => {
                self.refresh_resumed(&changed.state.property, &changed.value).await;
                Ok(changed.state)
            }
            Err(ChangeError::NotFound) => Ok(state),
            Err(ChangeError::Refused(error)) => Err(error),
            Err(ChangeError::Store(error)) => Err(error.into()),
        }
    }
}

fn render_connection(
    echo: &[u8; 32],
    state: &PropertyState,
    picture: &Picture<'_>,
    connection: &Connection,
    now: Timestamp,
) -> Vec<u8> {
    let Some(export) = &connection.export else { return Vec::new() };
    let name = name_of_connections_link(state, connection, export.detail);
    let events = stays_on_link(state, picture, connection, now);
    let events = events.into_iter().map(|event| event_of(echo, state, event, export.detail)).collect();
    render(&document(name, events, connection.profile()))
}

/// The events that one viewer sees of a property.
fn events_of(
    echo: &[u8; 32],
    state: &PropertyState,
    picture: &Picture<'_>,
    viewer: Viewer<'_>,
    detail: Detail,
    now: Timestamp,
) -> Vec<DocumentEvent> {
    let events = view(picture, viewer, state.property.rules_changed_at, now);
    events.into_iter().map(|event| event_of(echo, state, event, detail)).collect()
}

fn event_of(echo: &[u8; 32], state: &PropertyState, event: ViewEvent, detail: Detail) -> DocumentEvent {
    let prefix = &state.property.label_prefix;
    let source = event.source.as_ref().and_then(|id| state.connection(id));
    let label = match source {
        Some(connection) => format!("{prefix}{}", connection.name),
        None if event.turnover => format!("{prefix}Turnover"),
        None => format!("{prefix}Own"),
    };
    let own_words = event.own_summary.filter(|words| !words.trim().is_empty());
    let summary = match detail {
        Detail::Busy => NOT_AVAILABLE.to_owned(),
        Detail::Label => label,
        Detail::Full => own_words.unwrap_or(label),
    };
    let named_at = match detail {
        Detail::Busy => None,
        Detail::Label | Detail::Full => source.map(|connection| connection.named_at),
    };
    DocumentEvent {
        uid: export_uid(echo, &state.property.id, &export_name(&event.block, event.turnover, event.piece)),
        extent: event.extent,
        summary,
        description: None,
        stamp: named_at.map_or(event.changed_at, |at| at.max(event.changed_at)),
        sequence: event.sequence,
    }
}

/// A UID that stays with the block, with a keyed tag by which we know it when it comes back.
fn export_uid(echo: &[u8; 32], property: &PropertyId, name: &str) -> String {
    let tag = echo_tag(echo, property, name);
    format!("{name}-{tag}@calmesh")
}

/// What was done within the moment that an answer waits for it.
async fn at_once<T>(publish: impl Future<Output = Result<T, WorkError>>) -> Option<T> {
    match tokio::time::timeout(AT_ONCE, publish).await {
        Ok(Ok(done)) => return Some(done),
        Ok(Err(error)) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "a new link is left to the worker");
        }
        Err(_) => tracing::warn!("a new link is left to the worker: there was no time for it"),
    }
    None
}

/// Does to a state what settling it does in the store.
fn settle(state: &mut PropertyState, wake_at: Option<Timestamp>, moved: &[(ConnectionId, Timestamp)]) {
    state.property.dirty = None;
    state.property.wake_at = wake_at;
    for connection in &mut state.connections {
        let at = moved.iter().filter(|(of, _)| *of == connection.id).map(|(_, at)| *at).max();
        if let Some(export) = &mut connection.export {
            export.last_changed_at = export.last_changed_at.max(at);
        }
    }
}

/// What has come to its time: pauses that end by themselves, stays long departed.
/// Answers the connections that were resumed.
fn pass_time(draft: &mut Draft) -> Vec<ConnectionId> {
    let now = draft.now;
    let resumed: Vec<(ConnectionId, String)> = draft
        .state
        .connections
        .iter_mut()
        .filter(|connection| matches!(connection.status, Status::Paused { until: Some(until) } if until <= now))
        .map(|connection| {
            connection.status = Status::Active;
            connection.version += 1;
            if let Some(import) = &mut connection.import {
                import.since = now;
            }
            (connection.id.clone(), connection.name.clone())
        })
        .collect();
    for (id, name) in &resumed {
        draft.note(Some(id), ActivityKind::ConnectionResumed { name: name.clone() });
    }
    let house = draft.state.house();
    draft.state.blocks.retain(|block| {
        matches!(block.origin, Origin::Own { .. }) || block.extent.times(&house).end().later(FORGOTTEN_AFTER) > now
    });
    resumed.into_iter().map(|(id, _)| id).collect()
}

/// Whether what a feed says within the horizon may be more by now, or was decided by a clock that was ahead.
fn must_be_judged_anew(property: &Property, connection: &Connection, now: Timestamp) -> bool {
    let was_ahead = was_changed_ahead(property, now);
    connection.is_read()
        && connection.applied().is_some_and(|applied| {
            was_ahead || is_ahead(applied.horizon_at, now) || applied.more_at.is_some_and(|at| at <= now)
        })
}

/// Whether a property was changed by a clock that was ahead: then stays may have been taken for departed.
fn was_changed_ahead(property: &Property, now: Timestamp) -> bool {
    property.revised_at.is_some_and(|at| is_ahead(at, now))
}

/// When something must happen next though no feed changes.
fn wake_at(state: &PropertyState, now: Timestamp) -> Option<Timestamp> {
    let house = state.house();
    let pauses = state.connections.iter().filter_map(|connection| match connection.status {
        Status::Paused { until } => until,
        Status::Active => None,
    });
    let reading = state.connections.iter().filter(|connection| connection.is_read());
    let horizons = reading.filter_map(|connection| {
        let applied = connection.applied()?;
        is_ahead(applied.horizon_at, now).then_some(now).or(applied.more_at)
    });
    let links = state.retiring.iter().map(|link| link.until);
    let forgotten = state
        .blocks
        .iter()
        .filter(|block| !block.is_own())
        .map(|block| block.extent.times(&house).end().later(FORGOTTEN_AFTER));
    let departures = next_departure(&state.blocks, &house, now);
    // A site that is asked and can't be read is asked no more after a while.
    let questions = state.claims.questions_end_at();
    let mended = was_changed_ahead(&state.property, now).then_some(now);
    pauses.chain(mended).chain(questions).chain(horizons).chain(links).chain(forgotten).chain(departures).min()
}

/// The tokens of every link of a property that serves something.
fn tokens(state: &PropertyState) -> Vec<LinkToken> {
    let own = state.connections.iter().filter_map(|connection| connection.export.as_ref()).map(|export| &export.token);
    own.chain(state.retiring.iter().map(|link| &link.token)).cloned().collect()
}

/// The name of a calendar that shows nothing, and of a `busy` one where the property's name tells too much.
const BUSY_NAME: &str = "Availability";
/// Extra links name so many of their properties.
const PROPERTIES_NAMED: usize = 3;

/// What the link of a connection shows: that of the property which others took. A `busy` one tells nothing else.
fn name_of_connections_link(state: &PropertyState, connection: &Connection, detail: Detail) -> String {
    let property = &state.property.name;
    match detail {
        Detail::Busy => busy_name(&[untelling_name(state)]),
        Detail::Label | Detail::Full if connection.import.is_some() => {
            format!("{property}: all but {}", connection.name)
        }
        Detail::Label | Detail::Full => format!("{property}: all that is taken"),
    }
}

/// `Harbour flat: not available`; the plain one where the name of a property tells too much.
fn busy_name(properties: &[Option<String>]) -> String {
    let Some(names) = properties.iter().map(Option::as_deref).collect::<Option<Vec<&str>>>() else {
        return BUSY_NAME.to_owned();
    };
    let more = format!("{} more", names.len().saturating_sub(PROPERTIES_NAMED));
    let named = match names.get(..PROPERTIES_NAMED) {
        Some(first) if names.len() > PROPERTIES_NAMED => [first, &[more.as_str()]].concat(),
        _ => names,
    };
    all_in_words(&named).map_or_else(|| BUSY_NAME.to_owned(), |named| format!("{named}: not available"))
}

/// A property's name, unless it says a provider or a connection: a host may well call a home by those, and a `busy` link
/// tells nobody.
fn untelling_name(state: &PropertyState) -> Option<String> {
    let name = &state.property.name;
    let tells = calmesh_profiles::all().iter().any(|profile| says(name, provider_in_words(profile)))
        || state.connections.iter().any(|connection| says(name, &connection.name));
    (!tells && !name.trim().is_empty()).then(|| name.clone())
}

/// A calendar with these events, and with what its reader needs of an empty one.
fn document(name: String, mut events: Vec<DocumentEvent>, profile: &Profile) -> Document {
    if events.is_empty() && profile.quirks.far_past_event_when_empty {
        events.extend(far_past_event());
    }
    Document { name, refresh_minutes: REFRESH_MINUTES, events }
}

/// One night long ago, for readers that refuse a calendar without any event.
fn far_past_event() -> Option<DocumentEvent> {
    let nights = calmesh_calendar::Nights::new(date(1970, 1, 1), date(1970, 1, 2)).ok()?;
    Some(DocumentEvent {
        uid: "nothing-is-taken@calmesh".to_owned(),
        extent: Extent::Nights(nights),
        summary: NOT_AVAILABLE.to_owned(),
        description: None,
        stamp: Timestamp::UNIX_EPOCH,
        sequence: 0,
    })
}
