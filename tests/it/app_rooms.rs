//! Who may import whom within `app`: its rooms are the folders and files of `crates/app/src`, and every arrow points down.
//! A new arrow is a line here and in the room's README, in a commit of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Records, ports and figures, which every room may import.
const GROUND: &[&str] = &["model", "limits", "ports"];

/// What each room may import beside these. Who runs stands last, and imports none of the others who run.
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("limits", &[]),
    ("ports", &[]),
    ("words", &[]),
    ("settings", &[]),
    ("tags", &[]),
    ("trouble", &[]),
    ("schedule", &[]),
    ("provider_words", &[]),
    ("traffic", &[]),
    ("wiring", &["settings", "traffic"]),
    ("refreshes", &["trouble", "wiring"]),
    ("health", &["provider_words", "schedule", "settings", "trouble", "wiring"]),
    ("changes", &["settings", "wiring"]),
    ("readings", &["changes", "tags", "traffic", "trouble", "wiring", "words"]),
    ("publish", &["changes", "readings", "refreshes", "tags", "traffic", "trouble", "wiring"]),
    ("tick", &["schedule", "settings", "traffic", "trouble", "wiring"]),
    ("fetch", &["health", "provider_words", "readings", "schedule", "settings", "traffic", "trouble", "wiring"]),
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

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/app/src")
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .collect()
}

/// A file's words without its comments and its tests, blanks taken out.
fn code_of(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = code.lines().map(|line| line.split("//").next().unwrap());
    lines.flat_map(str::chars).filter(|character| !character.is_whitespace()).collect()
}

/// What stands first in each path that begins at the crate, by itself or in braces.
fn imports_of(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let path = &code[at + "crate::".len()..];
        let Some(list) = path.strip_prefix('{') else {
            found.insert(first_of(path));
            continue;
        };
        let (mut depth, mut begins) = (0_u32, true);
        for (at, character) in list.char_indices() {
            if begins && depth == 0 && character != '}' {
                found.insert(first_of(&list[at..]));
            }
            begins = character == ',';
            match character {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                _ => {}
            }
        }
    }
    found.remove("");
    found
}

fn first_of(path: &str) -> String {
    path.chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect()
}

/// Every room with what its files import of the crate, itself left out.
fn imports() -> BTreeMap<String, BTreeSet<(String, PathBuf)>> {
    let root = source();
    let mut rooms: BTreeMap<String, BTreeSet<(String, PathBuf)>> = BTreeMap::new();
    for file in files_below(&root) {
        let within = file.strip_prefix(&root).unwrap().to_owned();
        let room = within.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        if room == "lib" || FOR_TESTS.contains(&room.as_str()) {
            continue;
        }
        let imports = imports_of(&code_of(&file)).into_iter().filter(|import| *import != room);
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

#[test]
fn what_stands_in_braces_and_by_itself_is_an_import() {
    let code = "usecrate::{a::{b::C,d},e::F};usecrate::g::H;fnf(){crate::i::j(crate::k)}";
    let found: Vec<String> = imports_of(code).into_iter().collect();
    assert_eq!(found, ["a", "e", "g", "i", "k"]);
}
