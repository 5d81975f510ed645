//! The document of a connection, to be timed from outside.

use calmesh_app::{model::Connection, ports::StoreError};
use calmesh_calendar::{Block, ConnectionClaims, ConnectionId, PropertyId};

use crate::doc::connection::{self, Parts};

/// The bytes of a connection with these stays and claims.
///
/// # Errors
/// `Corrupt` where it can't be written.
pub fn encode(settings: &Connection, stays: &[&Block], claims: &ConnectionClaims) -> Result<Vec<u8>, StoreError> {
    let parts = Parts { settings: Some(settings), stays: Some(stays), claims: Some(claims) };
    connection::encode(&settings.property, &parts)
}

/// How many stays these bytes hold.
///
/// # Errors
/// `Corrupt` where they are no document.
pub fn decode(bytes: &[u8], property: &PropertyId, id: &ConnectionId) -> Result<usize, StoreError> {
    Ok(connection::decode(bytes, property, id)?.stays.map_or(0, |stays| stays.len()))
}
