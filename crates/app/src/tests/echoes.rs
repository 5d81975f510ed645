//! Echoes, mirrors and conflicts through the whole way: what comes back to us is found out, and nothing stays for ever.

use std::fmt::Write;

use calmesh_calendar::{BlockState, ClaimRule, ConnectionId, Finding, HoldCause, Standing, policy::Value};
use jiff::SignedDuration;

use super::world::*;
use crate::{
    CarriedBy, ConflictError, ConflictStatus, ConnectionEdit, Edit, Expected, NewConnection, Reach, SideEdit,
    fakes::Moment, model::*, ports::*,
};

/// The stay that goes, and two that stay, so that one missing stay is no mass vanish.
const STAYS: &[(&str, &str, &str)] = &[
    ("HMAAAA", "2026-12-04", "2026-12-06"),
    ("HMBBBB", "2027-01-10", "2027-01-12"),
    ("HMCCCC", "2027-02-01", "2027-02-03"),
];

/// A calendar of no known site: events of these UIDs and dates, under words that tell nothing.
fn plain(events: &[(&str, &str, &str)]) -> String {
    let mut text = String::from("BEGIN:VCALENDAR\r\nPRODID:-//somebody//EN\r\nVERSION:2.0\r\n");
    for (uid, start, end) in events {
        write!(
            text,
            "BEGIN:VEVENT\r\nDTSTAMP:20260101T000000Z\r\nDTSTART;VALUE=DATE:{}\r\nDTEND;VALUE=DATE:{}\r\n\
             SUMMARY:Blocked\r\nUID:{uid}\r\nEND:VEVENT\r\n",
            start.replace('-', ""),
            end.replace('-', ""),
        )
        .unwrap();
    }
    text.push_str("END:VCALENDAR\r\n");
    text
}

/// How a site names what it read from us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// As we do.
    Kept,
    /// Anew at every change.
    Minted,
}

/// A world in which a link is put a moment after it was decided what it shows, so that reads of it count.
async fn ticking() -> World {
    let world = World::new().await;
    world.clock.tick(SignedDuration::from_millis(1));
    world
}

/// A site that shows everything that it reads, as its own.
struct EchoingSite {
    connection: ConnectionId,
    name: &'static str,
    names: Names,
    /// Nights that it holds itself, and shows under one name.
    own: Option<(&'static str, &'static str)>,
    shown: Vec<(String, String, String)>,
}

impl EchoingSite {
    async fn connect(world: &World, name: &'static str, names: Names) -> Self {
        let connection = world.connect(name, "generic").await;
        world.serve(name, plain(&[]));
        Self { connection, name, names, own: None, shown: Vec::new() }
    }

    /// Reads its link, and shows from now on what is there.
    async fn reads_its_link(&mut self, world: &World) {
        let state = world.state().await;
        let token = state.connection(&self.connection).unwrap().export.clone().unwrap().token;
        world.store.record_reads(&token.hash(), &[world.now()].into()).await.unwrap();
        let body = world.objects.exports()[&token].to_vec();
        let text = String::from_utf8(body).unwrap().replace("\r\n ", "");
        let of = |name: &str| -> Vec<String> {
            let lines = text.lines().filter(|line| line.starts_with(name));
            lines.map(|line| line.split_once(':').unwrap().1.to_owned()).collect()
        };
        let events = of("UID").into_iter().zip(of("DTSTART")).zip(of("DTEND"));
        let now = world.now().as_second();
        self.shown = events
            .enumerate()
            .map(|(nth, ((uid, start), end))| match self.names {
                Names::Kept => (uid, start, end),
                Names::Minted => (format!("{nth}-{now}@{}", self.name), start, end),
            })
            .collect();
        let own = self.own.map(|(start, end)| ("own", start, end));
        let read = self.shown.iter().map(|(uid, start, end)| (uid.as_str(), start.as_str(), end.as_str()));
        let shown: Vec<_> = own.into_iter().chain(read).collect();
        world.serve(self.name, plain(&shown));
    }
}

/// Reads its link well after it was put, then comes the sweep.
async fn a_round(world: &World, sites: &mut [&mut EchoingSite]) {
    world.clock.advance(SignedDuration::from_mins(5));
    for site in sites {
        site.reads_its_link(world).await;
    }
    world.sweep().await;
}

/// A site that sold, and one that read its link since.
async fn an_origin_and_its_echo(names: Names) -> (World, ConnectionId, EchoingSite) {
    let world = ticking().await;
    let a = world.connect("a", "airbnb").await;
    let mut b = EchoingSite::connect(&world, "b", names).await;
    world.serve("a", airbnb(1, STAYS));
    world.sweep().await;
    a_round(&world, &mut [&mut b]).await;
    (world, a, b)
}

async fn findings(world: &World) -> Vec<Finding> {
    let page = PageRequest { limit: 200, after: None };
    let entries = world.store.activity(&world.property, page).await.unwrap().items;
    let found = entries.into_iter().rev().filter_map(|entry| match entry.kind {
        ActivityKind::ClaimsDecided { finding, .. } => Some(finding),
        _ => None,
    });
    found.collect()
}

fn reach(world: &World) -> Reach {
    Reach::whole(world.account.clone())
}

async fn states(world: &World, all: bool) -> Vec<BlockState> {
    let page = PageRequest { limit: 200, after: None };
    let blocks = world.app.desk.list_blocks(&reach(world), &world.property, all, page).await.unwrap();
    blocks.items.iter().map(|view| view.state).collect()
}

#[tokio::test]
async fn a_site_that_shows_our_own_uids_again_blocks_nothing() {
    let (world, _, b) = an_origin_and_its_echo(Names::Kept).await;
    assert_eq!(b.shown.len(), 3);
    assert_eq!(states(&world, false).await.len(), 3, "echoes are not listed");
    assert_eq!(states(&world, true).await.iter().filter(|state| **state == BlockState::Echo).count(), 3);
    world.serve("a", airbnb(2, &STAYS[1..]));
    for _ in 0..4 {
        world.sweep().await;
    }
    assert_eq!(world.taken().await.len(), 4, "when the origin goes nothing else holds the nights");
    assert_eq!(world.link(&b.connection).await.unwrap().len(), 2);
}

/// A store call that fails once, in one round.
#[derive(Debug, Clone, Copy)]
struct Failing {
    round: usize,
    nth: u64,
    moment: Moment,
}

/// What is left of a stay that its origin cancelled while two sites showed it under names of their own.
struct Aftermath {
    world: World,
    taken: Vec<String>,
    links: Vec<Vec<String>>,
    /// In which rounds the property changed, and how many calls of the store each of them made.
    eventful: Vec<(usize, u64)>,
}

async fn an_origin_that_cancels(failing: Option<Failing>) -> Aftermath {
    let world = ticking().await;
    let a = world.connect("a", "airbnb").await;
    let mut b = EchoingSite::connect(&world, "b", Names::Minted).await;
    let mut c = EchoingSite::connect(&world, "c", Names::Minted).await;
    world.serve("a", airbnb(1, STAYS));
    world.sweep().await;
    a_round(&world, &mut [&mut b, &mut c]).await;
    a_round(&world, &mut [&mut b, &mut c]).await;
    world.serve("a", airbnb(2, &STAYS[1..]));
    let mut eventful = Vec::new();
    let mut queue: Vec<Event> = Vec::new();
    for round in 0..18 {
        world.clock.advance(SignedDuration::from_mins(5));
        b.reads_its_link(&world).await;
        c.reads_its_link(&world).await;
        let before = world.state().await.property.revision;
        if let Some(Failing { nth, moment, .. }) = failing.filter(|failing| failing.round == round) {
            world.store.fail_call(nth, moment);
        }
        let calls = world.store.calls();
        world.struggle(&mut queue).await;
        let calls = world.store.calls() - calls;
        world.store.heal();
        if world.state().await.property.revision != before {
            eventful.push((round, calls));
        }
    }
    assert!(queue.is_empty(), "something is never worked through: {queue:?}");
    let mut links = Vec::new();
    for id in [&a, &b.connection, &c.connection] {
        links.push(world.link(id).await.unwrap());
    }
    Aftermath { taken: world.taken().await, links, world, eventful }
}

#[tokio::test]
async fn a_phantom_that_two_sites_keep_alive_is_asked_for_and_let_go() {
    let Aftermath { world, taken, links, .. } = an_origin_that_cancels(None).await;
    assert_eq!(taken.len(), 4, "the nights are free: {taken:?} {:#?}", findings(&world).await);
    let two = ["20270110-20270112", "20270201-20270203"];
    assert_eq!(links[1..], [two, two], "and on nobody's link");
    let found = findings(&world).await;
    for finding in [
        Finding::Judged(Standing::Possible, ClaimRule::MayBeOurs),
        Finding::Asked,
        Finding::Clean,
        Finding::Judged(Standing::Echo, ClaimRule::BackAfterClean),
        Finding::EchoEnded,
    ] {
        assert!(found.contains(&finding), "{finding:?} is told: {found:#?}");
    }
    assert_eq!(world.state().await.property.dirty, None);
    let page = PageRequest { limit: 200, after: None };
    let told = world.store.activity(&world.property, page).await.unwrap().items;
    let opened = told.iter().filter_map(|entry| match &entry.kind {
        ActivityKind::HoldOpened { hold, .. } => Some((hold.clone(), entry.at)),
        _ => None,
    });
    for (hold, at) in opened {
        let ended =
            |entry: &Activity| matches!(&entry.kind, ActivityKind::HoldConfirmed { hold: of, .. } if *of == hold);
        let at_once = told.iter().any(|entry| ended(entry) && entry.at == at);
        assert!(!at_once, "a stay that goes at once was never held: {told:#?}");
    }
}

#[tokio::test]
async fn a_stay_that_the_host_called_gone_and_its_site_lets_go_is_no_mass_vanish_though_it_was_all_there_was() {
    let world = ticking().await;
    world.connect("a", "airbnb").await;
    let mut b = EchoingSite::connect(&world, "b", Names::Kept).await;
    b.own = Some(("2026-12-05", "2026-12-10"));
    world.serve("a", airbnb(1, &[("HMAAAA", "2026-12-03", "2026-12-07")]));
    world.serve("b", plain(&[("own", "2026-12-05", "2026-12-10")]));
    world.sweep().await;
    let page = || PageRequest { limit: 9, after: None };
    let opened = world.app.desk.list_conflicts(&reach(&world), &world.property, page()).await.unwrap().items.remove(0);
    let state = world.state().await;
    let gone = state.blocks.iter().find(|block| block.connection() == Some(&b.connection)).unwrap().id.clone();
    world.app.desk.resolve_conflict(&reach(&world), &opened.conflict.id, &gone).await.unwrap();
    world.work().await;
    a_round(&world, &mut [&mut b]).await;
    assert!(world.taken().await.len() >= 7, "its site still shows it");
    world.serve("b", plain(&[]));
    world.sweep().await;
    assert_eq!(world.taken().await.len(), 4, "what nobody else claims is free at once");
    let holds = world.app.desk.list_holds(&reach(&world), &world.property, page()).await.unwrap().items;
    assert!(holds.iter().all(|hold| hold.hold.cause != HoldCause::MassVanish), "{holds:#?}");
}

#[tokio::test]
async fn a_site_that_holds_the_nights_itself_stands_once_it_read_its_link_without_them() {
    let (world, _, mut b) = an_origin_and_its_echo(Names::Minted).await;
    b.own = Some(("2026-12-04", "2026-12-06"));
    a_round(&world, &mut [&mut b]).await;
    world.serve("a", airbnb(2, &STAYS[1..]));
    for _ in 0..9 {
        a_round(&world, &mut [&mut b]).await;
        assert_eq!(world.taken().await.len(), 6, "nothing is freed: {:#?}", findings(&world).await);
    }
    let found = findings(&world).await;
    assert!(found.contains(&Finding::Judged(Standing::Certain, ClaimRule::StoodAfterRead)), "{found:#?}");
    assert!(!found.contains(&Finding::SeemsNotToRead), "{found:#?}");
}

#[tokio::test]
async fn a_store_that_fails_while_a_phantom_is_asked_for_changes_nothing_in_the_end() {
    let expected = an_origin_that_cancels(None).await;
    assert!(expected.eventful.len() > 4, "{:?}", expected.eventful);
    for (round, calls) in expected.eventful {
        // Every call of the round, some in this round and some in that.
        for nth in (1..=calls).skip(round % 5).step_by(5) {
            let moment = if nth % 2 == 0 { Moment::Before } else { Moment::After };
            let found = an_origin_that_cancels(Some(Failing { round, nth, moment })).await;
            let place = format!("call {nth} of round {round}, {moment:?}");
            assert_eq!((found.taken, found.links), (expected.taken.clone(), expected.links.clone()), "{place}");
        }
    }
}

#[tokio::test]
async fn what_may_be_an_echo_beside_its_origin_costs_no_write_while_nothing_changes() {
    let (world, ..) = an_origin_and_its_echo(Names::Minted).await;
    assert_eq!(states(&world, true).await.iter().filter(|state| **state == BlockState::PossibleEcho).count(), 3);
    assert_eq!(states(&world, false).await.len(), 3, "it is not listed beside its origin");
    let (state, puts) = (world.state().await, world.objects.exports_put());
    for _ in 0..4 {
        world.sweep().await;
    }
    assert_eq!(world.state().await, state, "no write");
    assert_eq!(world.objects.exports_put(), puts, "no put");
}

#[tokio::test]
async fn two_reservations_of_one_night_open_a_conflict_which_is_told_once_and_closes_by_itself() {
    let world = World::new().await;
    let (_, b) = (world.connect("a", "airbnb").await, world.connect("b", "airbnb").await);
    world.serve("a", airbnb(1, STAYS));
    world.serve("b", airbnb(1, &[]));
    world.sweep().await;
    world.serve("b", airbnb(1, &[("HMDDDD", "2026-12-05", "2026-12-08")]));
    world.clock.advance(SignedDuration::from_mins(15));
    world.app.tick.announce_shards(world.now(), SignedDuration::from_mins(15)).await.unwrap();
    let mut told = Vec::new();
    loop {
        let events = world.bus.drain();
        if events.is_empty() {
            break;
        }
        for event in events {
            world.app.handle(&event).await.unwrap();
            told.extend(matches!(event, Event::ConflictOpened { .. }).then_some(event));
        }
    }
    let page = || PageRequest { limit: 9, after: None };
    let listed = world.app.desk.list_conflicts(&reach(&world), &world.property, page()).await.unwrap().items;
    assert_eq!(listed.len(), 1);
    let (conflict, status) = (&listed[0].conflict, listed[0].status);
    assert_eq!(status, ConflictStatus::Open);
    assert_eq!(listed[0].nights.nights.iter().map(ToString::to_string).collect::<Vec<_>>(), ["2026-12-05"]);
    let first = world.state().await.blocks.into_iter().find(|block| block.id == conflict.first).unwrap();
    assert_ne!(first.connection(), Some(&b), "what was seen first");
    let expected = Event::ConflictOpened {
        account: world.account.clone(),
        property: world.property.clone(),
        conflict: conflict.id.clone(),
    };
    assert_eq!(told, [expected]);

    world.serve("b", airbnb(1, &[("HMDDDD", "2026-12-06", "2026-12-08")]));
    world.sweep().await;
    let listed = world.app.desk.list_all_conflicts(&reach(&world), page()).await.unwrap().items;
    assert_eq!((listed[0].status, listed[0].closed_at), (ConflictStatus::Closed, Some(world.now())));
    assert!(world.state().await.conflicts.is_empty());
}

/// A site that tells nothing of whose its stays are, and has shown one for a while.
async fn one_site() -> (World, ConnectionId) {
    let world = ticking().await;
    let a = world.connect("a", "generic").await;
    world.serve("a", plain(&[("1@a", "2026-12-04", "2026-12-06"), ("2@a", "2027-05-01", "2027-05-20")]));
    for _ in 0..3 {
        world.sweep().await;
    }
    (world, a)
}

/// The same, and another one like it that is connected now and not read yet.
async fn one_site_and_a_new_one() -> (World, ConnectionId, EchoingSite) {
    let (world, a) = one_site().await;
    let b = EchoingSite::connect(&world, "b", Names::Minted).await;
    (world, a, b)
}

#[tokio::test]
async fn what_a_site_shows_that_never_read_its_new_link_is_told_as_a_conflict_and_still_is_after_a_pause() {
    let (world, _, b) = one_site_and_a_new_one().await;
    world.serve("b", plain(&[("1@b", "2026-12-04", "2026-12-06")]));
    world.sweep().await;
    assert_eq!(world.state().await.conflicts.len(), 1, "{:#?}", findings(&world).await);
    for links_read in [false, true] {
        if links_read {
            let token = world.state().await.connection(&b.connection).unwrap().export.clone().unwrap().token;
            world.store.record_reads(&token.hash(), &[world.now()].into()).await.unwrap();
        }
        world.app.desk.pause_connection(&reach(&world), &b.connection, None).await.unwrap();
        world.work().await;
        assert!(world.state().await.conflicts.is_empty());
        world.app.desk.resume_connection(&reach(&world), &b.connection).await.unwrap();
        world.work().await;
        world.sweep().await;
        assert_eq!(world.state().await.conflicts.len(), 1, "links read: {links_read}: {:#?}", findings(&world).await);
    }
}

#[tokio::test]
async fn a_stay_that_moves_onto_nights_which_another_sells_at_once_is_told_as_a_conflict() {
    let (world, _, mut b) = one_site_and_a_new_one().await;
    a_round(&world, &mut [&mut b]).await;
    b.own = Some(("2026-12-20", "2026-12-22"));
    a_round(&world, &mut [&mut b]).await;
    assert_eq!(b.shown.len(), 2, "it read where the stays lay until now");
    world.serve("a", plain(&[("1@a", "2026-12-20", "2026-12-22"), ("2@a", "2027-05-01", "2027-05-20")]));
    world.sweep().await;
    assert_eq!(world.state().await.conflicts.len(), 1, "{:#?}", findings(&world).await);
}

#[tokio::test]
async fn what_a_site_read_right_after_its_link_was_put_for_the_first_time_is_no_conflict() {
    let (world, _, mut b) = one_site_and_a_new_one().await;
    let put_at = world.state().await.connection(&b.connection).unwrap().export.clone().unwrap().last_changed_at;
    assert!(put_at.is_some_and(|put_at| world.now().duration_since(put_at) < SignedDuration::from_secs(1)));
    b.reads_its_link(&world).await;
    assert_eq!(b.shown.len(), 2, "what it read it shows as its own");
    world.sweep().await;
    let found = findings(&world).await;
    assert!(world.state().await.conflicts.is_empty(), "{found:#?}");
    assert!(found.contains(&Finding::Judged(Standing::Possible, ClaimRule::MayBeOurs)), "{found:#?}");
}

#[tokio::test]
async fn what_a_site_read_of_a_link_that_was_revoked_since_is_no_conflict() {
    let (world, _, mut b) = one_site_and_a_new_one().await;
    world.clock.advance(SignedDuration::from_mins(5));
    b.reads_its_link(&world).await;
    let shown = b.shown.clone();
    world.serve("b", plain(&[]));
    world.sweep().await;
    world.app.desk.rotate_link(&reach(&world), &b.connection, true).await.unwrap();
    world.work().await;
    let shown: Vec<_> = shown.iter().map(|(uid, start, end)| (uid.as_str(), start.as_str(), end.as_str())).collect();
    world.serve("b", plain(&shown));
    world.sweep().await;
    assert!(world.state().await.conflicts.is_empty(), "{:#?}", findings(&world).await);
}

/// Records that a site read its present link, without what it shows then.
async fn its_link_is_read(world: &World, of: &ConnectionId) {
    world.clock.advance(SignedDuration::from_mins(5));
    let token = world.state().await.connection(of).unwrap().export.clone().unwrap().token;
    world.store.record_reads(&token.hash(), &[world.now()].into()).await.unwrap();
    world.clock.advance(SignedDuration::from_mins(5));
}

/// The new one shows what the other has shown all along: conflicts are told, unless it may be what it read.
async fn conflicts_when_both_show_the_same(world: &World) -> usize {
    world.serve("b", plain(&[("1@b", "2026-12-04", "2026-12-06")]));
    world.sweep().await;
    world.state().await.conflicts.len()
}

async fn edited(world: &World, of: &ConnectionId, edit: ConnectionEdit) {
    world.app.desk.edit_connection(&reach(world), of, &edit, &Expected::Any).await.unwrap();
    world.work().await;
}

fn turned(direction: Direction) -> ConnectionEdit {
    ConnectionEdit { direction: Some(direction), ..Default::default() }
}

#[tokio::test]
async fn a_link_that_was_rotated_tells_as_much_of_what_was_read_as_before_and_when_the_old_one_is_gone() {
    for (reads, days) in [(false, 0), (true, 0), (false, 8), (true, 8)] {
        let (world, _, b) = one_site_and_a_new_one().await;
        if reads {
            its_link_is_read(&world, &b.connection).await;
        }
        world.app.desk.rotate_link(&reach(&world), &b.connection, false).await.unwrap();
        world.work().await;
        world.clock.advance(SignedDuration::from_hours(24 * days));
        for _ in 0..2 {
            world.sweep().await;
        }
        assert_eq!(world.state().await.retiring.len(), usize::from(days == 0));
        let told = conflicts_when_both_show_the_same(&world).await;
        assert_eq!(told, usize::from(!reads), "read: {reads}, {days} days: {:#?}", findings(&world).await);
    }
}

#[tokio::test]
async fn what_came_after_the_last_read_of_a_link_that_is_gone_was_not_read() {
    let (world, _, b) = one_site_and_a_new_one().await;
    its_link_is_read(&world, &b.connection).await;
    world.app.desk.rotate_link(&reach(&world), &b.connection, false).await.unwrap();
    world.serve(
        "a",
        plain(&[
            ("2@a", "2027-05-01", "2027-05-20"),
            ("3@a", "2026-12-24", "2026-12-26"),
            ("1@a", "2026-12-04", "2026-12-06"),
        ]),
    );
    world.sweep().await;
    world.clock.advance(SignedDuration::from_hours(24 * 8));
    for _ in 0..2 {
        world.sweep().await;
    }
    world.serve("b", plain(&[("1@b", "2026-12-04", "2026-12-06"), ("3@b", "2026-12-24", "2026-12-26")]));
    world.sweep().await;
    let conflicts = world.state().await.conflicts;
    let nights: Vec<_> = conflicts.iter().map(|conflict| conflict.nights.unwrap().first().to_string()).collect();
    assert_eq!(nights, ["2026-12-24"], "{:#?}", findings(&world).await);
}

#[tokio::test]
async fn what_a_site_shows_while_its_link_is_paused_or_stopped_is_an_echo_only_if_it_read_it() {
    for (reads, stops) in [(false, false), (true, false), (false, true), (true, true)] {
        let (world, _, b) = one_site_and_a_new_one().await;
        if reads {
            its_link_is_read(&world, &b.connection).await;
        }
        let pause = ConnectionEdit { export_paused: Edit::To(true), export: SideEdit::Touch, ..Default::default() };
        edited(&world, &b.connection, if stops { turned(Direction::Import) } else { pause }).await;
        let told = conflicts_when_both_show_the_same(&world).await;
        assert_eq!(told, usize::from(!reads), "read: {reads}, stops: {stops}: {:#?}", findings(&world).await);
    }
}

#[tokio::test]
async fn a_connection_that_begins_to_serve_later_was_not_read_before() {
    for (reads, had_link, days) in
        [(false, true, 0), (true, true, 0), (false, false, 0), (true, false, 0), (false, false, 10), (true, false, 10)]
    {
        let (world, _) = one_site().await;
        world.serve("b", plain(&[]));
        let direction = if had_link { Direction::Bidirectional } else { Direction::Import };
        let new = NewConnection { direction, ..new_connection("b") };
        let made = world.app.desk.create_connection(&reach(&world), &world.property, &new).await.unwrap();
        let b = made.connection.id;
        world.work().await;
        edited(&world, &b, turned(Direction::Import)).await;
        world.clock.advance(SignedDuration::from_hours(24 * days));
        for _ in 0..2 {
            world.sweep().await;
        }
        edited(&world, &b, turned(Direction::Bidirectional)).await;
        if reads {
            its_link_is_read(&world, &b).await;
        }
        let told = conflicts_when_both_show_the_same(&world).await;
        let case = format!("read: {reads}, it had a link: {had_link}, {days} days");
        assert_eq!(told, usize::from(!reads), "{case}: {:#?}", findings(&world).await);
    }
}

#[tokio::test]
async fn a_connection_whose_feed_is_read_later_may_show_what_it_read_of_its_link_before() {
    for (reads, days) in [(false, 0), (true, 0), (false, 10), (true, 10)] {
        let (world, _, b) = one_site_and_a_new_one().await;
        edited(&world, &b.connection, turned(Direction::Export)).await;
        if reads {
            its_link_is_read(&world, &b.connection).await;
        }
        world.clock.advance(SignedDuration::from_hours(24 * days));
        for _ in 0..2 {
            world.sweep().await;
        }
        let url = Some(World::url("b").parse().unwrap());
        let both =
            ConnectionEdit { url, import: SideEdit::Touch, skip_check: true, ..turned(Direction::Bidirectional) };
        edited(&world, &b.connection, both).await;
        let told = conflicts_when_both_show_the_same(&world).await;
        assert_eq!(told, usize::from(!reads), "read: {reads}, {days} days: {:#?}", findings(&world).await);
    }
}

#[tokio::test]
async fn what_a_site_showed_before_it_was_set_to_block_is_an_echo_only_if_it_read_its_link() {
    for reads in [false, true] {
        let (world, _, b) = one_site_and_a_new_one().await;
        let blocks = |to| set("blocks", Value::Flag(to));
        let policy = |to| ConnectionEdit { policy: blocks(to), import: SideEdit::Touch, ..Default::default() };
        edited(&world, &b.connection, policy(false)).await;
        if reads {
            its_link_is_read(&world, &b.connection).await;
        }
        assert_eq!(conflicts_when_both_show_the_same(&world).await, 0);
        edited(&world, &b.connection, policy(true)).await;
        let told = world.state().await.conflicts.len();
        assert_eq!(told, usize::from(!reads), "read: {reads}: {:#?}", findings(&world).await);
    }
}

#[tokio::test]
async fn conflicts_of_all_properties_are_listed_though_one_property_cannot_be_read() {
    let world = ticking().await;
    world.connect("a", "airbnb").await;
    world.connect("b", "airbnb").await;
    world.serve("a", airbnb(1, STAYS));
    world.serve("b", airbnb(1, &[("HMDDDD", "2026-12-05", "2026-12-08")]));
    world.sweep().await;
    let page = || PageRequest { limit: 9, after: None };
    let named = world.app.desk.list_all_conflicts(&reach(&world), page()).await.unwrap().items;
    assert_eq!(named[0].property_name.as_deref(), Some("Flat"));
    assert!(named[0].stays.iter().all(|stay| stay.known.is_some()));
    // As a store finds it whose table of zones is another one.
    world.change(|state| state.property.time_zone = "Nowhere/Else".to_owned()).await;
    let alone = world.app.desk.list_conflicts(&reach(&world), &world.property, page()).await;
    assert!(matches!(alone, Err(ConflictError::Store(StoreError::Corrupt { .. }))));
    let all = world.app.desk.list_all_conflicts(&reach(&world), page()).await.unwrap().items;
    assert_eq!((all.len(), &all[0].conflict.id), (1, &named[0].conflict.id));
    assert!(all[0].property_name.is_none() && all[0].stays.iter().all(|stay| stay.known.is_none()));
    world.app.desk.list_activity(&reach(&world), &world.property, page()).await.unwrap();
}

#[tokio::test]
async fn a_conflict_is_told_though_the_bus_failed_when_it_opened() {
    let world = ticking().await;
    world.connect("a", "airbnb").await;
    world.connect("b", "airbnb").await;
    world.serve("a", airbnb(1, STAYS));
    world.serve("b", airbnb(1, &[("HMDDDD", "2026-12-05", "2026-12-08")]));
    world.clock.advance(SignedDuration::from_mins(15));
    world.app.tick.announce_shards(world.now(), SignedDuration::from_mins(15)).await.unwrap();
    let mut queue = world.bus.drain();
    let mut told = 0;
    let mut failed = 0;
    while let Some(event) = queue.pop() {
        // The bus is down while each feed is taken in for the first time.
        if failed < 2 && matches!(event, Event::FeedsRead { .. }) {
            world.bus.fail_next_after(0);
            failed += 1;
        }
        if world.app.handle(&event).await.is_err() {
            queue.push(event.clone());
        }
        told += usize::from(matches!(event, Event::ConflictOpened { .. }));
        queue.extend(world.bus.drain());
    }
    world.sweep().await;
    assert!(told > 0, "a conflict was never told");
    assert_eq!(world.state().await.property.dirty, None);
}

#[tokio::test]
async fn a_master_feed_beside_the_feed_that_it_repeats_doubles_nothing_and_hides_no_conflict() {
    let world = ticking().await;
    world.connect("a", "airbnb").await;
    world.connect("b", "airbnb").await;
    let master = world.connect("m", "guesty").await;
    world.serve("a", airbnb(1, STAYS));
    world.serve("b", airbnb(1, &[]));
    let events: Vec<_> = STAYS.iter().map(|(code, start, end)| (*code, *start, *end)).collect();
    world.serve("m", plain(&events));
    world.sweep().await;
    assert!(world.state().await.conflicts.is_empty());
    assert_eq!(states(&world, false).await.iter().filter(|state| **state == BlockState::Mirrored).count(), 3);
    let view = world.app.desk.connection(&reach(&world), &master).await.unwrap();
    assert!(view.import.unwrap().warnings.iter().any(|warning| warning.detail.contains("another connection")));
    world.serve("b", airbnb(1, &[("HMDDDD", "2026-12-05", "2026-12-08")]));
    world.sweep().await;
    assert!(!world.state().await.conflicts.is_empty(), "two sites sold one night, whatever the master feed says");
    world.serve("b", airbnb(1, &[]));
    world.serve("a", airbnb(1, &STAYS[1..]));
    world.serve("m", plain(&events[1..]));
    for _ in 0..110 {
        world.sweep().await;
    }
    assert_eq!(world.taken().await.len(), 4, "each goes when it goes");
}

#[tokio::test]
async fn a_stay_that_the_host_says_is_gone_is_asked_for_when_nothing_else_holds_the_night() {
    let world = ticking().await;
    let a = world.connect("a", "airbnb").await;
    let b = world.connect("b", "generic").await;
    world.serve("b", plain(&[("1@b", "2026-12-04", "2026-12-06"), ("2@b", "2027-05-01", "2027-05-20")]));
    world.serve("a", airbnb(1, &[]));
    world.sweep().await;
    world.serve("a", airbnb(1, STAYS));
    world.sweep().await;
    let conflict = world.state().await.conflicts[0].clone();
    let blocks = world.state().await.blocks;
    let of = |connection: &ConnectionId| {
        let mine =
            blocks.iter().find(|block| block.connection() == Some(connection) && conflict.blocks.contains(&block.id));
        mine.unwrap().id.clone()
    };
    let resolved = world.app.desk.resolve_conflict(&reach(&world), &conflict.id, &of(&b)).await.unwrap();
    world.work().await;
    assert_eq!(resolved.status, ConflictStatus::Closed, "its claim may be an echo now");
    assert!(world.app.desk.resolve_conflict(&reach(&world), &conflict.id, &of(&a)).await.is_err());
    world.serve("a", airbnb(2, &STAYS[1..]));
    for _ in 0..4 {
        world.sweep().await;
    }
    assert!(findings(&world).await.contains(&Finding::Asked));
    assert_eq!(world.taken().await.len(), 25, "it blocks until its site was asked");
    world.serve("b", plain(&[("2@b", "2027-05-01", "2027-05-20")]));
    for _ in 0..4 {
        world.sweep().await;
    }
    assert_eq!(world.taken().await.len(), 23);
    assert!(world.state().await.conflicts.is_empty());
}

#[tokio::test]
async fn a_night_is_explained_with_its_claims_events_and_links() {
    let (world, a, b) = an_origin_and_its_echo(Names::Minted).await;
    let explain = async |night: &str| {
        world.app.desk.explain_night(&reach(&world), &world.property, night.parse().unwrap(), None).await.unwrap()
    };
    let taken = explain("2026-12-04").await;
    assert!(!taken.available);
    assert_eq!(taken.claims.len(), 2);
    let of = |connection: &ConnectionId| {
        taken.claims.iter().find(|view| view.claim.connection.as_ref() == Some(connection)).unwrap()
    };
    assert_eq!(of(&a).claim.state, BlockState::Standing);
    assert_eq!(of(&a).carried_by, [CarriedBy::Connection(b.connection.clone())]);
    assert_eq!(of(&a).lines.map(|lines| (lines.first, lines.last)), Some((5, 12)));
    assert_eq!(of(&b.connection).claim.state, BlockState::PossibleEcho);
    assert!(of(&b.connection).claim.rules.iter().any(|rule| rule == "may come from our link"));
    let free = explain("2026-12-06").await;
    assert!(free.available && free.claims.is_empty());
}
