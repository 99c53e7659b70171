/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mesh/authz.h"

#include <stdio.h>

#include "common/mesh/authz_sets.h"

enum { POLICY_SOURCES = 3 };

typedef size_t find_fn(const struct authz_set *set, struct authz_part part,
                       const struct authz_peer *peer, struct authz_hit *out, size_t want);

/* Who asks, and the three places a workload's policies come from (contract 8.1). */
struct question {
	const struct authz_set *sets[POLICY_SOURCES];
	size_t set_count;
	struct authz_peer peer;
	find_fn *find;
};

static bool any_exists(const struct question *q, enum policy_action action, bool dry_run)
{
	for (size_t i = 0; i < q->set_count; i++) {
		if (q->sets[i]->exists[action][dry_run])
			return true;
	}
	return false;
}

/* The first policy of this action that matches becomes a's. */
static bool first_match(const struct question *q, enum policy_action action, struct authz_answer *a)
{
	struct authz_part part = {.action = action};
	struct authz_hit hit;

	for (size_t i = 0; i < q->set_count; i++) {
		if (q->find(q->sets[i], part, &q->peer, &hit, 1) == 0)
			continue;
		a->policy = hit.policy;
		a->rule = hit.rule;
		return true;
	}
	return false;
}

static void note(struct authz_answer *a, const struct policy *p, size_t rule)
{
	for (size_t i = 0; i < a->note_count; i++) {
		if (a->notes[i].policy == p)
			return; /* a workload may name a policy that applies to it anyway */
	}
	if (a->note_count == AUTHZ_NOTES_MAX)
		a->notes_cut = true;
	else
		a->notes[a->note_count++] = (struct authz_note){.policy = p, .rule = rule};
}

/* Note the dry-run policies of this action that match; false: none does. */
static bool note_matches(const struct question *q, enum policy_action action,
                         struct authz_answer *a)
{
	struct authz_part part = {.action = action, .dry_run = true};
	struct authz_hit
		hits[AUTHZ_NOTES_MAX + 1]; /* one more than fit: to know that they do not */
	bool any = false;

	for (size_t i = 0; i < q->set_count; i++) {
		size_t n = q->find(q->sets[i], part, &q->peer, hits, AUTHZ_NOTES_MAX + 1);

		any |= n > 0;
		for (size_t k = 0; k < n; k++)
			note(a, hits[k].policy, hits[k].rule);
	}
	return any;
}

/* Contract 8.2, step by step. */
static void decide(const struct question *q, struct authz_answer *a)
{
	*a = (struct authz_answer){.verdict = AUTHZ_DENY, .cause = ERR_POLICY_NO_ALLOW};
	(void)note_matches(q, POLICY_DENY, a);
	if (first_match(q, POLICY_DENY, a)) {
		a->cause = ERR_POLICY_DENY;
		return;
	}
	if (any_exists(q, POLICY_ALLOW, true) && !note_matches(q, POLICY_ALLOW, a))
		note(a, NULL, 0);
	if (any_exists(q, POLICY_ALLOW, false) && !first_match(q, POLICY_ALLOW, a))
		return;
	a->verdict = AUTHZ_ALLOW;
	a->cause = ERR_OK;
}

static void find_sets(struct question *q, const struct mesh *m, const struct workload *dst)
{
	/* "" is nobody's: it would be taken for another workload that has none */
	const struct workload *current = dst->uid[0] ? mesh_workload_by_uid(m, dst->uid) : NULL;

	if (!current)
		current = dst;
	q->sets[q->set_count++] = mesh_authz_of_namespace(m, "");
	q->sets[q->set_count++] = mesh_authz_of_namespace(m, current->namespace);
	if (current->policy_set) /* a workload of no mesh has none */
		q->sets[q->set_count++] = current->policy_set;
}

static void check(const struct mesh *m, const struct workload *dst, const struct authz_facts *facts,
                  find_fn *find, struct authz_answer *ret_answer)
{
	struct question q = {.find = find};
	struct identity_parts nobody = {span_str(""), span_str(""), span_str(""), span_str("")};

	q.peer = (struct authz_peer){.source_ip = facts->source_ip,
	                             .destination = facts->destination,
	                             .identified = facts->identity != NULL,
	                             .id = nobody};
	if (facts->identity && identity_split(span_str(facts->identity), &q.peer.id) != ERR_OK) {
		*ret_answer = (struct authz_answer){.cause = ERR_POLICY_DENY};
		return;
	}
	find_sets(&q, m, dst);
	decide(&q, ret_answer);
}

void authz_check(const struct mesh *m, const struct workload *dst, const struct authz_facts *facts,
                 struct authz_answer *ret_answer)
{
	check(m, dst, facts, authz_set_find, ret_answer);
}

void authz_check_plainly(const struct mesh *m, const struct workload *dst,
                         const struct authz_facts *facts, struct authz_answer *ret_answer)
{
	check(m, dst, facts, authz_set_find_plainly, ret_answer);
}

const char *authz_words(const struct authz_answer *a, char out[AUTHZ_WORDS_MAX])
{
	if (a->cause == ERR_POLICY_DENY && a->policy)
		(void)snprintf(out, AUTHZ_WORDS_MAX, "explicitly denied by: %s, rule %zu",
		               a->policy->key, a->rule + 1);
	else if (a->cause == ERR_POLICY_DENY)
		(void)snprintf(out, AUTHZ_WORDS_MAX,
		               "denied: the peer's identity is not spiffe://<td>/ns/<ns>/sa/<sa>");
	else if (a->verdict == AUTHZ_DENY)
		(void)snprintf(out, AUTHZ_WORDS_MAX, "allow policies exist, but none allowed");
	else if (a->policy)
		(void)snprintf(out, AUTHZ_WORDS_MAX, "allowed by: %s, rule %zu", a->policy->key,
		               a->rule + 1);
	else
		(void)snprintf(out, AUTHZ_WORDS_MAX, "allowed: no allow policy applies");
	return out;
}

const char *authz_note_words(const struct authz_note *n, char out[AUTHZ_WORDS_MAX])
{
	if (n->policy)
		(void)snprintf(out, AUTHZ_WORDS_MAX, "dry-run: would be %s by: %s, rule %zu",
		               n->policy->action == POLICY_DENY ? "denied" : "allowed",
		               n->policy->key, n->rule + 1);
	else
		(void)snprintf(out, AUTHZ_WORDS_MAX,
		               "dry-run: would be denied: dry-run allow policies exist, but none "
		               "would allow");
	return out;
}

const char *authz_where(const struct mesh *m, const struct policy *policy, size_t rule,
                        char out[AUTHZ_WORDS_MAX])
{
	uint32_t line = policy ? policy->rules[rule].pos.line : 0;

	if (!policy)
		out[0] = '\0';
	else if (line == 0)
		(void)snprintf(out, AUTHZ_WORDS_MAX, "rule %zu", rule + 1);
	else
		(void)snprintf(out, AUTHZ_WORDS_MAX, "rule %zu at %s:%u", rule + 1, m->source,
		               line);
	return out;
}
