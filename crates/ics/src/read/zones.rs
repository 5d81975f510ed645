//! Which clock a time is on: TZIDs, Windows names, definitions of the feed itself, hints.
//!
//! The database is the one bundled with jiff, so that every machine reads the same and nothing is looked up on disk.

use std::{collections::HashMap, rc::Rc, sync::LazyLock};

use jiff::{
    SignedDuration, Timestamp,
    civil::DateTime,
    tz::{Offset, TimeZone, TimeZoneDatabase},
};
use windows_timezones::WindowsTimezone;

use crate::read::moment::{edge_of, instant_of};

static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The last parts of all names of the database (`Amsterdam` of `Europe/Amsterdam`), in lower case: Outlook names
/// zones by their cities.
static CITIES: LazyLock<HashMap<String, String>> = LazyLock::new(|| {
    let mut cities = HashMap::new();
    for name in DATABASE.available() {
        let name = name.as_str();
        if let Some((_, city)) = name.rsplit_once('/') {
            cities.entry(city.to_ascii_lowercase().replace('_', " ")).or_insert_with(|| name.to_owned());
        }
    }
    cities
});

/// A clock that local times can be put on.
#[derive(Debug, Clone)]
pub(crate) enum Clock {
    Zone(TimeZone),
    /// Defined by a VTIMEZONE of the feed, and known nowhere else.
    Defined(Rc<DefinedZone>),
}

impl Clock {
    pub(crate) fn utc() -> Self {
        Self::Zone(TimeZone::UTC)
    }

    pub(crate) fn is_utc(&self) -> bool {
        matches!(self, Self::Zone(zone) if *zone == TimeZone::UTC)
    }

    /// The instant of a local time: after a gap the time that would have been, in a fold the earlier one
    /// (RFC 5545 3.3.5).
    pub(crate) fn instant(&self, local: DateTime) -> Timestamp {
        match self {
            Self::Zone(zone) => zone.to_ambiguous_timestamp(local).compatible().unwrap_or(edge_of(local)),
            Self::Defined(zone) => instant_of(zone.offset_of_local(local), local),
        }
    }

    pub(crate) fn local(&self, instant: Timestamp) -> DateTime {
        match self {
            Self::Zone(zone) => zone.to_datetime(instant),
            Self::Defined(zone) => zone.offset_of(instant).to_datetime(instant),
        }
    }
}

/// A change of offset: at `local` on the clock before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Onset {
    pub(crate) local: DateTime,
    pub(crate) from: Offset,
    pub(crate) to: Offset,
}

/// A zone as a VTIMEZONE defines it, worked out for the horizon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DefinedZone {
    /// Before the first onset.
    initial: Offset,
    /// Sorted by time.
    onsets: Vec<Onset>,
}

impl DefinedZone {
    /// None where nothing is defined.
    pub(crate) fn new(initial: Option<Offset>, mut onsets: Vec<Onset>) -> Option<Self> {
        onsets.sort_unstable();
        let initial = initial.or(onsets.first().map(|onset| onset.from))?;
        Some(Self { initial, onsets })
    }

    fn offset_of(&self, instant: Timestamp) -> Offset {
        let begun = |onset: &Onset| onset.from.to_timestamp(onset.local).is_ok_and(|at| at <= instant);
        let begun = self.onsets.partition_point(begun);
        begun.checked_sub(1).and_then(|last| self.onsets.get(last)).map_or(self.initial, |onset| onset.to)
    }

    fn offset_of_local(&self, local: DateTime) -> Offset {
        let begun = self.onsets.partition_point(|onset| onset.local <= local);
        let Some(onset) = begun.checked_sub(1).and_then(|last| self.onsets.get(last)) else {
            return self.initial;
        };
        // In the gap that a forward change leaves, the offset before it holds.
        let gap = i64::from(onset.to.seconds()) - i64::from(onset.from.seconds());
        match onset.local.checked_add(SignedDuration::from_secs(gap.max(0))) {
            Ok(end) if local < end => onset.from,
            _ => onset.to,
        }
    }
}

/// A name of a zone without what some put around it; none where it can't be one.
fn bare(tzid: &str) -> Option<&str> {
    let name = tzid.trim().trim_matches(['"', '\'']).trim();
    (!name.is_empty() && name.len() <= 200).then_some(name)
}

/// The zone of a name that is the database's own: `Europe/Madrid`, `/vendor/version/Europe/Madrid`, UTC. Whatever a
/// feed says of such a zone, it is what it is.
pub(crate) fn of_database(tzid: &str) -> Option<TimeZone> {
    let name = bare(tzid)?;
    if ["Z", "UTC", "GMT", "Etc/UTC"].iter().any(|utc| name.eq_ignore_ascii_case(utc))
        || name.eq_ignore_ascii_case("tzone://Microsoft/Utc")
    {
        return Some(TimeZone::UTC);
    }
    // The longest tail that is a name.
    let mut tail = name;
    loop {
        if tail.contains('/')
            && let Ok(zone) = DATABASE.get(tail)
        {
            return Some(zone);
        }
        tail = tail.split_once('/').map(|(_, rest)| rest).filter(|rest| !rest.is_empty())?;
    }
}

/// The zone that a name seems to mean: a short one of the database (`EST`, which many write all year), one of Windows,
/// a list of cities, an offset. `hint` is where the calendar says that it is, which tells between cities.
pub(crate) fn guessed(tzid: &str, hint: Option<&str>) -> Option<TimeZone> {
    let name = bare(tzid)?;
    let last = name.rsplit('/').next().unwrap_or(name);
    DATABASE.get(last).ok().or_else(|| windows(name, hint)).or_else(|| fixed(name))
}

fn city_of(zone: &str) -> Option<String> {
    zone.trim().rsplit_once('/').map(|(_, city)| city.to_ascii_lowercase().replace('_', " "))
}

/// Windows' own names (`W. Europe Standard Time`) and their descriptions (`(UTC+01:00) Amsterdam, Berlin, …`).
fn windows(name: &str, hint: Option<&str>) -> Option<TimeZone> {
    if let Ok(known) = name.parse::<WindowsTimezone>() {
        return DATABASE.get(known.tzdb_id()).ok();
    }
    let described = match name.strip_prefix('(') {
        Some(rest) => rest.split_once(')').map(|(_, rest)| rest.trim())?,
        // A list of cities alone.
        None if name.contains(',') => name,
        None => return None,
    };
    let cities = described.rsplit(" : ").next().unwrap_or(described);
    let cities = || cities.split([',', '/', ';']).map(|city| city.trim().to_ascii_lowercase());
    let here = hint.and_then(|hint| Some((hint, city_of(hint)?)));
    if let Some((hint, here)) = here
        && cities().any(|city| city == here)
        && let Ok(zone) = DATABASE.get(hint.trim())
    {
        return Some(zone);
    }
    if let Some(zone) = cities().find_map(|city| CITIES.get(city.as_str())) {
        return DATABASE.get(zone).ok();
    }
    // `Eastern Time (US & Canada)` is described so, and named `Eastern Standard Time`.
    let region = described.split('(').next().unwrap_or(described).trim();
    if region.eq_ignore_ascii_case("Coordinated Universal Time") {
        return Some(TimeZone::UTC);
    }
    let standard = format!("{} Standard Time", region.strip_suffix(" Time").unwrap_or(region));
    DATABASE.get(standard.parse::<WindowsTimezone>().ok()?.tzdb_id()).ok()
}

/// `UTC+01:00`, `GMT-0500`, `+0100`.
fn fixed(name: &str) -> Option<TimeZone> {
    let offset = name.strip_prefix("UTC").or_else(|| name.strip_prefix("GMT")).unwrap_or(name);
    crate::read::moment::parse_offset(offset).map(TimeZone::fixed)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn named(tzid: &str) -> Option<TimeZone> {
        of_database(tzid).or_else(|| guessed(tzid, None))
    }

    fn iana(tzid: &str) -> Option<String> {
        named(tzid).map(|zone| zone.iana_name().unwrap_or("?").to_owned())
    }

    #[test]
    fn zones_are_known_by_every_name_seen() {
        for (tzid, name) in [
            ("Europe/Madrid", "Europe/Madrid"),
            ("europe/madrid", "Europe/Madrid"),
            ("\"Europe/Madrid\" ", "Europe/Madrid"),
            ("/freeassociation.sourceforge.net/Tzfile/Europe/Madrid", "Europe/Madrid"),
            ("/softwarestudio.org/Olson_20011030_5/America/Argentina/Salta", "America/Argentina/Salta"),
            ("W. Europe Standard Time", "Europe/Berlin"),
            ("Romance Standard Time", "Europe/Paris"),
            ("(UTC+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna", "Europe/Amsterdam"),
            ("(GMT+01.00) Sarajevo/Warsaw/Zagreb", "Europe/Sarajevo"),
            ("(GMT) Greenwich Mean Time : Dublin, Edinburgh, Lisbon, London", "Europe/Dublin"),
            ("(UTC-05:00) Eastern Time (US & Canada)", "America/New_York"),
            ("(UTC-07:00) Arizona", "US/Arizona"),
            ("UTC", "UTC"),
            ("tzone://Microsoft/Utc", "UTC"),
        ] {
            assert_eq!(iana(tzid).as_deref(), Some(name), "{tzid}");
        }
        assert_eq!(named("UTC+01:00"), Some(TimeZone::fixed(Offset::constant(1))));
        for tzid in ["", "Customized Time Zone", "Nowhere/Else", "(", "()", "€"] {
            assert_eq!(named(tzid), None, "{tzid}");
        }
    }

    #[test]
    fn a_list_of_cities_means_the_one_where_the_calendar_is() {
        let list = "(UTC+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna";
        for (hint, name) in [
            ("Europe/Stockholm", "Europe/Stockholm"),
            ("Europe/Madrid", "Europe/Amsterdam"),
            ("nonsense", "Europe/Amsterdam"),
        ] {
            let zone = guessed(list, Some(hint)).unwrap();
            assert_eq!(zone.iana_name(), Some(name), "{hint}");
        }
        assert_eq!(guessed("Madrid, Paris", None).unwrap().iana_name(), Some("Europe/Madrid"));
    }

    #[test]
    fn a_defined_zone_has_its_gap_and_its_fold_as_rfc_5545_wants() {
        let (winter, summer) = (Offset::constant(1), Offset::constant(2));
        let spring = Onset { local: date(2026, 3, 29).at(2, 0, 0, 0), from: winter, to: summer };
        let autumn = Onset { local: date(2026, 10, 25).at(3, 0, 0, 0), from: summer, to: winter };
        let defined = Clock::Defined(Rc::new(DefinedZone::new(None, vec![autumn, spring]).unwrap()));
        let madrid = Clock::Zone(named("Europe/Madrid").unwrap());
        for local in [
            date(2026, 1, 1).at(0, 0, 0, 0),
            date(2026, 3, 29).at(1, 59, 59, 0),
            date(2026, 3, 29).at(2, 30, 0, 0),
            date(2026, 3, 29).at(3, 0, 0, 0),
            date(2026, 10, 25).at(1, 59, 59, 0),
            date(2026, 10, 25).at(2, 30, 0, 0),
            date(2026, 10, 25).at(3, 0, 0, 0),
        ] {
            assert_eq!(defined.instant(local), madrid.instant(local), "{local}");
            let instant = madrid.instant(local);
            assert_eq!(defined.local(instant), madrid.local(instant), "{local}");
        }
    }
}
