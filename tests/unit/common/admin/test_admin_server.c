/* SPDX-License-Identifier: Apache-2.0 */
/* The pages, asked for without a socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "common/admin/admin_server.h"
#include "common/base/log.h"

static struct http1_response res;
static char head[1024];
static int quits;

static void ask(http1_handler_fn *handler, void *arg, const char *line, const char *fields)
{
	struct h1_request req;

	(void)snprintf(head, sizeof(head), "%s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", line,
	               fields);
	assert_int_equal(h1_request_parse(span_str(head), &req), H1_OK);
	buf_fini(&res.body);
	res = (struct http1_response){.status = 200, .content_type = "text/plain"};
	buf_init(&res.body, 1 << 24);
	handler(arg, &req, &res);
}

static bool body_has(const char *words)
{
	return res.body.n > 0 && memmem(res.body.p, res.body.n, words, strlen(words)) != NULL;
}

static void on_quit(void *arg)
{
	(void)arg;
	quits++;
}

static void write_section(void *arg, struct json_write *w)
{
	json_key(w, arg);
	json_array_open(w);
	json_array_close(w);
}

static void write_page(void *arg, const struct h1_request *req, struct http1_response *r)
{
	(void)req;
	buf_put_str(&r->body, arg);
}

static struct admin *new_admin(void)
{
	static char workloads[] = "workloads", services[] = "services", hello[] = "hello";
	struct admin *a = admin_new(&(struct admin_options){
		.product = "ztunnel",
		.log_filter_default = "info",
		.quit = on_quit,
	});

	admin_section(a, write_section, workloads);
	admin_section(a, write_section, services);
	admin_page(a, ADMIN_ANY, "/debug/hello", "says hello", write_page, hello);
	return a;
}

static void unknown_pages_are_404_and_known_ones_are_listed(void **state)
{
	struct admin *a = new_admin();

	(void)state;
	ask(admin_handle, a, "GET /nothing", "");
	assert_int_equal(res.status, 404);
	ask(admin_handle, a, "GET /config_dump/", "");
	assert_int_equal(res.status, 404);
	ask(admin_handle, a, "GET /debug/hello?x=y", "");
	assert_int_equal(res.status, 200);
	assert_true(body_has("hello"));
	ask(admin_handle, a, "GET /", "");
	assert_true(body_has("/config_dump") && body_has("/debug/hello") && body_has("/logging"));
	admin_free(a);
}

static void config_dump_is_one_object_of_all_sections(void **state)
{
	struct admin *a = new_admin();

	(void)state;
	ask(admin_handle, a, "GET /config_dump", "");
	assert_string_equal(res.content_type, "application/json");
	assert_true(body_has("\"workloads\": []") && body_has("\"services\": []"));
	admin_free(a);
}

static void quitting_takes_a_post(void **state)
{
	struct admin *a = new_admin();

	(void)state;
	quits = 0;
	ask(admin_handle, a, "GET /quitquitquit", "");
	assert_int_equal(res.status, 405);
	assert_string_equal(res.allow, "POST");
	assert_int_equal(quits, 0);
	ask(admin_handle, a, "POST /quitquitquit", "");
	assert_int_equal(res.status, 200);
	assert_true(body_has("shutdown now\n"));
	assert_int_equal(quits, 1);
	admin_free(a);
}

/* The levels in force, as the page tells them. */
static void assert_levels(struct admin *a, const char *query, const char *want)
{
	char line[256];

	(void)snprintf(line, sizeof(line), "POST /logging%s", query);
	ask(admin_handle, a, line, "");
	assert_int_equal(res.status, 200);
	buf_put_u8(&res.body, '\0');
	if (strcmp((const char *)res.body.p, want) != 0)
		fail_msg("%s: %s", query, (const char *)res.body.p);
}

static void logging_is_shown_changed_on_top_and_reset(void **state)
{
	struct admin *a = new_admin();
	const char *bad;
	size_t bad_len;

	(void)state;
	assert_int_equal(log_filter_set("info", &bad, &bad_len), ERR_OK);
	assert_levels(a, "", "current log level is info\n");
	assert_levels(a, "?level=access%3Ddebug", "current log level is access=debug,info\n");
	assert_true(log_enabled(LOG_SCOPE_ACCESS, LOG_DEBUG));
	assert_levels(a, "?level=warn", "current log level is access=debug,warn\n");
	assert_false(log_enabled(LOG_SCOPE_PROXY, LOG_INFO));
	assert_levels(a, "?level=error&reset", "current log level is error\n");
	assert_levels(a, "?reset=whatever", "current log level is info\n");
	admin_free(a);
}

static void bad_levels_change_nothing(void **state)
{
	static const char *const bad[] = {
		"?level=loud",       "?level=",       "?level=access:debug",
		"?level=access",     "?level=info,,", "?level=access%3Dloud",
		"?level=debug,loud", "?level=%zz"};
	struct admin *a = new_admin();
	const char *at;
	size_t at_len;

	(void)state;
	assert_int_equal(log_filter_set("info", &at, &at_len), ERR_OK);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char line[128];

		(void)snprintf(line, sizeof(line), "POST /logging%s", bad[i]);
		ask(admin_handle, a, line, "");
		assert_int_equal(res.status, 400);
		assert_true(body_has("usage: POST /logging"));
	}
	assert_levels(a, "", "current log level is info\n");
	ask(admin_handle, a, "GET /logging", "");
	assert_int_equal(res.status, 405);
	assert_true(body_has("usage: POST /logging"));
	admin_free(a);
}

static void metrics_answer_in_the_type_and_coding_asked_for(void **state)
{
	struct metrics *m = metrics_new(0);
	struct metrics_serving serving = {.metrics = m, .shard = metrics_shard_new(m)};
	static uint8_t plain[1 << 20];
	z_stream z = {0};

	(void)state;
	ask(metrics_handle, &serving, "GET /metrics", "");
	assert_string_equal(res.content_type, "text/plain; charset=utf-8");
	assert_true(body_has("# EOF\n"));
	assert_null(res.encoding);
	ask(metrics_handle, &serving, "POST /stats/prometheus",
	    "Accept: text/plain;q=0.2, application/openmetrics-text;version=1.0.0\r\n"
	    "Accept-Encoding: gzip\r\n");
	assert_string_equal(res.content_type,
	                    "application/openmetrics-text;charset=utf-8;version=1.0.0");
	assert_string_equal(res.encoding, "gzip");
	assert_int_equal(inflateInit2(&z, 16 + MAX_WBITS), Z_OK);
	z.next_in = res.body.p;
	z.avail_in = (uInt)res.body.n;
	z.next_out = plain;
	z.avail_out = sizeof(plain);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	assert_memory_equal(plain + z.total_out - 6, "# EOF\n", 6);
	(void)inflateEnd(&z);
	ask(metrics_handle, &serving, "GET /", "");
	assert_int_equal(res.status, 404);
	metrics_free(m);
}

static void the_coding_wanted_most_is_taken_and_zstd_among_equals(void **state)
{
	static const struct {
		const char *accept, *coding;
	} rows[] = {
		{"gzip, deflate, br, zstd", "zstd"},
		{"gzip, deflate, br", "gzip"},
		{"deflate, br", "br"},
		{"deflate", "deflate"},
		{"zstd;q=0.5, br;q=0.8", "br"},
		{"*", "zstd"},
		{"*, zstd;q=0", "gzip"},
		{"gzip;q=0", NULL},
		{"identity, snappy", NULL},
	};
	struct metrics *m = metrics_new(0);
	struct metrics_serving serving = {.metrics = m, .shard = metrics_shard_new(m)};
	char field[128];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		(void)snprintf(field, sizeof(field), "Accept-Encoding: %s\r\n", rows[i].accept);
		ask(metrics_handle, &serving, "GET /metrics", field);
		if (rows[i].coding == NULL)
			assert_null(res.encoding);
		else
			assert_string_equal(res.encoding, rows[i].coding);
	}
	metrics_free(m);
}

static void readiness_names_what_is_pending_in_order(void **state)
{
	struct ready r;

	(void)state;
	ready_init(&r, 1000);
	ready_expect(&r, READY_WORKLOAD_PROXY_MANAGER);
	ready_expect(&r, READY_STATE_MANAGER);
	ready_expect(&r, READY_PROXY);
	ask(ready_handle, &r, "GET /healthz/ready", "");
	assert_int_equal(res.status, 500);
	assert_true(body_has("not ready, pending: proxy, state manager, workload proxy manager\n"));
	ready_done(&r, READY_PROXY);
	ready_done(&r, READY_WORKLOAD_PROXY_MANAGER);
	ask(ready_handle, &r, "GET /healthz/ready", "");
	assert_true(body_has("not ready, pending: state manager\n"));
	ready_done(&r, READY_STATE_MANAGER);
	ready_done(&r, READY_STATE_MANAGER);
	ask(ready_handle, &r, "GET /healthz/ready", "");
	assert_int_equal(res.status, 200);
	assert_int_equal(res.body.n, 6);
	assert_true(body_has("ready\n"));
	ask(ready_handle, &r, "POST /healthz/ready", "");
	assert_int_equal(res.status, 405);
	ask(ready_handle, &r, "GET /healthz", "");
	assert_int_equal(res.status, 404);
}

static void a_worker_that_stops_beating_is_named_until_it_beats_again(void **state)
{
	struct ready r;
	struct buf out;

	(void)state;
	ready_init(&r, 1000);
	buf_init(&out, 256);
	ready_beat(&r, 1, 5000);
	ready_beat(&r, 3, 5001);
	assert_int_equal(ready_stalled(&r, 0, 6000), READY_WORKERS_MAX); /* at the limit */
	assert_int_equal(ready_text(&r, 6000, &out), 200);
	assert_int_equal(ready_stalled(&r, 0, 6001), 1); /* one past it */
	assert_int_equal(ready_stalled(&r, 2, 6001), READY_WORKERS_MAX);
	buf_clear(&out);
	assert_int_equal(ready_text(&r, 6002, &out), 500);
	buf_put_u8(&out, 0);
	assert_string_equal((char *)out.p, "not ready, stalled: worker 1, worker 3\n");
	ready_expect(&r, READY_PROXY);
	ready_beat(&r, 3, 6002);
	buf_clear(&out);
	assert_int_equal(ready_text(&r, 6003, &out), 500);
	buf_put_u8(&out, 0);
	assert_string_equal((char *)out.p, "not ready, pending: proxy; stalled: worker 1\n");
	ready_done(&r, READY_PROXY);
	ready_beat(&r, 1, 6003);
	buf_clear(&out);
	assert_int_equal(ready_text(&r, 6004, &out), 200);
	buf_fini(&out);
}

static int end(void **state)
{
	(void)state;
	buf_fini(&res.body);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unknown_pages_are_404_and_known_ones_are_listed),
		cmocka_unit_test(config_dump_is_one_object_of_all_sections),
		cmocka_unit_test(quitting_takes_a_post),
		cmocka_unit_test(logging_is_shown_changed_on_top_and_reset),
		cmocka_unit_test(bad_levels_change_nothing),
		cmocka_unit_test(metrics_answer_in_the_type_and_coding_asked_for),
		cmocka_unit_test(the_coding_wanted_most_is_taken_and_zstd_among_equals),
		cmocka_unit_test(readiness_names_what_is_pending_in_order),
		cmocka_unit_test(a_worker_that_stops_beating_is_named_until_it_beats_again),
	};

	return cmocka_run_group_tests(tests, NULL, end);
}
