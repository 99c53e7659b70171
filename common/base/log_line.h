/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_line - one event as one line of text or JSON (contract 10.3). Pure.
 *
 * Whatever the values hold, a line is one record of printable ASCII: quotes and backslashes are escaped, other octets
 * written as \n, \r, \t or \xNN (in JSON as \u00NN, or as the text "\xNN" from 0x80 on, which is no character of
 * ours to name). A space, quote or backslash inside a bare value becomes \xNN, so that it cannot pose as a field.
 */
#ifndef COMMON_BASE_LOG_LINE_H
#define COMMON_BASE_LOG_LINE_H

#include "common/base/buf.h"
#include "common/base/log.h"

enum {
	LOG_FIELD_TEXT_MAX = 256, /* octets of a value; the rest is replaced by "..." */
	LOG_LINE_MAX = 32 * 1024, /* 20 fields of the longest, every octet escaped */
};

struct log_event {
	int64_t wall_us;
	enum log_scope scope;
	enum log_level level;
	const char *message;
	const struct log_field *fields;
	size_t field_count;
};

/* Append the line with its newline. out->failed when it did not fit. */
void log_line_text(const struct log_event *e, struct buf *out);
void log_line_json(const struct log_event *e, struct buf *out);

#endif
