/* SPDX-License-Identifier: Apache-2.0 */
/*
 * k8s_client - one connection to the Kubernetes API server, dialled again as long as it takes, and on it any number of
 * watched resources (each a k8s_session) and small requests.
 *
 * Hours without a server cost nothing but the news: sessions keep what they know and go on from where they were. The
 * token is read anew for every request and leaves only once the server is verified. One attempt to connect at a time,
 * 1 s to 30 s apart. HTTP/2 over TLS, RFC 9113; the server is known by name, RFC 9525.
 *
 * All callbacks run from loop_turn(), never inside a call made here.
 */
#ifndef COMMON_K8S_K8S_CLIENT_H
#define COMMON_K8S_K8S_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/backoff.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/rand.h"
#include "common/dns/dns_resolver.h"
#include "common/h2/h2_conn.h"
#include "common/io/timer.h"
#include "common/k8s/k8s_config.h"
#include "common/k8s/k8s_session.h"

enum {
	K8S_RETRY_MS_MIN = 1000, /* between two attempts, of connections and of watches */
	K8S_RETRY_MS_MAX = 30000,
	K8S_CALM_MS = 30000, /* what lived as long as this was no failure */
	K8S_DIAL_MS = 10000, /* until TCP is up, and then until TLS is */
	K8S_HEAD_MS = 60000, /* until a list or a watch is answered; a page is whole */
	K8S_WATCH_MS_MAX = (2 * K8S_WATCH_S_MIN + 60) * 1000, /* a watch the server does not end */
	K8S_RETRY_AFTER_S_MAX = 600, /* of a Retry-After, which a server may be wrong about */
	K8S_ANSWER_MAX = 1 << 20,    /* octets a request may allow its answer */
	K8S_BODY_MAX = 1 << 20,      /* octets of a request's body */
};

struct k8s_client;
struct k8s_watch;
struct k8s_call;

struct k8s_client_owner {
	/* The server is verified: requests may begin. */
	void (*connected)(struct k8s_client *c);
	/* There is no connection: the one there was is over, or an attempt failed. why: for people, borrowed. */
	void (*disconnected)(struct k8s_client *c, enum err cause, const char *why);
	/* A list or watch was refused or broken by more than the connection's end, and will be asked again later;
	 * w->session.why says it. Must not stop w. */
	void (*watch_failed)(struct k8s_client *c, struct k8s_watch *w);
	/* After k8s_client_stop: all is over, k8s_client_fini may run. Once. */
	void (*landed)(struct k8s_client *c);
};

enum k8s_client_state {
	K8S_CLIENT_WAITING,
	K8S_CLIENT_RESOLVING,
	K8S_CLIENT_DIALING,
	K8S_CLIENT_UP,
	K8S_CLIENT_LANDED,
};

/* Embedded; fields are private. */
struct k8s_client {
	struct loop *loop;
	const struct k8s_client_owner *owner;
	const struct k8s_config *config;
	struct h2_events *scratch;
	int (*open_socket)(struct k8s_client *c, int family);
	enum k8s_client_state state;
	bool going;    /* no new requests on this connection: GOAWAY came, or we stop */
	bool stopping; /* for good */
	bool over;     /* the connection ended, and is landing */
	bool expired;  /* the dial took too long */
	struct h2_conn h2;
	struct dns_resolver *resolver;
	struct dns_lookup lookup;
	struct endpoint to;
	unsigned int turn; /* of the server's addresses, one for each attempt */
	struct op connect;
	int fd;
	struct timer tick; /* next attempt; the dial's deadline; the drain's */
	struct loop_hook stop;
	uint64_t drain_ms, ready_at_ms;
	struct backoff backoff;
	struct rand dice;
	struct buf ca; /* what tls was made of */
	struct tls_config *tls;
	const char *hosts[1];
	struct list watches, calls;
};

struct k8s_client_setup {
	const struct k8s_client_owner *owner;
	const struct k8s_config *config; /* borrowed until landed, as is scratch */
	struct h2_events *scratch;       /* the worker's */
	struct dns_resolver *resolver;   /* borrowed; NULL: only for a server with an address */
	/* A non-blocking TCP socket, or -errno; NULL: socket(2). */
	int (*open_socket)(struct k8s_client *c, int family);
};

/* The first attempt begins in the next turn. */
void k8s_client_start(struct k8s_client *c, struct loop *loop,
                      const struct k8s_client_setup *setup);
/* May a request begin now? */
bool k8s_client_ready(const struct k8s_client *c);
/* Watches end now, requests under way have drain_ms; then landed(). Again: harmless. */
void k8s_client_stop(struct k8s_client *c, uint64_t drain_ms);
void k8s_client_fini(struct k8s_client *c); /* after landed; watches are stopped */

/* --- what is watched ---------------------------------------------------------------------------------- */

/* Embedded; fields but session are private. */
struct k8s_watch {
	struct k8s_session session; /* state, synced, why: see there */
	struct list link;
	struct k8s_client *client;
	struct timer tick; /* under way: its deadline; else when to ask again */
	struct backoff backoff;
	uint64_t retry_after_ms, asked_at_ms, hasty_at_ms;
	int32_t id;   /* 0: not under way */
	bool telling; /* its owner is being told something */
};

static inline struct k8s_watch *k8s_watch_of(struct k8s_session *s)
{
	return container_of(s, struct k8s_watch, session);
}

/* path, selector: outlive the watch (k8s_session_init). Told through event until stopped. */
void k8s_watch_start(struct k8s_watch *w, struct k8s_client *c, const char *path,
                     const char *selector, k8s_event_fn *event);
/* Nothing follows. Not from its own events; also after landed. */
void k8s_watch_stop(struct k8s_watch *w);

/* --- requests ----------------------------------------------------------------------------------------- */

enum k8s_verb {
	K8S_GET,
	K8S_PATCH, /* application/merge-patch+json, RFC 7396 */
	K8S_POST,  /* application/json */
};

struct k8s_request {
	enum k8s_verb verb;
	const char *path;    /* with its query, encoded; borrowed for the call, as is body */
	struct span body;    /* JSON, K8S_BODY_MAX at most; none with GET */
	uint32_t answer_max; /* octets; K8S_ANSWER_MAX at most */
	uint64_t timeout_ms; /* not 0 */
};

struct k8s_answer {
	enum err cause;          /* ERR_OK: answered, whatever the status is */
	unsigned int status;     /* HTTP's; 0 when it was not answered */
	uint64_t retry_after_ms; /* the server's wish; 0: none */
	struct span body;        /* borrowed for the call; "" unless cause is ERR_OK */
};
/* Once; a may be gone or started anew inside. */
typedef void k8s_answered_fn(struct k8s_call *a, const struct k8s_answer *answer);

/* Embedded, needed until answered or cancelled; fields are private. */
struct k8s_call {
	struct list link;
	struct k8s_client *client; /* NULL: not under way */
	k8s_answered_fn *answered;
	struct timer deadline;
	struct buf body;
	struct k8s_answer answer;
	int32_t id;
};

/*
 * Errs: ERR_H2_STREAM_REFUSED when there is no connection or it takes no more; ERR_CONFIG, ERR_LIMIT, ERR_SYSTEM of the
 *       token (k8s_config_token); ERR_MEMORY. Then nothing follows.
 */
MUST_CHECK enum err k8s_call_start(struct k8s_call *a, struct k8s_client *c,
                                   const struct k8s_request *req, k8s_answered_fn *answered);
/* Nothing follows. Harmless when it is over, or zeroed. */
void k8s_call_cancel(struct k8s_call *a);

#endif
