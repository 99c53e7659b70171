/* SPDX-License-Identifier: Apache-2.0 */
/* Workers count while somebody scrapes: for the thread sanitizer, and for the sums. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "common/telemetry/metrics.h"
#include "common/telemetry/prometheus_codec.h"

enum { THREADS = 4, ROUNDS = 2000, APPS = 50 };

static void *count(void *arg)
{
	struct metrics_shard *s = arg;
	char name[16];

	for (int i = 0; i < ROUNDS; i++) {
		struct traffic_labels l = {.reporter = REPORTER_SOURCE, .source_app = name};
		struct traffic_series *t;

		(void)snprintf(name, sizeof(name), "app-%d", i % APPS);
		t = metrics_traffic_open(s, &l);
		traffic_received(t, 3);
		traffic_closed(t, i % 2 == 0 ? ERR_OK : ERR_RESET);
		metrics_add(s, METRIC_RELAY_PAUSED, 1);
		metrics_set_for(s, METRIC_CERTIFICATE_EXPIRY, METRIC_LABELS(name), i);
		metrics_forget(s, METRIC_CERTIFICATE_EXPIRY, METRIC_LABELS(name));
	}
	return NULL;
}

static void no_count_is_lost_while_it_is_scraped(void **state)
{
	struct metrics *m = metrics_new(0);
	pthread_t threads[THREADS];
	char want[64];
	struct buf out;

	(void)state;
	buf_init(&out, 1 << 24);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count, metrics_shard_new(m)), 0);
	for (int i = 0; i < 20; i++) {
		buf_clear(&out);
		assert_int_equal(prometheus_write(m, &out), ERR_OK);
	}
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	buf_clear(&out);
	assert_int_equal(prometheus_write(m, &out), ERR_OK);
	buf_put_u8(&out, '\0');
	(void)snprintf(want, sizeof(want), "culvert_relay_paused_total %d\n", THREADS * ROUNDS);
	assert_non_null(strstr((const char *)out.p, want));
	buf_fini(&out);
	metrics_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_count_is_lost_while_it_is_scraped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
