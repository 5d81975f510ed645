//! The listener of the API and the private links: HTTP/1.1 on a socket that anybody may open.
//!
//! Whoever connects gets a place. Places are few, so nobody keeps one for nothing: heads, bodies and answers have their time,
//! and when all places are taken, the one that waits longest for a request, of whoever holds most, goes to the next caller.
//! Private links have requests of their own: they stay readable while the API is busy.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::Future,
    io,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Request, StatusCode, header};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{AbortHandle, JoinSet},
    time::{Instant, Sleep},
};
use tower::ServiceExt;

/// What callers may take, and how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Connections in all. The system counts them among the open files, of which a process has a thousand or so.
    pub(crate) connections: usize,
    /// Requests of the API that are answered at the same time.
    pub(crate) requests: usize,
    /// Private links that are answered at the same time.
    pub(crate) links: usize,
    /// For a request's head, and for the next one of a connection that is kept.
    pub(crate) head: Duration,
    /// Between two pieces of a body.
    pub(crate) piece: Duration,
    /// For a whole body.
    pub(crate) body: Duration,
    /// For an answer to be taken.
    pub(crate) answer: Duration,
    /// For requests at hand, when the service stops.
    pub(crate) stop: Duration,
}

impl Limits {
    pub(crate) const USUAL: Self = Self {
        connections: 512,
        requests: 192,
        links: 192,
        head: Duration::from_secs(20),
        piece: Duration::from_secs(10),
        body: Duration::from_secs(60),
        answer: Duration::from_secs(60),
        stop: Duration::from_secs(3),
    };
}

/// More than any head of a client needs; answers wait in as much.
const BUFFER: usize = 32 * 1024;
/// After a connection could not be accepted: the system is short of something.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Serves until `stopped`, then lets requests at hand come to their end.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    mut stopped: watch::Receiver<bool>,
) -> io::Result<()> {
    let door = Door {
        router,
        limits,
        requests: Arc::new(Semaphore::new(limits.requests)),
        links: Arc::new(Semaphore::new(limits.links)),
    };
    let places = Places::new(limits.connections);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                continue;
            }
        };
        // Where every place is at work, the caller is turned away.
        let Some(place) = places.take(from.ip()) else { continue };
        let held = place.clone();
        let task = connections.spawn(door.clone().attend(stream, place, stopped.clone()));
        held.is_of(task);
    }
    drop(listener);
    places.end_those_that_wait();
    let ended = async { while connections.join_next().await.is_some() {} };
    // What is cut off was not acknowledged.
    drop(tokio::time::timeout(limits.stop, ended).await);
    connections.shutdown().await;
    Ok(())
}

#[derive(Clone)]
struct Door {
    router: Router,
    limits: Limits,
    requests: Arc<Semaphore>,
    links: Arc<Semaphore>,
}

impl Door {
    async fn attend(self, stream: TcpStream, place: Place, mut stopped: watch::Receiver<bool>) {
        // Answers are small: none of them is to wait for a full packet.
        drop(stream.set_nodelay(true));
        let limits = self.limits;
        let io = TokioIo::new(Timely { stream, at_most: limits.answer, late: None });
        let answered = place.clone();
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let work = answered.begins();
            let door = self.clone();
            async move {
                let (answer, turn) = door.answer(request).await;
                Ok::<_, Infallible>(answer.map(|body| Counted { body, _work: work, _turn: turn }))
            }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .max_buf_size(BUFFER)
            .serve_connection(io, service);
        let mut connection = std::pin::pin!(connection);
        // What goes wrong on a connection is its caller's affair.
        tokio::select! {
            ended = connection.as_mut() => drop(ended),
            () = async { drop(stopped.wait_for(|stop| *stop).await) } => {
                connection.as_mut().graceful_shutdown();
                drop(connection.await);
            }
        }
    }

    /// The answer, and what is held until all of it was taken: an answer of the API is in memory for so long. A link's
    /// turn ends before, so that nobody who reads one slowly keeps others from theirs.
    async fn answer(self, request: Request<Incoming>) -> (Response, Option<OwnedSemaphorePermit>) {
        let for_links = request.uri().path().starts_with("/f/");
        let Ok(turn) = (if for_links { self.links } else { self.requests }).try_acquire_owned() else {
            return (busy(), None);
        };
        let (piece, whole) = (self.limits.piece, self.limits.body);
        let request = request.map(|body| match body.is_end_stream() {
            true => Body::empty(),
            false => Body::new(TimelyBody::new(body, piece, whole)),
        });
        let Ok(answer) = self.router.oneshot(request).await;
        (answer, (!for_links).then_some(turn))
    }
}

/// Everybody's hands are full: the same request may succeed in a moment.
fn busy() -> Response {
    let body = r#"{"type":"/problems/unavailable","title":"Unavailable","status":503,"detail":"Too much is asked at once. Try again in a moment."}"#;
    let kind = HeaderValue::from_static("application/problem+json");
    let wait = HeaderValue::from_static("1");
    let end = HeaderValue::from_static("close");
    let headers = [(header::CONTENT_TYPE, kind), (header::RETRY_AFTER, wait), (header::CONNECTION, end)];
    (StatusCode::SERVICE_UNAVAILABLE, headers, body).into_response()
}

// ---- places -----------------------------------------------------------------------------------------------------

/// The connections that there are.
#[derive(Debug, Clone)]
struct Places {
    most: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    by_number: HashMap<u64, Connection>,
}

#[derive(Debug)]
struct Connection {
    from: IpAddr,
    /// Requests that are being answered.
    at_work: usize,
    waits_since: Instant,
    task: Option<AbortHandle>,
}

/// A connection's place; free when all its clones are gone.
#[derive(Debug, Clone)]
struct Place(Arc<Seat>);

#[derive(Debug)]
struct Seat {
    number: u64,
    taken: Arc<Mutex<Taken>>,
}

/// A request that is being answered.
#[derive(Debug)]
struct Work(Place);

fn locked(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    // Nothing in here is ever half done.
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Places {
    fn new(most: usize) -> Self {
        Self { most, taken: Arc::default() }
    }

    /// A place for a caller; somebody who waits loses his when there is no other.
    fn take(&self, from: IpAddr) -> Option<Place> {
        let mut taken = locked(&self.taken);
        if taken.by_number.len() >= self.most {
            let loser = taken.longest_waiting()?;
            let gone = taken.by_number.remove(&loser)?;
            if let Some(task) = gone.task {
                task.abort();
            }
        }
        let number = taken.next;
        taken.next += 1;
        taken.by_number.insert(number, Connection { from, at_work: 0, waits_since: Instant::now(), task: None });
        Some(Place(Arc::new(Seat { number, taken: self.taken.clone() })))
    }

    fn end_those_that_wait(&self) {
        let waiting = locked(&self.taken);
        for connection in waiting.by_number.values().filter(|connection| connection.at_work == 0) {
            if let Some(task) = &connection.task {
                task.abort();
            }
        }
    }
}

impl Taken {
    /// Of those that wait for a request, one of the address with the most connections: there the oldest.
    fn longest_waiting(&self) -> Option<u64> {
        let mut of_address: HashMap<IpAddr, usize> = HashMap::new();
        for connection in self.by_number.values() {
            *of_address.entry(connection.from).or_default() += 1;
        }
        let waiting = self.by_number.iter().filter(|(_, connection)| connection.at_work == 0);
        let (number, _) = waiting.max_by_key(|(number, connection)| {
            let held = of_address.get(&connection.from).copied().unwrap_or_default();
            (held, std::cmp::Reverse((connection.waits_since, **number)))
        })?;
        Some(*number)
    }
}

impl Place {
    /// Says who is to be ended when the place is given to another.
    fn is_of(&self, task: AbortHandle) {
        match locked(&self.0.taken).by_number.get_mut(&self.0.number) {
            Some(connection) => connection.task = Some(task),
            // It was given away already.
            None => task.abort(),
        }
    }

    fn begins(&self) -> Work {
        if let Some(connection) = locked(&self.0.taken).by_number.get_mut(&self.0.number) {
            connection.at_work += 1;
        }
        Work(self.clone())
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let Self(Place(seat)) = self;
        if let Some(connection) = locked(&seat.taken).by_number.get_mut(&seat.number) {
            connection.at_work = connection.at_work.saturating_sub(1);
            connection.waits_since = Instant::now();
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        locked(&self.taken).by_number.remove(&self.number);
    }
}

/// An answer's body: its connection is at work until all of it was handed on.
struct Counted {
    body: Body,
    _work: Work,
    _turn: Option<OwnedSemaphorePermit>,
}

impl hyper::body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

// ---- time -------------------------------------------------------------------------------------------------------

#[derive(Debug, thiserror::Error)]
#[error("the body was sent too slowly")]
struct TooSlow;

/// A request's body whose pieces, and which as a whole, come in time. Its clock begins when it is first asked for.
struct TimelyBody {
    body: Incoming,
    piece: Duration,
    whole: Duration,
    ends: Option<(Pin<Box<Sleep>>, Instant)>,
}

impl TimelyBody {
    fn new(body: Incoming, piece: Duration, whole: Duration) -> Self {
        Self { body, piece, whole, ends: None }
    }
}

impl hyper::body::Body for TimelyBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let now = Instant::now();
        let (sleep, whole) = this.ends.get_or_insert_with(|| {
            (Box::pin(tokio::time::sleep_until(after(now, this.piece))), after(now, this.whole))
        });
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            if now >= *whole {
                return Poll::Ready(Some(Err(TooSlow.into())));
            }
            sleep.as_mut().reset(after(now, this.piece).min(*whole));
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(Some(Err(TooSlow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream whose peer takes in time what is written to it. The clock begins when something can't be written, and ends
/// when all that waits was.
struct Timely {
    stream: TcpStream,
    at_most: Duration,
    late: Option<Pin<Box<Sleep>>>,
}

impl Timely {
    /// What a write that has to wait comes to.
    fn waits<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let late = self.late.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.at_most)));
        ready!(late.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Timely {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Timely {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            Poll::Pending => self.waits(cx),
            done => done,
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write_vectored(cx, bytes) {
            Poll::Pending => self.waits(cx),
            done => done,
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        self.late = None;
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_shutdown(cx) {
            Poll::Pending => self.waits(cx),
            done => done,
        }
    }
}

/// An instant so much later; the same one where that is none.
fn after(now: Instant, by: Duration) -> Instant {
    now.checked_add(by).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::Notify,
        task::JoinHandle,
    };

    use super::*;

    /// Short where time is what a test waits for, long where it must not matter.
    const PATIENT: Limits = Limits {
        connections: 8,
        requests: 8,
        links: 8,
        head: Duration::from_secs(600),
        piece: Duration::from_secs(600),
        body: Duration::from_secs(600),
        answer: Duration::from_secs(600),
        stop: Duration::from_secs(600),
    };
    const SOON: Duration = Duration::from_millis(100);

    struct Served {
        address: std::net::SocketAddr,
        stop: watch::Sender<bool>,
        task: JoinHandle<io::Result<()>>,
        gate: Arc<Notify>,
        arrived: Arc<Notify>,
    }

    async fn served(limits: Limits) -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (gate, arrived) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (opened, told) = (gate.clone(), arrived.clone());
        let slow = move || {
            let (opened, told) = (opened.clone(), told.clone());
            async move {
                told.notify_one();
                opened.notified().await;
                "slow"
            }
        };
        let router = Router::new()
            .route("/quick", get(|| async { "quick" }))
            .route("/slow", get(slow))
            .route("/large", get(|| async { vec![b'x'; 32 << 20] }))
            .route("/length", post(|body: Bytes| async move { body.len().to_string() }))
            .route("/f/link", get(|| async { "link" }));
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(serve(listener, router, limits, stopped));
        Served { address, stop, task, gate, arrived }
    }

    impl Served {
        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.unwrap()
        }

        async fn ask(&self, path: &str) -> String {
            let mut stream = self.connect().await;
            let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            // Whoever is turned away may be so before it could ask.
            let _ = stream.write_all(request.as_bytes()).await;
            rest(&mut stream).await
        }
    }

    /// All that comes until the other side ends the connection.
    async fn rest(stream: &mut TcpStream) -> String {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all).await;
        String::from_utf8_lossy(&all).into_owned()
    }

    #[tokio::test]
    async fn a_head_that_does_not_come_to_its_end_is_waited_for_no_longer() {
        let served = served(Limits { head: SOON, ..PATIENT }).await;
        for begun in ["", "GET /quick HTT", "GET /quick HTTP/1.1\r\nHost: x\r\nX-Slow: "] {
            let mut stream = served.connect().await;
            stream.write_all(begun.as_bytes()).await.unwrap();
            let answer = rest(&mut stream).await;
            assert!(!answer.contains("quick"), "{answer}");
        }
    }

    #[tokio::test]
    async fn a_body_that_comes_too_slowly_is_refused() {
        for limits in [Limits { piece: SOON, ..PATIENT }, Limits { body: SOON, ..PATIENT }] {
            let served = served(limits).await;
            let mut stream = served.connect().await;
            stream.write_all(b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1").await.unwrap();
            let answer = rest(&mut stream).await;
            assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        }
    }

    #[tokio::test]
    async fn an_answer_that_nobody_takes_is_waited_for_no_longer() {
        let served = served(Limits { connections: 1, answer: SOON, ..PATIENT }).await;
        let mut stream = served.connect().await;
        stream.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        stream.readable().await.unwrap();
        // There is one place, and its holder is at work until it is given up.
        while !served.ask("/quick").await.contains("quick") {}
        assert!(rest(&mut stream).await.len() < 32 << 20);
    }

    #[tokio::test]
    async fn the_longest_waiting_connection_makes_room_when_all_places_are_taken() {
        let served = served(Limits { connections: 3, ..PATIENT }).await;
        let mut waiting = Vec::new();
        for _ in 0..3 {
            let mut stream = served.connect().await;
            stream.write_all(b"GET /quick HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            let mut answer = [0; 15];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200 OK");
            waiting.push(stream);
        }
        for _ in 0..20 {
            assert!(served.ask("/quick").await.contains("quick"));
        }
        assert!(!rest(&mut waiting[0]).await.is_empty(), "the rest of its answer, then the end");
    }

    #[tokio::test]
    async fn requests_that_are_worked_on_keep_their_places() {
        let served = served(Limits { connections: 2, ..PATIENT }).await;
        let mut streams = Vec::new();
        for _ in 0..2 {
            let mut stream = served.connect().await;
            stream.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
            served.arrived.notified().await;
            streams.push(stream);
        }
        assert_eq!(served.ask("/quick").await, "", "nobody is left who could make room");
        served.gate.notify_waiters();
        for mut stream in streams {
            assert!(rest(&mut stream).await.ends_with("slow"));
        }
    }

    #[tokio::test]
    async fn links_are_served_while_the_api_has_its_hands_full() {
        let served = served(Limits { requests: 1, ..PATIENT }).await;
        let mut stream = served.connect().await;
        stream.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        served.arrived.notified().await;
        let busy = served.ask("/quick").await.to_ascii_lowercase();
        assert!(busy.starts_with("http/1.1 503") && busy.contains("retry-after: 1"), "{busy}");
        assert!(served.ask("/f/link").await.ends_with("link"));
    }

    #[tokio::test]
    async fn requests_may_follow_each_other_unasked() {
        let served = served(PATIENT).await;
        let mut stream = served.connect().await;
        let three = "HEAD /quick HTTP/1.1\r\nHost: x\r\n\r\nGET /quick HTTP/1.1\r\nHost: x\r\n\r\n\
                     POST /length HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc";
        stream.write_all(three.as_bytes()).await.unwrap();
        let answers = rest(&mut stream).await;
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3, "{answers}");
        assert_eq!(answers.matches("quick").count(), 1, "{answers}");
        assert!(answers.ends_with('3'), "{answers}");
    }

    #[tokio::test]
    async fn a_stop_waits_for_requests_and_for_nobody_who_only_holds_a_connection() {
        let served = served(PATIENT).await;
        let mut idle = served.connect().await;
        let mut half = served.connect().await;
        half.write_all(b"GET /qui").await.unwrap();
        let mut asked = served.connect().await;
        asked.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        served.arrived.notified().await;
        served.stop.send(true).unwrap();
        assert_eq!((rest(&mut idle).await, rest(&mut half).await), (String::new(), String::new()));
        served.gate.notify_waiters();
        assert!(rest(&mut asked).await.ends_with("slow"));
        served.task.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_stop_does_not_wait_for_ever_for_a_request() {
        let served = served(Limits { stop: SOON, ..PATIENT }).await;
        let mut asked = served.connect().await;
        asked.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        served.arrived.notified().await;
        served.stop.send(true).unwrap();
        served.task.await.unwrap().unwrap();
        assert_eq!(rest(&mut asked).await, "");
    }
}
