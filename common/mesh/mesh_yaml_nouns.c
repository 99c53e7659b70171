/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mesh/mesh_yaml_nouns.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

enum { HBONE_PORT_DEFAULT = 15008 };

/* An enum field: names in the order of its values. */
#define CHOICE_FIELD(fn, type, ...)                                                 \
	static void fn(struct yaml_decode *d, const struct yaml_node *n, void *out) \
	{                                                                           \
		static const char *const names[] = {__VA_ARGS__};                   \
		unsigned int choice;                                                \
		if (yaml_get_choice(d, n, names, ARRAY_LEN(names), &choice))        \
			*(type *)out = (type)choice;                                \
	}

CHOICE_FIELD(field_protocol, enum tunnel_protocol, "TCP", "HBONE")
CHOICE_FIELD(field_network_mode, enum network_mode, "Standard", "HostNetwork")
CHOICE_FIELD(field_health, enum health, "Healthy", "Unhealthy")
CHOICE_FIELD(field_app_protocol, enum app_tunnel_protocol, "NONE", "PROXY")
CHOICE_FIELD(field_lb_mode, enum lb_mode, "Standard", "Strict", "Failover", "Passthrough")
CHOICE_FIELD(field_lb_scope, enum lb_scope, "Region", "Zone", "Subzone", "Node", "Cluster",
             "Network")
CHOICE_FIELD(field_health_policy, enum health_policy, "OnlyHealthy", "AllowAll")
CHOICE_FIELD(field_visibility, enum visibility, "Public", "Namespace")

static void field_ip_families(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	static const char *const names[] = {"IPv4", "IPv6", "Dual"};
	unsigned int choice;

	if (yaml_get_choice(d, n, names, ARRAY_LEN(names), &choice))
		*(enum ip_families *)out = (enum ip_families)(FAMILIES_V4 + choice);
}

/* Part text at its first slash. false: reported. */
static bool split_slash(struct yaml_decode *d, const struct yaml_node *n, const char *form,
                        struct span *ret_before, struct span *ret_after)
{
	char shown[YAML_SHOWN_MAX];
	struct span text;

	if (!yaml_get_text(d, n, &text))
		return false;

	const uint8_t *slash = text.n ? memchr(text.p, '/', text.n) : NULL;

	if (!slash) {
		yaml_error(d, n->pos, "\"%s\" is not of the form \"%s\"", yaml_shown(text, shown),
		           form);
		return false;
	}
	*ret_before = span_of(text.p, (size_t)(slash - text.p));
	*ret_after = span_of(slash + 1, text.n - ret_before->n - 1);
	return true;
}

static void element_ip(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	char shown[YAML_SHOWN_MAX];
	struct span text;

	if (yaml_get_text(d, n, &text) && ip_parse(text, out) != ERR_OK)
		yaml_error(d, n->pos, "\"%s\" is not an IP address", yaml_shown(text, shown));
}

static void element_text(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	*(const char **)out = "";
	yaml_field_text(d, n, out);
}

static int port_mapping_cmp(const void *a, const void *b)
{
	return (int)((const struct port_mapping *)a)->service_port -
	       (int)((const struct port_mapping *)b)->service_port;
}

/* A map's key as a port; JSON writes it in quotes. false: reported. */
static bool key_port(struct yaml_decode *d, const struct yaml_node *key, uint16_t *ret_port)
{
	struct yaml_node bare = *key;
	uint32_t port;

	bare.plain = true;
	if (!yaml_get_number(d, &bare, UINT16_MAX, &port))
		return false;
	if (port == 0) {
		yaml_error(d, key->pos, "0 is not a port to connect to");
		return false;
	}
	*ret_port = (uint16_t)port;
	return true;
}

static void field_port_map(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	struct port_map *map = out;

	if (!yaml_is(d, n, YAML_MAP))
		return;

	struct port_mapping *v = mesh_alloc(d->mesh, n->count * sizeof(*v));
	size_t count = 0;

	for (const struct yaml_node *c = n->first; c; c = c->next) {
		struct port_mapping one = {0};

		yaml_enter(d, c->key->text, 0);
		if (key_port(d, c->key, &one.service_port)) {
			yaml_field_u16(d, c, &one.target_port);
			v[count++] = one;
		}
		yaml_leave(d);
	}
	qsort(v, count, sizeof(*v), port_mapping_cmp);
	for (size_t i = 1; i < count; i++) { /* 80 and 080 */
		if (v[i].service_port == v[i - 1].service_port)
			yaml_error(d, n->pos, "port %u is here twice; remove one",
			           v[i].service_port);
	}
	*map = (struct port_map){.v = v, .n = count};
}

/* "ns/host" or "network/ip": what is no address is a name. */
static void field_destination(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	struct gateway_address *g = out;
	struct span before, after;
	struct ip ip;

	if (!split_slash(d, n, "namespace/hostname\" or \"network/ip", &before, &after))
		return;
	if (ip_parse(after, &ip) == ERR_OK) {
		g->kind = GATEWAY_ADDRESS;
		g->network = mesh_intern(d->mesh, before);
		g->ip = ip;
		return;
	}
	if (before.n == 0 || after.n == 0) {
		yaml_error(d, n->pos,
		           "a namespace and a host name, or an address, must not be empty");
		return;
	}
	g->kind = GATEWAY_HOSTNAME;
	g->namespace = mesh_intern(d->mesh, before);
	g->hostname = mesh_intern(d->mesh, after);
}

static void field_gateway(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	static const struct yaml_field fields[] = {
		{"destination", field_destination, 0, true},
		{"hboneMtlsPort", yaml_field_u16, offsetof(struct gateway_address, hbone_mtls_port),
	         false},
	};
	struct gateway_address *g = out;

	*g = (struct gateway_address){.network = "",
	                              .namespace = "",
	                              .hostname = "",
	                              .hbone_mtls_port = HBONE_PORT_DEFAULT};
	yaml_decode_map(d, n, fields, ARRAY_LEN(fields), g);
}

static void field_app_tunnel(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	static const struct yaml_field fields[] = {
		{"protocol", field_app_protocol, offsetof(struct app_tunnel, protocol), true},
		{"port", yaml_field_u16, offsetof(struct app_tunnel, port), false},
	};
	struct app_tunnel *t = out;

	t->present = true;
	yaml_decode_map(d, n, fields, ARRAY_LEN(fields), t);
}

static void field_locality(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	static const struct yaml_field fields[] = {
		{"region", yaml_field_text, offsetof(struct locality, region), false},
		{"zone", yaml_field_text, offsetof(struct locality, zone), false},
		{"subzone", yaml_field_text, offsetof(struct locality, subzone), false},
	};

	yaml_decode_map(d, n, fields, ARRAY_LEN(fields), out);
}

static void field_memberships(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	struct workload *w = out;
	char shown[YAML_SHOWN_MAX];

	if (!yaml_is(d, n, YAML_MAP))
		return;
	w->memberships = mesh_alloc(d->mesh, n->count * sizeof(*w->memberships));
	for (const struct yaml_node *c = n->first; c; c = c->next) {
		struct span namespace, hostname;
		struct membership *b = &w->memberships[w->membership_count];

		yaml_enter(d, c->key->text, 0);
		if (split_slash(d, c->key, "namespace/hostname", &namespace, &hostname)) {
			if (namespace.n == 0 || hostname.n == 0 ||
			    memchr(hostname.p, '/', hostname.n))
				yaml_error(d, c->key->pos,
				           "\"%s\" is not of the form \"namespace/hostname\"",
				           yaml_shown(c->key->text, shown));
			b->namespace = mesh_intern(d->mesh, namespace);
			b->hostname = mesh_intern(d->mesh, hostname);
			field_port_map(d, c, &b->ports);
			w->membership_count++;
		}
		yaml_leave(d);
	}
}

static void field_ips(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	struct workload *w = out;

	w->ips = yaml_decode_list(d, n, sizeof(*w->ips), element_ip, &w->ip_count);
}

static void field_policy_names(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	struct workload *w = out;

	w->policy_names = yaml_decode_list(d, n, sizeof(*w->policy_names), element_text,
	                                   &w->policy_name_count);
}

#define OF_WORKLOAD(member) offsetof(struct workload, member)

void mesh_yaml_workload(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	static const struct yaml_field fields[] = {
		{"uid", yaml_field_text, OF_WORKLOAD(uid), false},
		{"name", yaml_field_text, OF_WORKLOAD(name), false},
		{"namespace", yaml_field_text, OF_WORKLOAD(namespace), true},
		{"workloadIps", field_ips, 0, true},
		{"serviceAccount", yaml_field_text, OF_WORKLOAD(service_account), false},
		{"trustDomain", yaml_field_text, OF_WORKLOAD(trust_domain), false},
		{"protocol", field_protocol, OF_WORKLOAD(protocol), false},
		{"networkMode", field_network_mode, OF_WORKLOAD(network_mode), false},
		{"network", yaml_field_text, OF_WORKLOAD(network), false},
		{"node", yaml_field_text, OF_WORKLOAD(node), false},
		{"hostname", yaml_field_text, OF_WORKLOAD(hostname), false},
		{"waypoint", field_gateway, OF_WORKLOAD(waypoint), false},
		{"networkGateway", field_gateway, OF_WORKLOAD(network_gateway), false},
		{"applicationTunnel", field_app_tunnel, OF_WORKLOAD(app_tunnel), false},
		{"nativeTunnel", yaml_field_bool, OF_WORKLOAD(native_tunnel), false},
		{"workloadName", yaml_field_text, OF_WORKLOAD(workload_name), false},
		{"workloadType", yaml_field_text, OF_WORKLOAD(workload_type), false},
		{"canonicalName", yaml_field_text, OF_WORKLOAD(canonical_name), false},
		{"canonicalRevision", yaml_field_text, OF_WORKLOAD(canonical_revision), false},
		{"clusterId", yaml_field_text, OF_WORKLOAD(cluster_id), false},
		{"locality", field_locality, OF_WORKLOAD(locality), false},
		{"status", field_health, OF_WORKLOAD(status), false},
		{"authorizationPolicies", field_policy_names, 0, false},
		{"capacity", yaml_field_u32, OF_WORKLOAD(capacity), false},
		{"services", field_memberships, 0, true},
		{"netns", yaml_field_text, OF_WORKLOAD(netns), false},
		{"virtualInterfaces", yaml_field_text, OF_WORKLOAD(virtual_interfaces), false},
		{"dnsCapture", yaml_field_bool, OF_WORKLOAD(dns_capture), false},
	};
	struct workload *w = out;

	w->pos = n->pos;
	yaml_decode_map(d, n, fields, ARRAY_LEN(fields), w);
}

static void element_vip(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	struct network_prefix *vip = out;
	struct span network, address;
	char shown[YAML_SHOWN_MAX];
	struct ip ip;

	vip->network = "";
	if (!split_slash(d, n, "network/ip", &network, &address))
		return;
	if (ip_parse(address, &ip) != ERR_OK) {
		yaml_error(d, n->pos, "\"%s\" is not an IP address; write \"network/ip\"",
		           yaml_shown(address, shown));
		return;
	}
	vip->network = mesh_intern(d->mesh, network);
	vip->prefix = (struct prefix){.ip = ip, .len = ip.family == IP_V4 ? 32 : 128};
}

static void field_cidr(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	char shown[YAML_SHOWN_MAX];
	struct span text;

	if (yaml_get_text(d, n, &text) && prefix_parse(text, out) != ERR_OK)
		yaml_error(d, n->pos, "\"%s\" is not an address range such as 192.0.2.0/24",
		           yaml_shown(text, shown));
}

static void element_cidr_vip(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	static const struct yaml_field fields[] = {
		{"network", yaml_field_text, offsetof(struct network_prefix, network), false},
		{"cidr", field_cidr, offsetof(struct network_prefix, prefix), true},
	};

	((struct network_prefix *)out)->network = "";
	yaml_decode_map(d, n, fields, ARRAY_LEN(fields), out);
}

static void field_vips(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	struct service *s = out;

	s->vips = yaml_decode_list(d, n, sizeof(*s->vips), element_vip, &s->vip_count);
}

static void field_cidr_vips(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	struct service *s = out;

	s->cidr_vips =
		yaml_decode_list(d, n, sizeof(*s->cidr_vips), element_cidr_vip, &s->cidr_vip_count);
}

/* Contract 3.9: endpoints come only from the workloads. */
static void field_endpoints(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	(void)out;
	if (yaml_is(d, n, YAML_MAP) && n->count > 0)
		yaml_error(d, n->pos,
		           "endpoints come from the workloads; remove this and list the "
		           "service under their \"services\"");
}

static void element_san(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	struct identity_parts parts;
	const char **san = out;

	element_text(d, n, out);
	if ((*san)[0] != '\0' && identity_split(span_str(*san), &parts) != ERR_OK)
		yaml_warning(d, n->pos,
		             "not of the form spiffe://<td>/ns/<ns>/sa/<sa>: it matches no peer");
}

static void field_sans(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	struct service *s = out;

	s->sans = yaml_decode_list(d, n, sizeof(*s->sans), element_san, &s->san_count);
}

static void element_weighted(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	static const struct yaml_field fields[] = {
		{"destination", field_gateway, offsetof(struct weighted_waypoint, destination),
	         true},
		{"weight", yaml_field_u32, offsetof(struct weighted_waypoint, weight), true},
	};

	yaml_decode_map(d, n, fields, ARRAY_LEN(fields), out);
}

static void field_weighted(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	struct service *s = out;

	s->weighted_waypoints = yaml_decode_list(d, n, sizeof(*s->weighted_waypoints),
	                                         element_weighted, &s->weighted_waypoint_count);
}

static void field_preferences(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	struct load_balancer *lb = out;
	size_t count;
	enum lb_scope *v = yaml_decode_list(d, n, sizeof(*v), field_lb_scope, &count);

	if (count > LB_PREFERENCES_MAX) {
		yaml_error(d, n->pos, "more than %d preferences; there are six scopes",
		           LB_PREFERENCES_MAX);
		return;
	}
	for (size_t i = 0; i < count; i++)
		lb->preferences[i] = v[i];
	lb->preference_count = count;
}

static void field_load_balancer(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	static const struct yaml_field fields[] = {
		{"mode", field_lb_mode, offsetof(struct load_balancer, mode), true},
		{"routingPreferences", field_preferences, 0, true},
		{"healthPolicy", field_health_policy, offsetof(struct load_balancer, health_policy),
	         true},
	};
	struct load_balancer *lb = out;

	lb->present = true;
	yaml_decode_map(d, n, fields, ARRAY_LEN(fields), lb);
}

#define OF_SERVICE(member) offsetof(struct service, member)

void mesh_yaml_service(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	static const struct yaml_field fields[] = {
		{"name", yaml_field_text, OF_SERVICE(name), true},
		{"namespace", yaml_field_text, OF_SERVICE(namespace), true},
		{"hostname", yaml_field_text, OF_SERVICE(hostname), true},
		{"vips", field_vips, 0, true},
		{"cidrVips", field_cidr_vips, 0, false},
		{"ports", field_port_map, OF_SERVICE(ports), true},
		{"endpoints", field_endpoints, 0, false},
		{"subjectAltNames", field_sans, 0, false},
		{"waypoint", field_gateway, OF_SERVICE(waypoint), false},
		{"weightedWaypoints", field_weighted, 0, false},
		{"loadBalancer", field_load_balancer, OF_SERVICE(load_balancer), false},
		{"ipFamilies", field_ip_families, OF_SERVICE(ip_families), false},
		{"canonical", yaml_field_bool, OF_SERVICE(canonical), false},
		{"visibility", field_visibility, OF_SERVICE(visibility), false},
	};
	struct service *s = out;

	s->pos = n->pos;
	yaml_decode_map(d, n, fields, ARRAY_LEN(fields), s);
}
