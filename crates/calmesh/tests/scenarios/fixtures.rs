//! Every fixture feed, read as its table says.

use std::path::Path;

use calmesh_app::check_body;
use jiff::{Timestamp, tz::TimeZone};

/// One row of the table in `tests/fixtures/feeds/README.md`.
fn rows(table: &str) -> Vec<Vec<String>> {
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    rows.map(|line| line.split('|').skip(1).map(|cell| cell.trim().trim_matches('`').to_owned()).collect()).collect()
}

#[test]
fn every_fixture_is_read_as_its_table_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/feeds");
    let table = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let zone = TimeZone::get("Europe/Madrid").unwrap();
    let now: Timestamp = "2026-11-21T08:00:00Z".parse().unwrap();
    let mut wrong = Vec::new();
    let rows = rows(&table);
    assert!(rows.len() > 60, "{}", rows.len());
    for row in rows {
        let [file, provider, outcome, _events, blocks, nights] = &row[..6] else { panic!("{row:?}") };
        let body = std::fs::read(folder.join(file)).unwrap();
        let report = check_body(&body, Some(&zone), now, None);
        let found = match &report.problem {
            None => format!("reading {} {} {}", report.provider, report.blocks.len(), report.nights.len()),
            Some(problem) => problem.kind.to_owned(),
        };
        let wanted = match outcome.as_str() {
            "reading" => format!("reading {provider} {blocks} {nights}"),
            refusal => refusal.to_owned(),
        };
        if found != wanted {
            wrong.push(format!("{file}: {found}, and the table says {wanted}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
