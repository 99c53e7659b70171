/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/log_filter.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/str.h"

static const char *const scope_names[] = {
#define LOG_SCOPE(id, text) [LOG_SCOPE_##id] = (text),
#include "common/base/log_scope.def"
#undef LOG_SCOPE
};

static const char *const level_names[] = {
	[LOG_OFF] = "off",   [LOG_ERROR] = "error", [LOG_WARN] = "warn",
	[LOG_INFO] = "info", [LOG_DEBUG] = "debug", [LOG_TRACE] = "trace",
};

static const char root_target[] = "ztunnel";

const char *log_scope_name(enum log_scope scope)
{
	CHECK(scope < LOG_SCOPE_COUNT);
	return scope_names[scope];
}

const char *log_level_name(enum log_level level)
{
	CHECK(level < ARRAY_LEN(level_names));
	return level_names[level];
}

void log_filter_init(struct log_filter *f)
{
	*f = (struct log_filter){.base = LOG_INFO};
}

static bool parse_level(struct span text, enum log_level *ret_level)
{
	for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
		if (str_eq_nocase(text, level_names[i])) {
			*ret_level = (enum log_level)i;
			return true;
		}
	}
	return false;
}

/* The alphabet of a module path. */
static bool is_target(struct span text)
{
	if (text.n == 0 || text.n >= LOG_FILTER_TARGET_MAX)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = text.p[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		bool digit = c >= '0' && c <= '9';

		if (!letter && !digit && c != '_' && c != ':' && c != '.' && c != '-')
			return false;
	}
	return true;
}

static bool add_target(struct log_filter *f, struct span name, enum log_level level)
{
	struct log_target *t = NULL;

	for (size_t i = 0; i < f->count; i++)
		if (span_eq_str(name, f->targets[i].name))
			t = &f->targets[i];
	if (t == NULL) {
		if (f->count == LOG_FILTER_TARGETS_MAX)
			return false;
		t = &f->targets[f->count++];
		(void)str_copy(t->name, sizeof(t->name), name);
	}
	t->level = level;
	return true;
}

static bool add_directive(struct log_filter *f, struct span item)
{
	struct span level_text = item;
	struct span name = str_split(&level_text, '=');
	enum log_level level;

	if (level_text.p == NULL)
		return parse_level(item, &f->base);
	name = str_trim(name);
	return is_target(name) && parse_level(str_trim(level_text), &level) &&
	       add_target(f, name, level);
}

enum err log_filter_parse(struct span text, struct log_filter *ret_filter, struct span *ret_bad)
{
	struct span rest = text;
	struct log_filter f;

	log_filter_init(&f);
	while (rest.p != NULL) {
		struct span item = str_trim(str_split(&rest, ','));

		if (item.n > 0 && !add_directive(&f, item)) {
			*ret_bad = item;
			return ERR_PARSE;
		}
	}
	*ret_filter = f;
	return ERR_OK;
}

/* Does the target name this scope itself? */
static bool names_scope(const char *target, enum log_scope scope)
{
	size_t root_len = sizeof(root_target) - 1;

	if (strncmp(target, root_target, root_len) == 0 && strncmp(target + root_len, "::", 2) == 0)
		target += root_len + 2;
	return strcmp(target, scope_names[scope]) == 0;
}

enum log_level log_filter_level(const struct log_filter *f, enum log_scope scope)
{
	enum log_level level = f->base;
	bool exact = false;

	for (size_t i = 0; i < f->count; i++) {
		const struct log_target *t = &f->targets[i];

		if (names_scope(t->name, scope)) {
			level = t->level;
			exact = true;
		} else if (!exact && scope != LOG_SCOPE_ACCESS &&
		           strcmp(t->name, root_target) == 0) {
			level = t->level;
		}
	}
	return level;
}

/* Append as much of s as fits in front of the NUL. */
static size_t append(char *out, size_t out_len, size_t at, const char *s)
{
	size_t n = strlen(s);

	if (n > out_len - 1 - at)
		n = out_len - 1 - at;
	memcpy(out + at, s, n);
	out[at + n] = '\0';
	return at + n;
}

size_t log_filter_format(const struct log_filter *f, char *out, size_t out_len)
{
	size_t at = 0;

	if (out_len == 0)
		return 0;
	for (size_t i = 0; i < f->count; i++) {
		at = append(out, out_len, at, f->targets[i].name);
		at = append(out, out_len, at, "=");
		at = append(out, out_len, at, log_level_name(f->targets[i].level));
		at = append(out, out_len, at, ",");
	}
	return append(out, out_len, at, log_level_name(f->base));
}
