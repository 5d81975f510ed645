"""Times the whole program on more and more connections, and draws whether what one costs stays the same.

    cargo build --release -p calmesh
    python3 tests/bench/scale.py --binary target/release/calmesh [--connections 3000,30000,100000] [--keep FILE] [--write tests/bench]
    python3 tests/bench/scale.py --keep FILE --write tests/bench       draws what was kept

Three connections a property, a hundred properties an account (an account has at most 10,000 properties, and 120 new feeds a
minute). The feeds are shaped as those of `sweep.py`, at 200 hosts of loopback (so on Linux); they are cheap to serve and not
measured. For each size: all is made over the API while the feeds are empty and no sweep comes; the program is begun anew; a sweep
finds everything new; it is begun anew once more; a sweep finds nothing changed, one finds a stay moved in 5 % of the feeds, and
ten accounts are refreshed. CPU is user + system of the program alone, embedded storage included. 100,000 take about an hour.
"""

import argparse
import asyncio
import json
import math
import multiprocessing
import os
import sqlite3
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

from draw import Panel, panels
from program import period_that_ends_in, running, sleep_to_sweep

KINDS = ("airbnb", "booking", "vrbo")
HEADS = {
    "airbnb": "PRODID:-//Airbnb Inc//Hosting Calendar 1.0//EN",
    "booking": "PRODID:-//admin.booking.com\\, b.v.//NONSGML v1.0//EN",
    "vrbo": "PRODID:-//HomeAway.com\\, Inc.//EN",
}
HOSTS = 200
PROPERTIES_PER_ACCOUNT = 100
REFRESHED = 10
EVENTS = 40
A_DAY = "24h"


def template(kind, shift, moved):
    """A calendar of which only a property's number and the stamp are missing: `NNNNNNNN` and `SSSSSS`."""
    day = date.today() + timedelta(days=5 + shift)
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "CALSCALE:GREGORIAN", HEADS[kind]]
    for event in range(EVENTS):
        start = day + timedelta(days=event * 9 + KINDS.index(kind) * 3 + (moved if event == 0 else 0))
        lines += ["BEGIN:VEVENT", "DTSTAMP:20260101TSSSSSSZ",
                  f"DTSTART;VALUE=DATE:{start:%Y%m%d}", f"DTEND;VALUE=DATE:{start + timedelta(days=2):%Y%m%d}"]
        lines += {
            "airbnb": ["SUMMARY:Reserved", f"UID:1418fb94e984-00000000NNNNNNNN{event:016x}@airbnb.com",
                       f"DESCRIPTION:Reservation URL: https://www.airbnb.com/hosting/reservations/de\r\n tails/HMNNNNNNNN{event:03d}"],
            "booking": ["SUMMARY:CLOSED - Not available", f"UID:00000000NNNNNNNN{event:016x}@booking.com"],
            "vrbo": ["SUMMARY:Reserved - Guest", f"UID:NNNNNNNN-0000-4000-8000-{event:012x}"],
        }[kind]
        lines.append("END:VEVENT")
    return "\r\n".join([*lines, "END:VCALENDAR", ""]).encode()


class Feeds:
    """A process of its own that serves all feeds. `filled`, `touched` and `phase` say what they hold; `seen` how many of
    them were read in this phase, and `reads` how often in all."""

    def __init__(self, feeds):
        shared = multiprocessing.Value
        self.filled, self.touched, self.phase = shared("i", 0), shared("i", 0), shared("i", 0)
        self.seen, self.reads, self.port = shared("q", 0), shared("q", 0), shared("i", 0)
        self.read_in = multiprocessing.RawArray("B", feeds)
        self.process = multiprocessing.Process(target=lambda: asyncio.run(self.serve()), daemon=True)
        self.process.start()
        while not self.port.value:
            time.sleep(0.05)

    async def serve(self):
        templates = {}
        empty = {kind: f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{HEADS[kind]}\r\nEND:VCALENDAR\r\n".encode() for kind in KINDS}

        def body(feed):
            number, kind = feed // len(KINDS), KINDS[feed % len(KINDS)]
            if not self.filled.value:
                return empty[kind]
            moved = self.touched.value if feed % 20 == 0 else 0
            of = kind, number % 3, moved
            if of not in templates:
                templates[of] = template(*of)
            return templates[of].replace(b"NNNNNNNN", b"%08x" % number).replace(b"SSSSSS", b"%06d" % (self.reads.value % 235959))

        class OneReader(asyncio.Protocol):
            def connection_made(protocol, transport):
                protocol.transport, protocol.asked = transport, b""

            def data_received(protocol, data):
                protocol.asked += data
                while b"\r\n\r\n" in protocol.asked:
                    head, protocol.asked = protocol.asked.split(b"\r\n\r\n", 1)
                    feed = int(head.split(b" ", 2)[1].strip(b"/").removesuffix(b".ics"))
                    self.reads.value += 1
                    if self.read_in[feed] != self.phase.value:
                        self.read_in[feed] = self.phase.value
                        self.seen.value += 1
                    said = body(feed)
                    protocol.transport.write(
                        b"HTTP/1.1 200 OK\r\nContent-Type: text/calendar\r\nContent-Length: %d\r\n\r\n" % len(said) + said)

        server = await asyncio.get_running_loop().create_server(OneReader, "0.0.0.0", 0, backlog=1024)
        self.port.value = server.sockets[0].getsockname()[1]
        await server.serve_forever()

    def begin_phase(self):
        self.phase.value += 1
        self.seen.value = 0

    def url(self, feed):
        return f"http://127.0.0.{2 + feed % HOSTS}:{self.port.value}/{feed}.ics"


class Size:
    """What one number of connections costs."""

    def __init__(self, binary, connections, folder):
        self.binary, self.folder = binary, folder
        self.connections = connections - connections % len(KINDS)
        self.properties = self.connections // len(KINDS)
        self.feeds = Feeds(self.connections)
        self.tokens = []
        self.told = {"connections": self.connections, "events": EVENTS}

    def measured(self, what, program, act, count=None):
        """What is done by `act`, and until the program is quiet, by the connection."""
        self.feeds.begin_phase()
        program.forget_peak()
        before, cpu, written = program.memory("VmRSS"), program.cpu(), program.written()
        reads, started = self.feeds.reads.value, time.monotonic()
        act()
        ended, mark = quiet(program)
        count = count or self.connections
        self.told[what] = told = {
            "cpu_ms": (mark - cpu) / count * 1e3, "bytes_written": (program.written() - written) / count,
            "wall_s": ended - started, "before_mb": before, "peak_mb": program.memory("VmHWM"),
            "read": self.feeds.seen.value, "reads": self.feeds.reads.value - reads,
        }
        print(f"{self.connections:>7} {what:<28}" + "".join(f"  {name} {value:.3f}" for name, value in told.items()), flush=True)

    def run(self):
        with running(self.binary, sweep_every=A_DAY, folder=self.folder) as program:
            self.measured("made", program, lambda: self.make(program))
        self.weigh("made")
        # Time for the start, and then for one sweep and no second one.
        quiet_after = max(20, self.connections // 800)
        with self.begun("a start, nothing to do", max(60, self.connections * 12 // 1000), quiet_after) as (program, next_sweep):
            self.feeds.filled.value = 1
            self.measured("a sweep, everything new", program, next_sweep)
        self.weigh("filled")
        with self.begun("a start, all full", max(40, self.connections * 3 // 1000), quiet_after) as (program, next_sweep):
            self.measured("a sweep, nothing changed", program, next_sweep)
            self.feeds.touched.value += 1
            self.measured("a sweep, 5 % changed", program, next_sweep)
            refreshed = self.tokens[:REFRESHED]
            count = sum(len(KINDS) for number in range(self.properties) if number % len(self.tokens) < REFRESHED)
            self.measured("a refresh, nothing changed", program, lambda: refresh(program, refreshed), count)
        self.weigh("at the end")
        self.feeds.process.terminate()
        return self.told

    def begun(self, what, shortest, quiet_after):
        return Begun(self, what, shortest, quiet_after)

    def make(self, program):
        accounts = math.ceil(self.properties / PROPERTIES_PER_ACCOUNT)
        operator = program.ready["operator_key"]
        self.tokens = [program.call("/v1/accounts", {"name": f"host {nth}"}, operator)["token"] for nth in range(accounts)]

        def make_one(number):
            call = lambda path, body: program.call(path, body, self.tokens[number % accounts])
            home = call("/v1/properties", {"name": f"home {number}", "time_zone": "Europe/Madrid"})["id"]
            for nth, kind in enumerate(KINDS):
                url = self.feeds.url(number * len(KINDS) + nth)
                call(f"/v1/properties/{home}/connections", {"name": kind, "import": {"url": url}})

        with ThreadPoolExecutor(4) as pool:
            for _ in pool.map(make_one, range(self.properties)):
                pass

    def weigh(self, when):
        """Rows and bytes on the disk, while nothing runs."""
        told = {"rows": 0, "bytes": 0}
        for file in os.listdir(self.folder):
            path = os.path.join(self.folder, file)
            told["bytes"] += os.path.getsize(path)
            if file.endswith(".db"):
                base = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
                tables = [name for (name,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
                rows = sum(base.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables)
                base.close()
                told["rows"] += rows
                told[file] = {"rows": rows / self.connections, "bytes": os.path.getsize(path) / self.connections}
        told["rows"] /= self.connections
        told["bytes"] /= self.connections
        self.told[f"on the disk, {when}"] = told
        print(f"{self.connections:>7} on the disk, {when}: {json.dumps(told)}", flush=True)


class Begun:
    """The program on what is there, its start over, and a way to wait for its next sweep."""

    def __init__(self, size, what, shortest, quiet_after):
        self.size, self.what, self.shortest = size, what, shortest
        self.quiet_after = quiet_after

    def __enter__(self):
        self.period = period_that_ends_in(self.quiet_after, self.shortest)
        self.size.feeds.begin_phase()
        self.way = running(self.size.binary, sweep_every=f"{self.period}s", folder=self.size.folder)
        began, self.program = time.monotonic(), self.way.__enter__()
        ready = time.monotonic() - began
        ended, cpu = quiet(self.program)
        self.size.told[self.what] = told = {
            "ready_s": ready, "cpu_ms": cpu / self.size.connections * 1e3, "wall_s": ended - began,
            "peak_mb": self.program.memory("VmHWM"), "now_mb": self.program.memory("VmRSS"), "read": self.size.feeds.seen.value,
        }
        print(f"{self.size.connections:>7} {self.what:<28} {json.dumps(told)}", flush=True)
        return self.program, self.next_sweep

    def __exit__(self, *how):
        return self.way.__exit__(*how)

    def next_sweep(self):
        feeds = self.size.feeds
        sleep_to_sweep(self.period)
        end = time.monotonic() + self.period
        while feeds.seen.value < self.size.connections and time.monotonic() < end:
            time.sleep(0.25)


def quiet(program):
    """When the program began to use next to nothing for two seconds, and its CPU seconds until then."""
    while True:
        at, mark = time.monotonic(), program.cpu()
        time.sleep(2)
        if program.cpu() - mark < 0.1:
            return at, mark


def refresh(program, tokens):
    asked = [(program.call("/v1/refresh", {}, token)["id"], token) for token in tokens]
    while any(program.call(f"/v1/refreshes/{one}?limit=1", token=token)["status"] != "done" for one, token in asked):
        time.sleep(1)


# What a size tells, in the order of the page: in which words, where, and under which name.
ROWS = (
    ("making one, its calendar read, CPU ms", "made", "cpu_ms"),
    ("a start, all calendars full, CPU ms", "a start, all full", "cpu_ms"),
    ("a sweep, everything new, CPU ms", "a sweep, everything new", "cpu_ms"),
    ("a sweep, nothing changed, CPU ms", "a sweep, nothing changed", "cpu_ms"),
    ("a sweep, a stay changed in 5 %, CPU ms", "a sweep, 5 % changed", "cpu_ms"),
    ("a refresh of ten accounts, nothing changed, CPU ms", "a refresh, nothing changed", "cpu_ms"),
    ("kB written by making one", "made", "kb_written"),
    ("kB written by a sweep, everything new", "a sweep, everything new", "kb_written"),
    ("kB written by a sweep, nothing changed", "a sweep, nothing changed", "kb_written"),
    ("rows on the disk, calendars empty", "on the disk, made", "rows"),
    ("rows on the disk, calendars full", "on the disk, filled", "rows"),
    ("kB on the disk, calendars full", "on the disk, filled", "kb"),
)
MEMORY = (
    ("making all", "made"), ("a start, all calendars full", "a start, all full"), ("a sweep, everything new", "a sweep, everything new"),
    ("a sweep, nothing changed", "a sweep, nothing changed"), ("a sweep, a stay changed in 5 %", "a sweep, 5 % changed"),
    ("a refresh of ten accounts", "a refresh, nothing changed"),
)


def told(size, where, name):
    known = size.get(where, {})
    thousands = {"kb_written": "bytes_written", "kb": "bytes"}.get(name)
    return known.get(thousands, math.nan) / 1e3 if thousands else known.get(name, math.nan)


def write(sizes, folder):
    head = ["| | " + " | ".join(f"{size['connections']:,}" for size in sizes) + " |", "| --- |" + " --- |" * len(sizes)]
    number = lambda value: "–" if math.isnan(value) else f"{value:.2f}" if value < 100 else f"{value:.0f}"
    row = lambda what, values: f"| {what} | " + " | ".join(map(number, values)) + " |"
    of_one = [row(what, [told(size, *where) for size in sizes]) for what, *where in ROWS]
    memory = [row(what, [told(size, where, "peak_mb") for size in sizes]) for what, where in MEMORY]
    page = [
        "# Whether what a connection costs stays the same", "",
        f"Connections of {sizes[0]['events']} stays, three a property; made by `tests/bench/scale.py`, which says how. The figures are those of one "
        "machine on one day, on which other work ran: see how they change from left to right.", "",
        "![CPU, memory and disk by the number of connections](SCALE.svg)", "",
        "By the connection:", "", *head, *of_one, "", "Memory of the whole program at the most, MB, while this was done:", "", *head, *memory, "",
    ]
    with open(os.path.join(folder, "SCALE.md"), "w") as file:
        file.write("\n".join(page))
    line = lambda where, name: [(size["connections"], told(size, where, name)) for size in sizes if not math.isnan(told(size, where, name))]
    drawn = [
        Panel("CPU of one connection, ms", {what.removesuffix(", CPU ms"): line(*where) for what, *where in ROWS if where[1] == "cpu_ms"}, is_log=True),
        Panel("memory at the most, MB", {what: line(where, "peak_mb") for what, where in MEMORY}),
        Panel("on the disk, by the connection", {what: line(*where) for what, *where in ROWS if where[0].startswith("on the disk")}),
    ]
    with open(os.path.join(folder, "SCALE.svg"), "w") as file:
        file.write(panels(drawn))


def main():
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--binary")
    asked.add_argument("--connections", default="3000,30000,100000")
    asked.add_argument("--keep", help="a file of a line of JSON a size, which is added to; what it holds is drawn too")
    asked.add_argument("--write", help="a folder to write SCALE.md and SCALE.svg into")
    asked = asked.parse_args()
    sizes = []
    if asked.keep and os.path.exists(asked.keep):
        sizes = [json.loads(line) for line in open(asked.keep)]
    for connections in map(int, asked.connections.split(",")) if asked.binary else ():
        with tempfile.TemporaryDirectory() as folder:
            # Its own folder within, which only its user may read.
            sizes.append(Size(asked.binary, connections, os.path.join(folder, "data")).run())
        if asked.keep:
            with open(asked.keep, "a") as kept:
                print(json.dumps(sizes[-1]), file=kept)
    if asked.write:
        write(sorted(sizes, key=lambda size: size["connections"]), asked.write)


if __name__ == "__main__":
    main()
