# SPDX-License-Identifier: Apache-2.0
"""Workloads that have only a host name: resolved where ztunnel is, when they are called."""
import os

import pytest

import hbone_peer
import nameserver
import talk
from ztunnel import wait_until

PLAIN_VIP, PLAIN_VIP6, MESH_VIP, UNKNOWN_VIP, EMPTY_VIP, QUIET_VIP = (
    "10.96.3.1", "fd00:96::31", "10.96.3.2", "10.96.3.3", "10.96.3.4", "10.96.3.5")
PORT, SERVICE_PORT = 8080, 80


def prepare(mesh):
    lab = mesh.lab
    path = os.path.join(lab.dir, "resolv.conf")
    with open(path, "w", encoding="ascii") as f:
        f.write("nameserver 127.0.0.1\noptions timeout:2 attempts:2\n")
    mesh.a.ztunnel.extra_env["CULVERT_RESOLV_CONF"] = path
    for name, vips in (("plain", [PLAIN_VIP, PLAIN_VIP6]), ("mesh", [MESH_VIP]),
                       ("unknown", [UNKNOWN_VIP]), ("empty", [EMPTY_VIP]), ("quiet", [QUIET_VIP])):
        service = lab.service(name, vips, {SERVICE_PORT: PORT}, [])
        more = {"protocol": "HBONE", "serviceAccount": "server"} if name == "mesh" else {}
        lab.workload(f"by-name-{name}", hostname=f"{name}.example",
                     services={f"default/{service['hostname']}": {SERVICE_PORT: PORT}}, **more)


@pytest.fixture(scope="module")
def names(mesh):
    """Asked by ztunnel a, in whose place it listens; the pods have nothing of the kind."""
    known = {"plain.example": [mesh.ext.ip4, mesh.ext.ip6], "mesh.example": [mesh.server.ip4],
             "empty.example": []}
    with nameserver.NameServer(mesh.a, known) as server:
        yield server


@pytest.mark.asan
@pytest.mark.parametrize("vip, family", [(PLAIN_VIP, "ip4"), (PLAIN_VIP6, "ip6")])
def test_a_workload_known_by_name_is_called_at_an_address_of_the_family_asked_with(
        mesh, names, vip, family):
    with talk.Server(mesh.ext, PORT, talk.echo) as server:
        mark = mesh.a.ztunnel.log_size()
        talk.ask(mesh.client, vip, SERVICE_PORT, timeout=20)
        assert server.peers == [getattr(mesh.client, family)]
    address = getattr(mesh.ext, family)
    line = mesh.a.ztunnel.wait_access(
        mark, dst__addr=f"[{address}]:{PORT}" if ":" in address else f"{address}:{PORT}")
    assert line["dst.service"] == "plain.default.svc.cluster.local"


def test_a_name_is_asked_for_once_and_every_call_by_it_is_counted(mesh, names):
    def counted():
        return mesh.a.ztunnel.metrics().total(
            "istio_on_demand_dns_total", hostname="plain.example", source_workload="client",
            source_workload_namespace="default", source_principal=mesh.client.identity,
            source_canonical_service="client", source_canonical_revision="v1",
            source_app="client", source_version="v1", source_cluster="Kubernetes")

    with talk.Server(mesh.ext, PORT, talk.echo):
        talk.ask(mesh.client, PLAIN_VIP, SERVICE_PORT, timeout=20)
        before = counted()
        for _ in range(6):
            talk.ask(mesh.client, PLAIN_VIP, SERVICE_PORT, timeout=20)
        assert counted() == before + 6
    # each worker remembers for itself, and there are two
    assert 1 <= names.asked.count(("plain.example", "A")) <= 2
    assert 1 <= names.asked.count(("plain.example", "AAAA")) <= 2


@pytest.mark.asan
def test_a_workload_of_the_mesh_known_by_name_is_called_through_a_tunnel(mesh, names):
    with talk.Server(mesh.server, PORT, talk.echo):
        mark = mesh.a.ztunnel.log_size()
        talk.ask(mesh.client, MESH_VIP, SERVICE_PORT, timeout=20)
    line = mesh.a.ztunnel.wait_access(mark, dst__service="mesh.default.svc.cluster.local")
    assert line["dst.addr"] == f"{mesh.server.ip4}:15008"
    assert line["dst.hbone_addr"] == f"{mesh.server.ip4}:{PORT}"
    assert line["dst.identity"] == mesh.server.identity


@pytest.mark.parametrize("vip", [UNKNOWN_VIP, EMPTY_VIP])
def test_a_name_without_an_address_is_no_connection_and_the_log_says_so(mesh, names, vip):
    mark = mesh.a.ztunnel.log_size()
    assert talk.refused(mesh.client, vip, SERVICE_PORT)
    words = hbone_peer.error_words()["RESOLVE"]
    wait_until(lambda: mesh.a.ztunnel.access_log(mark, direction="outbound", error=words), 10,
               "the log says why")


def test_a_name_server_that_says_nothing_holds_nobody_for_ever(mesh, names):
    mark = mesh.a.ztunnel.log_size()
    names.silent = True
    try:
        with mesh.client.connect(QUIET_VIP, SERVICE_PORT) as left, \
                mesh.client.connect(QUIET_VIP, SERVICE_PORT) as patient:
            talk.reset(left)  # while its name is still being asked for
            assert talk.ending(patient, 40) == "reset"
    finally:
        names.silent = False
    wait_until(lambda: mesh.a.ztunnel.access_log(
        mark, direction="outbound", error=hbone_peer.error_words()["RESOLVE"]), 10,
        "the log says why")
    assert ("quiet.example", "A") in names.asked
    wait_until(lambda: mesh.a.ztunnel.metrics().total("istio_tcp_sockets_open",
                                                      reporter="source") == 0, 40,
               "nothing is left of either")
