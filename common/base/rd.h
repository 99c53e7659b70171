/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rd - a reading cursor over borrowed bytes. Pure. Fails once and stays failed: a read past the end gives
 * zeroes and moves nothing, so that a parser reads all its fields and asks rd_failed() once.
 */
#ifndef COMMON_BASE_RD_H
#define COMMON_BASE_RD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/span.h"

struct rd {
	const uint8_t *p; /* private: next octet */
	size_t n;         /* private: octets left */
	bool failed;      /* private */
};

static inline struct rd rd_of(struct span s)
{
	return (struct rd){.p = s.p, .n = s.n};
}

static inline bool rd_failed(const struct rd *r)
{
	return r->failed;
}

/* Octets left; 0 once failed. */
static inline size_t rd_left(const struct rd *r)
{
	return r->n;
}

/* For what the octets themselves do not tell: a field whose value is out of range. */
static inline void rd_fail(struct rd *r)
{
	r->failed = true;
	r->n = 0;
}

/* The next n octets, a view into the input; empty when failed. */
static inline struct span rd_bytes(struct rd *r, size_t n)
{
	struct span s = {.p = r->p, .n = n};

	if (r->failed || n > r->n) {
		rd_fail(r);
		return (struct span){.p = r->p, .n = 0};
	}
	if (n > 0)
		r->p += n;
	r->n -= n;
	return s;
}

/* Everything left. */
static inline struct span rd_rest(struct rd *r)
{
	return rd_bytes(r, r->n);
}

static inline void rd_skip(struct rd *r, size_t n)
{
	(void)rd_bytes(r, n);
}

/* Big-endian unsigned number of width octets, 1..8. */
static inline uint64_t rd_uint(struct rd *r, size_t width)
{
	struct span s = rd_bytes(r, width);
	uint64_t v = 0;

	for (size_t i = 0; i < s.n; i++)
		v = v << 8 | s.p[i];
	return v;
}

static inline uint8_t rd_u8(struct rd *r)
{
	return (uint8_t)rd_uint(r, 1);
}

static inline uint16_t rd_u16(struct rd *r)
{
	return (uint16_t)rd_uint(r, 2);
}

static inline uint32_t rd_u24(struct rd *r)
{
	return (uint32_t)rd_uint(r, 3);
}

static inline uint32_t rd_u32(struct rd *r)
{
	return (uint32_t)rd_uint(r, 4);
}

static inline uint64_t rd_u64(struct rd *r)
{
	return rd_uint(r, 8);
}

#endif
