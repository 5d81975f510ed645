//! The ends of the span: whatever is shown, closed or asked there, nothing panics and nothing leaves it.

use std::collections::BTreeMap;

use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, date, time},
    tz::{Offset, TimeZone},
};
use proptest::prelude::*;

use super::{build::*, home::Home};
use crate::{
    span::{FIRST_DAY, FIRST_INSTANT, InSpan, LAST_DAY, LAST_INSTANT},
    *,
};

fn zone() -> impl Strategy<Value = TimeZone> {
    let named = ["Pacific/Kiritimati", "Etc/GMT+12", "Europe/Madrid", "Pacific/Apia", "Africa/Monrovia"];
    let named = named.map(|name| TimeZone::get(name).unwrap());
    let minutes = [-1439, -1, 1, 1439].map(|minutes| Offset::from_seconds(minutes * 60).unwrap().to_time_zone());
    prop::sample::select(named.into_iter().chain(minutes).collect::<Vec<_>>())
}

fn any_house() -> impl Strategy<Value = House> {
    let hours = prop::sample::select(vec![(0, 0), (0, 23 * 60 + 59), (23 * 60 + 59, 23 * 60 + 59), (11 * 60, 15 * 60)]);
    (zone(), hours, prop::sample::select(vec![0, 1, 255])).prop_map(|(zone, (check_out, check_in), turnover)| {
        let of_day = |minutes: i32| time((minutes / 60).try_into().unwrap(), (minutes % 60).try_into().unwrap(), 0, 0);
        House::new(zone, of_day(check_in), of_day(check_out), turnover).unwrap()
    })
}

fn some_day() -> impl Strategy<Value = Date> {
    let odd = [Date::MIN, date(1, 1, 1), FIRST_DAY, date(1970, 1, 1), date(2026, 11, 20), LAST_DAY, Date::MAX];
    (prop::sample::select(odd.to_vec()), -3i64..4).prop_map(|(day, by)| day.saturating_add(jiff::Span::new().days(by)))
}

fn some_instant() -> impl Strategy<Value = Timestamp> {
    let odd = [Timestamp::MIN, FIRST_INSTANT, Timestamp::UNIX_EPOCH, noon("2026-11-20"), LAST_INSTANT, Timestamp::MAX];
    let by = prop::sample::select(vec![-86_400, -1, 0, 1, 86_400]);
    (prop::sample::select(odd.to_vec()), by)
        .prop_map(|(at, by)| at.saturating_add(SignedDuration::from_secs(by)).unwrap_or(at))
}

fn extent() -> impl Strategy<Value = Extent> {
    let nights = (some_day(), some_day()).prop_filter_map("no nights", |(a, b)| Nights::new(a, b).ok());
    let times = (some_instant(), some_instant()).prop_filter_map("no times", |(a, b)| Times::new(a, b).ok());
    prop_oneof![nights.prop_map(Extent::Nights), times.prop_map(Extent::Times)]
}

fn feed() -> impl Strategy<Value = Vec<Sighting>> {
    let kind = prop::sample::select(vec![BlockKind::Reservation, BlockKind::Closure, BlockKind::RuleClosure]);
    let event = (extent(), kind, any::<bool>()).prop_map(|(extent, kind, named)| Sighting {
        verdict: Verdict::Blocks(kind),
        ..sighting(if named { "named" } else { "" }, extent)
    });
    prop::collection::vec(event, 0..4)
}

fn now() -> impl Strategy<Value = Timestamp> {
    prop::sample::select(vec![FIRST_INSTANT, Timestamp::UNIX_EPOCH, noon("2026-11-20"), LAST_INSTANT])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Reading, weighing, conflicts, links, availability and explanations go through at both ends of the span.
    #[test]
    fn nothing_panics_at_the_ends_of_the_span(house in any_house(), start in now(), feeds in prop::collection::vec((1u8..4, feed()), 1..5), own in extent()) {
        let mut home = Home::of(&[1, 2, 3]);
        (home.house, home.now) = (house, start);
        home.add_own(own, None);
        for (of, feed) in feeds {
            home.reads_link(of);
            home.feed(of, feed);
            home.wake();
        }
        for times in [true, false] {
            for event in view(&home.picture(), Viewer { own: Some(&connection(1)), times }, start, home.now) {
                let times = event.extent.times(&home.house);
                prop_assert!(times.start().is_in_span() && times.end().is_in_span());
            }
        }
        let departs = next_departure(&home.blocks, &home.house, home.now);
        prop_assert!(departs.is_none_or(|at| at > home.now && at.is_in_span()));
        let all = taken(&home.picture());
        for (from, to) in [(FIRST_DAY, date(1900, 2, 1)), (date(2199, 12, 1), LAST_DAY), (Date::MAX, Date::MIN)] {
            let _ = availability(&all, &home.house, from, to);
            home.explained(from);
            home.explained(to);
        }
        for block in &home.blocks {
            let _ = block_state(&home.picture(), &Mirrors::of(&home.picture()), block);
            let _ = home.claims.said_gone(&home.picture(), block, home.now);
            let times = block.extent.times(&home.house);
            prop_assert!(times.start() < times.end() && times.start().is_in_span() && times.end().is_in_span());
        }
    }

    /// A stay that was cut to the span is the same stay on every later day.
    #[test]
    fn a_clipped_stay_is_not_written_again_as_days_pass(house in any_house(), open in extent()) {
        let mut home = Home::of(&[1]);
        home.house = house;
        home.feed(1, vec![sighting("until further notice", open)]);
        let first = home.blocks.clone();
        for _ in 0..3 {
            home.later(60 * 24).feed(1, vec![sighting("until further notice", open)]);
            prop_assert_eq!(&home.blocks, &first);
        }
    }
}

#[test]
fn a_closure_until_further_notice_is_shown_to_the_end_of_the_span() {
    let mut home = Home::of(&[1, 2]);
    let ever = Extent::Nights(Nights::new(date(2028, 1, 1), date(9999, 12, 31)).unwrap());
    home.feed(1, vec![sighting("until further notice", ever)]);
    let events = view(&home.picture(), Viewer { own: Some(&connection(2)), times: false }, home.now, home.now);
    let shown: BTreeMap<_, _> = events.iter().map(|event| (event.block.clone(), event.extent)).collect();
    assert_eq!(shown.into_values().collect::<Vec<_>>(), [nights("2028-01-01", "2200-01-01")]);
}
