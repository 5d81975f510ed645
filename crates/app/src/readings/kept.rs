//! Kept snapshots, read again: when the host changes how a feed is judged, what was read last is judged anew in the
//! same change, so that no crash can part the two.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;
use calmesh_calendar::{ConnectionId, FeedReading, House};
use calmesh_profiles::{Profile, Quirks, detect};
use jiff::Timestamp;

use crate::{
    changes::draft::Draft,
    model::{ActivityKind, Connection, FailureKind, Snapshot},
    ports::{Clock, ObjectError, PropertyStore, SnapshotStore, StoreError},
    readings::{
        aside::AsideError,
        body::{read_aside, read_body},
        take::{AcceptedFeed, take_reading},
    },
    traffic::Traffic,
};

/// The body that was last taken in, for each loaded connection.
#[derive(Debug, Default)]
pub(crate) struct KeptBodies(BTreeMap<ConnectionId, Kept>);

/// Where bodies are kept, and whose turn it is to hold one.
pub(crate) struct KeptAt<'a> {
    pub(crate) properties: &'a dyn PropertyStore,
    pub(crate) snapshots: &'a dyn SnapshotStore,
    pub(crate) traffic: &'a Traffic,
    pub(crate) clock: &'a dyn Clock,
}

/// Bodies of so many bytes are kept beside what they say, in case they must be read in another way after all.
const KEPT_BESIDE: usize = 10 * 1024 * 1024;

/// A loaded body, read already as it will most likely be needed. One that was read and is not here any more was let go:
/// who needs it in another way loads it again.
#[derive(Debug)]
struct Kept {
    snapshot: Snapshot,
    body: Option<Bytes>,
    read: Option<Read>,
}

/// What a body says, and by what it was read.
#[derive(Debug)]
struct Read {
    house: House,
    quirks: Quirks,
    now: Timestamp,
    reading: Option<FeedReading>,
}

/// Another body was taken in since the kept one was loaded, or it must be read in another way: load again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moved;

impl KeptAt<'_> {
    /// The body that a connection was taken from last, or, of a past state, then; none where it is lost, or not kept any more.
    ///
    /// # Errors
    /// The store's, or the objects'.
    pub(crate) async fn body_of<E>(&self, connection: &Connection) -> Result<Option<Bytes>, E>
    where
        E: From<StoreError> + From<ObjectError>,
    {
        let Some(applied) = connection.applied() else { return Ok(None) };
        if !applied.small {
            let parked = self.snapshots.parked(&connection.account, &connection.id, &applied.snapshot).await?;
            return Ok(parked.map(|parked| parked.body));
        }
        let kept = self.properties.kept_body(&connection.id, &applied.snapshot).await?;
        Ok(kept.map(|kept| kept.body))
    }
}

impl KeptBodies {
    /// Loads the body that was last taken in, if any, and reads it for a house beside the threads that wait.
    pub(crate) async fn load<E>(&mut self, from: &KeptAt<'_>, connection: &Connection, house: &House) -> Result<(), E>
    where
        E: From<StoreError> + From<ObjectError>,
    {
        let Some(applied) = connection.applied() else { return Ok(()) };
        let _turn = from.traffic.turn_with_kept().await;
        let body = from.body_of::<E>(connection).await?;
        let (quirks, now) = (connection.profile().quirks, from.clock.now());
        let read = match &body {
            Some(body) => match read_aside(body.clone(), house.clone(), connection.profile(), now).await {
                Ok(reading) => Some(Read { house: house.clone(), quirks, now, reading: reading.ok() }),
                // What can't be read in its time is not read again where it would hold up others.
                Err(AsideError::TooSlow | AsideError::Panicked) => {
                    Some(Read { house: house.clone(), quirks, now, reading: None })
                }
                Err(AsideError::Full) => {
                    let what = "no thread was free to read a kept feed".to_owned();
                    return Err(ObjectError { what, source: None }.into());
                }
            },
            None => None,
        };
        let beside: usize = self.0.values().filter_map(|kept| kept.body.as_ref()).map(Bytes::len).sum();
        let body = body.filter(|body| beside.saturating_add(body.len()) <= KEPT_BESIDE);
        self.0.insert(connection.id.clone(), Kept { snapshot: applied.snapshot.clone(), body, read });
        Ok(())
    }

    /// The provider that a connection's URL, or else the words of its kept body, give away.
    pub(crate) fn provider(&self, connection: &Connection, house: &House, now: Timestamp) -> &'static Profile {
        let url = connection.import.as_ref().and_then(|import| import.url.to_url());
        let kept = self.0.get(&connection.id);
        let reading = kept.and_then(|kept| kept.read_for(house, connection.profile(), now).ok().flatten());
        detect(url.as_ref(), reading.and_then(|(reading, _)| reading.prodid.clone()).as_deref())
    }
}

impl Kept {
    /// What the body says to this house, and around when the horizon lay; none where nothing can be read.
    fn read_for(
        &self,
        house: &House,
        profile: &Profile,
        now: Timestamp,
    ) -> Result<Option<(Cow<'_, FeedReading>, Timestamp)>, Moved> {
        match (&self.read, &self.body) {
            (Some(read), _) if read.house == *house && read.quirks == profile.quirks => {
                Ok(read.reading.as_ref().map(|reading| (Cow::Borrowed(reading), read.now)))
            }
            // The host says at this moment that it is another provider's, with quirks of its own.
            (_, Some(body)) => Ok(read_body(body, house, profile, now).ok().map(|reading| (Cow::Owned(reading), now))),
            (Some(_), None) => Err(Moved),
            (None, None) => Ok(None),
        }
    }
}

/// Judges the kept body of a connection by the settings that are now in the draft. A connection that was never read
/// has nothing to judge. Where the body is lost, the connection is marked as never read, so that its next reading
/// is taken in as a changed one.
///
/// # Errors
/// `Moved` when the connection has taken in another body than the loaded one.
pub(crate) fn take_kept(
    draft: &mut Draft,
    connection: &ConnectionId,
    kept: &KeptBodies,
    ids: &mut dyn FnMut() -> [u8; 16],
) -> Result<(), Moved> {
    let Some(known) = draft.connection(connection) else { return Ok(()) };
    let Some(applied) = known.applied().cloned() else { return Ok(()) };
    let kept = kept.0.get(connection).filter(|kept| kept.snapshot == applied.snapshot).ok_or(Moved)?;
    let house = draft.state.house();
    match kept.read_for(&house, known.profile(), draft.now)? {
        Some((reading, horizon_at)) => {
            let feed = AcceptedFeed {
                reading: &reading,
                snapshot: &applied.snapshot,
                validators: &applied.validators,
                read_at: applied.read_at,
                horizon_at,
                body: None,
                small: applied.small,
                waited: None,
            };
            take_reading(draft, connection, feed, ids);
        }
        None => {
            if let Some(import) = draft.connection_mut(connection).and_then(|connection| connection.import.as_mut()) {
                import.applied = None;
            }
            tracing::warn!(connection.id = %connection, "a kept body is lost or can't be read; its feed is read anew");
            tracing::info!(target: "calmesh::metric", kept_bodies_lost = 1);
            // What was known goes on to block; the host is told why nothing new is judged.
            draft.note(
                Some(connection),
                ActivityKind::FeedFailed { failure: FailureKind::NotTakenIn, detail: KEPT_UNREADABLE.to_owned() },
            );
        }
    }
    Ok(())
}

/// What a host is told of a kept body that is lost or can't be read.
const KEPT_UNREADABLE: &str = "What was read of this calendar last is not there any more or can't be read: what was \
    known before still blocks, and the calendar is read anew at the next turn.";
