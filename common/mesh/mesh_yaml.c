/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mesh/mesh_yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/mesh/mesh_table.h"
#include "common/mesh/mesh_yaml_nouns.h"
#include "common/mesh/mesh_yaml_policy.h"

static void element_workload(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	struct workload *w = mesh_workload_new(d->mesh);

	(void)out;
	mesh_yaml_workload(d, n, w);
	mesh_add_workload(d->mesh, w);
}

static void element_service(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	struct service *s = mesh_service_new(d->mesh);

	(void)out;
	mesh_yaml_service(d, n, s);
	mesh_add_service(d->mesh, s);
}

static void element_policy(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	struct policy *p = mesh_policy_new(d->mesh);

	(void)out;
	mesh_yaml_policy(d, n, p);
	mesh_add_policy(d->mesh, p);
}

/* The nouns are added as they are read, the list itself is not kept. */
static void field_workloads(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	size_t count;

	(void)out;
	(void)yaml_decode_list(d, n, 0, element_workload, &count);
}

static void field_services(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	size_t count;

	(void)out;
	(void)yaml_decode_list(d, n, 0, element_service, &count);
}

static void field_policies(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	size_t count;

	(void)out;
	(void)yaml_decode_list(d, n, 0, element_policy, &count);
}

/* A noun's key, for finding two alike. */
struct keyed {
	const char *first, *second;
	struct source_pos pos;
	size_t index;
};

static int keyed_cmp(const void *a, const void *b)
{
	const struct keyed *x = a, *y = b;
	int c = strcmp(x->first, y->first);

	if (c == 0)
		c = strcmp(x->second, y->second);
	return c ? c : (x->index > y->index) - (x->index < y->index);
}

static void report_twins(struct yaml_decode *d, const char *list, const char *what, struct keyed *v,
                         size_t n)
{
	qsort(v, n, sizeof(*v), keyed_cmp);
	for (size_t i = 1; i < n; i++) {
		if (strcmp(v[i].first, v[i - 1].first) != 0 ||
		    strcmp(v[i].second, v[i - 1].second) != 0)
			continue;
		yaml_enter(d, span_str(list), 0);
		yaml_enter(d, span_of(NULL, 0), v[i].index);
		yaml_error(d, v[i].pos, "has the same %s as %s[%zu] at line %u; give each its own",
		           what, list, v[i - 1].index, v[i - 1].pos.line);
		yaml_leave(d);
		yaml_leave(d);
	}
	free(v);
}

static struct keyed *keyed_new(size_t n)
{
	return mem_new(n * sizeof(struct keyed));
}

static void check_twins(struct yaml_decode *d)
{
	const struct mesh *m = d->mesh;
	struct keyed *workloads = keyed_new(m->workload_count);
	struct keyed *services = keyed_new(m->service_count);
	struct keyed *policies = keyed_new(m->policy_count);

	for (size_t i = 0; i < m->workload_count; i++)
		workloads[i] = (struct keyed){m->workloads[i]->uid, "", m->workloads[i]->pos, i};
	for (size_t i = 0; i < m->service_count; i++)
		services[i] = (struct keyed){m->services[i]->namespace, m->services[i]->hostname,
		                             m->services[i]->pos, i};
	for (size_t i = 0; i < m->policy_count; i++)
		policies[i] = (struct keyed){m->policies[i]->key, "", m->policies[i]->pos, i};
	report_twins(d, "workloads", "uid", workloads, m->workload_count);
	report_twins(d, "services", "namespace and hostname", services, m->service_count);
	report_twins(d, "policies", "namespace and name", policies, m->policy_count);
}

/* What parses but does not do what it looks like: only a sealed mesh can tell. */
static void warn_dangling(struct yaml_decode *d)
{
	const struct mesh *m = d->mesh;
	char shown[YAML_SHOWN_MAX];

	yaml_enter(d, span_str("workloads"), 0);
	for (size_t i = 0; i < m->workload_count; i++) {
		const struct workload *w = m->workloads[i];

		yaml_enter(d, span_of(NULL, 0), i);
		for (size_t k = 0; k < w->policy_name_count; k++) {
			if (!mesh_policy_by_key(m, w->policy_names[k]))
				yaml_warning(d, w->pos, "there is no policy \"%s\"; it is skipped",
				             yaml_shown(span_str(w->policy_names[k]), shown));
		}
		for (size_t k = 0; k < w->membership_count; k++) {
			if (!w->memberships[k].service)
				yaml_warning(
					d, w->pos, "there is no service \"%s\" in namespace \"%s\"",
					yaml_shown(span_str(w->memberships[k].hostname), shown),
					w->memberships[k].namespace);
		}
		yaml_leave(d);
	}
	yaml_leave(d);
}

static void decode(struct yaml_decode *d, const struct yaml_node *root)
{
	static const struct yaml_field fields[] = {
		{"workloads", field_workloads, 0, false},
		{"policies", field_policies, 0, false},
		{"services", field_services, 0, false},
	};
	char nothing;

	yaml_decode_map(d, root, fields, ARRAY_LEN(fields), &nothing);
	if (d->report->errors == 0)
		check_twins(d);
}

enum err mesh_yaml_parse(struct span text, const char *source, struct buf *messages,
                         struct mesh **ret_mesh)
{
	struct yaml_report report = {.out = messages, .source = source, .text = text};
	struct yaml_decode d = {.report = &report};
	struct yaml_tree tree;

	if (text.n > MESH_YAML_FILE_MAX) {
		yaml_report_at(&report, YAML_ERROR, (struct source_pos){0}, "",
		               "larger than %d octets; split it over several nodes",
		               MESH_YAML_FILE_MAX);
		return ERR_LIMIT;
	}
	enum err e = yaml_tree_parse(&report, &tree);

	if (e == ERR_OK) {
		d.mesh = mesh_new(source);
		decode(&d, tree.root);
		yaml_tree_free(&tree);
		if (report.errors == 0) {
			mesh_seal(d.mesh);
			warn_dangling(&d);
		}
	}
	yaml_report_close(&report);
	if (report.errors > 0) {
		mesh_unref(d.mesh);
		return e == ERR_OK ? ERR_CONFIG : e;
	}
	*ret_mesh = d.mesh;
	return ERR_OK;
}

static enum err unreadable(const char *path, const char *why, struct buf *messages)
{
	buf_printf(messages, "%s: error: %s; check LOCAL_XDS_PATH\n", path, why);
	return ERR_SYSTEM;
}

/* Everything of fd into b, which is as large as a file may be and one octet more. */
static enum err read_all(int fd, struct buf *b)
{
	enum { READ_LEN = 256 * 1024 };

	for (;;) {
		size_t room = b->max - b->n < READ_LEN ? b->max - b->n : READ_LEN;
		uint8_t *p = room > 0 ? buf_reserve(b, room) : NULL;

		if (!p)
			return ERR_LIMIT;

		ssize_t n = read(fd, p, room);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ERR_SYSTEM;
		if (n == 0)
			return ERR_OK;
		buf_added(b, (size_t)n);
	}
}

enum err mesh_yaml_load(const char *path, struct buf *messages, struct mesh **ret_mesh)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	struct buf text;

	if (fd < 0)
		return unreadable(path, strerror(errno), messages);
	if (fstat(fd, &st) != 0 || S_ISDIR(st.st_mode)) {
		(void)close(fd);
		return unreadable(path, "not a file", messages);
	}
	buf_init(&text, (size_t)MESH_YAML_FILE_MAX + 1);
	enum err e = read_all(fd, &text);

	if (e == ERR_SYSTEM)
		e = unreadable(path, strerror(errno), messages);
	else if (e == ERR_LIMIT)
		buf_printf(messages, "%s: error: larger than %d octets\n", path,
		           MESH_YAML_FILE_MAX);
	else
		e = mesh_yaml_parse(buf_span(&text), path, messages, ret_mesh);
	(void)close(fd);
	buf_fini(&text);
	return e;
}
