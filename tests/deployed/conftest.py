"""One emulator, one deployed stack, for all of these tests: what a user would build and deploy, by the same commands."""

import json
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from world import sam
from world.emulator import REGION, Emulator, free_port
from world.fault_proxy import FaultProxy, processes
from world.feeds import YEAR, Feeds, airbnb, booking_com
from world.stack import Account, Door, Site, Stack
from world.waiting import until

STACK = "calmesh-dev"
# What is cheap to refuse comes first; what the whole run is judged by, and what ends the stack, come last.
ORDER = ["template", "build", "update", "main_loop", "edits", "cost", "units", "redelivery", "crashes", "faults", "tick", "reads", "memory", "least_privilege", "delete"]


def pytest_addoption(parser):
    parser.addoption("--built", action="store_true", help="take what `sam build` left behind, without building again")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: ORDER.index(item.module.__name__.removeprefix("test_")))


def pytest_terminal_summary(terminalreporter):
    told = [(report.duration, report.nodeid.split("::")[-1]) for report in terminalreporter.getreports("passed") if report.when == "call"]
    terminalreporter.section("scenarios")
    for seconds, name in told:
        terminalreporter.write_line(f"{seconds:7.1f} s  {name.removeprefix('test_').replace('_', ' ')}")


class World:
    """The emulator, the way between it and the functions, feeds, and the stack once it stands."""

    region, account_id = REGION, "000000000000"

    def __init__(self):
        port = free_port()
        self.way = FaultProxy(port)
        self.emulator = Emulator(sam.TOOLS / "emulator/bin/ministack", port, f"http://127.0.0.1:{self.way.port}", sam.OUT / "emulator.log")
        self.endpoint = f"http://127.0.0.1:{port}"
        self.feeds = Feeds()
        self.door = Door(port)

    def deploy(self, stack=STACK, **parameters):
        told = {"AllowPrivateFeeds": "true", **parameters} if parameters.get("stage", "dev") == "dev" else parameters
        began = time.monotonic()
        sam.deploy(self.endpoint, stack, **told)
        print(f"deployed {stack} in {time.monotonic() - began:.0f} s")
        self.mend_mappings()
        return self.stack(stack)

    def mend_mappings(self):
        """The emulator keeps a parameter of type Number as text, and then its poller compares text with numbers.
        CloudFormation makes a number of it."""
        functions = self.emulator.client("lambda")
        for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
            if any(queue in mapping["EventSourceArn"].lower() for queue in ("sweepqueue", "refreshqueue")):
                functions.update_event_source_mapping(UUID=mapping["UUID"], ScalingConfig={"MaximumConcurrency": 10})

    def stack(self, name=STACK):
        described = self.emulator.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
        key = self.emulator.client("secretsmanager").get_secret_value(SecretId=outputs["OperatorKeyArn"])["SecretString"]
        return Stack(self.door, outputs, key)

    def resources(self, name=STACK):
        """Logical id to (type, physical id)."""
        told = self.emulator.client("cloudformation").describe_stack_resources(StackName=name)["StackResources"]
        return {one["LogicalResourceId"]: (one["ResourceType"], one["PhysicalResourceId"]) for one in told}

    def functions(self, name=STACK):
        """The word of a function (`merge`) to its name."""
        kinds = self.resources(name)
        return {logical.lower(): physical for logical, (kind, physical) in kinds.items() if kind == "AWS::Lambda::Function"}

    def pids(self, function):
        name = self.functions()[function]
        return [pid for pid, told in processes() if told.get("AWS_LAMBDA_FUNCTION_NAME") == name and told.get("AWS_ENDPOINT_URL", "").endswith(f":{self.way.port}")]

    def retry_soon(self):
        """Messages that failed come again after seconds instead of minutes. Nothing else of the stack is changed."""
        queues = self.emulator.client("sqs")
        for kind, physical in self.resources().values():
            if kind == "AWS::SQS::Queue":
                queues.set_queue_attributes(QueueUrl=physical, Attributes={"VisibilityTimeout": "6"})

    def queue(self, logical):
        return self.resources()[logical][1]

    def waiting(self, logical):
        told = self.emulator.client("sqs").get_queue_attributes(QueueUrl=self.queue(logical), AttributeNames=["All"])["Attributes"]
        return int(told["ApproximateNumberOfMessages"]) + int(told["ApproximateNumberOfMessagesNotVisible"])

    def at_rest(self, within=120.0):
        """Until no message waits or is worked on. The template before the last change may lack a queue. Looked at in this
        order, since what is worked on in one queue may still put something into those after it."""
        known = self.resources().keys()
        queues = [queue for queue in ("AccessQueue", "SweepQueue", "RefreshQueue", "MergeQueue") if queue in known]
        until(lambda: not any(self.waiting(queue) for queue in queues), "the queues are empty", within)

    def events(self):
        """All that functions announced so far, in order, as PutEvents takes it."""
        return [entry for call in self.way.seen(operation="PutEvents") for entry in json.loads(call.body)["Entries"]]

    @contextmanager
    def without_ticks(self):
        """Nothing happens by itself while this is open."""
        scheduler = self.emulator.client("scheduler")
        tick = scheduler.get_schedule(Name=self.resources()["Tick"][1])
        same = {key: tick[key] for key in ("Name", "GroupName", "ScheduleExpression", "FlexibleTimeWindow", "Target")}
        scheduler.update_schedule(**same, State="DISABLED")
        try:
            yield
        finally:
            scheduler.update_schedule(**same, State="ENABLED")

    def stop(self):
        with open(sam.OUT / "calls.log", "w") as file:
            for call in self.way.seen():
                print(call.function.split("-")[2:3], call.service, call.operation, call.resource, call.status, call.code, file=file)
        self.emulator.stop()
        self.way.stop()
        self.feeds.stop()


@pytest.fixture(scope="session")
def built(request):
    began = time.monotonic()
    if not request.config.getoption("--built"):
        sam.build()
    print(f"built in {time.monotonic() - began:.0f} s")
    return sam.BUILT


@pytest.fixture(scope="session")
def world(built):
    world = World()
    yield world
    world.stop()


@dataclass
class Before:
    """What was made before the stack was updated."""

    account: Account
    flat: str
    site: Site
    export: str


@pytest.fixture(scope="session")
def before(world):
    """The template before its last change, and data in it. Where history holds none, this one with other parameters."""
    previous = sam.previous_template()
    print(f"the update begins at {'the template before' if previous else 'this template with other parameters'}")
    stack = world.deploy(name="deploy-before", template=previous, SweepEvery="30m", Shards=8)
    account = stack.account("from before the update")
    flat = account.property("Kept flat")
    world.feeds.set("before", airbnb(f"{YEAR}-02-01/{YEAR}-02-05"))
    world.feeds.set("before-too", booking_com())
    account.connect(flat, "Airbnb", world.feeds.url("before"))
    site = account.connect(flat, "Booking.com", world.feeds.url("before-too"))
    site.until_shows([f"{YEAR}-02-01/{YEAR}-02-05"])
    world.at_rest()
    return Before(account, flat, site, site.read())


@pytest.fixture(scope="session")
def deployed(world, before):
    """The stack as it is tested: an update of what stood before."""
    stack = world.deploy(SweepEvery="15m", Shards=16)
    world.retry_soon()
    return stack


@pytest.fixture
def host(deployed):
    return deployed.account()
