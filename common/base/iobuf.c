/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/iobuf.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"

#if defined(__SANITIZE_ADDRESS__)
#define IOBUF_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IOBUF_ASAN 1
#endif
#endif
#ifdef IOBUF_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

static const uint32_t class_cap[IOBUF_CLASSES] = {
	[IOBUF_SMALL] = IOBUF_SMALL_MEM,
	[IOBUF_SLOT] = IOBUF_SLOT_MEM,
	[IOBUF_LARGE] = IOBUF_LARGE_MEM,
};

/* Free blocks a trim leaves: what the next few connections take without asking the allocator. */
static const uint32_t class_reserve[IOBUF_CLASSES] = {
	[IOBUF_SMALL] = 4,
	[IOBUF_SLOT] = 4,
	[IOBUF_LARGE] = 0,
};

struct iobuf_pool {
	size_t bytes_max;
	size_t bytes;        /* free and in use */
	size_t bytes_in_use; /* taken and not yet back */
	struct iobuf *free[IOBUF_CLASSES];
	uint32_t free_count[IOBUF_CLASSES];
};

_Static_assert(IOBUF_SLOT_MEM >= IOBUF_HEAD + IOBUF_SLOT_LEN + IOBUF_TAIL, "a slot holds a record");

static size_t block_bytes(enum iobuf_class cls)
{
	return sizeof(struct iobuf) + class_cap[cls];
}

struct iobuf_pool *iobuf_pool_new(size_t bytes_max)
{
	struct iobuf_pool *pool = mem_new(sizeof(*pool));

	pool->bytes_max = bytes_max;
	return pool;
}

static struct iobuf *pop_free(struct iobuf_pool *pool, enum iobuf_class cls)
{
	struct iobuf *b = pool->free[cls];

	if (b == NULL)
		return NULL;
	pool->free[cls] = b->next;
	pool->free_count[cls]--;
	ASAN_UNPOISON_MEMORY_REGION(b->mem, b->cap);
	return b;
}

static void drop_free(struct iobuf_pool *pool, enum iobuf_class cls, uint32_t leave)
{
	while (pool->free_count[cls] > leave) {
		free(pop_free(pool, cls));
		pool->bytes -= block_bytes(cls);
	}
}

void iobuf_pool_free(struct iobuf_pool *pool)
{
	if (pool == NULL)
		return;
	CHECK(pool->bytes_in_use == 0);
	for (enum iobuf_class cls = 0; cls < IOBUF_CLASSES; cls++)
		drop_free(pool, cls, 0);
	CHECK(pool->bytes == 0);
	free(pool);
}

size_t iobuf_pool_bytes(const struct iobuf_pool *pool)
{
	return pool->bytes;
}

size_t iobuf_pool_bytes_in_use(const struct iobuf_pool *pool)
{
	return pool->bytes_in_use;
}

void iobuf_pool_trim(struct iobuf_pool *pool)
{
	for (enum iobuf_class cls = 0; cls < IOBUF_CLASSES; cls++)
		drop_free(pool, cls, class_reserve[cls]);
}

static bool fits(const struct iobuf_pool *pool, size_t n)
{
	return pool->bytes <= pool->bytes_max && n <= pool->bytes_max - pool->bytes;
}

static struct iobuf *new_block(struct iobuf_pool *pool, enum iobuf_class cls)
{
	struct iobuf *b;

	/* Free blocks of other classes hold budget nobody uses: give it back before refusing. */
	for (enum iobuf_class other = 0; other < IOBUF_CLASSES; other++)
		if (!fits(pool, block_bytes(cls)))
			drop_free(pool, other, 0);
	if (!fits(pool, block_bytes(cls)))
		return NULL;
	b = malloc(block_bytes(cls));
	if (b == NULL)
		return NULL;
	*b = (struct iobuf){.pool = pool, .cap = class_cap[cls], .cls = (uint16_t)cls};
	pool->bytes += block_bytes(cls);
	return b;
}

struct iobuf *iobuf_take(struct iobuf_pool *pool, enum iobuf_class cls)
{
	struct iobuf *b = pop_free(pool, cls);

	if (b == NULL)
		b = new_block(pool, cls);
	if (b == NULL)
		return NULL;
	pool->bytes_in_use += block_bytes(cls);
	b->next = NULL;
	b->refs = 1;
	b->ring_id = 0;
	return b;
}

struct iobuf *iobuf_ref(struct iobuf *b)
{
	CHECK(b->refs > 0 && b->refs < UINT32_MAX);
	b->refs++;
	return b;
}

void iobuf_unref(struct iobuf *b)
{
	struct iobuf_pool *pool = b->pool;
	enum iobuf_class cls = (enum iobuf_class)b->cls;

	CHECK(b->refs > 0);
	if (--b->refs > 0)
		return;
	CHECK(b->ring_id == 0);
	pool->bytes_in_use -= block_bytes(cls);
	ASAN_POISON_MEMORY_REGION(b->mem, b->cap);
	b->next = pool->free[cls];
	pool->free[cls] = b;
	pool->free_count[cls]++;
}

enum { QUEUE_CAP_MIN = 4, QUEUE_CAP_MAX = 1 << 20 };

void iobuf_queue_init(struct iobuf_queue *q)
{
	*q = (struct iobuf_queue){.cap = 0};
}

static void release_ring(struct iobuf_queue *q)
{
	free(q->ring);
	iobuf_queue_init(q);
}

void iobuf_queue_fini(struct iobuf_queue *q)
{
	for (uint32_t i = 0; i < q->count; i++)
		iobuf_unref(iobuf_queue_at(q, i)->buf);
	release_ring(q);
}

static bool queue_grow(struct iobuf_queue *q)
{
	uint32_t cap = q->cap == 0 ? QUEUE_CAP_MIN : q->cap * 2;
	struct iobuf_view *ring;

	if (cap > QUEUE_CAP_MAX)
		return false;
	ring = calloc(cap, sizeof(*ring));
	if (ring == NULL)
		return false;
	for (uint32_t i = 0; i < q->count; i++)
		ring[i] = *iobuf_queue_at(q, i);
	free(q->ring);
	q->ring = ring;
	q->cap = cap;
	q->head = 0;
	return true;
}

bool iobuf_queue_push(struct iobuf_queue *q, struct iobuf_view v)
{
	if (q->count == q->cap && !queue_grow(q))
		return false;
	q->ring[(q->head + q->count) & (q->cap - 1)] = v;
	q->count++;
	q->bytes += v.len;
	return true;
}

struct iobuf_view *iobuf_queue_at(struct iobuf_queue *q, uint32_t i)
{
	CHECK(i < q->count);
	return &q->ring[(q->head + i) & (q->cap - 1)];
}

struct iobuf_view iobuf_queue_pop(struct iobuf_queue *q)
{
	struct iobuf_view v = *iobuf_queue_at(q, 0);

	q->head = (q->head + 1) & (q->cap - 1);
	q->count--;
	q->bytes -= v.len;
	if (q->count == 0)
		release_ring(q);
	return v;
}

void iobuf_queue_consume(struct iobuf_queue *q, size_t n)
{
	CHECK(n <= q->bytes);
	while (q->count > 0) {
		struct iobuf_view *v = iobuf_queue_at(q, 0);

		if (v->len > n) {
			v->p += n;
			v->len -= (uint32_t)n;
			q->bytes -= n;
			return;
		}
		n -= v->len;
		iobuf_unref(iobuf_queue_pop(q).buf);
	}
}

bool iobuf_queue_pack(struct iobuf_queue *q, uint32_t busy, const uint8_t *p, uint32_t n)
{
	struct iobuf_view *last;

	if (q->count <= busy)
		return false;
	last = iobuf_queue_at(q, q->count - 1);
	if (last->buf->refs != 1 ||
	    n > (size_t)(last->buf->mem + last->buf->cap - last->p) - last->len)
		return false;
	memcpy(last->p + last->len, p, n);
	last->len += n;
	q->bytes += n;
	return true;
}
