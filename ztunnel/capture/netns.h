/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netns - finding a network namespace and acting inside it. Drives.
 */
#ifndef ZTUNNEL_CAPTURE_NETNS_H
#define ZTUNNEL_CAPTURE_NETNS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "ztunnel/capture/why.h"

/* Which namespace: those of two pods, or of two lives of one pod, differ. */
struct netns_identity {
	uint64_t dev, ino;
};

/*
 * spec: an absolute path, or a name under /run/netns
 * Errs: ERR_CONFIG: nothing there, or it is no network namespace
 */
MUST_CHECK enum err netns_open(const char *spec, int *ret_fd, char why[WHY_MAX]);
/* A namespace by its identity, looked for among /run/netns and the processes. Errs: ERR_CONFIG */
MUST_CHECK enum err netns_find(const struct netns_identity *id, int *ret_fd, char why[WHY_MAX]);
/* The calling thread's own. Errs: ERR_SYSTEM */
MUST_CHECK enum err netns_own(int *ret_fd, char why[WHY_MAX]);
/* Errs: ERR_SYSTEM */
MUST_CHECK enum err netns_identify(int fd, struct netns_identity *ret_id, char why[WHY_MAX]);
bool netns_same(const struct netns_identity *a, const struct netns_identity *b);

/* Acts inside; whatever it opens stays there. */
typedef enum err netns_act_fn(void *arg, char why[WHY_MAX]);

/*
 * Run act on this thread inside the namespace fd, then return to home. A thread that could not return would do
 * the node's work inside a pod: the process is aborted instead.
 *
 * Errs: ERR_SYSTEM, or act's
 */
MUST_CHECK enum err netns_visit(int home, int fd, netns_act_fn *act, void *arg, char why[WHY_MAX]);

/* The bare steps of a visit, for the one hot caller: 0, or -errno; netns_leave does not fail, it aborts. */
int netns_enter(int fd);
void netns_leave(int home);

/* The cookie eBPF programs know the calling thread's namespace by. Errs: ERR_SYSTEM */
MUST_CHECK enum err netns_cookie_here(uint64_t *ret_cookie, char why[WHY_MAX]);

#endif
