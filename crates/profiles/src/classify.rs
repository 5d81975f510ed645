//! What an event of a provider's feed is: a reservation, a closure, or nothing that blocks. Decided by the first rule of the profile that fits.

use calmesh_calendar::{BusyStatus, EventStatus, FeedEvent};

use crate::{
    matcher::fold,
    profile::Profile,
    rules::{EventClass, Seen, nights_touched},
};

/// What a profile says of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classified {
    pub class: EventClass,
    /// The text proves that this is a reservation, so it can't be an echo of a block.
    pub reservation_mark: bool,
    /// The provider's own code of the reservation, such as Airbnb's `HM…`.
    pub code: Option<String>,
    /// The name of the rule that decided, for `explain`; never a part of the event's text.
    pub rule: String,
}

impl Profile {
    /// What this event is, by the first rule of this profile that fits; the last rule fits every event.
    /// Cancelled and transparent events are classified like others: whether they block is not decided here.
    #[must_use]
    pub fn classify(&self, event: &FeedEvent) -> Classified {
        let code = self.codes.iter().find_map(|pattern| pattern.find(event));
        let seen = Seen {
            summary: fold(&event.summary),
            uid: event.key.as_ref().map_or("", |key| key.uid.trim()),
            tentative: event.status == Some(EventStatus::Tentative) || event.busy_status == Some(BusyStatus::Tentative),
            has_code: code.is_some(),
            nights: nights_touched(event.extent),
        };
        let (class, reservation_mark, rule) = self
            .rules
            .iter()
            .find(|rule| rule.when.fits(&seen))
            .map_or((EventClass::Closure, false, "no rule fits"), |rule| (rule.class, rule.mark, rule.name.as_str()));
        Classified { class, reservation_mark, code, rule: rule.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use calmesh_calendar::{EventKey, Extent, Lines, Nights, Times};

    use super::*;
    use crate::catalogue::find;

    fn event(summary: &str) -> FeedEvent {
        let extent = Nights::new("2026-12-04".parse().unwrap(), "2026-12-07".parse().unwrap()).unwrap();
        FeedEvent {
            key: None,
            extent: Extent::Nights(extent),
            summary: summary.into(),
            description: "".into(),
            status: None,
            transparent: None,
            busy_status: None,
            lines: Lines::default(),
        }
    }

    fn with_uid(summary: &str, uid: &str) -> FeedEvent {
        FeedEvent { key: Some(EventKey { uid: uid.to_owned(), occurrence: None }), ..event(summary) }
    }

    fn judged(provider: &str, event: &FeedEvent) -> (EventClass, bool) {
        let found = find(provider).unwrap().classify(event);
        (found.class, found.reservation_mark)
    }

    /// Class and mark of an event that has nothing but a summary.
    fn check(provider: &str, summary: &str, class: EventClass, mark: bool) {
        assert_eq!(judged(provider, &event(summary)), (class, mark), "{provider}: {summary}");
    }

    const UUID: &str = "6f49cda7-479e-454b-a6a3-39fa7feee5ed";
    const DATES: &str = "12042026-1204-2026-1207-202612072026";

    #[test]
    fn a_reservation_of_airbnb_is_proven_by_its_code_its_uid_or_its_summary() {
        let uid = "1418fb94e984-0123456789abcdef0123456789abcdef@airbnb.com";
        let mut full = with_uid("Reserved", uid);
        full.description = "Reservation URL: https://www.airbnb.com/hosting/reservations/details/HMTESTTEST\n                            Phone Number (Last 4 Digits): 0000"
            .into();
        let found = find("airbnb").unwrap().classify(&full);
        assert_eq!(found.class, EventClass::Reservation);
        assert!(found.reservation_mark);
        assert_eq!(found.code.as_deref(), Some("HMTESTTEST"));
        assert_eq!(found.rule, "reservation code");

        let by_uid = find("airbnb").unwrap().classify(&with_uid("Ocupado", uid));
        assert_eq!(by_uid.rule, "reservation by UID prefix");
        assert!(by_uid.reservation_mark);
        assert_eq!(judged("airbnb", &with_uid("Reserved", "new-1@airbnb.com")), (EventClass::Reservation, true));
    }

    #[test]
    fn a_homemade_feed_under_airbnbs_name_proves_no_reservation() {
        check("airbnb", "Reserved", EventClass::Reservation, false);
        assert_eq!(judged("airbnb", &with_uid("Reserved", "booking-17")), (EventClass::Reservation, false));
    }

    #[test]
    fn a_closure_of_airbnb_is_known_by_its_uid_whatever_its_summary_says() {
        for uid in ["7f662ec65913-00@airbnb.com", "6fec1092d3fa-00@airbnb.com"] {
            assert_eq!(judged("airbnb", &with_uid("Reserved", uid)), (EventClass::Closure, false));
        }
        check("airbnb", "Airbnb (Not available)", EventClass::Closure, false);
        check("airbnb", "Not available", EventClass::Closure, false);
        check("airbnb", "Airbnb (nicht verfügbar)", EventClass::Closure, false);
        check("airbnb", "Something new", EventClass::Closure, false);
    }

    #[test]
    fn an_unseen_translation_at_airbnb_is_a_reservation_without_proof() {
        check("airbnb", "Réservé", EventClass::Reservation, false);
        check("airbnb", "RESERVADO", EventClass::Reservation, false);
    }

    #[test]
    fn airbnbs_code_is_read_in_every_form_it_was_written_in() {
        let code = |summary: &str, description: &str| {
            let event = FeedEvent { description: description.into(), ..event(summary) };
            find("airbnb").unwrap().classify(&event).code
        };
        let some = Some("HMAB12CD34".to_owned());
        assert_eq!(
            code("Reserved", "Reservation URL: https://www.airbnb.com/hosting/reservations/details/HMAB12CD34"),
            some
        );
        assert_eq!(code("Reserved", "x/reservations/details/HMAB12CD34\\nPhone"), some);
        assert_eq!(code("Reserved", "https://www.airbnb.com/reservation/itinerary?code=HMAB12CD34\nPhone"), some);
        assert_eq!(code("Ann Example (HMAB12CD34)", ""), some);
        assert_eq!(code("Ann (Annie) Example (HMAB12CD34)", ""), some);
    }

    #[test]
    fn what_only_looks_like_a_code_is_none() {
        let code = |summary: &str, description: &str| {
            let event = FeedEvent { description: description.into(), ..event(summary) };
            find("airbnb").unwrap().classify(&event).code
        };
        assert_eq!(code("Reserved", "HMAB12CD34"), None);
        assert_eq!(code("Reserved", "/reservations/details/XXAB12CD34"), None);
        assert_eq!(code("Reserved", "/reservations/details/hmab12cd34"), None);
        assert_eq!(code("Reserved", "/reservations/details/HM1"), None);
        assert_eq!(code("Reserved", "/reservations/details/HMAB12CD34HMAB12CD34"), None);
        assert_eq!(code("Reserved", "/reservations/details/HMAB12CD34é"), None);
        assert_eq!(code("Ann (HMAB12CD34", ""), None);
        assert_eq!(code("", "/reservations/details/"), None);
    }

    #[test]
    fn booking_coms_closed_is_undecidable_and_never_proves_a_reservation() {
        for summary in ["CLOSED - Not available", "CLOSED – Not available", "CLOSED - Ann Example", "closed", ""] {
            check("booking_com", summary, EventClass::Closure, false);
        }
        assert!(!find("booking_com").unwrap().tells_reservations_apart);
    }

    #[test]
    fn vrbo_tells_reservations_closures_and_requests_apart_in_two_languages() {
        for (summary, class, mark) in [
            ("Reserved - Ann", EventClass::Reservation, true),
            ("Réservée - Zoé", EventClass::Reservation, true),
            ("Réservée", EventClass::Reservation, true),
            ("Blocked", EventClass::Closure, false),
            ("Indisponible", EventClass::Closure, false),
            ("Provisoire - Luc", EventClass::Tentative, false),
            ("Reserviert - Ann", EventClass::Reservation, false),
            ("Neue Worte", EventClass::Closure, false),
        ] {
            assert_eq!(judged("vrbo", &with_uid(summary, UUID)), (class, mark), "{summary}");
        }
    }

    #[test]
    fn a_vrbo_uid_made_of_dates_is_an_owners_closure() {
        assert_eq!(judged("vrbo", &with_uid("Gesperrt durch Eigentümer", DATES)), (EventClass::Closure, false));
        assert_eq!(judged("vrbo", &with_uid("Reserved", DATES)), (EventClass::Closure, false));
    }

    #[test]
    fn a_homemade_feed_under_vrbos_name_proves_no_reservation() {
        check("vrbo", "Reserved - Ann", EventClass::Reservation, false);
        assert_eq!(judged("vrbo", &with_uid("Reserved - Ann", "booking-17")), (EventClass::Reservation, false));
    }

    #[test]
    fn an_arrival_and_a_departure_beside_a_stay_of_smoobu_block_nothing() {
        let day = |summary: &str| {
            let one = Nights::new("2026-12-04".parse().unwrap(), "2026-12-05".parse().unwrap()).unwrap();
            FeedEvent { extent: Extent::Nights(one), ..event(summary) }
        };
        for summary in ["Arrival: Ann Example", "Departure: Ann Example", "Check-in Ann", "Abreise Ann", "Anreise: Ann"]
        {
            assert_eq!(judged("smoobu", &day(summary)), (EventClass::Ignored, false), "{summary}");
        }
        let hour =
            Times::new("2026-12-04T15:00:00Z".parse().unwrap(), "2026-12-04T16:00:00Z".parse().unwrap()).unwrap();
        let timed = FeedEvent { extent: Extent::Times(hour), ..event("Arrival: Ann Example") };
        assert_eq!(judged("smoobu", &timed).0, EventClass::Ignored);
    }

    #[test]
    fn a_smoobu_stay_of_several_nights_blocks_though_its_name_reads_like_an_arrival() {
        check("smoobu", "Arrival Tours Ltd", EventClass::Closure, false);
        check("smoobu", "Booking - Ann Example", EventClass::Reservation, false);
        check("smoobu", "Blocked", EventClass::Closure, false);
        let days =
            Times::new("2026-12-04T15:00:00Z".parse().unwrap(), "2026-12-05T15:00:01Z".parse().unwrap()).unwrap();
        let timed = FeedEvent { extent: Extent::Times(days), ..event("Arrival Tours Ltd") };
        assert_eq!(judged("smoobu", &timed).0, EventClass::Closure);
    }

    #[test]
    fn tentative_is_told_by_status_or_by_outlooks_busy_status() {
        let asked = FeedEvent { status: Some(EventStatus::Tentative), ..event("Booked by Ann") };
        let busy = FeedEvent { busy_status: Some(BusyStatus::Tentative), ..event("Maybe") };
        for provider in ["generic", "google_ical", "outlook", "apple_icloud", "nextcloud", "kigo", "vrbo"] {
            assert_eq!(judged(provider, &asked), (EventClass::Tentative, false), "{provider}");
        }
        assert_eq!(judged("outlook", &busy), (EventClass::Tentative, false));
    }

    #[test]
    fn a_generic_feed_may_say_reserved_in_many_languages_and_proves_nothing_by_it() {
        for summary in [
            "Reserved",
            "BOOKED: Ann",
            "Booking 17",
            "Réservée",
            "Reserviert",
            "Gebucht (2 Pers.)",
            "Belegt",
            "Reserva de Ana",
            "Reservado",
            "Prenotato",
            "Prenotazione n. 4",
            "Gereserveerd",
            "Boeking",
            "Rezerwacja",
        ] {
            check("generic", summary, EventClass::Reservation, false);
        }
        for summary in ["Not available", "Not booked", "Blocked", "", "Gesperrt", "Overbooked", "Plumber", "EX-Airbnb"]
        {
            check("generic", summary, EventClass::Closure, false);
        }
    }

    #[test]
    fn only_airbnb_and_vrbo_can_prove_a_reservation() {
        let with_marks: Vec<_> = crate::all()
            .iter()
            .filter(|profile| profile.rules.iter().any(|rule| rule.mark))
            .map(|profile| profile.id.as_str())
            .collect();
        assert_eq!(with_marks, ["airbnb", "vrbo"]);
    }

    #[test]
    fn guesty_and_only_apartments_name_what_is_not_theirs() {
        check("guesty", "Blocked By Guesty", EventClass::Closure, false);
        check("only_apartments", "EX-Airbnb reserved", EventClass::Closure, false);
        check("only_apartments", "Reserved", EventClass::Reservation, false);
    }

    #[test]
    fn every_event_gets_a_class_whatever_it_holds() {
        for profile in crate::all() {
            for summary in ["", " ", "\u{feff}", "(", "((((HM", "İ", "ß—ß", "\u{0}", "ex-"] {
                for uid in ["", "-", "é", "########-####-####-####-############"] {
                    let found = profile.classify(&with_uid(summary, uid));
                    assert_ne!(found.class, EventClass::Ignored);
                    assert_ne!(found.rule, "no rule fits");
                }
            }
        }
    }
}
