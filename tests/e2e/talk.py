# SPDX-License-Identifier: Apache-2.0
"""Small servers for the pods, as threads of the test, and what tests say to them."""
import contextlib
import json
import os
import select
import socket
import struct
import sys
import threading
import time

import apps
import ztunnel

APPS = [sys.executable, os.path.join(ztunnel.ROOT, "tests", "lab", "apps.py")]


class Server:
    """Listens in a place and hands every connection to `serve(conn)` on a thread of its own.

    peers: the client addresses it saw, in order
    """

    def __init__(self, place, port, serve, address="::"):
        self.socket = place.listen(port, address)
        self.serve = serve
        self.peers = []
        self.conns = []
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                conn, peer = self.socket.accept()
            except OSError:
                return
            conn.settimeout(60)
            self.peers.append(apps.plain_address(peer))
            thread = threading.Thread(target=self._run, args=(conn,), daemon=True)
            self.conns.append((conn, thread))
            thread.start()

    def _run(self, conn):
        with contextlib.suppress(OSError):
            self.serve(conn)

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join(5)
        self.socket.close()
        for conn, _ in self.conns:
            with contextlib.suppress(OSError):
                conn.shutdown(socket.SHUT_RDWR)
        for conn, thread in self.conns:
            thread.join(0.2)  # closed under its reader, the number may already be another socket
            conn.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def echo(conn):
    """Sends everything back, then ends as the client ended."""
    while True:
        data = conn.recv(65536)
        if not data:
            break
        conn.sendall(data)
    conn.shutdown(socket.SHUT_WR)
    conn.close()


def hold(conn):
    """Keeps the connection and never says a word."""
    while conn.fileno() >= 0:
        time.sleep(0.1)


@contextlib.contextmanager
def full_queue(place, port):
    """A listener that takes nobody in: further SYNs go unanswered, as behind a NetworkPolicy."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(place.listen(port, "0.0.0.0", backlog=0))
        for _ in range(2):
            with place.entered():
                filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        ztunnel.wait_until(lambda: _is_refusing(place, port), 10, "the queue is full")
        yield


def _is_refusing(place, port):
    try:
        place.connect("127.0.0.1", port, timeout=0.2).close()
        return False
    except socket.timeout:
        return True


def named(name):
    """A server that says its name first and closes."""
    def serve(conn):
        conn.sendall(name.encode())
        conn.close()
    return serve


def splice(a, b, seen):
    """Passes bytes on between two sockets, both ways, and remembers them."""
    def run(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                seen.append(data)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
    for pair in ((a, b), (b, a)):
        threading.Thread(target=run, args=pair, daemon=True).start()


def read_all(conn):
    data = b""
    while True:
        part = conn.recv(65536)
        if not part:
            return data
        data += part


def read_exactly(conn, size):
    data = b""
    while len(data) < size:
        part = conn.recv(size - len(data))
        if not part:
            raise ConnectionError(f"ended after {len(data)} of {size} bytes")
        data += part
    return data


def ask(place, address, port, text=b"marco", timeout=10):
    """One round with an echo server; the connection is closed again."""
    with place.connect(address, port, timeout) as conn:
        conn.sendall(text)
        answer = read_exactly(conn, len(text))
        assert answer == text
        return answer


def served(place, address, port, timeout=3):
    """Whether an echo server can be reached just now."""
    try:
        ask(place, address, port, timeout=timeout)
        return True
    except OSError:
        return False


def reset(conn):
    """Closes so that the peer gets a reset."""
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()


def ending(conn, timeout=15):
    """How the peer ends the connection: "fin", "reset", or "open" when it does not."""
    conn.settimeout(timeout)
    try:
        while conn.recv(65536):
            pass
        return "fin"
    except ConnectionResetError:
        return "reset"
    except (TimeoutError, socket.timeout):
        return "open"


def refused(place, address, port, say=b""):
    """Whether a connection is refused, or ended without a byte in answer."""
    try:
        with place.connect(address, port) as conn:
            if say:
                conn.sendall(say)
            conn.settimeout(15)
            return conn.recv(1) == b""
    except ConnectionError:
        return True


def stays_silent(conn, seconds):
    """Whether nothing, not even an end, arrives for a while."""
    return not select.select([conn], [], [], seconds)[0]


class ExchangeServer:
    """apps.py exchange-server in a pod; results by the seed of the connection."""

    def __init__(self, pod, port):
        self.path = os.path.join(pod.lab.dir, f"exchange-{pod.name}-{port}.out")
        with open(self.path, "wb") as out:
            self.process = pod.popen(APPS + ["exchange-server", str(port)], stdout=out)
        pod.wait_listening(port)

    def results(self):
        with open(self.path, encoding="ascii") as f:
            return {r["seed"]: r for r in map(json.loads, f)}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def exchange(pod, address, port, size, connections=1, write_size=None, seed=1, timeout=50):
    """Runs the client and returns its results by seed."""
    argv = APPS + ["exchange", address, str(port), "--bytes", str(size), "--connections",
                   str(connections), "--seed", str(seed), "--timeout", str(timeout)]
    if write_size:
        argv += ["--write-size", str(write_size)]
    done = pod.run(argv, timeout=timeout + 5)
    return {r["seed"]: r for r in map(json.loads, done.stdout.splitlines())}


def assert_exchanged(mine, server, size):
    """Both ends of every connection have what the other sent, to the last bit."""
    ztunnel.wait_until(lambda: set(mine) <= set(server.results()), 20,
                       "the server has reported every connection")
    theirs = server.results()
    for seed, result in mine.items():
        other = theirs[seed]
        assert result["failure"] is None and other["failure"] is None
        assert result["bytes"] == size and other["bytes"] == size
        assert result["got"] == other["sent"], "bytes from the server arrived changed"
        assert other["got"] == result["sent"], "bytes from the client arrived changed"
