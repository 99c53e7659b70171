/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h2_pair - a client and a server session talking through memory, for tests. Every record on the way is checked
 * against what the TLS layer below relies on.
 */
#ifndef TESTS_UNIT_COMMON_H2_H2_PAIR_H
#define TESTS_UNIT_COMMON_H2_H2_PAIR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/h2/h2_session.h"

enum { PAIR_STREAMS_MAX = 256 };

/* What one side has seen of one stream. */
struct seen {
	int32_t id;
	bool request, response, trailers, ended, reset, closed;
	char last_field[64]; /* "name=value" of the last trailer */
	uint32_t code;       /* of reset */
	char status[4];
	uint64_t bytes, hash; /* of payload received */
	uint64_t sent;        /* sum of SENT */
	uint64_t unread;      /* received, window not given back (with hold) */
};

struct side {
	struct h2_session *s;
	struct iobuf_pool *pool;
	struct h2_events ev;
	struct seen seen[PAIR_STREAMS_MAX];
	unsigned int seen_count;
	bool hold; /* keep received bytes: give no window back */
	unsigned int goaways, settings;
	int32_t goaway_last;
	uint64_t records, record_bytes; /* emitted */
	enum err err;                   /* first error of recv */
};

struct pair {
	struct side c, s;
	uint64_t now_ms;
	uint64_t rng;
	bool chop; /* feed in random pieces */
};

extern const struct h2_options pair_options;

void pair_init(struct pair *p, const struct h2_options *client, const struct h2_options *server);
void pair_fini(struct pair *p);
uint64_t pair_random(struct pair *p, uint64_t below);

void side_init(struct side *x, enum h2_role role, const struct h2_options *opt);
void side_fini(struct side *x);
struct seen *side_seen(struct side *x, int32_t id);
/* Emit, at most bytes_max, and forget the bytes or hand them to `to` (may be NULL). Returns octets moved. */
size_t pair_move(struct pair *p, struct side *from, struct side *to, size_t bytes_max);
/* Both ways until nothing moves. */
void pair_settle(struct pair *p);
/* Feed bytes of the test's own making. */
enum err side_feed(struct side *x, const void *bytes, size_t n, uint64_t now_ms);
void side_take_events(struct side *x);

int32_t pair_connect(struct pair *p, const char *authority);
/* CONNECT, answered with 200, settled. */
int32_t pair_open(struct pair *p);
enum err side_respond(struct side *x, int32_t id, const char *status, bool end);
/* n octets of a pattern in as many full slots as needed; adds to hash as the receiver will. */
void side_put(struct side *x, int32_t id, size_t n, struct pair *p, uint64_t *hash);
struct iobuf_view side_slot(struct side *x, size_t n, uint8_t fill);
uint64_t hash_add(uint64_t hash, const uint8_t *p, size_t n);

#define HASH_START 1469598103934665603ULL

#endif
