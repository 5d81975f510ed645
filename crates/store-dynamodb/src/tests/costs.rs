//! What the operations of every day cost: items and bytes that they write, calls and units. Each has its budget, which
//! the README tells.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use aws_sdk_dynamodb::{Client, types::AttributeValue};
use calmesh_app::{
    contract::{
        a_block, a_connection, a_plan, a_property, an_account_stands, at, connection_id, link_token, nothing_but,
        some_claims,
    },
    model::{
        Activity, ActivityKind, AnnouncedReading, Applied, Connection, FetchPlan, LinkOwner, Names, Property,
        PropertyState, Replaced, SecretHash, Site, Snapshot, Validators,
    },
    ports::{FetchStore, ParkedBody, PlanChange, PropertyCommit, PropertyStore, SmallBody, WaitingBody},
};
use calmesh_calendar::{Block, BlockId, Finding, Hold, HoldCause, Origin};

use super::embedded::{all_items, embedded_and_client};
use crate::{DynamoStore, Usage, schema::attr, table::Item};

const SITES: std::ops::Range<u64> = 1..4;
const STAYS: u64 = 40;

/// What an operation did to the table.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cost {
    /// Items that it put, changed or removed, and the bytes of what it put or changed.
    items: usize,
    bytes: usize,
    usage: Usage,
}

struct Measured {
    store: DynamoStore,
    client: Client,
}

fn bytes(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.len(),
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        AttributeValue::M(map) => map.iter().map(|(name, value)| name.len() + bytes(value)).sum(),
        other => panic!("a value of another kind: {other:?}"),
    }
}

impl Measured {
    async fn items(&self) -> HashMap<(String, String), Item> {
        let key = |item: &Item| {
            let text = |name: &str| item[name].as_s().unwrap().clone();
            (text(attr::PK), text(attr::SK))
        };
        all_items(&self.client).await.into_iter().map(|item| (key(&item), item)).collect()
    }

    async fn cost(&self, work: impl Future<Output = ()>) -> Cost {
        let (before, used) = (self.items().await, self.store.usage());
        work.await;
        let (usage, after) = (self.store.usage().since(used), self.items().await);
        let gone = before.keys().filter(|key| !after.contains_key(*key)).count();
        let put: Vec<&Item> =
            after.iter().filter(|(key, item)| before.get(*key) != Some(*item)).map(|(_, item)| item).collect();
        let bytes = put.iter().flat_map(|item| item.iter()).map(|(name, value)| name.len() + bytes(value)).sum();
        Cost { items: gone + put.len(), bytes, usage }
    }
}

/// Commits what `change` makes of the state, with what it replaced and what happened, as `app` does.
async fn change(
    store: &DynamoStore,
    property: &Property,
    happened: Vec<ActivityKind>,
    change: impl FnOnce(&PropertyState, &mut PropertyCommit),
) {
    let before = Arc::new(store.load(&property.id).await.unwrap().unwrap());
    let revision = before.property.revision + 1;
    let now = at(i64::try_from(revision).unwrap() * 600);
    let after = Property { revision, revised_at: Some(now), dirty: property.dirty, ..before.property.clone() };
    let mut commit = nothing_but(&after);
    change(&before, &mut commit);
    commit.base = Some(Arc::clone(&before));
    let site = Some(Site { name: "Airbnb, whole flat".to_owned(), provider: "airbnb".into() });
    let names = Names { property: Some(property.name.clone()), site, ..Names::default() };
    commit.activity = happened
        .into_iter()
        .map(|kind| Activity {
            property: property.id.clone(),
            at: now,
            connection: Some(connection_id(1)),
            kind,
            names: names.clone(),
        })
        .collect();
    let known: BTreeMap<_, _> = before.blocks.iter().map(|block| (&block.id, block)).collect();
    let connections: BTreeMap<_, _> = before.connections.iter().map(|known| (&known.id, known)).collect();
    let replaced: Vec<Block> =
        commit.put_blocks.iter().filter_map(|block| known.get(&block.id)).map(|block| Block::clone(block)).collect();
    let of = |connection: &Connection| connections.get(&connection.id).map(|known| Connection::clone(known));
    commit.replaced = Some(Replaced {
        at: now,
        revision,
        property: Property { dirty: None, wake_at: None, ..before.property.clone() },
        connections: commit.put_connections.iter().filter_map(of).collect(),
        new_connections: commit
            .put_connections
            .iter()
            .map(|connection| connection.id.clone())
            .filter(|id| !connections.contains_key(id))
            .collect(),
        new_blocks: commit
            .put_blocks
            .iter()
            .map(|block| block.id.clone())
            .filter(|id| !known.contains_key(id))
            .collect(),
        blocks: replaced,
        claims: BTreeMap::new(),
        new_claims: commit.put_claims.keys().cloned().collect(),
    });
    store.commit(&commit).await.unwrap();
}

/// As sites give it: a quarter of a kilobyte a stay.
fn a_body(site: u64, seconds: i64) -> SmallBody {
    let mut text = "BEGIN:VCALENDAR\r\nPRODID:-//Airbnb Inc//Hosting Calendar 1.0//EN\r\nVERSION:2.0\r\n".to_owned();
    for nth in 0..STAYS {
        let uid = SecretHash::of(&format!("{site} {nth}")).to_hex();
        let (month, day) = (1 + nth / 4, 1 + nth % 4 * 7);
        text += &format!(
            "BEGIN:VEVENT\r\nDTSTAMP:20260101T000000Z\r\nDTSTART;VALUE=DATE:2027{month:02}{day:02}\r\n\
             DTEND;VALUE=DATE:2027{month:02}{:02}\r\nSUMMARY:Reserved\r\nUID:1418fb94e984-{}@airbnb.com\r\n\
             DESCRIPTION:Reservation URL: https://www.airbnb.com/hosting/reservations/details/{}\r\nEND:VEVENT\r\n",
            day + 3,
            &uid[..32],
            &uid[32..42],
        );
    }
    let validators =
        Validators { etag: Some(format!("\"{}\"", &SecretHash::of(&text).to_hex()[..40])), ..Default::default() };
    let parked = ParkedBody { body: text.into(), validators };
    SmallBody { snapshot: Snapshot(SecretHash::of(&format!("{site} at {seconds}")).to_hex()), parked }
}

async fn announce(store: &DynamoStore, site: u64, seconds: i64) {
    let announced = AnnouncedReading { since: at(seconds), read_at: at(seconds) };
    let waiting = WaitingBody::Small(a_body(site, seconds));
    store.record_announced(&connection_id(site), at(0), &announced, &waiting, None).await.unwrap();
}

fn read(mut connection: Connection, site: u64, seconds: i64) -> (Connection, FetchPlan) {
    let mut plan = a_plan(&a_property(1, 1), 1);
    let snapshot = a_body(site, seconds).snapshot;
    let validators =
        Validators { etag: Some("\"33a64df551425fcc55e4d42a148795d9f25f89d4\"".to_owned()), last_modified: None };
    if let Some(import) = &mut connection.import {
        import.applied = Some(Applied {
            snapshot: snapshot.clone(),
            validators: validators.clone(),
            read_at: at(seconds),
            changed_at: at(seconds),
            more_at: None,
            reader: 1,
            small: true,
            horizon_at: at(seconds),
            warnings: Vec::new(),
        });
    }
    plan = FetchPlan { connection: connection.id.clone(), applied: Some(snapshot), validators, ..plan };
    (connection, plan)
}

fn fed(added: u32) -> ActivityKind {
    ActivityKind::FeedChanged { added, changed: 0, removed: 0, held: 0 }
}

/// With an id that begins as those of its property do, and a name as long as sites give them.
fn a_stay(site: u64, nth: u64) -> Block {
    let digits = SecretHash::of(&format!("{nth} of {site}")).to_hex();
    let random = u128::from_str_radix(&digits[..32], 16).unwrap().to_be_bytes();
    let id = BlockId::from_random(a_property(1, 1).id.within(random));
    let mut stay = Block { id, ..a_block(site, site * 1000 + nth) };
    if let Origin::Feed(feed) = &mut stay.origin
        && let Some(key) = &mut feed.key
    {
        let digits = SecretHash::of(&format!("{site} {nth}")).to_hex();
        key.uid = format!("1418fb94e984-{}@airbnb.com", &digits[..32]);
    }
    stay
}

async fn make_a_connection(store: &DynamoStore, property: &Property, n: u64) {
    let created = ActivityKind::ConnectionCreated { name: "Airbnb, whole flat".to_owned() };
    change(store, property, vec![created], |_, commit| {
        let connection = a_connection(property, n);
        let owner = LinkOwner::Connection {
            account: property.account.clone(),
            property: property.id.clone(),
            connection: connection.id.clone(),
        };
        commit.plans = vec![PlanChange::Put { plan: a_plan(property, n), fresh: true, taken: None }];
        commit.owners = vec![(link_token(n), Some(owner))];
        commit.put_feeds = vec![(SecretHash::of(&n.to_string()), connection.id.clone())];
        commit.put_connections = vec![connection];
    })
    .await;
}

async fn first_reading(store: &DynamoStore, property: &Property, site: u64) {
    let judged = |finding| ActivityKind::ClaimsDecided { finding, nights: vec![calmesh_app::contract::nights(0, 3)] };
    let happened = vec![fed(40), judged(Finding::Asked), judged(Finding::Clean)];
    change(store, property, happened, |before, commit| {
        let known = before.connections.iter().find(|known| known.id == connection_id(site)).unwrap();
        let (connection, plan) = read(known.clone(), site, 600);
        commit.put_connections = vec![connection];
        commit.plans = vec![PlanChange::Put { plan, fresh: false, taken: Some(at(600)) }];
        commit.put_bodies = vec![(connection_id(site), a_body(site, 600))];
        commit.put_blocks = (0..STAYS).map(|nth| a_stay(site, nth)).collect();
        commit.put_claims =
            some_claims(site).connections.into_iter().filter(|(id, _)| *id == connection_id(site)).collect();
    })
    .await;
}

async fn one_stay_held(store: &DynamoStore, property: &Property) {
    change(store, property, vec![fed(0)], |before, commit| {
        let known = before.connections.iter().find(|known| known.id == connection_id(1)).unwrap();
        let (connection, plan) = read(known.clone(), 1, 9600);
        let mut stay = a_stay(1, 7);
        if let Origin::Feed(feed) = &mut stay.origin {
            feed.hold = Some(Hold { cause: HoldCause::Absent, ..calmesh_app::contract::a_hold(1) });
        }
        commit.put_connections = vec![connection];
        let plan = FetchPlan { pending: true, ..plan };
        commit.plans = vec![PlanChange::Put { plan, fresh: false, taken: Some(at(9600)) }];
        commit.put_bodies = vec![(connection_id(1), a_body(1, 9600))];
        commit.superseded_bodies = vec![(connection_id(1), a_body(1, 600).snapshot)];
        commit.put_blocks = vec![stay];
    })
    .await;
}

/// What an operation may cost at the most: items, bytes that they have, and units of writing and reading.
const BUDGETS: [(&str, usize, usize, f64, f64); 7] = [
    ("making a property", 3, 550, 9.0, 0.0),
    ("making a connection", 6, 1_750, 12.0, 0.0),
    ("announcing three readings of 40 stays", 3, 6_900, 9.0, 0.0),
    ("a first reading of 40 stays, in each of three connections", 13, 15_900, 54.0, 0.0),
    ("one stay changed", 6, 7_500, 24.0, 0.0),
    ("settling three exports", 1, 500, 3.0, 0.0),
    ("loading it all", 0, 0, 0.0, 2.0),
];

#[tokio::test]
async fn what_is_done_every_day_stays_within_its_budget() {
    let (store, client) = embedded_and_client().await;
    an_account_stands(&store, 1).await;
    let property = a_property(1, 1);
    let measured = Measured { store: store.clone(), client };
    let made = measured.cost(async { store.commit(&nothing_but(&property)).await.unwrap() }).await;
    let connection = measured.cost(make_a_connection(&store, &property, 1)).await;
    for n in SITES.skip(1) {
        make_a_connection(&store, &property, n).await;
    }
    let announced = async {
        for n in SITES {
            announce(&store, n, 600).await;
        }
    };
    let announced = measured.cost(announced).await;
    let readings = async {
        for n in SITES {
            first_reading(&store, &property, n).await;
        }
    };
    let readings = measured.cost(readings).await;
    let settle = async {
        let exports: Vec<_> = SITES.map(|n| (connection_id(n), at(9000))).collect();
        store.settle(&property.id, 7, Some(at(90_000)), &exports).await.unwrap();
    };
    let settle = measured.cost(settle).await;
    announce(&store, 1, 9600).await;
    let stay = measured.cost(one_stay_held(&store, &property)).await;
    let load = measured.cost(async { drop(store.load(&property.id).await.unwrap()) }).await;
    let readme = include_str!("../../README.md");
    let costs = [made, connection, announced, readings, stay, settle, load];
    for ((what, ..), cost) in BUDGETS.into_iter().zip(costs) {
        println!("{what}: {cost:?}");
    }
    for ((what, items, bytes, write_units, read_units), cost) in BUDGETS.into_iter().zip(costs) {
        assert_eq!(cost.items, items, "{what}: {cost:?}");
        assert!(cost.bytes <= bytes, "{what}: {cost:?}");
        assert!(cost.usage.write_units <= write_units, "{what}: {cost:?}");
        // What is read to prepare a change is not the change's own.
        assert!(items > 0 || cost.usage.read_units <= read_units, "{what}: {cost:?}");
        let row = format!("| {what} | {items} | {:.1} | {write_units} |", bytes as f64 / 1000.0);
        assert!(readme.contains(&row), "the README has {row}");
    }
}
