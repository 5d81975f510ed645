//! What a host changes: two at once, a death at every call, and what changes nothing.

use calmesh_calendar::{BlockId, BlockKind, ConnectionId, policy::Value};
use jiff::{SignedDuration, civil::date};

use super::world::*;
use crate::{
    BlockEdit, ConnectionEdit, ConnectionError, Edit, Expected, NewBlock, NewConnection, NewProperty, OwnKind,
    PropertyEdit, PropertyError, Reach, SideEdit, When,
    fakes::{Answer, Moment},
    model::*,
    ports::*,
};

const STAY: &[(&str, &str, &str)] = &[("HMAAAA", "2026-12-04", "2026-12-07")];

fn reach(world: &World) -> Reach {
    Reach::whole(world.account.clone())
}

fn new_url(name: &str) -> ConnectionEdit {
    ConnectionEdit {
        url: Some(World::url(name).parse().unwrap()),
        import: SideEdit::Touch,
        ..ConnectionEdit::default()
    }
}

fn required_word(word: &str) -> ConnectionEdit {
    ConnectionEdit {
        policy: set("required_word", Value::Word(word.to_owned())),
        import: SideEdit::Touch,
        ..ConnectionEdit::default()
    }
}

fn night(text: &str) -> When {
    When::Night(text.parse().unwrap())
}

async fn create(world: &World, name: &str) -> ConnectionId {
    let new = new_connection(name);
    world.app.desk.create_connection(&reach(world), &world.property, &new).await.unwrap().connection.id
}

async fn block(world: &World, start: &str, end: &str) -> BlockId {
    let new = NewBlock {
        kind: OwnKind::Reservation,
        start: night(start),
        end: night(end),
        summary: "By telephone".to_owned(),
        extends: None,
        force: true,
    };
    world.app.desk.create_block(&reach(world), &world.property, &new).await.unwrap().block.id
}

#[tokio::test]
async fn a_store_that_fails_at_any_call_leaves_a_whole_connection_or_none() {
    for moment in [Moment::Before, Moment::After] {
        for (nth, size) in (1..12).flat_map(|nth| SIZES.map(|size| (nth, size))) {
            let world = World::new().await;
            world.serve("a", sized(size, &airbnb(1, STAY)));
            world.store.fail_call(nth, moment);
            let made = world.app.desk.create_connection(&reach(&world), &world.property, &new_connection("a")).await;
            world.store.heal();
            let state = world.state().await;
            match (state.connections.as_slice(), made) {
                ([], made) => {
                    assert!(made.is_err(), "call {nth}, {moment:?}: it was acknowledged");
                    assert!(state.blocks.is_empty());
                }
                ([connection], _) => {
                    assert_eq!(world.taken().await.len(), 3, "call {nth}, {moment:?}");
                    let kept = world.current_snapshots(&connection.id);
                    assert_eq!(kept.len(), 1, "call {nth}, {moment:?}: the body that it names is kept");
                    let served = world.link(&connection.id).await.is_some();
                    assert!(served || state.property.dirty.is_some(), "its link is served, or follows");
                }
                (several, _) => panic!("call {nth}, {moment:?}: {} connections", several.len()),
            }
        }
    }
}

#[tokio::test]
async fn of_two_connections_with_one_url_at_the_same_time_one_is_refused() {
    let world = World::new().await;
    world.serve("a", airbnb(1, STAY));
    world.feeds.hold(&World::url("a"));
    let reach = reach(&world);
    let new = new_connection("a");
    let (one, two, ()) = tokio::join!(
        world.app.desk.create_connection(&reach, &world.property, &new),
        world.app.desk.create_connection(&reach, &world.property, &new),
        async {
            world.feeds.arrived(&World::url("a"), 2).await;
            world.feeds.release(&World::url("a"));
        }
    );
    let refused = one.and(two).unwrap_err();
    let state = world.state().await;
    assert_eq!(state.connections.len(), 1);
    assert!(matches!(refused, ConnectionError::UrlTaken(id, _) if id == state.connections[0].id));
    assert_eq!(state.blocks.len(), 1);
}

#[tokio::test]
async fn an_edit_during_a_slow_check_is_not_undone() {
    let world = World::new().await;
    world.serve("a", airbnb(1, STAY));
    let a = create(&world, "a").await;
    world.clock.advance(SignedDuration::from_mins(1));
    world.serve("b", airbnb(1, STAY));
    world.feeds.hold(&World::url("b"));
    let reach = reach(&world);
    let (url, renamed) = (new_url("b"), ConnectionEdit { name: Some("renamed".to_owned()), ..Default::default() });
    let (moved, ()) = tokio::join!(world.app.desk.edit_connection(&reach, &a, &url, &Expected::Any), async {
        world.feeds.arrived(&World::url("b"), 1).await;
        world.app.desk.edit_connection(&reach, &a, &renamed, &Expected::Any).await.unwrap();
        world.feeds.release(&World::url("b"));
    });
    let connection = moved.unwrap().connection;
    assert_eq!((connection.name.as_str(), connection.version), ("renamed", 3));
    assert_eq!(connection.import.unwrap().url.as_str(), World::url("b"));
}

#[tokio::test]
async fn an_if_match_that_grows_stale_during_a_slow_check_is_refused() {
    let world = World::new().await;
    world.serve("a", airbnb(1, STAY));
    let a = create(&world, "a").await;
    world.serve("b", airbnb(1, STAY));
    world.feeds.hold(&World::url("b"));
    let reach = reach(&world);
    let (url, renamed) = (new_url("b"), ConnectionEdit { name: Some("renamed".to_owned()), ..Default::default() });
    let expected = Expected::OneOf(vec![1]);
    let (moved, ()) = tokio::join!(world.app.desk.edit_connection(&reach, &a, &url, &expected), async {
        world.feeds.arrived(&World::url("b"), 1).await;
        world.app.desk.edit_connection(&reach, &a, &renamed, &Expected::Any).await.unwrap();
        world.feeds.release(&World::url("b"));
    });
    assert!(matches!(moved, Err(ConnectionError::Outdated)));
}

#[tokio::test]
async fn a_connection_that_goes_during_a_slow_check_stays_gone() {
    let world = World::new().await;
    world.serve("a", airbnb(1, STAY));
    let a = create(&world, "a").await;
    world.serve("b", airbnb(1, STAY));
    world.feeds.hold(&World::url("b"));
    let reach = reach(&world);
    let url = new_url("b");
    let (moved, ()) = tokio::join!(world.app.desk.edit_connection(&reach, &a, &url, &Expected::Any), async {
        world.feeds.arrived(&World::url("b"), 1).await;
        world.app.desk.delete_connection(&reach, &a, &Expected::Any).await.unwrap();
        world.feeds.release(&World::url("b"));
    });
    assert!(matches!(moved, Err(ConnectionError::NotFound)));
    assert!(world.state().await.connections.is_empty());
    assert!(world.taken().await.is_empty());
}

#[tokio::test]
async fn a_reading_of_the_old_url_that_arrives_late_is_dropped() {
    let world = World::new().await;
    world.serve("a", airbnb(1, STAY));
    let a = create(&world, "a").await;
    world.work().await;
    // A changed feed was read and announced, but not merged yet.
    world.serve("a", airbnb(1, &[("HMZZZZ", "2027-05-01", "2027-05-04")]));
    world.clock.advance(SignedDuration::from_mins(15));
    world.app.tick.announce_shards(world.now(), SignedDuration::from_mins(15)).await.unwrap();
    for event in world.bus.drain() {
        world.app.handle(&event).await.unwrap();
    }
    world.clock.advance(SignedDuration::from_mins(1));
    world.serve("b", airbnb(1, STAY));
    world.app.desk.edit_connection(&reach(&world), &a, &new_url("b"), &Expected::Any).await.unwrap();
    world.work().await;
    assert_eq!(world.taken().await, ["2026-12-04", "2026-12-05", "2026-12-06"]);
}

#[tokio::test]
async fn a_preview_writes_nothing_and_announces_nothing() {
    let world = World::new().await;
    world.serve("a", airbnb(1, STAY));
    let a = create(&world, "a").await;
    block(&world, "2026-12-04", "2026-12-05").await;
    world.work().await;
    world.clock.advance(SignedDuration::from_mins(1));
    world.serve("b", airbnb(1, &[]));
    let (before, bodies) = (world.state().await, world.bodies_put());
    let (app, reach) = (&world.app, reach(&world));
    assert_eq!(app.desk.preview_pause(&reach, &a, None).await.unwrap().opens.len(), 2);
    app.desk.preview_connection_deletion(&reach, &a, &Expected::Any).await.unwrap();
    app.desk.preview_connection_edit(&reach, &a, &required_word("nothing"), &Expected::Any).await.unwrap();
    app.desk.preview_connection_edit(&reach, &a, &new_url("b"), &Expected::Any).await.unwrap();
    app.desk.preview_prune(&reach, &world.property).await.unwrap();
    app.desk.preview_property_deletion(&reach, &world.property, &Expected::Any).await.unwrap();
    let moved = PropertyEdit { time_zone: Some("Asia/Tokyo".to_owned()), ..PropertyEdit::default() };
    app.desk.preview_property_edit(&reach, &world.property, &moved, &Expected::Any).await.unwrap();
    assert_eq!(world.state().await, before);
    assert_eq!(world.bodies_put(), bodies);
    assert!(world.bus.events().is_empty());
}

#[tokio::test]
async fn an_edit_that_changes_nothing_writes_nothing() {
    let world = World::new().await;
    world.serve("a", airbnb(1, STAY));
    let a = create(&world, "a").await;
    let own = block(&world, "2027-01-04", "2027-01-05").await;
    world.work().await;
    let before = world.state().await;
    let reach = reach(&world);
    let same = ConnectionEdit { name: Some("a".to_owned()), ..ConnectionEdit::default() };
    world.app.desk.edit_connection(&reach, &a, &same, &Expected::Any).await.unwrap();
    world.app.desk.resume_connection(&reach, &a).await.unwrap();
    let same = BlockEdit { end: Some(night("2027-01-05")), ..BlockEdit::default() };
    world.app.desk.edit_block(&reach, &own, &same, &Expected::Any).await.unwrap();
    let same = PropertyEdit { name: Some("Flat".to_owned()), ..PropertyEdit::default() };
    world.app.desk.edit_property(&reach, &world.property, &same, &Expected::Any).await.unwrap();
    world.app.desk.prune_blocks(&reach, &world.property).await.unwrap();
    assert_eq!(world.state().await, before);
    assert!(world.bus.events().is_empty());
}

#[tokio::test]
async fn a_block_counts_a_sequence_only_when_an_export_says_something_else() {
    let world = World::new().await;
    let (stay, own) =
        (block(&world, "2026-12-04", "2026-12-07").await, block(&world, "2026-12-07", "2026-12-08").await);
    world.clock.advance(SignedDuration::from_mins(1));
    let edit = async |edit: BlockEdit| {
        let view = world.app.desk.edit_block(&reach(&world), &own, &edit, &Expected::Any).await.unwrap();
        (view.block.sequence, view.block.changed_at == world.now(), view.version)
    };
    let (sequence, stamped, version) = edit(BlockEdit { extends: Edit::To(stay.clone()), ..Default::default() }).await;
    assert_eq!((sequence, stamped), (0, false), "what it extends is on no link");
    let (sequence, stamped, moved) = edit(BlockEdit { end: Some(night("2026-12-09")), ..Default::default() }).await;
    assert_eq!((sequence, stamped), (1, true));
    assert_ne!(moved, version, "the ETag covers all that can be edited");
    let (sequence, ..) = edit(BlockEdit { summary: Edit::Reset, ..Default::default() }).await;
    assert_eq!(sequence, 2);
    let (sequence, ..) = edit(BlockEdit { kind: Some(OwnKind::Closure), ..Default::default() }).await;
    assert_eq!(sequence, 3);
}

#[tokio::test]
async fn a_closure_that_was_there_before_the_own_block_covers_it() {
    let world = World::new().await;
    let closure = airbnb(1, STAY).replace("1418fb94e984", "7f662ec65913").replace("Reserved", "Airbnb (Not available)");
    world.serve("a", closure);
    create(&world, "a").await;
    assert_eq!(world.state().await.blocks[0].kind, BlockKind::Closure);
    world.clock.advance(SignedDuration::from_mins(1));
    let own = block(&world, "2026-12-05", "2026-12-06").await;
    let view = world.app.desk.block(&reach(&world), &own).await.unwrap();
    assert_eq!(view.covered_by.len(), 1);
}

#[tokio::test]
async fn a_held_stay_covers_nothing_that_could_be_pruned() {
    let world = World::new().await;
    let stays = &[STAY[0], ("HMBBBB", "2027-01-01", "2027-02-01")];
    world.serve("a", airbnb(1, stays));
    create(&world, "a").await;
    world.work().await;
    block(&world, "2026-12-05", "2026-12-06").await;
    world.serve("a", airbnb(1, &stays[1..]));
    world.sweep().await;
    assert_eq!(world.taken().await.len(), 34);
    let pruned = world.app.desk.prune_blocks(&reach(&world), &world.property).await.unwrap();
    assert_eq!(pruned.removed, []);
}

#[tokio::test]
async fn pruning_a_reservation_may_open_its_turnover_night_and_says_so() {
    let world = World::new().await;
    world.change(|state| state.property.turnover_nights = 1).await;
    block(&world, "2026-12-04", "2026-12-07").await;
    world.serve("a", airbnb(1, &[("HMAAAA", "2026-12-01", "2026-12-07")]));
    create(&world, "a").await;
    let pruned = world.app.desk.preview_prune(&reach(&world), &world.property).await.unwrap();
    assert_eq!((pruned.removed.len(), pruned.openings.opens.len()), (1, 0), "the stay has a turnover night of its own");
    let shown = set("blocks", Value::Flag(false)).over(&PolicyOverrides::default());
    world.change(|state| state.connections[0].import.as_mut().unwrap().policy = shown.clone()).await;
    let shown_only = world.app.desk.preview_prune(&reach(&world), &world.property).await.unwrap();
    assert_eq!(shown_only.removed, [], "what does not block covers nothing");
}

#[tokio::test]
async fn turnover_nights_after_an_extension_do_not_stand_in_its_own_way() {
    let world = World::new().await;
    world.change(|state| state.property.turnover_nights = 2).await;
    let stay = block(&world, "2026-12-04", "2026-12-07").await;
    let extension = NewBlock {
        kind: OwnKind::Reservation,
        start: When::Local(date(2026, 12, 7).at(11, 0, 0, 0)),
        end: When::Local(date(2026, 12, 7).at(18, 0, 0, 0)),
        summary: String::new(),
        extends: Some(stay.clone()),
        force: false,
    };
    let first = world.app.desk.create_block(&reach(&world), &world.property, &extension).await.unwrap().block.id;
    let longer = BlockEdit { end: Some(When::Local(date(2026, 12, 8).at(18, 0, 0, 0))), ..BlockEdit::default() };
    world.app.desk.edit_block(&reach(&world), &first, &longer, &Expected::Any).await.unwrap();
    assert_eq!(world.taken().await.last().unwrap(), "2026-12-10", "they moved behind it");
}

#[tokio::test]
async fn an_answer_that_nothing_changed_is_no_answer_to_a_first_question() {
    let world = World::new().await;
    let validators = Validators { etag: Some("\"x\"".to_owned()), last_modified: None };
    world.feeds.set(&World::url("a"), Answer::BodyWith(airbnb(1, STAY).into(), validators.clone()));
    let a = create(&world, "a").await;
    let applied = world.state().await.connections[0].import.clone().unwrap().applied.unwrap();
    assert_eq!(applied.validators, validators, "kept for the next question");
    assert_eq!(world.feeds.requests(&World::url("a"))[0].validators, Validators::default());
    world.sweep().await;
    assert_eq!(world.feeds.requests(&World::url("a"))[1].validators, validators);
    assert_eq!(world.health(&a).await, FetchHealth::default());
}

#[tokio::test]
async fn a_property_is_made_whole_or_not_at_all_and_a_limited_token_makes_none() {
    let world = World::new().await;
    let new = NewProperty {
        name: "Casa".to_owned(),
        time_zone: "Europe/Madrid".to_owned(),
        check_in: crate::DEFAULT_CHECK_IN,
        check_out: crate::DEFAULT_CHECK_OUT,
        turnover_nights: 0,
        label_prefix: None,
    };
    let limited = Reach { properties: Some(std::iter::once(world.property.clone()).collect()), ..reach(&world) };
    assert!(matches!(world.app.desk.create_property(&limited, new.clone()).await, Err(PropertyError::Limited)));
    let made = world.app.desk.create_property(&reach(&world), new).await.unwrap();
    assert_eq!(world.app.desk.property(&reach(&world), &made.id).await.unwrap(), made);
    assert!(matches!(world.app.desk.property(&limited, &made.id).await, Err(PropertyError::NotFound)));
    let page = PageRequest { limit: 10, after: None };
    assert_eq!(world.app.desk.list_properties(&limited, page).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn deleting_a_connection_also_empties_links_that_were_rotated_away() {
    let world = World::new().await;
    world.serve("a", airbnb(1, STAY));
    let a = create(&world, "a").await;
    block(&world, "2027-01-04", "2027-01-05").await;
    let first = world.state().await.connections[0].export.clone().unwrap().token;
    let rotated = world.app.desk.rotate_link(&reach(&world), &a, false).await.unwrap();
    let second = rotated.connection.export.unwrap().token;
    world.work().await;
    assert_eq!(world.served(&first), world.served(&second));
    assert_eq!(world.served(&first).unwrap().len(), 1);
    world.clock.advance(SignedDuration::from_hours(24 * 6));
    world.app.desk.delete_connection(&reach(&world), &a, &Expected::Any).await.unwrap();
    world.work().await;
    assert_eq!((world.served(&first).unwrap().len(), world.served(&second).unwrap().len()), (0, 0));
    world.clock.advance(SignedDuration::from_hours(24 * 2));
    world.app.publish.publish_property(&world.property).await.unwrap();
    assert_eq!(world.served(&first), Some(vec![]), "its reader, too, has a week to see that it is empty");
    world.clock.advance(SignedDuration::from_hours(24 * 5));
    world.app.publish.publish_property(&world.property).await.unwrap();
    assert_eq!((world.served(&first), world.served(&second)), (None, None));
}

#[tokio::test]
async fn a_provider_that_is_set_by_hand_stays_until_a_url_says_otherwise() {
    let world = World::new().await;
    world.serve("a", airbnb(1, STAY).replace("-//Airbnb Inc//Hosting Calendar 1.0//EN", "-//x//EN"));
    let new = NewConnection { provider: Some("vrbo".parse().unwrap()), ..new_connection("a") };
    let made = world.app.desk.create_connection(&reach(&world), &world.property, &new).await.unwrap().connection;
    assert_eq!(made.provider.as_str(), "vrbo");
    world.clock.advance(SignedDuration::from_mins(1));
    world.serve("b", airbnb(1, STAY).replace("-//Airbnb Inc//Hosting Calendar 1.0//EN", "-//x//EN"));
    let moved = world.app.desk.edit_connection(&reach(&world), &made.id, &new_url("b"), &Expected::Any).await.unwrap();
    assert_eq!(moved.connection.provider.as_str(), "vrbo");
    world.clock.advance(SignedDuration::from_mins(1));
    world.serve("c", airbnb(1, STAY));
    let moved = world.app.desk.edit_connection(&reach(&world), &made.id, &new_url("c"), &Expected::Any).await.unwrap();
    assert_eq!(moved.connection.provider.as_str(), "airbnb");
    let by_hand = ConnectionEdit { provider: Edit::To("vrbo".parse().unwrap()), ..ConnectionEdit::default() };
    let set = world.app.desk.edit_connection(&reach(&world), &made.id, &by_hand, &Expected::Any).await.unwrap();
    assert_eq!(set.connection.provider.as_str(), "vrbo");
    let reset = ConnectionEdit { provider: Edit::Reset, ..ConnectionEdit::default() };
    let detected = world.app.desk.edit_connection(&reach(&world), &made.id, &reset, &Expected::Any).await.unwrap();
    assert_eq!(detected.connection.provider.as_str(), "airbnb", "by the words of what was read last");
}

#[tokio::test]
async fn an_extension_of_a_stay_that_was_long_ago_is_nothing_to_tell_of() {
    let world = World::new().await;
    world.connect("a", "airbnb").await;
    world.serve("a", airbnb(1, STAY));
    world.sweep().await;
    let stay = world.state().await.blocks[0].id.clone();
    let reach = Reach::whole(world.account.clone());
    let at = |text: &str| When::Local(text.parse().unwrap());
    let new = NewBlock {
        kind: OwnKind::Reservation,
        start: at("2026-12-07T11:00"),
        end: at("2026-12-07T14:00"),
        summary: String::new(),
        extends: Some(stay),
        force: false,
    };
    world.app.desk.create_block(&reach, &world.property, &new).await.unwrap();
    world.serve("a", airbnb(1, &[]));
    world.clock.advance(SignedDuration::from_hours(24 * 60));
    for _ in 0..3 {
        world.sweep().await;
    }
    let state = world.state().await;
    let [left] = state.blocks.as_slice() else { panic!("the stay was forgotten, its extension is the host's") };
    assert_eq!(left.origin, calmesh_calendar::Origin::Own { extends: None, lost: None });
    let page = PageRequest { limit: 200, after: None };
    let told = world.store.activity(&world.property, page).await.unwrap().items;
    let of_extensions = |entry: &&Activity| {
        matches!(entry.kind, ActivityKind::ExtensionOrphaned { .. } | ActivityKind::ExtensionLeft { .. })
    };
    assert_eq!(told.iter().filter(of_extensions).count(), 0, "{told:?}");
}
