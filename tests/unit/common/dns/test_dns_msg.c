/* SPDX-License-Identifier: Apache-2.0 */
#include "common/dns/dns_msg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/rand.h"

#define HEAD(flags, qd, an, ns, ar)                                                              \
	0x12, 0x34, (uint8_t)((flags) >> 8), (uint8_t)((flags)&0xff), 0, (qd), 0, (an), 0, (ns), \
		0, (ar)
#define WWW                    3, 'W', 'w', 'w', 2, 'd', 'e', 0
#define QUESTION               WWW, 0, 1, 0, 1
#define OPT(size, ttl3, rdlen) 0, 0, 41, (size) >> 8, (size)&0xff, 0, 0, (ttl3), 0, 0, (rdlen)

static enum dns_verdict judge(const uint8_t *p, size_t n, struct dns_query *q)
{
	/* on the heap, so that a sanitizer sees the first octet read outside */
	uint8_t *copy = malloc(n != 0 ? n : 1);
	enum dns_verdict v;

	assert_non_null(copy);
	if (n > 0)
		memcpy(copy, p, n);
	v = dns_query_read(span_of(copy, n), q);
	free(copy);
	return v;
}

#define JUDGE(q, ...) \
	judge((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), q)

static void a_question_is_read_with_its_case_and_flags(void **state)
{
	struct dns_query q;
	char text[DNS_TEXT_MAX];

	(void)state;
	assert_int_equal(JUDGE(&q, HEAD(0x0110, 1, 0, 0, 1), QUESTION, OPT(4096, 0x80, 0)),
	                 DNS_ASK);
	assert_int_equal(q.id, 0x1234);
	assert_true(q.rd && q.cd && !q.ad && q.edns && q.dnssec_ok);
	assert_false(q.extra || q.edns_options);
	assert_int_equal(q.udp_len_max, 4096);
	assert_int_equal(q.type, DNS_TYPE_A);
	assert_string_equal(dns_name_format(&q.name, text), "Www.de");
}

static void a_client_takes_at_least_512_octets_whatever_it_says(void **state)
{
	struct dns_query q;

	(void)state;
	assert_int_equal(JUDGE(&q, HEAD(0, 1, 0, 0, 1), QUESTION, OPT(100, 0, 0)), DNS_ASK);
	assert_int_equal(q.udp_len_max, 512);
	assert_int_equal(JUDGE(&q, HEAD(0, 1, 0, 0, 0), QUESTION), DNS_ASK);
	assert_int_equal(q.udp_len_max, 512);
}

static void less_than_a_header_is_not_answered(void **state)
{
	static const uint8_t header[] = {HEAD(0, 1, 0, 0, 0)};
	struct dns_query q;

	(void)state;
	for (size_t n = 0; n < DNS_HEADER_LEN; n++)
		assert_int_equal(judge(header, n, &q), DNS_DROP);
}

static void what_cannot_be_read_is_formerr(void **state)
{
	static const uint8_t whole[] = {HEAD(0, 1, 0, 0, 1), QUESTION, OPT(512, 0, 0)};
	struct dns_query q;

	(void)state;
	for (size_t n = DNS_HEADER_LEN; n < sizeof(whole); n++) {
		assert_int_equal(judge(whole, n, &q), DNS_REFUSE);
		assert_int_equal(q.refusal, DNS_FORMERR);
	}
	assert_int_equal(JUDGE(&q, HEAD(0, 0, 0, 0, 0)), DNS_REFUSE);
	assert_int_equal(JUDGE(&q, HEAD(0, 2, 0, 0, 0), QUESTION, QUESTION),
	                 DNS_REFUSE); /* RFC 9619 */
	assert_int_equal(q.refusal, DNS_FORMERR);
}

static void one_opt_in_its_place_or_formerr(void **state)
{
	struct dns_query q;

	(void)state; /* RFC 6891 6.1.1 */
	assert_int_equal(JUDGE(&q, HEAD(0, 1, 0, 0, 2), QUESTION, OPT(512, 0, 0), OPT(512, 0, 0)),
	                 DNS_REFUSE);
	assert_int_equal(JUDGE(&q, HEAD(0, 1, 1, 0, 0), QUESTION, OPT(512, 0, 0)), DNS_REFUSE);
	assert_int_equal(JUDGE(&q, HEAD(0, 1, 0, 0, 1), QUESTION, 1, 'a', OPT(512, 0, 0)),
	                 DNS_REFUSE);
	assert_int_equal(JUDGE(&q, HEAD(0, 1, 0, 0, 1), QUESTION, OPT(512, 0, 3), 0, 1, 0),
	                 DNS_REFUSE); /* an option cut short */
	assert_int_equal(JUDGE(&q, HEAD(0, 1, 0, 0, 1), QUESTION, OPT(512, 0, 5), 0, 1, 0, 1, 7),
	                 DNS_ASK);
	assert_true(q.edns_options);
}

static void a_newer_edns_is_badvers_with_an_opt_that_says_so(void **state)
{
	static const uint8_t msg[] = {
		HEAD(0, 1, 0, 0, 1), QUESTION, 0, 0, 41, 4, 0, 0, 1, 0, 0, 0, 0};
	struct dns_query q;
	struct buf out;

	(void)state; /* RFC 6891 6.1.3 */
	assert_int_equal(judge(msg, sizeof(msg), &q), DNS_REFUSE);
	assert_int_equal(q.refusal, DNS_BADVERS);
	buf_init(&out, 512);
	assert_int_equal(dns_reply_write(&q, &(struct dns_reply){.rcode = q.refusal}, 512, &out),
	                 ERR_OK);
	assert_int_equal(out.p[3] & 0xf, 0);
	assert_int_equal(out.p[out.n - 6], 1); /* the upper bits of 16 */
	buf_fini(&out);
}

static void a_response_is_formerr_but_a_formerr_is_not_answered(void **state)
{
	struct dns_query q;

	(void)state;
	assert_int_equal(JUDGE(&q, HEAD(0x8000, 1, 0, 0, 0), QUESTION), DNS_REFUSE);
	assert_int_equal(q.refusal, DNS_FORMERR);
	assert_int_equal(JUDGE(&q, HEAD(0x8001, 1, 0, 0, 0), QUESTION), DNS_DROP);
}

static void another_opcode_is_opaque(void **state)
{
	struct dns_query q;

	(void)state;
	for (unsigned int opcode = 1; opcode < 16; opcode++) {
		assert_int_equal(JUDGE(&q, HEAD(opcode << 11, 9, 9, 9, 9), 1), DNS_OPAQUE);
		assert_int_equal(q.opcode, opcode);
	}
}

/* ---- names ---- */

static enum err name_at(const uint8_t *p, size_t n, size_t at, struct dns_name *ret_name)
{
	return dns_name_read(span_of(p, n), &at, ret_name);
}

static void pointers_lead_backwards_or_nowhere(void **state)
{
	static const uint8_t self[] = {0xc0, 0}, forward[] = {0xc0, 2, 0},
			     mutual[] = {1, 'a', 0xc0, 4, 1, 'b', 0xc0, 0},
			     beyond[] = {0, 0xff, 0xff}, cut[] = {0, 0xc0};
	static const uint8_t good[] = {2, 'd', 'e', 0, 3, 'w', 'w', 'w', 0xc0, 0, 0xc0, 4};
	struct dns_name n;
	char text[DNS_TEXT_MAX];
	size_t at = 4;

	(void)state;
	assert_int_equal(name_at(self, sizeof(self), 0, &n), ERR_PARSE);
	assert_int_equal(name_at(forward, sizeof(forward), 0, &n), ERR_PARSE);
	assert_int_equal(name_at(mutual, sizeof(mutual), 4, &n), ERR_PARSE);
	assert_int_equal(name_at(beyond, sizeof(beyond), 1, &n), ERR_PARSE);
	assert_int_equal(name_at(cut, sizeof(cut), 1, &n), ERR_PARSE);
	assert_int_equal(dns_name_read(span_of(good, sizeof(good)), &at, &n), ERR_OK);
	assert_string_equal(dns_name_format(&n, text), "www.de");
	assert_int_equal(at, 10);
	assert_int_equal(dns_name_read(span_of(good, sizeof(good)), &at, &n), ERR_OK);
	assert_string_equal(dns_name_format(&n, text), "www.de");
	assert_int_equal(at, 12);
}

static void labels_and_names_have_their_limits(void **state)
{
	uint8_t wire[300];
	struct dns_name n;

	(void)state;
	memset(wire, 'x', sizeof(wire));
	wire[0] = 63;
	wire[64] = 0;
	assert_int_equal(name_at(wire, sizeof(wire), 0, &n), ERR_OK);
	for (unsigned int type = 64; type < 192; type++) { /* the two reserved label types */
		wire[0] = (uint8_t)type;
		assert_int_equal(name_at(wire, sizeof(wire), 0, &n), ERR_PARSE);
	}
	for (size_t i = 0; i < 4; i++)
		wire[i * 64] = 63;
	wire[192] = 61; /* 3 * 64 + 62 + 1: the longest name */
	wire[254] = 0;
	assert_int_equal(name_at(wire, sizeof(wire), 0, &n), ERR_OK);
	assert_int_equal(n.len, 255);
	wire[192] = 62;
	wire[255] = 0;
	assert_int_equal(name_at(wire, sizeof(wire), 0, &n), ERR_PARSE);
}

static void texts_of_names_are_read_back(void **state)
{
	static const char *const good[] = {"www.example.com", "a", "\\000\\255.x",
	                                   "a\\.b.c",         ".", "x\\\\y"};
	static const char *const bad[] = {"", "a..b", ".a", "\\", "\\25", "\\256", "..", "a.."};
	char text[DNS_TEXT_MAX], long_label[80];
	struct dns_name n;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(dns_name_parse(span_str(good[i]), &n), ERR_OK);
		assert_string_equal(dns_name_format(&n, text), good[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(dns_name_parse(span_str(bad[i]), &n), ERR_PARSE);
	memset(long_label, 'a', sizeof(long_label));
	assert_int_equal(dns_name_parse(span_of(long_label, 63), &n), ERR_OK);
	assert_int_equal(dns_name_parse(span_of(long_label, 64), &n), ERR_PARSE);
}

/* ---- answers ---- */

static void an_alias_owns_the_addresses_behind_it(void **state)
{
	struct ip v6 = {.family = IP_V6, .bytes = {0xfd, 1}};
	struct dns_query q;
	struct dns_reply r = {.authoritative = true, .addrs = &v6, .addr_count = 1};
	struct dns_record rec;
	struct dns_walk w;
	struct buf out;
	char text[DNS_TEXT_MAX];

	(void)state;
	assert_int_equal(JUDGE(&q, HEAD(0x0100, 1, 0, 0, 0), QUESTION), DNS_ASK);
	assert_int_equal(dns_name_parse(span_str("Www"), &r.alias), ERR_OK);
	buf_init(&out, 600);
	assert_int_equal(dns_reply_write(&q, &r, 512, &out), ERR_OK);
	assert_memory_equal(out.p + 12, ((uint8_t[]){WWW}), 8); /* case preserved */
	assert_int_equal(dns_walk_start(&w, buf_span(&out)), ERR_OK);
	assert_true(dns_walk_next(&w, &rec));
	assert_int_equal(rec.type, DNS_TYPE_CNAME);
	assert_string_equal(dns_name_format(&rec.name, text), "Www.de");
	assert_true(dns_walk_next(&w, &rec));
	assert_int_equal(rec.type, DNS_TYPE_AAAA);
	assert_string_equal(dns_name_format(&rec.name, text), "Www");
	assert_false(dns_walk_next(&w, &rec));
	buf_fini(&out);
}

static void an_answer_is_exactly_as_long_as_may_be_before_it_is_cut(void **state)
{
	enum { FIXED = 12 + 12, EACH = 16 }; /* header and question; a record */
	struct ip addrs[40];
	struct dns_query q;
	struct buf out;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(addrs); i++)
		addrs[i] = (struct ip){.family = IP_V4, .bytes = {1, 2, 3, (uint8_t)i}};
	assert_int_equal(JUDGE(&q, HEAD(0, 1, 0, 0, 0), QUESTION), DNS_ASK);
	buf_init(&out, 2000);
	for (size_t max = 512; max < 700; max++) {
		struct dns_reply r = {.addrs = addrs, .addr_count = ARRAY_LEN(addrs)};
		size_t fit = (max - FIXED) / EACH < 40 ? (max - FIXED) / EACH : 40;

		buf_clear(&out);
		assert_int_equal(dns_reply_write(&q, &r, max, &out), ERR_OK);
		assert_int_equal(out.n, FIXED + fit * EACH);
		assert_int_equal(dns_msg_truncated(buf_span(&out)), fit < 40);
		assert_int_equal(out.p[7], fit);
	}
	buf_fini(&out);
}

static void a_shortened_answer_keeps_whole_records_and_opt(void **state)
{
	struct ip addrs[200];
	struct dns_query q;
	struct dns_reply r = {.addrs = addrs, .addr_count = ARRAY_LEN(addrs)};
	struct dns_record rec;
	struct dns_walk w;
	struct buf out;

	(void)state;
	memset(addrs, 0, sizeof(addrs));
	for (size_t i = 0; i < ARRAY_LEN(addrs); i++)
		addrs[i].family = IP_V4;
	assert_int_equal(JUDGE(&q, HEAD(0, 1, 0, 0, 1), QUESTION, OPT(1232, 0, 0)), DNS_ASK);
	buf_init(&out, 5000);
	for (size_t max = 512; max < 4000; max += 37) {
		unsigned int answers = 0, opts = 0;

		buf_clear(&out);
		assert_int_equal(dns_reply_write(&q, &r, 5000, &out), ERR_OK);
		out.n = dns_msg_shorten(out.p, out.n, max);
		assert_true(out.n <= max);
		assert_int_equal(dns_walk_start(&w, buf_span(&out)), ERR_OK);
		while (dns_walk_next(&w, &rec)) {
			answers += rec.section == 1;
			opts += rec.section == 3 && rec.type == DNS_TYPE_OPT;
		}
		assert_false(w.failed);
		assert_int_equal(opts, 1);
		assert_int_equal(dns_msg_truncated(buf_span(&out)), answers < 200);
		assert_true(answers == 200 || out.n > max - 16);
	}
	buf_fini(&out);
}

static void an_unreadable_answer_is_shortened_to_its_header(void **state)
{
	uint8_t msg[2000] = {HEAD(0x8000, 200, 1, 1, 1)};

	(void)state;
	memset(msg + 12, 0xff, sizeof(msg) - 12);
	assert_int_equal(dns_msg_shorten(msg, sizeof(msg), 512), DNS_HEADER_LEN);
	assert_true(dns_msg_truncated(span_of(msg, sizeof(msg))));
	assert_memory_equal(msg + 4, ((uint8_t[8]){0}), 8);
}

static void ttls_count_down_to_zero_and_opt_keeps_its_flags(void **state)
{
	uint8_t msg[] = {HEAD(0x8000, 1, 2, 0, 1),
	                 QUESTION,
	                 0xc0,
	                 12,
	                 0,
	                 1,
	                 0,
	                 1,
	                 0,
	                 0,
	                 0,
	                 100,
	                 0,
	                 4,
	                 1,
	                 2,
	                 3,
	                 4,
	                 0xc0,
	                 12,
	                 0,
	                 1,
	                 0,
	                 1,
	                 0,
	                 0,
	                 0,
	                 5,
	                 0,
	                 4,
	                 1,
	                 2,
	                 3,
	                 5,
	                 OPT(512, 0x80, 0)};
	struct dns_walk w;
	struct dns_record r;

	(void)state;
	dns_msg_age(msg, sizeof(msg), 30);
	assert_int_equal(dns_walk_start(&w, span_of(msg, sizeof(msg))), ERR_OK);
	assert_true(dns_walk_next(&w, &r));
	assert_int_equal(r.ttl, 70);
	assert_true(dns_walk_next(&w, &r));
	assert_int_equal(r.ttl, 0);
	assert_true(dns_walk_next(&w, &r));
	assert_int_equal(r.ttl, 0x8000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_question_is_read_with_its_case_and_flags),
		cmocka_unit_test(a_client_takes_at_least_512_octets_whatever_it_says),
		cmocka_unit_test(less_than_a_header_is_not_answered),
		cmocka_unit_test(what_cannot_be_read_is_formerr),
		cmocka_unit_test(one_opt_in_its_place_or_formerr),
		cmocka_unit_test(a_newer_edns_is_badvers_with_an_opt_that_says_so),
		cmocka_unit_test(a_response_is_formerr_but_a_formerr_is_not_answered),
		cmocka_unit_test(another_opcode_is_opaque),
		cmocka_unit_test(pointers_lead_backwards_or_nowhere),
		cmocka_unit_test(labels_and_names_have_their_limits),
		cmocka_unit_test(texts_of_names_are_read_back),
		cmocka_unit_test(an_alias_owns_the_addresses_behind_it),
		cmocka_unit_test(an_answer_is_exactly_as_long_as_may_be_before_it_is_cut),
		cmocka_unit_test(a_shortened_answer_keeps_whole_records_and_opt),
		cmocka_unit_test(an_unreadable_answer_is_shortened_to_its_header),
		cmocka_unit_test(ttls_count_down_to_zero_and_opt_keeps_its_flags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
