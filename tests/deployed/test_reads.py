"""Who still reads a link, out of CloudFront's log. The emulator writes none: the test puts into the bucket what CloudFront would."""

import gzip
import hashlib
import json
from datetime import UTC, datetime, timedelta

from test_main_loop import A, B, V, three_sites
from world.waiting import until

# Of the columns that CloudFront writes, in its order, up to the last that is needed.
FIELDS = "date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent)"
READER = "192.0.2.77"


def log_of(*reads):
    """A log object: (instant, link, status, agent) of each request."""
    lines = ["#Version: 1.0", f"#Fields: {FIELDS}"]
    for at, link, status, agent in reads:
        host, path = link.removeprefix("https://").split("/", 1)
        lines.append(f"{at:%Y-%m-%d}\t{at:%H:%M:%S}\tMAD51\t1045\t{READER}\tGET\t{host}\t/{path}\t{status}\t-\t{agent}")
    return gzip.compress("\n".join([*lines, ""]).encode())


def put(world, deployed, name, body):
    """Puts a log; answers its key."""
    key = f"links/E2ABCDEFGH.2026-11-21-10.{name}.gz"
    world.emulator.client("s3").put_object(Bucket=deployed.outputs["AccessLogsBucket"], Key=key, Body=body)
    return key


def own_agent(world):
    """The name of this stack's fetcher as CloudFront logs it: its mark is a digest of the stack's id."""
    told = world.emulator.client("lambda").get_function_configuration(FunctionName=world.functions()["access"])
    stack = told["Environment"]["Variables"]["CALMESH_STACK_ID"]
    mark = hashlib.sha256(b"calmesh reader\0" + stack.encode()).hexdigest()[:16]
    return f"Mozilla/5.0%20(compatible;%20Calmesh/1.0;%20+https://calmesh.example/%23{mark})"


def logs(world, deployed):
    listed = world.emulator.client("s3").list_objects_v2(Bucket=deployed.outputs["AccessLogsBucket"])
    return [one["Key"] for one in listed.get("Contents", [])]


def reads(site):
    export = site.account.get(site.path()).expect(200)["export"]
    return export["last_read_at"], export["reads_24h"]


def test_a_log_of_cloudfronts_moves_last_read_at_once_and_does_not_stay(world, deployed, host):
    flat, (a, b, v) = three_sites(world, host, "reads")
    b.until_shows([A, V])
    assert reads(b) == (None, 0)
    last = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=20)
    before = last - timedelta(minutes=15)
    log = log_of(
        (before, b.url, 200, "Booking.com"),
        (last, b.url, 304, "Booking.com"),
        (last + timedelta(minutes=5), b.url, 404, "Booking.com"),
        (last + timedelta(minutes=6), b.url, 200, own_agent(world)),
        (before, v.url, 200, "Mozilla/5.0%20(compatible;%20Calmesh/1.0;%20+https://calmesh.example/%23fedcba9876543210)"),
    )
    key = put(world, deployed, "first", log)
    told = f"{last:%Y-%m-%dT%H:%M:%SZ}"
    until(lambda: reads(b) == (told, 2), "the log is recorded")
    until(lambda: reads(v)[1] == 1 and not logs(world, deployed), "and gone")
    assert reads(a) == (None, 0)

    # Told of again when it is gone; and there again, as after a crash before it was removed.
    message = {"Records": [{"s3": {"bucket": {"name": deployed.outputs["AccessLogsBucket"]}, "object": {"key": key}}}]}
    world.emulator.client("sqs").send_message(QueueUrl=world.queue("AccessQueue"), MessageBody=json.dumps(message))
    world.at_rest()
    put(world, deployed, "first", log)
    until(lambda: not logs(world, deployed), "the repeated log is gone")
    world.at_rest()
    assert reads(b) == (told, 2)

    # One that arrives late.
    put(world, deployed, "late", log_of((before - timedelta(minutes=1), b.url, 200, "Booking.com")))
    until(lambda: reads(b) == (told, 3), "the late log is recorded")
    assert world.waiting("AccessDead") == 0


def test_no_reader_is_kept(world, deployed, host):
    flat, (a, b, v) = three_sites(world, host, "no-reader")
    put(world, deployed, "reader", log_of((datetime.now(UTC), b.url, 200, "Somebody")))
    until(lambda: reads(b)[1] == 1, "the log is recorded")
    items = world.emulator.client("dynamodb").get_paginator("scan").paginate(TableName=deployed.outputs["TableName"])
    told = str([page["Items"] for page in items])
    groups = world.emulator.client("logs")
    events = groups.filter_log_events(logGroupName="/aws/lambda/calmesh-dev-access")["events"]
    told += str(events)
    assert "a log was taken" in told
    token = b.url.rsplit("/", 1)[1].removesuffix(".ics")
    assert READER not in told and "Somebody" not in told and token not in str(events)
