/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/proxy/route.h"

#include <string.h>

#include "common/base/str.h"
#include "ztunnel/proxy/labels.h"

static enum err choose(struct route *r, const struct pod_proxy *pod, const struct endpoint *client,
                       const struct endpoint *target)
{
	struct proxy_worker *w = pod->worker;
	struct next_hop_query q = {
		.mesh = r->mesh,
		.source = r->self,
		.client = *client,
		.target = *target,
		.network = w->options->network,
		.hbone_port = PORT_HBONE,
		.own_ports = proxy_own_ports,
		.own_port_count = proxy_own_port_count(w->options),
		.dice = rand_u64(&w->dice),
	};
	struct tls_config *config;

	next_hop_choose(&q, &r->hop);
	if (r->hop.kind == NEXT_HOP_REFUSE)
		return r->hop.cause;
	if (!route_tunnels(r))
		return ERR_OK;
	config = proxy_worker_config(w, pod->pod->identity);
	if (config == NULL)
		return ERR_IDENTITY;
	r->config = tls_config_ref(config);
	for (unsigned int i = 0; i < 3; i++)
		r->dice[i] = rand_u64(&w->dice);
	return ERR_OK;
}

enum err route_choose(struct route *r, const struct pod_proxy *pod, const struct endpoint *client,
                      const struct endpoint *target)
{
	const struct workload *self = pod_proxy_workload(pod);
	enum err e = ERR_NO_WORKLOAD;

	*r = (struct route){.self = self, .identity = pod->pod->identity};
	if (self != NULL) {
		r->mesh = mesh_ref(pod->worker->mesh);
		e = choose(r, pod, client, target);
	}
	if (e != ERR_OK && e != ERR_IDENTITY)
		route_fini(r);
	return e;
}

void route_fini(struct route *r)
{
	tls_config_unref(r->config);
	mesh_unref(r->mesh);
	*r = (struct route){.self = NULL};
}

bool route_tunnels(const struct route *r)
{
	return r->hop.kind == NEXT_HOP_HBONE || route_nests(r);
}

bool route_nests(const struct route *r)
{
	return r->hop.kind == NEXT_HOP_DOUBLE_HBONE;
}

enum err route_settle(struct route *r)
{
	const char *host = r->hop.authority_host;

	if (!route_tunnels(r))
		return ERR_OK;
	r->authority.port = r->hop.authority.port;
	r->authority.ip = r->hop.authority.ip;
	if (host != NULL) {
		if (!http_host_valid(span_str(host)))
			return ERR_CONFIG; /* a wildcard: there is nobody of that name to ask for */
		r->authority.is_name = true;
		(void)str_copy(r->authority.host, sizeof(r->authority.host), span_str(host));
	}
	(void)http_authority_format(&r->authority, r->authority_text);
	return ERR_OK;
}

enum err route_head(const struct route *r, const struct endpoint *client, bool inner,
                    const char *network, struct hbone_fields *f)
{
	struct hbone_ask ask = {
		.authority = &r->authority,
		.client = *client,
		.baggage = labels_baggage(r->self),
		.inner = inner,
		.network = span_str(network),
	};

	if (r->hop.service != NULL)
		ask.service = span_str(r->hop.service->hostname);
	memcpy(ask.trace_id, r->dice, sizeof(ask.trace_id));
	memcpy(ask.span_id, &r->dice[2], sizeof(ask.span_id));
	return hbone_request_build(&ask, f);
}

enum err route_identities(const struct route *r, bool inner,
                          const char *identities[HBONE_KEY_IDENTITIES_MAX], unsigned int *ret_count)
{
	size_t n =
		inner ? next_hop_inner_identity_count(&r->hop) : next_hop_identity_count(&r->hop);

	if (n > HBONE_KEY_IDENTITIES_MAX)
		return ERR_LIMIT;
	for (size_t i = 0; i < n; i++)
		identities[i] =
			inner ? next_hop_inner_identity(&r->hop, i) : next_hop_identity(&r->hop, i);
	*ret_count = (unsigned int)n;
	return ERR_OK;
}

struct account_facts route_facts(const struct route *r, const struct endpoint *client)
{
	const struct next_hop *hop = &r->hop;
	struct account_facts f = {
		.direction = ACCESS_OUTBOUND,
		.src = *client,
		.dst = hop->connect,
		.src_workload = r->self,
		.dst_workload = hop->dst,
		.service = hop->service,
	};

	if (route_tunnels(r)) {
		f.src_identity = r->identity;
		f.dst_identity = hop->dst->identity;
		f.hbone_addr = r->authority_text;
	}
	return f;
}
