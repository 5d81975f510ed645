//! Which provider a feed is of: by the host and path of its URL, else by its PRODID.

use url::Url;

use crate::{
    catalogue::{all, generic},
    marks::host_of,
    profile::Profile,
};

/// The profile of a feed: by its URL, else by its PRODID, else `generic`.
///
/// The URL counts by its host (and path where hosts are shared), never by its user part, query or fragment. The
/// PRODID may be as it stands in the feed: escaped (`\,`), or with the property's parameters still before it.
/// Providers that are connected through an account are never found. Nothing is fetched, and the URL is not changed.
#[must_use]
pub fn detect(url: Option<&Url>, prodid: Option<&str>) -> &'static Profile {
    let by_url = url.and_then(|url| {
        let host = host_of(url)?;
        all().iter().find(|profile| profile.marks.know_url(&host, url))
    });
    by_url
        .or_else(|| {
            let folded = fold_prodid(prodid?);
            all().iter().find(|profile| profile.marks.know_prodid(&folded))
        })
        .unwrap_or_else(generic)
}

/// A PRODID made comparable: without the property's name and parameters, unescaped, in lower case.
fn fold_prodid(text: &str) -> String {
    let text = text.trim();
    // ASCII only, so that a foreign letter can't shift the border of the slice.
    let text = match text.get(..6) {
        Some(name) if name.eq_ignore_ascii_case("prodid") => text.get(6..).unwrap_or_default(),
        _ => text,
    };
    let value = match text.strip_prefix(';') {
        Some(parameters) => after_parameters(parameters),
        None => text.strip_prefix(':').unwrap_or(text),
    };
    let mut folded = String::with_capacity(value.len());
    let mut chars = value.trim().chars();
    while let Some(c) = chars.next() {
        let c = if c == '\\' { chars.next().unwrap_or(c) } else { c };
        folded.extend(c.to_lowercase());
    }
    folded
}

/// The value after the first colon that stands outside quotes (RFC 5545, 3.1).
fn after_parameters(text: &str) -> &str {
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ':' if !quoted => return text.get(at + 1..).unwrap_or_default(),
            _ => {}
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_url(text: &str) -> &'static str {
        detect(Some(&Url::parse(text).unwrap()), None).id.as_str()
    }

    fn by_prodid(text: &str) -> &'static str {
        detect(None, Some(text)).id.as_str()
    }

    #[test]
    fn every_known_form_of_url_is_found() {
        for (url, provider) in [
            ("https://www.airbnb.com/calendar/ical/123.ics?s=00112233445566778899aabbccddeeff", "airbnb"),
            ("https://www.airbnb.es/calendar/ical/123.ics?t=00112233445566778899aabbccddeeff&locale=es", "airbnb"),
            ("https://www.airbnb.co.uk/calendar/ical/123.ics?s=0", "airbnb"),
            ("https://airbnb.com.br/calendar/ical/123.ics?s=0", "airbnb"),
            ("https://es.airbnb.com/calendar/ical/123.ics?s=0", "airbnb"),
            ("webcal://WWW.AirBnB.de/calendar/ical/123.ics?s=0", "airbnb"),
            ("https://www.airbnb.com./calendar/ical/123.ics?s=0", "airbnb"),
            ("https://ical.booking.com/v1/export?t=00000000-0000-4000-8000-000000000000", "booking_com"),
            ("https://ical.booking.com/v1/export/t/00000000-0000-4000-8000-000000000000.ics", "booking_com"),
            ("https://admin.booking.com/hotel/hoteladmin/ical.html?t=abc", "booking_com"),
            ("http://www.vrbo.com/icalendar/00112233445566778899aabbccddeeff.ics?nonTentative", "vrbo"),
            ("https://www.abritel.fr/icalendar/00112233445566778899aabbccddeeff.ics", "vrbo"),
            ("https://www.homeaway.co.uk/icalendar/00112233445566778899aabbccddeeff.ics", "vrbo"),
            ("https://ycs.agoda.com/en-us/api/ari/icalendar?key=a%2fb%2bc", "agoda"),
            ("https://portal.agoda.com/en-us/api/ari/icalendar?key=a%2fb%2bc", "agoda"),
            ("https://www.tripadvisor.co.uk/ical/1.ics", "tripadvisor"),
            ("https://www.flipkey.com/ical/1.ics", "flipkey"),
            ("https://www.holidaylettings.co.uk/ical/1.ics", "holidaylettings"),
            (
                "https://calendar.google.com/calendar/ical/abc%40group.calendar.google.com/public/basic.ics",
                "google_ical",
            ),
            ("https://calendar.google.com/calendar/ical/abc%40gmail.com/private-0123abcd/basic.ics", "google_ical"),
            ("https://www.google.com/calendar/ical/abc%40gmail.com/private-0123abcd/basic.ics", "google_ical"),
            ("https://outlook.office365.com/owa/calendar/a@b.example/c/calendar.ics", "outlook"),
            ("https://outlook.live.com/owa/calendar/a/b/cid-c/calendar.ics", "outlook"),
            ("webcal://p42-caldav.icloud.com/published/2/abc", "apple_icloud"),
            ("https://platform.hostaway.com/ical/token/listings/1.ics", "hostaway"),
            (
                "https://app.guesty.com/api/public/icalendar-dashboard-api/export/00000000-0000-4000-8000-000000000000",
                "guesty",
            ),
            ("https://login.smoobu.com/ical/1.ics?s=abc", "smoobu"),
            ("https://cloud.example.org/remote.php/dav/public-calendars/abc?export", "nextcloud"),
            ("https://example.org/nextcloud/remote.php/dav/public-calendars/abc?export", "nextcloud"),
            ("https://www.avaibook.com/ical/1", "avaibook"),
            ("https://www.only-apartments.com/ical/1", "only_apartments"),
            ("https://app.amplistay.com/ical/1", "amplistay"),
            ("https://bookinghound.com/ical/1", "bookinghound"),
            ("https://calendars.example.org/1.ics", "generic"),
        ] {
            assert_eq!(by_url(url), provider, "{url}");
        }
    }

    #[test]
    fn a_look_alike_of_a_known_host_is_nobodys() {
        for url in [
            "https://airbnb.com.evil.example/calendar/ical/1.ics?s=0",
            "https://www.airbnb.com.evil.example/calendar/ical/1.ics",
            "https://airbnb.evil.example/calendar/ical/1.ics",
            "https://airbnb.co.evil.com/calendar/ical/1.ics",
            "https://notairbnb.com/calendar/ical/1.ics",
            "https://airbnb-ical.com/calendar/ical/1.ics",
            "https://my-airbnb.co.uk/calendar/ical/1.ics",
            "https://airbnb.com@evil.example/calendar/ical/1.ics",
            "https://airbnb.com:x@evil.example/calendar/ical/1.ics",
            "https://evil.example/?next=https://www.airbnb.com/calendar/ical/1.ics",
            "https://evil.example/airbnb.com/calendar/ical/1.ics",
            "https://evil.example/#www.airbnb.com/calendar/ical/1.ics",
            "https://evil.example\\.airbnb.com/calendar/ical/1.ics",
            "https://a\u{131}rbnb.com/calendar/ical/1.ics",
            "https://evilbooking.com/v1/export",
            "https://ical.booking.com.evil.example/v1/export?t=0",
            "https://xical.booking.comx/v1/export",
            "https://vrbo.evil.example/icalendar/0.ics",
            "https://calendar.google.com.evil.example/calendar/ical/a/public/basic.ics",
            "https://www.google.com/search?q=/calendar/ical/",
            "https://192.0.2.1/calendar/ical/1.ics",
            "https://[2001:db8::1]/calendar/ical/1.ics",
            "https://localhost/calendar/ical/1.ics",
            "https://airbnb/calendar/ical/1.ics",
            "ftp://www.airbnb.com/calendar/ical/1.ics",
            "file:///www.airbnb.com/calendar/ical/1.ics",
            "data:text/calendar,airbnb.com",
        ] {
            assert_eq!(by_url(url), "generic", "{url}");
        }
    }

    #[test]
    fn every_known_prodid_is_found() {
        for (prodid, provider) in [
            ("-//Airbnb Inc//Hosting Calendar 1.0//EN", "airbnb"),
            ("-//Airbnb Inc//Hosting Calendar 0.8.8//EN", "airbnb"),
            (r"-//admin.booking.com\, b.v.//NONSGML v1.0//EN", "booking_com"),
            ("-//admin.booking.com, b.v.//NONSGML v1.0//EN", "booking_com"),
            (r"-//HomeAway.com\, Inc.//EN", "vrbo"),
            ("-//HomeAway.com, Inc.//EN", "vrbo"),
            ("-//Google Inc//Google Calendar 70.9054//EN", "google_ical"),
            ("Microsoft Exchange Server 2010", "outlook"),
            ("-//Microsoft Corporation//Outlook 16.0 MIMEDIR//EN", "outlook"),
            ("-//Apple Inc.//macOS 15.0//EN", "apple_icloud"),
            ("-//CALENDARSERVER.ORG//NONSGML Version 1//EN", "apple_icloud"),
            ("-//IDN nextcloud.com//Calendar app 4.7.0//EN", "nextcloud"),
            ("-//Smoobu//EN", "smoobu"),
            ("-//Example Corp.//Rooms 1.0//EN", "generic"),
            ("", "generic"),
        ] {
            assert_eq!(by_prodid(prodid), provider, "{prodid}");
        }
    }

    #[test]
    fn a_prodid_is_found_behind_its_parameters() {
        for prodid in [
            "PRODID;X-RICAL-TZSOURCE=TZINFO:-//Airbnb Inc//Hosting Calendar 0.8.8//EN",
            ";X-RICAL-TZSOURCE=TZINFO:-//Airbnb Inc//Hosting Calendar 0.8.8//EN",
            ";X-A=\"b:c\":-//Airbnb Inc//Hosting Calendar 0.8.8//EN",
            "PRODID:-//Airbnb Inc//Hosting Calendar 1.0//EN ",
            " -//AIRBNB INC//Hosting Calendar 1.0//EN",
        ] {
            assert_eq!(by_prodid(prodid), "airbnb", "{prodid}");
        }
        for prodid in [";", ";a", "PRODID", "PRODID;", "prodié", "\\", "-//Evil//airbnb inc//EN"] {
            assert_eq!(by_prodid(prodid), "generic", "{prodid}");
        }
    }

    #[test]
    fn the_host_outweighs_the_prodid_and_an_unknown_host_leaves_it_to_the_prodid() {
        let url = Url::parse("https://ical.booking.com/v1/export?t=0").unwrap();
        assert_eq!(detect(Some(&url), Some("-//Airbnb Inc//X//EN")).id.as_str(), "booking_com");
        let local = Url::parse("http://127.0.0.1:8000/feeds/1.ics").unwrap();
        assert_eq!(detect(Some(&local), Some("-//Airbnb Inc//X//EN")).id.as_str(), "airbnb");
        assert_eq!(detect(None, None).id.as_str(), "generic");
    }

    #[test]
    fn a_listing_pasted_for_a_calendar_link_is_told_apart() {
        let is_feed = |text: &str| {
            let url = Url::parse(text).unwrap();
            detect(Some(&url), None).is_feed_url(&url)
        };
        assert!(is_feed("https://www.airbnb.com/calendar/ical/1.ics?s=0"));
        assert!(!is_feed("https://www.airbnb.com/rooms/1"));
        assert!(is_feed("https://ycs.agoda.com/en-us/api/ari/icalendar?key=a%2fb"));
        assert!(!is_feed("https://www.agoda.com/some-home/hotel.html"));
    }

    #[test]
    fn looking_at_agodas_link_leaves_its_key_as_it_was() {
        let text = "https://ycs.agoda.com/en-us/api/ari/icalendar?key=a%2fb%2bc%3d";
        let url = Url::parse(text).unwrap();
        assert_eq!(detect(Some(&url), None).id.as_str(), "agoda");
        assert_eq!(url.as_str(), text);
    }

    #[test]
    fn an_account_connection_is_never_found_from_a_link() {
        assert_eq!(by_url("https://app.kigo.net/api/ra/v1/listProperties2"), "generic");
        assert_eq!(by_url("https://www.googleapis.com/calendar/v3/calendars/a/events"), "generic");
    }
}
