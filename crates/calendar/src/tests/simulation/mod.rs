//! The whole of `calendar` in worlds out of seeds: booking sites with habits, guests, hosts, outages, crashes; and us
//! between them. No wall clock; a seed is a world, every time.
//!
//! `cargo nextest run -p calmesh-calendar simulation` runs 2,000 worlds; more with `CALMESH_SEEDS=0..50000` and
//! `--run-ignored all`.

mod rng;
mod service;
mod site;
mod world;

use service::Method;
use world::{Figures, Setting, World};

use crate::claims::Rules;

fn run(seeds: impl Iterator<Item = u64>, method: Method) -> Figures {
    let mut all = Figures::default();
    for seed in seeds {
        all.add(World::new(seed, Setting::of(seed), method, false).run().0);
    }
    all.phantoms.sort_unstable();
    all
}

fn report(name: &str, figures: &Figures) -> String {
    let hours = |minutes: i64| minutes / 60;
    let percentile =
        |of: usize| figures.phantoms.get(figures.phantoms.len().saturating_sub(1) * of / 1000).copied().unwrap_or(0);
    let mut text = format!(
        "{name}: {} worlds, {} days, {} steps, {} takes, {} stays, {} double ({} avoidable), on sale {} h, freed again {} h\n  phantoms {}: median {} h, 99% {} h, 99.9% {} h, worst {} h; settled after {} h; stuck {}, missing {}, violations {}, conflicts {} ({} false), idle writes {}\n  gaps",
        figures.runs,
        figures.simulated_days,
        figures.steps,
        figures.takes,
        figures.stays,
        figures.double_bookings,
        figures.avoidable,
        hours(figures.on_sale),
        hours(figures.freed_again),
        figures.phantoms.len(),
        hours(percentile(500)),
        hours(percentile(990)),
        hours(percentile(999)),
        hours(percentile(1000)),
        hours(figures.settled_after),
        figures.stuck,
        figures.missing,
        figures.violations,
        figures.conflicts,
        figures.false_conflicts,
        figures.idle_writes,
    );
    for (gap, minutes) in &figures.gaps {
        text += &format!(" {gap:?} {} h", hours(*minutes));
    }
    for line in figures.trouble.iter().take(12) {
        text += &format!("\n  {line}");
    }
    text
}

#[test]
fn first_look() {
    let from: u64 = std::env::var("FROM").ok().and_then(|v| v.parse().ok()).unwrap_or(0);
    let to: u64 = std::env::var("TO").ok().and_then(|v| v.parse().ok()).unwrap_or(20);
    if let Ok(seed) = std::env::var("STORY") {
        let seed = seed.parse().unwrap();
        let (figures, story) = World::new(seed, Setting::of(seed), Method::Rules(Rules::default()), true).run();
        println!("{}", story.join("\n"));
        println!("{}", report("story", &figures));
        return;
    }
    let start = std::time::Instant::now();
    println!("{}", report("rules", &run(from..to, Method::Rules(Rules::default()))));
    println!("{:?}", start.elapsed());
    if std::env::var("SIMPLE").is_err() {
        return;
    }
    println!("{}", report("simple", &run(from..to, Method::DropLookalikes)));
}
