# SPDX-License-Identifier: Apache-2.0
"""What a ztunnel tells: metrics, the access log, readiness, the admin pages."""
import base64
import json
import re

import pytest
from prometheus_client.openmetrics import parser as openmetrics

import talk
import telemetry
from ztunnel import wait_until

PORT = 8080
UPLOAD, DOWNLOAD = 70000, 250000
COMMON_LABELS = {
    "reporter", "source_workload", "source_canonical_service", "source_canonical_revision",
    "source_workload_namespace", "source_principal", "source_app", "source_version",
    "source_cluster", "destination_service", "destination_service_namespace",
    "destination_service_name", "destination_workload", "destination_canonical_service",
    "destination_canonical_revision", "destination_workload_namespace", "destination_principal",
    "destination_app", "destination_version", "destination_cluster", "request_protocol",
    "response_flags", "connection_security_policy"}
LOCALITY_LABELS = {"source_region", "source_zone", "destination_region", "destination_zone"}
TRAFFIC = {f"istio_tcp_{what}" for what in ("connections_opened", "connections_closed",
                                           "received_bytes", "sent_bytes")}
FIELD_ORDER = ["src.addr", "src.workload", "src.namespace", "src.identity", "src.cluster",
               "dst.addr", "dst.hbone_addr", "dst.service", "dst.workload", "dst.namespace",
               "dst.identity", "dst.cluster", "direction", "bytes_sent", "bytes_recv", "duration",
               "error"]
UNQUOTED = {"src.addr", "dst.addr", "dst.hbone_addr", "bytes_sent", "bytes_recv"}


def counted(conn):
    """Takes UPLOAD bytes, gives DOWNLOAD bytes."""
    talk.read_exactly(conn, UPLOAD)
    conn.sendall(b"d" * DOWNLOAD)
    conn.close()


@pytest.fixture(scope="module")
def talked(mesh):
    """One connection through the mesh; returns the access-log lines of both nodes as text."""
    marks = [n.ztunnel.log_size() for n in (mesh.a, mesh.b)]
    with talk.Server(mesh.server, PORT, counted):
        with mesh.client.connect(mesh.server.ip4, PORT) as conn:
            conn.settimeout(10)
            conn.sendall(b"u" * UPLOAD)
            assert len(talk.read_all(conn)) == DOWNLOAD
    lines = []
    for node, mark, way in ((mesh.a, marks[0], "outbound"), (mesh.b, marks[1], "inbound")):
        node.ztunnel.wait_access(mark, direction=way)
        lines.append(next(text for text in node.ztunnel.log_text(mark).splitlines()
                          if "\taccess\t" in text and f'"{way}"' in text))
    return lines


def sample(mesh, node, name, **want):
    found = node.ztunnel.metrics().find(name, source_workload="client",
                                        destination_workload="server", **want)
    assert len(found) == 1, f"{name}{want}: {found}"
    return found[0]


@pytest.mark.asan
def test_both_sides_count_the_connection_and_its_bytes(mesh, talked):
    for node, reporter in ((mesh.a, "source"), (mesh.b, "destination")):
        values = {name: sample(mesh, node, f"{name}_total", reporter=reporter)[1]
                  for name in TRAFFIC}
        assert values == {"istio_tcp_connections_opened": 1, "istio_tcp_connections_closed": 1,
                          "istio_tcp_received_bytes": UPLOAD, "istio_tcp_sent_bytes": DOWNLOAD}


def test_traffic_metrics_have_the_labels_of_the_contract(mesh, talked):
    labels, _ = sample(mesh, mesh.b, "istio_tcp_connections_opened_total")
    assert COMMON_LABELS <= set(labels) <= COMMON_LABELS | LOCALITY_LABELS
    assert labels["source_principal"] == mesh.client.identity
    assert labels["destination_principal"] == mesh.server.identity
    assert labels["connection_security_policy"] == "mutual_tls"
    assert labels["request_protocol"] == "tcp" and labels["response_flags"] == "-"
    assert labels["destination_service"] == "unknown"
    assert labels["source_workload_namespace"] == "default"
    assert labels["source_cluster"] == labels["destination_cluster"] == "Kubernetes"
    assert labels["source_app"] == "client" and labels["source_version"] == "v1"


@pytest.mark.asan
@pytest.mark.parametrize("path", ["/metrics", "/stats/prometheus"])
def test_the_metrics_page_is_openmetrics_to_a_strict_parser(mesh, talked, path):
    status, headers, text = mesh.b.ztunnel.get(
        path, telemetry.METRICS_PORT, headers={"Accept": "application/openmetrics-text"})
    assert status == 200 and text.endswith("# EOF\n")
    assert headers["content-type"].startswith("application/openmetrics-text")
    families = {f.name: f for f in openmetrics.text_string_to_metric_families(text)}
    assert TRAFFIC <= set(families)
    assert {"istio_build", "workload_manager_active_proxy_count", "process_open_fds",
            "istio_tcp_sockets_open"} <= set(families)
    assert all(families[name].type == "counter" for name in TRAFFIC)
    for family in families.values():
        assert family.documentation.endswith("."), family.name


def test_without_openmetrics_in_accept_the_page_is_plain_text(mesh):
    _, headers, _ = mesh.b.ztunnel.get("/metrics", telemetry.METRICS_PORT)
    assert headers["content-type"].startswith("text/plain")
    assert mesh.b.ztunnel.get("/nothing", telemetry.METRICS_PORT)[0] == 404


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_client_unpacks_the_page_in_the_coding_it_asked_for(mesh, coding):
    url = f"http://127.0.0.1:{telemetry.METRICS_PORT}/stats/prometheus"
    done = mesh.b.run(["curl", "-sS", "-i", "--compressed", "-H", f"Accept-Encoding: {coding}", url])
    head, text = done.stdout.split("\n\n", 1)
    assert f"content-encoding: {coding}" in head.lower()
    assert telemetry.Metrics(text).total("istio_build") == 1 and text.endswith("# EOF\n")


def test_open_sockets_are_gauged_while_they_are_open(mesh):
    def sockets():
        return mesh.a.ztunnel.metrics().total("istio_tcp_sockets_open", reporter="source")
    before = sockets()
    with talk.Server(mesh.server, 8081, talk.echo):
        with mesh.client.connect(mesh.server.ip4, 8081) as conn:
            conn.sendall(b"x")
            talk.read_exactly(conn, 1)
            wait_until(lambda: sockets() == before + 1, 10, "the socket is counted")
    wait_until(lambda: sockets() == before, 10, "the socket is no longer counted")


@pytest.mark.asan
@pytest.mark.parametrize("index, way", [(0, "outbound"), (1, "inbound")])
def test_the_text_line_has_the_fields_of_the_contract_in_order(mesh, talked, index, way):
    when, level, scope, message, fields = talked[index].split("\t")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", when)
    assert (level, scope, message) == ("info", "access", "connection complete")
    pairs = re.findall(r'([a-z_.]+)=("[^"]*"|\S+)', fields)
    names = [name for name, _ in pairs]
    assert names == [name for name in FIELD_ORDER if name in names]
    assert "error" not in names and "dst.service" not in names
    for name, value in pairs:
        assert (name in UNQUOTED) != value.startswith('"'), f"{name}={value}"
    got = telemetry.parse_access(talked[index])
    assert got["src.workload"] == "client" and got["dst.workload"] == "server"
    assert got["src.identity"] == mesh.client.identity
    assert got["dst.identity"] == mesh.server.identity
    assert got["dst.addr"] == f"{mesh.server.ip4}:15008"
    assert got["dst.hbone_addr"] == f"{mesh.server.ip4}:{PORT}"
    assert got["direction"] == way and re.fullmatch(r"\d+ms", got["duration"])
    seen = (got["bytes_sent"], got["bytes_recv"])
    assert seen == ((UPLOAD, DOWNLOAD) if way == "outbound" else (DOWNLOAD, UPLOAD))


def test_the_json_line_has_the_same_fields(calm):
    zt = calm.b.ztunnel
    zt.end()
    zt.extra_env["LOG_FORMAT"] = "json"
    try:
        mark = zt.log_size()
        zt.start()
        with talk.Server(calm.server, 8082, talk.echo):
            wait_until(lambda: talk.served(calm.client, calm.server.ip4, 8082), 20, "it works")
        zt.wait_access(mark, direction="inbound")
        lines = [json.loads(text) for text in zt.log_text(mark).splitlines()]
    finally:
        del zt.extra_env["LOG_FORMAT"]
        zt.end()
    line = next(x for x in lines if x["message"] == "connection complete")
    assert list(line)[:4] == ["level", "time", "scope", "message"] and line["level"] == "info"
    assert line["scope"].endswith("access")
    assert list(line)[4:] == [name for name in FIELD_ORDER if name in line]
    assert line["bytes_sent"] == 5 and line["bytes_recv"] == 5
    assert line["dst.addr"] == f"{calm.server.ip4}:15008"


@pytest.mark.asan
def test_readiness_answers_get_and_nothing_else(mesh):
    assert mesh.a.ztunnel.ready() == (200, "ready\n")
    assert mesh.a.ztunnel.get("/healthz/ready", telemetry.READY_PORT, method="POST")[0] == 405
    assert mesh.a.ztunnel.get("/", telemetry.READY_PORT)[0] == 404


def test_the_admin_port_answers_on_loopback_only(mesh):
    assert mesh.a.ztunnel.get("/config_dump", host="::1")[0] == 200
    for address in (mesh.a.ip4, mesh.a.gateway4):
        with pytest.raises(OSError):
            mesh.client.connect(address, telemetry.ADMIN_PORT, 3).close()
            telemetry.request(mesh.a.netns, telemetry.ADMIN_PORT, "/", host=address)


@pytest.mark.asan
def test_config_dump_has_the_shape_istioctl_reads(mesh):
    status, headers, text = mesh.b.ztunnel.get("/config_dump")
    assert status == 200 and headers["content-type"].startswith("application/json")
    assert "\n" in text.strip(), "it is not pretty-printed"
    dump = json.loads(text)
    for key in ("workloads", "services", "policies", "certificates"):
        assert isinstance(dump[key], list), key
    assert isinstance(dump["stagedServices"], dict) and isinstance(dump["config"], dict)
    assert set(dump["staticConfig"]) == {"workloads", "policies", "services"}
    assert {"version", "gitRevision", "buildProfile", "cryptoProvider"} <= set(dump["version"])
    uids = [w["uid"] for w in dump["workloads"]]
    assert uids == sorted(uids)
    server = next(w for w in dump["workloads"] if w["name"] == "server")
    assert server["workloadIps"] == mesh.server.addresses
    assert (server["protocol"], server["networkMode"], server["status"]) == (
        "HBONE", "Standard", "Healthy")
    assert server["node"] == mesh.b.full_name and server["serviceAccount"] == "server"


def test_config_dump_shows_the_certificates_of_this_node_s_pods(mesh):
    held = mesh.b.ztunnel.config_dump()["certificates"]
    assert [c["identity"] for c in held] == sorted([mesh.server.identity, mesh.second.identity])
    for entry in held:
        assert entry["state"] == "Available"
        for cert in entry["certChain"] + entry["rootCerts"]:
            assert base64.b64decode(cert["pem"]).startswith(b"-----BEGIN CERTIFICATE")
            assert cert["serialNumber"].isdigit()
            for key in ("validFrom", "expirationTime"):
                assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", cert[key])


def test_config_dump_shows_live_connections(mesh):
    with talk.Server(mesh.server, 8083, talk.echo):
        with mesh.client.connect(mesh.server.ip4, 8083) as conn:
            conn.sendall(b"x")
            talk.read_exactly(conn, 1)
            states = list(mesh.b.ztunnel.config_dump()["workloadState"].values())
    assert all(s["state"] == "Up" for s in states)
    inbound = [c for s in states for c in s["connections"]["inbound"]]
    assert any(c["actualDst"] == f"{mesh.server.ip4}:8083" and c["protocol"] == "HBONE"
               for c in inbound), inbound


def test_the_log_level_can_be_read_changed_and_reset(mesh):
    zt = mesh.a.ztunnel
    assert zt.get("/logging")[0] == 405
    status, _, before = zt.get("/logging", method="POST")
    assert status == 200 and before.startswith("current log level is ")
    status, _, text = zt.get("/logging?level=access=debug", method="POST")
    assert status == 200 and "access=debug" in text
    mark = zt.log_size()
    with talk.Server(mesh.server, 8084, talk.echo):
        talk.ask(mesh.client, mesh.server.ip4, 8084)
    wait_until(lambda: "connection opened" in zt.log_text(mark), 10, "debug lines appear")
    assert zt.get("/logging?level=shout", method="POST")[0] == 400
    assert zt.get("/logging?level=info&reset", method="POST")[2] == before


def test_unknown_admin_pages_are_not_found(mesh):
    assert mesh.a.ztunnel.get("/nothing-here")[0] == 404
    status, headers, text = mesh.a.ztunnel.get("/")
    assert status == 200 and "config_dump" in text and "html" in headers["content-type"]
