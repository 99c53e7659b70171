/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_write - an append-only JSON writer into a buf. Pure. RFC 8259.
 *
 * The writer puts the commas; the caller opens, names and closes. Misuse of the order (a value without a
 * key inside an object, closing the wrong thing) is our mistake and CHECKed. A lost append is sticky in the
 * buf: ask buf_status() once at the end.
 */
#ifndef COMMON_CODEC_JSON_WRITE_H
#define COMMON_CODEC_JSON_WRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/span.h"

enum { JSON_WRITE_DEPTH_MAX = 32 }; /* twice what our deepest document needs */

struct json_write {
	struct buf *out;                    /* private: borrowed */
	bool pretty;                        /* private */
	bool after_key;                     /* private: a value must come next */
	uint8_t depth;                      /* private */
	uint8_t kind[JSON_WRITE_DEPTH_MAX]; /* private: '{' or '[' */
	bool filled[JSON_WRITE_DEPTH_MAX];  /* private: that level has a member already */
};

/* pretty: two-space indents and line ends, for people. */
void json_write_init(struct json_write *w, struct buf *out, bool pretty);

void json_object_open(struct json_write *w);
void json_object_close(struct json_write *w);
void json_array_open(struct json_write *w);
void json_array_close(struct json_write *w);
void json_key(struct json_write *w, const char *key);

/* Text is escaped; octets that are not UTF-8 become U+FFFD, so the output always parses. */
void json_str(struct json_write *w, const char *text);
void json_span(struct json_write *w, struct span text);
void json_int(struct json_write *w, int64_t v);
void json_uint(struct json_write *w, uint64_t v);
void json_double(struct json_write *w, double v); /* not finite: null */
void json_bool(struct json_write *w, bool v);
void json_none(struct json_write *w); /* null; not json_null, which is a name of jansson's */

/* json_key() and a value in one. */
void json_kv_str(struct json_write *w, const char *key, const char *text);
void json_kv_int(struct json_write *w, const char *key, int64_t v);
void json_kv_uint(struct json_write *w, const char *key, uint64_t v);
void json_kv_bool(struct json_write *w, const char *key, bool v);

/* True when every object and array is closed. */
bool json_write_complete(const struct json_write *w);

#endif
