//! Large things, what they cost, and what an error tells.

use std::{collections::BTreeMap, time::Instant};

use calmesh_app::{
    contract::{
        a_block, a_connection, a_link, a_plan, a_property, an_account_stands, at, connection_id, nights, nothing_but,
        property_id,
    },
    model::{Property, PropertyState, Replaced, SweepRecord, bucket_of},
    ports::{FetchStore, LinkStore, PlanChange, PropertyCommit, PropertyStore, StoreError},
};
use calmesh_calendar::{
    Asked, Block, BlockKind, Change, Claim, ClaimRule, Claims, ConnectionClaims, ConnectionId, Extent, Habits,
    LinkFacts, LinkNight, Part, Picture, Runs, Source, Standing, weigh,
};
use jiff::SignedDuration;

use super::embedded::embedded;
use crate::{
    commit,
    doc::claims,
    item,
    journal::{self, Step},
    schema,
    table::{TRANSACTION_BYTES, Write},
};

#[tokio::test]
async fn five_thousand_blocks_are_one_change() {
    let (store, _) = embedded().await;
    an_account_stands(&store, 1).await;
    let property = a_property(1, 1);
    store.commit(&nothing_but(&property)).await.unwrap();
    let second = Property { revision: 2, ..property.clone() };
    let block = |n: u64| Block { summary: "x".repeat(200), ..a_block(1, n) };
    let large = PropertyCommit {
        put_connections: vec![a_connection(&property, 1)],
        put_blocks: (0..5000).map(block).collect(),
        plans: vec![PlanChange::Put { plan: a_plan(&property, 1), fresh: true, taken: None }],
        ..nothing_but(&second)
    };
    let before = store.usage();
    let started = Instant::now();
    store.commit(&large).await.unwrap();
    println!("5,000 blocks committed in {:?}: {:?}", started.elapsed(), store.usage().since(before));
    let before = store.usage();
    let started = Instant::now();
    let state = store.load(&property.id).await.unwrap().unwrap();
    println!("5,000 blocks loaded in {:?}: {:?}", started.elapsed(), store.usage().since(before));
    let mut expected = large.put_blocks.clone();
    expected.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(state.blocks, expected);

    let third = Property { revision: 3, ..second };
    let small = PropertyCommit { put_blocks: vec![a_block(1, 7)], ..nothing_but(&third) };
    let before = store.usage();
    let started = Instant::now();
    store.commit(&small).await.unwrap();
    println!("one block changed in {:?}: {:?}", started.elapsed(), store.usage().since(before));
    let gone = PropertyCommit {
        remove_blocks: expected.iter().map(|block| block.id.clone()).collect(),
        ..nothing_but(&Property { revision: 4, ..third })
    };
    store.commit(&gone).await.unwrap();
    assert!(store.load(&property.id).await.unwrap().unwrap().blocks.is_empty());
}

/// A hundred stays of one site, each repeated by 49 others that read it from their links: 5,000 blocks, and every one
/// of the 4,900 that repeat may be an echo.
fn a_crowded_property() -> PropertyState {
    const SITES: u64 = 50;
    const STAYS: u64 = 100;
    let property = a_property(1, 1);
    let house = property.house().unwrap();
    let mut state = PropertyState::of(property.clone());
    state.connections = (1..=SITES).map(|n| a_connection(&property, n)).collect();
    let sources: BTreeMap<ConnectionId, Source> =
        state.connections.iter().map(|connection| (connection.id.clone(), Source::default())).collect();
    for site in 1..=SITES {
        // Clocks do not tick in whole seconds.
        let now = at(i64::try_from(site).unwrap() * 600) + SignedDuration::from_nanos(123_456_789);
        let read_before = LinkFacts {
            since: None,
            last_put_at: Some(at(0)),
            reads: vec![now - SignedDuration::from_secs(60)],
            recorded_since: Some(at(-86_400)),
            complete: true,
            showed_all: false,
        };
        let known = state.blocks.clone();
        state.blocks.extend((0..STAYS).map(|stay| {
            let first = i64::try_from(stay).unwrap() * 11;
            let extent = Extent::Nights(nights(first, first + 7));
            Block { extent, kind: BlockKind::Closure, first_seen_at: now, ..a_block(site, site * 1000 + stay) }
        }));
        let of = connection_id(site);
        let change = Change {
            before: Picture { blocks: &known, sources: &sources, claims: &state.claims, house: &house },
            after: Picture { blocks: &state.blocks, sources: &sources, claims: &state.claims, house: &house },
            links: &[(of.clone(), read_before)].into(),
            read: Some((&of, now)),
            replaced: None,
            now,
        };
        let weighed = weigh(&change, &mut || panic!("nothing is cut"));
        assert_eq!(weighed.blocks, None, "nothing is cut");
        state.claims = weighed.claims;
    }
    state.blocks.sort_by(|a, b| a.id.cmp(&b.id));
    state
}

fn runs(claims: &Claims) -> usize {
    let shares = claims.connections.values();
    shares.map(|mine| mine.claims.iter().len() + mine.parts.iter().len() + mine.link.iter().len()).sum()
}

#[tokio::test]
async fn what_fifty_connections_claim_of_five_thousand_blocks_is_kept() {
    let (store, _) = embedded().await;
    an_account_stands(&store, 1).await;
    let crowded = a_crowded_property();
    assert_eq!((crowded.connections.len(), crowded.blocks.len()), (50, 5000));
    assert!(runs(&crowded.claims) >= 4900, "{}", runs(&crowded.claims));
    let commit = PropertyCommit {
        put_connections: crowded.connections.clone(),
        put_blocks: crowded.blocks.clone(),
        put_claims: crowded.claims.connections.clone(),
        ..nothing_but(&crowded.property)
    };
    let before = store.usage();
    let started = Instant::now();
    store.commit(&commit).await.unwrap();
    println!("50 × 100 stays committed in {:?}: {:?}", started.elapsed(), store.usage().since(before));
    let before = store.usage();
    let started = Instant::now();
    let state = store.load(&crowded.property.id).await.unwrap().unwrap();
    println!("50 × 100 stays loaded in {:?}: {:?}", started.elapsed(), store.usage().since(before));
    assert!(state == crowded, "all of it is read as it was written");
    let items: Vec<usize> =
        state.claims.connections.values().map(|mine| claims::encode(&property_id(1), mine).len()).collect();
    let (all, largest) = (items.iter().sum::<usize>(), items.iter().max().unwrap());
    println!("{} runs are {all} bytes in {} documents, the largest {largest}", runs(&state.claims), items.len());

    let (one, mine) = state.claims.connections.iter().nth(9).unwrap();
    let habits = Habits { settle: Some(SignedDuration::from_hours(2)), ..mine.habits };
    let changed = ConnectionClaims { habits, ..mine.clone() };
    let change = PropertyCommit {
        put_claims: [(one.clone(), changed.clone())].into(),
        ..nothing_but(&Property { revision: 2, ..crowded.property.clone() })
    };
    let before = store.usage();
    let started = Instant::now();
    store.commit(&change).await.unwrap();
    println!("what one of them claims changed in {:?}: {:?}", started.elapsed(), store.usage().since(before));
    let mut expected = crowded.claims.clone();
    expected.connections.insert(one.clone(), changed);
    assert!(
        store.load(&crowded.property.id).await.unwrap().unwrap().claims == expected,
        "the others claim what they did"
    );
}

/// More than any connection has: every night that can be in question is a run of its own in each list, with everything
/// in it that there can be and no instant twice; and so is every night of a stay that began three years ago.
fn the_worst_share() -> ConnectionClaims {
    let seconds = std::cell::Cell::new(0);
    let instant = || {
        seconds.set(seconds.get() + 1);
        at(seconds.get()) + SignedDuration::from_nanos(123_456_789)
    };
    let one = |night: i64| nights(night, night + 1);
    let claim = |_| Claim { standing: Standing::Possible, rule: ClaimRule::BackAfterClean, since: instant() };
    let asked = |_| Asked { since: instant(), read_at: Some(instant()), readings: u32::MAX, heard_at: instant() };
    let part = |night| Part {
        asked: Some(asked(night)),
        clean_since: Some(instant()),
        cleaned_at: Some(instant()),
        silent: false,
    };
    let link = |_| LinkNight { carries: false, since: instant(), put_at: Some(instant()), first: instant() };
    let longest = Some(SignedDuration::new(24 * 3600 * 8, 999_999_999));
    ConnectionClaims {
        claims: Runs::of((-1100..1100).map(|night| (one(night), claim(night)))),
        parts: Runs::of((0..1100).map(|night| (one(night), part(night)))),
        link: Runs::of((0..1100).map(|night| (one(night), link(night)))),
        habits: Habits { settle: longest, wait: longest, memory: longest },
    }
}

#[tokio::test]
async fn the_worst_that_a_connection_can_claim_is_kept_in_one_item() {
    const ITEM: usize = 400_000;
    let (store, _) = embedded().await;
    an_account_stands(&store, 1).await;
    let worst = the_worst_share();
    assert_eq!((worst.claims.iter().len(), worst.parts.iter().len(), worst.link.iter().len()), (2200, 1100, 1100));
    let bytes = claims::encode(&property_id(1), &worst).len();
    let of = |kept: ConnectionClaims| claims::encode(&property_id(1), &kept).len();
    let none = ConnectionClaims::default;
    let (claims, parts, link) = (
        of(ConnectionClaims { claims: worst.claims.clone(), ..none() }) / 2200,
        of(ConnectionClaims { parts: worst.parts.clone(), ..none() }) / 1100,
        of(ConnectionClaims { link: worst.link.clone(), ..none() }) / 1100,
    );
    println!("the worst share: {bytes} bytes; a run of claims {claims}, of parts {parts}, of the link {link}");
    assert!(bytes < ITEM, "{bytes}");

    // In one transaction; then, of several connections, staged, where each item is written into another one.
    let mut property = a_property(1, 1);
    let id = property.id.clone();
    store.commit(&nothing_but(&property)).await.unwrap();
    let mut made = Vec::new();
    for connections in [1, 45] {
        property = Property { revision: property.revision + 1, revised_at: Some(at(0)), ..property };
        let claims: BTreeMap<_, _> = (0..connections).map(|n| (connection_id(n), worst.clone())).collect();
        let replaced = Replaced {
            at: at(0),
            revision: property.revision,
            property: Property { revision: property.revision - 1, dirty: None, ..property.clone() },
            connections: Vec::new(),
            blocks: Vec::new(),
            claims: claims.clone(),
            new_connections: Vec::new(),
            new_blocks: Vec::new(),
            new_claims: Vec::new(),
        };
        let commit =
            PropertyCommit { put_claims: claims.clone(), replaced: Some(replaced.clone()), ..nothing_but(&property) };
        let steps = commit::steps_of(&commit, &PropertyState::of(property.clone())).unwrap();
        let whole: usize = steps.iter().map(Step::bytes).sum();
        assert_eq!(whole > TRANSACTION_BYTES, connections > 1, "{whole} bytes");
        let longest = journal::pages(&steps).unwrap().iter().map(String::len).max().unwrap();
        assert!(longest < ITEM, "{longest} bytes where it is staged");
        let before = store.usage();
        let started = Instant::now();
        store.commit(&commit).await.unwrap();
        println!("{connections} such committed in {:?}: {:?}", started.elapsed(), store.usage().since(before));
        let state = store.load(&id).await.unwrap().unwrap();
        assert!(state.claims.connections == claims, "{connections} are read as they were written");
        made.push(replaced);
        let mut past = store.replaced_after(&id, at(-1)).await.unwrap();
        past.sort_by_key(|change| change.revision);
        assert!(past == made, "and so is what was replaced");
    }
}

/// Nobody takes a property for one in which nothing is in question because of an item that nobody knows.
#[tokio::test]
async fn an_item_of_an_unknown_kind_is_not_passed_over() {
    let (store, _) = embedded().await;
    an_account_stands(&store, 1).await;
    let property = a_property(1, 1);
    store.commit(&nothing_but(&property)).await.unwrap();
    let mut unknown = schema::Key { pk: schema::property_partition(&property.id), sk: "CLM".to_owned() }.item();
    unknown.insert(schema::attr::DOC.to_owned(), item::text(r#"{"v":1,"is":{}}"#));
    unknown.insert(schema::attr::REV.to_owned(), item::number(1));
    store.table.write(Write::put(unknown)).await.unwrap();
    let refused = store.load(&property.id).await;
    assert!(matches!(refused, Err(StoreError::Corrupt { .. })), "{refused:?}");
    store.purge(&property.id).await.unwrap();
    assert_eq!(store.load(&property.id).await.unwrap(), None, "but it can go");
}

#[tokio::test]
async fn a_pass_that_skipped_twenty_thousand_says_so_of_each() {
    let (store, _) = embedded().await;
    let of_one_partition: Vec<_> = (0..).map(connection_id).filter(|id| bucket_of(id) < 64).take(20_000).collect();
    let record = SweepRecord {
        first_bucket: 0,
        last_bucket: 63,
        number: 5,
        started_at: at(0),
        skipped: of_one_partition.clone(),
    };
    store.record_sweep(&record).await.unwrap();
    let mut found = store.sweeps(&[3]).await.unwrap().remove(0).skipped;
    found.sort();
    let mut expected = of_one_partition;
    expected.sort();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn an_error_tells_nothing_of_an_item() {
    let (store, _) = embedded().await;
    an_account_stands(&store, 1).await;
    let property = a_property(1, 1);
    // More than an item can hold.
    let too_large = Property { name: "secret ".repeat(100_000), ..property };
    let error = store.commit(&nothing_but(&too_large)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    let told = format!("{error:?} {error} {:?}", std::error::Error::source(&error).map(ToString::to_string));
    assert!(!told.contains("secret"), "{told}");
    assert!(told.contains("ValidationException"), "{told}");
}

#[tokio::test]
async fn what_is_asked_of_the_table_is_metered() {
    let (store, _) = embedded().await;
    an_account_stands(&store, 1).await;
    let property = a_property(1, 1);
    store.commit(&nothing_but(&property)).await.unwrap();
    let before = store.usage();
    assert!(before.write_units > 0.0 && before.calls > 0, "{before:?}");
    store.clone().load(&property.id).await.unwrap();
    let used = store.usage().since(before);
    assert_eq!(used.calls, 1, "one query reads a property");
    assert!(used.read_units > 0.0 && used.write_units == 0.0, "{used:?}");
}

#[tokio::test]
async fn a_link_that_is_read_all_the_time_keeps_some_of_the_times_and_says_so() {
    let (store, _) = embedded().await;
    an_account_stands(&store, 1).await;
    store.put_link(&a_link(1, 1)).await.unwrap();
    let hash = a_link(1, 1).token.hash();
    for second in 0..130 {
        store.record_reads(&hash, &[at(second)].into()).await.unwrap();
    }
    let often = store.read_times(&[hash]).await.unwrap().remove(0);
    assert!(often.times.len() < 121, "{}", often.times.len());
    assert_eq!(often.whole_since, Some(at(2_800)), "from the next hour on none is missing");
    assert_eq!((often.times[0], often.times.last().copied()), (at(0), Some(at(129))), "the first and the last stay");
    assert_eq!(store.reads(&[hash], at(129)).await.unwrap()[0].reads_24h, 130, "and all of them count");
    // Two days later that hour is forgotten.
    for hour in [50, 51] {
        store.record_reads(&hash, &[at(hour * 3600)].into()).await.unwrap();
    }
    let times = store.read_times(&[hash]).await.unwrap().remove(0);
    assert_eq!((times.times, times.whole_since), (vec![at(50 * 3600), at(51 * 3600)], often.whole_since));
}
