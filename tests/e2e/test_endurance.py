# SPDX-License-Identifier: Apache-2.0
"""Many connections, and what is left of them: nothing."""
import json
import os
import socket
import sys
import time

import pytest

import netns
import streams
import talk
import ztunnel

PORT = 8080
ZTUNNEL_ENV = {"POOL_UNUSED_RELEASE_TIMEOUT": "1s", "RUST_LOG": "warn,access=off",
               "KEEPALIVE_TIME": "2s", "KEEPALIVE_INTERVAL": "1s", "KEEPALIVE_RETRIES": "3"}
WARM, ROUND, AT_ONCE = 2000, 5000, 150
FLAT = 1.02
REUSED = 77  # the number of a pod address that is used again and again
RESIDENT_SLACK = 16 << 20


@pytest.fixture(scope="module", autouse=True)
def server(mesh):
    for pod in (mesh.server, mesh.plain_server):
        pod.popen([sys.executable, streams.__file__, "serve", str(PORT)])
        pod.wait_listening(PORT)


def call(mesh, count, seed, at_once=AT_ONCE, to=None):
    done = mesh.client.run([sys.executable, streams.__file__, "call",
                            (to or mesh.server).ip4, str(PORT), str(count), str(at_once),
                            str(seed)], timeout=120)
    return json.loads(done.stdout)


def descriptors(pid):
    """Without those of our own question, which is closed a moment after its answer."""
    found = []
    for _ in range(10):
        found.append(len(os.listdir(f"/proc/{pid}/fd")))
        time.sleep(0.05)
    return min(found)


def use_of(node):
    """Descriptors, heap and buffers of an idle ztunnel, its spare buffers given back."""
    def idle():
        m = node.ztunnel.metrics()
        return all(m.total(name) == 0 for name in (
            "culvert_pool_tunnels_open", "culvert_hbone_streams_open", "istio_tcp_sockets_open"))
    ztunnel.wait_until(idle, 60, f"node {node.name} is idle")
    time.sleep(2.5)  # two of its tidyings: what is spare goes back to the system
    m = node.ztunnel.metrics()
    return {"descriptors": descriptors(node.ztunnel.process.pid), "heap": m.total("culvert_heap_bytes"), "buffers": m.total("culvert_iobuf_bytes"),
            "in use": m.total("culvert_iobuf_in_use_bytes"),
            "resident": node.ztunnel.rss_kb() * 1024}


def assert_flat(before, after):
    """Resident memory moves with the holes the allocator keeps, so it has more room than what is allocated."""
    for name, was in before.items():
        now = after[name]
        assert now["descriptors"] <= was["descriptors"], f"node {name}: {was} became {now}"
        for what in ("heap", "buffers", "in use"):
            assert now[what] <= was[what] * FLAT, f"{what} of node {name}: {was} became {now}"
        assert now["resident"] <= was["resident"] + RESIDENT_SLACK, f"{was} became {now}"


def uses(mesh):
    return {n.name: use_of(n) for n in (mesh.a, mesh.b)}


@pytest.mark.limit(300)
def test_12000_streams_with_random_endings_mix_no_octet_and_leave_nothing(mesh, slow_build):
    share = 10 if slow_build else 1
    assert call(mesh, WARM // share, 1)["failed"] == 0
    call(mesh, ROUND // share, 2)
    before = uses(mesh)
    began = time.monotonic()
    result = call(mesh, ROUND // share, 3)
    took = time.monotonic() - began
    after = uses(mesh)
    print(f"{ROUND // share} streams in {took:.1f} s; before {before}, "
          f"after {after}; endings {result['endings']}")
    assert result["failures"] == []
    assert result["server"]["failures"] == []
    if not slow_build:
        assert_flat(before, after)


def life_and_death(mesh, name):
    """A pod at an address that others had before it; its last connection is never closed."""
    mesh.b.pod_count = REUSED - 2
    pod = mesh.b.pod(name)
    mesh.lab.apply()
    got = []

    def serve(conn):
        got.append(talk.read_exactly(conn, 4))
        conn.sendall(name.encode())
        talk.hold(conn)

    with talk.Server(pod, PORT, serve) as server:
        held = mesh.client.connect(pod.ip4, PORT, 20)
        held.settimeout(20)
        held.sendall(b"ping")
        assert talk.read_exactly(held, len(name)) == name.encode(), "another pod answered"
        assert server.peers == [mesh.client.ip4]
        netns.ip(f"link del {pod.port}\n", mesh.b.netns)  # nothing of its end is heard
    pod.enrolled = pod.in_mesh = False
    mesh.lab.pods.remove(pod)
    mesh.lab.apply()
    netns.delete(pod.netns)
    mesh.lab.places.remove(pod)
    return held


@pytest.mark.limit(120)
def test_a_client_that_vanishes_is_noticed_and_its_application_told(mesh):
    """Off the mesh there are no PINGs, but TCP's keepalive."""
    ended = []

    def serve(conn):
        conn.sendall(b"hello")
        ended.append(talk.ending(conn, 90))

    def open_to_clients():
        return mesh.b.ztunnel.metrics().total("istio_tcp_sockets_open", reporter="destination")

    with talk.Server(mesh.second, PORT, serve):
        held = [mesh.ext.connect(mesh.second.ip4, PORT) for _ in range(20)]
        assert all(talk.read_exactly(conn, 5) == b"hello" for conn in held)
        assert open_to_clients() == 20
        mesh.lab.wire.ip("link", "set", f"to-{mesh.ext.name}", "down")  # from one moment to the next
        try:
            ztunnel.wait_until(lambda: open_to_clients() == 0 and len(ended) == 20, 90,
                               "the dead connections are noticed")
        finally:
            mesh.lab.wire.ip("link", "set", f"to-{mesh.ext.name}", "up")
    assert set(ended) == {"reset"}
    for conn in held:
        conn.close()


@pytest.mark.limit(300)
def test_vanished_peers_and_reused_addresses_leave_nothing(mesh):
    found = []
    for batch in range(2):
        held = [life_and_death(mesh, f"reborn-{batch}-{i}") for i in range(3)]
        for conn in held:
            assert talk.ending(conn, 60) == "reset"
            conn.close()
        found.append(uses(mesh))
    print(found)
    assert_flat(*found)


ROOM = 40     # descriptors beyond those of an idle ztunnel
WANTED = 150  # connections at once, of which few find room


@pytest.fixture
def narrow(mesh):
    """Restarts a node's ztunnel with few descriptors; afterwards with as many as before."""
    path = os.path.join(mesh.lab.dir, "narrow-ztunnel")
    restarted = []

    def restart(node):
        limit = descriptors(node.ztunnel.process.pid) + ROOM
        with open(path, "w", encoding="ascii") as f:
            f.write(f'#!/bin/sh\nulimit -n {limit}\nexec {ztunnel.binary()} "$@"\n')
        os.chmod(path, 0o755)
        restarted.append(node)
        mesh.lab.ztunnel_path = path
        assert node.ztunnel.terminate() == 0
        node.ztunnel.start()
        mesh.lab.apply()
    yield restart
    mesh.lab.ztunnel_path = None
    for node in restarted:
        node.ztunnel.terminate()
        node.ztunnel.start()
    mesh.lab.apply()


@pytest.mark.limit(120)
@pytest.mark.parametrize("side", ["client", "server"])
def test_without_descriptors_ztunnel_backs_off_and_serves_again_when_there_are(mesh, narrow,
                                                                               side):
    """The listening queue holds who comes; nobody is served by spinning."""
    node = mesh.a if side == "client" else mesh.b
    place = mesh.client if side == "client" else mesh.ext  # plain: a connection, an accept
    narrow(node)
    pid, conns = node.ztunnel.process.pid, []
    before = descriptors(pid)
    with place.entered():
        for _ in range(WANTED):
            conns.append(socket.socket())
            conns[-1].setblocking(False)
            conns[-1].connect_ex((mesh.server.ip4, PORT))
    time.sleep(1)
    used = ztunnel.cpu_seconds(pid)
    time.sleep(2)
    used = ztunnel.cpu_seconds(pid) - used
    for conn in conns:
        conn.close()
    assert used < 0.3, f"{used} s of processor time in 2 s of having nothing to do"
    assert use_of(node)["descriptors"] <= before  # who waited was served, and is gone, too
    result = call(mesh, 300, 12, at_once=10)
    assert result["failures"] == [] and result["server"]["failures"] == []
    counted = node.ztunnel.metrics()
    # who came when the last descriptor was gone waited; who needed a second one was refused
    waited = counted.total("culvert_accept_errors_total", reason="EMFILE")
    refused = counted.total("istio_tcp_connections_failed_total")
    assert waited + refused > 0, counted.text
