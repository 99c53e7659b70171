/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hbone_lab - a pool of tunnels and the servers at their other end, on one simulated loop, for tests. What a server does
 * with a request is the test's.
 */
#ifndef TESTS_UNIT_COMMON_HBONE_HBONE_LAB_H
#define TESTS_UNIT_COMMON_HBONE_HBONE_LAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/hbone/hbone_pool.h"
#include "common/hbone/hbone_server.h"
#include "tests/sim/sim.h"

enum {
	LAB_TURNS_MAX = 200000,
	LAB_IDLE_MS = 60000,
	LAB_HANDSHAKE_MS = 10000,
	LAB_ANSWER_MS = 20000,
	LAB_DIAL_MS = 5000,
};

struct lab;

/* A tunnel as its server holds it. Frees itself. */
struct lab_peer {
	struct hbone_server server;
	struct lab *lab;
	struct list link;
	struct loop_retired retired;
	unsigned int ready, malformed, ended;
	enum err cause;
	void *arg; /* the test's; NULL: the peer was dialed by the pool */
};

typedef void lab_request_fn(struct lab_peer *p, int32_t stream_id, const struct hbone_request *req);

/* All zero is a good lab. */
struct lab_options {
	struct sim_options sim;
	uint32_t server_streams; /* 0: 200 */
	uint32_t pool_streams;   /* 0: 100 */
	uint32_t stream_window;  /* 0: 1 MiB */
	bool nobody_listens;
	bool black_hole;
	bool mute; /* the server accepts and says nothing */
};

struct lab {
	struct loop *loop;
	struct h2_events scratch;
	struct hbone_pool pool;
	struct endpoint at;
	int listener;
	struct op accept;
	struct list peers;
	struct h2_options server_h2;
	bool mute;
	bool no_dial_memory; /* dials cannot begin */
	int muted[16];
	unsigned int muted_count;
	lab_request_fn *request;
	void *arg;                                  /* the test's */
	unsigned int dials, opened, failed, closed; /* the pool's counters */
	unsigned int peers_made, peers_over;        /* the servers' */
	enum err open_cause, close_cause;           /* the pool's last */
	enum err peer_cause;                        /* of the last server that ended */
	bool stopped;
	struct hbone_fields head;
};

/* Once per program. */
int lab_set_up(void **state);
int lab_tear_down(void **state);

void lab_init(struct lab *l, const struct lab_options *opt, lab_request_fn *request);
/* Stops everything; asserts that nothing is left: no socket, no op, no buffer. */
void lab_fini(struct lab *l);
/* Likewise, but the pool is stopped and its tunnels are gone already or going. */
void lab_stop(struct lab *l);
/* Ask for a stream to the server, as alice, expecting bob. */
void lab_call(struct lab *l, struct hbone_call *call, const struct hbone_call_owner *owner);
/* The same, expecting somebody else: another key. */
void lab_call_other(struct lab *l, struct hbone_call *call, const struct hbone_call_owner *owner);
/* Serve bob on a connected socket (taken); arg: see lab_peer. */
void lab_serve(struct lab *l, int fd, void *arg);
/* Who the pool asks as, and who may answer. */
struct tls_config *lab_alice(void);
extern const char *const lab_bob;
void lab_turns(struct lab *l, unsigned int n);
/* Turn until *n reaches at_least. */
void lab_until(struct lab *l, const unsigned int *n, unsigned int at_least);
/* Turn until the loop's clock is there or nothing will ever happen. */
void lab_until_ms(struct lab *l, uint64_t now_ms);
struct lab_peer *lab_first_peer(struct lab *l);

#endif
