/* SPDX-License-Identifier: Apache-2.0 */
/*
 * k8s_session - list and watch of one kind of object as a pure state machine: what to ask next, what an answer means.
 * No socket, no clock. Kubernetes API concepts: "Efficient detection of changes", "Retrieving large results sets in
 * chunks".
 *
 * A list comes in pages; every object of it is told, then SYNCED: what was known before and not told again is gone.
 * Then a watch goes on from the list's resourceVersion. 410 Gone, in whatever form it comes, means list again; any
 * other failure means ask again where we were, later. Nothing known is ever forgotten for want of an answer.
 */
#ifndef COMMON_K8S_K8S_SESSION_H
#define COMMON_K8S_K8S_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/k8s/k8s_json.h"

enum {
	K8S_PAGE = 500,                /* objects asked for at once */
	K8S_PAGE_BYTES_MAX = 64 << 20, /* octets of one page */
	K8S_OBJECT_BYTES_MAX =
		8 << 20,         /* octets of one watch event; etcd holds 1.5 MiB by default */
	K8S_WATCH_S_MIN = 300,   /* how long a watch is asked to last: this, to twice this */
	K8S_VERSION_MAX = 256,   /* octets of a resourceVersion, with the NUL */
	K8S_CONTINUE_MAX = 4096, /* octets of a continue token, with the NUL */
	K8S_WHY_MAX = 256,
};

enum k8s_event {
	K8S_RELIST,  /* a list begins; object is NULL */
	K8S_OBJECT,  /* is there, new or changed */
	K8S_DELETED, /* was taken away; object is its last state */
	K8S_SYNCED,  /* the list is whole; object is NULL */
};

struct k8s_session;
/* object: borrowed for the call. */
typedef void k8s_event_fn(struct k8s_session *s, enum k8s_event kind, const json_t *object);

enum k8s_state { K8S_LISTING, K8S_WATCHING };

/* Fields are private but state, synced and why. */
struct k8s_session {
	enum k8s_state state;
	bool synced;           /* a whole list was told at least once */
	char why[K8S_WHY_MAX]; /* of the last failure, for people */
	const char *path, *selector;
	k8s_event_fn *event;
	char version[K8S_VERSION_MAX]; /* to watch from */
	char next[K8S_CONTINUE_MAX];   /* page to ask for; "": the first */
	struct buf body;               /* of a page, or of a watch's unfinished line */
	unsigned int status;           /* HTTP's, of the answer being read */
	bool gone;                     /* list again */
	bool failed;                   /* the answer is of no more use */
	bool progressed;               /* something of the answer was used */
};

/*
 * path: "/api/v1/pods"; selector: "" or a query, encoded: "fieldSelector=spec.nodeName%3Dnode-a". Both outlive the
 * session.
 */
void k8s_session_init(struct k8s_session *s, const char *path, const char *selector,
                      k8s_event_fn *event);
void k8s_session_fini(struct k8s_session *s);

/* Append path and query of the next request (GET). dice: fresh random bits, spreads the ends of watches. */
void k8s_session_request(const struct k8s_session *s, uint64_t dice, struct buf *out);

/* The answer's status. Tells of a relist when its first page comes. */
void k8s_session_status(struct k8s_session *s, unsigned int http_status);
/* Octets of its body. Errs: the answer is of no more use (why says it): reset it, then k8s_session_end. */
MUST_CHECK enum err k8s_session_body(struct k8s_session *s, struct span bytes);
/*
 * The answer is over: in order, or cause broke it. true: ask again at once; false: after a back-off.
 */
bool k8s_session_end(struct k8s_session *s, enum err cause);

#endif
