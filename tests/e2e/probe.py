# SPDX-License-Identifier: Apache-2.0
"""Drives tests/bpf/capture_probe: the real capture under the smallest proxy."""
import contextlib
import ipaddress
import json
import os
import queue
import socket
import struct
import subprocess
import threading
import time

import ztunnel

REPLY_TIMEOUT = 20


def binary():
    build = os.environ.get("CULVERT_BUILD", "build")
    path = os.path.join(ztunnel.ROOT, build, "tests", "bpf", "capture_probe")
    if not os.path.exists(path):
        raise ztunnel.LabError(f"{path} does not exist: build it (ninja -C {build})")
    return path


def split(text):
    """"1.2.3.4:5" or "[::1]:5" as (address, port)."""
    host, port = text.rsplit(":", 1)
    return str(ipaddress.ip_address(host.strip("[]"))), int(port)


class Conn:
    """One connection a probe accepted."""

    def __init__(self, event):
        self.kind = event["kind"]
        self.worker = event["worker"]
        self.netns = event["netns"]
        self.src, self.src_port = split(event["src"])
        self.dst, self.dst_port = split(event["dst"])

    def __repr__(self):
        return f"<{self.kind} {self.src}:{self.src_port} -> {self.dst}:{self.dst_port}>"


class Probe:
    """A probe on a node. Its connections since the last look are in order of arrival."""

    def __init__(self, node, workers=2, guard="enforce", clsact=False, v4only=False):
        argv = [binary(), node.bpf_root, str(workers), guard]
        argv += [word for word, on in (("clsact", clsact), ("v4only", v4only)) if on]
        self.node = node
        self.process = node.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                  bufsize=1,
                                  env={**os.environ, "UBSAN_OPTIONS": "halt_on_error=1"})
        self.replies, self.conns = queue.Queue(), queue.Queue()
        self.failures = []
        self.refused = {}  # as of the last counts
        threading.Thread(target=self._read, daemon=True).start()
        started = self._reply("start")
        if started["error"]:
            raise ztunnel.LabError(started["error"])

    def _read(self):
        for line in self.process.stdout:
            event = json.loads(line)
            if event["event"] == "conn":
                self.conns.put(Conn(event))
            elif event["event"] == "refused":
                self.refused[event["request"], event["reason"]] = event["count"]
            elif event["event"] == "failed":
                self.failures.append(event)
            else:
                self.replies.put(event)

    def _reply(self, kind):
        event = self.replies.get(timeout=REPLY_TIMEOUT)
        assert event["event"] == kind, event
        return event

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self._reply(line.split()[0])

    def done(self, line):
        """ask(), which must succeed."""
        reply = self.ask(line)
        assert reply["error"] == "OK", reply
        return reply

    def enroll(self, pod, words=""):
        return self.done(f"enroll {pod.netns} {words}".strip())

    def release(self, pod):
        return self.done(f"release {pod.netns}")

    def next_conn(self, timeout=5):
        return self.conns.get(timeout=timeout)

    def seen(self):
        """What arrived since the last look, after everything under way was handled."""
        self.ask("live")
        found = []
        while not self.conns.empty():
            found.append(self.conns.get())
        return found

    def live(self):
        return self.ask("live")["live"]

    def settle(self, down_to=0, timeout=20):
        """Waits until no more than so many connections are being proxied."""
        deadline = time.monotonic() + timeout
        while self.live() > down_to:
            assert time.monotonic() < deadline, "connections do not end"
            time.sleep(0.02)

    def kill(self):
        self.process.kill()
        self.process.wait()


class Greeter:
    """A server in a place: says who called, then echoes."""

    def __init__(self, place, port, address="::", listener=None):
        self.socket = listener or place.listen(port, address, backlog=4096)
        self.port = port
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                conn, peer = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(conn, peer), daemon=True).start()

    @staticmethod
    def _serve(conn, peer):
        host = ipaddress.ip_address(peer[0].split("%")[0])
        host = getattr(host, "ipv4_mapped", None) or host
        try:
            conn.sendall(f"{host} {peer[1]}\n".encode())
            while True:
                data = conn.recv(65536)
                if not data:
                    break
                conn.sendall(data)
            conn.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        conn.close()

    def close(self):
        # wakes the thread that waits in accept(), which close() alone does not
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def read_line(conn):
    line = b""
    while not line.endswith(b"\n"):
        part = conn.recv(1)
        if not part:
            raise ConnectionResetError("closed before the greeting")
        line += part
    return line.decode().split()


def greeting(conn):
    """(address, port) as which a Greeter sees this connection."""
    host, port = read_line(conn)
    return host, int(port)


def echoes(conn, text=b"still here"):
    conn.sendall(text)
    got = b""
    while len(got) < len(text):
        part = conn.recv(len(text) - len(got))
        if not part:
            return False
        got += part
    return got == text


def tcp_syn(src, dst, sport, dport):
    """An IPv4 SYN with its header, checksums right."""
    def checksum(data):
        total = sum(struct.unpack(f"!{len(data) // 2}H", data))
        total = (total & 0xFFFF) + (total >> 16)
        return ~(total + (total >> 16)) & 0xFFFF
    s, d = socket.inet_aton(src), socket.inet_aton(dst)
    segment = struct.pack("!HHIIBBHHH", sport, dport, 1, 0, 0x50, 0x02, 1024, 0, 0)
    pseudo = s + d + struct.pack("!BBH", 0, 6, len(segment))
    segment = segment[:16] + struct.pack("!H", checksum(pseudo + segment)) + segment[18:]
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(segment), 7, 0, 64, 6, 0, s, d)
    return head, segment


@contextlib.contextmanager
def enrolled(world, pod, words=""):
    """The pod, captured by the world's first probe until the end of the block."""
    world.pa.enroll(pod, words)
    try:
        yield pod
    finally:
        world.pa.release(pod)
