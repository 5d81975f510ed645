//! What a digest ignores, and what it never does.

use calmesh_ics::{Meaning, meaning};

use crate::support::*;

const STAY: &str =
    "BEGIN:VEVENT\nUID:1\nDTSTAMP:20270101T000000Z\nDTSTART;VALUE=DATE:20270110\nDTEND;VALUE=DATE:20270113\nEND:VEVENT";
const OTHER: &str = "BEGIN:VEVENT\nUID:2\nDTSTAMP:20270101T000000Z\nDTSTART;VALUE=DATE:20270120\nEND:VEVENT";

fn of(lines: &str) -> Meaning {
    meaning(calendar(lines).as_bytes())
}

#[test]
fn stamps_order_folding_and_line_ends_mean_nothing() {
    let plain = of(&format!("{STAY}\n{OTHER}"));
    assert_eq!(of(&format!("{OTHER}\n{STAY}")), plain);
    let stamped = STAY
        .replace("20270101T000000Z", "20270203T040506Z\nLAST-MODIFIED;X=y:20270101T000000Z\ncreated:20270101T000000Z");
    assert_eq!(of(&format!("{stamped}\n{OTHER}")), plain);
    assert_eq!(of(&format!("{STAY}\n{OTHER}").replace("2027011", "2027\n 011")), plain);
    for end in ["\r\n", "\r", "\n\n"] {
        assert_eq!(meaning(calendar(&format!("{STAY}\n{OTHER}")).replace('\n', end).as_bytes()), plain);
    }
    let with_bom = format!("\u{FEFF}{}", calendar(&format!("{STAY}\n{OTHER}")));
    assert_eq!(meaning(with_bom.as_bytes()), plain);
}

#[test]
fn whatever_reads_differently_means_something_else() {
    let plain = of(&format!("{STAY}\n{OTHER}"));
    for changed in [
        format!("{}\n{OTHER}", STAY.replace("20270113", "20270114")),
        format!("{}\n{OTHER}", STAY.replace("UID:1", "UID:3")),
        format!("{}\n{OTHER}", STAY.replace("UID:1", "UID:1\nSUMMARY:x")),
        format!("{}\n{OTHER}", STAY.replace("UID:1", "UID:1\nSTATUS:CANCELLED")),
        format!("X-WR-TIMEZONE:Europe/Berlin\n{STAY}\n{OTHER}"),
        STAY.to_owned(),
        format!("{STAY}\n{OTHER}\n{OTHER}"),
        format!("{STAY}\n{}", OTHER.replace("END:VEVENT", "")),
        format!("{STAY}\nEND:VCALENDAR\nBEGIN:VCALENDAR\n{OTHER}"),
    ] {
        assert_ne!(of(&changed), plain, "{changed}");
    }
    let whole = calendar(&format!("{STAY}\n{OTHER}"));
    assert_ne!(meaning(&whole.as_bytes()[..whole.len() - 3]), plain);
}

#[test]
fn a_stamp_hides_only_its_own_lines() {
    // A line that is no property is one of its own, and a folded piece belongs to the property before it.
    let stamped = |line: &str| of(&format!("BEGIN:VEVENT\nUID:a\nDTSTAMP:x\n{line}\nDTSTART:20270110\nEND:VEVENT"));
    let plain = of("BEGIN:VEVENT\nUID:a\nDTSTART:20270110\nEND:VEVENT");
    assert_ne!(stamped("junk"), plain);
    assert_eq!(stamped(" junk"), plain);
}

#[test]
fn a_meaning_survives_its_own_text() {
    let known = of(STAY);
    assert_eq!(known.to_string().len(), 64);
    assert_eq!(known.to_string().parse(), Ok(known));
    assert_eq!(Meaning::from_bytes(*known.as_bytes()), known);
    for text in ["", "00", &"g".repeat(64), &"0".repeat(65), &"€".repeat(32)] {
        assert!(text.parse::<Meaning>().is_err(), "{text}");
    }
}

#[test]
fn every_body_has_a_meaning() {
    assert_ne!(meaning(b""), meaning(b"<html>"));
    assert_eq!(meaning(b"<html>"), meaning(b"<html>"));
}
