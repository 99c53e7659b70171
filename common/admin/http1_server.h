/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http1_server - a small HTTP/1.1 server on one loop, for our own pages. A handler answers at once, from
 * memory; a slow client costs a descriptor and its deadline, and holds up nobody.
 */
#ifndef COMMON_ADMIN_HTTP1_SERVER_H
#define COMMON_ADMIN_HTTP1_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/admin/h1_request.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/io/loop.h"

enum {
	HTTP1_CONNS_MAX = 64, /* per server; the longest idle one makes room */
	HTTP1_HEADER_TIMEOUT_MS =
		2000, /* contract 11.1: from the first wait for a request to its end */
	HTTP1_IDLE_TIMEOUT_MS = 75000,  /* between requests: more than a scraper's interval */
	HTTP1_WRITE_TIMEOUT_MS = 30000, /* for a whole answer to be taken */
	HTTP1_BODY_LEN_MAX = 256 * 1024 * 1024,
	HTTP1_LINGER_MS =
		1000, /* after an answer that ends the connection, for the peer to read it */
	HTTP1_ACCEPT_PAUSE_MS = 100, /* after accept failed (EMFILE and its like) */
	HTTP1_LISTENERS_MAX = 2,
};

/* What a handler fills in. */
struct http1_response {
	unsigned int status;      /* 200 before the handler runs */
	const char *content_type; /* literal; "text/plain; charset=utf-8" before */
	const char *allow;        /* literal: the Allow header of a 405, or NULL */
	const char *encoding;     /* literal: Content-Encoding of body, or NULL */
	struct buf body;          /* empty before; a failed one becomes a 500 */
	/*
	 * An answer that takes time: later_ms > 0 has later() called so much afterwards, with a fresh response to fill;
	 * or with NULL when nobody waits for it any more, to give back what later_arg holds. One of the two comes.
	 */
	uint32_t later_ms;
	void (*later)(void *later_arg, struct http1_response *res);
	void *later_arg;
};

typedef void http1_handler_fn(void *arg, const struct h1_request *req, struct http1_response *res);

struct http1_server_options {
	const char *name; /* "admin": for log lines; literal */
	http1_handler_fn *handler;
	void *arg;
	bool local_host_only;   /* refuse a Host that is not of this machine (DNS rebinding): 403 */
	unsigned int conns_max; /* 0: HTTP1_CONNS_MAX */
	uint32_t header_timeout_ms; /* 0: HTTP1_HEADER_TIMEOUT_MS */
	uint32_t idle_timeout_ms;   /* 0: HTTP1_IDLE_TIMEOUT_MS */
	uint32_t write_timeout_ms;  /* 0: HTTP1_WRITE_TIMEOUT_MS */
	/* A connection was refused or cut because there were conns_max already; or NULL. */
	void (*on_refused)(void *arg);
};

struct http1_server;

/* Serve on the loop of the calling thread. */
struct http1_server *http1_server_new(struct loop *loop, const struct http1_server_options *opt);
/* Accept on fd (of io/listener), which is then the server's. At most HTTP1_LISTENERS_MAX. */
void http1_server_start(struct http1_server *s, int fd);
/*
 * Stop accepting and close all connections; answers in flight are cut off. Takes some turns of the loop: the
 * server frees itself when its last op has landed and then calls done(arg) (may be NULL).
 */
void http1_server_stop(struct http1_server *s, void (*done)(void *arg), void *arg);

#endif
