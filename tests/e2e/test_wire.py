# SPDX-License-Identifier: Apache-2.0
"""What a running ztunnel says on the wire, as a scripted peer reads it, and whom it talks to."""
import re
import socket
import time

import pytest

import hbone_double
import hbone_peer
import netns
import talk
import world
from ztunnel import wait_until

# One worker: a pod's tunnels are counted, and every worker has its own.
ZTUNNEL_ENV = {"ZTUNNEL_WORKER_THREADS": "1", "CULVERT_CONNECT_TIMEOUT": "2s"}

PORT, SERVICE_PORT = 8080, 80
PEER_VIP = "10.96.2.1"
PEER = world.identity("default", "peer")
OTHER = world.identity("default", "somebody-else")
BLACK_HOLE, SECOND_ADDRESS = "10.200.0.9", "10.200.0.7"
# RFC 9113 6.5.2; the first is our own: no dynamic table to keep
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS = 1, 2, 3
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = 4, 5, 6
HTTP2_WINDOW = 65535  # what a connection begins with, RFC 9113 6.9.2


def prepare(mesh):
    lab = mesh.lab
    mesh.peer = lab.host("peer")
    lab.workload("peer", serviceAccount="peer", protocol="HBONE",
                 workloadIps=[mesh.peer.ip4, mesh.peer.ip6],
                 services={"default/peer.default.svc.cluster.local": {SERVICE_PORT: PORT}})
    lab.workload("hole", serviceAccount="hole", protocol="HBONE", workloadIps=[BLACK_HOLE])
    lab.service("peer", [PEER_VIP], {SERVICE_PORT: PORT}, [])["subjectAltNames"] = [OTHER]
    # who forwards nothing and says nothing about it
    netns.ip(f"route add {BLACK_HOLE}/32 via {mesh.ext.ip4}\n", mesh.a.netns)
    netns.ip(f"addr add {SECOND_ADDRESS}/32 dev eth0\n", mesh.client.netns)
    netns.ip(f"route add {SECOND_ADDRESS}/32 dev {mesh.client.port}\n", mesh.a.netns)
    netns.ip(f"route add {SECOND_ADDRESS}/32 via {mesh.a.ip4}\n", mesh.peer.netns)


@pytest.fixture
def peer(mesh):
    with hbone_double.Double(mesh.peer, PEER, hbone_double.echo_pair) as double:
        yield double
    # the tunnels of this test are not the next one's
    wait_until(lambda: mesh.a.ztunnel.metrics().total("culvert_pool_tunnels_open") == 0, 20,
               "the tunnels are over")


def tls_client(mesh, account="client"):
    return hbone_peer.context_as(mesh.lab, world.identity("default", account))


def test_a_connect_is_told_in_the_contract_s_fields_and_order(mesh, peer):
    with mesh.client.connect(PEER_VIP, SERVICE_PORT) as conn:
        conn.sendall(b"hello")
        assert talk.read_exactly(conn, 5) == b"hello"
        port = conn.getsockname()[1]
    talk.ask(mesh.client, mesh.peer.ip6, PORT)
    first, second = peer.requests
    assert [name for name, _ in first] == [":method", ":authority", "baggage", "forwarded",
                                           "traceparent"]
    values = dict(first)
    assert values[":method"] == "CONNECT"
    assert values[":authority"] == f"{mesh.peer.ip4}:{PORT}"
    assert values["baggage"] == ("k8s.cluster.name=Kubernetes,k8s.namespace.name=default,"
                                 "k8s.deployment.name=client,service.name=client,"
                                 "service.version=v1")
    assert values["forwarded"] == (f'for="{mesh.client.ip4}:{port}"'
                                   ";host=peer.default.svc.cluster.local")
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-00", values["traceparent"])
    other = dict(second)
    assert other[":authority"] == f"[{mesh.peer.ip6}]:{PORT}"
    assert re.fullmatch(rf'for="\[{mesh.client.ip6}\]:\d+"', other["forwarded"])
    assert other["traceparent"] != values["traceparent"]


def test_a_client_s_settings_and_windows_are_the_contract_s(mesh, peer):
    talk.ask(mesh.client, mesh.peer.ip4, PORT)
    tunnel = peer.tunnels[0]
    assert tunnel.settings() == {HEADER_TABLE_SIZE: 0, ENABLE_PUSH: 0, INITIAL_WINDOW_SIZE: 4194304, MAX_FRAME_SIZE: 1048576,
                                 MAX_HEADER_LIST_SIZE: 16384}
    assert sum(tunnel.window_updates()) == 16777216 - HTTP2_WINDOW


def test_a_server_s_settings_and_windows_are_the_contract_s(mesh):
    with hbone_peer.Tunnel(mesh.ext, mesh.server.ip4, tls_client(mesh)) as tunnel:
        recorded = b""
        frames = []
        while not any(f.kind == hbone_double.WINDOW_UPDATE for f in frames):
            recorded += tunnel.tls.recv(65536)
            frames, _ = hbone_double.frames_of(recorded)
    first = frames[0]
    assert first.kind == hbone_double.SETTINGS and first.flags == 0
    assert hbone_double.settings_of(first) == {
        HEADER_TABLE_SIZE: 0, MAX_CONCURRENT_STREAMS: 200, INITIAL_WINDOW_SIZE: 4194304,
        MAX_FRAME_SIZE: 1048576, MAX_HEADER_LIST_SIZE: 65536}
    grown = [int.from_bytes(f.payload, "big") for f in frames
             if f.kind == hbone_double.WINDOW_UPDATE and f.stream == 0]
    assert sum(grown) == 16777216 - HTTP2_WINDOW


def test_the_hundred_and_first_stream_opens_a_second_tunnel(mesh, peer):
    conns = [mesh.client.connect(mesh.peer.ip4, PORT) for _ in range(101)]
    for conn in conns:
        conn.sendall(b"!")
    for conn in conns:
        assert talk.read_exactly(conn, 1) == b"!"
    assert sorted(len(t.requests) for t in peer.tunnels) == [1, 100]
    for conn in conns:
        conn.close()


def test_a_server_grants_200_streams_at_once(mesh):
    with talk.Server(mesh.server, PORT, talk.echo), \
            hbone_peer.Tunnel(mesh.ext, mesh.server.ip4, tls_client(mesh), 30) as tunnel:
        asked = [tunnel.request([(":method", "CONNECT"),
                                 (":authority", f"{mesh.server.ip4}:{PORT}")])
                 for _ in range(200)]
        assert {tunnel.answer(s)[":status"] for s in asked} == {"200"}


def test_neither_pods_nor_addresses_nor_next_hops_nor_names_share_a_tunnel(mesh, peer):
    def tunnels_after(*calls):
        for place, address, port, source in calls:
            with place.entered():
                conn = socket.create_connection((address, port), 10,
                                                source and (source, 0))
            with conn:
                conn.sendall(b"?")
                assert talk.read_exactly(conn, 1) == b"?"
        return len(peer.tunnels)

    plain = (mesh.client, mesh.peer.ip4, PORT, None)
    assert tunnels_after(plain, plain, (mesh.client, mesh.peer.ip4, PORT + 1, None)) == 1
    assert tunnels_after((mesh.other, mesh.peer.ip4, PORT, None)) == 2  # another pod
    assert tunnels_after((mesh.client, mesh.peer.ip4, PORT, SECOND_ADDRESS)) == 3  # address
    assert tunnels_after((mesh.client, mesh.peer.ip6, PORT, None)) == 4  # next hop
    # the same next hop, but a service's names are expected there, too
    vip = (mesh.client, PEER_VIP, SERVICE_PORT, None)
    assert tunnels_after(vip) == 5
    assert tunnels_after(plain, vip) == 5
    assert [t.identity for t in peer.tunnels[:3]] == [
        mesh.client.identity, mesh.other.identity, mesh.client.identity]


def test_a_silent_hbone_port_is_told_to_be_a_network_policy(mesh):
    mark = mesh.a.ztunnel.log_size()
    began = time.monotonic()
    assert talk.refused(mesh.client, BLACK_HOLE, PORT)
    assert time.monotonic() - began >= 1.5  # it was waited for
    line = mesh.a.ztunnel.wait_access(mark, dst__addr=f"{BLACK_HOLE}:15008")
    assert "NetworkPolicy" in line["error"] and "15008" in line["error"]
    assert mesh.a.ztunnel.metrics().total("istio_tcp_connections_failed_total",
                                          response_flags="NETWORK_POLICY") == 1


@pytest.mark.limit(120)
def test_a_tunnel_whose_other_end_falls_silent_is_dead_by_ping(mesh, peer):
    """In both roles at once: the contract's patience is 10 s to a PING and 20 s for its answer."""
    mark_a, mark_b = mesh.a.ztunnel.log_size(), mesh.b.ztunnel.log_size()
    with talk.Server(mesh.server, PORT, talk.hold), \
            hbone_peer.Tunnel(mesh.ext, mesh.server.ip4, tls_client(mesh), 90) as tunnel:
        assert tunnel.connect(f"{mesh.server.ip4}:{PORT}")[1] == 200  # and never reads again
        conn = mesh.client.connect(mesh.peer.ip4, PORT)
        conn.sendall(b"!")
        assert talk.read_exactly(conn, 1) == b"!"
        peer.tunnels[-1].muted.set()
        assert talk.ending(conn, 60) == "reset"
        words = hbone_peer.error_words()["H2_PING_TIMEOUT"]
        mesh.a.ztunnel.wait_access(mark_a, direction="outbound", error=words)
        mesh.b.ztunnel.wait_access(mark_b, 60, direction="inbound", error=words)
        conn.close()
