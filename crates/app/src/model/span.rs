//! What something takes, as its host reads it.

use calmesh_calendar::{Extent, House};
use jiff::civil::{Date, DateTime};

/// Both ends in one form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// Half-open: the end is the departure day.
    Nights(Date, Date),
    /// Half-open, on the property's clock.
    Local(DateTime, DateTime),
}

pub(crate) fn span_of(extent: Extent, house: &House) -> Span {
    match extent {
        Extent::Nights(nights) => Span::Nights(nights.first(), nights.end()),
        Extent::Times(times) => Span::Local(house.local(times.start()), house.local(times.end())),
    }
}
