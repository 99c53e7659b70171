/* SPDX-License-Identifier: Apache-2.0 */
#include "common/daemon/proxy_config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/daemon/worker_count.h"
#include "common/mesh/yaml_report.h"
#include "common/mesh/yaml_tree.h"

static const char env_prefix[] = "ISTIO_META_";

void proxy_config_init(struct proxy_config *pc)
{
	*pc = (struct proxy_config){.concurrency = -1};
}

void proxy_config_fini(struct proxy_config *pc)
{
	free(pc->discovery_address);
	for (size_t i = 0; i < pc->metadata_count; i++) {
		free(pc->metadata[i].name);
		free(pc->metadata[i].value);
	}
	proxy_config_init(pc);
}

enum err metadata_put(struct settings_metadata *list, size_t *count, struct span name,
                      struct span value)
{
	for (size_t i = 0; i < *count; i++) {
		if (!span_eq_str(name, list[i].name))
			continue;
		free(list[i].value);
		list[i].value = mem_str(value);
		return ERR_OK;
	}
	if (*count == SETTINGS_METADATA_MAX)
		return ERR_LIMIT;
	list[(*count)++] = (struct settings_metadata){mem_str(name), mem_str(value)};
	return ERR_OK;
}

/* One key of ours: what it may be, and where it goes. */
struct reading {
	struct proxy_config *pc;
	struct yaml_report *report;
};

static bool is_null(const struct yaml_node *n)
{
	return n->kind == YAML_SCALAR && yaml_scalar_type(n) == YAML_TYPE_NULL;
}

static void refuse(struct reading *r, const struct yaml_node *n, const char *path,
                   const char *expected)
{
	yaml_report_at(r->report, YAML_ERROR, n->pos, path, "must be %s", expected);
}

/* Digits, quoted or not. false: reported. */
static bool get_number(struct reading *r, const struct yaml_node *n, uint64_t max, uint64_t *ret_v)
{
	char expected[64];

	if (n->kind == YAML_SCALAR && str_parse_u64(n->text, max, ret_v) == ERR_OK)
		return true;
	(void)snprintf(expected, sizeof(expected), "a whole number from 0 to %" PRIu64, max);
	refuse(r, n, (const char *)n->key->text.p, expected);
	return false;
}

static void read_port(struct reading *r, const struct yaml_node *n, uint16_t *port)
{
	uint64_t v;

	if (!get_number(r, n, UINT16_MAX, &v))
		return;
	if (v == 0)
		refuse(r, n, (const char *)n->key->text.p, "a port from 1 to 65535");
	else
		*port = (uint16_t)v;
}

static void read_concurrency(struct reading *r, const struct yaml_node *n)
{
	uint64_t v;

	if (get_number(r, n, WORKERS_MAX, &v))
		r->pc->concurrency = (int64_t)v;
}

static void read_address(struct reading *r, const struct yaml_node *n)
{
	if (n->kind != YAML_SCALAR) {
		refuse(r, n, "discoveryAddress", "a text");
		return;
	}
	free(r->pc->discovery_address);
	r->pc->discovery_address = mem_str(n->text);
}

static struct span without_prefix(struct span name)
{
	size_t len = sizeof(env_prefix) - 1;

	if (name.n <= len || memcmp(name.p, env_prefix, len) != 0)
		return name;
	return span_of(name.p + len, name.n - len);
}

/* Text is meant, whatever it looks like: 15 and true are taken as written. */
static void read_metadata(struct reading *r, const struct yaml_node *n)
{
	if (n->kind != YAML_MAP) {
		refuse(r, n, "proxyMetadata", "a map of texts");
		return;
	}
	for (const struct yaml_node *c = n->first; c != NULL; c = c->next) {
		if (c->kind != YAML_SCALAR)
			refuse(r, c, "proxyMetadata", "a map of texts");
		else if (metadata_put(r->pc->metadata, &r->pc->metadata_count,
		                      without_prefix(c->key->text),
		                      is_null(c) ? span_of("", 0) : c->text) != ERR_OK)
			yaml_report_at(r->report, YAML_ERROR, c->pos, "proxyMetadata",
			               "more than %d entries: remove some", SETTINGS_METADATA_MAX);
	}
}

static void read_config(struct reading *r, const struct yaml_node *n, const char *path)
{
	if (is_null(n))
		return;
	if (n->kind != YAML_MAP) {
		refuse(r, n, path, "a map of settings");
		return;
	}
	for (const struct yaml_node *c = n->first; c != NULL; c = c->next) {
		if (is_null(c))
			continue;
		if (span_eq_str(c->key->text, "discoveryAddress"))
			read_address(r, c);
		else if (span_eq_str(c->key->text, "proxyAdminPort"))
			read_port(r, c, &r->pc->admin_port);
		else if (span_eq_str(c->key->text, "statsPort"))
			read_port(r, c, &r->pc->stats_port);
		else if (span_eq_str(c->key->text, "concurrency"))
			read_concurrency(r, c);
		else if (span_eq_str(c->key->text, "proxyMetadata"))
			read_metadata(r, c);
	}
}

static void read_mesh(struct reading *r, const struct yaml_node *n)
{
	if (is_null(n))
		return;
	if (n->kind != YAML_MAP) {
		refuse(r, n, "", "a map of settings");
		return;
	}
	for (const struct yaml_node *c = n->first; c != NULL; c = c->next) {
		if (span_eq_str(c->key->text, "defaultConfig"))
			read_config(r, c, "defaultConfig");
	}
}

static bool is_blank(struct span text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] != ' ' && text.p[i] != '\t' && text.p[i] != '\r' && text.p[i] != '\n')
			return false;
	}
	return true;
}

enum err proxy_config_merge(struct proxy_config *pc, enum proxy_config_kind kind,
                            const char *source, struct span text, struct buf *errors)
{
	struct yaml_report report = {
		.out = errors,
		.source = source,
		.text = text,
		.scalar_len_max = PROXY_CONFIG_TEXT_MAX,
	};
	struct reading r = {.pc = pc, .report = &report};
	struct yaml_tree tree;
	enum err e;

	if (is_blank(text))
		return ERR_OK;
	e = yaml_tree_parse(&report, &tree);
	if (e == ERR_OK) {
		switch (kind) {
		case PROXY_CONFIG_ALONE: read_config(&r, tree.root, ""); break;
		case PROXY_CONFIG_OF_MESH: read_mesh(&r, tree.root); break;
		}
		yaml_tree_free(&tree);
		e = report.errors > 0 ? ERR_CONFIG : ERR_OK;
	}
	yaml_report_close(&report);
	return e;
}
