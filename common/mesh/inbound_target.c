/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mesh/inbound_target.h"

#include <string.h>

#include "common/mesh/mesh_table.h"

static bool own_port(const struct inbound_query *q, uint16_t port)
{
	for (size_t i = 0; i < q->own_port_count; i++) {
		if (q->own_ports[i] == port)
			return true;
	}
	return false;
}

static bool has_ip(const struct workload *w, const struct ip *ip)
{
	for (size_t i = 0; i < w->ip_count; i++) {
		if (ip_eq(&w->ips[i], ip))
			return true;
	}
	return false;
}

/* The pod is a waypoint's, and g refers to that waypoint (contract 7.5 step 3). */
static bool is_gateway(const struct inbound_query *q, const struct gateway_address *g)
{
	const struct service *s = NULL;

	switch (g->kind) {
	case GATEWAY_NONE: return false;
	case GATEWAY_HOSTNAME:
		s = mesh_service_by_key(q->mesh, g->namespace, g->hostname);
		return s && mesh_membership(q->local, s);
	case GATEWAY_ADDRESS:
		s = mesh_service_by_vip(q->mesh, g->network, &g->ip, NULL);
		if (s)
			return mesh_membership(q->local, s) != NULL;
		return strcmp(g->network, q->local->network) == 0 && ip_eq(&g->ip, &q->local_ip);
	}
	return false;
}

static bool waypoint_of_service(const struct inbound_query *q, const struct service *s)
{
	for (size_t i = 0; i < s->weighted_waypoint_count; i++) {
		if (is_gateway(q, &s->weighted_waypoints[i].destination))
			return true;
	}
	return is_gateway(q, &s->waypoint);
}

/* The pod is the waypoint of whatever has this address. */
static bool waypoint_of(const struct inbound_query *q, const struct ip *ip)
{
	const struct workload *w = mesh_workload_by_ip(q->mesh, q->network, ip);

	if (w)
		return is_gateway(q, &w->waypoint);

	const struct service *s = mesh_service_by_vip(q->mesh, q->network, ip, NULL);

	return s && waypoint_of_service(q, s);
}

/*
 * May a stream that arrived at D ask for this address? Addresses that mean "here" or "everyone" never pass as
 * somebody else's; loopback passes only for a workload the mesh says lives there (a development set-up).
 */
static bool address_acceptable(const struct inbound_query *q)
{
	const struct ip *ip = &q->ep.ip;

	if (ip->family == IP_NONE || ip_is_unspecified(ip) || ip_is_multicast(ip))
		return false;
	if (ip_is_loopback(ip))
		return ip_eq(ip, &q->local_ip) && has_ip(q->local, ip);
	return ip_eq(ip, &q->local_ip) || q->local->app_tunnel.present || waypoint_of(q, ip);
}

/* The pod's port behind a service's; 0: unknown. */
static uint16_t service_target_port(const struct inbound_query *q, const struct service *s)
{
	const struct membership *b = mesh_membership(q->local, s);
	const struct port_mapping *own = b ? port_map_find(&b->ports, q->port) : NULL;
	const struct port_mapping *listed = port_map_find(&s->ports, q->port);

	if (own && own->target_port != 0)
		return own->target_port;
	return listed ? listed->target_port : 0;
}

/* An address of s to name in a PROXY header: of our network first, then IPv4 (contract 6.9). */
static const struct network_prefix *vip_to_tell(const struct inbound_query *q,
                                                const struct service *s)
{
	const struct network_prefix *best = NULL;
	int best_rank = -1;

	for (size_t i = 0; i < s->vip_count; i++) {
		const struct network_prefix *vip = &s->vips[i];
		int rank = (strcmp(vip->network, q->network) == 0 ? 2 : 0) +
		           (vip->prefix.ip.family == IP_V4 ? 1 : 0);

		if (rank > best_rank) {
			best = vip;
			best_rank = rank;
		}
	}
	return best;
}

static enum err find_told(const struct inbound_query *q, struct inbound_target *t)
{
	const struct network_prefix *vip;

	if (!q->is_host) {
		t->told = q->ep;
		return ERR_OK;
	}
	vip = vip_to_tell(q, t->service);
	if (!vip)
		return ERR_NO_VIP;
	t->told = (struct endpoint){.ip = vip->prefix.ip, .port = q->port};
	return ERR_OK;
}

static enum err apply_app_tunnel(const struct inbound_query *q, struct inbound_target *t)
{
	static const struct ip loopback_v4 = {.family = IP_V4, .bytes = {127, 0, 0, 1}};
	static const struct ip loopback_v6 = {.family = IP_V6, .bytes = {[15] = 1}};
	const struct app_tunnel *tunnel = &q->local->app_tunnel;

	if (tunnel->present && tunnel->port != 0)
		t->upstream.port = tunnel->port;
	t->connect = t->upstream;
	if (!tunnel->present || tunnel->protocol != APP_TUNNEL_PROXY)
		return ERR_OK;
	t->proxy_protocol = true;
	t->loopback = q->localhost_app_tunnel;
	if (t->loopback) {
		t->connect.ip = t->upstream.ip.family == IP_V4 ? loopback_v4 : loopback_v6;
		t->connect.scope_id = 0;
	}
	return find_told(q, t);
}

enum err inbound_target_hbone(const struct inbound_query *q, struct inbound_target *ret_target)
{
	struct inbound_target t = {.upstream = {.ip = q->local_ip}};
	enum err e;

	if (!q->local)
		return ERR_NO_WORKLOAD;
	if (q->is_host) {
		t.service = mesh_service_by_hostname(q->mesh, q->host, q->local->namespace);
		t.upstream.port = t.service ? service_target_port(q, t.service) : 0;
		if (t.upstream.port == 0)
			return ERR_NO_SERVICE;
	} else {
		if (!address_acceptable(q) || q->ep.port == 0)
			return ERR_HBONE_AUTHORITY;
		t.upstream.port = q->ep.port;
	}
	if (own_port(q, t.upstream.port))
		return ERR_LOOP;
	if (ip_eq(&q->ep.ip, &q->local_ip))
		t.upstream.scope_id = q->ep.scope_id;
	e = apply_app_tunnel(q, &t);
	if (e == ERR_OK)
		*ret_target = t;
	return e;
}

enum err inbound_target_plain(const struct inbound_query *q, struct inbound_target *ret_target)
{
	if (own_port(q, q->ep.port))
		return ERR_LOOP;
	if (!q->local)
		return ERR_NO_WORKLOAD;
	*ret_target = (struct inbound_target){.upstream = q->ep, .connect = q->ep};
	return ERR_OK;
}

/* Does this service lead to the port on the pod? */
static bool leads_to(const struct service *s, const struct membership *b, uint16_t port)
{
	for (size_t i = 0; i < s->ports.n; i++) {
		if (s->ports.v[i].target_port == port)
			return true;
	}
	for (size_t i = 0; i < b->ports.n; i++) {
		if (b->ports.v[i].target_port == port)
			return true;
	}
	return false;
}

const struct service *inbound_target_service(const struct inbound_query *q,
                                             const struct inbound_target *target,
                                             const char *forwarded_host)
{
	const struct service *by_port = NULL;

	if (target->service)
		return target->service;
	if (!q->local)
		return NULL;
	for (size_t i = 0; i < q->local->membership_count; i++) {
		const struct membership *b = &q->local->memberships[i];
		const struct service *s = mesh_service_by_key(q->mesh, b->namespace, b->hostname);

		if (!s)
			continue;
		if (forwarded_host && strcmp(s->hostname, forwarded_host) == 0)
			return s;
		if (!by_port && leads_to(s, b, target->upstream.port))
			by_port = s;
	}
	return by_port;
}
