/* SPDX-License-Identifier: Apache-2.0 */
#include "common/dns/resolv_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/io/timer.h"

struct resolv_watch {
	struct loop *loop;
	struct snapshot_cell *cell;
	char *path;
	struct timer timer;
	struct stat seen; /* of the file that was read last; st_ino 0: none */
	bool complained;  /* that it cannot be read */
};

static void conf_destroy(struct snapshot *s)
{
	free(container_of(s, struct resolv_conf, snapshot));
}

static void on_bad_line(void *arg, unsigned int line, const char *why)
{
	const struct resolv_watch *w = arg;

	log_at(LOG_SCOPE_DNS, LOG_WARN, "a line of resolv.conf is not understood",
	       LOG_S("file", w->path), LOG_N("line", line), LOG_S("why", why));
}

static void publish(struct resolv_watch *w, struct span text)
{
	struct resolv_conf *conf = mem_new(sizeof(*conf));

	resolv_conf_parse(text, conf, on_bad_line, w);
	snapshot_init(&conf->snapshot, conf_destroy);
	if (conf->server_count == 0)
		log_at(LOG_SCOPE_DNS, LOG_WARN,
		       "no nameserver is known: names outside the mesh will not resolve",
		       LOG_S("file", w->path));
	snapshot_publish(w->cell, &conf->snapshot);
}

/* All of the file, or of its beginning. Errs: ERR_SYSTEM */
static enum err read_file(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	uint8_t *room;
	ssize_t n = fd >= 0 ? 1 : -1;

	while (n > 0 && out->n <= RESOLV_TEXT_MAX) {
		room = buf_reserve(out, 4096);
		n = room != NULL ? read(fd, room, 4096) : -1;
		if (n > 0)
			buf_added(out, (size_t)n);
	}
	if (fd >= 0)
		(void)close(fd);
	return n >= 0 ? ERR_OK : ERR_SYSTEM;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Before it is read, so that a change meanwhile is noticed next time. */
void resolv_watch_check(struct resolv_watch *w)
{
	struct stat now;
	struct buf text;
	enum err e = stat(w->path, &now) == 0 ? ERR_OK : ERR_SYSTEM;

	if (e == ERR_OK && same_file(&now, &w->seen))
		return;
	buf_init(&text, RESOLV_TEXT_MAX + 4096);
	if (e == ERR_OK)
		e = read_file(w->path, &text);
	if (e == ERR_OK) {
		w->seen = now;
		w->complained = false;
		publish(w, buf_span(&text));
	} else if (!w->complained) {
		w->complained = true;
		log_at(LOG_SCOPE_DNS, LOG_WARN,
		       "resolv.conf cannot be read; the last that could be stays in force",
		       LOG_S("file", w->path), LOG_S("why", strerror(errno)));
	}
	buf_fini(&text);
}

static void on_timer(struct timer *t)
{
	struct resolv_watch *w = container_of(t, struct resolv_watch, timer);

	resolv_watch_check(w);
	timer_arm(w->loop, &w->timer, RESOLV_WATCH_MS);
}

struct resolv_watch *resolv_watch_new(struct loop *loop, const char *path,
                                      struct snapshot_cell *cell)
{
	struct resolv_watch *w = mem_new(sizeof(*w));

	w->loop = loop;
	w->cell = cell;
	w->path = mem_str(span_str(path != NULL ? path : "/etc/resolv.conf"));
	timer_init(&w->timer, on_timer);
	resolv_watch_check(w);
	if (w->complained)
		publish(w, span_str(""));
	timer_arm(loop, &w->timer, RESOLV_WATCH_MS);
	return w;
}

void resolv_watch_free(struct resolv_watch *w)
{
	if (w == NULL)
		return;
	timer_disarm(&w->timer);
	free(w->path);
	free(w);
}
