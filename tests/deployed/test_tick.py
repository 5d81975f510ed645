"""EventBridge Scheduler's own tick."""

from test_main_loop import A, B, V, three_sites
from world.feeds import YEAR, airbnb

NEW = f"{YEAR}-07-01/{YEAR}-07-04"


def test_the_schedulers_own_tick_finds_a_changed_feed(world, host):
    flat, (a, b, v) = three_sites(world, host, "tick")
    b.until_shows([A, V])
    # Every feed once a minute: an update of a parameter, as an operator makes it.
    world.deploy(SweepEvery="1m", Shards=16)
    world.retry_soon()
    world.feeds.set("tick-a", airbnb(A, NEW))
    b.until_shows([A, NEW, V], within=180)
    assert host.get(a.path()).expect(200)["import"]["last_refreshed_at"]


def test_an_unchanged_feed_costs_no_write_but_the_record_of_its_sweep(world, host):
    from world.waiting import until

    flat, (a, b, v) = three_sites(world, host, "still")
    b.until_shows([A, V])
    world.at_rest()
    fetch = world.functions()["fetch"]
    reads = world.feeds.read_count("still-a")
    calls = len(world.way.seen(function=fetch))
    until(lambda: world.feeds.read_count("still-a") >= reads + 2, "two sweeps read the feed", within=200)
    world.at_rest()
    made = world.way.seen(function=fetch)[calls:]
    assert [call for call in made if call.service == "s3" or call.operation == "PutEvents"] == []
