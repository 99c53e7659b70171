# SPDX-License-Identifier: Apache-2.0
"""How connections end, told truthfully to the other side."""
import socket
import threading

import pytest

import talk
from ztunnel import wait_until

PORT = 8080


def wait_unread(conn):
    """Until there is something to read."""
    conn.settimeout(10)
    assert conn.recv(1, socket.MSG_PEEK)


@pytest.fixture
def pair(mesh):
    """Returns a function that makes a connection: (client's end, server's end)."""
    arrived = []
    ready = threading.Event()

    def serve(conn):
        arrived.append(conn)
        ready.set()
        talk.hold(conn)

    with talk.Server(mesh.server, PORT, serve):
        def connect(address=None):
            ready.clear()
            client = mesh.client.connect(address or mesh.server.ip4, PORT)
            client.sendall(b"x")
            assert ready.wait(10)
            server = arrived[-1]
            assert talk.read_exactly(server, 1) == b"x"
            made.append(client)
            return client, server
        made = []
        yield connect
        for conn in made:
            conn.close()


@pytest.mark.asan
@pytest.mark.parametrize("first", ["client", "server"])
def test_a_half_close_passes_and_the_other_direction_goes_on(pair, first):
    client, server = pair()
    ending, going_on = (client, server) if first == "client" else (server, client)
    ending.sendall(b"last words")
    ending.shutdown(socket.SHUT_WR)
    going_on.settimeout(10)
    assert talk.read_all(going_on) == b"last words"
    payload = b"z" * 3_000_000
    sender = threading.Thread(target=lambda: (going_on.sendall(payload),
                                              going_on.shutdown(socket.SHUT_WR)))
    sender.start()
    ending.settimeout(20)
    assert talk.read_all(ending) == payload
    sender.join(10)


@pytest.mark.asan
@pytest.mark.parametrize("first", ["client", "server"])
def test_a_reset_arrives_as_a_reset(pair, first):
    client, server = pair()
    resetting, other = (client, server) if first == "client" else (server, client)
    talk.reset(resetting)
    assert talk.ending(other) == "reset"


@pytest.mark.parametrize("first", ["client", "server"])
def test_a_reset_after_a_half_close_of_the_other_side_arrives(pair, first):
    client, server = pair()
    resetting, other = (client, server) if first == "client" else (server, client)
    other.shutdown(socket.SHUT_WR)
    resetting.settimeout(10)
    assert talk.read_all(resetting) == b""
    talk.reset(resetting)
    assert talk.ending(other) == "reset"


def test_a_clean_end_is_not_a_reset(pair):
    client, server = pair()
    client.close()
    assert talk.ending(server) == "fin"


@pytest.mark.asan
def test_a_port_nobody_listens_on_ends_the_connection_and_is_logged(mesh):
    mark = mesh.a.ztunnel.log_size()
    assert talk.refused(mesh.client, mesh.server.ip4, 9)
    line = mesh.a.ztunnel.wait_access(mark, direction="outbound",
                                      dst__hbone_addr=f"{mesh.server.ip4}:9")
    assert line["level"] == "error" and "503" in line["error"]


def test_a_closed_port_of_a_stranger_ends_the_connection(mesh):
    assert talk.refused(mesh.client, mesh.ext.ip4, 9)


def test_a_closed_port_of_an_enrolled_pod_refuses_a_client_off_the_mesh(mesh):
    assert talk.refused(mesh.ext, mesh.server.ip4, 9)


@pytest.mark.asan
def test_a_server_that_speaks_first_is_heard_and_a_client_that_waits_is_served(mesh):
    def ssh_like(conn):
        conn.sendall(b"SSH-2.0-culvert_test\r\n")
        assert talk.read_exactly(conn, 5) == b"hello"
        conn.sendall(b"bye")
        conn.close()

    with talk.Server(mesh.server, 2222, ssh_like):
        with mesh.client.connect(mesh.server.ip4, 2222) as conn:
            conn.settimeout(10)
            assert talk.read_exactly(conn, 22) == b"SSH-2.0-culvert_test\r\n"
            conn.sendall(b"hello")
            assert talk.read_all(conn) == b"bye"


@pytest.mark.asan
@pytest.mark.parametrize("where", ["a pod of the mesh", "a stranger", "into the mesh"])
def test_a_refused_connect_is_a_reset_and_not_an_empty_success(mesh, where):
    """The application is connected before its target is known to refuse: all that is left is to say so at once."""
    place, address = {"a pod of the mesh": (mesh.client, mesh.server.ip4),
                      "a stranger": (mesh.client, mesh.ext.ip4),
                      "into the mesh": (mesh.ext, mesh.server.ip4)}[where]
    try:
        with place.connect(address, 9) as conn:
            assert talk.ending(conn) == "reset"
    except ConnectionError:
        pass  # the reset was faster than the call


@pytest.mark.asan
@pytest.mark.parametrize("first", ["client", "server"])
def test_a_close_with_unread_data_is_a_reset(pair, first):
    client, server = pair()
    closing, other = (client, server) if first == "client" else (server, client)
    other.sendall(b"never read" * 1000)
    wait_unread(closing)
    closing.close()
    assert talk.ending(other) == "reset"


@pytest.mark.parametrize("first", ["client", "server"])
def test_a_reset_behind_bytes_under_way_is_never_a_clean_end(pair, first):
    """Linger 0 with a megabyte on its way: what arrives is a beginning of it, and then a reset."""
    client, server = pair()
    resetting, other = (client, server) if first == "client" else (server, client)
    payload = bytes(range(256)) * 4096
    resetting.settimeout(10)
    sender = threading.Thread(target=lambda: (resetting.sendall(payload), talk.reset(resetting)))
    sender.start()
    got, end = b"", "open"
    other.settimeout(15)
    try:
        while True:
            part = other.recv(65536)
            if not part:
                end = "fin"
                break
            got += part
    except ConnectionResetError:
        end = "reset"
    sender.join(10)
    assert end == "reset"
    assert payload.startswith(got)


@pytest.mark.parametrize("first", ["client", "server"])
def test_a_half_close_and_then_a_reset_of_the_same_side(pair, first):
    client, server = pair()
    resetting, other = (client, server) if first == "client" else (server, client)
    resetting.sendall(b"all I have")
    resetting.shutdown(socket.SHUT_WR)
    other.settimeout(10)
    assert talk.read_all(other) == b"all I have"
    talk.reset(resetting)

    def told():
        try:
            other.sendall(b"x")
            return False
        except ConnectionError:
            return True
    wait_until(told, 15, "the writer hears that nobody listens")


def test_both_may_end_at_once(pair):
    client, server = pair()
    for conn in (client, server):
        conn.sendall(b"bye" * 1000)
        conn.shutdown(socket.SHUT_WR)
    for conn in (client, server):
        conn.settimeout(10)
        assert talk.read_all(conn) == b"bye" * 1000


def test_no_connection_is_left_behind(mesh, pair):
    """After all of the above nothing lingers in either ztunnel."""
    def idle():
        return all(n.ztunnel.metrics().total("culvert_hbone_streams_open") == 0
                   for n in (mesh.a, mesh.b))
    wait_until(idle, 20, "every stream is closed")
