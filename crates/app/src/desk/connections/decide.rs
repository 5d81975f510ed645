//! What is decided on a connection: pure, on a draft of its property.

use std::collections::BTreeSet;

use calmesh_calendar::{
    AccountId, ConnectionId,
    policy::{Kind, Value},
    span::Later,
};
use calmesh_profiles::{ProviderId, Via, detect, generic};
use jiff::{SignedDuration, Timestamp};

use crate::{
    changes::{
        draft::Draft,
        ending::{give_up_oldest_emptied, remove_blocks_of, remove_connection, rotated_links},
    },
    desk::{
        check::Examined,
        connections::{ConnectionEdit, ConnectionError, NewConnection, SideEdit},
        edit::{Edit, Expected, Flaws, InvalidField},
        reach::Reach,
    },
    limits::{self, NAME_MOST},
    model::{
        ActivityKind, Connection, Detail, Direction, ExportSide, FeedUrl, Format, ImportSide, LinkToken,
        PolicyOverrides, PropertyState, Provider, RETIRES_AFTER, RetiringLink, RetiringServes, Snapshot, Status,
        StoppedExport,
    },
    ports::{SmallBody, StoreError},
    provider_words::refusal_of,
    readings::{
        kept::{KeptBodies, take_kept},
        take::{AcceptedFeed, take_reading},
    },
};

/// So many rotated links of one connection are kept up to date beside the present one.
pub(super) const ROTATED_MOST: usize = 5;

/// What was found out about a feed before the decision.
#[derive(Debug)]
pub(super) enum FeedSeen {
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
pub(super) enum Needed {
    Nothing,
    /// This URL is new to the connection.
    Read(FeedUrl),
    /// It is judged by other rules than before.
    Judge,
}

/// All that a decision takes from the world.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) needed: Needed,
    pub(super) feed: FeedSeen,
    /// Of a link, should one be made.
    pub(super) token: LinkToken,
    pub(super) default_detail: Detail,
    pub(super) refused_providers: BTreeSet<ProviderId>,
    /// When the feed was last read well, should it be paused.
    pub(super) refreshed_at: Option<Timestamp>,
}

/// Whether nothing was written for sure. After a failure of the store the change may stand, and with it a name for
/// the body that was kept.
pub(super) fn was_refused(error: &ConnectionError) -> bool {
    !matches!(error, ConnectionError::Store(StoreError::Unavailable(_)))
}

/// The applied body, where it lies among the objects.
pub(super) fn parked_snapshot(state: &PropertyState, id: &ConnectionId) -> Option<Snapshot> {
    state.connection(id)?.parked().cloned()
}

pub(super) fn resumed(before: &PropertyState, after: &PropertyState, id: &ConnectionId) -> bool {
    let find = |state: &PropertyState| state.connection(id).cloned();
    find(before).is_some_and(|connection| connection.is_paused())
        && find(after).is_some_and(|connection| connection.is_read())
}

// ---- what is valid ----------------------------------------------------------------------------------------------

/// The URL of a new connection, where it needs one.
pub(super) fn validated(new: &NewConnection) -> Result<Option<FeedUrl>, ConnectionError> {
    let mut flaws = Flaws::default();
    flaws.text("name", new.name.trim(), 1, NAME_MOST);
    if let Some(provider) = new.provider {
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

pub(super) fn check_provider(provider: ProviderId, flaws: &mut Flaws) {
    if provider.profile().via == Via::Account {
        flaws.add("provider", "is connected through an account there and not by a calendar link");
    }
}

pub(super) fn check_policy(policy: &PolicyOverrides, flaws: &mut Flaws) {
    for (setting, value) in policy.iter() {
        let field = || format!("import/policy/{}", setting.path);
        match (setting.kind, value) {
            (Kind::Word { most }, Value::Word(word)) => flaws.text(field(), word, 1, most),
            (Kind::Figure { least, most }, value) if !setting.kind.allows(value) => {
                flaws.add(field(), format!("must be from {least} to {most}"));
            }
            _ => {}
        }
    }
}

/// The sides that the connection shall have after the edit, and its settings; or what is wrong with that.
pub(super) fn edited(
    before: &Connection,
    edit: &ConnectionEdit,
) -> Result<(Direction, PolicyOverrides), ConnectionError> {
    let mut flaws = Flaws::default();
    if let Some(name) = &edit.name {
        flaws.text("name", name.trim(), 1, NAME_MOST);
    }
    if let Edit::To(provider) = edit.provider {
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

pub(super) fn needed(before: &Connection, edit: &ConnectionEdit) -> Needed {
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
pub(super) fn connection_with<'a>(
    state: &'a PropertyState,
    id: &ConnectionId,
    url: &FeedUrl,
) -> Option<&'a Connection> {
    let wanted = url.comparable();
    let same = |connection: &&Connection| {
        connection.id != *id && connection.import.as_ref().is_some_and(|import| import.url.comparable() == wanted)
    };
    state.connections.iter().find(same)
}

/// The provider that a URL and what it brought give away.
pub(super) fn detected(url: &FeedUrl, feed: &FeedSeen) -> ProviderId {
    match feed {
        FeedSeen::Examined(examined) => examined.profile.id,
        FeedSeen::Untouched | FeedSeen::Unchecked | FeedSeen::Kept(_) => detect(url.to_url().as_ref(), None).id,
    }
}

/// Where a provider is known from.
pub(super) const BY_URL: &str = "import/url";
pub(super) const BY_NAME: &str = "provider";

pub(super) fn refuse_provider(
    provider: ProviderId,
    refused: &BTreeSet<ProviderId>,
    field: &'static str,
) -> Result<(), ConnectionError> {
    if refused.contains(&provider) {
        let detail = refusal_of(provider);
        return Err(ConnectionError::ProviderRefused { provider, detail, field });
    }
    Ok(())
}

// ---- decisions --------------------------------------------------------------------------------------------------

pub(super) fn known(draft: &Draft, reach: &Reach, id: &ConnectionId) -> Result<Connection, ConnectionError> {
    if !reach.shows(&draft.state.property) {
        return Err(ConnectionError::NotFound);
    }
    draft.connection(id).cloned().ok_or(ConnectionError::NotFound)
}

pub(super) fn apply_creation(
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
    let detected = url.map_or_else(|| generic().id, |url| detected(url, &prepared.feed));
    if url.is_some() {
        refuse_provider(detected, &prepared.refused_providers, BY_URL)?;
    }
    let provider = new.provider.unwrap_or(detected);
    refuse_provider(provider, &prepared.refused_providers, BY_NAME)?;
    let now = draft.now;
    let connection = Connection {
        id: id.clone(),
        account: reach.account.clone(),
        property: draft.state.property.id.clone(),
        name: new.name.trim().to_owned(),
        provider: provider.into(),
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

pub(super) fn read_at(feed: &FeedSeen) -> Option<Timestamp> {
    match feed {
        FeedSeen::Examined(examined) => Some(examined.read_at),
        FeedSeen::Untouched | FeedSeen::Unchecked | FeedSeen::Kept(_) => None,
    }
}

pub(super) fn take_examined(draft: &mut Draft, id: &ConnectionId, feed: &FeedSeen, ids: &mut dyn FnMut() -> [u8; 16]) {
    if let FeedSeen::Examined(examined) = feed {
        let feed = AcceptedFeed {
            reading: &examined.reading,
            snapshot: &examined.snapshot,
            validators: &examined.validators,
            read_at: examined.read_at,
            horizon_at: examined.read_at,
            body: Some(&examined.body),
            small: SmallBody::is(&examined.body),
            waited: None,
        };
        take_reading(draft, id, feed, ids);
    }
}

pub(super) fn apply_edit(
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
        && after.is_read()
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
    if let FeedSeen::Kept(kept) = &prepared.feed {
        take_kept(draft, id, kept, ids).map_err(|_| ConnectionError::Busy)?;
    }
    Ok(())
}

/// Sets provider, URL and policy.
pub(super) fn edit_import(
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
        (Some(_), FeedSeen::Kept(kept)) => kept.provider(after, &draft.state.house(), draft.now).id,
        (Some(url), feed) => detected(url, feed),
        (None, _) => generic().id,
    };
    let provider = match &edit.provider {
        Edit::To(provider) => Provider::from(*provider),
        Edit::Reset => by_url.into(),
        // A URL that tells nothing leaves what was known.
        Edit::Keep if new_url.is_some() && by_url != generic().id => by_url.into(),
        Edit::Keep => after.provider.clone(),
    };
    if new_url.is_some() {
        refuse_provider(by_url, &prepared.refused_providers, BY_URL)?;
    }
    if let Provider::Known(named) = provider
        && provider != after.provider
    {
        refuse_provider(named, &prepared.refused_providers, BY_NAME)?;
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
pub(super) fn moved(
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
pub(super) fn edit_export(after: &mut Connection, draft: &mut Draft, edit: &ConnectionEdit, prepared: &Prepared) {
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

pub(super) fn note_edit(draft: &mut Draft, before: &Connection, after: &Connection) {
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

pub(super) fn apply_pause(
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
pub(super) fn keep_refreshed_at(connection: &mut Connection, refreshed_at: Option<Timestamp>) {
    let applied = connection.import.as_mut().and_then(|import| import.applied.as_mut());
    if let (Some(applied), Some(at)) = (applied, refreshed_at) {
        applied.read_at = applied.read_at.max(at);
    }
}

/// Answers whether it was paused.
pub(super) fn apply_resumption(draft: &mut Draft, reach: &Reach, id: &ConnectionId) -> Result<bool, ConnectionError> {
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
pub(super) fn export_token<'a>(state: &'a PropertyState, id: &ConnectionId) -> Option<&'a LinkToken> {
    let connection = state.connection(id)?;
    connection.export.as_ref().map(|export| &export.token)
}

pub(super) fn apply_rotation(
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
pub(super) fn empty_oldest_rotated(draft: &mut Draft, id: &ConnectionId, provider: &Provider) -> usize {
    let current = RetiringServes::Current { connection: id.clone() };
    let until = draft.now.later(RETIRES_AFTER);
    let mut alive: Vec<&mut RetiringLink> =
        draft.state.retiring.iter_mut().filter(|link| link.serves == current).collect();
    alive.sort_by_key(|link| link.until);
    let too_many = alive.len().saturating_sub(ROTATED_MOST);
    for link in alive.into_iter().take(too_many) {
        link.serves = RetiringServes::Empty { provider: provider.clone() };
        link.until = until;
    }
    too_many
}

pub(super) fn apply_deletion(
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
pub(super) fn stop_export(draft: &mut Draft, id: &ConnectionId, provider: &Provider, export: ExportSide) {
    let until = draft.now.later(RETIRES_AFTER);
    let stopped = |was| RetiringServes::Stopped { connection: id.clone(), provider: provider.clone(), was };
    for link in rotated_links(draft, id) {
        link.serves = stopped(None);
        link.until = until;
    }
    let ExportSide { detail, format, recorded_since, .. } = export;
    let was = StoppedExport { detail, format, recorded_since: Some(recorded_since) };
    draft.state.retiring.push(RetiringLink { token: export.token, serves: stopped(Some(was)), until });
}

/// The link that a connection had when its export was stopped, if it is still served. Links that had been rotated away
/// before follow it again, too.
pub(super) fn revive_export(draft: &mut Draft, id: &ConnectionId) -> Option<ExportSide> {
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
                    // What was read meanwhile was empty, and is recorded with the link like what came before.
                    recorded_since: was.recorded_since.unwrap_or(now),
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
