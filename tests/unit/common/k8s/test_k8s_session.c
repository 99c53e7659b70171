/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked and what is told, against answers of every kind an API server gives. */
#include "common/k8s/k8s_session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char told[4096];

static void on_event(struct k8s_session *s, enum k8s_event kind, const json_t *object)
{
	static const char *const marks[] = {"relist", "+", "-", "synced"};
	size_t n = strlen(told);

	(void)s;
	(void)snprintf(told + n, sizeof(told) - n, "%s%s%s", n ? " " : "", marks[kind],
	               object ? k8s_json_text(object, "metadata.name") : "");
}

static void start(struct k8s_session *s)
{
	told[0] = '\0';
	k8s_session_init(s, "/api/v1/pods", "fieldSelector=spec.nodeName%3Dn", on_event);
}

static const char *asked(struct k8s_session *s)
{
	static char text[K8S_CONTINUE_MAX * 3];
	struct buf b;

	buf_init(&b, sizeof(text) - 1);
	k8s_session_request(s, 7, &b);
	assert_int_equal(buf_status(&b), ERR_OK);
	memcpy(text, b.p, b.n);
	text[b.n] = '\0';
	buf_fini(&b);
	return text;
}

/* An answer, in pieces of one octet and then whole. */
static bool answer(struct k8s_session *s, unsigned int status, const char *body, enum err cause)
{
	size_t n = strlen(body);
	enum err e = ERR_OK;

	told[0] = '\0';
	k8s_session_status(s, status);
	for (size_t i = 0; i < n && e == ERR_OK; i++)
		e = k8s_session_body(s, span_of(body + i, 1));
	return k8s_session_end(s, cause);
}

#define POD(name, rv) \
	"{\"kind\":\"Pod\",\"metadata\":{\"name\":\"" name "\",\"resourceVersion\":\"" rv "\"}}"
#define LIST(rv, more, items)                                                     \
	"{\"kind\":\"PodList\",\"metadata\":{\"resourceVersion\":\"" rv "\"" more \
	"},\"items\":[" items "]}"
#define EVENT(type, object) "{\"type\":\"" type "\",\"object\":" object "}\n"

static void listed(struct k8s_session *s)
{
	start(s);
	assert_true(answer(s, 200, LIST("10", "", POD("a", "3") "," POD("b", "4")), ERR_OK));
	assert_int_equal(s->state, K8S_WATCHING);
}

static void a_list_in_pages_is_told_whole_and_watched_from_its_version(void **state)
{
	struct k8s_session s;

	(void)state;
	start(&s);
	assert_string_equal(asked(&s), "/api/v1/pods?fieldSelector=spec.nodeName%3Dn&limit=500");
	assert_true(answer(&s, 200, LIST("10", ",\"continue\":\"t/k=\"", POD("a", "3")), ERR_OK));
	assert_string_equal(told, "relist +a");
	assert_false(s.synced);
	assert_string_equal(
		asked(&s),
		"/api/v1/pods?fieldSelector=spec.nodeName%3Dn&limit=500&continue=t%2Fk%3D");
	assert_true(answer(&s, 200, LIST("10", "", POD("b", "4")), ERR_OK));
	assert_string_equal(told, "+b synced");
	assert_true(s.synced);
	assert_string_equal(asked(&s), "/api/v1/pods?fieldSelector=spec.nodeName%3Dn&watch=1&"
	                               "allowWatchBookmarks=true&timeoutSeconds=307&"
	                               "resourceVersion=10");
	k8s_session_fini(&s);
}

static void an_empty_list_is_a_list(void **state)
{
	struct k8s_session s;

	(void)state;
	start(&s);
	assert_true(answer(&s, 200, "{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":null}",
	                   ERR_OK));
	assert_string_equal(told, "relist synced");
	k8s_session_fini(&s);
}

static void a_watch_tells_changes_and_goes_on_from_the_last(void **state)
{
	struct k8s_session s;

	(void)state;
	listed(&s);
	assert_true(answer(
		&s, 200,
		EVENT("ADDED", POD("c", "11")) EVENT("MODIFIED", POD("a", "12"))
			EVENT("DELETED", POD("b", "13")) "\r\n" EVENT("BOOKMARK", POD("", "20")),
		ERR_OK));
	assert_string_equal(told, "+c +a -b");
	assert_non_null(strstr(asked(&s), "resourceVersion=20"));
	/* broken off in the middle of a line: the line is not told, what came before is not asked again */
	assert_true(answer(&s, 200, EVENT("ADDED", POD("d", "21")) "{\"type\":\"ADD", ERR_RESET));
	assert_string_equal(told, "+d");
	assert_non_null(strstr(asked(&s), "resourceVersion=21"));
	k8s_session_fini(&s);
}

static void gone_means_list_again_however_it_is_said(void **state)
{
	struct k8s_session s;

	(void)state;
	listed(&s);
	assert_true(answer(&s, 410, "{\"kind\":\"Status\",\"code\":410}", ERR_OK));
	assert_int_equal(s.state, K8S_LISTING);
	assert_true(s.synced); /* what is known stays known meanwhile */
	k8s_session_fini(&s);

	listed(&s);
	assert_true(answer(&s, 200,
	                   EVENT("ADDED", POD("c", "11"))
	                           EVENT("ERROR", "{\"kind\":\"Status\",\"code\":410,"
	                                          "\"message\":\"too old resource version\"}"),
	                   ERR_OK));
	assert_string_equal(told, "+c");
	assert_int_equal(s.state, K8S_LISTING);
	assert_non_null(strstr(s.why, "too old resource version"));
	k8s_session_fini(&s);
}

static void a_page_that_is_gone_starts_the_list_over_after_a_while(void **state)
{
	struct k8s_session s;

	(void)state;
	start(&s);
	assert_true(answer(&s, 200, LIST("10", ",\"continue\":\"t\"", POD("a", "3")), ERR_OK));
	assert_false(answer(&s, 410, "{\"code\":410,\"message\":\"expired\"}", ERR_OK));
	assert_null(strstr(asked(&s), "continue"));
	assert_true(answer(&s, 200, LIST("12", "", POD("a", "3")), ERR_OK));
	assert_string_equal(told, "relist +a synced");
	k8s_session_fini(&s);
}

static void other_failures_ask_again_where_we_were_but_later(void **state)
{
	static const struct {
		unsigned int status;
		const char *body, *why;
		enum err cause;
	} cases[] = {
		{403, "{\"kind\":\"Status\",\"message\":\"pods is forbidden\"}", "forbidden",
	         ERR_OK},
		{500, "oops", "500", ERR_OK},
		{429, "", "429", ERR_OK},
		{200, "", "reset", ERR_RESET},
		{200, EVENT("ERROR", "{\"code\":500,\"message\":\"etcd\"}"), "etcd", ERR_OK},
		{200, EVENT("LATER", POD("x", "99")), "LATER", ERR_OK},
		{200, "[]\n", "object", ERR_OK},
		{200, "{\"type\":\"ADDED\"}\n", "no object", ERR_OK},
		{200, EVENT("ADDED", "{\"metadata\":{\"name\":\"x\"}}"), "resourceVersion", ERR_OK},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct k8s_session s;

		listed(&s);
		assert_false(answer(&s, cases[i].status, cases[i].body, cases[i].cause));
		assert_string_equal(told, "");
		assert_int_equal(s.state, K8S_WATCHING);
		if (!strstr(s.why, cases[i].why))
			fail_msg("\"%s\" does not say \"%s\"", s.why, cases[i].why);
		k8s_session_fini(&s);
	}
}

static void a_watch_that_ends_empty_is_not_asked_again_at_once(void **state)
{
	struct k8s_session s;

	(void)state;
	listed(&s);
	assert_false(answer(&s, 200, "", ERR_OK));
	assert_true(answer(&s, 200, EVENT("BOOKMARK", POD("", "20")), ERR_OK));
	k8s_session_fini(&s);
}

static void a_list_that_cannot_be_used_is_no_list(void **state)
{
	static const char *const bodies[] = {
		"",
		"{",
		"[]",
		"{\"items\":[]}",
		"{\"metadata\":{\"resourceVersion\":\"\"}}",
		"{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":{}}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct k8s_session s;

		start(&s);
		assert_false(answer(&s, 200, bodies[i], ERR_OK));
		assert_int_equal(s.state, K8S_LISTING);
		assert_false(s.synced);
		assert_null(strstr(told, "synced"));
		assert_true(s.why[0] != '\0');
		k8s_session_fini(&s);
	}
}

static void a_page_cut_short_is_not_taken_for_whole(void **state)
{
	struct k8s_session s;

	(void)state;
	start(&s);
	assert_false(answer(&s, 200, LIST("10", "", POD("a", "3")), ERR_RESET));
	assert_int_equal(s.state, K8S_LISTING);
	assert_string_equal(told, "relist");
	k8s_session_fini(&s);
}

static void an_absurd_version_or_line_is_refused(void **state)
{
	static char line[K8S_OBJECT_BYTES_MAX + 2];
	struct k8s_session s;

	(void)state;
	listed(&s);
	memset(line, ' ', sizeof(line));
	k8s_session_status(&s, 200);
	assert_int_equal(k8s_session_body(&s, span_of(line, sizeof(line))), ERR_LIMIT);
	assert_int_not_equal(k8s_session_body(&s, span_str("{}\n")), ERR_OK);
	assert_false(k8s_session_end(&s, ERR_OK));
	memset(line, '9', K8S_VERSION_MAX);
	k8s_session_status(&s, 200);
	assert_int_equal(k8s_session_body(&s, span_str("{\"type\":\"BOOKMARK\",\"object\":{"
	                                               "\"metadata\":{\"resourceVersion\":\"")),
	                 ERR_OK);
	assert_int_equal(k8s_session_body(&s, span_of(line, K8S_VERSION_MAX)), ERR_OK);
	assert_int_not_equal(k8s_session_body(&s, span_str("\"}}}\n")), ERR_OK);
	assert_false(k8s_session_end(&s, ERR_OK));
	assert_non_null(strstr(asked(&s), "resourceVersion=10"));
	k8s_session_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_list_in_pages_is_told_whole_and_watched_from_its_version),
		cmocka_unit_test(an_empty_list_is_a_list),
		cmocka_unit_test(a_watch_tells_changes_and_goes_on_from_the_last),
		cmocka_unit_test(gone_means_list_again_however_it_is_said),
		cmocka_unit_test(a_page_that_is_gone_starts_the_list_over_after_a_while),
		cmocka_unit_test(other_failures_ask_again_where_we_were_but_later),
		cmocka_unit_test(a_watch_that_ends_empty_is_not_asked_again_at_once),
		cmocka_unit_test(a_list_that_cannot_be_used_is_no_list),
		cmocka_unit_test(a_page_cut_short_is_not_taken_for_whole),
		cmocka_unit_test(an_absurd_version_or_line_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
