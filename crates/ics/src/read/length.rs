//! How long an event lasts, by what it says of its end, and what it covers from a start.

use calmesh_calendar::{Extent, Nights, Times};
use jiff::{
    SignedDuration, Span, Timestamp,
    civil::{DateTime, Time},
};

use crate::read::{
    context::ReadContext,
    draft::Draft,
    moment::{Duration, parse_duration},
    name::Name,
    place::Placing,
    point::{Days, Point},
    zones::Clock,
};

/// How long an event lasts, from whatever start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Length {
    /// Nights, at least one.
    Nights(i64),
    /// By DTEND: exactly this long in every occurrence (RFC 5545 3.8.5.3), more than nothing.
    Exact(SignedDuration),
    /// By DURATION: days on the wall clock, then exact time.
    Nominal(Duration),
}

impl Length {
    /// About how many seconds; only for what is longer and what is shorter.
    pub(crate) fn seconds(self) -> i64 {
        match self {
            Self::Nights(nights) => nights.saturating_mul(86_400),
            Self::Exact(exact) => exact.as_secs(),
            Self::Nominal(duration) => duration.seconds(),
        }
    }

    /// As long, and this much longer.
    pub(crate) fn and(self, more: SignedDuration) -> Self {
        match self {
            Self::Nights(nights) => Self::Nights(nights),
            Self::Exact(exact) => Self::Exact(exact.saturating_add(more)),
            Self::Nominal(duration) => Self::Nominal(Duration { time: duration.time.saturating_add(more), ..duration }),
        }
    }

    /// What is covered from a time on the wall clock of `start`.
    pub(crate) fn from(self, civil: DateTime, start: &Point) -> Option<Extent> {
        match (start, self) {
            (_, Self::Nights(nights)) => {
                Nights::new(civil.date(), days_later(civil, nights).date()).ok().map(Extent::Nights)
            }
            (Point::Day(_), _) => None,
            (Point::At { clock, .. }, Self::Exact(exact)) => {
                let start = clock.instant(civil);
                Times::new(start, later(start, exact)).ok().map(Extent::Times)
            }
            (Point::At { clock, .. }, Self::Nominal(Duration { days, time })) => {
                let start = clock.instant(civil);
                Times::new(start, later(clock.instant(days_later(civil, days)), time)).ok().map(Extent::Times)
            }
        }
    }
}

/// Days later on the wall clock, or the last there is.
fn days_later(civil: DateTime, days: i64) -> DateTime {
    let later = Span::new().try_days(days).ok().and_then(|span| civil.checked_add(span).ok());
    later.unwrap_or(if days < 0 { DateTime::MIN } else { DateTime::MAX })
}

fn later(instant: Timestamp, by: SignedDuration) -> Timestamp {
    instant.checked_add(by).unwrap_or(if by.is_negative() { Timestamp::MIN } else { Timestamp::MAX })
}

/// How long an event lasts by what it says of its end; none where it ends when it starts. Where an end is stated and
/// can't be believed, the night of the start.
pub(crate) fn length_of(draft: &Draft<'_>, start: &Point, placing: &mut Placing<'_, '_>) -> Option<Length> {
    const NIGHT: &str = "so only the night of its start is blocked";
    let end = draft.get(Name::DtEnd).map(|property| (property, placing.leniently(property, Some(start))));
    let duration = draft.get(Name::Duration).map(|property| (property, parse_duration(&property.value)));
    if let Some((property, Some((_, false)))) = &end {
        placing.flaws.note(property.line, true, "its DTEND goes on after the date, and the rest was passed over");
    }
    let (property, stated) = match (&end, &duration) {
        (Some((property, Some((end, _)))), _) => (*property, End::At(end)),
        (end, Some((property, Some(duration)))) => {
            if let Some((property, None)) = end {
                placing.flaws.note(property.line, true, "its DTEND can't be read, so its DURATION counts");
            }
            (*property, End::After(*duration))
        }
        (Some((property, None)), _) | (None, Some((property, None))) => {
            let name = property.name.text();
            placing.flaws.note(property.line, true, format!("its {name} can't be read, {NIGHT}"));
            return Some(night_of(start, placing.cx));
        }
        (None, None) => return length(start, None, &placing.days, placing.cx).unwrap_or_default(),
    };
    if let (Some(_), Some((property, None))) = (&end, &duration) {
        placing.flaws.note(property.line, false, "its DURATION can't be read, so its DTEND counts");
    }
    length(start, Some(stated), &placing.days, placing.cx).unwrap_or_else(|EndsBeforeStart| {
        let name = property.name.text();
        placing.flaws.note(property.line, true, format!("its {name} is before its start, {NIGHT}"));
        Some(night_of(start, placing.cx))
    })
}

/// The length of a PERIOD of an RDATE that ends so; none where it says no more than a date does.
///
/// # Errors
/// When its end can't be read.
pub(crate) fn length_of_period(
    from: &Point,
    to: &str,
    place: impl FnOnce(&str) -> Option<Point>,
    days: &Days,
    cx: &ReadContext<'_>,
) -> Result<Option<Length>, EndsBeforeStart> {
    if let Some(duration) = parse_duration(to) {
        return length(from, Some(End::After(duration)), days, cx);
    }
    let to = place(to).ok_or(EndsBeforeStart)?;
    length(from, Some(End::At(&to)), days, cx)
}

/// The night of a start: that of its date at the property, and the one before where that is not over yet.
pub(crate) fn night_of(start: &Point, cx: &ReadContext<'_>) -> Length {
    const MORNING: Time = Time::constant(10, 0, 0, 0);
    let Some(instant) = start.instant() else { return Length::Nights(1) };
    let next = days_later(cx.zone.to_datetime(instant), 1).date();
    let morning = Clock::Zone(cx.zone.clone()).instant(next.to_datetime(MORNING));
    Length::Exact(instant.duration_until(morning).max(SignedDuration::from_hours(1)))
}

/// An end, as it is stated.
#[derive(Clone, Copy)]
enum End<'p> {
    At(&'p Point),
    After(Duration),
}

/// What is stated can't be meant.
pub(crate) struct EndsBeforeStart;

/// How long an event lasts that starts and ends so; none where it ends when it starts.
fn length(
    start: &Point,
    end: Option<End<'_>>,
    days: &Days,
    cx: &ReadContext<'_>,
) -> Result<Option<Length>, EndsBeforeStart> {
    let nights = |nights: i64| if nights < 0 { Err(EndsBeforeStart) } else { Ok(Some(Length::Nights(nights.max(1)))) };
    match (start, end) {
        (Point::Day(_), None) => nights(1),
        (Point::Day(first), Some(End::At(end))) => {
            // `T235959` on the last day means the whole of it.
            let whole = end.last_minute_of(days);
            let mut last = whole.unwrap_or_else(|| end.day(days));
            if whole.is_some() || (cx.end_is_last_night && last >= *first) {
                last = last.tomorrow().unwrap_or(last);
            }
            nights(i64::from((last - *first).get_days()))
        }
        (Point::Day(_), Some(End::After(duration))) => nights(duration.days_begun()),
        (Point::At { .. }, None) => Ok(None),
        (Point::At { local, clock }, Some(End::At(end))) => {
            let from = clock.instant(*local);
            let to = match end {
                // A departure day after a start with a time: its night is free.
                Point::Day(day) if clock.is_utc() => {
                    Clock::Zone(cx.zone.clone()).instant(day.to_datetime(Time::midnight()))
                }
                Point::Day(day) => clock.instant(day.to_datetime(Time::midnight())),
                Point::At { local, clock } => clock.instant(*local),
            };
            match from.duration_until(to) {
                // A day on which the start lies already is no end of it.
                exact if exact.is_negative() || (exact.is_zero() && matches!(end, Point::Day(_))) => {
                    Err(EndsBeforeStart)
                }
                exact => Ok(Some(Length::Exact(exact)).filter(|_| !exact.is_zero())),
            }
        }
        (Point::At { .. }, Some(End::After(duration))) => match duration.seconds() {
            0 => Ok(None),
            seconds if seconds < 0 => Err(EndsBeforeStart),
            _ => Ok(Some(Length::Nominal(duration))),
        },
    }
}
