/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unenroll - undoing capture: of a pod of ours, of one an earlier process left, of one that is gone.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "ztunnel/capture/pod_routing.h"
#include "ztunnel/steward/steward_internal.h"

void reserve_take(struct steward *s)
{
	for (size_t i = 0; i < STEWARD_RESERVE; i++) {
		if (s->reserve[i] < 0)
			s->reserve[i] = fcntl(s->home, F_DUPFD_CLOEXEC, 0);
	}
}

/* Let what comes next have descriptors when there are none left. */
void reserve_give(struct steward *s)
{
	for (size_t i = 0; i < STEWARD_RESERVE; i++) {
		if (s->reserve[i] >= 0)
			(void)close(s->reserve[i]);
		s->reserve[i] = -1;
	}
}

/* Connections of the pod are its own again; those proxied stay, rules and routes carry them. */
static void open_up(struct steward *s, struct enrolled *e)
{
	char why[WHY_MAX];

	held_close(e);
	/* or the guard would drop, and turn, what now rightly goes past the proxy */
	e->cfg.guard = CAPTURE_GUARD_OFF;
	e->cfg.flags = 0;
	if (capture_pod_configure(&e->maps, &e->cfg, why) != ERR_OK)
		log_at(LOG_SCOPE_CAPTURE, LOG_WARN, "cannot switch off a pod's leak guard",
		       LOG_S("netns", e->state.netns), LOG_S("error", why));
	capture_table_drop_pod(&s->capture->table, e->maps.cookie);
	capture_pod_detach(s->capture, e->maps.cookie);
}

void uncapture_now(struct steward *s, uint64_t cookie)
{
	struct enrolled *e = enrolled_find(s, cookie);

	addr_watch_stop(s, cookie);
	reserve_give(s);
	if (e != NULL)
		open_up(s, e);
	reserve_take(s);
}

static enum err undo_inside(void *arg, char why[WHY_MAX])
{
	struct enrolled *e = arg;
	struct rtnl_link links[RTNL_LINKS_MAX];
	size_t n = 0;
	enum err err = ERR_OK, restored;

	if (e->rtnl.fd < 0)
		err = rtnl_open(&e->rtnl, why);
	if (err == ERR_OK && e->state.by_clsact != 0 &&
	    rtnl_links(&e->rtnl, links, &n, why) == ERR_OK)
		capture_pod_unguard(links, n);
	if (err == ERR_OK)
		err = rtnl_flush(&e->rtnl, why);
	restored = pod_sysctls_restore(&e->state, why);
	return err == ERR_OK ? restored : err;
}

enum err release_enrolled(struct steward *s, struct enrolled *e, char why[WHY_MAX])
{
	uint64_t cookie = e->maps.cookie;
	enum err err, removed;

	reserve_give(s);
	open_up(s, e);
	err = netns_visit(s->home, e->netns_fd, undo_inside, e, why);
	enrolled_forget(e);
	capture_table_forget(&s->capture->table, cookie);
	removed = pins_remove_pod(s->capture->root, cookie, why);
	reserve_take(s);
	return err == ERR_OK ? removed : err;
}

/* The namespace a leftover belongs to, if it can still be found. */
static bool find_netns(const struct capture_state *state, int *ret_fd)
{
	struct netns_identity want = {state->netns_dev, state->netns_ino}, found;
	char ignored[WHY_MAX];
	int fd;

	if (state->netns[0] != '\0' && netns_open(state->netns, &fd, ignored) == ERR_OK) {
		if (netns_identify(fd, &found, ignored) == ERR_OK && netns_same(&want, &found)) {
			*ret_fd = fd;
			return true;
		}
		(void)close(fd);
	}
	return netns_find(&want, ret_fd, ignored) == ERR_OK;
}

static enum err release_leftover(struct steward *s, uint64_t cookie, char why[WHY_MAX])
{
	struct enrolled *e = mem_new(sizeof(*e));
	char ignored[WHY_MAX];

	list_init(&e->link);
	e->netns_fd = -1;
	e->rtnl.fd = -1;
	e->maps = (struct capture_pod_maps){cookie, -1, -1, -1, -1, -1, false};
	if (capture_pod_open(s->capture, cookie, &e->maps, ignored) == ERR_OK &&
	    capture_pod_load_state(&e->maps, &e->state, ignored) == ERR_OK &&
	    find_netns(&e->state, &e->netns_fd))
		return release_enrolled(s, e, why);
	enrolled_forget(e);
	capture_table_drop_pod(&s->capture->table, cookie);
	capture_pod_detach(s->capture, cookie);
	capture_table_forget(&s->capture->table, cookie);
	return pins_remove_pod(s->capture->root, cookie, why);
}

static bool is_pinned(const uint64_t *pinned, size_t n, uint64_t cookie)
{
	for (size_t i = 0; i < n; i++) {
		if (pinned[i] == cookie)
			return true;
	}
	return false;
}

enum err release_now(struct steward *s, uint64_t cookie, char why[WHY_MAX])
{
	struct enrolled *e = enrolled_find(s, cookie);

	addr_watch_stop(s, cookie);
	return e != NULL ? release_enrolled(s, e, why) : release_leftover(s, cookie, why);
}

/* A leftover of a pod that is wanted, and still the same one, stays closed until it is enrolled. */
static bool is_to_stay(struct steward *s, uint64_t cookie, const char *const *keep, size_t n)
{
	struct capture_pod_maps m;
	struct capture_state state;
	char ignored[WHY_MAX];
	bool named = false;
	int fd;

	if (!capture_pod_is_attached(s->capture, cookie) ||
	    capture_pod_open(s->capture, cookie, &m, ignored) != ERR_OK)
		return false;
	if (capture_pod_load_state(&m, &state, ignored) == ERR_OK) {
		for (size_t i = 0; i < n && !named; i++)
			named = strcmp(keep[i], state.netns) == 0;
	}
	capture_pod_close(&m);
	if (!named || !find_netns(&state, &fd))
		return false;
	(void)close(fd);
	return true;
}

enum err sweep_now(struct steward *s, const char *const *keep, size_t keep_count,
                   uint32_t *ret_swept, char why[WHY_MAX])
{
	uint64_t *pinned = mem_new(CAPTURE_PODS_MAX * sizeof(*pinned));
	uint64_t *known = mem_new(CAPTURE_PODS_MAX * sizeof(*known));
	size_t n = capture_pinned(s->capture, pinned, CAPTURE_PODS_MAX);
	size_t known_n = capture_table_pods(&s->capture->table, known, CAPTURE_PODS_MAX);
	enum err first = ERR_OK;
	uint32_t swept = 0;

	for (size_t i = 0; i < n; i++) {
		char text[WHY_MAX] = "";
		enum err err;

		if (enrolled_find(s, pinned[i]) != NULL ||
		    is_to_stay(s, pinned[i], keep, keep_count))
			continue;
		err = release_leftover(s, pinned[i], text);
		swept++;
		if (err != ERR_OK && first == ERR_OK) {
			memcpy(why, text, WHY_MAX);
			first = err;
		}
	}
	for (size_t i = 0; i < known_n; i++) {
		if (!is_pinned(pinned, n, known[i]) && enrolled_find(s, known[i]) == NULL)
			capture_table_drop_pod(&s->capture->table, known[i]);
	}
	free(pinned);
	free(known);
	*ret_swept = swept;
	return first;
}
