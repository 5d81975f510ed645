//! What became of the lines of a body: its events, its time zones and its name, each line where it belongs.

use calmesh_calendar::{Lines, ReadWarning};

use crate::{
    lines::Line,
    outline::{Kind, Outline, Role},
    property::{self, Property},
    read::Limits,
    refusal::{Excess, Refusal},
};

/// Properties of all events and zones of a body together, of those that reading asks for; lines of a few bytes would otherwise
/// take many times their size.
const MAX_PROPERTIES: u64 = 300_000;

/// VTIMEZONEs of a body that are looked at.
const MAX_ZONES: usize = 100;

/// What became of the lines of a body.
pub(crate) struct FeedText<'a> {
    pub(crate) name: Option<String>,
    pub(crate) prodid: Option<String>,
    /// X-WR-TIMEZONE of each calendar of the body.
    pub(crate) hints: Vec<Option<String>>,
    pub(crate) zones: Vec<ZoneText>,
    pub(crate) events: Vec<EventText<'a>>,
    pub(crate) events_in_text: u32,
    pub(crate) warnings: Vec<ReadWarning>,
}

/// The lines of one VEVENT that reading asks for, without those of components inside it.
pub(crate) struct EventText<'a> {
    pub(crate) lines: Lines,
    /// Which calendar of the body it stands in, from 0.
    pub(crate) calendar: usize,
    pub(crate) properties: Vec<Line<'a>>,
}

/// A VTIMEZONE.
#[derive(Default)]
pub(crate) struct ZoneText {
    pub(crate) tzid: Option<String>,
    /// The properties of each STANDARD and DAYLIGHT.
    pub(crate) observances: Vec<Vec<Property>>,
}

impl<'a> FeedText<'a> {
    pub(crate) fn of(body: &'a [u8], limits: &Limits) -> Result<Self, Refusal> {
        let mut outline = Outline::new(body);
        let mut text = Self {
            name: None,
            prodid: None,
            hints: Vec::new(),
            zones: Vec::new(),
            events: Vec::new(),
            events_in_text: 0,
            warnings: Vec::new(),
        };
        let mut event: Option<EventText<'a>> = None;
        let mut zone: Option<ZoneText> = None;
        let mut outside: Option<u32> = None;
        let mut strays = 0_u32;
        let mut first_stray = None;
        let mut properties = 0;
        while let Some((line, role)) = outline.next()? {
            match role {
                Role::Begin(Kind::Calendar) => text.hints.push(None),
                Role::Begin(Kind::Event) => {
                    if text.events.len() >= limits.events {
                        return Err(Refusal::TooLarge { what: Excess::Events, limit: limits.events as u64 });
                    }
                    event = Some(EventText {
                        lines: Lines { first: line.number, last: line.number },
                        calendar: text.hints.len().saturating_sub(1),
                        properties: Vec::new(),
                    });
                }
                Role::End { kind: Kind::Event, .. } => {
                    if let Some(mut event) = event.take() {
                        event.lines.last = line.number;
                        text.events.push(event);
                    }
                }
                // What stands inside an event defines nothing, or the order of events would matter.
                Role::Begin(Kind::Zone) if event.is_none() => zone = Some(ZoneText::default()),
                Role::Begin(Kind::Standard | Kind::Daylight) if event.is_none() => {
                    if let Some(zone) = &mut zone {
                        zone.observances.push(Vec::new());
                    }
                }
                // A calendar's end closes a zone that was left open.
                Role::End { kind: Kind::Zone | Kind::Calendar, .. } => {
                    text.zones.extend(zone.take().filter(|_| text.zones.len() < MAX_ZONES));
                }
                Role::Property if zone.is_some() && event.is_none() => {
                    properties += 1;
                    if let (Some(zone), Some(property)) = (&mut zone, property::of_frame(&line)) {
                        match (outline.inside(), zone.observances.last_mut()) {
                            (Some(Kind::Zone), _) if property.name == "TZID" => zone.tzid = Some(property.value),
                            (Some(Kind::Standard | Kind::Daylight), Some(observance)) => observance.push(property),
                            _ => {}
                        }
                    }
                }
                Role::Property => match outline.inside() {
                    Some(Kind::Event) if property::is_asked_for(&line.bytes) => {
                        properties += 1;
                        if let Some(event) = &mut event {
                            event.properties.push(line);
                        }
                    }
                    _ if event.is_some() => {}
                    Some(Kind::Calendar) => text.note_of_calendar(&line),
                    _ => {}
                },
                Role::Stray => {
                    strays = strays.saturating_add(1);
                    first_stray = first_stray.or(Some(line.number));
                }
                Role::Outside => outside = outside.or(Some(line.number)),
                Role::Begin(_) | Role::End { .. } => {}
            }
            if properties > MAX_PROPERTIES {
                return Err(Refusal::TooLarge { what: Excess::Properties, limit: MAX_PROPERTIES });
            }
        }
        text.events_in_text = outline.events_in_text();
        if let Some(line) = outside {
            let detail = "There is text outside of the calendar; it was passed over.".to_owned();
            text.warnings.push(ReadWarning { line: Some(line), uid: None, detail, unread: false });
        }
        if let Some(line) = first_stray {
            let detail =
                format!("{strays} lines are no part of any entry and were passed over, the first at line {line}.");
            text.warnings.push(ReadWarning { line: Some(line), uid: None, detail, unread: false });
        }
        Ok(text)
    }

    fn note_of_calendar(&mut self, line: &Line<'_>) {
        let Some(property) = property::of_frame(line) else { return };
        let value = Some(property.value).filter(|value| !value.is_empty());
        match property.name.as_str() {
            "X-WR-CALNAME" => self.name = self.name.take().or(value),
            "PRODID" => self.prodid = self.prodid.take().or(value),
            "X-WR-TIMEZONE" => {
                if let Some(hint) = self.hints.last_mut() {
                    *hint = hint.take().or(value);
                }
            }
            _ => {}
        }
    }
}
