"""Three sites of one home: each link blocks what the others took."""

import json
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

from world.feeds import YEAR, airbnb, booking_com, vrbo

A, B, V = f"{YEAR}-03-04/{YEAR}-03-07", f"{YEAR}-03-10/{YEAR}-03-12", f"{YEAR}-03-20/{YEAR}-03-25"
MORE = f"{YEAR}-05-01/{YEAR}-05-04"


def three_sites(world, host, tag, size=str):
    for name, body in (("a", size(airbnb(A))), ("b", booking_com(B)), ("v", vrbo(V))):
        world.feeds.set(f"{tag}-{name}", body)
    flat = host.property()
    sites = [host.connect(flat, name, world.feeds.url(f"{tag}-{key}")) for name, key in (("Airbnb", "a"), ("Booking.com", "b"), ("Vrbo", "v"))]
    return flat, sites


def test_health_and_the_document_are_open_and_everything_else_asks_for_a_token(deployed):
    assert deployed.call("GET", "/v1/health").expect(200)["status"] == "ok"
    assert deployed.call("GET", "/v1/openapi.json").expect(200)["openapi"].startswith("3.1")
    assert "<title>" in deployed.call("GET", "/v1/docs").text
    assert deployed.call("GET", "/v1/properties").expect(401)["status"] == 401
    assert deployed.call("GET", "/nowhere").expect(404)["status"] == 404


def test_an_unknown_link_is_one_plain_404_and_clear_text_is_refused(deployed):
    links = deployed.outputs["LinksUrl"]
    for path in (f"/f/{'A' * 43}.ics", "/f/", "/", "/snapshots/current/", "/?list-type=2"):
        answer = deployed.link(links + path)
        assert (answer.status, answer.text) == (404, "Not found\n"), (path, answer)
    assert deployed.link(links.replace("https://", "http://") + "/not-found.txt").status == 403


def test_each_link_blocks_what_the_others_took_and_never_its_own(world, host):
    flat, (a, b, v) = three_sites(world, host, "loop")
    a.until_shows([B, V])
    b.until_shows([A, V])
    v.until_shows([A, B])
    assert host.stays(flat) == sorted([A, B, V])

    link = host.stack.link(a.url)
    assert link.headers["content-type"] == "text/calendar; charset=utf-8"
    assert link.headers["cache-control"] == "max-age=60"
    again = host.stack.link(a.url, **{"If-None-Match": link.headers["etag"]})
    assert (again.status, again.text) == (304, "")
    assert host.stack.link(a.url, "HEAD").status == 200
    assert host.stack.link(a.url, "DELETE").status in (403, 404)


def test_a_pressed_button_reads_the_feed_and_ends_when_the_links_stand(world, host):
    flat, (a, b, v) = three_sites(world, host, "button")
    v.until_shows([A, B])
    world.feeds.set("button-a", airbnb(A, MORE))
    outcomes = host.refresh(f"/v1/properties/{flat}/refresh")
    told = {one["connection_id"]: one["outcome"] for one in outcomes}
    assert told == {a.id: "changed", b.id: "unchanged", v.id: "unchanged"}
    assert v.shows() == sorted([A, B, MORE]) and a.shows() == sorted([B, V])

    # The whole account, and one connection.
    world.feeds.set("button-a", airbnb(A))
    host.refresh(a.path("/refresh"))
    assert b.shows() == sorted([A, MORE, V]), "a stay that is missing once is held"
    host.refresh("/v1/refresh")
    assert b.shows() == sorted([A, V])
    activity = host.get(f"/v1/properties/{flat}/activity").expect(200)["items"]
    assert activity


def test_a_booking_by_telephone_is_on_every_link(world, host):
    flat, sites = three_sites(world, host, "telephone")
    body = {"kind": "reservation", "start": f"{YEAR}-08-06", "end": f"{YEAR}-08-09", "summary": "Aunt Vera"}
    first = host.post(f"/v1/properties/{flat}/blocks", body, **{"Idempotency-Key": "once"})
    block = first.expect(201)
    # Sealed under KMS, and opened again.
    assert host.post(f"/v1/properties/{flat}/blocks", body, **{"Idempotency-Key": "once"}).expect(201) == block
    assert host.post(f"/v1/properties/{flat}/blocks", body).expect(409)
    for site, others in zip(sites, ([B, V], [A, V], [A, B])):
        site.until_shows([*others, f"{YEAR}-08-06/{YEAR}-08-09"])
    assert host.delete(f"/v1/blocks/{block['id']}").status == 204
    for site, others in zip(sites, ([B, V], [A, V], [A, B])):
        site.until_shows(others)


def test_no_secret_is_in_a_log_or_an_event(world, host):
    flat, sites = three_sites(world, host, "quiet")
    sites[0].until_shows([B, V])
    world.at_rest()
    secrets = [host.token, host.stack.operator_key, *(site.url.rsplit("/", 1)[1].removesuffix(".ics") for site in sites), "secret-"]
    told = json.dumps(world.events())
    logs = world.emulator.client("logs")
    for group in logs.describe_log_groups()["logGroups"]:
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"])
        told += "\n".join(event["message"] for page in pages for event in page["events"])
    assert '"sweep.' in told or "swept" in told or "answered" in told, "the logs were not found"
    assert [secret for secret in secrets if secret in told] == []


def test_the_smoke_test_for_real_stacks_passes_here(world, deployed):
    loader = SourceFileLoader("smoke", str(Path(__file__).parent / "smoke"))
    smoke = module_from_spec(spec_from_loader("smoke", loader))
    loader.exec_module(smoke)
    world.feeds.set("smoke", airbnb(A, V))
    smoke.drive(deployed, world.feeds.url("smoke"))
