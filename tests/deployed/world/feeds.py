"""Sites' calendars on loopback: feeds of their shapes, which a test changes and counts."""

import hashlib
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Of what the tests book: next year lies ahead of the clock, and within what links show.
YEAR = datetime.now(UTC).year + 1


class Feeds:
    def __init__(self):
        self.bodies = {}
        self.reads = {}
        self.lock = threading.Lock()
        feeds = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                name = self.path.strip("/").split("/")[-1].removesuffix(".ics")
                with feeds.lock:
                    feeds.reads[name] = feeds.reads.get(name, 0) + 1
                    body = feeds.bodies.get(name)
                body = (body or "gone").encode()
                self.send_response(200 if name in feeds.bodies else 404)
                self.send_header("Content-Type", "text/calendar" if name in feeds.bodies else "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def set(self, name, body):
        with self.lock:
            self.bodies[name] = body

    def url(self, name):
        return f"http://127.0.0.1:{self.server.server_port}/secret-{hashlib.sha256(name.encode()).hexdigest()[:12]}/{name}.ics"

    def read_count(self, name):
        with self.lock:
            return self.reads.get(name, 0)

    def stop(self):
        self.server.shutdown()


def calendar(product, events):
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", f"PRODID:{product}", "CALSCALE:GREGORIAN"]
    for event in events:
        lines += ["BEGIN:VEVENT", *event, "END:VEVENT"]
    return "\r\n".join([*lines, "END:VCALENDAR", ""])


def large(calendar):
    """The same calendar, too large to be kept in the table: its body is an object."""
    padding = "".join(f"X-PADDING:{'0' * 60}\r\n" for _ in range(600))
    return calendar.replace("END:VCALENDAR", f"{padding}END:VCALENDAR")


def nights(stay):
    start, end = stay.split("/")
    return [f"DTSTART;VALUE=DATE:{start.replace('-', '')}", f"DTEND;VALUE=DATE:{end.replace('-', '')}"]


def uid(seed):
    return hashlib.sha256(seed.encode()).hexdigest()[:32]


def airbnb(*stays):
    """Stays are `arrival/departure`. The first of a month keeps its code and UID when it moves within the month, and so
    do the second and all others."""
    events, months = [], {}
    for stay in stays:
        month = stay[:7]
        months[month] = months.get(month, 0) + 1
        who = f"{month} {months[month]}"
        code = "HM" + uid("code" + who)[:8].upper()
        events.append([
            "DTSTAMP:20261121T080000Z", *nights(stay), "SUMMARY:Reserved", f"UID:1418fb94e984-{uid(who)}@airbnb.com",
            f"DESCRIPTION:Reservation URL: https://www.airbnb.com/hosting/reservations/\r\n details/{code}\\nPhone Number (Last 4 Digits): 0000",
        ])
    return calendar("-//Airbnb Inc//Hosting Calendar 1.0//EN", events)


def booking_com(*stays):
    events = [[*nights(stay), f"UID:{uid('b' + stay)}@booking.com", "SUMMARY:CLOSED - Not available"] for stay in stays]
    return calendar("-//admin.booking.com\\, b.v.//NONSGML v1.0//EN", events)


def vrbo(*stays):
    events = [
        [f"UID:{uid('v' + stay[:10])[:8]}-{uid('v' + stay[:10])[8:12]}-4aaa-8aaa-{uid('v' + stay[:10])[:12]}",
         "DTSTAMP:20261121T080000Z", *nights(stay), "SUMMARY:Reserved - Ada"]
        for stay in stays
    ]
    return calendar("-//HomeAway.com\\, Inc.//EN", events)
