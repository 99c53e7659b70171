# SPDX-License-Identifier: Apache-2.0
"""How connections end, told truthfully to the other side."""
import socket
import threading

import pytest

import talk

PORT = 8080


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


def test_no_connection_is_left_behind(mesh, pair):
    """After all of the above nothing lingers in either ztunnel."""
    import ztunnel
    def idle():
        return all(n.ztunnel.metrics().total("culvert_hbone_streams_open") == 0
                   for n in (mesh.a, mesh.b))
    ztunnel.wait_until(idle, 20, "every stream is closed")
