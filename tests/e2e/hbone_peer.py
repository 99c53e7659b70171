# SPDX-License-Identifier: Apache-2.0
"""A scripted HBONE client: Python's TLS and python3-h2, certificates as bad as wanted."""
import contextlib
import os
import re
import socket
import ssl
import tempfile

import h2.config
import h2.connection
import h2.events

import certs
import talk
import world
import ztunnel

HBONE_PORT = 15008


def error_words():
    """The words of every error of the product, by name."""
    path = os.path.join(ztunnel.ROOT, "common", "base", "err.def")
    with open(path, encoding="utf-8") as f:
        return dict(re.findall(r'^ERR\((\w+),.*"([^"]+)"\)$', f.read(), re.MULTILINE))


def context(directory, root_pem, leaf=None, alpn=("h2",)):
    """A TLS 1.3 client that trusts root_pem; leaf is (key PEM, chain PEM) or None."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.check_hostname = False
    made.load_verify_locations(cadata=root_pem.decode())
    if alpn:
        made.set_alpn_protocols(list(alpn))
    if leaf:
        with tempfile.NamedTemporaryFile(dir=directory, suffix=".pem") as f:
            f.write(leaf[1] + leaf[0])
            f.flush()
            made.load_cert_chain(f.name)
    return made


def context_as(lab, uri=None, key_id=False):
    """The same with a certificate of the lab's own root; without one when uri is None."""
    root = certs.Authority.load(lab.ca_path)
    return context(lab.dir, root.pem(), root.leaf([uri], key_id=key_id) if uri else None)


@contextlib.contextmanager
def standing_in(calm, pod, serve):
    """Node a believes in pod, which no ztunnel holds: serve(conn) answers at its HBONE port."""
    world.write(calm.a.state_path, world.state(calm.lab, calm.a))
    calm.a.ztunnel.reload()
    try:
        ztunnel.wait_until(lambda: any(w["uid"] == pod.uid for w in
                                       calm.a.ztunnel.config_dump()["workloads"]),
                           20, "node a knows the pod")
        with talk.Server(pod, HBONE_PORT, serve):
            yield
    finally:
        calm.lab.pods.remove(pod)


class Tunnel:
    """One TLS connection to a pod's HBONE port, with HTTP/2 on it."""

    def __init__(self, place, address, tls, timeout=10):
        raw = place.connect(address, HBONE_PORT, timeout)
        self.local = raw.getsockname()
        try:
            self.tls = tls.wrap_socket(raw)
        except BaseException:
            raw.close()
            raise
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=True, header_encoding="utf-8", validate_outbound_headers=False,
            normalize_outbound_headers=False))
        self.h2.initiate_connection()
        self.flush()
        self.answers = {}
        self.bodies = {}
        self.ended = {}
        self.terminated = None

    def flush(self):
        self.tls.sendall(self.h2.data_to_send())

    def pump(self):
        """Takes one read's worth of frames; raises when the connection is over."""
        data = self.tls.recv(65536)
        if not data:
            raise ConnectionError("the peer closed the connection")
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                self.answers[event.stream_id] = dict(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.ended.setdefault(event.stream_id, "end")
            elif isinstance(event, h2.events.StreamReset):
                self.ended[event.stream_id] = f"reset {int(event.error_code)}"
            elif isinstance(event, h2.events.ConnectionTerminated):
                self.terminated = int(event.error_code)
        self.flush()

    def request(self, headers, end_stream=False):
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, headers, end_stream=end_stream)
        self.flush()
        return stream

    def answer(self, stream):
        """The response headers of a stream."""
        while stream not in self.answers:
            if stream in self.ended:
                raise ConnectionError(f"stream {stream} ended without an answer: "
                                      f"{self.ended[stream]}")
            self.pump()
        return self.answers[stream]

    def connect(self, authority, *more):
        """CONNECT; returns (stream, status)."""
        stream = self.request([(":method", "CONNECT"), (":authority", authority), *more])
        return stream, int(self.answer(stream)[":status"])

    def send(self, stream, data, end_stream=False):
        self.h2.send_data(stream, data, end_stream=end_stream)
        self.flush()

    def body(self, stream, size):
        while len(self.bodies.get(stream, b"")) < size:
            if stream in self.ended:
                break
            self.pump()
        return self.bodies.get(stream, b"")

    def close(self):
        try:
            self.tls.close()
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def is_refused(place, address, tls):
    """Whether the handshake, or at the latest the first request, is refused by closing."""
    try:
        with Tunnel(place, address, tls) as tunnel:
            _, status = tunnel.connect(f"{address}:8080")
            return f"answered {status}"
    except socket.timeout:
        return "neither refused nor answered"
    except (ssl.SSLError, ConnectionError):
        return True
