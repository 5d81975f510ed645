//! Kept snapshots, read again: when the host changes how a feed is judged, what was read last is judged anew in the
//! same change, so that no crash can part the two.

use std::collections::BTreeMap;

use bytes::Bytes;
use calmesh_calendar::{ConnectionId, House};
use calmesh_profiles::{Profile, detect};
use jiff::Timestamp;

use crate::{
    AcceptedFeed, App, Draft,
    model::{Connection, Snapshot},
    ports::ObjectError,
    read_body, take_reading,
};

/// The body that was last taken in, for each loaded connection.
#[derive(Debug, Default)]
pub(crate) struct KeptBodies(BTreeMap<ConnectionId, (Snapshot, Option<Bytes>)>);

/// Another body was taken in since the kept one was loaded: load again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moved;

impl KeptBodies {
    /// Loads the body that was last taken in, if any.
    pub(crate) async fn load(&mut self, app: &App, connection: &Connection) -> Result<(), ObjectError> {
        let Some(applied) = connection.applied() else { return Ok(()) };
        let parked = app.snapshots.parked(&connection.account, &connection.id, &applied.snapshot).await?;
        self.0.insert(connection.id.clone(), (applied.snapshot.clone(), parked.map(|parked| parked.body)));
        Ok(())
    }
}

impl KeptBodies {
    /// The provider that a connection's URL, or else the words of its kept body, give away.
    pub(crate) fn provider(&self, connection: &Connection, house: &House, now: Timestamp) -> &'static Profile {
        let url = connection.import.as_ref().and_then(|import| import.url.to_url());
        let body = self.0.get(&connection.id).and_then(|(_, body)| body.as_ref());
        let reading = body.and_then(|body| read_body(body, house, connection.profile(), now).ok());
        detect(url.as_ref(), reading.and_then(|reading| reading.prodid).as_deref())
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
    let (_, body) = kept.0.get(connection).filter(|(snapshot, _)| *snapshot == applied.snapshot).ok_or(Moved)?;
    let house = draft.state.house();
    match body.as_ref().and_then(|body| read_body(body, &house, known.profile(), draft.now).ok()) {
        Some(reading) => {
            let feed = AcceptedFeed {
                reading: &reading,
                snapshot: &applied.snapshot,
                validators: &applied.validators,
                read_at: applied.read_at,
                horizon_at: draft.now,
            };
            take_reading(draft, connection, feed, ids);
        }
        None => {
            if let Some(import) = draft.connection_mut(connection).and_then(|connection| connection.import.as_mut()) {
                import.applied = None;
            }
        }
    }
    Ok(())
}
