# SPDX-License-Identifier: Apache-2.0
"""PeerAuthentication as it arrives (contract 8.5): whose plaintext reaches a pod, and that a kubelet's probe always does."""
import socket

import pytest

import talk
import world
from ztunnel import wait_until

PORT, OTHER_PORT = 8080, 8081
PROBE_SOURCE = "169.254.7.127"  # what iptables-based meshes let pass by address
NO_PLAINTEXT = {"notPrincipals": [{"Presence": []}]}
STATIC_STRICT = {"name": "istio_converted_static_strict", "namespace": "istio-system",
                 "scope": "WorkloadSelector", "action": "Deny", "rules": [[[NO_PLAINTEXT]]]}
STRICT_PORT = {"name": "converted_peer_authentication_port", "namespace": "default",
               "scope": "WorkloadSelector", "action": "Deny",
               "rules": [[[dict(NO_PLAINTEXT, destinationPorts=[PORT])]]]}
EXEMPT_PORT = {"name": "converted_peer_authentication_exempt", "namespace": "default",
               "scope": "WorkloadSelector", "action": "Deny",
               "rules": [[[NO_PLAINTEXT], [{"notDestinationPorts": [PORT]}]]]}
POLICIES = [STATIC_STRICT, STRICT_PORT, EXEMPT_PORT]

# mode: (what the workload names, ports at which plaintext is taken)
MODES = {
    "permissive": ([], {PORT, OTHER_PORT}),
    "strict": (["istio-system/istio_converted_static_strict"], set()),
    "strict at a port": (["default/converted_peer_authentication_port"], {OTHER_PORT}),
    "strict but for a port": (["default/converted_peer_authentication_exempt"], {PORT}),
}


@pytest.fixture(scope="module", autouse=True)
def servers(mesh):
    made = {port: talk.Server(mesh.server, port, talk.echo) for port in (PORT, OTHER_PORT)}
    yield made
    for server in made.values():
        server.close()


@pytest.fixture(params=MODES)
def mode(request, calm):
    named, open_ports = MODES[request.param]
    calm.lab.policies = POLICIES
    calm.server.policies = named
    calm.lab.apply()
    return open_ports


def arrivals(mesh):
    """What capture on node b did with connections to its pods: none that was made before is missing.

    The metrics lag behind the kernel: a connection to nobody, the one of this kind, shows that they caught up.
    """
    def count(event):
        return mesh.b.ztunnel.metrics().total("culvert_capture_events_total", event=event)
    mark, before = mesh.b.ztunnel.log_size(), count("to_outbound")
    assert not talk.served(mesh.second, mesh.client.ip4, PORT)
    wait_until(lambda: count("to_outbound") > before, 10, "the connections until now are counted")
    mesh.b.ztunnel.wait_access(mark, direction="outbound")
    return {event: count(event) for event in ("passed", "to_plaintext", "to_hbone")}


def lines_of(mesh, mark, source):
    """The lines of the access log that name a source, whatever its port."""
    return [line for line in mesh.b.ztunnel.access_log(mark)
            if line["src.addr"].rpartition(":")[0].strip("[]") == source]


@pytest.mark.asan
@pytest.mark.parametrize("family", ["ip4", "ip6"])
def test_a_mode_decides_at_which_ports_plaintext_is_taken(calm, mode, family):
    own = getattr(calm.server, family)
    for port in (PORT, OTHER_PORT):
        assert talk.served(calm.ext, own, port) == (port in mode), "from off the mesh"
        assert talk.served(calm.plain, own, port) == (port in mode), "from a pod off the mesh"
        assert talk.served(calm.client, own, port), "a pod of the mesh does not come in plaintext"


@pytest.mark.asan
@pytest.mark.parametrize("family", ["ip4", "ip6"])
def test_a_probe_of_the_pod_s_own_node_is_let_through_and_not_proxied(calm, mode, servers, family):
    own = getattr(calm.server, family)
    node = calm.b.gateway4 if family == "ip4" else calm.b.gateway6
    for port in (PORT, OTHER_PORT):
        mark, before, seen = calm.b.ztunnel.log_size(), arrivals(calm), len(servers[port].peers)
        assert talk.served(calm.b, own, port), "the kubelet's probe"
        assert servers[port].peers[seen:] == [node]
        assert arrivals(calm) == dict(before, passed=before["passed"] + 1), "passed, nothing else"
        assert not lines_of(calm, mark, node), "it went through the proxy"


def test_only_the_own_node_s_processes_are_taken_for_probes(calm):
    """Not another node's, not an address, not a packet that a node only forwards."""
    calm.lab.policies = POLICIES
    calm.server.policies = MODES["strict"][0]
    calm.lab.apply()
    calm.ext.ip("addr", "add", f"{PROBE_SOURCE}/32", "dev", "lo")
    calm.b.ip("route", "add", f"{PROBE_SOURCE}/32", "via", calm.ext.ip4)
    before = arrivals(calm)["passed"]
    own = calm.server.ip4
    assert not talk.served(calm.a, own, PORT), "a process of another node"
    assert not talk.served(calm.plain_server, own, PORT), "a pod of the same node, off the mesh"
    with calm.ext.entered():
        s = socket.socket()
    s.bind((PROBE_SOURCE, 0))
    s.settimeout(10)
    try:
        s.connect((own, PORT))
        s.sendall(b"probe")
        assert talk.ending(s) == "reset", "the address alone opened the door"
    except ConnectionError:
        pass
    finally:
        s.close()
    assert arrivals(calm)["passed"] == before
    assert talk.served(calm.b, own, PORT)
