//! What files import, as their text says it.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where a crate's files are.
pub(crate) fn source_of(room: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates").join(room).join("src")
}

pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .collect()
}

/// A file's words without its comments and its tests, and without blanks.
pub(crate) fn code_of(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
    let lines = code.lines().map(|line| line.split("//").next().unwrap());
    lines.flat_map(str::chars).filter(|character| !character.is_whitespace()).collect()
}

/// Every path of names that begins so, in imports (their braces opened) and wherever else it stands.
pub(crate) fn paths_of(code: &str, beginning: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(beginning) {
        // Part of a longer name.
        let before = code[..at].chars().next_back();
        if before.is_some_and(|character| character == ':' || character == '_') {
            continue;
        }
        open(&code[at + beginning.len()..], &[], &mut found);
    }
    found
}

/// Reads one path, or several in braces; answers what follows it.
fn open<'a>(text: &'a str, outer: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    if let Some(mut list) = text.strip_prefix('{') {
        loop {
            if let Some(rest) = list.strip_prefix('}') {
                return rest;
            }
            let rest = open(list, outer, found);
            list = rest.strip_prefix(',').unwrap_or(rest);
            // Nothing that is a list of imports.
            if list.is_empty() || list.len() == rest.len() && !list.starts_with('}') {
                return list;
            }
        }
    }
    let end = text.find(|character: char| !character.is_alphanumeric() && character != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let path = [outer, &[name.to_owned()]].concat();
    match rest.strip_prefix("::") {
        Some(inner) if !name.is_empty() => open(inner, &path, found),
        _ => {
            if !name.is_empty() {
                found.push(path);
            }
            rest
        }
    }
}

#[test]
fn what_stands_in_braces_and_by_itself_is_an_import() {
    let code = "usecrate::{a::{b::C,d},e::F};usecrate::g::H;fnf(){crate::i::j(crate::k)}usesuper::l;";
    let found: Vec<String> = paths_of(code, "crate::").into_iter().map(|path| path.join("::")).collect();
    assert_eq!(found, ["a::b::C", "a::d", "e::F", "g::H", "i::j", "k"]);
}
