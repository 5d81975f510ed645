//! No part of a feed's URL beyond its host reaches a failure or a log, whatever goes wrong.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::site::{Say, Site, answer, config, request};
use calmesh_app::ports::FeedSource;
use calmesh_feeds_http::{HttpFeeds, HttpFeedsConfig};
use tracing_subscriber::{EnvFilter, util::SubscriberInitExt};

const PATH: &str = "/calendar/ical/S3CRETLISTING.ics?s=S3CRETTOKEN&t=S3CRET%2fKEY#S3CRETFRAGMENT";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_failure_and_no_log_line_holds_a_secret() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("trace"))
        .with_writer(move || writer.clone())
        .finish()
        .init();

    let loops = Site::start(|_| Say::This(answer("302 Found", &format!("Location: {PATH}\r\n"), ""))).await;
    let mut urls = Vec::new();
    for bytes in [
        answer("404 Not Found", "", ""),
        answer("429 Slow", "", ""),
        answer("200 OK", "Content-Encoding: br\r\n", b"\x8b\x03\x80S3CRET"),
        answer("302 Found", &format!("Location: http://10.0.0.1{PATH}\r\n"), ""),
        answer("302 Found", "Location: http://S3CRETUSER:S3CRETPASS@10.0.0.1/\r\n", ""),
        b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\nBEGIN:VCAL".to_vec(),
        b"this is not HTTP".to_vec(),
        b"".to_vec(),
        b"HTTP/1.1 206 Partial\r\nContent-Length: 0\r\n\r\n".to_vec(),
        b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_vec(),
    ] {
        urls.push(Site::saying(bytes).await.url(PATH));
    }
    let silent = Site::start(|_| Say::ThisAndHang(Vec::new())).await;
    let plain = loops.url(PATH).replace("http://", "https://");
    urls.extend([loops.url(PATH), silent.url(PATH), plain]);
    urls.extend([
        format!("http://127.0.0.1:1{PATH}"),
        format!("https://no-such-name.invalid{PATH}"),
        format!("https://S3CRETUSER:S3CRETPASS@127.0.0.1{PATH}"),
        format!("http://10.0.0.1{PATH}"),
        format!("http://localhost:99{PATH}"),
    ]);

    let open = HttpFeeds::new(config(true)).unwrap();
    let closed = HttpFeeds::new(config(false)).unwrap();
    let own = HttpFeeds::new(HttpFeedsConfig { extra_allowed: vec![loops.address], ..config(false) }).unwrap();
    let mut failures = 0;
    for feeds in [&open, &closed, &own] {
        for url in &urls {
            let mut request = request(url);
            request.connect_timeout = Duration::from_millis(300);
            request.total_timeout = Duration::from_millis(600);
            let failure = feeds.fetch(request).await.unwrap_err();
            for text in [failure.to_string(), format!("{failure:?}"), format!("{:?}", feeds)] {
                assert!(!text.to_ascii_uppercase().contains("S3CRET"), "{text}");
            }
            failures += 1;
        }
    }
    assert_eq!(failures, 3 * urls.len());
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    // Both our own lines and those of the client were seen, so their silence about the secrets means something.
    for seen in ["a feed could not be requested", "starting new connection"] {
        assert!(text.contains(seen), "{text}");
    }
    for line in text.lines() {
        assert!(!line.to_ascii_uppercase().contains("S3CRET"), "{line}");
    }
}
