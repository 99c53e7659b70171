/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mesh/next_hop.h"

#include <stdio.h>
#include <string.h>

#include "common/mesh/balance.h"
#include "common/mesh/mesh_table.h"

/* A workload chosen to be connected to, and how it was reached. */
struct upstream {
	const struct workload *workload;
	const struct service *service; /* whose endpoint it is; NULL: addressed itself */
	uint16_t port;
};

/* The question and what has been drawn from its dice. */
struct route {
	const struct next_hop_query *q;
	struct next_hop *hop;
	uint64_t dice;
};

static void refuse(struct next_hop *hop, enum err cause, enum next_hop_reason reason)
{
	hop->kind = NEXT_HOP_REFUSE;
	hop->cause = cause;
	hop->reason = reason;
}

static void plain(struct next_hop *hop, const struct endpoint *to, enum next_hop_reason reason)
{
	hop->kind = NEXT_HOP_PLAIN;
	hop->cause = ERR_OK;
	hop->reason = reason;
	hop->connect = *to;
}

static bool own_port(const struct next_hop_query *q, uint16_t port)
{
	for (size_t i = 0; i < q->own_port_count; i++) {
		if (q->own_ports[i] == port)
			return true;
	}
	return false;
}

static bool family_allowed(enum ip_families families, const struct ip *ip)
{
	switch (families) {
	case FAMILIES_V4: return ip->family == IP_V4;
	case FAMILIES_V6: return ip->family == IP_V6;
	case FAMILIES_AUTOMATIC:
	case FAMILIES_DUAL: return true;
	}
	return true;
}

/*
 * Which of a workload's addresses to use for target (contract 7.2.2). NULL: none.
 */
static const struct ip *workload_ip(const struct upstream *up, const struct ip *target)
{
	const struct workload *w = up->workload;
	enum ip_families families = up->service ? up->service->ip_families : FAMILIES_AUTOMATIC;
	const struct ip *first = NULL;

	for (size_t i = 0; i < w->ip_count; i++) {
		if (ip_eq(&w->ips[i], target))
			return &w->ips[i];
	}
	for (size_t i = 0; i < w->ip_count; i++) {
		if (!family_allowed(families, &w->ips[i]))
			continue;
		if (w->ips[i].family == target->family)
			return &w->ips[i];
		if (!first)
			first = &w->ips[i];
	}
	return first;
}

/* Connect to up, at an address or at a name still to be resolved; refuses when it has neither. */
static bool connect_to(struct next_hop *hop, const struct upstream *up, const struct ip *target)
{
	const struct ip *ip = workload_ip(up, target);

	hop->dst = up->workload;
	hop->connect = (struct endpoint){.port = up->port};
	if (ip) {
		hop->connect.ip = *ip;
	} else if (up->workload->hostname[0] != '\0') {
		hop->hostname = up->workload->hostname;
	} else {
		refuse(hop, ERR_NO_UPSTREAM, NEXT_HOP_NO_ADDRESS);
		return false;
	}
	hop->cause = ERR_OK;
	return true;
}

/* An endpoint of s for this port. Errs: ERR_NO_UPSTREAM */
static enum err service_upstream(struct route *r, const struct service *s, uint16_t port,
                                 enum balance_use use, struct upstream *ret_up)
{
	struct balance_query bq = {
		.service = s,
		.source = r->q->source,
		.port = port,
		.use = use,
		.dice = dice_roll(&r->dice),
	};
	struct balance_pick pick;

	if (s->load_balancer.present && s->load_balancer.mode == LB_PASSTHROUGH)
		return ERR_NO_UPSTREAM;
	enum err e = balance_pick(&bq, &pick);

	if (e == ERR_OK)
		*ret_up = (struct upstream){pick.endpoint->workload, s, pick.port};
	return e;
}

/* Service first, then workload (contract 7.2 step 4). Errs: ERR_NO_UPSTREAM */
static enum err find_upstream(struct route *r, const char *network, const struct endpoint *to,
                              enum balance_use use, struct upstream *ret_up)
{
	const struct mesh *m = r->q->mesh;
	const struct service *s = mesh_service_by_vip(m, network, &to->ip, r->q->source->namespace);

	if (s)
		return service_upstream(r, s, to->port, use, ret_up);

	const struct workload *w = mesh_workload_by_ip(m, network, &to->ip);

	if (!w)
		return ERR_NO_UPSTREAM;
	*ret_up = (struct upstream){w, NULL, to->port};
	return ERR_OK;
}

/* The workload behind a waypoint's or gateway's reference (contract 7.2.1). Errs: ERR_NO_UPSTREAM */
static enum err referred_upstream(struct route *r, const struct gateway_address *g,
                                  enum balance_use use, struct upstream *ret_up)
{
	const struct mesh *m = r->q->mesh;

	if (g->kind == GATEWAY_ADDRESS) {
		struct endpoint to = {.ip = g->ip, .port = g->hbone_mtls_port};

		return find_upstream(r, g->network, &to, use, ret_up);
	}

	const struct service *s = mesh_service_by_key(m, g->namespace, g->hostname);

	if (s)
		return service_upstream(r, s, g->hbone_mtls_port, use, ret_up);

	const struct workload *w = mesh_workload_by_hostname(m, g->namespace, g->hostname);

	if (!w)
		return ERR_NO_UPSTREAM;
	*ret_up = (struct upstream){w, NULL, g->hbone_mtls_port};
	return ERR_OK;
}

/* Whose family of addresses counts when what g refers to has several (contract 7.2.1). */
static const struct ip *referred_target(const struct route *r, const struct gateway_address *g)
{
	return g->kind == GATEWAY_ADDRESS ? &g->ip : &r->q->target.ip;
}

/* up is on another network: only its gateway leads there, and only to a service (contract 7.2 step 5, 6.6). */
static void to_gateway(struct route *r, const struct upstream *up)
{
	const struct gateway_address *g = &up->workload->network_gateway;
	struct next_hop *hop = r->hop;
	struct upstream gateway;

	hop->dst = up->workload;
	if (!hop->service || !up->service) {
		refuse(hop, ERR_NO_GATEWAY, NEXT_HOP_NO_SERVICE);
		return;
	}
	if (g->kind == GATEWAY_NONE) {
		refuse(hop, ERR_NO_GATEWAY, NEXT_HOP_NO_GATEWAY);
		return;
	}
	hop->gateway = g;
	if (referred_upstream(r, g, BALANCE_STANDARD, &gateway) != ERR_OK) {
		refuse(hop, ERR_NO_GATEWAY, NEXT_HOP_GATEWAY_UNRESOLVED);
		return;
	}
	if (!connect_to(hop, &gateway, referred_target(r, g)))
		return;
	hop->kind = NEXT_HOP_DOUBLE_HBONE;
	hop->reason = NEXT_HOP_NETWORK_GATEWAY;
	hop->authority.port = r->q->target.port;
	hop->authority_host = hop->service->hostname;
	hop->san_service = gateway.service;
	hop->inner_service = up->service;
}

/* HBONE to the waypoint, the authority as the client wrote it; no waypoint, no connection. */
static void to_waypoint(struct route *r, const struct gateway_address *g,
                        enum next_hop_reason reason)
{
	struct next_hop *hop = r->hop;
	struct upstream up;

	hop->waypoint = g;
	if (referred_upstream(r, g, BALANCE_WAYPOINT, &up) != ERR_OK) {
		refuse(hop, ERR_NO_WAYPOINT, NEXT_HOP_WAYPOINT_UNRESOLVED);
		return;
	}
	if (strcmp(up.workload->network, r->q->source->network) != 0) {
		to_gateway(r, &up);
		return;
	}
	if (!connect_to(hop, &up, referred_target(r, g)))
		return;
	hop->kind = NEXT_HOP_HBONE;
	hop->reason = reason;
	hop->authority = r->q->target;
	hop->san_service = up.service;
}

/* One of the weighted waypoints by chance, else the plain one, else NULL. */
static const struct gateway_address *service_waypoint(struct route *r, const struct service *s)
{
	uint64_t total = 0;

	for (size_t i = 0; i < s->weighted_waypoint_count; i++)
		total += s->weighted_waypoints[i].weight;
	if (total == 0)
		return s->waypoint.kind == GATEWAY_NONE ? NULL : &s->waypoint;

	uint64_t drawn = dice_below(&r->dice, total);

	for (size_t i = 0; i < s->weighted_waypoint_count; i++) {
		if (drawn < s->weighted_waypoints[i].weight)
			return &s->weighted_waypoints[i].destination;
		drawn -= s->weighted_waypoints[i].weight;
	}
	return NULL;
}

static bool has_ip(const struct workload *w, const struct ip *ip)
{
	for (size_t i = 0; i < w->ip_count; i++) {
		if (ip_eq(&w->ips[i], ip))
			return true;
	}
	return false;
}

/* The caller is w itself: the same identity, and one of w's addresses. */
static bool is_caller(const struct next_hop_query *q, const struct workload *w)
{
	return strcmp(q->source->identity, w->identity) == 0 && has_ip(w, &q->client.ip);
}

static const struct service *gateway_service(const struct mesh *m, const struct gateway_address *g)
{
	if (g->kind == GATEWAY_HOSTNAME)
		return mesh_service_by_key(m, g->namespace, g->hostname);
	return mesh_service_by_vip(m, g->network, &g->ip, NULL);
}

/* A waypoint calling one of its own: straight on, or it would call itself for ever. */
static bool from_waypoint(const struct next_hop_query *q, const struct gateway_address *g)
{
	const struct service *s = gateway_service(q->mesh, g);
	const struct workload *w;

	if (s) {
		for (size_t i = 0; i < s->endpoint_count; i++) {
			if (is_caller(q, s->endpoints[i].workload))
				return true;
		}
		return false;
	}
	if (g->kind == GATEWAY_HOSTNAME)
		w = mesh_workload_by_hostname(q->mesh, g->namespace, g->hostname);
	else
		w = mesh_workload_by_ip(q->mesh, g->network, &g->ip);
	return w && is_caller(q, w);
}

static void direct(struct route *r, const struct upstream *up)
{
	struct next_hop *hop = r->hop;

	if (!connect_to(hop, up, &r->q->target.ip))
		return;
	hop->reason = up->service ? NEXT_HOP_SERVICE_ENDPOINT : NEXT_HOP_WORKLOAD_ADDRESS;
	if (up->workload->protocol != TUNNEL_HBONE) {
		hop->kind = NEXT_HOP_PLAIN;
		return;
	}
	hop->kind = NEXT_HOP_HBONE;
	hop->authority = hop->connect;
	hop->authority_is_connect = true;
	hop->connect.port = r->q->hbone_port;
	hop->san_service = up->service;
}

static bool service_passes_through(const struct service *s)
{
	return s->load_balancer.present && s->load_balancer.mode == LB_PASSTHROUGH;
}

/* The mesh has nobody to pick for the target: unknown to it, or known and out of endpoints. */
static void no_upstream(struct route *r, const struct service *s)
{
	struct next_hop *hop = r->hop;

	if (s && !service_passes_through(s)) {
		refuse(hop, ERR_NO_UPSTREAM, NEXT_HOP_NO_ENDPOINT);
		return;
	}
	hop->passthrough = true;
	plain(hop, &r->q->target, s ? NEXT_HOP_PASSTHROUGH_SERVICE : NEXT_HOP_UNKNOWN_ADDRESS);
}

static void choose(struct route *r)
{
	const struct next_hop_query *q = r->q;
	const struct workload *addressed = mesh_workload_by_ip(q->mesh, q->network, &q->target.ip);
	const struct service *s = NULL;
	struct upstream up;

	if (!addressed)
		s = mesh_service_by_vip(q->mesh, q->network, &q->target.ip, q->source->namespace);
	r->hop->service = s;

	const struct gateway_address *g = s ? service_waypoint(r, s) : NULL;

	if (g) {
		to_waypoint(r, g, NEXT_HOP_SERVICE_WAYPOINT);
		return;
	}
	if (find_upstream(r, q->source->network, &q->target, BALANCE_STANDARD, &up) != ERR_OK) {
		no_upstream(r, s);
		return;
	}
	if (up.service && up.service != s) { /* an address that is a workload's and a service's */
		r->hop->service = up.service;
		g = service_waypoint(r, up.service);
		if (g) {
			to_waypoint(r, g, NEXT_HOP_SERVICE_WAYPOINT);
			return;
		}
	}
	if (strcmp(up.workload->network, q->source->network) != 0) {
		to_gateway(r, &up);
		return;
	}
	g = &up.workload->waypoint;
	if (!up.service && g->kind != GATEWAY_NONE && !from_waypoint(q, g)) {
		to_waypoint(r, g, NEXT_HOP_WORKLOAD_WAYPOINT);
		return;
	}
	direct(r, &up);
}

void next_hop_choose(const struct next_hop_query *q, struct next_hop *ret_hop)
{
	struct route r = {.q = q, .hop = ret_hop, .dice = q->dice};

	*ret_hop = (struct next_hop){.kind = NEXT_HOP_REFUSE, .cause = ERR_INTERNAL};
	if (!q->source) {
		refuse(ret_hop, ERR_NO_WORKLOAD, NEXT_HOP_NO_SOURCE);
		return;
	}
	if (ip_is_loopback(&q->target.ip) && own_port(q, q->target.port)) {
		refuse(ret_hop, ERR_LOOP, NEXT_HOP_OWN_PORT);
		return;
	}
	choose(&r);
}

enum err next_hop_resolved(struct next_hop *hop, const struct ip *ips, size_t n,
                           const struct ip *target, uint64_t dice)
{
	size_t alike = 0, drawn;

	for (size_t i = 0; i < n; i++)
		alike += ips[i].family == target->family;
	if (n == 0)
		return ERR_RESOLVE;
	drawn = dice_below(&dice, alike > 0 ? alike : n);
	for (size_t i = 0; i < n; i++) {
		if (alike > 0 && ips[i].family != target->family)
			continue;
		if (drawn-- == 0) {
			hop->connect.ip = ips[i];
			break;
		}
	}
	if (hop->authority_is_connect)
		hop->authority.ip = hop->connect.ip;
	hop->hostname = NULL;
	return ERR_OK;
}

size_t next_hop_identity_count(const struct next_hop *hop)
{
	if (hop->kind != NEXT_HOP_HBONE && hop->kind != NEXT_HOP_DOUBLE_HBONE)
		return 0;
	return 1 + (hop->san_service ? hop->san_service->identity_count : 0);
}

const char *next_hop_identity(const struct next_hop *hop, size_t i)
{
	return i == 0 ? hop->dst->identity : hop->san_service->identities[i - 1];
}

size_t next_hop_inner_identity_count(const struct next_hop *hop)
{
	return hop->kind == NEXT_HOP_DOUBLE_HBONE ? hop->inner_service->identity_count : 0;
}

const char *next_hop_inner_identity(const struct next_hop *hop, size_t i)
{
	return hop->inner_service->identities[i];
}

static const char *gateway_text(const struct gateway_address *g, char *out, size_t out_len)
{
	char ip[IP_TEXT_MAX];

	if (g->kind == GATEWAY_HOSTNAME)
		(void)snprintf(out, out_len, "%s/%s", g->namespace, g->hostname);
	else
		(void)snprintf(out, out_len, "%s/%s", g->network, ip_format(&g->ip, ip));
	return out;
}

const char *next_hop_words(const struct next_hop *hop, char out[NEXT_HOP_WORDS_MAX])
{
	static const char *const words[] = {
		[NEXT_HOP_NO_SOURCE] = "refused: the mesh does not know the workload that asks",
		[NEXT_HOP_OWN_PORT] = "refused: the destination is one of the proxy's own ports",
		[NEXT_HOP_UNKNOWN_ADDRESS] =
			"the mesh does not know this address: plain TCP, as asked",
		[NEXT_HOP_PASSTHROUGH_SERVICE] =
			"its load balancer says Passthrough: plain TCP, as asked",
		[NEXT_HOP_NO_ENDPOINT] =
			"refused: no healthy endpoint with this port, in reach of the load balancer's mode",
		[NEXT_HOP_NO_GATEWAY] =
			"refused: the endpoint is on another network and names no network gateway",
		[NEXT_HOP_NO_SERVICE] =
			"refused: a workload of another network is only reached through a service",
		[NEXT_HOP_GATEWAY_UNRESOLVED] =
			"refused: the endpoint is on another network whose gateway has no endpoint",
		[NEXT_HOP_NO_ADDRESS] =
			"refused: the endpoint has no address of a family the service allows",
		[NEXT_HOP_WAYPOINT_UNRESOLVED] =
			"refused: the waypoint it must go through has no endpoint",
		[NEXT_HOP_SERVICE_WAYPOINT] = "the service has a waypoint: HBONE to it",
		[NEXT_HOP_WORKLOAD_WAYPOINT] = "the workload has a waypoint: HBONE to it",
		[NEXT_HOP_SERVICE_ENDPOINT] = "an endpoint of the service",
		[NEXT_HOP_WORKLOAD_ADDRESS] = "the address of a workload",
		[NEXT_HOP_NETWORK_GATEWAY] =
			"an endpoint on another network: HBONE within HBONE through its gateway",
	};
	const struct gateway_address *via = hop->gateway ? hop->gateway : hop->waypoint;
	char gateway[160] = "";
	const char *how = "";

	if (hop->reason == NEXT_HOP_SERVICE_ENDPOINT || hop->reason == NEXT_HOP_WORKLOAD_ADDRESS)
		how = hop->kind == NEXT_HOP_HBONE ? " that speaks HBONE"
		                                  : " outside the mesh: plain TCP";
	if (via)
		(void)gateway_text(via, gateway, sizeof(gateway));
	(void)snprintf(out, NEXT_HOP_WORDS_MAX, "%s%s%s%s%s", words[hop->reason], how,
	               gateway[0] ? " (" : "", gateway, gateway[0] ? ")" : "");
	return out;
}
