/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/rand.h"

#include <errno.h>
#include <sys/random.h>

#include "common/base/check.h"

static uint64_t rotl(uint64_t x, unsigned int k)
{
	return x << k | x >> (64 - k);
}

/* SplitMix64: spreads one word over the state, as the authors of xoshiro advise. */
static uint64_t split_mix(uint64_t *x)
{
	uint64_t z = *x += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

void rand_init(struct rand *r, uint64_t seed)
{
	for (size_t i = 0; i < ARRAY_LEN(r->s); i++)
		r->s[i] = split_mix(&seed);
}

void rand_system_bytes(void *p, size_t n)
{
	uint8_t *at = p;

	while (n > 0) {
		ssize_t got = getrandom(at, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		CHECK(got > 0);
		at += got;
		n -= (size_t)got;
	}
}

void rand_init_system(struct rand *r)
{
	uint64_t seed;

	rand_system_bytes(&seed, sizeof(seed));
	rand_init(r, seed);
}

uint64_t rand_u64(struct rand *r)
{
	uint64_t *s = r->s;
	uint64_t out = rotl(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return out;
}

uint64_t rand_below(struct rand *r, uint64_t bound)
{
	uint64_t uneven, v;

	CHECK(bound > 0);
	uneven = (0 - bound) %
	         bound; /* 2^64 mod bound: values below it would favour small results */
	do
		v = rand_u64(r);
	while (v < uneven);
	return v % bound;
}
