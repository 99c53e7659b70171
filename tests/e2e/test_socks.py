# SPDX-License-Identifier: Apache-2.0
"""SOCKS 5 inside pods: curl's own client, and a raw one that keeps no rules."""
import contextlib
import os
import socket
import struct
import time

import pytest

import dns_peer
import talk
import world
from ztunnel import wait_until

PORT, CLOSED, SOCKS = 8080, 8081, 15080
CLIENTS_MAX = 1024  # POD_SOCKS_CLIENTS_MAX
VIP, VIP6 = "10.96.0.80", "fd00:96::80"
ZTUNNEL_ENV = {"UNSTABLE_ENABLE_SOCKS5": "true"}
GRANTED = b"\5\0\0\1\0\0\0\0\0\0"
PAGE = b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\npage\n"


def web(conn):
    seen = b""
    while b"\r\n\r\n" not in seen:
        got = conn.recv(4096)
        if not got:
            break
        seen += got
    else:
        conn.sendall(PAGE)
    conn.close()


def prepare(mesh):
    resolv = os.path.join(mesh.lab.dir, "resolv.conf")
    mesh.a.ztunnel.extra_env["CULVERT_RESOLV_CONF"] = resolv
    mesh.b.ztunnel.extra_env["UNSTABLE_ENABLE_SOCKS5"] = "false"
    mesh.upstream = dns_peer.Nameserver(mesh.ext)
    with open(resolv, "w", encoding="ascii") as f:
        f.write(f"nameserver {mesh.ext.ip4}\noptions timeout:1 attempts:1\n")
    mesh.lab.service("web", [VIP, VIP6], {80: PORT}, [mesh.server])
    mesh.upstream.answers("outside.test", "A", mesh.ext.ip4)
    mesh.upstream.answers("outside.test", "AAAA", mesh.ext.ip6)
    mesh.upstream.answers("only6.test", "AAAA", mesh.ext.ip6)


@pytest.fixture(scope="module")
def pages(mesh):
    with talk.Server(mesh.server, PORT, web), talk.Server(mesh.ext, PORT, web):
        yield


def curl(mesh, url, how="--socks5-hostname", at=f"127.0.0.1:{SOCKS}"):
    return mesh.client.run(["curl", "-sS", "-g", "-m", "20", how, at, url], check=False)


def dial(mesh, host="127.0.0.1"):
    conn = mesh.client.connect(host, SOCKS)
    conn.settimeout(20)
    return conn


def request(host, port, command=1):
    with contextlib.suppress(OSError):
        return bytes([5, command, 0, 1]) + socket.inet_aton(host) + struct.pack("!H", port)
    name = host.encode()
    return bytes([5, command, 0, 3, len(name)]) + name + struct.pack("!H", port)


def answer(mesh, host, port, command=1, via="127.0.0.1"):
    """The code of the reply."""
    with dial(mesh, via) as conn:
        conn.sendall(b"\5\1\0" + request(host, port, command))
        assert talk.read_exactly(conn, 2) == b"\5\0"
        reply = talk.read_exactly(conn, 10)
        assert reply[:1] + reply[2:] == GRANTED[:1] + GRANTED[2:]
        return reply[1]


@pytest.mark.asan
@pytest.mark.parametrize("family", ["ip4", "ip6"])
def test_curl_reaches_a_pod_by_its_address_through_a_tunnel(mesh, pages, family):
    mark, there = mesh.a.ztunnel.log_size(), mesh.b.ztunnel.log_size()
    address = getattr(mesh.server, family)
    host = f"[{address}]" if family == "ip6" else address
    for how in ("--socks5", "--socks5-hostname"):
        done = curl(mesh, f"http://{host}:{PORT}/", how)
        assert done.stdout == "page\n", done.stderr
    line = mesh.a.ztunnel.wait_access(mark, direction="outbound",
                                      **{"dst.hbone_addr": f"{host}:{PORT}"})
    assert line["dst.identity"] == mesh.server.identity
    assert line["src.addr"].rpartition(":")[0].strip("[]") == getattr(mesh.client, family)
    seen = mesh.b.ztunnel.wait_access(there, direction="inbound")
    assert seen["src.identity"] == mesh.client.identity


@pytest.mark.asan
@pytest.mark.parametrize("at", [f"127.0.0.1:{SOCKS}", f"[::1]:{SOCKS}"])
@pytest.mark.parametrize("name", ["web", "web.default.svc.cluster.local"])
def test_curl_reaches_a_service_by_its_name_without_any_nameserver(mesh, pages, name, at):
    mesh.upstream.seen.clear()
    mark = mesh.a.ztunnel.log_size()
    done = curl(mesh, f"http://{name}/", at=at)
    assert done.stdout == "page\n", done.stderr
    # A for a client by IPv4, AAAA for one by IPv6
    address = f"[{mesh.server.ip6}]" if "::1" in at else mesh.server.ip4
    mesh.a.ztunnel.wait_access(mark, direction="outbound",
                               **{"dst.hbone_addr": f"{address}:{PORT}",
                                  "dst.service": "web.default.svc.cluster.local"})
    assert mesh.upstream.seen == []


def test_a_name_the_mesh_does_not_know_is_asked_of_the_nameserver(mesh, pages):
    for at in (f"127.0.0.1:{SOCKS}", f"[::1]:{SOCKS}"):
        done = curl(mesh, f"http://outside.test:{PORT}/", at=at)
        assert done.stdout == "page\n", done.stderr
    assert answer(mesh, "only6.test", PORT, via="::1") == 0
    assert answer(mesh, "only6.test", PORT) == 4  # a client by IPv4 gets IPv4


def test_the_reply_tells_how_the_connection_went(mesh, pages):
    assert answer(mesh, mesh.ext.ip4, PORT) == 0
    assert answer(mesh, mesh.ext.ip4, CLOSED) == 5
    assert answer(mesh, "nowhere.test", PORT) == 4
    assert answer(mesh, "127.0.0.1", SOCKS) == 2  # our own port
    assert answer(mesh, mesh.client.ip4, SOCKS) == 1  # the same, told by who was asked by tunnel
    assert answer(mesh, mesh.ext.ip4, PORT, command=2) == 7
    done = curl(mesh, f"http://{mesh.ext.ip4}:{CLOSED}/")
    assert done.returncode == 97 and "(5)" in done.stderr


def test_what_a_policy_refuses_is_told_as_not_allowed(calm, pages):
    calm.lab.policies = [world.policy("closed", "default", "Deny", [{"destinationPorts": [PORT]}])]
    calm.lab.apply()
    wait_until(lambda: answer(calm, calm.server.ip4, PORT) == 2, 20, "the policy holds")


def test_octets_sent_along_with_the_request_arrive_in_order(mesh):
    with talk.Server(mesh.second, PORT, talk.echo), dial(mesh) as conn:
        text = bytes(range(256)) * 64
        conn.sendall(b"\5\1\0" + request(mesh.second.ip4, PORT) + text)
        assert talk.read_exactly(conn, 12) == b"\5\0" + GRANTED
        assert talk.read_exactly(conn, len(text)) == text


@pytest.mark.asan
@pytest.mark.parametrize("said, heard", [
    (b"\4\1\0\x50\x0a\0\0\1\0", b""),
    (b"GET / HTTP/1.1\r\n\r\n", b""),
    (b"\5\1\2", b"\5\xff"),
    (b"\5\0", b"\5\xff"),
    (b"\5\1\0\5\1\0\x09", b"\5\0\5\x08"),
    (b"\5\1\0\5\1\0\3\0\0\x50", b"\5\0\5\1"),
    (b"\5\1\0\5\1\0\3\3a\0b\0\x50", b"\5\0\5\1"),
    (b"\5\1\0\4\1\0\1", b"\5\0\5\1"),
], ids=lambda v: v.hex())
def test_a_client_that_breaks_the_rules_is_told_and_closed(mesh, said, heard):
    with dial(mesh) as conn:
        conn.sendall(said)
        got = b""
        with contextlib.suppress(ConnectionResetError):
            while chunk := conn.recv(100):
                got += chunk
    assert got[:len(heard)] == heard and len(got) in (len(heard), 12)
    assert mesh.a.ztunnel.running()


def test_slow_clients_are_cut_and_do_not_keep_others_out(mesh, pages):
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(dial(mesh)) for _ in range(200)]
        for conn in slow:
            conn.sendall(b"\5\1\0\5\1")
        began = time.monotonic()
        assert curl(mesh, "http://web/").stdout == "page\n"
        for conn in slow:
            conn.settimeout(60)
            with contextlib.suppress(ConnectionResetError):
                while conn.recv(100):
                    pass
        assert time.monotonic() - began > 5  # by the deadline, not at once


def test_of_too_many_clients_the_oldest_goes(mesh, pages):
    with contextlib.ExitStack() as stack:
        oldest = stack.enter_context(dial(mesh))
        oldest.sendall(b"\5\1\0")
        assert talk.read_exactly(oldest, 2) == b"\5\0"
        for _ in range(CLIENTS_MAX):
            stack.enter_context(dial(mesh))
        with pytest.raises(ConnectionResetError):
            oldest.recv(1)
        assert curl(mesh, "http://web/").stdout == "page\n"


def test_a_pod_that_leaves_takes_its_listener_along(calm, pages):
    with dial(calm) as waiting:
        calm.client.enrolled = False
        calm.lab.apply()
        with pytest.raises(ConnectionRefusedError):
            dial(calm).close()
        with contextlib.suppress(ConnectionResetError):
            assert waiting.recv(1) == b""


def test_without_the_setting_nobody_listens(mesh):
    with pytest.raises(ConnectionRefusedError):
        mesh.server.connect("127.0.0.1", SOCKS).close()
