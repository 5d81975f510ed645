//! Killed in the middle of work: what was acknowledged stands after the next start.

use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, Instant},
};

use calmesh_tests::{
    bodies::booking_com,
    dates::next_year,
    program::{Program, stays_of, text},
};
use serde_json::json;

use crate::{Site, begin};

#[tokio::test]
async fn a_block_that_was_acknowledged_reaches_the_links_though_the_program_is_killed_at_once() {
    let (mut program, feeds) = begin().await;
    feeds.set("booking", booking_com());
    let flat = program.property().await;
    let b = Site::connect(&program, &flat, "Booking.com", &feeds.url("booking")).await;
    let mut expected: Vec<String> = Vec::new();
    for month in 1..=5 {
        for day in [3, 10] {
            let (start, end) = (format!("0{month}-{day:02}"), format!("0{month}-{:02}", day + 2));
            let body = json!({ "kind": "closure", "start": next_year(&start), "end": next_year(&end) });
            program.post(&format!("/v1/properties/{flat}/blocks"), body).await.expect(201);
            expected.push(format!("{start}/{end}"));
        }
        program.kill();
        program.restart().await;
        // What was acknowledged is finished before anybody is served.
        assert_eq!(stays_of(&program.peek(&b.link).await.text), expected);
    }
    assert!(program.stop().await);
}

#[tokio::test]
async fn a_refresh_that_was_running_at_the_kill_comes_to_its_end_after_the_start() {
    let (mut program, feeds) = begin().await;
    feeds.set("booking", booking_com().closed("03-10", "03-12"));
    feeds.set("other", booking_com());
    let flat = program.property().await;
    let b = Site::connect(&program, &flat, "Booking.com", &feeds.url("booking")).await;
    let o = Site::connect(&program, &flat, "Another", &feeds.url("other")).await;
    program.until_link(&o.link, &["03-10/03-12"]).await;
    let gate = feeds.hold("booking");
    let seen = feeds.count("booking");
    let refresh = text(&program.post(&b.path("/refresh"), json!({})).await.expect(202), "/id");
    feeds.arrived("booking", seen + 1).await;
    program.kill();
    feeds.set("booking", booking_com().closed("03-10", "03-12").closed("04-10", "04-12"));
    gate.open();
    program.restart().await;
    let outcomes = program.refreshed(&refresh).await;
    assert_eq!(outcomes[0]["outcome"], "changed", "the refresh that was accepted, not another one: {outcomes}");
    assert_eq!(stays_of(&program.peek(&o.link).await.text), ["03-10/03-12", "04-10/04-12"]);
}

/// A calendar that says the same, and is too large to be kept in the store.
fn large(calendar: &str) -> String {
    let padding = format!("X-PADDING:{}\n", "0".repeat(60)).repeat(600);
    calendar.replace("END:VCALENDAR", &format!("{padding}END:VCALENDAR"))
}

/// How many bodies are kept among the objects that are in use.
fn bodies_kept(objects: &Path) -> usize {
    let reader = rusqlite::Connection::open_with_flags(objects, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let count = "SELECT count(*) FROM objects JOIN pieces ON number = first WHERE key LIKE 'snapshots/current/%'";
    reader.query_row(count, [], |row| row.get(0)).unwrap()
}

/// Damages the file of objects, its log, or both.
type Damage = fn(&Path, &Path);

const DAMAGES: [(&str, Damage); 9] = [
    ("the file is emptied", |file, _| std::fs::write(file, "").unwrap()),
    ("both are emptied", |file, log| {
        std::fs::write(file, "").unwrap();
        std::fs::write(log, "").unwrap();
    }),
    ("both are cut in half", |file, log| [file, log].into_iter().for_each(cut_in_half)),
    ("the log is cut in half", |_, log| cut_in_half(log)),
    ("the log is zeroed", |_, log| std::fs::write(log, [0; 4096]).unwrap()),
    ("the file is zeroed", |file, _| std::fs::write(file, [0; 4096]).unwrap()),
    ("the file is removed", |file, _| std::fs::remove_file(file).unwrap()),
    ("the log is removed", |_, log| std::fs::remove_file(log).unwrap()),
    ("the bytes of all objects are damaged", |file, _| {
        let damager = rusqlite::Connection::open(file).unwrap();
        damager.execute("UPDATE pieces SET bytes = zeroblob(length(bytes))", []).unwrap();
    }),
];

fn cut_in_half(file: &Path) {
    let whole = std::fs::read(file).unwrap();
    std::fs::write(file, &whole[..whole.len() / 2]).unwrap();
}

#[tokio::test]
async fn links_and_feeds_that_a_power_cut_took_are_whole_again_after_the_start() {
    let (mut program, feeds) = begin().await;
    feeds.set("booking", large(&booking_com().closed("03-10", "03-12").body()));
    feeds.set("other", large(&booking_com().body()));
    let flat = program.property().await;
    let b = Site::connect(&program, &flat, "Booking.com", &feeds.url("booking")).await;
    let o = Site::connect(&program, &flat, "Another", &feeds.url("other")).await;
    let stays = ["03-10/03-12"];
    program.until_link(&o.link, &stays).await;
    let before = program.peek(&o.link).await.text;
    let objects = Path::new(program.told("data")).join("objects.db");
    for (what, damage) in DAMAGES {
        program.kill();
        damage(&objects, &objects.with_extension("db-wal"));
        program.restart().await;
        program.until_link(&o.link, &stays).await;
        assert_eq!(program.peek(&o.link).await.text, before, "{what}");
        program.until_link(&b.link, &[]).await;
        // The feeds are the same as before, and still they are kept again.
        program
            .until("both feeds are kept again", async || {
                program.refresh(&format!("/v1/properties/{flat}/refresh")).await;
                (bodies_kept(&objects) == 2).then_some(())
            })
            .await;
    }
    // Nothing is frozen: what changes now is seen.
    feeds.set("booking", booking_com().closed("03-10", "03-12").closed("05-10", "05-12"));
    program.refresh(&b.path("/refresh")).await;
    program.until_link(&o.link, &["03-10/03-12", "05-10/05-12"]).await;
}

#[tokio::test]
async fn links_are_made_anew_while_it_runs_when_their_file_is_found_to_be_damaged() {
    let (mut program, feeds) = begin().await;
    feeds.set("booking", booking_com().closed("03-10", "03-12"));
    let flat = program.property().await;
    let b = Site::connect(&program, &flat, "Booking.com", &feeds.url("booking")).await;
    let mut links = Vec::new();
    for nth in 0..12 {
        let name = format!("other-{nth}");
        feeds.set(&name, booking_com());
        links.push(Site::connect(&program, &flat, &name, &feeds.url(&name)).await.link);
    }
    for link in &links {
        program.until_link(link, &["03-10/03-12"]).await;
    }
    assert!(program.stop().await);
    let objects = Path::new(program.told("data")).join("objects.db");
    let mut whole = std::fs::read(&objects).unwrap();
    // The tables are there, and nothing that is in them.
    whole[3 * 4096..].fill(0xa5);
    std::fs::write(&objects, whole).unwrap();
    program.restart().await;
    for link in &links {
        program.until_link(link, &["03-10/03-12"]).await;
    }
    let body = json!({ "kind": "closure", "start": next_year("06-03"), "end": next_year("06-05") });
    program.post(&format!("/v1/properties/{flat}/blocks"), body).await.expect(201);
    for link in &links {
        program.until_link(link, &["03-10/03-12", "06-03/06-05"]).await;
    }
    program.until_link(&b.link, &["06-03/06-05"]).await;
    assert!(program.log().contains("the file of objects is damaged and made anew"), "{}", program.log());
    assert!(program.stop().await);
}

/// So many times; `CALMESH_KILLS` says otherwise.
fn kills() -> u64 {
    std::env::var("CALMESH_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(6)
}

/// Asks without an answer in mind: the program may be killed under it.
async fn post_block(program: &Program, flat: &str, start: &str, end: &str) -> bool {
    let url = format!("{}/v1/properties/{flat}/blocks", program.told("api"));
    let body = json!({ "kind": "closure", "start": start, "end": end });
    let request = reqwest::Client::new().post(url).bearer_auth(program.told("token"));
    let request = request.header("content-type", "application/json").body(body.to_string());
    request.send().await.is_ok_and(|answer| answer.status() == 201)
}

#[tokio::test]
async fn wherever_it_is_killed_what_was_acknowledged_stands_once_and_on_every_link() {
    let (mut program, feeds) = begin().await;
    feeds.set("booking", booking_com());
    let flat = program.property().await;
    let b = Site::connect(&program, &flat, "Booking.com", &feeds.url("booking")).await;
    let (mut acknowledged, mut asked) = (BTreeSet::new(), BTreeSet::new());
    let mut day: jiff::civil::Date = "2026-12-20".parse().unwrap();
    for kill in 0..kills() {
        // Spread over what a write and its links take, by a step that meets no rhythm of ours.
        let end = Instant::now() + Duration::from_micros(kill * 7919 % 60_000);
        loop {
            let start = day;
            day = day.tomorrow().unwrap();
            let stay = format!("{start}/{day}");
            asked.insert(stay.clone());
            let (first, last) = (start.to_string(), day.to_string());
            let written = post_block(&program, &flat, &first, &last);
            match tokio::time::timeout_at(end.into(), written).await {
                Ok(true) => drop(acknowledged.insert(stay)),
                Ok(false) => panic!("a free night is refused"),
                Err(_) => break,
            }
        }
        program.kill();
        program.restart().await;
        let shown = stays_of(&program.peek(&b.link).await.text);
        let once: BTreeSet<String> = shown.iter().cloned().collect();
        assert_eq!(once.len(), shown.len(), "after kill {kill}: {shown:?}");
        assert!(acknowledged.is_subset(&once), "after kill {kill}: {:?} are lost", acknowledged.difference(&once));
        assert!(once.is_subset(&asked), "after kill {kill}");
        // One that was not acknowledged may stand all the same.
        acknowledged = once;
    }
}
