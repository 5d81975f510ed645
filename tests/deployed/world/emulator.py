"""AWS on this machine: MiniStack, which runs the functions' real binaries as processes, with IAM turned on."""

import json
import os
import socket
import subprocess
import tempfile
import urllib.request
from pathlib import Path

import boto3
from botocore.config import Config

from world.waiting import until

REGION = "eu-west-1"
ROOT = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION, "AWS_REGION": REGION}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def over_tls(request, **_):
    """Plays the end of TLS, as the functions' way does."""
    request.headers["X-Forwarded-Proto"] = "https"


class Emulator:
    def __init__(self, binary, port, endpoint_of_functions, log):
        """`endpoint_of_functions` is where the functions find AWS."""
        self.port = port
        self.folder = tempfile.TemporaryDirectory(prefix="calmesh-deployed-")
        self.log_path = log
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = open(log, "wb")
        home = Path(self.folder.name)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TMPDIR": str(home),
            **ROOT,
            "GATEWAY_PORT": str(port),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_REGION": REGION,
            "AWS_ENDPOINT_URL": endpoint_of_functions,
            # Every call is checked against the policies of the role that makes it.
            "AUTH": "true",
            "S3_DATA_DIR": str(home / "s3"),
            "STATE_DIR": str(home / "state"),
        }
        self.process = subprocess.Popen([binary], env=environment, stdout=self.log, stderr=self.log, cwd=home, start_new_session=True)
        until(self.answers, "the emulator answers", within=90)

    def answers(self):
        assert self.process.poll() is None, f"the emulator ended; see {self.log_path}"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/_ministack/health", timeout=5) as answer:
                return json.load(answer)
        except OSError:
            return None

    def client(self, service):
        """A client with the rights of the account, through the emulator's own door."""
        config = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1})
        client = boto3.client(
            service,
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=config,
        )
        client.meta.events.register("before-send", over_tls)
        return client

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        self.folder.cleanup()
