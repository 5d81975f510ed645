//! A connection whose URL the host corrects: the wrong flat's nights are not the new site's to hold.

use calmesh_calendar::{ConnectionId, HoldCause, policy::Value};
use jiff::SignedDuration;

use super::world::*;
use crate::{
    ConnectionEdit, ConnectionError, Expected, NewConnection, NewProperty, Openings, Reach, SideEdit,
    fakes::{Answer, Moment},
    model::*,
    ports::*,
};

/// Of the wrong flat: one under way on the 21st of November, three to come.
const WRONG: &[(&str, &str, &str)] = &[
    ("HMWAAA", "2026-11-20", "2026-11-24"),
    ("HMWBBB", "2026-12-04", "2026-12-07"),
    ("HMWCCC", "2027-01-10", "2027-01-12"),
    ("HMWDDD", "2027-02-01", "2027-02-03"),
];
const RIGHT: &[(&str, &str, &str)] = &[("HMRAAA", "2026-12-06", "2026-12-09"), ("HMRBBB", "2027-03-01", "2027-03-03")];
const RIGHT_NIGHTS: [&str; 5] = ["2026-12-06", "2026-12-07", "2026-12-08", "2027-03-01", "2027-03-02"];
/// Those of the wrong flat from the 21st of November on, but for the sixth of December, which both have.
const WRONG_NIGHTS: [&str; 9] = [
    "2026-11-21",
    "2026-11-22",
    "2026-11-23",
    "2026-12-04",
    "2026-12-05",
    "2027-01-10",
    "2027-01-11",
    "2027-02-01",
    "2027-02-02",
];

fn reach(world: &World) -> Reach {
    Reach::whole(world.account.clone())
}

fn new_url(name: &str) -> ConnectionEdit {
    ConnectionEdit { url: Some(World::url(name).parse().unwrap()), import: SideEdit::Touch, ..Default::default() }
}

fn unchecked(name: &str) -> ConnectionEdit {
    ConnectionEdit { skip_check: true, ..new_url(name) }
}

async fn edit(world: &World, id: &ConnectionId, edit: &ConnectionEdit) -> crate::ConnectionView {
    let view = world.app.desk.edit_connection(&reach(world), id, edit, &Expected::Any).await.unwrap();
    world.work().await;
    view
}

async fn preview(world: &World, id: &ConnectionId, edit: &ConnectionEdit) -> Openings {
    world.app.desk.preview_connection_edit(&reach(world), id, edit, &Expected::Any).await.unwrap()
}

fn texts(nights: &std::collections::BTreeSet<jiff::civil::Date>) -> Vec<String> {
    nights.iter().map(ToString::to_string).collect()
}

/// A site with the wrong flat's calendar, and another that reads what it took.
async fn with_the_wrong_flat() -> (World, ConnectionId, ConnectionId) {
    let world = World::new().await;
    let (a, b) = (world.connect("wrong", "airbnb").await, world.connect("b", "airbnb").await);
    world.serve("wrong", airbnb(1, WRONG));
    world.serve("right", airbnb(1, RIGHT));
    world.serve("b", airbnb(1, &[]));
    world.sweep().await;
    world.sweep().await;
    assert_eq!(world.taken().await.len(), 11);
    world.clock.advance(SignedDuration::from_mins(1));
    (world, a, b)
}

fn import(state: &PropertyState, id: &ConnectionId) -> ImportSide {
    state.connection(id).unwrap().import.clone().unwrap()
}

async fn holds(world: &World) -> Vec<HoldCause> {
    world.state().await.blocks.iter().filter_map(|block| Some(block.hold()?.cause)).collect()
}

#[tokio::test]
async fn what_only_the_wrong_flat_showed_goes_with_the_url_and_the_preview_says_so() {
    let (world, a, b) = with_the_wrong_flat().await;
    let said = preview(&world, &a, &new_url("right")).await;
    assert_eq!(texts(&said.opens), WRONG_NIGHTS, "the stay under way too");
    assert_eq!(texts(&said.at_sites[&b]), WRONG_NIGHTS);
    assert!(said.held.is_empty());
    edit(&world, &a, &new_url("right")).await;
    assert_eq!(world.taken().await, RIGHT_NIGHTS);
    assert_eq!(world.link(&b).await.unwrap(), ["20261206-20261209", "20270301-20270303"]);
    assert!(holds(&world).await.is_empty());
    assert_eq!(import(&world.state().await, &a).replaces, None);
}

#[tokio::test]
async fn a_new_url_that_is_not_looked_at_frees_nothing_before_it_was_read() {
    let (world, a, _) = with_the_wrong_flat().await;
    assert_eq!(preview(&world, &a, &unchecked("right")).await, Openings::default());
    world.feeds.fail(&World::url("right"), FailureKind::Unreachable);
    edit(&world, &a, &unchecked("right")).await;
    for _ in 0..200 {
        world.sweep().await;
    }
    let kept: Vec<String> = world.taken().await.into_iter().filter(|night| night.as_str() >= "2026-12-01").collect();
    assert_eq!(kept.len(), 7, "a feed that fails frees nothing, however long: {kept:?}");
    assert!(holds(&world).await.is_empty());
    world.serve("right", airbnb(1, RIGHT));
    for _ in 0..20 {
        world.sweep().await;
    }
    assert_eq!(world.taken().await, RIGHT_NIGHTS);
}

#[tokio::test]
async fn an_empty_new_calendar_frees_nothing_at_once_and_the_preview_says_what_is_held() {
    let (world, a, b) = with_the_wrong_flat().await;
    world.serve("right", airbnb(1, &[]));
    let said = preview(&world, &a, &new_url("right")).await;
    assert!(said.opens.is_empty() && said.at_sites.is_empty());
    assert_eq!(said.held.len(), 7, "those to come");
    edit(&world, &a, &new_url("right")).await;
    assert_eq!(world.taken().await.len(), 11);
    assert_eq!(holds(&world).await, [HoldCause::MassVanish; 3]);
    // The first event tells that it is a calendar, and that the rest of the other flat is gone.
    world.serve("right", airbnb(1, RIGHT));
    world.sweep().await;
    assert_eq!(world.taken().await, RIGHT_NIGHTS);
    assert_eq!(world.link(&b).await.unwrap(), ["20261206-20261209", "20270301-20270303"]);
    let ended = world.store.closed_holds(&world.property, PageRequest { limit: 9, after: None }).await.unwrap().items;
    assert_eq!(ended.len(), 3);
    assert!(ended.iter().all(|closed| closed.end == calmesh_calendar::HoldEnd::Released), "it was the host's deed");
}

#[tokio::test]
async fn a_calendar_in_which_all_is_over_proves_no_more_than_an_empty_one() {
    let (world, a, _) = with_the_wrong_flat().await;
    world.serve("right", airbnb(1, &[("HMOLDD", "2020-01-01", "2020-01-02")]));
    edit(&world, &a, &new_url("right")).await;
    assert_eq!(world.taken().await.len(), 11);
    assert!(import(&world.state().await, &a).replaces.is_some());
}

#[tokio::test]
async fn an_empty_new_calendar_lets_go_when_the_hold_is_over_or_released() {
    for released in [false, true] {
        let (world, a, _) = with_the_wrong_flat().await;
        world.serve("right", airbnb(1, &[]));
        edit(&world, &a, &new_url("right")).await;
        if released {
            let hold = world.state().await.blocks.iter().find_map(|block| block.hold().cloned()).unwrap();
            let said = world.app.desk.preview_release(&reach(&world), &hold.id, true).await.unwrap();
            assert_eq!(said.opens.len(), 7);
            world.app.desk.release_hold(&reach(&world), &hold.id, true).await.unwrap();
            world.work().await;
        } else {
            for _ in 0..100 {
                world.sweep().await;
            }
        }
        let left: Vec<String> = world.taken().await.into_iter().filter(|night| night.as_str() > "2026-12").collect();
        assert!(left.is_empty(), "{left:?}");
        // What the right flat shows from then on is its own, and held like any other when it is missed.
        world.serve("right", airbnb(1, RIGHT));
        world.sweep().await;
        world.serve("right", airbnb(1, &RIGHT[..1]));
        world.sweep().await;
        let nights = world.taken().await;
        assert!(RIGHT_NIGHTS.iter().all(|night| nights.contains(&(*night).to_owned())), "{nights:?}");
    }
}

#[tokio::test]
async fn the_same_calendar_at_a_new_address_keeps_what_it_lacks_as_ever() {
    let (world, a, _) = with_the_wrong_flat().await;
    // The site drops the stay under way, and one is missing.
    world.serve("right", airbnb(2, &WRONG[1..3]));
    let ids: Vec<_> = world.state().await.blocks.into_iter().map(|block| block.id).collect();
    let said = preview(&world, &a, &new_url("right")).await;
    assert!(said.opens.is_empty());
    assert_eq!(texts(&said.held), ["2027-02-01", "2027-02-02"]);
    edit(&world, &a, &new_url("right")).await;
    assert_eq!(world.taken().await.len(), 11);
    let after: Vec<_> = world.state().await.blocks.into_iter().map(|block| block.id).collect();
    assert_eq!(ids, after);
    assert_eq!(holds(&world).await, [HoldCause::Absent]);
}

#[tokio::test]
async fn the_edges_of_a_sites_rules_do_not_make_two_flats_one() {
    let (world, a, _) = with_the_wrong_flat().await;
    // Alike in both, to the UID.
    let rules: String = [("20261122", "20261124"), ("20271121", "20281121")]
        .map(|(first, end)| {
            format!(
                "BEGIN:VEVENT\r\nDTSTAMP:20260101T000000Z\r\nDTSTART;VALUE=DATE:{first}\r\nDTEND;VALUE=DATE:{end}\r\n\
                 SUMMARY:Airbnb (Not available)\r\nUID:{first}@airbnb.com\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
            )
        })
        .concat()
        .replace("END:VCALENDAR\r\nBEGIN:VEVENT", "BEGIN:VEVENT");
    let with_rules = |stays| airbnb(1, stays).replace("END:VCALENDAR\r\n", &rules);
    world.serve("wrong", with_rules(WRONG));
    world.sweep().await;
    world.serve("right", with_rules(RIGHT));
    edit(&world, &a, &new_url("right")).await;
    let nights = world.taken().await;
    assert!(!nights.contains(&"2026-12-04".to_owned()), "{nights:?}");
    assert!(nights.contains(&"2026-11-22".to_owned()), "{nights:?}");
}

#[tokio::test]
async fn after_two_changes_in_a_row_what_the_first_flat_showed_goes_with_the_last() {
    let (world, a, _) = with_the_wrong_flat().await;
    edit(&world, &a, &unchecked("middle")).await;
    let mark = import(&world.state().await, &a).replaces.unwrap();
    assert_eq!(mark, World::url("wrong").parse::<FeedUrl>().unwrap().mark(&world.account));
    edit(&world, &a, &unchecked("right")).await;
    assert_eq!(import(&world.state().await, &a).replaces, None, "and it is read at once");
    assert_eq!(world.taken().await, RIGHT_NIGHTS);
}

#[tokio::test]
async fn a_url_that_is_changed_back_before_it_was_read_changes_nothing() {
    let (world, a, _) = with_the_wrong_flat().await;
    edit(&world, &a, &unchecked("middle")).await;
    // Of which the first URL's feed lacks two by now: as ever, they are held, and the stay under way stays.
    world.serve("wrong", airbnb(3, &[WRONG[1], ("HMNEWW", "2027-05-01", "2027-05-02")]));
    edit(&world, &a, &new_url("wrong")).await;
    assert_eq!(import(&world.state().await, &a).replaces, None);
    assert_eq!(world.taken().await.len(), 12);
    assert_eq!(holds(&world).await.len(), 2);
}

#[tokio::test]
async fn a_url_that_is_changed_back_after_it_was_read_drops_what_the_second_showed() {
    let (world, a, _) = with_the_wrong_flat().await;
    edit(&world, &a, &new_url("right")).await;
    world.clock.advance(SignedDuration::from_mins(1));
    edit(&world, &a, &new_url("wrong")).await;
    assert_eq!(world.taken().await.len(), 11);
    assert!(!world.taken().await.contains(&"2027-03-01".to_owned()));
}

#[tokio::test]
async fn a_url_that_is_written_otherwise_is_the_same_calendar() {
    let (world, a, _) = with_the_wrong_flat().await;
    let url = World::url("wrong").replace("https", "http") + "#top";
    world.feeds.set(&url, Answer::body(airbnb(1, &[("HMNEWW", "2027-05-01", "2027-05-02")])));
    let same = ConnectionEdit { url: Some(url.parse().unwrap()), import: SideEdit::Touch, ..Default::default() };
    edit(&world, &a, &same).await;
    assert_eq!(world.taken().await.len(), 12, "nothing goes by the host's deed");
    assert_eq!(holds(&world).await.len(), 3);
}

#[tokio::test]
async fn a_paused_connection_whose_url_is_changed_shows_the_right_flat_when_it_is_resumed() {
    for edits in [new_url("right"), unchecked("right")] {
        let (world, a, b) = with_the_wrong_flat().await;
        world.app.desk.pause_connection(&reach(&world), &a, None).await.unwrap();
        world.work().await;
        edit(&world, &a, &edits).await;
        assert!(world.taken().await.is_empty());
        world.clock.advance(SignedDuration::from_mins(1));
        world.app.desk.resume_connection(&reach(&world), &a).await.unwrap();
        world.work().await;
        assert_eq!(world.taken().await, RIGHT_NIGHTS);
        assert_eq!(world.link(&b).await.unwrap(), ["20261206-20261209", "20270301-20270303"]);
    }
}

#[tokio::test]
async fn a_body_of_the_old_url_is_never_taken_for_the_new_ones_though_its_clock_stands_still() {
    let world = World::new().await;
    let a = world.connect("wrong", "airbnb").await;
    world.serve("wrong", airbnb(1, WRONG));
    world.serve("right", airbnb(1, RIGHT));
    // At one instant: the plan is made, the old URL is read and announced, and the URL is changed.
    world.app.desk.request_connection_refresh(&reach(&world), &a).await.unwrap();
    for event in world.bus.drain() {
        world.app.handle(&event).await.unwrap();
    }
    let late = world.bus.drain();
    assert!(late.iter().any(|event| matches!(event, Event::FeedsRead { .. })), "{late:?}");
    for edits in [new_url("right"), unchecked("right")] {
        world.app.desk.edit_connection(&reach(&world), &a, &edits, &Expected::Any).await.unwrap();
        for event in &late {
            world.app.handle(event).await.unwrap();
        }
        assert!(!world.taken().await.contains(&"2026-12-04".to_owned()));
    }
    world.sweep().await;
    assert_eq!(world.taken().await, RIGHT_NIGHTS);
}

#[tokio::test]
async fn a_new_url_that_is_read_while_the_old_one_is_taken_in_once_more_is_taken_in_all_the_same() {
    let (world, a, _) = with_the_wrong_flat().await;
    world.feeds.hold(&World::url("right"));
    let (app, reach) = (&world.app, reach(&world));
    let url = new_url("right");
    let (moved, ()) = tokio::join!(app.desk.edit_connection(&reach, &a, &url, &Expected::Any), async {
        world.feeds.arrived(&World::url("right"), 1).await;
        // Later than the new URL was asked for.
        world.serve("wrong", airbnb(5, &[WRONG[1], ("HMWZZZ", "2027-06-01", "2027-06-02")]));
        world.sweep().await;
        world.feeds.release(&World::url("right"));
    });
    moved.unwrap();
    world.work().await;
    let state = world.state().await;
    let applied = import(&state, &a).applied.unwrap();
    assert_eq!(world.taken().await, RIGHT_NIGHTS);
    let kept = world.current_snapshots(&a);
    assert_eq!(kept, [applied.snapshot], "no body of the old URL is kept as if it stood");
}

#[tokio::test]
async fn the_new_url_is_asked_without_what_the_old_one_sent_to_ask_for_changes_only() {
    let (world, a, _) = with_the_wrong_flat().await;
    edit(&world, &a, &unchecked("right")).await;
    let asked = world.feeds.requests(&World::url("right"));
    assert!(!asked.is_empty());
    assert!(asked.iter().all(|request| request.validators == Validators::default()), "{asked:?}");
}

#[tokio::test]
async fn a_store_that_fails_at_any_call_leaves_the_wrong_flat_or_the_right_one_and_never_both() {
    for moment in [Moment::Before, Moment::After] {
        for nth in 1..14 {
            let (world, a, _) = with_the_wrong_flat().await;
            world.store.fail_call(nth, moment);
            let _ = world.app.desk.edit_connection(&reach(&world), &a, &new_url("right"), &Expected::Any).await;
            world.store.heal();
            let (taken, url) = (world.taken().await, import(&world.state().await, &a).url);
            let wrong = url.as_str() == World::url("wrong");
            assert_eq!(taken.len(), if wrong { 11 } else { 5 }, "call {nth}, {moment:?}: {taken:?}");
            world.work().await;
            world.sweep().await;
            assert_eq!(world.taken().await.len(), if wrong { 11 } else { 5 }, "call {nth}, {moment:?}");
        }
    }
}

#[tokio::test]
async fn a_change_of_the_provider_or_the_policy_alone_is_no_change_of_the_calendar() {
    let (world, a, _) = with_the_wrong_flat().await;
    let provider = ConnectionEdit { provider: crate::Edit::To("generic".parse().unwrap()), ..Default::default() };
    let policy = ConnectionEdit {
        policy: set("hold/minutes", Value::Figure(60)),
        import: SideEdit::Touch,
        ..Default::default()
    };
    for edits in [provider, policy] {
        edit(&world, &a, &edits).await;
        assert_eq!(import(&world.state().await, &a).replaces, None);
        assert_eq!(world.taken().await.len(), 11);
    }
    world.serve("wrong", airbnb(9, &[("HMNEWW", "2027-05-01", "2027-05-02")]));
    world.sweep().await;
    assert_eq!(world.taken().await.len(), 12);
}

// ---- one feed in two properties ---------------------------------------------------------------------------------

async fn another_property(world: &World, name: &str) -> calmesh_calendar::PropertyId {
    let new = NewProperty {
        name: name.to_owned(),
        time_zone: "Europe/Madrid".to_owned(),
        check_in: crate::DEFAULT_CHECK_IN,
        check_out: crate::DEFAULT_CHECK_OUT,
        turnover_nights: 0,
        label_prefix: None,
    };
    world.app.desk.create_property(&reach(world), new).await.unwrap().id
}

fn told(view: &crate::ConnectionView) -> Vec<String> {
    let warnings = view.import.iter().flat_map(|import| &import.warnings);
    warnings.map(|warning| warning.detail.clone()).filter(|detail| detail.contains("same calendar link")).collect()
}

async fn told_of(world: &World, reach: &Reach, id: &ConnectionId) -> Vec<String> {
    told(&world.app.desk.connection(reach, id).await.unwrap())
}

#[tokio::test]
async fn one_feed_in_two_properties_is_told_of_both_by_name_until_one_of_them_reads_it_no_more() {
    let world = World::new().await;
    world.serve("a", airbnb(1, RIGHT));
    world.serve("b", airbnb(1, RIGHT));
    let (app, reach) = (&world.app, reach(&world));
    let second = another_property(&world, "Attic").await;
    let one = app.desk.create_connection(&reach, &world.property, &new_connection("a")).await.unwrap();
    assert!(told(&one).is_empty());
    let one = one.connection.id;
    for how in ["delete", "another URL", "export only", "delete the property"] {
        let other = app.desk.create_connection(&reach, &second, &new_connection("a")).await.unwrap();
        assert!(told(&other)[0].contains("“Flat”"), "{:?}", told(&other));
        assert!(told_of(&world, &reach, &one).await[0].contains("“Attic”"), "{how}");
        let other = other.connection.id;
        match how {
            "delete" => app.desk.delete_connection(&reach, &other, &Expected::Any).await.unwrap(),
            "another URL" => {
                app.desk.edit_connection(&reach, &other, &new_url("b"), &Expected::Any).await.unwrap();
                assert!(told_of(&world, &reach, &other).await.is_empty());
                app.desk.edit_connection(&reach, &other, &new_url("a"), &Expected::Any).await.unwrap();
                assert_eq!(told_of(&world, &reach, &one).await.len(), 1);
                app.desk.edit_connection(&reach, &other, &new_url("b"), &Expected::Any).await.unwrap();
            }
            "export only" => {
                let alone = ConnectionEdit { direction: Some(Direction::Export), ..Default::default() };
                app.desk.edit_connection(&reach, &other, &alone, &Expected::Any).await.unwrap();
            }
            _ => app.desk.delete_property(&reach, &second, &Expected::Any).await.unwrap(),
        }
        assert!(told_of(&world, &reach, &one).await.is_empty(), "{how}");
    }
}

#[tokio::test]
async fn a_paused_connection_and_a_url_that_is_written_otherwise_are_told_too() {
    let world = World::new().await;
    world.serve("a", airbnb(1, RIGHT));
    let (app, reach) = (&world.app, reach(&world));
    let second = another_property(&world, "Attic").await;
    let one = app.desk.create_connection(&reach, &world.property, &new_connection("a")).await.unwrap().connection.id;
    let url = World::url("a").replace("https", "http") + "#top";
    let other =
        NewConnection { url: Some(url.parse().unwrap()), paused: true, skip_check: true, ..new_connection("a") };
    app.desk.create_connection(&reach, &second, &other).await.unwrap();
    assert_eq!(told_of(&world, &reach, &one).await.len(), 1);
}

#[tokio::test]
async fn one_feed_twice_in_one_property_is_refused_as_before_and_in_another_account_nobodys_business() {
    let world = World::new().await;
    world.serve("a", airbnb(1, RIGHT));
    let (app, reach) = (&world.app, reach(&world));
    let one = app.desk.create_connection(&reach, &world.property, &new_connection("a")).await.unwrap().connection;
    let refused = app.desk.create_connection(&reach, &world.property, &new_connection("a")).await.unwrap_err();
    assert!(matches!(refused, ConnectionError::UrlTaken(id, _) if id == one.id));
    let url: FeedUrl = World::url("a").parse().unwrap();
    let stranger = calmesh_calendar::AccountId::from_random([77; 16]);
    assert_ne!(url.mark(&world.account), url.mark(&stranger));
    let found = world.store.feed_readers(&stranger, &[url.mark(&world.account)].into(), 9).await.unwrap();
    assert!(found.is_empty());
}

#[tokio::test]
async fn a_caller_who_sees_one_property_learns_no_name_of_another() {
    let world = World::new().await;
    world.serve("a", airbnb(1, RIGHT));
    let reach = reach(&world);
    let second = another_property(&world, "Attic").await;
    let one =
        world.app.desk.create_connection(&reach, &world.property, &new_connection("a")).await.unwrap().connection.id;
    world.app.desk.create_connection(&reach, &second, &new_connection("a")).await.unwrap();
    let some = Reach { properties: Some([world.property.clone()].into()), ..reach };
    let warning = told_of(&world, &some, &one).await;
    assert!(warning[0].contains("another property") && !warning[0].contains("Attic"), "{warning:?}");
}

#[tokio::test]
async fn one_feed_in_many_properties_names_a_few_of_them() {
    let world = World::new().await;
    world.serve("a", airbnb(1, RIGHT));
    let reach = reach(&world);
    let one =
        world.app.desk.create_connection(&reach, &world.property, &new_connection("a")).await.unwrap().connection.id;
    for nth in 0..6 {
        let other = another_property(&world, &format!("Room {nth}")).await;
        world.app.desk.create_connection(&reach, &other, &new_connection("a")).await.unwrap();
    }
    let warning = told_of(&world, &reach, &one).await;
    assert_eq!(warning[0].matches('“').count(), 3, "{warning:?}");
    assert!(warning[0].contains(" and others too"), "{warning:?}");
}

#[tokio::test]
async fn two_connections_of_one_feed_that_are_made_at_the_same_time_are_both_told() {
    let world = World::new().await;
    world.serve("a", airbnb(1, RIGHT));
    let (app, reach) = (&world.app, reach(&world));
    let second = another_property(&world, "Attic").await;
    world.feeds.hold(&World::url("a"));
    let new = new_connection("a");
    let (one, two, ()) = tokio::join!(
        app.desk.create_connection(&reach, &world.property, &new),
        app.desk.create_connection(&reach, &second, &new),
        async {
            world.feeds.arrived(&World::url("a"), 2).await;
            world.feeds.release(&World::url("a"));
        }
    );
    for view in [one.unwrap(), two.unwrap()] {
        assert_eq!(told_of(&world, &reach, &view.connection.id).await.len(), 1);
    }
}

#[tokio::test]
async fn a_connection_of_an_earlier_version_is_listed_with_the_next_change_of_its_property() {
    let world = World::new().await;
    world.serve("a", airbnb(1, RIGHT));
    let reach = reach(&world);
    let second = another_property(&world, "Attic").await;
    let one =
        world.app.desk.create_connection(&reach, &world.property, &new_connection("a")).await.unwrap().connection.id;
    // As it stood before feeds were listed.
    let before = std::sync::Arc::new(world.state().await);
    let mut after = PropertyState::clone(&before);
    after.connections[0].import.as_mut().unwrap().listed = None;
    after.property.revision += 1;
    let commit =
        crate::changes::difference::difference(Some(&before), &after, crate::changes::draft::History::default());
    assert_eq!(commit.remove_feeds.len(), 1);
    world.store.commit(&commit).await.unwrap();
    let other = world.app.desk.create_connection(&reach, &second, &new_connection("a")).await.unwrap();
    assert!(told(&other).is_empty());
    let renamed = ConnectionEdit { name: Some("renamed".to_owned()), ..Default::default() };
    world.app.desk.edit_connection(&reach, &one, &renamed, &Expected::Any).await.unwrap();
    assert_eq!(told_of(&world, &reach, &other.connection.id).await.len(), 1);
}
