//! The properties that reading asks for, by their names in RFC 5545; all else is passed over.

/// One table: what a property is called here, and in the text.
macro_rules! names {
    ($($name:ident = $text:literal,)*) => {
        /// The name of a property that reading asks for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Name { $($name,)* }

        impl Name {
            /// How many there are.
            pub(crate) const COUNT: usize = [$($text,)*].len();

            /// The known name that is written so, in any case.
            pub(crate) fn of(written: &[u8]) -> Option<Self> {
                $(
                    if written.len() == $text.len() && written.eq_ignore_ascii_case($text.as_bytes()) {
                        return Some(Self::$name);
                    }
                )*
                None
            }

            /// As RFC 5545 writes it.
            pub(crate) const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

names! {
    Uid = "UID",
    DtStart = "DTSTART",
    DtEnd = "DTEND",
    Duration = "DURATION",
    Summary = "SUMMARY",
    Description = "DESCRIPTION",
    Status = "STATUS",
    Transp = "TRANSP",
    RRule = "RRULE",
    RDate = "RDATE",
    ExDate = "EXDATE",
    ExRule = "EXRULE",
    RecurrenceId = "RECURRENCE-ID",
    Sequence = "SEQUENCE",
    BusyStatus = "X-MICROSOFT-CDO-BUSYSTATUS",
    AllDayEvent = "X-MICROSOFT-CDO-ALLDAYEVENT",
    WrCalname = "X-WR-CALNAME",
    ProdId = "PRODID",
    WrTimezone = "X-WR-TIMEZONE",
    TzId = "TZID",
    TzOffsetFrom = "TZOFFSETFROM",
    TzOffsetTo = "TZOFFSETTO",
    FreeBusy = "FREEBUSY",
}

impl Name {
    /// Properties of events that take or free nights, so that a slip of the pen in their names is told.
    const THAT_MATTER: [Self; 10] = [
        Self::DtStart,
        Self::DtEnd,
        Self::Duration,
        Self::RRule,
        Self::RDate,
        Self::ExDate,
        Self::RecurrenceId,
        Self::Status,
        Self::Transp,
        Self::Sequence,
    ];

    /// Whether reading an event asks for it.
    pub(crate) fn is_of_events(self) -> bool {
        !matches!(
            self,
            Self::WrCalname
                | Self::ProdId
                | Self::WrTimezone
                | Self::TzId
                | Self::TzOffsetFrom
                | Self::TzOffsetTo
                | Self::FreeBusy
        )
    }

    /// Whether reading a calendar, a zone or a list of busy times asks for it.
    pub(crate) fn is_of_frames(self) -> bool {
        !self.is_of_events() || matches!(self, Self::DtStart | Self::RDate | Self::RRule)
    }

    /// Whether an event says what nothing else in a calendar says, at whose own level it has no place.
    pub(crate) fn is_of_events_only(self) -> bool {
        self != Self::Status && Self::THAT_MATTER.contains(&self)
    }

    /// Whether an alarm has a property of that name too, which says nothing of its event.
    pub(crate) fn is_of_alarms(self) -> bool {
        matches!(self, Self::Uid | Self::Duration | Self::Summary | Self::Description)
    }

    /// Whether an event may have many of them.
    pub(crate) fn is_list(self) -> bool {
        matches!(self, Self::RDate | Self::ExDate | Self::RRule | Self::ExRule)
    }

    /// Whether the value is a moment, or several.
    pub(crate) fn is_moment(self) -> bool {
        matches!(self, Self::DtStart | Self::DtEnd | Self::RDate | Self::ExDate | Self::RecurrenceId | Self::FreeBusy)
    }

    /// The known name that matters and is one letter away from what is written: one missing, one too many, one wrong, or
    /// two that changed places.
    pub(crate) fn nearly(written: &[u8]) -> Option<Self> {
        // Words of their own.
        const OTHERS: [&[u8]; 2] = [b"EXRULE", b"DATE"];
        let bounds = 4..=14;
        if !bounds.contains(&written.len()) || OTHERS.iter().any(|other| other.eq_ignore_ascii_case(written)) {
            return None;
        }
        Self::THAT_MATTER.into_iter().find(|known| is_one_letter_away(known.text().as_bytes(), written))
    }
}

/// `known` is in upper case.
fn is_one_letter_away(known: &[u8], name: &[u8]) -> bool {
    if known.len().abs_diff(name.len()) > 1 {
        return false;
    }
    let alike = |(known, byte): &(&u8, &u8)| known.eq_ignore_ascii_case(byte);
    let head = known.iter().zip(name).take_while(alike).count();
    let known = known.get(head..).unwrap_or_default();
    let name = name.get(head..).unwrap_or_default();
    let tail = known.iter().rev().zip(name.iter().rev()).take_while(alike).count();
    let left = |bytes: &[u8]| bytes.len().saturating_sub(tail);
    match (known, name) {
        _ if left(known).max(left(name)) == 1 => true,
        ([a, b, ..], [c, d, ..]) => {
            left(known) == 2 && left(name) == 2 && a.eq_ignore_ascii_case(d) && b.eq_ignore_ascii_case(c)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_in_any_case_and_by_its_text() {
        assert_eq!(Name::of(b"dtStart"), Some(Name::DtStart));
        assert_eq!(Name::of(b"X-Microsoft-CDO-BusyStatus"), Some(Name::BusyStatus));
        assert_eq!(Name::of(Name::RecurrenceId.text().as_bytes()), Some(Name::RecurrenceId));
        for other in [&b""[..], b"DTSTAMP", b"UIDS", b"X-MICROSOFT-CDO-IMPORTANCE"] {
            assert_eq!(Name::of(other), None);
        }
    }

    #[test]
    fn a_slip_of_the_pen_is_known_and_a_word_of_its_own_is_none() {
        for (slip, meant) in [
            ("DTENE", Name::DtEnd),
            ("DTEN", Name::DtEnd),
            ("dtendd", Name::DtEnd),
            ("DTNED", Name::DtEnd),
            ("DTSTRAT", Name::DtStart),
            ("DTSTAR", Name::DtStart),
            ("DSTART", Name::DtStart),
            ("RRUL", Name::RRule),
            ("RULE", Name::RRule),
            ("EXDATES", Name::ExDate),
            ("RECURENCE-ID", Name::RecurrenceId),
            ("RECURRENCE_ID", Name::RecurrenceId),
            ("DURATON", Name::Duration),
            ("XDTEND", Name::DtEnd),
        ] {
            assert_eq!(Name::nearly(slip.as_bytes()), Some(meant), "{slip}");
        }
        for other in ["DTSTAMP", "EXRULE", "DUE", "CREATED", "X-DTEND", "DATE", "RELATED-TO", "A", "CATEGORIES"] {
            assert_eq!(Name::nearly(other.as_bytes()), None, "{other}");
        }
    }
}
