"""Size and start of each function, next to the smallest function there can be, built in the same way.

    tests/deployed/bench/run [--starts 20]

Start is from exec to the first call of the runtime API; what AWS answers during init (secrets, warming up) is answered
at once by this process, so it is the program's own time. CPU is what the kernel accounts to the process until then;
at a memory size of M MB a function has M / 1769 of a core. Memory is the peak of the resident set.
"""

import argparse
import asyncio
import json
import os
import queue
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

HOME = Path(__file__).resolve().parents[3]
TICKS = os.sysconf("SC_CLK_TCK")


class Aws(asyncio.Protocol):
    """Runtime API, Secrets Manager, DynamoDB and S3, as far as init asks them. Answers in one write, from one thread: what
    it takes is not to be seen beside what is measured."""

    asked = threading.Event()

    def connection_made(self, transport):
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.heard = b""

    def data_received(self, data):
        self.heard += data
        while b"\r\n\r\n" in self.heard:
            head, rest = self.heard.split(b"\r\n\r\n", 1)
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            length = int(length[1]) if length else 0
            if len(rest) < length:
                return
            self.heard = rest[length:]
            self.answer(head)

    def answer(self, head):
        if b"/runtime/invocation/next" in head:
            # No answer: the process ends here.
            Aws.at = time.perf_counter()
            Aws.asked.set()
        elif head.startswith(b"POST"):
            secret = b"GetSecretValue" in head
            told = {"SecretString": "a" * 64, "Name": "s", "ARN": "arn:aws:secretsmanager:eu-west-1:1:secret:s"} if secret else {}
            self.tell(b"200 OK", json.dumps(told).encode(), b"application/x-amz-json-1.1")
        elif b"not-found" in head:
            # The page of unknown links is there; no link is.
            self.tell(b"200 OK", b"Not found\n", b"text/plain\r\nETag: \"1\"\r\nLast-Modified: Sat, 21 Nov 2026 12:00:00 GMT")
        else:
            self.tell(b"404 Not Found", b"<Error><Code>NoSuchKey</Code><Message>none</Message></Error>", b"application/xml")

    def tell(self, status, body, kind):
        self.transport.write(b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (status, kind, len(body), body))


def serve():
    """The port on which it is served from now on."""
    loop, port = asyncio.new_event_loop(), queue.Queue()

    async def listen():
        server = await loop.create_server(Aws, "127.0.0.1", 0)
        port.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    threading.Thread(target=loop.run_until_complete, args=(listen(),), daemon=True).start()
    return port.get()


def start(binary, port):
    """Wall and CPU milliseconds to the first call of the runtime API, and the peak resident set in MB."""
    Aws.asked.clear()
    here = f"http://127.0.0.1:{port}"
    environment = {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}", "AWS_LAMBDA_FUNCTION_NAME": "it", "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256", "AWS_LAMBDA_LOG_GROUP_NAME": "g", "AWS_LAMBDA_LOG_STREAM_NAME": "s",
        "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_ENDPOINT_URL": here,
        "CALMESH_TABLE": "table", "CALMESH_BUS": "bus", "CALMESH_LINKS_BASE": "https://d111.cloudfront.net",
        "CALMESH_EXPORTS_BUCKET": "exports", "CALMESH_SNAPSHOTS_BUCKET": "snapshots", "CALMESH_DEPLOYMENT_SECRET": "d",
        "CALMESH_OPERATOR_KEY": "o", "CALMESH_KMS_KEY": "k",
    }
    began = time.perf_counter()
    process = subprocess.Popen([binary], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        if not Aws.asked.wait(20):
            sys.exit(f"{binary} never asked for work")
        wall = (Aws.at - began) * 1000
        # Nanoseconds on a core, of all threads.
        cpu = sum(int(task.joinpath("schedstat").read_text().split()[0]) for task in Path(f"/proc/{process.pid}/task").iterdir()) / 1e6
        status = Path(f"/proc/{process.pid}/status").read_text()
        peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024
    finally:
        process.kill()
        process.wait()
    return wall, cpu, peak


def zipped(binary):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "it.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.write(binary, "bootstrap")
        return path.stat().st_size


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=20)
    starts = parser.parse_args().starts
    port = serve()
    binaries = {"hello": HOME / "target/lambda/hello/bootstrap"}
    binaries |= {name: HOME / f".aws-sam/build/{name.capitalize()}/bootstrap" for name in ("schedule", "fetch", "merge", "api")}
    print("| function | unzipped MB | zipped MB | start ms, median | slowest | CPU ms | beside hello | peak MB |\n| --- | --- | --- | --- | --- | --- | --- | --- |")
    runs = {name: [] for name in binaries}
    for _ in range(starts):
        # In turns, so that a busy minute of the machine is everybody's.
        for name, binary in binaries.items():
            runs[name].append(start(binary, port))
    base = statistics.median(wall for wall, _, _ in runs["hello"])
    for name, binary in binaries.items():
        walls, cpus, peaks = zip(*runs[name])
        wall = statistics.median(walls)
        print(
            f"| {name} | {binary.stat().st_size / 1e6:.1f} | {zipped(binary) / 1e6:.2f} | {wall:.1f} | {max(walls):.1f} "
            f"| {statistics.median(cpus):.1f} | {wall / base:.1f} × | {max(peaks):.1f} |"
        )


if __name__ == "__main__":
    main()
