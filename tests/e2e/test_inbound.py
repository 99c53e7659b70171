# SPDX-License-Identifier: Apache-2.0
"""What arrives at a pod: for whom it may ask, what it is answered and why, as whom the application sees it."""
import contextlib
import threading
import time

import pytest

import hbone_peer
import talk
import world
from ztunnel import wait_until

PORT = 8080
ZTUNNEL_ENV = {"CULVERT_CONNECT_TIMEOUT": "2s"}
CLIENT = world.identity("default", "client")
METADATA = "169.254.169.254"
VIP, OTHER_VIP, WEIGHTED_VIP = "10.99.1.1", "10.99.1.2", "10.99.1.3"
OPENED, FAILED = "istio_tcp_connections_opened_total", "istio_tcp_connections_failed_total"


def prepare(mesh):
    """server is also the waypoint of a service, of a workload and of a share of another service."""
    mesh.lab.service("way", ["10.99.1.9"], {15008: 15008}, [mesh.server])
    way = {"destination": "default/way.default.svc.cluster.local", "hboneMtlsPort": 15008}
    mesh.lab.service("behind", [VIP], {80: 80}, [mesh.second])["waypoint"] = way
    mesh.lab.service("apart", [OTHER_VIP], {80: 80}, [mesh.second])
    mesh.lab.service("half", [WEIGHTED_VIP], {80: 80}, [mesh.second])["weightedWaypoints"] = [
        {"destination": {"destination": f"/{mesh.server.ip4}", "hboneMtlsPort": 15008},
         "weight": 1}]
    mesh.plain_server.more = {"waypoint": {"destination": f"/{mesh.server.ip4}",
                                           "hboneMtlsPort": 15008}}


@pytest.fixture(scope="module")
def tls(mesh):
    return hbone_peer.context_as(mesh.lab, CLIENT)


@pytest.fixture(scope="module", autouse=True)
def server(mesh):
    with talk.Server(mesh.server, PORT, talk.echo) as made:
        yield made


def connects_of(place):
    """How many TCP connections were begun in a place since it is there."""
    with place.entered(), open("/proc/thread-self/net/snmp", encoding="ascii") as f:
        names, values = [line.split() for line in f if line.startswith("Tcp:")]
    return int(values[names.index("ActiveOpens")])


def refused(mesh, reason):
    return mesh.b.ztunnel.metrics().total("culvert_connections_refused_total", reason=reason)


# -- whom an authority may name ---------------------------------------------------------------------

@pytest.fixture(scope="module")
def targets(mesh):
    """Somebody listens wherever a CONNECT might be talked into going; nobody should come."""
    for place in (mesh.server, mesh.b):
        place.ip("addr", "add", f"{METADATA}/32", "dev", "lo")
    places = [(mesh.second, "::"), (mesh.client, "::"), (mesh.ext, "::"), (mesh.b, "::"),
              (mesh.server, METADATA)]
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(talk.Server(place, PORT + 1, talk.echo, address))
               for place, address in places]


@pytest.mark.asan
@pytest.mark.parametrize("what, authority_of", [
    ("another pod of the node", lambda m: m.second.ip4),
    ("a pod of another node", lambda m: m.client.ip4),
    ("a host off the mesh", lambda m: m.ext.ip4),
    ("the node", lambda m: m.b.ip4),
    ("the node's side of the pod's link", lambda m: m.b.gateway4),
    ("loopback", lambda m: "127.0.0.1"),
    ("loopback of IPv6", lambda m: "[::1]"),
    ("the metadata service", lambda m: METADATA),
    ("the pod, mapped", lambda m: f"[::ffff:{m.server.ip4}]"),
    ("the metadata service, mapped", lambda m: f"[::ffff:{METADATA}]"),
    ("the pod's address of the other family", lambda m: f"[{m.server.ip6}]"),
    ("a service it is no waypoint of", lambda m: OTHER_VIP),
])
def test_an_authority_of_somebody_else_opens_no_socket(mesh, tls, targets, what, authority_of):
    opened = mesh.b.ztunnel.metrics().total(OPENED)
    denied = refused(mesh, "HBONE_AUTHORITY")
    before = [connects_of(place) for place in (mesh.server, mesh.b)]
    with hbone_peer.Tunnel(mesh.ext, mesh.server.ip4, tls) as tunnel:
        assert tunnel.connect(f"{authority_of(mesh)}:{PORT + 1}")[1] == 400
    assert [connects_of(place) for place in (mesh.server, mesh.b)] == before
    assert mesh.b.ztunnel.metrics().total(OPENED) == opened, "it counts as a connection"
    assert refused(mesh, "HBONE_AUTHORITY") == denied + 1
    assert [target.peers for target in targets] == [[]] * len(targets)


@pytest.mark.parametrize("what, authority_of", [
    ("a service, by the waypoint's name", lambda m: VIP),
    ("a service, by one of its weighted waypoints", lambda m: WEIGHTED_VIP),
    ("a workload, by the waypoint's address", lambda m: m.plain_server.ip4),
    ("itself", lambda m: m.server.ip4),
])
def test_a_waypoint_takes_what_names_it_as_waypoint(mesh, tls, server, what, authority_of):
    seen = len(server.peers)
    with hbone_peer.Tunnel(mesh.ext, mesh.server.ip4, tls) as tunnel:
        stream, status = tunnel.connect(f"{authority_of(mesh)}:{PORT}")
        assert status == 200, what
        tunnel.send(stream, b"to the waypoint itself")
        assert tunnel.body(stream, 22) == b"to the waypoint itself"
    assert server.peers[seen:] == [mesh.ext.ip4]


def test_a_name_leads_to_the_pod_s_own_port(mesh, tls):
    service = mesh.lab.service("named", [], {80: PORT}, [mesh.server])
    try:
        mesh.lab.apply()
        with hbone_peer.Tunnel(mesh.ext, mesh.server.ip4, tls) as tunnel:
            stream, status = tunnel.connect(f"{service['hostname']}:80")
            assert status == 200
            tunnel.send(stream, b"by name")
            assert tunnel.body(stream, 7) == b"by name"
            assert tunnel.connect(f"{service['hostname']}:81")[1] == 503
    finally:
        mesh.lab.services.remove(service)
        mesh.server.services.pop(f"default/{service['hostname']}")
        mesh.lab.apply()


# -- what it is answered, and how that is told ---------------------------------------------------------

@pytest.mark.asan
def test_each_refusal_has_its_status_its_flag_and_its_words(calm, tls):
    """Contract 6.3, 10.1: 400 and an unknown service are told before anything is counted."""
    calm.lab.policies = [world.policy("closed", "default", "Deny", [{"destinationPorts": [7]}])]
    calm.lab.apply()
    words = hbone_peer.error_words()
    own = calm.server.ip4
    cases = [  # authority, status, flag (None: not counted), error
        (f"{calm.second.ip4}:80", 400, None, words["HBONE_AUTHORITY"]),
        ("nobody.default.svc.cluster.local:80", 503, None, words["NO_SERVICE"]),
        (f"{own}:15001", 503, None, words["LOOP"]),
        (f"{own}:7", 401, "DENY", "default/closed"),
        (f"{own}:9", 503, "CONNECT", words["DIAL_REFUSED"]),
        (f"{own}:9000", 503, "CONNECT", words["DIAL_TIMEOUT"]),
    ]
    with hbone_peer.Tunnel(calm.ext, own, tls) as tunnel, talk.full_queue(calm.server, 9000):
        for authority, status, flag, error in cases:
            mark = calm.b.ztunnel.log_size()
            before = calm.b.ztunnel.metrics()
            assert tunnel.connect(authority)[1] == status, authority
            message = "connection complete" if flag else "connection failed"
            line = calm.b.ztunnel.wait_access(mark, direction="inbound", message=message)
            assert error in line["error"], line
            after = calm.b.ztunnel.metrics()
            counted = after.total(FAILED, response_flags=flag) - before.total(
                FAILED, response_flags=flag) if flag else after.total(OPENED) - before.total(OPENED)
            assert counted == (1 if flag else 0), authority
        assert tunnel.connect(f"{own}:{PORT}")[1] == 200


@pytest.mark.asan
def test_refused_streams_are_over_and_take_no_room(mesh, tls):
    """A refusal has no body and ends the stream both ways: 200 at once is all a tunnel may have."""
    with hbone_peer.Tunnel(mesh.ext, mesh.server.ip4, tls) as tunnel:
        for _ in range(250):
            stream, status = tunnel.connect(f"{mesh.second.ip4}:{PORT}")
            assert status == 400
            while tunnel.ended.get(stream) != "reset 0":  # NO_ERROR: its side was still open
                tunnel.pump()
            assert stream not in tunnel.bodies
        assert tunnel.connect(f"{mesh.server.ip4}:{PORT}")[1] == 200


@pytest.mark.asan
def test_an_http2_error_of_the_peer_is_told_as_such(mesh, tls):
    want = {"reporter": "destination", "response_flags": "H2_HANDSHAKE_FAILURE"}
    before = mesh.b.ztunnel.metrics().total(FAILED, **want)
    mark = mesh.b.ztunnel.log_size()
    with hbone_peer.Tunnel(mesh.ext, mesh.server.ip4, tls) as tunnel:
        assert tunnel.connect(f"{mesh.server.ip4}:{PORT}")[1] == 200
        tunnel.tls.sendall(b"\x00\x00\x08\x07\x00\x00\x00\x00\x01" + b"\x00" * 8)  # GOAWAY on 1
        line = mesh.b.ztunnel.wait_access(mark, direction="inbound", level="error")
    assert "HTTP/2" in line["error"]
    wait_until(lambda: mesh.b.ztunnel.metrics().total(FAILED, **want) == before + 1, 10,
               "the failure is counted")


def test_a_connection_that_ends_well_has_no_flag(mesh, tls):
    mark = mesh.b.ztunnel.log_size()
    before = mesh.b.ztunnel.metrics()
    with hbone_peer.Tunnel(mesh.ext, mesh.server.ip4, tls) as tunnel:
        stream, _ = tunnel.connect(f"{mesh.server.ip4}:{PORT}")
        tunnel.send(stream, b"bye", end_stream=True)
        tunnel.body(stream, 4)
        line = mesh.b.ztunnel.wait_access(mark, direction="inbound")
    assert line["level"] == "info" and "error" not in line
    after = mesh.b.ztunnel.metrics()
    assert after.total(FAILED) == before.total(FAILED)
    closed = "istio_tcp_connections_closed_total"
    assert after.total(closed, response_flags="-") == before.total(closed, response_flags="-") + 1


@pytest.mark.asan
@pytest.mark.parametrize("value, expected", [("true", True), ("false", False)])
def test_the_answer_describes_the_workload_if_asked_to(calm, tls, value, expected):
    with calm.b.ztunnel.restarted(ENABLE_RESPONSE_BAGGAGE=value):
        with hbone_peer.Tunnel(calm.ext, calm.server.ip4, tls) as tunnel:
            stream, status = tunnel.connect(f"{calm.server.ip4}:{PORT}")
            assert status == 200
            told = tunnel.answer(stream).get("baggage")
            _, status = tunnel.connect(f"{calm.second.ip4}:{PORT}")
            assert status == 400 and "baggage" not in tunnel.answer(stream + 2)
    assert told == ("k8s.cluster.name=Kubernetes,k8s.namespace.name=default,"
                    "k8s.deployment.name=server,service.name=server,service.version=v1"
                    if expected else None)


# -- who it is counted for -----------------------------------------------------------------------------

BAGGAGE = ("baggage", "k8s.cluster.name=far,k8s.namespace.name=there,k8s.deployment.name=caller,"
                      "service.name=calls,service.version=v7,cloud.region=r,cloud.availability_zone=z")
TOLD = {"source_workload": "caller", "source_workload_namespace": "there", "source_cluster": "far",
        "source_canonical_service": "calls", "source_canonical_revision": "v7",
        "source_app": "caller", "source_version": "v7", "source_region": "r", "source_zone": "z"}
KNOWN = {"source_workload": "plain", "source_workload_namespace": "default",
         "source_cluster": "Kubernetes", "source_canonical_service": "plain",
         "source_canonical_revision": "v1", "source_app": "plain", "source_version": "v1"}
NOBODY = dict.fromkeys(TOLD, "unknown")


@pytest.mark.asan
@pytest.mark.parametrize("what, who, headers, expected", [
    ("an unknown address, told by baggage", "ext", [BAGGAGE], TOLD),
    ("an unknown address, told nothing", "ext", [], NOBODY),
    ("an unknown address, told badly", "ext", [("baggage", "k8s.deployment.name=\xe9")], NOBODY),
    ("a known address wins over baggage", "plain", [BAGGAGE], KNOWN),
    ("an address of another network is nobody's", "plain",
     [BAGGAGE, ("x-forwarded-network", "other")], TOLD),
    ("its own network is no other, in any letters", "plain",
     [BAGGAGE, ("x-forwarded-network", "HERE")], KNOWN),
])
def test_a_source_is_known_by_its_address_else_by_its_baggage(here, tls, what, who, headers,
                                                              expected):
    want = dict(expected, reporter="destination", source_principal=CLIENT,
                connection_security_policy="mutual_tls")
    before = here.b.ztunnel.metrics().total(OPENED, **want)
    mark = here.b.ztunnel.log_size()
    with hbone_peer.Tunnel(getattr(here, who), here.server.ip4, tls) as tunnel:
        assert tunnel.connect(f"{here.server.ip4}:{PORT}", *headers)[1] == 200
    assert here.b.ztunnel.metrics().total(OPENED, **want) == before + 1, what
    line = here.b.ztunnel.wait_access(mark, direction="inbound")
    known = expected["source_workload"]
    assert line.get("src.workload", "unknown") == known
    assert line["src.identity"] == CLIENT, "an identity is never told by a header"


@pytest.fixture(scope="module")
def here(mesh):
    """Node b on a network with a name, and its workloads with it."""
    for pod in mesh.lab.pods:
        pod.more = dict(pod.more, network="here")
    with mesh.b.ztunnel.restarted(NETWORK="here"):
        mesh.lab.apply()
        yield mesh
    for pod in mesh.lab.pods:
        pod.more = {k: v for k, v in pod.more.items() if k != "network"}
    mesh.lab.apply()


# -- a pod the mesh does not know yet ------------------------------------------------------------------

@pytest.fixture
def unknown(calm):
    """The server is captured, but no workload of this node is it."""
    calm.server.more = {"node": ""}
    calm.lab.apply()
    return calm


@pytest.mark.asan
def test_a_stream_waits_for_its_workload_and_is_then_served(unknown, tls):
    with hbone_peer.Tunnel(unknown.ext, unknown.server.ip4, tls) as tunnel:
        stream = tunnel.request([(":method", "CONNECT"),
                                 (":authority", f"{unknown.server.ip4}:{PORT}")])
        tunnel.send(stream, b"early words")
        with unknown.ext.connect(unknown.server.ip4, PORT) as conn:
            conn.sendall(b"early plain words")
            time.sleep(0.3)
            unknown.server.more = {}
            unknown.lab.apply()
            assert tunnel.answer(stream)[":status"] == "200"
            assert tunnel.body(stream, 11) == b"early words"
            assert talk.read_exactly(conn, 17) == b"early plain words"


def test_what_no_workload_comes_for_is_refused_after_five_seconds(unknown, tls):
    mark = unknown.b.ztunnel.log_size()
    opened = unknown.b.ztunnel.metrics().total(OPENED)
    plain = unknown.ext.connect(unknown.server.ip4, PORT, timeout=30)
    seen = []
    thread = threading.Thread(target=lambda: seen.append(talk.ending(plain, 30)))
    thread.start()
    with hbone_peer.Tunnel(unknown.ext, unknown.server.ip4, tls, timeout=30) as tunnel:
        begun = time.monotonic()
        assert tunnel.connect(f"{unknown.server.ip4}:{PORT}")[1] == 503
        assert time.monotonic() - begun >= 4.9
    thread.join()
    plain.close()
    assert seen == ["reset"]
    words = hbone_peer.error_words()["NO_WORKLOAD"]
    wait_until(lambda: len(unknown.b.ztunnel.access_log(mark, message="connection failed",
                                                        direction="inbound", error=words)) == 2,
               10, "both are logged as refused early")
    assert unknown.b.ztunnel.metrics().total(OPENED) == opened


# -- as whom the application sees it -------------------------------------------------------------------

@pytest.mark.asan
@pytest.mark.parametrize("setting, kept", [("true", True), ("false", False)])
def test_the_client_s_address_is_kept_unless_switched_off(calm, tls, server, setting, kept):
    with calm.b.ztunnel.restarted(ENABLE_ORIG_SRC=setting):
        for family in ("ip4", "ip6"):
            own, client = getattr(calm.server, family), getattr(calm.ext, family)
            seen = len(server.peers)
            with hbone_peer.Tunnel(calm.ext, own, tls) as tunnel:
                authority = f"[{own}]" if ":" in own else own
                stream, status = tunnel.connect(f"{authority}:{PORT}")
                assert status == 200
                tunnel.send(stream, b"through a tunnel")
                assert tunnel.body(stream, 16) == b"through a tunnel"
            talk.ask(calm.ext, own, PORT)
            expected = client if kept else own
            assert server.peers[seen:] == [expected, expected], family


def test_a_pod_that_calls_itself_through_a_tunnel_is_seen_as_itself(mesh, tls, server):
    seen = len(server.peers)
    with hbone_peer.Tunnel(mesh.server, mesh.server.ip4, tls) as tunnel:
        stream, status = tunnel.connect(f"{mesh.server.ip4}:{PORT}")
        assert status == 200
        tunnel.send(stream, b"me")
        assert tunnel.body(stream, 2) == b"me"
    assert server.peers[seen:] == [mesh.server.ip4]


# -- frames of every size ---------------------------------------------------------------------------

@pytest.mark.asan
def test_frames_of_one_mebibyte_and_of_one_byte_are_taken(mesh, tls):
    mebibyte = 1 << 20
    with hbone_peer.Tunnel(mesh.ext, mesh.server.ip4, tls, timeout=30) as tunnel:
        stream, _ = tunnel.connect(f"{mesh.server.ip4}:{PORT}")
        assert tunnel.h2.max_outbound_frame_size == mebibyte, "what its SETTINGS allow"
        block = bytes(range(256)) * (mebibyte // 256)
        for _ in range(3):
            while tunnel.h2.local_flow_control_window(stream) < mebibyte:
                tunnel.pump()
            tunnel.send(stream, block)
        assert tunnel.body(stream, 3 * mebibyte) == 3 * block
        for i in range(5000):
            tunnel.h2.send_data(stream, b"%d" % (i % 10))
        tunnel.flush()
        tiny = b"".join(b"%d" % (i % 10) for i in range(5000))
        assert tunnel.body(stream, 3 * mebibyte + 5000)[3 * mebibyte:] == tiny
        assert tunnel.terminated is None, "it was taken for a flood"
        with pytest.raises(Exception):
            tunnel.send(stream, b"x" * (mebibyte + 1))


def test_a_frame_beyond_what_is_allowed_ends_the_tunnel(mesh, tls):
    with hbone_peer.Tunnel(mesh.ext, mesh.server.ip4, tls, timeout=30) as tunnel:
        stream, _ = tunnel.connect(f"{mesh.server.ip4}:{PORT}")
        size = (1 << 20) + 1
        tunnel.tls.sendall(size.to_bytes(3, "big") + b"\x00\x00" + stream.to_bytes(4, "big"))
        with pytest.raises((ConnectionError, OSError)):
            while tunnel.terminated is None:
                tunnel.pump()
            raise ConnectionError
        assert tunnel.terminated == 6, "FRAME_SIZE_ERROR"
