//! Feeds, properties and connections that the tests of several resources begin with.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::testing::TestApi;

/// An Airbnb-shaped feed: a reservation of this code from one date to another.
pub(crate) fn airbnb(stays: &[(&str, &str, &str)]) -> String {
    let mut text = String::from("BEGIN:VCALENDAR\r\nPRODID:-//Airbnb Inc//Hosting Calendar 1.0//EN\r\nVERSION:2.0\r\n");
    for (code, start, end) in stays {
        write!(
            text,
            "BEGIN:VEVENT\r\nDTSTAMP:20260101T000000Z\r\nDTSTART;VALUE=DATE:{}\r\nDTEND;VALUE=DATE:{}\r\n\
             SUMMARY:Reserved\r\nUID:1418fb94e984-{code}@airbnb.com\r\nDESCRIPTION:Reservation URL: \
             https://www.airbnb.com/hosting/reservations/details/{code}\r\nEND:VEVENT\r\n",
            start.replace('-', ""),
            end.replace('-', ""),
        )
        .unwrap();
    }
    text.push_str("END:VCALENDAR\r\n");
    text
}

/// A feed of events with these summaries, of no known provider.
pub(crate) fn plain(events: &[(&str, &str, &str)]) -> String {
    let mut text = String::from("BEGIN:VCALENDAR\r\nPRODID:-//somebody//EN\r\nVERSION:2.0\r\n");
    for (at, (summary, start, end)) in events.iter().enumerate() {
        write!(
            text,
            "BEGIN:VEVENT\r\nDTSTAMP:20260101T000000Z\r\nDTSTART;VALUE=DATE:{}\r\nDTEND;VALUE=DATE:{}\r\n\
             SUMMARY:{summary}\r\nUID:{at}@somebody\r\nEND:VEVENT\r\n",
            start.replace('-', ""),
            end.replace('-', ""),
        )
        .unwrap();
    }
    text.push_str("END:VCALENDAR\r\n");
    text
}

pub(crate) const STAY: (&str, &str, &str) = ("HMAAAAAAAA", "2026-12-04", "2026-12-07");

pub(crate) fn url(name: &str) -> String {
    format!("https://{name}.example/feed.ics?s=secret")
}

impl TestApi {
    /// A property in Madrid; its id.
    pub(crate) async fn flat(&self) -> String {
        self.flat_with(json!({})).await
    }

    pub(crate) async fn flat_with(&self, fields: Value) -> String {
        let mut body = json!({"name": "Flat", "time_zone": "Europe/Madrid"});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let made = self.post("/v1/properties", body).await;
        assert_eq!(made.status, 201, "{}", made.text());
        made.json()["id"].as_str().unwrap().to_owned()
    }

    /// Serves this feed at `https://{name}.example/…` and connects the property with it, both ways.
    pub(crate) async fn connect(&self, property: &str, name: &str, feed: String) -> Value {
        self.connect_with(property, name, feed, json!({})).await
    }

    pub(crate) async fn connect_with(&self, property: &str, name: &str, feed: String, fields: Value) -> Value {
        self.feeds.serve(&url(name), feed);
        let mut body = json!({"name": name, "import": {"url": url(name)}});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let made = self.post(&format!("/v1/properties/{property}/connections"), body).await;
        assert_eq!(made.status, 201, "{}", made.text());
        made.json()
    }

    /// A block of the host's own; its id.
    pub(crate) async fn block(&self, property: &str, start: &str, end: &str) -> String {
        let body = json!({"kind": "reservation", "start": start, "end": end, "force": true});
        let made = self.post(&format!("/v1/properties/{property}/blocks"), body).await;
        assert_eq!(made.status, 201, "{}", made.text());
        made.json()["id"].as_str().unwrap().to_owned()
    }

    /// Works on announced events until none is left.
    pub(crate) async fn work(&self) {
        loop {
            let events = self.drain();
            if events.is_empty() {
                return;
            }
            for event in events {
                self.app.handle(&event).await.unwrap();
            }
        }
    }

    /// The dates and summaries behind a private link; none where it is 404.
    pub(crate) async fn served(&self, link: &str) -> Option<Vec<String>> {
        let token = link.rsplit('/').next().unwrap().trim_end_matches(".ics").parse_token();
        let object = self.ports.exports.export(&token).await.unwrap()?;
        let text = String::from_utf8(object.body.to_vec()).unwrap().replace("\r\n ", "");
        let of = |name: &str| -> Vec<String> {
            let lines = text.lines().filter(|line| line.starts_with(name));
            lines.map(|line| line.rsplit(':').next().unwrap().to_owned()).collect()
        };
        Some(of("DTSTART").into_iter().zip(of("DTEND")).map(|(start, end)| format!("{start}-{end}")).collect())
    }

    /// The taken nights of a property between two dates.
    pub(crate) async fn taken(&self, property: &str, from: &str, to: &str) -> Vec<String> {
        let answer = self.get(&format!("/v1/properties/{property}/availability?from={from}&to={to}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let nights = answer.json()["nights"].as_array().unwrap().clone();
        let taken = nights.iter().filter(|night| night["available"] == false);
        taken.map(|night| night["date"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) async fn activity(&self, property: &str) -> Vec<String> {
        let page = calmesh_app::ports::PageRequest { limit: 100, after: None };
        let page = self.ports.common.activity.activity(&property.parse().unwrap(), page).await.unwrap();
        page.items.iter().map(|entry| format!("{:?}", entry.kind)).collect()
    }
}

trait ParseToken {
    fn parse_token(&self) -> calmesh_app::model::LinkToken;
}

impl ParseToken for str {
    fn parse_token(&self) -> calmesh_app::model::LinkToken {
        calmesh_app::model::LinkToken::parse(self).unwrap()
    }
}
