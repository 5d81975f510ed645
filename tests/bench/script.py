"""What a user would write in a few dozen lines: reads each feed, takes its events apart, keeps them in SQLite, and renders
one calendar a property. It merges by UID alone, asks nobody, holds nothing: what it leaves out is what the program is for.

    python3 tests/bench/script.py DATABASE FOLDER < urls      one `property url` a line
"""

import os
import resource
import sqlite3
import sys
import time
import urllib.request


def events(text):
    event = None
    for line in text.replace("\r\n ", "").splitlines():
        if line == "BEGIN:VEVENT":
            event = {}
        elif line == "END:VEVENT":
            yield event["UID"], event["DTSTART"], event["DTEND"], event.get("SUMMARY", "")
            event = None
        elif event is not None:
            name, value = line.split(":", 1)
            event[name.split(";")[0]] = value


def main(database, folder):
    begun = time.process_time()
    known = sqlite3.connect(database)
    known.execute("CREATE TABLE IF NOT EXISTS stays (property, url, uid, first, last, summary, PRIMARY KEY (url, uid))")
    touched = set()
    for line in sys.stdin:
        home, url = line.split()
        with urllib.request.urlopen(url, timeout=30) as answer:
            shown = {event[0]: event for event in events(answer.read().decode())}
        rows = known.execute("SELECT uid, first, last, summary FROM stays WHERE url = ?", (url,))
        before = {row[0]: row for row in rows}
        if shown == before:
            continue
        touched.add(home)
        with known:
            known.executemany("DELETE FROM stays WHERE url = ? AND uid = ?", [(url, uid) for uid in before.keys() - shown.keys()])
            new = [(home, url, *event) for uid, event in shown.items() if before.get(uid) != event]
            known.executemany("INSERT OR REPLACE INTO stays VALUES (?, ?, ?, ?, ?, ?)", new)
    for home in touched:
        lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//script//EN"]
        for uid, first, last in known.execute("SELECT uid, first, last FROM stays WHERE property = ?", (home,)):
            lines += ["BEGIN:VEVENT", f"UID:{uid}", f"DTSTART;VALUE=DATE:{first}", f"DTEND;VALUE=DATE:{last}", "END:VEVENT"]
        with open(os.path.join(folder, home + ".ics"), "w") as calendar:
            calendar.write("\r\n".join([*lines, "END:VCALENDAR", ""]))
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(used.ru_utime + used.ru_stime - begun, used.ru_maxrss / 1024)


if __name__ == "__main__":
    main(*sys.argv[1:])
