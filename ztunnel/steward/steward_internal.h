/* SPDX-License-Identifier: Apache-2.0 */
/*
 * steward_internal - the steward's own view of what it enrolled. Only for the files of this room.
 */
#ifndef ZTUNNEL_STEWARD_STEWARD_INTERNAL_H
#define ZTUNNEL_STEWARD_STEWARD_INTERNAL_H

#include "common/base/list.h"
#include "ztunnel/capture/capture.h"
#include "ztunnel/capture/capture_pod.h"
#include "ztunnel/capture/netns.h"
#include "ztunnel/capture/rtnl.h"
#include "ztunnel/steward/refusals.h"
#include "ztunnel/steward/steward.h"

enum { STEWARD_DNS_SLOTS = 4 };
enum { STEWARD_RESERVE = 4 }; /* un-enrolling opens at most three at a time */

struct steward {
	struct steward_options opt;
	struct capture *capture;
	int home; /* the namespace our threads live in */
	struct netns_identity node;
	int reserve
		[STEWARD_RESERVE]; /* descriptors kept so that undoing never lacks one; -1: given */
	struct list enrolled;      /* of struct enrolled */
	struct list watches;       /* of struct addr_watch */
	struct refusals *refusals; /* workers count here too */
};

/* A pod this process enrolled, or a leftover it is about to clean up. */
struct enrolled {
	struct list link;
	int netns_fd;
	struct rtnl rtnl; /* inside it */
	struct capture_pod_maps maps;
	struct capture_state state;
	struct capture_cfg cfg;
	char virts[STEWARD_VIRTS_MAX][RTNL_NAME_MAX];
	size_t virt_count;
	int *held; /* its listeners once more, in the order of their slots; see reclaim.c */
	size_t held_count;
	int held_dns[STEWARD_DNS_SLOTS]; /* meaningful while held is there */
};

/* enroll.c */
/* Without one where it cannot be had: nothing else of the pod depends on it. Inside the namespace. */
void open_socks(const struct steward *s, struct steward_pod *pod, const char *netns);
MUST_CHECK enum err enroll_now(struct steward *s, struct steward_enroll_req *req);
struct enrolled *enrolled_find(struct steward *s, uint64_t cookie);
/* The addresses or the devices changed. */
MUST_CHECK enum err enrolled_refresh(struct steward *s, struct enrolled *e, char why[WHY_MAX]);
/* Close what we hold of it; capture stays as it is. */
void enrolled_forget(struct enrolled *e);

/* unenroll.c; all but reserve_take may need the reserve, and manage it themselves */
void reserve_take(struct steward *s);
void reserve_give(struct steward *s);
void uncapture_now(struct steward *s, uint64_t cookie);
MUST_CHECK enum err release_now(struct steward *s, uint64_t cookie, char why[WHY_MAX]);
MUST_CHECK enum err release_enrolled(struct steward *s, struct enrolled *e, char why[WHY_MAX]);
MUST_CHECK enum err sweep_now(struct steward *s, const char *const *keep, size_t keep_count,
                              uint32_t *ret_swept, char why[WHY_MAX]);

/* prepared_socket.c; all answer a descriptor or -errno. Call inside the pod's namespace. */
int prepared_listener_open(const struct steward *s, enum steward_listener kind);
int upstream_open(const struct steward *s, int family);
int dns_socket_open(const struct steward *s, enum steward_dns which);
int socks_listener_open(const struct steward *s, enum steward_socks which);

/* reclaim.c: the pod's listeners, held until another process or nobody is to have the pod */
void held_keep(struct enrolled *e, const struct steward_pod *pod);
void held_close(struct enrolled *e);
/* The DNS proxy's sockets into their slots; slots of those that are not there stand empty. */
MUST_CHECK enum err dns_slots_fill(const struct capture_pod_maps *m, const struct steward_pod *pod,
                                   char why[WHY_MAX]);

/* addr_watch.c */
MUST_CHECK enum err addr_watch_start(struct steward *s, struct loop *loop, uint64_t cookie, int fd);
bool addr_watch_running(const struct steward *s, uint64_t cookie);
void addr_watch_stop(struct steward *s, uint64_t cookie);

#endif
