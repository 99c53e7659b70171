/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/common/mesh/authz_world.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/mesh/balance.h"
#include "common/mesh/mesh_table.h"

static const char *const peers[] = {
	NULL,
	"spiffe://cluster.local/ns/default/sa/alice",
	"spiffe://cluster.local/ns/apps/sa/bob",
	"spiffe://other.domain/ns/default/sa/bob",
	"spiffe://other.domain/ns/d/sa/a",
};
static const char *const addresses[] = {"10.0.0.1", "10.1.2.3", "192.0.2.9", "fd00::1",
                                        "2001:db8::7"};
static const uint16_t ports[] = {80, 443, 8080};

static const char *const principal_texts[] = {
	"",
	"cluster.local/",
	"cluster.local/ns/default/sa/alice",
	"other.domain/ns/default/sa/bob",
	"/sa/b",
	"/ns/apps/sa/bob",
	"cluster.local/ns/default/sa/alicea",
	"bob",
	"other.",
	"cluster.local/ns/d",
	"e",
};
static const char *const namespace_texts[] = {"",   "d",     "default", "apps",
                                              "ps", "fault", "defaults"};
static const char *const account_texts[] = {"alice", "bob", "a", "default"};
static const char *const prefix_texts[] = {
	"0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3",     "10.0.0.0/31",
	"::/0",      "fd00::/8",   "fd00::1",     "192.0.2.8/29", "2001:db8::/65",
};

static bool one_in(uint64_t *dice, uint64_t n)
{
	return dice_below(dice, n) == 0;
}

static const char *one_of(const char *const *v, size_t n, uint64_t *dice)
{
	return v[dice_below(dice, n)];
}

static void *room(struct world *w, size_t n, size_t size)
{
	return mesh_arena_alloc(w->arena, n * size);
}

/* How many values a list of a match has; most have none. */
static size_t some(uint64_t *dice)
{
	return one_in(dice, 4) ? 1 + (size_t)dice_below(dice, 3) : 0;
}

static struct string_matches random_texts(struct world *w, const char *const *texts, size_t count,
                                          uint64_t *dice)
{
	struct string_matches list = {.n = some(dice)};
	struct string_match *v = room(w, list.n, sizeof(*v));

	for (size_t i = 0; i < list.n; i++) {
		v[i].kind = (enum string_match_kind)dice_below(dice, 4);
		v[i].text = span_str(v[i].kind == MATCH_PRESENCE ? "" : one_of(texts, count, dice));
	}
	list.v = v;
	return list;
}

static struct account_matches random_accounts(struct world *w, uint64_t *dice)
{
	struct account_matches list = {.n = some(dice)};
	struct account_match *v = room(w, list.n, sizeof(*v));

	for (size_t i = 0; i < list.n; i++)
		v[i] = (struct account_match){
			one_of(namespace_texts, ARRAY_LEN(namespace_texts), dice),
			one_of(account_texts, ARRAY_LEN(account_texts), dice)};
	list.v = v;
	return list;
}

static struct prefixes random_prefixes(struct world *w, uint64_t *dice)
{
	struct prefixes list = {.n = some(dice)};
	struct prefix *v = room(w, list.n, sizeof(*v));

	for (size_t i = 0; i < list.n; i++) {
		const char *text = one_of(prefix_texts, ARRAY_LEN(prefix_texts), dice);

		CHECK(prefix_parse(span_str(text), &v[i]) == ERR_OK);
	}
	list.v = v;
	return list;
}

static struct ports random_ports(struct world *w, uint64_t *dice)
{
	struct ports list = {.n = some(dice)};
	uint16_t *v = room(w, list.n, sizeof(*v));

	for (size_t i = 0; i < list.n; i++)
		v[i] = ports[dice_below(dice, ARRAY_LEN(ports))];
	list.v = v;
	return list;
}

static struct match random_match(struct world *w, uint64_t *dice)
{
	static const size_t principals = ARRAY_LEN(principal_texts);
	static const size_t namespaces = ARRAY_LEN(namespace_texts);

	return (struct match){
		.principals = random_texts(w, principal_texts, principals, dice),
		.not_principals = random_texts(w, principal_texts, principals, dice),
		.namespaces = random_texts(w, namespace_texts, namespaces, dice),
		.not_namespaces = random_texts(w, namespace_texts, namespaces, dice),
		.service_accounts = random_accounts(w, dice),
		.not_service_accounts = random_accounts(w, dice),
		.source_ips = random_prefixes(w, dice),
		.not_source_ips = random_prefixes(w, dice),
		.destination_ips = random_prefixes(w, dice),
		.not_destination_ips = random_prefixes(w, dice),
		.destination_ports = random_ports(w, dice),
		.not_destination_ports = random_ports(w, dice),
		.not_understood = one_in(dice, 24),
	};
}

static struct clause random_clause(struct world *w, uint64_t *dice)
{
	struct clause c = {.match_count = (size_t)dice_below(dice, 4)};
	struct match *v = room(w, c.match_count, sizeof(*v));

	for (size_t i = 0; i < c.match_count; i++)
		v[i] = one_in(dice, 8) ? (struct match){0} : random_match(w, dice);
	c.matches = v;
	return c;
}

static struct rule random_rule(struct world *w, uint64_t *dice)
{
	struct rule r = {.clause_count = one_in(dice, 16) ? 0 : 1 + (size_t)dice_below(dice, 3)};
	struct clause *v = room(w, r.clause_count, sizeof(*v));

	for (size_t i = 0; i < r.clause_count; i++)
		v[i] = random_clause(w, dice);
	r.clauses = v;
	return r;
}

static void put_policy(struct world *w, uint64_t *dice)
{
	struct policy *p = &w->policies[w->policy_count];
	struct rule *v;
	char name[16];

	CHECK(w->policy_count < WORLD_POLICIES_MAX);
	(void)snprintf(name, sizeof(name), "p%02zu", w->policy_count++);
	*p = (struct policy){
		.name = mesh_arena_intern(w->arena, span_str(name)),
		.namespace = one_in(dice, 3) ? "other" : "default",
		.scope = (enum policy_scope)dice_below(dice, 3),
		.action = (enum policy_action)dice_below(dice, 2),
		.dry_run = one_in(dice, 4),
		.rule_count = (size_t)dice_below(dice, 9),
	};
	v = room(w, p->rule_count, sizeof(*v));
	for (size_t i = 0; i < p->rule_count; i++)
		v[i] = random_rule(w, dice);
	p->rules = v;
}

void world_init(struct world *w, uint64_t *dice)
{
	size_t n = (size_t)dice_below(dice, WORLD_POLICIES_MAX / 2 + 1);

	*w = (struct world){.arena = mesh_arena_new()};
	while (w->policy_count < n)
		put_policy(w, dice);
}

void world_fini(struct world *w)
{
	mesh_arena_free(w->arena);
}

void world_add(struct world *w, enum policy_action action, uint64_t *dice)
{
	put_policy(w, dice);
	w->policies[w->policy_count - 1].action = action;
	w->policies[w->policy_count - 1].dry_run = false;
}

/* ---- other words for the same ---- */

/* n elements in another order; or with one of them once more, anywhere. */
static void *rearranged(struct world *w, const void *v, size_t size, size_t *n, enum rewrite how,
                        uint64_t *dice)
{
	bool twice = how == REWRITE_DOUBLE && *n > 0 && one_in(dice, 2);
	size_t count = *n + twice;
	char *out = room(w, count, size);

	for (size_t i = 0; i < count; i++) {
		size_t from = i < *n ? i : (size_t)dice_below(dice, *n);
		size_t to = how == REWRITE_SPLIT ? i : (size_t)dice_below(dice, i + 1);

		if (to != i)
			memcpy(out + i * size, out + to * size, size); /* as Fisher and Yates */
		memcpy(out + to * size, (const char *)v + from * size, size);
	}
	*n = count;
	return out;
}

#define REARRANGE(list) \
	((list).v = rearranged(w, (list).v, sizeof(*(list).v), &(list).n, how, dice))

static void rewrite_match(struct world *w, struct match *m, enum rewrite how, uint64_t *dice)
{
	REARRANGE(m->principals);
	REARRANGE(m->not_principals);
	REARRANGE(m->namespaces);
	REARRANGE(m->not_namespaces);
	REARRANGE(m->service_accounts);
	REARRANGE(m->not_service_accounts);
	REARRANGE(m->source_ips);
	REARRANGE(m->not_source_ips);
	REARRANGE(m->destination_ips);
	REARRANGE(m->not_destination_ips);
	REARRANGE(m->destination_ports);
	REARRANGE(m->not_destination_ports);
	m->not_understood |= how == REWRITE_GARBLE && one_in(dice, 8);
}

/* "a or b" as two matches, "a", "b": every list but one stays whole. false: no positive list has two values. */
static bool split_match(struct match *first, struct match *second)
{
#define SPLIT_LIST(list)           \
	if (first->list.n > 1) {   \
		second->list.v++;  \
		second->list.n--;  \
		first->list.n = 1; \
		return true;       \
	}
	SPLIT_LIST(principals)
	SPLIT_LIST(namespaces)
	SPLIT_LIST(service_accounts)
	SPLIT_LIST(source_ips)
	SPLIT_LIST(destination_ips)
	SPLIT_LIST(destination_ports)
#undef SPLIT_LIST
	return false;
}

static void rewrite_clause(struct world *w, struct clause *c, enum rewrite how, uint64_t *dice)
{
	size_t n = c->match_count;
	struct match *v = rearranged(w, c->matches, sizeof(*v), &n, how, dice), *more;

	for (size_t i = 0; i < n; i++)
		rewrite_match(w, &v[i], how, dice);
	*c = (struct clause){v, n};
	if (how != REWRITE_SPLIT)
		return;
	more = room(w, n * 2, sizeof(*more));
	c->match_count = 0;
	for (size_t i = 0; i < n; i++) {
		struct match second = v[i];
		bool two = split_match(&v[i], &second);

		more[c->match_count++] = v[i];
		if (two)
			more[c->match_count++] = second;
	}
	c->matches = more;
}

static void rewrite_rule(struct world *w, struct rule *r, enum rewrite how, uint64_t *dice)
{
	struct clause *v = rearranged(w, r->clauses, sizeof(*v), &r->clause_count, how, dice);

	for (size_t i = 0; i < r->clause_count; i++)
		rewrite_clause(w, &v[i], how, dice);
	r->clauses = v;
}

static void rewrite_policy(struct world *w, struct policy *p, enum rewrite how, uint64_t *dice)
{
	struct rule *v = rearranged(w, p->rules, sizeof(*v), &p->rule_count, how, dice);

	for (size_t i = 0; i < p->rule_count; i++)
		rewrite_rule(w, &v[i], how, dice);
	p->rules = v;
}

struct world world_rewritten(const struct world *old, enum rewrite how, uint64_t *dice)
{
	struct world made = *old, *w = &made;
	struct policy *v = rearranged(w, w->policies, sizeof(*v), &w->policy_count, how, dice);

	CHECK(w->policy_count <= WORLD_POLICIES_MAX);
	for (size_t i = 0; i < w->policy_count; i++) {
		w->policies[i] = v[i];
		rewrite_policy(w, &w->policies[i], how, dice);
	}
	return made;
}

/* ---- asking ---- */

struct mesh *world_mesh(const struct world *w)
{
	struct mesh *m = mesh_new("");
	struct workload *dst = mesh_workload_new(m);
	const char **names = mesh_alloc(m, w->policy_count * sizeof(*names));

	for (size_t i = 0; i < w->policy_count; i++) {
		struct policy *p = mesh_policy_new(m);

		*p = w->policies[i];
		mesh_add_policy(m, p);
		if (p->name[2] % 2 == 0) /* by its number */
			names[dst->policy_name_count++] = p->key;
	}
	dst->uid = "w";
	dst->namespace = "default";
	dst->policy_names = names;
	mesh_add_workload(m, dst);
	mesh_seal(m);
	return m;
}

struct authz_facts world_question(uint64_t *dice)
{
	struct authz_facts q = {.identity = one_of(peers, ARRAY_LEN(peers), dice)};
	const char *source = one_of(addresses, ARRAY_LEN(addresses), dice);
	const char *destination = one_of(addresses, ARRAY_LEN(addresses), dice);

	CHECK(ip_parse(span_str(source), &q.source_ip) == ERR_OK);
	CHECK(ip_parse(span_str(destination), &q.destination.ip) == ERR_OK);
	q.destination.port = ports[dice_below(dice, ARRAY_LEN(ports))];
	return q;
}

bool world_allows(const struct mesh *m, const struct authz_facts *q)
{
	struct authz_answer a;

	authz_check(m, m->workloads[0], q, &a);
	return a.verdict == AUTHZ_ALLOW;
}
