/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mesh/authz_needs.h"

#include <stdlib.h>

#include "common/base/mem.h"

enum { COUNTS_PER_RULE = 4, COUNTS_MIN = 64 };

void key_counts_init(struct key_counts *c, size_t rules)
{
	size_t slots = COUNTS_MIN;

	while (slots < rules * COUNTS_PER_RULE)
		slots *= 2;
	c->v = mem_new(slots * sizeof(*c->v));
	c->mask = slots - 1;
}

void key_counts_fini(struct key_counts *c)
{
	free(c->v);
	c->v = NULL;
}

static void key_counts_add(struct key_counts *c, uint64_t key)
{
	c->v[key & c->mask]++;
}

static uint32_t key_counts_of(const struct key_counts *c, uint64_t key)
{
	return c->v[key & c->mask];
}

/* ---- dead and alive ---- */

bool match_is_dead(const struct match *m, enum policy_action action)
{
	return m->not_understood ? action == POLICY_ALLOW : match_is_empty(m);
}

/* How many matches of c some peer could make hold; *ret_last is the last of them. */
static size_t living(const struct clause *c, enum policy_action action,
                     const struct match **ret_last)
{
	size_t n = 0;

	for (size_t i = 0; i < c->match_count; i++) {
		if (match_is_dead(&c->matches[i], action))
			continue;
		n++;
		*ret_last = &c->matches[i];
	}
	return n;
}

bool rule_can_hold(const struct rule *r, enum policy_action action)
{
	const struct match *last = NULL;

	for (size_t i = 0; i < r->clause_count; i++) {
		if (r->clauses[i].match_count > 0 && living(&r->clauses[i], action, &last) == 0)
			return false;
	}
	return true;
}

/* ---- audience ---- */

static bool any_namespace_of_nobody(const struct string_matches *list)
{
	for (size_t i = 0; i < list->n; i++) {
		if (string_match_holds(&list->v[i], span_str("")))
			return true;
	}
	return false;
}

static bool match_needs_identity(const struct match *m)
{
	if (m->not_understood)
		return false;
	if (m->principals.n > 0 || m->service_accounts.n > 0)
		return true;
	return m->namespaces.n > 0 && !any_namespace_of_nobody(&m->namespaces);
}

static bool any_presence(const struct string_matches *list)
{
	for (size_t i = 0; i < list->n; i++) {
		if (list->v[i].kind == MATCH_PRESENCE)
			return true;
	}
	return false;
}

/* Everybody with an identity is present. */
static bool match_needs_plaintext(const struct match *m)
{
	if (m->not_understood)
		return false;
	return any_presence(&m->not_principals) || any_presence(&m->not_namespaces);
}

typedef bool match_fn(const struct match *m);

static bool each_living(const struct clause *c, enum policy_action action, match_fn *needs)
{
	for (size_t i = 0; i < c->match_count; i++) {
		if (!match_is_dead(&c->matches[i], action) && !needs(&c->matches[i]))
			return false;
	}
	return c->match_count > 0;
}

enum rule_audience rule_audience(const struct rule *r, enum policy_action action)
{
	for (size_t i = 0; i < r->clause_count; i++) {
		if (each_living(&r->clauses[i], action, match_needs_identity))
			return FOR_IDENTIFIED;
		if (each_living(&r->clauses[i], action, match_needs_plaintext))
			return FOR_PLAINTEXT;
	}
	return FOR_EVERYBODY;
}

/* ---- needs ---- */

void rule_count_needs(const struct rule *r, enum policy_action action, struct key_counts *counts)
{
	for (size_t i = 0; i < r->clause_count; i++) {
		for (size_t k = 0; k < r->clauses[i].match_count; k++) {
			const struct match *m = &r->clauses[i].matches[k];

			if (match_is_dead(m, action))
				continue;
			for (enum atom_field f = 0; f < ATOM_POSITIVES; f++) {
				for (uint32_t v = 0; v < atom_count(m, f); v++)
					key_counts_add(counts, atom_key(&(struct atom){m, f, v}));
			}
		}
	}
}

/* Of asking by this field; a value that is true of everybody rules nothing out. */
static uint64_t field_cost(const struct match *m, enum atom_field f,
                           const struct key_counts *counts)
{
	size_t n = atom_count(m, f);
	uint64_t cost = n > 0 ? 0 : NEED_NOTHING;

	for (uint32_t v = 0; v < n; v++) {
		struct atom a = {m, f, v};
		uint32_t breadth = atom_breadth(&a);

		if (breadth == ATOM_BREADTH_MAX)
			return NEED_NOTHING;
		cost += (uint64_t)breadth * key_counts_of(counts, atom_key(&a));
	}
	return cost;
}

struct match_need match_need_of(const struct match *m, const struct key_counts *counts)
{
	struct match_need need = {.cost = NEED_NOTHING};

	if (m->not_understood)
		return need;
	for (enum atom_field f = 0; f < ATOM_POSITIVES; f++) {
		uint64_t cost = field_cost(m, f, counts);

		if (cost < need.cost)
			need = (struct match_need){.field = f, .cost = cost};
	}
	return need;
}

static uint64_t clause_cost(const struct clause *c, enum policy_action action,
                            const struct key_counts *counts)
{
	uint64_t sum = 0;

	if (c->match_count == 0)
		return NEED_NOTHING;
	for (size_t i = 0; i < c->match_count; i++) {
		struct match_need need = match_need_of(&c->matches[i], counts);

		if (match_is_dead(&c->matches[i], action))
			continue;
		if (need.cost == NEED_NOTHING)
			return NEED_NOTHING;
		sum += need.cost;
	}
	return sum;
}

const struct clause *rule_key_clause(const struct rule *r, enum policy_action action,
                                     const struct key_counts *counts)
{
	const struct clause *best = NULL;
	uint64_t best_cost = NEED_NOTHING;

	for (size_t i = 0; i < r->clause_count; i++) {
		uint64_t cost = clause_cost(&r->clauses[i], action, counts);

		if (cost < best_cost) {
			best = &r->clauses[i];
			best_cost = cost;
		}
	}
	return best;
}

/* ---- vetoes ---- */

/* The match whose negations keep the clause, and so the rule, from holding; NULL if there is a way around. */
static const struct match *vetoer(const struct clause *c, enum policy_action action)
{
	const struct match *last = NULL;

	if (living(c, action, &last) != 1 || last->not_understood)
		return NULL;
	return last;
}

void rule_count_vetoes(const struct rule *r, enum policy_action action, struct key_counts *counts)
{
	for (size_t i = 0; i < r->clause_count; i++) {
		const struct match *m = vetoer(&r->clauses[i], action);

		for (enum atom_field f = ATOM_POSITIVES; m && f < ATOM_FIELDS; f++) {
			for (uint32_t v = 0; v < atom_count(m, f); v++)
				key_counts_add(counts, atom_key(&(struct atom){m, f, v}));
		}
	}
}

bool rule_veto(const struct rule *r, enum policy_action action, const struct key_counts *counts,
               struct atom *ret_veto)
{
	uint32_t most = 0;

	for (size_t i = 0; i < r->clause_count; i++) {
		const struct match *m = vetoer(&r->clauses[i], action);

		for (enum atom_field f = ATOM_POSITIVES; m && f < ATOM_FIELDS; f++) {
			for (uint32_t v = 0; v < atom_count(m, f); v++) {
				struct atom a = {m, f, v};

				if (key_counts_of(counts, atom_key(&a)) <= most)
					continue;
				most = key_counts_of(counts, atom_key(&a));
				*ret_veto = a;
			}
		}
	}
	return most > 0;
}

/* ---- sameness ---- */

static bool match_same(const struct match *a, const struct match *b)
{
	if (a->not_understood != b->not_understood)
		return false;
	for (enum atom_field f = 0; f < ATOM_FIELDS; f++) {
		size_t n = atom_count(a, f);

		if (n != atom_count(b, f))
			return false;
		for (uint32_t v = 0; v < n; v++) {
			if (!atom_same(&(struct atom){a, f, v}, &(struct atom){b, f, v}))
				return false;
		}
	}
	return true;
}

static bool clause_same(const struct clause *a, const struct clause *b)
{
	if (a->match_count != b->match_count)
		return false;
	for (size_t i = 0; i < a->match_count; i++) {
		if (!match_same(&a->matches[i], &b->matches[i]))
			return false;
	}
	return true;
}

bool rule_same(const struct rule *a, const struct rule *b)
{
	if (a->clause_count != b->clause_count)
		return false;
	for (size_t i = 0; i < a->clause_count; i++) {
		if (!clause_same(&a->clauses[i], &b->clauses[i]))
			return false;
	}
	return true;
}

static uint64_t hash_add(uint64_t hash, uint64_t x)
{
	return (hash ^ x) * 0x9e3779b97f4a7c15u + (hash >> 29);
}

static uint64_t match_hash(uint64_t hash, const struct match *m)
{
	for (enum atom_field f = 0; f < ATOM_FIELDS; f++) {
		for (uint32_t v = 0; v < atom_count(m, f); v++)
			hash = hash_add(hash, atom_key(&(struct atom){m, f, v}) + f);
	}
	return hash_add(hash, m->not_understood);
}

uint64_t rule_hash(const struct rule *r)
{
	uint64_t hash = r->clause_count;

	for (size_t i = 0; i < r->clause_count; i++) {
		hash = hash_add(hash, r->clauses[i].match_count);
		for (size_t k = 0; k < r->clauses[i].match_count; k++)
			hash = match_hash(hash, &r->clauses[i].matches[k]);
	}
	return hash;
}
