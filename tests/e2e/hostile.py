# SPDX-License-Identifier: Apache-2.0
"""Hostile clients of a pod's HBONE port: what they send, and what has to become of them.

An attack is a function over a Wire; ATTACKS lists them all with the budget that ends each.
"""
import contextlib
import os
import select
import socket
import ssl
import struct
import sys
import threading
import time

HBONE_PORT = 15008
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
ACK = END_STREAM = 1
END_HEADERS, PADDED = 4, 8
FLOOD_SECONDS = 20  # how long a flood goes on when nothing stops it
PACE = 0.2          # between the octets of who is slow on purpose

# What ends an attack; the names are those of docs/protocols.md.
HANDSHAKE = "handshake"  # CULVERT_HANDSHAKE_TIMEOUT
SILENCE = "silence"      # a PING and its timeout
NUISANCE = "nuisance"    # H2_CONTROL_BURST, H2_RESET_BURST and their rates
PROTOCOL = "protocol"    # the first frame that breaks a rule ends the tunnel
STREAM = "stream"        # only the stream ends; the tunnel is still good
BOUNDED = "bounded"      # within the rules: it stays, and costs no more than it may


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(
        ">I", stream) + payload


def _length(n):
    if n < 127:
        return bytes((n,))
    n -= 127
    out = bytearray((127,))
    while n >= 128:
        out.append(n % 128 | 128)
        n //= 128
    return bytes(out) + bytes((n,))


def literal(name, value):
    """A field without indexing and without Huffman."""
    return b"\x00" + _length(len(name)) + name + _length(len(value)) + value


def fields(*pairs):
    return b"".join(literal(n.encode(), v if isinstance(v, bytes) else v.encode())
                    for n, v in pairs)


def head(*pairs):
    """The beginning of a head: our table shrinks to what the server offers, which is none."""
    return b"\x20" + fields(*pairs)


class Gone(Exception):
    """The peer ended the connection."""


class Wire:
    """A TCP connection whose TLS records are made here, so that they can be cut anywhere."""

    def __init__(self, target):
        self.target = target
        self.raw = target.place.connect(target.address, HBONE_PORT)
        self.raw.setblocking(False)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = target.tls.wrap_bio(self.incoming, self.outgoing)
        self.up = False
        self.plain = b""

    # -- octets -----------------------------------------------------------------

    def poll(self, events, seconds):
        waiting = select.poll()
        waiting.register(self.raw, events)
        return waiting.poll(seconds * 1000)

    def read(self, seconds=0.0):
        """Takes what is there; raises Gone at the end."""
        if not self.poll(select.POLLIN, seconds):
            return
        try:
            data = self.raw.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError as error:
            raise Gone from error
        if not data:
            raise Gone
        self.incoming.write(data)
        if self.up:
            with contextlib.suppress(ssl.SSLWantReadError):
                try:
                    while True:
                        part = self.tls.read(1 << 16)
                        if not part:
                            raise Gone
                        self.plain = (self.plain + part)[-65536:]
                except ssl.SSLZeroReturnError as error:
                    raise Gone from error

    def send(self, data, reading=True, seconds=FLOOD_SECONDS):
        """Sends all of it; who does not read gives up silently when the peer takes no more."""
        view, deadline = memoryview(data), time.monotonic() + seconds
        while view and time.monotonic() < deadline:
            try:
                view = view[self.raw.send(view):]
            except BlockingIOError:
                self.poll(select.POLLOUT | (select.POLLIN if reading else 0), 0.1)
            except OSError as error:
                raise Gone from error
            if reading:
                self.read()

    # -- TLS ----------------------------------------------------------------------

    def hello(self):
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self.outgoing.read()

    def handshake(self, until="end"):
        self.send(self.hello())
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            self.read(0.5)
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                pass
        if until == "finished":  # everything came, our answer stays here
            return
        self.send(self.outgoing.read())
        self.up = True

    def records(self, plain):
        self.tls.write(plain)
        return self.outgoing.read()

    def say(self, plain, **more):
        self.send(self.records(plain), **more)

    # -- HTTP/2 ---------------------------------------------------------------------

    def open(self, settings=b"", acknowledge=True):
        self.handshake()
        self.say(PREFACE + frame(SETTINGS, payload=settings)
                 + (frame(SETTINGS, ACK) if acknowledge else b""))

    def request(self, stream, *more, authority=None, flags=END_HEADERS):
        authority = authority or f"{self.target.address}:{self.target.port}"
        return frame(HEADERS, flags, stream,
                     head((":method", "CONNECT"), (":authority", authority), *more))

    def flood(self, make, reading=True, seconds=FLOOD_SECONDS):
        """make(n) again and again until the peer ends it, or time is over."""
        deadline, n = time.monotonic() + seconds, 0
        while time.monotonic() < deadline:
            plain = b""
            while len(plain) < 8000:
                plain += make(n)
                n += 1
            self.say(plain, reading=reading)

    def wait(self, seconds, pongs=True):
        """Until the peer ends it; answers PINGs when asked to. Returns when it does not end."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.read(0.1)
            if pongs:
                self.pong()

    def pong(self):
        at = self.plain.rfind(b"\x00\x00\x08" + bytes((PING, 0)) + b"\x00" * 4)
        if at >= 0 and len(self.plain) >= at + 17:
            opaque, self.plain = self.plain[at + 9:at + 17], b""
            self.say(frame(PING, ACK, 0, opaque))

    def close(self):
        self.raw.close()


class Target:
    def __init__(self, place, address, port, tls):
        self.place, self.address, self.port, self.tls = place, address, port, tls


# -- before anybody is known ---------------------------------------------------------------

def slowly(wire, data):
    for i in range(len(data)):
        wire.send(data[i:i + 1])
        wire.read(PACE)


def one_octet_records(w):
    hello = w.hello()
    body = hello[5:]
    slowly_made = [b"\x16\x03\x01\x00\x01" + body[i:i + 1] for i in range(len(body))]
    for record in slowly_made[:-1]:
        w.send(record)


def until_finished_then_nothing(w):
    w.handshake(until="finished")


def endless_hello(w):
    """A ClientHello that says it is 16 MiB long, record after record."""
    w.send(b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + b"\x03\x03" + b"a" * 16378)
    while True:
        w.send(b"\x16\x03\x03\x40\x00" + b"a" * 16384)
        w.read(0.01)


def repeat_raw(record):
    def attack(w):
        deadline = time.monotonic() + FLOOD_SECONDS
        while time.monotonic() < deadline:
            w.send(record * 500)
            w.read(0.01)
    return attack


def raw(data):
    return lambda w: w.send(data)


def half_closed_at_once(w):
    w.send(w.hello()[:20])
    w.raw.shutdown(socket.SHUT_WR)


# -- TLS is up, HTTP/2 is not ------------------------------------------------------------------

def after_handshake(data, slow=False):
    def attack(w):
        w.handshake()
        if slow:
            for i in range(len(data)):
                w.say(data[i:i + 1])
                w.read(PACE)
        elif data:
            w.say(data)
    return attack


def half_a_record(w):
    w.open()
    w.send(w.records(frame(PING, 0, 0, b"x" * 8) + b"x" * 16000)[:100])


def half_a_record_after_much(w):
    w.open()
    w.say(w.request(1))
    for _ in range(40):
        w.say(frame(DATA, 0, 1, b"x" * 16000))
        w.read(0.005)
    w.send(w.records(b"x" * 16000)[:9000])


def a_record_octet_by_octet(w):
    w.open()
    slowly(w, w.records(b"x" * 16000)[:400])


def bad_record(w):
    w.open()
    record = bytearray(w.records(frame(PING, 0, 0, b"x" * 8)))
    record[-1] ^= 1
    w.send(bytes(record))


# -- HTTP/2 ---------------------------------------------------------------------------------------

def flood(make, reading=True, first=None):
    def attack(w):
        w.open()
        if first:
            w.say(first(w))
        w.flood(lambda n: make(w, n), reading=reading)
    return attack


def once(make, settings=b""):
    def attack(w):
        w.open(settings)
        w.say(make(w))
    return attack


def setting(key, value):
    return struct.pack(">HI", key, value)


def window(stream, n):
    return frame(WINDOW, 0, stream, struct.pack(">I", n))


def stream_id(n):
    return 2 * n + 1


def rapid_reset(w, n):
    return w.request(stream_id(n)) + frame(RST, 0, stream_id(n), struct.pack(">I", 8))


def made_reset(w, n):
    """A stream that has to be reset by the server: an update of nothing."""
    return w.request(stream_id(n)) + window(stream_id(n), 0)


def endless_continuation(w):
    w.open()
    w.say(frame(HEADERS, 0, 1, head((":method", "CONNECT"))))
    w.flood(lambda n: frame(CONTINUATION, 0, 1, literal(b"x-%d" % n, b"y" * 50)))


def never_read(w):
    """Asks for a lot and takes nothing of it."""
    w.open(setting(4, 0x7fffffff))
    w.say(window(0, 0x7fff0000) + w.request(1))
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        w.say(frame(DATA, 0, 1, b"x" * 16000), reading=False, seconds=0.2)
    time.sleep(FLOOD_SECONDS)


def zero_window(w):
    """An echo is asked for that there is no window to give."""
    w.open(setting(4, 0))
    w.say(w.request(1))
    for _ in range(4):
        w.say(frame(DATA, 0, 1, b"x" * 16000))
        w.wait(0.05)


def many_streams(count, flags=END_HEADERS):
    def attack(w):
        w.open()
        for n in range(count):
            w.say(w.request(stream_id(n), flags=flags))
            w.read()
    return attack


def no_settings_ack(w):
    w.open(acknowledge=False)


COST_KB = 256           # of one attacker, by default
STREAMS_COST_KB = 1024  # 200 connections to an application, 5 kB each
UNREAD_COST_KB = 2560   # RELAY_QUEUE_HIGH, TLS_CONN_QUEUE_MAX, and the reads on their way into them


class Attack:
    def __init__(self, name, run, budget, pongs=True, cost_kb=COST_KB):
        self.name, self.run, self.budget, self.pongs = name, run, budget, pongs
        self.cost_kb = cost_kb

    def __repr__(self):
        return f"<{self.name}>"


BIG = b"v" * 4000
ATTACKS = [
    Attack("connects and says nothing", raw(b""), HANDSHAKE),
    Attack("one octet of a hello", lambda w: w.send(w.hello()[:1]), HANDSHAKE),
    Attack("half a hello", lambda w: w.send(w.hello()[:150]), HANDSHAKE),
    Attack("a hello octet by octet", lambda w: slowly(w, w.hello()), HANDSHAKE),
    Attack("a hello and silence", lambda w: w.send(w.hello()), HANDSHAKE),
    Attack("everything but its own certificate", until_finished_then_nothing, HANDSHAKE),
    Attack("a hello in records of one octet", one_octet_records, HANDSHAKE),
    Attack("a hello and half-closed", half_closed_at_once, HANDSHAKE),
    Attack("a hello of 16 MiB", endless_hello, HANDSHAKE),
    Attack("a flood of alerts", repeat_raw(b"\x15\x03\x03\x00\x02\x01\x5a"), HANDSHAKE),
    Attack("a flood of change cipher specs", repeat_raw(b"\x14\x03\x03\x00\x01\x01"), HANDSHAKE),
    Attack("a flood of empty records", repeat_raw(b"\x16\x03\x03\x00\x00"), HANDSHAKE),
    Attack("HTTP/1", raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 50), HANDSHAKE),
    Attack("HTTP/2 without TLS", raw(PREFACE + frame(SETTINGS) * 100), HANDSHAKE),
    Attack("noise", lambda w: w.send(os.urandom(4000)), HANDSHAKE),
    Attack("TLS and silence", after_handshake(b""), SILENCE),
    Attack("half a preface", after_handshake(PREFACE[:10]), SILENCE),
    Attack("a preface octet by octet and no more", after_handshake(PREFACE[:-1], slow=True),
           SILENCE),
    Attack("a preface and no SETTINGS", after_handshake(PREFACE), SILENCE),
    Attack("another preface", after_handshake(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), PROTOCOL),
    Attack("half a record", half_a_record, SILENCE, pongs=False),
    Attack("half a record after much", half_a_record_after_much, SILENCE, pongs=False,
           cost_kb=UNREAD_COST_KB),
    Attack("a record octet by octet", a_record_octet_by_octet, SILENCE, pongs=False),
    Attack("a record that is forged", bad_record, PROTOCOL),
    Attack("never answers a PING", once(lambda w: w.request(1)), SILENCE, pongs=False),
    Attack("never reads what it asks for", never_read, SILENCE, pongs=False,
           cost_kb=UNREAD_COST_KB),
    Attack("a window of nothing", zero_window, BOUNDED),
    Attack("never acknowledges SETTINGS", no_settings_ack, BOUNDED),
    Attack("a tunnel that is never used", once(lambda w: b""), BOUNDED),
    Attack("200 streams that are never used", many_streams(200), BOUNDED,
           cost_kb=STREAMS_COST_KB),
    Attack("200 streams half-closed for ever", many_streams(200, END_HEADERS | END_STREAM),
           BOUNDED, cost_kb=STREAMS_COST_KB),
    Attack("300 streams", many_streams(300), PROTOCOL, cost_kb=STREAMS_COST_KB),
    Attack("rapid reset", flood(rapid_reset), NUISANCE),
    Attack("made to reset", flood(made_reset), NUISANCE),
    Attack("a flood of PINGs", flood(lambda w, n: frame(PING, 0, 0, b"%08d" % n)), NUISANCE),
    Attack("a flood of PINGs, unread", flood(lambda w, n: frame(PING, 0, 0, b"%08d" % n),
                                             reading=False), NUISANCE),
    Attack("a flood of PING answers", flood(lambda w, n: frame(PING, ACK, 0, b"%08d" % n)),
           NUISANCE),
    Attack("a flood of SETTINGS", flood(lambda w, n: frame(SETTINGS)), NUISANCE),
    Attack("a flood of SETTINGS answers", flood(lambda w, n: frame(SETTINGS, ACK)), NUISANCE),
    Attack("a SETTINGS of 1000 entries", once(lambda w: frame(
        SETTINGS, payload=setting(3, 100) * 1000)), PROTOCOL),
    Attack("a flood of empty DATA", flood(lambda w, n: frame(DATA, 0, 1),
                                          first=lambda w: w.request(1)), NUISANCE),
    Attack("a flood of padding", flood(lambda w, n: frame(DATA, PADDED, 1, b"\x05" + b"\0" * 5),
                                       first=lambda w: w.request(1)), NUISANCE),
    Attack("a flood of CONTINUATION", endless_continuation, PROTOCOL),
    Attack("a flood of empty CONTINUATION", flood(
        lambda w, n: frame(CONTINUATION, 0, 1), first=lambda w: frame(HEADERS, 0, 1)), PROTOCOL),
    Attack("a flood of PRIORITY", flood(lambda w, n: frame(PRIORITY, 0, stream_id(n % 1000),
                                                           b"\0\0\0\0\x10")), NUISANCE),
    Attack("a flood of GOAWAY", flood(lambda w, n: frame(GOAWAY, 0, 0, bytes(8))), NUISANCE),
    Attack("a flood of unknown frames", flood(lambda w, n: frame(0x42, 0, 0, b"x" * 10)),
           NUISANCE),
    Attack("a flood of unknown frames on a stream", flood(
        lambda w, n: frame(0xbe, 0, 1), first=lambda w: w.request(1)), NUISANCE),
    Attack("a flood of ALTSVC and ORIGIN", flood(
        lambda w, n: frame(10 + n % 7, 0, 0, b"\0\0")), NUISANCE),
    Attack("a flood of window updates of 1", flood(lambda w, n: window(0, 1)), NUISANCE),
    Attack("a flood of resets of nothing", flood(
        lambda w, n: frame(RST, 0, 1, struct.pack(">I", 8)),
        first=lambda w: w.request(1) + frame(RST, 0, 1, struct.pack(">I", 8))), NUISANCE),
    Attack("a flood of bad authorities", flood(lambda w, n: w.request(
        stream_id(n), authority="not an authority")), NUISANCE),
    Attack("a flood of bad authorities, answers unread", flood(lambda w, n: w.request(
        stream_id(n), authority="not an authority"), reading=False), NUISANCE),
    Attack("a flood of other methods", flood(lambda w, n: frame(
        HEADERS, END_HEADERS | END_STREAM, stream_id(n),
        head((":method", "GET"), (":scheme", "https"), (":path", "/"),
               (":authority", "x")))), NUISANCE),
    Attack("a flood of upper-case fields", flood(lambda w, n: w.request(
        stream_id(n), ("X-Upper", "1"))), NUISANCE),
    Attack("a flood of trailers", flood(lambda w, n: w.request(stream_id(n)) + frame(
        HEADERS, END_HEADERS | END_STREAM, stream_id(n), head(("x", "y")))), NUISANCE),
    Attack("a flood of heads of 200 kB", flood(lambda w, n: frame(
        HEADERS, 0, stream_id(n), head((":method", "CONNECT"), ("a", BIG * 4)))
        + b"".join(frame(CONTINUATION, 0, stream_id(n), fields(("b", BIG * 4)))
                   for _ in range(5))
        + frame(CONTINUATION, END_HEADERS, stream_id(n), fields(("b", "c")))), NUISANCE),
    Attack("a flood of heads of 10,000 fields", flood(lambda w, n: frame(
        HEADERS, 0, stream_id(n), head((":method", "CONNECT")))
        + frame(CONTINUATION, END_HEADERS, stream_id(n), b"\x90" * 10000)), NUISANCE),
    Attack("an index that is not there", once(lambda w: frame(
        HEADERS, END_HEADERS, 1, b"\x20\xff\xff\xff\x0f")), PROTOCOL),
    Attack("a table that was not offered", once(lambda w: frame(
        HEADERS, END_HEADERS, 1, b"\x3f\xe1\xff\x03" + fields((":method", "CONNECT")))),
        PROTOCOL),
    Attack("the window of the tunnel past its end", once(lambda w: window(0, 0x7fffffff) * 2),
           PROTOCOL),
    Attack("no increment", once(lambda w: window(0, 0)), PROTOCOL),
    Attack("the first window past its end", once(lambda w: frame(
        SETTINGS, payload=setting(4, 0x80000000))), PROTOCOL),
    Attack("a frame of 16 MiB", once(lambda w: b"\xff\xff\xff" + frame(DATA, 0, 1)[3:]
                                     + b"x" * 60000), PROTOCOL),
    Attack("a head on stream 0", once(lambda w: frame(HEADERS, END_HEADERS, 0)), PROTOCOL),
    Attack("a stream of even number", once(lambda w: w.request(2)), PROTOCOL),
    Attack("numbers that go down", once(lambda w: w.request(5) + w.request(3)), STREAM),
    Attack("a push", once(lambda w: frame(PUSH, END_HEADERS, 1, b"\0\0\0\2")), PROTOCOL),
    Attack("DATA nobody asked for", once(lambda w: frame(DATA, 0, 7, b"x")), PROTOCOL),
    Attack("a SETTINGS cut short", once(lambda w: frame(SETTINGS, payload=b"\0\1\0")), PROTOCOL),
    Attack("a head within a head", once(lambda w: frame(HEADERS, 0, 1) + frame(
        PING, 0, 0, bytes(8))), PROTOCOL),
    Attack("one bad authority", once(lambda w: w.request(1, authority="127.0.0.1:22")), STREAM),
    Attack("another method", once(lambda w: frame(HEADERS, END_HEADERS, 1, head(
        (":method", "POST"), (":scheme", "https"), (":path", "/"), (":authority", "x")))),
        STREAM),
    Attack("a CONNECT with a path", once(lambda w: w.request(1, (":path", "/"))), STREAM),
    Attack("a window of a stream past its end", once(lambda w: w.request(1) + window(
        1, 0x7fffffff) * 2), STREAM),
]


class Running:
    """Some copies of one attack, each on a thread of its own at the lowest priority."""

    def __init__(self, target, attack, copies, limits):
        self.attack = attack
        self.limit = limits[attack.budget]
        self.took = []     # seconds until the peer ended it
        self.stayed = 0    # those it did not end
        self.failures = []
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(target,), daemon=True)
                        for _ in range(copies)]
        for thread in self.threads:
            thread.start()

    def _run(self, target):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        began, wire = time.monotonic(), None
        try:
            wire = Wire(target)
            self.attack.run(wire)
            while time.monotonic() < began + self.limit and not self.stop.is_set():
                wire.wait(0.3, pongs=self.attack.pongs)
            self.stayed += 1
        except (Gone, ssl.SSLError, ConnectionError):
            self.took.append(time.monotonic() - began)
        except Exception as error:  # pylint: disable=broad-except
            self.failures.append(error)
        finally:
            if wire:
                wire.close()

    def join(self):
        for thread in self.threads:
            thread.join()


def serve_echo(port):
    """The application behind: one thread for all connections, at most one read held for each."""
    listener = socket.create_server(("::", port), family=socket.AF_INET6, backlog=4096,
                                    dualstack_ipv6=True)
    listener.setblocking(False)
    waiting, held = select.epoll(), {}
    waiting.register(listener, select.EPOLLIN)
    conns = {}
    while True:
        for fd, _ in waiting.poll():
            if fd == listener.fileno():
                conn, _ = listener.accept()
                conn.setblocking(False)
                conns[conn.fileno()] = conn
                waiting.register(conn, select.EPOLLIN)
                continue
            conn = conns[fd]
            try:
                data = held.pop(fd, None) or conn.recv(65536)
                sent = conn.send(data) if data else 0
            except BlockingIOError:
                sent = 0
            except OSError:
                data = b""
            if not data:  # ends as the client ends
                del conns[fd]
                waiting.unregister(fd)
                conn.close()
            elif sent < len(data):
                held[fd] = data[sent:]
                waiting.modify(fd, select.EPOLLOUT)
            else:
                waiting.modify(fd, select.EPOLLIN)


def ask_politely(address, port, seconds):
    """The 99th percentile, in ms, of small questions with pauses between them."""
    took, deadline = [], time.monotonic() + seconds
    with socket.create_connection((address, port), 20) as conn:
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while time.monotonic() < deadline:
            began = time.perf_counter()
            conn.sendall(b"marco polo")
            if not conn.recv(100):
                raise ConnectionError("the echo is gone")
            took.append(time.perf_counter() - began)
            time.sleep(0.002)
    return sorted(took)[len(took) * 99 // 100] * 1000


if __name__ == "__main__":
    if sys.argv[1] == "echo":
        serve_echo(int(sys.argv[2]))
    else:
        print(ask_politely(sys.argv[2], int(sys.argv[3]), 1.5))
