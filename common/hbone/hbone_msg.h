/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hbone_msg - the CONNECT request and its answer as HTTP/2 fields. Pure. Contract 6.1 to 6.3, 7.5 step 1.
 */
#ifndef COMMON_HBONE_HBONE_MSG_H
#define COMMON_HBONE_HBONE_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/netaddr.h"
#include "common/base/span.h"
#include "common/h2/h2_session.h"
#include "common/hbone/baggage.h"
#include "common/http/http_authority.h"

enum {
	HBONE_FIELDS_MAX = 6,    /* of a head we write */
	HBONE_TRACE_ID_LEN = 16, /* octets, W3C trace context */
	HBONE_SPAN_ID_LEN = 8,
	HBONE_TEXT_MAX = 4096, /* of all values of one head we write */
};

/* What a CONNECT of ours says. All borrowed. */
struct hbone_ask {
	const struct http_authority *authority;
	struct baggage baggage;
	struct endpoint client;               /* forwarded: for= */
	struct span service;                  /* forwarded: host=; empty when unknown */
	uint8_t trace_id[HBONE_TRACE_ID_LEN]; /* random */
	uint8_t span_id[HBONE_SPAN_ID_LEN];   /* random */
	bool inner;          /* the inner request of double HBONE: x-forwarded-network is sent */
	struct span network; /* its value; may be empty */
};

/* A head to send; the fields point into text. */
struct hbone_fields {
	struct h2_field field[HBONE_FIELDS_MAX];
	unsigned int count;
	struct buf text; /* private */
};

void hbone_fields_init(struct hbone_fields *f);
void hbone_fields_fini(struct hbone_fields *f);

/* The request's fields in the contract's order (6.1). f must be empty. Errs: ERR_LIMIT when out of memory or too long. */
MUST_CHECK enum err hbone_request_build(const struct hbone_ask *ask, struct hbone_fields *f);
/* The answer: a status and, not NULL and only with 200, baggage. Errs: as above. */
MUST_CHECK enum err hbone_response_build(uint16_t status, const struct baggage *baggage,
                                         struct hbone_fields *f);

/* A CONNECT that arrived. Spans borrow from the head. */
struct hbone_request {
	struct http_authority authority;
	struct baggage baggage;
	struct span forwarded_host; /* empty: none */
	struct span
		trace_id; /* 32 hex digits of traceparent, for the log; empty: none or malformed */
	bool has_network; /* x-forwarded-network was sent */
	struct span network;
};

/*
 * Judge and read a request head.
 * Errs, both answered with 400: ERR_HBONE_METHOD when it is not a plain CONNECT (another method, :scheme, :path or
 * :protocol present); ERR_HBONE_AUTHORITY when :authority is missing, there twice, does not parse, or Host differs
 */
MUST_CHECK enum err hbone_request_parse(const struct h2_head *head,
                                        struct hbone_request *ret_request);
/* A copy that borrows from nothing but itself: one block, for free(). NULL without memory. */
struct hbone_request *hbone_request_copy(const struct hbone_request *r);
/* Errs: ERR_HBONE_STATUS when the answer is not exactly 200; ret_status is set then, too (0: no valid status). */
MUST_CHECK enum err hbone_response_parse(const struct h2_head *head, uint16_t *ret_status);

#endif
