/* SPDX-License-Identifier: Apache-2.0 */
/* What a mistake in a file looks like to whoever has to find it. */
#include "common/mesh/yaml_report.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "common/mesh/yaml_decode.h"
#include "tests/unit/common/mesh/mesh_text.h"

/* The report on one error at this place of a text; to be freed. */
static char *reported(struct span text, uint32_t line, uint32_t column)
{
	struct buf out;
	struct yaml_report r = {.out = &out, .source = "x", .text = text};
	char *said;

	buf_init(&out, 1 << 20);
	yaml_report_at(&r, YAML_ERROR, (struct source_pos){line, column}, "", "bad");
	said = strndup((const char *)out.p, out.n);
	buf_fini(&out);
	return said;
}

static void assert_shown(struct span text, uint32_t line, const char *shown)
{
	char *said = reported(text, line, 1);
	char expected[256];

	(void)snprintf(expected, sizeof(expected), "x:%u:1: error: bad\n%6u | %s\n       | ^\n",
	               line, line, shown);
	assert_string_equal(said, expected);
	free(said);
}

/* YAML 1.1 5.4: libyaml counts all of these, and so must whoever shows the line. */
static void every_line_break_of_yaml_ends_a_line(void **state)
{
	static const char *const breaks[] = {"\n",       "\r",           "\r\n",
	                                     "\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(breaks); i++) {
		char text[64];

		(void)snprintf(text, sizeof(text), "one%stwo%sthree", breaks[i], breaks[i]);
		assert_shown(span_str(text), 1, "one");
		assert_shown(span_str(text), 2, "two");
		assert_shown(span_str(text), 3, "three");
	}
}

static void what_begins_like_a_line_break_is_none(void **state)
{
	(void)state;
	assert_shown(span_str("a\xc2\xa0z"), 1, "a?z");
	assert_shown(span_str("a\xe2\x80\xaaz"), 1, "a?z");
	assert_shown(span_str("a\xe2\x82\xacz"), 1, "a?z");
	assert_shown(span_str("a\xe2"), 1, "a?");
	assert_shown(span_str("a\xc2"), 1, "a?");
	assert_shown(span_str("one\n\n\nfour"), 3, "");
	assert_shown(span_str("one"), 9, "");
	assert_shown(span_str(""), 1, "");
}

static void a_character_takes_one_column_and_control_ones_are_not_shown(void **state)
{
	(void)state;
	assert_shown(span_str("\xc3\xa9t\xc3\xa9\tx\x1b[31m\x7f"), 1, "?t? x [31m ");
}

static void without_a_place_there_is_no_line(void **state)
{
	char *said = reported(span_str("text"), 0, 0);

	(void)state;
	assert_string_equal(said, "x: error: bad\n");
	free(said);
}

static void many_warnings_are_counted_not_shown(void **state)
{
	struct buf out;
	struct yaml_report r = {.out = &out, .source = "x", .text = span_str("t")};

	(void)state;
	buf_init(&out, 1 << 20);
	for (unsigned int i = 0; i < YAML_WARNINGS_MAX + 3; i++)
		yaml_report_at(&r, YAML_WARNING, (struct source_pos){0}, "", "odd %u", i);
	yaml_report_close(&r);
	buf_put_u8(&out, 0);
	assert_null(strstr((const char *)out.p, "odd 20"));
	assert_non_null(strstr((const char *)out.p, "x: 3 more warnings\n"));
	assert_int_equal(r.errors, 0);
	buf_fini(&out);
}

static void the_nearest_name_is_offered_if_it_is_near(void **state)
{
	static const char *const names[] = {
		"Namespace", "namespaces", "aVeryLongNameThatNobodyWouldEverMistypeLikeThis", "id"};
	char long_word[64] = "";

	(void)state;
	assert_string_equal(yaml_nearest(span_str("namespac"), names, 4), "Namespace");
	assert_string_equal(yaml_nearest(span_str("Namespaces"), names, 4), "namespaces");
	assert_null(yaml_nearest(span_str("di"), names, 4));
	assert_null(yaml_nearest(span_str("workload"), names, 4));
	assert_null(yaml_nearest(span_str(""), names, 4));
	memset(long_word, 'a', 50);
	assert_null(yaml_nearest(span_str(long_word), names, 4));
}

static void what_is_shown_is_printable_and_short(void **state)
{
	char out[YAML_SHOWN_MAX], longer[100];

	(void)state;
	assert_string_equal(yaml_shown(span_str("a\x01\xff"
	                                        "b"),
	                               out),
	                    "a??b");
	memset(longer, 'a', sizeof(longer));
	assert_int_equal(strlen(yaml_shown(span_of(longer, sizeof(longer)), out)),
	                 YAML_SHOWN_MAX - 1);
	assert_string_equal(out + YAML_SHOWN_MAX - 5, "a...");
}

/* ---- and where in the tree it is ---- */

static void a_path_is_cut_before_it_is_too_long(void **state)
{
	struct buf out;
	struct yaml_report r = {.out = &out, .source = "x", .text = span_str("t")};
	struct yaml_decode d = {.report = &r};

	(void)state;
	buf_init(&out, 1 << 20);
	for (int i = 0; i < YAML_DEPTH_MAX; i++)
		yaml_enter(&d, span_str("a-rather-long-name-of-a-key"), 0);
	yaml_error(&d, (struct source_pos){0}, "bad");
	buf_put_u8(&out, 0);
	assert_non_null(strstr((const char *)out.p, "x: error: a-rather-long-name-of-a-key.a-"));
	assert_in_range(out.n, 320, 360);
	buf_fini(&out);
}

static void choices_too_many_to_list_are_cut(void **state)
{
	static const char name[] = "a-name-of-some-forty-letters-to-choose-1";
	static const char *const names[] = {name, name, name, name, name, name, name};
	struct yaml_node n = {.kind = YAML_SCALAR, .text = span_str("zzz")};
	struct buf out;
	struct yaml_report r = {.out = &out, .source = "x", .text = span_str("t")};
	struct yaml_decode d = {.report = &r};
	unsigned int choice;

	(void)state;
	buf_init(&out, 1 << 20);
	assert_false(yaml_get_choice(&d, &n, names, ARRAY_LEN(names), &choice));
	buf_put_u8(&out, 0);
	assert_non_null(strstr((const char *)out.p, "unknown value \"zzz\"; use one of a-name-of"));
	buf_fini(&out);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_line_break_of_yaml_ends_a_line),
		cmocka_unit_test(what_begins_like_a_line_break_is_none),
		cmocka_unit_test(a_character_takes_one_column_and_control_ones_are_not_shown),
		cmocka_unit_test(without_a_place_there_is_no_line),
		cmocka_unit_test(many_warnings_are_counted_not_shown),
		cmocka_unit_test(the_nearest_name_is_offered_if_it_is_near),
		cmocka_unit_test(what_is_shown_is_printable_and_short),
		cmocka_unit_test(a_path_is_cut_before_it_is_too_long),
		cmocka_unit_test(choices_too_many_to_list_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
