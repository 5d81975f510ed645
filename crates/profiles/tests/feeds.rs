//! The feed fixtures beside what their table says of them. Their meaning is read by `ics`; here only names, line ends and PRODIDs count.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use calmesh_profiles::detect;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/feeds")
}

/// The table's rows: path and the columns after it.
fn table() -> BTreeMap<String, Vec<String>> {
    fs::read_to_string(folder().join("README.md"))
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|line| {
            let (path, rest) = line.split_once("` | ").unwrap();
            (path.to_owned(), rest.split(" | ").map(str::to_owned).collect())
        })
        .collect()
}

fn on_disk() -> Vec<String> {
    let mut paths = Vec::new();
    for room in fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        for file in fs::read_dir(room).unwrap() {
            let path = file.unwrap().path();
            paths.push(path.strip_prefix(folder()).unwrap().to_string_lossy().replace('\\', "/"));
        }
    }
    paths.sort();
    paths
}

/// The body as text, by its BOM; without one, bytes that are no UTF-8 are replaced.
fn text(path: &str) -> String {
    let bytes = fs::read(folder().join(path)).unwrap();
    let wide = |pair: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes[2..].chunks_exact(2).map(|two| pair([two[0], two[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    match bytes.get(..2) {
        Some([0xff, 0xfe]) => wide(u16::from_le_bytes),
        Some([0xfe, 0xff]) => wide(u16::from_be_bytes),
        _ => String::from_utf8_lossy(&bytes).into_owned(),
    }
}

#[test]
fn the_table_lists_every_fixture_and_nothing_else() {
    assert_eq!(on_disk(), table().into_keys().collect::<Vec<_>>());
}

#[test]
fn every_fixture_is_found_by_its_prodid_alone() {
    for (path, columns) in table().into_iter().filter(|(_, columns)| columns[0] != "-") {
        let text = text(&path);
        // The first line of the property as it stands: with its parameters, escaped.
        let prodid = text.split(['\r', '\n']).find(|line| line.get(..6) == Some("PRODID"));
        assert_eq!(detect(None, prodid).id.as_str(), columns[0], "{path}");
    }
}

#[test]
fn every_provider_with_links_has_a_fixture() {
    let table = table();
    for profile in calmesh_profiles::all().iter().filter(|profile| profile.via == calmesh_profiles::Via::Ical) {
        assert!(table.values().any(|columns| columns[0] == profile.id.as_str()), "{}", profile.id);
    }
}

#[test]
fn the_line_ends_of_the_fixtures_survived() {
    assert!(text("airbnb/2026.ics").contains("\r\n"));
    assert!(!text("booking_com/closed-lf.ics").contains('\r'));
    assert!(!text("generic/cr-only.ics").contains('\n'));
}

#[test]
fn the_table_counts_the_events_of_every_body() {
    for (path, columns) in table() {
        let begun =
            text(&path).split(['\r', '\n']).filter(|line| line.trim().eq_ignore_ascii_case("BEGIN:VEVENT")).count();
        assert_eq!(begun.to_string(), columns[2], "{path}");
    }
}
