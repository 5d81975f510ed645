"""Times the whole program on more and more connections, and draws whether what one costs stays the same.

    cargo build --release -p calmesh
    python3 tests/bench/scale.py --binary target/release/calmesh [--connections 3000,30000,100000] [--full] [--keep FILE] [--write tests/bench]
    python3 tests/bench/scale.py --keep FILE --write tests/bench       draws what was kept

Three connections a property, a hundred properties an account (an account has at most 10,000 properties, and 120 new feeds a
minute). The feeds are shaped as those of `sweep.py`, at 200 hosts of loopback (so on Linux); they are cheap to serve and not
measured. For each number: so many are made over the API while no sweep comes, their calendars empty; the program is begun anew;
a sweep finds nothing changed. `--full`: one finds forty stays new in each, one nothing changed, one a stay changed in 5 % of
them. Then, beside all these, ten more accounts of 3,000 connections are made, and refreshed three times: forty stays are new in
each, nothing, a stay in 5 %. So whatever grows with what is there is seen by what these cost. CPU is user + system of the program
alone, embedded storage included. 100,000 take twenty minutes of one core, with `--full` forty.
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
from contextlib import contextmanager
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
MORE = 3_000
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
    """A process of its own that serves all feeds: those from number `full_from` on have stays, of which `touched` moves one in
    every twentieth. `seen` is how many of them were read in this phase, and `reads` how often in all."""

    def __init__(self, feeds, port=0):
        shared = multiprocessing.Value
        self.full_from, self.touched, self.phase = shared("q", feeds), shared("i", 0), shared("i", 0)
        self.seen, self.reads, self.port = shared("q", 0), shared("q", 0), shared("i", 0)
        self.wanted_port = port
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
            if feed < self.full_from.value:
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

        server = await asyncio.get_running_loop().create_server(OneReader, "0.0.0.0", self.wanted_port, backlog=1024)
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
        self.feeds = Feeds(self.connections + MORE)
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

    def run(self, full):
        with running(self.binary, sweep_every=A_DAY, folder=self.folder) as program:
            self.measured("made", program, lambda: self.make(program, 0, self.connections))
        self.weigh("made")
        # Time for the start; then for one sweep, or for all that comes between two.
        period = period_that_ends_in(max(20, self.connections // 400), shortest=max(900, self.connections * 12 // 1000))
        with self.begun(period) as program:
            self.measured("a sweep, nothing changed", program, lambda: self.sweep(period))
            if full:
                self.feeds.full_from.value = 0
                self.measured("a sweep, everything new", program, lambda: self.sweep(period))
                self.measured("a sweep, nothing changed, full", program, lambda: self.sweep(period))
                self.feeds.touched.value += 1
                self.measured("a sweep, 5 % changed", program, lambda: self.sweep(period))
            self.add_more(program)
        self.weigh("at the end")
        self.feeds.process.terminate()
        return self.told

    @contextmanager
    def begun(self, period):
        """The program on what is there, its start over."""
        self.feeds.begin_phase()
        began = time.monotonic()
        with running(self.binary, sweep_every=f"{period}s", folder=self.folder) as program:
            ready = time.monotonic() - began
            ended, cpu = quiet(program)
            self.told["a start"] = told = {
                "ready_s": ready, "cpu_ms": cpu / self.connections * 1e3, "wall_s": ended - began,
                "peak_mb": program.memory("VmHWM"), "now_mb": program.memory("VmRSS"), "read": self.feeds.seen.value,
            }
            print(f"{self.connections:>7} a start {json.dumps(told)}", flush=True)
            yield program

    def sweep(self, period):
        sleep_to_sweep(period)
        end = time.monotonic() + period
        while self.feeds.seen.value < self.connections and time.monotonic() < end:
            time.sleep(0.25)

    def add_more(self, program):
        """Ten accounts more, whose calendars are filled."""
        tokens = []
        self.measured("3,000 more, made", program, lambda: tokens.extend(self.make(program, self.connections, MORE)), MORE)
        self.feeds.full_from.value = min(self.connections, self.feeds.full_from.value)
        self.measured("3,000 more, everything new", program, lambda: refresh(program, tokens), MORE)
        self.measured("3,000 more, nothing changed", program, lambda: refresh(program, tokens), MORE)
        self.feeds.touched.value += 1
        self.measured("3,000 more, 5 % changed", program, lambda: refresh(program, tokens), MORE)

    def make(self, program, first, connections):
        """So many connections, whose feeds are numbered from this one on; the tokens of their accounts."""
        properties = connections // len(KINDS)
        accounts = math.ceil(properties / PROPERTIES_PER_ACCOUNT)
        operator = program.ready["operator_key"]
        tokens = [program.call("/v1/accounts", {"name": f"host {nth}"}, operator)["token"] for nth in range(accounts)]

        def make_one(number):
            call = lambda path, body: program.call(path, body, tokens[number % accounts])
            home = call("/v1/properties", {"name": f"home {number}", "time_zone": "Europe/Madrid"})["id"]
            for nth, kind in enumerate(KINDS):
                url = self.feeds.url(first + number * len(KINDS) + nth)
                call(f"/v1/properties/{home}/connections", {"name": kind, "import": {"url": url}})

        with ThreadPoolExecutor(4) as pool:
            for _ in pool.map(make_one, range(properties)):
                pass
        return tokens

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


# What people wrote below the figures begins with this, and stays.
SEEN = "## What is seen"
# What a size tells, in the order of the page: in which words, where, and under which name.
ROWS = (
    ("making one, its calendar read, CPU ms", "made", "cpu_ms"),
    ("making one of 3,000 more, CPU ms", "3,000 more, made", "cpu_ms"),
    ("refresh of 3,000 more, everything new, CPU ms", "3,000 more, everything new", "cpu_ms"),
    ("refresh of 3,000 more, a stay changed in 5 %, CPU ms", "3,000 more, 5 % changed", "cpu_ms"),
    ("refresh of 3,000 more, nothing changed, CPU ms", "3,000 more, nothing changed", "cpu_ms"),
    ("a start, all links compared, CPU ms", "a start", "cpu_ms"),
    ("a sweep of all, nothing changed, CPU ms", "a sweep, nothing changed", "cpu_ms"),
    ("a sweep of all, everything new, CPU ms", "a sweep, everything new", "cpu_ms"),
    ("a sweep of all, 40 stays each, nothing changed, CPU ms", "a sweep, nothing changed, full", "cpu_ms"),
    ("a sweep of all, a stay changed in 5 %, CPU ms", "a sweep, 5 % changed", "cpu_ms"),
    ("kB written by making one", "made", "kb_written"),
    ("kB written by a refresh of one of 3,000 more, everything new", "3,000 more, everything new", "kb_written"),
    ("kB written by a sweep of one, nothing changed", "a sweep, nothing changed", "kb_written"),
    ("rows on the disk, calendars empty", "on the disk, made", "rows"),
    ("kB on the disk, calendars empty", "on the disk, made", "kb"),
)
MEMORY = (
    ("making all", "made"), ("a start, all links compared", "a start"), ("a sweep of all, nothing changed", "a sweep, nothing changed"),
    ("a sweep of all, everything new", "a sweep, everything new"), ("making 3,000 more", "3,000 more, made"),
    ("a refresh of 3,000 more, everything new", "3,000 more, everything new"),
)
OWN = ("of it a sweep's own: less what was held before", "a sweep, nothing changed")


def told(size, where, name):
    known = size.get(where, {})
    if name == "own_mb":
        return known.get("peak_mb", math.nan) - known.get("before_mb", math.nan)
    thousands = {"kb_written": "bytes_written", "kb": "bytes"}.get(name)
    return known.get(thousands, math.nan) / 1e3 if thousands else known.get(name, math.nan)


def write(sizes, folder):
    of = lambda where, name: [told(size, where, name) for size in sizes]
    number = lambda value: "–" if math.isnan(value) else f"{value:.2f}" if value < 100 else f"{value:.0f}"
    row = lambda what, values: [] if all(map(math.isnan, values)) else [f"| {what} | " + " | ".join(map(number, values)) + " |"]
    head = ["| | " + " | ".join(f"{size['connections']:,}" for size in sizes) + " |", "| --- |" + " --- |" * len(sizes)]
    page = [
        "# Whether what a connection costs stays the same", "",
        f"So many connections are there, three a property; made by `tests/bench/scale.py`, which says how. A full calendar has {EVENTS} stays. The "
        "figures are those of one machine on one day, on which other work ran: see how they change from left to right.", "",
        "![CPU, memory and disk by the number of connections](SCALE.svg)", "", "By the connection:", "", *head,
        *(line for what, *where in ROWS for line in row(what, of(*where))), "",
        "Memory of the whole program at the most, MB, while this was done:", "", *head,
        *(line for what, where in MEMORY for line in row(what, of(where, "peak_mb"))),
        *row(OWN[0], of(OWN[1], "own_mb")), "",
    ]
    path = os.path.join(folder, "SCALE.md")
    said = open(path).read() if os.path.exists(path) else ""
    with open(path, "w") as file:
        file.write("\n".join(page) + said[said.index(SEEN) - 1:] if SEEN in said else "\n".join(page))
    line = lambda where, name: [(size["connections"], told(size, where, name)) for size in sizes if not math.isnan(told(size, where, name))]
    lines = lambda rows: {what: points for what, *where in rows if (points := line(*where))}
    drawn = [
        Panel("CPU of one connection, ms", lines((row[0].removesuffix(", CPU ms"), *row[1:]) for row in ROWS if row[2] == "cpu_ms"), is_log=True),
        Panel("memory at the most, MB", lines([*((*row, "peak_mb") for row in MEMORY), (*OWN, "own_mb")])),
        Panel("on the disk, by the connection", lines(row for row in ROWS if row[1].startswith("on the disk"))),
    ]
    with open(os.path.join(folder, "SCALE.svg"), "w") as file:
        file.write(panels(drawn))


def main():
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--binary")
    asked.add_argument("--connections", default="3000,30000,100000")
    asked.add_argument("--full", action="store_true", help="fill all calendars too")
    asked.add_argument("--keep", help="a file of a line of JSON a size, which is added to; what it holds is drawn too")
    asked.add_argument("--write", help="a folder to write SCALE.md and SCALE.svg into")
    asked = asked.parse_args()
    sizes = []
    if asked.keep and os.path.exists(asked.keep):
        sizes = [json.loads(line) for line in open(asked.keep)]
    for connections in map(int, asked.connections.split(",")) if asked.binary else ():
        with tempfile.TemporaryDirectory() as folder:
            # Its own folder within, which only its user may read.
            sizes.append(Size(asked.binary, connections, os.path.join(folder, "data")).run(asked.full))
        if asked.keep:
            with open(asked.keep, "a") as kept:
                print(json.dumps(sizes[-1]), file=kept)
    if asked.write:
        write(sorted(sizes, key=lambda size: size["connections"]), asked.write)


if __name__ == "__main__":
    main()
