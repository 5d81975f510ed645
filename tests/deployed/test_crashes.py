"""A function that dies at a call, before it reached AWS or after: what was acknowledged stands in the end."""

import os
import signal
import threading

import pytest
from test_main_loop import A, B, V, three_sites
from world.feeds import YEAR, airbnb, large
from world.waiting import until

NEW = f"{YEAR}-07-01/{YEAR}-07-04"


class Once:
    """The first call that matches takes its function with it: before AWS hears of it, or after."""

    def __init__(self, after):
        self.after, self.killed, self.lock = after, [], threading.Lock()

    def __call__(self, call, pass_on):
        with self.lock:
            first = not self.killed
            self.killed.append(call)
        if not first:
            return pass_on()
        if self.after:
            pass_on()
        call.kill()
        return None


def of(world, function, service, *operations):
    name = world.functions()[function]
    return lambda call: call.function == name and call.service == service and call.operation in operations


@pytest.mark.parametrize(
    ("function", "service", "operation"),
    [
        ("fetch", "dynamodb", "UpdateItem"),
        ("fetch", "s3", "PutObject"),
        ("fetch", "events", "PutEvents"),
        ("merge", "dynamodb", "TransactWriteItems"),
        ("merge", "s3", "PutObject"),
        ("merge", "dynamodb", "UpdateItem"),
    ],
)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_worker_killed_at_a_call_loses_nothing(world, host, function, service, operation, after):
    tag = f"kill-{function}-{service}-{operation}-{after}"
    # A small body lies in the table, a large one is an object.
    size = large if (function, service) == ("fetch", "s3") else str
    flat, (a, b, v) = three_sites(world, host, tag, size)
    b.until_shows([A, V])
    world.at_rest()
    world.feeds.set(f"{tag}-a", size(airbnb(A, NEW)))
    once = Once(after)
    with world.way.broken(of(world, function, service, operation), once):
        host.refresh(a.path("/refresh"), within=90)
        until(lambda: once.killed, "the function was killed")
    b.until_shows([A, NEW, V])
    v.until_shows([A, B, NEW])
    assert host.stays(flat) == sorted([A, B, V, NEW])


def test_the_api_killed_after_its_write_was_made_did_it_once(world, host):
    flat, (a, b, v) = three_sites(world, host, "kill-api")
    b.until_shows([A, V])
    world.at_rest()
    once = Once(after=True)
    body = {"kind": "reservation", "start": f"{YEAR}-08-20", "end": f"{YEAR}-08-22"}
    with world.way.broken(of(world, "api", "dynamodb", "TransactWriteItems"), once):
        answer = host.post(f"/v1/properties/{flat}/blocks", body)
        assert answer.status >= 500 and once.killed
    # The client was told nothing, asks again, and hears of what stands.
    again = host.post(f"/v1/properties/{flat}/blocks", body)
    assert again.status in (201, 409), again
    assert host.stays(flat).count(f"{YEAR}-08-20/{YEAR}-08-22") == 1
    # Nobody announced it: the tick does, when the mark has stood for two minutes.
    b.until_shows([A, V, f"{YEAR}-08-20/{YEAR}-08-22"], within=240)


def test_a_kept_answer_is_opened_by_another_process_than_the_one_that_sealed_it(world, host):
    flat = host.property()
    body = {"kind": "closure", "start": f"{YEAR}-08-25", "end": f"{YEAR}-08-26"}
    first = host.post(f"/v1/properties/{flat}/blocks", body, **{"Idempotency-Key": "kept"}).expect(201)
    for pid in world.pids("api"):
        os.kill(pid, signal.SIGKILL)
    # The first call after it may still meet the dead process, as on AWS.
    again = until(
        lambda: (told := host.post(f"/v1/properties/{flat}/blocks", body, **{"Idempotency-Key": "kept"})).status < 500 and told,
        "the API answers again",
    )
    assert again.expect(201) == first
