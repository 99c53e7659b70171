# SPDX-License-Identifier: Apache-2.0
"""The metrics page beside the list of families and labels we owe (contract 10), written down here by hand."""
import pytest
from prometheus_client.openmetrics import parser as openmetrics

import talk
import telemetry
import world
from ztunnel import wait_until

PORT = 8080
COMMON = """reporter
 source_workload source_canonical_service source_canonical_revision source_workload_namespace
 source_principal source_app source_version source_cluster
 destination_service destination_service_namespace destination_service_name
 destination_workload destination_canonical_service destination_canonical_revision
 destination_workload_namespace destination_principal destination_app destination_version
 destination_cluster
 request_protocol response_flags connection_security_policy""".split()
LOCALITY = "source_region source_zone destination_region destination_zone".split()
DNS = "request_query_type request_protocol source_canonical_service source_canonical_revision".split()

# family: (type, labels in their order, whether its name may still change)
CONTRACT = {
    "istio_tcp_connections_opened": ("counter", COMMON, False),
    "istio_tcp_connections_closed": ("counter", COMMON, False),
    "istio_tcp_connections_failed": ("counter", COMMON, True),
    "istio_tcp_received_bytes": ("counter", COMMON, False),
    "istio_tcp_sent_bytes": ("counter", COMMON, False),
    "istio_tcp_sockets_open": ("gauge", ["reporter"], True),
    "istio_on_demand_dns": ("counter", COMMON[1:9] + ["hostname"], True),
    "istio_crl_policy_rejections": ("counter", ["reporter"], True),
    "istio_crl_untracked_connections": ("counter", ["reporter"], True),
    "istio_build": ("gauge", ["component", "tag"], False),
    "istio_xds_connection_terminations": ("counter", ["reason"], False),
    "istio_xds_message": ("counter", ["url"], False),
    "istio_xds_message_bytes": ("counter", ["url"], False),
    "istio_dns_requests": ("counter", DNS, True),
    "istio_dns_upstream_requests": ("counter", DNS, True),
    "istio_dns_upstream_failures": ("counter", DNS, True),
    "istio_dns_upstream_request_duration_seconds": ("histogram", DNS, True),
    "workload_manager_active_proxy_count": ("gauge", [], False),
    "workload_manager_pending_proxy_count": ("gauge", [], False),
    "workload_manager_proxies_started": ("counter", [], False),
    "workload_manager_proxies_stopped": ("counter", [], False),
    "process_open_fds": ("gauge", [], False),
    "process_max_fds": ("gauge", [], False),
}
# Those a node without a control plane and without revocation lists shows after some traffic.
SHOWN = {name for name in CONTRACT if not name.startswith(("istio_xds", "istio_crl", "istio_dns",
                                                           "istio_on_demand"))}


@pytest.fixture(scope="module")
def busy(mesh):
    """One good connection, one that policy denies, one that nobody answers, one outside the mesh."""
    mesh.lab.policies = [world.policy("shut", "default", "Deny", [{"destinationPorts": [8090]}])]
    mesh.lab.apply()
    with talk.Server(mesh.server, PORT, talk.echo), talk.Server(mesh.ext, PORT, talk.echo):
        talk.ask(mesh.client, mesh.server.ip4, PORT)
        talk.ask(mesh.client, mesh.ext.ip4, PORT)
        assert talk.refused(mesh.client, mesh.server.ip4, 8090, b"x")
        assert talk.refused(mesh.client, mesh.server.ip4, 9, b"x")
    for node in (mesh.a, mesh.b):
        wait_until(lambda: node.ztunnel.metrics().total("istio_tcp_connections_failed_total") >= 2,
                   20, "both failures are counted")
    return mesh


def families(node):
    """Parsed strictly; and the label names of every sample in the order of the page."""
    _, _, text = node.ztunnel.get("/metrics", telemetry.METRICS_PORT,
                                  headers={"Accept": "application/openmetrics-text"})
    order = {}
    for line in text.splitlines():
        if not line.startswith("#") and "{" in line:
            name, labels = line.split("{", 1)
            found = telemetry._LABEL.findall(labels.rsplit("}", 1)[0])
            order.setdefault(name, set()).add(tuple(k for k, _ in found if k != "le"))
        elif not line.startswith("#"):
            order.setdefault(line.split(" ")[0], set()).add(())
    return {f.name: f for f in openmetrics.text_string_to_metric_families(text)}, order


@pytest.mark.parametrize("side", ["a", "b"])
def test_every_family_owed_is_there_with_exactly_its_labels_in_their_order(busy, side):
    parsed, order = families(getattr(busy, side))
    assert SHOWN <= set(parsed), SHOWN - set(parsed)
    for name, family in parsed.items():
        assert family.documentation.endswith("."), name
        if name not in CONTRACT:
            assert name.startswith(("culvert_", "process_")), f"{name} is neither owed nor ours"
            continue
        kind, labels, unstable = CONTRACT[name]
        assert family.type == kind, name
        assert unstable == ("(unstable)" in family.documentation), name
        suffixes = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}
        wanted = {tuple(labels)}
        if labels is COMMON:
            wanted.add(tuple(labels + LOCALITY))
        for suffix in suffixes[kind]:
            assert order[name + suffix] <= wanted, name + suffix


def test_flags_and_reporters_are_those_of_the_contract(busy):
    for node, reporter in ((busy.a, "source"), (busy.b, "destination")):
        metrics = node.ztunnel.metrics()
        for name in ("opened", "closed", "failed"):
            for labels, _ in metrics.find(f"istio_tcp_connections_{name}_total"):
                assert labels["reporter"] == reporter and labels["request_protocol"] == "tcp"
                assert labels["connection_security_policy"] in ("mutual_tls", "unknown")
                assert all(labels.values()), "an empty value is written unknown"
        opened = metrics.find("istio_tcp_connections_opened_total")
        assert {labels["response_flags"] for labels, _ in opened} == {"-"}
        flags = {labels["response_flags"] for labels, _ in
                 metrics.find("istio_tcp_connections_failed_total")}
        assert flags == ({"DENY", "CONNECT"} if node is busy.b else {"CONNECT"})
        assert metrics.total("istio_tcp_connections_opened_total") == \
            metrics.total("istio_tcp_connections_closed_total")


@pytest.mark.asan
def test_bytes_are_counted_while_the_connection_is_open(busy):
    want = {"source_workload": "client", "destination_workload": "second"}

    def seen(node, name):
        return node.ztunnel.metrics().total(f"istio_tcp_{name}_bytes_total", **want)
    with talk.Server(busy.second, PORT, talk.echo):
        with busy.client.connect(busy.second.ip4, PORT) as conn:
            conn.sendall(b"x")
            talk.read_exactly(conn, 1)
            for size in (1, 100001):
                for node in (busy.a, busy.b):
                    for name in ("received", "sent"):
                        wait_until(lambda: seen(node, name) == size, 20, f"{name} tells {size}")
                conn.sendall(b"y" * 100000)
                talk.read_exactly(conn, 100000)
