//! Every kind of export as a file under `tests/fixtures/exports`, byte for byte, beside what it says as JSON. Other
//! people's readers read the same files (`tests/readers`). `CALMESH_GOLDENS=write` writes them anew: look at the
//! difference before you commit it.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use calmesh_calendar::*;
use jiff::{SignedDuration, civil::DateTime};

use super::world::*;
use crate::model::*;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/exports")
}

/// Compares or writes one golden export.
fn golden(name: &str, bytes: &[u8]) {
    let said = said(bytes);
    for (ending, found) in [("ics", bytes), ("json", said.as_bytes())] {
        let file = folder().join(format!("{name}.{ending}"));
        if std::env::var("CALMESH_GOLDENS").is_ok_and(|wish| wish == "write") {
            std::fs::write(&file, found).unwrap();
        }
        let kept = std::fs::read(&file).unwrap_or_else(|_| panic!("{} is missing", file.display()));
        assert_eq!(
            String::from_utf8_lossy(&kept),
            String::from_utf8_lossy(found),
            "{} is not what is rendered now",
            file.display()
        );
    }
}

/// What an export says, by a dull line reader of its own: unfold, split, unescape.
fn said(bytes: &[u8]) -> String {
    let text = String::from_utf8(bytes.to_vec()).unwrap().replace("\r\n ", "");
    let unescape =
        |value: &str| value.replace("\\n", "\n").replace("\\,", ",").replace("\\;", ";").replace("\\\\", "\\");
    let moment = |value: &str| match value.len() {
        8 => format!("{}-{}-{}", &value[..4], &value[4..6], &value[6..]),
        _ => format!(
            "{}-{}-{}T{}:{}:{}Z",
            &value[..4],
            &value[4..6],
            &value[6..8],
            &value[9..11],
            &value[11..13],
            &value[13..15]
        ),
    };
    let mut out = String::new();
    let mut events = Vec::new();
    let mut event = [String::new(), String::new(), String::new(), String::new()];
    let mut name = String::new();
    for line in text.lines() {
        let (key, value) = line.split_once(':').unwrap();
        match key.split(';').next().unwrap() {
            "X-WR-CALNAME" => name = unescape(value),
            "UID" => event[0] = value.to_owned(),
            "DTSTART" => event[1] = moment(value),
            "DTEND" => event[2] = moment(value),
            "SUMMARY" => event[3] = unescape(value),
            "END" if value == "VEVENT" => events.push(event.clone()),
            _ => {}
        }
    }
    writeln!(out, "{{\n  \"name\": {name:?},\n  \"events\": [").unwrap();
    for (at, [uid, start, end, summary]) in events.iter().enumerate() {
        let comma = if at + 1 < events.len() { "," } else { "" };
        writeln!(
            out,
            "    {{ \"uid\": {uid:?}, \"start\": {start:?}, \"end\": {end:?}, \"summary\": {summary:?} }}{comma}"
        )
        .unwrap();
    }
    out.push_str("  ]\n}\n");
    out
}

/// Two sites with a stay each, the host's own week with trying words, a late check-out, a turnover night.
async fn full_house() -> (World, ConnectionId, ConnectionId) {
    let world = World::new().await;
    let (a, b) = (world.connect("a", "airbnb").await, world.connect("b", "vrbo").await);
    for (id, name) in [(&a, "Airbnb, whole flat"), (&b, "Vrbo")] {
        world
            .change(|state| {
                let connection = state.connections.iter_mut().find(|known| known.id == *id).unwrap();
                connection.name = name.to_owned();
                state.property.turnover_nights = 1;
            })
            .await;
    }
    world.serve("a", airbnb(1, &[("HMAAAA", "2026-12-04", "2026-12-07")]));
    world.serve("b", airbnb(1, &[]));
    world.sweep().await;
    // One after the other, so that the ids that are drawn for them do not depend on who was read first.
    world.serve("b", airbnb(1, &[("HMBBBB", "2027-01-10", "2027-01-14")]));
    world.sweep().await;
    let now = world.now();
    world
        .change(|state| {
            let stay = state.blocks.iter().find(|block| block.connection() == Some(&a)).unwrap().id.clone();
            let house = state.house();
            let own = |number: u8, extent, summary: &str, extends| Block {
                id: BlockId::from_random([number; 16]),
                origin: Origin::Own { extends, lost: None },
                kind: BlockKind::Closure,
                extent,
                summary: summary.to_owned(),
                sequence: 2,
                first_seen_at: now,
                changed_at: now,
            };
            let week = Nights::new("2027-02-01".parse().unwrap(), "2027-02-08".parse().unwrap()).unwrap();
            let words = "Familie: Jürgen, Zoë; \\ „Käsespätzle“ 🏔\nzweite Zeile, die so lang ist, dass sie gefaltet werden muss";
            let at = |text: &str| house.instant(text.parse::<DateTime>().unwrap());
            let late = Times::new(at("2026-12-07T11:00"), at("2026-12-07T14:00")).unwrap();
            state.blocks.push(own(101, Extent::Nights(week), words, None));
            state.blocks.push(own(102, Extent::Times(late), "late check-out", Some(stay)));
            state.blocks.sort_by(|a, b| a.id.cmp(&b.id));
        })
        .await;
    world.work().await;
    (world, a, b)
}

async fn show(world: &World, connection: &ConnectionId, detail: Detail, format: Format) -> Vec<u8> {
    world
        .change(|state| {
            let connection = state.connections.iter_mut().find(|known| known.id == *connection).unwrap();
            let export = connection.export.as_mut().unwrap();
            (export.detail, export.format) = (detail, format);
        })
        .await;
    world.work().await;
    bytes_of(world, connection).await
}

async fn bytes_of(world: &World, connection: &ConnectionId) -> Vec<u8> {
    let state = world.state().await;
    let connection = state.connections.iter().find(|known| known.id == *connection).unwrap();
    world.objects.exports()[&connection.export.as_ref().unwrap().token].to_vec()
}

#[tokio::test]
async fn every_detail_and_format_of_a_link() {
    let (world, _, b) = full_house().await;
    golden("busy-nights", &show(&world, &b, Detail::Busy, Format::Nights).await);
    golden("busy-times", &show(&world, &b, Detail::Busy, Format::Times).await);
    golden("label-nights", &show(&world, &b, Detail::Label, Format::Nights).await);
    golden("full-nights", &show(&world, &b, Detail::Full, Format::Nights).await);
    golden("full-times", &show(&world, &b, Detail::Full, Format::Times).await);
}

#[tokio::test]
async fn a_stays_own_site_is_shown_its_turnover_night_and_late_check_out() {
    let (world, a, _) = full_house().await;
    golden("own-site-times", &show(&world, &a, Detail::Label, Format::Times).await);
}

#[tokio::test]
async fn empty_links() {
    let world = World::new().await;
    let (airbnb, booking) = (world.connect("a", "airbnb").await, world.connect("b", "booking_com").await);
    golden("empty", &bytes_of(&world, &airbnb).await);
    golden("empty-far-past", &bytes_of(&world, &booking).await);
}

#[tokio::test]
async fn paused_and_retired_links() {
    let (world, _, b) = full_house().await;
    let token =
        world.state().await.connections.iter().find(|known| known.id == b).unwrap().export.clone().unwrap().token;
    world
        .change(|state| {
            let connection = state.connections.iter_mut().find(|known| known.id == b).unwrap();
            connection.status = Status::Paused { until: None };
        })
        .await;
    world.work().await;
    golden("paused", &bytes_of(&world, &b).await);
    let until = world.now() + SignedDuration::from_hours(24 * 7);
    world
        .change(|state| {
            state.connections.retain(|known| known.id != b);
            let serves = RetiringServes::Empty { provider: "vrbo".into() };
            state.retiring.push(RetiringLink { token: token.clone(), serves, until });
        })
        .await;
    world.work().await;
    golden("retired", &world.objects.exports()[&token]);
}

#[tokio::test]
async fn an_extra_link() {
    let (world, ..) = full_house().await;
    let link = world
        .extra_link("Cleaning; Maria, Tue+Fri", LinkScope::Properties([world.property.clone()].into()), Detail::Full)
        .await;
    world.app.publish.publish_link(&link.id).await.unwrap();
    golden("extra-link", &world.objects.exports()[&link.token]);
}
