/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/bufring.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/base/check.h"
#include "common/base/mem.h"

/* Lend the block of id to the kernel. */
static void lend(struct bufring *b, unsigned int id)
{
	struct iobuf *block = b->blocks[id];

	io_uring_buf_ring_add(b->ring, block->mem + b->head, b->len, (unsigned short)id,
	                      io_uring_buf_ring_mask(b->entries), 0);
	io_uring_buf_ring_advance(b->ring, 1);
}

bool bufring_refill(struct bufring *b)
{
	while (b->vacant_count > 0) {
		struct iobuf *block = iobuf_take(b->pool, b->cls);
		unsigned int id;

		if (block == NULL)
			break;
		id = b->vacant[--b->vacant_count];
		block->ring_id = (uint16_t)(id + 1);
		b->blocks[id] = block;
		lend(b, id);
	}
	return b->vacant_count < b->entries;
}

enum err bufring_init(struct bufring *b, struct io_uring *ring, struct iobuf_pool *pool,
                      enum iobuf_class cls, unsigned int entries)
{
	struct io_uring_buf_reg reg = {.ring_entries = entries, .bgid = (uint16_t)cls};
	int rc;

	CHECK(entries > 0 && entries <= BUFRING_ENTRIES_MAX && (entries & (entries - 1)) == 0);
	CHECK(cls != IOBUF_LARGE);
	*b = (struct bufring){.pool = pool, .cls = cls, .entries = entries, .group = (uint16_t)cls};
	b->head = cls == IOBUF_SLOT ? IOBUF_HEAD : 0;
	b->len = cls == IOBUF_SLOT ? IOBUF_SLOT_LEN : IOBUF_SMALL_MEM;
	b->ring_bytes = entries * sizeof(struct io_uring_buf);
	b->ring = mmap(NULL, b->ring_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
	               0);
	if (b->ring == MAP_FAILED) {
		b->ring = NULL;
		return ERR_SYSTEM;
	}
	io_uring_buf_ring_init(b->ring);
	reg.ring_addr = (uintptr_t)b->ring;
	rc = io_uring_register_buf_ring(ring, &reg, 0);
	if (rc != 0) {
		bufring_fini(b);
		errno = -rc;
		return ERR_SYSTEM;
	}
	b->blocks = mem_new(entries * sizeof(struct iobuf *));
	b->vacant = mem_new(entries * sizeof(uint16_t));
	while (b->vacant_count < entries) {
		b->vacant[b->vacant_count] = (uint16_t)(entries - 1 - b->vacant_count);
		b->vacant_count++;
	}
	(void)bufring_refill(b);
	return ERR_OK;
}

void bufring_fini(struct bufring *b)
{
	for (unsigned int id = 0; b->blocks != NULL && id < b->entries; id++) {
		if (b->blocks[id] == NULL)
			continue;
		b->blocks[id]->ring_id = 0;
		iobuf_unref(b->blocks[id]);
	}
	free(b->blocks);
	free(b->vacant);
	if (b->ring != NULL)
		CHECK(munmap(b->ring, b->ring_bytes) == 0);
	*b = (struct bufring){.ring = NULL};
}

struct iobuf *bufring_take(struct bufring *b, unsigned int id)
{
	struct iobuf *block;

	CHECK(id < b->entries && b->blocks[id] != NULL);
	block = b->blocks[id];
	CHECK(block->ring_id == id + 1);
	block->ring_id = 0;
	b->blocks[id] = NULL;
	b->vacant[b->vacant_count++] = (uint16_t)id;
	(void)bufring_refill(b);
	return block;
}

void bufring_return(struct bufring *b, unsigned int id)
{
	CHECK(id < b->entries && b->blocks[id] != NULL);
	lend(b, id);
}
