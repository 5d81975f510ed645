//! No circle of files: who reads a file of these rooms needs to know those that it imports, and none that import it.

use std::collections::{BTreeMap, BTreeSet};

use crate::imports::{code_of, files_below, paths_of, source_of};

const ROOMS: &[&str] = &["app", "calendar", "ics", "oidc", "profiles", "rest", "store-dynamodb"];
/// What holds tests up.
const FOR_TESTS: &[&str] = &["contract", "fakes", "scenes", "testing", "tests"];

type Arrows = BTreeMap<String, BTreeSet<String>>;

/// Which files of a room import which, each by its path of modules. What is taken from the root stands for itself.
fn arrows(room: &str) -> Arrows {
    let root = source_of(room);
    let files: BTreeMap<String, _> = files_below(&root)
        .into_iter()
        .map(|file| (module_of(file.strip_prefix(&root).unwrap().to_str().unwrap()), file))
        .filter(|(module, _)| !module.is_empty() && !module.split("::").any(|part| FOR_TESTS.contains(&part)))
        .collect();
    let mut arrows = Arrows::new();
    for (module, file) in &files {
        let code = code_of(file);
        let above = module.rsplit_once("::").map_or("", |(above, _)| above);
        let paths = paths_of(&code, "crate::").into_iter().chain(
            paths_of(&code, "super::")
                .into_iter()
                .map(|path| above.split("::").map(str::to_owned).chain(path).collect()),
        );
        let imported = paths.filter_map(|path: Vec<String>| {
            (1..=path.len()).rev().map(|most| path[..most].join("::")).find(|path| files.contains_key(path))
        });
        arrows.entry(module.clone()).or_default().extend(imported.filter(|import| import != module));
    }
    arrows
}

fn module_of(file: &str) -> String {
    let module = file.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::");
    if module == "lib" { String::new() } else { module }
}

/// The files that lead back to themselves, none where there are none.
fn circle(arrows: &Arrows) -> Vec<String> {
    let mut left = arrows.clone();
    loop {
        let ends: Vec<String> = left
            .iter()
            .filter(|(_, to)| to.iter().all(|to| !left.contains_key(to)))
            .map(|(at, _)| at.clone())
            .collect();
        if ends.is_empty() {
            return left.into_keys().collect();
        }
        for end in ends {
            left.remove(&end);
        }
    }
}

#[test]
fn files_of_a_room_form_no_circle() {
    for room in ROOMS {
        let arrows = arrows(room);
        assert!(arrows.values().any(|to| !to.is_empty()), "{room}: its imports are not seen");
        let circle = circle(&arrows);
        assert!(circle.is_empty(), "in {room} these lead back to themselves, or to such: {circle:?}");
    }
}

#[test]
fn a_circle_is_seen() {
    let one = |from: &str, to: &str| (from.to_owned(), BTreeSet::from([to.to_owned()]));
    assert_eq!(circle(&Arrows::from([one("a", "b"), one("b", "c"), one("c", "b"), one("d", "e")])), ["a", "b", "c"]);
    assert!(circle(&Arrows::from([one("a", "b"), one("b", "c")])).is_empty());
}
