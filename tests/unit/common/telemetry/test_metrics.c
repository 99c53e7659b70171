/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/check.h"
#include "common/telemetry/metrics.h"
#include "common/telemetry/metrics_view.h"
#include "common/telemetry/prometheus_codec.h"

/* The scrape as text; valid until the next call of this program's. */
static const char *scrape(struct metrics *m)
{
	static struct buf out;

	buf_fini(&out);
	buf_init(&out, 1 << 24);
	assert_int_equal(prometheus_write(m, &out), ERR_OK);
	buf_put_u8(&out, '\0');
	assert_int_equal(buf_status(&out), ERR_OK);
	return (const char *)out.p;
}

static size_t count_of(const char *text, const char *word)
{
	size_t n = 0;

	for (const char *at = strstr(text, word); at != NULL; at = strstr(at + 1, word))
		n++;
	return n;
}

static void every_flag_of_the_error_table_is_a_response_flag(void **state)
{
	(void)state;
	for (enum err e = 0; e < ERR_COUNT; e++) {
		size_t found = 0;

		for (size_t i = 0; i < RESPONSE_FLAGS; i++)
			found += strcmp(response_flags[i], err_info(e)->flag) == 0;
		assert_int_equal(found, 1);
	}
}

static void the_labels_stand_in_the_order_of_the_contract(void **state)
{
	struct metrics *m = metrics_new(0);
	struct metrics_shard *s = metrics_shard_new(m);
	const struct traffic_labels l = {
		.reporter = REPORTER_SOURCE,
		.mutual_tls = true,
		.has_locality = true,
		.source_workload = "a",
		.source_canonical_service = "b",
		.source_canonical_revision = "c",
		.source_workload_namespace = "d",
		.source_principal = "e",
		.source_app = "f",
		.source_version = "g",
		.source_cluster = "h",
		.destination_service = "i",
		.destination_service_namespace = "j",
		.destination_service_name = "k",
		.destination_workload = "l",
		.destination_canonical_service = "m",
		.destination_canonical_revision = "n",
		.destination_workload_namespace = "o",
		.destination_principal = "p",
		.destination_app = "q",
		.destination_version = "r",
		.destination_cluster = "s",
		.source_region = "t",
		.source_zone = "u",
		.destination_region = "v",
		.destination_zone = "w",
	};

	(void)state;
	(void)metrics_traffic_open(s, &l);
	assert_non_null(strstr(
		scrape(m),
		"istio_tcp_connections_opened_total{reporter=\"source\",source_workload=\"a\","
		"source_canonical_service=\"b\",source_canonical_revision=\"c\","
		"source_workload_namespace=\"d\",source_principal=\"e\",source_app=\"f\","
		"source_version=\"g\",source_cluster=\"h\",destination_service=\"i\","
		"destination_service_namespace=\"j\",destination_service_name=\"k\","
		"destination_workload=\"l\",destination_canonical_service=\"m\","
		"destination_canonical_revision=\"n\",destination_workload_namespace=\"o\","
		"destination_principal=\"p\",destination_app=\"q\",destination_version=\"r\","
		"destination_cluster=\"s\",request_protocol=\"tcp\",response_flags=\"-\","
		"connection_security_policy=\"mutual_tls\",source_region=\"t\",source_zone=\"u\","
		"destination_region=\"v\",destination_zone=\"w\"} 1\n"));
	metrics_free(m);
}

static void connections_with_equal_labels_share_one_series(void **state)
{
	struct metrics *m = metrics_new(0);
	struct metrics_shard *s = metrics_shard_new(m);
	char name[] = "same", other[] = "same";
	struct traffic_labels l = {.source_app = name};
	struct traffic_series *first = metrics_traffic_open(s, &l);

	(void)state;
	l.source_app = other;
	assert_ptr_equal(metrics_traffic_open(s, &l), first);
	l.mutual_tls = true;
	assert_ptr_not_equal(metrics_traffic_open(s, &l), first);
	metrics_free(m);
}

static void byte_counters_are_there_from_the_opening_and_end_with_no_flag(void **state)
{
	struct metrics *m = metrics_new(0);
	struct metrics_shard *s = metrics_shard_new(m);
	const struct traffic_labels l = {.reporter = REPORTER_DESTINATION};
	struct traffic_series *t = metrics_traffic_open(s, &l);
	const char *text = scrape(m);

	(void)state;
	assert_int_equal(count_of(text, "istio_tcp_received_bytes_total{"), 1);
	assert_int_equal(count_of(text, "istio_tcp_sent_bytes_total{"), 1);
	assert_int_equal(count_of(text, "istio_tcp_connections_closed"), 0);
	traffic_closed(t, ERR_POLICY_DENY);
	text = scrape(m);
	assert_int_equal(count_of(text, "istio_tcp_connections_closed_total{"), 1);
	assert_int_equal(count_of(text, "istio_tcp_connections_failed_total{"), 1);
	assert_int_equal(count_of(text, "response_flags=\"DENY\""), 2);
	metrics_free(m);
}

static void a_closing_without_error_is_not_a_failure(void **state)
{
	struct metrics *m = metrics_new(0);
	struct metrics_shard *s = metrics_shard_new(m);
	const struct traffic_labels l = {.reporter = REPORTER_SOURCE};

	(void)state;
	traffic_closed(metrics_traffic_open(s, &l), ERR_OK);
	assert_int_equal(count_of(scrape(m), "istio_tcp_connections_failed"), 0);
	metrics_free(m);
}

static void too_many_label_sets_are_counted_together_as_unknown(void **state)
{
	struct metrics *m = metrics_new(10);
	struct metrics_shard *s = metrics_shard_new(m);
	struct traffic_series *last = NULL;
	const char *text;
	char name[16];

	(void)state;
	for (int i = 0; i < 100; i++) {
		struct traffic_labels l = {.reporter = REPORTER_SOURCE, .source_app = name};

		(void)snprintf(name, sizeof(name), "app-%d", i);
		last = metrics_traffic_open(s, &l);
		traffic_sent(last, 1);
	}
	text = scrape(m);
	assert_int_equal(count_of(text, "istio_tcp_connections_opened_total{"), 11);
	assert_non_null(strstr(text, "culvert_metrics_series_overflow_total 90\n"));
	assert_non_null(strstr(text, "culvert_metrics_series 10\n"));
	assert_non_null(strstr(text, "source_app=\"unknown\""));
	metrics_free(m);
}

static void long_label_values_are_cut_at_a_character(void **state)
{
	struct metrics *m = metrics_new(0);
	struct metrics_shard *s = metrics_shard_new(m);
	static char value[4000];
	const char *text, *at;

	(void)state;
	for (size_t i = 0; i + 2 < sizeof(value); i += 2)
		memcpy(value + i, "\xc3\xa9", 2);
	memmove(value + 1, value, sizeof(value) - 3);
	value[0] = 'x';
	metrics_add_for(s, METRIC_CONNECTIONS_REFUSED, METRIC_LABELS(value), 1);
	text = scrape(m);
	at = strstr(text, "culvert_connections_refused_total{reason=\"");
	assert_non_null(at);
	at = strchr(at, '"') + 1;
	assert_int_equal(strchr(at, '"') - at, METRICS_LABEL_LEN_MAX - 1);
	metrics_free(m);
}

/* RFC 3629 section 4, at the edges of each of its rows. */
static void label_octets_that_are_no_utf8_become_question_marks(void **state)
{
	static const struct {
		const char *value, *shown;
	} rows[] = {
		{"a\x7f", "a\x7f"},
		{"\x80", "?"},
		{"\xc1\xbf", "??"},
		{"\xc2\x80", "\xc2\x80"},
		{"\xdf\xbf", "\xdf\xbf"},
		{"\xe0\x9f\xbf", "???"},
		{"\xe0\xa0\x80", "\xe0\xa0\x80"},
		{"\xed\x9f\xbf", "\xed\x9f\xbf"},
		{"\xed\xa0\x80", "???"},
		{"\xef\xbf\xbf", "\xef\xbf\xbf"},
		{"\xf0\x8f\xbf\xbf", "????"},
		{"\xf0\x90\x80\x80", "\xf0\x90\x80\x80"},
		{"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
		{"\xf4\x90\x80\x80", "????"},
		{"\xf5", "?"},
		{"\xc3", "?"},
		{"\xe2\x82", "??"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct metrics *m = metrics_new(0);
		struct metrics_shard *s = metrics_shard_new(m);
		char line[96];

		metrics_add_for(s, METRIC_CONNECTIONS_REFUSED, METRIC_LABELS(rows[i].value), 1);
		(void)snprintf(line, sizeof(line),
		               "culvert_connections_refused_total{reason=\"%s\"} 1\n",
		               rows[i].shown);
		assert_non_null(strstr(scrape(m), line));
		metrics_free(m);
	}
}

static void a_forgotten_label_set_is_gone_and_can_come_back(void **state)
{
	struct metrics *m = metrics_new(0);
	struct metrics_shard *s = metrics_shard_new(m);

	(void)state;
	metrics_set_for(s, METRIC_CERTIFICATE_EXPIRY, METRIC_LABELS("spiffe://a"), 1);
	metrics_forget(s, METRIC_CERTIFICATE_EXPIRY, METRIC_LABELS("spiffe://a"));
	metrics_forget(s, METRIC_CERTIFICATE_EXPIRY, METRIC_LABELS("spiffe://a"));
	assert_null(strstr(scrape(m), "spiffe://a"));
	metrics_set_for(s, METRIC_CERTIFICATE_EXPIRY, METRIC_LABELS("spiffe://a"), -1500000000);
	assert_non_null(strstr(scrape(m), "{identity=\"spiffe://a\"} -1.5\n"));
	metrics_free(m);
}

static void shards_are_added_up(void **state)
{
	struct metrics *m = metrics_new(0);
	struct metrics_shard *a = metrics_shard_new(m), *b = metrics_shard_new(m);

	(void)state;
	metrics_gauge_add(a, METRIC_PODS_ACTIVE, 5);
	metrics_gauge_add(b, METRIC_PODS_ACTIVE, -3);
	metrics_add_for(a, METRIC_TLS_HANDSHAKES, METRIC_LABELS("client"), 2);
	metrics_add_for(b, METRIC_TLS_HANDSHAKES, METRIC_LABELS("client"), 3);
	assert_non_null(strstr(scrape(m), "workload_manager_active_proxy_count 2\n"));
	assert_non_null(strstr(scrape(m), "culvert_tls_handshakes_total{role=\"client\"} 5\n"));
	metrics_free(m);
}

static void a_text_beyond_its_ceiling_is_an_error(void **state)
{
	struct metrics *m = metrics_new(0);
	struct buf out;

	(void)state;
	(void)metrics_shard_new(m);
	buf_init(&out, 100);
	assert_int_equal(prometheus_write(m, &out), ERR_LIMIT);
	buf_fini(&out);
	metrics_free(m);
}

struct asked {
	struct metrics_collector collector;
	struct metrics_shard *shard;
	int count;
};

static void on_ask(struct metrics_collector *c)
{
	struct asked *a = container_of(c, struct asked, collector);

	metrics_set(a->shard, METRIC_PODS_PENDING, ++a->count);
}

static void collectors_run_at_each_scrape(void **state)
{
	struct metrics *m = metrics_new(0);
	struct asked a = {.collector.fn = on_ask, .shard = metrics_shard_new(m)};

	(void)state;
	metrics_collector_add(m, &a.collector);
	(void)scrape(m);
	assert_non_null(strstr(scrape(m), "workload_manager_pending_proxy_count 2\n"));
	metrics_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_flag_of_the_error_table_is_a_response_flag),
		cmocka_unit_test(the_labels_stand_in_the_order_of_the_contract),
		cmocka_unit_test(connections_with_equal_labels_share_one_series),
		cmocka_unit_test(byte_counters_are_there_from_the_opening_and_end_with_no_flag),
		cmocka_unit_test(a_closing_without_error_is_not_a_failure),
		cmocka_unit_test(too_many_label_sets_are_counted_together_as_unknown),
		cmocka_unit_test(long_label_values_are_cut_at_a_character),
		cmocka_unit_test(label_octets_that_are_no_utf8_become_question_marks),
		cmocka_unit_test(a_forgotten_label_set_is_gone_and_can_come_back),
		cmocka_unit_test(shards_are_added_up),
		cmocka_unit_test(a_text_beyond_its_ceiling_is_an_error),
		cmocka_unit_test(collectors_run_at_each_scrape),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
