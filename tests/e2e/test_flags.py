# SPDX-License-Identifier: Apache-2.0
"""Why an outbound connection failed, as response_flags and in its log line tell it (contract 10.1)."""
import contextlib
import os
import ssl
import threading
import time

import pytest

import certs
import hbone_peer
import talk
import world
from ztunnel import wait_until

PORT = 8080
ZTUNNEL_ENV = {"CULVERT_CONNECT_TIMEOUT": "2s", "CULVERT_HANDSHAKE_TIMEOUT": "2s"}
KINDS = ("opened", "closed", "failed")


def prepare(mesh):
    """Pods that node a believes to be in the mesh, and that no ztunnel holds: the test answers for them."""
    mesh.fakes = {name: mesh.b.pod(name) for name in
                  ("stranger", "babbler", "mute", "hole", "judge")}


@pytest.fixture(scope="module")
def fakes(mesh):
    for pod in mesh.fakes.values():
        pod.enrolled = False
    mesh.lab.apply()
    for pod in mesh.fakes.values():
        pod.enrolled = True
    world.write(mesh.a.state_path, world.state(mesh.lab, mesh.a))
    mesh.a.ztunnel.reload()
    uids = {pod.uid for pod in mesh.fakes.values()}
    wait_until(lambda: uids <= {w["uid"] for w in mesh.a.ztunnel.config_dump()["workloads"]
                                if w["protocol"] == "HBONE"}, 20, "node a believes it")
    yield mesh.fakes
    for pod in mesh.fakes.values():
        pod.enrolled = False


def server_tls(mesh, account):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.set_alpn_protocols(["h2"])
    authority = certs.Authority.load(mesh.lab.ca_path)
    paths = certs.write_leaf(mesh.lab.dir, f"flags-{account}",
                             authority.leaf([world.identity("default", account)]))
    tls.load_cert_chain(paths[1], paths[0])
    return tls


def speaking(tls, text):
    """Ends the handshake and says something; then waits for the client to go."""
    def serve(conn):
        with contextlib.suppress(OSError):
            wrapped = tls.wrap_socket(conn, server_side=True)
            wrapped.sendall(text)
            while wrapped.recv(4096):
                pass
    return serve


def books(mesh):
    metrics = mesh.a.ztunnel.metrics()
    found = {}
    for kind in KINDS:
        for labels, value in metrics.find(f"istio_tcp_connections_{kind}_total",
                                          reporter="source"):
            key = (kind, labels["response_flags"])
            found[key] = found.get(key, 0) + value
    return found


def fails_as(mesh, place, address, port, flag, error):
    """A call that must fail, be counted once under its flag and log its cause."""
    before, mark = books(mesh), mesh.a.ztunnel.log_size()
    with contextlib.suppress(ConnectionError):
        with place.connect(address, port, 30) as conn:
            conn.sendall(b"hello?")
            assert talk.ending(conn, 30) == "reset"
    line = mesh.a.ztunnel.wait_access(mark, direction="outbound", message="connection complete")
    assert error in line["error"] and line["level"] == "error", line

    def counted():
        now = books(mesh)
        return {k: v - before.get(k, 0) for k, v in now.items() if v != before.get(k, 0)}
    want = {("opened", "-"): 1, ("closed", flag): 1, ("failed", flag): 1}
    wait_until(lambda: counted() == want, 10, f"it is counted once as {flag}")


@pytest.fixture(scope="module")
def words():
    return hbone_peer.error_words()


@pytest.mark.asan
def test_a_peer_of_another_identity_is_a_tls_failure(mesh, fakes, words):
    with talk.Server(fakes["stranger"], 15008, speaking(server_tls(mesh, "somebody"), b"")):
        fails_as(mesh, mesh.client, fakes["stranger"].ip4, PORT, "TLS_FAILURE",
                 words["TLS_WRONG_IDENTITY"])


@pytest.mark.asan
def test_a_peer_that_never_ends_its_handshake_is_a_tls_failure(mesh, fakes, words):
    with talk.Server(fakes["mute"], 15008, talk.hold):
        fails_as(mesh, mesh.client, fakes["mute"].ip4, PORT, "TLS_FAILURE", words["TLS_TIMEOUT"])


@pytest.mark.asan
def test_a_peer_that_does_not_speak_http2_is_an_http2_failure(mesh, fakes):
    with talk.Server(fakes["babbler"], 15008,
                     speaking(server_tls(mesh, "babbler"), b"HTTP/1.1 200 OK\r\n\r\n" * 4)):
        fails_as(mesh, mesh.client, fakes["babbler"].ip4, PORT, "H2_HANDSHAKE_FAILURE", "HTTP/2")


@pytest.mark.asan
def test_a_tunnel_port_that_does_not_answer_smells_of_a_network_policy(mesh, fakes, words):
    with talk.full_queue(fakes["hole"], 15008):
        fails_as(mesh, mesh.client, fakes["hole"].ip4, PORT, "NETWORK_POLICY",
                 words["DIAL_HBONE_TIMEOUT"])


@pytest.mark.asan
def test_all_other_failures_are_to_connect(mesh, fakes, words):
    with talk.full_queue(mesh.plain_server, 9000):
        fails_as(mesh, mesh.client, mesh.plain_server.ip4, 9000, "CONNECT", words["DIAL_TIMEOUT"])
    fails_as(mesh, mesh.client, mesh.plain_server.ip4, 9, "CONNECT", words["DIAL_REFUSED"])
    fails_as(mesh, mesh.client, fakes["judge"].ip4, PORT, "CONNECT", words["DIAL_REFUSED"])
    fails_as(mesh, mesh.client, mesh.server.ip4, 9, "CONNECT", "http status: 503")


def test_an_application_that_resets_is_to_connect(mesh):
    def resetting(conn):
        conn.recv(10)
        talk.reset(conn)
    with talk.Server(mesh.server, PORT, resetting):
        fails_as(mesh, mesh.client, mesh.server.ip4, PORT, "CONNECT", "")


def test_without_a_certificate_it_is_an_identity_error(calm, words):
    empty = os.path.join(calm.lab.dir, "no-certificates")
    os.makedirs(empty, exist_ok=True)
    with calm.a.ztunnel.restarted(CULVERT_CA="files", CULVERT_CERT_DIR=empty):
        fails_as(calm, calm.client, calm.server.ip4, PORT, "IDENTITY_ERROR", words["IDENTITY"])
        with talk.Server(calm.plain_server, PORT, talk.echo):
            talk.ask(calm.client, calm.plain_server.ip4, PORT)  # needs none


# -- a pod the mesh does not know yet, on its way out -------------------------------------------------

@pytest.mark.asan
def test_an_outbound_connection_waits_for_its_workload_and_is_then_served(calm):
    calm.client.more = {"node": ""}
    calm.lab.apply()
    with talk.Server(calm.server, PORT, talk.echo):
        with calm.client.connect(calm.server.ip4, PORT) as conn:
            conn.sendall(b"early words")
            assert talk.stays_silent(conn, 0.3)
            calm.client.more = {}
            calm.lab.apply()
            assert talk.read_exactly(conn, 11) == b"early words"


def test_an_outbound_connection_whose_workload_never_comes_is_refused_after_five_seconds(
        calm, words):
    calm.client.more = {"node": ""}
    calm.lab.apply()
    before, mark = books(calm), calm.a.ztunnel.log_size()
    seen = []

    def call():
        with calm.client.connect(calm.server.ip4, PORT, 30) as conn:
            begun = time.monotonic()
            seen.append((talk.ending(conn, 30), time.monotonic() - begun >= 4.5))
    thread = threading.Thread(target=call)
    thread.start()
    thread.join(40)
    assert seen == [("reset", True)]
    line = calm.a.ztunnel.wait_access(mark, message="connection failed", direction="outbound")
    assert line["error"] == words["NO_WORKLOAD"]
    assert books(calm) == before, "it counted as opened"
