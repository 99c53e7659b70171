/* SPDX-License-Identifier: Apache-2.0 */
#include "common/dns/dns_resolver.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/dns/dns_msg.h"

enum {
	QUESTION_MAX = 512,
	ALIASES_MAX = 16,     /* CNAMEs followed: more is a loop */
	TTL_MAX_S = 3600,     /* as dns_cache: a change is seen within the hour */
	NOTHING_MS = 5000,    /* how long it is believed that a name has no address */
	UNANSWERED_MS = 1000, /* and that nobody answers */
};

/* One family of a name. */
struct half {
	struct entry *entry;
	struct dns_ask ask;
	struct buf question;
	struct ip addrs[DNS_LOOKUP_ADDRS_MAX];
	size_t count;
	uint32_t ttl_s;
	uint16_t type;
	bool failed; /* no answer, or none that says whether there are addresses */
};

struct entry {
	struct map_node node;
	struct list used; /* the resolver's: the longest unused first */
	struct dns_resolver *resolver;
	struct dns_name name; /* lower case: the key */
	struct list waiters;  /* of dns_lookup */
	unsigned int flying;  /* halves without an answer */
	uint64_t dies_ms;
	struct half halves[2];
};

struct dns_resolver {
	struct loop *loop;
	struct dns_resolver_options opt;
	struct map names;
	struct list used;
	size_t flying; /* entries */
	bool ended;
};

/* ---- reading an answer ---- */

/* Everything the message says about n: addresses, or what it is an alias of. true: an alias, now in n. */
static bool read_round(struct half *h, struct dns_name *n, uint32_t *ttl)
{
	struct dns_walk w;
	struct dns_record r;
	struct dns_name alias = {.len = 0};

	if (dns_walk_start(&w, h->ask.ret_answer) != ERR_OK)
		return false;
	while (dns_walk_next(&w, &r)) {
		size_t at = r.data_at;

		if (r.section != 1 || r.rclass != DNS_CLASS_IN || !dns_name_eq(&r.name, n))
			continue;
		if (r.type == DNS_TYPE_CNAME) {
			if (dns_name_read(w.msg, &at, &alias) != ERR_OK)
				return false;
		} else if (r.type != h->type || h->count == DNS_LOOKUP_ADDRS_MAX ||
		           ip_of_bytes(r.data, &h->addrs[h->count]) != ERR_OK) {
			continue;
		} else {
			h->count++;
		}
		*ttl = r.ttl < *ttl ? r.ttl : *ttl;
	}
	*n = alias;
	return h->count == 0 && alias.len > 0;
}

static void read_answer(struct half *h)
{
	struct dns_name n = h->entry->name;
	uint32_t ttl = TTL_MAX_S;
	unsigned int rounds = 0;
	enum dns_rcode rcode;

	h->count = 0;
	h->failed = h->ask.ret_err != ERR_OK;
	if (h->failed)
		return;
	rcode = dns_msg_rcode(h->ask.ret_answer);
	h->failed = rcode != DNS_NOERROR && rcode != DNS_NXDOMAIN;
	while (!h->failed && read_round(h, &n, &ttl) && ++rounds < ALIASES_MAX)
		;
	h->ttl_s = ttl;
}

/* ---- waiters ---- */

static void on_posted(struct op *op)
{
	struct dns_lookup *l = container_of(op, struct dns_lookup, post);

	l->done(l);
}

static void deliver(struct dns_lookup *l, enum err e)
{
	l->waiting = false;
	list_remove(&l->link);
	l->ret_err = e;
	if (e != ERR_OK)
		l->ret_count = 0;
	loop_post(l->resolver->loop, &l->post, 0, on_posted);
}

static void deliver_entry(struct dns_lookup *l, const struct entry *e)
{
	l->ret_count = 0;
	for (size_t i = 0; i < 2; i++)
		for (size_t k = 0; k < e->halves[i].count; k++)
			l->ret_addrs[l->ret_count++] = e->halves[i].addrs[k];
	deliver(l, l->ret_count > 0 ? ERR_OK : ERR_RESOLVE);
}

/* ---- names ---- */

static void entry_free(struct entry *e)
{
	(void)map_remove(&e->resolver->names, e->node.key);
	list_remove(&e->used);
	for (size_t i = 0; i < 2; i++)
		buf_fini(&e->halves[i].question);
	free(e);
}

static void resolver_destroy(struct dns_resolver *r)
{
	list_for_each_safe (it, tmp, &r->used)
		entry_free(list_entry(it, struct entry, used));
	map_fini(&r->names);
	free(r);
}

static uint64_t lifetime_ms(const struct entry *e)
{
	uint64_t ms = UINT64_MAX;
	bool failed = false;

	for (size_t i = 0; i < 2; i++) {
		const struct half *h = &e->halves[i];
		uint64_t half_ms = (uint64_t)h->ttl_s * 1000;

		failed = failed || h->failed;
		if (h->count > 0 && half_ms < ms)
			ms = half_ms;
	}
	if (failed)
		return ms < UNANSWERED_MS ? ms : UNANSWERED_MS;
	return ms != UINT64_MAX ? ms : NOTHING_MS;
}

static void on_answer(struct dns_ask *a)
{
	struct half *h = container_of(a, struct half, ask);
	struct entry *e = h->entry;
	struct dns_resolver *r = e->resolver;

	read_answer(h);
	if (--e->flying > 0)
		return;
	r->flying--;
	e->dies_ms = loop_now_ms(r->loop) + lifetime_ms(e);
	list_for_each_safe (it, tmp, &e->waiters)
		deliver_entry(list_entry(it, struct dns_lookup, link), e);
	if (r->ended && r->flying == 0)
		resolver_destroy(r);
}

static void half_start(struct entry *e, struct half *h, uint16_t type)
{
	h->entry = e;
	h->type = type;
	h->count = 0;
	h->failed = false;
	buf_clear(&h->question);
	if (type == DNS_TYPE_AAAA && !e->resolver->opt.ipv6)
		return;
	dns_question_write(&e->name, type, 0, true, &h->question);
	h->ask = (struct dns_ask){.query = buf_span(&h->question), .done = on_answer};
	e->flying++;
}

static void entry_ask(struct entry *e)
{
	struct dns_resolver *r = e->resolver;

	half_start(e, &e->halves[0], DNS_TYPE_A);
	half_start(e, &e->halves[1], DNS_TYPE_AAAA);
	r->flying++;
	for (size_t i = 0; i < 2; i++)
		if (e->halves[i].question.n > 0)
			dns_ask(r->opt.forwarder, &e->halves[i].ask);
}

/* The longest unused name nobody waits for makes room. */
static bool make_room(struct dns_resolver *r)
{
	if (r->names.count < r->opt.names_max)
		return true;
	list_for_each (it, &r->used) {
		struct entry *e = list_entry(it, struct entry, used);

		if (e->flying == 0) {
			entry_free(e);
			return true;
		}
	}
	return false;
}

/* The entry of name, asking if need be. NULL: too many names are being asked for. */
static struct entry *entry_of(struct dns_resolver *r, const struct dns_name *name)
{
	struct map_node *n = map_get(&r->names, span_of(name->wire, name->len));
	struct entry *e = n != NULL ? map_entry(n, struct entry, node) : NULL;

	if (e == NULL) {
		if (!make_room(r))
			return NULL;
		e = calloc(1, sizeof(*e));
		if (e == NULL)
			return NULL;
		e->resolver = r;
		e->name = *name;
		list_init(&e->waiters);
		list_init(&e->used);
		for (size_t i = 0; i < 2; i++)
			buf_init(&e->halves[i].question, QUESTION_MAX);
		(void)map_put(&r->names, &e->node, span_of(e->name.wire, e->name.len));
	}
	list_remove(&e->used);
	list_push(&r->used, &e->used);
	if (e->flying == 0 && loop_now_ms(r->loop) >= e->dies_ms)
		entry_ask(e);
	return e;
}

void dns_lookup_start(struct dns_lookup *l, struct dns_resolver *r, const char *hostname,
                      dns_lookup_fn *done)
{
	struct dns_name name;
	struct entry *e;

	*l = (struct dns_lookup){.resolver = r, .done = done};
	list_init(&l->link);
	if (dns_name_parse(span_str(hostname), &name) != ERR_OK || name.len <= 1) {
		deliver(l, ERR_PARSE);
		return;
	}
	name = dns_name_lower(&name);
	e = entry_of(r, &name);
	if (e == NULL) {
		deliver(l, ERR_OVERLOAD);
	} else if (e->flying == 0) {
		deliver_entry(l, e);
	} else {
		l->waiting = true;
		list_push(&e->waiters, &l->link);
	}
}

void dns_lookup_cancel(struct dns_lookup *l)
{
	if (l->waiting)
		deliver(l, ERR_CANCELLED);
	else if (l->post.pending)
		l->ret_err = ERR_CANCELLED;
}

struct dns_resolver *dns_resolver_new(struct loop *loop, const struct dns_resolver_options *opt)
{
	struct dns_resolver *r = mem_new(sizeof(*r));
	uint8_t seed[16];

	rand_system_bytes(seed, sizeof(seed));
	r->loop = loop;
	r->opt = *opt;
	if (r->opt.names_max == 0)
		r->opt.names_max = DNS_RESOLVER_NAMES_MAX;
	map_init(&r->names, seed);
	list_init(&r->used);
	return r;
}

void dns_resolver_free(struct dns_resolver *r)
{
	if (r == NULL)
		return;
	r->ended = true;
	if (r->flying == 0) {
		resolver_destroy(r);
		return;
	}
	list_for_each (it, &r->used) {
		struct entry *e = list_entry(it, struct entry, used);

		for (size_t i = 0; e->flying > 0 && i < 2; i++)
			if (e->halves[i].question.n > 0)
				dns_ask_cancel(r->opt.forwarder, &e->halves[i].ask);
	}
}
