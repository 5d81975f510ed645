"""Every event twice, late and in another order: the end state is the same."""

import json
import random

from test_main_loop import A, B, V, three_sites
from world.feeds import YEAR, airbnb
from world.waiting import until

MOVED = f"{YEAR}-03-05/{YEAR}-03-09"


def put(world, entries):
    bus = world.emulator.client("events")
    for first in range(0, len(entries), 10):
        answer = bus.put_events(Entries=entries[first : first + 10])
        assert answer["FailedEntryCount"] == 0, answer


def test_the_whole_history_delivered_again_in_another_order_changes_nothing(world, host):
    began = len(world.events())
    flat, (a, b, v) = three_sites(world, host, "again")
    b.until_shows([A, V])
    world.feeds.set("again-a", airbnb(MOVED))
    host.refresh(f"/v1/properties/{flat}/refresh")
    host.post(f"/v1/properties/{flat}/blocks", {"kind": "closure", "start": f"{YEAR}-09-01", "end": f"{YEAR}-09-03"}).expect(201)
    host.post(v.path("/pause")).expect(200)
    own = f"{YEAR}-09-01/{YEAR}-09-03"
    b.until_shows([MOVED, own])
    world.at_rest()
    before = {site.id: site.read() for site in (a, b, v)}
    blocks = host.get(f"/v1/properties/{flat}/blocks?include=all").expect(200)

    history = [{key: entry[key] for key in ("Source", "DetailType", "Detail", "EventBusName")} for entry in world.events()[began:]]
    kinds = {entry["DetailType"] for entry in history}
    assert {"feeds.read", "property.dirty", "refresh.requested"} <= kinds, kinds
    # Every sweep of the day, too.
    number = 1_796_119_200 // 900
    sweeps = [{**history[0], "DetailType": "sweep.due", "Detail": json.dumps({"v": 1, "first_bucket": first, "last_bucket": first + 255, "number": number})} for first in range(0, 4096, 256)]
    again = [*history, *history, *sweeps, *sweeps]
    random.Random(4).shuffle(again)
    put(world, again)
    world.at_rest()
    assert {site.id: site.read() for site in (a, b, v)} == before
    assert host.get(f"/v1/properties/{flat}/blocks?include=all").expect(200) == blocks
    assert all(world.waiting(queue) == 0 for queue in ("SweepDead", "RefreshDead", "MergeDead"))


def test_a_poisoned_message_ends_in_the_dead_letter_queue_alone_and_can_be_redriven(world, host):
    flat, (a, b, v) = three_sites(world, host, "poison")
    a.until_shows([B, V])
    queues = world.emulator.client("sqs")
    poison = {"version": "0", "id": "x", "source": "calmesh", "detail-type": "feeds.read", "detail": {"v": 99}}
    queues.send_message(QueueUrl=world.queue("MergeQueue"), MessageBody=json.dumps(poison))
    # What stands beside it in the batch goes on.
    host.post(f"/v1/properties/{flat}/blocks", {"kind": "closure", "start": f"{YEAR}-10-01", "end": f"{YEAR}-10-02"}).expect(201)
    a.until_shows([B, V, f"{YEAR}-10-01/{YEAR}-10-02"])
    until(lambda: world.waiting("MergeDead") == 1, "the poisoned message is given up", within=120)

    # One that can be read goes back to its queue. AWS does it by StartMessageMoveTask, which the emulator has not.
    dead = queues.receive_message(QueueUrl=world.queue("MergeDead"))["Messages"][0]
    assert json.loads(dead["Body"]) == poison
    mended = {**poison, "detail-type": "property.dirty", "detail": {"v": 1, "property": flat}}
    queues.send_message(QueueUrl=world.queue("MergeQueue"), MessageBody=json.dumps(mended))
    queues.delete_message(QueueUrl=world.queue("MergeDead"), ReceiptHandle=dead["ReceiptHandle"])
    until(lambda: world.waiting("MergeDead") == 0, "the dead-letter queue is redriven")
    world.at_rest()
    assert a.shows() == sorted([B, V, f"{YEAR}-10-01/{YEAR}-10-02"])
