//! What the private link of a connection shows: one answer, for the link itself and for whoever asks beforehand.

use calmesh_calendar::{Picture, ViewEvent, Viewer, view};
use jiff::Timestamp;

use crate::model::{Connection, Format, PropertyState};

/// The events of a connection's link, also while it is given out as before a rotation. None while it is paused.
pub(crate) fn stays_on_link(
    state: &PropertyState,
    picture: &Picture<'_>,
    connection: &Connection,
    now: Timestamp,
) -> Vec<ViewEvent> {
    let Some(export) = connection.export.as_ref().filter(|_| connection.serves()) else { return Vec::new() };
    let viewer = Viewer { own: Some(&connection.id), times: export.format == Format::Times };
    view(picture, viewer, state.property.rules_changed_at, now)
}
