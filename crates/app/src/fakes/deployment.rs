//! A whole deployment on fakes.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use url::Url;

use super::{FixedClock, MemoryBus, MemoryFeeds, MemoryObjects, MemoryStore, PlainSealer, SeededRandomness};
use crate::{
    app::App,
    model::{SecretHash, TokenSecret},
    settings::{Keys, Settings},
    wiring::{Common, Ports},
};

/// An `App` and the fakes behind it.
#[derive(Debug, Clone)]
pub struct FakeDeployment {
    pub app: App,
    /// What it is wired from; a test that changes them wires anew.
    pub ports: Ports,
    pub store: Arc<MemoryStore>,
    pub objects: Arc<MemoryObjects>,
    pub bus: Arc<MemoryBus>,
    pub feeds: Arc<MemoryFeeds>,
    pub clock: Arc<FixedClock>,
    pub operator_key: TokenSecret,
}

impl FakeDeployment {
    /// One shard, a sweep every 15 minutes, links at `links_base`; ids and secrets drawn from `seed`.
    #[must_use]
    pub fn new(now: Timestamp, seed: u64, links_base: Url, refused_providers: &[&str]) -> Self {
        let store = Arc::new(MemoryStore::new());
        let clock = Arc::new(FixedClock::at(now));
        let objects = Arc::new(MemoryObjects::new(clock.clone()));
        let bus = Arc::new(MemoryBus::new());
        let feeds = Arc::new(MemoryFeeds::new());
        let operator_key = TokenSecret::from_random([7; 32]);
        let settings = Settings {
            refused_providers: refused_providers.iter().filter_map(|id| id.parse().ok()).collect(),
            sweep_period: SignedDuration::from_mins(15),
            read_again_after: Settings::READ_AGAIN_AFTER,
            shards: 1,
            private_feeds: false,
            every_read_is_recorded: true,
        };
        let common =
            Common::on(store.clone(), bus.clone(), clock.clone(), Arc::new(SeededRandomness::new(seed)), settings);
        let ports = Ports {
            common,
            feeds: feeds.clone(),
            snapshots: objects.clone(),
            exports: objects.clone(),
            sealer: Arc::new(PlainSealer),
            links_base,
            operator_key: SecretHash::of(operator_key.reveal()),
            keys: Keys { cursor: [1; 32], echo: [2; 32] },
        };
        Self { app: App::new(&ports), ports, store, objects, bus, feeds, clock, operator_key }
    }
}
