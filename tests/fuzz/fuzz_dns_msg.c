/* SPDX-License-Identifier: Apache-2.0 */
/* A message as a query, as an answer to be shortened and aged, and through the cache; what we write we can read. */
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/dns/dns_cache.h"
#include "common/dns/dns_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void walk(struct span msg)
{
	struct dns_walk w;
	struct dns_record r;
	char text[DNS_TEXT_MAX];
	struct dns_name again;

	if (dns_walk_start(&w, msg) != ERR_OK)
		return;
	while (dns_walk_next(&w, &r)) {
		CHECK(r.data_at + r.data.n <= msg.n);
		CHECK(dns_name_parse(span_str(dns_name_format(&r.name, text)), &again) == ERR_OK);
		CHECK(dns_name_eq(&r.name, &again));
	}
}

static void answer(const struct dns_query *q)
{
	static const struct ip addrs[60] = {
		{.family = IP_V4}, {.family = IP_V6}, {.family = IP_V4}};
	struct dns_reply r = {.rcode = DNS_NOERROR, .addrs = addrs, .addr_count = 3};
	struct dns_query again;
	struct buf out;

	r.alias = q->name;
	buf_init(&out, DNS_MSG_MAX);
	CHECK(dns_reply_write(q, &r, DNS_UDP_LEN, &out) == ERR_OK && out.n <= DNS_UDP_LEN);
	walk(buf_span(&out));
	out.p[2] &= 0x7f;
	CHECK(dns_query_read(buf_span(&out), &again) == DNS_ASK || q->opcode != 0 ||
	      q->name.len == 0);
	CHECK(again.id == q->id);
	buf_fini(&out);
}

static void change(const uint8_t *p, size_t n)
{
	uint8_t *copy = malloc(n);
	size_t len;

	CHECK(copy != NULL);
	memcpy(copy, p, n);
	dns_msg_age(copy, n, 17);
	len = dns_msg_shorten(copy, n, DNS_UDP_LEN);
	CHECK(len <= n && (len <= DNS_UDP_LEN || len == n));
	walk(span_of(copy, len));
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct span msg = span_of(p, n), query = msg;
	struct dns_cache *c = dns_cache_new(1 << 16);
	struct dns_query q;
	struct buf out;

	walk(msg);
	if (dns_query_read(msg, &q) != DNS_DROP)
		answer(&q);
	if (n >= DNS_HEADER_LEN)
		change(p, n);
	/* two messages, the first one's length in front: a query and what came back */
	if (n > 2 && (size_t)p[0] + 1 < n) {
		query = span_of(p + 1, p[0]);
		msg = span_of(p + 1 + p[0], n - 1 - p[0]);
	}
	buf_init(&out, DNS_MSG_MAX);
	dns_cache_put(c, query, msg, 1000);
	if (dns_cache_get(c, query, 3000, &out))
		walk(buf_span(&out));
	buf_fini(&out);
	dns_cache_free(c);
	return 0;
}
