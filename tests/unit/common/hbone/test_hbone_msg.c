/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/check.h"
#include "common/hbone/hbone_msg.h"

/* A head on the stack: name, value, name, value, NULL. */
struct made {
	struct h2_head head;
	struct h2_field field[16];
};

static const struct h2_head *make(struct made *m, const char *const *text)
{
	m->head.fields = m->field;
	for (m->head.count = 0; text[0]; text += 2)
		m->field[m->head.count++] = (struct h2_field){span_str(text[0]), span_str(text[1])};
	return &m->head;
}

#define HEAD(m, ...) make(m, (const char *const[]){__VA_ARGS__, NULL})

static void assert_span(struct span s, const char *text)
{
	assert_int_equal(s.n, strlen(text));
	assert_memory_equal(s.p, text, s.n);
}

static void assert_field(const struct hbone_fields *f, unsigned int i, const char *name,
                         const char *value)
{
	assert_true(i < f->count);
	assert_span(f->field[i].name, name);
	assert_span(f->field[i].value, value);
}

static struct endpoint client_of(const char *text)
{
	struct endpoint ep;

	assert_int_equal(endpoint_parse(span_str(text), &ep), ERR_OK);
	return ep;
}

static struct hbone_ask ask_of(struct http_authority *a)
{
	struct hbone_ask ask = {
		.authority = a,
		.client = client_of("10.1.2.3:40000"),
		.service = span_str("httpbin.default.svc.cluster.local"),
		.baggage = {.cluster = span_str("Kubernetes"),
	                    .namespace = span_str("default"),
	                    .workload_type = span_str("deployment"),
	                    .workload = span_str("sleep"),
	                    .service = span_str("sleep"),
	                    .version = span_str("v1"),
	                    .region = span_str("r1"),
	                    .zone = span_str("z1")},
	};

	assert_int_equal(http_authority_parse(span_str("10.0.0.1:8080"), a), ERR_OK);
	for (unsigned int i = 0; i < HBONE_TRACE_ID_LEN; i++)
		ask.trace_id[i] = (uint8_t)(i * 17);
	for (unsigned int i = 0; i < HBONE_SPAN_ID_LEN; i++)
		ask.span_id[i] = (uint8_t)(0xff - i);
	return ask;
}

static void request_fields_are_the_contracts_in_order(void **state)
{
	struct http_authority a;
	struct hbone_ask ask = ask_of(&a);
	struct hbone_fields f;

	(void)state;
	hbone_fields_init(&f);
	assert_int_equal(hbone_request_build(&ask, &f), ERR_OK);
	assert_int_equal(f.count, 5);
	assert_field(&f, 0, ":method", "CONNECT");
	assert_field(&f, 1, ":authority", "10.0.0.1:8080");
	assert_field(
		&f, 2, "baggage",
		"k8s.cluster.name=Kubernetes,k8s.namespace.name=default,k8s.deployment.name=sleep,"
		"service.name=sleep,service.version=v1,cloud.region=r1,cloud.availability_zone=z1");
	assert_field(&f, 3, "forwarded",
	             "for=\"10.1.2.3:40000\";host=httpbin.default.svc.cluster.local");
	assert_field(&f, 4, "traceparent",
	             "00-00112233445566778899aabbccddeeff-fffefdfcfbfaf9f8-00");
	hbone_fields_fini(&f);
}

static void unknowns_leave_an_empty_baggage_and_no_host(void **state)
{
	struct http_authority a;
	struct hbone_ask ask = ask_of(&a);
	struct hbone_fields f;

	(void)state;
	ask.baggage = (struct baggage){0};
	ask.service = span_of(NULL, 0);
	ask.client = client_of("[::1]:1234");
	hbone_fields_init(&f);
	assert_int_equal(hbone_request_build(&ask, &f), ERR_OK);
	assert_field(&f, 2, "baggage", "");
	assert_non_null(f.field[2].value.p);
	assert_field(&f, 3, "forwarded", "for=\"[::1]:1234\"");
	hbone_fields_fini(&f);
}

static void inner_request_names_its_network(void **state)
{
	struct http_authority a;
	struct hbone_ask ask = ask_of(&a);
	struct hbone_fields f;

	(void)state;
	ask.inner = true;
	hbone_fields_init(&f);
	assert_int_equal(hbone_request_build(&ask, &f), ERR_OK);
	assert_int_equal(f.count, 6);
	assert_field(&f, 5, "x-forwarded-network", "");
	hbone_fields_fini(&f);
	ask.network = span_str("net-1");
	hbone_fields_init(&f);
	assert_int_equal(hbone_request_build(&ask, &f), ERR_OK);
	assert_field(&f, 5, "x-forwarded-network", "net-1");
	hbone_fields_fini(&f);
}

static void what_is_built_parses_back(void **state)
{
	struct http_authority a;
	struct hbone_ask ask = ask_of(&a);
	struct hbone_fields f;
	struct h2_head head;
	struct hbone_request r;

	(void)state;
	hbone_fields_init(&f);
	assert_int_equal(hbone_request_build(&ask, &f), ERR_OK);
	head = (struct h2_head){.count = f.count, .fields = f.field};
	assert_int_equal(hbone_request_parse(&head, &r), ERR_OK);
	assert_int_equal(r.authority.port, 8080);
	assert_true(ip_eq(&r.authority.ip, &a.ip));
	assert_span(r.baggage.workload, "sleep");
	assert_span(r.baggage.zone, "z1");
	assert_span(r.forwarded_host, "httpbin.default.svc.cluster.local");
	assert_span(r.trace_id, "00112233445566778899aabbccddeeff");
	assert_false(r.has_network);
	hbone_fields_fini(&f);
}

static void longest_values_still_fit(void **state)
{
	static char name[254];
	struct http_authority a;
	struct hbone_ask ask = ask_of(&a);
	struct hbone_fields f;

	(void)state;
	memset(name, 'n', 253);
	ask.baggage = (struct baggage){.cluster = span_str(name),
	                               .namespace = span_str(name),
	                               .workload_type = span_str("deployment"),
	                               .workload = span_str(name),
	                               .service = span_str(name),
	                               .version = span_str(name),
	                               .region = span_str(name),
	                               .zone = span_str(name)};
	ask.service = span_str(name);
	hbone_fields_init(&f);
	assert_int_equal(hbone_request_build(&ask, &f), ERR_OK);
	assert_true(f.field[2].value.n < BAGGAGE_TEXT_MAX);
	hbone_fields_fini(&f);
}

static void only_a_plain_connect_passes(void **state)
{
	struct made m;
	struct hbone_request r;

	(void)state;
	assert_int_equal(
		hbone_request_parse(HEAD(&m, ":method", "CONNECT", ":authority", "1.2.3.4:80"), &r),
		ERR_OK);
	assert_int_equal(
		hbone_request_parse(HEAD(&m, ":method", "GET", ":authority", "1.2.3.4:80"), &r),
		ERR_HBONE_METHOD);
	assert_int_equal(
		hbone_request_parse(HEAD(&m, ":method", "connect", ":authority", "1.2.3.4:80"), &r),
		ERR_HBONE_METHOD);
	assert_int_equal(hbone_request_parse(HEAD(&m, ":authority", "1.2.3.4:80"), &r),
	                 ERR_HBONE_METHOD);
	assert_int_equal(hbone_request_parse(HEAD(&m, ":method", "CONNECT", ":method", "CONNECT",
	                                          ":authority", "1.2.3.4:80"),
	                                     &r),
	                 ERR_HBONE_METHOD);
	assert_int_equal(hbone_request_parse(HEAD(&m, ":method", "CONNECT", ":path", "/",
	                                          ":authority", "1.2.3.4:80"),
	                                     &r),
	                 ERR_HBONE_METHOD);
	assert_int_equal(hbone_request_parse(HEAD(&m, ":method", "CONNECT", ":scheme", "https",
	                                          ":authority", "1.2.3.4:80"),
	                                     &r),
	                 ERR_HBONE_METHOD);
	assert_int_equal(hbone_request_parse(HEAD(&m, ":method", "CONNECT", ":protocol",
	                                          "websocket", ":authority", "1.2.3.4:80"),
	                                     &r),
	                 ERR_HBONE_METHOD);
}

static void authority_must_be_one_and_good(void **state)
{
	struct made m;
	struct hbone_request r;

	(void)state;
	assert_int_equal(hbone_request_parse(HEAD(&m, ":method", "CONNECT"), &r),
	                 ERR_HBONE_AUTHORITY);
	assert_int_equal(hbone_request_parse(HEAD(&m, ":method", "CONNECT", ":authority", ""), &r),
	                 ERR_HBONE_AUTHORITY);
	assert_int_equal(
		hbone_request_parse(HEAD(&m, ":method", "CONNECT", ":authority", "1.2.3.4"), &r),
		ERR_HBONE_AUTHORITY);
	assert_int_equal(hbone_request_parse(HEAD(&m, ":method", "CONNECT", ":authority",
	                                          "1.2.3.4:80", ":authority", "1.2.3.4:80"),
	                                     &r),
	                 ERR_HBONE_AUTHORITY);
	assert_int_equal(hbone_request_parse(HEAD(&m, ":method", "CONNECT", ":authority",
	                                          "1.2.3.4:80", "host", "1.2.3.5:80"),
	                                     &r),
	                 ERR_HBONE_AUTHORITY);
	assert_int_equal(hbone_request_parse(HEAD(&m, ":method", "CONNECT", ":authority",
	                                          "Svc.x:80", "host", "svc.X:80"),
	                                     &r),
	                 ERR_OK);
	assert_true(r.authority.is_name);
	assert_string_equal(r.authority.host, "svc.x");
	assert_int_equal(err_info(ERR_HBONE_AUTHORITY)->http_status, 400);
	assert_int_equal(err_info(ERR_HBONE_METHOD)->http_status, 400);
}

static void side_headers_never_fail_a_request(void **state)
{
	static const char *const traces[] = {
		"",
		"00",
		"00-zz112233445566778899aabbccddeeff-fffefdfcfbfaf9f8-00",
		"00-00112233445566778899AABBCCDDEEFF-fffefdfcfbfaf9f8-00",
		"00_00112233445566778899aabbccddeeff-fffefdfcfbfaf9f8-00",
	};
	struct made m;
	struct hbone_request r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(traces); i++) {
		assert_int_equal(hbone_request_parse(HEAD(&m, ":method", "CONNECT", ":authority",
		                                          "1.2.3.4:80", "baggage", "\xff",
		                                          "forwarded", "\xff;host=x", "traceparent",
		                                          traces[i], "x-forwarded-network", "n2"),
		                                     &r),
		                 ERR_OK);
		assert_int_equal(r.trace_id.n, 0);
		assert_int_equal(r.forwarded_host.n, 0);
		assert_int_equal(r.baggage.cluster.n, 0);
		assert_true(r.has_network);
		assert_span(r.network, "n2");
	}
}

static void answers_are_a_status_and_maybe_baggage(void **state)
{
	static const struct baggage b = {.workload_type = {(const uint8_t *)"pod", 3},
	                                 .workload = {(const uint8_t *)"w", 1}};
	struct hbone_fields f;

	(void)state;
	hbone_fields_init(&f);
	assert_int_equal(hbone_response_build(200, &b, &f), ERR_OK);
	assert_int_equal(f.count, 2);
	assert_field(&f, 0, ":status", "200");
	assert_field(&f, 1, "baggage", "k8s.pod.name=w");
	hbone_fields_fini(&f);
	hbone_fields_init(&f);
	assert_int_equal(hbone_response_build(200, NULL, &f), ERR_OK);
	assert_int_equal(f.count, 1);
	hbone_fields_fini(&f);
	hbone_fields_init(&f);
	assert_int_equal(hbone_response_build(401, &b, &f), ERR_OK); /* refusals carry none */
	assert_int_equal(f.count, 1);
	assert_field(&f, 0, ":status", "401");
	hbone_fields_fini(&f);
}

static void only_200_is_success(void **state)
{
	static const struct {
		const char *text;
		enum err e;
		uint16_t status;
	} rows[] = {
		{"200", ERR_OK, 200},           {"201", ERR_HBONE_STATUS, 201},
		{"204", ERR_HBONE_STATUS, 204}, {"401", ERR_HBONE_STATUS, 401},
		{"503", ERR_HBONE_STATUS, 503}, {"0200", ERR_HBONE_STATUS, 0},
		{"20", ERR_HBONE_STATUS, 0},    {"2x0", ERR_HBONE_STATUS, 0},
		{"", ERR_HBONE_STATUS, 0},
	};
	struct made m;
	uint16_t status;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(hbone_response_parse(HEAD(&m, ":status", rows[i].text), &status),
		                 rows[i].e);
		assert_int_equal(status, rows[i].status);
	}
	assert_int_equal(hbone_response_parse(HEAD(&m, "x", "200"), &status), ERR_HBONE_STATUS);
	assert_int_equal(status, 0);
}

static void a_copy_outlives_the_head(void **state)
{
	struct made m;
	struct hbone_request req, *copy;
	const struct h2_head *head =
		HEAD(&m, ":method", "CONNECT", ":authority", "web.default:80", "baggage",
	             "k8s.cluster.name=c,k8s.pod.name=w,cloud.region=r", "forwarded",
	             "for=\"1.2.3.4:5\";host=web.default", "x-forwarded-network", "far");

	(void)state;
	assert_int_equal(hbone_request_parse(head, &req), ERR_OK);
	copy = hbone_request_copy(&req);
	assert_non_null(copy);
	memset(&req, 0xee, sizeof(req));
	memset(&m, 0xee, sizeof(m));
	assert_string_equal(copy->authority.host, "web.default");
	assert_int_equal(copy->authority.port, 80);
	assert_true(span_eq_str(copy->baggage.cluster, "c"));
	assert_true(span_eq_str(copy->baggage.workload, "w"));
	assert_true(span_eq_str(copy->baggage.region, "r"));
	assert_int_equal(copy->baggage.zone.n, 0);
	assert_true(span_eq_str(copy->forwarded_host, "web.default"));
	assert_true(copy->has_network && span_eq_str(copy->network, "far"));
	free(copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(request_fields_are_the_contracts_in_order),
		cmocka_unit_test(unknowns_leave_an_empty_baggage_and_no_host),
		cmocka_unit_test(inner_request_names_its_network),
		cmocka_unit_test(what_is_built_parses_back),
		cmocka_unit_test(longest_values_still_fit),
		cmocka_unit_test(only_a_plain_connect_passes),
		cmocka_unit_test(authority_must_be_one_and_good),
		cmocka_unit_test(side_headers_never_fail_a_request),
		cmocka_unit_test(answers_are_a_status_and_maybe_baggage),
		cmocka_unit_test(only_200_is_success),
		cmocka_unit_test(a_copy_outlives_the_head),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
