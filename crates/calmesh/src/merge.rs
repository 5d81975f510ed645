//! `calmesh merge`: one calendar out of several, once. A source that can't be used ends it: a calendar that lacks one
//! of them would show taken nights as free.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use calmesh_app::{counted, judge_feed, model::SecretHash, ports::Clock, read_body, refused};
use calmesh_calendar::{Extent, House, Verdict};
use calmesh_feeds_http::HttpFeedsError;
use calmesh_ics::{Document, DocumentEvent, Refusal, render};
use calmesh_lambda_kit::SystemClock;
use futures::{StreamExt, stream};
use jiff::{Timestamp, civil::time, tz::TimeZone};

use crate::{
    args::Merge,
    output::{self, Style, harmless},
    source::{self, Source, SourceError},
};

const AT_ONCE: usize = 8;
const NAME: &str = "Calendar";
/// What it shows of each stay, as a private link does.
const SUMMARY: &str = "Not available";
const REFRESH_MINUTES: u32 = 15;

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MergeError {
    #[error("{shown}: {}", harmless(&source.to_string()))]
    Source { shown: String, source: SourceError },
    #[error("{shown}: {}", harmless(detail))]
    NotUsable { shown: String, detail: String },
    #[error("no feed can be fetched here")]
    Fetcher(#[source] HttpFeedsError),
    #[error("{} of {total} calendars can't be used, so nothing was written:\n{}", faults.len(), lines(faults))]
    Several { faults: Vec<MergeError>, total: usize },
    #[error("{} can't be written: choose another place with --out", file.display())]
    Out {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
}

fn lines(faults: &[MergeError]) -> String {
    faults.iter().map(|fault| format!("  {fault}")).collect::<Vec<_>>().join("\n")
}

/// Reads all of them, joins what they block, writes one calendar.
///
/// # Errors
/// When any of them can't be used, or the result can't be written.
pub(crate) async fn run(args: &Merge) -> Result<(), MergeError> {
    if args.allow_private_feeds {
        output::warn("calmesh: WARNING: --allow-private-feeds is on; use it for tests only.");
    }
    let zone = args.zone.clone().unwrap_or(TimeZone::UTC);
    let house = House::new(zone, time(15, 0, 0, 0), time(11, 0, 0, 0), 0).unwrap_or_else(|_| House::ordinary());
    let now = SystemClock.now();
    let feeds =
        source::feeds(&source::agent_of_nobody(), args.allow_private_feeds, None).map_err(MergeError::Fetcher)?;
    let progress = output::progress("reading calendars", args.sources.len());
    let parts: Vec<Result<Part, MergeError>> = stream::iter(&args.sources)
        .map(|text| async {
            let part = Part::read(text, &feeds, &house, now, args.allow_private_feeds).await;
            progress.inc(1);
            part
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    progress.finish_and_clear();
    let (mut read, mut faults) = (Vec::new(), Vec::new());
    for part in parts {
        match part {
            Ok(part) => read.push(part),
            Err(fault) => faults.push(fault),
        }
    }
    match faults.len() {
        0 => {}
        1 if args.sources.len() == 1 => return Err(faults.remove(0)),
        _ => return Err(MergeError::Several { faults, total: args.sources.len() }),
    }
    let joined: BTreeSet<Extent> = read.iter().flat_map(|part| part.extents.iter().copied()).collect();
    let nights: BTreeSet<_> =
        joined.iter().filter_map(|extent| extent.nights(&house)).flat_map(calmesh_calendar::Nights::iter).collect();
    let bytes = render(&document(&joined));
    match &args.out {
        None => output::say_bytes(&bytes),
        Some(file) => {
            write_whole(file, &bytes).map_err(|source| MergeError::Out { file: file.clone(), source })?;
            let summary = Summary { parts: &read, stays: joined.len(), nights: nights.len(), file };
            output::say(&summary.text(Style::of_stdout()));
        }
    }
    Ok(())
}

/// What one calendar blocks.
struct Part {
    shown: String,
    provider: &'static str,
    extents: BTreeSet<Extent>,
    warnings: usize,
}

impl Part {
    async fn read(
        text: &str,
        feeds: &dyn calmesh_app::ports::FeedSource,
        house: &House,
        now: Timestamp,
        private: bool,
    ) -> Result<Self, MergeError> {
        let shown_text = || harmless(text);
        let source = Source::parse(text).map_err(|source| MergeError::Source { shown: shown_text(), source })?;
        let shown = source.shown();
        let body = source.body(feeds).await.map_err(|source| match source {
            SourceError::Fetch(failure) => SourceError::Fetch(source::with_flag(failure, private)),
            other => other,
        });
        let body = body.map_err(|source| MergeError::Source { shown: shown.clone(), source })?;
        let url = source.url();
        let not_usable =
            |refusal: Refusal| MergeError::NotUsable { shown: shown.clone(), detail: refused(&refusal).detail };
        let mut profile = calmesh_profiles::detect(url.as_ref(), None);
        let mut reading = read_body(&body, house, profile, now).map_err(not_usable)?;
        let known = calmesh_profiles::detect(url.as_ref(), reading.prodid.as_deref());
        // Some sites mean the last night where others mean the departure.
        if known.quirks.end_is_last_night != profile.quirks.end_is_last_night {
            reading = read_body(&body, house, known, now).map_err(not_usable)?;
        }
        profile = known;
        let blocking = judge_feed(&reading, profile, &profile.policy)
            .into_iter()
            .filter(|sighting| matches!(sighting.verdict, Verdict::Blocks(_)));
        let extents = blocking.map(|sighting| sighting.extent).collect();
        Ok(Self { shown, provider: profile.name.as_str(), extents, warnings: reading.warnings.len() })
    }
}

/// One event for each extent, however many calendars show it.
fn document(extents: &BTreeSet<Extent>) -> Document {
    let event = |extent: &Extent| {
        // An event's id is what it says, and it says nothing else: so it never changes, and the same sources make
        // the same bytes. That is also why its stamp is no present instant.
        let id = SecretHash::of(&format!("{extent:?}")).to_hex();
        DocumentEvent {
            uid: format!("{}@calmesh", id.get(..32).unwrap_or(&id)),
            extent: *extent,
            summary: SUMMARY.to_owned(),
            description: None,
            stamp: Timestamp::UNIX_EPOCH,
            sequence: 0,
        }
    };
    Document { name: NAME.to_owned(), refresh_minutes: REFRESH_MINUTES, events: extents.iter().map(event).collect() }
}

/// Whole or not at all: another program may be reading the old one.
fn write_whole(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    fs::write(&beside, bytes)?;
    fs::rename(&beside, file)
}

struct Summary<'a> {
    parts: &'a [Part],
    stays: usize,
    nights: usize,
    file: &'a Path,
}

impl Summary<'_> {
    fn text(&self, style: Style) -> String {
        let width = self.parts.iter().map(|part| part.shown.chars().count()).max().unwrap_or_default();
        let mut lines = vec![String::new()];
        for part in self.parts {
            let mut line = format!(
                "  {:<width$}  {:<14}  {:>4} that block",
                harmless(&part.shown),
                part.provider,
                part.extents.len()
            );
            if part.warnings > 0 {
                line.push_str(
                    &style.warning(&format!("  {}: calmesh check shows them", counted(part.warnings, "warning"))),
                );
            }
            lines.push(line);
        }
        let whole = format!(
            "{}: {}, {} taken",
            self.file.display(),
            counted(self.stays, "stay"),
            counted(self.nights, "night")
        );
        lines.extend([String::new(), format!("  {}", style.bold(&whole)), String::new()]);
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nights(first: &str, end: &str) -> Extent {
        Extent::Nights(calmesh_calendar::Nights::new(first.parse().unwrap(), end.parse().unwrap()).unwrap())
    }

    #[test]
    fn the_same_sources_in_any_order_make_the_same_bytes() {
        let forward: BTreeSet<_> = [nights("2026-12-04", "2026-12-07"), nights("2026-12-10", "2026-12-11")].into();
        let backward: BTreeSet<_> = [nights("2026-12-10", "2026-12-11"), nights("2026-12-04", "2026-12-07")].into();
        assert_eq!(render(&document(&forward)), render(&document(&backward)));
    }

    #[test]
    fn a_stay_that_two_calendars_show_is_one_event() {
        let joined: BTreeSet<_> = [nights("2026-12-04", "2026-12-07"), nights("2026-12-04", "2026-12-07")].into();
        let text = String::from_utf8(render(&document(&joined))).unwrap();
        assert_eq!(text.matches("BEGIN:VEVENT").count(), 1);
    }
}
