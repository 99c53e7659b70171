/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_reason - the sentence for people that goes with an error about certificates, keys and lists. Pure.
 */
#ifndef COMMON_TLS_TLS_REASON_H
#define COMMON_TLS_TLS_REASON_H

#include <stddef.h>

#include "common/base/err.h"

/* Where it goes: text of len octets, borrowed; len 0 when nobody asks. */
struct tls_reason {
	char *text;
	size_t len;
};

struct tls_reason tls_reason_to(char *text, size_t len);
/* Write it, cut to what fits. Returns e. */
enum err tls_reason_say(const struct tls_reason *why, enum err e, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
