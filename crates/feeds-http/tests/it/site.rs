//! A web site on loopback that says exactly the bytes that a test wants, right or wrong.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use calmesh_app::{
    model::{Fetched, Validators},
    ports::{FeedRequest, FeedSource, FetchFailure},
};
use calmesh_feeds_http::{HttpFeeds, HttpFeedsConfig, Roots};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

pub(crate) const CALENDAR: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Test//EN\r\nEND:VCALENDAR\r\n";

/// What the site does after it has read a request.
pub(crate) enum Say {
    /// These bytes; the connection stays.
    This(Vec<u8>),
    /// These bytes, and the connection ends.
    ThisAndClose(Vec<u8>),
    /// These bytes, and then nothing more, without an end.
    ThisAndHang(Vec<u8>),
}

#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Site {
    pub(crate) async fn start(answer: impl Fn(&str) -> Say + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let site = Self { address: listener.local_addr().unwrap(), connections: Arc::default(), heads: Arc::default() };
        let (serving, answer) = (site.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serving.clone().talk(stream, Arc::clone(&answer)));
            }
        });
        site
    }

    /// Always the same.
    pub(crate) async fn saying(text: impl Into<Vec<u8>>) -> Self {
        let bytes = text.into();
        Self::start(move |_| Say::ThisAndClose(bytes.clone())).await
    }

    async fn talk(self, mut stream: TcpStream, answer: Arc<impl Fn(&str) -> Say>) {
        while let Some(head) = head(&mut stream).await {
            self.heads.lock().unwrap().push(head.clone());
            match answer(&head) {
                Say::This(bytes) => {
                    let _ = stream.write_all(&bytes).await;
                }
                Say::ThisAndClose(bytes) => {
                    let _ = stream.write_all(&bytes).await;
                    return;
                }
                Say::ThisAndHang(bytes) => {
                    let _ = stream.write_all(&bytes).await;
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The heads of all requests as they came.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut byte = [0; 1];
    while !bytes.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).await.ok()? == 0 {
            return None;
        }
        bytes.push(byte[0]);
    }
    Some(String::from_utf8(bytes).unwrap())
}

/// A whole answer with its length.
pub(crate) fn answer(status: &str, fields: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut bytes = format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

pub(crate) fn config(private_feeds: bool) -> HttpFeedsConfig {
    HttpFeedsConfig { private_feeds, roots: Roots::Bundled, ..HttpFeedsConfig::new("Calmesh/0.1 (+test)") }
}

/// A fetcher that reads loopback.
pub(crate) fn feeds() -> HttpFeeds {
    HttpFeeds::new(config(true)).unwrap()
}

pub(crate) fn request(url: &str) -> FeedRequest {
    FeedRequest {
        url: url.parse().unwrap(),
        validators: Validators::default(),
        user_agent: None,
        connect_timeout: Duration::from_secs(5),
        total_timeout: Duration::from_secs(20),
        hops: None,
        room: None,
    }
}

pub(crate) async fn fetch(url: &str) -> Result<Fetched, FetchFailure> {
    feeds().fetch(request(url)).await
}
