//! Two guests for one night, and what only looks like it: what a site can't have read from its link is told as a conflict,
//! what it may have read is not.

use jiff::SignedDuration;

use super::{build::*, home::Home};
use crate::*;

const A: u8 = 1;
const B: u8 = 2;
const C: u8 = 3;

/// Stays of sites that tell nothing of whose they are.
fn stay_of_four() -> Extent {
    nights("2026-12-04", "2026-12-08")
}

fn elsewhere() -> Extent {
    nights("2027-02-04", "2027-02-08")
}

fn shows(uid: &str) -> Vec<Sighting> {
    vec![sighting(uid, stay_of_four())]
}

/// A has shown its stay for days; B is not connected yet.
fn a_alone() -> Home {
    let mut home = Home::of(&[A]);
    home.mass_vanish.nights_percent = 101;
    home.feed(A, shows("a")).later(60 * 24 * 3);
    home
}

/// Nights of December that B surely holds, and conflicts.
fn told(home: &Home) -> (usize, usize) {
    let of_b = connection(B);
    let stays = home.blocks.iter().filter(|block| block.connection() == Some(&of_b));
    let nights = stays.filter_map(|block| block.extent.nights(&home.house)).flat_map(Nights::iter);
    let certain = nights.filter(|night| {
        night.month() == 12 && home.claims.claim(&of_b, *night).is_none_or(|claim| claim.standing == Standing::Certain)
    });
    (certain.count(), home.conflicts.len())
}

#[test]
fn a_link_that_was_just_made_brought_nothing_and_what_its_site_shows_at_once_is_its_own() {
    for minutes in [0, 1, 60] {
        let mut home = a_alone();
        home.connect(B).later(minutes).feed(B, shows("b"));
        assert_eq!(told(&home), (4, 1), "{minutes} minutes after it was connected");
    }
}

#[test]
fn what_a_site_shows_that_read_its_new_link_may_be_what_it_read() {
    let mut home = a_alone();
    home.connect(B).later(5).reads_link(B).later(1).feed(B, shows("b"));
    assert_eq!(told(&home), (0, 0));
}

#[test]
fn a_read_counts_that_came_before_the_first_put_of_a_link_was_known() {
    for milliseconds in [0, 1, 999, 1_001] {
        let mut home = a_alone();
        home.connect(B);
        let read = home.now + SignedDuration::from_millis(milliseconds);
        home.links.get_mut(&connection(B)).unwrap().reads.push(read);
        home.later(5).feed(B, shows("b"));
        assert_eq!(told(&home), (0, 0), "read {milliseconds} ms after the link was decided, put after a second");
    }
}

#[test]
fn what_was_read_of_a_link_that_was_revoked_since_may_come_back() {
    let mut home = a_alone();
    home.connect(B).later(60 * 24);
    // With the old link went the record of its reads.
    home.links.get_mut(&connection(B)).unwrap().recorded_since = Some(home.now);
    home.later(1).feed(B, shows("b"));
    assert_eq!(told(&home), (0, 0));
}

#[test]
fn a_connection_that_gets_its_link_late_can_not_have_read_it_before() {
    for reads in [false, true] {
        let mut home = a_alone();
        home.change(None, |home| {
            let facts = LinkFacts { since: Some(home.now), complete: true, ..LinkFacts::default() };
            home.links.insert(connection(B), facts);
            home.sources.insert(connection(B), Source { has_link: false, ..Source::default() });
        });
        home.later(60 * 24);
        home.links.get_mut(&connection(B)).unwrap().recorded_since = Some(home.now);
        home.change(None, |home| home.sources.get_mut(&connection(B)).unwrap().has_link = true);
        home.later(5);
        if reads {
            home.reads_link(B);
        }
        home.later(1).feed(B, shows("b"));
        assert_eq!(told(&home), if reads { (0, 0) } else { (4, 1) });
    }
}

/// Both are connected, and B has read its link; A's stay lies elsewhere.
fn before_the_move() -> Home {
    let mut home = Home::of(&[A, B]);
    home.mass_vanish.nights_percent = 101;
    home.feed(A, vec![sighting("a", elsewhere())]).later(60).reads_link(B).later(60);
    home
}

#[test]
fn a_stay_that_moves_onto_nights_was_not_there_to_be_read_before() {
    let mut home = before_the_move();
    home.feed(A, shows("a")).later(1).feed(B, shows("b"));
    assert_eq!(told(&home), (4, 1));
    let since = |of: u8| {
        let claims = home.explained(day("2026-12-05"));
        claims.iter().find(|claim| claim.connection == Some(connection(of))).unwrap().since
    };
    assert_eq!(since(B).duration_since(since(A)).as_mins(), 1, "it is explained since when they lie there");
    assert_eq!(home.link(B).len(), 4, "who came to the nights later is kept from selling them");
}

#[test]
fn a_stay_that_moved_and_was_read_where_it_lies_now_may_come_back() {
    let mut home = before_the_move();
    home.feed(A, shows("a")).later(5).reads_link(B).later(1).feed(B, shows("b"));
    assert_eq!(told(&home), (0, 0));
}

#[test]
fn the_nights_that_a_stay_had_before_it_was_extended_were_there_to_be_read() {
    let mut home = Home::of(&[A, B]);
    let longer = || nights("2026-12-04", "2026-12-10");
    home.feed(A, shows("a")).later(60).reads_link(B).later(60).feed(A, vec![sighting("a", longer())]).later(1);
    home.feed(B, vec![sighting("b", longer())]);
    assert_eq!(told(&home), (2, 1), "what was read may come back, and the two nights that were added can't");
    assert_eq!(home.link(B).len(), 6);
}

#[test]
fn a_stay_that_moved_away_and_back_was_there_to_be_read_before() {
    let mut home = before_the_move();
    home.feed(A, shows("a")).later(5).reads_link(B).later(5).feed(A, vec![sighting("a", elsewhere())]).later(5);
    home.feed(A, shows("a")).later(1).feed(B, shows("b"));
    assert_eq!(told(&home), (0, 0));
}

#[test]
fn a_stay_that_counts_again_was_not_on_the_links_that_were_made_while_it_was_paused() {
    for reads in [false, true] {
        let mut home = a_alone();
        let paused = home.sources[&connection(A)];
        home.change(None, |home| _ = home.sources.remove(&connection(A)));
        home.later(60).connect(B).later(60).reads_link(B).later(60);
        home.change(None, |home| _ = home.sources.insert(connection(A), paused));
        home.later(5);
        if reads {
            home.reads_link(B);
        }
        home.later(1).feed(B, shows("b"));
        assert_eq!(told(&home), if reads { (0, 0) } else { (4, 1) });
    }
}

#[test]
fn what_another_site_held_before_was_there_to_be_read_though_it_is_gone() {
    let mut home = Home::of(&[A, B, C]);
    home.mass_vanish.nights_percent = 101;
    home.feed(A, shows("a")).later(60).reads_link(B).later(60).feed(C, shows("c")).later(60);
    assert_eq!(home.conflicts.len(), 1);
    let gone = Sighting { verdict: Verdict::Cancelled, ..sighting("a", stay_of_four()) };
    home.feed(A, vec![gone]).later(1).feed(B, shows("b"));
    assert_eq!(told(&home), (0, 0), "C holds them for a shorter time than the link carries them");
}

#[test]
fn what_is_read_while_a_night_leaves_the_link_may_come_back_when_it_is_there_again() {
    let mut home = before_the_move();
    let paused = home.sources[&connection(A)];
    home.feed(A, shows("a")).later(5);
    home.change(None, |home| _ = home.sources.remove(&connection(A)));
    // The link that is empty is not put yet.
    home.reads_link(B).later(1);
    home.change(None, |home| _ = home.sources.insert(connection(A), paused));
    home.later(1).feed(B, shows("b"));
    assert_eq!(told(&home), (0, 0));
}

fn pause_and_resume(home: &mut Home, of: u8, minutes: i64) {
    let paused = home.sources[&connection(of)];
    home.change(None, |home| _ = home.sources.remove(&connection(of))).later(minutes);
    home.change(None, |home| _ = home.sources.insert(connection(of), paused)).later(1);
}

#[test]
fn a_conflict_outlives_a_pause_of_either_whatever_was_read_of_the_links_since() {
    for (of, reads, minutes) in [(B, false, 1), (B, true, 1), (B, true, 60 * 30), (A, false, 1), (A, true, 60 * 30)] {
        let mut home = a_alone();
        home.connect(B).later(1).feed(B, shows("b")).later(60);
        if reads {
            home.reads_link(A).reads_link(B).later(60);
        }
        pause_and_resume(&mut home, of, minutes);
        let case = format!("{of} is paused for {minutes} minutes, links read: {reads}");
        assert_eq!(told(&home), (4, 1), "{case}");
        home.feed(A, shows("a")).feed(B, shows("b"));
        assert_eq!(told(&home), (4, 1), "{case}, and both are read again");
    }
}

#[test]
fn what_may_be_an_echo_is_no_surer_after_a_pause() {
    let mut home = a_alone();
    home.connect(B).later(5).reads_link(B).later(5).feed(B, shows("b")).later(5);
    pause_and_resume(&mut home, B, 1);
    assert_eq!(told(&home), (0, 0));
    pause_and_resume(&mut home, A, 1);
    pause_and_resume(&mut home, B, 1);
    assert_eq!(told(&home), (0, 0), "though the other was paused before");
}

#[test]
fn what_the_host_said_to_be_gone_is_so_after_a_pause() {
    let mut home = a_alone();
    home.connect(B).later(1).feed(B, shows("b")).later(5);
    let gone = home.blocks.iter().find(|block| block.connection() == Some(&connection(B))).unwrap().clone();
    let now = home.now;
    home.change(None, |home| home.claims = home.claims.said_gone(&home.picture(), &gone, now)).later(5);
    assert_eq!(told(&home), (0, 0));
    pause_and_resume(&mut home, B, 60);
    assert_eq!(told(&home), (0, 0));
}

#[test]
fn a_stay_that_was_extended_is_one_event_on_the_links() {
    let mut home = before_the_move();
    home.feed(A, shows("a")).later(60).feed(A, vec![sighting("a", nights("2026-12-04", "2026-12-10"))]);
    let of = connection(B);
    let viewer = Viewer { own: Some(&of), times: false };
    let events = view(&home.picture(), viewer, home.now, home.now);
    assert_eq!((events.len(), events[0].piece), (1, None));
}

#[test]
fn who_only_moved_its_stay_is_not_asked_of_its_links_reads() {
    let mut home = before_the_move();
    home.feed(A, shows("a"));
    assert!(!home.claims.is_in_question(&connection(A)), "nothing of it is to be found out");
    assert!(home.claims.is_in_question(&connection(B)), "B read where it lay before");
}

/// How sure a claim of B on a night is.
fn standing_of_b(home: &Home, night: &str) -> Standing {
    home.claims.claim(&connection(B), day(night)).map_or(Standing::Certain, |claim| claim.standing)
}

#[test]
fn a_stay_that_moves_twice_was_to_be_read_where_it_lay_between_and_nowhere_else() {
    let between = || nights("2027-01-04", "2027-01-08");
    for (reads_between, reads_after, shown, expected) in [
        (false, false, stay_of_four(), Standing::Certain),
        (true, false, stay_of_four(), Standing::Certain),
        (true, true, stay_of_four(), Standing::Possible),
        (true, false, between(), Standing::Possible),
        (false, true, between(), Standing::Certain),
    ] {
        let mut home = before_the_move();
        home.feed(A, vec![sighting("a", between())]).later(60);
        if reads_between {
            home.reads_link(B);
        }
        home.later(5).feed(A, shows("a")).later(5);
        if reads_after {
            home.reads_link(B);
        }
        home.later(1).feed(B, vec![sighting("b", shown)]);
        let night = shown.nights(&home.house).unwrap().first();
        assert_eq!(
            standing_of_b(&home, &night.to_string()),
            expected,
            "read {reads_between}, {reads_after}: {shown:?}"
        );
    }
}

#[test]
fn a_conflict_is_told_again_after_a_pause_of_a_month_and_an_echo_is_still_known_as_one() {
    for (before, while_paused, expected) in
        [(false, false, Standing::Certain), (false, true, Standing::Certain), (true, false, Standing::Possible)]
    {
        let mut home = Home::of(&[A]);
        home.mass_vanish.nights_percent = 101;
        let a = |more: i64| {
            vec![sighting("a", elsewhere()), sighting("c", nights("2027-03-04", &format!("2027-03-{:02}", 6 + more)))]
        };
        home.feed(A, a(0)).later(60 * 24).connect(B).later(5);
        if before {
            home.reads_link(B);
        }
        home.later(1).feed(B, vec![sighting("b", elsewhere())]);
        let paused = home.sources[&connection(B)];
        home.change(None, |home| _ = home.sources.remove(&connection(B)));
        for day in 0..20 {
            home.later(60 * 36).feed(A, a(day));
            if while_paused {
                home.reads_link(B);
            }
        }
        home.change(None, |home| _ = home.sources.insert(connection(B), paused)).later(1);
        home.feed(B, vec![sighting("b", elsewhere())]);
        let case = format!("read before: {before}, while it was paused: {while_paused}");
        assert_eq!(standing_of_b(&home, "2027-02-05"), expected, "{case}");
        assert_eq!(home.conflicts.len(), usize::from(expected == Standing::Certain), "{case}");
    }
}

#[test]
fn what_a_site_shows_while_its_link_alone_is_paused_is_an_echo_only_if_it_read_it() {
    for (reads, resumed) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut home = a_alone();
        home.connect(B).later(5);
        if reads {
            home.reads_link(B);
        }
        home.later(5).change(None, |home| home.sources.get_mut(&connection(B)).unwrap().has_link = false).later(5);
        if resumed {
            home.change(None, |home| home.sources.get_mut(&connection(B)).unwrap().has_link = true).later(5);
        }
        home.feed(B, shows("b"));
        assert_eq!(told(&home), if reads { (0, 0) } else { (4, 1) }, "read: {reads}, resumed: {resumed}");
    }
}

#[test]
fn what_a_site_showed_before_it_was_to_block_is_an_echo_only_if_it_read_its_link() {
    for reads in [false, true] {
        let mut home = a_alone();
        home.connect(B);
        home.change(None, |home| home.sources.get_mut(&connection(B)).unwrap().blocks = false).later(60);
        if reads {
            home.reads_link(B);
        }
        home.later(5).feed(B, shows("b")).later(60);
        assert!(home.conflicts.is_empty());
        home.change(None, |home| home.sources.get_mut(&connection(B)).unwrap().blocks = true);
        assert_eq!(told(&home), if reads { (0, 0) } else { (4, 1) }, "read: {reads}");
    }
}

#[test]
fn what_a_site_shows_that_only_read_its_link_until_now_is_an_echo_only_if_it_read_it() {
    for (reads, twice) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut home = a_alone();
        let (since, recorded_since) = (Some(home.now), Some(home.now));
        let facts = LinkFacts { since, recorded_since, complete: true, showed_all: true, ..LinkFacts::default() };
        if twice {
            home.connect(B).later(1).change(None, |home| _ = home.sources.remove(&connection(B)));
        }
        home.links.insert(connection(B), facts);
        home.later(60);
        if reads {
            home.reads_link(B);
        }
        home.later(60).change(None, |home| _ = home.sources.insert(connection(B), Source::default()));
        home.links.get_mut(&connection(B)).unwrap().showed_all = false;
        home.later(5).feed(B, shows("b"));
        assert_eq!(told(&home), if reads { (0, 0) } else { (4, 1) }, "read: {reads}, after it did both: {twice}");
        let later = home.claims.clone();
        home.later(60).feed(A, shows("a")).feed(B, shows("b"));
        assert_eq!(home.claims, later, "and nothing is written anew");
    }
}
