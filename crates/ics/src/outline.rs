//! The structure of a body: which line belongs to which component, and whether what was opened is closed.
//!
//! Events, lists of busy times and calendars must balance exactly, or a piece is missing and the body is refused. Other
//! components (alarms, to-dos) may be closed by their parent's end. The stack is on the heap and bounded.

use crate::{
    lines::{Lexer, Line, Shape},
    refusal::{Excess, Found, Refusal},
};

/// Components inside each other beyond which a body is refused; real ones need three.
const MAX_DEPTH: usize = 16;

/// The components that reading tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Calendar,
    Event,
    Zone,
    Standard,
    Daylight,
    /// VFREEBUSY: when somebody is busy, without events (RFC 5545 3.6.4).
    BusyTimes,
    Alarm,
    /// VAVAILABILITY: what is not busy by an entry of its own is so by this (RFC 7953).
    Availability,
    /// VTODO and whatever else: passed over.
    Other,
}

impl Kind {
    fn of(name: &[u8]) -> Self {
        const NAMES: [(&[u8], Kind); 8] = [
            (b"VEVENT", Kind::Event),
            (b"VALARM", Kind::Alarm),
            (b"VFREEBUSY", Kind::BusyTimes),
            (b"VAVAILABILITY", Kind::Availability),
            (b"VCALENDAR", Kind::Calendar),
            (b"VTIMEZONE", Kind::Zone),
            (b"STANDARD", Kind::Standard),
            (b"DAYLIGHT", Kind::Daylight),
        ];
        NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map_or(Self::Other, |(_, kind)| *kind)
    }

    fn word(self) -> &'static str {
        match self {
            Self::Calendar => "calendar",
            Self::Event => "event",
            Self::Zone | Self::Standard | Self::Daylight => "time zone",
            Self::BusyTimes => "list of busy times",
            Self::Alarm | Self::Availability | Self::Other => "entry",
        }
    }

    fn must_balance(self) -> bool {
        matches!(self, Self::Calendar | Self::Event | Self::BusyTimes)
    }
}

#[derive(Debug)]
struct Open {
    kind: Kind,
    /// In upper case; empty where the kind tells it.
    name: Vec<u8>,
    line: u32,
}

impl Open {
    fn new(kind: Kind, name: &[u8], line: u32) -> Self {
        let name = if kind == Kind::Other { name.to_ascii_uppercase() } else { Vec::new() };
        Self { kind, name, line }
    }

    fn is(&self, kind: Kind, name: &[u8]) -> bool {
        self.kind == kind && (kind != Kind::Other || self.name.eq_ignore_ascii_case(name))
    }
}

/// What a line does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Begin(Kind),
    /// The component that ends opened at `first`.
    End {
        kind: Kind,
        first: u32,
    },
    /// A property of the innermost component.
    Property,
    /// A property whose name is too long to be one.
    Overlong,
    /// An `END` that ends nothing, or no property at all, inside a component.
    Stray,
    /// Outside of every component.
    Outside,
}

/// Walks the lines of a decoded body.
pub(crate) struct Outline<'a> {
    lexer: Lexer<'a>,
    stack: Vec<Open>,
    events: u32,
    started: bool,
    body: &'a [u8],
    /// Components that their parents' ends closed, and the line of the first.
    pub(crate) unclosed: u32,
    pub(crate) first_unclosed: Option<u32>,
}

impl<'a> Outline<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Self {
            lexer: Lexer::new(body),
            stack: Vec::new(),
            events: 0,
            started: false,
            body,
            unclosed: 0,
            first_unclosed: None,
        }
    }

    /// Events that opened so far, by structure.
    pub(crate) fn events(&self) -> u32 {
        self.events
    }

    /// Raw `BEGIN:VEVENT` lines so far.
    pub(crate) fn events_in_text(&self) -> u32 {
        self.lexer.events
    }

    /// The innermost component.
    pub(crate) fn inside(&self) -> Option<Kind> {
        self.stack.last().map(|open| open.kind)
    }

    /// Components that are open.
    pub(crate) fn depth(&self) -> usize {
        self.stack.len()
    }

    /// What the innermost component stands in.
    pub(crate) fn around(&self) -> Option<Kind> {
        self.stack.iter().rev().nth(1).map(|open| open.kind)
    }

    /// Whether some event is open, maybe with an alarm inside.
    pub(crate) fn inside_event(&self) -> bool {
        self.stack.iter().any(|open| open.kind == Kind::Event)
    }

    /// The next line and what it does, or none at the end of a body that balances.
    ///
    /// # Errors
    /// When the body is no calendar, a piece of it is missing, or it nests too deep.
    pub(crate) fn next(&mut self) -> Result<Option<(Line<'a>, Role)>, Refusal> {
        let Some(line) = self.lexer.next() else {
            return self.finish();
        };
        let role = match line.shape {
            Shape::Begin => {
                let name = line.component();
                let kind = Kind::of(name);
                if !self.started && kind != Kind::Calendar {
                    return Err(self.no_calendar());
                }
                if kind.must_balance()
                    && let Some(open) = self.stack.iter().find(|open| open.kind == kind)
                {
                    return Err(Refusal::Truncated { component: kind.word(), line: open.line });
                }
                if self.stack.len() >= MAX_DEPTH {
                    return Err(Refusal::TooLarge { what: Excess::Nesting, limit: MAX_DEPTH as u64 });
                }
                if kind == Kind::Event {
                    self.events = self.events.saturating_add(1);
                }
                self.stack.push(Open::new(kind, name, line.number));
                Role::Begin(kind)
            }
            _ if !self.started => return Err(self.no_calendar()),
            Shape::End => self.close(line.component(), line.number)?,
            _ if self.stack.is_empty() => {
                // A second calendar whose first line was cut.
                if is_cut_start(&line.bytes()) && self.lexer.is_at_end() {
                    return Err(Refusal::Truncated { component: Kind::Calendar.word(), line: line.number });
                }
                Role::Outside
            }
            Shape::Property => Role::Property,
            Shape::Overlong => Role::Overlong,
            Shape::Junk => Role::Stray,
        };
        self.started = true;
        Ok(Some((line, role)))
    }

    fn close(&mut self, name: &[u8], line: u32) -> Result<Role, Refusal> {
        let kind = Kind::of(name);
        let place = self.stack.iter().rposition(|open| open.is(kind, name));
        let Some(place) = place else {
            return if kind.must_balance() {
                Err(Refusal::Truncated { component: kind.word(), line })
            } else if self.stack.is_empty() {
                Ok(Role::Outside)
            } else {
                Ok(Role::Stray)
            };
        };
        let mut above = self.stack.drain(place..);
        let first = above.next().map_or(line, |open| open.line);
        for open in above {
            if open.kind.must_balance() {
                return Err(Refusal::Truncated { component: open.kind.word(), line: open.line });
            }
            self.unclosed = self.unclosed.saturating_add(1);
            self.first_unclosed = self.first_unclosed.or(Some(open.line));
        }
        Ok(Role::End { kind, first })
    }

    fn finish(&self) -> Result<Option<(Line<'a>, Role)>, Refusal> {
        if !self.started {
            return Err(self.no_calendar());
        }
        let open = self.stack.iter().rfind(|open| open.kind.must_balance()).or(self.stack.last());
        match open {
            Some(open) => Err(Refusal::Truncated { component: open.kind.word(), line: open.line }),
            None => Ok(None),
        }
    }

    fn no_calendar(&self) -> Refusal {
        if is_cut_start(self.body.trim_ascii()) {
            return Refusal::Truncated { component: Kind::Calendar.word(), line: 1 };
        }
        Refusal::NotACalendar { found: Found::of(self.body) }
    }
}

/// Whether this is the beginning of a calendar's first line and no more.
fn is_cut_start(text: &[u8]) -> bool {
    const START: &[u8] = b"BEGIN:VCALENDAR";
    !text.is_empty()
        && text.len() < START.len()
        && START.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text))
}
