"""What each operation of every day asks of AWS, in what AWS charges for: `infra/SCALE.md` reckons with these figures."""

import json
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from test_main_loop import three_sites
from test_reads import log_of, logs, put as put_log
from test_redelivery import put
from world import sam
from world.feeds import YEAR, airbnb, booking_com, vrbo
from world.meter import REFUSED, Spent, spent_by, without_starts
from world.waiting import until

# The most that each may ask for. Whoever makes one cheaper lowers it here and in the page, which must have these rows.
BUDGETS = {
    "making a property": Spent(write=10, read=3.5, table=5),
    "making a connection, its calendar empty": Spent(write=19, read=15, table=19, puts=1, gets=1, events=1),
    "making a connection, 40 stays in its calendar": Spent(write=26, read=15, table=19, puts=2, gets=2, events=1),
    "a sweep of 3, 40 stays new in one": Spent(write=33, read=7.5, table=12, puts=2, gets=3, events=2),
    "a sweep of 3, nothing new": Spent(write=1, read=0.5, table=2),
    "a sweep of 3, one stay changed": Spent(write=33, read=7.5, table=11, puts=2, gets=3, events=2),
    "a button, 40 stays new": Spent(write=36, read=21, table=28, puts=2, gets=3, events=3),
    "a button, one stay changed": Spent(write=36, read=23, table=30, puts=2, gets=3, events=3),
    "a button, nothing new": Spent(write=10, read=18, table=25, events=1),
    "a button for all 3 of a property, nothing new": Spent(write=12, read=21, table=28, events=1),
    "asking how far a refresh is": Spent(write=1, read=7, table=8),
    "GET of a year's availability": Spent(read=4, table=3),
    "GET of a property's connections": Spent(read=15, table=10),
    "GET of 200 blocks": Spent(read=4, table=3),
    "a booking by telephone": Spent(write=11, read=8, table=8, puts=3, gets=3, events=2),
    "a log with 12 reads of one link": Spent(write=1, table=1, gets=1),
    "a tick": Spent(write=1, read=10, table=19, events=2),  # two shards may be due in a minute
}
PAGE = Path(__file__).resolve().parents[2] / "infra/SCALE.md"


def forty(kind, shift, longer=0):
    """Forty stays of a site, the last of which may be longer."""
    days = [date(YEAR, 1, 4) + timedelta(days=shift + 9 * nth) for nth in range(40)]
    return kind(*(f"{day}/{day + timedelta(days=2 + (longer if nth == 39 else 0))}" for nth, day in enumerate(days)))


class Meter:
    """Measures one operation after the other, each until the queues are empty."""

    def __init__(self, world):
        self.world = world
        self.told = {}

    def measure(self, what, act, of=("api", "fetch", "merge", "access")):
        self.world.at_rest()
        names = self.world.functions()
        ours = {names[function] for function in of}
        before = len(self.world.way.seen())
        answer = act()
        self.world.at_rest()
        calls = [call for call in without_starts(self.world.way.seen()[before:]) if call.function in ours]
        failed = [call for call in calls if call.status >= 400 and call.status not in (404, 412) and call.code not in REFUSED]
        assert failed == [], f"{what}: {failed}"
        self.told[what] = sum(map(spent_by, calls), Spent())
        return answer


class Home:
    """A property of whose part of the schedule no other connection is."""

    def __init__(self, world, host, meter, tag):
        self.world, self.host, self.tag = world, host, tag
        for key, kind in (("a", airbnb), ("b", booking_com), ("v", vrbo)):
            world.feeds.set(f"{tag}-{key}", kind())
        while True:
            self.flat = meter.measure("making a property", host.property)
            self.a = meter.measure("making a connection, its calendar empty", lambda: self.connect("Airbnb", "a"))
            if len(self.plans()) == 1:
                return
            host.delete(f"/v1/properties/{self.flat}")

    def connect(self, name, key):
        return self.host.connect(self.flat, name, self.world.feeds.url(f"{self.tag}-{key}"))

    def set(self, key, body):
        """What a site shows from now on; read a moment ago, it would not be fetched again."""
        self.world.feeds.set(f"{self.tag}-{key}", body)
        time.sleep(2.1)

    def plans(self):
        """The plans that lie where its own does."""
        client = self.world.emulator.client("dynamodb")
        pages = client.get_paginator("scan").paginate(TableName=self.host.stack.outputs["TableName"])
        plans = [item["pk"]["S"] + item["sk"]["S"] for page in pages for item in page["Items"] if item["pk"]["S"].startswith("FCH#")]
        self.place = next(plan for plan in plans if plan.endswith(self.a.id)).removeprefix("FCH#")[:2]
        return [plan for plan in plans if plan.startswith(f"FCH#{self.place}")]

    def sweep(self):
        first = int(self.place) * 64
        detail = {"v": 1, "first_bucket": first, "last_bucket": first + 63, "number": int(time.time()) // 900}
        entry = {key: self.world.events()[-1][key] for key in ("Source", "EventBusName")}
        put(self.world, [{**entry, "DetailType": "sweep.due", "Detail": json.dumps(detail)}])


def test_no_operation_needs_more_of_aws_than_its_budget(world, deployed, host):
    warm, (site, *_) = three_sites(world, host, "warm")
    host.refresh(site.path("/refresh"))
    with world.without_ticks():
        meter = Meter(world)
        measure_all(world, deployed, host, meter)
    (sam.OUT / "units.json").write_text(json.dumps({what: vars(spent) for what, spent in meter.told.items()}, indent=1))
    print("\n".join(spent.row(what) for what, spent in meter.told.items()))
    assert meter.told.keys() == BUDGETS.keys()
    assert {what: beyond for what, spent in meter.told.items() if (beyond := spent.beyond(BUDGETS[what]))} == {}
    page = PAGE.read_text()
    assert [row for what, budget in BUDGETS.items() if (row := budget.row(what)) not in page] == []


def measure_all(world, deployed, host, meter):
    measure = meter.measure
    home = Home(world, host, meter, "units")
    world.feeds.set("units-b", forty(booking_com, 3))
    b = measure("making a connection, 40 stays in its calendar", lambda: home.connect("Booking.com", "b"))
    v, flat = home.connect("Vrbo", "v"), home.flat

    home.set("a", forty(airbnb, 0))
    measure("a sweep of 3, 40 stays new in one", home.sweep)
    measure("a sweep of 3, nothing new", home.sweep)
    home.set("a", forty(airbnb, 0, longer=1))
    measure("a sweep of 3, one stay changed", home.sweep)
    home.set("v", forty(vrbo, 6))
    measure("a button, 40 stays new", lambda: host.post(v.path("/refresh")).expect(202))
    home.set("v", forty(vrbo, 6, longer=1))
    measure("a button, one stay changed", lambda: host.post(v.path("/refresh")).expect(202))
    time.sleep(2.1)
    measure("a button, nothing new", lambda: host.post(v.path("/refresh")).expect(202))
    time.sleep(2.1)
    asked = measure("a button for all 3 of a property, nothing new", lambda: host.post(f"/v1/properties/{flat}/refresh").expect(202))
    measure("asking how far a refresh is", lambda: host.get(f"/v1/refreshes/{asked['id']}").expect(200))
    assert host.get(f"/v1/refreshes/{asked['id']}").expect(200)["status"] == "done"

    year = f"from={YEAR}-01-01&to={YEAR}-12-31"
    measure("GET of a year's availability", lambda: host.get(f"/v1/properties/{flat}/availability?{year}").expect(200))
    measure("GET of a property's connections", lambda: host.get(f"/v1/properties/{flat}/connections").expect(200))
    measure("GET of 200 blocks", lambda: host.get(f"/v1/properties/{flat}/blocks?limit=200").expect(200))
    body = {"kind": "reservation", "start": f"{YEAR}-12-30", "end": f"{YEAR + 1}-01-02"}
    measure("a booking by telephone", lambda: host.post(f"/v1/properties/{flat}/blocks", body).expect(201))
    assert len(b.shows()) == 81, "two sites' stays and the one by telephone"

    now = datetime.now(UTC)
    log = log_of(*((now - timedelta(minutes=minutes), b.url, 200, "Booking.com") for minutes in range(12)))

    def logged():
        put_log(world, deployed, "units", log)
        until(lambda: not logs(world, deployed), "the log is taken")

    measure("a log with 12 reads of one link", logged)
    tick = {"FunctionName": world.functions()["schedule"], "Payload": b"{}"}
    measure("a tick", lambda: world.emulator.client("lambda").invoke(**tick), of=("schedule",))
