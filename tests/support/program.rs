//! The running `calmesh` program and a client of it: started on a folder of its own, driven over HTTP, killed and
//! started again. It waits for facts, with a deadline, and never for time to pass.

use std::{
    fmt,
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Method, header};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::dates::without_year;

/// How long a fact may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// A running program; it is killed with the handle, and its folder goes with it.
pub struct Program {
    binary: PathBuf,
    args: Vec<String>,
    folder: TempDir,
    child: Child,
    ready: Value,
    http: reqwest::Client,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("args", &self.args).field("process", &self.child.id()).finish_non_exhaustive()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}

/// An answer, whole.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: header::HeaderMap,
    pub text: String,
}

impl Answer {
    /// The body; the test fails when the status is another one.
    #[track_caller]
    #[allow(clippy::must_use_candidate, reason = "often only the status is of interest")]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }
}

impl Program {
    /// Starts the program on an empty folder, on a free port, with feeds on private addresses allowed.
    pub async fn start(binary: &str, args: &[&str]) -> Self {
        let mut all = vec!["--allow-private-feeds"];
        all.extend(args);
        Self::start_strict(binary, &all).await
    }

    /// The same as it is in the world: feeds on private addresses are refused.
    pub async fn start_strict(binary: &str, args: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        let binary = PathBuf::from(binary);
        let (child, ready) = spawn(&binary, &args, folder.path()).await;
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { binary, args, folder, child, ready, http }
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(&mut self) {
        self.end();
    }

    /// Starts it anew on the same folder; kills it before if it still runs.
    pub async fn restart(&mut self) {
        self.end();
        (self.child, self.ready) = spawn(&self.binary, &self.args, self.folder.path()).await;
    }

    /// Asks it to stop, waits for its end and says whether that was a clean one.
    pub async fn stop(&mut self) -> bool {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|sent| sent.success()), "it takes a signal");
        for _ in 0..DEADLINE.as_millis() / LOOK_EVERY.as_millis() {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                return status.success();
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        panic!("it did not stop");
    }

    fn end(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// What the ready line says: `api`, `token`, `operator_key`, `data`.
    #[must_use]
    pub fn told(&self, name: &str) -> &str {
        self.ready[name].as_str().unwrap_or_else(|| panic!("no {name} in the ready line"))
    }

    /// All that it logged so far, over restarts.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).expect("a log")
    }

    /// One request, by the holder of this token.
    pub async fn call_by(&self, token: &str, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let mut request = self.http.request(method, format!("{}{path}", self.told("api"))).bearer_auth(token);
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, "application/json").body(body.to_string());
        }
        answer(request).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call_by(self.told("token"), Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call_by(self.told("token"), Method::POST, path, Some(&body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call_by(self.told("token"), Method::PATCH, path, Some(&body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call_by(self.told("token"), Method::DELETE, path, None).await
    }

    /// A property in Madrid, with the usual times; its id.
    pub async fn property(&self) -> String {
        let body = json!({ "name": "Harbour flat", "time_zone": "Europe/Madrid" });
        text(&self.post("/v1/properties", body).await.expect(201), "/id")
    }

    /// A connection to this feed, as it was answered. One missing reading more ends an ordinary hold.
    pub async fn connect(&self, property: &str, name: &str, url: &str) -> Value {
        let policy = json!({ "hold": { "readings": 2, "minutes": 0 } });
        let body = json!({ "name": name, "import": { "url": url, "policy": policy } });
        self.post(&format!("/v1/properties/{property}/connections"), body).await.expect(201)
    }

    pub async fn connection(&self, id: &str) -> Value {
        self.get(&format!("/v1/connections/{id}")).await.expect(200)
    }

    /// Asks for a refresh at this path and waits until it is done; its outcomes.
    pub async fn refresh(&self, path: &str) -> Value {
        let id = text(&self.post(path, json!({})).await.expect(202), "/id");
        self.refreshed(&id).await
    }

    /// Waits until a refresh is done and answers what became of its connections.
    pub async fn refreshed(&self, id: &str) -> Value {
        let path = format!("/v1/refreshes/{id}");
        self.until("the refresh is done", async || {
            let refresh = self.get(&path).await.expect(200);
            (refresh["status"] == "done").then(|| refresh["connections"].clone())
        })
        .await
    }

    /// A private link as a site reads it, which counts as a read.
    pub async fn read_link(&self, link: &str) -> Answer {
        answer(self.http.get(self.here(link))).await
    }

    /// A private link as our own fetcher reads it, which counts as none.
    pub async fn peek(&self, link: &str) -> Answer {
        answer(self.http.get(self.here(link)).header(header::USER_AGENT, self.own_agent())).await
    }

    /// Waits until a link lists exactly these stays, each written `2026-12-04/2026-12-07`.
    pub async fn until_link(&self, link: &str, stays: &[&str]) {
        let mut last = Vec::new();
        for _ in 0..DEADLINE.as_millis() / LOOK_EVERY.as_millis() {
            last = stays_of(&self.peek(link).await.text);
            if last == stays {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        panic!("the link lists {last:?} and not {stays:?}");
    }

    /// Waits for a fact; what it is called stands in the failure.
    pub async fn until<T>(&self, what: &str, mut fact: impl AsyncFnMut() -> Option<T>) -> T {
        for _ in 0..DEADLINE.as_millis() / LOOK_EVERY.as_millis() {
            if let Some(value) = fact().await {
                return value;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        panic!("never: {what}");
    }

    /// How this service's own fetcher names itself: with a mark that only it has.
    fn own_agent(&self) -> String {
        let file = self.folder.path().join("data/credentials.json");
        let text = std::fs::read_to_string(file).expect("the service's credentials");
        let known: Value = serde_json::from_str(&text).expect("credentials are JSON");
        let secret = STANDARD.decode(known["deployment_secret"].as_str().expect("a secret")).expect("base64");
        let mark = Sha256::new().chain_update(b"calmesh reader\0").chain_update(secret).finalize();
        format!("Mozilla/5.0 (compatible; Calmesh/1.0; +https://calmesh.example/#{})", &hex::encode(mark)[..16])
    }

    /// The link at the port of now: a restart takes another one.
    fn here(&self, link: &str) -> String {
        let path = link.find("/f/").map_or(link, |at| &link[at..]);
        format!("{}{path}", self.told("api"))
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, text: response.text().await.expect("a text") }
}

async fn spawn(binary: &Path, args: &[String], folder: &Path) -> (Child, Value) {
    let log = File::options().append(true).create(true).open(folder.join("log")).expect("a log");
    let mut child = Command::new(binary)
        .args(["--json", "--listen", "127.0.0.1:0", "--data"])
        .arg(folder.join("data"))
        .args(args)
        .env("CALMESH_LOG", "debug")
        .env("RUST_LOG", "debug")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .expect("the program starts");
    let output = child.stdout.take().expect("it was asked for");
    let line = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        // An end without a line is told below.
        let _ = BufReader::new(output).read_line(&mut line);
        line
    });
    let line = line.await.expect("it does not panic");
    let ready = serde_json::from_str(&line).unwrap_or_else(|_| {
        panic!("no ready line, but {line:?} and {}", std::fs::read_to_string(folder.join("log")).unwrap_or_default())
    });
    (child, ready)
}

/// The text at this JSON pointer.
#[must_use]
#[track_caller]
pub fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer} in {value}")).to_owned()
}

/// What a calendar of ours lists, as `start/end` in order; dates with hyphens, those of next year without it, times as
/// they stand. The event of 1970 that keeps an empty calendar from being refused is left out.
#[must_use]
pub fn stays_of(calendar: &str) -> Vec<String> {
    let mut stays: Vec<String> = calendar
        .split("BEGIN:VEVENT")
        .skip(1)
        .map(|event| {
            let at = |name: &str| {
                let line = event.lines().find(|line| line.starts_with(name)).unwrap_or_default();
                let value = line.rsplit(':').next().unwrap_or_default();
                match value.len() {
                    8 => without_year(&format!("{}-{}-{}", &value[..4], &value[4..6], &value[6..])),
                    _ => value.to_owned(),
                }
            };
            format!("{}/{}", at("DTSTART"), at("DTEND"))
        })
        .filter(|stay| !stay.starts_with("1970-"))
        .collect();
    stays.sort();
    stays
}

/// The values of this property, in the order of the calendar.
#[must_use]
pub fn values_of(calendar: &str, name: &str) -> Vec<String> {
    let prefix = format!("{name}:");
    calendar.lines().filter_map(|line| line.strip_prefix(&prefix)).map(str::to_owned).collect()
}
