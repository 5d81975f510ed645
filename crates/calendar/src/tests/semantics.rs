//! The examples of SEMANTICS.md, run: each is a story of a few sites, and what its columns say has to be so.
//!
//! A story is a fenced block. `given` lines come first, then the columns: one for each site's link, and if wanted
//! `taken` and `conflict`. A step is an instant of December 2026, a sentence, and what the columns then hold: nights
//! from arrival to departure, or a dash.

use std::{collections::BTreeMap, fmt::Write};

use jiff::{
    Timestamp,
    civil::{Date, Time},
};

use super::{
    build::*,
    home::{Home, sorted},
};
use crate::*;

/// What a site's feed shows, as the story tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown {
    uid: String,
    first: i8,
    end: i8,
    until: Option<Time>,
    kind: String,
}

struct Story {
    home: Home,
    /// Name and what its feed shows, in order of column.
    sites: Vec<(String, Vec<Shown>)>,
    columns: Vec<String>,
    paused: BTreeMap<ConnectionId, Source>,
    events: u32,
}

/// The story with what its columns really hold.
fn told(text: &str) -> String {
    let (mut out, mut story, mut givens): (String, Option<Story>, Vec<&str>) = Default::default();
    for line in text.lines() {
        let (sentence, cells) = line.split_once('|').map_or((line, None), |(sentence, cells)| (sentence, Some(cells)));
        if let Some(given) = line.strip_prefix("given ") {
            givens.push(given);
        } else if let Some(story) = &mut story {
            story.step(sentence.trim());
            if let Some(cells) = cells {
                let cells = cells.split('|').map(str::len).chain(std::iter::repeat(0));
                let columns = story.columns.iter().zip(cells).map(|(column, width)| {
                    let mut cell = format!(" {}", story.column(column));
                    while cell.len() < width {
                        cell.push(' ');
                    }
                    cell
                });
                writeln!(out, "{}", format!("{sentence}|{}", columns.collect::<Vec<_>>().join("|")).trim_end())
                    .unwrap();
                continue;
            }
        } else {
            story = Some(Story::of(cells.expect("the columns come first"), &givens));
        }
        writeln!(out, "{line}").unwrap();
    }
    out
}

impl Story {
    fn of(columns: &str, givens: &[&str]) -> Self {
        let columns: Vec<String> = columns.split('|').map(|column| column.trim().to_owned()).collect();
        let sites = columns.iter().filter(|column| !["taken", "conflict"].contains(&column.as_str()));
        let sites: Vec<(String, Vec<Shown>)> = sites.map(|name| (name.clone(), Vec::new())).collect();
        let numbers: Vec<u8> = (1..).take(sites.len()).collect();
        let mut story = Self { home: Home::of(&numbers), sites, columns, paused: BTreeMap::new(), events: 0 };
        for given in givens {
            if *given == "a night of turnover after each stay" {
                story.home.house = house_with_turnover(1);
            } else if *given == "reads of links are not recorded" {
                story.home.links.values_mut().for_each(|facts| *facts = LinkFacts::default());
            } else if let Some(site) = given.strip_suffix(" is not connected") {
                story.home.sources.remove(&connection(story.site(site)));
            } else if let Some(site) = given.strip_suffix(" is a master feed") {
                let id = connection(story.site(site));
                story.home.sources.get_mut(&id).unwrap().aggregates = true;
            } else {
                panic!("nobody knows what is given by {given:?}");
            }
        }
        story
    }

    /// `14th 10:00 Airbnb shows 20-24 sold`
    fn step(&mut self, step: &str) {
        let (when, sentence) = step.split_at(step.match_indices(' ').nth(1).expect("a step begins with its time").0);
        let (day, time) = when.split_once(' ').unwrap();
        let day = day.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let now = self.at(day.parse().unwrap(), time.parse().unwrap());
        assert!(now >= self.home.now, "{step}: time runs backwards");
        self.home.now = now;
        let sentence = sentence.trim();
        if sentence == "time passes" {
            self.home.wake();
        } else if let Some(said) = sentence.strip_prefix("the host ") {
            self.host(said);
        } else if let Some(asked) = sentence.strip_prefix("why ") {
            let (night, answer) = asked.split_once("? ").unwrap();
            assert_eq!(answer, self.why(date(night.parse().unwrap())), "{step}");
        } else {
            let (site, did) = sentence.split_once(' ').unwrap();
            let site = self.site(site);
            self.site_does(site, did);
        }
    }

    fn site_does(&mut self, site: u8, did: &str) {
        let id = connection(site);
        let mut shown = self.sites[usize::from(site) - 1].1.clone();
        let mut gone = None;
        match did.split_once(' ').unwrap_or((did, "")) {
            ("reads", "its link") => {
                self.home.reads_link(site);
                return;
            }
            ("is", "connected") => {
                self.home.connect(site);
                return;
            }
            ("is", "paused") => {
                self.home.change(None, |home| {
                    let source = home.sources.remove(&id).unwrap();
                    self.paused.insert(id, source);
                });
                return;
            }
            ("is", "resumed") => {
                let source = self.paused.remove(&id).unwrap();
                self.home.change(None, |home| {
                    home.sources.insert(id, source);
                });
                return;
            }
            ("cancels", range) => {
                let at = shown.iter().position(|shown| range == shown.range()).expect("it cancels what it shows");
                gone = Some(shown.remove(at));
            }
            ("moves", ranges) => {
                let (from, to) = ranges.split_once(" to ").unwrap();
                let moved = shown.iter_mut().find(|shown| from == shown.range()).expect("it moves what it shows");
                (moved.first, moved.end) = range(to);
            }
            ("shows", "the same") => {}
            ("shows", "nothing") => shown.clear(),
            ("shows", events) => {
                let events: Vec<Shown> = events.split(", ").map(|event| self.event(event, &shown)).collect();
                shown = events;
            }
            _ => panic!("nobody knows how a site {did}"),
        }
        let mut sightings: Vec<Sighting> = shown.iter().map(|shown| self.sighting(shown)).collect();
        sightings.extend(gone.map(|gone| Sighting { verdict: Verdict::Cancelled, ..self.sighting(&gone) }));
        self.sites[usize::from(site) - 1].1 = shown;
        self.home.feed(site, sightings);
    }

    /// `20-24 sold`, `20-24 until 18:00 sold`, `20-24 booked`, `20-24 closed`, `20-24 tagged`
    fn event(&mut self, text: &str, known: &[Shown]) -> Shown {
        let (nights, rest) = text.split_once(' ').expect("an event has a kind");
        let (until, kind) = match rest.strip_prefix("until ") {
            Some(rest) => rest.split_once(' ').map(|(until, kind)| (Some(until.parse().unwrap()), kind)).unwrap(),
            None => (None, rest),
        };
        let (first, end) = range(nights);
        self.events += 1;
        let before = known.iter().find(|known| (known.first, known.end) == (first, end));
        let uid = before.map_or_else(|| format!("event-{}", self.events), |known| known.uid.clone());
        Shown { uid, first, end, until, kind: kind.to_owned() }
    }

    fn sighting(&self, shown: &Shown) -> Sighting {
        let extent = match shown.until {
            None => extent(shown.first, shown.end),
            Some(until) => {
                let times = Times::new(self.at(shown.first, self.home.house.check_in()), self.at(shown.end, until));
                Extent::Times(times.unwrap())
            }
        };
        let (sign, kind) = match shown.kind.as_str() {
            "sold" => (Sign::Reservation, BlockKind::Reservation),
            "booked" => (Sign::None, BlockKind::Reservation),
            "closed" => (Sign::None, BlockKind::Closure),
            "tagged" => (Sign::Ours, BlockKind::Closure),
            kind => panic!("nobody knows what {kind} is"),
        };
        Sighting { sign, verdict: Verdict::Blocks(kind), ..sighting(&shown.uid, extent) }
    }

    fn host(&mut self, said: &str) {
        if let Some(nights) = said.strip_prefix("closes ") {
            let (first, end) = range(nights);
            self.home.add_own(extent(first, end), None);
        } else if let Some(nights) = said.strip_prefix("opens ") {
            let (first, end) = range(nights);
            let opened = |block: &Block| block.is_own() && block.extent == extent(first, end);
            self.home.change(None, |home| home.blocks.retain(|block| !opened(block)));
        } else if let Some(rest) = said.strip_prefix("extends ") {
            let (stay, until) = rest.split_once(" until ").unwrap();
            let stay = self.stay(stay);
            let end = stay.extent.nights(&self.home.house).unwrap().end();
            let from = self.at(end.day(), self.home.house.check_out());
            let late = Times::new(from, self.at(end.day(), until.parse().unwrap())).unwrap();
            self.home.add_own(Extent::Times(late), Some(stay.id));
        } else if let Some(stay) = said.strip_prefix("says that ").and_then(|rest| rest.strip_suffix(" is gone")) {
            let stay = self.stay(stay);
            let now = self.home.now;
            self.home.change(None, |home| home.claims = home.claims.said_gone(&home.picture(), &stay, now));
        } else if let Some(site) = said.strip_prefix("releases what ").and_then(|rest| rest.strip_suffix(" misses")) {
            let id = connection(self.site(site));
            let held = |block: &Block| block.connection() == Some(&id) && block.hold().is_some();
            self.home.change(None, |home| home.blocks.retain(|block| !held(block)));
        } else {
            panic!("nobody knows how the host {said}");
        }
    }

    /// `Airbnb's 20-24`
    fn stay(&self, text: &str) -> Block {
        let (site, nights) = text.split_once("'s ").unwrap();
        let (id, (first, end)) = (connection(self.site(site)), range(nights));
        let nights = extent(first, end).nights(&self.home.house);
        let is_it = |block: &&Block| block.connection() == Some(&id) && block.extent.nights(&self.home.house) == nights;
        self.home.blocks.iter().find(is_it).expect("there is such a stay").clone()
    }

    fn why(&self, night: Date) -> String {
        let claims = self.home.explained(night);
        let mut answers: Vec<(u8, String)> = Vec::new();
        for claim in claims {
            let number = claim.connection.as_ref().and_then(|id| {
                (1..).zip(&self.sites).find(|(number, _)| connection(*number) == *id).map(|(number, _)| number)
            });
            let who = number.map_or("the host", |number| self.sites[usize::from(number) - 1].0.as_str());
            let state = match claim.state {
                BlockState::Standing if claim.turnover => "turnover",
                BlockState::Standing => "stands",
                BlockState::Held => "held",
                BlockState::PossibleEcho => "may repeat us",
                BlockState::Echo => "repeats us",
                BlockState::Mirrored => "repeats another site",
                BlockState::Shown => "shown",
                BlockState::Paused => "paused",
            };
            let asked = if claim.asked_since.is_some() { ", asked" } else { "" };
            answers.push((number.unwrap_or(0), format!("{who}: {state}{asked}")));
        }
        answers.sort();
        answers.into_iter().map(|(_, answer)| answer).collect::<Vec<_>>().join("; ")
    }

    fn column(&self, column: &str) -> String {
        let nights = match column {
            "taken" => self.home.taken(),
            "conflict" => {
                sorted(self.home.conflicts.iter().filter_map(|conflict| conflict.nights).flat_map(Nights::iter))
            }
            site => self.home.link(self.site(site)),
        };
        let mut runs: Vec<(i8, i8)> = Vec::new();
        for night in nights {
            match runs.last_mut() {
                Some((_, end)) if *end == night.day() => *end += 1,
                _ => runs.push((night.day(), night.day() + 1)),
            }
        }
        let runs: Vec<String> = runs.into_iter().map(|(first, end)| format!("{first}-{end}")).collect();
        if runs.is_empty() { "-".to_owned() } else { runs.join(" ") }
    }

    fn site(&self, name: &str) -> u8 {
        let at = self.sites.iter().position(|(site, _)| site == name);
        at.and_then(|at| u8::try_from(at + 1).ok()).unwrap_or_else(|| panic!("nobody knows the site {name:?}"))
    }

    fn at(&self, day: i8, time: Time) -> Timestamp {
        self.home.house.instant(date(day).to_datetime(time))
    }
}

impl Shown {
    fn range(&self) -> String {
        format!("{}-{}", self.first, self.end)
    }
}

fn date(day: i8) -> Date {
    jiff::civil::date(2026, 12, day)
}

fn extent(first: i8, end: i8) -> Extent {
    Extent::Nights(Nights::new(date(first), date(end)).unwrap())
}

fn range(text: &str) -> (i8, i8) {
    let (first, end) = text.split_once('-').expect("nights are a range");
    (first.parse().unwrap(), end.parse().unwrap())
}

/// The fenced stories of a page.
fn stories(page: &str) -> Vec<&str> {
    page.split("```story\n").skip(1).map(|rest| rest.split_once("```").expect("a story ends").0).collect()
}

#[test]
fn the_examples_of_the_semantics_page_are_true() {
    let stories = stories(include_str!("../../SEMANTICS.md"));
    assert!(stories.len() > 8, "only {} stories were found", stories.len());
    for story in stories {
        let really = told(story);
        assert!(really == story, "the page says\n{story}\nand so it is\n{really}");
    }
}

#[test]
fn an_example_that_is_not_true_is_found() {
    let story = "            | Airbnb | Vrbo\n14th 10:00 Airbnb shows 20-24 sold | - | 20-23\n";
    assert!(told(story).ends_with("| - | 20-24\n"), "{}", told(story));
}
