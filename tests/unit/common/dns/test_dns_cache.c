/* SPDX-License-Identifier: Apache-2.0 */
#include "common/dns/dns_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/dns/dns_msg.h"

enum { HOUR_MS = 3600 * 1000 };

static struct buf question(const char *name, uint16_t id, bool edns)
{
	struct dns_name n;
	struct buf b;

	assert_int_equal(dns_name_parse(span_str(name), &n), ERR_OK);
	buf_init(&b, 600);
	dns_question_write(&n, DNS_TYPE_A, id, edns, &b);
	return b;
}

/* The answer of a nameserver: one address (30 s), or none. */
static struct buf answer_to(const struct buf *query, enum dns_rcode rcode, size_t addrs)
{
	static const struct ip ip = {.family = IP_V4, .bytes = {192, 0, 2, 1}};
	struct dns_reply r = {
		.rcode = rcode, .authoritative = true, .addrs = &ip, .addr_count = addrs};
	struct dns_query q;
	struct buf b;

	buf_init(&b, 1000);
	assert_int_equal(dns_query_read(buf_span(query), &q), DNS_ASK);
	assert_int_equal(dns_reply_write(&q, &r, 1000, &b), ERR_OK);
	return b;
}

/* With a SOA record of that TTL and minimum, 16 bits each. */
static void add_soa(struct buf *b, unsigned int ttl, unsigned int minimum)
{
	uint8_t soa[] = {0xc0,
	                 12,
	                 0,
	                 6,
	                 0,
	                 1,
	                 0,
	                 0,
	                 (uint8_t)(ttl >> 8),
	                 (uint8_t)ttl,
	                 0,
	                 22,
	                 0,
	                 0,
	                 0,
	                 0,
	                 0,
	                 1,
	                 0,
	                 0,
	                 0,
	                 1,
	                 0,
	                 0,
	                 0,
	                 1,
	                 0,
	                 0,
	                 0,
	                 1,
	                 0,
	                 0,
	                 (uint8_t)(minimum >> 8),
	                 (uint8_t)minimum};

	buf_put(b, span_of(soa, sizeof(soa)));
	b->p[9] = 1;
}

static bool known(struct dns_cache *c, const struct buf *query, uint64_t now_ms)
{
	struct buf out;
	bool found;

	buf_init(&out, DNS_MSG_MAX);
	found = dns_cache_get(c, buf_span(query), now_ms, &out);
	buf_fini(&out);
	return found;
}

static void ttls_count_down_and_at_zero_it_is_forgotten(void **state)
{
	struct dns_cache *c = dns_cache_new(10000);
	struct buf q = question("www.example.org", 1, false), a = answer_to(&q, DNS_NOERROR, 1),
		   out;

	(void)state;
	dns_cache_put(c, buf_span(&q), buf_span(&a), 1000);
	buf_init(&out, DNS_MSG_MAX);
	assert_true(dns_cache_get(c, buf_span(&q), 11000, &out));
	assert_int_equal(out.n, a.n);
	assert_int_equal(out.p[out.n - 7], 20);
	assert_int_equal(out.p[2] & 4, 0); /* AA */
	assert_true(known(c, &q, 30999));
	assert_false(known(c, &q, 31000));
	assert_int_equal(dns_cache_bytes(c), 0);
	buf_fini(&out);
	buf_fini(&q);
	buf_fini(&a);
	dns_cache_free(c);
}

static void id_and_case_are_of_who_asks_now(void **state)
{
	struct dns_cache *c = dns_cache_new(10000);
	struct buf q = question("www.example.org", 1, false), a = answer_to(&q, DNS_NOERROR, 1);
	struct buf p = question("WWW.example.ORG", 0xbeef, false), out;

	(void)state;
	dns_cache_put(c, buf_span(&q), buf_span(&a), 0);
	buf_init(&out, DNS_MSG_MAX);
	assert_true(dns_cache_get(c, buf_span(&p), 0, &out));
	assert_int_equal(dns_msg_id(buf_span(&out)), 0xbeef);
	assert_memory_equal(out.p + 12, p.p + 12, p.n - 12);
	buf_fini(&out);
	buf_fini(&p);
	buf_fini(&q);
	buf_fini(&a);
	dns_cache_free(c);
}

static void who_asks_with_edns_does_not_get_the_answer_without(void **state)
{
	struct dns_cache *c = dns_cache_new(10000);
	struct buf q = question("www.example.org", 1, false), a = answer_to(&q, DNS_NOERROR, 1);
	struct buf e = question("www.example.org", 1, true),
		   d = question("www.example.org", 1, true);

	(void)state;
	dns_cache_put(c, buf_span(&q), buf_span(&a), 0);
	assert_false(known(c, &e, 0));
	d.p[d.n - 4] = 0x80; /* DO */
	assert_false(known(c, &d, 0));
	buf_fini(&q);
	buf_fini(&a);
	buf_fini(&e);
	buf_fini(&d);
	dns_cache_free(c);
}

static void that_there_is_nothing_is_kept_as_long_as_the_soa_allows(void **state)
{
	static const enum dns_rcode codes[] = {DNS_NXDOMAIN, DNS_NOERROR};

	(void)state; /* RFC 2308 section 5 */
	for (size_t i = 0; i < 2; i++) {
		struct dns_cache *c = dns_cache_new(10000);
		struct buf q = question("nobody.example.org", 1, false);
		struct buf bare = answer_to(&q, codes[i], 0), a = answer_to(&q, codes[i], 0);

		dns_cache_put(c, buf_span(&q), buf_span(&bare), 0);
		assert_false(known(c, &q, 0)); /* no SOA: not at all */
		add_soa(&a, 600, 60);
		dns_cache_put(c, buf_span(&q), buf_span(&a), 0);
		assert_true(known(c, &q, 59999));
		assert_false(known(c, &q, 60000));
		buf_fini(&q);
		buf_fini(&a);
		buf_fini(&bare);
		dns_cache_free(c);
	}
}

static void failures_truncated_and_foreign_answers_are_not_kept(void **state)
{
	struct dns_cache *c = dns_cache_new(10000);
	struct buf q = question("www.example.org", 1, false),
		   p = question("www.example.net", 1, false);
	struct buf fail = answer_to(&q, DNS_SERVFAIL, 1), cut = answer_to(&q, DNS_NOERROR, 1);
	struct buf other = answer_to(&p, DNS_NOERROR, 1), zero = answer_to(&q, DNS_NOERROR, 1);

	(void)state;
	dns_cache_put(c, buf_span(&q), buf_span(&fail), 0);
	cut.p[2] |= 2;
	dns_cache_put(c, buf_span(&q), buf_span(&cut), 0);
	dns_cache_put(c, buf_span(&q), buf_span(&other), 0);
	zero.p[zero.n - 7] = 0;
	dns_cache_put(c, buf_span(&q), buf_span(&zero), 0);
	assert_int_equal(dns_cache_bytes(c), 0);
	buf_fini(&q);
	buf_fini(&p);
	buf_fini(&fail);
	buf_fini(&cut);
	buf_fini(&other);
	buf_fini(&zero);
	dns_cache_free(c);
}

static void no_ttl_is_believed_for_more_than_an_hour(void **state)
{
	struct dns_cache *c = dns_cache_new(10000);
	struct buf q = question("www.example.org", 1, false), a = answer_to(&q, DNS_NOERROR, 1);

	(void)state;
	a.p[a.n - 9] = 0x7f;
	dns_cache_put(c, buf_span(&q), buf_span(&a), 0);
	assert_true(known(c, &q, HOUR_MS - 1));
	assert_false(known(c, &q, HOUR_MS));
	a.p[a.n - 10] = 0x80; /* RFC 2181 section 8: as 0 */
	dns_cache_put(c, buf_span(&q), buf_span(&a), 0);
	assert_false(known(c, &q, 0));
	buf_fini(&q);
	buf_fini(&a);
	dns_cache_free(c);
}

static void the_budget_holds_and_the_longest_unused_go(void **state)
{
	struct dns_cache *c = dns_cache_new(20000);
	struct buf first = question("name0.example.org", 1, false);
	char name[64];

	(void)state;
	for (unsigned int i = 0; i < 500; i++) {
		struct buf q, a;

		(void)snprintf(name, sizeof(name), "name%u.example.org", i);
		q = question(name, 1, false);
		a = answer_to(&q, DNS_NOERROR, 1);
		dns_cache_put(c, buf_span(&q), buf_span(&a), 0);
		assert_true(known(c, &q, 0));
		assert_true(dns_cache_bytes(c) <= 20000);
		assert_true(known(c, &first, 0)); /* used again and again */
		buf_fini(&q);
		buf_fini(&a);
	}
	assert_true(dns_cache_bytes(c) > 15000);
	buf_fini(&first);
	dns_cache_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ttls_count_down_and_at_zero_it_is_forgotten),
		cmocka_unit_test(id_and_case_are_of_who_asks_now),
		cmocka_unit_test(who_asks_with_edns_does_not_get_the_answer_without),
		cmocka_unit_test(that_there_is_nothing_is_kept_as_long_as_the_soa_allows),
		cmocka_unit_test(failures_truncated_and_foreign_answers_are_not_kept),
		cmocka_unit_test(no_ttl_is_believed_for_more_than_an_hour),
		cmocka_unit_test(the_budget_holds_and_the_longest_unused_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
