# SPDX-License-Identifier: Apache-2.0
"""Connections that are open when policies change: cut if now forbidden, and told and counted as denied."""
import threading
import time

import pytest

import hbone_peer
import talk
import world
from test_strict import MODES, POLICIES
from ztunnel import wait_until

PORT, OTHER_PORT = 8080, 8081
CLIENT = world.identity("default", "client")
CHANGED = "connection closed due to policy change"
CANCEL = 8  # RFC 9113 section 7


@pytest.fixture(scope="module")
def tls(mesh):
    return hbone_peer.context_as(mesh.lab, CLIENT)


@pytest.fixture(scope="module", autouse=True)
def servers(mesh):
    made = [talk.Server(mesh.server, port, talk.echo) for port in (PORT, OTHER_PORT)]
    yield made
    for server in made:
        server.close()


def deny(mesh, **match):
    mesh.lab.policies = [world.policy("the-policy", "default", "Deny", [match])]
    mesh.lab.apply()


def say(conn, text=b"hello"):
    conn.sendall(text)
    assert talk.read_exactly(conn, len(text)) == text


class Books:
    """What the node's ztunnel counts of inbound connections, since now."""
    NAMES = ("opened", "closed", "failed")

    def __init__(self, mesh, **want):
        self.zt, self.want = mesh.b.ztunnel, dict(want, reporter="destination")
        self.before = self._now()

    def _now(self):
        found = {}
        metrics = self.zt.metrics()
        for name in self.NAMES:
            for labels, value in metrics.find(f"istio_tcp_connections_{name}_total", **self.want):
                key = (name, labels["response_flags"])
                found[key] = found.get(key, 0) + value
        return found

    def since(self):
        now = self._now()
        return {k: v - self.before.get(k, 0) for k, v in now.items() if v != self.before.get(k, 0)}


ONE_DENIED = {("opened", "-"): 1, ("closed", "DENY"): 1, ("failed", "DENY"): 1}


@pytest.mark.asan
def test_a_stream_that_is_now_forbidden_is_reset_and_its_tunnel_goes_on(calm, tls):
    books, mark = Books(calm, source_principal=CLIENT), calm.b.ztunnel.log_size()
    own = calm.server.ip4
    with hbone_peer.Tunnel(calm.ext, own, tls, timeout=20) as tunnel:
        doomed, _ = tunnel.connect(f"{own}:{PORT}")
        spared, _ = tunnel.connect(f"{own}:{OTHER_PORT}")
        for stream in (doomed, spared):
            tunnel.send(stream, b"hello")
            assert tunnel.body(stream, 5) == b"hello"
        deny(calm, destinationPorts=[PORT])
        while doomed not in tunnel.ended:
            tunnel.pump()
        assert tunnel.ended == {doomed: f"reset {CANCEL}"}
        tunnel.send(spared, b"still here")
        assert tunnel.body(spared, 15) == b"hellostill here"
        assert tunnel.connect(f"{own}:{PORT}")[1] == 401, "and no new one begins"
        wait_until(lambda: books.since() == {("opened", "-"): 3, ("closed", "DENY"): 2,
                                             ("failed", "DENY"): 2}, 10,
                   "the cut and the refused one are counted, and nothing else")
    line = calm.b.ztunnel.wait_access(mark, direction="inbound", level="error")
    assert line["error"].startswith(f"{CHANGED}: explicitly denied by: default/the-policy")
    assert line["dst.hbone_addr"] == f"{own}:{PORT}" and line["bytes_recv"] == 5


@pytest.mark.asan
def test_plaintext_that_is_now_forbidden_is_reset_and_counted(calm):
    books, mark = Books(calm, connection_security_policy="unknown"), calm.b.ztunnel.log_size()
    with calm.ext.connect(calm.server.ip4, PORT) as conn:
        say(conn)
        deny(calm, destinationPorts=[PORT])
        assert talk.ending(conn) == "reset"
    wait_until(lambda: books.since() == ONE_DENIED, 10, "it is counted as denied")
    line = calm.b.ztunnel.wait_access(mark, direction="inbound")
    assert line["error"].startswith(CHANGED) and line["dst.addr"] == f"{calm.server.ip4}:{PORT}"


@pytest.mark.asan
@pytest.mark.parametrize("plaintext", [True, False])
def test_a_denied_connection_counts_as_opened_closed_and_failed(calm, tls, plaintext):
    deny(calm, destinationPorts=[PORT])
    books = Books(calm)
    if plaintext:
        with pytest.raises(ConnectionResetError):  # perhaps before connect() is back
            with calm.ext.connect(calm.server.ip4, PORT) as conn:
                raise AssertionError(f"it was closed in order after {conn.recv(1)!r}")
    else:
        with hbone_peer.Tunnel(calm.ext, calm.server.ip4, tls) as tunnel:
            stream, status = tunnel.connect(f"{calm.server.ip4}:{PORT}")
            assert status == 401 and "baggage" not in tunnel.answer(stream)
            assert tunnel.body(stream, 1) == b""
    wait_until(lambda: books.since() == ONE_DENIED, 10, "the books show one denied connection")


@pytest.mark.asan
def test_a_workload_that_becomes_strict_loses_its_plaintext_and_nothing_else(calm):
    """Only the list the workload names changes; no policy does."""
    calm.lab.policies = POLICIES
    calm.lab.apply()
    plain, other = (calm.ext.connect(calm.server.ip4, p) for p in (PORT, OTHER_PORT))
    tunnelled = calm.client.connect(calm.server.ip4, PORT)
    with plain, other, tunnelled:
        for conn in (plain, other, tunnelled):
            say(conn)
        calm.server.policies = MODES["strict at a port"][0]
        calm.lab.apply()
        assert talk.ending(plain) == "reset"
        for conn in (other, tunnelled):
            say(conn)
        calm.server.policies = MODES["strict"][0]
        calm.lab.apply()
        assert talk.ending(other) == "reset"
        say(tunnelled)


def test_a_change_that_does_not_concern_it_leaves_a_connection_alone(calm):
    with calm.client.connect(calm.server.ip4, PORT) as conn:
        for policies in ([world.policy("other", "elsewhere", "Deny", [{"destinationPorts": [PORT]}])],
                         [world.policy("dry", "default", "Deny", [{"destinationPorts": [PORT]}])],
                         []):
            calm.lab.policies = [dict(p, dryRun=p["name"] == "dry") for p in policies]
            calm.lab.apply()
            say(conn)


@pytest.mark.asan
def test_a_connection_outlives_its_workload_but_not_a_policy_that_denies_it(calm):
    calm.lab.policies = [world.policy("let-in", "default", "Allow",
                                      [{"destinationPorts": [PORT]}], "WorkloadSelector")]
    calm.server.policies = ["default/let-in"]
    calm.lab.apply()
    with calm.client.connect(calm.server.ip4, PORT) as conn:
        say(conn)
        calm.server.more = {"node": ""}  # captured still, but no workload of this node any more
        calm.lab.policies += [world.policy("others", "default", "Allow",
                                           [{"destinationPorts": [1]}])]
        calm.lab.apply()
        say(conn)  # what allowed it is named by nobody now
        deny(calm, destinationPorts=[PORT])
        assert talk.ending(conn) == "reset"


class Caller:
    """Opens connections one after the other and keeps all that got through."""

    def __init__(self, place, address):
        self.place, self.address = place, address
        self.kept, self.stop = [], threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.stop.is_set():
            try:
                conn = self.place.connect(self.address, PORT, 20)
                self.kept.append(conn)
                conn.sendall(b"x")
            except OSError:
                pass

    def end(self):
        self.stop.set()
        self.thread.join(30)


@pytest.mark.asan
@pytest.mark.limit(120)
def test_no_change_of_policy_is_missed_by_a_connection_that_begins_meanwhile(calm):
    callers = [Caller(place, calm.server.ip4) for place in (calm.client, calm.other, calm.ext)]
    closed = [world.policy("closed", "default", "Deny", [{"destinationPorts": [PORT]}])]
    for i in range(12):
        calm.lab.policies = closed if i % 2 else []
        calm.lab.write_state()
        calm.b.ztunnel.reload()
        time.sleep(0.07)
    calm.lab.policies = closed
    calm.lab.apply()
    for caller in callers:
        caller.end()
    assert sum(len(c.kept) for c in callers) > 20, "too few connections to race with"
    for caller in callers:
        for conn in caller.kept:
            assert talk.ending(conn) in ("fin", "reset")
            conn.close()

    def left():
        states = calm.b.ztunnel.config_dump()["workloadState"].values()
        return [c for s in states for c in s["connections"]["inbound"]]
    wait_until(lambda: not left(), 10, "no connection is left")
