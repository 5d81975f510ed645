//! Who may import whom within `app`: its rooms are the folders and files of `crates/app/src`, and every arrow points down.
//! A new arrow is a line here and in the room's README, in a commit of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use crate::imports::{code_of, files_below, paths_of, source_of};

/// Records, ports and figures, which every room may import.
const GROUND: &[&str] = &["model", "limits", "ports"];

/// What each room may import beside these. Who runs stands last, and imports none of the others who run.
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("limits", &[]),
    ("ports", &[]),
    ("locks", &[]),
    ("words", &[]),
    ("settings", &[]),
    ("tags", &[]),
    ("trouble", &[]),
    ("schedule", &[]),
    ("provider_words", &[]),
    ("traffic", &["locks"]),
    ("wiring", &["settings", "traffic"]),
    ("refreshes", &["trouble", "wiring"]),
    ("health", &["provider_words", "schedule", "settings", "trouble", "wiring"]),
    ("changes", &["settings", "wiring"]),
    ("readings", &["changes", "tags", "traffic", "trouble", "wiring", "words"]),
    ("publish", &["changes", "readings", "refreshes", "tags", "traffic", "trouble", "wiring"]),
    ("tick", &["locks", "schedule", "settings", "trouble", "wiring"]),
    (
        "fetch",
        &["health", "locks", "provider_words", "readings", "schedule", "settings", "traffic", "trouble", "wiring"],
    ),
    (
        "merge",
        &["changes", "health", "provider_words", "publish", "readings", "settings", "traffic", "trouble", "wiring"],
    ),
    (
        "desk",
        &[
            "changes",
            "health",
            "provider_words",
            "publish",
            "readings",
            "refreshes",
            "schedule",
            "settings",
            "traffic",
            "wiring",
            "words",
        ],
    ),
    ("access", &[]),
    ("mend", &["changes", "publish", "traffic", "trouble", "wiring"]),
    ("app", &["access", "changes", "desk", "fetch", "mend", "merge", "publish", "tick", "trouble", "wiring"]),
];

/// What holds tests up, and may import everything.
const FOR_TESTS: &[&str] = &["contract", "fakes", "tests"];

/// Every room with what its files import of the crate, itself left out.
fn imports() -> BTreeMap<String, BTreeSet<(String, PathBuf)>> {
    let root = source_of("app");
    let mut rooms: BTreeMap<String, BTreeSet<(String, PathBuf)>> = BTreeMap::new();
    for file in files_below(&root) {
        let within = file.strip_prefix(&root).unwrap().to_owned();
        let room = within.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        if room == "lib" || FOR_TESTS.contains(&room.as_str()) {
            continue;
        }
        let paths = paths_of(&code_of(&file), "crate::");
        let imports = paths.into_iter().map(|path| path[0].clone()).filter(|import| *import != room);
        rooms.entry(room.clone()).or_default().extend(imports.map(|import| (import, within.clone())));
    }
    rooms
}

#[test]
fn every_arrow_between_rooms_of_app_is_in_the_table() {
    let table: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let rooms = imports();
    assert_eq!(rooms.keys().map(String::as_str).collect::<BTreeSet<_>>(), table.keys().copied().collect());
    for (room, imports) in &rooms {
        for (import, file) in imports {
            let may = GROUND.contains(&import.as_str()) || table[room.as_str()].contains(&import.as_str());
            assert!(may, "{room} may not import {import}, as {} does", file.display());
        }
        for may in table[room.as_str()] {
            assert!(imports.iter().any(|(import, _)| import == may), "{room} does not import {may} any more");
        }
    }
}

#[test]
fn rooms_of_app_form_no_circle() {
    let order: Vec<&str> = ARROWS.iter().map(|(room, _)| *room).collect();
    for (at, (room, may)) in ARROWS.iter().enumerate() {
        for below in *may {
            let stands = order.iter().position(|name| name == below).unwrap();
            assert!(stands < at, "{room} imports {below}, which stands above it");
        }
    }
}
