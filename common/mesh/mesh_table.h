/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh_table - immutable indexes over a sealed mesh, and the questions they answer. Pure. Contract 3.9.
 *
 * Every answer points into the mesh and is good while the caller holds a reference to it; NULL means there is
 * none. client_ns is the namespace of who asks, which decides visibility and ties; NULL = nobody in particular,
 * everything is visible.
 */
#ifndef COMMON_MESH_MESH_TABLE_H
#define COMMON_MESH_MESH_TABLE_H

#include <stddef.h>

#include "common/mesh/mesh.h"

/* Private to mesh_seal() and the last mesh_unref(). */
struct mesh_table *mesh_table_new(struct mesh *m);
void mesh_table_free(struct mesh_table *t);

const struct workload *mesh_workload_by_uid(const struct mesh *m, const char *uid);
/* The best of those sharing the address: a pod that speaks HBONE, a pod, HBONE, other; then the last. */
const struct workload *mesh_workload_by_ip(const struct mesh *m, const char *network,
                                           const struct ip *ip);
const struct workload *mesh_workload_by_hostname(const struct mesh *m, const char *namespace,
                                                 const char *hostname);
/* The workload a pod of this node is; node NULL or "": of any node. */
struct local_workload_key {
	const char *namespace, *name, *service_account, *node;
};
const struct workload *mesh_local_workload(const struct mesh *m,
                                           const struct local_workload_key *key);

/* Exact addresses first, then prefixes; same namespace, then canonical, then the first. */
const struct service *mesh_service_by_vip(const struct mesh *m, const char *network,
                                          const struct ip *ip, const char *client_ns);
const struct service *mesh_service_by_key(const struct mesh *m, const char *namespace,
                                          const char *hostname);
const struct service *mesh_service_by_hostname(const struct mesh *m, const char *hostname,
                                               const char *client_ns);
/* All of that host name, in any case of letters, in the order given; visible or not. For DNS. */
struct service_list {
	const struct service *const *v;
	size_t n;
};
struct service_list mesh_services_named(const struct mesh *m, const char *hostname);
/* What w says of itself as an endpoint of s, or NULL; either may be of an older mesh. */
const struct membership *mesh_membership(const struct workload *w, const struct service *s);

const struct policy *mesh_policy_by_key(const struct mesh *m, const char *key);
/* Policies of scope Namespace in this namespace; "" gives the global ones. */
struct policy_list {
	const struct policy *const *v;
	size_t n;
};
struct policy_list mesh_policies_of_namespace(const struct mesh *m, const char *namespace);
/* The same as authz asks them; never NULL. */
const struct authz_set *mesh_authz_of_namespace(const struct mesh *m, const char *namespace);

/* Endpoints of services the mesh does not have, sorted by namespace, hostname, uid. */
struct staged_endpoint {
	const struct membership *membership;
	const struct workload *workload;
};
const struct staged_endpoint *mesh_staged_endpoints(const struct mesh *m, size_t *ret_count);

#endif
