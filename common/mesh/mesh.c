/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mesh/mesh.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/mesh/mesh_arena.h"
#include "common/mesh/mesh_table.h"

static void mesh_destroy(struct snapshot *s)
{
	struct mesh *m = container_of(s, struct mesh, snapshot);

	mesh_table_free(m->table);
	free(m->workloads);
	free(m->services);
	free(m->policies);
	mesh_arena_free(m->arena);
	free(m);
}

struct mesh *mesh_new(const char *source)
{
	struct mesh *m = mem_new(sizeof(*m));

	snapshot_init(&m->snapshot, mesh_destroy);
	m->arena = mesh_arena_new();
	m->source = mesh_intern(m, span_str(source));
	return m;
}

struct mesh *mesh_ref(struct mesh *m)
{
	(void)snapshot_ref(&m->snapshot);
	return m;
}

void mesh_unref(struct mesh *m)
{
	if (m)
		snapshot_unref(&m->snapshot);
}

void *mesh_alloc(struct mesh *m, size_t size)
{
	CHECK(!m->table);
	return mesh_arena_alloc(m->arena, size);
}

const char *mesh_intern(struct mesh *m, struct span text)
{
	CHECK(!m->table);
	return mesh_arena_intern(m->arena, text);
}

struct workload *mesh_workload_new(struct mesh *m)
{
	struct workload *w = mesh_alloc(m, sizeof(*w));
	struct gateway_address none = {.network = "", .namespace = "", .hostname = ""};

	*w = (struct workload){
		.uid = "",
		.name = "",
		.namespace = "",
		.trust_domain = "",
		.service_account = "",
		.identity = "",
		.hostname = "",
		.network = "",
		.node = "",
		.cluster_id = "",
		.capacity = 1,
		.waypoint = none,
		.network_gateway = none,
		.workload_name = "",
		.workload_type = "",
		.canonical_name = "",
		.canonical_revision = "",
		.locality = {"", "", ""},
		.netns = "",
		.virtual_interfaces = "",
		.dns_capture = true,
	};
	return w;
}

struct service *mesh_service_new(struct mesh *m)
{
	struct service *s = mesh_alloc(m, sizeof(*s));

	s->name = s->namespace = s->hostname = "";
	s->waypoint.network = s->waypoint.namespace = s->waypoint.hostname = "";
	return s;
}

struct policy *mesh_policy_new(struct mesh *m)
{
	struct policy *p = mesh_alloc(m, sizeof(*p));

	p->name = p->namespace = p->key = "";
	return p;
}

/* Make room for one more pointer. */
static void *grown(void *v, size_t count, size_t *room)
{
	if (count < *room)
		return v;
	*room = *room == 0 ? 16 : *room * 2;

	void *more = mem_new(*room * sizeof(void *));

	if (count > 0)
		memcpy(more, v, count * sizeof(void *));
	free(v);
	return more;
}

static const char *intern_joined(struct mesh *m, const char *const *parts, size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++)
		len += strlen(parts[i]);

	char *text = mem_new(len + 1);
	char *end = text;

	for (size_t i = 0; i < n; i++)
		end = stpcpy(end, parts[i]);
	*end = '\0';

	const char *kept = mesh_intern(m, span_of(text, len));

	free(text);
	return kept;
}

void mesh_add_workload(struct mesh *m, struct workload *w)
{
	/* docs/decisions/0007-local-file-defaults.md: what WDS means by empty (contract 3.7) */
	if (w->trust_domain[0] == '\0')
		w->trust_domain = "cluster.local";
	else
		w->trust_domain_given = true;
	if (w->service_account[0] == '\0')
		w->service_account = "default";
	else
		w->service_account_given = true;
	w->identity = intern_joined(m,
	                            (const char *const[]){"spiffe://", w->trust_domain, "/ns/",
	                                                  w->namespace, "/sa/", w->service_account},
	                            6);
	m->workloads = grown(m->workloads, m->workload_count, &m->workload_room);
	m->workloads[m->workload_count++] = w;
}

void mesh_add_service(struct mesh *m, struct service *s)
{
	const char **identities = mesh_alloc(m, s->san_count * sizeof(*identities));
	struct identity_parts parts;

	s->identity_count = 0;
	for (size_t i = 0; i < s->san_count; i++) {
		if (identity_split(span_str(s->sans[i]), &parts) == ERR_OK)
			identities[s->identity_count++] = s->sans[i];
	}
	s->identities = identities;
	m->services = grown(m->services, m->service_count, &m->service_room);
	m->services[m->service_count++] = s;
}

void mesh_add_policy(struct mesh *m, struct policy *p)
{
	p->key = intern_joined(m, (const char *const[]){p->namespace, "/", p->name}, 3);
	m->policies = grown(m->policies, m->policy_count, &m->policy_room);
	m->policies[m->policy_count++] = p;
}

void mesh_seal(struct mesh *m)
{
	CHECK(!m->table);
	m->table = mesh_table_new(m);
}

const struct port_mapping *port_map_find(const struct port_map *map, uint16_t service_port)
{
	size_t low = 0, high = map->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (map->v[mid].service_port == service_port)
			return &map->v[mid];
		if (map->v[mid].service_port < service_port)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

/* Cut the part up to the next '/' off the front of rest; the last part ends with the text. */
static struct span next_part(struct span *rest)
{
	const uint8_t *slash = rest->n ? memchr(rest->p, '/', rest->n) : NULL;
	size_t n = slash ? (size_t)(slash - rest->p) : rest->n;
	struct span part = span_of(rest->p, n);
	size_t skip = slash ? n + 1 : n;

	*rest = span_of(rest->p + skip, rest->n - skip);
	return part;
}

enum err identity_split(struct span text, struct identity_parts *ret_parts)
{
	static const char scheme[] = "spiffe://";
	size_t scheme_len = sizeof(scheme) - 1;
	size_t slashes = 0;

	if (text.n > IDENTITY_TEXT_MAX || text.n <= scheme_len ||
	    memcmp(text.p, scheme, scheme_len) != 0)
		return ERR_PARSE;

	struct span rest = span_of(text.p + scheme_len, text.n - scheme_len);
	struct identity_parts parts = {.principal = rest};

	for (size_t i = 0; i < rest.n; i++) {
		if (rest.p[i] == '/')
			slashes++;
		if (rest.p[i] <= 0x20 || rest.p[i] == 0x7f)
			return ERR_PARSE;
	}
	if (slashes != 4)
		return ERR_PARSE;
	parts.trust_domain = next_part(&rest);
	if (!span_eq_str(next_part(&rest), "ns"))
		return ERR_PARSE;
	parts.namespace = next_part(&rest);
	if (!span_eq_str(next_part(&rest), "sa"))
		return ERR_PARSE;
	parts.service_account = next_part(&rest);
	if (parts.trust_domain.n == 0 || parts.namespace.n == 0 || parts.service_account.n == 0)
		return ERR_PARSE;
	*ret_parts = parts;
	return ERR_OK;
}
