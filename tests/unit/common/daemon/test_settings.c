/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/daemon/settings.h"

/* The least that starts. */
#define MINIMUM "LOCAL_XDS_PATH=/mesh.yaml", "CULVERT_CA=files", "CULVERT_CERT_DIR=/certs"

static struct settings s;
static struct settings_report report;
static struct span mesh_file;

static enum err read_env(const char *const env[])
{
	settings_report_fini(&report);
	settings_report_init(&report);
	settings_fini(&s);
	return settings_read(
		&(struct settings_sources){.env = env, .mesh_file = mesh_file, .logical_cpus = 8},
		&s, &report);
}

#define READ(...) read_env((const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static bool told(struct buf *b, const char *words)
{
	return b->n > 0 && memmem(b->p, b->n, words, strlen(words)) != NULL;
}

static void the_least_that_starts_has_the_contracts_defaults(void **state)
{
	(void)state;
	assert_int_equal(READ(MINIMUM), ERR_OK);
	assert_int_equal(report.warnings.n, 0);
	assert_int_equal(s.h2_stream_window, 4194304);
	assert_int_equal(s.h2_connection_window, 16777216);
	assert_int_equal(s.h2_frame_size, 1048576);
	assert_int_equal(s.pool_max_streams, 100);
	assert_int_equal(s.pool_unused_release_ms, 300000);
	assert_int_equal(s.keepalive_time_ms, 180000);
	assert_int_equal(s.secret_ttl_ms, 86400000);
	assert_int_equal(s.drain_grace_ms, 5000);
	assert_int_equal(s.packet_mark, 1337);
	assert_int_equal(s.admin_port, 15000);
	assert_int_equal(s.workers, 2);
	assert_string_equal(s.trust_domain, "cluster.local");
	assert_string_equal(s.cluster_id, "Kubernetes");
	assert_null(s.node_name);
	assert_false(s.is_set[SETTING_OF_orig_src]);
	assert_false(s.log_json);
	assert_true(s.ipv6_enabled);
}

static void malformed_values_stop_the_start_and_are_named(void **state)
{
	static const char *const bad[] = {
		"IPV6_ENABLED=yes",
		"IPV6_ENABLED=True",
		"KEEPALIVE_ENABLED=1",
		"POOL_MAX_STREAMS_PER_CONNECTION=0",
		"POOL_MAX_STREAMS_PER_CONNECTION=65536",
		"POOL_MAX_STREAMS_PER_CONNECTION=-1",
		"HTTP2_FRAME_SIZE=16383",
		"HTTP2_STREAM_WINDOW_SIZE=2147483648",
		"HTTP2_STREAM_WINDOW_SIZE=4M",
		"SECRET_TTL=1 day",
		"SECRET_TTL=5x",
		"POOL_UNUSED_RELEASE_TIMEOUT=-5s",
		"CULVERT_CA=vault",
		"CULVERT_IO=kqueue",
		"ZTUNNEL_WORKER_THREADS=0%",
		"ZTUNNEL_WORKER_THREADS=101%",
		"ZTUNNEL_RESOURCE_CPU_LIMIT=0",
		"ZTUNNEL_CPU_LIMIT=two",
		"TERMINATION_GRACE_PERIOD_SECONDS=30s",
		"XDS_ON_DEMAND=maybe",
		"CULVERT_ADMIN_PORT=70000",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char name[64];

		assert_int_equal(READ(MINIMUM, bad[i]), ERR_CONFIG);
		assert_int_equal(sscanf(bad[i], "%63[^=]", name), 1);
		assert_true(told(&report.errors, name));
		assert_true(told(&report.errors, strchr(bad[i], '=') + 1));
		assert_true(told(&report.errors, "it must be"));
	}
}

static bool at(const struct endpoint *ep, const char *text)
{
	char shown[ENDPOINT_TEXT_MAX];

	return strcmp(endpoint_format(ep, shown), text) == 0;
}

static void the_dns_proxy_is_on_loopback_or_where_it_is_told(void **state)
{
	(void)state;
	assert_int_equal(READ(MINIMUM), ERR_OK);
	assert_true(at(&s.dns_at4, "127.0.0.1:15053"));
	assert_true(at(&s.dns_at6, "[::1]:15053"));
	assert_int_equal(READ(MINIMUM, "ISTIO_META_DNS_PROXY_ADDR=localhost:5353"), ERR_OK);
	assert_true(at(&s.dns_at4, "127.0.0.1:5353"));
	assert_true(at(&s.dns_at6, "[::1]:5353"));
	assert_int_equal(READ(MINIMUM, "ISTIO_META_DNS_PROXY_ADDR=0.0.0.0:53"), ERR_OK);
	assert_true(at(&s.dns_at4, "0.0.0.0:53"));
	assert_true(at(&s.dns_at6, "[::1]:53"));
	assert_int_equal(READ(MINIMUM, "ISTIO_META_DNS_PROXY_ADDR=[fd00::1]:53"), ERR_OK);
	assert_true(at(&s.dns_at6, "[fd00::1]:53"));
	assert_int_equal(READ(MINIMUM, "ISTIO_META_DNS_PROXY_ADDR="), ERR_OK);
	assert_true(at(&s.dns_at4, "127.0.0.1:15053"));
}

static void a_malformed_address_of_the_dns_proxy_stops_the_start(void **state)
{
	static const char *const bad[] = {
		"ISTIO_META_DNS_PROXY_ADDR=localhost",
		"ISTIO_META_DNS_PROXY_ADDR=localhost:",
		"ISTIO_META_DNS_PROXY_ADDR=localhost:0",
		"ISTIO_META_DNS_PROXY_ADDR=localhost:65536",
		"ISTIO_META_DNS_PROXY_ADDR=localhost:x",
		"ISTIO_META_DNS_PROXY_ADDR=invalid:15053",
		"ISTIO_META_DNS_PROXY_ADDR=127.0.0.1",
		"ISTIO_META_DNS_PROXY_ADDR=::1:53",
		"ISTIO_META_DNS_PROXY_ADDR=:53",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(READ(MINIMUM, bad[i]), ERR_CONFIG);
		assert_true(told(&report.errors, "ISTIO_META_DNS_PROXY_ADDR: neither"));
	}
}

static void dns_capture_is_on_unless_it_is_something_else_than_true(void **state)
{
	(void)state;
	assert_int_equal(READ(MINIMUM), ERR_OK);
	assert_true(s.dns);
	assert_int_equal(READ(MINIMUM, "ISTIO_META_DNS_CAPTURE=TRUE"), ERR_OK);
	assert_true(s.dns);
	assert_int_equal(READ(MINIMUM, "ISTIO_META_DNS_CAPTURE=false"), ERR_OK);
	assert_false(s.dns);
	assert_int_equal(READ(MINIMUM, "ISTIO_META_DNS_CAPTURE=1"), ERR_OK);
	assert_false(s.dns);
}

static void a_backend_that_is_not_there_is_refused_and_the_one_there_is_named(void **state)
{
	(void)state;
	assert_int_equal(READ(MINIMUM, "CULVERT_IO=epoll"), ERR_CONFIG);
	assert_true(told(&report.errors, "CULVERT_IO=\"epoll\""));
	assert_true(told(&report.errors, "it must be one of auto|io_uring"));
	assert_true(told(&report.errors, "Only io_uring is there yet"));
}

static void all_mistakes_are_told_at_once(void **state)
{
	(void)state;
	assert_int_equal(READ("IPV6_ENABLED=no", "SECRET_TTL=long", "CULVERT_CA=dev"), ERR_CONFIG);
	assert_true(told(&report.errors, "IPV6_ENABLED"));
	assert_true(told(&report.errors, "SECRET_TTL"));
	assert_true(told(&report.errors, "LOCAL_XDS_PATH: not set"));
	assert_true(told(&report.errors, "CULVERT_CA_INSECURE_DEV: must be true"));
}

static void what_would_weaken_security_is_refused_unless_it_changes_nothing(void **state)
{
	static const char *const refused[] = {
		"XDS_ADDRESS=istiod:15012",
		"CA_ADDRESS=x:1",
		"FAKE_CA=true",
		"ENABLE_PROXY=false",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		assert_int_equal(READ(MINIMUM, refused[i]), ERR_CONFIG);
		assert_true(told(&report.errors, "not supported here"));
	}
	assert_int_equal(READ(MINIMUM, "CRL_PATH=/crl", "COMPLIANCE_POLICY=pqc",
	                      "TLS12_ENABLED=false", "XDS_ADDRESS=", "FAKE_CA=false",
	                      "PROXY_MODE=shared", "PACKET_MARK=7", "INPOD_PORT_REUSE=false"),
	                 ERR_OK);
}

static void dedicated_mode_needs_its_workload_and_leaves_the_mark_to_whoever_sets_one(void **state)
{
	static const char *const bad[] = {
		"PROXY_WORKLOAD_INFO=",     "PROXY_WORKLOAD_INFO=a/b",  "PROXY_WORKLOAD_INFO=/b/c",
		"PROXY_WORKLOAD_INFO=a//c", "PROXY_WORKLOAD_INFO=a/b/",
	};

	(void)state;
	assert_int_equal(READ(MINIMUM, "PROXY_MODE=both"), ERR_CONFIG);
	assert_int_equal(READ(MINIMUM, "PROXY_MODE=dedicated"), ERR_CONFIG);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(READ(MINIMUM, "PROXY_MODE=dedicated", bad[i]), ERR_CONFIG);
		assert_true(
			told(&report.errors, "PROXY_WORKLOAD_INFO: PROXY_MODE=dedicated needs it"));
	}
	assert_int_equal(READ(MINIMUM, "PROXY_MODE=dedicated", "PROXY_WORKLOAD_INFO=a/b/c/d"),
	                 ERR_OK);
	assert_int_equal(s.proxy_mode, SETTING_MODE_DEDICATED);
	assert_false(s.given[SETTING_OF_packet_mark]);
	assert_int_equal(READ(MINIMUM, "PROXY_MODE=dedicated", "PROXY_WORKLOAD_INFO=a/b/c",
	                      "PACKET_MARK=1337"),
	                 ERR_OK);
	assert_true(s.given[SETTING_OF_packet_mark]);
	assert_int_equal(READ(MINIMUM, "PROXY_MODE=dedicated", "PROXY_WORKLOAD_INFO=a/b/c",
	                      "ENABLE_ORIG_SRC=true"),
	                 ERR_CONFIG);
}

static void what_is_not_honoured_yet_is_said(void **state)
{
	(void)state;
	assert_int_equal(READ(MINIMUM, "INSTANCE_IP=1.2.3.4", "XDS_HEADER_X-Y=z", "XDS_ROOT_CA=ca",
	                      "CULVERT_RUN_DIR=/run/x", "CULVERT_TYPO=1"),
	                 ERR_OK);
	assert_true(told(&report.warnings, "INSTANCE_IP is set but not yet honoured"));
	assert_true(told(&report.warnings, "XDS_HEADER_X-Y is set but not yet honoured"));
	assert_true(told(&report.warnings, "XDS_ROOT_CA is set but not yet honoured"));
	assert_true(told(&report.warnings, "CULVERT_RUN_DIR is set but not yet honoured"));
	assert_true(told(&report.warnings, "CULVERT_TYPO"));
}

static void secrets_are_neither_shown_nor_dumped(void **state)
{
	struct json_write w;
	struct buf out;

	(void)state;
	assert_int_equal(READ(MINIMUM, "AUTH_TOKEN=hush-hush", "IPV6_ENABLED=no"), ERR_CONFIG);
	assert_false(told(&report.errors, "hush-hush"));
	assert_int_equal(READ(MINIMUM, "AUTH_TOKEN=hush-hush", "XDS_HEADER_A=hush-hush"), ERR_OK);
	assert_false(told(&report.warnings, "hush-hush"));
	buf_init(&out, 65536);
	json_write_init(&w, &out, true);
	settings_json(&s, "proxy ztunnel", &w);
	assert_true(json_write_complete(&w));
	assert_false(told(&out, "hush-hush"));
	assert_true(told(&out, "\"proxyArgs\": \"proxy ztunnel\""));
	buf_fini(&out);
}

static void the_dump_shows_durations_as_seconds_and_nanoseconds(void **state)
{
	struct json_write w;
	struct buf out;

	(void)state;
	assert_int_equal(READ(MINIMUM, "POOL_UNUSED_RELEASE_TIMEOUT=1500ms", "ISTIO_META_FOO=bar"),
	                 ERR_OK);
	buf_init(&out, 65536);
	json_write_init(&w, &out, false);
	settings_json(&s, "", &w);
	assert_true(told(&out, "\"poolUnusedReleaseTimeout\":{\"secs\":1,\"nanos\":500000000}"));
	assert_true(told(&out, "\"proxyMetadata\":{\"FOO\":\"bar\"}"));
	assert_true(told(&out, "\"socketConfig\":{\"keepaliveEnabled\":true,"));
	assert_true(told(&out, "\"culvert\":{\"ca\":\"files\","));
	buf_fini(&out);
}

static void the_metadata_cluster_wins(void **state)
{
	(void)state;
	assert_int_equal(READ(MINIMUM, "CLUSTER_ID=a", "ISTIO_META_CLUSTER_ID=b"), ERR_OK);
	assert_string_equal(s.cluster_id, "b");
	assert_int_equal(READ(MINIMUM, "CLUSTER_ID=a"), ERR_OK);
	assert_string_equal(s.cluster_id, "a");
}

static void values_reach_their_members(void **state)
{
	(void)state;
	assert_int_equal(READ(MINIMUM, "ENABLE_ORIG_SRC=false", "LOG_FORMAT=json",
	                      "AUTHZ_POLICY_INFO_LOGGING=true", "CULVERT_IO=io_uring",
	                      "TERMINATION_GRACE_PERIOD_SECONDS=30", "ZTUNNEL_WORKER_THREADS=50%",
	                      "SECRET_TTL=1h30m", "NETWORK=net-1"),
	                 ERR_OK);
	assert_true(s.is_set[SETTING_OF_orig_src] && !s.orig_src);
	assert_true(s.log_json && s.authz_info);
	assert_int_equal(s.io, SETTING_IO_URING);
	assert_int_equal(s.drain_grace_ms, 25000);
	assert_int_equal(s.workers, 4);
	assert_int_equal(s.secret_ttl_ms, 5400000);
	assert_string_equal(s.network, "net-1");
}

static void empty_values_of_typed_settings_mean_unset(void **state)
{
	(void)state;
	assert_int_equal(READ(MINIMUM, "ZTUNNEL_CPU_LIMIT=", "IPV6_ENABLED=", "SECRET_TTL="),
	                 ERR_OK);
	assert_true(s.ipv6_enabled);
	assert_false(s.is_set[SETTING_OF_cpu_limit]);
}

static void both_local_states_are_one_too_many(void **state)
{
	(void)state;
	assert_int_equal(READ(MINIMUM, "LOCAL_XDS={}"), ERR_CONFIG);
	assert_true(told(&report.errors, "both are set"));
}

static void the_mesh_file_is_below_proxy_config_and_both_below_the_variables(void **state)
{
	static const char mesh[] = "rootNamespace: istio-system\n"
				   "defaultConfig:\n"
				   "  discoveryAddress: istiod.istio-system.svc:15012\n"
				   "  concurrency: 3\n"
				   "  proxyAdminPort: 16000\n"
				   "  statsPort: 16020\n"
				   "  tracing: {zipkin: {address: zipkin:9411}}\n"
				   "  proxyMetadata:\n"
				   "    ISTIO_META_CLUSTER_ID: from-file\n"
				   "    ISTIO_META_A: file\n"
				   "    B: file\n"
				   "    NUMBER: 15\n";

	(void)state;
	mesh_file = span_str(mesh);
	assert_int_equal(READ(MINIMUM, "XDS_ADDRESS="), ERR_OK);
	assert_int_equal(s.workers, 3);
	assert_int_equal(s.admin_port, 16000);
	assert_int_equal(s.stats_port, 16020);
	assert_string_equal(s.cluster_id, "from-file");
	assert_string_equal(s.discovery_address, "istiod.istio-system.svc:15012");
	assert_int_equal(s.metadata_count, 4);
	assert_string_equal(s.metadata[1].name, "A");
	assert_string_equal(s.metadata[3].value, "15");

	assert_int_equal(READ(MINIMUM, "XDS_ADDRESS=",
	                      "PROXY_CONFIG={\"concurrency\":0,\"statsPort\":17020,"
	                      "\"proxyMetadata\":{\"B\":\"own\",\"ISTIO_META_C\":\"own\"}}"),
	                 ERR_OK);
	assert_int_equal(s.workers, 8); /* 0: all cores */
	assert_int_equal(s.admin_port, 16000);
	assert_int_equal(s.stats_port, 17020);
	assert_int_equal(s.metadata_count, 5);
	assert_string_equal(s.metadata[2].value, "own");

	assert_int_equal(READ("ISTIO_META_B=env", "CULVERT_STATS_PORT=18020",
	                      "ZTUNNEL_WORKER_THREADS=2", MINIMUM,
	                      "XDS_ADDRESS=", "ISTIO_META_CLUSTER_ID=env",
	                      "PROXY_CONFIG=concurrency: 5\nproxyMetadata: {B: own}\n"),
	                 ERR_OK);
	assert_int_equal(s.workers, 2);
	assert_int_equal(s.stats_port, 18020);
	assert_string_equal(s.cluster_id, "env");
	assert_string_equal(s.metadata[2].value, "env");
	mesh_file = (struct span){0};
}

static void a_proxy_config_without_metadata_or_with_nothing_is_fine(void **state)
{
	static const char *const good[] = {
		"",
		"\n",
		"{}",
		"null",
		"concurrency: null",
		"proxyMetadata:",
		"concurrency: '4'",
		"someday: [1, {two: 3}]\nproxyMetadata: {}",
	};
	char line[128];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		(void)snprintf(line, sizeof(line), "PROXY_CONFIG=%s", good[i]);
		assert_int_equal(READ(MINIMUM, line), ERR_OK);
		assert_int_equal(report.errors.n, 0);
		mesh_file = span_str(good[i]);
		assert_int_equal(READ(MINIMUM), ERR_OK);
		mesh_file = (struct span){0};
	}
}

static void a_malformed_proxy_config_stops_the_start_with_its_position(void **state)
{
	static const struct {
		const char *text, *words;
	} bad[] = {
		{"concurrency: many",
	         ":1:14: error: concurrency: must be a whole number from 0 to 64"},
		{"concurrency: -1", "must be a whole number"},
		{"concurrency: 65", "must be a whole number"},
		{"statsPort: 0", "must be a port"},
		{"\nstatsPort: 70000", ":2:12: error: statsPort"},
		{"proxyAdminPort: [1]", "must be a whole number"},
		{"proxyMetadata: [a]", "must be a map of texts"},
		{"proxyMetadata: {A: {B: c}}", "must be a map of texts"},
		{"discoveryAddress: {}", "must be a text"},
		{"- a", "must be a map"},
		{"word", "must be a map"},
		{"{", "error"},
	};
	char line[128];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		(void)snprintf(line, sizeof(line), "PROXY_CONFIG=%s", bad[i].text);
		assert_int_equal(READ(MINIMUM, line), ERR_CONFIG);
		assert_true(told(&report.errors, "PROXY_CONFIG:"));
		assert_true(told(&report.errors, bad[i].words));
	}
	mesh_file = span_str("defaultConfig:\n  statsPort: x\n");
	assert_int_equal(READ(MINIMUM), ERR_CONFIG);
	assert_true(told(&report.errors, "etc/istio/config/mesh:2:14: error: statsPort"));
	mesh_file = (struct span){0};
}

static void a_control_plane_that_is_asked_for_is_not_passed_over(void **state)
{
	(void)state;
	assert_int_equal(READ(MINIMUM, "PROXY_CONFIG=discoveryAddress: istiod:15012"), ERR_CONFIG);
	assert_true(told(&report.errors, "discoveryAddress of ProxyConfig: not supported here"));
	assert_int_equal(
		READ(MINIMUM, "PROXY_CONFIG=discoveryAddress: istiod:15012", "XDS_ADDRESS="),
		ERR_OK);
	assert_int_equal(READ(MINIMUM, "XDS_ON_DEMAND=true"), ERR_CONFIG);
	assert_true(told(&report.errors, "XDS_ON_DEMAND: must be false while the DNS proxy is on"));
	assert_int_equal(READ(MINIMUM, "XDS_ON_DEMAND=true", "ISTIO_META_DNS_CAPTURE=false"),
	                 ERR_OK);
}

static void addresses_and_headers_of_the_control_plane_are_checked_now(void **state)
{
	static const char *const bad[] = {
		"XDS_ADDRESS=istiod:", "XDS_ADDRESS=ftp://istiod:1", "XDS_ADDRESS=istiod:70000",
		"CA_ADDRESS=https://", "CA_ADDRESS=a b:1",           "CA_ADDRESS=[::1:1",
		"CA_ADDRESS=host:0",
	};
	static const char *const good[] = {
		"CA_ADDRESS=istiod",
		"CA_ADDRESS=https://istiod.istio-system.svc:15012",
		"CA_ADDRESS=[fd00::1]:15012",
		"CA_ADDRESS=http://10.0.0.1:8080/",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(READ(MINIMUM, bad[i]), ERR_CONFIG);
		assert_true(told(&report.errors, "ADDRESS: not understood"));
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		(void)READ(MINIMUM, good[i]);
		assert_false(told(&report.errors, "not understood"));
	}
	assert_int_equal(READ(MINIMUM, "XDS_HEADER_x y=z"), ERR_CONFIG);
	assert_true(told(&report.errors, "XDS_HEADER_*: "));
	assert_int_equal(READ(MINIMUM, "CA_HEADER_X=a\nb"), ERR_CONFIG);
	assert_true(told(&report.errors, "CA_HEADER_X: the value cannot stand in a header"));
	assert_int_equal(READ(MINIMUM, "CA_HEADER_X=a b", "XDS_HEADER_x-Y="), ERR_OK);
}

static int end(void **state)
{
	(void)state;
	settings_fini(&s);
	settings_report_fini(&report);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_least_that_starts_has_the_contracts_defaults),
		cmocka_unit_test(malformed_values_stop_the_start_and_are_named),
		cmocka_unit_test(the_dns_proxy_is_on_loopback_or_where_it_is_told),
		cmocka_unit_test(a_malformed_address_of_the_dns_proxy_stops_the_start),
		cmocka_unit_test(dns_capture_is_on_unless_it_is_something_else_than_true),
		cmocka_unit_test(a_backend_that_is_not_there_is_refused_and_the_one_there_is_named),
		cmocka_unit_test(all_mistakes_are_told_at_once),
		cmocka_unit_test(what_would_weaken_security_is_refused_unless_it_changes_nothing),
		cmocka_unit_test(
			dedicated_mode_needs_its_workload_and_leaves_the_mark_to_whoever_sets_one),
		cmocka_unit_test(what_is_not_honoured_yet_is_said),
		cmocka_unit_test(secrets_are_neither_shown_nor_dumped),
		cmocka_unit_test(the_dump_shows_durations_as_seconds_and_nanoseconds),
		cmocka_unit_test(the_metadata_cluster_wins),
		cmocka_unit_test(values_reach_their_members),
		cmocka_unit_test(empty_values_of_typed_settings_mean_unset),
		cmocka_unit_test(both_local_states_are_one_too_many),
		cmocka_unit_test(the_mesh_file_is_below_proxy_config_and_both_below_the_variables),
		cmocka_unit_test(a_proxy_config_without_metadata_or_with_nothing_is_fine),
		cmocka_unit_test(a_malformed_proxy_config_stops_the_start_with_its_position),
		cmocka_unit_test(a_control_plane_that_is_asked_for_is_not_passed_over),
		cmocka_unit_test(addresses_and_headers_of_the_control_plane_are_checked_now),
	};

	return cmocka_run_group_tests(tests, NULL, end);
}
