# SPDX-License-Identifier: Apache-2.0
"""A pod leaves the mesh while it lives: peers hear it first, what runs may finish, and there is an end to that.

Node a lets connections of such a pod finish for ten minutes, node b for three seconds.
"""
import time

import h2.connection
import pytest

import hbone_peer
import netns
import talk
import world
from ztunnel import wait_until

PORT = 8080
LONG, SHORT = "10m", "3s"
CLEAN_SECONDS = 30


def prepare(mesh):
    mesh.a.ztunnel.extra_env["CONNECTION_TERMINATION_DEADLINE"] = LONG
    mesh.b.ztunnel.extra_env["CONNECTION_TERMINATION_DEADLINE"] = SHORT
    mesh.leaving = mesh.a.pod("leaving")


@pytest.fixture(scope="module")
def tls(mesh):
    return hbone_peer.context_as(mesh.lab, world.identity("default", "client"))


def rules(pod):
    return pod.ip("rule", "list")


def leave(mesh, pod):
    pod.enrolled = False
    mesh.lab.apply()


def talks(conn, text=b"still here"):
    conn.sendall(text)
    return talk.read_exactly(conn, len(text)) == text


@pytest.mark.asan
def test_a_pod_that_leaves_says_goaway_and_its_streams_run_on(calm, tls):
    pod = calm.leaving
    with talk.Server(pod, PORT, talk.echo), hbone_peer.Tunnel(calm.plain, pod.ip4, tls) as tunnel:
        stream, status = tunnel.connect(f"{pod.ip4}:{PORT}")
        assert status == 200
        tunnel.send(stream, b"before")
        assert tunnel.body(stream, 6) == b"before"
        leave(calm, pod)
        while tunnel.terminated is None:
            tunnel.pump()
        # python3-h2 takes a GOAWAY for the end of what runs, too
        tunnel.h2.state_machine.state = h2.connection.ConnectionState.CLIENT_OPEN
        assert tunnel.terminated == 0  # NO_ERROR: peers' pools take it off and are done with it
        tunnel.send(stream, b" and after")
        assert tunnel.body(stream, 16) == b"before and after"
        assert "0x111" in rules(pod), "its return path must not go before its connections"
        tunnel.send(stream, b"", end_stream=True)
        while stream not in tunnel.ended:
            tunnel.pump()
        assert tunnel.ended[stream] == "end"
        with pytest.raises(ConnectionError):
            while True:
                tunnel.pump()
        wait_until(lambda: "0x111" not in rules(pod), CLEAN_SECONDS,
                   "with the last connection everything goes")


@pytest.mark.asan
def test_both_directions_of_a_leaving_pod_run_on_and_new_connections_go_past(calm):
    pod = calm.leaving
    with talk.Server(pod, PORT, talk.echo), talk.Server(calm.server, PORT, talk.echo) as server:
        into = calm.client.connect(pod.ip4, PORT)
        out = pod.connect(calm.server.ip4, PORT)
        plain = calm.ext.connect(pod.ip4, PORT)
        assert talks(into) and talks(out) and talks(plain)
        leave(calm, pod)
        for conn in (into, out, plain):
            assert talks(conn)
        seen = len(server.peers)
        mark = calm.a.ztunnel.log_size()
        assert talk.served(pod, calm.server.ip4, PORT)
        assert len(server.peers) == seen + 1
        assert calm.a.ztunnel.access_log(mark, direction="outbound") == []
        for conn in (into, out, plain):
            assert talks(conn)
            conn.close()
        wait_until(lambda: "0x111" not in rules(pod), CLEAN_SECONDS,
                   "with the last connection everything goes")


@pytest.mark.asan
def test_at_the_deadline_what_a_pod_that_left_has_open_is_closed_and_logged(calm):
    with talk.Server(calm.server, PORT, talk.echo):
        conn = calm.client.connect(calm.server.ip4, PORT)
        plain = calm.ext.connect(calm.server.ip4, PORT)
        assert talks(conn) and talks(plain)
        mark = calm.b.ztunnel.log_size()
        leave(calm, calm.server)
        assert talk.ending(conn, timeout=30) in ("fin", "reset")
        assert talk.ending(plain, timeout=30) in ("fin", "reset")
        wait_until(lambda: len(calm.b.ztunnel.access_log(mark, direction="inbound")) == 2, 20,
                   "both are logged")
        for line in calm.b.ztunnel.access_log(mark, direction="inbound"):
            assert "drain" in line["error"]
        wait_until(lambda: "0x111" not in rules(calm.server), CLEAN_SECONDS, "the pod is clean")
        assert talk.served(calm.ext, calm.server.ip4, PORT)


def test_a_pod_whose_namespace_is_gone_is_not_waited_for(calm):
    pod = calm.a.pod("dies")
    calm.lab.apply()
    with talk.Server(pod, PORT, talk.echo):
        conn = calm.client.connect(pod.ip4, PORT)
        assert talks(conn)
        pins = calm.a.ztunnel.pins()
        netns.delete(pod.netns)  # the server's sockets keep what is behind the name
        assert talk.ending(conn, timeout=40) in ("fin", "reset")
        wait_until(lambda: len(calm.a.ztunnel.pins()) < len(pins), CLEAN_SECONDS,
                   "what was pinned for it goes")
    pod.enrolled = pod.in_mesh = False
    calm.lab.apply()


def test_a_pod_described_anew_keeps_its_connections(calm):
    """Another service account in the file, say: the old description drains, the new one serves at once."""
    pod = calm.leaving
    with talk.Server(pod, PORT, talk.echo):
        conn = calm.client.connect(pod.ip4, PORT)
        assert talks(conn)
        account, pod.account = pod.account, "another"
        calm.lab.write_state()
        calm.a.ztunnel.reload()
        wait_until(lambda: calm.a.ztunnel.metrics().total(
            "workload_manager_proxies_stopped_total") >= 1 and talk.served(calm.ext, pod.ip4, PORT),
                   20, "the pod serves under its new description")
        time.sleep(0.1)
        assert talks(conn)
        conn.close()
        pod.account = account
