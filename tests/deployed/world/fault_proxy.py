"""The way between the functions and AWS: passes every call on, notes who asked for what, and breaks what a test says.

The functions reach it by AWS_ENDPOINT_URL, which the emulator hands them. It plays the end of TLS, so policies that
demand TLS hold here too.
"""

import http.client
import json
import os
import re
import signal
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from world.meter import units

CREDENTIAL = re.compile(r"Credential=([^/]+)/\d+/[^/]+/([^/]+)/aws4_request")
HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "proxy-authorization"}
TRANSACTION = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem"}


@dataclass
class Call:
    """One call of one function, as IAM sees it."""

    function: str  # the function's name; empty for anybody else
    peer: tuple  # the ports of the connection: the caller's, ours
    service: str
    operation: str  # `PutItem`; for S3 the action's name, such as `PutObject`
    resource: str  # S3: bucket/key; DynamoDB: the table, with `/index/…` for an index; else empty
    body: bytes = field(repr=False, default=b"")
    status: int = 0
    code: str = ""
    units: tuple = (0, 0)  # of DynamoDB: of writing and of reading
    also: tuple = ()  # further (action, resource) pairs that IAM asks for

    def kill(self):
        """Ends the process that made this call."""
        os.kill(process_behind(*self.peer), signal.SIGKILL)

    def actions(self):
        """What IAM was asked for: (action, resource)."""
        pairs = list(self.also)
        if self.operation == "TransactWriteItems":
            for item in json.loads(self.body)["TransactItems"]:
                for kind, told in item.items():
                    pairs.append((f"dynamodb:{TRANSACTION[kind]}", told["TableName"]))
        else:
            pairs.append((f"{self.service}:{self.operation}", self.resource))
        if self.service == "s3" and self.operation == "GetObject" and self.status == 404:
            # To who may not list, S3 says 403 of what is not there.
            pairs.append(("s3:ListBucket", self.resource.split("/")[0]))
        return pairs


def environment(pid):
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return dict(pair.split("=", 1) for pair in file.read().decode(errors="replace").split("\0") if "=" in pair)
    except OSError:
        return {}


def processes():
    """The functions' processes: pid and environment."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            told = environment(int(name))
            if "AWS_LAMBDA_RUNTIME_API" in told:
                yield int(name), told


def process_behind(port, ours):
    """The function's process that holds the connection from this port to ours. The same port may lead elsewhere too."""
    sockets = set()
    with open("/proc/net/tcp") as table:
        for line in table.read().splitlines()[1:]:
            told = line.split()
            ends = [int(end.split(":")[1], 16) for end in told[1:3]]
            if ends == [port, ours]:
                sockets.add(f"socket:[{told[9]}]")
    for pid, _ in processes():
        if not sockets.isdisjoint(handles(pid)):
            return pid
    raise LookupError("the caller is gone")


def handles(pid):
    """What a process holds open; nothing if it is gone."""
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return
    for name in names:
        try:
            yield os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            pass


class FaultProxy:
    def __init__(self, upstream):
        self.upstream = upstream
        self.calls = []
        self.rules = []
        self.lock = threading.Lock()
        self.callers = {}
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                self.way = None

            def finish(self):
                if self.way:
                    self.way.close()
                super().finish()

            def pass_on(self):
                proxy.handle(self)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = pass_on

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request, client_address):
                # A caller that was killed hangs up; that is what some tests are about.
                if not isinstance(sys.exception(), OSError):
                    super().handle_error(request, client_address)

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()

    # What a test says.

    @contextmanager
    def broken(self, matches, how):
        """While this is open, calls that match go wrong. `how(call, pass_on)` answers (status, headers, body), or
        None for a connection that breaks off; `pass_on()` is what AWS answers."""
        rule = (matches, how)
        with self.lock:
            self.rules.insert(0, rule)
        try:
            yield
        finally:
            with self.lock:
                self.rules.remove(rule)

    def seen(self, **wanted):
        with self.lock:
            calls = list(self.calls)
        return [call for call in calls if all(getattr(call, name) == value for name, value in wanted.items())]

    # How it works.

    def caller(self, key):
        """Which function has these credentials."""
        if key not in self.callers:
            for _, told in processes():
                if told.get("AWS_ACCESS_KEY_ID") == key:
                    self.callers[key] = told["AWS_LAMBDA_FUNCTION_NAME"]
        return self.callers.get(key, "")

    def handle(self, request):
        body = read_body(request)
        call = self.understand(request, body)
        answered = {}

        def pass_on():
            if not answered:
                answered["it"] = self.forward(request, body)
            return answered["it"]

        with self.lock:
            rule = next((how for matches, how in self.rules if matches(call)), None)
        answer = rule(call, pass_on) if rule else pass_on()
        if answer is None:
            call.status = -1
        else:
            call.status = answer[0]
            call.code = code_of(answer) if answer[0] >= 400 else ""
            if call.service == "dynamodb" and call.status < 500:
                call.units = units(call.operation, body, answer[2], call.code)
        with self.lock:
            self.calls.append(call)
        if answer is None:
            request.close_connection = True
            request.connection.close()
            return
        status, headers, content = answer
        request.send_response_only(status)
        for name, value in headers:
            if name.lower() not in HOP | {"content-length"}:
                request.send_header(name, value)
        length = dict((name.lower(), value) for name, value in headers).get("content-length")
        request.send_header("Content-Length", length if request.command == "HEAD" and length else str(len(content)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(content)

    def forward(self, request, body):
        if request.way is None:
            request.way = http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=120)
        way = request.way
        way.putrequest(request.command, request.path, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers.items():
            if name.lower() not in HOP | {"content-length", "expect"}:
                way.putheader(name, value)
        way.putheader("X-Forwarded-Proto", "https")
        way.putheader("Content-Length", str(len(body)))
        way.endheaders(body)
        answer = way.getresponse()
        return answer.status, answer.getheaders(), answer.read()

    def understand(self, request, body):
        found = CREDENTIAL.search(request.headers.get("Authorization", ""))
        key, service = found.groups() if found else ("", "")
        function, peer = self.caller(key), (request.client_address[1], self.port)
        target = request.headers.get("X-Amz-Target", "")
        if target:
            operation = target.rsplit(".", 1)[1]
            return Call(function, peer, service, operation, table_of(operation, body) if service == "dynamodb" else "", body)
        if service == "s3":
            operation, resource, also = s3_action(request)
            return Call(function, peer, service, operation, resource, body, also=also)
        return Call(function, peer, service, f"{request.command} {urlsplit(request.path).path}", "", body)


def read_body(request):
    if "chunked" in request.headers.get("Transfer-Encoding", "").lower():
        parts = []
        while size := int(request.rfile.readline().split(b";")[0], 16):
            parts.append(request.rfile.read(size))
            request.rfile.readline()
        request.rfile.readline()
        return b"".join(parts)
    return request.rfile.read(int(request.headers.get("Content-Length") or 0))


def table_of(operation, body):
    told = json.loads(body)
    if operation in ("BatchGetItem", "BatchWriteItem"):
        return next(iter(told["RequestItems"]))
    table = told.get("TableName", "")
    return f"{table}/index/{told['IndexName']}" if "IndexName" in told else table


def s3_action(request):
    parts = urlsplit(request.path)
    path = unquote(parts.path).lstrip("/")
    query = parse_qs(parts.query, keep_blank_values=True)
    bucket = path.split("/")[0]
    if "list-type" in query:
        return "ListBucket", bucket, ()
    if request.command == "POST" and "delete" in query:
        return "DeleteObject", f"{bucket}/snapshots/", ()
    if request.command == "PUT":
        source = unquote(request.headers.get("x-amz-copy-source", "")).lstrip("/")
        return "PutObject", path, (("s3:GetObject", source),) if source else ()
    return {"GET": "GetObject", "HEAD": "GetObject", "DELETE": "DeleteObject"}[request.command], path, ()


def code_of(answer):
    """The code of a refusal, without its text."""
    text = answer[2].decode(errors="replace")
    found = re.search(r"<Code>([^<]+)</Code>", text) or re.search(r'"__type"\s*:\s*"(?:[^"#]*#)?([^"]+)"', text)
    return found[1] if found else ""


# What can go wrong.

def throttled(call, pass_on):
    body = json.dumps({"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException", "message": "Rate exceeded"})
    return 400, [("Content-Type", "application/x-amz-json-1.0")], body.encode()


def failing(call, pass_on):
    return 503, [("Content-Type", "application/xml")], b"<Error><Code>SlowDown</Code><Message>Reduce your rate.</Message></Error>"


def unanswered(call, pass_on):
    """It is done, and nobody hears of it."""
    pass_on()
    return None


def refused_entries(call, pass_on):
    entries = [{"ErrorCode": "ThrottlingException", "ErrorMessage": "slow down"} for _ in json.loads(call.body)["Entries"]]
    body = json.dumps({"FailedEntryCount": len(entries), "Entries": entries})
    return 200, [("Content-Type", "application/x-amz-json-1.1")], body.encode()


class Some:
    """Every n-th call goes wrong, the same ones each time."""

    def __init__(self, how, every):
        self.how, self.every, self.count, self.lock = how, every, 0, threading.Lock()

    def __call__(self, call, pass_on):
        with self.lock:
            self.count += 1
            hit = self.count % self.every == 0
        return self.how(call, pass_on) if hit else pass_on()
