//! The text of a log, in the extended log format of the W3C as CloudFront writes it: a `#Fields` line names the
//! columns, and tabs part them.

use std::io::{self, Write};

use calmesh_app::{model::LinkToken, ports::LoggedReads};
use jiff::{Timestamp, civil};

const TEXT_MOST: usize = 256 * 1024 * 1024;
const LINE_MOST: usize = 64 * 1024;
const READS_MOST: usize = 500_000;

/// Takes a text in pieces of any size. Keeps one line at most, and what was read.
#[derive(Debug)]
pub(crate) struct LogText {
    own_mark: String,
    columns: Option<Columns>,
    line: Vec<u8>,
    /// The line that is being taken is longer than one may be: its rest is passed over.
    too_long: bool,
    bytes: usize,
    count: usize,
    found: LoggedReads,
    refusal: Option<&'static str>,
}

/// In which place of a line what is needed stands.
#[derive(Debug, Clone, Copy)]
struct Columns {
    date: usize,
    time: usize,
    method: usize,
    path: usize,
    status: usize,
    agent: usize,
}

impl Columns {
    fn of(fields: &str) -> Option<Self> {
        let place = |name| fields.split_ascii_whitespace().position(|field| field == name);
        Some(Self {
            date: place("date")?,
            time: place("time")?,
            method: place("cs-method")?,
            path: place("cs-uri-stem")?,
            status: place("sc-status")?,
            agent: place("cs(User-Agent)")?,
        })
    }
}

impl LogText {
    pub(crate) fn new(own_mark: String) -> Self {
        Self {
            own_mark,
            columns: None,
            line: Vec::new(),
            too_long: false,
            bytes: 0,
            count: 0,
            found: LoggedReads::default(),
            refusal: None,
        }
    }

    /// Why no more is taken.
    pub(crate) fn refusal(&self) -> Option<&'static str> {
        self.refusal
    }

    /// What the text tells, once it is at its end.
    pub(crate) fn finish(mut self) -> Result<LoggedReads, &'static str> {
        // The last line may lack its end.
        self.take_line()?;
        Ok(self.found)
    }

    fn take_line(&mut self) -> Result<(), &'static str> {
        let line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.too_long) {
            self.found.unreadable = self.found.unreadable.saturating_add(1);
            return Ok(());
        }
        // Bytes beyond ASCII are written as escapes, so a line with others is damaged.
        let line = std::str::from_utf8(&line).unwrap_or("?").trim_end_matches('\r');
        if let Some(fields) = line.strip_prefix("#Fields:") {
            let columns = Columns::of(fields).ok_or("its #Fields line lacks a column that is needed")?;
            self.columns = Some(columns);
        } else if !line.is_empty() && !line.starts_with('#') {
            let columns = self.columns.ok_or("it has no #Fields line before its first line")?;
            match read_line(line, columns, &self.own_mark) {
                Some(Some((token, at))) => {
                    self.count += usize::from(self.found.reads.entry(token.hash()).or_default().insert(at));
                    if self.count > READS_MOST {
                        return Err("it tells of more than half a million reads");
                    }
                }
                Some(None) => {}
                None => self.found.unreadable = self.found.unreadable.saturating_add(1),
            }
        }
        Ok(())
    }

    fn take(&mut self, piece: &[u8]) -> Result<(), &'static str> {
        self.bytes = self.bytes.saturating_add(piece.len());
        if self.bytes > TEXT_MOST {
            return Err("it is larger than 256 MiB");
        }
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match part.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (part, false),
            };
            self.too_long |= self.line.len() + text.len() > LINE_MOST;
            if !self.too_long {
                self.line.extend_from_slice(text);
            }
            if ends {
                self.take_line()?;
            }
        }
        Ok(())
    }
}

impl Write for LogText {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        match self.take(piece) {
            Ok(()) => Ok(piece.len()),
            Err(refusal) => {
                self.refusal = Some(refusal);
                Err(io::Error::other(refusal))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The read that a line tells of; `Some(None)` where it tells of something else, None where no sense can be made of it.
fn read_line(line: &str, columns: Columns, own_mark: &str) -> Option<Option<(LinkToken, Timestamp)>> {
    let cells: Vec<&str> = line.split('\t').collect();
    let cell = |place: usize| cells.get(place).copied();
    let (method, status, path) = (cell(columns.method)?, cell(columns.status)?, cell(columns.path)?);
    let (date, time, agent) = (cell(columns.date)?, cell(columns.time)?, cell(columns.agent)?);
    if method != "GET" || !matches!(status, "200" | "304") || is_ours(agent, own_mark) {
        return Some(None);
    }
    // A token has no letter that would be escaped in a log.
    let token = path.strip_prefix("/f/").and_then(|file| LinkToken::parse(file.strip_suffix(".ics")?));
    let Some(token) = token else { return Some(None) };
    let date: civil::Date = date.parse().ok()?;
    let time: civil::Time = time.parse().ok()?;
    let at = jiff::tz::TimeZone::UTC.to_timestamp(date.to_datetime(time)).ok()?;
    Some(Some((token, at)))
}

/// By the mark of this deployment's own fetcher; no mark, no own reads.
fn is_ours(agent: &str, own_mark: &str) -> bool {
    !own_mark.is_empty() && agent.contains(own_mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: &str = "0123456789abcdef";
    const HEAD: &str = "#Version: 1.0\n#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status \
                        cs(Referer) cs(User-Agent) cs-uri-query\n";

    fn token(n: u8) -> LinkToken {
        LinkToken::from_random([n; 32])
    }

    fn line(time: &str, method: &str, path: &str, status: u16, agent: &str) -> String {
        format!(
            "2026-12-04\t{time}\tMAD51\t1045\t192.0.2.10\t{method}\td111.cloudfront.net\t{path}\t{status}\t-\t{agent}\t-\n"
        )
    }

    fn path(n: u8) -> String {
        format!("/f/{}.ics", token(n).reveal())
    }

    fn told(text: &str) -> LoggedReads {
        // In pieces that end anywhere.
        let mut log = LogText::new(MARK.to_owned());
        for piece in text.as_bytes().chunks(7) {
            log.write_all(piece).unwrap();
        }
        log.finish().unwrap()
    }

    fn instants(reads: &LoggedReads, n: u8) -> Vec<String> {
        reads.reads.get(&token(n).hash()).into_iter().flatten().map(ToString::to_string).collect()
    }

    #[test]
    fn answered_reads_of_links_are_told_by_link_and_second() {
        let text = [
            HEAD.to_owned(),
            line("10:00:01", "GET", &path(1), 200, "Airbnb%20Calendar%20Importer/1.0"),
            line("10:15:02", "GET", &path(1), 304, "Airbnb%20Calendar%20Importer/1.0"),
            line("10:15:02", "GET", &path(1), 200, "Airbnb%20Calendar%20Importer/1.0"),
            line("10:15:03", "GET", &path(2), 200, "-"),
        ];
        let reads = told(&text.concat());
        assert_eq!(instants(&reads, 1), ["2026-12-04T10:00:01Z", "2026-12-04T10:15:02Z"]);
        assert_eq!(instants(&reads, 2), ["2026-12-04T10:15:03Z"]);
        assert_eq!((reads.reads.len(), reads.unreadable), (2, 0));
    }

    #[test]
    fn what_is_no_answered_read_by_somebody_else_does_not_count() {
        let text = [
            HEAD.to_owned(),
            line("10:00:01", "HEAD", &path(1), 200, "x"),
            line("10:00:01", "GET", &path(1), 404, "x"),
            line("10:00:01", "GET", &path(1), 206, "x"),
            line(
                "10:00:01",
                "GET",
                &path(1),
                200,
                &format!("Mozilla/5.0%20(compatible;%20Calmesh/1.0;%20+https://calmesh.example/%23{MARK})"),
            ),
            line("10:00:01", "GET", "/not-found.txt", 200, "x"),
            line("10:00:01", "GET", "/f/short.ics", 200, "x"),
            line("10:00:01", "GET", "/", 200, "x"),
        ];
        assert_eq!(told(&text.concat()), LoggedReads::default());
    }

    #[test]
    fn a_read_by_another_deployment_counts() {
        let other = "Mozilla/5.0%20(compatible;%20Calmesh/1.0;%20+https://calmesh.example/%23fedcba9876543210)";
        let bare = "Mozilla/5.0%20(compatible;%20Calmesh/1.0;%20+https://calmesh.example/)";
        let lines = [line("10:00:01", "GET", &path(1), 200, other), line("10:00:02", "GET", &path(1), 200, bare)];
        assert_eq!(instants(&told(&format!("{HEAD}{}", lines.concat())), 1).len(), 2);
        let mut unmarked = LogText::new(String::new());
        unmarked.write_all(format!("{HEAD}{}", lines.concat()).as_bytes()).unwrap();
        assert_eq!(instants(&unmarked.finish().unwrap(), 1).len(), 2, "without a mark of our own every read counts");
    }

    #[test]
    fn a_damaged_line_is_counted_and_loses_no_other() {
        let mut broken = line("10:00:01", "GET", &path(1), 200, "x").replace("2026-12-04", "4 December");
        broken.push_str("2026-12-04\t10:00\n");
        broken.push_str(&line("10:00:01", "GET", &format!("/{}", "x".repeat(70_000)), 200, "x"));
        let text = format!("{HEAD}{broken}{}", line("10:00:05", "GET", &path(1), 200, "x"));
        let reads = told(text.trim_end());
        assert_eq!((instants(&reads, 1), reads.unreadable), (vec!["2026-12-04T10:00:05Z".to_owned()], 3));
    }

    #[test]
    fn columns_are_found_by_their_names() {
        let text = format!(
            "#Fields: sc-status cs-uri-stem cs-method cs(User-Agent) time date\r\n304\t{}\tGET\tx\t23:59:59\t2026-12-31\r\n",
            path(3)
        );
        assert_eq!(instants(&told(&text), 3), ["2026-12-31T23:59:59Z"]);
    }

    #[test]
    fn a_text_without_the_columns_is_no_log() {
        let read = |text: &str| {
            let mut log = LogText::new(MARK.to_owned());
            log.write_all(text.as_bytes()).map_err(|_| log.refusal().unwrap()).and_then(|()| log.finish())
        };
        let line = line("10:00:01", "GET", &path(1), 200, "x");
        assert_eq!(read(&line), Err("it has no #Fields line before its first line"));
        assert_eq!(read("#Fields: date time\n"), Err("its #Fields line lacks a column that is needed"));
        assert_eq!(read(""), Ok(LoggedReads::default()), "an empty one tells nothing");
    }
}
