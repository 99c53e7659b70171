#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Applications for the pods: programs that know nothing of a mesh.

    apps.py whoami PORT               HTTP: tells every caller the address it sees and a secret
    apps.py exchange-server PORT      both sides send and hash at once; see Exchange
    apps.py exchange ADDRESS PORT --bytes N [--connections N] [--write-size N] [--seed N]
"""
import argparse
import hashlib
import json
import random
import socket
import struct
import sys
import threading

SECRET = "the launch code is swordfish"
HELLO = struct.Struct("!QQI")  # seed, bytes, size of one write
BLOCK_SIZE = 1 << 20


def plain_address(peer):
    """The peer of a dual-stack socket as people write it."""
    return peer[0].removeprefix("::ffff:")


def listener(port):
    s = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True,
                             backlog=512)
    return s


# -- whoami ----------------------------------------------------------------------

def _answer(conn, peer):
    with conn:
        conn.settimeout(10)
        asked = b""
        while b"\r\n\r\n" not in asked and len(asked) < 65536:
            part = conn.recv(4096)
            if not part:
                return
            asked += part
        body = f"you are {plain_address(peer)}; {SECRET}\n"
        conn.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n"
                     f"Connection: close\r\n\r\n{body}".encode())


def whoami(port):
    with listener(port) as s:
        while True:
            conn, peer = s.accept()
            threading.Thread(target=_answer, args=(conn, peer), daemon=True).start()


# -- exchange ----------------------------------------------------------------------

class Exchange:
    """One connection on which both ends send `size` bytes of their own at the same time.

    Each ends its stream with a half-close and keeps a SHA-256 of what it sent and what it got.
    """

    def __init__(self, conn, seed, size, write_size):
        self.conn = conn
        self.size = size
        self.write_size = write_size
        self.block = bytearray(random.Random(seed).randbytes(BLOCK_SIZE))
        self.sent = hashlib.sha256()
        self.got = hashlib.sha256()
        self.got_bytes = 0
        self.failure = None

    def _send(self):
        try:
            left, count = self.size, 0
            while left > 0:
                struct.pack_into("!Q", self.block, 0, count)
                part = memoryview(self.block)[:min(left, BLOCK_SIZE)]
                self.sent.update(part)
                for at in range(0, len(part), self.write_size):
                    self.conn.sendall(part[at:at + self.write_size])
                left -= len(part)
                count += 1
            self.conn.shutdown(socket.SHUT_WR)
        except OSError as error:
            self.failure = f"sending: {error}"

    def _receive(self):
        buffer = bytearray(BLOCK_SIZE)
        view = memoryview(buffer)
        try:
            while True:
                count = self.conn.recv_into(buffer)
                if count == 0:
                    return
                self.got.update(view[:count])
                self.got_bytes += count
        except OSError as error:
            self.failure = f"receiving: {error}"

    def run(self):
        self.conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sender = threading.Thread(target=self._send, daemon=True)
        sender.start()
        self._receive()
        sender.join()
        return {"sent": self.sent.hexdigest(), "got": self.got.hexdigest(),
                "bytes": self.got_bytes, "failure": self.failure}


def _serve_exchange(conn, peer, lock):
    with conn:
        hello = conn.recv(HELLO.size, socket.MSG_WAITALL)
        if len(hello) < HELLO.size:
            return
        seed, size, write_size = HELLO.unpack(hello)
        result = Exchange(conn, seed + (1 << 32), size, write_size).run()
    result.update(seed=seed, peer=plain_address(peer))
    with lock:
        print(json.dumps(result), flush=True)


def exchange_server(port):
    lock = threading.Lock()
    with listener(port) as s:
        while True:
            conn, peer = s.accept()
            threading.Thread(target=_serve_exchange, args=(conn, peer, lock),
                             daemon=True).start()


def exchange(options):
    results = []

    def one(seed):
        with socket.create_connection((options.address, options.port), 30) as conn:
            conn.settimeout(options.timeout)
            conn.sendall(HELLO.pack(seed, options.bytes, options.write_size))
            result = Exchange(conn, seed, options.bytes, options.write_size).run()
        result["seed"] = seed
        results.append(result)

    threads = [threading.Thread(target=one, args=(options.seed + n,))
               for n in range(options.connections)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for result in results:
        print(json.dumps(result))
    return 0 if len(results) == options.connections else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    programs = parser.add_subparsers(dest="program", required=True)
    for name in ("whoami", "exchange-server"):
        programs.add_parser(name).add_argument("port", type=int)
    client = programs.add_parser("exchange")
    client.add_argument("address")
    client.add_argument("port", type=int)
    client.add_argument("--bytes", type=int, required=True)
    client.add_argument("--connections", type=int, default=1)
    client.add_argument("--write-size", type=int, default=BLOCK_SIZE)
    client.add_argument("--seed", type=int, default=1)
    client.add_argument("--timeout", type=float, default=60)
    options = parser.parse_args()
    if options.program == "whoami":
        return whoami(options.port)
    if options.program == "exchange-server":
        return exchange_server(options.port)
    return exchange(options)


if __name__ == "__main__":
    sys.exit(main())
