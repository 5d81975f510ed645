//! What a feed says, case by case: each body is written as a site might write it, each value is invented.

mod support;

use support::*;

#[test]
fn an_airbnb_reservation_is_three_nights() {
    let reading = read_text(
        "BEGIN:VCALENDAR\r\nPRODID:-//Airbnb Inc//Hosting Calendar 1.0//EN\r\nCALSCALE:GREGORIAN\r\nVERSION:2.0\r\n\
         BEGIN:VEVENT\r\nDTEND;VALUE=DATE:20270113\r\nDTSTART;VALUE=DATE:20270110\r\nSUMMARY:Reserved\r\n\
         UID:1418fb94e984-0123@airbnb.com\r\nDESCRIPTION:Reservation URL: https://www.airbnb.com/hosting/reservations/de\r\n \
         tails/HMTESTTEST\\nPhone Number (Last 4 Digits): 0000\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
    );
    assert_eq!(listed(&reading), ["2027-01-10..2027-01-13"]);
    let event = &reading.events[0];
    assert_eq!(event.summary, "Reserved");
    assert_eq!(
        event.description,
        "Reservation URL: https://www.airbnb.com/hosting/reservations/details/HMTESTTEST\nPhone Number (Last 4 Digits): 0000"
    );
    assert_eq!(event.key.as_ref().unwrap().uid, "1418fb94e984-0123@airbnb.com");
    assert_eq!((event.lines.first, event.lines.last), (5, 12));
    assert_eq!(reading.prodid.as_deref(), Some("-//Airbnb Inc//Hosting Calendar 1.0//EN"));
    assert_eq!((reading.events_in_text, reading.events_read, reading.recurs), (1, 1, false));
    assert_eq!(reading.warnings, []);
}
