/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ready - what the proxy still waits for before it may be sent traffic, and workers that no longer turn (contract
 * 11.4). Any thread.
 */
#ifndef COMMON_ADMIN_READY_H
#define COMMON_ADMIN_READY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"

/* In the order of their names, which is the order they are shown in. */
enum ready_task {
	READY_DNS_PROXY,
	READY_PROXY,
	READY_STATE_MANAGER,
	READY_WORKLOAD_PROXY_MANAGER,
	READY_TASK_COUNT,
};

enum { READY_WORKERS_MAX = 64 };

/* Embedded by app. */
struct ready {
	/* private */
	_Atomic unsigned int pending; /* a bit per task */
	uint64_t stall_ms;
	_Atomic uint64_t beat_ms[READY_WORKERS_MAX]; /* 0: not watched */
};

/* Nothing is pending. stall_ms: a worker that has not beaten for longer is stalled */
void ready_init(struct ready *r, uint64_t stall_ms);
/* Before anybody may ask: wait for this. */
void ready_expect(struct ready *r, enum ready_task task);
/* It has come. Idempotent. */
void ready_done(struct ready *r, enum ready_task task);
/* This worker turns; from the first time on it is watched. Often, against stall_ms. */
void ready_beat(struct ready *r, unsigned int worker, uint64_t now_ms);
/* The first worker from this one on that is stalled, or READY_WORKERS_MAX. */
unsigned int ready_stalled(const struct ready *r, unsigned int from, uint64_t now_ms);
/*
 * "ready\n", or "not ready, pending: <names>\n", or "not ready, stalled: worker <n>, ...\n", or both with "; " between.
 * Returns the HTTP status: 200 or 500.
 */
unsigned int ready_text(const struct ready *r, uint64_t now_ms, struct buf *out);

#endif
