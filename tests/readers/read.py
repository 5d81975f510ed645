"""Reads golden exports with PyPI icalendar and compares what it understands with what each was made to say.

Also checks what no reader checks: CRLF, lines of at most 75 octets, an end after every start, one UID per event.
"""

import json
import re
import sys
from datetime import date, datetime, timezone
from pathlib import Path

from icalendar import Calendar


def text(value):
    if isinstance(value, datetime):
        assert value.tzinfo is not None, "a time without zone"
        return value.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert isinstance(value, date)
    return value.isoformat()


def check_bytes(body):
    assert body.endswith(b"\r\n"), "the last line has no end"
    for number, line in enumerate(body[:-2].split(b"\r\n"), 1):
        assert b"\n" not in line and b"\r" not in line, f"line {number}: a bare line end"
        assert len(line) <= 75, f"line {number}: {len(line)} octets"
        line.decode("utf-8")


def understood(body):
    calendar = Calendar.from_ical(body)
    assert calendar["VERSION"] == "2.0" and calendar["PRODID"], "no VERSION or PRODID"
    assert not calendar.errors, calendar.errors
    events = []
    for event in calendar.walk("VEVENT"):
        assert not event.errors, event.errors
        for needed in ("UID", "DTSTAMP", "DTSTART", "DTEND"):
            assert needed in event, f"an event without {needed}"
        start, end = event.decoded("DTSTART"), event.decoded("DTEND")
        assert type(start) is type(end) and start < end, "an end that is not after its start"
        events.append({"uid": str(event["UID"]), "start": text(start), "end": text(end), "summary": str(event["SUMMARY"])})
    assert len({event["uid"] for event in events}) == len(events), "a UID twice"
    # The type of an X- property is unknown to it (RFC 5545 3.8.8.2 says text), so it is told.
    name = re.sub(r"\\(.)", lambda found: "\n" if found[1] in "nN" else found[1], str(calendar.get("X-WR-CALNAME", "")))
    return {"name": name, "events": events}


def main(folder):
    files = sorted(Path(folder).glob("*.ics"))
    failed = 0
    for file in files:
        try:
            body = file.read_bytes()
            check_bytes(body)
            said = json.loads(file.with_suffix(".json").read_text("utf-8"))
            read = understood(body)
            assert read == said, f"understood {read}, was to say {said}"
        except Exception as problem:
            failed += 1
            print(f"FAILED {file.name}: {problem}")
    print(f"icalendar: {len(files) - failed} passed, {failed} failed")
    return 1 if failed or not files else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
