/* SPDX-License-Identifier: Apache-2.0 */
#include "common/k8s/k8s_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

static enum err parse(const char *text)
{
	char why[K8S_JSON_WHY_MAX] = "x";
	json_t *v = NULL;
	enum err e = k8s_json_parse(span_str(text), &v, why);

	assert_int_equal(e == ERR_OK, v != NULL);
	assert_int_equal(e == ERR_OK, why[0] == '\0');
	json_decref(v);
	return e;
}

static void only_one_whole_object_is_read(void **state)
{
	(void)state;
	assert_int_equal(parse("{}"), ERR_OK);
	assert_int_equal(parse(" {\"a\":[1,{\"b\":null}]} "), ERR_OK);
	assert_int_equal(parse(""), ERR_PARSE);
	assert_int_equal(parse("[]"), ERR_PARSE);
	assert_int_equal(parse("null"), ERR_PARSE);
	assert_int_equal(parse("{"), ERR_PARSE);
	assert_int_equal(parse("{}{}"), ERR_PARSE);
	assert_int_equal(parse("{\"a\":1,\"a\":2}"), ERR_PARSE);
	assert_int_equal(parse("{\"a\":\"\xff\"}"), ERR_PARSE);
}

static void make_deep(char *out, unsigned int lists)
{
	memcpy(out, "{\"a\":", 5);
	memset(out + 5, '[', lists);
	memset(out + 5 + lists, ']', lists);
	memcpy(out + 5 + 2 * lists, "}", 2);
}

static void depth_has_a_limit_and_brackets_in_texts_are_no_depth(void **state)
{
	char text[4096];

	(void)state;
	make_deep(text, K8S_JSON_DEPTH_MAX - 1);
	assert_int_equal(parse(text), ERR_OK);
	make_deep(text, K8S_JSON_DEPTH_MAX);
	assert_int_equal(parse(text), ERR_LIMIT);
	assert_int_equal(parse("{\"a\":\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
	                       "[[[[[[[[[[[[[[[[[[[\\\"[[[[[[\"}"),
	                 ERR_OK);
}

static void paths_lead_to_values_or_to_nothing(void **state)
{
	char why[K8S_JSON_WHY_MAX];
	json_t *v;

	(void)state;
	assert_int_equal(
		k8s_json_parse(span_str("{\"metadata\":{\"name\":\"x\",\"n\":3}}"), &v, why),
		ERR_OK);
	assert_string_equal(k8s_json_text(v, "metadata.name"), "x");
	assert_string_equal(k8s_json_text(v, "metadata.n"), "");
	assert_string_equal(k8s_json_text(v, "metadata.name.more"), "");
	assert_string_equal(k8s_json_text(v, "spec.nodeName"), "");
	assert_true(json_is_integer(k8s_json_at(v, "metadata.n")));
	assert_null(k8s_json_at(v, "status"));
	json_decref(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_one_whole_object_is_read),
		cmocka_unit_test(depth_has_a_limit_and_brackets_in_texts_are_no_depth),
		cmocka_unit_test(paths_lead_to_values_or_to_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
