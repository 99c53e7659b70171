/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mesh/authz_sets.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/mesh/authz_filing.h"

struct namespace_set {
	const char *namespace;
	struct authz_set set;
};

struct authz_sets {
	const struct namespace_set *v; /* sorted by namespace */
	size_t n;
	struct authz_set none;
	size_t indexed_room; /* rules that may still be indexed */
};

const char *authz_sets_namespace(const struct policy *p)
{
	return p->scope == POLICY_GLOBAL ? "" : p->namespace;
}

static size_t rules_of(struct policy_list list)
{
	size_t n = 0;

	for (size_t i = 0; i < list.n; i++)
		n += list.v[i]->rule_count;
	return n;
}

static void set_init(struct authz_sets *s, struct mesh *m, struct authz_set *set,
                     struct policy_list list)
{
	size_t rules = rules_of(list);

	set->list = list;
	for (size_t i = 0; i < list.n; i++)
		set->exists[list.v[i]->action][list.v[i]->dry_run] = true;
	set->indexed = rules > AUTHZ_PLAIN_RULES_MAX && rules <= s->indexed_room;
	if (!set->indexed)
		return;
	s->indexed_room -= rules;
	for (unsigned int action = POLICY_ALLOW; action <= POLICY_DENY; action++) {
		for (unsigned int dry = 0; dry < 2; dry++)
			set->parts[action][dry] =
				authz_filing_new(m, list, (enum policy_action)action, dry != 0);
	}
}

static bool same_namespace(const struct policy *a, const struct policy *b)
{
	return strcmp(authz_sets_namespace(a), authz_sets_namespace(b)) == 0;
}

static void make_namespace_sets(struct authz_sets *s, struct mesh *m, struct policy_list scoped)
{
	struct namespace_set *v = mesh_alloc(m, scoped.n * sizeof(*v));

	for (size_t i = 0; i < scoped.n;) {
		struct policy_list run = {.v = scoped.v + i};

		while (i < scoped.n && same_namespace(run.v[0], scoped.v[i])) {
			run.n++;
			i++;
		}
		v[s->n].namespace = authz_sets_namespace(run.v[0]);
		set_init(s, m, &v[s->n].set, run);
		s->n++;
	}
	s->v = v;
}

/* Workloads with the same list side by side. */
static int list_cmp(const void *a, const void *b)
{
	const struct workload *x = *(struct workload *const *)a, *y = *(struct workload *const *)b;

	if (x->policy_count != y->policy_count)
		return x->policy_count < y->policy_count ? -1 : 1;
	return memcmp(x->policies, y->policies, x->policy_count * sizeof(*x->policies));
}

static void make_workload_sets(struct authz_sets *s, struct mesh *m)
{
	struct workload **v = mem_new(m->workload_count * sizeof(*v));
	struct authz_set *set = &s->none;

	if (m->workload_count > 0)
		memcpy(v, m->workloads, m->workload_count * sizeof(*v));
	qsort(v, m->workload_count, sizeof(*v), list_cmp);
	for (size_t i = 0; i < m->workload_count; i++) {
		struct policy_list list = {.v = v[i]->policies, .n = v[i]->policy_count};

		if (list.n > 0 && (i == 0 || list_cmp(&v[i - 1], &v[i]) != 0)) {
			set = mesh_alloc(m, sizeof(*set));
			set_init(s, m, set, list);
		}
		v[i]->policy_set = set;
	}
	free(v);
}

struct authz_sets *authz_sets_new(struct mesh *m, struct policy_list scoped, size_t indexed_max)
{
	struct authz_sets *s = mesh_alloc(m, sizeof(*s));

	s->indexed_room = indexed_max;
	make_namespace_sets(s, m, scoped);
	make_workload_sets(s, m);
	return s;
}

const struct authz_set *authz_sets_of_namespace(const struct authz_sets *s, const char *namespace)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (strcmp(s->v[mid].namespace, namespace) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	if (low < s->n && strcmp(s->v[low].namespace, namespace) == 0)
		return &s->v[low].set;
	return &s->none;
}

static bool listed_already(const struct authz_hit *hits, size_t n, const struct policy *p)
{
	for (size_t i = 0; i < n; i++) {
		if (hits[i].policy == p)
			return true;
	}
	return false;
}

static bool first_rule(const struct policy *p, const struct authz_peer *peer, size_t *ret_rule)
{
	for (size_t i = 0; i < p->rule_count; i++) {
		if (rule_holds(&p->rules[i], p->action, peer)) {
			*ret_rule = i;
			return true;
		}
	}
	return false;
}

size_t authz_set_find_plainly(const struct authz_set *set, struct authz_part part,
                              const struct authz_peer *peer, struct authz_hit *out, size_t want)
{
	size_t n = 0;

	for (size_t i = 0; i < set->list.n && n < want; i++) {
		const struct policy *p = set->list.v[i];
		size_t rule;

		if (p->action != part.action || p->dry_run != part.dry_run)
			continue;
		if (!listed_already(out, n, p) && first_rule(p, peer, &rule))
			out[n++] = (struct authz_hit){.policy = p, .rule = rule};
	}
	return n;
}

size_t authz_set_find(const struct authz_set *set, struct authz_part part,
                      const struct authz_peer *peer, struct authz_hit *out, size_t want)
{
	const struct authz_index *x = set->parts[part.action][part.dry_run];

	if (!set->exists[part.action][part.dry_run])
		return 0;
	if (!set->indexed)
		return authz_set_find_plainly(set, part, peer, out, want);
	return authz_index_find(x, peer, out, want);
}
