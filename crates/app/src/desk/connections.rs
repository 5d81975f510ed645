//! Connections: made, shown, edited, paused, resumed, given a new link, deleted.
//!
//! What a URL brings is fetched and read before a change is decided; the decision itself is pure, runs anew when
//! somebody else changed the property in between, and is the same for a preview.

use std::collections::BTreeSet;

use calmesh_calendar::{AccountId, ConnectionId, Policy, PropertyId, RefreshId, span::Later};
use calmesh_profiles::{Via, detect};
use jiff::{SignedDuration, Timestamp};

use crate::{
    changes::{
        ChangeRefusal,
        draft::Draft,
        ending::{give_up_oldest_emptied, remove_blocks_of, remove_connection, rotated_links},
    },
    desk::{
        Desk,
        advice::Advice,
        check::{Examined, Unseen},
        edit::{Edit, Expected, Flaws, InvalidField},
        preview::Openings,
        reach::Reach,
        telemetry::ImportTelemetry,
    },
    limits::{self, Full, NAME_MOST},
    model::{
        ActivityKind, Connection, Detail, Direction, ExportSide, FailureKind, FeedUrl, Format, ImportSide, LinkReads,
        LinkToken, PolicyOverrides, PropertyState, RETIRES_AFTER, RetiringLink, RetiringServes, Site, Snapshot, Status,
        StoppedExport,
    },
    ports::{Event, FetchFailure, ObjectError, Page, PageRequest, ParkedBody, StoreError},
    provider_words::refusal_of,
    readings::{
        kept::{KeptBodies, take_kept},
        take::{AcceptedFeed, take_reading},
    },
    traffic::TooMany,
};

/// A decision is prepared anew so often when the property changes under it.
const PREPARATIONS: u32 = 6;
/// So many rotated links of one connection are kept up to date beside the present one.
const ROTATED_MOST: usize = 5;
/// A connection to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewConnection {
    pub name: String,
    /// None: found from the URL and the feed.
    pub provider: Option<String>,
    pub direction: Direction,
    pub paused: bool,
    pub url: Option<FeedUrl>,
    pub policy: PolicyOverrides,
    /// Something was said of the import side, be it empty.
    pub has_import: bool,
    /// None: the account's default.
    pub detail: Option<Detail>,
    pub format: Option<Format>,
    /// The link alone is paused.
    pub export_paused: bool,
    /// Something was said of the export side, be it empty.
    pub has_export: bool,
    /// Make it though the feed can't be read now.
    pub skip_check: bool,
}

/// What an edit changes; what is not mentioned stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConnectionEdit {
    pub name: Option<String>,
    /// Back to the default is what the URL and the feed say.
    pub provider: Edit<String>,
    pub direction: Option<Direction>,
    pub paused: Option<bool>,
    pub url: Option<FeedUrl>,
    pub policy: PolicyEdit,
    /// What was said of the import side as a whole.
    pub import: SideEdit,
    pub detail: Edit<Detail>,
    pub format: Edit<Format>,
    /// Whether the link alone is paused; back to the default is that it is not.
    pub export_paused: Edit<bool>,
    /// What was said of the export side as a whole.
    pub export: SideEdit,
    pub skip_check: bool,
}

/// What an edit says of one side as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SideEdit {
    #[default]
    Keep,
    /// It shall not be there.
    Drop,
    /// Something in it is set.
    Touch,
}

/// What an edit changes of a policy; back to the default is the profile's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicyEdit {
    /// Everything goes back to the profile's before the rest is set.
    pub reset: bool,
    pub blocks: Edit<bool>,
    pub busy_only: Edit<bool>,
    pub tentative_blocks: Edit<bool>,
    pub rule_closures_block: Edit<bool>,
    pub required_word: Edit<String>,
    pub aggregates: Edit<bool>,
    pub hold_readings: Edit<u32>,
    pub hold_minutes: Edit<u32>,
    pub mass_vanish_stays: Edit<u32>,
    pub mass_vanish_nights_percent: Edit<u32>,
    pub mass_vanish_readings: Edit<u32>,
    pub mass_vanish_hours: Edit<u32>,
    pub echo_probe: Edit<bool>,
    pub echo_readings: Edit<u32>,
    pub echo_minutes: Edit<u32>,
}

impl PolicyEdit {
    /// The settings after the edit.
    #[must_use]
    pub fn over(&self, present: &PolicyOverrides) -> PolicyOverrides {
        let mut after = if self.reset { PolicyOverrides::default() } else { present.clone() };
        after.blocks = self.blocks.over_option(after.blocks);
        after.busy_only = self.busy_only.over_option(after.busy_only);
        after.tentative_blocks = self.tentative_blocks.over_option(after.tentative_blocks);
        after.rule_closures_block = self.rule_closures_block.over_option(after.rule_closures_block);
        after.required_word = self.required_word.over_option(after.required_word);
        after.aggregates = self.aggregates.over_option(after.aggregates);
        after.hold.readings = self.hold_readings.over_option(after.hold.readings);
        after.hold.minutes = self.hold_minutes.over_option(after.hold.minutes);
        let vanish = &mut after.mass_vanish;
        vanish.stays = self.mass_vanish_stays.over_option(vanish.stays);
        vanish.nights_percent = self.mass_vanish_nights_percent.over_option(vanish.nights_percent);
        vanish.readings = self.mass_vanish_readings.over_option(vanish.readings);
        vanish.hours = self.mass_vanish_hours.over_option(vanish.hours);
        after.echo.probe = self.echo_probe.over_option(after.echo.probe);
        after.echo.readings = self.echo_readings.over_option(after.echo.readings);
        after.echo.minutes = self.echo_minutes.over_option(after.echo.minutes);
        after
    }
}

/// A connection as the host sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionView {
    pub connection: Connection,
    /// As it is in force: the profile's defaults with the connection's own settings on top.
    pub policy: Policy,
    /// There exactly while it imports.
    pub import: Option<ImportTelemetry>,
    /// There exactly while it exports.
    pub export: Option<ExportView>,
}

/// What of a private link is told beside its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportView {
    /// A secret: for the host's eyes only.
    pub url: String,
    pub reads: LinkReads,
    /// What the edit that this answers did to the link; none where it left it alone.
    pub turned_on: Option<TurnedOn>,
    /// What else a rotation did, in a sentence.
    pub notice: Option<String>,
}

/// What became of a connection's link when its export was turned on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnedOn {
    /// The link that it had before, which the site may still read.
    SameLink,
    /// A link that is to be pasted on the other site.
    NewLink,
}

/// Why a connection was not made, shown, edited or deleted.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// Unknown, gone, or not the caller's.
    #[error("no such connection or property")]
    NotFound,
    #[error("the connection is not the one that was read")]
    Outdated,
    #[error("a field is not valid")]
    Invalid(Vec<InvalidField>),
    /// A connection of the property has this URL.
    #[error("{0} has this URL already")]
    UrlTaken(ConnectionId, Site),
    /// The URL is one of the account's own private links.
    #[error("the URL is a private link of this account")]
    OwnLink,
    /// This deployment refuses the provider over iCalendar.
    #[error("{detail}")]
    ProviderRefused {
        provider: String,
        detail: String,
        /// What gave the provider away.
        field: &'static str,
    },
    /// Nothing is read from such an address, now or later. `detail` says what would be.
    #[error("{detail}")]
    AddressRefused { detail: String },
    /// The feed was fetched and can't be used. `detail` says why and what to do.
    #[error("{detail}")]
    Unusable { kind: FailureKind, detail: String },
    /// It exports nothing, so there is no link.
    #[error("the connection has no private link")]
    NoLink,
    /// There are as many as there may be.
    #[error(transparent)]
    Full(#[from] Full),
    /// The property kept changing under the decision; ask again.
    #[error("the property keeps changing")]
    Busy,
    /// New feeds are looked at too often.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ChangeRefusal for ConnectionError {
    fn not_found() -> Self {
        Self::NotFound
    }
}

impl From<Unseen> for ConnectionError {
    fn from(unseen: Unseen) -> Self {
        match unseen {
            Unseen::Failed(failure) => failure.into(),
            Unseen::TooMany(refused) => refused.into(),
            Unseen::Store(error) => error.into(),
        }
    }
}

impl From<FetchFailure> for ConnectionError {
    fn from(failure: FetchFailure) -> Self {
        if failure.kind == FailureKind::AddressRefused {
            return Self::AddressRefused { detail: failure.detail };
        }
        Self::Unusable { kind: failure.kind, detail: failure.detail }
    }
}

/// What was found out about a feed before the decision.
#[derive(Debug)]
enum Feed {
    /// The decision has nothing to do with it.
    Untouched,
    /// A new URL that was not looked at.
    Unchecked,
    /// A new URL, and what it brought.
    Examined(Box<Examined>),
    /// The feed is to be judged anew; what was read last.
    Kept(KeptBodies),
}

/// What a decision needs to know of the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Needed {
    Nothing,
    /// This URL is new to the connection.
    Read(FeedUrl),
    /// It is judged by other rules than before.
    Judge,
}

/// All that a decision takes from the world.
#[derive(Debug)]
struct Prepared {
    needed: Needed,
    feed: Feed,
    /// Of a link, should one be made.
    token: LinkToken,
    default_detail: Detail,
    refused_providers: BTreeSet<String>,
    /// When the feed was last read well, should it be paused.
    refreshed_at: Option<Timestamp>,
}

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
            None => self.prepare(reach, Needed::Nothing, Feed::Untouched).await?,
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
                old = applied_snapshot(&draft.state, id);
                apply_edit(draft, reach, id, edit, expected, &prepared, &mut self.randomness.ids_in(&property))
            };
            match self.changes.change_to_serve(&property, change).await {
                Ok(changed) => {
                    self.after_edit(reach, &before, &changed.state, id, old).await;
                    if matches!(prepared.feed, Feed::Unchecked) || resumed(&before, &changed.state, id) {
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
                    if let Feed::Examined(examined) = &prepared.feed
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
        let reads = changed.state.connections.iter().any(|connection| connection.id == *id && connection.reads());
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

    async fn prepare(&self, reach: &Reach, needed: Needed, feed: Feed) -> Result<Prepared, ConnectionError> {
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
        refuse_provider(detected(&url, &Feed::Unchecked), &self.settings.refused_providers, BY_URL)?;
        if self.is_own_link(reach, &url).await? {
            return Err(ConnectionError::OwnLink);
        }
        self.feeds.admit(&url)?;
        let feed = if skip_check {
            Feed::Unchecked
        } else {
            Feed::Examined(Box::new(self.examine(reach, &url, &state.house()).await?))
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
                kept.load(&self.kept_at(), known, &state.house()).await?;
                self.prepare(reach, Needed::Judge, Feed::Kept(kept)).await?
            }
            Needed::Nothing => self.prepare(reach, Needed::Nothing, Feed::Untouched).await?,
        };
        let refreshed_at = if edit.paused == Some(true) { self.refreshed_at(state, id).await? } else { None };
        Ok(Prepared { refreshed_at, ..prepared })
    }

    /// When a connection's feed was last read well.
    async fn refreshed_at(&self, state: &PropertyState, id: &ConnectionId) -> Result<Option<Timestamp>, StoreError> {
        let known = state.connection(id).filter(|connection| connection.reads());
        let Some(known) = known else { return Ok(None) };
        Ok(self.readings_of(&state.property, std::slice::from_ref(id)).await?.last_refreshed_at(known))
    }

    /// Keeps a body before the change that names it: a crash in between leaves a body that nothing names.
    async fn park(&self, reach: &Reach, id: &ConnectionId, feed: &Feed) -> Result<(), ConnectionError> {
        if let Feed::Examined(examined) = feed {
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
        } else if let Some(old) = old.filter(|old| applied_snapshot(after, id).as_ref() != Some(old)) {
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
            if let Err(error) = self.snapshots.forget(account, id).await {
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
                url: self.settings.link_url(&export.token),
                reads,
                turned_on: None,
                notice: None,
            }),
            connection: connection.clone(),
        }
    }
}

/// Whether nothing was written for sure. After a failure of the store the change may stand, and with it a name for
/// the body that was kept.
fn was_refused(error: &ConnectionError) -> bool {
    !matches!(error, ConnectionError::Store(StoreError::Unavailable(_)))
}

fn applied_snapshot(state: &PropertyState, id: &ConnectionId) -> Option<Snapshot> {
    let connection = state.connection(id)?;
    Some(connection.applied()?.snapshot.clone())
}

fn resumed(before: &PropertyState, after: &PropertyState, id: &ConnectionId) -> bool {
    let find = |state: &PropertyState| state.connection(id).cloned();
    find(before).is_some_and(|connection| connection.is_paused())
        && find(after).is_some_and(|connection| connection.reads())
}

// ---- what is valid ----------------------------------------------------------------------------------------------

/// The URL of a new connection, where it needs one.
fn validated(new: &NewConnection) -> Result<Option<FeedUrl>, ConnectionError> {
    let mut flaws = Flaws::default();
    flaws.text("name", new.name.trim(), 1, NAME_MOST);
    if let Some(provider) = &new.provider {
        check_provider(provider, &mut flaws);
    }
    if new.direction.imports() {
        if new.url.is_none() {
            flaws.add(
                "import/url",
                "is required: paste the calendar link of the other site, or set direction to export",
            );
        }
        check_policy(&new.policy, &mut flaws);
    } else if new.has_import {
        flaws.add("import", "must be left out or null where direction is export");
    }
    if !new.direction.exports() && new.has_export {
        flaws.add("export", "must be left out or null where direction is import");
    }
    flaws.into_result().map_err(ConnectionError::Invalid)?;
    Ok(new.url.clone().filter(|_| new.direction.imports()))
}

fn check_provider(provider: &str, flaws: &mut Flaws) {
    match calmesh_profiles::find(provider) {
        None => flaws.add("provider", "is not known; GET /v1/providers lists them, and generic fits any calendar link"),
        Some(profile) if profile.via == Via::Account => {
            flaws.add("provider", "is connected through an account there and not by a calendar link");
        }
        Some(_) => {}
    }
}

/// Numbers within which a policy makes sense.
fn check_policy(policy: &PolicyOverrides, flaws: &mut Flaws) {
    if let Some(word) = &policy.required_word {
        flaws.text("import/policy/required_word", word, 1, 100);
    }
    let mut within = |field: &'static str, value: Option<u32>, least: u32, most: u32| {
        if value.is_some_and(|value| !(least..=most).contains(&value)) {
            flaws.add(field, format!("must be from {least} to {most}"));
        }
    };
    let (week, month) = (7 * 24 * 60, 31 * 24);
    within("import/policy/hold/readings", policy.hold.readings, 1, 100);
    within("import/policy/hold/minutes", policy.hold.minutes, 0, week);
    within("import/policy/mass_vanish/stays", policy.mass_vanish.stays, 1, 10_000);
    within("import/policy/mass_vanish/nights_percent", policy.mass_vanish.nights_percent, 0, 100);
    within("import/policy/mass_vanish/readings", policy.mass_vanish.readings, 1, 100);
    within("import/policy/mass_vanish/hours", policy.mass_vanish.hours, 0, month);
    within("import/policy/echo/readings", policy.echo.readings, 1, 100);
    within("import/policy/echo/minutes", policy.echo.minutes, 0, week);
}

/// The sides that the connection shall have after the edit, and its settings; or what is wrong with that.
fn edited(before: &Connection, edit: &ConnectionEdit) -> Result<(Direction, PolicyOverrides), ConnectionError> {
    let mut flaws = Flaws::default();
    if let Some(name) = &edit.name {
        flaws.text("name", name.trim(), 1, NAME_MOST);
    }
    if let Edit::To(provider) = &edit.provider {
        check_provider(provider, &mut flaws);
    }
    let direction = edit.direction.unwrap_or(before.direction);
    let policy = edit.policy.over(before.import.as_ref().map_or(&PolicyOverrides::default(), |import| &import.policy));
    match edit.import {
        SideEdit::Drop if direction.imports() => {
            flaws.add("import", "can't be null while direction imports; set direction to export");
        }
        SideEdit::Touch if !direction.imports() => {
            flaws.add("import", "must be left out or null where direction is export");
        }
        _ => {}
    }
    match edit.export {
        SideEdit::Drop if direction.exports() => {
            flaws.add("export", "can't be null while direction exports; set direction to import");
        }
        SideEdit::Touch if !direction.exports() => {
            flaws.add("export", "must be left out or null where direction is import");
        }
        _ => {}
    }
    if direction.imports() {
        if before.import.is_none() && edit.url.is_none() {
            flaws.add("import/url", "is required: paste the calendar link of the other site");
        }
        check_policy(&policy, &mut flaws);
    }
    flaws.into_result().map_err(ConnectionError::Invalid)?;
    Ok((direction, policy))
}

fn needed(before: &Connection, edit: &ConnectionEdit) -> Needed {
    if !edit.direction.unwrap_or(before.direction).imports() {
        return Needed::Nothing;
    }
    let Some(import) = &before.import else {
        return edit.url.clone().map_or(Needed::Nothing, Needed::Read);
    };
    match &edit.url {
        Some(url) if *url != import.url => Needed::Read(url.clone()),
        _ if !edit.provider.is_keep() || edit.policy.over(&import.policy) != import.policy => Needed::Judge,
        _ => Needed::Nothing,
    }
}

/// Another connection of the property that reads this URL.
fn connection_with<'a>(state: &'a PropertyState, id: &ConnectionId, url: &FeedUrl) -> Option<&'a Connection> {
    let wanted = url.comparable();
    let same = |connection: &&Connection| {
        connection.id != *id && connection.import.as_ref().is_some_and(|import| import.url.comparable() == wanted)
    };
    state.connections.iter().find(same)
}

/// The provider that a URL and what it brought give away.
fn detected(url: &FeedUrl, feed: &Feed) -> &'static str {
    match feed {
        Feed::Examined(examined) => examined.profile.id.as_str(),
        Feed::Untouched | Feed::Unchecked | Feed::Kept(_) => detect(url.to_url().as_ref(), None).id.as_str(),
    }
}

/// Where a provider is known from.
const BY_URL: &str = "import/url";
const BY_NAME: &str = "provider";

fn refuse_provider(provider: &str, refused: &BTreeSet<String>, field: &'static str) -> Result<(), ConnectionError> {
    if refused.contains(provider) {
        let detail = refusal_of(provider);
        return Err(ConnectionError::ProviderRefused { provider: provider.to_owned(), detail, field });
    }
    Ok(())
}

// ---- decisions --------------------------------------------------------------------------------------------------

fn known(draft: &Draft, reach: &Reach, id: &ConnectionId) -> Result<Connection, ConnectionError> {
    if !reach.shows(&draft.state.property) {
        return Err(ConnectionError::NotFound);
    }
    draft.connection(id).cloned().ok_or(ConnectionError::NotFound)
}

fn apply_creation(
    draft: &mut Draft,
    reach: &Reach,
    id: &ConnectionId,
    new: &NewConnection,
    prepared: &Prepared,
    ids: &mut dyn FnMut() -> [u8; 16],
) -> Result<(), ConnectionError> {
    if !reach.shows(&draft.state.property) {
        return Err(ConnectionError::NotFound);
    }
    // By the same request, which runs a second time.
    if draft.state.connection(id).is_some() {
        return Ok(());
    }
    limits::CONNECTIONS.room_beside(draft.state.connections.len())?;
    let url = match &prepared.needed {
        Needed::Read(url) => Some(url),
        Needed::Nothing | Needed::Judge => None,
    };
    if let Some(other) = url.and_then(|url| connection_with(&draft.state, id, url)) {
        return Err(ConnectionError::UrlTaken(other.id.clone(), other.site()));
    }
    let detected = url.map_or("generic", |url| detected(url, &prepared.feed));
    if url.is_some() {
        refuse_provider(detected, &prepared.refused_providers, BY_URL)?;
    }
    let provider = new.provider.as_deref().unwrap_or(detected);
    refuse_provider(provider, &prepared.refused_providers, BY_NAME)?;
    let now = draft.now;
    let connection = Connection {
        id: id.clone(),
        account: reach.account.clone(),
        property: draft.state.property.id.clone(),
        name: new.name.trim().to_owned(),
        provider: provider.to_owned(),
        direction: new.direction,
        status: if new.paused { Status::Paused { until: None } } else { Status::Active },
        import: url.map(|url| ImportSide::new(url.clone(), read_at(&prepared.feed).unwrap_or(now), new.policy.clone())),
        export: new.direction.exports().then(|| ExportSide {
            token: prepared.token.clone(),
            detail: new.detail.unwrap_or(prepared.default_detail),
            format: new.format.unwrap_or(Format::Nights),
            last_changed_at: None,
            paused: new.export_paused,
            recorded_since: now,
        }),
        created_at: now,
        named_at: now,
        version: 1,
    };
    draft.note(Some(id), ActivityKind::ConnectionCreated { name: connection.name.clone() });
    draft.state.connections.push(connection);
    take_examined(draft, id, &prepared.feed, ids);
    Ok(())
}

fn read_at(feed: &Feed) -> Option<Timestamp> {
    match feed {
        Feed::Examined(examined) => Some(examined.read_at),
        Feed::Untouched | Feed::Unchecked | Feed::Kept(_) => None,
    }
}

fn take_examined(draft: &mut Draft, id: &ConnectionId, feed: &Feed, ids: &mut dyn FnMut() -> [u8; 16]) {
    if let Feed::Examined(examined) = feed {
        let feed = AcceptedFeed {
            reading: &examined.reading,
            snapshot: &examined.snapshot,
            validators: &examined.validators,
            read_at: examined.read_at,
            horizon_at: examined.read_at,
        };
        take_reading(draft, id, feed, ids);
    }
}

fn apply_edit(
    draft: &mut Draft,
    reach: &Reach,
    id: &ConnectionId,
    edit: &ConnectionEdit,
    expected: &Expected,
    prepared: &Prepared,
    ids: &mut dyn FnMut() -> [u8; 16],
) -> Result<(), ConnectionError> {
    let before = known(draft, reach, id)?;
    if !expected.fits(before.version) {
        return Err(ConnectionError::Outdated);
    }
    let (direction, policy) = edited(&before, edit)?;
    if needed(&before, edit) != prepared.needed {
        // Somebody else changed it while the feed was looked at.
        return Err(ConnectionError::Busy);
    }
    let now = draft.now;
    let mut after = before.clone();
    after.direction = direction;
    if let Some(name) = edit.name.as_deref().map(str::trim).filter(|name| *name != before.name) {
        name.clone_into(&mut after.name);
        after.named_at = now;
    }
    match edit.paused {
        Some(true) if !before.is_paused() => {
            after.status = Status::Paused { until: None };
            keep_refreshed_at(&mut after, prepared.refreshed_at);
        }
        Some(false) => after.status = Status::Active,
        _ => {}
    }
    edit_import(&mut after, draft, edit, policy, prepared)?;
    edit_export(&mut after, draft, edit, prepared);
    if before.is_paused()
        && after.reads()
        && let Some(import) = &mut after.import
    {
        import.since = import.since.max(now);
    }
    if after == before {
        return Ok(());
    }
    after.version += 1;
    note_edit(draft, &before, &after);
    let stops_importing = before.import.is_some() && after.import.is_none();
    if let Some(slot) = draft.connection_mut(id) {
        *slot = after;
    }
    if stops_importing {
        remove_blocks_of(draft, id);
    }
    take_examined(draft, id, &prepared.feed, ids);
    if let Feed::Kept(kept) = &prepared.feed {
        take_kept(draft, id, kept, ids).map_err(|_| ConnectionError::Busy)?;
    }
    Ok(())
}

/// Sets provider, URL and policy.
fn edit_import(
    after: &mut Connection,
    draft: &Draft,
    edit: &ConnectionEdit,
    policy: PolicyOverrides,
    prepared: &Prepared,
) -> Result<(), ConnectionError> {
    let new_url = match &prepared.needed {
        Needed::Read(url) => Some(url),
        Needed::Nothing | Needed::Judge => None,
    };
    if let Some(other) = new_url.and_then(|url| connection_with(&draft.state, &after.id, url)) {
        return Err(ConnectionError::UrlTaken(other.id.clone(), other.site()));
    }
    let url = new_url.or(after.import.as_ref().map(|import| &import.url)).cloned();
    let by_url = match (&url, &prepared.feed) {
        (Some(_), Feed::Kept(kept)) => kept.provider(after, &draft.state.house(), draft.now).id.as_str(),
        (Some(url), feed) => detected(url, feed),
        (None, _) => "generic",
    };
    let provider = match &edit.provider {
        Edit::To(provider) => provider.clone(),
        Edit::Reset => by_url.to_owned(),
        // A URL that tells nothing leaves what was known.
        Edit::Keep if new_url.is_some() && by_url != calmesh_profiles::generic().id.as_str() => by_url.to_owned(),
        Edit::Keep => after.provider.clone(),
    };
    if new_url.is_some() {
        refuse_provider(by_url, &prepared.refused_providers, BY_URL)?;
    }
    if provider != after.provider {
        refuse_provider(&provider, &prepared.refused_providers, BY_NAME)?;
    }
    after.provider = provider;
    if !after.direction.imports() {
        after.import = None;
        return Ok(());
    }
    let Some(url) = url else { return Ok(()) };
    after.import = Some(match (after.import.take(), new_url) {
        (Some(known), Some(_)) => {
            moved(known, &after.account, url, policy, read_at(&prepared.feed).unwrap_or(draft.now))
        }
        (Some(known), None) => ImportSide { policy, ..known },
        (None, _) => ImportSide::new(url, read_at(&prepared.feed).unwrap_or(draft.now), policy),
    });
    Ok(())
}

/// An import whose URL the host changed: nothing of the new one is taken in yet, neither its body nor its validators.
/// The stays that the old one showed go on to block until then.
fn moved(
    known: ImportSide,
    account: &AccountId,
    url: FeedUrl,
    policy: PolicyOverrides,
    since: Timestamp,
) -> ImportSide {
    // Whose stays are known: after two changes in a row still those of the first URL, to which the host may return.
    let shown = known.replaces.unwrap_or_else(|| known.url.mark(account));
    let replaces = (shown != url.mark(account)).then_some(shown);
    // Readings are known by the instant since when their URL stands: no two URLs have the same one.
    let since = if since == known.since { since.earlier(SignedDuration::from_nanos(1)) } else { since };
    ImportSide { replaces, listed: known.listed, ..ImportSide::new(url, since, policy) }
}

/// Sets the link's settings; gives it a link, or takes it away.
fn edit_export(after: &mut Connection, draft: &mut Draft, edit: &ConnectionEdit, prepared: &Prepared) {
    if !after.direction.exports() {
        if let Some(export) = after.export.take() {
            stop_export(draft, &after.id, &after.provider, export);
        }
        return;
    }
    let known = after.export.take().or_else(|| revive_export(draft, &after.id));
    let mut export = known.unwrap_or_else(|| ExportSide {
        token: prepared.token.clone(),
        detail: prepared.default_detail,
        format: Format::Nights,
        last_changed_at: None,
        paused: false,
        recorded_since: draft.now,
    });
    export.paused = edit.export_paused.over(export.paused, || false);
    export.detail = edit.detail.over(export.detail, || prepared.default_detail);
    export.format = edit.format.over(export.format, || Format::Nights);
    after.export = Some(export);
}

fn note_edit(draft: &mut Draft, before: &Connection, after: &Connection) {
    let name = after.name.clone();
    let status_alone = Connection { status: before.status, version: before.version, ..after.clone() };
    let status_alone = Connection {
        import: after.import.clone().map(|import| ImportSide {
            since: before.import.as_ref().map_or(import.since, |before| before.since),
            ..import
        }),
        ..status_alone
    };
    if status_alone != *before {
        draft.note(Some(&after.id), ActivityKind::ConnectionChanged { name: name.clone() });
    }
    match (before.is_paused(), after.is_paused()) {
        (false, true) => draft.note(Some(&after.id), ActivityKind::ConnectionPaused { name }),
        (true, false) => draft.note(Some(&after.id), ActivityKind::ConnectionResumed { name }),
        _ => {}
    }
}

fn apply_pause(
    draft: &mut Draft,
    reach: &Reach,
    id: &ConnectionId,
    until: Option<Timestamp>,
    refreshed_at: Option<Timestamp>,
) -> Result<(), ConnectionError> {
    let before = known(draft, reach, id)?;
    if until.is_some_and(|until| until <= draft.now) {
        let over = InvalidField::new("until", "must be in the future");
        return Err(ConnectionError::Invalid(vec![over]));
    }
    let status = Status::Paused { until };
    if before.status == status {
        return Ok(());
    }
    if let Some(connection) = draft.connection_mut(id) {
        connection.status = status;
        connection.version += 1;
        keep_refreshed_at(connection, refreshed_at);
    }
    draft.note(Some(id), ActivityKind::ConnectionPaused { name: before.name });
    Ok(())
}

/// A pause takes the connection out of the sweeps, and with that what their records say of it. The body that was
/// taken in last was still served then, so it is one of that time.
fn keep_refreshed_at(connection: &mut Connection, refreshed_at: Option<Timestamp>) {
    let applied = connection.import.as_mut().and_then(|import| import.applied.as_mut());
    if let (Some(applied), Some(at)) = (applied, refreshed_at) {
        applied.read_at = applied.read_at.max(at);
    }
}

/// Answers whether it was paused.
fn apply_resumption(draft: &mut Draft, reach: &Reach, id: &ConnectionId) -> Result<bool, ConnectionError> {
    let before = known(draft, reach, id)?;
    if !before.is_paused() {
        return Ok(false);
    }
    let now = draft.now;
    if let Some(connection) = draft.connection_mut(id) {
        connection.status = Status::Active;
        connection.version += 1;
        if let Some(import) = &mut connection.import {
            // Sweeps in between did not read it.
            import.since = now;
        }
    }
    draft.note(Some(id), ActivityKind::ConnectionResumed { name: before.name });
    Ok(true)
}

/// The token of a connection's link, where it has one.
fn export_token<'a>(state: &'a PropertyState, id: &ConnectionId) -> Option<&'a LinkToken> {
    let connection = state.connection(id)?;
    connection.export.as_ref().map(|export| &export.token)
}

fn apply_rotation(
    draft: &mut Draft,
    reach: &Reach,
    id: &ConnectionId,
    token: &LinkToken,
    revoke: bool,
) -> Result<usize, ConnectionError> {
    let before = known(draft, reach, id)?;
    let Some(export) = &before.export else { return Err(ConnectionError::NoLink) };
    // By the same request, which runs a second time.
    if export.token == *token || draft.state.retiring.iter().any(|link| link.token == *token) {
        return Ok(0);
    }
    let serves = if revoke {
        RetiringServes::Empty { provider: before.provider.clone() }
    } else {
        RetiringServes::Current { connection: id.clone() }
    };
    let until = draft.now.later(RETIRES_AFTER);
    if revoke {
        // Whoever revokes wants no reader but the next: links that were rotated away before are emptied too.
        let of_this = RetiringServes::Current { connection: id.clone() };
        for link in draft.state.retiring.iter_mut().filter(|link| link.serves == of_this) {
            link.serves = serves.clone();
            // Their readers need the time to see that they are empty, too.
            link.until = until;
        }
    }
    draft.state.retiring.push(RetiringLink { token: export.token.clone(), serves, until });
    let emptied = empty_oldest_rotated(draft, id, &before.provider);
    give_up_oldest_emptied(draft);
    // What was read of the old link still tells what its site knows, until that link empties.
    let recorded_since = if revoke { draft.now } else { export.recorded_since };
    if let Some(connection) = draft.connection_mut(id) {
        connection.version += 1;
        connection.export =
            Some(ExportSide { token: token.clone(), last_changed_at: None, recorded_since, ..export.clone() });
    }
    draft.note(Some(id), ActivityKind::LinkRotated { name: before.name });
    Ok(emptied)
}

/// A new link is never refused, since a host asks for one because an old one leaked: so the oldest goes first. Answers
/// how many were emptied.
fn empty_oldest_rotated(draft: &mut Draft, id: &ConnectionId, provider: &str) -> usize {
    let current = RetiringServes::Current { connection: id.clone() };
    let until = draft.now.later(RETIRES_AFTER);
    let mut alive: Vec<&mut RetiringLink> =
        draft.state.retiring.iter_mut().filter(|link| link.serves == current).collect();
    alive.sort_by_key(|link| link.until);
    let too_many = alive.len().saturating_sub(ROTATED_MOST);
    for link in alive.into_iter().take(too_many) {
        link.serves = RetiringServes::Empty { provider: provider.to_owned() };
        link.until = until;
    }
    too_many
}

fn apply_deletion(
    draft: &mut Draft,
    reach: &Reach,
    id: &ConnectionId,
    expected: &Expected,
) -> Result<(), ConnectionError> {
    let before = known(draft, reach, id)?;
    if !expected.fits(before.version) {
        return Err(ConnectionError::Outdated);
    }
    remove_connection(draft, id);
    Ok(())
}

/// The same for a connection that stays: turned on again while they are empty, the same links live again.
fn stop_export(draft: &mut Draft, id: &ConnectionId, provider: &str, export: ExportSide) {
    let until = draft.now.later(RETIRES_AFTER);
    let stopped = |was| RetiringServes::Stopped { connection: id.clone(), provider: provider.to_owned(), was };
    for link in rotated_links(draft, id) {
        link.serves = stopped(None);
        link.until = until;
    }
    let was = StoppedExport { detail: export.detail, format: export.format };
    draft.state.retiring.push(RetiringLink { token: export.token, serves: stopped(Some(was)), until });
}

/// The link that a connection had when its export was stopped, if it is still served. Links that had been rotated away
/// before follow it again, too.
fn revive_export(draft: &mut Draft, id: &ConnectionId) -> Option<ExportSide> {
    let now = draft.now;
    let (mine, others) = std::mem::take(&mut draft.state.retiring).into_iter().partition::<Vec<_>, _>(
        |link| matches!(&link.serves, RetiringServes::Stopped { connection, .. } if connection == id && link.until > now),
    );
    draft.state.retiring = others;
    let mut revived = None;
    for link in mine {
        match link.serves {
            RetiringServes::Stopped { was: Some(was), .. } => {
                revived = Some(ExportSide {
                    token: link.token,
                    detail: was.detail,
                    format: was.format,
                    paused: false,
                    last_changed_at: None,
                    // What was read meanwhile was empty, and is recorded with the link; what came before is not known.
                    recorded_since: now,
                });
            }
            _ => draft
                .state
                .retiring
                .push(RetiringLink { serves: RetiringServes::Current { connection: id.clone() }, ..link }),
        }
    }
    revived
}
