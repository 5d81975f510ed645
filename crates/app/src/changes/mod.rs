//! The one way to change a property: load, decide, weigh, commit what differs, announce (`commit`). Somebody else's change in
//! between means deciding anew on what is there now.

pub(crate) mod commit;
pub(crate) mod difference;
pub(crate) mod draft;
pub(crate) mod ending;
pub(crate) mod extensions;
pub(crate) mod holds;
pub(crate) mod naming;
pub(crate) mod weighing;

use std::sync::Arc;

use crate::{
    model::PropertyState,
    ports::{Clock, EventBus, LinkStore, PropertyStore, Randomness, StoreError},
    settings::Settings,
    wiring::Common,
};

/// How often an edit is decided anew because somebody else wrote first.
pub(crate) const EDIT_ATTEMPTS: u32 = 12;

/// Why a property was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError<E> {
    /// There is no such property, or it was deleted.
    #[error("no such property")]
    NotFound,
    /// The use case refused.
    #[error(transparent)]
    Refused(E),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A use case's own error, in whose words a change is refused.
pub(crate) trait ChangeRefusal: From<StoreError> + Send {
    /// There is no such property, or it was deleted.
    fn not_found() -> Self;
}

/// What a finished change brought.
#[derive(Debug)]
pub struct Changed<T> {
    pub value: T,
    /// The state as it now is.
    pub state: PropertyState,
    /// Whether anything was written.
    pub written: bool,
}

/// What one decision of several brought.
#[derive(Debug)]
pub(crate) struct Decided<T> {
    pub(crate) value: T,
    /// Holds that it opened and ended in one.
    pub(crate) passed_holds: u32,
}

/// The one way to change a property.
#[derive(Clone)]
pub struct Changes {
    pub(crate) properties: Arc<dyn PropertyStore>,
    pub(crate) links: Arc<dyn LinkStore>,
    pub(crate) bus: Arc<dyn EventBus>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) randomness: Arc<dyn Randomness>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) echo_key: [u8; 32],
}

impl Changes {
    pub(crate) fn new(common: &Common, echo_key: [u8; 32]) -> Self {
        Self {
            properties: common.properties.clone(),
            links: common.links.clone(),
            bus: common.bus.clone(),
            clock: common.clock.clone(),
            randomness: common.randomness.clone(),
            settings: common.settings.clone(),
            echo_key,
        }
    }
}
