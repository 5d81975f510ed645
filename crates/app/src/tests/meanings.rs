//! What every body of `tests/fixtures` means, as one file, beside the reader that understood it so. Kept bodies are read
//! anew only where [`READER`] was raised, so whoever changes what a body means must raise it.
//! `CALMESH_GOLDENS=write` writes the file anew: look at the difference before you commit it.

use std::{fmt::Write, fs, path::Path};

use calmesh_calendar::{Extent, House};

use crate::{READER, judge_feed, read_body};

/// The files below a folder that are calendars, by their paths from it, in order.
fn bodies(folder: &Path, below: &str, out: &mut Vec<String>) {
    for entry in fs::read_dir(folder.join(below)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{below}/{}", entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() {
            bodies(folder, &path, out);
        } else if path.ends_with(".ics") {
            out.push(path);
        }
    }
    out.sort();
}

fn meaning_of(body: &[u8]) -> String {
    let now = "2026-11-30T08:00:00Z".parse().unwrap();
    let house = House::ordinary();
    let generic = calmesh_profiles::generic();
    let told = match read_body(body, &house, generic, now) {
        Ok(reading) => calmesh_profiles::detect(None, reading.prodid.as_deref()),
        Err(refusal) => return format!("  refused: {refusal}\n"),
    };
    let reading = read_body(body, &house, told, now).unwrap();
    let mut lines: Vec<String> = judge_feed(&reading, told, &told.policy)
        .into_iter()
        .map(|sighting| {
            let extent = match sighting.extent {
                Extent::Nights(nights) => format!("{}..{}", nights.first(), nights.end()),
                Extent::Times(times) => format!("{}..{}", times.start(), times.end()),
            };
            format!("  {extent} {:?} {:?} {}\n", sighting.verdict, sighting.sign, sighting.rule)
        })
        .collect();
    lines.sort();
    lines.concat()
}

#[test]
fn what_a_body_means_changes_only_with_a_new_reader() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    let mut paths = Vec::new();
    bodies(&folder, "feeds", &mut paths);
    assert!(paths.len() > 20, "the fixtures are missing");
    let mut found = String::new();
    for path in paths {
        let meaning = meaning_of(&fs::read(folder.join(&path)).unwrap());
        write!(found, "{path}\n{meaning}").unwrap();
    }
    let file = folder.join("meanings.txt");
    let wants_it_written = std::env::var("CALMESH_GOLDENS").is_ok_and(|wish| wish == "write");
    let kept = fs::read_to_string(&file).unwrap_or_default();
    let (reader, meanings) = kept.split_once('\n').unwrap_or_default();
    let is_new_reader = reader != format!("reader {READER}");
    if wants_it_written && (is_new_reader || kept.is_empty()) {
        fs::write(&file, format!("reader {READER}\n{found}")).unwrap();
        return;
    }
    assert!(!is_new_reader, "meanings.txt is of another reader: CALMESH_GOLDENS=write writes it anew");
    for (kept, found) in meanings.lines().zip(found.lines()) {
        assert_eq!(kept, found, "what a body means has changed: raise READER, then CALMESH_GOLDENS=write");
    }
    assert_eq!(meanings.len(), found.len(), "a fixture came or went: remove meanings.txt, then CALMESH_GOLDENS=write");
}
