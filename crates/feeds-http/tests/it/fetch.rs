//! Fetching from real sockets: what comes, what fails and how, and what is never connected to.

use std::{
    io::{self, Write},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::site::{CALENDAR, Say, Site, answer, config, feeds, fetch, request};
use async_trait::async_trait;
use calmesh_app::{
    model::{FailureKind, Fetched, Validators},
    ports::{BodyRoom, FeedRequest, FeedSource, FetchFailure},
};
use calmesh_feeds_http::{HttpFeeds, HttpFeedsConfig, Lookup};
use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use futures::{StreamExt, stream};
use jiff::SignedDuration;
use tokio::net::TcpListener;

#[track_caller]
fn body(fetched: Result<Fetched, FetchFailure>) -> String {
    match fetched {
        Ok(Fetched::Body { bytes, .. }) => String::from_utf8(bytes.to_vec()).unwrap(),
        other => panic!("no body: {other:?}"),
    }
}

#[track_caller]
fn fails(fetched: Result<Fetched, FetchFailure>, kind: FailureKind) -> FetchFailure {
    match fetched {
        Err(failure) if failure.kind == kind => failure,
        other => panic!("not {kind:?}: {other:?}"),
    }
}

fn zip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_body_comes_with_its_validators_and_content_type() {
    let site = Site::saying(answer(
        "200 OK",
        "ETag: W/\"1\"\r\nLast-Modified: Sat, 21 Nov 2026 09:00:00 GMT\r\nContent-Type: text/html\r\n",
        CALENDAR,
    ))
    .await;
    let fetched = fetch(&site.url("/a.ics")).await.unwrap();
    assert_eq!(
        fetched,
        Fetched::Body {
            bytes: CALENDAR.into(),
            validators: Validators {
                etag: Some("W/\"1\"".to_owned()),
                last_modified: Some("Sat, 21 Nov 2026 09:00:00 GMT".to_owned()),
            },
            content_type: Some("text/html".to_owned()),
        }
    );
}

#[tokio::test]
async fn a_request_says_who_asks_and_for_what_and_nothing_more() {
    let site = Site::saying(answer("200 OK", "", CALENDAR)).await;
    fetch(&site.url("/a.ics")).await.unwrap();
    let head = site.heads()[0].to_ascii_lowercase();
    let mut names: Vec<_> = head.lines().skip(1).filter_map(|line| line.split(':').next()).collect();
    names.sort_unstable();
    assert_eq!(names, ["", "accept", "accept-encoding", "host", "user-agent"]);
    assert!(head.contains("accept: text/calendar, text/plain;q=0.8, */*;q=0.5\r\n"), "{head}");
    assert!(head.contains("user-agent: calmesh/0.1 (+test)\r\n"), "{head}");
    assert!(head.contains("accept-encoding: gzip\r\n"), "{head}");
}

#[tokio::test]
async fn the_bytes_of_a_url_go_out_as_they_were_given() {
    let site = Site::saying(answer("200 OK", "", CALENDAR)).await;
    for target in [
        "/en-us/api/ari/icalendar?key=ab%2fcd%2Bef%3d%3D",
        "/a%2Fb/c%2e%20d.ics?s=%e2%82%ac&t=a+b;c=d,e&locale=en",
        "/calendar/ical/x%40group.calendar.google.com/private-0a1b/basic.ics",
        "/~me/(1)!$*:@/a.ics?a=b?c/d&e=~[1]|^",
    ] {
        fetch(&site.url(target)).await.unwrap();
        assert_eq!(site.heads().last().unwrap().lines().next().unwrap(), format!("GET {target} HTTP/1.1"));
    }
}

#[tokio::test]
async fn a_304_is_believed_only_when_validators_were_sent() {
    let site = Site::saying("HTTP/1.1 304 Not Modified\r\n\r\n").await;
    let mut conditional = request(&site.url("/a.ics"));
    conditional.validators =
        Validators { etag: Some("\"1\"".to_owned()), last_modified: Some("Sat, 21 Nov 2026 09:00:00 GMT".to_owned()) };
    assert_eq!(feeds().fetch(conditional).await, Ok(Fetched::NotModified));
    let head = site.heads()[0].to_ascii_lowercase();
    assert!(head.contains("if-none-match: \"1\"\r\n"), "{head}");
    assert!(head.contains("if-modified-since: sat, 21 nov 2026 09:00:00 gmt\r\n"), "{head}");
    fails(fetch(&site.url("/a.ics")).await, FailureKind::ServerError);
}

#[tokio::test]
async fn a_site_is_read_by_the_name_that_it_wants_and_no_other_site_is() {
    let other = Site::start(|_| Say::This(answer("200 OK", "", CALENDAR))).await;
    let lookup = Arc::new(Always(vec!["127.0.0.1".parse().unwrap()], AtomicUsize::new(0)));
    let location = format!("Location: http://second.example:{}/b.ics\r\n", other.address.port());
    let first = Site::start(move |_| Say::This(answer("301 Moved", &location, ""))).await;
    let feeds = HttpFeeds::new(HttpFeedsConfig { lookup, ..config(true) }).unwrap();
    let asked = request(&format!("http://first.example:{}/a.ics", first.address.port()));
    feeds.fetch(FeedRequest { user_agent: Some("Wanted/1"), ..asked }).await.unwrap();
    let agents = |site: &Site| site.heads()[0].matches("Wanted/1").count();
    assert_eq!((agents(&first), agents(&other)), (1, 0));
    assert!(other.heads()[0].contains("Calmesh"));
    assert_eq!(first.heads()[0].to_ascii_lowercase().matches("user-agent").count(), 1);
}

#[tokio::test]
async fn a_validator_that_can_be_no_header_is_not_sent() {
    let site = Site::saying(answer("200 OK", "", CALENDAR)).await;
    let mut conditional = request(&site.url("/a.ics"));
    conditional.validators.etag = Some("\"1\"\r\nX-Evil: 1".to_owned());
    feeds().fetch(conditional).await.unwrap();
    assert!(!site.heads()[0].to_ascii_lowercase().contains("evil"));
}

#[tokio::test]
async fn connections_are_kept_between_fetches() {
    let site = Site::start(|_| Say::This(answer("200 OK", "", CALENDAR))).await;
    let feeds = feeds();
    for _ in 0..5 {
        feeds.fetch(request(&site.url("/a.ics"))).await.unwrap();
    }
    assert_eq!((site.connections(), site.heads().len()), (1, 5));
}

#[tokio::test]
async fn a_kept_connection_that_the_server_ends_silently_costs_no_fetch() {
    let count = AtomicUsize::new(0);
    let site = Site::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        1 => Say::ThisAndClose(Vec::new()),
        _ => Say::This(answer("200 OK", "", CALENDAR)),
    })
    .await;
    let feeds = feeds();
    for _ in 0..2 {
        feeds.fetch(request(&site.url("/a.ics"))).await.unwrap();
    }
    assert_eq!(site.heads().len(), 3);
}

#[tokio::test]
async fn a_server_that_never_answers_a_request_is_asked_twice_at_most() {
    let site = Site::saying("").await;
    fails(fetch(&site.url("/a.ics")).await, FailureKind::Unreachable);
    assert_eq!(site.heads().len(), 2);
}

#[tokio::test]
async fn each_status_is_a_failure_of_its_kind() {
    for (status, kind) in [
        ("204 No Content", FailureKind::NotACalendar),
        ("206 Partial Content", FailureKind::Truncated),
        ("401 Unauthorized", FailureKind::LinkRefused),
        ("403 Forbidden", FailureKind::LinkRefused),
        ("404 Not Found", FailureKind::LinkGone),
        ("410 Gone", FailureKind::LinkGone),
        ("500 Oops", FailureKind::ServerError),
    ] {
        let bytes = match status {
            "204 No Content" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
            _ => answer(status, "", CALENDAR),
        };
        let site = Site::saying(bytes).await;
        let failure = fails(fetch(&site.url("/a.ics")).await, kind);
        assert_eq!(failure.retry_after, None);
        assert!(failure.detail.contains("127.0.0.1"), "{}", failure.detail);
    }
}

#[tokio::test]
async fn a_429_or_503_says_when_to_come_back() {
    let site = Site::saying(answer("429 Too Many Requests", "Retry-After: 120\r\n", "")).await;
    let failure = fails(fetch(&site.url("/a.ics")).await, FailureKind::RateLimited);
    assert_eq!(failure.retry_after, Some(SignedDuration::from_secs(120)));
    let site = Site::saying(answer("503 Busy", "", "")).await;
    let failure = fails(fetch(&site.url("/a.ics")).await, FailureKind::RateLimited);
    assert_eq!(failure.retry_after, Some(SignedDuration::from_secs(60)));
}

#[tokio::test]
async fn a_failure_says_which_host_answered_after_a_redirect() {
    let busy = Site::saying(answer("429 Too Many Requests", "Retry-After: 120\r\n", "")).await;
    let location = format!("Location: http://second.example:{}/b.ics\r\n", busy.address.port());
    let first = Site::saying(answer("302 Found", &location, "")).await;
    let lookup = Arc::new(Always(vec!["127.0.0.1".parse().unwrap()], AtomicUsize::new(0)));
    let feeds = HttpFeeds::new(HttpFeedsConfig { lookup, ..config(true) }).unwrap();
    let link = format!("http://first.example:{}/a.ics", first.address.port());
    let failure = fails(feeds.fetch(request(&link)).await, FailureKind::RateLimited);
    assert_eq!(failure.host.as_deref(), Some("second.example"));
    assert!(failure.detail.contains("first.example") && !failure.detail.contains("second"), "{}", failure.detail);

    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let failure = fails(fetch(&format!("http://{closed}/a.ics")).await, FailureKind::Unreachable);
    assert_eq!(failure.host, None, "nobody answered");
}

#[tokio::test]
async fn a_body_shorter_than_announced_is_truncated() {
    let site = Site::saying(format!("HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n{CALENDAR}")).await;
    fails(fetch(&site.url("/a.ics")).await, FailureKind::Truncated);
}

#[tokio::test]
async fn a_chunked_body_is_whole_with_its_last_chunk_alone() {
    let chunk = format!("{:x}\r\n{CALENDAR}\r\n", CALENDAR.len());
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let whole = Site::saying(format!("{head}{chunk}0\r\n\r\n")).await;
    assert_eq!(body(fetch(&whole.url("/a.ics")).await), CALENDAR);
    let cut = Site::saying(format!("{head}{chunk}")).await;
    fails(fetch(&cut.url("/a.ics")).await, FailureKind::Truncated);
    let broken = Site::saying(format!("{head}zz\r\n{CALENDAR}\r\n")).await;
    fails(fetch(&broken.url("/a.ics")).await, FailureKind::Truncated);
}

#[tokio::test]
async fn a_body_without_a_length_ends_with_its_connection() {
    let site = Site::saying(format!("HTTP/1.0 200 OK\r\n\r\n{CALENDAR}")).await;
    assert_eq!(body(fetch(&site.url("/a.ics")).await), CALENDAR);
}

#[tokio::test]
async fn a_zipped_body_is_unzipped() {
    let fields = "Content-Encoding: gzip\r\n";
    let site = Site::saying(answer("200 OK", fields, zip(CALENDAR.as_bytes()))).await;
    assert_eq!(body(fetch(&site.url("/a.ics")).await), CALENDAR);
    let (one, two) = CALENDAR.split_at(20);
    let members = [zip(one.as_bytes()), zip(two.as_bytes())].concat();
    let site = Site::saying(answer("200 OK", fields, members)).await;
    assert_eq!(body(fetch(&site.url("/a.ics")).await), CALENDAR);
    let site = Site::saying(answer("200 OK", fields, "")).await;
    assert_eq!(body(fetch(&site.url("/a.ics")).await), "");
}

#[tokio::test]
async fn a_zipped_body_that_is_cut_or_damaged_anywhere_is_truncated() {
    let zipped = zip(CALENDAR.as_bytes());
    for end in 1..zipped.len() {
        let site = Site::saying(answer("200 OK", "Content-Encoding: gzip\r\n", &zipped[..end])).await;
        fails(fetch(&site.url("/a.ics")).await, FailureKind::Truncated);
    }
    let mut damaged = zipped.clone();
    let at = damaged.len() - 6;
    damaged[at] ^= 1;
    let site = Site::saying(answer("200 OK", "Content-Encoding: gzip\r\n", damaged)).await;
    fails(fetch(&site.url("/a.ics")).await, FailureKind::Truncated);
}

fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_content_encoding_that_is_none_is_seen_through() {
    for coding in ["UTF-8", "utf8", "none", "identity", "text/calendar", "", "8bit", "gzip", "deflate", "br", "zstd"] {
        for fields in [format!("Content-Encoding: {coding}\r\n"), "Content-Encoding: gzip\r\n".repeat(2)] {
            let site = Site::saying(answer("200 OK", &fields, CALENDAR)).await;
            assert_eq!(body(fetch(&site.url("/a.ics")).await), CALENDAR, "{fields}");
        }
    }
}

#[tokio::test]
async fn what_zips_a_body_is_told_by_its_bytes_whatever_the_header_says() {
    let plain = CALENDAR.as_bytes();
    let stored = {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    };
    for zipped in [zip(plain), stored, zlib(plain), zip(&zip(plain)), zlib(&zip(plain)), zip(&zip(&zip(plain)))] {
        for fields in
            ["", "Content-Encoding: UTF-8\r\n", "Content-Encoding: gzip, gzip\r\n", "Content-Encoding: br\r\n"]
        {
            let site = Site::saying(answer("200 OK", fields, &zipped)).await;
            assert_eq!(body(fetch(&site.url("/a.ics")).await), CALENDAR, "{fields}");
        }
    }
    // Raw deflate has no mark: only where the header says that it is zipped.
    for fields in ["Content-Encoding: deflate\r\n", "Content-Encoding: gzip\r\n"] {
        let site = Site::saying(answer("200 OK", fields, deflate(plain))).await;
        assert_eq!(body(fetch(&site.url("/a.ics")).await), CALENDAR, "{fields}");
    }
}

#[tokio::test]
async fn a_deflated_body_that_is_cut_or_damaged_anywhere_is_no_calendar() {
    for zipped in [zlib(CALENDAR.as_bytes()), deflate(CALENDAR.as_bytes())] {
        for end in 3..zipped.len() {
            let site = Site::saying(answer("200 OK", "Content-Encoding: deflate\r\n", &zipped[..end])).await;
            fails(fetch(&site.url("/a.ics")).await, FailureKind::Truncated);
        }
    }
    let mut damaged = zlib(CALENDAR.as_bytes());
    *damaged.last_mut().unwrap() ^= 1;
    let site = Site::saying(answer("200 OK", "", damaged)).await;
    fails(fetch(&site.url("/a.ics")).await, FailureKind::Truncated);
}

#[tokio::test]
async fn a_calendar_in_utf_16_or_with_a_mark_is_handed_on_as_it_came() {
    let wide: Vec<u8> = CALENDAR.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let marked = [&b"\xef\xbb\xbf"[..], CALENDAR.as_bytes()].concat();
    for plain in [wide, marked, b"B".to_vec()] {
        let site = Site::saying(answer("200 OK", "Content-Encoding: gzip\r\n", &plain)).await;
        match fetch(&site.url("/a.ics")).await {
            Ok(Fetched::Body { bytes, .. }) => assert_eq!(bytes, plain),
            other => panic!("no body: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_coding_that_is_not_read_here_is_no_calendar() {
    // Brotli has no mark of its own; zstd has.
    for (fields, bytes) in [
        ("Content-Encoding: br\r\n", &b"\x8b\x03\x80BEGIN:VCALENDAR\x03"[..]),
        ("", &b"\x28\xb5\x2f\xfd\x20\x10BEGIN:VCALENDAR"[..]),
    ] {
        let site = Site::saying(answer("200 OK", fields, bytes)).await;
        fails(fetch(&site.url("/a.ics")).await, FailureKind::NotACalendar);
    }
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_too_large_announced_or_not_zipped_or_not() {
    let feeds = HttpFeeds::new(HttpFeedsConfig { max_bytes: 1000, ..config(true) }).unwrap();
    let text = "x".repeat(1001);
    let endless = Site::start({
        let text = text.clone();
        move |_| Say::ThisAndHang(format!("HTTP/1.1 200 OK\r\n\r\n{text}").into_bytes())
    })
    .await;
    let sites = [
        endless,
        Site::saying(answer("200 OK", "", &text)).await,
        Site::saying("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n").await,
        Site::saying(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n{text}\r\n0\r\n\r\n")).await,
        Site::saying(answer("200 OK", "Content-Encoding: gzip\r\n", zip(text.as_bytes()))).await,
    ];
    for site in sites {
        fails(feeds.fetch(request(&site.url("/a.ics"))).await, FailureKind::TooLarge);
    }
    let site = Site::saying(answer("200 OK", "", &text[..1000])).await;
    assert_eq!(body(feeds.fetch(request(&site.url("/a.ics"))).await).len(), 1000);
}

#[tokio::test]
async fn a_bomb_is_left_at_the_limit() {
    // 16 MiB of nothing, in 16 KiB.
    let bomb = zip(&vec![0; 16 << 20]);
    let site = Site::saying(answer("200 OK", "Content-Encoding: gzip\r\n", bomb)).await;
    let failure = fails(fetch(&site.url("/a.ics")).await, FailureKind::TooLarge);
    assert!(failure.detail.contains("10 MiB"), "{}", failure.detail);
    let nothing = vec![0; 16 << 20];
    for (fields, bomb) in [
        ("", zip(&nothing)),
        ("", zlib(&nothing)),
        ("Content-Encoding: deflate\r\n", deflate(&nothing)),
        // A megabyte of nothing after another is small in between too.
        ("Content-Encoding: UTF-8\r\n", zip(&zip(&nothing))),
        ("", zip(&zlib(&zip(&nothing)))),
    ] {
        let site = Site::saying(answer("200 OK", fields, bomb)).await;
        fails(fetch(&site.url("/a.ics")).await, FailureKind::TooLarge);
    }
}

/// Room that gives exactly what is asked for, each time only when everybody else had a turn; and how often it was asked.
#[derive(Debug, Default)]
struct ByTheByte(AtomicUsize);

#[async_trait]
impl BodyRoom for ByTheByte {
    async fn grow(&self, to: usize) -> Option<usize> {
        self.0.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        Some(to)
    }
}

/// Room for so many bytes that is given only after this long.
#[derive(Debug)]
struct Scarce(usize, Duration);

#[async_trait]
impl BodyRoom for Scarce {
    async fn grow(&self, to: usize) -> Option<usize> {
        tokio::time::sleep(self.1).await;
        (to <= self.0).then_some(to)
    }
}

#[tokio::test]
async fn a_body_that_waits_for_room_at_every_step_is_the_same_body() {
    let noise = (0..40_000u32).map(|n| char::from(b'A' + (n.wrapping_mul(2_654_435_761) >> 24) as u8 % 26));
    let text = format!("{CALENDAR}{}{}", "x".repeat(300_000), noise.collect::<String>());
    let plain = text.as_bytes();
    let (half, rest) = plain.split_at(100_000);
    for (fields, bytes, least) in [
        ("", plain.to_vec(), 2),
        ("Content-Encoding: gzip\r\n", zip(plain), 10),
        ("", [zip(half), zip(rest)].concat(), 10),
        ("", zlib(plain), 10),
        ("Content-Encoding: deflate\r\n", deflate(plain), 10),
        ("", zip(&zip(plain)), 10),
        ("", zlib(&zip(&zlib(plain))), 10),
        ("", zip(b"short"), 1),
        ("", b"".to_vec(), 0),
    ] {
        let whole = {
            let site = Site::saying(answer("200 OK", fields, &bytes)).await;
            body(fetch(&site.url("/a.ics")).await)
        };
        let site = Site::saying(answer("200 OK", fields, &bytes)).await;
        let room = Arc::new(ByTheByte::default());
        let asked = FeedRequest { room: Some(room.clone()), ..request(&site.url("/a.ics")) };
        assert!(body(feeds().fetch(asked).await) == whole, "{fields}{} bytes", bytes.len());
        assert!(room.0.load(Ordering::SeqCst) >= least, "{} times", room.0.load(Ordering::SeqCst));
    }
}

#[tokio::test]
async fn a_cut_or_too_large_body_fails_the_same_with_room() {
    let zipped = zip(CALENDAR.as_bytes());
    let nothing = zip(&vec![0; 16 << 20]);
    for (bytes, kind) in [
        (zipped[..zipped.len() - 1].to_vec(), FailureKind::Truncated),
        (zlib(CALENDAR.as_bytes())[..20].to_vec(), FailureKind::Truncated),
        (nothing, FailureKind::TooLarge),
    ] {
        let site = Site::saying(answer("200 OK", "", bytes)).await;
        let asked = FeedRequest { room: Some(Arc::new(ByTheByte::default())), ..request(&site.url("/a.ics")) };
        fails(feeds().fetch(asked).await, kind);
    }
}

#[tokio::test]
async fn a_bodys_room_is_free_when_its_last_bytes_are_dropped() {
    let site = Site::saying(answer("200 OK", "", zip(CALENDAR.as_bytes()))).await;
    let room = Arc::new(ByTheByte::default());
    let held = Arc::downgrade(&room);
    let asked = FeedRequest { room: Some(room), ..request(&site.url("/a.ics")) };
    let Ok(Fetched::Body { bytes, .. }) = feeds().fetch(asked).await else { panic!("no body") };
    let part = bytes.slice(3..7);
    drop(bytes);
    assert_eq!((held.strong_count(), &part[..]), (1, &b"IN:V"[..]), "a part holds it");
    drop(part);
    assert_eq!(held.strong_count(), 0);
}

#[tokio::test]
async fn a_body_that_finds_no_room_is_no_failure_of_its_site() {
    let site = Site::saying(answer("200 OK", "", zip(&[b'x'; 5000]))).await;
    for room in [Scarce(0, Duration::ZERO), Scarce(4999, Duration::ZERO)] {
        let asked = FeedRequest { room: Some(Arc::new(room)), ..request(&site.url("/a.ics")) };
        assert_eq!(feeds().fetch(asked).await, Ok(Fetched::NoRoom));
    }
}

#[tokio::test]
async fn the_time_that_a_body_waits_for_room_is_not_its_sites() {
    let hasty = Duration::from_millis(300);
    let site = Site::saying(answer("200 OK", "", CALENDAR)).await;
    let room = Arc::new(Scarce(usize::MAX, hasty * 2));
    let asked = FeedRequest { room: Some(room), total_timeout: hasty, ..request(&site.url("/a.ics")) };
    assert_eq!(body(feeds().fetch(asked).await), CALENDAR);
    // A site that then never goes on has its own time for it, but was made to wait before.
    let said = format!("HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n{}", "x".repeat(200_000));
    let site = Site::start(move |_| Say::ThisAndHang(said.clone().into())).await;
    let room = Arc::new(Scarce(usize::MAX, Duration::from_millis(1100)));
    let asked = FeedRequest { room: Some(room), total_timeout: hasty, ..request(&site.url("/a.ics")) };
    assert_eq!(feeds().fetch(asked).await, Ok(Fetched::NoRoom));
}

#[tokio::test]
async fn a_server_that_is_silent_or_stops_half_way_times_out() {
    for said in ["", "HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\nBEGIN:VCAL"] {
        let site = Site::start(move |_| Say::ThisAndHang(said.into())).await;
        let mut hasty = request(&site.url("/a.ics"));
        hasty.total_timeout = Duration::from_millis(80);
        fails(feeds().fetch(hasty).await, FailureKind::TimedOut);
    }
}

#[tokio::test]
async fn what_is_not_http_and_a_closed_port_are_unreachable() {
    let site = Site::saying("220 smtp.example ESMTP\r\n").await;
    fails(fetch(&site.url("/a.ics")).await, FailureKind::Unreachable);
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    fails(fetch(&format!("http://{closed}/")).await, FailureKind::Unreachable);
}

#[tokio::test]
async fn a_site_without_tls_is_unreachable_by_https() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            use tokio::io::AsyncWriteExt;
            let _ = stream.write_all(b"HTTP/1.1 400 This is not TLS\r\n\r\n").await;
        }
    });
    let failure = fails(fetch(&format!("https://{address}/")).await, FailureKind::Unreachable);
    assert!(failure.detail.starts_with("No secure connection"), "{}", failure.detail);
}

#[tokio::test]
async fn redirects_are_followed_and_counted() {
    let site = Site::start(|head| {
        let step: u32 = head.split('/').nth(1).and_then(|text| text.split(' ').next()?.parse().ok()).unwrap();
        match step {
            0 => Say::This(answer("200 OK", "ETag: \"1\"\r\n", CALENDAR)),
            _ => Say::This(answer("302 Found", &format!("Location: /{}\r\n", step - 1), "")),
        }
    })
    .await;
    assert_eq!(body(fetch(&site.url("/5")).await), CALENDAR);
    assert_eq!(site.heads().len(), 6);
    fails(fetch(&site.url("/6")).await, FailureKind::LinkRefused);
    assert_eq!(site.heads().len(), 12);
}

#[tokio::test]
async fn validators_and_names_stay_with_the_host_that_they_are_of() {
    let other = Site::start(|_| Say::This(answer("200 OK", "ETag: \"other\"\r\n", CALENDAR))).await;
    let lookup = Arc::new(Always(vec!["127.0.0.1".parse().unwrap()], AtomicUsize::new(0)));
    let location = format!("Location: http://second.example:{}/b.ics\r\n", other.address.port());
    let first = Site::start(move |_| Say::This(answer("301 Moved", &location, ""))).await;
    let feeds = HttpFeeds::new(HttpFeedsConfig { lookup, ..config(true) }).unwrap();
    let mut conditional = request(&format!("http://first.example:{}/a.ics?s=secret", first.address.port()));
    conditional.validators.etag = Some("\"mine\"".to_owned());
    let Ok(Fetched::Body { validators, .. }) = feeds.fetch(conditional).await else { panic!("no body") };
    assert_eq!(validators, Validators::default());
    assert!(first.heads()[0].contains("\"mine\""));
    assert!(!other.heads()[0].contains("mine") && !other.heads()[0].contains("secret"), "{}", other.heads()[0]);
}

#[derive(Debug)]
struct Always(Vec<IpAddr>, AtomicUsize);

#[async_trait]
impl Lookup for Always {
    async fn lookup(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        self.1.fetch_add(1, Ordering::SeqCst);
        Ok(self.0.clone())
    }
}

#[derive(Debug)]
struct Unknown;

#[async_trait]
impl Lookup for Unknown {
    async fn lookup(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        Err(io::Error::other("no such name"))
    }
}

#[tokio::test]
async fn a_private_address_is_refused_before_any_connection() {
    let site = Site::saying(answer("200 OK", "", CALENDAR)).await;
    let feeds = HttpFeeds::new(config(false)).unwrap();
    let port = site.address.port();
    for host in ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0"] {
        let failure =
            fails(feeds.fetch(request(&format!("http://{host}:{port}/a.ics?s=x"))).await, FailureKind::AddressRefused);
        assert!(!failure.detail.contains("s=x"), "{}", failure.detail);
    }
    assert_eq!(site.connections(), 0);
}

#[tokio::test]
async fn a_name_whose_answers_are_all_private_is_refused_before_any_connection() {
    let lookup = Arc::new(Always(vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()], AtomicUsize::new(0)));
    let feeds =
        HttpFeeds::new(HttpFeedsConfig { lookup: Arc::clone(&lookup) as Arc<dyn Lookup>, ..config(false) }).unwrap();
    for url in ["http://feeds.example/a.ics", "https://feeds.example/a.ics"] {
        fails(feeds.fetch(request(url)).await, FailureKind::AddressRefused);
    }
    assert!(lookup.1.load(Ordering::SeqCst) >= 2);
}

#[tokio::test]
async fn an_unknown_name_is_unreachable() {
    let feeds = HttpFeeds::new(HttpFeedsConfig { lookup: Arc::new(Unknown), ..config(false) }).unwrap();
    let failure = fails(feeds.fetch(request("https://feeds.example/a.ics")).await, FailureKind::Unreachable);
    assert!(failure.detail.contains("can't be found"), "{}", failure.detail);
}

#[tokio::test]
async fn a_redirect_to_a_private_address_is_refused_before_any_connection() {
    let inner = Site::saying(answer("200 OK", "", CALENDAR)).await;
    let location = format!("Location: {}\r\n", inner.url("/a.ics"));
    let site = Site::saying(answer("302 Found", &location, "")).await;
    let allowed = HttpFeedsConfig { extra_allowed: vec![site.address], ..config(false) };
    let feeds = HttpFeeds::new(allowed).unwrap();
    fails(feeds.fetch(request(&site.url("/a.ics"))).await, FailureKind::AddressRefused);
    assert_eq!((site.connections(), inner.connections()), (1, 0));
}

#[tokio::test]
async fn a_listener_of_our_own_is_read_by_its_literal_address() {
    let site = Site::saying(answer("200 OK", "", CALENDAR)).await;
    let feeds = HttpFeeds::new(HttpFeedsConfig { extra_allowed: vec![site.address], ..config(false) }).unwrap();
    assert_eq!(body(feeds.fetch(request(&site.url("/a.ics"))).await), CALENDAR);
}

/// CPU of the client alone, per 1,000 GETs over kept connections, 32 in flight. Run by hand, built for release:
/// `cargo test --release -p calmesh-feeds-http --test it -- --ignored --nocapture cpu`.
#[test]
#[ignore = "a measurement"]
fn cpu_of_a_thousand_kept_gets() {
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let feed = CALENDAR.repeat(100);
            let whole = answer("200 OK", "ETag: \"1\"\r\n", feed);
            let site = Site::start(move |head| match head.contains("if-none-match") {
                true => Say::This(b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec()),
                false => Say::This(whole.clone()),
            });
            send.send(site.await).unwrap();
            std::future::pending::<()>().await;
        });
    });
    let site = receive.recv().unwrap();
    let cpu = || -> u64 {
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        stat.split(' ').next().unwrap().parse().unwrap()
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let feeds = feeds();
        for (name, etag, in_flight) in [
            ("warm", None, 32),
            ("200, 7 kB", None, 32),
            ("304", Some("\"1\"".to_owned()), 32),
            ("304, one at a time", Some("\"1\"".to_owned()), 1),
        ] {
            let before = cpu();
            stream::iter(0..10_000)
                .for_each_concurrent(in_flight, |_| async {
                    let mut request = request(&site.url("/a.ics"));
                    request.validators.etag.clone_from(&etag);
                    feeds.fetch(request).await.unwrap();
                })
                .await;
            println!("{name}: {} µs of CPU per GET", (cpu() - before) / 10_000_000);
        }
    });
    assert_eq!(site.connections(), 32);
}
