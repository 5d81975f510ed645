use std::collections::BTreeMap;

use super::build::*;
use crate::*;

fn shown(blocks: &[Block], own: Option<&ConnectionId>, times: bool, turnover: u8) -> Vec<(String, bool)> {
    let sources = BTreeMap::from([(connection(1), Source::default()), (connection(2), Source::default())]);
    let viewer = Viewer { own, times };
    let house = house_with_turnover(turnover);
    let claims = Claims::default();
    let events = view(&seen(blocks, &sources, &claims, &house), viewer, noon("2026-11-01"), noon("2026-11-20"));
    let text = |extent| match extent {
        Extent::Nights(nights) => format!("{} {}", nights.first(), nights.end()),
        Extent::Times(times) => format!("{} {}", house.local(times.start()), house.local(times.end())),
    };
    events.into_iter().map(|event| (text(event.extent), event.turnover)).collect()
}

#[test]
fn a_link_leaves_out_what_came_from_its_connection() {
    let blocks = [stay(1, 1, nights("2026-12-04", "2026-12-06")), stay(2, 2, nights("2026-12-10", "2026-12-12"))];
    assert_eq!(shown(&blocks, Some(&connection(1)), false, 0), [("2026-12-10 2026-12-12".to_owned(), false)]);
    assert_eq!(shown(&blocks, None, false, 0).len(), 2);
}

#[test]
fn turnover_nights_are_shown_to_the_stays_own_site() {
    let blocks = [stay(1, 1, nights("2026-12-04", "2026-12-06"))];
    assert_eq!(shown(&blocks, Some(&connection(1)), false, 1), [("2026-12-06 2026-12-07".to_owned(), true)]);
}

#[test]
fn a_late_check_out_is_shown_by_times_and_costs_no_night() {
    let blocks = [own(1, times("2026-12-07T11:00", "2026-12-07T14:00"))];
    assert!(shown(&blocks, None, false, 0).is_empty());
    assert_eq!(shown(&blocks, None, true, 0), [("2026-12-07T11:00:00 2026-12-07T14:00:00".to_owned(), false)]);
}

#[test]
fn nights_are_shown_by_times_from_check_in_to_check_out() {
    let blocks = [own(1, nights("2026-12-04", "2026-12-06"))];
    assert_eq!(shown(&blocks, None, true, 0), [("2026-12-04T15:00:00 2026-12-06T11:00:00".to_owned(), false)]);
}

#[test]
fn what_departed_more_than_a_day_ago_is_left_out() {
    let blocks = [own(1, nights("2026-11-01", "2026-11-06")), own(2, nights("2026-11-18", "2026-11-20"))];
    assert_eq!(shown(&blocks, None, false, 0).len(), 1);
}
