/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ready - what the proxy still waits for before it may be sent traffic (contract 11.4). Any thread.
 */
#ifndef COMMON_ADMIN_READY_H
#define COMMON_ADMIN_READY_H

#include <stdatomic.h>
#include <stdbool.h>

#include "common/base/buf.h"

/* In the order of their names, which is the order they are shown in. */
enum ready_task {
	READY_DNS_PROXY,
	READY_PROXY,
	READY_STATE_MANAGER,
	READY_WORKLOAD_PROXY_MANAGER,
	READY_TASK_COUNT,
};

/* Embedded by app. */
struct ready {
	_Atomic unsigned int pending; /* private: a bit per task */
};

void ready_init(struct ready *r); /* nothing is pending */
/* Before anybody may ask: wait for this. */
void ready_expect(struct ready *r, enum ready_task task);
/* It has come. Idempotent. */
void ready_done(struct ready *r, enum ready_task task);
bool ready_is(const struct ready *r);
/* "ready\n", or "not ready, pending: <names>\n". Returns the HTTP status: 200 or 500. */
unsigned int ready_text(const struct ready *r, struct buf *out);

#endif
