//! `--demo`: a property with three feeds of our own listener, shaped like Airbnb's, Booking.com's and Vrbo's, that
//! change as time goes by. It is made through the API and read by the fetcher like any other.

use std::{fmt, fs, io, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{Request, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use calmesh_app::{
    counted,
    model::LinkToken,
    ports::{Clock, Randomness},
};
use calmesh_lambda_kit::{OsRandomness, SystemClock};
use http_body_util::BodyExt;
use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tower::ServiceExt;
use url::Url;

use crate::{
    args::Serve,
    folder::{DataFolder, FolderError},
    output::Style,
};

const NAME: &str = "Demo flat";
const ZONE: &str = "Europe/Madrid";
/// Reservations at the beginning.
const FIRST: i64 = 6;
/// Beyond so many, nothing more is booked.
const MOST: i64 = 150;
/// Something changes every so many sweeps.
const SWEEPS_PER_STEP: i64 = 3;

/// Why the demo was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("demo.json in the data folder can't be read: delete it to have the demo made anew")]
    Kept(#[source] io::Error),
    #[error("{method} {path} was answered with {status}: {detail}")]
    Refused { method: &'static str, path: String, status: StatusCode, detail: String },
    #[error("{method} {path} was not answered")]
    Unanswered { method: &'static str, path: String },
}

/// What is remembered in `demo.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    /// The unguessable part of the feeds' path.
    secret: String,
    #[serde(with = "instant")]
    made_at: Timestamp,
    step_seconds: i64,
    /// Where the feeds were when they were connected last.
    base: String,
    /// None until everything was made.
    property: Option<String>,
    /// Connections in the order of the sites.
    connections: Vec<String>,
}

/// An instant as RFC 3339.
mod instant {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(at)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// A demo that is served.
#[derive(Clone)]
pub(crate) struct Demo {
    kept: Kept,
    base: String,
}

impl fmt::Debug for Demo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Demo").field("property", &self.kept.property).finish_non_exhaustive()
    }
}

/// The demo, made.
#[derive(Debug)]
pub(crate) struct MadeDemo {
    property: String,
    base: String,
    /// Names and private links.
    links: Vec<(String, String)>,
    /// Names and feeds, for a property of the host's own.
    feeds: Vec<(&'static str, String)>,
    step_seconds: i64,
}

impl Demo {
    /// The demo of this folder: when it was made there before, or is wanted now.
    ///
    /// # Errors
    /// When what is remembered can't be read or written.
    pub(crate) fn of_folder(folder: &DataFolder, args: &Serve, api: &Url) -> Result<Option<Self>, DemoError> {
        let base = api.as_str().trim_end_matches('/').to_owned();
        let kept: Kept = match fs::read(folder.demo_file()) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| DemoError::Kept(error.into()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !args.demo => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let kept = Kept {
                    secret: LinkToken::from_random(OsRandomness.secret()).reveal().to_owned(),
                    made_at: SystemClock.now(),
                    step_seconds: args.sweep_every.as_secs().saturating_mul(SWEEPS_PER_STEP).max(1),
                    base: base.clone(),
                    property: None,
                    connections: Vec::new(),
                };
                folder.write_private(&folder.demo_file(), &kept)?;
                kept
            }
            Err(error) => return Err(DemoError::Kept(error)),
        };
        Ok(Some(Self { kept, base }))
    }

    /// Serves the feeds below their unguessable path.
    pub(crate) fn router(&self, clock: Arc<dyn Clock>) -> Router {
        Router::new().route("/demo/{secret}/{file}", get(serve)).with_state((self.clone(), clock))
    }

    fn feed_url(&self, site: Site) -> String {
        format!("{}/demo/{}/{}", self.base, self.kept.secret, site.file())
    }

    /// Makes the property and its connections, once; moves the connections when the listener has moved.
    ///
    /// # Errors
    /// When the API refuses. What was made is found again by the next start.
    pub(crate) async fn ensure(
        mut self,
        folder: &DataFolder,
        router: Router,
        token: &str,
    ) -> Result<MadeDemo, DemoError> {
        let api = Api { router, token };
        let property = match self.kept.property.clone() {
            Some(property) if self.kept.connections.len() == Site::ALL.len() => property,
            begun => self.make(&api, folder, begun).await?,
        };
        if self.kept.base != self.base {
            for (site, connection) in Site::ALL.into_iter().zip(&self.kept.connections) {
                let moved = json!({ "import": { "url": self.feed_url(site) } });
                match api.call("PATCH", &format!("/v1/connections/{connection}"), Some(moved)).await {
                    // The host may have deleted it, or the whole demo.
                    Ok(_) | Err(DemoError::Refused { status: StatusCode::NOT_FOUND, .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            self.kept.base.clone_from(&self.base);
            folder.write_private(&folder.demo_file(), &self.kept)?;
        }
        let listed = api.call("GET", &format!("/v1/properties/{property}/connections"), None).await;
        let links = match listed {
            Ok(listed) => links_of(&listed),
            Err(DemoError::Refused { status: StatusCode::NOT_FOUND, .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        let feeds = Site::ALL.into_iter().map(|site| (site.name(), self.feed_url(site))).collect();
        Ok(MadeDemo { property, base: self.base, links, feeds, step_seconds: self.kept.step_seconds })
    }

    /// Makes what is missing of the demo. An earlier start may have ended anywhere: what it made is found, and no second
    /// one is made beside it.
    async fn make(&mut self, api: &Api<'_>, folder: &DataFolder, begun: Option<String>) -> Result<String, DemoError> {
        let property = match begun {
            Some(property) => property,
            None => match api.property_called(NAME).await? {
                Some(property) => property,
                None => {
                    let flat = json!({ "name": NAME, "time_zone": ZONE });
                    text_of(&api.call("POST", "/v1/properties", Some(flat)).await?, "/id")
                }
            },
        };
        self.kept.property = Some(property.clone());
        folder.write_private(&folder.demo_file(), &self.kept)?;
        let path = format!("/v1/properties/{property}/connections");
        let known = api.call("GET", &path, None).await?;
        let known = known.pointer("/items").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut connections = Vec::new();
        for site in Site::ALL {
            let url = self.feed_url(site);
            let found = known.iter().find(|connection| text_of(connection, "/name") == site.name());
            let id = match found.map(|connection| text_of(connection, "/id")) {
                Some(id) => {
                    // Made by a start whose listener was elsewhere, perhaps.
                    let moved = json!({ "import": { "url": url } });
                    api.call("PATCH", &format!("/v1/connections/{id}"), Some(moved)).await?;
                    id
                }
                None => {
                    let connection =
                        json!({ "name": site.name(), "provider": site.provider(), "import": { "url": url } });
                    text_of(&api.call("POST", &path, Some(connection)).await?, "/id")
                }
            };
            connections.push(id);
        }
        self.kept.connections = connections;
        self.kept.base.clone_from(&self.base);
        folder.write_private(&folder.demo_file(), &self.kept)?;
        Ok(property)
    }
}

fn text_of(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn links_of(listed: &Value) -> Vec<(String, String)> {
    let items = listed.pointer("/items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items.iter().map(|item| (text_of(item, "/name"), text_of(item, "/export/url"))).collect()
}

impl MadeDemo {
    pub(crate) fn told(&self, style: Style) -> String {
        if self.links.is_empty() {
            return style.dim("  The demo of this folder was deleted; delete demo.json to have it made anew.\n");
        }
        let mut lines = vec![
            format!("  {}  {}", style.bold(NAME), self.property),
            format!("  Something changes every {}. Its nights, for who sends the token:", in_words(self.step_seconds)),
            format!("    {}/v1/properties/{}/blocks", self.base, self.property),
            "  What each site gets back:".to_owned(),
        ];
        lines.extend(self.links.iter().map(|(name, link)| format!("    {name:<24} {link}")));
        lines.push("  Their feeds, to connect to a property of your own:".to_owned());
        lines.extend(self.feeds.iter().map(|(name, feed)| format!("    {name:<24} {feed}")));
        lines.push(String::new());
        lines.join("\n")
    }
}

/// A time in words: in whole minutes where it is some.
fn in_words(seconds: i64) -> String {
    match (seconds / 60, seconds % 60) {
        (0, seconds) => counted(seconds, "second"),
        (minutes, 0) => counted(minutes, "minute"),
        (minutes, seconds) => format!("{} and {}", counted(minutes, "minute"), counted(seconds, "second")),
    }
}

/// The API, called as a client calls it.
struct Api<'a> {
    router: Router,
    token: &'a str,
}

impl Api<'_> {
    /// The first property of this name.
    async fn property_called(&self, name: &str) -> Result<Option<String>, DemoError> {
        let mut path = "/v1/properties?limit=100".to_owned();
        loop {
            let page = self.call("GET", &path, None).await?;
            let items = page.pointer("/items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            if let Some(found) = items.iter().find(|property| text_of(property, "/name") == name) {
                return Ok(Some(text_of(found, "/id")));
            }
            match page.pointer("/next_cursor").and_then(Value::as_str) {
                Some(next) => path = format!("/v1/properties?limit=100&cursor={next}"),
                None => return Ok(None),
            }
        }
    }

    async fn call(&self, method: &'static str, path: &str, body: Option<Value>) -> Result<Value, DemoError> {
        let unanswered = || DemoError::Unanswered { method, path: path.to_owned() };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(
                header::CONTENT_TYPE,
                if method == "PATCH" { "application/merge-patch+json" } else { "application/json" },
            );
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = request.body(Body::from(body)).map_err(|_| unanswered())?;
        let Ok(response) = self.router.clone().oneshot(request).await;
        let status = response.status();
        let bytes = response.into_body().collect().await.map_err(|_| unanswered())?.to_bytes();
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if status.is_success() {
            Ok(value)
        } else {
            let detail = text_of(&value, "/detail");
            Err(DemoError::Refused { method, path: path.to_owned(), status, detail })
        }
    }
}

async fn serve(
    State((demo, clock)): State<(Demo, Arc<dyn Clock>)>,
    Path((secret, file)): Path<(String, String)>,
) -> Response {
    let site = Site::ALL.into_iter().find(|site| site.file() == file);
    match site {
        Some(site) if secret == demo.kept.secret => {
            let body = feed(site, &demo.kept, clock.now());
            ([(header::CONTENT_TYPE, "text/calendar; charset=utf-8")], body).into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Site {
    Airbnb,
    Booking,
    Vrbo,
}

impl Site {
    const ALL: [Self; 3] = [Self::Airbnb, Self::Booking, Self::Vrbo];

    fn name(self) -> &'static str {
        match self {
            Self::Airbnb => "Airbnb, whole flat",
            Self::Booking => "Booking.com",
            Self::Vrbo => "Vrbo",
        }
    }

    fn provider(self) -> &'static str {
        match self {
            Self::Airbnb => "airbnb",
            Self::Booking => "booking_com",
            Self::Vrbo => "vrbo",
        }
    }

    fn file(self) -> &'static str {
        match self {
            Self::Airbnb => "airbnb.ics",
            Self::Booking => "booking.ics",
            Self::Vrbo => "vrbo.ics",
        }
    }

    fn product(self) -> &'static str {
        match self {
            Self::Airbnb => "-//Airbnb Inc//Hosting Calendar 1.0//EN",
            Self::Booking => "-//admin.booking.com//BOOKING.COM CALENDAR//EN",
            Self::Vrbo => "-//HomeAway.com, Inc.//EN",
        }
    }
}

/// The reservation of this number: number n is at site n modulo 3, and no two of them share a night.
struct Stay {
    number: i64,
    arrival: Date,
    departure: Date,
}

impl Stay {
    fn new(number: i64, day_zero: Date) -> Option<Self> {
        let arrival = day_zero.checked_add((4 + 4 * number + number % 2).days()).ok()?;
        let departure = arrival.checked_add((2 + number % 2).days()).ok()?;
        Some(Self { number, arrival, departure })
    }

    fn site(&self) -> Site {
        match self.number % 3 {
            0 => Site::Airbnb,
            1 => Site::Booking,
            _ => Site::Vrbo,
        }
    }

    /// Every fifth step one of those that came later is cancelled: it is simply missing, as sites do it.
    fn is_cancelled(&self, step: i64) -> bool {
        self.number >= 7 && (self.number - 3) % 4 == 0 && step >= 5 * (self.number - 3) / 4
    }
}

/// What a site's feed says at an instant.
fn feed(site: Site, kept: &Kept, now: Timestamp) -> String {
    let zone = TimeZone::get(ZONE).unwrap_or(TimeZone::UTC);
    let day_zero = kept.made_at.to_zoned(zone.clone()).date();
    let today = now.to_zoned(zone).date();
    let step = (now.as_second() - kept.made_at.as_second()).max(0) / kept.step_seconds.max(1);
    let stays = (0..(FIRST + step).min(MOST)).filter_map(|number| Stay::new(number, day_zero));
    let standing = stays.filter(|stay| stay.site() == site && !stay.is_cancelled(step) && stay.departure > today);
    let mut lines = vec![
        "BEGIN:VCALENDAR".to_owned(),
        format!("PRODID:{}", site.product()),
        "CALSCALE:GREGORIAN".to_owned(),
        "VERSION:2.0".to_owned(),
    ];
    for stay in standing {
        lines.push("BEGIN:VEVENT".to_owned());
        // Sites stamp their events at every fetch.
        lines.push(format!("DTSTAMP:{}", now.strftime("%Y%m%dT%H%M%SZ")));
        lines.push(format!("DTSTART;VALUE=DATE:{}", stay.arrival.strftime("%Y%m%d")));
        lines.push(format!("DTEND;VALUE=DATE:{}", stay.departure.strftime("%Y%m%d")));
        let number = stay.number;
        match site {
            Site::Airbnb => lines.extend([
                "SUMMARY:Reserved".to_owned(),
                format!("UID:1418fb94e984-{number:032x}@airbnb.com"),
                format!(
                    "DESCRIPTION:Reservation URL: https://www.airbnb.com/hosting/reservations/\r\n \
                     details/HMDEMO{number:04}\\nPhone Number (Last 4 Digits): {:04}",
                    (number * 37) % 10_000
                ),
            ]),
            Site::Booking => {
                lines.extend(["SUMMARY:CLOSED - Not available".to_owned(), format!("UID:{number:032x}@booking.com")])
            }
            Site::Vrbo => lines.extend([
                "SUMMARY:Reserved - Guest".to_owned(),
                format!("UID:{number:08x}-0000-4000-8000-00000000demo"),
            ]),
        }
        lines.push("END:VEVENT".to_owned());
    }
    lines.push("END:VCALENDAR".to_owned());
    lines.push(String::new());
    lines.join("\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Kept {
        Kept {
            secret: "s".to_owned(),
            made_at: "2026-11-21T10:00:00Z".parse().unwrap(),
            step_seconds: 30,
            base: "http://127.0.0.1:1".to_owned(),
            property: None,
            connections: Vec::new(),
        }
    }

    fn events_at(step: i64) -> Vec<usize> {
        let now = kept().made_at + jiff::SignedDuration::from_secs(30 * step);
        Site::ALL.into_iter().map(|site| feed(site, &kept(), now).matches("BEGIN:VEVENT").count()).collect()
    }

    #[test]
    fn a_reservation_more_comes_at_every_step_and_now_and_then_one_goes() {
        let total = |step| events_at(step).into_iter().sum::<usize>();
        assert_eq!(events_at(0), [2, 2, 2]);
        assert_eq!(total(4), 10);
        assert_eq!(total(5), 10);
        assert_eq!(total(6), 11);
    }

    #[test]
    fn no_two_sites_take_the_same_night() {
        let day = "2026-11-21".parse().unwrap();
        let stays: Vec<Stay> = (0..MOST).filter_map(|number| Stay::new(number, day)).collect();
        assert!(stays.windows(2).all(|pair| pair[0].departure <= pair[1].arrival));
    }
}
