/* SPDX-License-Identifier: Apache-2.0 */
/* Prints a scrape with every kind of family and awkward label values: check_exposition.py reads it. */
#include <stdio.h>

#include "common/telemetry/process_metrics.h"
#include "common/telemetry/prometheus_codec.h"

int main(void)
{
	struct metrics *m = metrics_new(0);
	struct metrics_shard *a = metrics_shard_new(m), *b = metrics_shard_new(m);
	struct process_metrics process;
	struct traffic_labels l = {
		.reporter = REPORTER_DESTINATION,
		.mutual_tls = true,
		.has_locality = true,
		.source_workload = "quote\" back\\slash line\nend",
		.source_principal = "spiffe://cluster.local/ns/default/sa/client",
		.destination_service = "web.default.svc.cluster.local",
		.destination_app = "caf\xc3\xa9 \xff\xfe",
		.destination_zone = "zone-1",
	};
	struct traffic_series *t;
	struct buf out;

	process_metrics_init(&process, m, "ztunnel", "1.30-test");
	t = metrics_traffic_open(a, &l);
	traffic_received(t, 84);
	traffic_sent(t, 512);
	traffic_closed(t, ERR_OK);
	t = metrics_traffic_open(b, &l);
	traffic_received(t, 16);
	traffic_closed(t, ERR_TLS_EXPIRED);
	l.has_locality = false;
	l.reporter = REPORTER_SOURCE;
	(void)metrics_traffic_open(b, &l);
	metrics_gauge_add_for(a, METRIC_TCP_SOCKETS_OPEN, METRIC_LABELS("source"), -2);
	metrics_observe(a, METRIC_TLS_HANDSHAKE_DURATION, METRIC_LABELS("server"), 700000);
	metrics_observe(b, METRIC_TLS_HANDSHAKE_DURATION, METRIC_LABELS("server"), 9000000000);
	metrics_observe(b, METRIC_ENROLL_DURATION, NULL, 20000000);
	metrics_set_for(b, METRIC_CERTIFICATE_EXPIRY, METRIC_LABELS("spiffe://td/ns/a/sa/b"),
	                INT64_C(1800000000500000000));
	buf_init(&out, PROMETHEUS_TEXT_MAX);
	if (prometheus_write(m, &out) != ERR_OK || fwrite(out.p, 1, out.n, stdout) != out.n)
		return 1;
	buf_fini(&out);
	metrics_free(m);
	return 0;
}
