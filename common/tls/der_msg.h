/* SPDX-License-Identifier: Apache-2.0 */
/*
 * der_msg - reading and writing ASN.1 DER. Pure. X.690.
 *
 * Read with a cursor that fails once and stays failed (as rd does). Write forwards into a buf: der_begin
 * leaves room for the length, der_end fills it in; der_begin_len_max bounds one element.
 */
#ifndef COMMON_TLS_DER_MSG_H
#define COMMON_TLS_DER_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/rd.h"
#include "common/base/span.h"

enum der_tag {
	DER_BOOLEAN = 0x01,
	DER_INTEGER = 0x02,
	DER_BIT_STRING = 0x03,
	DER_OCTET_STRING = 0x04,
	DER_OID = 0x06,
	DER_UTF8_STRING = 0x0c,
	DER_UTC_TIME = 0x17,
	DER_GENERALIZED_TIME = 0x18,
	DER_SEQUENCE = 0x30,
	DER_SET = 0x31,
	DER_CONTEXT = 0x80,             /* primitive [n]: DER_CONTEXT + n, n < 31 */
	DER_CONTEXT_CONSTRUCTED = 0xa0, /* constructed [n] */
};

/* The next element: its contents, with the tag in ret_tag. Lengths must be definite and minimal (10.1). */
struct span der_any(struct rd *r, uint8_t *ret_tag);
/* The contents of the next element, which must have this tag. */
struct span der_get(struct rd *r, uint8_t tag);
/* The same when it has this tag; nothing is read and false is returned when it has not. */
bool der_maybe(struct rd *r, uint8_t tag, struct span *ret_content);
/* The next element whole, with its tag and length; which must have this tag. */
struct span der_whole(struct rd *r, uint8_t tag);
/* A DER BOOLEAN: 0x00 or 0xff. */
bool der_bool(struct rd *r);
/* UTCTime or GeneralizedTime in the forms RFC 5280 4.1.2.5 allows: seconds since the epoch. */
int64_t der_time(struct rd *r);

size_t der_begin(struct buf *b, uint8_t tag);
void der_end(struct buf *b, size_t mark);
void der_put(struct buf *b, uint8_t tag, struct span content);
void der_put_bool(struct buf *b, bool v);
/* INTEGER of 0..127 */
void der_put_small(struct buf *b, uint8_t v);
/* A non-negative INTEGER of any size, most significant octet first. */
void der_put_unsigned(struct buf *b, struct span big_endian);
void der_put_time(struct buf *b, int64_t wall_s);

#endif
