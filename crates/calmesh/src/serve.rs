//! `calmesh serve`: the whole service in one process. Wires the rooms, finishes what an earlier run acknowledged,
//! serves, and stops cleanly.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, response::Redirect, routing::get};
use calmesh_app::{
    App, Common, Desk, Mend, Ports, Settings, WorkError,
    model::{Account, Detail, Scope, SecretHash, Token},
    ports::{Event, Mark, StoreError},
};
use calmesh_exports_s3::{Buckets, ObjectKey, S3Objects};
use calmesh_feeds_http::{HttpFeedsError, is_public};
use calmesh_lambda_kit::{OsRandomness, OwnAgent, SystemClock, metrics, telemetry};
use calmesh_secrets::{KeyFileSealer, derive_keys};
use calmesh_store_dynamodb::{DynamoStore, create_table_if_missing};
use futures::{StreamExt, stream};
use jiff::Timestamp;
use serde_json::json;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tracing_subscriber::{EnvFilter, Layer, filter::filter_fn, layer::SubscriberExt, util::SubscriberInitExt};
use url::{Host, Url};

use crate::{
    args::{Listen, Serve},
    bus::{LocalBus, OwnerOf, Workers},
    demo::{Demo, DemoError},
    embedded::{
        dynamo::EmbeddedDynamo,
        rows::{Beginning, Expiry, Tells},
        s3::EmbeddedS3,
        sqlite::Looks,
    },
    folder::{Credentials, DataFolder, FolderError},
    kept::Kept,
    links::{self, Links},
    listener::{self, Limits},
    output::{self, Style},
    reads::{Reads, ReadsError},
    remembered::Versions,
    source, timer,
    unsure::Unsure,
};

/// Sweeps are told, single requests are not.
const QUIET: &str = "info,calmesh_rest=warn";
const TABLE: &str = "calmesh";
const EXPORTS: &str = "calmesh-exports";
const SNAPSHOTS: &str = "calmesh-snapshots";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Requests and work at hand get this long when the service stops.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// Properties whose links are compared at the same time, after the start: beside what is asked for, not before it.
const COMPARED_AT_ONCE: usize = 2;
const UNFINISHED_PER_PAGE: u16 = 500;
const UNFINISHED_AT_ONCE: usize = 8;
/// One property that hangs holds up the start for no longer than this; the workers go on with it.
const UNFINISHED_WITHIN: Duration = Duration::from_secs(20);

/// Why the service does not run. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("{0} is in use: stop what listens there, or choose another with --listen, such as --listen 127.0.0.1:0")]
    PortInUse(Listen),
    #[error("{address} can't be listened on: choose another with --listen")]
    Listen {
        address: Listen,
        #[source]
        source: io::Error,
    },
    #[error("{0} is no name of this machine: give an address with --listen, such as --listen 127.0.0.1:8080")]
    Unnamed(Listen),
    #[error("the store in the data folder can't be used: put back a backup of it, or choose another with --data")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error(
        "the objects in the data folder can't be used: look at the rights of objects.db, or choose another with --data"
    )]
    Objects(#[source] io::Error),
    #[error("sealing.key in the data folder can't be used: put back a backup of it, or choose another with --data")]
    Sealing(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error(transparent)]
    Reads(#[from] ReadsError),
    #[error("this is no address to serve on: {0}")]
    Address(SocketAddr),
    #[error("the demo could not be made: start without --demo")]
    Demo(#[from] DemoError),
    #[error("no feed can be fetched here")]
    Feeds(#[from] HttpFeedsError),
    #[error("the server ended by itself: start it again")]
    Ended(#[source] io::Error),
    #[error("the system lets nobody wait for signals")]
    Signals(#[source] io::Error),
}

/// Serves until SIGTERM or SIGINT. A second signal ends it at once: whatever it cuts off, the next start finishes.
///
/// # Errors
/// When the service could not start, or the server ended by itself.
pub(crate) async fn run(args: &Serve) -> Result<(), ServeError> {
    start_logs();
    let mut signals = Signals::new().map_err(ServeError::Signals)?;
    let stopped = "calmesh: stopped before it was ready; the next start goes on.";
    let (listener, folder) = tokio::select! {
        prepared = prepare(args) => prepared?,
        () = signals.next() => {
            output::warn(stopped);
            return Ok(());
        }
    };
    let undone = AtomicBool::new(folder.was_cut_short());
    let started = tokio::select! {
        started = Service::start(args, listener, &folder, &undone) => Some(started),
        () = signals.next() => None,
    };
    let mut service = match started {
        Some(Ok(service)) => service,
        ended => {
            // What has begun nothing leaves nothing for the next start to look at.
            if !undone.load(Ordering::Relaxed) {
                folder.end()?;
            }
            return match ended {
                Some(Err(error)) => Err(error),
                _ => {
                    output::warn(stopped);
                    Ok(())
                }
            };
        }
    };
    let outcome = tokio::select! {
        () = signals.next() => {
            output::warn("calmesh: stopping. What is at hand is finished first; Ctrl-C again ends it at once.");
            Ok(())
        }
        ended = &mut service.server => Err(ServeError::Ended(match ended {
            Ok(Ok(())) => io::Error::other("nothing more was accepted"),
            Ok(Err(error)) => error,
            Err(error) => io::Error::other(error),
        })),
    };
    tokio::select! {
        () = service.stop(folder) => output::warn("calmesh: stopped."),
        () = signals.next() => output::warn("calmesh: ended at once; the next start finishes what was begun."),
    }
    outcome
}

/// Everything that runs.
struct Service {
    server: JoinHandle<io::Result<()>>,
    timer: JoinHandle<()>,
    comparing: JoinHandle<()>,
    telling: JoinHandle<()>,
    looks: Looks,
    looking: JoinHandle<()>,
    workers: Workers,
    stop: watch::Sender<bool>,
}

/// Takes the port and the folder. Who starts it twice is told so, and not that the port is in use. Nothing is made before
/// both are free.
async fn prepare(args: &Serve) -> Result<(TcpListener, DataFolder), ServeError> {
    if DataFolder::is_in_use(&args.data) {
        return Err(FolderError::InUse(args.data.clone()).into());
    }
    let listener = listen(&args.listen).await?;
    Ok((listener, DataFolder::open(&args.data)?))
}

impl Service {
    /// `undone` says whether something was begun that an end at this moment leaves to the next start.
    async fn start(
        args: &Serve,
        listener: TcpListener,
        folder: &DataFolder,
        undone: &AtomicBool,
    ) -> Result<Self, ServeError> {
        let credentials = folder.credentials(&OsRandomness)?;
        let api = address_of(&listener, args)?;
        if args.allow_private_feeds {
            output::warn(
                "calmesh: WARNING: --allow-private-feeds is on. Whoever holds a token can make this machine call \
                 addresses that only it can reach. Use it for tests only.",
            );
        }
        let demo = Demo::of_folder(folder, args, &api)?;

        let dynamo = open_store(folder, &credentials)?;
        let kept = Kept::default();
        let unsure = Unsure::default();
        if folder.was_cut_short() {
            unsure.of_all();
        }
        let s3 = open_objects(folder, kept.clone(), &unsure).map_err(ServeError::Objects)?;
        let bus = LocalBus::new();
        let secret = credentials.deployment_secret().ok_or_else(|| FolderError::Damaged(folder.credentials_file()))?;
        let own_agent = OwnAgent::of_deployment(&args.contact_url, &secret);
        let (ports, reads) =
            wire(args, folder, &credentials, &api, &dynamo, &s3, &bus, demo.as_ref(), &own_agent, &unsure).await?;
        let app = App::new(&ports);
        bus.ask_owners_of(owners_by(&ports.common));
        ensure_account(&ports.common, &credentials).await.map_err(|error| ServeError::Store(error.into()))?;
        if let Some(ahead) = app.fetch.swept_ahead().await.map_err(|error| ServeError::Store(error.into()))? {
            output::warn(&clock_is_wrong(ahead, ports.common.clock.now()));
        }
        finish_unfinished(&app, &ports.common, undone).await.map_err(|error| ServeError::Store(error.into()))?;

        folder.is_made()?;
        undone.store(true, Ordering::Relaxed);
        let (stop, stopped) = watch::channel(false);
        let workers = start_workers(&bus, app.clone(), stopped.clone());
        let links = Links {
            exports: ports.exports.clone(),
            kept,
            reads: reads.clone(),
            clock: ports.common.clock.clone(),
            unsure: unsure.clone(),
            own_agent,
        };
        let router = router(app.desk.clone(), demo.as_ref(), links);
        let server = tokio::spawn(listener::serve(listener, router.clone(), Limits::USUAL, stopped.clone()));
        let comparing = tokio::spawn(compare(app.mend.clone(), unsure));
        let telling = tokio::spawn(reads.tell_regularly());
        let looks = Looks::default();
        let looking = tokio::spawn(look_for_damage(folder.database(), s3.clone(), looks.clone()));
        let demo = match demo {
            Some(demo) => Some(demo.ensure(folder, router, &credentials.token).await?),
            None => None,
        };
        let timer = tokio::spawn(timer::run(app.tick, ports.common, dynamo, s3, stopped));
        Ready { args, folder, credentials: &credentials, api: &api }.tell();
        if let (Some(demo), false) = (demo, args.json) {
            output::say(&demo.told(Style::of_stdout()));
        }
        Ok(Self { server, timer, comparing, telling, looks, looking, workers, stop })
    }

    /// Takes nothing more, finishes what is at hand, closes the store.
    async fn stop(self, folder: DataFolder) {
        let began = tokio::time::Instant::now();
        self.comparing.abort();
        // What was not told is in its file.
        self.telling.abort();
        // Before the store is let go: whoever holds it last brings its log into it, and they only read.
        drop(tokio::time::timeout(STOP_WITHIN, self.looks.end(self.looking)).await);
        // Each of these is gone already when nobody listens.
        let _ = self.stop.send(true);
        let served = async { drop(tokio::time::timeout(STOP_WITHIN, self.server).await) };
        // Whoever still holds the store when the process ends keeps its log from being brought into it.
        let ended = async { drop(tokio::join!(self.timer, self.comparing, self.telling)) };
        tokio::join!(served, self.workers.drain(STOP_WITHIN), ended);
        // What was cut off is looked at by the next start.
        if began.elapsed() < STOP_WITHIN
            && let Err(error) = folder.end()
        {
            tracing::warn!(error = telemetry::chain(&error), "the next start takes this for a kill");
        }
    }
}

fn start_workers(bus: &LocalBus, app: App, stopped: watch::Receiver<bool>) -> Workers {
    bus.start(move |event| {
        let (app, mut stopped) = (app.clone(), stopped.clone());
        async move {
            tokio::select! {
                biased;
                // Feeds may be slow, and what is not read now is read by the next start.
                _ = stopped.wait_for(|stop| *stop), if reads_feeds(&event) => Ok(()),
                done = app.handle(&event) => done.map_err(Into::into),
            }
        }
    })
}

/// What is told at a start that finds something dated ahead.
fn clock_is_wrong(ahead: Timestamp, now: Timestamp) -> String {
    format!(
        "calmesh: WARNING: feeds were last read at {ahead:.0}, and the clock of this machine says that it is {now:.0}: it was \
         ahead then, or is behind now. What is dated ahead counts as never read. If the clock is wrong, set it."
    )
}

/// Tells whose a property or link is that an event names; nobody's where that can't be read now.
fn owners_by(common: &Common) -> OwnerOf {
    // Not all of it, which holds the bus.
    let (properties, links) = (common.properties.clone(), common.links.clone());
    Arc::new(move |event| {
        let (properties, links) = (properties.clone(), links.clone());
        Box::pin(async move {
            let account = match &event {
                Event::PropertyDirty { property } => properties.property(property).await.ok()??.account,
                Event::LinkDirty { link } => links.link(link).await.ok()??.account,
                _ => return None,
            };
            Some(account.to_string())
        })
    })
}

/// Whether an event's work is reading feeds, which is left where it stands when the service stops.
fn reads_feeds(event: &Event) -> bool {
    matches!(event, Event::SweepDue { .. } | Event::RefreshRequested { .. })
}

/// Opens the store of this folder, and no other one.
fn open_store(folder: &DataFolder, credentials: &Credentials) -> Result<EmbeddedDynamo, ServeError> {
    let dynamo = EmbeddedDynamo::open(&folder.database()).map_err(|error| ServeError::Store(error.into()))?;
    let ours = SecretHash::of(&credentials.deployment_secret).to_hex();
    let owner = dynamo.owner().map_err(|error| ServeError::Store(error.into()))?;
    match owner {
        Some(owner) if owner == ours => Ok(dynamo),
        Some(_) => Err(folder.foreign_store().into()),
        None if folder.is_first_start() => {
            dynamo.belongs_to(&ours).map_err(|error| ServeError::Store(error.into()))?;
            Ok(dynamo)
        }
        None => Err(folder.no_store().into()),
    }
}

/// Looks whether the store and the objects are whole, beside everything else: it reads all of both.
async fn look_for_damage(database: PathBuf, objects: EmbeddedS3, looks: Looks) {
    let at_store = looks.clone();
    let store = tokio::task::spawn_blocking(move || look_at_store(&database, &at_store));
    drop(tokio::join!(store, objects.look_for_damage(&looks)));
}

/// A damaged page fails nothing but what lies on it, so that it may be found years after the last good backup.
fn look_at_store(database: &Path, looks: &Looks) {
    match EmbeddedDynamo::damage_of(database, looks) {
        Ok(None) => tracing::debug!("no damage of the store was seen"),
        Ok(Some(found)) => output::warn(&format!(
            "calmesh: WARNING: {} is damaged ({}): what lies there can't be read or changed, and the rest may follow. Keep \
             your last backups, stop calmesh, and put back a backup of the whole data folder.",
            database.display(),
            found.lines().next().unwrap_or_default()
        )),
        Err(error) => tracing::warn!(error = telemetry::chain(&error), "it can't be looked whether the store is whole"),
    }
}

/// Compares all links and kept feeds with what they should be, while requests are answered: after the start, and whenever
/// all objects were lost. It costs a read of each link, and also finds what no start can know: a backup that was put back in
/// part, a disk that lost something.
async fn compare(mend: Mend, unsure: Unsure) {
    loop {
        let since = unsure.now();
        match mend.mend_everything(COMPARED_AT_ONCE).await {
            Ok(mended) if mended.failed == 0 => {
                tracing::debug!(compared = mended.looked_at, "all links are what they should be");
                unsure.sure_since(since);
            }
            Ok(mended) => tracing::warn!(failed = mended.failed, "some links could not be compared"),
            Err(error) => tracing::error!(error = telemetry::chain(&error), "the links were not compared"),
        }
        unsure.more_than(since).await;
    }
}

/// Logs go to standard error: standard output belongs to the ready line. `CALMESH_LOG` is a filter, such as `debug`.
fn start_logs() {
    let wanted = std::env::var("CALMESH_LOG").unwrap_or_default();
    let wanted = EnvFilter::builder().parse_lossy(if wanted.is_empty() { QUIET } else { &wanted });
    let lines = tracing_subscriber::fmt::layer()
        .compact()
        .with_target(false)
        .with_ansi(output::stderr_has_colours())
        .with_writer(io::stderr)
        .with_filter(wanted)
        .with_filter(filter_fn(|line| telemetry::tells_no_secret(line) && line.target() != metrics::TARGET));
    let _ = tracing_subscriber::registry().with(lines).try_init();
    telemetry::log_panics();
}

/// Listens on the first address of a name that this machine has, IPv4 before IPv6: what a browser tries as well.
async fn listen(wanted: &Listen) -> Result<TcpListener, ServeError> {
    let found = tokio::net::lookup_host((wanted.host.as_str(), wanted.port)).await;
    let mut addresses: Vec<SocketAddr> = found.map_err(|_| ServeError::Unnamed(wanted.clone()))?.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    let mut refused = None;
    for address in addresses {
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(ServeError::PortInUse(wanted.clone()));
            }
            Err(error) => refused = Some(error),
        }
    }
    Err(match refused {
        Some(source) => ServeError::Listen { address: wanted.clone(), source },
        None => ServeError::Unnamed(wanted.clone()),
    })
}

/// Who can read what lies below an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readers {
    ThisMachine,
    ThisNetwork,
    Everybody,
}

/// Names are taken at their word, but for those that never leave a network.
fn readers_of(base: &Url) -> Readers {
    let ip = match base.host() {
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            let ends = |with: &str| name.rsplit('.').next() == Some(with);
            return match name {
                _ if ends("localhost") => Readers::ThisMachine,
                _ if !name.contains('.') || ["local", "lan", "home", "internal", "test"].into_iter().any(ends) => {
                    Readers::ThisNetwork
                }
                _ => Readers::Everybody,
            };
        }
        None => return Readers::ThisMachine,
    };
    match ip {
        _ if ip.to_canonical().is_loopback() || ip.is_unspecified() => Readers::ThisMachine,
        _ if !is_public(ip) => Readers::ThisNetwork,
        _ => Readers::Everybody,
    }
}

/// How a client on this machine calls what listens here.
fn address_of(listener: &TcpListener, args: &Serve) -> Result<Url, ServeError> {
    let address = listener.local_addr();
    let address = address.map_err(|source| ServeError::Listen { address: args.listen.clone(), source })?;
    address_for_clients(address).ok_or(ServeError::Address(address))
}

fn address_for_clients(mut address: SocketAddr) -> Option<Url> {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    Url::parse(&format!("http://{address}")).ok()
}

/// Opens the objects. All of them can be made anew, so what is missing or damaged stops no start.
fn open_objects(folder: &DataFolder, kept: Kept, unsure: &Unsure) -> io::Result<EmbeddedS3> {
    let superseded = Expiry {
        bucket: SNAPSHOTS.to_owned(),
        prefix: ObjectKey::SUPERSEDED_PREFIX.to_owned(),
        after: DAY * u32::from(ObjectKey::SUPERSEDED_DAYS),
    };
    let changed = move |bucket: &str, key: &str| {
        if bucket == EXPORTS {
            kept.changed(key);
        }
    };
    let lost = unsure.clone();
    let tells = Tells { changed: Some(Arc::new(changed)), all_lost: Some(Arc::new(move || lost.of_all())) };
    let (s3, beginning) = EmbeddedS3::open(&folder.objects(), &[EXPORTS, SNAPSHOTS], vec![superseded], tells)?;
    let what = match beginning {
        Beginning::Made if !folder.is_first_start() => "is missing in the data folder".to_owned(),
        Beginning::Replaced(why) => format!("in the data folder is damaged ({why}) and is replaced"),
        Beginning::Kept | Beginning::Made => return Ok(s3),
    };
    unsure.of_all();
    output::warn(&format!("calmesh: objects.db {what}: all links are made anew, and all feeds are read anew."));
    Ok(s3)
}

#[expect(clippy::too_many_arguments, reason = "wiring is where everything meets")]
async fn wire(
    args: &Serve,
    folder: &DataFolder,
    credentials: &Credentials,
    api: &Url,
    dynamo: &EmbeddedDynamo,
    s3: &EmbeddedS3,
    bus: &LocalBus,
    demo: Option<&Demo>,
    own_agent: &OwnAgent,
    losses: &Unsure,
) -> Result<(Ports, Reads), ServeError> {
    let client = dynamo.client();
    create_table_if_missing(&client, TABLE).await.map_err(|error| ServeError::Store(error.into()))?;
    let store = Arc::new(DynamoStore::new(client, TABLE));
    let reads = Reads::open(&folder.reads_file(), store.clone())?;
    let buckets = Buckets { exports: EXPORTS.to_owned(), snapshots: SNAPSHOTS.to_owned() };
    let objects = Arc::new(S3Objects::new(s3.client(), buckets));
    let sealer = KeyFileSealer::open(&folder.sealing_key_file()).map_err(|error| ServeError::Sealing(error.into()))?;
    let secret = credentials.deployment_secret().ok_or_else(|| FolderError::Damaged(folder.credentials_file()))?;
    // The demo's feeds are at the address that clients on this machine use.
    let own_listener = demo.and_then(|_| api.socket_addrs(|| None).ok()?.first().copied());
    let feeds = source::feeds(own_agent, args.allow_private_feeds, own_listener)?;
    let settings = Settings {
        refused_providers: args.refuse_providers.iter().copied().collect(),
        sweep_period: args.sweep_every,
        read_again_after: args.read_again_after,
        shards: 1,
        private_feeds: args.allow_private_feeds,
        every_read_is_recorded: true,
    };
    let common = Common {
        links: Arc::new(reads.clone()),
        ..Common::on(store, Arc::new(bus.clone()), Arc::new(SystemClock), Arc::new(OsRandomness), settings)
    };
    let ports = Ports {
        common,
        feeds: Arc::new(feeds),
        snapshots: objects.clone(),
        exports: Arc::new(Versions::of(objects, losses.clone())),
        sealer: Arc::new(sealer),
        links_base: args.public_url.clone().unwrap_or_else(|| api.clone()),
        operator_key: SecretHash::of(&credentials.operator_key),
        keys: derive_keys(&secret).map_err(|_| FolderError::Damaged(folder.credentials_file()))?,
    };
    Ok((ports, reads))
}

/// Makes the account `local` with its token, once. One that its host deleted stays deleted.
async fn ensure_account(common: &Common, credentials: &Credentials) -> Result<(), StoreError> {
    let damaged = || StoreError::Corrupt { what: "credentials.json".to_owned() };
    let id = credentials.account.parse().map_err(|_| damaged())?;
    if common.accounts.account(&id).await?.is_some() {
        return Ok(());
    }
    let created_at = common.clock.now();
    let token = Token {
        id: credentials.token_id.parse().map_err(|_| damaged())?,
        account: id,
        hash: SecretHash::of(&credentials.token),
        name: "local".to_owned(),
        scope: Scope::Full,
        properties: None,
        expires_at: None,
        created_at,
    };
    let account = Account {
        id: token.account.clone(),
        name: "local".to_owned(),
        default_detail: Detail::Busy,
        default_label_prefix: "EX-".to_owned(),
        created_at,
        deleted_at: None,
        links_until: None,
        version: 1,
    };
    match common.accounts.create_account(&account, Some(&token)).await {
        Ok(()) | Err(StoreError::Exists) => Ok(()),
        Err(error) => Err(error),
    }
}

/// What an earlier run acknowledged and did not get to is done before anybody is served.
async fn finish_unfinished(app: &App, common: &Common, undone: &AtomicBool) -> Result<(), WorkError> {
    let mut seen: BTreeSet<Mark> = BTreeSet::new();
    loop {
        let marks = common.marks.dirty(UNFINISHED_PER_PAGE).await?;
        // What failed stays dirty: it is not tried here for ever, but by the workers.
        let fresh: Vec<Mark> = marks.into_iter().filter(|mark| seen.insert(mark.clone())).collect();
        if fresh.is_empty() {
            return Ok(());
        }
        undone.store(true, Ordering::Relaxed);
        let progress = output::progress("finishing what was begun", fresh.len());
        stream::iter(fresh)
            .for_each_concurrent(UNFINISHED_AT_ONCE, |mark| {
                let progress = &progress;
                async move {
                    let event = match app.tick.event_of(&mark).await {
                        Ok(Some(event)) => event,
                        // The tick announces what can't be read now.
                        Ok(None) | Err(_) => return progress.inc(1),
                    };
                    let mut to_workers = matches!(mark, Mark::Refresh { .. });
                    if !to_workers {
                        let left = match tokio::time::timeout(UNFINISHED_WITHIN, app.handle(&event)).await {
                            Ok(Ok(())) => None,
                            Ok(Err(error)) => Some(telemetry::chain(&error)),
                            Err(_) => Some("it took too long".to_owned()),
                        };
                        if let Some(error) = left {
                            tracing::warn!(event = ?event, error, "left to the workers");
                            to_workers = true;
                        }
                    }
                    if to_workers {
                        // The tick announces it as well.
                        drop(common.bus.publish(&[event]).await);
                    }
                    progress.inc(1);
                }
            })
            .await;
        progress.finish_and_clear();
    }
}

fn router(desk: Desk, demo: Option<&Demo>, links: Links) -> Router {
    let clock = desk.clock.clone();
    let router = calmesh_rest::router(desk, calmesh_rest::RestOptions::new(env!("CARGO_PKG_VERSION")))
        .route("/", get(|| async { Redirect::temporary("/v1/docs") }))
        .merge(links::router(links));
    match demo {
        Some(demo) => router.merge(demo.router(clock)),
        None => router,
    }
}

/// What is told when everything stands.
struct Ready<'a> {
    args: &'a Serve,
    folder: &'a DataFolder,
    credentials: &'a Credentials,
    api: &'a Url,
}

impl Ready<'_> {
    fn tell(&self) {
        let api = self.api.as_str().trim_end_matches('/');
        if self.folder.was_cut_short() {
            output::warn(
                "calmesh: the last run was killed, or stopped before all was in order; all links are compared with what \
                 they should be.",
            );
        }
        if self.args.json {
            if let Some(advice) = self.unreachable() {
                output::warn(&format!("calmesh: {advice}"));
            }
            let line = json!({
                "api": api,
                "token": self.credentials.token,
                "operator_key": self.credentials.operator_key,
                "data": self.folder.root().display().to_string(),
            });
            output::say(&line.to_string());
        } else {
            output::say(&self.text(api, Style::of_stdout()));
        }
    }

    fn links(&self) -> &Url {
        self.args.public_url.as_ref().unwrap_or(self.api)
    }

    /// What is said of links that no site can read.
    fn unreachable(&self) -> Option<String> {
        let who = match readers_of(self.links()) {
            Readers::Everybody => return None,
            Readers::ThisMachine => "this machine alone",
            Readers::ThisNetwork => "this network alone",
        };
        Some(format!(
            "These links can be read from {who}, by no booking site: --public-url says under which address others \
             reach it, such as --public-url https://calendars.example.com"
        ))
    }

    fn text(&self, api: &str, style: Style) -> String {
        let kept = self.folder.credentials_file().display().to_string();
        let mut lines = vec![
            String::new(),
            format!("  {}", style.bold(&format!("Calmesh {} is ready.", env!("CARGO_PKG_VERSION")))),
            String::new(),
            format!("  API           {api}"),
            format!("  To try it     {api}/v1/docs"),
        ];
        lines.push(format!("  Links         {}f/…", self.links()));
        if let Some(advice) = self.unreachable() {
            lines.push(format!("                {}", style.warning(&advice)));
        }
        lines.push(format!("  Feeds         read every {:#}", self.args.sweep_every));
        lines.push(format!("  Data          {}", self.folder.root().display()));
        if self.folder.is_first_start() {
            let token = &self.credentials.token;
            lines.extend([
                format!("  Token         {}   account \"local\"", style.bold(token)),
                format!("  Operator key  {}   makes further accounts", style.bold(&self.credentials.operator_key)),
                String::new(),
                style.dim(&format!("  Both are kept in {kept}, for you alone, and are not shown again.")),
                String::new(),
                "  A first call:".to_owned(),
                String::new(),
                format!("    curl -s {api}/v1/properties \\"),
                format!("      -H 'Authorization: Bearer {token}' \\"),
                "      -H 'Content-Type: application/json' \\".to_owned(),
                r#"      -d '{"name": "Harbour flat", "time_zone": "Europe/Madrid"}'"#.to_owned(),
            ]);
        } else {
            lines.push(format!("  Credentials   in {kept}"));
        }
        lines.extend([String::new(), style.dim("  Ctrl-C stops it."), String::new()]);
        lines.join("\n")
    }
}

/// The signals that ask a program to stop.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    #[cfg(not(unix))]
    fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use bytes::Bytes;
    use calmesh_app::{
        Expected, LinkEdit, NewLink, Reach, WantedScope,
        contract::{a_property, an_account},
        fakes::FakeDeployment,
        model::{Format, LinkToken},
        ports::{AccountStore, ExportObject, ExportStore, ExportVersion, ExportWriteError, MarkStore, ObjectError},
    };

    use super::*;

    #[test]
    fn it_is_known_who_can_read_a_link() {
        for (base, readers) in [
            ("http://127.0.0.1:8080", Readers::ThisMachine),
            ("http://127.9.9.9", Readers::ThisMachine),
            ("http://[::1]:8080", Readers::ThisMachine),
            ("http://[::ffff:127.0.0.1]:8080", Readers::ThisMachine),
            ("http://0.0.0.0:8080", Readers::ThisMachine),
            ("http://localhost:8080", Readers::ThisMachine),
            ("http://calmesh.localhost", Readers::ThisMachine),
            ("http://192.168.1.5:8080", Readers::ThisNetwork),
            ("http://10.0.0.1", Readers::ThisNetwork),
            ("http://[fd00::1]", Readers::ThisNetwork),
            ("http://raspberrypi:8080", Readers::ThisNetwork),
            ("http://raspberrypi.local", Readers::ThisNetwork),
            ("https://calendars.example.com", Readers::Everybody),
            ("https://8.8.8.8", Readers::Everybody),
        ] {
            assert_eq!(readers_of(&base.parse().unwrap()), readers, "{base}");
        }
    }

    /// Objects that never answer for one link.
    struct Hanging {
        inner: Arc<dyn ExportStore>,
        link: LinkToken,
    }

    #[async_trait]
    impl ExportStore for Hanging {
        async fn export(&self, token: &LinkToken) -> Result<Option<ExportObject>, ObjectError> {
            if *token == self.link {
                std::future::pending::<()>().await;
            }
            self.inner.export(token).await
        }

        async fn export_version(&self, token: &LinkToken) -> Result<Option<ExportVersion>, ObjectError> {
            if *token == self.link {
                std::future::pending::<()>().await;
            }
            self.inner.export_version(token).await
        }

        fn version_of(&self, body: &[u8]) -> ExportVersion {
            self.inner.version_of(body)
        }

        async fn put_export(
            &self,
            token: &LinkToken,
            body: Bytes,
            expected: Option<&ExportVersion>,
        ) -> Result<ExportVersion, ExportWriteError> {
            self.inner.put_export(token, body, expected).await
        }

        async fn delete_export(&self, token: &LinkToken) -> Result<(), ObjectError> {
            self.inner.delete_export(token).await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_link_that_hangs_does_not_keep_the_program_from_starting() {
        let start = "2026-11-21T08:00:00Z".parse().unwrap();
        let deployment = FakeDeployment::new(start, 7, "https://links.example".parse().unwrap(), &[]);
        let app = deployment.app.clone();
        let account = a_property(0, 0).account;
        deployment.store.create_account(&Account { id: account.clone(), ..an_account(0) }, None).await.unwrap();
        let reach = Reach::whole(account);
        let new = |name: &str| NewLink {
            name: name.to_owned(),
            scope: WantedScope::All,
            detail: None,
            format: Format::Nights,
        };
        let mut links = Vec::new();
        for nth in 0..15 {
            let made = app.desk.create_link(&reach, new(&format!("link {nth}"))).await.unwrap();
            app.desk
                .edit_link(
                    &reach,
                    &made.link.id,
                    &LinkEdit { name: Some(format!("renamed {nth}")), ..LinkEdit::default() },
                    &Expected::Any,
                )
                .await
                .unwrap();
            links.push(made.link);
        }
        drop(deployment.bus.drain());
        let exports = deployment.ports.exports.clone();
        let hanging = Arc::new(Hanging { inner: exports, link: links[3].token.clone() });
        let ports = Ports { exports: hanging, ..deployment.ports };
        finish_unfinished(&App::new(&ports), &ports.common, &AtomicBool::new(false)).await.unwrap();
        let left = deployment.store.dirty(100).await.unwrap();
        assert_eq!(left, [Mark::Link { id: links[3].id.clone() }], "all others are done");
        assert_eq!(
            deployment.bus.drain(),
            [Event::LinkDirty { link: links[3].id.clone() }],
            "and the workers know of it"
        );
    }

    #[tokio::test]
    async fn a_name_of_this_machine_can_be_listened_on() {
        let listener = listen(&"localhost:0".parse().unwrap()).await.unwrap();
        assert!(listener.local_addr().unwrap().ip().is_loopback());
        assert!(matches!(listen(&"nowhere.invalid:0".parse().unwrap()).await, Err(ServeError::Unnamed(_))));
    }
}
