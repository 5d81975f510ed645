"""The least that reading feeds can cost: one connection, GET and a digest of each body, in a few lines over a socket.

    python3 tests/bench/floor.py < urls      prints CPU seconds and MB at the most
"""

import hashlib
import resource
import socket
import sys
import time
from urllib.parse import urlsplit


def main():
    begun = time.process_time()
    urls = [urlsplit(line.strip()) for line in sys.stdin]
    server = socket.create_connection((urls[0].hostname, urls[0].port))
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for url in urls:
        server.sendall(f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += server.recv(65536)
        head, body = answer.split(b"\r\n\r\n", 1)
        length = int(next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")).split(b":")[1])
        while len(body) < length:
            body += server.recv(65536)
        hashlib.sha256(body).digest()
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(used.ru_utime + used.ru_stime - begun, used.ru_maxrss / 1024)


if __name__ == "__main__":
    main()
