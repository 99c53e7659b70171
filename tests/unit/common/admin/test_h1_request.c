/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/admin/h1_request.h"

static struct h1_request req;

static unsigned int parse(const char *text)
{
	return h1_request_parse(span_str(text), &req);
}

static void a_plain_request_is_taken_apart(void **state)
{
	(void)state;
	assert_int_equal(
		parse("POST /logging?level=info&reset HTTP/1.1\r\nHost: localhost:15000\r\n"
	              "Content-Length: 3\r\nAccept:\t*/* \r\n\r\nabcGET"),
		H1_OK);
	assert_int_equal(req.method, H1_POST);
	assert_true(span_eq_str(req.path, "/logging"));
	assert_true(span_eq_str(req.query, "level=info&reset"));
	assert_true(span_eq_str(req.host, "localhost:15000"));
	assert_true(req.keep_alive);
	assert_int_equal(req.body_len, 3);
	assert_int_equal(req.field_count, 3);
	assert_true(span_eq_str(req.fields[2].value, "*/*"));
}

static void every_proper_prefix_needs_more(void **state)
{
	static const char text[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxy";

	(void)state;
	for (size_t n = 0; n < sizeof(text) - 1; n++)
		assert_int_equal(h1_request_parse(span_of(text, n), &req), H1_MORE);
	assert_int_equal(parse(text), H1_OK);
}

static void connections_end_when_asked_or_by_version(void **state)
{
	(void)state;
	assert_int_equal(parse("GET / HTTP/1.0\r\n\r\n"), H1_OK);
	assert_false(req.keep_alive);
	assert_int_equal(parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n"), H1_OK);
	assert_false(req.keep_alive);
}

static void what_is_ambiguous_is_refused(void **state)
{
	static const struct {
		unsigned int status;
		const char *text;
	} rows[] = {
		{400, "GET / HTTP/1.1\r\n\r\n"},
		{400, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"},
		{400, "GET / HTTP/1.1\nHost: a\n\n"},
		{400, "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n"},
		{400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"},
		{400, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"},
		{400, " GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
		{400, "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n"},
		{400, "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"},
		{400, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"},
		{400, "GET /#x HTTP/1.1\r\nHost: a\r\n\r\n"},
		{400, "GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n"},
		{400, "GET / http/1.1\r\nHost: a\r\n\r\n"},
		{505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"},
		{400, "GET / HTTP/1.1\r\nHost : a\r\n\r\n"},
		{400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"},
		{400, "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n"},
		{400, "GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n"},
		{400, "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n"},
		{400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n"},
		{400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n"},
		{400,
	         "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx"},
		{400,
	         "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{417, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n"},
		{413, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8192\r\n\r\n"},
		{413, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n\r\n"},
		{400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (parse(rows[i].text) != rows[i].status)
			fail_msg("%s: %u, not %u", rows[i].text, parse(rows[i].text),
			         rows[i].status);
}

static void a_head_of_eight_kilobytes_is_too_large(void **state)
{
	static char text[H1_REQUEST_LEN_MAX + 100];

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text, "GET /", 5);
	assert_int_equal(h1_request_parse(span_of(text, H1_REQUEST_LEN_MAX - 1), &req), H1_MORE);
	assert_int_equal(h1_request_parse(span_of(text, H1_REQUEST_LEN_MAX), &req), 431);
	assert_int_equal(h1_request_parse(span_of(text, sizeof(text)), &req), 431);
}

static void too_many_fields_are_refused(void **state)
{
	struct buf text;

	(void)state;
	buf_init(&text, H1_REQUEST_LEN_MAX);
	buf_put_str(&text, "GET / HTTP/1.1\r\n");
	for (int i = 0; i <= H1_FIELDS_MAX; i++)
		buf_put_str(&text, "A: b\r\n");
	buf_put_str(&text, "\r\n");
	assert_int_equal(h1_request_parse(buf_span(&text), &req), 431);
	buf_fini(&text);
}

static bool is_local(const char *host)
{
	struct h1_request r = {.host = span_str(host)};

	return h1_request_host_is_local(&r);
}

static void only_names_of_this_machine_are_local(void **state)
{
	(void)state;
	assert_true(is_local("localhost"));
	assert_true(is_local("LocalHost:15000"));
	assert_true(is_local("127.0.0.1:15000"));
	assert_true(is_local("127.1.2.3"));
	assert_true(is_local("[::1]"));
	assert_true(is_local("[::1]:15000"));
	assert_false(is_local(""));
	assert_false(is_local("evil.example"));
	assert_false(is_local("localhost.evil.example"));
	assert_false(is_local("127.0.0.1.evil.example"));
	assert_false(is_local("127.0.0"));
	assert_false(is_local("127.0.0.1:99999"));
	assert_false(is_local("127.0.0.1:"));
	assert_false(is_local("[::1]x"));
	assert_false(is_local("10.0.0.1"));
	assert_false(is_local("[::2]"));
}

static unsigned int gzip_weight(const char *value)
{
	struct h1_request r = {.field_count = 1};

	r.fields[0] = (struct h1_field){span_str("Accept-Encoding"), span_str(value)};
	return h1_request_coding_weight(&r, "gzip");
}

static void codings_are_accepted_by_weight(void **state)
{
	(void)state;
	assert_int_equal(gzip_weight("gzip"), 1000);
	assert_int_equal(gzip_weight("br, GZip;q=0.5"), 500);
	assert_int_equal(gzip_weight("gzip;q=0.123"), 123);
	assert_int_equal(gzip_weight("gzip;q=0"), 0);
	assert_int_equal(gzip_weight("gzip; q=0.000"), 0);
	assert_int_equal(gzip_weight("gzip;q=9.999"), 1000);
	assert_int_equal(gzip_weight("gzip;q=little"), 1000);
	assert_int_equal(gzip_weight("xgzip, identity"), 0);
	assert_int_equal(gzip_weight(""), 0);
	assert_int_equal(gzip_weight("br, *;q=0.2"), 200);
	assert_int_equal(gzip_weight("*, gzip;q=0"), 0);
}

static void queries_are_decoded_one_by_one(void **state)
{
	struct span rest = span_str("&level=a%3Ddebug,b+c&reset&x=%4");
	struct buf name, value;
	struct h1_param p = {.name = &name, .value = &value};
	bool bad = false;

	(void)state;
	buf_init(&name, 100);
	buf_init(&value, 100);
	assert_true(h1_query_next(&rest, &p, &bad));
	assert_true(span_eq_str(buf_span(&name), "level"));
	assert_true(span_eq_str(buf_span(&value), "a=debug,b c"));
	assert_true(h1_query_next(&rest, &p, &bad));
	assert_true(span_eq_str(buf_span(&name), "reset"));
	assert_false(p.has_value);
	assert_false(bad);
	assert_false(h1_query_next(&rest, &p, &bad));
	assert_true(bad);
	buf_fini(&name);
	buf_fini(&value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_request_is_taken_apart),
		cmocka_unit_test(every_proper_prefix_needs_more),
		cmocka_unit_test(connections_end_when_asked_or_by_version),
		cmocka_unit_test(what_is_ambiguous_is_refused),
		cmocka_unit_test(a_head_of_eight_kilobytes_is_too_large),
		cmocka_unit_test(too_many_fields_are_refused),
		cmocka_unit_test(only_names_of_this_machine_are_local),
		cmocka_unit_test(codings_are_accepted_by_weight),
		cmocka_unit_test(queries_are_decoded_one_by_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
