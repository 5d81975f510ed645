//! What became of the lines of a body: its events, busy times, time zones and name, each line where it belongs.

use std::ops::Range;

use calmesh_calendar::Lines;

use crate::{
    lines::Line,
    outline::{Kind, Outline, Role},
    read::{
        context::Limits,
        name::Name,
        property::{BusyType, Property},
        skipped::{Skip, Skipped},
    },
    refusal::{Excess, Refusal},
};

/// Properties of all events and zones of a body together, of those that reading asks for; lines of a few bytes would otherwise
/// take many times their size.
const MAX_PROPERTIES: u64 = 300_000;

/// VTIMEZONEs of a body that are looked at.
const MAX_ZONES: usize = 100;

/// Lines of one event that are kept of a property that has one value, and of one that may have many.
const MAX_OF_SINGLE: u16 = 64;
const MAX_OF_LIST: u16 = 20_000;

/// Octets of a calendar's name, maker and zone that are kept.
const MAX_NAME: usize = 1_000;
const MAX_HINT: usize = 255;

/// What became of the lines of a body.
pub(crate) struct FeedText<'a> {
    pub(crate) name: Option<String>,
    pub(crate) prodid: Option<String>,
    /// X-WR-TIMEZONE of each calendar of the body.
    pub(crate) hints: Vec<Option<String>>,
    pub(crate) zones: Vec<ZoneText>,
    pub(crate) events: Vec<EventText>,
    /// The lines of all events that reading asks for, one event after the other, each without those of components
    /// inside of it.
    asked: Vec<Asked<'a>>,
    /// The FREEBUSY lines.
    busy: Vec<Property<'static>>,
    /// Raw `BEGIN:VEVENT` lines, and busy times.
    pub(crate) events_in_text: u32,
    pub(crate) skipped: Skipped,
}

/// A line of an event that reading asks for.
pub(crate) struct Asked<'a> {
    pub(crate) name: Name,
    pub(crate) line: Line<'a>,
}

/// One VEVENT, or one busy time.
pub(crate) struct EventText {
    pub(crate) lines: Lines,
    /// Which calendar of the body it stands in, from 0.
    pub(crate) calendar: usize,
    place: Place,
}

/// Where the text of an event is kept.
enum Place {
    Event {
        asked: Range<usize>,
        /// `BEGIN` is in upper case.
        shouts: bool,
    },
    /// One period of a FREEBUSY.
    Busy { line: usize, period: Range<usize> },
}

/// What an event, or a busy time, says.
pub(crate) enum Said<'t, 'a> {
    Event { asked: &'t [Asked<'a>], shouts: bool },
    Busy { line: &'t Property<'static>, period: &'t str },
}

/// A VTIMEZONE.
#[derive(Default)]
pub(crate) struct ZoneText {
    pub(crate) tzid: Option<String>,
    /// The properties of each STANDARD and DAYLIGHT.
    pub(crate) observances: Vec<Vec<Property<'static>>>,
}

/// An event that is still open.
struct OpenEvent<'a> {
    first: u32,
    shouts: bool,
    /// How many lines of other events were kept before.
    from: usize,
    /// Lines of components inside it, each with the depth that it stands in: they are the event's own if their
    /// component turns out to have no end, and so to be none.
    inner: Vec<(usize, Asked<'a>)>,
    /// Lines so far of each name.
    counts: [u16; Name::COUNT],
}

impl OpenEvent<'_> {
    fn new(line: &Line<'_>, from: usize) -> Self {
        let shouts = line.bytes().starts_with(b"BEGIN");
        Self { first: line.number, shouts, from, inner: Vec::new(), counts: [0; Name::COUNT] }
    }

    /// Counts a line, unless the event has too many of its name.
    fn has_room_for(&mut self, name: Name) -> bool {
        let most = if name.is_list() { MAX_OF_LIST } else { MAX_OF_SINGLE };
        match self.counts.get_mut(name as usize) {
            Some(count) if *count < most => {
                *count += 1;
                true
            }
            _ => false,
        }
    }

    /// A component inside the event ended; so many are still open.
    fn close_inner(&mut self, depth: usize) {
        while self.inner.pop_if(|(inner, _)| *inner > depth).is_some() {}
    }
}

/// Sorts the lines of a body.
struct Sorter<'a, 'l> {
    text: FeedText<'a>,
    limits: &'l Limits,
    event: Option<OpenEvent<'a>>,
    zone: Option<ZoneText>,
    properties: u64,
    others: u32,
    first_other: Option<u32>,
}

impl<'a> FeedText<'a> {
    pub(crate) fn of(body: &'a [u8], limits: &Limits) -> Result<Self, Refusal> {
        let mut outline = Outline::new(body);
        let text = Self {
            name: None,
            prodid: None,
            hints: Vec::new(),
            zones: Vec::new(),
            events: Vec::new(),
            asked: Vec::new(),
            busy: Vec::new(),
            events_in_text: 0,
            skipped: Skipped::default(),
        };
        let mut sorter = Sorter { text, limits, event: None, zone: None, properties: 0, others: 0, first_other: None };
        while let Some((line, role)) = outline.next()? {
            sorter.sort(line, role, &outline)?;
        }
        let Sorter { mut text, others, first_other, .. } = sorter;
        text.events_in_text = text.events_in_text.saturating_add(outline.events_in_text());
        if let Some(first) = outline.first_unclosed {
            text.skipped.note_many(Skip::Unclosed, outline.unclosed, first);
        }
        if let (true, Some(first)) = (text.events.is_empty() && text.events_in_text == 0, first_other) {
            text.skipped.note_many(Skip::OtherEntries, others, first);
        }
        Ok(text)
    }

    /// What one of its events says.
    pub(crate) fn said(&self, event: &EventText) -> Said<'_, 'a> {
        match &event.place {
            Place::Event { asked, shouts } => {
                Said::Event { asked: self.asked.get(asked.clone()).unwrap_or_default(), shouts: *shouts }
            }
            Place::Busy { line, period } => match self.busy.get(*line) {
                Some(line) => Said::Busy { line, period: line.value.get(period.clone()).unwrap_or_default() },
                None => Said::Event { asked: &[], shouts: false },
            },
        }
    }
}

impl<'a> Sorter<'a, '_> {
    fn sort(&mut self, line: Line<'a>, role: Role, outline: &Outline<'a>) -> Result<(), Refusal> {
        let number = line.number;
        match role {
            Role::Begin(Kind::Calendar) => self.text.hints.push(None),
            Role::Begin(Kind::Event) => {
                self.room_for_an_event()?;
                if outline.around() != Some(Kind::Calendar) {
                    self.text.skipped.note(Skip::Inside, number);
                }
                self.event = Some(OpenEvent::new(&line, self.text.asked.len()));
            }
            Role::End { kind: Kind::Event, .. } => self.close_event(number),
            // What stands inside an event defines nothing, or the order of events would matter.
            Role::Begin(_) if self.event.is_some() => {}
            Role::End { .. } if self.event.is_some() => {
                if let Some(event) = &mut self.event {
                    event.close_inner(outline.depth());
                }
            }
            Role::Begin(Kind::Zone) => self.zone = Some(ZoneText::default()),
            Role::Begin(Kind::Standard | Kind::Daylight) => {
                if let Some(zone) = &mut self.zone {
                    zone.observances.push(Vec::new());
                }
            }
            Role::Begin(Kind::Availability) => self.text.skipped.note(Skip::Availability, number),
            Role::Begin(Kind::Other) if outline.around() == Some(Kind::Calendar) => {
                self.others = self.others.saturating_add(1);
                self.first_other = self.first_other.or(Some(number));
            }
            // A calendar's end closes a zone that was left open.
            Role::End { kind: Kind::Zone | Kind::Calendar, .. } => {
                if self.text.zones.len() < MAX_ZONES {
                    self.text.zones.extend(self.zone.take());
                } else if self.zone.take().is_some() {
                    self.text.skipped.note(Skip::Zones, number);
                }
            }
            Role::Property if self.event.is_some() => self.property_of_event(line, outline),
            Role::Property => self.property_of_frame(&line, outline)?,
            Role::Overlong => self.text.skipped.note(Skip::Overlong, number),
            Role::Stray => self.text.skipped.note(Skip::Stray, number),
            Role::Outside => self.text.skipped.note(Skip::Outside, number),
            Role::Begin(_) | Role::End { .. } => {}
        }
        if self.properties > MAX_PROPERTIES {
            return Err(Refusal::TooLarge { what: Excess::Properties, limit: MAX_PROPERTIES });
        }
        Ok(())
    }

    fn room_for_an_event(&self) -> Result<(), Refusal> {
        if self.text.events.len() >= self.limits.events {
            return Err(Refusal::TooLarge { what: Excess::Events, limit: self.limits.events as u64 });
        }
        Ok(())
    }

    fn calendar(&self) -> usize {
        self.text.hints.len().saturating_sub(1)
    }

    fn close_event(&mut self, last: u32) {
        let Some(OpenEvent { first, shouts, from, inner, .. }) = self.event.take() else { return };
        self.text.asked.extend(inner.into_iter().map(|(_, asked)| asked));
        let place = Place::Event { asked: from..self.text.asked.len(), shouts };
        let calendar = self.calendar();
        self.text.events.push(EventText { lines: Lines { first, last }, calendar, place });
    }

    fn property_of_event(&mut self, line: Line<'a>, outline: &Outline<'a>) {
        let Some(event) = &mut self.event else { return };
        let number = line.number;
        let inside = outline.inside();
        let is_own = inside == Some(Kind::Event);
        match Name::of(line.name()).filter(|name| name.is_of_events()) {
            // An alarm without end is one nevertheless.
            Some(name) if inside == Some(Kind::Alarm) && name.is_of_alarms() => {}
            Some(name) => {
                self.properties += 1;
                if !event.has_room_for(name) {
                    self.text.skipped.note(Skip::Repeated, number);
                } else if is_own {
                    self.text.asked.push(Asked { name, line });
                } else {
                    event.inner.push((outline.depth(), Asked { name, line }));
                }
            }
            None if is_own => {
                if let Some(meant) = Name::nearly(line.name()) {
                    self.text.skipped.note(Skip::Nearly(meant), number);
                }
            }
            None => {}
        }
    }

    fn property_of_frame(&mut self, line: &Line<'_>, outline: &Outline<'_>) -> Result<(), Refusal> {
        let inside = outline.inside();
        match inside {
            Some(Kind::Calendar) if Name::of(line.name()).is_some_and(Name::is_of_events_only) => {
                self.text.skipped.note(Skip::Misplaced, line.number);
            }
            Some(Kind::Calendar) => self.note_of_calendar(line),
            Some(Kind::BusyTimes) => return self.busy_times(line),
            Some(Kind::Zone | Kind::Standard | Kind::Daylight) => {
                self.properties += 1;
                if let (Some(zone), Some(property)) = (&mut self.zone, Property::of_frame(line)) {
                    match zone.observances.last_mut() {
                        _ if inside == Some(Kind::Zone) && property.name == Name::TzId => {
                            zone.tzid = Some(property.value.into_owned());
                        }
                        Some(observance) if inside != Some(Kind::Zone) => observance.push(property),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Each period of a FREEBUSY is an entry of its own, bounded as events are.
    fn busy_times(&mut self, line: &Line<'_>) -> Result<(), Refusal> {
        let Some(property) = Property::of_frame(line).filter(|property| property.name == Name::FreeBusy) else {
            return Ok(());
        };
        self.properties += 1;
        if property.parameters.busy == BusyType::Free {
            return Ok(());
        }
        let line_of_busy = self.text.busy.len();
        let mut from = 0;
        for part in property.value.split(',') {
            let period = from..from + part.len();
            from = period.end + 1;
            if part.trim().is_empty() {
                continue;
            }
            self.room_for_an_event()?;
            self.text.events_in_text = self.text.events_in_text.saturating_add(1);
            let lines = Lines { first: line.number, last: line.number };
            let place = Place::Busy { line: line_of_busy, period };
            self.text.events.push(EventText { lines, calendar: self.calendar(), place });
        }
        self.text.busy.push(property);
        Ok(())
    }

    fn note_of_calendar(&mut self, line: &Line<'_>) {
        let Some(property) = Property::of_frame(line) else { return };
        let value = Some(property.value.into_owned()).filter(|value| !value.is_empty());
        match property.name {
            Name::WrCalname => self.text.name = self.text.name.take().or(value.map(shortened)),
            Name::ProdId => self.text.prodid = self.text.prodid.take().or(value.map(shortened)),
            Name::WrTimezone => {
                if let Some(hint) = self.text.hints.last_mut() {
                    *hint = hint.take().or(value.filter(|value| value.len() <= MAX_HINT));
                }
            }
            _ => {}
        }
    }
}

fn shortened(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_NAME));
    text
}
