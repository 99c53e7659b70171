/* SPDX-License-Identifier: Apache-2.0 */
#include "common/admin/ready.h"

static const char *const names[READY_TASK_COUNT] = {
	[READY_DNS_PROXY] = "dns proxy",
	[READY_PROXY] = "proxy",
	[READY_STATE_MANAGER] = "state manager",
	[READY_WORKLOAD_PROXY_MANAGER] = "workload proxy manager",
};

void ready_init(struct ready *r)
{
	atomic_init(&r->pending, 0);
}

void ready_expect(struct ready *r, enum ready_task task)
{
	atomic_fetch_or(&r->pending, 1u << task);
}

void ready_done(struct ready *r, enum ready_task task)
{
	atomic_fetch_and(&r->pending, ~(1u << task));
}

bool ready_is(const struct ready *r)
{
	return atomic_load(&r->pending) == 0;
}

unsigned int ready_text(const struct ready *r, struct buf *out)
{
	unsigned int pending = atomic_load(&r->pending);
	const char *between = "not ready, pending: ";

	for (unsigned int i = 0; i < READY_TASK_COUNT; i++) {
		if ((pending & 1u << i) == 0)
			continue;
		buf_put_str(out, between);
		buf_put_str(out, names[i]);
		between = ", ";
	}
	buf_put_str(out, pending == 0 ? "ready\n" : "\n");
	return pending == 0 ? 200 : 500;
}
