/* SPDX-License-Identifier: Apache-2.0 */
#include "common/daemon/drain.h"

void drain_init(struct drain *d)
{
	*d = (struct drain){.state = DRAIN_RUNNING};
}

bool drain_start(struct drain *d, uint64_t now_ms, uint64_t grace_ms)
{
	if (d->state != DRAIN_RUNNING)
		return false;
	d->state = DRAIN_DRAINING;
	d->deadline_ms = grace_ms < UINT64_MAX - now_ms ? now_ms + grace_ms : UINT64_MAX;
	return true;
}

enum drain_state drain_step(struct drain *d, uint64_t now_ms, uint64_t open_count)
{
	if (d->state == DRAIN_DRAINING && (open_count == 0 || now_ms >= d->deadline_ms)) {
		d->state = DRAIN_DONE;
		d->forced = open_count > 0;
	}
	return d->state;
}

uint64_t drain_wait_ms(const struct drain *d, uint64_t now_ms)
{
	if (d->state == DRAIN_RUNNING)
		return UINT64_MAX;
	return d->state == DRAIN_DRAINING && d->deadline_ms > now_ms ? d->deadline_ms - now_ms : 0;
}

uint64_t drain_grace_ms(const struct drain_settings *s)
{
	enum { DEFAULT_S = 5, SHORT_S = 10, MARGIN_S = 5, SHORT_MARGIN_S = 1, LEAST_S = 1 };
	int64_t n = s->grace_period_s;

	if (s->termination_deadline_ms >= 0)
		return (uint64_t)s->termination_deadline_ms;
	if (n < 0)
		return (uint64_t)DEFAULT_S * 1000;
	n = n > SHORT_S ? n - MARGIN_S : n - SHORT_MARGIN_S;
	return (uint64_t)(n > LEAST_S ? n : LEAST_S) * 1000;
}
