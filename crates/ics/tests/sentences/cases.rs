//! Small feeds made after public bug reports, each with the nights that are right (`tests/fixtures/cases`).

use std::{collections::BTreeSet, fs, path::PathBuf};

use calmesh_calendar::{EventStatus, House};
use calmesh_ics::{Horizon, Limits, ReadContext, read};
use jiff::{
    Timestamp,
    civil::{Date, time},
    tz::TimeZone,
};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cases")
}

struct Case {
    file: String,
    zone: TimeZone,
    nights: BTreeSet<Date>,
    why: String,
}

fn cases() -> Vec<Case> {
    let expected = fs::read_to_string(folder().join("expected.json")).unwrap();
    let expected: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&expected).unwrap();
    let case = |(file, said): (String, serde_json::Value)| Case {
        zone: TimeZone::get(said["zone"].as_str().unwrap()).unwrap(),
        nights: said["nights"]
            .as_array()
            .unwrap()
            .iter()
            .map(|night| night.as_str().unwrap().parse().unwrap())
            .collect(),
        why: said["why"].as_str().unwrap().to_owned(),
        file,
    };
    expected.into_iter().map(case).collect()
}

/// The nights that the events of a feed take in a house of usual hours, but for those called off and those that say
/// that they are free.
fn nights(body: &[u8], zone: &TimeZone) -> BTreeSet<Date> {
    let now: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
    let cx = ReadContext { zone, horizon: Horizon::around(now), limits: Limits::default(), end_is_last_night: false };
    let house = House::new(zone.clone(), time(15, 0, 0, 0), time(11, 0, 0, 0), 0).unwrap();
    let reading = read(body, &cx).unwrap();
    let takes = reading
        .events
        .iter()
        .filter(|event| event.status != Some(EventStatus::Cancelled) && event.transparent != Some(true));
    takes.filter_map(|event| event.extent.nights(&house)).flat_map(|nights| nights.iter()).collect()
}

#[test]
fn every_case_blocks_the_nights_that_are_right() {
    let cases = cases();
    assert!(cases.len() >= 13, "only {} cases", cases.len());
    for case in &cases {
        let body = fs::read(folder().join(&case.file)).unwrap();
        assert_eq!(nights(&body, &case.zone), case.nights, "{}: {}", case.file, case.why);
    }
}

#[test]
fn every_case_has_its_feed_and_every_feed_its_case() {
    let told: BTreeSet<String> = cases().into_iter().map(|case| case.file).collect();
    let files = fs::read_dir(folder()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    assert_eq!(files.filter(|file| file.ends_with(".ics")).collect::<BTreeSet<_>>(), told);
}
