/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_filter - which levels of which scopes are written (contract 10.5). Pure.
 *
 * Directives are separated by commas: a bare level for everything, or target=level. A target is a scope, with or
 * without "ztunnel::" in front, or "ztunnel" for every scope but access. Targets that name nothing here (modules of
 * another implementation, parts of a scope) are kept for display and have no effect. The more specific directive
 * wins, then the later one. Without a bare level it is info.
 */
#ifndef COMMON_BASE_LOG_FILTER_H
#define COMMON_BASE_LOG_FILTER_H

#include <stddef.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/span.h"

enum {
	LOG_FILTER_TARGETS_MAX = 32, /* more than twice the scopes there are */
	LOG_FILTER_TARGET_MAX = 64,  /* octets of a target with its NUL */
	LOG_FILTER_TEXT_MAX = LOG_FILTER_TARGETS_MAX * (LOG_FILTER_TARGET_MAX + 8) + 8,
};

struct log_target {
	char name[LOG_FILTER_TARGET_MAX];
	enum log_level level;
};

struct log_filter {
	enum log_level base;
	size_t count;
	struct log_target targets[LOG_FILTER_TARGETS_MAX]; /* no two of one name */
};

/* Everything at info. */
void log_filter_init(struct log_filter *f);
/* Errs: ERR_PARSE, with the offending directive (a view into text) in *ret_bad. */
MUST_CHECK enum err log_filter_parse(struct span text, struct log_filter *ret_filter,
                                     struct span *ret_bad);
enum log_level log_filter_level(const struct log_filter *f, enum log_scope scope);
/* As directives, targets first; cut to fit with a NUL when out_len > 0. Returns the length written. */
size_t log_filter_format(const struct log_filter *f, char *out, size_t out_len);

/* The scope as filters and text lines name it, such as "proxy"; the level in small letters. */
const char *log_scope_name(enum log_scope scope);
const char *log_level_name(enum log_level level);

#endif
