/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_name - a domain name as it stands in a message, without compression. Pure. RFC 1035 3.1, 4.1.4; RFC 4343.
 *
 * Labels are octets: nothing is forbidden inside one but its length. Text forms escape what is no plain
 * character (RFC 1035 5.1) and have no dot at the end, but for the root, which is ".".
 */
#ifndef COMMON_DNS_DNS_NAME_H
#define COMMON_DNS_DNS_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/span.h"

enum {
	DNS_LABEL_MAX = 63,     /* octets, RFC 1035 2.3.4 */
	DNS_NAME_MAX = 255,     /* octets on the wire, the root's zero included */
	DNS_POINTERS_MAX = 126, /* a name has at most 127 labels, and each may follow one pointer */
	DNS_TEXT_MAX = 1005,    /* every octet as \ddd, dots and a NUL */
};

struct dns_name {
	uint8_t len;                /* octets of wire; 0: no name at all (the root has 1) */
	uint8_t wire[DNS_NAME_MAX]; /* length-prefixed labels, ending with the root's zero */
};

/*
 * Read the name at *at of msg, following compression pointers, which must lead backwards.
 * *at is moved behind it. Errs: ERR_PARSE: it leaves the message, is too long, loops, or has another label type
 */
MUST_CHECK enum err dns_name_read(struct span msg, size_t *at, struct dns_name *ret_name);

/* "a.b.c" or "a.b.c."; \. and \ddd are understood. Errs: ERR_PARSE */
MUST_CHECK enum err dns_name_parse(struct span text, struct dns_name *ret_name);
/* Returns out. */
const char *dns_name_format(const struct dns_name *n, char out[DNS_TEXT_MAX]);

/* Letters compare without case, RFC 4343. */
bool dns_name_eq(const struct dns_name *a, const struct dns_name *b);
struct dns_name dns_name_lower(const struct dns_name *n);
/* Labels, the root not counted. */
unsigned int dns_name_labels(const struct dns_name *n);

#endif
