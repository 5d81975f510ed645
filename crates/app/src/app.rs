//! One deployment: all that it is wired from, and all of its rooms.

use std::{fmt, sync::Arc};

use crate::{
    access::Access,
    changes::Changes,
    desk::Desk,
    fetch::Fetch,
    mend::Mend,
    merge::Merge,
    ports::Event,
    publish::Publish,
    tick::Tick,
    trouble::WorkError,
    wiring::{Common, Ports},
};

/// All rooms of one deployment in one process, as the program has them. A function has the one that it runs. Cheap to
/// clone.
#[derive(Debug, Clone)]
pub struct App {
    pub changes: Changes,
    pub tick: Tick,
    pub fetch: Fetch,
    pub merge: Merge,
    pub publish: Publish,
    pub desk: Desk,
    pub access: Access,
    pub mend: Mend,
}

impl App {
    #[must_use]
    pub fn new(ports: &Ports) -> Self {
        let Ports { common, feeds, snapshots, exports, keys, .. } = ports;
        let publish = Publish::new(common, snapshots, exports, keys.echo);
        Self {
            changes: publish.changes.clone(),
            tick: Tick::new(common),
            fetch: Fetch::new(common, feeds, snapshots),
            merge: Merge::new(common, &publish),
            desk: Desk::new(ports, &publish),
            access: Access::new(Arc::clone(&common.links)),
            mend: Mend::new(common, &publish),
            publish,
        }
    }

    /// Works on one event, whoever delivers it: timer, button or push. It may come twice, late, or out of order; a second
    /// run changes nothing.
    ///
    /// # Errors
    /// When a part of the world failed, or the work panicked, which is this event's alone; nothing that was acknowledged
    /// is lost, and the event may come again.
    pub async fn handle(&self, event: &Event) -> Result<(), WorkError> {
        match event {
            Event::SweepDue { .. } | Event::RefreshRequested { .. } => self.fetch.handle(event).await,
            Event::FeedsRead { .. }
            | Event::PropertyDirty { .. }
            | Event::LinkDirty { .. }
            | Event::AccountDeleted { .. } => self.merge.handle(event).await,
            Event::PropertyChanged { .. } | Event::ConflictOpened { .. } => Ok(()),
        }
    }
}

/// What rooms are made of has nothing to show.
macro_rules! opaque {
    ($($room:ident),*) => {$(
        impl fmt::Debug for $room {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($room)).finish_non_exhaustive()
            }
        }
    )*};
}

opaque!(Common, Ports, Changes, Tick, Fetch, Merge, Publish, Desk, Access, Mend);
