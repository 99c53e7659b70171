/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mesh/authz_atom.h"

#include <string.h>

/* The finalizer of MurmurHash3: every bit of x moves every bit of the result. */
static uint64_t mixed(uint64_t x)
{
	x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdu;
	x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53u;
	return x ^ (x >> 33);
}

/* Apart for every field and kind, so that port 80 and a namespace never share a key by habit. */
static uint64_t salted(enum atom_field field, unsigned int kind, uint64_t x)
{
	return mixed(x + ((uint64_t)field * 8 + kind + 1) * 0x9e3779b97f4a7c15u);
}

static enum atom_field positive(enum atom_field field)
{
	return field < ATOM_POSITIVES ? field : field - ATOM_POSITIVES;
}

static const struct ports *ports_of(const struct match *m, enum atom_field f)
{
	return f == ATOM_PORTS ? &m->destination_ports : &m->not_destination_ports;
}

static const struct account_matches *accounts_of(const struct match *m, enum atom_field f)
{
	return f == ATOM_ACCOUNTS ? &m->service_accounts : &m->not_service_accounts;
}

static const struct string_matches *texts_of(const struct match *m, enum atom_field f)
{
	if (positive(f) == ATOM_PRINCIPALS)
		return f == ATOM_PRINCIPALS ? &m->principals : &m->not_principals;
	return f == ATOM_NAMESPACES ? &m->namespaces : &m->not_namespaces;
}

static const struct prefixes *prefixes_of(const struct match *m, enum atom_field f)
{
	if (positive(f) == ATOM_SOURCES)
		return f == ATOM_SOURCES ? &m->source_ips : &m->not_source_ips;
	return f == ATOM_DESTINATIONS ? &m->destination_ips : &m->not_destination_ips;
}

/* What a field's values are; two fields share the last two. */
enum atom_kind { KIND_PORT, KIND_ACCOUNT, KIND_TEXT, KIND_PREFIX };

static enum atom_kind kind_of(enum atom_field field)
{
	static const enum atom_kind kinds[ATOM_POSITIVES] = {
		[ATOM_PORTS] = KIND_PORT,      [ATOM_ACCOUNTS] = KIND_ACCOUNT,
		[ATOM_PRINCIPALS] = KIND_TEXT, [ATOM_NAMESPACES] = KIND_TEXT,
		[ATOM_SOURCES] = KIND_PREFIX,  [ATOM_DESTINATIONS] = KIND_PREFIX,
	};

	return kinds[positive(field)];
}

static uint16_t port_at(const struct atom *a)
{
	return ports_of(a->match, a->field)->v[a->value];
}

static const struct account_match *account_at(const struct atom *a)
{
	return &accounts_of(a->match, a->field)->v[a->value];
}

static const struct string_match *text_at(const struct atom *a)
{
	return &texts_of(a->match, a->field)->v[a->value];
}

static const struct prefix *prefix_at(const struct atom *a)
{
	return &prefixes_of(a->match, a->field)->v[a->value];
}

size_t atom_count(const struct match *m, enum atom_field field)
{
	switch (kind_of(field)) {
	case KIND_PORT: return ports_of(m, field)->n;
	case KIND_ACCOUNT: return accounts_of(m, field)->n;
	case KIND_TEXT: return texts_of(m, field)->n;
	case KIND_PREFIX: break;
	}
	return prefixes_of(m, field)->n;
}

const struct string_match *atom_text(const struct atom *a)
{
	return kind_of(a->field) == KIND_TEXT ? text_at(a) : NULL;
}

uint64_t atom_key_port(uint16_t port)
{
	return salted(ATOM_PORTS, 0, port);
}

uint64_t atom_key_account(struct span namespace, struct span service_account)
{
	uint64_t run = atom_run_start();

	for (size_t i = 0; i < namespace.n; i++)
		run = atom_run_add(run, namespace.p[i]);
	run = atom_run_add(run, '/');
	for (size_t i = 0; i < service_account.n; i++)
		run = atom_run_add(run, service_account.p[i]);
	return salted(ATOM_ACCOUNTS, 0, run);
}

/* The first len of 64 bits. */
static uint64_t first_bits(uint64_t word, unsigned int len)
{
	if (len == 0)
		return 0;
	return len >= 64 ? word : word & (UINT64_MAX << (64 - len));
}

static uint64_t word_at(const uint8_t *p)
{
	uint64_t word = 0;

	for (size_t i = 0; i < 8; i++)
		word = word << 8 | p[i];
	return word;
}

uint64_t atom_key_prefix(enum atom_field field, const struct ip *ip, unsigned int len)
{
	uint64_t high = first_bits(word_at(ip->bytes), len);
	uint64_t low = first_bits(word_at(ip->bytes + 8), len > 64 ? len - 64 : 0);

	return salted(field, ip->family, mixed(high + len) ^ low);
}

uint64_t atom_key_text(enum atom_field field, enum string_match_kind kind, uint64_t run, size_t n)
{
	return salted(field, kind, run + n);
}

static uint64_t pattern_key(enum atom_field field, const struct string_match *m)
{
	uint64_t run = atom_run_start();

	for (size_t i = 0; i < m->text.n; i++) {
		size_t at = m->kind == MATCH_SUFFIX ? m->text.n - 1 - i : i;

		run = atom_run_add(run, m->text.p[at]);
	}
	return atom_key_text(field, m->kind, run, m->text.n);
}

unsigned int atom_prefix_len(const struct atom *a)
{
	const struct prefix *p = prefix_at(a);
	unsigned int full = atom_full_len(&p->ip);

	return p->len < full ? p->len
	                     : full; /* longer than its address: taken for the whole of it */
}

uint64_t atom_key(const struct atom *a)
{
	switch (kind_of(a->field)) {
	case KIND_PORT: return atom_key_port(port_at(a));
	case KIND_ACCOUNT:
		return atom_key_account(span_str(account_at(a)->namespace),
		                        span_str(account_at(a)->service_account));
	case KIND_TEXT: return pattern_key(positive(a->field), text_at(a));
	case KIND_PREFIX: break;
	}
	return atom_key_prefix(positive(a->field), &prefix_at(a)->ip, atom_prefix_len(a));
}

static bool text_same(const struct string_match *a, const struct string_match *b)
{
	return a->kind == b->kind && span_eq(a->text, b->text);
}

static bool account_same(const struct account_match *a, const struct account_match *b)
{
	return strcmp(a->namespace, b->namespace) == 0 &&
	       strcmp(a->service_account, b->service_account) == 0;
}

static bool prefix_same(const struct prefix *a, const struct prefix *b)
{
	return a->len == b->len && ip_eq(&a->ip, &b->ip);
}

bool atom_same(const struct atom *a, const struct atom *b)
{
	if (a->field != b->field)
		return false;
	switch (kind_of(a->field)) {
	case KIND_PORT: return port_at(a) == port_at(b);
	case KIND_ACCOUNT: return account_same(account_at(a), account_at(b));
	case KIND_TEXT: return text_same(text_at(a), text_at(b));
	case KIND_PREFIX: break;
	}
	return prefix_same(prefix_at(a), prefix_at(b));
}

static bool text_holds(const struct atom *a, const struct authz_peer *peer)
{
	if (positive(a->field) == ATOM_NAMESPACES)
		return string_match_holds(text_at(a), peer->id.namespace);
	return peer->identified && string_match_holds(text_at(a), peer->id.principal);
}

bool atom_holds(const struct atom *a, const struct authz_peer *peer)
{
	switch (kind_of(a->field)) {
	case KIND_PORT: return port_at(a) == peer->destination.port;
	case KIND_ACCOUNT: return account_match_holds(account_at(a), peer);
	case KIND_TEXT: return text_holds(a, peer);
	case KIND_PREFIX: break;
	}
	return prefix_contains(prefix_at(a), positive(a->field) == ATOM_SOURCES
	                                             ? &peer->source_ip
	                                             : &peer->destination.ip);
}

uint32_t atom_breadth(const struct atom *a)
{
	enum {
		PATTERN = 16
	}; /* a beginning or an end of a text: more than one peer, fewer than most */
	const struct string_match *text = atom_text(a);

	if (text) {
		if (text->kind == MATCH_EXACT)
			return 1;
		return text->text.n == 0 ? ATOM_BREADTH_MAX : PATTERN;
	}
	if (kind_of(a->field) != KIND_PREFIX)
		return 1;

	unsigned int len = atom_prefix_len(a);

	return len == 0 ? ATOM_BREADTH_MAX : 1 + atom_full_len(&prefix_at(a)->ip) - len;
}
