/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mesh/balance.h"

#include <string.h>

/* splitmix64 (Steele, Lea, Flood 2014): a full-period sequence whose every output is well mixed. */
uint64_t dice_roll(uint64_t *dice)
{
	uint64_t z = (*dice += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint64_t dice_below(uint64_t *dice, uint64_t bound)
{
	return dice_roll(dice) % bound;
}

/* 0 if the endpoint cannot take this port (contract 7.3 "Port", and the eligibility per use). */
static uint16_t endpoint_port(const struct balance_query *q, const struct service_endpoint *e)
{
	const struct port_mapping *listed = port_map_find(&q->service->ports, q->port);
	const struct port_mapping *own = port_map_find(&e->ports, q->port);
	const struct app_tunnel *tunnel = &e->workload->app_tunnel;

	if (q->use == BALANCE_STANDARD && !listed)
		return 0;
	if (own && own->target_port != 0)
		return own->target_port;
	if (listed && listed->target_port != 0)
		return listed->target_port;
	if (q->use == BALANCE_WAYPOINT && tunnel->present && tunnel->port != 0)
		return q->port;
	return 0;
}

static bool reachable(const struct workload *source, const struct workload *w)
{
	if (w->ip_count > 0 || w->hostname[0] != '\0')
		return true;
	return w->network_gateway.kind != GATEWAY_NONE && strcmp(w->network, source->network) != 0;
}

static const char *scope_text(const struct workload *w, enum lb_scope scope)
{
	switch (scope) {
	case SCOPE_REGION: return w->locality.region;
	case SCOPE_ZONE: return w->locality.zone;
	case SCOPE_SUBZONE: return w->locality.subzone;
	case SCOPE_NODE: return w->node;
	case SCOPE_CLUSTER: return w->cluster_id;
	case SCOPE_NETWORK: return w->network;
	}
	return "";
}

static bool scope_matches(const struct workload *source, const struct workload *w,
                          enum lb_scope scope)
{
	return strcmp(scope_text(source, scope), scope_text(w, scope)) == 0;
}

/* Leading preferences matched; a leading NETWORK outweighs all others together (contract 7.3). */
static unsigned int failover_rank(const struct load_balancer *lb, const struct workload *source,
                                  const struct workload *w)
{
	unsigned int rank = 0;

	for (size_t i = 0; i < lb->preference_count; i++) {
		bool network_first = i == 0 && lb->preferences[0] == SCOPE_NETWORK;

		if (scope_matches(source, w, lb->preferences[i]))
			rank += network_first ? (unsigned int)lb->preference_count : 1;
		else if (!network_first)
			break;
	}
	return rank;
}

static bool matches_all(const struct load_balancer *lb, const struct workload *source,
                        const struct workload *w)
{
	for (size_t i = 0; i < lb->preference_count; i++) {
		if (!scope_matches(source, w, lb->preferences[i]))
			return false;
	}
	return true;
}

/* How good an endpoint is, from 1; 0: not eligible. */
static unsigned int endpoint_rank(const struct balance_query *q, const struct service_endpoint *e)
{
	const struct load_balancer *lb = &q->service->load_balancer;

	if (!reachable(q->source, e->workload) || endpoint_port(q, e) == 0)
		return 0;
	if (!lb->present)
		return 1;
	switch (lb->mode) {
	case LB_STANDARD:
	case LB_PASSTHROUGH: return 1;
	case LB_STRICT: return matches_all(lb, q->source, e->workload) ? 1 : 0;
	case LB_FAILOVER: return 1 + failover_rank(lb, q->source, e->workload);
	}
	return 0;
}

enum err balance_pick(const struct balance_query *q, struct balance_pick *ret_pick)
{
	const struct service *s = q->service;
	unsigned int top_rank = 0;
	uint64_t weight = 0;
	uint64_t dice = q->dice;

	for (size_t i = 0; i < s->endpoint_count; i++) {
		const struct service_endpoint *e = &s->endpoints[i];
		unsigned int rank = endpoint_rank(q, e);

		if (rank == 0 || rank < top_rank)
			continue;
		if (rank > top_rank)
			weight = 0;
		top_rank = rank;
		weight += e->workload->capacity;
	}
	if (weight == 0)
		return ERR_NO_UPSTREAM;

	uint64_t drawn = dice_below(&dice, weight);

	for (size_t i = 0; i < s->endpoint_count; i++) {
		const struct service_endpoint *e = &s->endpoints[i];

		if (endpoint_rank(q, e) != top_rank)
			continue;
		if (drawn < e->workload->capacity) {
			*ret_pick = (struct balance_pick){e, endpoint_port(q, e)};
			return ERR_OK;
		}
		drawn -= e->workload->capacity;
	}
	return ERR_INTERNAL; /* the weights did not change between the passes */
}
