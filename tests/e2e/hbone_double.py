# SPDX-License-Identifier: Apache-2.0
"""A scripted HBONE server: a waypoint, a network gateway or a plain peer, in the test's hands.

It records what a ztunnel says to it, octet by octet where that matters, and passes the bytes of
granted streams on to where `route` leads.
"""
import collections
import contextlib
import select
import socket
import ssl
import struct
import tempfile
import threading

import h2.config
import h2.connection
import h2.events
import h2.settings

import certs
import hbone_peer

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, WINDOW_UPDATE = 4, 8
READ_SIZE = 256 * 1024
QUEUE_MAX = 1024 * 1024

Frame = collections.namedtuple("Frame", "kind flags stream payload")


def server_context(lab, identity):
    """A TLS 1.3 server of the lab's CA that demands a certificate of it."""
    ca = certs.Authority.load(lab.ca_path)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.verify_mode = ssl.CERT_REQUIRED
    made.load_verify_locations(cadata=ca.pem().decode())
    made.set_alpn_protocols(["h2"])
    key, chain = ca.leaf([identity])
    with tempfile.NamedTemporaryFile(dir=lab.dir, suffix=".pem") as f:
        f.write(chain + key)
        f.flush()
        made.load_cert_chain(f.name)
    return made


def frames_of(data):
    """The whole frames at the front of data, and what is left."""
    found = []
    while len(data) >= 9:
        size = int.from_bytes(data[:3], "big")
        if len(data) < 9 + size:
            break
        stream = int.from_bytes(data[5:9], "big") & 0x7FFFFFFF
        found.append(Frame(data[3], data[4], stream, data[9:9 + size]))
        data = data[9 + size:]
    return found, data


def settings_of(frame):
    """A SETTINGS frame's values by number."""
    return dict(struct.unpack(">HI", frame.payload[i:i + 6])
                for i in range(0, len(frame.payload), 6))


class Stream:
    def __init__(self, number, headers, upstream):
        self.number = number
        self.headers = headers
        self.upstream = upstream
        self.queue = bytearray()
        self.upstream_ended = upstream is None
        self.ended = None


class Tunnel:
    """One TLS connection that a ztunnel opened."""

    def __init__(self, double, raw):
        self.double = double
        self.raw = raw
        self.identity = None
        self.tls = None
        self.streams = {}
        self.requests = []
        self.opening = []  # frames up to the first request
        self.open = True
        self.muted = threading.Event()
        self.seen = b""
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=False, header_encoding="utf-8", validate_inbound_headers=False))
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        with contextlib.suppress(OSError, ValueError):
            self.tls = self.double.tls.wrap_socket(self.raw, server_side=True)
            self.identity = next(value for kind, value
                                 in self.tls.getpeercert()["subjectAltName"] if kind == "URI")
            self.h2.local_settings = h2.settings.Settings(
                client=False, initial_values=self.double.settings)
            self.h2.initiate_connection()
            self.h2.increment_flow_control_window(16 * 1024 * 1024)
            self._flush()
            while self._turn():
                pass
        self.open = False
        for stream in self.streams.values():
            if stream.upstream is not None:
                stream.upstream.close()
        with contextlib.suppress(OSError):
            (self.tls or self.raw).close()

    def _flush(self):
        data = self.h2.data_to_send()
        if data:
            self.tls.sendall(data)

    def _turn(self):
        by_socket = {s.upstream: s for s in self.streams.values()
                     if s.upstream is not None and not s.upstream_ended
                     and len(s.queue) < QUEUE_MAX}
        if self.muted.is_set():
            threading.Event().wait(0.2)
            return self.tls.fileno() >= 0
        ready = select.select([self.tls, *by_socket], [], [], 0.5)[0]
        for upstream in ready:
            if upstream is not self.tls:
                self._read_upstream(by_socket[upstream])
        if self.tls in ready:
            while True:
                data = self.tls.recv(READ_SIZE)
                if not data:
                    return False
                self._record(data)
                for event in self.h2.receive_data(data):
                    self._on_event(event)
                if not self.tls.pending():
                    break
        for stream in list(self.streams.values()):
            self._write(stream)
        self._flush()
        return True

    def _record(self, data):
        if self.requests:
            return
        self.seen += data
        if self.seen.startswith(PREFACE):
            self.opening, _ = frames_of(self.seen[len(PREFACE):])

    def _on_event(self, event):
        if isinstance(event, h2.events.RequestReceived):
            self._on_request(event.stream_id, event.headers)
        elif isinstance(event, h2.events.DataReceived):
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            stream = self.streams[event.stream_id]
            if stream.upstream is not None and event.data:
                stream.upstream.sendall(event.data)
        elif isinstance(event, h2.events.StreamEnded):
            stream = self.streams.get(event.stream_id)
            if stream is not None and stream.upstream is not None:
                with contextlib.suppress(OSError):
                    stream.upstream.shutdown(socket.SHUT_WR)
        elif isinstance(event, h2.events.StreamReset):
            self._drop(event.stream_id, f"reset {int(event.error_code)}")
        elif isinstance(event, h2.events.ConnectionTerminated):
            raise ConnectionError("the ztunnel is going away")

    def _drop(self, number, why):
        stream = self.streams[number]
        stream.ended = why
        stream.queue.clear()
        if stream.upstream is not None and not stream.upstream_ended:
            stream.upstream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                       struct.pack("ii", 1, 0))
            stream.upstream.close()
        stream.upstream_ended, stream.upstream = True, None

    def _on_request(self, number, headers):
        self.requests.append(list(headers))
        made = self.double.route(dict(headers), self)
        if isinstance(made, int):
            self.streams[number] = Stream(number, headers, None)
            self.h2.send_headers(number, [(":status", str(made))], end_stream=True)
            return
        self.streams[number] = Stream(number, headers, made)
        self.h2.send_headers(number, [(":status", "200"), *self.double.answer])

    def _read_upstream(self, stream):
        try:
            data = stream.upstream.recv(READ_SIZE)
        except OSError:
            self._drop(stream.number, "upstream reset")
            self.h2.reset_stream(stream.number, 8)
            return
        if data:
            stream.queue += data
        else:
            stream.upstream_ended = True

    def _write(self, stream):
        if stream.ended:
            return
        while stream.queue:
            room = min(self.h2.local_flow_control_window(stream.number),
                       self.h2.max_outbound_frame_size, len(stream.queue), 16384)
            if room <= 0:
                return
            self.h2.send_data(stream.number, bytes(stream.queue[:room]))
            del stream.queue[:room]
        if stream.upstream_ended and stream.upstream is not None:
            self.h2.end_stream(stream.number)
            stream.ended = "end"

    def settings(self):
        """The first SETTINGS of the ztunnel, by number."""
        first = self.opening[0]
        assert first.kind == SETTINGS and not first.flags & 1
        return settings_of(first)

    def window_updates(self):
        return [int.from_bytes(f.payload, "big") for f in self.opening
                if f.kind == WINDOW_UPDATE and f.stream == 0]


class Double:
    """Listens in a place as `identity`.

    route(headers, tunnel): a connected socket to pass bytes on to, or a status to refuse with
    """

    def __init__(self, place, identity, route, answer=(), settings=None):
        self.tls = server_context(place.lab, identity)
        self.route = route
        self.answer = list(answer)
        self.settings = {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 1000,
                         h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 4 * 1024 * 1024,
                         **(settings or {})}
        self.tunnels = []
        self.socket = place.listen(hbone_peer.HBONE_PORT)
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                raw, _ = self.socket.accept()
            except OSError:
                return
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.tunnels.append(Tunnel(self, raw))

    @property
    def requests(self):
        return [request for tunnel in self.tunnels for request in tunnel.requests]

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(5)
        for tunnel in self.tunnels:
            with contextlib.suppress(OSError):
                tunnel.raw.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(OSError, AttributeError):
                tunnel.tls.shutdown(socket.SHUT_RDWR)
        for tunnel in self.tunnels:
            tunnel.muted.clear()
            tunnel.thread.join(5)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def echo_pair(_headers=None, _tunnel=None):
    """A route whose bytes come back."""
    mine, theirs = socket.socketpair()

    def run():
        with contextlib.suppress(OSError):
            while data := theirs.recv(65536):
                theirs.sendall(data)
            theirs.shutdown(socket.SHUT_WR)
    threading.Thread(target=run, daemon=True).start()
    return mine


class InnerDouble:
    """What ends the tunnels within the streams of a Double: route them here."""

    def __init__(self, lab, identity, route=echo_pair, answer=()):
        self.tls = server_context(lab, identity)
        self.stream_route = route
        self.answer = list(answer)
        self.settings = {}
        self.tunnels = []

    def route(self, headers, tunnel):
        """For the outer Double; as an inner one, the tunnel asks the test's route."""
        if tunnel in self.tunnels:
            return self.stream_route(headers, tunnel)
        mine, theirs = socket.socketpair()
        self.tunnels.append(Tunnel(self, theirs))
        return mine
