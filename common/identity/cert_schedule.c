/* SPDX-License-Identifier: Apache-2.0 */
#include "common/identity/cert_schedule.h"

enum { MS = 1000 };

uint64_t cert_retry_next_ms(struct cert_retry *r, int64_t now_s, uint64_t dice)
{
	uint64_t step = CERT_RETRY_FIRST_MS;
	uint64_t fifth;

	if (r->failures == 0)
		r->since_s = now_s;
	for (unsigned int i = 0; i < r->failures && step < CERT_RETRY_CAP_MS; i++)
		step *= 2;
	if (step > CERT_RETRY_CAP_MS || now_s - r->since_s >= CERT_RETRY_PATIENCE_S)
		step = CERT_RETRY_CAP_MS;
	if (r->failures < UINT32_MAX)
		r->failures++;
	fifth = step / 5;
	return step - fifth + dice % (2 * fifth + 1);
}

void cert_retry_reset(struct cert_retry *r)
{
	*r = (struct cert_retry){0};
}

uint64_t cert_renew_ms(int64_t not_before, int64_t not_after, uint64_t ttl_s, int64_t now_s,
                       uint64_t dice)
{
	uint64_t life_s, jitter_ms;
	int64_t due_ms;

	if (not_after <= not_before || now_s >= not_after)
		return CERT_RENEW_MIN_MS;
	life_s = (uint64_t)(not_after - not_before);
	if (life_s > ttl_s)
		life_s = ttl_s;
	jitter_ms = life_s * MS / 20;
	due_ms = (not_before - now_s) * MS + (int64_t)(life_s * MS / 2 - jitter_ms);
	due_ms += (int64_t)(dice % (2 * jitter_ms + 1));
	if (due_ms < CERT_RENEW_MIN_MS)
		return CERT_RENEW_MIN_MS;
	return (uint64_t)due_ms;
}
