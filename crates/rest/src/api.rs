//! What every handler may reach.

use std::sync::Arc;

use calmesh_app::Desk;

use crate::{body::Room, limiter::Limiter, options::RestOptions};

/// What every handler may reach.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) desk: Arc<Desk>,
    pub(crate) options: Arc<RestOptions>,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) room: Room,
}
