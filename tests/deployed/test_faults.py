"""A throttled DynamoDB, a failing S3, a bus that takes nothing, answers that are lost: the same end state."""

import pytest
from test_main_loop import A, B, V, three_sites
from world.fault_proxy import Some, failing, refused_entries, throttled, unanswered
from world.feeds import YEAR, airbnb, booking_com

NEW, OTHER = f"{YEAR}-07-01/{YEAR}-07-04", f"{YEAR}-07-10/{YEAR}-07-12"


def workers(world, service, *operations):
    names = {world.functions()[word] for word in ("schedule", "fetch", "merge")}
    return lambda call: call.function in names and call.service == service and (not operations or call.operation in operations)


@pytest.mark.parametrize(
    ("name", "service", "operations", "how", "every"),
    [
        ("throttled-table", "dynamodb", (), throttled, 3),
        ("failing-objects", "s3", (), failing, 2),
        ("failing-bus", "events", (), refused_entries, 2),
        ("lost-answers-of-the-table", "dynamodb", ("TransactWriteItems", "PutItem", "UpdateItem"), unanswered, 3),
        ("lost-answers-of-objects", "s3", ("PutObject",), unanswered, 2),
    ],
)
def test_what_fails_for_a_while_ends_as_if_nothing_had_failed(world, host, name, service, operations, how, every):
    with world.way.broken(workers(world, service, *operations), Some(how, every)):
        flat, (a, b, v) = three_sites(world, host, name)
        b.until_shows([A, V], within=120)
        world.feeds.set(f"{name}-a", airbnb(A, NEW))
        world.feeds.set(f"{name}-b", booking_com(B, OTHER))
        host.refresh(f"/v1/properties/{flat}/refresh", within=120)
    a.until_shows([B, OTHER, V])
    b.until_shows([A, NEW, V])
    v.until_shows([A, B, NEW, OTHER])
    assert host.stays(flat) == sorted([A, B, V, NEW, OTHER])


def test_a_write_while_everything_else_is_out_of_order_is_refused_or_kept(world, host):
    flat, (a, b, v) = three_sites(world, host, "outage")
    b.until_shows([A, V])
    kept = []
    everything = lambda call: call.function and call.service in ("dynamodb", "s3", "events")
    with world.way.broken(everything, Some(failing, 2)):
        for day in range(1, 9):
            body = {"kind": "closure", "start": f"{YEAR}-11-0{day}", "end": f"{YEAR}-11-0{day + 1}"}
            answer = host.post(f"/v1/properties/{flat}/blocks", body)
            assert answer.status in (201, 409) or answer.status >= 500, answer
            if answer.status == 201:
                kept.append(f"{body['start']}/{body['end']}")
    stays = host.stays(flat)
    assert set(kept) <= set(stays), "an acknowledged write is lost"
    own = [stay for stay in stays if stay.startswith(f"{YEAR}-11")]
    b.until_shows([A, V, *own], within=240)
