//! `calmesh serve`: the whole service in one process. Wires the rooms, finishes what an earlier run acknowledged,
//! serves, and stops cleanly.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use axum::{Router, response::Redirect, routing::get, serve::ListenerExt};
use calmesh_app::{
    App, Settings, WorkError,
    model::{Account, Detail, Scope, SecretHash, Token},
    ports::{Mark, StoreError},
};
use calmesh_exports_s3::{Buckets, ObjectKey, S3Objects};
use calmesh_feeds_http::HttpFeedsError;
use calmesh_lambda_kit::{OsRandomness, SystemClock, USER_AGENT, metrics, telemetry};
use calmesh_secrets::{KeyFileSealer, derive_keys};
use calmesh_store_dynamodb::{DynamoStore, create_table_if_missing};
use futures::{StreamExt, stream};
use serde_json::json;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tracing_subscriber::{EnvFilter, Layer, filter::filter_fn, layer::SubscriberExt, util::SubscriberInitExt};
use url::Url;

use crate::{
    args::Serve,
    bus::{LocalBus, Workers},
    demo::{Demo, DemoError},
    embedded::{dynamo::EmbeddedDynamo, objects::Expiry, s3::EmbeddedS3},
    folder::{Credentials, DataFolder, FolderError},
    links::{self, Links},
    output::{self, Style},
    source, timer,
};

/// Sweeps are told, single requests are not.
const QUIET: &str = "info,calmesh_rest=warn";
const TABLE: &str = "calmesh";
const EXPORTS: &str = "calmesh-exports";
const SNAPSHOTS: &str = "calmesh-snapshots";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Requests and work at hand get this long when the service stops.
const STOP_WITHIN: Duration = Duration::from_secs(10);
const UNFINISHED_PER_PAGE: u16 = 500;
const UNFINISHED_AT_ONCE: usize = 8;

/// Why the service does not run. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("{0} is in use: stop what listens there, or choose another with --listen, such as --listen 127.0.0.1:0")]
    PortInUse(SocketAddr),
    #[error("{address} can't be listened on: choose another with --listen")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("the store in the data folder can't be used: put back a backup of it, or choose another with --data")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the objects in the data folder can't be used: look at its rights, or choose another with --data")]
    Objects(#[source] io::Error),
    #[error("sealing.key in the data folder can't be used: put back a backup of it, or choose another with --data")]
    Sealing(#[source] Box<dyn std::error::Error + Send + Sync>),
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
    let mut service = tokio::select! {
        started = Service::start(args) => started?,
        () = signals.next() => return Ok(()),
    };
    let outcome = tokio::select! {
        () = signals.next() => Ok(()),
        ended = &mut service.server => Err(ServeError::Ended(match ended {
            Ok(Ok(())) => io::Error::other("nothing more was accepted"),
            Ok(Err(error)) => error,
            Err(error) => io::Error::other(error),
        })),
    };
    tokio::select! {
        () = service.stop() => {}
        () = signals.next() => {}
    }
    outcome
}

/// Everything that runs.
struct Service {
    server: JoinHandle<io::Result<()>>,
    timer: JoinHandle<()>,
    workers: Workers,
    stop: watch::Sender<bool>,
    /// Held until all the rest has ended.
    _folder: DataFolder,
}

impl Service {
    async fn start(args: &Serve) -> Result<Self, ServeError> {
        let folder = DataFolder::open(&args.data)?;
        let (credentials, first_start) = folder.credentials(&OsRandomness)?;
        let listener = listen(args.listen).await?;
        let address = listener.local_addr().map_err(|source| ServeError::Listen { address: args.listen, source })?;
        let api = address_for_clients(address).ok_or(ServeError::Address(address))?;
        if args.allow_private_feeds {
            output::warn(
                "calmesh: WARNING: --allow-private-feeds is on. Whoever holds a token can make this machine call \
                 addresses that only it can reach. Use it for tests only.",
            );
        }
        let demo = Demo::of_folder(&folder, args, &api)?;

        let dynamo = EmbeddedDynamo::open(&folder.database()).map_err(|error| ServeError::Store(error.into()))?;
        let s3 = open_objects(&folder.objects()?).map_err(ServeError::Objects)?;
        let bus = LocalBus::new();
        let app = wire(args, &folder, &credentials, &api, &dynamo, &s3, &bus, demo.as_ref()).await?;
        ensure_account(&app, &credentials).await.map_err(|error| ServeError::Store(error.into()))?;
        finish_unfinished(&app).await.map_err(|error| ServeError::Store(error.into()))?;

        let worker = app.clone();
        let workers = bus.start(move |event| {
            let app = worker.clone();
            async move { app.handle(&event).await.map_err(Into::into) }
        });
        let (stop, stopped) = watch::channel(false);
        let router = router(&app, demo.as_ref());
        let server = spawn_server(listener, router.clone(), stopped.clone());
        let demo = match demo {
            Some(demo) => Some(demo.ensure(&folder, router, &credentials.token).await?),
            None => None,
        };
        let timer = tokio::spawn(timer::run(app, dynamo, s3, stopped));
        Ready { args, folder: &folder, credentials: &credentials, api: &api, first_start }.tell();
        if let (Some(demo), false) = (demo, args.json) {
            output::say(&demo.told(Style::of_stdout()));
        }
        Ok(Self { server, timer, workers, stop, _folder: folder })
    }

    /// Takes nothing more, finishes what is at hand, closes the store.
    async fn stop(self) {
        // Each of these is gone already when nobody listens.
        let _ = self.stop.send(true);
        let served = async { drop(tokio::time::timeout(STOP_WITHIN, self.server).await) };
        tokio::join!(served, self.workers.drain(STOP_WITHIN), async { drop(self.timer.await) });
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

async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ServeError::PortInUse(address),
        _ => ServeError::Listen { address, source },
    })
}

/// How a client on this machine calls what listens here.
fn address_for_clients(mut address: SocketAddr) -> Option<Url> {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    Url::parse(&format!("http://{address}")).ok()
}

fn open_objects(root: &Path) -> io::Result<EmbeddedS3> {
    let superseded = Expiry {
        bucket: SNAPSHOTS.to_owned(),
        prefix: ObjectKey::SUPERSEDED_PREFIX.to_owned(),
        after: DAY * u32::from(ObjectKey::SUPERSEDED_DAYS),
    };
    EmbeddedS3::open(root, &[EXPORTS, SNAPSHOTS], vec![superseded])
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
) -> Result<App, ServeError> {
    let client = dynamo.client();
    create_table_if_missing(&client, TABLE).await.map_err(|error| ServeError::Store(error.into()))?;
    let store = Arc::new(DynamoStore::new(client, TABLE));
    let buckets = Buckets { exports: EXPORTS.to_owned(), snapshots: SNAPSHOTS.to_owned() };
    let objects = Arc::new(S3Objects::new(s3.client(), buckets));
    let sealer = KeyFileSealer::open(&folder.sealing_key_file()).map_err(|error| ServeError::Sealing(error.into()))?;
    let secret = credentials.deployment_secret().ok_or_else(|| FolderError::Damaged(folder.credentials_file()))?;
    // The demo's feeds are at the address that clients on this machine use.
    let own_listener = demo.and_then(|_| api.socket_addrs(|| None).ok()?.first().copied());
    let feeds = source::feeds(args.allow_private_feeds, own_listener)?;
    let settings = Settings {
        links_base: args.public_url.clone().unwrap_or_else(|| api.clone()),
        refused_providers: args.refuse_providers.iter().cloned().collect(),
        sweep_period: args.sweep_every,
        read_again_after: args.read_again_after,
        shards: 1,
        private_feeds: args.allow_private_feeds,
        every_read_is_recorded: true,
        operator_key: SecretHash::of(&credentials.operator_key),
        keys: derive_keys(&secret).map_err(|_| FolderError::Damaged(folder.credentials_file()))?,
    };
    Ok(App {
        accounts: store.clone(),
        properties: store.clone(),
        activity: store.clone(),
        fetches: store.clone(),
        marks: store.clone(),
        links: store.clone(),
        refreshes: store.clone(),
        idempotency: store.clone(),
        budgets: store,
        traffic: Arc::default(),
        bus: Arc::new(bus.clone()),
        feeds: Arc::new(feeds),
        snapshots: objects.clone(),
        exports: objects,
        clock: Arc::new(SystemClock),
        randomness: Arc::new(OsRandomness),
        sealer: Arc::new(sealer),
        settings: Arc::new(settings),
    })
}

/// Makes the account `local` with its token, once. One that its host deleted stays deleted.
async fn ensure_account(app: &App, credentials: &Credentials) -> Result<(), StoreError> {
    let damaged = || StoreError::Corrupt { what: "credentials.json".to_owned() };
    let id = credentials.account.parse().map_err(|_| damaged())?;
    if app.accounts.account(&id).await?.is_some() {
        return Ok(());
    }
    let created_at = app.clock.now();
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
        version: 1,
    };
    match app.accounts.create_account(&account, Some(&token)).await {
        Ok(()) | Err(StoreError::Exists) => Ok(()),
        Err(error) => Err(error),
    }
}

/// What an earlier run acknowledged and did not get to is done before anybody is served.
async fn finish_unfinished(app: &App) -> Result<(), WorkError> {
    let mut seen: BTreeSet<Mark> = BTreeSet::new();
    loop {
        let marks = app.marks.dirty(UNFINISHED_PER_PAGE).await?;
        // What failed stays dirty: it is not tried here for ever, but by the workers.
        let fresh: Vec<Mark> = marks.into_iter().filter(|mark| seen.insert(mark.clone())).collect();
        if fresh.is_empty() {
            return Ok(());
        }
        let progress = output::progress("finishing what was begun", fresh.len());
        stream::iter(fresh)
            .for_each_concurrent(UNFINISHED_AT_ONCE, |mark| {
                let progress = &progress;
                async move {
                    let event = match app.event_of(&mark).await {
                        Ok(Some(event)) => event,
                        // The tick announces what can't be read now.
                        Ok(None) | Err(_) => return progress.inc(1),
                    };
                    let mut to_workers = matches!(mark, Mark::Refresh { .. });
                    if !to_workers && let Err(error) = app.handle(&event).await {
                        tracing::warn!(event = ?event, error = telemetry::chain(&error), "left to the workers");
                        to_workers = true;
                    }
                    if to_workers {
                        // The tick announces it as well.
                        drop(app.bus.publish(&[event]).await);
                    }
                    progress.inc(1);
                }
            })
            .await;
        progress.finish_and_clear();
    }
}

fn router(app: &App, demo: Option<&Demo>) -> Router {
    let links = Links {
        exports: app.exports.clone(),
        reads: app.links.clone(),
        clock: app.clock.clone(),
        own_user_agent: USER_AGENT,
    };
    let router = calmesh_rest::router(app.clone(), calmesh_rest::RestOptions::new(env!("CARGO_PKG_VERSION")))
        .route("/", get(|| async { Redirect::temporary("/v1/docs") }))
        .merge(links::router(links));
    match demo {
        Some(demo) => router.merge(demo.router(app.clock.clone())),
        None => router,
    }
}

fn spawn_server(
    listener: TcpListener,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) -> JoinHandle<io::Result<()>> {
    // Answers are small: none of them is to wait for a full packet.
    let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
    let shutdown = async move { drop(stopped.wait_for(|stop| *stop).await) };
    tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(shutdown).await })
}

/// What is told when everything stands.
struct Ready<'a> {
    args: &'a Serve,
    folder: &'a DataFolder,
    credentials: &'a Credentials,
    api: &'a Url,
    first_start: bool,
}

impl Ready<'_> {
    fn tell(&self) {
        let api = self.api.as_str().trim_end_matches('/');
        if self.args.json {
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

    fn text(&self, api: &str, style: Style) -> String {
        let kept = self.folder.credentials_file().display().to_string();
        let mut lines = vec![
            String::new(),
            format!("  {}", style.bold(&format!("Calmesh {} is ready.", env!("CARGO_PKG_VERSION")))),
            String::new(),
            format!("  API           {api}"),
            format!("  To try it     {api}/v1/docs"),
        ];
        if let Some(public) = &self.args.public_url {
            lines.push(format!("  Links         {}f/…", public));
        }
        lines.push(format!("  Feeds         read every {:#}", self.args.sweep_every));
        lines.push(format!("  Data          {}", self.folder.root().display()));
        if self.first_start {
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
