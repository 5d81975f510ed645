"""Times what a host and the sites ask of the whole program, beside a plain script and the least that it can cost.

    cargo build --release -p calmesh
    python3 tests/bench/table.py --binary target/release/calmesh [--properties 40] [--events 40] [--write tests/bench/TABLE.md]

The feeds are those of `sweep.py`. The program does all of it without sweeps; then another one, begun anew on what was made for it, is
left to sweep. CPU is user + system of the program alone, embedded storage included; a row is one that is new or another one
afterwards. The script (`script.py`) and the floor (`floor.py`) read the same bodies right after the program did; beside a sweep
stands what they took for the refresh. Machines differ, and a busy one makes all of it slower: compare the ratios. How it grows
with the number of connections tells `scale.py`.
"""

import argparse
import http.client
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import date, timedelta
from http.server import ThreadingHTTPServer
from urllib.parse import urlsplit

from program import period_that_ends_in, running, sleep_to_sweep
from sweep import KINDS, Feeds

HERE = os.path.dirname(os.path.abspath(__file__))


class Bench:
    def __init__(self, program, port, properties):
        self.program, self.port, self.properties = program, port, properties
        self.feeds = properties * len(KINDS)
        self.homes, self.links = [], []
        self.rows = []

    def used(self, act):
        """CPU seconds, bytes written and rows written of what is done until the program is quiet again."""
        held = self.program.rows()
        cpu, written = self.program.cpu(), self.program.written()
        act()
        while True:
            mark = self.program.cpu()
            time.sleep(1)
            if self.program.cpu() - mark < 0.05:
                return mark - cpu, self.program.written() - written, len(self.program.rows() - held)

    def url(self, kind, number):
        return f"http://127.0.0.1:{self.port}/{kind}-{number}.ics"

    def make_all(self):
        for number in range(self.properties):
            home = self.program.call("/v1/properties", {"name": f"home {number}", "time_zone": "Europe/Madrid"})["id"]
            self.homes.append(home)
            for kind in KINDS:
                feed = {"name": kind, "import": {"url": self.url(kind, number)}}
                made = self.program.call(f"/v1/properties/{home}/connections", feed)
                self.links.append(made["export"]["url"])

    def make(self):
        cpu, *_ = self.used(self.make_all)
        calls = self.properties * (1 + len(KINDS))
        self.row("a property and its three connections, CPU ms a call", cpu / calls * 1e3)

    def refresh(self, what, script, floor, changed=None):
        """A refresh of the account, of whose feeds so many changed; answers what script and floor took beside it."""
        def ask():
            refresh = self.program.call("/v1/refresh", {})["id"]
            while self.program.call(f"/v1/refreshes/{refresh}")["status"] != "done":
                time.sleep(0.2)

        cpu, written, rows = self.used(ask)
        per_1000 = lambda seconds: seconds / self.feeds * 1000
        beside = per_1000(script()), per_1000(floor())
        self.row(f"refresh, {what}, CPU s per 1,000 feeds", per_1000(cpu), *beside)
        self.row(f"refresh, {what}, kB written a feed", written / self.feeds / 1e3)
        self.row(f"refresh, {what}, rows written " + ("of all" if not changed else "a changed feed"), rows / (changed or 1))
        return beside

    def sweep(self, what, period, beside):
        def wait():
            sleep_to_sweep(period)
            read = Feeds.fetches + self.feeds
            while Feeds.fetches < read:
                time.sleep(0.05)

        cpu, *_ = self.used(wait)
        self.row(f"sweep, {what}, CPU s per 1,000 feeds", cpu / self.feeds * 1000, *beside)

    def get_links(self):
        """Every link, as its site reads it: with 200, then with the tag that came and so 304."""
        server = urlsplit(self.program.ready["api"])
        tags = {}

        def get_all(status):
            reader = http.client.HTTPConnection(server.hostname, server.port)
            for link in self.links:
                path = urlsplit(link).path
                reader.request("GET", path, headers={"If-None-Match": tags[path]} if path in tags else {})
                answer = reader.getresponse()
                answer.read()
                if answer.status != status:
                    sys.exit(f"{path} answered {answer.status}, not {status}")
                tags[path] = answer.headers["ETag"]

        for status in (200, 304):
            cpu, *_ = self.used(lambda: get_all(status))
            self.row(f"GET of every link, {status}, CPU s per 1,000", cpu / len(self.links) * 1000)

    def ask(self):
        begins = date.today()
        until = begins + timedelta(days=365)
        for what, path in (("availability of a year", f"availability?from={begins}&to={until}"), ("list of connections", "connections")):
            times = []
            for home in (self.homes * 200)[:200]:
                started = time.monotonic()
                self.program.call(f"/v1/properties/{home}/{path}")
                times.append(time.monotonic() - started)
            self.row(f"{what}, p50 ms", statistics.median(times) * 1e3)

    def row(self, what, program, script=None, floor=None):
        self.rows.append((what, program, script, floor))
        print(line(*self.rows[-1]), flush=True)


def line(what, program, script, floor):
    number = lambda value: "–" if value is None else f"{value:.3f}"
    ratio = lambda other: "–" if not other else f"{program / other:.2f}"
    return f"| {what} | {number(program)} | {number(script)} | {number(floor)} | {ratio(script)} | {ratio(floor)} |"


def beside(command, urls):
    """CPU seconds and MB of a client in a process of its own."""
    told = subprocess.run([sys.executable, os.path.join(HERE, command[0]), *command[1:]], input="\n".join(urls),
                          capture_output=True, text=True, check=True)
    return [float(word) for word in told.stdout.split()]


HEAD = ["| what | program | script | floor | program / script | program / floor |", "| --- | --- | --- | --- | --- | --- |"]


def time_all(asked, port, folder):
    """The rows of what is asked for, and what script and floor took when everything was new and when nothing was."""
    with running(asked.binary, sweep_every="24h") as program:
        bench = Bench(program, port, asked.properties)
        urls = [bench.url(kind, number) for number in range(asked.properties) for kind in KINDS]
        homes = [f"{number} {bench.url(kind, number)}" for number in range(asked.properties) for kind in KINDS]
        memory = []

        def script():
            cpu, most = beside(["script.py", os.path.join(folder, "stays.db"), folder], homes)
            memory.append(most)
            return cpu

        floor = lambda: beside(["floor.py"], urls)[0]
        bench.make()
        Feeds.events = asked.events
        new = bench.refresh("everything new", script, floor, changed=bench.feeds)
        same = bench.refresh("nothing changed", script, floor)
        Feeds.touched += 1
        bench.refresh("5 % of the feeds changed a stay", script, floor, changed=-(-bench.feeds // 20))
        bench.get_links()
        bench.ask()
        bench.row("memory at the most, MB", program.memory("VmHWM"), max(memory))
    return bench.rows, new, same


def time_sweeps(asked, port, folder, new, same):
    Feeds.events, folder = 0, os.path.join(folder, "data")
    with running(asked.binary, sweep_every="24h", folder=folder) as program:
        Bench(program, port, asked.properties).make_all()
    # So long a sweep may take; nobody waits for the first reading of all that begins with the start.
    period = period_that_ends_in(15, shortest=max(30, asked.properties // 10))
    with running(asked.binary, sweep_every=f"{period}s", folder=folder) as program:
        bench = Bench(program, port, asked.properties)
        bench.used(lambda: None)
        Feeds.events = asked.events
        bench.sweep("everything new", period, new)
        bench.sweep("nothing changed", period, same)
    return bench.rows


def main():
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--binary", required=True)
    asked.add_argument("--properties", type=int, default=40)
    asked.add_argument("--events", type=int, default=40)
    asked.add_argument("--write", help="a page to write the table into")
    asked = asked.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Feeds)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("\n".join(HEAD))
    with tempfile.TemporaryDirectory() as folder:
        rows, new, same = time_all(asked, server.server_port, folder)
        rows += time_sweeps(asked, server.server_port, folder, new, same)
    if asked.write:
        with open(asked.write, "w") as page:
            page.write(f"# What the program costs\n\n{asked.properties * len(KINDS)} feeds of {asked.events} stays; made by `tests/bench/table.py`, "
                       "which says what is measured. Read the ratios: the figures are those of one machine on one day.\n\n")
            page.write("\n".join([*HEAD, *(line(*row) for row in rows), ""]))


if __name__ == "__main__":
    main()
