/* SPDX-License-Identifier: Apache-2.0 */
#include "common/dns/dns_cache.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/base/rd.h"
#include "common/dns/dns_msg.h"

enum {
	KEY_HEAD = 5, /* flags, type, class */
	KEY_MAX = KEY_HEAD + DNS_NAME_MAX,
	SOA_NUMBERS = 20, /* octets behind its two names, RFC 1035 3.3.13 */
};

/* All of a query the answer may depend on; others are not cached. */
struct key {
	size_t len;
	uint8_t bytes[KEY_MAX];
};

struct entry {
	struct map_node node;
	struct list used; /* the longest unused first */
	uint64_t born_ms, dies_ms;
	size_t answer_len;
	struct key key;
	uint8_t answer[];
};

struct dns_cache {
	struct map map;
	struct list used;
	size_t bytes, bytes_max;
};

struct dns_cache *dns_cache_new(size_t bytes_max)
{
	struct dns_cache *c = mem_new(sizeof(*c));
	uint8_t seed[16];

	rand_system_bytes(seed, sizeof(seed));
	map_init(&c->map, seed);
	list_init(&c->used);
	c->bytes_max = bytes_max;
	return c;
}

static void entry_free(struct dns_cache *c, struct entry *e)
{
	(void)map_remove(&c->map, e->node.key);
	list_remove(&e->used);
	c->bytes -= sizeof(*e) + e->answer_len;
	free(e);
}

void dns_cache_free(struct dns_cache *c)
{
	if (c == NULL)
		return;
	while (!list_empty(&c->used))
		entry_free(c, list_entry(c->used.next, struct entry, used));
	map_fini(&c->map);
	free(c);
}

size_t dns_cache_bytes(const struct dns_cache *c)
{
	return c->bytes;
}

/* false: not a query whose answer is the same for everybody. */
static bool key_of(struct span query, struct dns_query *q, struct key *k)
{
	struct dns_name name;

	if (dns_query_read(query, q) != DNS_ASK || q->extra || q->edns_options)
		return false;
	name = dns_name_lower(&q->name);
	k->bytes[0] = (uint8_t)((q->rd ? 1 : 0) | (q->cd ? 2 : 0) | (q->ad ? 4 : 0) |
	                        (q->edns ? 8 : 0) | (q->dnssec_ok ? 16 : 0));
	k->bytes[1] = (uint8_t)(q->type >> 8);
	k->bytes[2] = (uint8_t)q->type;
	k->bytes[3] = (uint8_t)(q->qclass >> 8);
	k->bytes[4] = (uint8_t)q->qclass;
	memcpy(k->bytes + KEY_HEAD, name.wire, name.len);
	k->len = KEY_HEAD + (size_t)name.len;
	return true;
}

bool dns_cache_get(struct dns_cache *c, struct span query, uint64_t now_ms, struct buf *out)
{
	struct dns_query q;
	struct map_node *n;
	struct entry *e;
	struct key k;

	if (!key_of(query, &q, &k))
		return false;
	n = map_get(&c->map, span_of(k.bytes, k.len));
	if (n == NULL)
		return false;
	e = map_entry(n, struct entry, node);
	if (now_ms >= e->dies_ms) {
		entry_free(c, e);
		return false;
	}
	list_remove(&e->used);
	list_push(&c->used, &e->used);
	buf_put(out, span_of(e->answer, e->answer_len));
	if (buf_status(out) != ERR_OK)
		return false;
	dns_msg_pass_on(out->p, q.id);
	memcpy(out->p + DNS_HEADER_LEN, q.name.wire,
	       q.name.len); /* the same length: see answers() */
	dns_msg_age(out->p, out->n, (uint32_t)((now_ms - e->born_ms) / 1000));
	return true;
}

/* The question stands in the answer as a whole name, as it was asked. */
static bool answers(const struct dns_query *q, struct span answer)
{
	static const uint8_t one[2] = {0, 1};
	struct dns_name name;
	size_t at = DNS_HEADER_LEN;
	uint16_t type, qclass;
	struct rd r;

	if (answer.n < DNS_HEADER_LEN || memcmp(answer.p + 4, one, 2) != 0 ||
	    dns_name_read(answer, &at, &name) != ERR_OK || !dns_name_eq(&name, &q->name) ||
	    at != DNS_HEADER_LEN + (size_t)name.len)
		return false;
	r = rd_of(span_of(answer.p + at, answer.n - at));
	type = rd_u16(&r);
	qclass = rd_u16(&r);
	return !rd_failed(&r) && type == q->type && qclass == q->qclass;
}

/* RFC 2308 section 5: how long it may be said that there is nothing. */
static uint32_t negative_ttl(const struct dns_walk *w, const struct dns_record *soa)
{
	struct dns_name name;
	size_t at = soa->data_at, end = soa->data_at + soa->data.n;
	struct rd r;
	uint32_t minimum;

	for (unsigned int i = 0; i < 2; i++)
		if (dns_name_read(w->msg, &at, &name) != ERR_OK)
			return 0;
	if (at > end || end - at != SOA_NUMBERS)
		return 0;
	r = rd_of(span_of(w->msg.p + end - 4, 4));
	minimum = rd_u32(&r);
	return minimum < soa->ttl ? minimum : soa->ttl;
}

/* How long answer may be kept; 0: not at all. */
static uint32_t ttl_of(struct span answer)
{
	uint32_t ttl = UINT32_MAX, record_ttl;
	struct dns_walk w;
	struct dns_record r;

	if (dns_msg_truncated(answer) || dns_walk_start(&w, answer) != ERR_OK)
		return 0;
	while (dns_walk_next(&w, &r)) {
		if (r.section == 1)
			record_ttl = r.ttl;
		else if (r.section == 2 && r.type == DNS_TYPE_SOA)
			record_ttl = negative_ttl(&w, &r);
		else
			continue;
		if (record_ttl > INT32_MAX) /* RFC 2181 section 8 */
			record_ttl = 0;
		ttl = record_ttl < ttl ? record_ttl : ttl;
	}
	if (w.failed || ttl == UINT32_MAX)
		return 0;
	return ttl < DNS_CACHE_TTL_MAX_S ? ttl : DNS_CACHE_TTL_MAX_S;
}

void dns_cache_put(struct dns_cache *c, struct span query, struct span answer, uint64_t now_ms)
{
	size_t bytes = sizeof(struct entry) + answer.n;
	struct map_node *old;
	struct dns_query q;
	struct entry *e;
	struct key k;
	uint32_t ttl_s;

	if (bytes > c->bytes_max / 4 || !key_of(query, &q, &k) || !answers(&q, answer))
		return;
	if (dns_msg_rcode(answer) != DNS_NOERROR && dns_msg_rcode(answer) != DNS_NXDOMAIN)
		return;
	ttl_s = ttl_of(answer);
	old = map_get(&c->map, span_of(k.bytes, k.len));
	if (old != NULL)
		entry_free(c, map_entry(old, struct entry, node));
	while (ttl_s > 0 && c->bytes + bytes > c->bytes_max)
		entry_free(c, list_entry(c->used.next, struct entry, used));
	e = ttl_s > 0 ? malloc(bytes) : NULL;
	if (e == NULL)
		return;
	*e = (struct entry){.born_ms = now_ms,
	                    .dies_ms = now_ms + UINT64_C(1000) * ttl_s,
	                    .answer_len = answer.n,
	                    .key = k};
	memcpy(e->answer, answer.p, answer.n);
	(void)map_put(&c->map, &e->node, span_of(e->key.bytes, e->key.len));
	list_push(&c->used, &e->used);
	c->bytes += bytes;
}
