# SPDX-License-Identifier: Apache-2.0
"""SIGTERM: what runs may finish, nothing new begins, and the exit is clean."""
import signal
import threading
import time

import pytest

import talk
from ztunnel import wait_until

PORT = 8080
# Deadline of a drain = grace period - 5 s.
ZTUNNEL_ENV = {"TERMINATION_GRACE_PERIOD_SECONDS": "11"}
SIZE = 8 << 20


@pytest.fixture(autouse=True)
def fresh(calm):
    """No test inherits a ztunnel that still drains."""
    yield
    for node in (calm.a, calm.b):
        node.ztunnel.end()


def steady(conn):
    """A download that takes a while: half a megabyte at a time."""
    conn.recv(1)
    for _ in range(SIZE >> 19):
        conn.sendall(b"d" * (1 << 19))
        time.sleep(0.15)
    conn.close()


@pytest.mark.asan
@pytest.mark.parametrize("side", ["a", "b"])
def test_sigterm_lets_a_live_transfer_complete_and_exits_with_0(calm, side):
    zt = getattr(calm, side).ztunnel
    mark = zt.log_size()
    with talk.Server(calm.server, PORT, steady):
        with calm.client.connect(calm.server.ip4, PORT) as conn:
            conn.sendall(b"g")
            talk.read_exactly(conn, 1000)
            zt.process.send_signal(signal.SIGTERM)
            wait_until(lambda: "shutting down" in zt.log_text(mark), 10, "the drain has begun")
            conn.settimeout(20)
            assert len(talk.read_all(conn)) == SIZE - 1000
    assert zt.process.wait(30) == 0


@pytest.mark.parametrize("side", ["a", "b"])
def test_while_draining_no_new_connection_begins(calm, side):
    zt = getattr(calm, side).ztunnel
    with talk.Server(calm.server, PORT, talk.echo) as server:
        with calm.client.connect(calm.server.ip4, PORT) as conn:
            conn.sendall(b"hello")
            talk.read_exactly(conn, 5)
            zt.process.send_signal(signal.SIGTERM)
            wait_until(lambda: not talk.served(calm.client, calm.server.ip4, PORT, timeout=1), 10,
                       "new connections are refused")
            assert zt.running(), "it did not wait for the live connection"
            conn.sendall(b"still")
            talk.read_exactly(conn, 5)
        assert len(server.peers) >= 1
    assert zt.process.wait(30) == 0


@pytest.mark.asan
def test_at_the_deadline_what_is_left_is_closed_and_logged(calm):
    zt = calm.b.ztunnel
    mark = zt.log_size()
    with talk.Server(calm.server, PORT, talk.echo):
        with calm.client.connect(calm.server.ip4, PORT) as conn:
            conn.sendall(b"x")
            talk.read_exactly(conn, 1)
            zt.process.send_signal(signal.SIGTERM)
            assert talk.ending(conn, timeout=30) in ("fin", "reset")
    assert zt.process.wait(30) == 0
    line = zt.wait_access(mark, direction="inbound")
    assert "drain" in line["error"]


def test_without_connections_sigterm_ends_at_once(calm):
    began = time.monotonic()
    assert calm.a.ztunnel.terminate() == 0
    assert time.monotonic() - began < 11, "it waited for connections that were not there"


def test_quitquitquit_drains_as_sigterm_does(calm):
    assert calm.a.ztunnel.get("/quitquitquit")[0] == 405
    status, _, text = calm.a.ztunnel.get("/quitquitquit", method="POST")
    assert (status, text) == (200, "shutdown now\n")
    assert calm.a.ztunnel.process.wait(30) == 0


def test_a_drained_node_stays_closed(calm):
    """After a clean exit pods are closed just as after a crash."""
    calm.a.ztunnel.terminate()
    with talk.Server(calm.ext, PORT, talk.echo) as server:
        assert not talk.served(calm.client, calm.ext.ip4, PORT, timeout=2)
        assert server.peers == []


def test_a_successor_takes_over_while_the_old_one_drains(calm):
    old = calm.a.ztunnel.process
    stop, failures = threading.Event(), []
    with talk.Server(calm.server, PORT, talk.echo):
        conn = calm.client.connect(calm.server.ip4, PORT)
        conn.sendall(b"x")
        talk.read_exactly(conn, 1)

        def chat():
            try:
                while not stop.wait(0.05):
                    conn.sendall(b"tick")
                    talk.read_exactly(conn, 4)
            except OSError as error:
                failures.append(error)
        thread = threading.Thread(target=chat, daemon=True)
        thread.start()
        old.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert old.poll() is None
        calm.a.ztunnel.process = None
        calm.a.ztunnel.start()
        assert talk.served(calm.client, calm.server.ip4, PORT)
        stop.set()
        thread.join(5)
        assert not failures, "the old connection did not survive the successor"
        conn.close()
        assert old.wait(30) == 0
