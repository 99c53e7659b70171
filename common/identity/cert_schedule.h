/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cert_schedule - when to ask for a certificate again. Pure: time and dice are arguments. Contract 4.5.
 */
#ifndef COMMON_IDENTITY_CERT_SCHEDULE_H
#define COMMON_IDENTITY_CERT_SCHEDULE_H

#include <stdint.h>

enum {
	CERT_RETRY_FIRST_MS = 1000,
	CERT_RETRY_CAP_MS = 150 * 1000,
	CERT_RETRY_PATIENCE_S = 15 * 60, /* after so long in vain every wait is the longest */
	CERT_RENEW_MIN_MS =
		1000, /* a CA that hands out half-spent certificates is not asked in a loop */
};

/* Failures in a row of one identity; all zero: none. */
struct cert_retry {
	unsigned int failures; /* private */
	int64_t since_s;       /* private: the first of them */
};

/* How long to wait after one more failure: doubling from 1 s to 150 s, each 20 % up or down. */
uint64_t cert_retry_next_ms(struct cert_retry *r, int64_t now_s, uint64_t dice);
void cert_retry_reset(struct cert_retry *r);

/*
 * How long to wait before renewing a certificate: until half of its life has passed, 5 % of the life up or down; a
 * life longer than ttl_s counts as ttl_s. Dates that make no sense: at once.
 */
uint64_t cert_renew_ms(int64_t not_before, int64_t not_after, uint64_t ttl_s, int64_t now_s,
                       uint64_t dice);

#endif
