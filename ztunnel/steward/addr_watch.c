/* SPDX-License-Identifier: Apache-2.0 */
/*
 * addr_watch - follows the addresses of an enrolled pod: what is its own decides what is captured.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "ztunnel/steward/steward_internal.h"

struct addr_watch {
	struct list link;
	struct op op;
	struct steward *steward;
	struct loop *loop;
	uint64_t cookie;
	int fd;
	bool stopping;
};

static void watch_free(struct addr_watch *w)
{
	list_remove(&w->link);
	(void)close(w->fd);
	free(w);
}

/* What changed does not matter: everything is read again. */
static void discard(int fd)
{
	char bytes[1024];

	while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) >= 0 || errno == ENOBUFS ||
	       errno == EINTR)
		;
}

static void on_change(struct op *op)
{
	struct addr_watch *w = container_of(op, struct addr_watch, op);
	struct enrolled *e = enrolled_find(w->steward, w->cookie);
	char why[WHY_MAX];

	if (w->stopping || e == NULL || op->res < 0) {
		watch_free(w);
		return;
	}
	discard(w->fd);
	if (enrolled_refresh(w->steward, e, why) != ERR_OK)
		log_at(LOG_SCOPE_CAPTURE, LOG_WARN, "cannot follow a pod's addresses",
		       LOG_S("netns", e->state.netns), LOG_S("error", why));
	loop_poll(w->loop, &w->op, w->fd, POLLIN, on_change);
}

enum err addr_watch_start(struct steward *s, struct loop *loop, uint64_t cookie, int fd)
{
	struct addr_watch *w = mem_new(sizeof(*w));

	w->steward = s;
	w->loop = loop;
	w->cookie = cookie;
	w->fd = fd;
	list_push(&s->watches, &w->link);
	loop_poll(loop, &w->op, fd, POLLIN, on_change);
	return ERR_OK;
}

bool addr_watch_running(const struct steward *s, uint64_t cookie)
{
	for (struct list *it = s->watches.next; it != &s->watches; it = it->next) {
		const struct addr_watch *w = list_entry(it, struct addr_watch, link);

		if (!w->stopping && w->cookie == cookie)
			return true;
	}
	return false;
}

void addr_watch_stop(struct steward *s, uint64_t cookie)
{
	list_for_each (it, &s->watches) {
		struct addr_watch *w = list_entry(it, struct addr_watch, link);

		if (w->stopping || (cookie != 0 && w->cookie != cookie))
			continue;
		w->stopping = true;
		loop_cancel(w->loop, &w->op);
	}
}
