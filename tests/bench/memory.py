"""Measures how much memory a sweep of large feeds takes in the whole program.

    cargo build --release -p calmesh
    python3 tests/bench/memory.py --binary target/release/calmesh [--feeds 64] [--megabytes 9.9] [--gzip] [--events 200]

Serves calendars of nearly the largest size there may be, each at an address of its own (127.0.0.2 and on, so on Linux), all of
them small while they are connected, and large when the program sweeps. Prints the resident set before and the most of it
while they were read and taken in.
"""

import argparse
import gzip
import threading
import time
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from program import running

SMALL = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//EN\r\nEND:VCALENDAR\r\n"


class Feeds(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    large = False
    body = b""
    zipped = False
    read = set()
    lock = threading.Lock()

    def do_GET(self):
        body = Feeds.body if Feeds.large else SMALL.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/calendar")
        if Feeds.large and Feeds.zipped:
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except BrokenPipeError:
            return  # it found no room, and comes again
        if Feeds.large:
            with Feeds.lock:
                Feeds.read.add(self.path)

    def log_message(self, *_):
        pass


def calendar(megabytes, events):
    day, lines = date.today() + timedelta(days=5), ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//x//EN"]
    filler = max(int(megabytes * 1024 * 1024 / events) - 160, 0)
    text = ("X-FILLER:" + "x" * 60 + "\r\n") * (filler // 71)
    for event in range(events):
        start = day + timedelta(days=event * 3)
        end = start + timedelta(days=2)
        lines += ["BEGIN:VEVENT", f"UID:{event}@x", f"DTSTART;VALUE=DATE:{start:%Y%m%d}", f"DTEND;VALUE=DATE:{end:%Y%m%d}",
                  "SUMMARY:Reserved", text + "END:VEVENT"]
    return "\r\n".join(lines + ["END:VCALENDAR", ""]).encode()


def main():
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--binary", required=True)
    asked.add_argument("--feeds", type=int, default=64)
    asked.add_argument("--megabytes", type=float, default=9.9)
    asked.add_argument("--events", type=int, default=200)
    asked.add_argument("--gzip", action="store_true")
    asked.add_argument("--seconds", type=int, default=300, help="to wait at most")
    asked = asked.parse_args()
    body = calendar(asked.megabytes, asked.events)
    Feeds.body, Feeds.zipped = (gzip.compress(body) if asked.gzip else body), asked.gzip
    server = ThreadingHTTPServer(("0.0.0.0", 0), Feeds)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with running(asked.binary, sweep_every="20s") as program:
        run(asked, server, program)


def run(asked, server, program):
    call, memory = program.call, program.memory
    made = []
    for number in range(asked.feeds):
        home = call("/v1/properties", {"name": f"home {number}", "time_zone": "Europe/Madrid"})["id"]
        url = f"http://127.0.0.{number % 100 + 2}:{server.server_port}/{number}.ics"
        made.append(call(f"/v1/properties/{home}/connections", {"name": "site", "import": {"url": url}})["id"])
    print(f"before: {memory('VmRSS'):.0f} MB, most so far {memory('VmHWM'):.0f} MB")
    program.forget_peak()
    before, began, Feeds.large = memory("VmRSS"), time.monotonic(), True
    waiting, taken = set(made), 0
    while waiting and time.monotonic() - began < asked.seconds:
        time.sleep(1)
        for known in list(waiting):
            shown = call(f"/v1/connections/{known}")["import"]
            if shown["health"] != "ok":
                waiting.discard(known)
            elif call_blocks(call, known):
                taken += 1
                waiting.discard(known)
    most = memory("VmHWM")
    print(f"{asked.feeds} feeds of {asked.megabytes} MB{' zipped' if asked.gzip else ''}: most {most:.0f} MB, "
          f"{most - before:.0f} MB over what it was, {memory('VmRSS'):.0f} MB now; "
          f"{len(Feeds.read)} sent, {taken} taken in, {len(waiting)} not yet, {time.monotonic() - began:.0f} s")


def call_blocks(call, connection):
    home = call(f"/v1/connections/{connection}")["property_id"]
    return bool(call(f"/v1/properties/{home}/blocks?limit=1")["items"])


if __name__ == "__main__":
    main()
