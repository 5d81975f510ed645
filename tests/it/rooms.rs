//! Who may import whom (DESIGN.md, section 2): every arrow between rooms points down, and each outside library stays
//! in the rooms that it belongs to. A new arrow is a line here, in a commit of its own.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// What each room may import of this house.
const ARROWS: &[(&str, &[&str])] = &[
    ("calmesh-calendar", &[]),
    ("calmesh-ics", &["calmesh-calendar"]),
    ("calmesh-profiles", &["calmesh-calendar"]),
    ("calmesh-app", &["calmesh-calendar", "calmesh-ics", "calmesh-profiles"]),
    ("calmesh-rest", &["calmesh-app", "calmesh-calendar", "calmesh-profiles"]),
    ("calmesh-https", &[]),
    ("calmesh-feeds-http", &["calmesh-app", "calmesh-calendar", "calmesh-https"]),
    ("calmesh-store-dynamodb", &["calmesh-app", "calmesh-calendar", "calmesh-https"]),
    ("calmesh-exports-s3", &["calmesh-app", "calmesh-calendar", "calmesh-https"]),
    ("calmesh-access-log", &["calmesh-app", "calmesh-https"]),
    ("calmesh-events-eventbridge", &["calmesh-app", "calmesh-calendar", "calmesh-https"]),
    ("calmesh-secrets", &["calmesh-app", "calmesh-https"]),
    ("calmesh-oidc", &["calmesh-app", "calmesh-calendar", "calmesh-https"]),
    (
        "calmesh-lambda-kit",
        &[
            "calmesh-access-log",
            "calmesh-app",
            "calmesh-calendar",
            "calmesh-events-eventbridge",
            "calmesh-exports-s3",
            "calmesh-feeds-http",
            "calmesh-https",
            "calmesh-oidc",
            "calmesh-secrets",
            "calmesh-store-dynamodb",
        ],
    ),
    (
        "calmesh",
        &[
            "calmesh-app",
            "calmesh-calendar",
            "calmesh-events-eventbridge",
            "calmesh-exports-s3",
            "calmesh-feeds-http",
            "calmesh-ics",
            "calmesh-lambda-kit",
            "calmesh-oidc",
            "calmesh-profiles",
            "calmesh-rest",
            "calmesh-secrets",
            "calmesh-store-dynamodb",
        ],
    ),
    ("calmesh-schedule", &["calmesh-app", "calmesh-events-eventbridge", "calmesh-lambda-kit"]),
    ("calmesh-fetch", &["calmesh-app", "calmesh-events-eventbridge", "calmesh-lambda-kit"]),
    ("calmesh-merge", &["calmesh-app", "calmesh-events-eventbridge", "calmesh-lambda-kit"]),
    ("calmesh-access", &["calmesh-lambda-kit"]),
    ("calmesh-api", &["calmesh-app", "calmesh-lambda-kit", "calmesh-rest"]),
];

/// Outside libraries that belong to some rooms only; a trailing `*` stands for any ending.
const OUTSIDE: &[(&str, &[&str])] = &[
    ("aws-sdk-dynamodb", &["calmesh-store-dynamodb", "calmesh-lambda-kit", "calmesh"]),
    ("aws-sdk-s3", &["calmesh-exports-s3", "calmesh-access-log", "calmesh-lambda-kit", "calmesh"]),
    ("aws-sdk-eventbridge", &["calmesh-events-eventbridge", "calmesh-lambda-kit"]),
    ("aws-sdk-kms", &["calmesh-secrets", "calmesh-lambda-kit"]),
    ("aws-sdk-secretsmanager", &["calmesh-lambda-kit"]),
    ("reqwest", &["calmesh-https", "calmesh-feeds-http", "calmesh-oidc"]),
    ("icalendar", &["calmesh-ics"]),
    ("chrono", &["calmesh-ics"]),
    ("ical-rs", &["calmesh-ics"]),
    ("axum", &["calmesh-rest", "calmesh-api", "calmesh"]),
    ("utoipa*", &["calmesh-rest"]),
    (
        "lambda_*",
        &["calmesh-lambda-kit", "calmesh-schedule", "calmesh-fetch", "calmesh-merge", "calmesh-access", "calmesh-api"],
    ),
    ("dynoxide-rs", &["calmesh"]),
    ("rusqlite", &["calmesh"]),
    ("s3s*", &["calmesh"]),
];

/// All that the pure rooms may import.
const PURE: &[(&str, &[&str])] = &[
    ("calmesh-calendar", &["jiff", "thiserror"]),
    (
        "calmesh-ics",
        &[
            "calmesh-calendar",
            "chrono",
            "ical-rs",
            "icalendar",
            "jiff",
            "memchr",
            "sha2",
            "thiserror",
            "windows-timezones",
        ],
    ),
    ("calmesh-profiles", &["calmesh-calendar", "serde", "thiserror", "toml", "url"]),
];

/// The tests' own member may import everything.
const TESTS: &str = "calmesh-tests";

fn imports() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = MetadataCommand::new().no_deps().other_options(vec!["--offline".to_owned()]).exec().unwrap();
    metadata
        .workspace_packages()
        .into_iter()
        .filter(|package| package.name.as_str() != TESTS)
        .map(|package| {
            let normal =
                package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development);
            (package.name.to_string(), normal.map(|dependency| dependency.name.clone()).collect())
        })
        .collect()
}

#[test]
fn every_arrow_between_rooms_is_in_the_table() {
    let table: BTreeMap<&str, BTreeSet<&str>> =
        ARROWS.iter().map(|(room, may)| (*room, may.iter().copied().collect())).collect();
    for (room, imports) in imports() {
        let may = table.get(room.as_str()).unwrap_or_else(|| panic!("the room {room} is not in the table"));
        for import in imports.iter().filter(|name| name.starts_with("calmesh")) {
            assert!(may.contains(import.as_str()), "{room} may not import {import}");
        }
    }
}

#[test]
fn rooms_form_no_circle() {
    let order: Vec<&str> = ARROWS.iter().map(|(room, _)| *room).collect();
    for (at, (room, may)) in ARROWS.iter().enumerate() {
        for below in *may {
            let stands = order.iter().position(|name| name == below).unwrap();
            assert!(stands < at, "{room} imports {below}, which stands above it");
        }
    }
}

#[test]
fn outside_libraries_stay_in_their_rooms() {
    for (room, imports) in imports() {
        for (library, rooms) in OUTSIDE {
            let is_it = |name: &str| match library.strip_suffix('*') {
                Some(beginning) => name.starts_with(beginning),
                None => name == *library,
            };
            if let Some(import) = imports.iter().find(|name| is_it(name)) {
                assert!(rooms.contains(&room.as_str()), "{room} may not import {import}");
            }
        }
    }
}

#[test]
fn pure_rooms_import_nothing_that_could_touch_the_world() {
    let imports = imports();
    for (room, may) in PURE {
        for import in &imports[*room] {
            assert!(may.contains(&import.as_str()), "{room} may not import {import}");
        }
    }
}
