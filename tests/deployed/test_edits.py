"""What a host changes: pausing, resuming, rotating, deleting, extra links, accounts."""

from collections import Counter

from test_main_loop import A, B, V, three_sites
from world.feeds import YEAR, airbnb, booking_com, large, vrbo
from world.waiting import until


def test_a_paused_connection_stops_both_ways_and_comes_back(world, host):
    flat, (a, b, v) = three_sites(world, host, "pause")
    a.until_shows([B, V])
    v.until_shows([A, B])
    assert host.post(b.path("/pause") + "?preview=true").expect(200)["opens"] == [f"{YEAR}-03-10", f"{YEAR}-03-11"]
    assert host.post(b.path("/pause")).expect(200)["status"] == "paused"
    a.until_shows([V])
    b.until_shows([])
    assert host.post(b.path("/refresh")).status == 409
    assert host.post(b.path("/resume")).expect(200)["status"] == "active"
    a.until_shows([B, V])
    b.until_shows([A, V])


def test_a_rotated_link_is_kept_up_to_date_and_a_revoked_one_is_empty(world, host):
    flat, (a, b, v) = three_sites(world, host, "rotate")
    a.until_shows([B, V])
    old = a.url
    a.url = host.post(a.path("/rotate-link")).expect(200)["export"]["url"]
    assert a.url != old
    a.until_shows([B, V])
    kept = type(a)(host, a.id, old)
    kept.until_shows([B, V])
    a.url, revoked = host.post(a.path("/rotate-link") + "?revoke=now").expect(200)["export"]["url"], type(a)(host, a.id, a.url)
    revoked.until_shows([])
    a.until_shows([B, V])


def test_a_deleted_connection_lets_go_and_its_link_is_empty(world, host):
    flat, (a, b, v) = three_sites(world, host, "delete")
    a.until_shows([B, V])
    assert host.delete(b.path()).status == 204
    a.until_shows([V])
    b.until_shows([])
    assert host.get(b.path()).status == 404


def test_a_link_over_all_properties_follows_them(world, host):
    flat, (a, b, v) = three_sites(world, host, "over")
    world.feeds.set("over-second", airbnb(f"{YEAR}-06-01/{YEAR}-06-03"))
    second = host.property("Second flat")
    host.connect(second, "Airbnb", world.feeds.url("over-second"))
    made = host.post("/v1/links", {"name": "All", "property_ids": "all"}).expect(201)
    link = type(a)(host, made["id"], made["url"])
    link.until_shows([A, B, V, f"{YEAR}-06-01/{YEAR}-06-03"])
    assert host.delete(f"/v1/links/{made['id']}").status == 204
    until(lambda: host.stack.link(made["url"]).status == 404 or link.shows() == [], "the deleted link is empty or gone")


def test_a_change_of_many_stays_is_taken_in_whole(world, host):
    """More than one transaction of DynamoDB holds."""
    stays = [f"{YEAR}-{month:02}-{day:02}/{YEAR}-{month:02}-{day + 1:02}" for month in range(1, 13) for day in range(1, 27, 2)]
    world.feeds.set("many-a", airbnb(*stays))
    world.feeds.set("many-b", booking_com())
    flat = host.property()
    host.connect(flat, "Airbnb", world.feeds.url("many-a"), provider="airbnb")
    b = host.connect(flat, "Booking.com", world.feeds.url("many-b"))
    b.until_shows(stays)
    # The first reading was the API's. All of them move by a night, and that is for the workers.
    moved = [f"{YEAR}-{month:02}-{day + 1:02}/{YEAR}-{month:02}-{day + 2:02}" for month in range(1, 13) for day in range(1, 27, 2)]
    world.feeds.set("many-a", airbnb(*moved))
    host.refresh(f"/v1/properties/{flat}/refresh")
    b.until_shows(moved)
    # All go and come back: each hold that ends is written down, and those are too many for one transaction.
    for shown in [[], moved]:
        world.feeds.set("many-a", airbnb(*shown))
        host.refresh(f"/v1/properties/{flat}/refresh")
    b.until_shows(moved)
    # Another site sells all of them too: as many conflicts open in one change of a worker, and close in one of the API's.
    world.feeds.set("many-v", vrbo())
    v = host.connect(flat, "Vrbo", world.feeds.url("many-v"))
    world.feeds.set("many-v", vrbo(*moved))
    host.refresh(f"/v1/properties/{flat}/refresh")
    assert states_of_conflicts(host, flat) == {"open": len(moved)}
    host.patch(v.path(), {"import": {"policy": {"blocks": False}}}).expect(200)
    assert states_of_conflicts(host, flat) == {"closed": len(moved)}
    b.until_shows(moved)


def states_of_conflicts(host, flat):
    found, cursor = Counter(), ""
    while cursor is not None:
        page = host.get(f"/v1/properties/{flat}/conflicts?limit=200{cursor and f'&cursor={cursor}'}").expect(200)
        found.update(conflict["status"] for conflict in page["items"])
        cursor = page["next_cursor"]
    return found


def test_a_changed_policy_and_a_changed_address_take_effect(world, host):
    flat, (a, b, v) = three_sites(world, host, "policy", large)
    b.until_shows([A, V])
    host.patch(a.path(), {"import": {"policy": {"blocks": False}}}).expect(200)
    b.until_shows([V])
    host.patch(a.path(), {"import": {"policy": {"blocks": True}}}).expect(200)
    b.until_shows([A, V])
    world.feeds.set("policy-other", large(airbnb(A, f"{YEAR}-12-01/{YEAR}-12-03")))
    host.patch(a.path(), {"import": {"url": world.feeds.url("policy-other")}}).expect(200)
    b.until_shows([A, V, f"{YEAR}-12-01/{YEAR}-12-03"])


def test_a_deleted_property_and_a_deleted_account_are_gone_and_their_links_are_empty(world, host):
    flat, (a, b, v) = three_sites(world, host, "gone", large)
    a.until_shows([B, V])
    assert host.delete(f"/v1/properties/{flat}").status == 204
    a.until_shows([])
    assert host.get(f"/v1/properties/{flat}").status == 404

    other, (c, *_) = three_sites(world, host, "gone-too", large)
    c.until_shows([B, V])
    assert host.delete("/v1/account").status == 204
    assert host.get("/v1/properties").status == 401
    # 404 would leave every site with what it read last: for a week each link is a calendar without events.
    for site in (a, b, v, c):
        site.until_shows([])
    world.at_rest()
    snapshots = world.emulator.client("s3").list_objects_v2(Bucket=host.stack.outputs["SnapshotsBucket"])
    assert [one["Key"] for one in snapshots.get("Contents", []) if host.id in one["Key"]] == []
    dynamodb, table = world.emulator.client("dynamodb"), world.resources()["Table"][1]
    for site in (a, b, v, c):
        kept = dynamodb.query(
            TableName=table, KeyConditionExpression="pk = :body", ExpressionAttributeValues={":body": {"S": f"BDY#{site.id}"}},
        )
        assert kept["Items"] == [], "a body of a feed stayed"
