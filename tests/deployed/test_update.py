"""An update of the stack keeps what was there."""

from world.feeds import YEAR


def test_an_update_keeps_the_data_and_the_links(world, before, deployed):
    assert before.site.read() == before.export
    assert before.account.stays(before.flat) == [f"{YEAR}-02-01/{YEAR}-02-05"]
    assert before.account.get("/v1/properties").expect(200)["items"][0]["name"] == "Kept flat"
