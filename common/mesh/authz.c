/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mesh/authz.h"

#include <stdio.h>
#include <string.h>

#include "common/mesh/mesh_table.h"

/* The facts, with the identity taken apart once. */
struct peer {
	const struct authz_facts *facts;
	bool identified;
	struct identity_parts id; /* all empty when not identified */
};

bool string_match_holds(const struct string_match *m, struct span text)
{
	switch (m->kind) {
	case MATCH_EXACT: return span_eq(m->text, text);
	case MATCH_PREFIX:
		return text.n >= m->text.n && span_eq(m->text, span_of(text.p, m->text.n));
	case MATCH_SUFFIX:
		return text.n >= m->text.n &&
		       span_eq(m->text, span_of(text.p + (text.n - m->text.n), m->text.n));
	case MATCH_PRESENCE: return text.n > 0;
	}
	return false;
}

static bool any_string(const struct string_matches *list, struct span text)
{
	for (size_t i = 0; i < list->n; i++) {
		if (string_match_holds(&list->v[i], text))
			return true;
	}
	return false;
}

/* Without an identity no principal matches, whatever the pattern (an empty prefix included). */
static bool any_principal(const struct string_matches *list, const struct peer *peer)
{
	return peer->identified && any_string(list, peer->id.principal);
}

static bool any_account(const struct account_matches *list, const struct peer *peer)
{
	if (!peer->identified)
		return false;
	for (size_t i = 0; i < list->n; i++) {
		if (span_eq_str(peer->id.namespace, list->v[i].namespace) &&
		    span_eq_str(peer->id.service_account, list->v[i].service_account))
			return true;
	}
	return false;
}

static bool any_prefix(const struct prefixes *list, const struct ip *ip)
{
	for (size_t i = 0; i < list->n; i++) {
		if (prefix_contains(&list->v[i], ip))
			return true;
	}
	return false;
}

static bool any_port(const struct ports *list, uint16_t port)
{
	for (size_t i = 0; i < list->n; i++) {
		if (list->v[i] == port)
			return true;
	}
	return false;
}

static bool match_empty(const struct match *m)
{
	return m->principals.n + m->not_principals.n + m->namespaces.n + m->not_namespaces.n +
	               m->service_accounts.n + m->not_service_accounts.n + m->source_ips.n +
	               m->not_source_ips.n + m->destination_ips.n + m->not_destination_ips.n +
	               m->destination_ports.n + m->not_destination_ports.n ==
	       0;
}

static bool who_matches(const struct match *m, const struct peer *peer)
{
	if (m->principals.n && !any_principal(&m->principals, peer))
		return false;
	if (any_principal(&m->not_principals, peer))
		return false;
	if (m->namespaces.n && !any_string(&m->namespaces, peer->id.namespace))
		return false;
	if (any_string(&m->not_namespaces, peer->id.namespace))
		return false;
	if (m->service_accounts.n && !any_account(&m->service_accounts, peer))
		return false;
	return !any_account(&m->not_service_accounts, peer);
}

static bool where_matches(const struct match *m, const struct authz_facts *f)
{
	const struct ip *to = &f->destination.ip;

	if (m->source_ips.n && !any_prefix(&m->source_ips, &f->source_ip))
		return false;
	if (any_prefix(&m->not_source_ips, &f->source_ip))
		return false;
	if (m->destination_ips.n && !any_prefix(&m->destination_ips, to))
		return false;
	if (any_prefix(&m->not_destination_ips, to))
		return false;
	if (m->destination_ports.n && !any_port(&m->destination_ports, f->destination.port))
		return false;
	return !any_port(&m->not_destination_ports, f->destination.port);
}

/*
 * A match without a condition is skipped, not "everything": istiod blanks layer 7 fields of DENY rules and the
 * leftovers must stay without effect (contract 8.3, 8.6).
 */
static bool clause_matches(const struct clause *c, const struct peer *peer)
{
	if (c->match_count == 0)
		return true;
	for (size_t i = 0; i < c->match_count; i++) {
		const struct match *m = &c->matches[i];

		if (!match_empty(m) && who_matches(m, peer) && where_matches(m, peer->facts))
			return true;
	}
	return false;
}

static bool rule_matches(const struct rule *r, const struct peer *peer)
{
	for (size_t i = 0; i < r->clause_count; i++) {
		if (!clause_matches(&r->clauses[i], peer))
			return false;
	}
	return true;
}

static bool policy_matches(const struct policy *p, const struct peer *peer, size_t *ret_rule)
{
	for (size_t i = 0; i < p->rule_count; i++) {
		if (rule_matches(&p->rules[i], peer)) {
			*ret_rule = i;
			return true;
		}
	}
	return false;
}

static void note(struct authz_answer *a, const struct policy *p, size_t rule)
{
	if (a->note_count < AUTHZ_NOTES_MAX)
		a->notes[a->note_count] = (struct authz_note){.policy = p, .rule = rule};
	a->note_count++;
}

/* What one pass over the policies of an action found. */
struct tally {
	bool exists, dry_run_exists, dry_run_matched;
};

enum { POLICY_SOURCES = 3 };

/* The three places a workload's policies come from (contract 8.1). */
struct applicable {
	struct policy_list lists[POLICY_SOURCES];
};

static bool first_match(const struct applicable *all, enum policy_action action,
                        const struct peer *peer, struct tally *tally, struct authz_answer *a)
{
	size_t rule = 0;

	for (size_t l = 0; l < POLICY_SOURCES; l++) {
		for (size_t i = 0; i < all->lists[l].n; i++) {
			const struct policy *p = all->lists[l].v[i];

			if (p->action != action)
				continue;
			tally->exists |= !p->dry_run;
			tally->dry_run_exists |= p->dry_run;
			if (!policy_matches(p, peer, &rule))
				continue;
			if (!p->dry_run) {
				a->policy = p;
				a->rule = rule;
				return true;
			}
			tally->dry_run_matched = true;
			note(a, p, rule);
		}
	}
	return false;
}

static void decide(const struct applicable *all, const struct peer *peer, struct authz_answer *a)
{
	struct tally deny = {0}, allow = {0};

	if (first_match(all, POLICY_DENY, peer, &deny, a)) {
		a->cause = ERR_POLICY_DENY;
		return;
	}
	bool allowed = first_match(all, POLICY_ALLOW, peer, &allow, a);

	if (allow.dry_run_exists && !allow.dry_run_matched)
		note(a, NULL, 0);
	if (allow.exists && !allowed) {
		a->cause = ERR_POLICY_NO_ALLOW;
		return;
	}
	a->verdict = AUTHZ_ALLOW;
	a->cause = ERR_OK;
}

void authz_check(const struct mesh *m, const struct workload *dst, const struct authz_facts *facts,
                 struct authz_answer *ret_answer)
{
	const struct workload *current = mesh_workload_by_uid(m, dst->uid);
	struct peer peer = {.facts = facts};

	if (!current)
		current = dst;
	if (facts->identity) {
		peer.identified = identity_split(span_str(facts->identity), &peer.id) == ERR_OK;
		if (!peer.identified) {
			*ret_answer = (struct authz_answer){.cause = ERR_POLICY_DENY};
			return;
		}
	}

	struct applicable all = {{
		mesh_policies_of_namespace(m, ""),
		mesh_policies_of_namespace(m, current->namespace),
		{.v = current->policies, .n = current->policy_count},
	}};

	if (current->namespace[0] == '\0')
		all.lists[1].n = 0; /* the same list as the global one */
	*ret_answer = (struct authz_answer){.verdict = AUTHZ_DENY, .cause = ERR_POLICY_NO_ALLOW};
	decide(&all, &peer, ret_answer);
}

const char *authz_words(const struct authz_answer *a, char out[AUTHZ_WORDS_MAX])
{
	if (a->cause == ERR_POLICY_DENY && a->policy)
		(void)snprintf(out, AUTHZ_WORDS_MAX, "explicitly denied by: %s", a->policy->key);
	else if (a->cause == ERR_POLICY_DENY)
		(void)snprintf(out, AUTHZ_WORDS_MAX,
		               "denied: the peer's identity is not spiffe://<td>/ns/<ns>/sa/<sa>");
	else if (a->verdict == AUTHZ_DENY)
		(void)snprintf(out, AUTHZ_WORDS_MAX, "allow policies exist, but none allowed");
	else if (a->policy)
		(void)snprintf(out, AUTHZ_WORDS_MAX, "allowed by: %s", a->policy->key);
	else
		(void)snprintf(out, AUTHZ_WORDS_MAX, "allowed: no allow policy applies");
	return out;
}

const char *authz_where(const struct mesh *m, const struct authz_answer *a,
                        char out[AUTHZ_WORDS_MAX])
{
	out[0] = '\0';
	if (!a->policy)
		return out;

	uint32_t line = a->policy->rules[a->rule].pos.line;

	if (line == 0)
		(void)snprintf(out, AUTHZ_WORDS_MAX, "rule %zu", a->rule + 1);
	else
		(void)snprintf(out, AUTHZ_WORDS_MAX, "rule %zu at %s:%u", a->rule + 1, m->source,
		               line);
	return out;
}
