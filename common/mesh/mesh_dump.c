/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mesh/mesh_dump.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/mesh/mesh_table.h"

/* "network/ip", "namespace/hostname": as long as the text it was read from, the address rewritten. */
enum { PAIR_TEXT_MAX = IDENTITY_TEXT_MAX + IP_TEXT_MAX };

static const char *pair(const char *first, const char *second, char out[PAIR_TEXT_MAX])
{
	(void)snprintf(out, PAIR_TEXT_MAX, "%s/%s", first, second);
	return out;
}

/* A member that is left out when it is "". */
static void given_str(struct json_write *w, const char *key, const char *text)
{
	if (text[0] != '\0')
		json_kv_str(w, key, text);
}

static void dump_gateway(struct json_write *w, const struct gateway_address *g)
{
	char text[PAIR_TEXT_MAX], ip[IP_TEXT_MAX];

	json_object_open(w);
	if (g->kind == GATEWAY_HOSTNAME)
		json_kv_str(w, "destination", pair(g->namespace, g->hostname, text));
	else
		json_kv_str(w, "destination", pair(g->network, ip_format(&g->ip, ip), text));
	json_kv_uint(w, "hboneMtlsPort", g->hbone_mtls_port);
	json_object_close(w);
}

static void given_gateway(struct json_write *w, const char *key, const struct gateway_address *g)
{
	if (g->kind == GATEWAY_NONE)
		return;
	json_key(w, key);
	dump_gateway(w, g);
}

static void dump_ports(struct json_write *w, const char *key, const struct port_map *map)
{
	char port[8];

	json_key(w, key);
	json_object_open(w);
	for (size_t i = 0; i < map->n; i++) {
		(void)snprintf(port, sizeof(port), "%u", map->v[i].service_port);
		json_kv_uint(w, port, map->v[i].target_port);
	}
	json_object_close(w);
}

static const char *health_text(enum health h)
{
	return h == HEALTH_HEALTHY ? "Healthy" : "Unhealthy";
}

static void dump_app_tunnel(struct json_write *w, const struct app_tunnel *t)
{
	if (!t->present)
		return;
	json_key(w, "applicationTunnel");
	json_object_open(w);
	json_kv_str(w, "protocol", t->protocol == APP_TUNNEL_PROXY ? "PROXY" : "NONE");
	json_key(w, "port");
	if (t->port)
		json_uint(w, t->port);
	else
		json_none(w);
	json_object_close(w);
}

static void dump_locality(struct json_write *w, const struct locality *l)
{
	if (!l->region[0] && !l->zone[0] && !l->subzone[0])
		return;
	json_key(w, "locality");
	json_object_open(w);
	json_kv_str(w, "region", l->region);
	json_kv_str(w, "zone", l->zone);
	json_kv_str(w, "subzone", l->subzone);
	json_object_close(w);
}

/* Services are their names in the live state, their ports too in the file's own form. */
static void dump_memberships(struct json_write *w, const struct workload *x, bool as_file)
{
	char text[PAIR_TEXT_MAX];

	if (as_file) {
		json_key(w, "services");
		json_object_open(w);
		for (size_t i = 0; i < x->membership_count; i++)
			dump_ports(
				w,
				pair(x->memberships[i].namespace, x->memberships[i].hostname, text),
				&x->memberships[i].ports);
		json_object_close(w);
		return;
	}
	if (x->membership_count == 0)
		return;
	json_key(w, "services");
	json_array_open(w);
	for (size_t i = 0; i < x->membership_count; i++)
		json_str(w, pair(x->memberships[i].namespace, x->memberships[i].hostname, text));
	json_array_close(w);
}

static void dump_policy_names(struct json_write *w, const struct workload *x)
{
	if (x->policy_name_count == 0)
		return;
	json_key(w, "authorizationPolicies");
	json_array_open(w);
	for (size_t i = 0; i < x->policy_name_count; i++)
		json_str(w, x->policy_names[i]);
	json_array_close(w);
}

static void dump_workload(struct json_write *w, const struct workload *x, bool as_file)
{
	char ip[IP_TEXT_MAX];

	json_object_open(w);
	json_key(w, "workloadIps");
	json_array_open(w);
	for (size_t i = 0; i < x->ip_count; i++)
		json_str(w, ip_format(&x->ips[i], ip));
	json_array_close(w);
	given_gateway(w, "waypoint", &x->waypoint);
	given_gateway(w, "networkGateway", &x->network_gateway);
	json_kv_str(w, "protocol", x->protocol == TUNNEL_HBONE ? "HBONE" : "TCP");
	json_kv_str(w, "networkMode", x->network_mode == NETWORK_HOST ? "HostNetwork" : "Standard");
	given_str(w, "uid", x->uid);
	json_kv_str(w, "name", x->name);
	json_kv_str(w, "namespace", x->namespace);
	given_str(w, "trustDomain", x->trust_domain_given ? x->trust_domain : "");
	given_str(w, "serviceAccount", x->service_account_given ? x->service_account : "");
	given_str(w, "network", x->network);
	given_str(w, "workloadName", x->workload_name);
	given_str(w, "workloadType", x->workload_type);
	given_str(w, "canonicalName", x->canonical_name);
	given_str(w, "canonicalRevision", x->canonical_revision);
	given_str(w, "hostname", x->hostname);
	given_str(w, "node", x->node);
	if (x->native_tunnel)
		json_kv_bool(w, "nativeTunnel", true);
	dump_app_tunnel(w, &x->app_tunnel);
	json_kv_str(w, "status", health_text(x->status));
	json_kv_str(w, "clusterId", x->cluster_id);
	json_kv_uint(w, "capacity", x->capacity);
	dump_policy_names(w, x);
	dump_locality(w, &x->locality);
	dump_memberships(w, x, as_file);
	given_str(w, "netns", x->netns);
	given_str(w, "virtualInterfaces", x->virtual_interfaces);
	if (!x->dns_capture)
		json_kv_bool(w, "dnsCapture", false);
	json_object_close(w);
}

static void dump_endpoint(struct json_write *w, const struct workload *x,
                          const struct port_map *ports)
{
	json_key(w, x->uid);
	json_object_open(w);
	json_kv_str(w, "workloadUid", x->uid);
	dump_ports(w, "port", ports);
	json_kv_str(w, "status", health_text(x->status));
	json_object_close(w);
}

static void dump_prefixes(struct json_write *w, const struct service *s)
{
	char text[PAIR_TEXT_MAX], ip[IP_TEXT_MAX], cidr[PREFIX_TEXT_MAX];

	json_key(w, "vips");
	json_array_open(w);
	for (size_t i = 0; i < s->vip_count; i++)
		json_str(w, pair(s->vips[i].network, ip_format(&s->vips[i].prefix.ip, ip), text));
	json_array_close(w);
	if (s->cidr_vip_count == 0)
		return;
	json_key(w, "cidrVips");
	json_array_open(w);
	for (size_t i = 0; i < s->cidr_vip_count; i++) {
		json_object_open(w);
		json_kv_str(w, "network", s->cidr_vips[i].network);
		json_kv_str(w, "cidr", prefix_format(&s->cidr_vips[i].prefix, cidr));
		json_object_close(w);
	}
	json_array_close(w);
}

static void dump_weighted(struct json_write *w, const struct service *s)
{
	if (s->weighted_waypoint_count == 0)
		return;
	json_key(w, "weightedWaypoints");
	json_array_open(w);
	for (size_t i = 0; i < s->weighted_waypoint_count; i++) {
		json_object_open(w);
		json_key(w, "destination");
		dump_gateway(w, &s->weighted_waypoints[i].destination);
		json_kv_uint(w, "weight", s->weighted_waypoints[i].weight);
		json_object_close(w);
	}
	json_array_close(w);
}

static void dump_load_balancer(struct json_write *w, const struct load_balancer *lb)
{
	static const char *const scopes[] = {
		[SCOPE_REGION] = "Region", [SCOPE_ZONE] = "Zone",       [SCOPE_SUBZONE] = "Subzone",
		[SCOPE_NODE] = "Node",     [SCOPE_CLUSTER] = "Cluster", [SCOPE_NETWORK] = "Network",
	};
	static const char *const modes[] = {
		[LB_STANDARD] = "Standard",
		[LB_STRICT] = "Strict",
		[LB_FAILOVER] = "Failover",
		[LB_PASSTHROUGH] = "Passthrough",
	};

	if (!lb->present)
		return;
	json_key(w, "loadBalancer");
	json_object_open(w);
	json_key(w, "routingPreferences");
	json_array_open(w);
	for (size_t i = 0; i < lb->preference_count; i++)
		json_str(w, scopes[lb->preferences[i]]);
	json_array_close(w);
	json_kv_str(w, "mode", modes[lb->mode]);
	json_kv_str(w, "healthPolicy",
	            lb->health_policy == HEALTH_ALLOW_ALL ? "AllowAll" : "OnlyHealthy");
	json_object_close(w);
}

static void dump_ip_families(struct json_write *w, enum ip_families f)
{
	switch (f) {
	case FAMILIES_AUTOMATIC: break;
	case FAMILIES_V4: json_kv_str(w, "ipFamilies", "IPv4"); break;
	case FAMILIES_V6: json_kv_str(w, "ipFamilies", "IPv6"); break;
	case FAMILIES_DUAL: json_kv_str(w, "ipFamilies", "Dual"); break;
	}
}

static void dump_service(struct json_write *w, const struct service *s, bool as_file)
{
	json_object_open(w);
	json_kv_str(w, "name", s->name);
	json_kv_str(w, "namespace", s->namespace);
	json_kv_str(w, "hostname", s->hostname);
	dump_prefixes(w, s);
	dump_ports(w, "ports", &s->ports);
	json_key(w, "endpoints");
	json_object_open(w);
	for (size_t i = 0; i < s->endpoint_count && !as_file; i++)
		dump_endpoint(w, s->endpoints[i].workload, &s->endpoints[i].ports);
	json_object_close(w);
	json_key(w, "subjectAltNames");
	json_array_open(w);
	for (size_t i = 0; i < s->san_count; i++)
		json_str(w, s->sans[i]);
	json_array_close(w);
	given_gateway(w, "waypoint", &s->waypoint);
	dump_weighted(w, s);
	dump_load_balancer(w, &s->load_balancer);
	dump_ip_families(w, s->ip_families);
	json_kv_bool(w, "canonical", s->canonical);
	json_kv_str(w, "visibility",
	            s->visibility == VISIBILITY_NAMESPACE ? "Namespace" : "Public");
	json_object_close(w);
}

static void dump_strings(struct json_write *w, const char *key, const struct string_matches *list)
{
	static const char *const kinds[] = {
		[MATCH_EXACT] = "Exact",
		[MATCH_PREFIX] = "Prefix",
		[MATCH_SUFFIX] = "Suffix",
		[MATCH_PRESENCE] = "Presence",
	};

	json_key(w, key);
	json_array_open(w);
	for (size_t i = 0; i < list->n; i++) {
		json_object_open(w);
		json_key(w, kinds[list->v[i].kind]);
		if (list->v[i].kind == MATCH_PRESENCE) {
			json_array_open(w);
			json_array_close(w);
		} else {
			json_span(w, list->v[i].text);
		}
		json_object_close(w);
	}
	json_array_close(w);
}

static void dump_accounts(struct json_write *w, const char *key, const struct account_matches *list)
{
	json_key(w, key);
	json_array_open(w);
	for (size_t i = 0; i < list->n; i++) {
		json_object_open(w);
		json_kv_str(w, "namespace", list->v[i].namespace);
		json_kv_str(w, "serviceAccount", list->v[i].service_account);
		json_object_close(w);
	}
	json_array_close(w);
}

static void dump_cidrs(struct json_write *w, const char *key, const struct prefixes *list)
{
	char cidr[PREFIX_TEXT_MAX];

	json_key(w, key);
	json_array_open(w);
	for (size_t i = 0; i < list->n; i++)
		json_str(w, prefix_format(&list->v[i], cidr));
	json_array_close(w);
}

static void dump_port_list(struct json_write *w, const char *key, const struct ports *list)
{
	json_key(w, key);
	json_array_open(w);
	for (size_t i = 0; i < list->n; i++)
		json_uint(w, list->v[i]);
	json_array_close(w);
}

static void dump_match(struct json_write *w, const struct match *m)
{
	json_object_open(w);
	dump_strings(w, "namespaces", &m->namespaces);
	dump_strings(w, "notNamespaces", &m->not_namespaces);
	dump_accounts(w, "serviceAccounts", &m->service_accounts);
	dump_accounts(w, "notServiceAccounts", &m->not_service_accounts);
	dump_strings(w, "principals", &m->principals);
	dump_strings(w, "notPrincipals", &m->not_principals);
	dump_cidrs(w, "sourceIps", &m->source_ips);
	dump_cidrs(w, "notSourceIps", &m->not_source_ips);
	dump_cidrs(w, "destinationIps", &m->destination_ips);
	dump_cidrs(w, "notDestinationIps", &m->not_destination_ips);
	dump_port_list(w, "destinationPorts", &m->destination_ports);
	dump_port_list(w, "notDestinationPorts", &m->not_destination_ports);
	if (m->not_understood) /* never of a file, so no file has to take it back */
		json_kv_bool(w, "notUnderstood", true);
	json_object_close(w);
}

static void dump_rule(struct json_write *w, const struct rule *r)
{
	json_array_open(w);
	for (size_t i = 0; i < r->clause_count; i++) {
		json_array_open(w);
		for (size_t k = 0; k < r->clauses[i].match_count; k++)
			dump_match(w, &r->clauses[i].matches[k]);
		json_array_close(w);
	}
	json_array_close(w);
}

static void dump_policy(struct json_write *w, const struct policy *p)
{
	static const char *const scopes[] = {
		[POLICY_GLOBAL] = "Global",
		[POLICY_NAMESPACE] = "Namespace",
		[POLICY_WORKLOAD_SELECTOR] = "WorkloadSelector",
	};

	json_object_open(w);
	json_kv_str(w, "name", p->name);
	json_kv_str(w, "namespace", p->namespace);
	json_kv_str(w, "scope", scopes[p->scope]);
	json_kv_str(w, "action", p->action == POLICY_DENY ? "Deny" : "Allow");
	json_key(w, "rules");
	json_array_open(w);
	for (size_t i = 0; i < p->rule_count; i++)
		dump_rule(w, &p->rules[i]);
	json_array_close(w);
	json_kv_bool(w, "dryRun", p->dry_run);
	json_object_close(w);
}

static int workload_cmp(const void *a, const void *b)
{
	return strcmp((*(struct workload *const *)a)->uid, (*(struct workload *const *)b)->uid);
}

static int service_cmp(const void *a, const void *b)
{
	const struct service *x = *(struct service *const *)a, *y = *(struct service *const *)b;
	int c = strcmp(x->hostname, y->hostname);

	return c ? c : strcmp(x->namespace, y->namespace);
}

static int policy_cmp(const void *a, const void *b)
{
	const struct policy *x = *(struct policy *const *)a, *y = *(struct policy *const *)b;
	int c = strcmp(x->namespace, y->namespace);

	return c ? c : strcmp(x->name, y->name);
}

typedef int pointer_cmp_fn(const void *a, const void *b);

/* A sorted copy, to be freed. */
static void *sorted(const void *v, size_t n, pointer_cmp_fn *cmp)
{
	void **copy = mem_new(n * sizeof(void *));

	if (n > 0)
		memcpy(copy, v, n * sizeof(void *));
	qsort(copy, n, sizeof(void *), cmp);
	return copy;
}

static void dump_workloads(const struct mesh *m, struct json_write *w, bool as_file)
{
	struct workload **v = sorted(m->workloads, m->workload_count, workload_cmp);

	json_array_open(w);
	for (size_t i = 0; i < m->workload_count; i++)
		dump_workload(w, v[i], as_file);
	json_array_close(w);
	free(v);
}

static void dump_services(const struct mesh *m, struct json_write *w, bool as_file)
{
	struct service **v = sorted(m->services, m->service_count, service_cmp);

	json_array_open(w);
	for (size_t i = 0; i < m->service_count; i++)
		dump_service(w, v[i], as_file);
	json_array_close(w);
	free(v);
}

void mesh_dump_workloads(const struct mesh *m, struct json_write *w)
{
	dump_workloads(m, w, false);
}

void mesh_dump_services(const struct mesh *m, struct json_write *w)
{
	dump_services(m, w, false);
}

void mesh_dump_policies(const struct mesh *m, struct json_write *w)
{
	struct policy **v = sorted(m->policies, m->policy_count, policy_cmp);

	json_array_open(w);
	for (size_t i = 0; i < m->policy_count; i++)
		dump_policy(w, v[i]);
	json_array_close(w);
	free(v);
}

static bool same_service(const struct membership *a, const struct membership *b)
{
	return strcmp(a->namespace, b->namespace) == 0 && strcmp(a->hostname, b->hostname) == 0;
}

void mesh_dump_staged(const struct mesh *m, struct json_write *w)
{
	char text[PAIR_TEXT_MAX];
	size_t count;
	const struct staged_endpoint *v = mesh_staged_endpoints(m, &count);

	json_object_open(w);
	for (size_t i = 0; i < count; i++) {
		const struct membership *b = v[i].membership;

		if (i == 0 || !same_service(v[i - 1].membership, b)) {
			json_key(w, pair(b->namespace, b->hostname, text));
			json_object_open(w);
		}
		dump_endpoint(w, v[i].workload, &b->ports);
		if (i + 1 == count || !same_service(v[i + 1].membership, b))
			json_object_close(w);
	}
	json_object_close(w);
}

static void empty_array(struct json_write *w, const char *key)
{
	json_key(w, key);
	json_array_open(w);
	json_array_close(w);
}

void mesh_dump_static(const struct mesh *m, struct json_write *w)
{
	json_object_open(w);
	if (m->source[0] == '\0') {
		empty_array(w, "workloads");
		empty_array(w, "policies");
		empty_array(w, "services");
	} else {
		json_key(w, "workloads");
		dump_workloads(m, w, true);
		json_key(w, "policies");
		mesh_dump_policies(m, w);
		json_key(w, "services");
		dump_services(m, w, true);
	}
	json_object_close(w);
}

void mesh_dump_members(const struct mesh *m, struct json_write *w)
{
	json_key(w, "workloads");
	mesh_dump_workloads(m, w);
	json_key(w, "services");
	mesh_dump_services(m, w);
	json_key(w, "policies");
	mesh_dump_policies(m, w);
	json_key(w, "stagedServices");
	mesh_dump_staged(m, w);
	json_key(w, "staticConfig");
	mesh_dump_static(m, w);
}
