/* SPDX-License-Identifier: Apache-2.0 */
#include "common/daemon/settings.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/netaddr.h"
#include "common/base/str.h"
#include "common/daemon/drain.h"
#include "common/daemon/mesh_file.h"
#include "common/daemon/settings_check.h"

enum {
	REPORT_LEN_MAX = 64 * 1024, /* more than every variable being wrong at once */
	SHOWN_LEN_MAX = 64,         /* of a value in a message */
};

enum setting_type {
	TYPE_BOOL,
	TYPE_U16,
	TYPE_U32,
	TYPE_U64,
	TYPE_DURATION,
	TYPE_TEXT,
	TYPE_CHOICE,
	TYPE_WORKERS,
	TYPE_CPUS,
};

enum setting_state { STATE_HONOURED, STATE_NOT_YET, STATE_REFUSED, STATE_IGNORED };

struct setting_row {
	const char *env;
	const char *value_default; /* NULL: none */
	const char *allowed;
	const char *json;
	const char *why;
	uint64_t min, max;
	size_t offset; /* of the member */
	enum setting_type type;
	enum setting_state state;
};

static const struct setting_row rows[SETTING_COUNT] = {
#define SETTING(field, env_, type_, def_, min_, max_, allowed_, json_, state_, why_) \
	[SETTING_OF_##field] = {                                                     \
		.env = env_,                                                         \
		.value_default = def_,                                               \
		.allowed = allowed_,                                                 \
		.json = json_,                                                       \
		.why = why_,                                                         \
		.min = min_,                                                         \
		.max = max_,                                                         \
		.offset = offsetof(struct settings, field),                          \
		.type = TYPE_##type_,                                                \
		.state = STATE_##state_,                                             \
	},
#define SETTING_PREFIX(env, state, why)
#include "common/daemon/settings.def"
#undef SETTING
#undef SETTING_PREFIX
};

struct setting_prefix {
	const char *env;
	enum setting_state state;
	const char *why;
};

static const struct setting_prefix prefixes[] = {
#define SETTING(field, env, type, def, min, max, allowed, json, state, why)
#define SETTING_PREFIX(env, state, why) {env, STATE_##state, why},
#include "common/daemon/settings.def"
#undef SETTING
#undef SETTING_PREFIX
};

static const char metadata_prefix[] = "ISTIO_META_";
static const char own_prefix[] = "CULVERT_";

/* ---- the report ---- */

void settings_report_init(struct settings_report *r)
{
	buf_init(&r->errors, REPORT_LEN_MAX);
	buf_init(&r->warnings, REPORT_LEN_MAX);
}

void settings_report_fini(struct settings_report *r)
{
	buf_fini(&r->errors);
	buf_fini(&r->warnings);
}

/* A value in quotes, cut, with what is not plain ASCII as '?'. */
static void put_shown(struct buf *out, struct span value)
{
	buf_put_u8(out, '"');
	for (size_t i = 0; i < value.n && i < SHOWN_LEN_MAX; i++) {
		uint8_t c = value.p[i];

		buf_put_u8(out, c >= 0x20 && c < 0x7f && c != '"' ? c : '?');
	}
	buf_put_str(out, value.n > SHOWN_LEN_MAX ? "...\"" : "\"");
}

static void put_allowed(struct buf *out, const struct setting_row *row)
{
	switch (row->type) {
	case TYPE_BOOL: buf_put_str(out, "exactly true or false"); return;
	case TYPE_U16:
	case TYPE_U32:
	case TYPE_U64:
		buf_printf(out, "a whole number from %" PRIu64 " to %" PRIu64, row->min, row->max);
		return;
	case TYPE_DURATION:
		buf_printf(out,
		           "a duration such as 500ms, 5s, 1h30m or 5 (seconds), from %" PRIu64
		           "ms to %" PRIu64 "ms",
		           row->min, row->max);
		return;
	case TYPE_TEXT:
		buf_printf(out, "text of %" PRIu64 " to %" PRIu64 " octets", row->min, row->max);
		return;
	case TYPE_CHOICE: buf_printf(out, "one of %s", row->allowed); return;
	case TYPE_WORKERS:
		buf_printf(
			out,
			"a number from 0 (all cores) to %d, or a share of the cores such as 50%%",
			WORKERS_MAX);
		return;
	case TYPE_CPUS:
		buf_put_str(out, "a CPU quantity above zero such as 2, 1.5 or 500m");
		return;
	}
}

static void report_malformed(struct settings_report *r, const struct setting_row *row,
                             struct span value)
{
	buf_put_str(&r->errors, row->env);
	if (row->type != TYPE_TEXT) { /* texts may be secrets */
		buf_put_u8(&r->errors, '=');
		put_shown(&r->errors, value);
	}
	buf_put_str(&r->errors, ": not understood: it must be ");
	put_allowed(&r->errors, row);
	if (row->type == TYPE_CHOICE)
		buf_printf(&r->errors, ". %s", row->why);
	buf_put_u8(&r->errors, '\n');
}

/* ---- values ---- */

static void *member(struct settings *s, const struct setting_row *row)
{
	return (char *)s + row->offset;
}

static const void *member_const(const struct settings *s, const struct setting_row *row)
{
	return (const char *)s + row->offset;
}

/* The place of value in "a|b|c". Errs: ERR_PARSE */
static enum err choice_parse(const char *list, struct span value, unsigned int *ret_index)
{
	unsigned int i = 0;

	for (struct span rest = span_str(list); rest.p != NULL; i++) {
		if (!span_eq(str_split(&rest, '|'), value))
			continue;
		*ret_index = i;
		return ERR_OK;
	}
	return ERR_PARSE;
}

static enum err number_parse(const struct setting_row *row, struct span value, uint64_t *ret_v)
{
	uint64_t v;
	enum err err = row->type == TYPE_DURATION ? str_parse_duration(value, &v)
	                                          : str_parse_u64(value, row->max, &v);

	if (err != ERR_OK)
		return err;
	if (v < row->min || v > row->max)
		return ERR_PARSE;
	*ret_v = v;
	return ERR_OK;
}

static enum err store_number(const struct setting_row *row, struct span value, void *at)
{
	uint64_t v;
	enum err err = number_parse(row, value, &v);

	if (err != ERR_OK)
		return err;
	if (row->type == TYPE_U16)
		*(uint16_t *)at = (uint16_t)v;
	else if (row->type == TYPE_U32)
		*(uint32_t *)at = (uint32_t)v;
	else
		*(uint64_t *)at = v;
	return ERR_OK;
}

static enum err store_bool(struct span value, bool *ret_v)
{
	if (!span_eq_str(value, "true") && !span_eq_str(value, "false"))
		return ERR_PARSE;
	*ret_v = value.p[0] == 't';
	return ERR_OK;
}

static enum err store_text(const struct setting_row *row, struct span value, char **at)
{
	if (value.n < row->min || value.n > row->max)
		return ERR_PARSE;
	free(*at);
	*at = mem_str(value);
	return ERR_OK;
}

/* Errs: ERR_PARSE: nothing was stored */
static enum err store(struct settings *s, const struct setting_row *row, struct span value)
{
	void *at = member(s, row);

	switch (row->type) {
	case TYPE_BOOL: return store_bool(value, at);
	case TYPE_U16:
	case TYPE_U32:
	case TYPE_U64:
	case TYPE_DURATION: return store_number(row, value, at);
	case TYPE_TEXT: return store_text(row, value, at);
	case TYPE_CHOICE: return choice_parse(row->allowed, value, at);
	case TYPE_WORKERS: return worker_wish_parse(value, at);
	case TYPE_CPUS: return cpu_quantity_parse(value, at);
	}
	return ERR_PARSE;
}

/* ---- one variable ---- */

static void judge_state(const struct setting_row *row, struct span value, struct settings_report *r)
{
	unsigned int place;

	switch (row->state) {
	case STATE_HONOURED:
	case STATE_IGNORED: return;
	case STATE_NOT_YET:
		buf_printf(&r->warnings, "%s is set but not yet honoured: %s\n", row->env,
		           row->why);
		return;
	case STATE_REFUSED:
		if (value.n == 0 || choice_parse(row->allowed, value, &place) == ERR_OK)
			return;
		buf_printf(&r->errors,
		           "%s: not supported here%s%s. %s. Unset it to start without\n", row->env,
		           row->allowed[0] != '\0' ? ", except as " : "", row->allowed, row->why);
		return;
	}
}

static void read_row(struct settings *s, enum setting id, struct span value,
                     struct settings_report *r)
{
	const struct setting_row *row = &rows[id];

	/* Charts set variables to nothing when they have no value for them. */
	if (value.n == 0 && row->type != TYPE_TEXT)
		return;
	if (store(s, row, value) != ERR_OK) {
		report_malformed(r, row, value);
		return;
	}
	s->is_set[id] = true;
	s->given[id] = true;
	judge_state(row, value, r);
}

static bool starts_with(struct span text, const char *prefix)
{
	size_t n = strlen(prefix);

	return text.n > n && memcmp(text.p, prefix, n) == 0;
}

static void read_metadata(struct settings *s, struct span name, struct span value,
                          struct settings_report *r)
{
	if (metadata_put(s->metadata, &s->metadata_count, name, value) != ERR_OK)
		buf_printf(&r->errors, "%s*: more than %d of them: unset some\n", metadata_prefix,
		           SETTINGS_METADATA_MAX);
}

/* Of proxyMetadata: as ISTIO_META_ and the name in the environment would be. */
static void read_config_metadata(struct settings *s, const struct settings_metadata *m,
                                 struct settings_report *r)
{
	size_t n = sizeof(metadata_prefix) - 1;

	read_metadata(s, span_str(m->name), span_str(m->value), r);
	for (enum setting id = 0; id < SETTING_COUNT; id++) {
		if (strncmp(rows[id].env, metadata_prefix, n) == 0 &&
		    strcmp(rows[id].env + n, m->name) == 0)
			read_row(s, id, span_str(m->value), r);
	}
}

static void read_prefixed(struct span name, struct span value, struct settings_report *r)
{
	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
		if (!starts_with(name, prefixes[i].env))
			continue;
		settings_check_prefixed(name, value, &r->errors);
		if (prefixes[i].state == STATE_NOT_YET)
			buf_printf(&r->warnings, "%.*s is set but not yet honoured: %s\n",
			           (int)name.n, (const char *)name.p, prefixes[i].why);
		return;
	}
	if (starts_with(name, own_prefix)) {
		put_shown(&r->warnings, name);
		buf_put_str(&r->warnings,
		            " is no setting: see docs/settings.md for those there are\n");
	}
}

static void read_variable(struct settings *s, const char *text, struct settings_report *r)
{
	const char *equals = strchr(text, '=');
	struct span name, value;

	if (equals == NULL)
		return;
	name = span_of(text, (size_t)(equals - text));
	value = span_str(equals + 1);
	if (starts_with(name, metadata_prefix))
		read_metadata(s,
		              span_of(name.p + sizeof(metadata_prefix) - 1,
		                      name.n - sizeof(metadata_prefix) + 1),
		              value, r);
	for (enum setting id = 0; id < SETTING_COUNT; id++) {
		if (span_eq_str(name, rows[id].env)) {
			read_row(s, id, value, r);
			return;
		}
	}
	read_prefixed(name, value, r);
}

/* ---- the whole ---- */

static void apply_defaults(struct settings *s)
{
	for (enum setting id = 0; id < SETTING_COUNT; id++) {
		if (rows[id].value_default == NULL)
			continue;
		CHECK(store(s, &rows[id], span_str(rows[id].value_default)) == ERR_OK);
		s->is_set[id] = true;
	}
}

static bool is_given(const char *text)
{
	return text != NULL && text[0] != '\0';
}

/* "localhost:PORT" or "IP:PORT"; the family that is not named stays on loopback. */
static bool read_dns_addr(struct settings *s)
{
	static const struct ip loopback4 = {.family = IP_V4, .bytes = {127, 0, 0, 1}};
	static const struct ip loopback6 = {.family = IP_V6, .bytes = {[15] = 1}};
	struct span text =
		span_str(is_given(s->dns_proxy_addr) ? s->dns_proxy_addr : "localhost:15053");
	struct span rest = text;
	struct span host = str_split(&rest, ':');
	struct endpoint at;
	uint64_t port;

	if (span_eq_str(host, "localhost") && rest.p != NULL) {
		if (str_parse_u64(rest, 65535, &port) != ERR_OK || port == 0)
			return false;
		s->dns_at4 = (struct endpoint){.ip = loopback4, .port = (uint16_t)port};
		s->dns_at6 = (struct endpoint){.ip = loopback6, .port = (uint16_t)port};
		return true;
	}
	if (endpoint_parse(text, &at) != ERR_OK)
		return false;
	s->dns_at4 = (struct endpoint){.ip = loopback4, .port = at.port};
	s->dns_at6 = (struct endpoint){.ip = loopback6, .port = at.port};
	*(at.ip.family == IP_V4 ? &s->dns_at4 : &s->dns_at6) = at;
	return true;
}

static void work_out(struct settings *s, unsigned int logical_cpus)
{
	struct worker_inputs in = {
		.wish = s->worker_wish,
		.cpu_limit = s->cpu_limit,
		.request_cpus = s->request_cpus,
		.limit_cpus = s->limit_cpus,
		.logical_cpus = logical_cpus,
	};
	struct drain_settings drain = {
		.termination_deadline_ms = s->is_set[SETTING_OF_termination_deadline_ms]
	                                           ? (int64_t)s->termination_deadline_ms
	                                           : -1,
		.grace_period_s = s->is_set[SETTING_OF_termination_grace_s]
	                                  ? (int64_t)s->termination_grace_s
	                                  : -1,
	};

	s->workers = worker_count(&in);
	s->drain_grace_ms = drain_grace_ms(&drain);
	s->cluster_id = s->cluster_id_meta != NULL && s->cluster_id_meta[0] != '\0'
	                        ? s->cluster_id_meta
	                        : s->cluster_id_plain;
	s->log_json = strcmp(s->log_format, "json") == 0;
	s->dns = strcasecmp(s->dns_capture, "true") == 0 || s->dns_capture[0] == '\0';
	s->authz_info = s->authz_info_log != NULL && strcmp(s->authz_info_log, "true") == 0;
}

/* PROXY_CONFIG of the environment, before all else of it is read: the rest wins over what it says. */
static const char *find_proxy_config(const char *const env[])
{
	static const char name[] = "PROXY_CONFIG=";

	for (size_t i = 0; env[i] != NULL; i++) {
		if (strncmp(env[i], name, sizeof(name) - 1) == 0)
			return env[i] + sizeof(name) - 1;
	}
	return "";
}

static void apply_proxy_config(struct settings *s, struct proxy_config *pc,
                               struct settings_report *r)
{
	for (size_t i = 0; i < pc->metadata_count; i++)
		read_config_metadata(s, &pc->metadata[i], r);
	if (pc->admin_port != 0)
		s->admin_port = pc->admin_port;
	if (pc->stats_port != 0)
		s->stats_port = pc->stats_port;
	if (pc->concurrency >= 0)
		s->worker_wish = (struct worker_wish){
			.kind = WORKERS_COUNT,
			.count = (uint32_t)pc->concurrency,
		};
	s->discovery_address = pc->discovery_address; /* taken */
	pc->discovery_address = NULL;
}

/* Errs: ERR_CONFIG: told */
static enum err read_proxy_config(const struct settings_sources *from, struct settings *s,
                                  struct settings_report *r)
{
	struct proxy_config *pc = mem_new(sizeof(*pc)); /* large for a stack */
	enum err mesh, own;

	proxy_config_init(pc);
	mesh = proxy_config_merge(pc, PROXY_CONFIG_OF_MESH, MESH_FILE, from->mesh_file, &r->errors);
	own = proxy_config_merge(pc, PROXY_CONFIG_ALONE, "PROXY_CONFIG",
	                         span_str(find_proxy_config(from->env)), &r->errors);
	if (mesh == ERR_OK && own == ERR_OK)
		apply_proxy_config(s, pc, r);
	proxy_config_fini(pc);
	free(pc);
	return mesh == ERR_OK && own == ERR_OK ? ERR_OK : ERR_CONFIG;
}

enum err settings_read(const struct settings_sources *from, struct settings *ret_settings,
                       struct settings_report *report)
{
	struct settings s = {0};
	enum err e;

	apply_defaults(&s);
	e = read_proxy_config(from, &s, report);
	for (size_t i = 0; from->env[i] != NULL; i++)
		read_variable(&s, from->env[i], report);
	if (!read_dns_addr(&s))
		buf_put_str(
			&report->errors,
			"ISTIO_META_DNS_PROXY_ADDR: neither localhost:PORT nor IP:PORT, such as "
			"localhost:15053 or 127.0.0.1:15053\n");
	settings_check(&s, &report->errors);
	if (e != ERR_OK || report->errors.n > 0 || report->errors.failed) {
		settings_fini(&s);
		return ERR_CONFIG;
	}
	work_out(&s, from->logical_cpus);
	*ret_settings = s;
	return ERR_OK;
}

void settings_fini(struct settings *s)
{
	for (enum setting id = 0; id < SETTING_COUNT; id++)
		if (rows[id].type == TYPE_TEXT)
			free(*(char **)member(s, &rows[id]));
	for (size_t i = 0; i < s->metadata_count; i++) {
		free(s->metadata[i].name);
		free(s->metadata[i].value);
	}
	free(s->discovery_address);
	*s = (struct settings){0};
}

/* ---- dump ---- */

static void json_duration(struct json_write *w, uint64_t ms)
{
	json_object_open(w);
	json_kv_uint(w, "secs", ms / 1000);
	json_kv_uint(w, "nanos", ms % 1000 * 1000000);
	json_object_close(w);
}

static void json_choice(struct json_write *w, const struct setting_row *row, unsigned int place)
{
	struct span rest = span_str(row->allowed);
	struct span word = str_split(&rest, '|');

	while (place-- > 0)
		word = str_split(&rest, '|');
	json_span(w, word);
}

static void json_value(struct json_write *w, const struct settings *s,
                       const struct setting_row *row)
{
	const void *at = member_const(s, row);

	switch (row->type) {
	case TYPE_BOOL: json_bool(w, *(const bool *)at); return;
	case TYPE_U16: json_uint(w, *(const uint16_t *)at); return;
	case TYPE_U32:
	case TYPE_CPUS: json_uint(w, *(const uint32_t *)at); return;
	case TYPE_U64: json_uint(w, *(const uint64_t *)at); return;
	case TYPE_DURATION: json_duration(w, *(const uint64_t *)at); return;
	case TYPE_TEXT: json_str(w, *(char *const *)at); return;
	case TYPE_CHOICE: json_choice(w, row, *(const unsigned int *)at); return;
	case TYPE_WORKERS: json_none(w); return; /* shown as worked out */
	}
}

/* The part of a row's name in front of '.', empty for a member of the top object. */
static struct span json_group(const struct setting_row *row)
{
	const char *dot = strchr(row->json, '.');

	return dot == NULL ? span_of(row->json, 0) : span_of(row->json, (size_t)(dot - row->json));
}

/* The rows of one group, as members of the object that is open. */
static void json_rows(struct json_write *w, const struct settings *s, struct span group)
{
	for (enum setting id = 0; id < SETTING_COUNT; id++) {
		const struct setting_row *row = &rows[id];

		if (row->json[0] == '\0' || row->state == STATE_NOT_YET ||
		    !span_eq(json_group(row), group))
			continue;
		json_key(w, row->json + group.n + (group.n > 0));
		if (s->is_set[id])
			json_value(w, s, row);
		else
			json_none(w);
	}
}

static void json_derived(struct json_write *w, const struct settings *s, const char *proxy_args)
{
	json_kv_str(w, "clusterId", s->cluster_id);
	json_kv_uint(w, "numWorkerThreads", s->workers);
	json_key(w, "selfTerminationDeadline");
	json_duration(w, s->drain_grace_ms);
	json_kv_str(w, "proxyArgs", proxy_args);
	json_key(w, "proxyMetadata");
	json_object_open(w);
	for (size_t i = 0; i < s->metadata_count; i++)
		json_kv_str(w, s->metadata[i].name, s->metadata[i].value);
	json_object_close(w);
}

void settings_json(const struct settings *s, const char *proxy_args, struct json_write *w)
{
	static const char *const groups[] = {"socketConfig", "culvert"};

	json_object_open(w);
	json_derived(w, s, proxy_args);
	json_rows(w, s, span_of("", 0));
	for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
		json_key(w, groups[i]);
		json_object_open(w);
		json_rows(w, s, span_str(groups[i]));
		json_object_close(w);
	}
	json_object_close(w);
}
