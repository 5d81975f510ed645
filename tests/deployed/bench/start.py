"""Size and start of each function, next to the smallest function there can be, built in the same way.

    tests/deployed/bench/run [--starts 20]

Start is from exec to the first call of the runtime API; what AWS answers during init (secrets, warming up) is answered
at once by this process, so it is the program's own time. CPU is what the kernel accounts to the process until then;
at a memory size of M MB a function has M / 1769 of a core. Memory is the peak of the resident set.
"""

import argparse
import json
import os
import re
import select
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
SECRET = json.dumps({"SecretString": "a" * 64, "Name": "s", "ARN": "arn:aws:secretsmanager:eu-west-1:1:secret:s"}).encode()


class Aws:
    """Runtime API, Secrets Manager, DynamoDB and S3, as far as init asks them. One thread on bare sockets that answers in
    one write: what it takes is not to be seen beside what is measured."""

    def __init__(self):
        self.asked, self.at = threading.Event(), 0.0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        ready, connections = select.epoll(), {}
        ready.register(self.listener, select.EPOLLIN)
        while True:
            for number, _ in ready.poll():
                if number == self.listener.fileno():
                    connection, _ = self.listener.accept()
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    connections[connection.fileno()] = connection, b""
                    ready.register(connection, select.EPOLLIN)
                    continue
                connection, heard = connections[number]
                try:
                    more = connection.recv(65536)
                except ConnectionResetError:
                    more = b""
                if more:
                    connections[number] = connection, self.hear(connection, heard + more)
                else:
                    ready.unregister(connection)
                    del connections[number]
                    connection.close()

    def hear(self, connection, heard):
        """Answers each whole request, and keeps the rest."""
        while b"\r\n\r\n" in heard:
            head, rest = heard.split(b"\r\n\r\n", 1)
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            length = int(length[1]) if length else 0
            if len(rest) < length:
                break
            heard = rest[length:]
            if b"/runtime/invocation/next" in head:
                # No answer: the process ends here.
                self.at = time.perf_counter()
                self.asked.set()
                continue
            if head.startswith(b"POST"):
                status, kind, body = b"200 OK", b"application/x-amz-json-1.1", SECRET if b"GetSecretValue" in head else b"{}"
            else:
                # No link is there.
                status, kind, body = b"404 Not Found", b"application/xml", b"<Error><Code>NoSuchKey</Code><Message>none</Message></Error>"
            connection.sendall(b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (status, kind, len(body), body))
        return heard


def start(binary, aws):
    """Wall and CPU milliseconds to the first call of the runtime API, and the peak resident set in MB."""
    aws.asked.clear()
    here = f"http://127.0.0.1:{aws.port}"
    environment = {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{aws.port}", "AWS_LAMBDA_FUNCTION_NAME": "it", "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256", "AWS_LAMBDA_LOG_GROUP_NAME": "g", "AWS_LAMBDA_LOG_STREAM_NAME": "s",
        "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_ENDPOINT_URL": here,
        "CALMESH_TABLE": "table", "CALMESH_BUS": "bus", "CALMESH_STACK_ID": "stack", "CALMESH_LINKS_BASE": "https://d111.cloudfront.net",
        "CALMESH_EXPORTS_BUCKET": "exports", "CALMESH_SNAPSHOTS_BUCKET": "snapshots", "CALMESH_DEPLOYMENT_SECRET": "d",
        "CALMESH_OPERATOR_KEY": "o", "CALMESH_KMS_KEY": "k", "CALMESH_ACCESS_LOG_BUCKET": "log",
    }
    began = time.perf_counter()
    process = subprocess.Popen([binary], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        if not aws.asked.wait(20):
            sys.exit(f"{binary} never asked for work")
        wall = (aws.at - began) * 1000
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
    aws = Aws()
    binaries = {"hello": HOME / "target/lambda/hello/bootstrap"}
    binaries |= {name: HOME / f".aws-sam/build/{name.capitalize()}/bootstrap" for name in ("schedule", "fetch", "merge", "access", "api")}
    print("| function | unzipped MB | zipped MB | start ms, median | slowest | CPU ms | beside hello | peak MB |\n| --- | --- | --- | --- | --- | --- | --- | --- |")
    runs = {name: [] for name in binaries}
    for _ in range(starts):
        # In turns, so that a busy minute of the machine is everybody's.
        for name, binary in binaries.items():
            runs[name].append(start(binary, aws))
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
