#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Read what exposition prints with other people's parsers: prometheus_client's two, and promtool."""
import shutil
import subprocess
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as classic

ORDER = """reporter source_workload source_canonical_service source_canonical_revision
source_workload_namespace source_principal source_app source_version source_cluster destination_service
destination_service_namespace destination_service_name destination_workload destination_canonical_service
destination_canonical_revision destination_workload_namespace destination_principal destination_app
destination_version destination_cluster request_protocol response_flags connection_security_policy""".split()
LOCALITY = "source_region source_zone destination_region destination_zone".split()
SELF_MADE = {"culvert_", "istio_on_demand", "istio_crl", "istio_dns"}


def find(families, sample, **labels):
    return [s.value for f in families for s in f.samples
            if s.name == sample and labels.items() <= s.labels.items()]


text = subprocess.run([sys.argv[1]], check=True, stdout=subprocess.PIPE).stdout.decode()
families = list(openmetrics(text))
list(classic(text))

assert text.endswith("# EOF\n") and text.count("# EOF") == 1
for line in text.splitlines():
    if line.startswith("# HELP"):
        assert line.endswith("."), line
        if line.split()[2].startswith(tuple(SELF_MADE)):
            assert line.endswith(" (unstable)."), line
traffic = [s for f in families for s in f.samples if s.name == "istio_tcp_connections_opened_total"]
assert len(traffic) == 2
for sample in traffic:
    want = ORDER + (LOCALITY if sample.labels["reporter"] == "destination" else [])
    assert list(sample.labels) == want, list(sample.labels)
    assert sample.labels["source_workload"] == 'quote" back\\slash line\nend'
    assert sample.labels["destination_app"] == "café ??"
    assert sample.labels["source_cluster"] == "unknown"
    assert sample.labels["response_flags"] == "-"

inbound = {"reporter": "destination"}
assert find(families, "istio_tcp_connections_opened_total", **inbound) == [2]
assert find(families, "istio_tcp_received_bytes_total", **inbound) == [100]
assert find(families, "istio_tcp_sent_bytes_total", **inbound) == [512]
assert find(families, "istio_tcp_sent_bytes_total", reporter="source") == [0]
assert find(families, "istio_tcp_connections_closed_total", response_flags="-") == [1]
assert find(families, "istio_tcp_connections_closed_total", response_flags="TLS_FAILURE") == [1]
assert find(families, "istio_tcp_connections_failed_total") == [1]
assert find(families, "istio_tcp_sockets_open", reporter="source") == [-2]
assert find(families, "istio_build", component="ztunnel", tag="1.30-test") == [1]
assert find(families, "culvert_tls_handshake_duration_seconds_bucket", le="0.001") == [1]
assert find(families, "culvert_tls_handshake_duration_seconds_count") == [2]
assert find(families, "culvert_tls_handshake_duration_seconds_sum") == [9.0007]
assert find(families, "culvert_certificate_expiry_timestamp_seconds") == [1800000000.5]
assert find(families, "process_open_fds")[0] >= 3
assert find(families, "process_resident_memory_bytes")[0] > 100000
assert find(families, "process_start_time_seconds")[0] > 1.6e9
assert not [f for f in families if not f.samples], "a family without samples is shown"
assert "istio_xds_message" not in text

if shutil.which("promtool"):
    # It lints names as well, which are not ours to choose (istio_build, *_count gauges): only its parser counts.
    done = subprocess.run(["promtool", "check", "metrics"], input=text.encode(),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode in (0, 3), done.stdout.decode()
    assert b"error while linting" not in done.stdout, done.stdout.decode()
