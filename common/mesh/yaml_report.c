/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mesh/yaml_report.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	LINE_SHOWN_MAX = 100, /* characters of a source line that are shown */
	WORDS_MAX = 512,
	NEAREST_LEN_MAX = 40, /* longer words are no typing mistakes of our keys */
};

/* Octets of the line break at the start of s, as libyaml counts lines; 0: none (YAML 1.1 5.4). */
static size_t break_len(struct span s)
{
	if (s.n >= 2 && memcmp(s.p, "\r\n", 2) == 0)
		return 2;
	if (s.n >= 1 && (s.p[0] == '\n' || s.p[0] == '\r'))
		return 1;
	if (s.n >= 2 && memcmp(s.p, "\xc2\x85", 2) == 0)
		return 2;
	if (s.n >= 3 &&
	    (memcmp(s.p, "\xe2\x80\xa8", 3) == 0 || memcmp(s.p, "\xe2\x80\xa9", 3) == 0))
		return 3;
	return 0;
}

/* The line-th line, from 1, without its break. */
static struct span line_of(struct span text, uint32_t line)
{
	size_t start = 0;
	uint32_t at = 1;

	for (size_t i = 0; i <= text.n; i++) {
		struct span rest = span_of(text.p + i, text.n - i);
		size_t skip = break_len(rest);

		if (skip == 0 && i < text.n)
			continue;
		if (at == line)
			return span_of(text.p + start, i - start);
		at++;
		start = i + skip;
		i = start - (skip > 0);
	}
	return span_of(text.p, 0);
}

static bool starts_char(uint8_t c)
{
	return (c & 0xc0) != 0x80;
}

/* The source line and a caret beneath the column; a window of a long one. */
static void put_line(struct yaml_report *r, struct source_pos pos)
{
	struct span line = line_of(r->text, pos.line);
	uint32_t skip = pos.column > LINE_SHOWN_MAX ? pos.column - LINE_SHOWN_MAX / 2 : 0;
	uint32_t at = 0;

	buf_printf(r->out, "%6u | ", pos.line);
	for (size_t i = 0; i < line.n && at < skip + LINE_SHOWN_MAX; i++) {
		if (!starts_char(line.p[i]))
			continue;
		if (at++ >= skip)
			buf_put_u8(r->out, line.p[i] < 0x80 && isprint(line.p[i]) ? line.p[i]
			                   : line.p[i] < 0x80                     ? ' '
			                                                          : '?');
	}
	buf_put_str(r->out, "\n       | ");
	for (uint32_t i = skip + 1; i < pos.column; i++)
		buf_put_u8(r->out, ' ');
	buf_put_str(r->out, "^\n");
}

void yaml_report_at(struct yaml_report *r, enum yaml_severity severity, struct source_pos pos,
                    const char *path, const char *fmt, ...)
{
	unsigned int *count = severity == YAML_ERROR ? &r->errors : &r->warnings;
	unsigned int max = severity == YAML_ERROR ? YAML_ERRORS_MAX : YAML_WARNINGS_MAX;
	char words[WORDS_MAX];
	va_list args;

	if (++*count > max)
		return;
	va_start(args, fmt);
	(void)vsnprintf(words, sizeof(words), fmt, args);
	va_end(args);
	buf_put_str(r->out, r->source);
	if (pos.line > 0)
		buf_printf(r->out, ":%u:%u", pos.line, pos.column);
	buf_printf(r->out, ": %s: %s%s%s\n", severity == YAML_ERROR ? "error" : "warning", path,
	           path[0] ? ": " : "", words);
	if (pos.line > 0)
		put_line(r, pos);
}

void yaml_report_close(struct yaml_report *r)
{
	if (r->errors > YAML_ERRORS_MAX)
		buf_printf(r->out, "%s: %u more errors\n", r->source, r->errors - YAML_ERRORS_MAX);
	if (r->warnings > YAML_WARNINGS_MAX)
		buf_printf(r->out, "%s: %u more warnings\n", r->source,
		           r->warnings - YAML_WARNINGS_MAX);
}

static unsigned int min3(unsigned int a, unsigned int b, unsigned int c)
{
	unsigned int m = a < b ? a : b;

	return m < c ? m : c;
}

static bool same_letter(uint8_t a, uint8_t b)
{
	return tolower(a) == tolower(b);
}

/* Levenshtein's distance without regard to case; both at most NEAREST_LEN_MAX. */
static unsigned int distance(struct span a, struct span b)
{
	unsigned int row[NEAREST_LEN_MAX + 1];

	for (unsigned int j = 0; j <= b.n; j++)
		row[j] = j;
	for (unsigned int i = 1; i <= a.n; i++) {
		unsigned int diagonal = row[0];

		row[0] = i;
		for (unsigned int j = 1; j <= b.n; j++) {
			bool same = same_letter(a.p[i - 1], b.p[j - 1]);
			unsigned int cost = diagonal + (same ? 0 : 1);

			diagonal = row[j];
			row[j] = min3(cost, row[j] + 1, row[j - 1] + 1);
		}
	}
	return row[b.n];
}

const char *yaml_nearest(struct span written, const char *const *names, size_t name_count)
{
	const char *best = NULL;
	unsigned int best_distance = 0;

	if (written.n == 0 || written.n > NEAREST_LEN_MAX)
		return NULL;
	for (size_t i = 0; i < name_count; i++) {
		struct span name = span_str(names[i]);

		if (name.n > NEAREST_LEN_MAX)
			continue;

		unsigned int d = distance(written, name);

		if (d > 1 + name.n / 4)
			continue;
		if (!best || d < best_distance) {
			best = names[i];
			best_distance = d;
		}
	}
	return best;
}

const char *yaml_shown(struct span text, char out[YAML_SHOWN_MAX])
{
	size_t room = YAML_SHOWN_MAX - 4;
	size_t n = text.n < room ? text.n : room;

	for (size_t i = 0; i < n; i++)
		out[i] = (char)(text.p[i] < 0x80 && isprint(text.p[i]) ? text.p[i] : '?');
	memcpy(out + n, n < text.n ? "..." : "\0\0\0", 4); /* the NUL included */
	return out;
}
