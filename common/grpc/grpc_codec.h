/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grpc_codec - messages in a gRPC body: each behind one octet of flags and four of length. Pure.
 * gRPC over HTTP/2 (PROTOCOL-HTTP2.md), "Length-Prefixed-Message". Compression is never offered, so it is an error.
 */
#ifndef COMMON_GRPC_GRPC_CODEC_H
#define COMMON_GRPC_GRPC_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/span.h"

enum {
	GRPC_PREFIX = 5,
	GRPC_MESSAGE_MAX = 200 * 1024 * 1024, /* the largest we ever accept (contract 3.1) */
	GRPC_TIMEOUT_TEXT = 12,               /* eight digits, a unit, the NUL */
};

/* What stands in front of a message of len octets. */
void grpc_prefix(uint32_t len, uint8_t out[GRPC_PREFIX]);

/* Collects messages out of pieces. Fields are private but message. */
struct grpc_reader {
	struct buf message;
	uint8_t prefix[GRPC_PREFIX];
	uint8_t prefix_have;
	uint32_t len, len_max;
};

/* len_max: of one message, at most GRPC_MESSAGE_MAX. No memory is held between messages. */
void grpc_reader_init(struct grpc_reader *r, uint32_t len_max);
void grpc_reader_fini(struct grpc_reader *r);
/*
 * Take octets from the front of in until one message is whole: *ret_whole, and it is in r->message until the next
 * call. Call again while in has octets left.
 * Errs: ERR_LIMIT longer than len_max; ERR_UNSUPPORTED compressed; ERR_PARSE unknown flags; ERR_MEMORY. The body is
 *       then of no more use.
 */
MUST_CHECK enum err grpc_reader_feed(struct grpc_reader *r, struct span *in, bool *ret_whole);
/* Nothing of a message has come: the body may end here. */
bool grpc_reader_between(const struct grpc_reader *r);

/* The value of grpc-timeout: at most eight digits and a unit, rounded up ("250m", "90S"). Returns out. */
const char *grpc_timeout_text(uint64_t ms, char out[GRPC_TIMEOUT_TEXT]);

#endif
