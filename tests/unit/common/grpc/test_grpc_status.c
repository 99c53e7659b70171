/* SPDX-License-Identifier: Apache-2.0 */
#include "common/grpc/grpc_status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct pair {
	const char *name, *value;
};

static struct h2_head make(struct h2_field f[4], const struct pair *p, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		f[i] = (struct h2_field){span_str(p[i].name), span_str(p[i].value)};
	return (struct h2_head){.count = n, .fields = f};
}

static void the_code_is_the_peers_and_never_ok_by_mistake(void **state)
{
	static const struct {
		const char *value;
		enum grpc_code code;
	} cases[] = {
		{"0", GRPC_OK},           {"16", GRPC_UNAUTHENTICATED},
		{"14", GRPC_UNAVAILABLE}, {"17", GRPC_UNKNOWN},
		{"00", GRPC_UNKNOWN},     {"", GRPC_UNKNOWN},
		{"-0", GRPC_UNKNOWN},     {"0 ", GRPC_UNKNOWN},
		{"OK", GRPC_UNKNOWN},     {"18446744073709551616", GRPC_UNKNOWN},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct pair p[] = {{"grpc-status", cases[i].value}};
		struct grpc_status st;
		struct h2_field f[4];
		struct h2_head h = make(f, p, 1);

		assert_true(grpc_status_of_fields(&h, &st));
		assert_int_equal(st.code, cases[i].code);
		assert_string_equal(st.words, "");
	}
}

static void no_status_is_an_error(void **state)
{
	const struct pair p[] = {{"x", "y"}};
	struct grpc_status st;
	struct h2_field f[4];
	struct h2_head h = make(f, p, 1);

	(void)state;
	assert_false(grpc_status_of_fields(&h, &st));
	assert_int_equal(st.code, GRPC_UNKNOWN);
	assert_non_null(strstr(st.words, "grpc-status"));
}

static void words_are_decoded_and_cannot_break_a_line(void **state)
{
	static const struct {
		const char *wire, *words;
	} cases[] = {
		{"plain words", "plain words"},
		{"caf%C3%A9 %2525", "caf\xc3\xa9 %25"},
		{"a%0Ab%00c", "a?b?c"},
		{"100% %4 %zz %", "100% %4 %zz %"}, /* lenient */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct pair p[] = {{"grpc-status", "2"}, {"grpc-message", cases[i].wire}};
		struct grpc_status st;
		struct h2_field f[4];
		struct h2_head h = make(f, p, 2);

		assert_true(grpc_status_of_fields(&h, &st));
		assert_string_equal(st.words, cases[i].words);
	}
}

static void long_words_are_cut(void **state)
{
	char wire[4 * GRPC_WORDS_MAX];
	const struct pair p[] = {{"grpc-status", "2"}, {"grpc-message", wire}};
	struct grpc_status st;
	struct h2_field f[4];
	struct h2_head h;

	(void)state;
	memset(wire, 'x', sizeof(wire));
	wire[sizeof(wire) - 1] = '\0';
	h = make(f, p, 2);
	assert_true(grpc_status_of_fields(&h, &st));
	assert_int_equal(strlen(st.words), GRPC_WORDS_MAX - 1);
}

static void what_is_not_grpc_is_told_by_its_http_status(void **state)
{
	static const struct {
		const char *status, *type;
		bool grpc;
		enum grpc_code code;
	} cases[] = {
		{"200", "application/grpc", true, GRPC_OK},
		{"200", "application/grpc+proto", true, GRPC_OK},
		{"200", "application/grpc;x", true, GRPC_OK},
		{"200", "application/grpc-web", false, GRPC_UNKNOWN},
		{"200", "text/html", false, GRPC_UNKNOWN},
		{"400", "application/grpc", false, GRPC_INTERNAL},
		{"401", "text/html", false, GRPC_UNAUTHENTICATED},
		{"403", "text/html", false, GRPC_PERMISSION_DENIED},
		{"404", "text/html", false, GRPC_UNIMPLEMENTED},
		{"503", "text/html", false, GRPC_UNAVAILABLE},
		{"429", "text/html", false, GRPC_UNAVAILABLE},
		{"418", "text/html", false, GRPC_UNKNOWN},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct pair p[] = {{":status", cases[i].status},
		                         {"content-type", cases[i].type}};
		struct grpc_status st = {0};
		struct h2_field f[4];
		struct h2_head h = make(f, p, 2);

		assert_int_equal(grpc_status_of_head(&h, &st), cases[i].grpc);
		assert_int_equal(st.code, cases[i].code);
		assert_int_equal(st.words[0] == '\0', cases[i].grpc);
	}
}

static void words_survive_the_wire(void **state)
{
	static const char words[] = "100% caf\xc3\xa9: \x7f~ no\n";
	struct grpc_status st;
	struct h2_field f[2] = {{span_str("grpc-status"), span_str("3")}};
	struct h2_head h = {.count = 2, .fields = f};
	struct buf b;

	(void)state;
	buf_init(&b, GRPC_ENCODED_MAX);
	grpc_words_encode(words, &b);
	for (size_t i = 0; i < b.n; i++)
		assert_true(b.p[i] >= 0x20 && b.p[i] <= 0x7e);
	f[1] = (struct h2_field){span_str("grpc-message"), buf_span(&b)};
	assert_true(grpc_status_of_fields(&h, &st));
	assert_string_equal(st.words, "100% caf\xc3\xa9: ?~ no?");
	buf_fini(&b);
}

static void codes_have_the_protocols_names(void **state)
{
	(void)state;
	assert_string_equal(grpc_code_name(GRPC_OK), "OK");
	assert_string_equal(grpc_code_name(GRPC_PERMISSION_DENIED), "PERMISSION_DENIED");
	assert_string_equal(grpc_code_name(GRPC_UNAUTHENTICATED), "UNAUTHENTICATED");
	assert_string_equal(grpc_code_name((enum grpc_code)99), "UNKNOWN");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_code_is_the_peers_and_never_ok_by_mistake),
		cmocka_unit_test(no_status_is_an_error),
		cmocka_unit_test(words_are_decoded_and_cannot_break_a_line),
		cmocka_unit_test(long_words_are_cut),
		cmocka_unit_test(what_is_not_grpc_is_told_by_its_http_status),
		cmocka_unit_test(words_survive_the_wire),
		cmocka_unit_test(codes_have_the_protocols_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
