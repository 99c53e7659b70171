# SPDX-License-Identifier: Apache-2.0
"""Where a connection goes: pods, services, strangers, and in from outside."""
import collections

import pytest

import talk
from ztunnel import wait_until

VIP, VIP6, EMPTY_VIP = "10.96.0.10", "fd00:96::10", "10.96.0.11"
PORT, SERVICE_PORT = 8080, 80


def prepare(mesh):
    mesh.lab.service("web", [VIP, VIP6], {SERVICE_PORT: PORT}, [mesh.server, mesh.second])
    mesh.lab.service("empty", [EMPTY_VIP], {SERVICE_PORT: PORT}, [])


def names_reached(place, address, port, times):
    found = collections.Counter()
    for _ in range(times):
        with place.connect(address, port) as conn:
            conn.settimeout(10)
            found[talk.read_all(conn).decode()] += 1
    return found


@pytest.fixture
def named(mesh):
    made = [talk.Server(pod, PORT, talk.named(pod.name))
            for pod in (mesh.server, mesh.second, mesh.plain_server)]
    yield made
    for server in made:
        server.close()


@pytest.mark.asan
@pytest.mark.parametrize("vip", [VIP, VIP6])
def test_a_service_address_maps_the_port_and_balances_over_its_endpoints(mesh, named, vip):
    found = names_reached(mesh.client, vip, SERVICE_PORT, 40)
    assert set(found) == {"server", "second"}
    assert min(found.values()) >= 5, f"40 connections went {dict(found)}"


def test_the_tunnel_to_a_service_is_logged_with_its_name(mesh, named):
    mark = mesh.a.ztunnel.log_size()
    names_reached(mesh.client, VIP, SERVICE_PORT, 1)
    authorities = (f"{mesh.server.ip4}:{PORT}", f"{mesh.second.ip4}:{PORT}")

    def logged():  # lines of calls before this one may still be on their way to the log
        return any(line.get("dst.hbone_addr") in authorities
                   and line.get("dst.service") == "web.default.svc.cluster.local"
                   for line in mesh.a.ztunnel.access_log(mark))

    wait_until(logged, 10, "the line of this call")


def test_an_unhealthy_endpoint_gets_nothing(calm, named):
    calm.second.healthy = False
    calm.lab.apply()
    assert set(names_reached(calm.client, VIP, SERVICE_PORT, 20)) == {"server"}


def test_a_service_without_endpoints_refuses(mesh):
    mark = mesh.a.ztunnel.log_size()
    assert talk.refused(mesh.client, EMPTY_VIP, SERVICE_PORT)
    wait_until(lambda: any("upstream" in line.get("error", "")
                           for line in mesh.a.ztunnel.access_log(mark)), 10, "the log says why")


def test_a_port_the_service_does_not_have_refuses(mesh, named):
    assert talk.refused(mesh.client, VIP, 81)


@pytest.mark.asan
@pytest.mark.parametrize("family", ["ip4", "ip6"])
def test_an_unknown_address_is_passed_through_unchanged(mesh, family):
    with talk.Server(mesh.ext, 9000, talk.echo) as server:
        with mesh.lab.captured(mesh.a) as packets:
            talk.ask(mesh.client, getattr(mesh.ext, family), 9000, b"plain words to a stranger")
        assert server.peers == [getattr(mesh.client, family)]
    assert any(b"plain words" in p.payload and p.dport == 9000 for p in packets)


def test_a_known_workload_outside_the_mesh_is_called_in_plaintext(mesh, named):
    mark = mesh.a.ztunnel.log_size()
    assert set(names_reached(mesh.client, mesh.plain_server.ip4, PORT, 1)) == {"plain-server"}
    line = mesh.a.ztunnel.wait_access(mark, direction="outbound")
    assert line["dst.addr"] == f"{mesh.plain_server.ip4}:{PORT}"
    assert "dst.hbone_addr" not in line and "src.identity" not in line


@pytest.mark.asan
@pytest.mark.parametrize("family", ["ip4", "ip6"])
def test_a_client_off_the_mesh_reaches_an_enrolled_server_and_its_address_is_seen(mesh, family):
    with talk.Server(mesh.server, 8090, talk.echo) as server:
        mark = mesh.b.ztunnel.log_size()
        talk.ask(mesh.ext, getattr(mesh.server, family), 8090)
        assert server.peers == [getattr(mesh.ext, family)]
    line = mesh.b.ztunnel.wait_access(mark, direction="inbound")
    assert "src.identity" not in line and "dst.hbone_addr" not in line
    name = "istio_tcp_connections_opened_total"
    assert mesh.b.ztunnel.metrics().total(name, reporter="destination",
                                          connection_security_policy="unknown") >= 1


def test_many_clients_off_the_mesh_at_once_all_get_their_answers(mesh):
    with talk.Server(mesh.server, 8091, talk.echo) as server:
        conns = [mesh.ext.connect(mesh.server.ip4, 8091) for _ in range(200)]
        for number, conn in enumerate(conns):
            conn.sendall(b"client %04d" % number)
        for number, conn in enumerate(conns):
            assert talk.read_exactly(conn, 11) == b"client %04d" % number
            conn.close()
        assert set(server.peers) == {mesh.ext.ip4} and len(server.peers) == 200


@pytest.mark.parametrize("family", ["ip4", "ip6"])
def test_a_probe_of_the_node_reaches_the_pod_directly(mesh, family):
    with talk.Server(mesh.server, 8092, talk.echo) as server:
        mark = mesh.b.ztunnel.log_size()
        talk.ask(mesh.b, getattr(mesh.server, family), 8092)
        gateway = mesh.b.gateway4 if family == "ip4" else mesh.b.gateway6
        assert server.peers == [gateway]
        talk.ask(mesh.ext, mesh.server.ip4, 8092)
    lines = mesh.b.ztunnel.wait_access(mark) and mesh.b.ztunnel.access_log(mark)
    assert not [line for line in lines if line["src.addr"].startswith(gateway)]


def test_a_pod_reaches_itself_by_loopback_and_by_its_own_address(mesh):
    with talk.Server(mesh.client, 8093, talk.echo) as server:
        for address in ("127.0.0.1", "::1", *mesh.client.addresses):
            talk.ask(mesh.client, address, 8093)
        assert server.peers == ["127.0.0.1", "::1", *mesh.client.addresses]


@pytest.mark.parametrize("port", [15001, 15006, 15008])
def test_the_proxy_s_own_ports_lead_nowhere(mesh, port):
    for address in (mesh.client.ip4, mesh.server.ip4, "127.0.0.1"):
        assert talk.refused(mesh.client, address, port, b"around and around")
    assert mesh.a.ztunnel.get("/healthz/ready", 15021)[0] == 200
