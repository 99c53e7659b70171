# SPDX-License-Identifier: Apache-2.0
"""Application tunnels: a pod that takes connections for others, and is told for whom and from whom."""
import ipaddress

import pytest

import hbone_peer
import proxy_header
import talk
import world

PORT = 15088
CLIENT = world.identity("default", "client")
VIP, VIP6 = "10.99.0.1", "fd00:99::1"
WEB = "web.default.svc.cluster.local"


def prepare(mesh):
    mesh.gateway = mesh.b.pod("gateway")
    mesh.gateway.more = {"applicationTunnel": {"protocol": "PROXY", "port": PORT}}
    mesh.raw = mesh.b.pod("raw")
    mesh.raw.more = {"applicationTunnel": {"protocol": "NONE", "port": PORT}}
    waypoint = mesh.lab.service("gateway", ["10.99.0.9"], {15008: 15008}, [mesh.gateway])
    web = mesh.lab.service("web", [VIP6, VIP], {80: 8080}, [mesh.second])
    web["waypoint"] = {"destination": f"default/{waypoint['hostname']}", "hboneMtlsPort": 15008}
    mesh.lab.service("nowhere", [], {80: 8080}, [mesh.second])


@pytest.fixture(scope="module")
def tls(mesh):
    return hbone_peer.context_as(mesh.lab, CLIENT)


def ask(place, tls, to, authority, text=b"marco"):
    """One round through an application tunnel; returns the address the tunnel came from."""
    with hbone_peer.Tunnel(place, to, tls) as tunnel:
        stream, status = tunnel.connect(authority)
        assert status == 200
        tunnel.send(stream, text)
        assert tunnel.body(stream, len(text)) == text
        return tunnel.local[0], tunnel.local[1]


@pytest.mark.asan
def test_a_sandwich_is_told_who_calls_whom_and_is_reached_on_loopback(mesh, tls):
    with proxy_header.Server(mesh.gateway, PORT, "127.0.0.1") as server:
        source = ask(mesh.ext, tls, mesh.gateway.ip4, f"{VIP}:80")
        assert server.headers == [proxy_header.Header(
            "4", source, (VIP, 80), {proxy_header.TLV_IDENTITY: CLIENT.encode()})]
        assert server.peers == ["127.0.0.1"]


@pytest.mark.asan
def test_a_sandwich_on_ipv6_is_told_in_ipv6(mesh, tls):
    with proxy_header.Server(mesh.gateway, PORT, "::1") as server:
        source = ask(mesh.ext, tls, mesh.gateway.ip6, f"[{VIP6}]:80")
        assert server.headers[0][:3] == ("6", source, (VIP6, 80))
        source = ask(mesh.ext, tls, mesh.gateway.ip6, f"{VIP}:80")
        mapped = str(ipaddress.ip_address(f"::ffff:{VIP}"))
        assert server.headers[1][:3] == ("6", source, (mapped, 80)), "families that differ"
        assert server.peers == ["::1", "::1"]


def test_a_name_is_told_as_an_address_of_the_service(mesh, tls):
    with proxy_header.Server(mesh.gateway, PORT, "127.0.0.1") as server:
        ask(mesh.ext, tls, mesh.gateway.ip4, f"{WEB}:80")
        assert server.headers[0].destination == (VIP, 80), "IPv4 is preferred"
        with hbone_peer.Tunnel(mesh.ext, mesh.gateway.ip4, tls) as tunnel:
            assert tunnel.connect("nowhere.default.svc.cluster.local:80")[1] == 503
            assert tunnel.connect(f"{WEB}:81")[1] == 503
        assert len(server.peers) == 1, "what cannot be told reached the application"


def test_a_sandwich_that_speaks_first_is_heard_and_still_told_first(mesh, tls):
    with proxy_header.Server(mesh.gateway, PORT, "127.0.0.1", greeting=b"220 ready") as server:
        with hbone_peer.Tunnel(mesh.ext, mesh.gateway.ip4, tls) as tunnel:
            stream, _ = tunnel.connect(f"{VIP}:25")
            assert tunnel.body(stream, 9) == b"220 ready"
            tunnel.send(stream, b"EHLO", end_stream=True)
            assert tunnel.body(stream, 13) == b"220 readyEHLO"
        assert server.headers[0].destination == (VIP, 25)


def test_the_header_is_not_counted_as_the_client_s_bytes(mesh, tls):
    mark = mesh.b.ztunnel.log_size()
    with proxy_header.Server(mesh.gateway, PORT, "127.0.0.1"):
        host, port = ask(mesh.ext, tls, mesh.gateway.ip4, f"{VIP}:80", b"0123456789")
    line = mesh.b.ztunnel.wait_access(mark, direction="inbound", src__addr=f"{host}:{port}")
    assert (line["bytes_recv"], line["bytes_sent"]) == (10, 10)
    assert line["dst.hbone_addr"] == f"{VIP}:80"


def test_a_plain_tunnel_carries_the_bytes_alone_to_the_pod_s_own_address(mesh, tls):
    with talk.Server(mesh.raw, PORT, talk.echo, mesh.raw.ip4) as server:
        ask(mesh.ext, tls, mesh.raw.ip4, f"{VIP}:80")
        assert server.peers == [mesh.ext.ip4]


def test_without_a_port_a_plain_tunnel_leads_to_the_port_that_was_asked_for(calm, tls):
    calm.raw.more = {"applicationTunnel": {"protocol": "NONE"}}
    calm.lab.apply()
    with talk.Server(calm.raw, 8099, talk.echo, calm.raw.ip4) as server:
        ask(calm.ext, tls, calm.raw.ip4, f"{VIP}:8099")
        assert server.peers == [calm.ext.ip4]


def test_a_sandwich_takes_no_authority_that_means_here_or_everybody(mesh, tls):
    with proxy_header.Server(mesh.gateway, PORT, "127.0.0.1") as server:
        with hbone_peer.Tunnel(mesh.ext, mesh.gateway.ip4, tls) as tunnel:
            for authority in ("127.0.0.1:80", "[::1]:80", "0.0.0.0:80", "224.0.0.1:80"):
                assert tunnel.connect(authority)[1] == 400, authority
            assert tunnel.connect(f"{VIP}:15006")[1] == 503
        assert server.peers == []


def test_policy_judges_the_tunnel_s_port_and_not_loopback(calm, tls):
    calm.gateway.policies = ["default/port", "default/loop"]
    calm.lab.policies = [
        world.policy("loop", "default", "Deny", [{"destinationIps": ["127.0.0.0/8"]}],
                     "WorkloadSelector")]
    calm.lab.apply()
    with proxy_header.Server(calm.gateway, PORT, "127.0.0.1") as server:
        ask(calm.ext, tls, calm.gateway.ip4, f"{VIP}:80")
        calm.lab.policies = [
            world.policy("port", "default", "Deny", [{"destinationPorts": [PORT]}],
                         "WorkloadSelector")]
        calm.lab.apply()
        with hbone_peer.Tunnel(calm.ext, calm.gateway.ip4, tls) as tunnel:
            assert tunnel.connect(f"{VIP}:80")[1] == 401
        assert len(server.peers) == 1


def test_localhost_app_tunnel_off_leads_to_the_pod_s_own_address(calm, tls):
    with calm.b.ztunnel.restarted(LOCALHOST_APP_TUNNEL="false"):
        with proxy_header.Server(calm.gateway, PORT, calm.gateway.ip4) as server:
            source = ask(calm.ext, tls, calm.gateway.ip4, f"{VIP}:80")
            assert server.headers[0][:3] == ("4", source, (VIP, 80))
            assert server.peers == [calm.ext.ip4], "and the client's address is kept"


@pytest.mark.asan
def test_a_client_of_a_service_reaches_its_waypoint_in_a_sandwich(mesh):
    with proxy_header.Server(mesh.gateway, PORT, "127.0.0.1") as server:
        with mesh.client.connect(VIP, 80) as conn:
            conn.sendall(b"hello waypoint")
            assert talk.read_exactly(conn, 14) == b"hello waypoint"
        header = server.headers[0]
        assert header.source[0] == mesh.client.ip4 and header.destination == (VIP, 80)
        assert header.tlvs == {proxy_header.TLV_IDENTITY: mesh.client.identity.encode()}
