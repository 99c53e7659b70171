/* SPDX-License-Identifier: Apache-2.0 */
#include "common/codec/json_write.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static char text[4096];

static const char *written(struct buf *b)
{
	assert_true(b->n < sizeof(text));
	memcpy(text, b->p, b->n);
	text[b->n] = '\0';
	buf_fini(b);
	return text;
}

static void write_sample(struct json_write *w)
{
	json_object_open(w);
	json_kv_str(w, "s", "x");
	json_kv_int(w, "i", INT64_MIN);
	json_kv_uint(w, "u", UINT64_MAX);
	json_kv_bool(w, "b", true);
	json_key(w, "n");
	json_none(w);
	json_key(w, "a");
	json_array_open(w);
	json_double(w, 0.5);
	json_double(w, NAN);
	json_array_open(w);
	json_array_close(w);
	json_object_open(w);
	json_object_close(w);
	json_array_close(w);
	json_object_close(w);
}

static void commas_and_nesting_are_the_writers(void **state)
{
	struct json_write w;
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	json_write_init(&w, &b, false);
	write_sample(&w);
	assert_true(json_write_complete(&w));
	assert_string_equal(
		written(&b),
		"{\"s\":\"x\",\"i\":-9223372036854775808,\"u\":18446744073709551615,\"b\":true,"
		"\"n\":null,\"a\":[0.5,null,[],{}]}");
}

static void pretty_output_is_indented_by_two(void **state)
{
	struct json_write w;
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	json_write_init(&w, &b, true);
	json_object_open(&w);
	json_key(&w, "a");
	json_array_open(&w);
	json_int(&w, 1);
	json_int(&w, 2);
	json_array_close(&w);
	json_key(&w, "e");
	json_array_open(&w);
	json_array_close(&w);
	json_object_close(&w);
	assert_string_equal(written(&b), "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"e\": []\n}");
}

static void hostile_text_is_escaped(void **state)
{
	static const struct {
		const char *in;
		size_t n;
		const char *out;
	} rows[] = {
		{"a\"b\\c/d", 7, "\"a\\\"b\\\\c/d\""},
		{"\n\r\t\x01\x7f\0", 6, "\"\\n\\r\\t\\u0001\\u007f\\u0000\""},
		{"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9,
	         "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
		{"\xff", 1, "\"\\ufffd\""},
		{"\xc3", 1, "\"\\ufffd\""},                                  /* cut short */
		{"\xc0\xaf", 2, "\"\\ufffd\\ufffd\""},                       /* overlong '/' */
		{"\xed\xa0\x80", 3, "\"\\ufffd\\ufffd\\ufffd\""},            /* a surrogate */
		{"\xf4\x90\x80\x80", 4, "\"\\ufffd\\ufffd\\ufffd\\ufffd\""}, /* past U+10FFFF */
		{"", 0, "\"\""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct json_write w;
		struct buf b;

		buf_init(&b, 4096);
		json_write_init(&w, &b, false);
		json_span(&w, span_of(rows[i].in, rows[i].n));
		assert_string_equal(written(&b), rows[i].out);
	}
}

static void a_full_buffer_is_told_at_the_end(void **state)
{
	struct json_write w;
	struct buf b;

	(void)state;
	buf_init(&b, 20);
	json_write_init(&w, &b, false);
	write_sample(&w);
	assert_int_equal(buf_status(&b), ERR_LIMIT);
	buf_fini(&b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(commas_and_nesting_are_the_writers),
		cmocka_unit_test(pretty_output_is_indented_by_two),
		cmocka_unit_test(hostile_text_is_escaped),
		cmocka_unit_test(a_full_buffer_is_told_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
