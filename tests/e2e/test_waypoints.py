# SPDX-License-Identifier: Apache-2.0
"""Waypoints: what a service or a workload names as its own is where calls go, or nowhere.

The waypoints are pods of the mesh whose own ztunnel ends the tunnel, and one that is scripted.
"""
import collections
import socket

import pytest

import hbone_double
import talk
from ztunnel import wait_until

BY_IP, BY_NAME, BY_VIP, SPLIT, LOST, GONE, DIRECT = (f"10.96.1.{n}" for n in range(1, 8))
WAYPOINT_VIP = "10.96.1.100"
PORT, SERVICE_PORT = 8080, 80


def waypoint(destination, port=15008):
    return {"destination": destination, "hboneMtlsPort": port}


def prepare(mesh):
    lab = mesh.lab
    mesh.wp = mesh.b.pod("wp")
    mesh.wp2 = mesh.b.pod("wp2")
    mesh.double = mesh.b.pod("double", enrolled=False)  # its port 15008 is the test's
    mesh.behind = mesh.b.pod("behind")
    mesh.astray = mesh.b.pod("astray")
    mesh.behind.more["waypoint"] = waypoint(f"/{mesh.wp.ip4}")
    mesh.astray.more["waypoint"] = waypoint("/10.9.9.9")
    lab.service("waypoint", [WAYPOINT_VIP], {15008: 15008}, [mesh.double])
    ports = {SERVICE_PORT: PORT}
    host = "default/waypoint.default.svc.cluster.local"
    lab.service("by-ip", [BY_IP], ports, [mesh.server])["waypoint"] = waypoint(f"/{mesh.wp.ip4}")
    lab.service("by-name", [BY_NAME], ports, [mesh.server])["waypoint"] = waypoint(host)
    lab.service("by-vip", [BY_VIP], ports, [mesh.server])["waypoint"] = waypoint(
        f"/{WAYPOINT_VIP}")
    lab.service("split", [SPLIT], ports, [mesh.server])["weightedWaypoints"] = [
        {"destination": waypoint(f"/{mesh.wp.ip4}"), "weight": 75},
        {"destination": waypoint(f"/{mesh.wp2.ip4}"), "weight": 25}]
    lab.service("lost", [LOST], ports, [mesh.server])["waypoint"] = waypoint("default/nowhere")
    lab.service("gone", [GONE], ports, [mesh.server])["waypoint"] = waypoint(
        "default/empty.default.svc.cluster.local")
    lab.service("empty", [DIRECT], {15008: 15008}, [])


@pytest.fixture(scope="module")
def apps(mesh):
    """Applications that say where they are."""
    made = [talk.Server(pod, port, talk.named(pod.name))
            for pod in (mesh.server, mesh.behind, mesh.astray, mesh.wp, mesh.wp2)
            for port in (PORT, SERVICE_PORT)]
    yield made
    for server in made:
        server.close()


def reached(place, address, port=SERVICE_PORT):
    with place.connect(address, port) as conn:
        conn.settimeout(20)
        return talk.read_all(conn).decode()


@pytest.mark.asan
def test_a_service_with_a_waypoint_is_called_through_it(mesh, apps):
    mark = mesh.a.ztunnel.log_size()
    assert reached(mesh.client, BY_IP) == "wp"
    line = mesh.a.ztunnel.wait_access(mark, dst__service="by-ip.default.svc.cluster.local")
    assert line["dst.addr"] == f"{mesh.wp.ip4}:15008"
    assert line["dst.hbone_addr"] == f"{BY_IP}:{SERVICE_PORT}"
    assert line["dst.workload"] == "wp" and line["dst.identity"] == mesh.wp.identity


@pytest.mark.parametrize("vip", [BY_NAME, BY_VIP])
def test_a_waypoint_named_by_host_or_by_its_service_s_address_gets_the_address_as_asked(
        mesh, vip):
    said = []

    def route(_headers, _tunnel):
        mine, theirs = socket.socketpair()
        theirs.sendall(b"the waypoint's answer")
        theirs.close()
        return mine

    with hbone_double.Double(mesh.double, mesh.double.identity, route) as double:
        said.append(reached(mesh.client, vip))
        headers = dict(double.requests[-1])
        assert headers[":authority"] == f"{vip}:{SERVICE_PORT}"
        host = "by-name" if vip == BY_NAME else "by-vip"
        client = headers["forwarded"].split(";")[0]
        assert client.startswith(f'for="{mesh.client.ip4}:')
        assert headers["forwarded"].endswith(f";host={host}.default.svc.cluster.local")
        assert double.tunnels[-1].identity == mesh.client.identity
    assert said == ["the waypoint's answer"]


def test_a_waypoint_that_is_somebody_else_gets_no_request(mesh):
    with hbone_double.Double(mesh.double, mesh.server.identity,
                             hbone_double.echo_pair) as double:
        assert talk.refused(mesh.client, BY_NAME, SERVICE_PORT, b"who are you")
        assert not double.requests


def test_weighted_waypoints_share_the_connections(mesh, apps):
    found = collections.Counter(reached(mesh.client, SPLIT) for _ in range(80))
    assert set(found) == {"wp", "wp2"}, found
    # 75 of 100: 60 of 80 with a deviation below 4; five of them either way
    assert 40 <= found["wp"] <= 78, found


@pytest.mark.asan
@pytest.mark.parametrize("vip", [LOST, GONE])
def test_a_missing_waypoint_is_no_connection_and_never_a_way_around_it(mesh, apps, vip):
    mark = mesh.a.ztunnel.log_size()
    assert talk.refused(mesh.client, vip, SERVICE_PORT)
    wait_until(lambda: any("waypoint" in line.get("error", "")
                           for line in mesh.a.ztunnel.access_log(mark)), 10, "the log says why")


def test_a_workload_s_missing_waypoint_is_no_connection_either(mesh, apps):
    assert talk.refused(mesh.client, mesh.astray.ip4, PORT)


@pytest.mark.asan
def test_a_workload_with_a_waypoint_is_called_through_it(mesh, apps):
    mark = mesh.a.ztunnel.log_size()
    assert reached(mesh.client, mesh.behind.ip4, PORT) == "wp"
    line = mesh.a.ztunnel.wait_access(mark, dst__hbone_addr=f"{mesh.behind.ip4}:{PORT}")
    assert line["dst.addr"] == f"{mesh.wp.ip4}:15008"


def test_a_waypoint_s_own_calls_do_not_go_through_itself(mesh, apps):
    mark = mesh.b.ztunnel.log_size()
    assert reached(mesh.wp, mesh.behind.ip4, PORT) == "behind"
    mesh.b.ztunnel.wait_access(mark, direction="outbound", src__workload="wp",
                               dst__addr=f"{mesh.behind.ip4}:15008")


def test_another_pod_of_the_waypoint_s_node_does_go_through_it(mesh, apps):
    assert reached(mesh.wp2, mesh.behind.ip4, PORT) == "wp"


def test_a_waypoint_given_later_takes_the_next_connection(calm, apps):
    mesh = calm
    service = next(s for s in mesh.lab.services if s["name"] == "by-ip")
    service["waypoint"] = waypoint(f"/{mesh.wp2.ip4}")
    mesh.lab.apply()
    assert reached(mesh.client, BY_IP) == "wp2"
    del service["waypoint"]
    mesh.lab.apply()
    assert reached(mesh.client, BY_IP) == "server"
