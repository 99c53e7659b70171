# SPDX-License-Identifier: Apache-2.0
"""The options of the proxy's own sockets (contract 7.1), and the lists of connections it shows while they are open."""
import pytest

import hbone_peer
import sockopts
import talk
import world
from ztunnel import wait_until

PORT, VIP = 8080, "10.99.2.1"
CLIENT = world.identity("default", "client")
DEFAULT = (True, 180, 180, 9)  # on, idle and interval in seconds, probes


def prepare(mesh):
    mesh.lab.service("web", [VIP], {80: PORT}, [mesh.server])


@pytest.fixture(scope="module", autouse=True)
def servers(mesh):
    with talk.Server(mesh.server, PORT, talk.echo):
        with talk.Server(mesh.plain_server, PORT, talk.echo):
            yield


class Paths:
    """A tunnelled connection, one out of the mesh and one into it, open at once."""

    def __init__(self, mesh):
        self.mesh = mesh
        self.tunnelled = mesh.client.connect(mesh.server.ip4, PORT)
        self.outward = mesh.client.connect(mesh.plain_server.ip4, PORT)
        self.inward = mesh.ext.connect(mesh.server.ip4, PORT)
        for conn in self.all():
            conn.sendall(b"x")
            talk.read_exactly(conn, 1)

    def all(self):
        return self.tunnelled, self.outward, self.inward

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for conn in self.all():
            conn.close()

    def sockets(self):
        """What the two ztunnels hold for them, by what it is for."""
        m = self.mesh
        on_a = sockopts.connected(m.a.ztunnel.process.pid)
        on_b = sockopts.connected(m.b.ztunnel.process.pid)

        def one(held, **want):
            found = [s for s in held if all(getattr(s, k) == v for k, v in want.items())]
            assert len(found) == 1, (want, held)
            return found[0]
        server, plain = (m.server.ip4, PORT), (m.plain_server.ip4, PORT)
        ours, other, off = (c.getsockname()[:2] for c in self.all())
        return {
            "accepted from the application": one(on_a, remote=ours),
            "accepted from the application, to leave the mesh": one(on_a, remote=other),
            "tunnel, dialing": one(on_a, remote=(m.server.ip4, 15008)),
            "plaintext, dialing": one([s for s in on_a if s.remote == plain]),
            "tunnel, accepted": one(on_b, local=(m.server.ip4, 15008)),
            "plaintext, accepted": one(on_b, remote=off),
            "to the application, for the tunnel": one(
                [s for s in on_b if s.remote == server and s.local[0] == m.client.ip4]),
            "to the application, for plaintext": one(
                [s for s in on_b if s.remote == server and s.local[0] == m.ext.ip4]),
        }


def keepalive_of(held):
    return held.keepalive, held.idle, held.interval, held.probes


@pytest.mark.asan
def test_keepalive_is_set_on_every_socket_but_accepted_tunnels(mesh):
    with Paths(mesh) as paths:
        for what, held in paths.sockets().items():
            assert held.nodelay, what
            assert held.user_timeout == 0, what
            if what == "tunnel, accepted":
                assert not held.keepalive, "HTTP/2 PING looks after it"
            else:
                assert keepalive_of(held) == DEFAULT, what


def test_keepalive_and_user_timeout_follow_their_settings(calm):
    env = {"KEEPALIVE_TIME": "60s", "KEEPALIVE_INTERVAL": "7s", "KEEPALIVE_RETRIES": "5",
           "USER_TIMEOUT_ENABLED": "true"}
    with calm.a.ztunnel.restarted(**env), calm.b.ztunnel.restarted(**env):
        with Paths(calm) as paths:
            for what, held in paths.sockets().items():
                if what == "tunnel, accepted":
                    assert not held.keepalive and held.user_timeout == 0
                else:
                    assert keepalive_of(held) == (True, 60, 7, 5), what
                    assert held.user_timeout == (60 + 7 * 5) * 1000, what


def test_keepalive_can_be_switched_off(calm):
    with calm.a.ztunnel.restarted(KEEPALIVE_ENABLED="false"):
        with Paths(calm) as paths:
            sockets = paths.sockets()
            assert not sockets["tunnel, dialing"].keepalive
            assert not sockets["accepted from the application"].keepalive
            assert sockets["to the application, for the tunnel"].keepalive, "node b has it on"


# -- connections as the config dump shows them ---------------------------------------------------------

def listed(zt, pod, way):
    states = zt.config_dump()["workloadState"]
    state = next(s for s in states.values() if s["info"]["name"] == pod.name)
    return state["connections"][way]


@pytest.mark.asan
def test_connections_are_listed_while_they_are_open_and_gone_after(mesh):
    zt_a, zt_b = mesh.a.ztunnel, mesh.b.ztunnel
    lists = [(zt_a, mesh.client, "outbound"), (zt_b, mesh.server, "inbound")]
    wait_until(lambda: not any(listed(*which) for which in lists), 20, "nothing is open yet")
    with Paths(mesh) as paths:
        ours, other, off = ("%s:%d" % c.getsockname()[:2] for c in paths.all())
        server, plain = f"{mesh.server.ip4}:{PORT}", f"{mesh.plain_server.ip4}:{PORT}"
        outbound = {c["src"]: c for c in listed(*lists[0])}
        assert outbound == {
            ours: {"src": ours, "originalDst": server, "actualDst": f"{mesh.server.ip4}:15008",
                   "protocol": "HBONE"},
            other: {"src": other, "originalDst": plain, "actualDst": plain, "protocol": "TCP"}}
        inbound = listed(*lists[1])
        assert len(inbound) == 2
        plaintext = next(c for c in inbound if c["protocol"] == "TCP")
        assert (plaintext["src"], plaintext["actualDst"]) == (off, server)
        tunnelled = next(c for c in inbound if c["protocol"] == "HBONE")
        assert tunnelled["src"].startswith(mesh.client.ip4 + ":")
        assert tunnelled["actualDst"] == server and tunnelled["originalDst"] is None
    wait_until(lambda: not any(listed(*which) for which in lists), 20,
               "what has ended is listed no longer")


def test_an_inbound_connection_names_the_service_its_client_addressed(mesh):
    with mesh.client.connect(VIP, 80) as conn:
        conn.sendall(b"x")
        talk.read_exactly(conn, 1)
        inbound = listed(mesh.b.ztunnel, mesh.server, "inbound")
        assert [c["originalDst"] for c in inbound] == ["web.default.svc.cluster.local"]
    wait_until(lambda: not listed(mesh.b.ztunnel, mesh.server, "inbound"), 20, "it is gone")


def test_a_refused_connection_is_never_listed(calm):
    calm.lab.policies = [world.policy("closed", "default", "Deny", [{"destinationPorts": [PORT]}])]
    calm.lab.apply()
    tls = hbone_peer.context_as(calm.lab, CLIENT)
    with hbone_peer.Tunnel(calm.ext, calm.server.ip4, tls) as tunnel:
        assert tunnel.connect(f"{calm.server.ip4}:{PORT}")[1] == 401
        wait_until(lambda: not listed(calm.b.ztunnel, calm.server, "inbound"), 10,
                   "the list is empty while the tunnel is open")
