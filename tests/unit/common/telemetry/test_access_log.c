/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <regex.h>
#include <unistd.h>

#include "common/telemetry/access_log.h"

static struct endpoint endpoint_of(const char *text)
{
	struct endpoint ep;

	assert_int_equal(endpoint_parse(span_str(text), &ep), ERR_OK);
	return ep;
}

/* The record behind the example line of contract 10.3. */
static struct access_record example(void)
{
	return (struct access_record){
		.src = endpoint_of("10.0.1.2:41234"),
		.src_workload = "client-abc",
		.src_namespace = "default",
		.src_identity = "spiffe://cluster.local/ns/default/sa/client",
		.src_cluster = "Kubernetes",
		.dst = endpoint_of("10.0.2.3:15008"),
		.dst_hbone_addr = "10.0.2.3:80",
		.dst_service = "web.default.svc.cluster.local",
		.dst_workload = "web-xyz",
		.dst_namespace = "default",
		.dst_identity = "spiffe://cluster.local/ns/default/sa/web",
		.dst_cluster = "Kubernetes",
		.direction = ACCESS_OUTBOUND,
		.received_bytes = 84,
		.sent_bytes = 512,
		.duration_ms = 3,
	};
}

/* What the log wrote for one call, in text or JSON. */
static const char *logged(const struct access_record *r, bool json,
                          void (*write_line)(const struct access_record *r))
{
	static char text[8192];
	const char *bad;
	size_t bad_len;
	int fds[2];
	ssize_t n;

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(log_filter_set("info,access=debug", &bad, &bad_len), ERR_OK);
	assert_int_equal(log_start(fds[1], json), ERR_OK);
	write_line(r);
	log_stop();
	(void)close(fds[1]);
	n = read(fds[0], text, sizeof(text) - 1);
	(void)close(fds[0]);
	assert_true(n > 0);
	text[n] = '\0';
	return text;
}

static void assert_matches(const char *text, const char *pattern)
{
	regex_t re;

	assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
	if (regexec(&re, text, 0, NULL, 0) != 0)
		fail_msg("%s\ndoes not match\n%s", text, pattern);
	regfree(&re);
}

#define TIME "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}Z\t"

static void a_complete_line_is_that_of_the_contract(void **state)
{
	struct access_record r = example();

	(void)state;
	assert_matches(logged(&r, false, access_log_complete),
	               TIME "info\taccess\tconnection complete\tsrc\\.addr=10\\.0\\.1\\.2:41234 "
	                    "src\\.workload=\"client-abc\" src\\.namespace=\"default\" "
	                    "src\\.identity=\"spiffe://cluster\\.local/ns/default/sa/client\" "
	                    "src\\.cluster=\"Kubernetes\" dst\\.addr=10\\.0\\.2\\.3:15008 "
	                    "dst\\.hbone_addr=10\\.0\\.2\\.3:80 "
	                    "dst\\.service=\"web\\.default\\.svc\\.cluster\\.local\" "
	                    "dst\\.workload=\"web-xyz\" dst\\.namespace=\"default\" "
	                    "dst\\.identity=\"spiffe://cluster\\.local/ns/default/sa/web\" "
	                    "dst\\.cluster=\"Kubernetes\" direction=\"outbound\" bytes_sent=84 "
	                    "bytes_recv=512 duration=\"3ms\"\n$");
}

static void bytes_are_told_from_the_local_workloads_side(void **state)
{
	struct access_record r = example();
	struct access_line l;

	(void)state;
	r.direction = ACCESS_INBOUND;
	access_line_complete(&r, &l);
	assert_string_equal(l.fields[13].key, "bytes_sent");
	assert_int_equal(l.fields[13].number, 512);
	assert_string_equal(l.fields[14].key, "bytes_recv");
	assert_int_equal(l.fields[14].number, 84);
}

static void what_is_not_known_is_left_out(void **state)
{
	struct access_record r = {
		.src = endpoint_of("10.0.1.2:1"),
		.dst = endpoint_of("[2001:db8::1]:2"),
		.src_workload = "",
		.direction = ACCESS_INBOUND,
	};

	(void)state;
	assert_matches(logged(&r, false, access_log_complete),
	               TIME "info\taccess\tconnection complete\tsrc\\.addr=10\\.0\\.1\\.2:1 "
	                    "dst\\.addr=\\[2001:db8::1\\]:2 direction=\"inbound\" bytes_sent=0 "
	                    "bytes_recv=0 duration=\"0ms\"\n$");
}

static void a_failure_is_an_error_with_its_words(void **state)
{
	struct access_record r = example();

	(void)state;
	r.cause = ERR_DRAINED;
	assert_matches(logged(&r, false, access_log_complete),
	               TIME "error\taccess\tconnection complete\t.* duration=\"3ms\" "
	                    "error=\"closed by drain: the deadline passed\"\n$");
	r.cause = ERR_POLICY_DENY;
	r.cause_words = "explicitly denied by: default/\"deny\"";
	assert_matches(logged(&r, false, access_log_complete),
	               " error=\"explicitly denied by: default/\\\\\"deny\\\\\"\"\n$");
}

static void an_early_denial_says_who_and_why_only(void **state)
{
	struct access_record r = example();

	(void)state;
	r.direction = ACCESS_INBOUND;
	r.cause = ERR_TLS_NO_CERT;
	assert_matches(logged(&r, false, access_log_failed),
	               TIME "warn\taccess\tconnection failed\tsrc\\.addr=10\\.0\\.1\\.2:41234 "
	                    "dst\\.addr=10\\.0\\.2\\.3:15008 direction=\"inbound\" "
	                    "error=\"peer presented no certificate\"\n$");
}

static void an_opening_stops_at_the_direction(void **state)
{
	struct access_record r = example();

	(void)state;
	assert_matches(logged(&r, false, access_log_opened),
	               TIME "debug\taccess\tconnection opened\t.*direction=\"outbound\"\n$");
}

static void json_has_bytes_as_numbers_and_the_rest_as_text(void **state)
{
	struct access_record r = example();
	const char *text = logged(&r, true, access_log_complete);

	(void)state;
	assert_non_null(strstr(text, "\"src.addr\":\"10.0.1.2:41234\""));
	assert_non_null(strstr(text, "\"bytes_sent\":84"));
	assert_non_null(strstr(text, "\"duration\":\"3ms\""));
	assert_non_null(strstr(text, "\"message\":\"connection complete\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_complete_line_is_that_of_the_contract),
		cmocka_unit_test(bytes_are_told_from_the_local_workloads_side),
		cmocka_unit_test(what_is_not_known_is_left_out),
		cmocka_unit_test(a_failure_is_an_error_with_its_words),
		cmocka_unit_test(an_early_denial_says_who_and_why_only),
		cmocka_unit_test(an_opening_stops_at_the_direction),
		cmocka_unit_test(json_has_bytes_as_numbers_and_the_rest_as_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
