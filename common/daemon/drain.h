/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drain - how shutdown proceeds: running, draining until a deadline, done. Pure. Contract 12.3.
 */
#ifndef COMMON_DAEMON_DRAIN_H
#define COMMON_DAEMON_DRAIN_H

#include <stdbool.h>
#include <stdint.h>

enum drain_state {
	DRAIN_RUNNING,
	DRAIN_DRAINING, /* nothing new is accepted; what is open may finish */
	DRAIN_DONE,     /* nothing is open any more, or the deadline passed: close the rest, exit */
};

struct drain {
	enum drain_state state;
	bool forced; /* DONE because the deadline passed: what was cut ends with ERR_DRAINED */
	uint64_t deadline_ms; /* of the loop's clock; while DRAINING */
};

void drain_init(struct drain *d);
/* Shutdown was asked for. A second call changes nothing. True when this one began it. */
bool drain_start(struct drain *d, uint64_t now_ms, uint64_t grace_ms);
/* Take note of how many connections are open; answers the state now. */
enum drain_state drain_step(struct drain *d, uint64_t now_ms, uint64_t open_count);
/* Milliseconds until the deadline; UINT64_MAX while running. */
uint64_t drain_wait_ms(const struct drain *d, uint64_t now_ms);

/* What drain_grace_ms is told: each -1 when not set. */
struct drain_settings {
	int64_t termination_deadline_ms; /* CONNECTION_TERMINATION_DEADLINE: wins */
	int64_t grace_period_s;          /* TERMINATION_GRACE_PERIOD_SECONDS */
};
/* How long connections may go on: contract 1.3. */
uint64_t drain_grace_ms(const struct drain_settings *s);

#endif
