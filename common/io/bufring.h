/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bufring - blocks of one class of the iobuf pool, lent to the kernel to receive into (a provided-buffer ring).
 * A waiting receive holds none: the kernel picks one when there is data. Private to common/io.
 */
#ifndef COMMON_IO_BUFRING_H
#define COMMON_IO_BUFRING_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/iobuf.h"

struct io_uring;
struct io_uring_buf_ring;

struct bufring {
	struct io_uring_buf_ring *ring; /* shared with the kernel */
	size_t ring_bytes;
	struct iobuf_pool *pool; /* borrowed */
	struct iobuf **blocks;   /* by buffer id; NULL where vacant */
	uint16_t *vacant;        /* stack of ids without a block */
	unsigned int vacant_count;
	unsigned int entries; /* power of two */
	enum iobuf_class cls;
	uint16_t group;
	uint32_t head; /* where in a block the kernel starts */
	uint32_t len;  /* and how much it may write */
};

enum { BUFRING_ENTRIES_MAX = 32768 };

/*
 * Register with ring under a buffer group; filled from the pool as far as its budget allows.
 * Errs: ERR_SYSTEM (errno says why), nothing is then left behind.
 */
MUST_CHECK enum err bufring_init(struct bufring *b, struct io_uring *ring, struct iobuf_pool *pool,
                                 enum iobuf_class cls, unsigned int entries);
/* After the io_uring is gone. Harmless on a zeroed struct. */
void bufring_fini(struct bufring *b);

/* The block the kernel filled, now the caller's; its place is refilled at once when the budget allows. */
struct iobuf *bufring_take(struct bufring *b, unsigned int id);
/* The kernel named the block but put nothing in: lend it again. */
void bufring_return(struct bufring *b, unsigned int id);
/* Fill what is vacant as far as the budget allows. false when the kernel has not one block. */
bool bufring_refill(struct bufring *b);

#endif
