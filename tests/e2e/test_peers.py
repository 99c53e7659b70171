# SPDX-License-Identifier: Apache-2.0
"""Who may open a tunnel to a pod, what it may ask for; and certificates that renew unnoticed."""
import contextlib
import datetime
import ssl
import threading
import time

import pytest

from cryptography.x509.oid import ExtendedKeyUsageOID

import certs
import hbone_peer
import talk
import world
from ztunnel import wait_until

PORT = 8080
ZTUNNEL_ENV = {"SECRET_TTL": "60s", "CULVERT_HANDSHAKE_TIMEOUT": "3s"}
GOOD = world.identity("default", "client")
HOUR = datetime.timedelta(hours=1)


@pytest.fixture(scope="module")
def authority(mesh):
    return certs.Authority.load(mesh.lab.ca_path)


@pytest.fixture(scope="module", autouse=True)
def server(mesh):
    with talk.Server(mesh.server, PORT, talk.echo) as made:
        yield made


class Chatter:
    """One connection through the mesh that never stops talking."""

    def __init__(self, mesh):
        self.conn = mesh.client.connect(mesh.server.ip4, PORT)
        self.rounds = 0
        self.failure = None
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            while not self.stop.wait(0.05):
                text = b"round %d" % self.rounds
                self.conn.sendall(text)
                assert talk.read_exactly(self.conn, len(text)) == text
                self.rounds += 1
        except (OSError, AssertionError) as error:
            self.failure = error


@pytest.fixture(scope="module", autouse=True)
def chatter(mesh, server):
    made = Chatter(mesh)
    made.serials = wait_until(lambda: len(serials(mesh)) == 2 and serials(mesh), 20,
                              "both pods of node a have certificates")
    wait_until(lambda: made.rounds > 0 or made.failure, 20, "the connection talks")
    yield made
    made.stop.set()
    made.thread.join(5)
    made.conn.close()


def serials(mesh):
    """Serial numbers of the leaves in use on node a, by identity."""
    return {c["identity"]: c["certChain"][0]["serialNumber"]
            for c in mesh.a.ztunnel.config_dump()["certificates"] if c["certChain"]}


def tls_of(mesh, authority, leaf):
    return hbone_peer.context(mesh.lab.dir, authority.pem(), leaf)


@pytest.fixture(scope="module")
def good(mesh, authority):
    return tls_of(mesh, authority, authority.leaf([GOOD]))


def now():
    return datetime.datetime.utcnow().replace(microsecond=0)


# name: (the leaf presented, names of the error it must be refused with)
BAD_PEERS = {
    "a forged clone of the root": (
        lambda ca: ca.clone().leaf([GOOD]), {"TLS_UNTRUSTED", "TLS_BAD_SIGNATURE"}),
    "another root": (
        lambda ca: certs.Authority.new("strangers").leaf([GOOD]), {"TLS_UNTRUSTED"}),
    "no certificate": (lambda ca: None, {"TLS_NO_CERT"}),
    "a wrong trust domain": (
        lambda ca: ca.leaf(["spiffe://evil.example/ns/default/sa/client"]), {"TLS_TRUST_DOMAIN"}),
    "an expired certificate": (
        lambda ca: ca.leaf([GOOD], not_before=now() - 2 * HOUR, not_after=now() - HOUR),
        {"TLS_EXPIRED"}),
    "a certificate of tomorrow": (
        lambda ca: ca.leaf([GOOD], not_before=now() + HOUR, not_after=now() + 2 * HOUR),
        {"TLS_NOT_YET_VALID"}),
    "two URI names": (
        lambda ca: ca.leaf([GOOD, world.identity("default", "admin")]), {"TLS_MANY_SPIFFE"}),
    "no identity at all": (lambda ca: ca.leaf([], dns=["client.local"]), {"TLS_NO_SPIFFE"}),
    "a server's certificate": (
        lambda ca: ca.leaf([GOOD], usages=[ExtendedKeyUsageOID.SERVER_AUTH]), {"TLS_BAD_USAGE"}),
}
FAILURES = "culvert_tls_handshake_failures_total"


def failures(mesh):
    return {labels["reason"]: value for labels, value in
            mesh.b.ztunnel.metrics().find(FAILURES) if labels.get("role") == "server"}


@pytest.mark.asan
@pytest.mark.parametrize("what", BAD_PEERS)
def test_a_peer_is_refused_with_its_own_reason(mesh, authority, server, what):
    make_leaf, reasons = BAD_PEERS[what]
    before, mark, seen = failures(mesh), mesh.b.ztunnel.log_size(), len(server.peers)
    tls = tls_of(mesh, authority, make_leaf(authority))
    assert hbone_peer.is_refused(mesh.ext, mesh.server.ip4, tls) is True

    def counted():
        after = failures(mesh)
        return {r for r in after if after[r] > before.get(r, 0)}
    wait_until(counted, 10, f"{FAILURES} counts the refusal")
    assert counted() <= reasons and len(counted()) == 1
    words = hbone_peer.error_words()[counted().pop()]
    wait_until(lambda: words in mesh.b.ztunnel.log_text(mark), 10, f'the log says "{words}"')
    assert len(server.peers) == seen, "the application was reached"


@pytest.mark.asan
def test_a_good_peer_is_served_and_the_application_sees_its_address(mesh, good, server):
    with hbone_peer.Tunnel(mesh.ext, mesh.server.ip4, good) as tunnel:
        stream, status = tunnel.connect(f"{mesh.server.ip4}:{PORT}")
        assert status == 200
        tunnel.send(stream, b"hello through a tunnel")
        assert tunnel.body(stream, 22) == b"hello through a tunnel"
        assert server.peers[-1] == mesh.ext.ip4


def test_the_server_certificate_names_the_pod_and_nothing_else(mesh, good):
    from cryptography import x509
    with hbone_peer.Tunnel(mesh.ext, mesh.server.ip4, good) as tunnel:
        leaf = x509.load_der_x509_certificate(tunnel.tls.getpeercert(binary_form=True))
        assert tunnel.tls.selected_alpn_protocol() == "h2"
        assert tunnel.tls.version() == "TLSv1.3"
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [n.value for n in names] == [mesh.server.identity]


@pytest.mark.parametrize("what, authority_of, expected", [
    ("another pod", lambda m: f"{m.second.ip4}:{PORT}", 400),
    ("loopback", lambda m: f"127.0.0.1:{PORT}", 400),
    ("loopback of IPv6", lambda m: f"[::1]:{PORT}", 400),
    ("a v4-mapped address", lambda m: f"[::ffff:{m.server.ip4}]:{PORT}", 400),
    ("v4-mapped loopback", lambda m: f"[::ffff:127.0.0.1]:{PORT}", 400),
    ("the metadata service", lambda m: f"169.254.169.254:{PORT}", 400),
    ("the unspecified address", lambda m: f"0.0.0.0:{PORT}", 400),
    ("an address without port", lambda m: m.server.ip4, 400),
    ("a port beyond 65535", lambda m: f"{m.server.ip4}:70000", 400),
    ("an unknown name", lambda m: f"nobody.default.svc.cluster.local:{PORT}", 503),
    ("the capture port 15001", lambda m: f"{m.server.ip4}:15001", 503),
    ("the capture port 15006", lambda m: f"{m.server.ip4}:15006", 503),
    ("the tunnel port", lambda m: f"{m.server.ip4}:15008", 503),
    ("a closed port", lambda m: f"{m.server.ip4}:9", 503),
])
def test_an_authority_that_is_not_acceptable_is_refused(mesh, good, what, authority_of, expected):
    with hbone_peer.Tunnel(mesh.ext, mesh.server.ip4, good) as tunnel:
        _, status = tunnel.connect(authority_of(mesh))
        assert status == expected, what
        _, status = tunnel.connect(f"{mesh.server.ip4}:{PORT}")
        assert status == 200, "a refused stream took the connection with it"


def test_a_request_that_is_not_connect_is_refused(mesh, good):
    with hbone_peer.Tunnel(mesh.ext, mesh.server.ip4, good) as tunnel:
        stream = tunnel.request([(":method", "GET"), (":scheme", "http"), (":path", "/"),
                                 (":authority", f"{mesh.server.ip4}:{PORT}")], end_stream=True)
        assert tunnel.answer(stream)[":status"] == "400"


def test_a_peer_that_policy_denies_gets_401(calm, good):
    calm.lab.policies = [world.policy("no-client", "default", "Deny", [
        {"principals": world.exact("cluster.local/ns/default/sa/client")}], "WorkloadSelector")]
    calm.second.policies = ["default/no-client"]
    calm.lab.apply()
    with hbone_peer.Tunnel(calm.ext, calm.second.ip4, good) as tunnel:
        with talk.Server(calm.second, PORT, talk.echo) as server:
            assert tunnel.connect(f"{calm.second.ip4}:{PORT}")[1] == 401
            assert server.peers == []


def test_streams_of_one_tunnel_are_apart(mesh, good):
    with hbone_peer.Tunnel(mesh.ext, mesh.server.ip4, good) as tunnel:
        streams = [tunnel.connect(f"{mesh.server.ip4}:{PORT}")[0] for _ in range(20)]
        for stream in streams:
            tunnel.send(stream, b"stream %04d" % stream, end_stream=stream % 4 == 1)
        for stream in streams:
            assert tunnel.body(stream, 11) == b"stream %04d" % stream


@pytest.mark.parametrize("what, spoil", [
    ("TLS 1.2", lambda tls: (setattr(tls, "minimum_version", ssl.TLSVersion.TLSv1_2),
                             setattr(tls, "maximum_version", ssl.TLSVersion.TLSv1_2))),
    ("another ALPN", lambda tls: tls.set_alpn_protocols(["http/1.1"])),
])
def test_a_client_that_does_not_speak_our_protocol_is_refused(mesh, authority, what, spoil):
    tls = tls_of(mesh, authority, authority.leaf([GOOD]))
    spoil(tls)
    assert hbone_peer.is_refused(mesh.ext, mesh.server.ip4, tls) is True, what


def test_plaintext_on_the_tunnel_port_is_refused(mesh):
    with mesh.ext.connect(mesh.server.ip4, hbone_peer.HBONE_PORT) as conn:
        conn.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        assert talk.ending(conn) in ("fin", "reset")


@pytest.mark.asan
def test_one_address_cannot_take_the_places_of_others_handshakes(mesh, good):
    """Connections that say nothing, more than one address may have open on both workers together."""
    count = lambda: mesh.b.ztunnel.metrics().total(FAILURES, reason="TLS_HANDSHAKES")
    before, silent = count(), []
    try:
        for _ in range(300):
            with contextlib.suppress(ConnectionError):
                silent.append(mesh.ext.connect(mesh.server.ip4, hbone_peer.HBONE_PORT))
        wait_until(lambda: count() > before, 20, "some are turned away and counted")
        assert talk.served(mesh.other, mesh.server.ip4, PORT, timeout=20), "another address"
    finally:
        for conn in silent:
            conn.close()

    def served_again():
        with hbone_peer.Tunnel(mesh.ext, mesh.server.ip4, good) as tunnel:
            return tunnel.connect(f"{mesh.server.ip4}:{PORT}")[1] == 200
    wait_until(served_again, 20, "the address is served once its silent connections are gone")


def test_a_peer_that_never_says_hello_is_cut_off(mesh):
    with mesh.ext.connect(mesh.server.ip4, hbone_peer.HBONE_PORT) as conn:
        assert talk.ending(conn, timeout=30) in ("fin", "reset")


def test_a_server_with_the_wrong_identity_gets_no_application_byte(calm, authority):
    """The pod's address answers on 15008 with a good certificate of somebody else."""
    liar = calm.b.pod("liar", enrolled=True)  # node a is told so; on node b nothing holds it
    got = []
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.set_alpn_protocols(["h2"])
    paths = certs.write_leaf(calm.lab.dir, "liar", authority.leaf(
        [world.identity("default", "somebody-else")]))
    tls.load_cert_chain(paths[1], paths[0])

    def serve(conn):
        try:
            got.append(tls.wrap_socket(conn, server_side=True).recv(1000))
        except OSError as error:
            got.append(error)
    world.write(calm.a.state_path, world.state(calm.lab, calm.a))
    calm.a.ztunnel.reload()
    wait_until(lambda: any(w["uid"] == liar.uid and w["protocol"] == "HBONE" for w in
                           calm.a.ztunnel.config_dump()["workloads"]), 20,
               "node a believes the pod is in the mesh")
    mark = calm.a.ztunnel.log_size()
    with talk.Server(liar, hbone_peer.HBONE_PORT, serve):
        assert talk.refused(calm.client, liar.ip4, PORT, b"my password")
    line = calm.a.ztunnel.wait_access(mark, direction="outbound", timeout=20)
    assert hbone_peer.error_words()["TLS_WRONG_IDENTITY"] in line["error"]
    assert not [g for g in got if isinstance(g, bytes) and g]
    calm.lab.pods.remove(liar)


@pytest.mark.asan
@pytest.mark.limit(120)
def test_certificates_renew_at_half_life_and_no_live_connection_notices(mesh, chatter):
    wait_until(lambda: all(serials(mesh).get(i) not in (None, s)
                           for i, s in chatter.serials.items()), 90,
               "every certificate of node a has been renewed")
    wait_until(lambda: chatter.rounds > 0 or chatter.failure, 10, "the connection talks")
    rounds = chatter.rounds
    time.sleep(1)
    assert chatter.failure is None and chatter.rounds > rounds
    states = {c["state"] for c in mesh.a.ztunnel.config_dump()["certificates"]}
    assert states == {"Available"}
    assert talk.served(mesh.client, mesh.server.ip4, PORT)
