/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mesh/authz_match.h"

bool string_match_holds(const struct string_match *m, struct span text)
{
	bool fits = text.n >= m->text.n;

	switch (m->kind) {
	case MATCH_EXACT: return span_eq(m->text, text);
	case MATCH_PREFIX: return fits && span_eq(m->text, span_of(text.p, m->text.n));
	case MATCH_SUFFIX:
		return fits && span_eq(m->text, span_of(text.p + (text.n - m->text.n), m->text.n));
	case MATCH_PRESENCE: break;
	}
	return text.n > 0;
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
static bool any_principal(const struct string_matches *list, const struct authz_peer *peer)
{
	return peer->identified && any_string(list, peer->id.principal);
}

bool account_match_holds(const struct account_match *m, const struct authz_peer *peer)
{
	return peer->identified && span_eq_str(peer->id.namespace, m->namespace) &&
	       span_eq_str(peer->id.service_account, m->service_account);
}

static bool any_account(const struct account_matches *list, const struct authz_peer *peer)
{
	for (size_t i = 0; i < list->n; i++) {
		if (account_match_holds(&list->v[i], peer))
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

bool match_is_empty(const struct match *m)
{
	size_t values = m->principals.n + m->not_principals.n + m->namespaces.n +
	                m->not_namespaces.n + m->service_accounts.n + m->not_service_accounts.n +
	                m->source_ips.n + m->not_source_ips.n + m->destination_ips.n +
	                m->not_destination_ips.n + m->destination_ports.n +
	                m->not_destination_ports.n;

	return values == 0 && !m->not_understood;
}

static bool who_holds(const struct match *m, const struct authz_peer *peer)
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

static bool where_holds(const struct match *m, const struct authz_peer *peer)
{
	const struct endpoint *to = &peer->destination;

	if (m->source_ips.n && !any_prefix(&m->source_ips, &peer->source_ip))
		return false;
	if (any_prefix(&m->not_source_ips, &peer->source_ip))
		return false;
	if (m->destination_ips.n && !any_prefix(&m->destination_ips, &to->ip))
		return false;
	if (any_prefix(&m->not_destination_ips, &to->ip))
		return false;
	if (m->destination_ports.n && !any_port(&m->destination_ports, to->port))
		return false;
	return !any_port(&m->not_destination_ports, to->port);
}

static bool match_holds(const struct match *m, enum policy_action action,
                        const struct authz_peer *peer)
{
	if (m->not_understood)
		return action == POLICY_DENY;
	/*
	 * A match without a condition is skipped, not "everything": istiod blanks layer 7 fields of DENY rules
	 * and the leftovers must stay without effect (contract 8.3, 8.6).
	 */
	return !match_is_empty(m) && where_holds(m, peer) && who_holds(m, peer);
}

static bool clause_holds(const struct clause *c, enum policy_action action,
                         const struct authz_peer *peer)
{
	for (size_t i = 0; i < c->match_count; i++) {
		if (match_holds(&c->matches[i], action, peer))
			return true;
	}
	return c->match_count == 0;
}

bool rule_holds(const struct rule *r, enum policy_action action, const struct authz_peer *peer)
{
	for (size_t i = 0; i < r->clause_count; i++) {
		if (!clause_holds(&r->clauses[i], action, peer))
			return false;
	}
	return true;
}
