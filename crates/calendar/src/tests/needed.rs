//! Why each rule is there: a story that ends well by all rules, and badly as soon as one is switched off.

use std::collections::{BTreeSet, VecDeque};

use jiff::{SignedDuration, Timestamp, civil::Date};

use super::{
    build::*,
    home::{Home, sorted},
};
use crate::{claims::Rules, *};

const A: u8 = 1;
const B: u8 = 2;
const C: u8 = 3;

fn stay_of_four() -> Extent {
    nights("2026-12-04", "2026-12-08")
}

fn home(rules: Rules) -> Home {
    let mut home = Home::of(&[A, B, C]);
    home.mass_vanish.nights_percent = 101;
    home.rules = rules;
    home
}

fn reserved(uid: &str, extent: Extent) -> Sighting {
    Sighting { sign: Sign::Reservation, code: Some(uid.to_owned()), ..sighting(uid, extent) }
}

fn closed(uid: &str, extent: Extent) -> Sighting {
    Sighting { verdict: Verdict::Blocks(BlockKind::Closure), ..sighting(uid, extent) }
}

fn cancelled(uid: &str, extent: Extent) -> Sighting {
    Sighting { verdict: Verdict::Cancelled, ..reserved(uid, extent) }
}

/// A site that reads its link every so often and shows what it read as closures, after a while, beside its own.
struct Repeater {
    of: u8,
    reads_every: SignedDuration,
    lag: SignedDuration,
    /// Shows a night more than it read.
    rounds_up: bool,
    /// Shows one event for all that touches, its own included.
    merges: bool,
    own: BTreeSet<Date>,
    read: VecDeque<(Timestamp, Vec<Date>)>,
}

impl Repeater {
    fn of(of: u8, reads_every: i64, lag: i64) -> Self {
        let minutes = SignedDuration::from_mins;
        let (reads_every, lag) = (minutes(reads_every), minutes(lag));
        Self { of, reads_every, lag, rounds_up: false, merges: false, own: BTreeSet::new(), read: VecDeque::new() }
    }

    fn own(mut self, extent: Extent) -> Self {
        self.own = extent.nights(&house()).into_iter().flat_map(Nights::iter).collect();
        self
    }

    fn step(&mut self, home: &mut Home) {
        if self.read.back().is_none_or(|(at, _)| home.now.duration_since(*at) >= self.reads_every) {
            home.reads_link(self.of);
            self.read.push_back((home.now, home.link(self.of)));
        }
        let in_force = |read: &(Timestamp, Vec<Date>)| home.now.duration_since(read.0) >= self.lag;
        while self.read.len() > 1 && self.read.get(1).is_some_and(in_force) {
            self.read.pop_front();
        }
        let read = self.read.front().filter(|read| in_force(read)).map(|(_, nights)| nights.clone());
        let longer = |night: Date| [Some(night), self.rounds_up.then(|| night.tomorrow().unwrap())];
        let read = read.into_iter().flatten().flat_map(longer).flatten();
        let shown = sorted(read.chain(self.own.iter().copied()));
        let mut events: Vec<Nights> = Vec::new();
        for night in shown {
            let one = Nights::one(night).unwrap();
            match events.last_mut().filter(|last| self.merges && last.end() == night) {
                Some(last) => *last = Nights::new(last.first(), one.end()).unwrap(),
                None => events.push(one),
            }
        }
        home.feed(self.of, events.into_iter().map(|nights| closed("", Extent::Nights(nights))).collect());
    }
}

/// Every twenty minutes one of the sites is read.
fn pass(home: &mut Home, sites: &mut [Repeater], hours: i64) {
    let pause = 20 / sites.len() as i64;
    for _ in 0..hours * 3 {
        for site in sites.iter_mut() {
            home.later(pause);
            site.step(home);
        }
    }
}

/// Two sites closed the same nights, each by itself, and repeat what they read. Both open them again.
fn two_holders_that_repeat_each_other_let_go(rules: Rules) -> bool {
    let mut home = home(rules);
    let mut sites = [Repeater::of(A, 60, 0).own(stay_of_four()), Repeater::of(B, 60, 0).own(stay_of_four())];
    for of in [A, B] {
        home.later(5).feed(of, vec![closed("x", stay_of_four())]);
    }
    pass(&mut home, &mut sites, 6);
    sites.iter_mut().for_each(|site| site.own.clear());
    pass(&mut home, &mut sites, 24 * 5);
    home.taken().is_empty()
}

/// The host closes nights on a site that did not read its link since they were sold elsewhere.
fn a_closure_that_can_not_come_from_us_is_told_as_a_conflict(rules: Rules) -> bool {
    let mut home = home(rules);
    home.sources.get_mut(&connection(B)).unwrap().tells_reservations_apart = false;
    home.feed(A, vec![reserved("HM1", stay_of_four())]).later(20).feed(B, vec![closed("x", stay_of_four())]);
    home.conflicts.len() == 1
}

/// Two sites show what is cancelled; the one that shows a night more is asked first, and holds it.
fn who_only_repeats_is_not_asked_while_another_may_hold(rules: Rules) -> bool {
    let mut home = home(rules);
    let longer = || closed("y", nights("2026-12-04", "2026-12-09"));
    home.feed(A, vec![reserved("HM1", stay_of_four())]).later(20).reads_link(B).reads_link(C).later(20);
    home.feed(B, vec![closed("x", stay_of_four())]).feed(C, vec![longer()]).later(20);
    home.feed(A, vec![cancelled("HM1", stay_of_four())]);
    home.link(B).contains(&day("2026-12-04"))
}

/// A's reservation is gone; what A shows on its nights now is B's stay, from A's link.
fn a_conflict_is_over_when_only_an_echo_is_left_of_one_stay(rules: Rules) -> bool {
    let mut home = home(rules);
    for of in [A, B] {
        home.sources.get_mut(&connection(of)).unwrap().tells_reservations_apart = false;
    }
    home.feed(A, vec![reserved("HM1", stay_of_four())]).later(20).feed(B, vec![closed("x", stay_of_four())]);
    let told = home.conflicts.len() == 1;
    home.later(20).reads_link(A).later(20).feed(A, vec![closed("y", stay_of_four())]);
    told && home.conflicts.is_empty()
}

/// B was taken for an echo when A sold the nights again; now A's guest cancels too, and B holds them.
fn what_was_taken_for_an_echo_is_asked_before_the_nights_are_freed(rules: Rules) -> bool {
    let mut home = home(rules);
    let closure = || vec![closed("x", stay_of_four())];
    home.feed(A, vec![reserved("HM1", stay_of_four())]).later(20).reads_link(B).reads_link(C).later(20);
    home.feed(B, closure()).feed(C, closure()).later(20).feed(A, vec![cancelled("HM1", stay_of_four())]);
    home.later(20).reads_link(B).later(20).feed(B, vec![]);
    home.later(20).reads_link(B).later(20).feed(B, closure());
    home.later(20).reads_link(C).later(20).feed(C, vec![]);
    home.later(20).feed(A, vec![reserved("HM2", stay_of_four())]);
    home.later(20).feed(A, vec![cancelled("HM2", stay_of_four())]);
    home.taken().len() == 4
}

/// The asked site holds the nights, and its feed is emptied by mistake.
fn an_emptied_feed_is_no_answer(rules: Rules) -> bool {
    let mut home = Home::of(&[A, B, C]);
    home.rules = rules;
    let others = || {
        vec![reserved("HM2", nights("2026-12-10", "2026-12-14")), reserved("HM3", nights("2026-12-16", "2026-12-20"))]
    };
    let all = || [others(), vec![closed("x", stay_of_four())]].concat();
    home.feed(A, vec![reserved("HM1", stay_of_four())]).feed(B, others()).later(20).reads_link(B).later(20);
    home.feed(B, all()).later(20).feed(A, vec![cancelled("HM1", stay_of_four())]).later(20).reads_link(B).later(20);
    home.feed(B, vec![]);
    home.taken().contains(&day("2026-12-05"))
}

/// Two sites take hours to follow their links.
fn slow_calendars_do_not_keep_a_night_alive_between_them(rules: Rules) -> bool {
    let is_freed = |hours: i64| {
        let mut home = home(rules);
        home.feed(A, vec![reserved("HM1", stay_of_four())]);
        let mut sites = [Repeater::of(B, 20, hours * 60), Repeater::of(C, 20, hours * 60)];
        pass(&mut home, &mut sites, 24);
        home.feed(A, vec![cancelled("HM1", stay_of_four())]);
        pass(&mut home, &mut sites, 24 * 7);
        home.taken().is_empty()
    };
    [3, 4, 5].into_iter().all(is_freed)
}

/// A site answers out of two caches, of which one is half a day behind.
fn a_feed_that_swings_between_two_caches_does_not_block_again_and_again(rules: Rules) -> bool {
    let mut home = home(rules);
    home.feed(A, vec![reserved("HM1", stay_of_four())]).later(20).reads_link(B).later(20);
    home.feed(B, vec![closed("x", stay_of_four())]).later(20).feed(A, vec![cancelled("HM1", stay_of_four())]);
    home.later(20).reads_link(B);
    let mut blocked = 0;
    for _ in 0..16 {
        home.later(20).reads_link(B).later(10).feed(B, vec![]);
        home.later(10).feed(B, vec![closed("x", stay_of_four())]);
        blocked += usize::from(!home.taken().is_empty());
    }
    blocked <= 6
}

/// Nobody hears of the site that is asked.
fn a_site_that_can_not_be_read_is_blocked_again(rules: Rules) -> bool {
    let mut home = home(rules);
    home.feed(A, vec![reserved("HM1", stay_of_four())]).later(20).reads_link(B).reads_link(C).later(20);
    home.feed(B, vec![closed("x", stay_of_four())]).feed(C, vec![closed("y", stay_of_four())]).later(20);
    home.feed(A, vec![cancelled("HM1", stay_of_four())]).later(60 * 7).wake();
    home.link(B).len() == 4
}

/// The rule, whether the story ends well, and how the rule is switched off.
type Story = (&'static str, fn(Rules) -> bool, fn(&mut Rules));

const STORIES: &[Story] = &[
    ("1d", a_closure_that_can_not_come_from_us_is_told_as_a_conflict, |rules| rules.reads_count = false),
    ("2", a_conflict_is_over_when_only_an_echo_is_left_of_one_stay, |rules| rules.marks_go = false),
    ("3c", two_holders_that_repeat_each_other_let_go, |rules| rules.witness = false),
    ("4, one at a time", who_only_repeats_is_not_asked_while_another_may_hold, |rules| rules.one_at_a_time = false),
    ("5", an_emptied_feed_is_no_answer, |rules| rules.mass_vanish_waits = false),
    ("7", what_was_taken_for_an_echo_is_asked_before_the_nights_are_freed, |rules| rules.echoes_are_asked_anew = false),
    ("9", slow_calendars_do_not_keep_a_night_alive_between_them, |rules| rules.settle_doubles = false),
    ("10", a_feed_that_swings_between_two_caches_does_not_block_again_and_again, |rules| rules.memory = false),
    ("11, taken back", a_site_that_can_not_be_read_is_blocked_again, |rules| rules.taken_back = false),
];

#[test]
fn each_story_ends_well_by_all_rules_and_badly_without_its_own() {
    let mut wrong = Vec::new();
    for (name, story, switch) in STORIES {
        let mut rules = Rules::default();
        let by_all = story(rules);
        switch(&mut rules);
        let without = story(rules);
        if !by_all || without {
            wrong.push(format!("{name}: good by all rules: {by_all}; good without it: {without}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// It reads its link twice a day, and shows the turnover night that we keep free after its closure as a part of that.
#[test]
fn a_site_that_repeats_the_turnover_night_after_its_own_closure_is_asked_once() {
    let mut home = home(Rules::default());
    home.house = house_with_turnover(1);
    home.sources.get_mut(&connection(B)).unwrap().tells_reservations_apart = false;
    let mut sites = [Repeater { merges: true, ..Repeater::of(B, 60 * 12, 0) }.own(stay_of_four())];
    let turnover = day("2026-12-08");
    let (mut asked, mut was_asked) = (0, false);
    for _ in 0..24 * 6 {
        pass(&mut home, &mut sites, 1);
        let is_asked = home.claims.asked(&connection(B), turnover).is_some();
        asked += u32::from(is_asked && !was_asked);
        was_asked = is_asked;
    }
    assert_eq!(asked, 1, "how often it was asked in six days");
    assert_eq!(home.link(B), [turnover], "the night after its stay is kept free there too");
    assert_eq!(home.taken().len(), 5);
    sites.iter_mut().for_each(|site| site.own.clear());
    pass(&mut home, &mut sites, 24 * 4);
    assert!(home.taken().is_empty(), "once it opens its nights, the one after them is free: {:?}", home.taken());
}

/// It shows all that touches as one event: what it closed, the turnover nights after that, and its next closure.
#[test]
fn a_site_that_merges_two_closures_with_the_turnover_between_them_keeps_it_free() {
    let mut home = home(Rules::default());
    home.house = house_with_turnover(1);
    home.sources.get_mut(&connection(B)).unwrap().tells_reservations_apart = false;
    let mut site = Repeater { merges: true, ..Repeater::of(B, 60, 0) }.own(stay_of_four());
    site.own.extend([day("2026-12-09"), day("2026-12-10")]);
    let mut sites = [site];
    pass(&mut home, &mut sites, 24);
    let (mut links, mut changes) = (home.link(A), 0);
    for _ in 0..24 * 3 {
        pass(&mut home, &mut sites, 1);
        changes += u32::from(std::mem::replace(&mut links, home.link(A)) != home.link(A));
    }
    assert_eq!(changes, 0, "the other's link changed though nothing did");
    assert!(home.link(A).contains(&day("2026-12-08")), "the night between them is kept free");
}

/// B's guest cancels, and what B read of that stay is still there, with our tag; then that goes too.
#[test]
fn a_tagged_event_that_is_missed_hides_no_claim_of_another_site() {
    let mut home = home(Rules::default());
    let other = || sighting("other", nights("2027-02-01", "2027-02-20"));
    let tagged = || Sighting { sign: Sign::Ours, ..closed("tagged", stay_of_four()) };
    home.feed(B, vec![other(), sighting("own", stay_of_four())]).later(20);
    home.feed(B, vec![other(), tagged()]).later(20).reads_link(C).later(11).feed(B, vec![other()]).later(20);
    home.feed(C, vec![closed("x", stay_of_four())]);
    assert_eq!(home.link(A).iter().filter(|night| night.month() == 12).count(), 4, "C may hold them");
}

/// A guest leaves early, and the other site lets go of the nights that it repeated, though they have begun.
#[test]
fn an_echo_that_has_begun_ends_when_its_site_no_longer_shows_it() {
    let mut home = home(Rules::default());
    let left_early = nights("2026-12-04", "2026-12-06");
    home.feed(A, vec![reserved("HM1", stay_of_four())]).later(20).reads_link(B).later(20);
    home.feed(B, vec![closed("x", stay_of_four())]);
    home.now = noon("2026-12-06") + SignedDuration::from_mins(1);
    home.feed(A, vec![reserved("HM1", left_early)]).later(20).reads_link(B).later(20);
    assert!(home.claims.asked(&connection(B), day("2026-12-07")).is_some());
    home.feed(B, vec![]).later(60 * 5).feed(B, vec![]).later(20).feed(B, vec![]);
    assert_eq!(home.taken(), [day("2026-12-04"), day("2026-12-05")], "what was really slept");
}

/// A second event for a closure that has begun and what was read after it; then only the first is left.
#[test]
fn an_echo_at_the_end_of_a_closure_that_has_begun_ends_with_it() {
    let mut home = home(Rules::default());
    let own = || closed("own", nights("2026-11-18", "2026-12-04"));
    let both = || vec![own(), closed("merged", nights("2026-11-18", "2026-12-08"))];
    home.feed(B, vec![own()]).later(20).feed(A, vec![reserved("HM1", stay_of_four())]).later(20).reads_link(B);
    home.later(20).feed(B, both()).later(20).feed(A, vec![cancelled("HM1", stay_of_four())]).later(20).reads_link(B);
    assert!(home.claims.asked(&connection(B), day("2026-12-05")).is_some());
    for _ in 0..6 {
        home.later(31).feed(B, vec![own()]);
    }
    assert_eq!(home.taken().last(), Some(&day("2026-12-03")), "what it only repeated is free");
}

/// What no rule prevents: the night too many is B's own by all signs, C repeats it, so it is on B's link, and B shows one
/// more.
#[test]
fn a_site_that_rounds_up_beside_one_that_repeats_lets_nights_creep_on() {
    let mut home = home(Rules::default());
    home.feed(A, vec![reserved("HM1", stay_of_four())]);
    let mut sites = [Repeater { rounds_up: true, ..Repeater::of(B, 60, 0) }, Repeater::of(C, 60, 0)];
    pass(&mut home, &mut sites, 12);
    assert_eq!(home.taken().len(), 5, "the night too many is taken");
    home.feed(A, vec![cancelled("HM1", stay_of_four())]);
    pass(&mut home, &mut sites, 48);
    let after = home.taken();
    pass(&mut home, &mut sites, 48);
    assert!(home.taken().first() > after.first(), "on and on: {after:?}, then {:?}", home.taken());
}
