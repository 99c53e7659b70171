/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log - structured lines by scope and level, in the contract's text or JSON form (contract 10.3, 10.5).
 *
 * Lines go to a bounded queue drained by one writer thread: a slow stdout never stalls a worker;
 * what does not fit is dropped and counted. Values are escaped here, so peer bytes are safe to pass.
 */
#ifndef COMMON_BASE_LOG_H
#define COMMON_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

enum log_level { LOG_OFF, LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE };

enum log_scope {
#define LOG_SCOPE(id, text) LOG_SCOPE_##id,
#include "common/base/log_scope.def"
#undef LOG_SCOPE
	LOG_SCOPE_COUNT,
};

/* One key=value of a line. */
struct log_field {
	const char *key;
	enum { LOG_BARE, LOG_QUOTED, LOG_NUMBER } form; /* addresses are bare, text quoted */
	const char *text; /* of BARE and QUOTED; NULL leaves the field out */
	size_t text_len;  /* octets of text; SIZE_MAX: up to its NUL */
	uint64_t number;
};

#define LOG_S(k, v) \
	((struct log_field){.key = (k), .form = LOG_QUOTED, .text = (v), .text_len = SIZE_MAX})
#define LOG_A(k, v) \
	((struct log_field){.key = (k), .form = LOG_BARE, .text = (v), .text_len = SIZE_MAX})
#define LOG_N(k, v) ((struct log_field){.key = (k), .form = LOG_NUMBER, .number = (uint64_t)(v)})

/* Start the writer on fd (borrowed). json: one object per line. Errs: ERR_SYSTEM. */
MUST_CHECK enum err log_start(int fd, bool json);
/* Write what is queued, stop the writer. Idempotent. */
void log_stop(void);
uint64_t log_dropped(void); /* lines lost to a full queue since the start */

/*
 * Set levels from directives such as "info,access=debug,ztunnel::proxy=trace" (contract 10.5).
 * Errs: ERR_PARSE, with the offending item in ret_bad (borrowed from text); levels are then unchanged.
 */
MUST_CHECK enum err log_filter_set(const char *text, const char **ret_bad, size_t *ret_bad_len);
/* The filter in force, as text. Returns the length written, without the NUL. */
size_t log_filter_text(char *out, size_t out_len);
bool log_enabled(enum log_scope scope, enum log_level level);

/* Emit one line. message is ours (a literal); field values may be anything. */
void log_write(enum log_scope scope, enum log_level level, const char *message,
               const struct log_field *fields, size_t field_count);

/* log_at(scope, level, message, fields...), the fields made by LOG_S, LOG_A, LOG_N; there may be none. */
#define log_at(scope, level, ...) log_at_(scope, level, __VA_ARGS__, LOG_S(NULL, NULL))
#define log_at_(scope, level, message, ...)                                          \
	do {                                                                         \
		if (log_enabled(scope, level)) {                                     \
			const struct log_field log_fields_[] = {__VA_ARGS__};        \
			log_write(scope, level, message, log_fields_,                \
			          sizeof(log_fields_) / sizeof(log_fields_[0]) - 1); \
		}                                                                    \
	} while (0)

#endif
