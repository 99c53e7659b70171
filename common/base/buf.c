/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"

enum { BUF_CAP_MIN = 64 }; /* first allocation: most texts fit without growing again */

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){.max = max};
}

void buf_fini(struct buf *b)
{
	free(b->p);
	*b = (struct buf){.max = b->max};
}

void buf_wipe_fini(struct buf *b)
{
	mem_wipe(b->p, b->cap);
	buf_fini(b);
}

void buf_clear(struct buf *b)
{
	b->n = 0;
	b->failed = false;
}

/* Not realloc: that would leave an unwiped copy of what may be a secret. */
static bool grow(struct buf *b, size_t need)
{
	size_t cap = b->cap < BUF_CAP_MIN / 2 ? BUF_CAP_MIN : b->cap + b->cap / 2;
	uint8_t *p;

	if (cap < need)
		cap = need;
	if (cap > b->max)
		cap = b->max;
	p = malloc(cap);
	if (p == NULL)
		return false;
	if (b->p != NULL) {
		memcpy(p, b->p, b->n);
		mem_wipe(b->p, b->n);
		free(b->p);
	}
	b->p = p;
	b->cap = cap;
	return true;
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
	if (b->failed || b->n > b->max || n > b->max - b->n ||
	    ((b->p == NULL || b->cap - b->n < n) && !grow(b, b->n + n))) {
		b->failed = true;
		return NULL;
	}
	return b->p + b->n;
}

void buf_added(struct buf *b, size_t n)
{
	CHECK(n <= b->cap - b->n);
	b->n += n;
}

void buf_put(struct buf *b, struct span s)
{
	uint8_t *at = s.n > 0 ? buf_reserve(b, s.n) : NULL;

	if (at == NULL)
		return;
	memcpy(at, s.p, s.n);
	b->n += s.n;
}

void buf_put_str(struct buf *b, const char *s)
{
	buf_put(b, span_str(s));
}

void buf_put_u8(struct buf *b, uint8_t v)
{
	buf_put(b, span_of(&v, 1));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list args;
	uint8_t *at;
	int n;

	va_start(args, fmt);
	n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	CHECK(n >= 0);
	/* vsnprintf writes a NUL we do not count: one octet more than the content, also at the ceiling. */
	if (b->failed || b->n > b->max || (size_t)n > b->max - b->n) {
		b->failed = true;
		return;
	}
	if (n == 0)
		return;
	b->max++;
	at = buf_reserve(b, (size_t)n + 1);
	b->max--;
	if (at == NULL)
		return;
	va_start(args, fmt);
	(void)vsnprintf((char *)at, (size_t)n + 1, fmt, args);
	va_end(args);
	b->n += (size_t)n;
}

void buf_consume(struct buf *b, size_t n)
{
	CHECK(n <= b->n);
	b->n -= n;
	if (b->n > 0 && n > 0)
		memmove(b->p, b->p + n, b->n);
}

struct span buf_span(const struct buf *b)
{
	return span_of(b->p, b->n);
}

enum err buf_status(const struct buf *b)
{
	return b->failed ? ERR_LIMIT : ERR_OK;
}
