//! Nights, local date-times and times of day as JSON and queries write them.

use calmesh_app::{Span, When};
use calmesh_calendar::span::{FIRST_DAY, InSpan, LAST_DAY};
use jiff::civil::{Date, DateTime, Time};
use serde_json::Value;

/// A day within the span that calendars are kept for, or what is wrong with it.
fn within(day: Date) -> Result<(), String> {
    if day.is_in_span() { Ok(()) } else { Err(format!("must lie between {FIRST_DAY} and {LAST_DAY}")) }
}

/// `YYYY-MM-DD`.
///
/// # Errors
/// What is no such date, or lies outside the span.
pub(crate) fn night(text: &str) -> Result<Date, String> {
    let wrong = || "must be a night such as 2026-12-04".to_owned();
    let date: Date = text.parse().map_err(|_| wrong())?;
    // The library knows more ways to write a date than this API does.
    if date.to_string() != text {
        return Err(wrong());
    }
    within(date).map(|()| date)
}

/// A night, or `YYYY-MM-DDTHH:MM` on the property's clock; seconds are accepted.
///
/// # Errors
/// What is neither.
pub(crate) fn when(text: &str) -> Result<When, String> {
    let wrong = || "must be a night such as 2026-12-04 or a local date-time such as 2026-12-04T11:00".to_owned();
    if !text.contains('T') {
        let date: Date = text.parse().map_err(|_| wrong())?;
        return if date.to_string() == text { night(text).map(When::Night) } else { Err(wrong()) };
    }
    let local: DateTime = text.parse().map_err(|_| wrong())?;
    let known = [local.strftime("%Y-%m-%dT%H:%M").to_string(), local.strftime("%Y-%m-%dT%H:%M:%S").to_string()];
    if !known.iter().any(|form| form == text) {
        return Err(wrong());
    }
    within(local.date()).map(|()| When::Local(local))
}

/// The same in a body.
///
/// # Errors
/// What is neither.
pub(crate) fn when_of(value: &Value) -> Result<When, String> {
    when(value.as_str().unwrap_or_default())
}

/// `HH:MM`.
///
/// # Errors
/// What is no time of day.
pub(crate) fn time_of_day(value: &Value) -> Result<Time, String> {
    let wrong = || "must be a time of day such as 15:00".to_owned();
    let text = value.as_str().ok_or_else(wrong)?;
    let time: Time = text.parse().map_err(|_| wrong())?;
    if written_time(time) == text { Ok(time) } else { Err(wrong()) }
}

pub(crate) fn written_time(time: Time) -> String {
    time.strftime("%H:%M").to_string()
}

/// A local date-time; its seconds only where there are any.
pub(crate) fn written_local(local: DateTime) -> String {
    let form = if local.second() == 0 { "%Y-%m-%dT%H:%M" } else { "%Y-%m-%dT%H:%M:%S" };
    local.strftime(form).to_string()
}

/// Start and end.
pub(crate) fn written_span(span: Span) -> (String, String) {
    match span {
        Span::Nights(start, end) => (start.to_string(), end.to_string()),
        Span::Local(start, end) => (written_local(start), written_local(end)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nights_and_local_date_times_are_told_apart() {
        assert!(matches!(when("2026-12-04"), Ok(When::Night(_))));
        assert!(matches!(when("2026-12-04T11:00"), Ok(When::Local(_))));
        assert!(matches!(when("2026-12-04T11:00:30"), Ok(When::Local(_))));
    }

    #[test]
    fn other_ways_to_write_a_date_are_refused() {
        for text in [
            "",
            "2026-12-4",
            "20261204",
            "2026-02-30",
            "2026-12-04T",
            "2026-12-04 11:00",
            "2026-12-04T11",
            "2026-12-04T11:00Z",
            "2026-12-04T11:00+01:00",
            "2026-12-04T25:00",
            "2026-12-04T11:00:00.5",
            "tomorrow",
            "2026-12-04T11:00[Europe/Madrid]",
            "+002026-12-04",
        ] {
            assert!(when(text).is_err(), "{text}");
        }
        assert!(night("2026-12-04T11:00").is_err());
    }

    #[test]
    fn a_day_outside_the_span_is_refused_in_words() {
        for text in ["0001-01-01", "1899-12-31", "2200-01-02", "9999-12-31"] {
            let refusal = Err("must lie between 1900-01-01 and 2200-01-01".to_owned());
            assert_eq!(night(text).map(|_| ()), refusal);
            assert_eq!(when(text).map(|_| ()), refusal);
            assert_eq!(when(&format!("{text}T11:00")).map(|_| ()), refusal);
        }
        assert!(night("1900-01-01").is_ok() && night("2200-01-01").is_ok());
    }

    #[test]
    fn a_time_of_day_has_hours_and_minutes() {
        assert_eq!(time_of_day(&json!("09:05")).map(written_time), Ok("09:05".to_owned()));
        for value in [json!("9:05"), json!("24:00"), json!("09:05:10"), json!("T09:05"), json!(9), json!(null)] {
            assert!(time_of_day(&value).is_err(), "{value}");
        }
    }
}
