/* SPDX-License-Identifier: Apache-2.0 */
#include "common/admin/ready.h"

#include "common/base/check.h"

static const char *const names[READY_TASK_COUNT] = {
	[READY_DNS_PROXY] = "dns proxy",
	[READY_PROXY] = "proxy",
	[READY_STATE_MANAGER] = "state manager",
	[READY_WORKLOAD_PROXY_MANAGER] = "workload proxy manager",
};

void ready_init(struct ready *r, uint64_t stall_ms)
{
	atomic_init(&r->pending, 0);
	r->stall_ms = stall_ms;
	for (unsigned int i = 0; i < READY_WORKERS_MAX; i++)
		atomic_init(&r->beat_ms[i], 0);
}

void ready_expect(struct ready *r, enum ready_task task)
{
	atomic_fetch_or(&r->pending, 1u << task);
}

void ready_done(struct ready *r, enum ready_task task)
{
	atomic_fetch_and(&r->pending, ~(1u << task));
}

void ready_beat(struct ready *r, unsigned int worker, uint64_t now_ms)
{
	CHECK(worker < READY_WORKERS_MAX);
	atomic_store_explicit(&r->beat_ms[worker], now_ms, memory_order_relaxed);
}

unsigned int ready_stalled(const struct ready *r, unsigned int from, uint64_t now_ms)
{
	for (unsigned int i = from; i < READY_WORKERS_MAX; i++) {
		uint64_t beat = atomic_load_explicit(&r->beat_ms[i], memory_order_relaxed);

		if (beat != 0 && now_ms > beat + r->stall_ms)
			return i;
	}
	return READY_WORKERS_MAX;
}

static void put_pending(unsigned int pending, struct buf *out)
{
	const char *between = "pending: ";

	for (unsigned int i = 0; i < READY_TASK_COUNT; i++) {
		if ((pending & 1u << i) == 0)
			continue;
		buf_put_str(out, between);
		buf_put_str(out, names[i]);
		between = ", ";
	}
}

unsigned int ready_text(const struct ready *r, uint64_t now_ms, struct buf *out)
{
	unsigned int pending = atomic_load(&r->pending);
	unsigned int stalled = ready_stalled(r, 0, now_ms);
	const char *between = pending == 0 ? "stalled: " : "; stalled: ";

	if (pending == 0 && stalled == READY_WORKERS_MAX) {
		buf_put_str(out, "ready\n");
		return 200;
	}
	buf_put_str(out, "not ready, ");
	put_pending(pending, out);
	for (; stalled < READY_WORKERS_MAX; stalled = ready_stalled(r, stalled + 1, now_ms)) {
		buf_printf(out, "%sworker %u", between, stalled);
		between = ", ";
	}
	buf_put_u8(out, '\n');
	return 500;
}
