/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h2_raw - HTTP/2 frames made by hand, for tests that feed one session what no honest peer sends.
 */
#ifndef TESTS_UNIT_COMMON_H2_H2_RAW_H
#define TESTS_UNIT_COMMON_H2_H2_RAW_H

#include "common/base/buf.h"
#include "tests/unit/common/h2/h2_pair.h"

enum {
	DATA = 0,
	HEADERS = 1,
	PRIORITY = 2,
	RST_STREAM = 3,
	SETTINGS = 4,
	PUSH_PROMISE = 5,
	PING = 6,
	GOAWAY = 7,
	WINDOW_UPDATE = 8,
	CONTINUATION = 9,
};
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8 };

struct raw {
	struct side x;
	struct buf b;
};

void frame(struct buf *b, uint8_t type, uint8_t flags, int32_t id, struct span payload);
void u32_frame(struct buf *b, uint8_t type, int32_t id, uint32_t v);
void field(struct buf *b, const char *name, const char *value);
/* A block starts with what our SETTINGS_HEADER_TABLE_SIZE of 0 asks for, RFC 7541 6.3. */
void block_clear(struct buf *b);
void block_init(struct buf *b, size_t max);
void connect_block(struct buf *b);
void preface(struct buf *b, enum h2_role to);
void raw_init(struct raw *r, enum h2_role role);
void raw_fini(struct raw *r);
enum err raw_feed(struct raw *r, uint64_t now_ms);
/* What the session says, emitted whole. */
void raw_answer(struct raw *r, struct buf *out);
/* Emit and look for the code; the output is forgotten. */
int64_t raw_code(struct raw *r, uint8_t type);
void request(struct buf *b, int32_t id);

#endif
