/* SPDX-License-Identifier: Apache-2.0 */
#include "common/grpc/grpc_status.h"

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/str.h"

static const char *const names[GRPC_CODES] = {
	"OK",
	"CANCELLED",
	"UNKNOWN",
	"INVALID_ARGUMENT",
	"DEADLINE_EXCEEDED",
	"NOT_FOUND",
	"ALREADY_EXISTS",
	"PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED",
	"FAILED_PRECONDITION",
	"ABORTED",
	"OUT_OF_RANGE",
	"UNIMPLEMENTED",
	"INTERNAL",
	"UNAVAILABLE",
	"DATA_LOSS",
	"UNAUTHENTICATED",
};

const char *grpc_code_name(enum grpc_code code)
{
	return (unsigned int)code < GRPC_CODES ? names[code] : names[GRPC_UNKNOWN];
}

void grpc_status_set(struct grpc_status *st, enum grpc_code code, const char *words)
{
	st->code = code;
	(void)snprintf(st->words, sizeof(st->words), "%s", words);
}

enum grpc_code grpc_code_of_err(enum err e)
{
	if (e == ERR_LIMIT || e == ERR_MEMORY)
		return GRPC_RESOURCE_EXHAUSTED;
	return e == ERR_UNSUPPORTED ? GRPC_UNIMPLEMENTED : GRPC_INTERNAL;
}

void grpc_status_of_err(struct grpc_status *st, enum err cause)
{
	grpc_status_set(st, cause == ERR_CANCELLED ? GRPC_CANCELLED : GRPC_UNAVAILABLE,
	                cause == ERR_OK ? "the connection ended" : err_info(cause)->words);
}

static enum grpc_code code_of_http(uint64_t status)
{
	switch (status) {
	case 400: return GRPC_INTERNAL;
	case 401: return GRPC_UNAUTHENTICATED;
	case 403: return GRPC_PERMISSION_DENIED;
	case 404: return GRPC_UNIMPLEMENTED;
	case 429:
	case 502:
	case 503:
	case 504: return GRPC_UNAVAILABLE;
	default: return GRPC_UNKNOWN;
	}
}

static bool is_grpc(const struct h2_head *head)
{
	static const char type[] = "application/grpc";
	const size_t n = sizeof(type) - 1;
	const struct h2_field *f = h2_head_find(head, "content-type");

	return f && f->value.n >= n && memcmp(f->value.p, type, n) == 0 &&
	       (f->value.n == n || f->value.p[n] == '+' || f->value.p[n] == ';');
}

bool grpc_status_of_head(const struct h2_head *head, struct grpc_status *st)
{
	const struct h2_field *f = h2_head_find(head, ":status");
	uint64_t http = 0;

	if (!f || str_parse_u64(f->value, 999, &http) != ERR_OK)
		http = 0;
	if (http == 200 && is_grpc(head))
		return true;
	/* what speaks here is a proxy or a web server */
	st->code = code_of_http(http);
	if (http == 200)
		grpc_status_set(st, GRPC_UNKNOWN,
		                "the answer's content-type is not application/grpc");
	else
		(void)snprintf(st->words, sizeof(st->words), "HTTP status %u", (unsigned int)http);
	return false;
}

static int hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Lenient, as the protocol asks: what is no escape stands for itself. */
static void words_decode(struct span in, char out[GRPC_WORDS_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < in.n && n + 1 < GRPC_WORDS_MAX; i++) {
		uint8_t c = in.p[i];

		if (c == '%' && i + 2 < in.n && hex(in.p[i + 1]) >= 0 && hex(in.p[i + 2]) >= 0) {
			c = (uint8_t)(hex(in.p[i + 1]) << 4 | hex(in.p[i + 2]));
			i += 2;
		}
		out[n++] = (char)(c < 0x20 || c == 0x7f ? '?' : c); /* it goes to logs */
	}
	out[n] = '\0';
}

bool grpc_status_of_fields(const struct h2_head *fields, struct grpc_status *st)
{
	const struct h2_field *code = h2_head_find(fields, "grpc-status");
	const struct h2_field *words = h2_head_find(fields, "grpc-message");
	uint64_t v = GRPC_UNKNOWN;

	if (!code) {
		grpc_status_set(st, GRPC_UNKNOWN, "the call ended without grpc-status");
		return false;
	}
	/* codes to come, and nonsense, are UNKNOWN: never OK */
	if (str_parse_u64(code->value, GRPC_CODES - 1, &v) != ERR_OK)
		v = GRPC_UNKNOWN;
	st->code = (enum grpc_code)v;
	words_decode(words ? words->value : span_of(NULL, 0), st->words);
	return true;
}

void grpc_words_encode(const char *words, struct buf *out)
{
	for (const char *p = words; *p; p++) {
		uint8_t c = (uint8_t)*p;

		if (c >= 0x20 && c <= 0x7e && c != '%')
			buf_put_u8(out, c);
		else
			buf_printf(out, "%%%02X", c);
	}
}
