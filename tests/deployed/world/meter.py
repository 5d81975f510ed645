"""What AWS charges for calls: units of DynamoDB, requests of S3 by their price, events, keys."""

import base64
import hashlib
import json
from collections import Counter
from dataclasses import astuple, dataclass, fields

READS = {"GetItem", "BatchGetItem", "Query"}
UNIT_READ, UNIT_WRITE = 4096, 1024
# Refused by its condition, which the caller goes by.
REFUSED = {"ConditionalCheckFailedException", "TransactionCanceledException"}


@dataclass(frozen=True)
class Spent:
    """In the order of the columns of `infra/SCALE.md`."""

    write: float = 0  # units of writing, as the table answers
    read: float = 0  # units of reading, by the size of what the table answers
    table: int = 0  # calls of DynamoDB
    puts: int = 0  # S3's dearer requests: PUT, COPY, LIST
    gets: int = 0  # GET and HEAD; a DELETE is free
    events: int = 0  # entries that EventBridge takes, each of which becomes a message of one queue
    keys: int = 0  # requests of KMS

    def __add__(self, other):
        return Spent(*(one + more for one, more in zip(astuple(self), astuple(other))))

    def beyond(self, budget):
        """Where this is more: column to (this, budget)."""
        pairs = zip(fields(self), astuple(self), astuple(budget))
        return {column.name: (spent, most) for column, spent, most in pairs if spent > most}

    def row(self, what):
        return f"| {what} | " + " | ".join(f"{number:g}" for number in astuple(self)) + " |"


NOBODY = hashlib.sha256(b"").hexdigest()


def without_starts(calls):
    """Without what an instance asks for when it begins: its secrets, a token that nobody has, and a link that nobody has where
    it works with links."""
    warming = [call for call in calls if call.operation == "GetItem" and NOBODY in call.body.decode()]
    links, kept = Counter(call.function for call in warming), []
    for call in calls:
        if call.operation == "GetObject" and call.status == 404 and links[call.function]:
            links[call.function] -= 1
        elif call.operation != "GetSecretValue" and call not in warming:
            kept.append(call)
    return kept


def spent_by(call):
    """What one call cost."""
    if call.service == "dynamodb":
        return Spent(write=call.units[0], read=call.units[1], table=1)
    if call.service == "s3":
        return Spent(puts=call.operation in ("PutObject", "ListBucket"), gets=call.operation == "GetObject")
    if call.operation == "PutEvents":
        return Spent(events=len(json.loads(call.body)["Entries"]))
    return Spent(keys=call.service == "kms")


def units(operation, asked, answered, code=""):
    """Units of writing and reading of a call of DynamoDB. The emulator answers what a write takes, its index included, as
    DynamoDB does. Of a read it does not look at the size, and of a write that is refused it answers nothing, so these are
    reckoned here; the latter at the least that it can be where the item that stands there is not known."""
    asked, answered = json.loads(asked), json.loads(answered)
    if code:
        charged = len(asked["TransactItems"]) * 2 if "TransactItems" in asked else -(-size(asked.get("Item", {"": {"S": "."}})) // UNIT_WRITE)
        return (charged if code in REFUSED else 0), 0
    if operation not in READS:
        told = answered.get("ConsumedCapacity") or []
        return sum(one["CapacityUnits"] for one in (told if isinstance(told, list) else [told])), 0
    if operation == "BatchGetItem":
        wanted = asked["RequestItems"].items()
        return 0, sum(
            rate(keys) * (sum(map(read_units, map(size, found))) + max(len(keys["Keys"]) - len(found), 0))
            for table, keys in wanted
            for found in [answered["Responses"].get(table, [])]
        )
    items = answered.get("Items", [answered["Item"]] if "Item" in answered else [])
    return 0, rate(asked) * read_units(sum(map(size, items)))


def rate(asked):
    return 1 if asked.get("ConsistentRead") else 0.5


def read_units(size):
    return max(1, -(-size // UNIT_READ))


def size(item):
    """Bytes of an item, as DynamoDB documents them."""
    return sum(len(name.encode()) + value_size(value) for name, value in item.items())


def value_size(value):
    (kind, told), = value.items()
    match kind:
        case "S":
            return len(told.encode())
        case "N":
            return len(told.strip("-0.")) // 2 + 2
        case "B":
            return len(base64.b64decode(told))
        case "M":
            return 3 + size(told) + len(told)
        case "L":
            return 3 + sum(1 + value_size(one) for one in told)
        case "SS" | "NS" | "BS":
            return sum(map(len, told))
        case _:
            return 1
