/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh - the nouns: the world as the control plane, or a local file, tells it. Pure. Contract 1.5, 3.7, 3.8.
 *
 * A struct mesh is built once by one thread (mesh_new, mesh_add_*, mesh_seal), then never changes: any number
 * of threads read it, each holding a reference. Everything in it lives in one arena and dies with it; texts are
 * NUL-terminated and never NULL ("" when not given). Questions are answered by mesh_table.
 */
#ifndef COMMON_MESH_MESH_H
#define COMMON_MESH_MESH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/netaddr.h"
#include "common/base/snapshot.h"
#include "common/base/span.h"

struct authz_set;
struct mesh_arena;
struct mesh_table;

/* Where in the local file something was written; line 0: not from a file. */
struct source_pos {
	uint32_t line, column; /* from 1 */
};

enum gateway_kind { GATEWAY_NONE, GATEWAY_ADDRESS, GATEWAY_HOSTNAME };

/* A waypoint or a network gateway, by address or by name. */
struct gateway_address {
	enum gateway_kind kind;
	const char *network; /* of GATEWAY_ADDRESS */
	struct ip ip;
	const char *namespace; /* of GATEWAY_HOSTNAME */
	const char *hostname;
	uint16_t hbone_mtls_port;
};

struct weighted_waypoint {
	struct gateway_address destination;
	uint32_t weight;
};

struct locality {
	const char *region, *zone, *subzone;
};

struct port_mapping {
	uint16_t service_port; /* what the client dials */
	uint16_t target_port;  /* 0: a named port, ask the endpoint */
};

/* Sorted by service_port, no two alike. */
struct port_map {
	const struct port_mapping *v;
	size_t n;
};

enum health { HEALTH_HEALTHY, HEALTH_UNHEALTHY };
enum tunnel_protocol { TUNNEL_NONE, TUNNEL_HBONE };
enum network_mode { NETWORK_STANDARD, NETWORK_HOST };
enum app_tunnel_protocol { APP_TUNNEL_NONE, APP_TUNNEL_PROXY };

struct app_tunnel {
	bool present;
	enum app_tunnel_protocol protocol;
	uint16_t port; /* 0: the port that was asked for */
};

/* One line of a workload's `services`: it is an endpoint of that service. */
struct membership {
	const char *namespace, *hostname;
	struct port_map ports;
	const struct service *service; /* NULL: no such service (yet): staged. Set by mesh_seal */
};

struct workload {
	const char *uid;
	const char *name, *namespace;
	const char *trust_domain, *service_account; /* effective: never "" */
	bool trust_domain_given, service_account_given;
	const char *identity; /* "spiffe://td/ns/x/sa/y". Set by mesh_add_workload */
	const struct ip *ips;
	size_t ip_count;
	const char *hostname, *network, *node, *cluster_id;
	enum tunnel_protocol protocol;
	enum network_mode network_mode;
	enum health status;
	uint32_t capacity; /* weight among endpoints; 0 is never chosen */
	struct gateway_address waypoint, network_gateway;
	struct app_tunnel app_tunnel;
	bool native_tunnel;
	const char *workload_name, *workload_type, *canonical_name, *canonical_revision;
	struct locality locality;
	struct membership *memberships; /* in the order given */
	size_t membership_count;
	const char *const *policy_names; /* "ns/name" */
	size_t policy_name_count;
	const struct policy *const *policies; /* those of them that exist. Set by mesh_seal */
	size_t policy_count;
	const struct authz_set *policy_set; /* of policies. Set by mesh_seal */
	const char *netns; /* static enrollment: a path, or a name under /run/netns; "" = none */
	const char *virtual_interfaces; /* with netns: inner devices, comma between; "" = none */
	bool dns_capture; /* with netns: its questions to resolvers are answered by us */
	struct source_pos pos;
};

enum lb_mode { LB_STANDARD, LB_STRICT, LB_FAILOVER, LB_PASSTHROUGH };
enum lb_scope { SCOPE_REGION, SCOPE_ZONE, SCOPE_SUBZONE, SCOPE_NODE, SCOPE_CLUSTER, SCOPE_NETWORK };
enum health_policy { HEALTH_ONLY_HEALTHY, HEALTH_ALLOW_ALL };
enum { LB_PREFERENCES_MAX = 16 }; /* six scopes exist; room for repetition, not for a flood */

struct load_balancer {
	bool present;
	enum lb_mode mode;
	enum lb_scope preferences[LB_PREFERENCES_MAX];
	size_t preference_count;
	enum health_policy health_policy;
};

/* A service address: exact when prefix.len is full, else a CIDR. */
struct network_prefix {
	const char *network;
	struct prefix prefix;
};

enum ip_families { FAMILIES_AUTOMATIC, FAMILIES_V4, FAMILIES_V6, FAMILIES_DUAL };
enum visibility { VISIBILITY_PUBLIC, VISIBILITY_NAMESPACE };

struct service_endpoint {
	const struct workload *workload;
	struct port_map ports; /* the endpoint's own mapping, first to be asked */
};

struct service {
	const char *name, *namespace, *hostname;
	const struct network_prefix *vips; /* exact ones */
	size_t vip_count;
	const struct network_prefix *cidr_vips;
	size_t cidr_vip_count;
	struct port_map ports;
	const char *const *sans; /* as given */
	size_t san_count;
	const char *const *identities; /* the SANs that are SPIFFE ids. Set by mesh_add_service */
	size_t identity_count;
	struct gateway_address waypoint;
	const struct weighted_waypoint *weighted_waypoints;
	size_t weighted_waypoint_count;
	struct load_balancer load_balancer;
	enum ip_families ip_families;
	bool canonical;
	enum visibility visibility;
	const struct service_endpoint *endpoints; /* filtered by health. Set by mesh_seal */
	size_t endpoint_count;
	struct source_pos pos;
};

enum policy_scope { POLICY_GLOBAL, POLICY_NAMESPACE, POLICY_WORKLOAD_SELECTOR };
enum policy_action { POLICY_ALLOW, POLICY_DENY };
enum string_match_kind { MATCH_EXACT, MATCH_PREFIX, MATCH_SUFFIX, MATCH_PRESENCE };

struct string_match {
	enum string_match_kind kind;
	struct span text;
};

struct string_matches {
	const struct string_match *v;
	size_t n;
};

struct account_match {
	const char *namespace, *service_account;
};

struct account_matches {
	const struct account_match *v;
	size_t n;
};

struct prefixes {
	const struct prefix *v;
	size_t n;
};

struct ports {
	const uint16_t *v;
	size_t n;
};

/* Every list that is not empty must hold; one that is empty is no condition. */
struct match {
	struct string_matches principals, not_principals;
	struct string_matches namespaces, not_namespaces;
	struct account_matches service_accounts, not_service_accounts;
	struct prefixes source_ips, not_source_ips;
	struct prefixes destination_ips, not_destination_ips;
	struct ports destination_ports, not_destination_ports;
	/*
	 * A part of it could not be read by whoever made it: in an ALLOW policy it holds for nobody, in a DENY
	 * policy for everybody (docs/decisions/0014-what-a-policy-means-when-part-of-it-is-not-understood.md).
	 */
	bool not_understood;
};

struct clause {
	const struct match *matches;
	size_t match_count;
};

struct rule {
	const struct clause *clauses;
	size_t clause_count;
	struct source_pos pos;
};

struct policy {
	const char *name, *namespace;
	const char *key; /* "ns/name". Set by mesh_add_policy */
	enum policy_scope scope;
	enum policy_action action;
	bool dry_run;
	const struct rule *rules;
	size_t rule_count;
	struct source_pos pos;
};

struct mesh {
	struct snapshot snapshot;
	const char *source; /* the file it was read from, for messages; "" = none */
	struct workload **workloads;
	size_t workload_count; /* in the order given */
	struct service **services;
	size_t service_count;
	struct policy **policies;
	size_t policy_count;
	struct mesh_table *table; /* private to mesh_table; NULL until sealed */
	struct mesh_arena *arena; /* private */
	size_t workload_room, service_room, policy_room; /* private */
};

enum {
	IDENTITY_TEXT_MAX = 2048, /* octets of a SPIFFE id, SPIFFE-ID 2.3 */
};

/* Empty and open for additions; one reference, dropped with mesh_unref. Never NULL. */
struct mesh *mesh_new(const char *source);
struct mesh *mesh_ref(struct mesh *m);
void mesh_unref(struct mesh *m); /* NULL is allowed */

/*
 * Memory of m's arena, zeroed; never NULL. For whoever builds a mesh, before mesh_seal().
 */
void *mesh_alloc(struct mesh *m, size_t size);
/* A copy of text, shared with every equal text of this mesh. */
const char *mesh_intern(struct mesh *m, struct span text);

/*
 * A zeroed noun with every text "" and the contract's defaults, to be filled in and then added. The noun and
 * all it points to must come from m's arena. mesh_add_* derives what the noun says is derived.
 */
struct workload *mesh_workload_new(struct mesh *m);
struct service *mesh_service_new(struct mesh *m);
struct policy *mesh_policy_new(struct mesh *m);
void mesh_add_workload(struct mesh *m, struct workload *w);
void mesh_add_service(struct mesh *m, struct service *s);
void mesh_add_policy(struct mesh *m, struct policy *p);

/* Build the indexes and joins; from here on m is immutable and mesh_table's questions may be asked. */
void mesh_seal(struct mesh *m);

/* The target of a service port, or NULL. */
const struct port_mapping *port_map_find(const struct port_map *map, uint16_t service_port);

/* The three parts of "spiffe://<td>/ns/<ns>/sa/<sa>", contract 5.3; views into the text. */
struct identity_parts {
	struct span trust_domain, namespace, service_account;
	struct span principal; /* all after "spiffe://" */
};

/* Errs: ERR_PARSE: anything but exactly that form with no part empty. */
MUST_CHECK enum err identity_split(struct span text, struct identity_parts *ret_parts);

#endif
