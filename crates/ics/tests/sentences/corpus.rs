//! The fuzzers' corpus on stable: what once was interesting stays harmless.

use std::{fs, path::Path};

#[path = "../../fuzz/targets.rs"]
mod targets;

fn replay(name: &str, target: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join("corpus").join(name);
    let mut replayed = 0;
    for file in fs::read_dir(folder).unwrap() {
        target(&fs::read(file.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(replayed > 0);
}

#[test]
fn the_corpus_of_parsing_is_harmless() {
    replay("parse", targets::parse);
}

#[test]
fn the_corpus_of_expansion_is_harmless() {
    replay("expand", targets::expand);
}

#[test]
fn the_corpus_of_the_round_trip_is_harmless() {
    replay("round_trip", targets::round_trip);
}
