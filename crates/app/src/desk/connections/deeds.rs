//! What hosts do with connections: prepared, decided, and followed.

use std::collections::BTreeSet;

use calmesh_calendar::{ConnectionId, PropertyId, RefreshId};
use jiff::Timestamp;

use crate::{
    changes::draft::Draft,
    desk::{
        Desk,
        advice::Advice,
        connections::{
            ConnectionEdit, ConnectionError, ConnectionView, ExportView, NewConnection, TurnedOn,
            decide::{
                BY_URL, FeedSeen, Needed, Prepared, ROTATED_MOST, apply_creation, apply_deletion, apply_edit,
                apply_pause, apply_resumption, apply_rotation, connection_with, detected, edited, export_token, needed,
                parked_snapshot, refuse_provider, resumed, validated, was_refused,
            },
        },
        edit::Expected,
        preview::Openings,
        reach::Reach,
        telemetry::ImportTelemetry,
    },
    limits,
    model::{Connection, Detail, FeedUrl, LinkReads, LinkToken, PropertyState, Snapshot},
    ports::{Event, Page, PageRequest, ParkedBody, SmallBody, StoreError},
    readings::kept::KeptBodies,
};

/// A decision is prepared anew so often when the property changes under it.
const PREPARATIONS: u32 = 6;

impl Desk {
    /// Makes a connection. With a URL the feed is read first, and what it says blocks when this returns.
    ///
    /// # Errors
    /// `NotFound`, `Invalid`, `UrlTaken`, `OwnLink`, `ProviderRefused`, `AddressRefused`, `Unusable`, `Full`, or a
    /// store's.
    pub async fn create_connection(
        &self,
        reach: &Reach,
        property: &PropertyId,
        new: &NewConnection,
    ) -> Result<ConnectionView, ConnectionError> {
        let state = self.state_within(reach, property).await?.ok_or(ConnectionError::NotFound)?;
        let url = validated(new)?;
        let id = ConnectionId::from_random(property.within(self.randomness.id()));
        // Drawn here, so that the same request draws the same one whatever it finds.
        let refresh = RefreshId::from_random(self.randomness.id());
        // Made by a request that was cut off before it could say so.
        if self.randomness.repeats() && state.connection(&id).is_some() {
            return self.connection_made(reach, new, state, &id, refresh).await;
        }
        // Before the site is asked; decided again with the change.
        limits::CONNECTIONS.room_beside(state.connections.len())?;
        let prepared = match url {
            Some(url) => self.prepare_url(reach, &state, &id, url, new.skip_check).await?,
            None => self.prepare(reach, Needed::Nothing, FeedSeen::Untouched).await?,
        };
        self.park(reach, &id, &prepared.feed).await?;
        let create = |draft: &mut Draft| {
            apply_creation(draft, reach, &id, new, &prepared, &mut self.randomness.ids_in(property))
        };
        let changed = match self.changes.change_to_serve(property, create).await {
            Ok(changed) => changed,
            Err(error) => {
                if was_refused(&error) {
                    self.forget_feeds(&reach.account, &BTreeSet::from([id])).await;
                }
                return Err(error);
            }
        };
        self.connection_made(reach, new, changed.state, &id, refresh).await
    }

    /// What follows once a new connection is written down.
    async fn connection_made(
        &self,
        reach: &Reach,
        new: &NewConnection,
        state: PropertyState,
        id: &ConnectionId,
        refresh: RefreshId,
    ) -> Result<ConnectionView, ConnectionError> {
        if new.skip_check && new.url.is_some() && !new.paused {
            self.refreshing.soon_as(refresh, &reach.account, &state.property.id, id).await;
        }
        let state = self.publish.serve_at_once(state).await;
        self.view_connection(reach, &state, id).await
    }

    /// The connections of a property, in order of creation.
    ///
    /// # Errors
    /// `NotFound`, or the store's.
    pub async fn list_connections(
        &self,
        reach: &Reach,
        property: &PropertyId,
        page: PageRequest,
    ) -> Result<Page<ConnectionView>, ConnectionError> {
        let state = self.state_within(reach, property).await?.ok_or(ConnectionError::NotFound)?;
        let place =
            |connection: &Connection| format!("{:020} {}", connection.created_at.as_microsecond(), connection.id);
        let mut connections: Vec<&Connection> = state.connections.iter().collect();
        connections.sort_by_cached_key(|connection| place(connection));
        connections.retain(|connection| page.after.as_ref().is_none_or(|after| place(connection) > *after));
        let limit = usize::from(page.limit);
        let more = connections.len() > limit;
        connections.truncate(limit);
        let next = connections.last().filter(|_| more).map(|connection| place(connection));
        let items = self.views(reach, &state, &connections).await?;
        Ok(Page { items, next })
    }

    /// # Errors
    /// `NotFound`, or the store's.
    pub async fn connection(&self, reach: &Reach, id: &ConnectionId) -> Result<ConnectionView, ConnectionError> {
        let (_, state) = self.state_of_connection(reach, id).await?;
        self.view_connection(reach, &state, id).await
    }

    /// Edits a connection. A new URL is read first, as for a new connection; a change of the policy or provider
    /// judges what was read last anew, and what the host wants to block no more goes at once.
    ///
    /// # Errors
    /// As creating one, `Outdated`, or `Busy`.
    pub async fn edit_connection(
        &self,
        reach: &Reach,
        id: &ConnectionId,
        edit: &ConnectionEdit,
        expected: &Expected,
    ) -> Result<ConnectionView, ConnectionError> {
        for _ in 0..PREPARATIONS {
            let (property, before) = self.state_of_connection(reach, id).await?;
            let prepared = self.prepare_edit(reach, &before, id, edit, expected).await?;
            self.park(reach, id, &prepared.feed).await?;
            let mut old = None;
            let change = |draft: &mut Draft| {
                old = parked_snapshot(&draft.state, id);
                apply_edit(draft, reach, id, edit, expected, &prepared, &mut self.randomness.ids_in(&property))
            };
            match self.changes.change_to_serve(&property, change).await {
                Ok(changed) => {
                    self.after_edit(reach, &before, &changed.state, id, old).await;
                    if matches!(prepared.feed, FeedSeen::Unchecked) || resumed(&before, &changed.state, id) {
                        self.refreshing.soon(&reach.account, &property, id).await;
                    }
                    let state = if export_token(&before, id) != export_token(&changed.state, id) {
                        self.publish.serve_at_once(changed.state).await
                    } else {
                        if changed.written {
                            self.bus.announce_soon(&[Event::PropertyDirty { property: property.clone() }]).await;
                        }
                        changed.state
                    };
                    let mut view = self.view_connection(reach, &state, id).await?;
                    let token = export_token(&state, id);
                    if let (None, Some(token), Some(export)) = (export_token(&before, id), token, &mut view.export) {
                        let same = before.retiring.iter().any(|link| link.token == *token);
                        export.turned_on = Some(if same { TurnedOn::SameLink } else { TurnedOn::NewLink });
                    }
                    return Ok(view);
                }
                Err(error) => {
                    if let FeedSeen::Examined(examined) = &prepared.feed
                        && !SmallBody::is(&examined.body)
                        && old.as_ref() != Some(&examined.snapshot)
                        && was_refused(&error)
                    {
                        self.supersede(reach, id, &examined.snapshot).await;
                    }
                    if !matches!(error, ConnectionError::Busy) {
                        return Err(error);
                    }
                }
            }
        }
        Err(ConnectionError::Busy)
    }

    /// What the edit would open.
    ///
    /// # Errors
    /// As the edit itself.
    pub async fn preview_connection_edit(
        &self,
        reach: &Reach,
        id: &ConnectionId,
        edit: &ConnectionEdit,
        expected: &Expected,
    ) -> Result<Openings, ConnectionError> {
        let (property, before) = self.state_of_connection(reach, id).await?;
        let prepared = self.prepare_edit(reach, &before, id, edit, expected).await?;
        self.openings_of(reach, &before, |draft| {
            apply_edit(draft, reach, id, edit, expected, &prepared, &mut self.randomness.ids_in(&property))
        })
        .await
    }

    /// Pauses both sides, until it is resumed or `until` has come.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` for an `until` that is over, or the store's.
    pub async fn pause_connection(
        &self,
        reach: &Reach,
        id: &ConnectionId,
        until: Option<Timestamp>,
    ) -> Result<ConnectionView, ConnectionError> {
        let (property, before) = self.state_of_connection(reach, id).await?;
        let refreshed_at = self.refreshed_at(&before, id).await?;
        let pause = |draft: &mut Draft| apply_pause(draft, reach, id, until, refreshed_at);
        let changed = self.changes.change(&property, pause).await?;
        self.view_connection(reach, &changed.state, id).await
    }

    /// What pausing would open.
    ///
    /// # Errors
    /// As pausing itself.
    pub async fn preview_pause(
        &self,
        reach: &Reach,
        id: &ConnectionId,
        until: Option<Timestamp>,
    ) -> Result<Openings, ConnectionError> {
        let (_, before) = self.state_of_connection(reach, id).await?;
        self.openings_of(reach, &before, |draft| apply_pause(draft, reach, id, until, None)).await
    }

    /// Resumes a paused connection; what it knew blocks at once, and its feed is read at once.
    ///
    /// # Errors
    /// `NotFound`, or the store's.
    pub async fn resume_connection(&self, reach: &Reach, id: &ConnectionId) -> Result<ConnectionView, ConnectionError> {
        let (property, _) = self.state_of_connection(reach, id).await?;
        let changed = self.changes.change(&property, |draft| apply_resumption(draft, reach, id)).await?;
        let reads = changed.state.connections.iter().any(|connection| connection.id == *id && connection.is_read());
        if changed.value && reads {
            self.refreshing.soon(&reach.account, &property, id).await;
        }
        self.view_connection(reach, &changed.state, id).await
    }

    /// Gives the connection a new private link. The old one is served and kept up to date for a week, or, revoked,
    /// serves an empty calendar from now on.
    ///
    /// # Errors
    /// `NotFound`, `NoLink`, or the store's.
    pub async fn rotate_link(
        &self,
        reach: &Reach,
        id: &ConnectionId,
        revoke: bool,
    ) -> Result<ConnectionView, ConnectionError> {
        let (property, _) = self.state_of_connection(reach, id).await?;
        let token = LinkToken::from_random(self.randomness.secret());
        let rotate = |draft: &mut Draft| apply_rotation(draft, reach, id, &token, revoke);
        let changed = self.changes.change_to_serve(&property, rotate).await?;
        let emptied = changed.value;
        let state = self.publish.serve_at_once(changed.state).await;
        let mut view = self.view_connection(reach, &state, id).await?;
        if let Some(export) = view.export.as_mut().filter(|_| emptied > 0) {
            export.notice = Some(format!(
                "Only the last {ROTATED_MOST} links before this one are kept up to date beside it; an older one serves an \
                 empty calendar from now on. Paste this link wherever an older one may still be read."
            ));
        }
        Ok(view)
    }

    /// What giving it a new link would open: all that the old one shows, where that is revoked.
    ///
    /// # Errors
    /// As the rotation itself.
    pub async fn preview_rotation(
        &self,
        reach: &Reach,
        id: &ConnectionId,
        revoke: bool,
    ) -> Result<Openings, ConnectionError> {
        let (_, before) = self.state_of_connection(reach, id).await?;
        let token = LinkToken::from_random(self.randomness.secret());
        self.openings_of(reach, &before, |draft| apply_rotation(draft, reach, id, &token, revoke)).await
    }

    /// Deletes a connection: its blocks go, and its link serves an empty calendar for a week.
    ///
    /// # Errors
    /// `NotFound`, `Outdated`, or the store's.
    pub async fn delete_connection(
        &self,
        reach: &Reach,
        id: &ConnectionId,
        expected: &Expected,
    ) -> Result<(), ConnectionError> {
        let (property, _) = self.state_of_connection(reach, id).await?;
        self.changes.change(&property, |draft| apply_deletion(draft, reach, id, expected)).await?;
        self.forget_feeds(&reach.account, &BTreeSet::from([id.clone()])).await;
        Ok(())
    }

    /// What deleting it would open.
    ///
    /// # Errors
    /// As the deletion itself.
    pub async fn preview_connection_deletion(
        &self,
        reach: &Reach,
        id: &ConnectionId,
        expected: &Expected,
    ) -> Result<Openings, ConnectionError> {
        let (_, before) = self.state_of_connection(reach, id).await?;
        self.openings_of(reach, &before, |draft| apply_deletion(draft, reach, id, expected)).await
    }

    async fn state_of_connection(
        &self,
        reach: &Reach,
        id: &ConnectionId,
    ) -> Result<(PropertyId, PropertyState), ConnectionError> {
        let property = self.property_of(reach, id.as_str()).await?.ok_or(ConnectionError::NotFound)?;
        let state = self.state_within(reach, &property).await?.ok_or(ConnectionError::NotFound)?;
        if state.connections.iter().any(|connection| connection.id == *id) {
            Ok((property, state))
        } else {
            Err(ConnectionError::NotFound)
        }
    }

    // ---- before a decision --------------------------------------------------------------------------------------

    async fn prepare(&self, reach: &Reach, needed: Needed, feed: FeedSeen) -> Result<Prepared, ConnectionError> {
        let account = self.accounts.account(&reach.account).await?;
        Ok(Prepared {
            needed,
            feed,
            token: LinkToken::from_random(self.randomness.secret()),
            default_detail: account.map_or(Detail::Busy, |account| account.default_detail),
            refused_providers: self.settings.refused_providers.clone(),
            refreshed_at: None,
        })
    }

    /// Looks at a URL that is new to a connection: whether it may be read, and what it says.
    async fn prepare_url(
        &self,
        reach: &Reach,
        state: &PropertyState,
        id: &ConnectionId,
        url: FeedUrl,
        skip_check: bool,
    ) -> Result<Prepared, ConnectionError> {
        // Before the site is asked; decided again with the change.
        if let Some(other) = connection_with(state, id, &url) {
            return Err(ConnectionError::UrlTaken(other.id.clone(), other.site()));
        }
        refuse_provider(detected(&url, &FeedSeen::Unchecked), &self.settings.refused_providers, BY_URL)?;
        if self.is_own_link(reach, &url).await? {
            return Err(ConnectionError::OwnLink);
        }
        self.feeds.admit(&url)?;
        let feed = if skip_check {
            FeedSeen::Unchecked
        } else {
            FeedSeen::Examined(Box::new(self.examine(reach, &url, &state.house()).await?))
        };
        self.prepare(reach, Needed::Read(url), feed).await
    }

    async fn prepare_edit(
        &self,
        reach: &Reach,
        state: &PropertyState,
        id: &ConnectionId,
        edit: &ConnectionEdit,
        expected: &Expected,
    ) -> Result<Prepared, ConnectionError> {
        let known = state.connection(id);
        let known = known.ok_or(ConnectionError::NotFound)?;
        if !expected.fits(known.version) {
            return Err(ConnectionError::Outdated);
        }
        // What is plainly wrong is said before the site is asked.
        edited(known, edit)?;
        let prepared = match needed(known, edit) {
            Needed::Read(url) => self.prepare_url(reach, state, id, url, edit.skip_check).await?,
            Needed::Judge => {
                let mut kept = KeptBodies::default();
                kept.load::<ConnectionError>(&self.publish.kept_at(), known, &state.house()).await?;
                self.prepare(reach, Needed::Judge, FeedSeen::Kept(kept)).await?
            }
            Needed::Nothing => self.prepare(reach, Needed::Nothing, FeedSeen::Untouched).await?,
        };
        let refreshed_at = if edit.paused == Some(true) { self.refreshed_at(state, id).await? } else { None };
        Ok(Prepared { refreshed_at, ..prepared })
    }

    /// When a connection's feed was last read well.
    async fn refreshed_at(&self, state: &PropertyState, id: &ConnectionId) -> Result<Option<Timestamp>, StoreError> {
        let known = state.connection(id).filter(|connection| connection.is_read());
        let Some(known) = known else { return Ok(None) };
        Ok(self.readings_of(&state.property, std::slice::from_ref(id)).await?.last_refreshed_at(known))
    }

    /// Keeps a body that is not small before the change that names it: a crash in between leaves a body that nothing names.
    /// A small one is kept by the change.
    async fn park(&self, reach: &Reach, id: &ConnectionId, feed: &FeedSeen) -> Result<(), ConnectionError> {
        if let FeedSeen::Examined(examined) = feed
            && !SmallBody::is(&examined.body)
        {
            let body = ParkedBody { body: examined.body.clone(), validators: examined.validators.clone() };
            self.snapshots.park(&reach.account, id, &examined.snapshot, &body).await?;
        }
        Ok(())
    }

    // ---- after a decision ---------------------------------------------------------------------------------------

    async fn after_edit(
        &self,
        reach: &Reach,
        before: &PropertyState,
        after: &PropertyState,
        id: &ConnectionId,
        old: Option<Snapshot>,
    ) {
        let imports = |state: &PropertyState| {
            state.connections.iter().any(|connection| connection.id == *id && connection.import.is_some())
        };
        if imports(before) && !imports(after) {
            self.forget_feeds(&reach.account, &BTreeSet::from([id.clone()])).await;
        } else if let Some(old) = old.filter(|old| parked_snapshot(after, id).as_ref() != Some(old)) {
            self.supersede(reach, id, &old).await;
        }
    }

    async fn supersede(&self, reach: &Reach, id: &ConnectionId, snapshot: &Snapshot) {
        if let Err(error) = self.snapshots.supersede(&reach.account, id, snapshot).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(connection.id = %id, error, "a superseded feed is kept for longer than it should");
        }
    }

    /// Removes what was kept of feeds that are read no more.
    pub(crate) async fn forget_feeds(
        &self,
        account: &calmesh_calendar::AccountId,
        connections: &BTreeSet<ConnectionId>,
    ) {
        for id in connections {
            let forgotten = async {
                self.properties.forget_bodies(id).await?;
                Ok::<_, ConnectionError>(self.snapshots.forget(account, id).await?)
            };
            if let Err(error) = forgotten.await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(connection.id = %id, error, "the bodies of a feed were not removed");
            }
        }
    }

    // ---- views --------------------------------------------------------------------------------------------------

    async fn view_connection(
        &self,
        reach: &Reach,
        state: &PropertyState,
        id: &ConnectionId,
    ) -> Result<ConnectionView, ConnectionError> {
        let connection = state.connection(id);
        let connection = connection.ok_or(ConnectionError::NotFound)?;
        self.views(reach, state, &[connection]).await?.pop().ok_or(ConnectionError::NotFound)
    }

    /// The views of some connections of one property, by four store calls at the same time.
    async fn views(
        &self,
        reach: &Reach,
        state: &PropertyState,
        connections: &[&Connection],
    ) -> Result<Vec<ConnectionView>, StoreError> {
        let (now, advice) = (self.clock.now(), Advice::of(state));
        let importing = connections.iter().filter(|connection| connection.import.is_some());
        let ids: Vec<ConnectionId> = importing.map(|connection| connection.id.clone()).collect();
        let tokens: Vec<_> = connections
            .iter()
            .filter_map(|connection| connection.export.as_ref())
            .map(|export| export.token.hash())
            .collect();
        let reads = async { if tokens.is_empty() { Ok(Vec::new()) } else { self.links.reads(&tokens, now).await } };
        let (readings, reads, elsewhere) = futures::try_join!(
            self.readings_of(&state.property, &ids),
            reads,
            self.read_elsewhere(reach, state, connections)
        )?;
        let mut reads = reads.into_iter();
        let view = |connection: &&Connection| {
            // In the order asked: one for each connection that exports.
            let reads = connection.export.as_ref().map(|_| reads.next().unwrap_or_default());
            let reads = reads.unwrap_or_default();
            let import = readings.telemetry(connection, &state.property, &state.blocks).map(|mut import| {
                import.warnings.extend(advice.about(&connection.id).chain(elsewhere.about(connection)));
                import
            });
            self.connection_view(connection, import, reads)
        };
        Ok(connections.iter().map(view).collect())
    }

    fn connection_view(
        &self,
        connection: &Connection,
        import: Option<ImportTelemetry>,
        reads: LinkReads,
    ) -> ConnectionView {
        ConnectionView {
            policy: connection.policy(),
            import,
            export: connection.export.as_ref().map(|export| ExportView {
                url: self.link_url(&export.token),
                reads,
                turned_on: None,
                notice: None,
            }),
            connection: connection.clone(),
        }
    }
}
