//! The real program, started, killed and started again on one data folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use calmesh_tests::dates::next_year;
use serde_json::{Value, json};

/// A running program; it is killed with the handle.
struct Running {
    child: Child,
    ready: Value,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn calmesh(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_calmesh"));
    command.args(["--json", "--listen", "127.0.0.1:0", "--data"]).arg(data).stdin(Stdio::null());
    command.env("CALMESH_LOG", "error");
    command
}

fn start(data: &Path, more: &[&str]) -> Running {
    let mut child = calmesh(data).args(more).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no ready line, but {line:?}"));
    Running { child, ready }
}

/// An answer's status, head and body.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Running {
    fn text(&self, name: &str) -> &str {
        self.ready[name].as_str().unwrap()
    }

    fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let token = self.text("token");
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let more = format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n");
        self.request(method, path, &more, &body)
    }

    fn request(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let host = self.text("api").strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(host).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    fn make_property(&self, name: &str) -> String {
        let made = self.call("POST", "/v1/properties", Some(json!({ "name": name, "time_zone": "Europe/Madrid" })));
        assert_eq!(made.status, 201, "{}", made.body);
        made.json()["id"].as_str().unwrap().to_owned()
    }

    #[cfg(unix)]
    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

fn error_of(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let first = start(folder.path(), &[]);
    let property = first.make_property("Harbour flat");
    let token = first.text("token").to_owned();
    // Drops with SIGKILL: nothing is told to the program.
    drop(first);
    let second = start(folder.path(), &[]);
    assert_eq!(second.text("token"), token);
    let read = second.call("GET", &format!("/v1/properties/{property}"), None);
    assert_eq!((read.status, &read.json()["name"]), (200, &json!("Harbour flat")));
}

#[test]
fn a_second_process_on_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = start(folder.path(), &[]);
    let second = calmesh(folder.path()).output().unwrap();
    assert_eq!(second.status.code(), Some(2));
    assert!(error_of(&second).contains("another calmesh is running"), "{}", error_of(&second));
    assert_eq!(first.call("GET", "/v1/health", None).status, 200);
}

#[cfg(unix)]
#[test]
fn a_sigterm_stops_it_cleanly() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = start(folder.path(), &[]);
    running.make_property("Harbour flat");
    running.signal("-TERM");
    assert!(running.child.wait().unwrap().success());
}

#[test]
fn a_port_in_use_is_told_in_one_sentence() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_calmesh"));
    command.args(["serve", "--listen", &taken.local_addr().unwrap().to_string(), "--data"]).arg(folder.path());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(error_of(&output).contains("is in use"), "{}", error_of(&output));
}

#[test]
fn a_port_in_use_is_told_before_anything_is_written() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let listen = taken.local_addr().unwrap().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_calmesh"));
    let output = command.args(["serve", "--demo", "--listen", &listen, "--data"]).arg(&data).output().unwrap();
    assert!(error_of(&output).contains("is in use"), "{}", error_of(&output));
    assert!(!data.exists());
}

/// The program on its own words for people: what it says until it is ready, and what it says to its end.
fn for_people(data: &Path, more: &[&str]) -> (Child, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_calmesh"));
    command.arg("--data").arg(data).args(more).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.env("CALMESH_LOG", "error").spawn().unwrap();
    let mut said = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    while !said.contains("Ctrl-C stops it.") {
        assert!(output.read_line(&mut said).unwrap() > 0, "{said}");
    }
    (child, said)
}

#[test]
fn links_that_no_site_can_read_are_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, said) = for_people(folder.path(), &["--listen", "127.0.0.1:0"]);
    child.kill().unwrap();
    assert!(said.contains("this machine alone") && said.contains("--public-url"), "{said}");
    child.wait().unwrap();
    let public = ["--listen", "127.0.0.1:0", "--public-url", "https://calendars.example.com"];
    let (mut child, said) = for_people(folder.path(), &public);
    child.kill().unwrap();
    assert!(said.contains("https://calendars.example.com/f/") && !said.contains("alone"), "{said}");
    child.wait().unwrap();
}

#[test]
fn a_name_and_an_empty_environment_do_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_calmesh"));
    let data = folder.path().join("with a blank");
    command.args(["serve", "--json", "--listen", "localhost:0", "--data"]).arg(&data);
    for name in
        ["LISTEN", "DATA", "SWEEP_EVERY", "ALLOW_PRIVATE_FEEDS", "DEMO", "PUBLIC_URL", "REFUSE_PROVIDERS", "JSON"]
    {
        command.env(format!("CALMESH_{name}"), "");
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let running = Running { child, ready: serde_json::from_str(&line).unwrap() };
    assert_eq!(running.call("GET", "/v1/health", None).status, 200);
    assert!(data.join("store.db").is_file());
}

#[cfg(unix)]
#[test]
fn ctrl_c_says_that_it_stops() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, _) = for_people(folder.path(), &["--listen", "127.0.0.1:0"]);
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(said.contains("stopping") && said.contains("Ctrl-C again"), "{said}");
}

#[cfg(unix)]
#[test]
fn a_stop_before_it_is_ready_leaves_nothing_for_the_next_start_to_look_at() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut command = calmesh(&data);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    while !data.join("running").exists() {
        assert!(child.try_wait().unwrap().is_none());
    }
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert!(child.wait().unwrap().success());
    assert!(!data.join("running").exists());
    let next = start(&data, &[]);
    assert_eq!(next.call("GET", "/v1/health", None).status, 200);
}

#[cfg(unix)]
#[test]
fn a_second_ctrl_c_ends_it_at_once_and_the_next_start_looks_at_everything() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = start(folder.path(), &[]);
    // A request whose body does not come keeps the first stop waiting.
    let host = running.text("api").strip_prefix("http://").unwrap().to_owned();
    let mut stream = TcpStream::connect(&host).unwrap();
    let token = running.text("token");
    write!(
        stream,
        "POST /v1/properties HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 50\r\n\r\n"
    )
    .unwrap();
    let mut answered = [0; 12];
    stream.read_exact(&mut answered).unwrap();
    assert_eq!(&answered, b"HTTP/1.1 100");
    running.signal("-INT");
    while TcpStream::connect(&host).is_ok() {}
    running.signal("-INT");
    assert!(running.child.wait().unwrap().success());
    assert!(folder.path().join("running").exists());
    let mut next = start(folder.path(), &[]);
    next.signal("-INT");
    assert!(next.child.wait().unwrap().success());
    assert!(!folder.path().join("running").exists());
}

/// What the program says of a folder that it does not start on.
fn refused(data: &Path) -> String {
    let output = calmesh(data).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", error_of(&output));
    assert_eq!(output.stdout, b"");
    error_of(&output)
}

#[test]
fn a_store_that_was_lost_or_emptied_stops_the_start_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let first = start(folder.path(), &[]);
    first.make_property("Harbour flat");
    drop(first);
    let store = folder.path().join("store.db");
    let whole = std::fs::read(&store).unwrap();
    let beside = |name: &str| folder.path().join(name);
    let log = std::fs::read(beside("store.db-wal")).unwrap_or_default();
    let empty = tempfile::tempdir().unwrap();
    drop(start(empty.path(), &[]));
    for (words, damage) in [
        ("store.db is missing", None),
        ("store.db holds no store of calmesh", Some(Vec::new())),
        ("the store in the data folder can't be used", Some(b"this is no database at all, but a text".repeat(200))),
        ("store.db belongs to another data folder", Some(std::fs::read(empty.path().join("store.db")).unwrap())),
    ] {
        for name in ["store.db-wal", "store.db-shm"] {
            drop(std::fs::remove_file(beside(name)));
        }
        match damage {
            Some(bytes) => std::fs::write(&store, bytes).unwrap(),
            None => std::fs::remove_file(&store).unwrap(),
        }
        if words.contains("another") {
            std::fs::copy(empty.path().join("store.db-wal"), beside("store.db-wal")).ok();
        }
        let said = refused(folder.path());
        assert!(said.contains(words) && said.contains("backup"), "{said}");
    }
    for name in ["store.db-wal", "store.db-shm"] {
        drop(std::fs::remove_file(beside(name)));
    }
    std::fs::write(&store, whole).unwrap();
    std::fs::write(beside("store.db-wal"), log).unwrap();
    let again = start(folder.path(), &[]);
    assert_eq!(again.call("GET", "/v1/properties", None).json()["items"].as_array().unwrap().len(), 1);
}

#[test]
fn a_sealing_key_that_was_lost_or_emptied_stops_the_start_in_words() {
    let folder = tempfile::tempdir().unwrap();
    drop(start(folder.path(), &[]));
    let key = folder.path().join("sealing.key");
    std::fs::write(&key, "").unwrap();
    assert!(refused(folder.path()).contains("sealing.key in the data folder can't be used"));
    std::fs::remove_file(&key).unwrap();
    assert!(refused(folder.path()).contains("sealing.key is missing"));
}

#[test]
fn a_demo_that_was_being_made_is_made_to_its_end_by_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    for killed_with in ["format", "first-start", "demo.json", "store.db-wal", "objects.db", "objects.db-wal"] {
        let mut child =
            calmesh(folder.path()).arg("--demo").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while !folder.path().join(killed_with).exists() {
            assert!(child.try_wait().unwrap().is_none());
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let running = start(folder.path(), &["--demo"]);
    let properties = running.call("GET", "/v1/properties", None).json();
    assert_eq!(properties["items"].as_array().unwrap().len(), 1, "{properties}");
    let property = properties["items"][0]["id"].as_str().unwrap().to_owned();
    let connections = running.call("GET", &format!("/v1/properties/{property}/connections"), None).json();
    assert_eq!(connections["items"].as_array().unwrap().len(), 3, "{connections}");
}

#[test]
fn links_are_read_though_many_hold_connections_that_say_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(folder.path(), &[]);
    let host = running.text("api").strip_prefix("http://").unwrap();
    let held: Vec<TcpStream> = (0..600)
        .filter_map(|number| {
            let mut stream = TcpStream::connect(host).ok()?;
            let begun = if number % 2 == 0 { "" } else { "POST /v1/properties HTTP/1.1\r\nHost: x\r\n" };
            stream.write_all(begun.as_bytes()).ok()?;
            Some(stream)
        })
        .collect();
    assert!(held.len() > 512);
    assert_eq!(running.request("GET", "/f/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.ics", "", "").status, 404);
    assert_eq!(running.call("GET", "/v1/properties", None).status, 200);
}

#[test]
fn credentials_that_can_not_be_read_stop_the_start() {
    let folder = tempfile::tempdir().unwrap();
    drop(start(folder.path(), &[]));
    std::fs::write(folder.path().join("credentials.json"), "{").unwrap();
    let output = calmesh(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(error_of(&output).contains("credentials.json is not as calmesh wrote it"), "{}", error_of(&output));
}

#[test]
fn the_demo_is_made_once_and_its_links_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let first = start(folder.path(), &["--demo"]);
    let properties = first.call("GET", "/v1/properties", None).json();
    assert_eq!(properties["items"].as_array().unwrap().len(), 1);
    let property = properties["items"][0]["id"].as_str().unwrap().to_owned();
    let connections = first.call("GET", &format!("/v1/properties/{property}/connections"), None).json();
    assert_eq!(connections["items"].as_array().unwrap().len(), 3);
    drop(first);

    let second = start(folder.path(), &["--demo"]);
    assert_eq!(second.call("GET", "/v1/properties", None).json()["items"].as_array().unwrap().len(), 1);
    let connections = second.call("GET", &format!("/v1/properties/{property}/connections"), None).json();
    let link = connections["items"][0]["export"]["url"].as_str().unwrap();
    let path = link.strip_prefix(second.text("api")).unwrap();
    let served = second.request("GET", path, "", "");
    assert_eq!(served.status, 200, "{}", served.body);
    assert!(served.body.contains("BEGIN:VEVENT"), "{}", served.body);
    let etag = served.head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
    assert_eq!(second.request("GET", path, &format!("If-None-Match: {etag}\r\n"), "").status, 304);
    let head = second.request("HEAD", path, "", "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));

    let id = connections["items"][0]["id"].as_str().unwrap();
    let read = second.call("GET", &format!("/v1/connections/{id}"), None).json();
    assert_eq!(read["export"]["reads_24h"], json!(2), "{read}");
    for unknown in ["/f/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.ics", "/f/short.ics", "/f/a/b"] {
        let answer = second.request("GET", unknown, "", "");
        assert_eq!((answer.status, answer.body.as_str()), (404, ""));
    }
}

/// A calendar with a stay of next year's November, and one with a stay of its December.
fn feeds() -> [String; 2] {
    ["11", "12"].map(|month| {
        let at = |day: &str| next_year(&format!("{month}-{day}")).replace('-', "");
        format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Airbnb Inc//Hosting Calendar 1.0//EN\r\n\
             BEGIN:VEVENT\r\nDTSTAMP:20261121T100000Z\r\nDTSTART;VALUE=DATE:{}\r\nDTEND;VALUE=DATE:{}\r\n\
             SUMMARY:Reserved\r\nUID:a@airbnb.com\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
            at("04"),
            at("07")
        )
    })
}

#[test]
fn the_doctor_says_what_the_api_says() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("feed.ics");
    let [feed, _] = feeds();
    std::fs::write(&file, &feed).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_calmesh"));
    let output = command.arg("check").arg(&file).args(["--json", "--zone", "Europe/Madrid"]).output().unwrap();
    assert!(output.status.success(), "{}", error_of(&output));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let running = start(&folder.path().join("data"), &[]);
    let asked = json!({ "ics": feed, "time_zone": "Europe/Madrid" });
    let answered = running.call("POST", "/v1/feeds/check", Some(asked));
    assert_eq!(answered.status, 200, "{}", answered.body);
    assert_eq!(said, answered.json());
}

#[test]
fn a_feed_that_is_no_calendar_ends_the_doctor_with_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    std::fs::write(&file, "<html><body>Log in</body></html>").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_calmesh")).arg("check").arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stdout).unwrap().contains("not_a_calendar"));
}

#[test]
fn a_private_address_is_refused_unless_it_is_allowed() {
    let output = Command::new(env!("CARGO_BIN_EXE_calmesh"))
        .args(["check", "http://127.0.0.1:1/feed.ics", "--json"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["problem"]["type"], json!("address_refused"));
    assert!(said["problem"]["detail"].as_str().unwrap().contains("--allow-private-feeds"), "{said}");
    let merged = Command::new(env!("CARGO_BIN_EXE_calmesh")).args(["merge", "http://127.0.0.1:1/feed.ics"]).output();
    assert!(error_of(&merged.unwrap()).contains("--allow-private-feeds"));
}

#[test]
fn a_data_folder_that_is_a_file_is_told_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data");
    std::fs::write(&file, "x").unwrap();
    for data in [file.clone(), file.join("below")] {
        let said = refused(&data);
        assert!(said.contains(&format!("{} is no folder", file.display())) && !said.contains("right"), "{said}");
    }
}

#[test]
fn a_store_with_a_damaged_head_stops_the_start_without_advice_for_programmers() {
    let folder = tempfile::tempdir().unwrap();
    drop(start(folder.path(), &[]));
    let store = folder.path().join("store.db");
    let mut bytes = std::fs::read(&store).unwrap();
    bytes[..64].fill(b'x');
    std::fs::write(&store, bytes).unwrap();
    for beside in ["store.db-wal", "store.db-shm"] {
        let _ = std::fs::remove_file(folder.path().join(beside));
    }
    let said = refused(folder.path());
    assert!(said.contains("put back a backup") && !said.contains("encrypt"), "{said}");
}

#[cfg(unix)]
/// The last page that holds items, counted from one: those that were written last.
fn last_page_of_items(store: &Path) -> usize {
    let store = rusqlite::Connection::open(store).unwrap();
    store.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let last = "SELECT max(pageno) FROM dbstat WHERE pagetype = 'leaf' AND name = 'calmesh'";
    store.query_row(last, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_damaged_page_of_the_store_is_told_beside_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = start(folder.path(), &[]);
    for number in 0..40 {
        first.make_property(&format!("{number} {}", "x".repeat(150)));
    }
    first.signal("-TERM");
    assert!(first.child.wait().unwrap().success());
    let store = folder.path().join("store.db");
    let last = last_page_of_items(&store);
    let mut bytes = std::fs::read(&store).unwrap();
    bytes[(last - 1) * 4096..last * 4096].fill(0);
    std::fs::write(&store, bytes).unwrap();
    let (mut child, _) = for_people(folder.path(), &["--listen", "127.0.0.1:0"]);
    let mut said = String::new();
    let mut words = BufReader::new(child.stderr.take().unwrap());
    while !said.contains("is damaged") {
        assert!(words.read_line(&mut said).unwrap() > 0, "{said}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(said.contains("put back a backup"), "{said}");
}

#[test]
fn a_folder_that_a_later_version_wrote_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    drop(start(folder.path(), &[]));
    let format = folder.path().join("format");
    std::fs::write(&format, "2\n").unwrap();
    let said = refused(folder.path());
    assert!(said.contains("written by a later version of calmesh (format 2"), "{said}");
    std::fs::write(&format, "1\n").unwrap();
    drop(start(folder.path(), &[]));
    // What was never released had no format, and a folder of objects.
    std::fs::remove_file(&format).unwrap();
    std::fs::create_dir(folder.path().join("objects")).unwrap();
    let said = refused(folder.path());
    assert!(said.contains("before the first release") && said.contains("move the whole folder away"), "{said}");
    assert!(!format.exists());
}

#[test]
fn objects_that_are_missing_or_damaged_are_told_and_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    drop(start(folder.path(), &["--demo"]));
    let objects = folder.path().join("objects.db");
    let damages: [(&str, Option<&[u8]>); 4] = [
        ("objects.db is missing in the data folder", None),
        ("objects.db is missing in the data folder", Some(b"")),
        ("objects.db in the data folder is damaged", Some(b"no database, but longer than a head of one is, by far")),
        (
            "objects.db in the data folder is damaged",
            Some(b"SQLite format 3\0, and then nothing of it that makes sense"),
        ),
    ];
    for (words, damage) in damages {
        match damage {
            Some(bytes) => std::fs::write(&objects, bytes).unwrap(),
            None => std::fs::remove_file(&objects).unwrap(),
        }
        // The log of a run that was killed may hold all of it.
        drop(std::fs::remove_file(objects.with_extension("db-wal")));
        let (mut child, _) = for_people(folder.path(), &["--listen", "127.0.0.1:0"]);
        let mut said = String::new();
        let mut told = BufReader::new(child.stderr.take().unwrap());
        while !said.contains(words) {
            assert!(told.read_line(&mut said).unwrap() > 0, "{said}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(said.contains("all links are made anew"), "{said}");
    }
}

#[test]
fn calendars_are_merged_into_one_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b, out) = (folder.path().join("a.ics"), folder.path().join("b.ics"), folder.path().join("out.ics"));
    let [november, december] = feeds();
    std::fs::write(&a, november).unwrap();
    std::fs::write(&b, december).unwrap();
    let merge = |sources: [&Path; 2]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_calmesh"));
        command.arg("merge").args(sources).arg("--out").arg(&out).output().unwrap()
    };
    let output = merge([&a, &b]);
    assert!(output.status.success(), "{}", error_of(&output));
    let merged = std::fs::read_to_string(&out).unwrap();
    assert_eq!(merged.matches("BEGIN:VEVENT").count(), 2);

    std::fs::write(&b, "<html>").unwrap();
    let output = merge([&a, &b]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(&out).unwrap(), merged);
}
