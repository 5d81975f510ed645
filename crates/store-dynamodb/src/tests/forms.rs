//! The stored forms: an image of a store with everything in it that there can be. What lies in it is read for ever, what
//! a later version wrote is refused in words, and no form changes unnoticed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use aws_sdk_dynamodb::{Client, primitives::Blob, types::AttributeValue};
use bytes::Bytes;
use calmesh_app::{
    contract::{
        a_block, a_conflict, a_connection, a_hold, a_link, a_plan, a_property, a_token, account_id, an_account, at,
        block_id, connection_id, hold_id, link_id, link_token, nights, nothing_but, property_id, refresh_id,
        some_claims,
    },
    model::{
        Account, Activity, ActivityKind, AnnouncedReading, Applied, Budget, ClosedHold, ConflictRecord, Connection,
        Detail, Direction, ExtraLink, Failure, FailureKind, Format, HostPause, LinkOwner, LinkScope, NamedStay, Names,
        Outcome, PolicyOverrides, Property, PropertyState, Refresh, RefreshPart, RefreshScope, Replaced, RetiringLink,
        RetiringServes, Scope, SecretHash, Site, Snapshot, Spender, Status, StayPart, StoppedExport, SweepRecord,
        Token, Validators, bucket_of,
    },
    ports::{
        AccountStore, ActivityStore, BudgetStore, FetchStore, IdempotencyStart, IdempotencyStore, LinkStore, MarkStore,
        PageRequest, ParkedBody, PlanChange, PropertyCommit, PropertyStore, RefreshStore, SmallBody, StoreError,
        WaitingBody,
    },
};
use calmesh_calendar::{
    Block, BlockKind, Claim, ClaimRule, ConnectionClaims, EventKey, Extent, Finding, Hold, HoldCause, HoldEnd,
    LostStay, Origin, ReadWarning, Runs, Sign, Standing, Times, policy,
};
use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use super::embedded::{Cut, all_items, embedded_and_client, embedded_client_and_line};
use crate::{
    DynamoStore,
    doc::past,
    schema::{self, attr},
    table::{Item, Range, Write},
};

const IMAGE: &str = include_str!("store-v1.jsonl");

fn as_json(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(number) => json!({ "N": number }),
        AttributeValue::B(bytes) => json!({ "B": hex::encode(bytes.as_ref()) }),
        AttributeValue::M(map) => {
            json!({ "M": map.iter().map(|(name, value)| (name.clone(), as_json(value))).collect::<Map<_, _>>() })
        }
        AttributeValue::Ns(numbers) => {
            let mut numbers = numbers.clone();
            numbers.sort();
            json!({ "NS": numbers })
        }
        other => panic!("a value of another kind: {other:?}"),
    }
}

fn from_json(value: &Value) -> AttributeValue {
    let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
    let text = || value.as_str().unwrap().to_owned();
    match kind.as_str() {
        "S" => AttributeValue::S(text()),
        "N" => AttributeValue::N(text()),
        "B" => AttributeValue::B(Blob::new(hex::decode(text()).unwrap())),
        "M" => AttributeValue::M(
            value.as_object().unwrap().iter().map(|(name, value)| (name.clone(), from_json(value))).collect(),
        ),
        "NS" => AttributeValue::Ns(value.as_array().unwrap().iter().map(|n| n.as_str().unwrap().to_owned()).collect()),
        other => panic!("a value of another kind: {other}"),
    }
}

/// Items as lines, in order of their keys. What is random is told as zeros.
fn image_of(items: &[Item]) -> String {
    let mut lines: Vec<(String, String)> = Vec::new();
    let mut random: Vec<String> = Vec::new();
    for item in items {
        let [pk, sk] = [attr::PK, attr::SK].map(|name| item[name].as_s().unwrap().clone());
        random.extend(item.get(attr::STAGED).map(|attempt| attempt.as_s().unwrap().clone()));
        if pk.starts_with("HIS#") {
            random.extend(sk.split('#').nth(1).filter(|unique| unique.len() == 32).map(str::to_owned));
        }
        let attributes: Map<String, Value> = item
            .iter()
            .collect::<BTreeMap<_, _>>()
            .into_iter()
            .map(|(name, value)| (name.clone(), as_json(value)))
            .collect();
        lines.push((format!("{pk} {sk}"), Value::Object(attributes).to_string()));
    }
    lines.sort();
    let mut image: String = lines.into_iter().map(|(_, line)| line + "\n").collect();
    for unique in random {
        image = image.replace(&unique, &"0".repeat(unique.len()));
    }
    image
}

fn items_of(image: &str) -> Vec<Item> {
    let item = |line: &str| {
        let attributes: Map<String, Value> = serde_json::from_str(line).unwrap();
        attributes.iter().map(|(name, value)| (name.clone(), from_json(value))).collect()
    };
    image.lines().map(item).collect()
}

/// With everything in it that there can be.
pub(crate) fn a_rich_connection(property: &Property) -> Connection {
    let mut connection = a_connection(property, 1);
    connection.status = Status::Paused { until: Some(at(700)) };
    let import = connection.import.as_mut().unwrap();
    import.policy = PolicyOverrides::of(|setting| {
        Some(match setting.kind {
            policy::Kind::Flag => policy::Value::Flag(setting.path == "blocks"),
            policy::Kind::Figure { least, .. } => policy::Value::Figure(least),
            policy::Kind::Word { .. } => policy::Value::Word("Booked — ☂".to_owned()),
        })
    });
    import.applied = Some(Applied {
        snapshot: Snapshot("abc".to_owned()),
        validators: Validators { etag: Some("\"x\"".to_owned()), last_modified: Some("Sat".to_owned()) },
        read_at: at(1),
        changed_at: at(2),
        more_at: Some(at(4)),
        reader: 1,
        small: true,
        horizon_at: at(3),
        warnings: vec![ReadWarning {
            line: Some(4),
            uid: Some("u".to_owned()),
            detail: "No end.".to_owned(),
            unread: true,
        }],
    });
    import.replaces = Some(SecretHash::of("the URL before"));
    import.listed = Some(SecretHash::of("this URL"));
    let export = connection.export.as_mut().unwrap();
    (export.detail, export.format, export.paused) = (Detail::Full, Format::Times, true);
    export.last_changed_at = Some(at(5));
    connection
}

pub(crate) fn all_kinds_of_blocks() -> Vec<Block> {
    let mut held = a_block(1, 1);
    if let Origin::Feed(feed) = &mut held.origin {
        feed.key = Some(EventKey { uid: "u\"\n".to_owned(), occurrence: Some("20310101".to_owned()) });
        feed.code = Some("HM1".to_owned());
        feed.sign = Sign::Reservation;
        let (cause, group) = (HoldCause::MassVanish, Some(hold_id(3)));
        feed.hold = Some(Hold { cause, group, kept: true, ..a_hold(1) });
    }
    let times = Extent::Times(Times::new(at(0), at(5000)).unwrap());
    let own = |extends, lost| Origin::Own { extends, lost };
    let site = Some(("Flat".to_owned(), "vrbo".to_owned()));
    let lost = LostStay { stay: block_id(9), connection: Some(connection_id(1)), site, extent: times };
    vec![
        held,
        Block { kind: BlockKind::Closure, extent: times, ..a_block(1, 2) },
        Block { kind: BlockKind::Tentative, sequence: 7, changed_at: at(3), ..a_block(1, 3) },
        Block { kind: BlockKind::RuleClosure, summary: String::new(), ..a_block(1, 4) },
        Block { origin: own(None, None), ..a_block(1, 5) },
        Block { origin: own(Some(block_id(1)), None), ..a_block(1, 6) },
        Block { origin: own(None, Some(lost)), ..a_block(1, 7) },
    ]
}

fn heavy_claims() -> ConnectionClaims {
    let claim = Claim { standing: Standing::Certain, rule: ClaimRule::SaidGone, since: at(1) };
    let claims = Runs::of((0..559).map(|nth| (nights(2 * nth, 2 * nth + 1), claim)));
    ConnectionClaims { claims, ..ConnectionClaims::default() }
}

fn happened() -> Vec<Activity> {
    let name = || "Casa".to_owned();
    let (hold, block, conflict) = (hold_id(1), block_id(1), a_conflict(4).id);
    let kinds = vec![
        ActivityKind::PropertyChanged,
        ActivityKind::ConnectionCreated { name: name() },
        ActivityKind::LinkRotated { name: name() },
        ActivityKind::FeedChanged { added: 1, changed: 2, removed: 3, held: 4 },
        ActivityKind::FeedFailed { failure: FailureKind::LinkGone, detail: "No.".to_owned() },
        ActivityKind::HoldOpened { hold: hold.clone(), block: block.clone() },
        ActivityKind::MassVanished { hold, stays: 2, nights: 3, first_nights: nights(0, 2).iter().collect() },
        ActivityKind::ClaimsDecided {
            finding: Finding::Judged(Standing::Echo, ClaimRule::OurTag),
            nights: vec![nights(0, 2)],
        },
        ActivityKind::ConflictClosed { conflict, blocks: vec![block.clone()], gone: vec![block.clone()] },
        ActivityKind::ExtensionLeft { block: block.clone(), stay: block_id(2) },
    ];
    let site = || Some(Site { name: name(), provider: "airbnb".into() });
    let [first, end] = [nights(0, 1).first(), nights(0, 3).end()];
    let span = calmesh_app::Span::Nights(first, end);
    let stays = vec![NamedStay { block, part: StayPart::Changed, site: site(), span, before: Some(span) }];
    let names = Names { property: Some(name()), site: site(), stays };
    let of_kind = |kind| Activity {
        property: property_id(1),
        at: at(10),
        connection: Some(connection_id(1)),
        kind,
        names: names.clone(),
    };
    kinds.into_iter().map(of_kind).collect()
}

/// A property with everything in it.
async fn fill_a_property(store: &DynamoStore) {
    let first = Property { revised_at: Some(at(1)), ..a_property(1, 1) };
    store.commit(&nothing_but(&first)).await.unwrap();
    let reading = vec![connection_id(1), connection_id(3)];
    let second = Property { revision: 2, revised_at: Some(at(10)), wake_at: Some(at(900)), reading, ..first.clone() };
    let stopped = RetiringServes::Stopped {
        connection: connection_id(1),
        provider: "vrbo".into(),
        was: Some(StoppedExport { detail: Detail::Label, format: Format::Nights, recorded_since: None }),
    };
    let serves = [
        RetiringServes::Empty { provider: "vrbo".into() },
        RetiringServes::Current { connection: connection_id(1) },
        stopped,
    ];
    let retiring = (90..).zip(serves).map(|(n, serves)| RetiringLink { token: link_token(n), serves, until: at(700) });
    let owner =
        LinkOwner::Connection { account: account_id(1), property: first.id.clone(), connection: connection_id(1) };
    let conflict = a_conflict(4);
    let record = |n: u64, closed_at| ConflictRecord { property: first.id.clone(), conflict: a_conflict(n), closed_at };
    let mut put_blocks = all_kinds_of_blocks();
    // More than a page.
    put_blocks.extend((300..470).map(|n| a_block(3, n)));
    let (mut put_claims, replaced_claims) = (some_claims(1).connections, some_claims(1).connections);
    put_claims.insert(connection_id(2), heavy_claims());
    let one_way = Connection { direction: Direction::Import, export: None, ..a_connection(&first, 3) };
    let commit = PropertyCommit {
        put_connections: vec![a_rich_connection(&first), a_connection(&first, 2), one_way],
        put_blocks,
        put_retiring: retiring.collect(),
        plans: vec![
            PlanChange::Put { plan: a_plan(&first, 1), fresh: true, taken: None },
            PlanChange::Put { plan: a_plan(&first, 3), fresh: true, taken: None },
        ],
        owners: vec![(link_token(1), Some(owner))],
        put_feeds: vec![(SecretHash::of("this URL"), connection_id(1))],
        put_bodies: vec![(connection_id(1), a_small_body())],
        superseded_bodies: vec![(connection_id(2), a_small_body().snapshot)],
        put_claims,
        put_conflicts: vec![conflict],
        conflict_records: vec![record(4, None), record(6, Some(at(10)))],
        closed_holds: vec![ClosedHold {
            hold: a_hold(1),
            end: HoldEnd::Released,
            closed_at: at(10),
            property: first.id.clone(),
            block: block_id(4),
            connection: connection_id(1),
            nights: Some(nights(0, 2)),
        }],
        activity: happened(),
        replaced: Some(Replaced {
            at: at(10),
            revision: 2,
            property: Property { dirty: None, ..first.clone() },
            connections: vec![a_rich_connection(&first)],
            blocks: all_kinds_of_blocks(),
            claims: replaced_claims,
            new_connections: vec![connection_id(3)],
            new_blocks: vec![block_id(300), block_id(301)],
            new_claims: vec![connection_id(2)],
        }),
        ..nothing_but(&second)
    };
    store.commit(&commit).await.unwrap();
    store.settle(&first.id, 2, Some(at(800)), &[(connection_id(1), at(20)), (connection_id(2), at(21))]).await.unwrap();
    let failed = ActivityKind::FeedFailed { failure: FailureKind::Truncated, detail: "No end.".to_owned() };
    let entry = Activity { at: at(30), kind: failed, ..happened().remove(0) };
    store.append_activity(&[entry]).await.unwrap();
}

/// A change of a property that was written down, and is not done in place yet.
async fn leave_one_staged(store: &DynamoStore, line: &super::embedded::Line) {
    let property = a_property(1, 2);
    let put_connections = vec![a_connection(&property, 21)];
    store.commit(&PropertyCommit { put_connections, ..nothing_but(&property) }).await.unwrap();
    let base = store.load(&property.id).await.unwrap().unwrap();
    let next = Property { revision: 2, ..property };
    let large = PropertyCommit {
        base: Some(Arc::new(base)),
        // Each of a connection of its own.
        put_blocks: (2000..2100).map(|n| a_block(n, n)).collect(),
        put_conflicts: vec![a_conflict(20)],
        // Of which nothing is there.
        remove_conflicts: vec![a_conflict(30).id],
        ..nothing_but(&next)
    };
    line.cut_after(2, Cut::Before);
    store.commit(&large).await.unwrap();
    line.mend();
    let head = store.table.get(&schema::property_head(&next.id)).await.unwrap().unwrap();
    assert!(head.contains_key(attr::STAGED));
}

pub(crate) fn a_small_body() -> SmallBody {
    let validators = Validators { etag: Some("\"é\"".to_owned()), last_modified: Some("Sat".to_owned()) };
    let body = Bytes::from("BEGIN:VCALENDAR\r\n".repeat(20));
    SmallBody { snapshot: Snapshot("5e".repeat(32)), parked: ParkedBody { body, validators } }
}

fn waiting() -> WaitingBody {
    WaitingBody::Small(a_small_body())
}

async fn fill_fetches(store: &DynamoStore) {
    let failure = Failure {
        kind: FailureKind::ServerError,
        detail: "Try again.".to_owned(),
        since: at(1),
        count: 3,
        last_attempt_at: at(2),
        retry_at: at(3),
    };
    store.record_success(&connection_id(1), at(0), at(4), at(5)).await.unwrap();
    store.record_failure(&connection_id(1), at(0), &failure).await.unwrap();
    let announced = AnnouncedReading { since: at(5), read_at: at(6) };
    store.record_announced(&connection_id(3), at(0), &announced, &waiting(), Some(at(6))).await.unwrap();
    let validators = Validators { etag: Some("e".to_owned()), last_modified: None };
    store.record_validators(&connection_id(3), at(0), &validators, at(7)).await.unwrap();
    let skipped = (0..).map(connection_id).filter(|id| bucket_of(id) < 64).take(2).collect();
    let record = SweepRecord { first_bucket: 0, last_bucket: 63, number: 5, started_at: at(0), skipped };
    store.record_sweep(&record).await.unwrap();
    store.record_step(7).await.unwrap();
    store.pause_host(&HostPause { host: "calendars.example".to_owned(), until: at(99) }).await.unwrap();
}

async fn fill_the_rest(store: &DynamoStore) {
    store.put_link(&a_link(1, 1)).await.unwrap();
    let scope = LinkScope::Properties([property_id(1)].into());
    store.put_link(&ExtraLink { scope, deleted_at: Some(at(8)), ..a_link(1, 2) }).await.unwrap();
    store.settle_link(&link_id(1), 1, Some(at(99)), Some(at(9))).await.unwrap();
    store.record_reads(&a_link(1, 1).token.hash(), &[at(1), at(4000)].into()).await.unwrap();
    let scope = RefreshScope::Connection { property: property_id(1), connection: connection_id(1) };
    let refresh = Refresh { id: refresh_id(1), account: account_id(1), scope, requested_at: at(1), spread: false };
    store.create_refresh(&refresh, &(1..5).map(connection_id).collect::<Vec<_>>()).await.unwrap();
    let outcomes = [
        Outcome::Unchanged { blocks_held: 1 },
        Outcome::Changed { blocks_added: 1, blocks_removed: 2, blocks_held: 3 },
        Outcome::Failed { reason: "gave_up".to_owned() },
    ];
    let part = RefreshPart { refresh: refresh.id.clone(), page: String::new() };
    let outcomes: Vec<_> = (1..).map(connection_id).zip(outcomes).collect();
    store.record_outcomes(&part, &outcomes).await.unwrap();
    store.claim_latest(&refresh, None).await.unwrap();
    let request = SecretHash::of("request");
    store.start(&account_id(1), "a key", &request, [7; 16], at(1)).await.unwrap();
    store.finish(&account_id(1), "a key", b"sealed", at(2)).await.unwrap();
    let budget = Budget { burst: 2, per_minute: 1 };
    store.spend(&Spender::Checks(account_id(1)), budget, SignedDuration::ZERO, at(1)).await.unwrap();
}

/// Everything that there can be.
async fn filled() -> (DynamoStore, Client) {
    let (store, client, line) = embedded_client_and_line().await;
    let token = Token {
        scope: Scope::Read,
        properties: Some([property_id(1)].into()),
        expires_at: Some(at(9)),
        ..a_token(1, 1)
    };
    store.create_account(&an_account(1), Some(&token)).await.unwrap();
    store.create_account(&an_account(2), None).await.unwrap();
    let deleted = Account { deleted_at: Some(at(5)), links_until: Some(at(6)), version: 2, ..an_account(2) };
    store.update_account(&deleted).await.unwrap();
    fill_a_property(&store).await;
    leave_one_staged(&store, &line).await;
    fill_fetches(&store).await;
    fill_the_rest(&store).await;
    (store, client)
}

/// A table with these items in it.
async fn stored(items: &[Item]) -> (DynamoStore, Client) {
    let (store, client) = embedded_and_client().await;
    store.table.write_many(items.iter().cloned().map(Write::put).collect()).await.unwrap();
    (store, client)
}

/// What every port reads. Nothing is written.
async fn read_all(store: &DynamoStore) -> Result<Vec<String>, StoreError> {
    let page = || PageRequest { limit: 200, after: None };
    let account = account_id(1);
    let mut told = Vec::new();
    let mut tell = |what: &dyn std::fmt::Debug| told.push(format!("{what:#?}"));
    tell(&store.accounts(page()).await?);
    tell(&store.account(&account).await?);
    tell(&store.tokens(&account, page()).await?);
    tell(&store.token_by_hash(&a_token(1, 1).hash).await?);
    tell(&store.properties(&account, page()).await?);
    for n in [1, 2] {
        let id = property_id(n);
        let state: Option<PropertyState> = store.load(&id).await?;
        tell(&state);
        tell(&store.activity(&id, page()).await?);
        tell(&store.closed_holds(&id, page()).await?);
        tell(&store.locate(id.as_str()).await?);
    }
    let mut replaced = store.replaced_after(&property_id(1), at(-1)).await?;
    replaced.sort_by_key(|change| change.revision);
    tell(&replaced);
    tell(&store.conflict_records(&account, None, page()).await?);
    tell(&store.feed_readers(&account, &[SecretHash::of("this URL")].into(), 9).await?);
    tell(&store.fetch_states(&[connection_id(1), connection_id(3)]).await?);
    tell(&store.waiting(&[connection_id(1), connection_id(3)]).await?);
    for n in [1, 2] {
        tell(&store.kept_body(&connection_id(n), &a_small_body().snapshot).await?);
    }
    tell(&store.plans(0, 4095, page()).await?);
    tell(&store.sweeps(&[3]).await?);
    tell(&store.last_step().await?);
    tell(&store.paused_hosts(&["calendars.example".to_owned()].into(), at(50)).await?);
    tell(&store.links(&account, page()).await?);
    let tokens = [a_link(1, 1).token.hash(), a_link(1, 2).token.hash(), link_token(1).hash()];
    for token in &tokens {
        tell(&store.owner(token).await?);
    }
    tell(&store.reads(&tokens, at(5000)).await?);
    tell(&store.read_times(&tokens).await?);
    let refresh = store.refresh(&refresh_id(1)).await?;
    tell(&refresh);
    tell(&store.outcomes(&refresh_id(1), page()).await?);
    if let (Some(refresh), Some(property)) = (refresh, store.property(&property_id(1)).await?) {
        tell(&store.page_with(&refresh.id, &property).await?);
        tell(&store.any_pending(&refresh.id).await?);
        tell(&store.latest_refresh(&account, &refresh.scope).await?);
    }
    tell(&store.dirty(50).await?);
    tell(&store.due(at(100_000), 50).await?);
    Ok(told)
}

#[tokio::test]
async fn no_form_changes_unnoticed() {
    let (_, client) = filled().await;
    let now = image_of(&all_items(&client).await);
    if now != IMAGE {
        let path = std::env::temp_dir().join("store-of-this-version.jsonl");
        std::fs::write(&path, &now).unwrap();
        let other = now.lines().zip(IMAGE.lines()).find(|(now, then)| now != then);
        panic!("what is written now lies in {}; read in the README what a new form needs: {other:#?}", path.display());
    }
}

#[tokio::test]
async fn what_the_first_version_stored_is_read_by_every_port_and_built_upon() {
    let (fresh, _) = filled().await;
    let (old, _) = stored(&items_of(IMAGE)).await;
    let (read, expected) = (read_all(&old).await.unwrap(), read_all(&fresh).await.unwrap());
    for (read, expected) in read.iter().zip(&expected) {
        assert_eq!(read, expected);
    }
    assert_eq!(read.len(), expected.len());
    let states = async |store: &DynamoStore| {
        let mut states = Vec::new();
        for n in [1, 2] {
            states.push(store.load(&property_id(n)).await.unwrap().unwrap());
        }
        states
    };
    assert_eq!(states(&old).await, states(&fresh).await, "secrets too, which are not told");
    for n in [1, 2] {
        assert_eq!(old.link(&link_id(n)).await.unwrap(), fresh.link(&link_id(n)).await.unwrap());
    }
    let again = old.start(&account_id(1), "a key", &SecretHash::of("request"), [1; 16], at(3)).await.unwrap();
    assert_eq!(again, IdempotencyStart::Done(b"sealed".to_vec()));
    let budget = Budget { burst: 2, per_minute: 1 };
    for store in [&old, &fresh] {
        store.spend(&Spender::Checks(account_id(1)), budget, SignedDuration::ZERO, at(1)).await.unwrap();
    }
    // What it left staged is done in place, and what comes next builds on all of it.
    for store in [&old, &fresh] {
        store.settle(&property_id(2), 2, None, &[]).await.unwrap();
        let staged = Range::of(schema::property_partition(&property_id(2)), schema::STAGES);
        assert!(store.table.query(&staged, None).await.unwrap().0.is_empty());
        for state in states(store).await {
            let next = Property { revision: state.property.revision + 1, ..state.property.clone() };
            let base = Some(Arc::new(state));
            let commit =
                PropertyCommit { base, put_blocks: vec![a_block(1, 900), a_block(3, 901)], ..nothing_but(&next) };
            store.commit(&commit).await.unwrap();
        }
    }
    assert_eq!(states(&old).await, states(&fresh).await);
    for n in [1, 2] {
        old.purge(&property_id(n)).await.unwrap();
    }
    old.purge_account(&account_id(1)).await.unwrap();
    assert!(old.load(&property_id(1)).await.unwrap().is_none());
}

/// A text as a later version would have written it: each place where a form says its version.
fn later_texts(text: &str) -> Vec<String> {
    let mut texts = Vec::new();
    if let Some(lines) = text.strip_prefix("1\n") {
        texts.push(format!("2\n{lines}"));
    }
    // Within a line that is itself a document, quotes are escaped.
    for (now, then) in [("{\"v\":1,", "{\"v\":2,"), ("{\\\"v\\\":1,", "{\\\"v\\\":2,")] {
        let mut words = BTreeSet::new();
        for (nth, _) in text.match_indices(now) {
            // One of each kind of line.
            let line = text[..nth].rsplit('\n').next().unwrap();
            let word: String = line.chars().filter(|c| c.is_ascii_uppercase() || *c == '+').take(9).collect();
            if words.insert(word) {
                texts.push(format!("{}{then}{}", &text[..nth], &text[nth + now.len()..]));
            }
        }
    }
    texts
}

/// A record of the past as a later version would have written it.
fn later_record(told: &[u8]) -> Vec<Vec<u8>> {
    match std::str::from_utf8(told) {
        Ok(text) if text.starts_with('{') => later_texts(text).into_iter().map(String::into_bytes).collect(),
        _ => vec![later_bytes(told)],
    }
}

/// A compact document says its version in its first byte.
fn later_bytes(bytes: &[u8]) -> Vec<u8> {
    let mut later = bytes.to_vec();
    assert_eq!(later[0], 1);
    later[0] = 2;
    later
}

fn later_past(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut later = vec![later_bytes(bytes)];
    let records = past::decode(bytes).unwrap();
    let mut seen = BTreeSet::new();
    for (nth, record) in records.iter().enumerate() {
        // One of each kind.
        if seen.insert(format!("{:?}", record.word)) {
            for told in later_record(&record.told) {
                let mut records = records.clone();
                records[nth].told = told;
                later.push(past::encode(&records).unwrap());
            }
        }
    }
    later
}

fn later_values(name: &String, value: &AttributeValue) -> Vec<AttributeValue> {
    match value {
        AttributeValue::B(bytes) if name == attr::DOC => {
            let bytes = bytes.as_ref();
            let later = if past::decode(bytes).is_ok() { later_past(bytes) } else { vec![later_bytes(bytes)] };
            later.into_iter().map(|bytes| AttributeValue::B(Blob::new(bytes))).collect()
        }
        AttributeValue::S(text) => later_texts(text).into_iter().map(AttributeValue::S).collect(),
        AttributeValue::M(map) => {
            let with = |name: &String, value| {
                let mut map = map.clone();
                map.insert(name.clone(), value);
                AttributeValue::M(map)
            };
            let of_one = |name| later_values(name, &map[name]).into_iter().map(move |value| with(name, value));
            map.keys().flat_map(of_one).collect()
        }
        _ => Vec::new(),
    }
}

/// The same items as a later version would have written one of them.
fn of_a_later_version(items: &[Item]) -> Vec<(String, Item)> {
    let mut later = Vec::new();
    for item in items {
        let place = format!("{} {}", item[attr::PK].as_s().unwrap(), item[attr::SK].as_s().unwrap());
        for (name, value) in item {
            for value in later_values(name, value) {
                let mut item = item.clone();
                item.insert(name.clone(), value);
                later.push((format!("{place} {name}"), item));
            }
        }
    }
    later
}

#[tokio::test]
async fn whatever_a_later_version_wrote_is_refused_in_words_and_not_quoted() {
    let items = items_of(IMAGE);
    let (store, _) = stored(&items).await;
    let mut refused = BTreeMap::new();
    for (place, later) in of_a_later_version(&items) {
        let key = [attr::PK, attr::SK].map(|name| later[name].clone());
        let known = items.iter().find(|item| [attr::PK, attr::SK].map(|name| item[name].clone()) == key).unwrap();
        store.table.write(Write::put(later)).await.unwrap();
        let error = read_all(&store).await.err().unwrap_or_else(|| panic!("{place} was guessed at"));
        let told = error.to_string();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{place}: {told}");
        let what = told.strip_prefix("a stored item can't be read: ").unwrap();
        let what = what.strip_suffix(": version 2 is not known here").unwrap_or_else(|| panic!("{place}: {told}"));
        *refused.entry(what.to_owned()).or_insert(0) += 1;
        store.table.write(Write::put(known.clone())).await.unwrap();
    }
    read_all(&store).await.unwrap();
    let kinds: Vec<&str> = refused.keys().map(String::as_str).collect();
    assert_eq!(
        kinds,
        [
            "a closed hold",
            "a conflict's record",
            "a connection",
            "a failure",
            "a fetch plan",
            "a link's owner",
            "a list of ids",
            "a page of a property's journal",
            "a page of blocks",
            "a page of conflicts",
            "a property",
            "a refresh",
            "a retiring link",
            "a token",
            "an account",
            "an activity",
            "an extra link",
            "an outcome",
            "claims",
            "the body of a feed",
            "the history of a property",
            "validators",
        ]
    );
}
