/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/local_state.h"

#include <string.h>

#include "common/base/buf.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/mesh/mesh_yaml.h"

enum { MESSAGES_MAX = 64 * 1024 }; /* twenty errors with their source lines, amply */

/* One log line per line of the messages: they are for people, the caret beneath its column included. */
static void log_messages(const struct buf *messages, enum log_level level)
{
	const char *p = (const char *)messages->p;
	size_t left = messages->n;

	while (left > 0) {
		const char *nl = memchr(p, '\n', left);
		size_t n = nl == NULL ? left : (size_t)(nl - p);
		struct log_field f = {
			.key = "detail", .form = LOG_QUOTED, .text = p, .text_len = n};

		log_write(LOG_SCOPE_CONFIG, level, "local state", &f, 1);
		n = nl == NULL ? n : n + 1;
		p += n;
		left -= n;
	}
}

static enum err read_state(struct local_state *s, const char *text, struct mesh **ret_mesh)
{
	struct buf messages;
	enum err e;

	buf_init(&messages, MESSAGES_MAX);
	if (text == NULL)
		e = mesh_yaml_load(s->path, &messages, ret_mesh);
	else
		e = mesh_yaml_parse(span_str(text), "LOCAL_XDS", &messages, ret_mesh);
	log_messages(&messages, e == ERR_OK ? LOG_WARN : LOG_ERROR);
	buf_fini(&messages);
	metrics_add_for(s->shard, METRIC_CONFIG_RELOADS,
	                METRIC_LABELS(e == ERR_OK ? "ok" : "failed"), 1);
	if (e == ERR_OK) {
		metrics_set(s->shard, METRIC_CONFIG_LOADED, clock_wall_us() * 1000);
		log_at(LOG_SCOPE_CONFIG, LOG_INFO, "local state read",
		       LOG_S("file", s->path == NULL ? "LOCAL_XDS" : s->path),
		       LOG_N("workloads", (*ret_mesh)->workload_count),
		       LOG_N("services", (*ret_mesh)->service_count),
		       LOG_N("policies", (*ret_mesh)->policy_count));
	}
	return e;
}

static void remember(struct local_state *s)
{
	if (stat(s->path, &s->seen) != 0)
		memset(&s->seen, 0, sizeof(s->seen));
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool file_changed(const struct local_state *s)
{
	struct stat now;

	if (stat(s->path, &now) != 0)
		return false; /* between two renames, or gone: the last good state stays */
	return now.st_ino != s->seen.st_ino || now.st_dev != s->seen.st_dev ||
	       now.st_size != s->seen.st_size || !same_time(&now.st_mtim, &s->seen.st_mtim);
}

void local_state_reload(struct local_state *s)
{
	struct mesh *mesh = NULL;

	if (s->path == NULL)
		return;
	remember(s);
	if (read_state(s, NULL, &mesh) != ERR_OK) {
		log_at(LOG_SCOPE_CONFIG, LOG_ERROR, "the last good local state stays in force",
		       LOG_S("file", s->path));
		return;
	}
	s->changed(s, mesh);
	mesh_unref(mesh);
}

static void on_look(struct timer *t)
{
	struct local_state *s = container_of(t, struct local_state, look);

	if (file_changed(s))
		local_state_reload(s);
	timer_arm(s->loop, t, LOCAL_STATE_LOOK_MS);
}

/* Charts set variables to nothing when they have no value for them. */
static bool is_given(const char *text)
{
	return text != NULL && text[0] != '\0';
}

enum err local_state_start(struct local_state *s, struct loop *loop, struct metrics_shard *shard,
                           const char *path, const char *text, struct mesh **ret_mesh)
{
	s->loop = loop;
	s->shard = shard;
	s->path = is_given(path) ? path : NULL;
	memset(&s->seen, 0, sizeof(s->seen));
	timer_init(&s->look, on_look);
	if (!is_given(path) && !is_given(text)) {
		*ret_mesh = mesh_new("");
		mesh_seal(*ret_mesh);
		return ERR_OK;
	}
	if (s->path != NULL) {
		remember(s);
		timer_arm(loop, &s->look, LOCAL_STATE_LOOK_MS);
	}
	return read_state(s, s->path == NULL ? text : NULL, ret_mesh);
}

void local_state_stop(struct local_state *s)
{
	timer_disarm(&s->look);
}
