# SPDX-License-Identifier: Apache-2.0
"""Every byte arrives, whatever the size, the number and the pace."""
import hashlib
import random
import socket
import threading
import time

import pytest

import talk
from ztunnel import wait_until

PORT = 8080
SILENT_SECONDS = 10
# What may wait between a sender and a reader that has stopped: the windows and caps of both
# ztunnels, and the socket buffers of six sockets.
HELD_BYTES_MAX = 64 << 20
GROWTH_KB_MAX = 48 << 10


@pytest.fixture(scope="module")
def server(mesh):
    with talk.ExchangeServer(mesh.server, PORT) as made:
        yield made


@pytest.mark.asan
@pytest.mark.parametrize("family", ["ip4", "ip6"])
def test_a_gigabyte_each_way_arrives_bit_for_bit(mesh, server, big_bytes, family):
    size = big_bytes if family == "ip4" else big_bytes // 4
    address = getattr(mesh.server, family)
    mine = talk.exchange(mesh.client, address, PORT, size, seed=100 + size)
    talk.assert_exchanged(mine, server, size)
    assert server.results()[100 + size]["peer"] == getattr(mesh.client, family)


@pytest.mark.asan
def test_64_connections_at_once_keep_their_bytes_apart(mesh, server, big_bytes):
    size = big_bytes // 64
    mine = talk.exchange(mesh.client, mesh.server.ip4, PORT, size, connections=64, seed=5000)
    assert len(mine) == 64
    talk.assert_exchanged(mine, server, size)


@pytest.mark.asan
def test_writes_of_one_byte_arrive(mesh, server, slow_build):
    size = 4000 if slow_build else 20000
    mine = talk.exchange(mesh.client, mesh.server.ip4, PORT, size, write_size=1, seed=6000)
    talk.assert_exchanged(mine, server, size)


@pytest.mark.asan
def test_200_short_connections_after_another_all_work(mesh):
    with talk.Server(mesh.server, 8082, talk.echo):
        for number in range(200):
            talk.ask(mesh.client, mesh.server.ip4, 8082, b"%d bottles" % number)


def _push(conn, block, held, stop):
    """Sends until told to stop; counts what the path took."""
    conn.settimeout(0.2)
    while not stop.is_set():
        try:
            sent = conn.send(block)
        except socket.timeout:
            continue
        held["hash"].update(block[:sent])
        held["bytes"] += sent


@pytest.mark.asan
@pytest.mark.parametrize("direction", ["to the server", "to the client"])
def test_a_reader_that_pauses_holds_back_the_sender_and_memory_stays_bounded(mesh, direction):
    ready, pulled = threading.Event(), threading.Event()
    ends = []

    def serve(conn):
        ends.append(conn)
        ready.set()
        pulled.wait(50)

    block = random.Random(7).randbytes(1 << 16)
    held, stop = {"bytes": 0, "hash": hashlib.sha256()}, threading.Event()
    with talk.Server(mesh.server, 8081, serve) as server:
        with mesh.client.connect(mesh.server.ip4, 8081) as conn:
            assert ready.wait(10)
            sender, reader = (conn, ends[0]) if direction == "to the server" else (ends[0], conn)
            before = [n.ztunnel.rss_kb() for n in (mesh.a, mesh.b)]
            pusher = threading.Thread(target=_push, args=(sender, block, held, stop), daemon=True)
            pusher.start()
            time.sleep(SILENT_SECONDS)
            after = [n.ztunnel.rss_kb() for n in (mesh.a, mesh.b)]
            taken = held["bytes"]
            assert taken <= HELD_BYTES_MAX, "a sender without a reader was not held back"
            assert all(b - a <= GROWTH_KB_MAX for a, b in zip(before, after)), (before, after)
            stop.set()
            pusher.join(5)
            sender.shutdown(socket.SHUT_WR)
            got = hashlib.sha256()
            reader.settimeout(20)
            for part in iter(lambda: reader.recv(1 << 18), b""):
                got.update(part)
            assert got.hexdigest() == held["hash"].hexdigest(), "what had waited arrived changed"
            pulled.set()
        assert server.peers == [mesh.client.ip4]


@pytest.mark.asan
def test_after_all_that_nothing_is_open_and_both_ends_stop_without_a_deadline(mesh):
    """Last in this file: it stops the ztunnels of the module."""
    nodes = (mesh.a, mesh.b)
    wait_until(lambda: all(n.ztunnel.metrics().total("culvert_hbone_streams_open") == 0
                           for n in nodes), 20, "every stream is closed")
    marks = [n.ztunnel.log_size() for n in nodes]
    mesh.lab.stop_ztunnels()
    for node, mark in zip(nodes, marks):
        assert node.ztunnel.process.returncode == 0
        assert "deadline passed" not in node.ztunnel.log_text(mark)
