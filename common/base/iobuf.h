/* SPDX-License-Identifier: Apache-2.0 */
/*
 * iobuf - a counted block of bytes on its way from a socket, through a TLS record, to a socket. Pure.
 *
 * One pool per worker, no locks. A slot is laid out so that an application's bytes, read at
 * IOBUF_HEAD, become one HTTP/2 DATA frame in one TLS 1.3 record without being moved:
 *
 *   mem: [2 spare][5 record header][9 frame header][payload, up to IOBUF_SLOT_LEN][1 type][16 tag]
 */
#ifndef COMMON_BASE_IOBUF_H
#define COMMON_BASE_IOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	IOBUF_HEAD = 16,                    /* room in front of the payload */
	IOBUF_TAIL = 32,                    /* room behind it */
	TLS_PLAIN_MAX = 16384,              /* RFC 8446 5.1 */
	IOBUF_SLOT_LEN = TLS_PLAIN_MAX - 9, /* payload of the largest frame that fits one record */
	IOBUF_SLOT_MEM = 16384 + 64,  /* IOBUF_HEAD + IOBUF_SLOT_LEN + IOBUF_TAIL, rounded up */
	IOBUF_SMALL_MEM = 4096,       /* what a quiet connection receives ciphertext into */
	IOBUF_LARGE_MEM = 256 * 1024, /* what a busy one does: 15 full records and more */
};

enum iobuf_class {
	IOBUF_SMALL,
	IOBUF_SLOT,
	IOBUF_LARGE,
	IOBUF_CLASSES,
};

struct iobuf_pool;

struct iobuf {
	struct iobuf_pool *pool; /* private */
	struct iobuf *next;      /* private: free list */
	uint32_t refs;           /* private */
	uint32_t cap;            /* bytes in mem */
	uint16_t cls;            /* enum iobuf_class */
	uint16_t ring_id; /* private to io/bufring: index in a provided-buffer ring, plus 1 */
	uint8_t mem[] __attribute__((aligned(16)));
};

/* Some bytes of an iobuf; owns one reference of it. */
struct iobuf_view {
	struct iobuf *buf;
	uint8_t *p;
	uint32_t len;
};

/*
 * bytes_max: ceiling of memory the pool may hold, free ones included; beyond it take() gives NULL.
 * Free blocks above a small reserve are returned to the allocator by iobuf_pool_trim().
 */
struct iobuf_pool *iobuf_pool_new(size_t bytes_max);
void iobuf_pool_free(struct iobuf_pool *pool); /* every iobuf must be back: CHECKed */
size_t iobuf_pool_bytes(const struct iobuf_pool *pool);
size_t iobuf_pool_bytes_in_use(const struct iobuf_pool *pool);
void iobuf_pool_trim(struct iobuf_pool *pool);

/* NULL when the budget is exhausted: the caller answers ERR_OVERLOAD or waits. One reference. */
struct iobuf *iobuf_take(struct iobuf_pool *pool, enum iobuf_class cls);
struct iobuf *iobuf_ref(struct iobuf *b);
void iobuf_unref(struct iobuf *b);
/* Nobody but the asker holds b, so its octets may be changed. */
static inline bool iobuf_exclusive(const struct iobuf *b)
{
	return b->refs == 1;
}

/*
 * A queue of views, oldest first. Holds no memory while empty, so that an idle connection costs none.
 */
struct iobuf_queue {
	struct iobuf_view *ring; /* private */
	uint32_t cap;            /* private: power of two, 0 when empty */
	uint32_t head;           /* private */
	uint32_t count;          /* views */
	size_t bytes;            /* sum of their lengths */
};

void iobuf_queue_init(struct iobuf_queue *q);
void iobuf_queue_fini(struct iobuf_queue *q); /* drops every view */
/* Takes v's reference. false when out of memory: v is then still the caller's. */
bool iobuf_queue_push(struct iobuf_queue *q, struct iobuf_view v);
/* The i-th oldest, borrowed; i < count. */
struct iobuf_view *iobuf_queue_at(struct iobuf_queue *q, uint32_t i);
/* The oldest, its reference handed over; count > 0. */
struct iobuf_view iobuf_queue_pop(struct iobuf_queue *q);
/* Drop n bytes from the front, n <= bytes. */
void iobuf_queue_consume(struct iobuf_queue *q, size_t n);

/*
 * Copy n octets in behind the youngest view, if that is not among the first busy ones (lent to somebody), nobody else
 * refers to its block, and the block has the room. false: nothing was done.
 */
bool iobuf_queue_pack(struct iobuf_queue *q, uint32_t busy, const uint8_t *p, uint32_t n);

#endif
