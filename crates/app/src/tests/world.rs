//! A deployment on fakes, with one property in Madrid and connections that are put in by hand.

use std::{fmt::Write, sync::Arc};

use calmesh_calendar::*;
use jiff::{SignedDuration, Timestamp};

use crate::{
    App, Edit, NewConnection, PolicyEdit, Ports, Settings,
    changes::{difference::difference, draft::History},
    fakes::{Answer, FakeDeployment, FixedClock, Interruption, MemoryBus, MemoryFeeds, MemoryObjects, MemoryStore},
    model::*,
    ports::*,
};

pub(super) struct World {
    pub(super) app: App,
    pub(super) ports: Ports,
    pub(super) store: Arc<MemoryStore>,
    pub(super) objects: Arc<MemoryObjects>,
    pub(super) bus: Arc<MemoryBus>,
    pub(super) feeds: Arc<MemoryFeeds>,
    pub(super) clock: Arc<FixedClock>,
    pub(super) account: AccountId,
    pub(super) property: PropertyId,
}

pub(super) const START: &str = "2026-11-21T08:00:00Z";

/// An Airbnb-shaped body; its DTSTAMP moves at every fetch.
pub(super) fn airbnb(stamp: u32, stays: &[(&str, &str, &str)]) -> String {
    let mut text = String::from(
        "BEGIN:VCALENDAR\r\nPRODID:-//Airbnb Inc//Hosting Calendar 1.0//EN\r\nCALSCALE:GREGORIAN\r\nVERSION:2.0\r\n",
    );
    for (code, start, end) in stays {
        write!(
            text,
            "BEGIN:VEVENT\r\nDTSTAMP:20260101T{stamp:06}Z\r\nDTSTART;VALUE=DATE:{}\r\nDTEND;VALUE=DATE:{}\r\nSUMMARY:Reserved\r\n\
             UID:1418fb94e984-{code}@airbnb.com\r\nDESCRIPTION:Reservation URL: \
             https://www.airbnb.com/hosting/reservations/details/{code}\r\nEND:VEVENT\r\n",
            start.replace('-', ""),
            end.replace('-', ""),
        )
        .unwrap();
    }
    text.push_str("END:VCALENDAR\r\n");
    text
}

/// An edit of one setting of a policy.
pub(super) fn set(path: &str, value: policy::Value) -> PolicyEdit {
    let setting = policy::settings().find(|setting| setting.path == path).unwrap();
    PolicyEdit { reset: false, settings: vec![(setting, Edit::To(value))] }
}

/// How large the bodies of a feed are: those that lie in the store, and those that lie among the objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    Small,
    Large,
}

pub(super) const SIZES: [Size; 2] = [Size::Small, Size::Large];

/// A calendar of this size that says the same.
pub(super) fn sized(size: Size, calendar: &str) -> String {
    let padding = match size {
        Size::Small => String::new(),
        Size::Large => format!("X-PADDING:{}\r\n", "0".repeat(60)).repeat(SmallBody::BYTES / 60),
    };
    calendar.replace("END:VCALENDAR", &format!("{padding}END:VCALENDAR"))
}

/// A new connection both ways to the feed of this name.
pub(super) fn new_connection(name: &str) -> NewConnection {
    NewConnection {
        name: name.to_owned(),
        provider: None,
        direction: Direction::Bidirectional,
        paused: false,
        url: Some(World::url(name).parse().unwrap()),
        policy: PolicyOverrides::default(),
        has_import: true,
        detail: None,
        format: None,
        export_paused: false,
        has_export: false,
        skip_check: false,
    }
}

impl World {
    pub(super) async fn new() -> Self {
        let links_base = "https://links.example".parse().unwrap();
        let FakeDeployment { app, ports, store, objects, bus, feeds, clock, .. } =
            FakeDeployment::new(START.parse().unwrap(), 7, links_base, &[]);
        let (account, property) = (AccountId::from_random([1; 16]), PropertyId::from_random([2; 16]));
        let now = clock.now();
        let state = PropertyState::of(Property {
            id: property.clone(),
            account: account.clone(),
            name: "Flat".to_owned(),
            created_at: now,
            rules_changed_at: now,
            revised_at: Some(now),
            dirty: None,
            ..crate::contract::a_property(0, 0)
        });
        let owner = crate::contract::an_account(0);
        store.create_account(&Account { id: account.clone(), ..owner }, None).await.unwrap();
        store.commit(&difference(None, &state, History::default())).await.unwrap();
        Self { app, ports, store, objects, bus, feeds, clock, account, property }
    }

    /// The same deployment, with other settings.
    pub(super) fn with_settings(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.ports.common.settings));
        Self { app: App::new(&self.ports), ..self }
    }

    pub(super) fn url(name: &str) -> String {
        format!("https://{name}.example/feed.ics?s=secret")
    }

    /// An extra link that is there, and not rendered yet.
    pub(super) async fn extra_link(&self, name: &str, scope: LinkScope, detail: Detail) -> ExtraLink {
        let link = ExtraLink {
            id: LinkId::from_random([5; 16]),
            account: self.account.clone(),
            name: name.to_owned(),
            scope,
            detail,
            format: Format::Nights,
            token: LinkToken::from_random([5; 32]),
            created_at: self.now(),
            last_changed_at: None,
            version: 1,
            revision: 1,
            dirty: None,
            deleted_at: None,
        };
        self.store.put_link(&link).await.unwrap();
        link
    }

    /// A connection both ways whose feed is `https://{name}.example/…`.
    pub(super) async fn connect(&self, name: &str, provider: &str) -> ConnectionId {
        let id = ConnectionId::from_random(self.property.within(self.ports.common.randomness.id()));
        let token = LinkToken::from_random(self.ports.common.randomness.secret());
        let now = self.clock.now();
        let connection = Connection {
            id: id.clone(),
            account: self.account.clone(),
            property: self.property.clone(),
            name: name.to_owned(),
            provider: provider.into(),
            direction: Direction::Bidirectional,
            status: Status::Active,
            import: Some(ImportSide::new(Self::url(name).parse().unwrap(), now, PolicyOverrides::default())),
            export: Some(ExportSide {
                token,
                detail: Detail::Busy,
                format: Format::Nights,
                last_changed_at: None,
                paused: false,
                recorded_since: now,
            }),
            created_at: now,
            named_at: now,
            version: 1,
        };
        self.change(|state| state.connections.push(connection.clone())).await;
        self.work().await;
        id
    }

    pub(super) async fn change(&self, mut change: impl FnMut(&mut PropertyState) + Send) {
        let changed = self.app.changes.change_property(&self.property, |draft| {
            change(&mut draft.state);
            Ok::<_, StoreError>(())
        });
        changed.await.unwrap();
    }

    /// Works on announced events until none is left.
    pub(super) async fn work(&self) {
        loop {
            let events = self.bus.drain();
            if events.is_empty() {
                return;
            }
            for event in events {
                self.app.handle(&event).await.unwrap();
            }
        }
    }

    /// A period later: what is due is announced and worked on, and what fails stays in the queue, which delivers it again.
    pub(super) async fn struggle(&self, queue: &mut Vec<Event>) {
        self.clock.advance(SignedDuration::from_mins(15));
        let _ = self.app.tick.announce_shards(self.now(), SignedDuration::from_mins(15)).await;
        let _ = self.app.tick.announce_marks(self.now()).await;
        for _ in 0..6 {
            queue.extend(self.bus.drain());
            let mut again = Vec::new();
            for event in queue.drain(..) {
                if self.app.handle(&event).await.is_err() {
                    again.push(event);
                }
            }
            *queue = again;
        }
    }

    /// One sweep a period later, worked through.
    pub(super) async fn sweep(&self) {
        self.clock.advance(SignedDuration::from_mins(15));
        let now = self.clock.now();
        self.app.tick.announce_shards(now, SignedDuration::from_mins(15)).await.unwrap();
        self.work().await;
        self.app.tick.announce_marks(now).await.unwrap();
        self.work().await;
    }

    pub(super) fn serve(&self, name: &str, body: String) {
        self.feeds.set(&Self::url(name), Answer::body(body));
    }

    /// How many bodies there are of a connection, wherever they lie, those that expire included.
    pub(super) fn bodies_of(&self, connection: &ConnectionId) -> usize {
        self.store.bodies_of(connection) + self.objects.bodies_of(&self.account, connection)
    }

    /// How many of them do not expire.
    pub(super) fn bodies_that_stay(&self, connection: &ConnectionId) -> usize {
        let small = self.store.current_snapshots(connection).len() + self.store.bodies_that_wait(connection);
        small + self.objects.bodies_that_stay(&self.account, connection)
    }

    /// The snapshots of a connection's bodies that were taken in and do not expire.
    pub(super) fn current_snapshots(&self, connection: &ConnectionId) -> Vec<Snapshot> {
        let small = self.store.current_snapshots(connection).into_iter();
        small.chain(self.objects.current_snapshots(&self.account, connection)).collect()
    }

    /// How many bodies were written down.
    pub(super) fn bodies_put(&self) -> usize {
        self.store.bodies_put() + self.objects.bodies_parked()
    }

    pub(super) async fn state(&self) -> PropertyState {
        self.store.load(&self.property).await.unwrap().unwrap()
    }

    pub(super) async fn taken(&self) -> Vec<String> {
        let state = self.state().await;
        let nights = taken_nights(&state.taken(), &state.house(), "2026-01-01".parse().unwrap());
        nights.iter().map(ToString::to_string).collect()
    }

    /// The dates of the events behind a connection's link; none when it answers 404.
    pub(super) async fn link(&self, connection: &ConnectionId) -> Option<Vec<String>> {
        let state = self.state().await;
        let connection = state.connections.iter().find(|known| known.id == *connection).unwrap();
        self.served(&connection.export.as_ref().unwrap().token)
    }

    pub(super) fn served(&self, token: &LinkToken) -> Option<Vec<String>> {
        let body = self.objects.exports().get(token)?.clone();
        let text = String::from_utf8(body.to_vec()).unwrap().replace("\r\n ", "");
        let dates = |name: &str| {
            let lines = text.lines().filter(|line| line.starts_with(name));
            lines.map(|line| line.rsplit(':').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        Some(dates("DTSTART").into_iter().zip(dates("DTEND")).map(|(start, end)| format!("{start}-{end}")).collect())
    }

    pub(super) async fn health(&self, connection: &ConnectionId) -> FetchHealth {
        let states = self.store.fetch_states(std::slice::from_ref(connection)).await.unwrap();
        states[connection].health.clone()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// What comes between two calls: the whole deed, as somebody else does it meanwhile.
pub(super) fn meanwhile<F: Future<Output = ()>>(
    app: &App,
    deed: impl FnOnce(App) -> F + Send + 'static,
) -> Interruption {
    let app = app.clone();
    Box::new(move || {
        let doing = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(deed(app));
        });
        doing.join().unwrap();
    })
}
