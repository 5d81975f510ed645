"""The program under a benchmark, with what the operating system says of it."""

import json
import os
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

TICK = os.sysconf("SC_CLK_TCK")


class Program:
    def __init__(self, process):
        self.pid = process.pid
        self.ready = json.loads(process.stdout.readline())

    def cpu(self):
        """User and system seconds so far."""
        fields = open(f"/proc/{self.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def memory(self, what):
        """MB: `VmRSS` now, `VmHWM` at the most."""
        for line in open(f"/proc/{self.pid}/status"):
            if line.startswith(what):
                return int(line.split()[1]) / 1024
        return 0.0

    def written(self):
        """Bytes that it had the disk write so far."""
        for line in open(f"/proc/{self.pid}/io"):
            if line.startswith("write_bytes"):
                return int(line.split()[1])
        return 0

    def call(self, path, body=None):
        """What the API answers; asks again where it says when."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.ready["api"] + path, data=data)
        request.add_header("Authorization", "Bearer " + self.ready["token"])
        request.add_header("Content-Type", "application/json")
        while True:
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                if error.code not in (429, 503):
                    raise
                time.sleep(float(error.headers["Retry-After"]))


@contextmanager
def running(binary, *, sweep_every):
    """The program on an empty folder; ended afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [binary, "serve", "--json", "--listen", "127.0.0.1:0", "--data", folder, "--allow-private-feeds",
             "--sweep-every", sweep_every], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            yield Program(process)
        finally:
            process.terminate()
            process.wait()
