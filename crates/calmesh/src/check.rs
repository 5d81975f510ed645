//! `calmesh check`: the feed doctor. Says what `POST /v1/feeds/check` says, without a service.

use calmesh_app::{CheckReport, CheckedBlock, EventCounts, Span, check_body, counted, ports::Clock, with_help};
use calmesh_calendar::{BlockKind, ReadWarning};
use calmesh_lambda_kit::SystemClock;
use jiff::{
    Unit,
    civil::{Date, DateTime},
};
use serde_json::{Value, json};

use crate::{
    args::Check,
    output::{self, Style, harmless},
    source::{self, Source, SourceError},
};

/// Stays that are listed one by one.
const LISTED: usize = 60;
const WARNINGS: usize = 20;

/// Checks a feed and prints what was found. Answers whether it could be used.
///
/// # Errors
/// When there is nothing to check: a file that can't be read, a text that is no address.
pub(crate) async fn run(args: &Check) -> Result<bool, SourceError> {
    let source = Source::parse(&args.source)?;
    if args.allow_private_feeds {
        output::warn("calmesh: WARNING: --allow-private-feeds is on; use it for tests only.");
    }
    let fetched = source.body(&source::feeds(&source::agent_of_nobody(), args.allow_private_feeds, None)?).await;
    let url = source.url();
    let report = match fetched {
        Ok(body) => check_body(&body, args.zone.as_ref(), SystemClock.now(), url.as_ref()),
        Err(SourceError::Fetch(failure)) => {
            let failure = source::with_flag(failure, args.allow_private_feeds);
            let failure = match &source {
                Source::Url(url) => with_help(failure, url, &calmesh_profiles::generic().id.into()),
                Source::File(_) | Source::Stdin => failure,
            };
            CheckReport::unusable(calmesh_profiles::detect(url.as_ref(), None), &failure)
        }
        Err(error) => return Err(error),
    };
    if args.json {
        output::say(&as_json(&report).to_string());
    } else {
        output::say(&text(&source.shown(), &report, Style::of_stdout()));
    }
    Ok(report.usable)
}

fn kind_word(kind: BlockKind) -> &'static str {
    match kind {
        BlockKind::Reservation => "reservation",
        BlockKind::Closure => "closure",
        BlockKind::Tentative => "tentative",
        BlockKind::RuleClosure => "rule_closure",
    }
}

fn local(at: DateTime) -> String {
    let format = if at.second() == 0 { "%Y-%m-%dT%H:%M" } else { "%Y-%m-%dT%H:%M:%S" };
    at.strftime(format).to_string()
}

fn ends(span: Span) -> (String, String) {
    match span {
        Span::Nights(start, end) => (start.to_string(), end.to_string()),
        Span::Local(start, end) => (local(start), local(end)),
    }
}

/// The shape of API.md.
fn as_json(report: &CheckReport) -> Value {
    let block = |block: &CheckedBlock| {
        let (start, end) = ends(block.span);
        json!({ "start": start, "end": end, "kind": kind_word(block.kind), "uid": block.uid })
    };
    let warning = |warning: &ReadWarning| json!({ "line": warning.line, "uid": warning.uid, "detail": warning.detail });
    json!({
        "usable": report.usable,
        "provider": report.provider.as_str(),
        "name": report.name,
        "events": {
            "in_text": report.events.in_text,
            "read": report.events.read,
            "blocking": report.events.blocking,
        },
        "blocks": report.blocks.iter().map(block).collect::<Vec<_>>(),
        "blocks_left_out": report.blocks_left_out,
        "nights": report.nights.iter().map(Date::to_string).collect::<Vec<_>>(),
        "warnings": report.warnings.iter().map(warning).collect::<Vec<_>>(),
        "warnings_left_out": report.warnings_left_out,
        "problem": report.problem.as_ref().map(|problem| json!({ "type": problem.kind, "detail": problem.detail })),
    })
}

fn text(shown: &str, report: &CheckReport, style: Style) -> String {
    let provider = &report.provider.profile().name;
    let mut lines = vec![String::new(), format!("  {}", style.bold(&harmless(shown)))];
    match &report.problem {
        Some(problem) => {
            lines.push(format!("  {}  {}", style.bad("can't be used"), problem.kind));
            lines.push(String::new());
            lines.push(format!("  {}", harmless(&problem.detail)));
        }
        None => lines.push(format!("  {}", style.good("can be used"))),
    }
    lines.push(String::new());
    lines.push(format!("  Provider  {provider} ({})", report.provider));
    if let Some(name) = &report.name {
        lines.push(format!("  Name      {}", harmless(name)));
    }
    if report.usable {
        let EventCounts { in_text, read, blocking } = report.events;
        lines.push(format!("  Events    {in_text} in the text, {read} read, {blocking} that block"));
        lines.push(format!("  Nights    {}", nights_line(&report.nights)));
    }
    if !report.blocks.is_empty() {
        lines.extend([String::new(), format!("  {}", style.bold("What it blocks"))]);
        lines.extend(table(&report.blocks));
    }
    if !report.warnings.is_empty() {
        let title = counted(report.warnings.len(), "warning");
        lines.extend([String::new(), format!("  {}", style.warning(&title))]);
        for warning in report.warnings.iter().take(WARNINGS) {
            let place = warning.line.map_or_else(|| "feed".to_owned(), |line| format!("line {line}"));
            lines.push(format!("  {place:<10} {}", harmless(&warning.detail)));
        }
        if let Some(more) = report.warnings.len().checked_sub(WARNINGS).filter(|more| *more > 0) {
            lines.push(style.dim(&format!("  and {more} more; --json lists them all")));
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

fn nights_line(nights: &[Date]) -> String {
    match (nights.first(), nights.last()) {
        (Some(first), Some(last)) => {
            format!("{} taken, {first} to {last}", counted(nights.len(), "night"))
        }
        _ => "none is taken".to_owned(),
    }
}

fn table(blocks: &[CheckedBlock]) -> Vec<String> {
    let mut lines: Vec<String> = blocks
        .iter()
        .take(LISTED)
        .map(|block| {
            let (start, end) = ends(block.span);
            let length = match block.span {
                Span::Nights(start, end) => {
                    let days = start.until((Unit::Day, end)).map_or(0, |span| span.get_days());
                    counted(days, "night")
                }
                Span::Local(..) => "exact times".to_owned(),
            };
            format!("  {start:<16}  {end:<16}  {length:<12}  {}", kind_word(block.kind).replace('_', " "))
        })
        .collect();
    if let Some(more) = blocks.len().checked_sub(LISTED).filter(|more| *more > 0) {
        lines.push(format!("  and {more} more; --json lists them all"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEED: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Airbnb Inc//Hosting Calendar 1.0//EN\r\n\
        BEGIN:VEVENT\r\nDTSTAMP:20261121T100000Z\r\nDTSTART;VALUE=DATE:20261204\r\nDTEND;VALUE=DATE:20261207\r\n\
        SUMMARY:Reserved\r\nUID:a@airbnb.com\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

    fn report(body: &str) -> CheckReport {
        check_body(body.as_bytes(), None, "2026-11-21T10:00:00Z".parse().unwrap(), None)
    }

    #[test]
    fn the_json_is_the_shape_of_the_api() {
        let value = as_json(&report(FEED));
        assert_eq!(value["usable"], true);
        assert_eq!(value["provider"], "airbnb");
        assert_eq!(value["events"], json!({ "in_text": 1, "read": 1, "blocking": 1 }));
        assert_eq!(value["blocks"][0]["start"], "2026-12-04");
        assert_eq!(value["blocks"][0]["end"], "2026-12-07");
        assert_eq!(value["nights"], json!(["2026-12-04", "2026-12-05", "2026-12-06"]));
        assert_eq!(value["problem"], Value::Null);
    }

    #[test]
    fn people_are_told_what_it_is_and_what_it_blocks() {
        let text = text("airbnb.ics", &report(FEED), Style::plain());
        assert!(text.contains("can be used") && text.contains("Airbnb"), "{text}");
        assert!(text.contains("2026-12-04        2026-12-07        3 nights      "), "{text}");
        assert!(text.contains("3 nights taken, 2026-12-04 to 2026-12-06"), "{text}");
    }

    #[test]
    fn people_are_told_what_is_wrong() {
        let text = text("page.html", &report("<html><body>Log in</body></html>"), Style::plain());
        assert!(text.contains("can't be used  not_a_calendar"), "{text}");
    }
}
