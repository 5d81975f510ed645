//! Figures of stored forms by size, by plain timing, and of what a commit and a load of a property take of the processor, the
//! embedded engine and the way to it included: `cargo bench -p calmesh-store-dynamodb --features forms`.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench tells and may fail")]

use std::{
    fs,
    hint::black_box,
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::{
    Client,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
};
use calmesh_app::{
    contract::{
        a_block, a_connection, a_plan, a_property, an_account_stands, at, connection_id, nothing_but, some_claims,
    },
    model::{FetchPlan, Property, SecretHash},
    ports::{PlanChange, PropertyCommit, PropertyStore},
};
use calmesh_calendar::{Block, BlockId, Origin};
use calmesh_https::{Roots, aws_http_client};
use calmesh_store_dynamodb::{DynamoStore, create_table_if_missing, forms};
use flate2::{Compression, write::DeflateEncoder};

/// With ids and UIDs of which nothing can be foretold, as hosts give them.
fn a_stay(site: u64, nth: u64) -> Block {
    let digits = |what: &str| SecretHash::of(&format!("{what} {site} {nth}")).to_hex()[..32].to_owned();
    let random = u128::from_str_radix(&digits("id"), 16).unwrap().to_be_bytes();
    let id = BlockId::from_random(a_property(1, 1).id.within(random));
    let mut stay = Block { id, ..a_block(site, site * 1000 + nth % 300) };
    if let Origin::Feed(feed) = &mut stay.origin
        && let Some(key) = &mut feed.key
    {
        key.uid = format!("1418fb94e984-{}@airbnb.com", digits("uid"));
    }
    stay
}

fn stays(site: u64, count: u64) -> Vec<Block> {
    (0..count).map(|nth| a_stay(site, nth)).collect()
}

/// The shortest of many rounds, each long enough to be timed.
fn timed(mut work: impl FnMut()) -> Duration {
    let round = |work: &mut dyn FnMut()| {
        let begun = Instant::now();
        for _ in 0..20 {
            work();
        }
        begun.elapsed() / 20
    };
    (0..60).map(|_| round(&mut work)).min().unwrap_or_default()
}

fn forms_by_size() {
    println!(
        "| stays | bytes | encode, µs | decode, µs | deflated again | deflate, µs |\n| --- | --- | --- | --- | --- | --- |"
    );
    let property = a_property(1, 1);
    let connection = a_connection(&property, 1);
    let claims = some_claims(1).connections.remove(&connection.id).unwrap_or_default();
    for count in [1, 40, 160, 400, 1_000, 4_000, 5_000] {
        let stays = stays(1, count);
        let stays: Vec<&Block> = stays.iter().collect();
        let write = || forms::encode(&connection, &stays, &claims).unwrap();
        let bytes = write();
        let encode = timed(|| drop(black_box(write())));
        let decode = timed(|| _ = black_box(forms::decode(&bytes, &property.id, &connection.id).unwrap()));
        let micros = |time: Duration| time.as_nanos() as f64 / 1000.0;
        let deflated = || {
            let mut to = DeflateEncoder::new(Vec::new(), Compression::fast());
            to.write_all(&bytes).unwrap();
            to.finish().unwrap()
        };
        let deflate = micros(timed(|| drop(black_box(deflated()))));
        let (encode, decode) = (micros(encode), micros(decode));
        println!("| {count} | {} | {encode:.1} | {decode:.1} | {} | {deflate:.1} |", bytes.len(), deflated().len());
    }
}

/// Processor time of this process so far, with that of the system for it.
fn spent() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = [fields[11], fields[12]].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

async fn embedded() -> DynamoStore {
    let database = dynoxide::Database::memory().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database, std::future::pending()));
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(format!("http://{address}"))
        .http_client(aws_http_client(Roots::Bundled, Duration::from_secs(5)).unwrap())
        .credentials_provider(Credentials::new("none", "none", None, None, "bench"))
        .retry_config(RetryConfig::disabled())
        .build();
    let client = Client::from_conf(config);
    create_table_if_missing(&client, "calmesh").await.unwrap();
    DynamoStore::new(client, "calmesh")
}

const ROUNDS: u64 = 300;

async fn commits_and_loads() {
    let store = embedded().await;
    an_account_stands(&store, 1).await;
    let mut property = a_property(1, 1);
    store.commit(&nothing_but(&property)).await.unwrap();
    let mut put = PropertyCommit {
        put_connections: (1..4).map(|n| a_connection(&property, n)).collect(),
        put_blocks: (1..4).flat_map(|site| stays(site, 40)).collect(),
        put_claims: (1..4)
            .flat_map(|site| some_claims(site).connections)
            .filter(|(id, _)| (1..4).any(|n| connection_id(n) == *id))
            .collect(),
        ..nothing_but(&property)
    };
    property = Property { revision: 2, ..property };
    put.property = property.clone();
    store.commit(&put).await.unwrap();
    let begun = spent();
    for _ in 0..ROUNDS {
        black_box(store.load(&property.id).await.unwrap().unwrap());
    }
    let load = spent() - begun;
    let base = store.load(&property.id).await.unwrap().unwrap();
    let (used, begun) = (store.usage(), spent());
    for round in 0..ROUNDS {
        let mut base = base.clone();
        base.property = property.clone();
        property = Property { revision: property.revision + 1, ..property };
        // One stay of each connection moved.
        let changed = |site| Block { sequence: u32::try_from(round).unwrap() + 1, ..a_stay(site, round % 40) };
        let commit = PropertyCommit {
            base: Some(Arc::new(base)),
            put_blocks: (1..4).map(changed).collect(),
            plans: (1..4)
                .map(|n| PlanChange::Put {
                    plan: FetchPlan { since: at(0), ..a_plan(&property, n) },
                    fresh: false,
                    taken: None,
                })
                .collect(),
            ..nothing_but(&property)
        };
        store.commit(&commit).await.unwrap();
    }
    let commits = spent() - begun;
    let units = store.usage().since(used).write_units / ROUNDS as f64;
    let each = |time: Duration| time.as_micros() / u128::from(ROUNDS);
    println!(
        "three connections of 40 stays: load {} µs of processor, commit {} µs and {units} units",
        each(load),
        each(commits)
    );
}

fn main() {
    forms_by_size();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(commits_and_loads());
}
