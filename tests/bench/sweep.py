"""Times the whole program on many properties, as the operating system accounts for it.

    cargo build --release -p calmesh
    python3 tests/bench/sweep.py --binary target/release/calmesh [--properties 300] [--events 40]

Serves three feeds a property (Airbnb, Booking.com and Vrbo shapes; Airbnb's DTSTAMP moves at every fetch) from this
process, makes the properties over the API while the feeds are empty, then lets the program sweep: everything new, nothing
changed, one feed in twenty changed, one stay in twenty of every feed changed. CPU is user + system of the program alone,
embedded storage included, per 1,000 feeds. Machines differ: compare only what ran side by side.
"""

import argparse
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from program import running

KINDS = ("airbnb", "booking", "vrbo")


class Feeds(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    events = 0
    generation = 0  # raising it moves one stay in twenty of every feed by a day
    touched = 0  # raising it moves one stay of one feed in twenty by a day
    fetches = 0
    lock = threading.Lock()

    def do_GET(self):
        kind, number = self.path.strip("/").removesuffix(".ics").split("-")
        with Feeds.lock:
            Feeds.fetches += 1
            stamp = Feeds.fetches
        body = calendar(kind, int(number), stamp).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/calendar")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def calendar(kind, number, stamp):
    is_touched = (number * len(KINDS) + KINDS.index(kind)) % 20 == 0
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "CALSCALE:GREGORIAN"]
    lines.append({
        "airbnb": "PRODID:-//Airbnb Inc//Hosting Calendar 1.0//EN",
        "booking": "PRODID:-//admin.booking.com\\, b.v.//NONSGML v1.0//EN",
        "vrbo": "PRODID:-//HomeAway.com\\, Inc.//EN",
    }[kind])
    day = date.today() + timedelta(days=5 + number % 3)
    for event in range(Feeds.events):
        moved = Feeds.generation if event % 20 == number % 20 else 0
        if is_touched and event == 0:
            moved += Feeds.touched
        start = day + timedelta(days=event * 9 + KINDS.index(kind) * 3 + moved)
        end = start + timedelta(days=2)
        code = f"HM{number:05d}{event:03d}"
        lines += ["BEGIN:VEVENT", f"DTSTAMP:20260101T{stamp % 240000 // 10000:02d}{stamp % 6000 // 100:02d}{stamp % 60:02d}Z",
                  f"DTSTART;VALUE=DATE:{start:%Y%m%d}", f"DTEND;VALUE=DATE:{end:%Y%m%d}"]
        if kind == "airbnb":
            lines += ["SUMMARY:Reserved", f"UID:1418fb94e984-{number:016x}{event:016x}@airbnb.com",
                      f"DESCRIPTION:Reservation URL: https://www.airbnb.com/hosting/reservations/de\r\n tails/{code}"]
        elif kind == "booking":
            lines += ["SUMMARY:CLOSED - Not available", f"UID:{number:016x}{event:016x}@booking.com"]
        else:
            lines += ["SUMMARY:Reserved - Guest", f"UID:{number:08x}-0000-4000-8000-{event:012x}"]
        lines.append("END:VEVENT")
    lines.append("END:VCALENDAR")
    return "\r\n".join(lines) + "\r\n"


def main():
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--binary", required=True)
    asked.add_argument("--properties", type=int, default=300)
    asked.add_argument("--events", type=int, default=40)
    asked.add_argument("--period", type=int, default=20, help="seconds between sweeps; must be longer than one takes")
    asked = asked.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Feeds)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    feeds = asked.properties * len(KINDS)
    with running(asked.binary, sweep_every=f"{asked.period}s") as program:
        run(asked, server, feeds, program)


def run(asked, server, feeds, program):
    call, cpu = program.call, program.cpu

    def prepare(number):
        home = call("/v1/properties", {"name": f"home {number}", "time_zone": "Europe/Madrid"})["id"]
        for kind in KINDS:
            url = f"http://127.0.0.1:{server.server_port}/{kind}-{number}.ics"
            call(f"/v1/properties/{home}/connections", {"name": kind, "import": {"url": url}})
        return home

    def measured(what, act, done):
        before, started, fetched = cpu(), time.monotonic(), Feeds.fetches
        act()
        while not done(fetched):
            time.sleep(0.05)
        # Until the program is quiet again: two seconds in which it used next to nothing.
        while True:
            mark, at = cpu(), time.monotonic()
            time.sleep(2)
            if cpu() - mark < 0.1:
                break
        wall, used = at - started, mark - before
        print(f"{what:<34} {used / feeds * 1000:8.3f} CPU s per 1,000 feeds   {used:7.2f} CPU s   {wall:7.1f} s wall", flush=True)

    homes = []

    def prepare_all():
        with ThreadPoolExecutor(4) as pool:
            homes.extend(pool.map(prepare, range(asked.properties)))

    def fill():
        Feeds.events = asked.events

    swept = lambda fetched: Feeds.fetches >= fetched + feeds
    measured("made over the API, feeds empty", prepare_all, lambda _: len(homes) == asked.properties)
    measured("a sweep, everything new", fill, swept)
    measured("a sweep, nothing changed", lambda: None, swept)
    measured("a sweep, nothing changed, again", lambda: None, swept)

    def touch():
        Feeds.touched += 1

    def change():
        Feeds.generation += 1

    measured("a sweep, 5 % of the feeds changed", touch, swept)
    measured("a sweep, 5 % of all stays moved", change, swept)
    print(f"peak memory {program.memory('VmHWM'):.0f} MB, now {program.memory('VmRSS'):.0f} MB; {feeds} feeds of {asked.events} events")


if __name__ == "__main__":
    main()
