"""The program under a benchmark, with what the operating system says of it."""

import json
import os
import sqlite3
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

    def rows(self):
        """What every row of its databases holds, as digests: what another look has and this one has not was written since."""
        held = set()
        for file in ("store.db", "objects.db"):
            base = sqlite3.connect(f"file:{os.path.join(self.ready['data'], file)}?mode=ro", uri=True)
            for (table,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                held.update(hash((table, row)) for row in base.execute(f'SELECT * FROM "{table}"'))
            base.close()
        return held

    def forget_peak(self):
        """`VmHWM` is the most from now on."""
        with open(f"/proc/{self.pid}/clear_refs", "w") as peak:
            peak.write("5")

    def call(self, path, body=None, token=None):
        """What the API answers; asks again where it says when. By the first account, or whose token this is."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.ready["api"] + path, data=data)
        request.add_header("Authorization", "Bearer " + (token or self.ready["token"]))
        request.add_header("Content-Type", "application/json")
        while True:
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                if error.code not in (429, 503):
                    raise
                time.sleep(float(error.headers["Retry-After"]))


def period_that_ends_in(seconds, shortest):
    """A period for sweeps, of which a whole one ends in so many seconds, or up to ten more: they come at whole periods since
    1970. No sweep comes before, and none for `shortest` after it."""
    now = int(time.time())
    return next(period for period in range(shortest, 86_400) if 0 <= -now % period - seconds < 10)


def sleep_to_sweep(period):
    time.sleep(-time.time() % period)


@contextmanager
def running(binary, *, sweep_every, folder=None):
    """The program on an empty folder, or on this one; ended afterwards."""
    with tempfile.TemporaryDirectory() as empty:
        process = subprocess.Popen(
            [binary, "serve", "--json", "--listen", "127.0.0.1:0", "--data", folder or empty, "--allow-private-feeds",
             "--sweep-every", sweep_every], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            yield Program(process)
        finally:
            process.terminate()
            process.wait()
