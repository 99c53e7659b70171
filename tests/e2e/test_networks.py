# SPDX-License-Identifier: Apache-2.0
"""Two networks: a call passes a network gateway, within which it is a tunnel of its own.

Node a is of one network, node b of another, reached by its gateway alone; the gateway is scripted
and ends the outer tunnel only, the inner one ends at node b's ztunnel.
"""
import os
import socket

import pytest

import certs
import hbone_double
import hbone_peer
import talk
import world
from ztunnel import wait_until

FAR_NETWORK = "net2"
FAR_VIP, BOTH_VIP, LONE_VIP, WRONG_VIP, WAITED_VIP = (f"10.96.0.{n}" for n in range(20, 25))
WAYPOINT = world.identity("default", "far-waypoint")
PORT, SERVICE_PORT = 8080, 80
GATEWAY = world.identity("istio-system", "eastwest")
CLIENT_LABELS = {"reporter": "source", "source_workload": "client"}


def prepare(mesh):
    lab = mesh.lab
    mesh.b.ztunnel.extra_env["NETWORK"] = FAR_NETWORK
    mesh.a.ztunnel.extra_env["CRL_PATH"] = os.path.join(lab.dir, "crl.pem")
    mesh.gateway = lab.host("gateway")
    mesh.near = mesh.a.pod("near")
    for pod in (mesh.server, mesh.second, mesh.plain_server):
        pod.more["network"] = FAR_NETWORK
        pod.more["networkGateway"] = {"destination": f"{FAR_NETWORK}/{mesh.gateway.ip4}",
                                       "hboneMtlsPort": 15008}
    del mesh.second.more["networkGateway"]
    lab.workload("NetworkGateway/net2", namespace="istio-system", serviceAccount="eastwest",
                 name="eastwest", workloadName="eastwest", network=FAR_NETWORK,
                 workloadIps=[mesh.gateway.ip4])
    far = lab.service("far", [FAR_VIP], {SERVICE_PORT: PORT}, [mesh.server])
    both = lab.service("both", [BOTH_VIP], {SERVICE_PORT: PORT}, [mesh.near, mesh.server])
    lab.service("lone", [LONE_VIP], {SERVICE_PORT: PORT}, [mesh.second])
    wrong = lab.service("wrong", [WRONG_VIP], {SERVICE_PORT: PORT}, [mesh.server])
    for entry in (far, both):
        entry["subjectAltNames"] = [mesh.server.identity]
    waypoint = lab.service("far-waypoint", [], {15008: 15008}, [])
    waypoint["subjectAltNames"] = [WAYPOINT]
    lab.workload("far-waypoint", serviceAccount="far-waypoint", network=FAR_NETWORK,
                 networkGateway={"destination": f"{FAR_NETWORK}/{mesh.gateway.ip4}"},
                 services={f"default/{waypoint['hostname']}": {15008: 15008}})
    lab.service("waited", [WAITED_VIP], {SERVICE_PORT: PORT}, [mesh.near])["waypoint"] = {
        "destination": f"default/{waypoint['hostname']}", "hboneMtlsPort": 15008}
    wrong["subjectAltNames"] = [world.identity("default", "somebody-else")]
    both["loadBalancer"] = {"mode": "Failover", "routingPreferences": ["Network"],
                            "healthPolicy": "OnlyHealthy"}


@pytest.fixture
def gateway(mesh):
    """The gateway, passing every stream on to the server's HBONE port."""
    def route(_headers, _tunnel):
        return mesh.gateway.connect(mesh.server.ip4, hbone_peer.HBONE_PORT)

    with hbone_double.Double(mesh.gateway, GATEWAY, route) as made:
        yield made


@pytest.fixture
def served(mesh):
    with talk.Server(mesh.server, PORT, talk.echo) as server:
        yield server


@pytest.mark.asan
def test_a_service_of_another_network_answers_through_its_gateway(mesh, gateway, served):
    mark = mesh.a.ztunnel.log_size()
    talk.ask(mesh.client, FAR_VIP, SERVICE_PORT, b"across the border")
    headers = gateway.requests[-1]
    assert [name for name, _ in headers] == [":method", ":authority", "baggage", "forwarded",
                                             "traceparent"]
    assert dict(headers)[":authority"] == f"far.default.svc.cluster.local:{SERVICE_PORT}"
    assert gateway.tunnels[-1].identity == mesh.client.identity
    line = mesh.a.ztunnel.wait_access(mark, direction="outbound")
    assert line["dst.addr"] == f"{mesh.gateway.ip4}:15008"
    assert line["dst.hbone_addr"] == f"far.default.svc.cluster.local:{SERVICE_PORT}"
    assert line["dst.service"] == "far.default.svc.cluster.local"


def test_who_answered_within_is_who_the_connection_is_counted_and_logged_for(
        mesh, gateway, served):
    mark = mesh.a.ztunnel.log_size()
    talk.ask(mesh.client, FAR_VIP, SERVICE_PORT)
    line = mesh.a.ztunnel.wait_access(mark, direction="outbound")
    assert line["dst.identity"] == mesh.server.identity
    assert line["dst.workload"] == "server" and line["dst.namespace"] == "default"
    metrics = mesh.a.ztunnel.metrics()
    labels = dict(CLIENT_LABELS, destination_workload="server",
                  destination_principal=mesh.server.identity, destination_app="server",
                  destination_version="v1", destination_cluster=world.CLUSTER,
                  destination_service="far.default.svc.cluster.local",
                  connection_security_policy="mutual_tls")
    assert metrics.total("istio_tcp_connections_opened_total", **labels) >= 1
    assert metrics.total("istio_tcp_connections_closed_total", **labels) >= 1
    assert metrics.total("istio_tcp_connections_opened_total", **CLIENT_LABELS,
                         destination_workload="eastwest") == 0


def test_the_far_side_judges_the_client_by_the_inner_certificate(mesh, gateway, served):
    mark = mesh.b.ztunnel.log_size()
    talk.ask(mesh.client, FAR_VIP, SERVICE_PORT)
    line = mesh.b.ztunnel.wait_access(mark, direction="inbound")
    assert line["src.identity"] == mesh.client.identity
    assert line["src.workload"] == "client"  # from its baggage: the address is the gateway's
    assert line["dst.hbone_addr"] == f"far.default.svc.cluster.local:{SERVICE_PORT}"
    # what the application sees is who connected to it: the gateway, across networks
    assert served.peers[-1] == mesh.gateway.ip4


def test_the_gateway_sees_no_application_byte(mesh, served):
    secret = b"not for the gateway to read"
    seen = []

    def route(_headers, _tunnel):
        mine, theirs = socket.socketpair()
        far = mesh.gateway.connect(mesh.server.ip4, hbone_peer.HBONE_PORT)
        talk.splice(theirs, far, seen)
        return mine

    with hbone_double.Double(mesh.gateway, GATEWAY, route):
        talk.ask(mesh.client, FAR_VIP, SERVICE_PORT, secret)
    assert sum(map(len, seen)) > 1000 and secret not in b"".join(seen)


def test_connections_share_the_outer_tunnel_and_never_the_inner(mesh, served):
    inner = []

    def route(_headers, _tunnel):
        inner.append(mesh.gateway.connect(mesh.server.ip4, hbone_peer.HBONE_PORT))
        return inner[-1]

    with hbone_double.Double(mesh.gateway, GATEWAY, route) as gateway:
        conns = [mesh.client.connect(FAR_VIP, SERVICE_PORT) for _ in range(10)]
        for number, conn in enumerate(conns):
            conn.sendall(b"%d" % number)
            assert talk.read_exactly(conn, 1) == b"%d" % number
        for conn in conns:
            conn.close()
        assert len(inner) == 10
        assert len(gateway.tunnels) <= 2  # one for each worker


@pytest.mark.asan
@pytest.mark.limit(180)
def test_a_big_exchange_through_both_tunnels_arrives_bit_for_bit(mesh, gateway, slow_build):
    size = (16 if slow_build else 200) << 20
    with talk.ExchangeServer(mesh.server, PORT) as server:
        mine = talk.exchange(mesh.client, FAR_VIP, SERVICE_PORT, size, timeout=170)
        talk.assert_exchanged(mine, server, size)


@pytest.mark.asan
def test_a_half_close_passes_both_tunnels_and_the_other_direction_goes_on(mesh, gateway):
    def serve(conn):
        said = talk.read_all(conn)
        conn.sendall(b"after your end: " + said)
        conn.close()

    with talk.Server(mesh.server, PORT, serve):
        with mesh.client.connect(FAR_VIP, SERVICE_PORT) as conn:
            conn.settimeout(20)
            conn.sendall(b"my last word")
            conn.shutdown(socket.SHUT_WR)
            assert talk.read_all(conn) == b"after your end: my last word"


@pytest.mark.asan
@pytest.mark.parametrize("who", ["client", "server"])
def test_a_reset_passes_both_tunnels(mesh, gateway, who):
    ends = []

    def serve(conn):
        conn.sendall(talk.read_exactly(conn, 5))
        if who == "server":
            talk.read_exactly(conn, 4)  # what it said has arrived: a reset may overtake bytes
            talk.reset(conn)
        else:
            ends.append(talk.ending(conn, 30))

    with talk.Server(mesh.server, PORT, serve):
        conn = mesh.client.connect(FAR_VIP, SERVICE_PORT)
        conn.settimeout(20)
        conn.sendall(b"hello")
        assert talk.read_exactly(conn, 5) == b"hello"
        if who == "client":
            talk.reset(conn)
            wait_until(lambda: ends, 30, "the server hears of it")
            assert ends == ["reset"]
        else:
            conn.sendall(b"read")
            assert talk.ending(conn, 30) == "reset"


def test_a_reader_that_pauses_holds_back_the_sender_through_both_tunnels(mesh, gateway):
    with talk.Server(mesh.server, PORT, talk.hold):
        conn = mesh.client.connect(FAR_VIP, SERVICE_PORT)
        before = [n.ztunnel.rss_kb() for n in (mesh.a, mesh.b)]
        sent = 0
        conn.settimeout(3)
        with pytest.raises((TimeoutError, socket.timeout)):
            while sent < 1 << 30:
                sent += conn.send(bytes(1 << 20))
        assert sent < 128 << 20
        for node, rss in zip((mesh.a, mesh.b), before):
            assert node.ztunnel.rss_kb() - rss < 64 * 1024
        conn.close()


def test_a_service_fails_over_to_the_other_network(calm, gateway):
    mesh = calm
    with talk.Server(mesh.near, PORT, talk.named("near")), \
            talk.Server(mesh.server, PORT, talk.named("server")):
        def reached():
            with mesh.client.connect(BOTH_VIP, SERVICE_PORT) as conn:
                conn.settimeout(20)
                return talk.read_all(conn).decode()

        assert {reached() for _ in range(10)} == {"near"}
        mesh.near.healthy = False
        mesh.lab.apply()
        assert {reached() for _ in range(5)} == {"server"}


def test_within_the_network_the_application_still_sees_the_client(mesh):
    with talk.Server(mesh.near, PORT, talk.echo) as server:
        talk.ask(mesh.client, BOTH_VIP, SERVICE_PORT)
        assert server.peers == [mesh.client.ip4]


def test_without_a_gateway_there_is_no_way_and_the_log_says_so(mesh, gateway):
    mark = mesh.a.ztunnel.log_size()
    assert talk.refused(mesh.client, LONE_VIP, SERVICE_PORT)
    wait_until(lambda: "no gateway leads there" in mesh.a.ztunnel.log_text(mark), 10,
               "the log says why")
    assert not gateway.requests


@pytest.mark.asan
def test_who_is_not_named_by_the_service_gets_no_byte_behind_the_gateway(mesh, gateway, served):
    mark = mesh.a.ztunnel.log_size()
    assert talk.refused(mesh.client, WRONG_VIP, SERVICE_PORT, b"for somebody else")
    line = mesh.a.ztunnel.wait_access(mark, dst__service="wrong.default.svc.cluster.local")
    assert line["error"] == hbone_peer.error_words()["TLS_WRONG_IDENTITY"]
    # nobody answered: it counts as the gateway's
    assert line["dst.workload"] == "eastwest" and line["dst.identity"] == GATEWAY
    assert not served.peers
    assert mesh.a.ztunnel.metrics().total("istio_tcp_connections_failed_total", **CLIENT_LABELS,
                                          destination_workload="eastwest",
                                          response_flags="TLS_FAILURE") >= 1


def test_a_gateway_that_is_somebody_else_is_refused(mesh, served):
    impostor = world.identity("istio-system", "impostor")
    mark = mesh.a.ztunnel.log_size()
    with hbone_double.Double(mesh.gateway, impostor, hbone_double.echo_pair) as double:
        assert talk.refused(mesh.client, FAR_VIP, SERVICE_PORT)
        assert not double.requests
    mesh.a.ztunnel.wait_access(mark, direction="outbound",
                               error=hbone_peer.error_words()["TLS_WRONG_IDENTITY"])


def test_the_refusal_of_the_far_side_arrives_as_its_status(calm, gateway, served):
    mesh = calm
    policy = world.policy("none-of-you", "default", "Deny",
                          [{"principals": world.exact("cluster.local/ns/default/sa/client")}])
    mesh.lab.policies.append(policy)
    mesh.lab.apply()
    mark = mesh.a.ztunnel.log_size()
    assert talk.refused(mesh.client, FAR_VIP, SERVICE_PORT)
    mesh.a.ztunnel.wait_access(mark, direction="outbound", error="http status: 401")


def test_the_dump_shows_a_double_tunnel(mesh, gateway, served):
    with mesh.client.connect(FAR_VIP, SERVICE_PORT) as conn:
        conn.sendall(b"x")
        assert talk.read_exactly(conn, 1) == b"x"
        state = mesh.a.ztunnel.config_dump()["workloadState"]
        shown = [c for pod in state.values() for c in pod["connections"]["outbound"]]
        assert any(c["protocol"] == "DOUBLEHBONE"
                   and c["originalDst"] == f"{FAR_VIP}:{SERVICE_PORT}"
                   and c["actualDst"] == f"{mesh.gateway.ip4}:15008" for c in shown)


def test_the_inner_request_says_which_network_it_comes_from(mesh):
    """Both tunnels end at the test: the second within a stream of the first."""
    inner = hbone_double.InnerDouble(mesh.lab, mesh.server.identity)
    with hbone_double.Double(mesh.gateway, GATEWAY, inner.route):
        talk.ask(mesh.client, FAR_VIP, SERVICE_PORT, b"to the innermost")
    headers = inner.tunnels[-1].requests[-1]
    assert [name for name, _ in headers] == [":method", ":authority", "baggage", "forwarded",
                                             "traceparent", "x-forwarded-network"]
    assert dict(headers)[":authority"] == f"far.default.svc.cluster.local:{SERVICE_PORT}"
    assert dict(headers)["x-forwarded-network"] == ""
    assert inner.tunnels[-1].identity == mesh.client.identity


def test_a_far_end_that_does_not_describe_itself_is_known_by_its_identity_alone(mesh):
    inner = hbone_double.InnerDouble(mesh.lab, mesh.server.identity)
    mark = mesh.a.ztunnel.log_size()
    with hbone_double.Double(mesh.gateway, GATEWAY, inner.route):
        with mesh.client.connect(FAR_VIP, SERVICE_PORT) as conn:
            source = f"{mesh.client.ip4}:{conn.getsockname()[1]}"
            conn.sendall(b"?")
            assert talk.read_exactly(conn, 1) == b"?"
    line = mesh.a.ztunnel.wait_access(mark, src__addr=source)
    assert line["dst.identity"] == mesh.server.identity
    assert "dst.workload" not in line and "dst.namespace" not in line


def test_a_waypoint_of_the_other_network_is_who_is_expected_within(mesh):
    inner = hbone_double.InnerDouble(mesh.lab, WAYPOINT)
    with hbone_double.Double(mesh.gateway, GATEWAY, inner.route) as double:
        talk.ask(mesh.client, WAITED_VIP, SERVICE_PORT)
        assert dict(double.requests[-1])[":authority"] == \
            f"waited.default.svc.cluster.local:{SERVICE_PORT}"
    assert dict(inner.tunnels[-1].requests[-1])[":authority"] == \
        f"waited.default.svc.cluster.local:{SERVICE_PORT}"


def test_a_far_end_that_is_revoked_loses_its_connections_and_the_gateway_keeps_its_tunnel(
        mesh, gateway, served):
    authority = certs.Authority.load(mesh.lab.ca_path)
    path = mesh.a.ztunnel.extra_env["CRL_PATH"]
    chain = next(entry["certChain"] for entry in mesh.b.ztunnel.config_dump()["certificates"]
                 if entry["identity"] == mesh.server.identity)

    def publish(serials):
        with open(path + ".new", "wb") as f:
            f.write(authority.crl(serials))
        os.replace(path + ".new", path)

    with mesh.client.connect(FAR_VIP, SERVICE_PORT) as conn:
        conn.sendall(b"!")
        assert talk.read_exactly(conn, 1) == b"!"
        tunnels, mark = len(gateway.tunnels), mesh.a.ztunnel.log_size()
        publish([int(chain[0]["serialNumber"])])
        try:
            assert talk.ending(conn, 30) == "reset"
            words = hbone_peer.error_words()["TLS_REVOKED"]
            mesh.a.ztunnel.wait_access(mark, direction="outbound", error=words)
            # and it gets no new one, over the same tunnel to the gateway
            mark = mesh.a.ztunnel.log_size()
            assert talk.refused(mesh.client, FAR_VIP, SERVICE_PORT)
            mesh.a.ztunnel.wait_access(mark, direction="outbound", error=words)
            assert all(t.open for t in gateway.tunnels[:tunnels])
        finally:
            publish([])
    wait_until(lambda: talk.served(mesh.client, FAR_VIP, SERVICE_PORT), 30, "it is served again")


def test_nothing_is_left_after_all_that(mesh):
    def quiet():
        metrics = mesh.a.ztunnel.metrics()
        return metrics.total("culvert_hbone_streams_open") == 0 \
            and metrics.total("istio_tcp_sockets_open", reporter="source") == 0
    wait_until(quiet, 20, "every stream and socket is closed")
