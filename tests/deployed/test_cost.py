"""What a reading asks of AWS, call by call: infra/README.md prices these counts, and a change that asks for more is seen here."""

import json
from collections import Counter

from test_main_loop import A, B, V, three_sites
from world import sam
from world.feeds import YEAR, airbnb
from world.meter import without_starts

NEW = f"{YEAR}-09-03/{YEAR}-09-06"
# A home with three sites, and one feed that brought a stay: its body waits with its plan and is kept by the change, and two links
# move. The change is a transaction, the end of its mark one write. Without the API's own calls, and with what the button's record
# takes: a refresh that is delivered again skips what has its outcome. One query asks when the feed was last read well, which is
# kept while what was read waits to be taken in.
MOST_OF_A_CHANGE = {
    "BatchGetItem": 4, "BatchWriteItem": 1, "GetItem": 5, "Query": 7, "TransactWriteItems": 1, "UpdateItem": 3,
    "GetObject": 3, "PutObject": 2, "PutEvents": 2,
}


def metered(world, work):
    """The calls of fetch and merge while this is worked through: function and operation to how many."""
    world.at_rest()
    before = len(world.way.seen())
    work()
    world.at_rest()
    names = {name: short for short, name in world.functions().items()}
    made = [(names.get(call.function), call) for call in without_starts(world.way.seen()[before:]) if 200 <= call.status < 300 or call.status == 404]
    return {
        function: dict(sorted(Counter(call.operation for by, call in made if by == function).items()))
        for function in ("fetch", "merge")
    }


def test_a_reading_costs_what_it_is_said_to_cost(world, host):
    flat, (a, b, v) = three_sites(world, host, "cost")
    b.until_shows([A, V])
    told = {"a button, nothing new": metered(world, lambda: host.refresh(a.path("/refresh")))}
    world.feeds.set("cost-a", airbnb(A, NEW))
    told["a button, one stay more"] = metered(world, lambda: host.refresh(a.path("/refresh")))
    assert b.shows() == sorted([A, V, NEW]) and v.shows() == sorted([A, B, NEW])
    (sam.OUT / "cost.json").write_text(json.dumps(told, indent=1))
    quiet, change = told.values()
    # Nothing new: no object is touched and nothing is merged.
    assert quiet["merge"] == {} and not {"GetObject", "PutObject", "CopyObject", "DeleteObject"} & quiet["fetch"].keys()
    both = Counter(change["fetch"]) + Counter(change["merge"])
    assert {operation: count for operation, count in both.items() if count > MOST_OF_A_CHANGE.get(operation, 0)} == {}
