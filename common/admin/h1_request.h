/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h1_request - the head of one HTTP/1.1 request to a page of ours, and the text of the answer's head. Pure,
 * strict, small: RFC 9112 without chunked requests, obs-fold, absolute-form or CONNECT.
 */
#ifndef COMMON_ADMIN_H1_REQUEST_H
#define COMMON_ADMIN_H1_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/span.h"

enum {
	H1_REQUEST_LEN_MAX = 8192, /* head and body together: contract 11.1 */
	H1_FIELDS_MAX = 64,
};

enum h1_method { H1_GET, H1_HEAD, H1_POST, H1_OTHER };

struct h1_field {
	struct span name, value;
};

/* Views into the octets that were parsed. */
struct h1_request {
	enum h1_method method;
	struct span path;  /* begins with '/'; not decoded */
	struct span query; /* behind the '?'; empty without one */
	struct span host;  /* of the Host header; empty with HTTP/1.0 */
	bool keep_alive;   /* the peer would send another request on this connection */
	size_t head_len;   /* octets up to and with the empty line */
	size_t body_len;   /* octets of body behind the head */
	struct h1_field fields[H1_FIELDS_MAX];
	size_t field_count;
};

enum { H1_MORE = 0, H1_OK = 200 };

/*
 * Parse the request that begins at in. Answers H1_OK, and then *ret is filled and head_len + body_len is at
 * most in.n; H1_MORE, when the octets so far are fine but not all; otherwise the status to refuse it with:
 * 400, 413, 417, 431, 501 or 505, after which the connection is of no more use.
 */
unsigned int h1_request_parse(struct span in, struct h1_request *ret);

/* Whether any header called name (in any case) contains word, in any case. */
bool h1_request_mentions(const struct h1_request *r, const char *name, const char *word);
/* How much Accept-Encoding wants this coding, by name or as "*": 0 not at all. RFC 9110 12.5.3. */
enum { H1_WEIGHT_MAX = 1000 };
unsigned int h1_request_coding_weight(const struct h1_request *r, const char *coding);
/* Whether Host names this machine only: localhost, 127.0.0.0/8 or [::1], with or without a port. */
bool h1_request_host_is_local(const struct h1_request *r);

/*
 * The next name=value of a query, percent-decoded into name and value (cleared first). *rest begins as the
 * query. ret_has_value tells "a=" from "a". False at the end, or when something does not decode: then
 * *ret_bad is set.
 */
struct h1_param {
	struct buf *name, *value;
	bool has_value;
};
bool h1_query_next(struct span *rest, struct h1_param *p, bool *ret_bad);

const char *h1_reason(unsigned int status);

#endif
