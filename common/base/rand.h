/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rand - dice for balancing and jitter: xoshiro256** (Blackman and Vigna). One value per thread. Never for
 * keys, tokens or nonces: those come from the TLS library.
 */
#ifndef COMMON_BASE_RAND_H
#define COMMON_BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

struct rand {
	uint64_t s[4]; /* private */
};

/* The same seed gives the same sequence, for tests. Pure. */
void rand_init(struct rand *r, uint64_t seed);
/* From getrandom(2). */
void rand_init_system(struct rand *r);
/* Fill p straight from getrandom(2): hash keys and the like. */
void rand_system_bytes(void *p, size_t n);

uint64_t rand_u64(struct rand *r);
/* Even over 0..bound-1; bound > 0. */
uint64_t rand_below(struct rand *r, uint64_t bound);

#endif
