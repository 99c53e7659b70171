/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grpc_status - how a call ended: the code and words of its last fields, or what HTTP said instead. Pure.
 * gRPC over HTTP/2 (PROTOCOL-HTTP2.md), "Responses"; http-grpc-status-mapping.md.
 */
#ifndef COMMON_GRPC_GRPC_STATUS_H
#define COMMON_GRPC_GRPC_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/h2/h2_session.h"

enum grpc_code {
	GRPC_OK = 0,
	GRPC_CANCELLED = 1,
	GRPC_UNKNOWN = 2,
	GRPC_INVALID_ARGUMENT = 3,
	GRPC_DEADLINE_EXCEEDED = 4,
	GRPC_NOT_FOUND = 5,
	GRPC_ALREADY_EXISTS = 6,
	GRPC_PERMISSION_DENIED = 7,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_FAILED_PRECONDITION = 9,
	GRPC_ABORTED = 10,
	GRPC_OUT_OF_RANGE = 11,
	GRPC_UNIMPLEMENTED = 12,
	GRPC_INTERNAL = 13,
	GRPC_UNAVAILABLE = 14,
	GRPC_DATA_LOSS = 15,
	GRPC_UNAUTHENTICATED = 16,
	GRPC_CODES,
};

enum {
	GRPC_WORDS_MAX =
		512,         /* octets of a message for people, with the NUL; longer ones are cut */
	GRPC_FIELDS_MAX = 3, /* of grpc_status_fields */
	GRPC_ENCODED_MAX = 3 * GRPC_WORDS_MAX,
};

struct grpc_status {
	enum grpc_code code;
	char words
		[GRPC_WORDS_MAX]; /* UTF-8 as the peer meant it, control characters replaced; may be empty */
};

/* "UNAVAILABLE"; codes that do not exist read "UNKNOWN". */
const char *grpc_code_name(enum grpc_code code);

void grpc_status_set(struct grpc_status *st, enum grpc_code code, const char *words);
/* What a body that cannot be read (grpc_reader_feed) is called. */
enum grpc_code grpc_code_of_err(enum err e);
/* The connection, not the peer, ended the call. */
void grpc_status_of_err(struct grpc_status *st, enum err cause);
/* Is this the head of a gRPC answer: 200 and application/grpc? If not, *st says what it is instead. */
bool grpc_status_of_head(const struct h2_head *head, struct grpc_status *st);
/* The last fields of a call: false when they carry no grpc-status (*st is then UNKNOWN and says so). */
bool grpc_status_of_fields(const struct h2_head *fields, struct grpc_status *st);

/* grpc-message's form of words: percent-encoded (out holds GRPC_ENCODED_MAX at most). */
void grpc_words_encode(const char *words, struct buf *out);

#endif
