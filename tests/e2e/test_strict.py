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


def passed(mesh):
    return mesh.b.ztunnel.metrics().total("culvert_capture_events_total", event="passed")


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
        mark, before, seen = calm.b.ztunnel.log_size(), passed(calm), len(servers[port].peers)
        assert talk.served(calm.b, own, port), "the kubelet's probe"
        assert servers[port].peers[seen:] == [node]
        wait_until(lambda: passed(calm) == before + 1, 10, "the probe is counted as passed")
        assert not calm.b.ztunnel.access_log(mark), "it went through the proxy"


def test_only_the_own_node_s_processes_are_taken_for_probes(calm):
    """Not another node's, not an address, not a packet that a node only forwards."""
    calm.lab.policies = POLICIES
    calm.server.policies = MODES["strict"][0]
    calm.lab.apply()
    calm.ext.ip("addr", "add", f"{PROBE_SOURCE}/32", "dev", "lo")
    calm.b.ip("route", "add", f"{PROBE_SOURCE}/32", "via", calm.ext.ip4)
    before = passed(calm)
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
    assert passed(calm) == before
    assert talk.served(calm.b, own, PORT)
