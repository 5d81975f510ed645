"""Each role holds exactly what its function did in this whole run: nothing was refused, and nothing is left over."""

import json
from fnmatch import fnmatchcase
from urllib.parse import unquote

import pytest
from world import sam

FUNCTIONS = ["schedule", "fetch", "merge", "access", "api"]
# Lambda's own machinery makes these calls with the role; the emulator makes them by itself.
LAMBDAS_OWN = {"logs:CreateLogStream", "logs:PutLogEvents", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
# What a function does only after longer than a test takes: the object of a link that was rotated away, or whose connection,
# property or account was deleted, goes after seven days, by whoever publishes the property next, and that may be the API.
LATER = {("api", "s3:DeleteObject", "/f/*"), ("merge", "s3:DeleteObject", "/f/*")}


def grants(world, function):
    """(action, ARN pattern) of the function's role."""
    iam = world.emulator.client("iam")
    role = world.resources()[f"{function.capitalize()}Role"][1]
    assert iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == []
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        document = json.loads(unquote(document)) if isinstance(document, str) else document
        for statement in document["Statement"]:
            assert statement["Effect"] == "Allow"
            for action in listed(statement["Action"]):
                for resource in listed(statement["Resource"]):
                    yield action, resource


def listed(one):
    return one if isinstance(one, list) else [one]


def arn(world, action, resource):
    """What IAM checks a call against."""
    service = action.split(":")[0]
    here = f"{world.region}:{world.account_id}"
    return {
        "dynamodb": f"arn:aws:dynamodb:{here}:table/{resource}",
        "s3": f"arn:aws:s3:::{resource}",
    }.get(service)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_role_holds_exactly_what_its_function_does(world, deployed, function):
    name = world.functions()[function]
    calls = world.way.seen(function=name)
    assert calls, f"{function} made no call"
    # IAM is enforced by the emulator.
    refused = {(call.service, call.operation, call.resource) for call in calls if "AccessDenied" in call.code or call.status == 403}
    assert refused == set(), f"{function} was refused"

    asked = {pair for call in calls if call.status in range(200, 500) for pair in call.actions()}
    granted = list(grants(world, function))
    unused = []
    for action, pattern in granted:
        if action in LAMBDAS_OWN or any((function, action) == (who, what) and pattern.endswith(where) for who, what, where in LATER):
            continue
        service = action.split(":")[0]
        used = any(
            told == action and (service not in ("dynamodb", "s3") or fnmatchcase(arn(world, told, resource), pattern))
            for told, resource in asked
        )
        if not used:
            unused.append((action, pattern.rsplit(":", 1)[-1]))
    beyond = [
        (told, resource) for told, resource in asked
        if not any(told == action and (told.split(":")[0] not in ("dynamodb", "s3") or fnmatchcase(arn(world, told, resource), pattern)) for action, pattern in granted)
    ]
    table = {}
    for call in calls:
        for told, _ in call.actions():
            table[told] = table.get(told, 0) + 1
    (sam.OUT / f"calls-{function}.json").write_text(json.dumps(dict(sorted(table.items())), indent=1))
    assert (unused, beyond) == ([], []), f"{function}: granted and not used {unused}; used and not granted {beyond}"
