//! Reading is linear: twice the bytes take twice the time, whatever they say.

use std::{fs, hint::black_box, time::Instant};

use calmesh_ics::{Limits, accept, meaning};

use crate::support::*;

/// What is done with a body.
type Way<'a> = &'a dyn Fn(&[u8]);

/// A body of about so many bytes.
type Shape = fn(usize) -> Vec<u8>;

/// Pieces until there are about so many bytes.
fn many(bytes: usize, mut piece: impl FnMut(usize) -> String) -> String {
    let mut text = String::with_capacity(bytes + 100);
    for number in 0.. {
        if text.len() >= bytes {
            break;
        }
        text.push_str(&piece(number));
    }
    text
}

fn in_event(lines: &str) -> Vec<u8> {
    event(&format!("DTSTART:20270110T150000Z\nDTEND:20270111T090000Z\n{lines}")).into_bytes()
}

fn in_calendar(lines: &str) -> Vec<u8> {
    calendar(lines).into_bytes()
}

fn repeated(bytes: usize, piece: &str) -> String {
    piece.repeat(bytes / piece.len())
}

/// Dates of a repeating event, apart from each other.
fn date(number: usize) -> String {
    format!("{:04}{:02}{:02}", 1990 + number / 336 % 60, number / 28 % 12 + 1, number % 28 + 1)
}

const SHAPES: &[(&str, Shape)] = &[
    ("a long name, then junk", |n| in_calendar(&format!("{}:x\n{}", "A".repeat(n / 2), "!\n".repeat(n / 4)))),
    ("a long text, then junk", |n| in_event(&format!("SUMMARY:{}\n{}", "a".repeat(n / 2), "!\n".repeat(n / 4)))),
    ("a UID, then junk", |n| in_event(&format!("UID:{}\n{}", "a".repeat(n / 2), "!\n".repeat(n / 4)))),
    ("junk whose names are folded", |n| in_event(&format!("SUMMARY:a\n{}", repeated(n, "A\n A\n A\n A\n")))),
    ("folds of one letter", |n| in_event(&format!("DESCRIPTION:a\n{}", repeated(n, " a\n")))),
    ("folds of nothing", |n| in_event(&format!("DTSTART:2\n{}", repeated(n, " \n")))),
    ("blank lines and blanks", |n| in_event(&format!("DESCRIPTION:a\n{}", repeated(n, "\n\n \n\r\n")))),
    ("lines outside, then blanks", |n| {
        let mut body = in_event("");
        body.extend_from_slice(repeated(n / 2, "B\n").as_bytes());
        body.extend_from_slice(repeated(n / 2, "\n").as_bytes());
        body
    }),
    ("UIDs of one event", |n| in_event(&many(n, |number| format!("UID:{number}\n")))),
    ("empty UIDs of one event", |n| in_event(&repeated(n, "UID:\n"))),
    ("SUMMARYs of one event", |n| in_event(&many(n, |number| format!("SUMMARY:{number}\n")))),
    ("DESCRIPTIONs of one event", |n| in_event(&many(n, |number| format!("DESCRIPTION:\\n\\,{number}\n")))),
    ("DTSTARTs and DTENDs of one event", |n| {
        in_event(&many(n, |number| format!("DTSTART:{}\nDTEND:{}\n", date(number), date(number + 1))))
    }),
    ("every name of one event", |n| {
        in_event(&repeated(n, "STATUS:X\nTRANSP:X\nSEQUENCE:1\nDURATION:P1D\nRRULE:\nEXRULE:\nRECURRENCE-ID:2\n"))
    }),
    ("properties that look like text", |n| {
        in_event(&format!("EXDATE:20270101\n{}", repeated(n, "Exdate: 20270102\n")))
    }),
    ("X- properties", |n| in_event(&many(n, |number| format!("X-{number}:x\n")))),
    ("slips of the pen", |n| in_event(&repeated(n, "DTENE:1\nRRUL:2\n"))),
    ("parameters of one line", |n| in_event(&format!("DTSTART{}:20270110", repeated(n, ";A=b")))),
    ("quotes of one line", |n| in_event(&format!("DTSTART;X={}:20270110", repeated(n, "\";:\"")))),
    ("a quote that never ends", |n| in_event(&format!("DTSTART;X=\"{}:20270110", repeated(n, ";:")))),
    ("colons in a TZID", |n| in_event(&format!("DTSTART;TZID={}:20270110", repeated(n, ":2027")))),
    ("one huge value", |n| in_event(&format!("DESCRIPTION:{}", "a".repeat(n)))),
    ("one huge value of backslashes", |n| in_event(&format!("DESCRIPTION:{}", "\\".repeat(n)))),
    ("one huge line of digits", |n| in_event(&format!("DTEND:{}", "2".repeat(n)))),
    ("one huge rule", |n| in_event(&format!("RRULE:FREQ=DAILY;{}", repeated(n, "BYDAY=MO;")))),
    ("bytes that are no text", |n| {
        let mut body = event("SUMMARY:?").into_bytes();
        let place = body.iter().position(|byte| *byte == b'?').unwrap();
        body.splice(place..=place, vec![0xE9; n]);
        body
    }),
    ("UTF-16", |n| {
        let text = String::from_utf8(in_event(&format!("SUMMARY:{}", "é\n ".repeat(n / 6)))).unwrap();
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }),
    ("distinct TZIDs of one event", |n| {
        in_event(&many(n, |number| format!("EXDATE;TZID=Europe/Z{number}:20270110T100000\n")))
    }),
    ("distinct TZIDs of many parts", |n| {
        in_event(&many(n, |number| format!("EXDATE;TZID={}{number}:20270110T100000\n", "a/".repeat(60))))
    }),
    ("distinct TZIDs of events", |n| {
        in_calendar(&many(n, |number| {
            format!("BEGIN:VEVENT\nDTSTART;TZID=({number}) a, b, c:20270110T150000\nDURATION:PT1H\nEND:VEVENT\n")
        }))
    }),
    ("long TZIDs beside a long hint", |n| {
        let events = many(n / 2, |number| {
            format!("BEGIN:VEVENT\nDTSTART;TZID=X{number}:20270110T150000\nDURATION:PT1H\nEND:VEVENT\n")
        });
        in_calendar(&format!("X-WR-TIMEZONE:{}\n{events}", "a".repeat(n / 2)))
    }),
    ("time zones, each used", |n| {
        in_calendar(&many(n, |number| {
            format!(
                "BEGIN:VTIMEZONE\nTZID:Own {number}\nBEGIN:STANDARD\nTZOFFSETFROM:+0100\nTZOFFSETTO:+0200\n\
                 DTSTART:20200101T000000\nEND:STANDARD\nEND:VTIMEZONE\n\
                 BEGIN:VEVENT\nDTSTART;TZID=Own {number}:20270110T150000\nDURATION:PT1H\nEND:VEVENT\n"
            )
        }))
    }),
    ("a time zone of many observances and dates", |n| {
        let observance = "BEGIN:STANDARD\nTZOFFSETFROM:+0100\nTZOFFSETTO:+0200\nDTSTART:20200101T000000\n\
             RDATE:20200102T000000,20200103T000000,20200104T000000,20200105T000000\nRDATE:20200106T000000\nEND:STANDARD\n";
        let stay = "BEGIN:VEVENT\nDTSTART;TZID=Own:20270110T150000\nDURATION:PT1H\nEND:VEVENT\n";
        in_calendar(&format!("BEGIN:VTIMEZONE\nTZID:Own\n{}END:VTIMEZONE\n{stay}", repeated(n, observance)))
    }),
    ("a time zone of one observance with many dates", |n| {
        let dates = many(n, |number| format!("RDATE:{}T000000\n", date(number)));
        let stay = "BEGIN:VEVENT\nDTSTART;TZID=Own:20270110T150000\nDURATION:PT1H\nEND:VEVENT\n".repeat(50);
        in_calendar(&format!(
            "BEGIN:VTIMEZONE\nTZID:Own\nBEGIN:STANDARD\nTZOFFSETFROM:+0100\nTZOFFSETTO:+0200\nDTSTART:20200101T000000\n{dates}END:STANDARD\nEND:VTIMEZONE\n{stay}"
        ))
    }),
    ("components inside an event", |n| in_event(&repeated(n, "BEGIN:VALARM\nEND:VALARM\n"))),
    ("nothing but BEGIN and END", |n| in_calendar(&repeated(n, "BEGIN:A\nEND:A\n"))),
    ("ENDs of nothing", |n| in_event(&repeated(n, "END:A\n"))),
    ("components without end", |n| in_calendar(&repeated(n, "BEGIN:VEVENT\nBEGIN:B\nBEGIN:C\nUID:1\nEND:VEVENT\n"))),
    ("RDATEs", |n| in_event(&many(n.min(80_000), |number| format!("RDATE:{}T150000Z\n", date(number))))),
    ("EXDATEs", |n| in_event(&many(n, |number| format!("EXDATE:{}T150000Z\n", date(number))))),
    ("one EXDATE of many values", |n| {
        in_event(&format!("RRULE:FREQ=DAILY\nEXDATE:{}", many(n, |number| format!("{}T150000Z,", date(number)))))
    }),
    ("RDATEs of no date", |n| in_event(&repeated(n, "RDATE:soon,later,20271332\n"))),
    ("overrides of one UID", |n| {
        let master = "BEGIN:VEVENT\nUID:1\nDTSTART:20260101\nRRULE:FREQ=DAILY\nEND:VEVENT\n";
        let overrides = many(n, |number| {
            format!(
                "BEGIN:VEVENT\nUID:1\nRECURRENCE-ID:{0}\nDTSTART:{0}\nSEQUENCE:{number}\nEND:VEVENT\n",
                date(number)
            )
        });
        in_calendar(&format!("{master}{overrides}"))
    }),
    ("changes of all that follows of one UID", |n| {
        let master = "BEGIN:VEVENT\nUID:1\nDTSTART:20260101\nRRULE:FREQ=DAILY\nEND:VEVENT\n";
        let overrides = many(n, |number| {
            format!(
                "BEGIN:VEVENT\nUID:1\nRECURRENCE-ID;RANGE=THISANDFUTURE:{0}\nDTSTART:{0}\nEND:VEVENT\n",
                date(number)
            )
        });
        in_calendar(&format!("{master}{overrides}"))
    }),
    ("events of one UID", |n| {
        in_calendar(&many(n, |number| {
            format!("BEGIN:VEVENT\nUID:1\nSEQUENCE:{number}\nDTSTART:{}\nEND:VEVENT\n", date(number))
        }))
    }),
    ("equal events of one UID", |n| in_calendar(&repeated(n, "BEGIN:VEVENT\nUID:1\nDTSTART:20270110\nEND:VEVENT\n"))),
    ("events that say several things", |n| {
        in_calendar(&repeated(n, "BEGIN:VEVENT\nUID:1\nUID:2\nDTSTART:20270110\nDTSTART:20270111\nEND:VEVENT\n"))
    }),
    ("names of the calendar", |n| {
        in_calendar(&many(n, |number| format!("X-WR-CALNAME:{number}\nX-WR-TIMEZONE:{number}\n")))
    }),
    ("properties outside of events", |n| in_calendar(&repeated(n, "DTSTART:20270110\nRRULE:x\n"))),
    ("calendars", |n| repeated(n, "BEGIN:VCALENDAR\nX-WR-TIMEZONE:a\nEND:VCALENDAR\n").into_bytes()),
    ("busy times of one line", |n| {
        let periods = many(n, |number| format!("{}T150000Z/PT1H,", date(number)));
        in_calendar(&format!("BEGIN:VFREEBUSY\nFREEBUSY;TZID={}:{periods}\nEND:VFREEBUSY", "a".repeat(1_000)))
    }),
    ("busy times", |n| {
        let periods = many(n, |number| format!("FREEBUSY:{}T150000Z/PT1H\n", date(number)));
        in_calendar(&format!("BEGIN:VFREEBUSY\n{periods}END:VFREEBUSY"))
    }),
];

/// Seconds that this thread has run, where the kernel says so: other work on the machine does not count.
fn seconds() -> Option<f64> {
    let told = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(told.split(' ').next()?.parse::<f64>().ok()? / 1e9)
}

/// Seconds that one of many calls takes, for at least this long in all: the kernel counts in ticks.
fn time(least: f64, call: impl Fn()) -> f64 {
    let clock = Instant::now();
    let now = || seconds().unwrap_or_else(|| clock.elapsed().as_secs_f64());
    let (begun, mut calls) = (now(), 0.0);
    loop {
        call();
        calls += 1.0;
        let taken = now() - begun;
        if taken >= least {
            return taken / calls;
        }
    }
}

#[test]
fn twice_the_bytes_take_twice_the_time_whatever_they_say() {
    const BYTES: usize = 30_000;
    // What grows with the square takes four times as long.
    const MOST_RATIO: f64 = 3.0;
    // Without optimization, and a hundred times more than what most of them take.
    const MOST_SECONDS: f64 = 1.5;
    let read = |body: &[u8]| _ = black_box(try_read(body));
    let accept = |body: &[u8]| _ = black_box(accept(body, &Limits::default()));
    let meaning = |body: &[u8]| _ = black_box(meaning(body));
    let ways: [(&str, Way<'_>); 3] = [("read", &read), ("accept", &accept), ("meaning", &meaning)];
    let mut slow = Vec::new();
    // What is worked out once for all is not part of any.
    read(&in_event("DTSTART;TZID=(UTC+01:00) Nowhere:20270110T100000"));
    println!("{:<48} {:>8} {:>9} {:>9} {:>6}", "ms of CPU for twice the bytes", "bytes", "once", "twice", "ratio");
    for (name, shape) in SHAPES {
        let (once, twice) = (shape(BYTES), shape(2 * BYTES));
        for (way, call) in ways {
            // A machine in trouble gets more tries.
            let mut taken = (0.0, 0.0);
            for least in [0.02, 0.1, 0.5] {
                taken = (time(least, || call(&once)), time(least, || call(&twice)));
                if taken.1 < MOST_RATIO * taken.0 {
                    break;
                }
            }
            let (least, most) = (1e3 * taken.0, 1e3 * taken.1);
            println!(
                "{:<48} {:>8} {least:>9.2} {most:>9.2} {:>6.2}",
                format!("{way}: {name}"),
                twice.len(),
                most / least
            );
            if taken.1 >= MOST_RATIO * taken.0 || taken.1 > MOST_SECONDS {
                slow.push(format!("{way} of {name}: {least:.2} ms, then {most:.2} ms"));
            }
        }
    }
    assert_eq!(slow, Vec::<String>::new());
}

/// Bytes that this process held at most so far.
fn peak() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?;
    Some(kilobytes.parse::<usize>().ok()? * 1024)
}

#[test]
fn what_reading_holds_is_a_small_multiple_of_the_body() {
    const BYTES: usize = 500_000;
    let mut large = Vec::new();
    let Some(before) = peak() else {
        println!("this kernel does not say what a process holds");
        return;
    };
    for (name, shape) in SHAPES {
        let body = shape(BYTES);
        _ = black_box(try_read(&body));
        // What one body took is taken again by the next, so this is the most that any took so far.
        let held = peak().unwrap_or(before).saturating_sub(before);
        println!("{name:<48} {:>8} kB so far, of {:>6} kB", held / 1024, body.len() / 1024);
        if held > 24 * BYTES + 16 * 1024 * 1024 {
            large.push(format!("{name}: {held} bytes for {}", body.len()));
        }
    }
    assert_eq!(large, Vec::<String>::new());
}
