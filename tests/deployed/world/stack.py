"""A deployed stack through its doors: the HTTP API and CloudFront, as its outputs name them."""

import http.client
import json
import re
import time
from dataclasses import dataclass
from datetime import date
from urllib.parse import urlsplit

from world.waiting import until


@dataclass
class Answer:
    status: int
    headers: dict
    text: str

    def json(self):
        return json.loads(self.text)

    def expect(self, status):
        assert self.status == status, f"{self.status} instead of {status}: {self.text[:2000]}"
        return json.loads(self.text) if self.text else None


class Door:
    """The hosts of a stack: real ones over TLS, or those that the emulator serves on one port."""

    def __init__(self, port=None):
        self.port = port

    def ask(self, method, url, headers=None, body=None):
        parts = urlsplit(url)
        if self.port:
            way = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        else:
            way = http.client.HTTPSConnection(parts.netloc, timeout=60)
        try:
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            scheme = {"X-Forwarded-Proto": parts.scheme} if self.port else {}
            way.request(method, path or "/", body=body, headers={"Host": parts.netloc, **scheme, **(headers or {})})
            answer = way.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode())
        finally:
            way.close()


@dataclass
class Stack:
    door: Door
    outputs: dict
    operator_key: str

    def call(self, method, path, token=None, body=None, **headers):
        told = dict(headers)
        if token:
            told["Authorization"] = f"Bearer {token}"
        if body is not None:
            told["Content-Type"] = "application/json"
        return self.door.ask(method, self.outputs["ApiUrl"] + path, told, None if body is None else json.dumps(body))

    def account(self, name="host"):
        made = self.call("POST", "/v1/accounts", self.operator_key, {"name": name}).expect(201)
        return Account(self, made["token"], made["id"])

    def link(self, url, method="GET", **headers):
        return self.door.ask(method, url, headers)


@dataclass
class Account:
    stack: Stack
    token: str
    id: str

    def get(self, path):
        return self.stack.call("GET", path, self.token)

    def post(self, path, body=None, **headers):
        return self.stack.call("POST", path, self.token, body, **headers)

    def patch(self, path, body):
        return self.stack.call("PATCH", path, self.token, body)

    def delete(self, path):
        return self.stack.call("DELETE", path, self.token)

    def property(self, name="Harbour flat"):
        made = self.post("/v1/properties", {"name": name, "time_zone": "Europe/Madrid"}).expect(201)
        return made["id"]

    def connect(self, flat, name, feed, **more):
        body = {"name": name, "import": {"url": feed, "policy": {"hold": {"readings": 2, "minutes": 0}}}, **more}
        made = self.post(f"/v1/properties/{flat}/connections", body).expect(201)
        return Site(self, made["id"], made["export"]["url"])

    def refresh(self, path, within=60.0):
        """Presses the button and waits until it says that it is done; answers the outcomes."""
        # What was read less than two seconds ago is not fetched again.
        time.sleep(2.1)
        asked = self.post(path).expect(202)
        done = until(
            lambda: (told := self.get(f"/v1/refreshes/{asked['id']}").expect(200))["status"] == "done" and told,
            "the refresh is done",
            within,
        )
        return done["connections"]

    def stays(self, flat):
        blocks = self.get(f"/v1/properties/{flat}/blocks?limit=200").expect(200)["items"]
        return sorted(f"{block['start']}/{block['end']}" for block in blocks if block["state"] in ("standing", "held"))


@dataclass
class Site:
    account: Account
    id: str
    url: str

    def path(self, more=""):
        return f"/v1/connections/{self.id}{more}"

    def read(self):
        answer = self.account.stack.link(self.url)
        assert answer.status == 200, f"{answer.status}: {answer.text[:500]}"
        return answer.text

    def shows(self):
        return stays_of(self.read())

    def until_shows(self, stays, within=60.0):
        wanted = sorted(stays)
        seen = []

        def so():
            seen[:] = self.shows()
            return seen == wanted

        try:
            until(so, f"a link shows {wanted[:4]}", within)
        except AssertionError as error:
            missing, beyond = sorted(set(wanted) - set(seen)), sorted(set(seen) - set(wanted))
            raise AssertionError(f"{error}; missing {missing}, beyond it {beyond}") from None


def stays_of(calendar):
    """`arrival/departure` of every event of a calendar, sorted; without the event of the far past that some sites want
    in an empty one."""
    text = re.sub(r"\r\n[ \t]", "", calendar)
    assert text.startswith("BEGIN:VCALENDAR\r\n") and text.endswith("END:VCALENDAR\r\n"), text[:200]
    stays = []
    for event in text.split("BEGIN:VEVENT\r\n")[1:]:
        told = dict(line.split(":", 1) for line in event.split("END:VEVENT")[0].splitlines())
        stays.append("/".join(str(date.fromisoformat(told[f"{edge};VALUE=DATE"])) for edge in ("DTSTART", "DTEND")))
    return sorted(stay for stay in stays if stay > "2000")
