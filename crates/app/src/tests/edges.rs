//! Rules of a site whose edge moves by a day every day: an advance notice, the end of what may be booked.

use std::{collections::BTreeSet, fmt::Write};

use calmesh_calendar::House;
use jiff::{SignedDuration, Timestamp, ToSpan, civil::Date};

use super::world::*;
use crate::{model::*, ports::*};

/// An edge as a site writes it, seen from a day.
#[derive(Debug, Clone, Copy)]
struct Edge {
    /// Its first night and the one after its last, in days from that day.
    first: i32,
    end: End,
    /// A new UID for each day, or the same one for all.
    minted: bool,
    /// Its site's day begins so many hours before the property's.
    ahead: i64,
}

#[derive(Debug, Clone, Copy)]
enum End {
    Days(i32),
    Fixed(&'static str),
}

const FAR: &str = "2028-01-10";

const NOTICES: [(i32, End); 5] =
    [(0, End::Days(1)), (0, End::Days(2)), (0, End::Days(7)), (1, End::Days(3)), (1, End::Days(2))];
const WINDOWS: [(i32, End); 3] = [(365, End::Days(395)), (90, End::Days(91)), (365, End::Fixed(FAR))];

impl Edge {
    /// The first night of it and the one after its last.
    fn at(self, now: Timestamp, house: &House) -> (Date, Date) {
        let today = house.date(now + SignedDuration::from_hours(self.ahead));
        let end = match self.end {
            End::Days(days) => today + days.days(),
            End::Fixed(date) => date.parse().unwrap(),
        };
        (today + self.first.days(), end)
    }
}

/// The feed of a site that has a guest and these edges.
fn feed(edges: &[Edge], now: Timestamp, house: &House) -> String {
    let mut text = airbnb(1, &[("HMGUEST", "2027-01-20", "2027-01-24")]).replace("END:VCALENDAR\r\n", "");
    for (nth, edge) in edges.iter().enumerate() {
        let (first, end) = edge.at(now, house);
        let uid = if edge.minted { format!("{nth}-{first}-{end}") } else { nth.to_string() };
        let (first, end) = (first.strftime("%Y%m%d"), end.strftime("%Y%m%d"));
        write!(
            text,
            "BEGIN:VEVENT\r\nDTSTAMP:20260101T000000Z\r\nDTSTART;VALUE=DATE:{first}\r\nDTEND;VALUE=DATE:{end}\r\n\
             SUMMARY:Airbnb (Not available)\r\nUID:edge-{uid}@airbnb.com\r\nEND:VEVENT\r\n"
        )
        .unwrap();
    }
    text.push_str("END:VCALENDAR\r\n");
    text
}

/// What a month of readings left behind.
struct Month {
    activity: Vec<ActivityKind>,
    holds: usize,
}

const READINGS_A_DAY: i64 = 4;

/// Reads a site with these edges for thirty days, and looks after every reading whether what it shows is taken and what
/// it let go is free, but for tonight.
async fn a_month(edges: &[Edge]) -> Month {
    let world = World::new().await;
    let house = world.state().await.house();
    world.connect("a", "airbnb").await;
    let mut all_held = BTreeSet::new();
    for reading in 0..30 * READINGS_A_DAY {
        world.clock.advance(SignedDuration::from_hours(24 / READINGS_A_DAY) - SignedDuration::from_mins(15));
        let at = world.now() + SignedDuration::from_mins(15);
        world.serve("a", feed(edges, at, &house));
        world.sweep().await;
        let state = world.state().await;
        let taken: BTreeSet<String> = world.taken().await.into_iter().collect();
        let today = house.date(world.now());
        let mut shown = BTreeSet::from(["2027-01-20", "2027-01-21", "2027-01-22", "2027-01-23"].map(str::to_owned));
        for edge in edges {
            let (mut night, end) = edge.at(at, &house);
            while night < end {
                shown.insert(night.to_string());
                night = night.tomorrow().unwrap();
            }
        }
        let missing: Vec<_> = shown.difference(&taken).collect();
        assert!(missing.is_empty(), "{edges:?}, reading {reading}: {missing:?} are shown and free");
        let held = state.blocks.iter().filter(|block| block.hold().is_some());
        all_held.extend(held.map(|block| block.hold().unwrap().id.clone()));
        // An edge may open a hold when it moves for the first time: nobody knows yet that it is one.
        if reading > 3 * READINGS_A_DAY {
            let over = |night: &&String| night.parse::<Date>().unwrap() > today;
            let left: Vec<_> = taken.difference(&shown).filter(over).collect();
            assert!(left.is_empty(), "{edges:?}, reading {reading}: {left:?} are free and taken");
        }
    }
    let page = PageRequest { limit: 200, after: None };
    let entries = world.store.activity(&world.property, page).await.unwrap().items;
    Month { activity: entries.into_iter().rev().map(|entry| entry.kind).collect(), holds: all_held.len() }
}

async fn are_no_news(edges: &[(i32, End)], minted: bool) {
    for ahead in [0, 5, -5] {
        for (first, end) in edges {
            let edge = Edge { first: *first, end: *end, minted, ahead };
            let Month { activity, holds } = a_month(&[edge]).await;
            // One that first moves on the property's day on which it came is known by its second step.
            let steps = if ahead == 0 { 1 } else { 2 };
            assert!(activity.len() <= 3 + 3 * steps, "{edge:?}: {activity:#?}");
            assert!(holds <= steps, "{edge:?}: {holds} holds, {activity:#?}");
        }
    }
}

#[tokio::test]
async fn a_notice_that_moves_with_the_days_is_news_when_it_comes_and_first_moves_and_no_more() {
    are_no_news(&NOTICES, false).await;
}

#[tokio::test]
async fn nor_is_one_with_a_new_uid_every_day() {
    are_no_news(&NOTICES, true).await;
}

#[tokio::test]
async fn the_end_of_a_window_opens_a_night_every_day_and_is_no_news_either() {
    are_no_news(&WINDOWS, false).await;
}

#[tokio::test]
async fn nor_is_the_end_of_a_window_with_a_new_uid_every_day() {
    are_no_news(&WINDOWS, true).await;
}

#[tokio::test]
async fn a_notice_and_the_end_of_a_window_move_beside_each_other() {
    for minted in [false, true] {
        let near = Edge { first: 0, end: End::Days(2), minted, ahead: 0 };
        let far = Edge { first: 365, end: End::Days(730), minted, ahead: 0 };
        let Month { activity, holds } = a_month(&[near, far]).await;
        assert!(activity.len() <= 6, "{minted}: {activity:#?}");
        assert!(holds <= 1, "{minted}: {holds} holds, {activity:#?}");
    }
}
