# SPDX-License-Identifier: Apache-2.0
"""ztunnel as a pod of the mesh: its metrics by tunnel, under policies."""
import pytest

import telemetry
import world
from ztunnel import LabError, wait_until

NAMESPACE, NAME, ACCOUNT = "istio-system", "ztunnel-a", "ztunnel"
ZTUNNEL_ENV = {"POD_NAMESPACE": NAMESPACE, "POD_NAME": NAME, "SERVICE_ACCOUNT": ACCOUNT}
IDENTITY = world.identity(NAMESPACE, ACCOUNT)


def told(mesh, policies=(), known=True):
    """Both nodes are told of node a's ztunnel as a workload."""
    proxy = {"uid": f"Kubernetes//Pod/{NAMESPACE}/{NAME}", "name": NAME, "namespace": NAMESPACE,
             "serviceAccount": ACCOUNT, "workloadIps": [mesh.a.ip4, mesh.a.ip6],
             "protocol": "HBONE", "node": mesh.a.full_name, "services": {}}
    for node in (mesh.a, mesh.b):
        state = world.state(mesh.lab, node)
        state["policies"] = list(policies)
        if known or node is mesh.b:
            state["workloads"].append(proxy)
        world.write(node.state_path, state)
        node.ztunnel.reload()
    for node in (mesh.a, mesh.b):
        def arrived():
            dump = node.ztunnel.config_dump()
            names = {w["name"] for w in dump["workloads"]}
            return (NAME in names) == (known or node is mesh.b) \
                and len(dump["policies"]) == len(policies)
        wait_until(arrived, 20, "the new state is known")


@pytest.fixture
def scrape(calm):
    """Asks node a's metrics port from a pod of node b, by tunnel."""
    def ask(address=calm.a.ip4):
        try:
            return telemetry.request(calm.server.netns, telemetry.METRICS_PORT, "/metrics",
                                     host=address)
        except OSError as error:
            raise LabError(f"no answer: {error!r}") from error
    return ask


@pytest.mark.asan
@pytest.mark.parametrize("family", ["ip4", "ip6"])
def test_metrics_are_reached_by_tunnel_from_another_pod(calm, scrape, family):
    told(calm)
    mark = calm.a.ztunnel.log_size()
    status, _, text = wait_until(lambda: scrape(getattr(calm.a, family)), 20, "it answers")
    assert status == 200 and text.endswith("# EOF\n")
    line = calm.a.ztunnel.wait_access(mark, direction="inbound")
    assert line["src.identity"] == calm.server.identity and line["dst.identity"] == IDENTITY
    assert line["dst.hbone_addr"].endswith(f":{telemetry.METRICS_PORT}")
    assert IDENTITY in {c["identity"] for c in calm.a.ztunnel.config_dump()["certificates"]}


@pytest.mark.asan
def test_policies_of_its_namespace_decide_who_may(calm, scrape):
    allow = world.policy("scrapers", NAMESPACE, "Allow", [
        {"principals": world.exact("cluster.local/ns/default/sa/second")}])
    told(calm, [allow])
    mark = calm.a.ztunnel.log_size()
    with pytest.raises(LabError):
        scrape()
    assert "allow policies" in calm.a.ztunnel.wait_access(mark, direction="inbound")["error"]
    allow["rules"][0][0][0]["principals"] = world.exact("cluster.local/ns/default/sa/server")
    told(calm, [allow])
    wait_until(lambda: scrape()[0] == 200, 20, "whoever is allowed is served")


def test_ports_of_the_proxy_are_not_to_be_reached_through_it(calm):
    told(calm)
    for port in (15008, 15001, 15006):
        with pytest.raises(OSError):
            telemetry.request(calm.server.netns, port, "/", host=calm.a.ip4)


def test_a_proxy_the_mesh_does_not_know_serves_nobody_by_tunnel(calm, scrape):
    told(calm, known=False)
    with pytest.raises(LabError):
        scrape()
