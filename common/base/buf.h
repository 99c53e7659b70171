/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf - a growing byte buffer with a ceiling. Pure.
 */
#ifndef COMMON_BASE_BUF_H
#define COMMON_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/span.h"

struct buf {
	uint8_t *p;  /* contents; NULL while nothing was ever put in */
	size_t n;    /* octets of content */
	size_t cap;  /* private */
	size_t max;  /* ceiling of n */
	bool failed; /* an append did not fit or memory ran out; sticky until buf_clear */
};

void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b);
void buf_wipe_fini(struct buf *b); /* for secrets: zeroes the memory first */
void buf_clear(struct buf *b);     /* empties, keeps the memory */
/* Appends set ->failed instead of answering, so that a writer checks once at the end. */
void buf_put(struct buf *b, struct span s);
void buf_put_str(struct buf *b, const char *s);
void buf_put_u8(struct buf *b, uint8_t v);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Room for n more octets at the end, or NULL (failed is then set); follow with buf_added. */
uint8_t *buf_reserve(struct buf *b, size_t n);
void buf_added(struct buf *b, size_t n);
/* Drop n octets from the front. */
void buf_consume(struct buf *b, size_t n);
struct span buf_span(const struct buf *b);
/* ERR_OK, or ERR_LIMIT when an append was lost. */
MUST_CHECK enum err buf_status(const struct buf *b);

#endif
