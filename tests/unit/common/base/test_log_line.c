/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log_line.h"

static struct log_event event_of(const struct log_field *fields, size_t count)
{
	return (struct log_event){
		.wall_us = INT64_C(1787233553123456),
		.scope = LOG_SCOPE_ACCESS,
		.level = LOG_INFO,
		.message = "connection complete",
		.fields = fields,
		.field_count = count,
	};
}

static void assert_text(const struct log_field *fields, size_t count, const char *want_fields)
{
	static const char head[] =
		"2026-08-20T13:45:53.123456Z\tinfo\taccess\tconnection complete\t";
	struct log_event e = event_of(fields, count);
	struct buf out;
	size_t n = sizeof(head) - 1;

	buf_init(&out, LOG_LINE_MAX);
	log_line_text(&e, &out);
	assert_int_equal(buf_status(&out), ERR_OK);
	assert_int_equal(out.n, n + strlen(want_fields) + 1);
	assert_memory_equal(out.p, head, n);
	assert_memory_equal(out.p + n, want_fields, strlen(want_fields));
	assert_int_equal(out.p[out.n - 1], '\n');
	buf_fini(&out);
}

static void a_text_line_has_the_contracts_shape(void **state)
{
	const struct log_field fields[] = {
		LOG_A("src.addr", "10.0.1.2:41234"),
		LOG_S("src.workload", "client-abc"),
		LOG_S("src.identity", NULL),
		LOG_A("dst.hbone_addr", NULL),
		LOG_N("bytes_sent", 84),
		LOG_S("duration", "3ms"),
	};

	(void)state;
	assert_text(
		fields, ARRAY_LEN(fields),
		"src.addr=10.0.1.2:41234 src.workload=\"client-abc\" bytes_sent=84 duration=\"3ms\"");
	assert_text(NULL, 0, ""); /* the tab stays */
	assert_text(&LOG_N("n", UINT64_MAX), 1, "n=18446744073709551615");
}

static void peer_octets_cannot_end_a_value_a_field_or_a_line(void **state)
{
	const struct log_field quoted = LOG_S("k", "a\"b\\c\n\r\t\x1b[31m\x7f\xc3\xa9 d=\"e\"");
	const struct log_field bare = LOG_A("k", "a b=\"c\"\n\\");
	const struct log_field nul = {
		.key = "k", .form = LOG_QUOTED, .text = "a\0b", .text_len = 3};

	(void)state;
	assert_text(&quoted, 1, "k=\"a\\\"b\\\\c\\n\\r\\t\\x1b[31m\\x7f\\xc3\\xa9 d=\\\"e\\\"\"");
	assert_text(&bare, 1, "k=a\\x20b=\\x22c\\x22\\x0a\\x5c");
	assert_text(&nul, 1, "k=\"a\\x00b\"");
	assert_text(&LOG_S("k", ""), 1, "k=\"\"");
}

static void values_are_cut_at_their_limit(void **state)
{
	char text[LOG_FIELD_TEXT_MAX + 2], want[LOG_FIELD_TEXT_MAX + 16] = "k=";

	(void)state;
	memset(text, 'x', sizeof(text));
	text[LOG_FIELD_TEXT_MAX] = '\0';
	memset(want + 2, 'x', LOG_FIELD_TEXT_MAX);
	assert_text(&LOG_A("k", text), 1, want);
	text[LOG_FIELD_TEXT_MAX] = 'x';
	text[LOG_FIELD_TEXT_MAX + 1] = '\0';
	memcpy(want + 2 + LOG_FIELD_TEXT_MAX, "...", 4);
	assert_text(&LOG_A("k", text), 1, want);
	assert_text(
		&(struct log_field){
			.key = "k", .form = LOG_BARE, .text = text, .text_len = SIZE_MAX - 1},
		1, want); /* only the limit is ever read */
}

static json_t *parse_json(const struct log_event *e)
{
	struct buf out;
	json_t *root;

	buf_init(&out, LOG_LINE_MAX);
	log_line_json(e, &out);
	assert_int_equal(buf_status(&out), ERR_OK);
	assert_int_equal(out.p[out.n - 1], '\n');
	assert_null(memchr(out.p, '\n', out.n - 1));
	root = json_loadb((const char *)out.p, out.n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL,
	                  NULL);
	assert_non_null(root);
	buf_fini(&out);
	return root;
}

static void a_json_line_has_the_contracts_keys(void **state)
{
	const struct log_field fields[] = {
		LOG_A("src.addr", "10.0.1.2:41234"),
		LOG_S("src.workload", "a\"b\\c\nd\x01"),
		LOG_S("absent", NULL),
		LOG_N("bytes_sent", 84),
		LOG_S("bytes", "\xff\xc3"),
	};
	struct log_event e = event_of(fields, ARRAY_LEN(fields));
	json_t *root = parse_json(&e);

	(void)state;
	assert_int_equal(json_object_size(root), 8);
	assert_string_equal(json_string_value(json_object_get(root, "level")), "info");
	assert_string_equal(json_string_value(json_object_get(root, "time")),
	                    "2026-08-20T13:45:53.123456Z");
	assert_string_equal(json_string_value(json_object_get(root, "scope")), "access");
	assert_string_equal(json_string_value(json_object_get(root, "message")),
	                    "connection complete");
	assert_string_equal(json_string_value(json_object_get(root, "src.addr")), "10.0.1.2:41234");
	assert_string_equal(json_string_value(json_object_get(root, "src.workload")),
	                    "a\"b\\c\nd\x01");
	assert_string_equal(json_string_value(json_object_get(root, "bytes")), "\\xff\\xc3");
	assert_int_equal(json_integer_value(json_object_get(root, "bytes_sent")), 84);
	json_decref(root);
	e.scope = LOG_SCOPE_PROXY;
	root = parse_json(&e);
	assert_string_equal(json_string_value(json_object_get(root, "scope")), "ztunnel::proxy");
	json_decref(root);
}

static void every_octet_gives_valid_lines_of_printable_ascii(void **state)
{
	(void)state;
	for (unsigned int c = 0; c < 256; c++) {
		const char text[2] = {(char)c, 'x'};
		const struct log_field fields[] = {
			{.key = "q", .form = LOG_QUOTED, .text = text, .text_len = 2},
			{.key = "b", .form = LOG_BARE, .text = text, .text_len = 2},
		};
		struct log_event e = event_of(fields, 2);
		struct buf out;

		json_decref(parse_json(&e));
		buf_init(&out, LOG_LINE_MAX);
		log_line_text(&e, &out);
		for (size_t i = 0; i + 1 < out.n; i++)
			assert_true(out.p[i] == '\t' || (out.p[i] >= 0x20 && out.p[i] < 0x7f));
		buf_fini(&out);
	}
}

static void the_longest_line_fits(void **state)
{
	char text[2 * LOG_FIELD_TEXT_MAX];
	struct log_field fields[20];
	struct log_event e = event_of(fields, ARRAY_LEN(fields));
	struct buf out;

	(void)state;
	memset(text, 1, sizeof(text));
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		fields[i] = (struct log_field){.key = "a.rather.long.key",
		                               .form = LOG_QUOTED,
		                               .text = text,
		                               .text_len = sizeof(text)};
	buf_init(&out, LOG_LINE_MAX);
	log_line_json(&e, &out);
	assert_int_equal(buf_status(&out), ERR_OK);
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_text_line_has_the_contracts_shape),
		cmocka_unit_test(peer_octets_cannot_end_a_value_a_field_or_a_line),
		cmocka_unit_test(values_are_cut_at_their_limit),
		cmocka_unit_test(a_json_line_has_the_contracts_keys),
		cmocka_unit_test(every_octet_gives_valid_lines_of_printable_ascii),
		cmocka_unit_test(the_longest_line_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
