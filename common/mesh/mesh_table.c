/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mesh/mesh_table.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/mem.h"
#include "common/mesh/authz_sets.h"

/*
 * Every index is an array sorted by its key, equal keys in the order they were added, and searched by halves:
 * no hashing, so no key can be chosen to make it slow, and the answer never depends on luck.
 */
struct ip_entry {
	const char *network;
	struct prefix prefix;
	uint32_t order;
	const void *noun; /* a workload or a service */
};

struct ordered {
	const void *noun;
	uint32_t order;
};

struct sorted {
	struct ordered *v;
	size_t n;
};

struct ip_index {
	struct ip_entry *v;
	size_t n;
};

enum { PREFIX_LENS = 129 }; /* 0 to 128 bits */

struct mesh_table {
	struct sorted workloads_by_uid, workloads_by_hostname, local_workloads;
	struct sorted services_by_key, services_by_hostname, policies_by_key;
	struct ip_index workloads_by_ip, vips, cidrs;
	bool cidr_len_used[PREFIX_LENS];         /* of either family */
	const struct service **services_by_name; /* host names without case */
	size_t service_by_name_count;
	const struct policy **policies_by_namespace;
	size_t policy_by_namespace_count;
	struct authz_sets *authz;
	struct staged_endpoint *staged;
	size_t staged_count;
};

static void *room_for(size_t n, size_t size)
{
	return mem_new(n * size);
}

static int order_cmp(uint32_t a, uint32_t b)
{
	return (a > b) - (a < b);
}

/* ---- keys: how a noun sorts, without regard to order ---- */

static int uid_cmp(const void *a, const void *b)
{
	return strcmp(((const struct workload *)a)->uid, ((const struct workload *)b)->uid);
}

static int workload_hostname_cmp(const void *a, const void *b)
{
	const struct workload *x = a, *y = b;
	int c = strcmp(x->namespace, y->namespace);

	return c ? c : strcmp(x->hostname, y->hostname);
}

static int local_cmp(const void *a, const void *b)
{
	const struct workload *x = a, *y = b;
	int c = strcmp(x->namespace, y->namespace);

	if (c == 0)
		c = strcmp(x->service_account, y->service_account);
	return c ? c : strcmp(x->name, y->name);
}

static int service_key_cmp(const void *a, const void *b)
{
	const struct service *x = a, *y = b;
	int c = strcmp(x->namespace, y->namespace);

	return c ? c : strcmp(x->hostname, y->hostname);
}

static int service_hostname_cmp(const void *a, const void *b)
{
	return strcmp(((const struct service *)a)->hostname, ((const struct service *)b)->hostname);
}

static int service_name_cmp(const void *a, const void *b)
{
	return strcasecmp(((const struct service *)a)->hostname,
	                  ((const struct service *)b)->hostname);
}

static int policy_key_cmp(const void *a, const void *b)
{
	return strcmp(((const struct policy *)a)->key, ((const struct policy *)b)->key);
}

typedef int noun_cmp_fn(const void *a, const void *b);

static int ordered_cmp(const void *a, const void *b, void *by)
{
	const struct ordered *x = a, *y = b;
	noun_cmp_fn *const *cmp = by;
	int c = (*cmp)(x->noun, y->noun);

	return c ? c : order_cmp(x->order, y->order);
}

static struct sorted sorted_of(void *const *nouns, size_t n, noun_cmp_fn *cmp)
{
	struct sorted s = {.v = room_for(n, sizeof(*s.v)), .n = n};

	for (size_t i = 0; i < n; i++)
		s.v[i] = (struct ordered){.noun = nouns[i], .order = (uint32_t)i};
	qsort_r(s.v, n, sizeof(*s.v), ordered_cmp, &cmp);
	return s;
}

/* The first position whose noun is not below key. */
static size_t sorted_first(const struct sorted *s, const void *key, noun_cmp_fn *cmp)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (cmp(s->v[mid].noun, key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* The last added of those equal to key, or NULL. */
static const void *sorted_latest(const struct sorted *s, const void *key, noun_cmp_fn *cmp)
{
	const void *found = NULL;

	for (size_t i = sorted_first(s, key, cmp); i < s->n && cmp(s->v[i].noun, key) == 0; i++)
		found = s->v[i].noun;
	return found;
}

/* ---- addresses ---- */

static int ip_key_cmp(const struct ip_entry *a, const struct ip_entry *b)
{
	int c = strcmp(a->network, b->network);

	if (c == 0)
		c = (int)a->prefix.len - (int)b->prefix.len;
	return c ? c : ip_cmp(&a->prefix.ip, &b->prefix.ip);
}

static int ip_entry_cmp(const void *a, const void *b)
{
	const struct ip_entry *x = a, *y = b;
	int c = ip_key_cmp(x, y);

	return c ? c : order_cmp(x->order, y->order);
}

static size_t ip_index_first(const struct ip_index *index, const struct ip_entry *key)
{
	size_t low = 0, high = index->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (ip_key_cmp(&index->v[mid], key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static uint8_t full_len(const struct ip *ip)
{
	return ip->family == IP_V4 ? 32 : 128;
}

static struct prefix full_prefix(const struct ip *ip)
{
	return (struct prefix){.ip = *ip, .len = full_len(ip)};
}

static void index_workload_ips(struct mesh_table *t, const struct mesh *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->workload_count; i++)
		n += m->workloads[i]->ip_count;
	t->workloads_by_ip.v = room_for(n, sizeof(*t->workloads_by_ip.v));
	for (size_t i = 0; i < m->workload_count; i++) {
		const struct workload *w = m->workloads[i];

		if (w->network_mode == NETWORK_HOST)
			continue;
		for (size_t k = 0; k < w->ip_count; k++) {
			t->workloads_by_ip.v[t->workloads_by_ip.n++] = (struct ip_entry){
				.network = w->network,
				.prefix = full_prefix(&w->ips[k]),
				.order = (uint32_t)i,
				.noun = w,
			};
		}
	}
	qsort(t->workloads_by_ip.v, t->workloads_by_ip.n, sizeof(*t->workloads_by_ip.v),
	      ip_entry_cmp);
}

static void ip_index_add(struct ip_index *index, const struct network_prefix *v, size_t n,
                         struct ordered service)
{
	for (size_t k = 0; k < n; k++) {
		index->v[index->n++] = (struct ip_entry){
			.network = v[k].network,
			.prefix = v[k].prefix,
			.order = service.order,
			.noun = service.noun,
		};
	}
}

static void index_service_vips(struct mesh_table *t, const struct mesh *m)
{
	size_t vip_count = 0, cidr_count = 0;

	for (size_t i = 0; i < m->service_count; i++) {
		vip_count += m->services[i]->vip_count;
		cidr_count += m->services[i]->cidr_vip_count;
	}
	t->vips.v = room_for(vip_count, sizeof(*t->vips.v));
	t->cidrs.v = room_for(cidr_count, sizeof(*t->cidrs.v));
	for (size_t i = 0; i < m->service_count; i++) {
		const struct service *s = m->services[i];
		struct ordered as = {.noun = s, .order = (uint32_t)i};

		ip_index_add(&t->vips, s->vips, s->vip_count, as);
		ip_index_add(&t->cidrs, s->cidr_vips, s->cidr_vip_count, as);
		for (size_t k = 0; k < s->cidr_vip_count; k++)
			t->cidr_len_used[s->cidr_vips[k].prefix.len] = true;
	}
	qsort(t->vips.v, t->vips.n, sizeof(*t->vips.v), ip_entry_cmp);
	qsort(t->cidrs.v, t->cidrs.n, sizeof(*t->cidrs.v), ip_entry_cmp);
}

/* ---- joins ---- */

static const struct service *service_of(const struct mesh_table *t, const char *namespace,
                                        const char *hostname)
{
	struct service key = {.namespace = namespace, .hostname = hostname};

	return sorted_latest(&t->services_by_key, &key, service_key_cmp);
}

static bool endpoint_counts(const struct service *s, const struct workload *w)
{
	return w->status == HEALTH_HEALTHY ||
	       (s->load_balancer.present && s->load_balancer.health_policy == HEALTH_ALLOW_ALL);
}

static int staged_cmp(const void *a, const void *b)
{
	const struct staged_endpoint *x = a, *y = b;
	int c = strcmp(x->membership->namespace, y->membership->namespace);

	if (c == 0)
		c = strcmp(x->membership->hostname, y->membership->hostname);
	return c ? c : strcmp(x->workload->uid, y->workload->uid);
}

/* Point every membership at its service, count endpoints and those that stay staged. */
static void join_memberships(struct mesh_table *t, struct mesh *m)
{
	size_t staged = 0;

	for (size_t i = 0; i < m->workload_count; i++) {
		struct workload *w = m->workloads[i];

		for (size_t k = 0; k < w->membership_count; k++) {
			struct membership *b = &w->memberships[k];

			b->service = service_of(t, b->namespace, b->hostname);
			staged += b->service == NULL;
		}
	}
	t->staged = room_for(staged, sizeof(*t->staged));
	for (size_t i = 0; i < m->workload_count; i++) {
		const struct workload *w = m->workloads[i];

		for (size_t k = 0; k < w->membership_count; k++) {
			if (w->memberships[k].service)
				continue;
			t->staged[t->staged_count++] = (struct staged_endpoint){
				.membership = &w->memberships[k],
				.workload = w,
			};
		}
	}
	qsort(t->staged, t->staged_count, sizeof(*t->staged), staged_cmp);
}

struct join {
	const struct service *service;
	struct service_endpoint endpoint;
	uint32_t order;
};

static int join_cmp(const void *a, const void *b)
{
	const struct join *x = a, *y = b;

	if (x->service != y->service)
		return (uintptr_t)x->service < (uintptr_t)y->service ? -1 : 1;
	return order_cmp(x->order, y->order);
}

/* Put w's endpoints at joins (or only count them, when it is NULL). */
static size_t joins_of(const struct workload *w, uint32_t order, struct join *joins)
{
	size_t n = 0;

	for (size_t k = 0; k < w->membership_count; k++) {
		const struct membership *b = &w->memberships[k];

		if (!b->service || !endpoint_counts(b->service, w))
			continue;
		if (joins)
			joins[n] = (struct join){b->service, {w, b->ports}, order};
		n++;
	}
	return n;
}

static size_t collect_joins(const struct mesh *m, struct join *joins)
{
	size_t n = 0;

	for (size_t i = 0; i < m->workload_count; i++)
		n += joins_of(m->workloads[i], (uint32_t)i, joins ? joins + n : NULL);
	return n;
}

static void join_endpoints(struct mesh *m)
{
	size_t n = collect_joins(m, NULL);
	struct join *joins = room_for(n, sizeof(*joins));
	struct service_endpoint *all = mesh_alloc(m, n * sizeof(*all));

	(void)collect_joins(m, joins);
	qsort(joins, n, sizeof(*joins), join_cmp);
	for (size_t i = 0; i < n; i++)
		all[i] = joins[i].endpoint;
	for (size_t i = 0; i < m->service_count; i++) {
		struct service *s = m->services[i];
		size_t low = 0, high = n;

		while (low < high) {
			size_t mid = low + (high - low) / 2;

			if ((uintptr_t)joins[mid].service < (uintptr_t)s)
				low = mid + 1;
			else
				high = mid;
		}
		s->endpoints = all + low;
		s->endpoint_count = 0;
		while (low + s->endpoint_count < n && joins[low + s->endpoint_count].service == s)
			s->endpoint_count++;
	}
	free(joins);
}

static const struct policy *policy_of(const struct mesh_table *t, const char *key)
{
	struct policy wanted = {.key = key};

	return sorted_latest(&t->policies_by_key, &wanted, policy_key_cmp);
}

static void join_policies(struct mesh_table *t, struct mesh *m)
{
	for (size_t i = 0; i < m->workload_count; i++) {
		struct workload *w = m->workloads[i];
		const struct policy **v = mesh_alloc(m, w->policy_name_count * sizeof(*v));

		w->policy_count = 0;
		for (size_t k = 0; k < w->policy_name_count; k++) {
			const struct policy *p = policy_of(t, w->policy_names[k]);

			if (p)
				v[w->policy_count++] = p;
		}
		w->policies = v;
	}
}

static int policy_namespace_cmp(const void *a, const void *b)
{
	return strcmp(authz_sets_namespace(a), authz_sets_namespace(b));
}

static void index_policies(struct mesh_table *t, const struct mesh *m)
{
	struct sorted s = sorted_of((void **)m->policies, m->policy_count, policy_namespace_cmp);

	t->policies_by_namespace = room_for(s.n, sizeof(*t->policies_by_namespace));
	for (size_t i = 0; i < s.n; i++) {
		const struct policy *p = s.v[i].noun;

		if (p->scope != POLICY_WORKLOAD_SELECTOR)
			t->policies_by_namespace[t->policy_by_namespace_count++] = p;
	}
	free(s.v);
	t->policies_by_key = sorted_of((void **)m->policies, m->policy_count, policy_key_cmp);
}

static void index_service_names(struct mesh_table *t, const struct mesh *m)
{
	struct sorted s = sorted_of((void **)m->services, m->service_count, service_name_cmp);

	t->services_by_name = room_for(s.n, sizeof(*t->services_by_name));
	t->service_by_name_count = s.n;
	for (size_t i = 0; i < s.n; i++)
		t->services_by_name[i] = s.v[i].noun;
	free(s.v);
}

struct mesh_table *mesh_table_new(struct mesh *m)
{
	struct mesh_table *t = room_for(1, sizeof(*t));
	void **workloads = (void **)m->workloads;
	void **services = (void **)m->services;

	t->workloads_by_uid = sorted_of(workloads, m->workload_count, uid_cmp);
	t->workloads_by_hostname = sorted_of(workloads, m->workload_count, workload_hostname_cmp);
	t->local_workloads = sorted_of(workloads, m->workload_count, local_cmp);
	t->services_by_key = sorted_of(services, m->service_count, service_key_cmp);
	t->services_by_hostname = sorted_of(services, m->service_count, service_hostname_cmp);
	index_workload_ips(t, m);
	index_service_vips(t, m);
	index_service_names(t, m);
	index_policies(t, m);
	join_memberships(t, m);
	join_endpoints(m);
	join_policies(t, m);
	t->authz = authz_sets_new(m,
	                          (struct policy_list){.v = t->policies_by_namespace,
	                                               .n = t->policy_by_namespace_count},
	                          AUTHZ_INDEXED_RULES_MAX);
	return t;
}

void mesh_table_free(struct mesh_table *t)
{
	if (!t)
		return;
	free(t->workloads_by_uid.v);
	free(t->workloads_by_hostname.v);
	free(t->local_workloads.v);
	free(t->services_by_key.v);
	free(t->services_by_hostname.v);
	free(t->policies_by_key.v);
	free(t->workloads_by_ip.v);
	free(t->vips.v);
	free(t->cidrs.v);
	free(t->services_by_name);
	free(t->policies_by_namespace);
	free(t->staged);
	free(t);
}

/* ---- questions ---- */

const struct workload *mesh_workload_by_uid(const struct mesh *m, const char *uid)
{
	struct workload key = {.uid = uid};

	return sorted_latest(&m->table->workloads_by_uid, &key, uid_cmp);
}

/* Contract 3.9: who owns an address several workloads claim. */
static int workload_rank(const struct workload *w)
{
	return (strstr(w->uid, "//Pod/") ? 2 : 0) + (w->protocol == TUNNEL_HBONE ? 1 : 0);
}

const struct workload *mesh_workload_by_ip(const struct mesh *m, const char *network,
                                           const struct ip *ip)
{
	const struct ip_index *index = &m->table->workloads_by_ip;
	struct ip_entry key = {.network = network, .prefix = full_prefix(ip)};
	const struct workload *best = NULL;

	for (size_t i = ip_index_first(index, &key);
	     i < index->n && ip_key_cmp(&index->v[i], &key) == 0; i++) {
		const struct workload *w = index->v[i].noun;

		if (!best || workload_rank(w) >= workload_rank(best))
			best = w;
	}
	return best;
}

const struct workload *mesh_workload_by_hostname(const struct mesh *m, const char *namespace,
                                                 const char *hostname)
{
	struct workload key = {.namespace = namespace, .hostname = hostname};

	if (hostname[0] == '\0')
		return NULL;
	return sorted_latest(&m->table->workloads_by_hostname, &key, workload_hostname_cmp);
}

const struct workload *mesh_local_workload(const struct mesh *m,
                                           const struct local_workload_key *key)
{
	const struct sorted *s = &m->table->local_workloads;
	struct workload wanted = {.namespace = key->namespace,
	                          .name = key->name,
	                          .service_account = key->service_account};
	const struct workload *found = NULL;

	for (size_t i = sorted_first(s, &wanted, local_cmp);
	     i < s->n && local_cmp(s->v[i].noun, &wanted) == 0; i++) {
		const struct workload *w = s->v[i].noun;

		if (!key->node || key->node[0] == '\0' || strcmp(w->node, key->node) == 0)
			found = w;
	}
	return found;
}

static bool visible(const struct service *s, const char *client_ns)
{
	return !client_ns || s->visibility == VISIBILITY_PUBLIC ||
	       strcmp(s->namespace, client_ns) == 0;
}

/* How much a client likes a service among equals; the prefix length only tells CIDRs apart. */
static int service_preference(const struct service *s, const char *client_ns, int prefix_len)
{
	bool same_ns = client_ns && strcmp(s->namespace, client_ns) == 0;

	return (same_ns ? 1000 : 0) + prefix_len * 2 + (s->canonical ? 1 : 0);
}

struct service_choice {
	const char *client_ns;
	const struct service *best;
	int preference;
};

static void service_consider(struct service_choice *c, const struct service *s, int prefix_len)
{
	int preference = service_preference(s, c->client_ns, prefix_len);

	if (!visible(s, c->client_ns))
		return;
	if (c->best && c->preference >= preference)
		return;
	c->best = s;
	c->preference = preference;
}

static void consider_prefix(struct service_choice *c, const struct ip_index *index,
                            const struct ip_entry *key, int weight)
{
	for (size_t i = ip_index_first(index, key);
	     i < index->n && ip_key_cmp(&index->v[i], key) == 0; i++)
		service_consider(c, index->v[i].noun, weight);
}

/* ip with all bits beyond len cleared. */
static struct ip masked(const struct ip *ip, unsigned int len)
{
	struct ip out = *ip;

	for (unsigned int i = 0; i < sizeof(out.bytes); i++) {
		unsigned int bit = i * 8;

		if (bit >= len)
			out.bytes[i] = 0;
		else if (bit + 8 > len)
			out.bytes[i] &= (uint8_t)(0xff00u >> (len - bit));
	}
	return out;
}

const struct service *mesh_service_by_vip(const struct mesh *m, const char *network,
                                          const struct ip *ip, const char *client_ns)
{
	struct service_choice choice = {.client_ns = client_ns};
	struct ip_entry key = {.network = network, .prefix = full_prefix(ip)};

	consider_prefix(&choice, &m->table->vips, &key, 0);
	if (choice.best)
		return choice.best;
	for (unsigned int len = 0; len <= full_len(ip); len++) {
		if (!m->table->cidr_len_used[len])
			continue;
		key.prefix = (struct prefix){.ip = masked(ip, len), .len = (uint8_t)len};
		consider_prefix(&choice, &m->table->cidrs, &key, (int)len);
	}
	return choice.best;
}

const struct service *mesh_service_by_key(const struct mesh *m, const char *namespace,
                                          const char *hostname)
{
	return service_of(m->table, namespace, hostname);
}

const struct service *mesh_service_by_hostname(const struct mesh *m, const char *hostname,
                                               const char *client_ns)
{
	const struct sorted *s = &m->table->services_by_hostname;
	struct service key = {.hostname = hostname};
	struct service_choice choice = {.client_ns = client_ns};

	for (size_t i = sorted_first(s, &key, service_hostname_cmp);
	     i < s->n && service_hostname_cmp(s->v[i].noun, &key) == 0; i++)
		service_consider(&choice, s->v[i].noun, 0);
	return choice.best;
}

struct service_list mesh_services_named(const struct mesh *m, const char *hostname)
{
	const struct mesh_table *t = m->table;
	size_t low = 0, high = t->service_by_name_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (strcasecmp(t->services_by_name[mid]->hostname, hostname) < 0)
			low = mid + 1;
		else
			high = mid;
	}

	struct service_list list = {.v = t->services_by_name + low};

	while (low + list.n < t->service_by_name_count &&
	       strcasecmp(list.v[list.n]->hostname, hostname) == 0)
		list.n++;
	return list;
}

const struct membership *mesh_membership(const struct workload *w, const struct service *s)
{
	for (size_t i = 0; i < w->membership_count; i++) {
		const struct membership *b = &w->memberships[i];

		if (strcmp(b->hostname, s->hostname) == 0 &&
		    strcmp(b->namespace, s->namespace) == 0)
			return b;
	}
	return NULL;
}

const struct policy *mesh_policy_by_key(const struct mesh *m, const char *key)
{
	return policy_of(m->table, key);
}

const struct authz_set *mesh_authz_of_namespace(const struct mesh *m, const char *namespace)
{
	return authz_sets_of_namespace(m->table->authz, namespace);
}

struct policy_list mesh_policies_of_namespace(const struct mesh *m, const char *namespace)
{
	return mesh_authz_of_namespace(m, namespace)->list;
}

const struct staged_endpoint *mesh_staged_endpoints(const struct mesh *m, size_t *ret_count)
{
	*ret_count = m->table->staged_count;
	return m->table->staged;
}
