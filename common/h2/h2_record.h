/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h2_record - packs frames into TLS records' plain text: small frames of many streams are gathered into one
 * record, a big exclusively owned payload becomes a record of its own where it lies. Pure. RFC 8446 5.1.
 */
#ifndef COMMON_H2_H2_RECORD_H
#define COMMON_H2_H2_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/iobuf.h"

enum {
	H2_FRAME_HEAD = 9, /* RFC 9113 4.1 */
	H2_PASS_LEN_MIN =
		4096, /* below this a copy into a shared record is cheaper than a record */
	H2_SPLIT_ROOM_MIN =
		1024, /* a record with less room than this is not worth a frame of its own */
};

struct h2_record_writer {
	struct iobuf_pool *pool;
	struct iobuf_queue *out; /* lent while one emission runs, else NULL */
	size_t bytes_max;        /* of out */
	struct iobuf_view open;  /* the record being gathered; .buf NULL: none */
};

void h2_record_init(struct h2_record_writer *w, struct iobuf_pool *pool);
void h2_record_fini(struct h2_record_writer *w); /* drops an unfinished record */

/* out holds what it may. */
bool h2_record_full(const struct h2_record_writer *w);
/* Octets that still fit the record being gathered; a whole record when there is none. */
size_t h2_record_room(const struct h2_record_writer *w);
/* n (at most TLS_PLAIN_MAX) octets in one record, to be filled and followed by h2_record_added(); NULL: no memory. */
uint8_t *h2_record_reserve(struct h2_record_writer *w, size_t n);
void h2_record_added(struct h2_record_writer *w, size_t n);
/* Move the gathered record to out. false: no memory (or no out); it stays and may be added to. */
bool h2_record_flush(struct h2_record_writer *w);
/* May v become a record where it lies, with a frame header in front? */
bool h2_record_passable(const struct iobuf_view *v);
/* v, frame header already written in front by the caller, as a record of its own. Takes v when true. */
bool h2_record_pass(struct h2_record_writer *w, struct iobuf_view v);

#endif
