/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/check.h"
#include "common/hbone/baggage.h"

static void parse(const char *const *values, struct baggage *b)
{
	struct h2_field fields[8];
	struct h2_head head = {.fields = fields};

	for (; *values; values++)
		fields[head.count++] = (struct h2_field){span_str("baggage"), span_str(*values)};
	baggage_parse(&head, b);
}

#define PARSE(b, ...) parse((const char *const[]){__VA_ARGS__, NULL}, b)

static void assert_span(struct span s, const char *text)
{
	assert_int_equal(s.n, strlen(text));
	if (s.n)
		assert_memory_equal(s.p, text, s.n);
}

static void assert_built(const struct baggage *b, const char *text)
{
	struct buf out;

	buf_init(&out, BAGGAGE_TEXT_MAX);
	baggage_build(b, &out);
	assert_int_equal(buf_status(&out), ERR_OK);
	assert_span(buf_span(&out), text);
	buf_fini(&out);
}

static void build_leaves_out_what_is_unknown(void **state)
{
	struct baggage b = {0};

	(void)state;
	assert_built(&b, "");
	b.version = span_str("v2");
	assert_built(&b, "service.version=v2");
	b.namespace = span_str("ns");
	assert_built(&b, "k8s.namespace.name=ns,service.version=v2");
	b.workload = span_str("w"); /* without a type it has no key */
	assert_built(&b, "k8s.namespace.name=ns,service.version=v2");
	b.workload_type = span_str("cronjob");
	assert_built(&b, "k8s.namespace.name=ns,k8s.cronjob.name=w,service.version=v2");
}

static void build_leaves_out_what_would_break_the_list(void **state)
{
	static char big[300];
	struct baggage b = {.region = span_str("a,b"), .zone = span_str("z")};

	(void)state;
	assert_built(&b, "cloud.availability_zone=z");
	b.region = span_str("a=b");
	assert_built(&b, "cloud.availability_zone=z");
	b.region = span_str("a\r\nb");
	assert_built(&b, "cloud.availability_zone=z");
	b.region = span_str("\xc3\xa4");
	assert_built(&b, "cloud.availability_zone=z");
	memset(big, 'x', sizeof(big) - 1);
	b.region = span_str(big);
	assert_built(&b, "cloud.availability_zone=z");
	b.workload = span_str("w");
	b.workload_type = span_str(big);
	assert_built(&b, "cloud.availability_zone=z");
}

static void parse_knows_every_key(void **state)
{
	struct baggage b;

	(void)state;
	PARSE(&b, "k8s.cluster.name=c,k8s.namespace.name=n,k8s.deployment.name=w,service.name=s,"
	          "service.version=v,cloud.region=r,cloud.availability_zone=z");
	assert_span(b.cluster, "c");
	assert_span(b.namespace, "n");
	assert_span(b.workload, "w");
	assert_span(b.service, "s");
	assert_span(b.version, "v");
	assert_span(b.region, "r");
	assert_span(b.zone, "z");
	for (unsigned int i = 0; i < 4; i++) {
		static const char *const forms[] = {"k8s.deployment.name=x", "k8s.cronjob.name=x",
		                                    "k8s.pod.name=x", "k8s.job.name=x"};

		PARSE(&b, forms[i]);
		assert_span(b.workload, "x");
		assert_int_equal(b.workload_type.n, 0);
	}
}

static void last_value_wins_across_headers_even_if_empty(void **state)
{
	struct baggage b;

	(void)state;
	PARSE(&b, "k8s.cluster.name=a,k8s.cluster.name=b");
	assert_span(b.cluster, "b");
	PARSE(&b, "k8s.cluster.name=a", "k8s.cluster.name=b,k8s.namespace.name=n");
	assert_span(b.cluster, "b");
	assert_span(b.namespace, "n");
	PARSE(&b, "k8s.pod.name=p,k8s.job.name=j");
	assert_span(b.workload, "j");
	PARSE(&b, "k8s.cluster.name=a,k8s.cluster.name=");
	assert_span(b.cluster, "");
}

static void quirks_of_the_list_are_kept(void **state)
{
	struct baggage b;

	(void)state;
	PARSE(&b, " k8s.cluster.name=a , k8s.namespace.name=n ");
	assert_span(b.cluster, "a");
	assert_span(b.namespace, "n");
	PARSE(&b, "k8s.cluster.name=a=b=c"); /* the second piece only */
	assert_span(b.cluster, "a");
	PARSE(&b, "k8s.cluster.name"); /* no '=': no value */
	assert_span(b.cluster, "");
	PARSE(&b, "k8s.cluster.name =a"); /* another key */
	assert_span(b.cluster, "");
	PARSE(&b, "K8S.cluster.name=a");
	assert_span(b.cluster, "");
	PARSE(&b, ",,,=,==,k8s.cluster.name=a%20b;p=1,,");
	assert_span(b.cluster, "a%20b;p"); /* neither decoded nor split */
	PARSE(&b, "");
	assert_span(b.cluster, "");
	PARSE(&b, "unknown=1,userId=alice,k8s.cluster.name=a");
	assert_span(b.cluster, "a");
}

static void opaque_octets_spoil_all_of_it(void **state)
{
	struct baggage b;

	(void)state;
	PARSE(&b, "k8s.cluster.name=a", "k8s.namespace.name=\xc3\xa4");
	assert_span(b.cluster, "");
	assert_span(b.namespace, "");
	PARSE(&b, "k8s.cluster.name=\x7f");
	assert_span(b.cluster, "");
	PARSE(&b, "k8s.cluster.name=a\tb");
	assert_span(b.cluster, "a\tb");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(build_leaves_out_what_is_unknown),
		cmocka_unit_test(build_leaves_out_what_would_break_the_list),
		cmocka_unit_test(parse_knows_every_key),
		cmocka_unit_test(last_value_wins_across_headers_even_if_empty),
		cmocka_unit_test(quirks_of_the_list_are_kept),
		cmocka_unit_test(opaque_octets_spoil_all_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
