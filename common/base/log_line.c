/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/log_line.h"

#include <inttypes.h>
#include <string.h>

#include "common/base/log_filter.h"
#include "common/base/span.h"
#include "common/base/str.h"

enum escape_form { ESCAPE_BARE, ESCAPE_QUOTED, ESCAPE_JSON };

/* The letter of a two-character escape every form of quoted text knows, or 0. */
static char short_escape(uint8_t c)
{
	switch (c) {
	case '"': return '"';
	case '\\': return '\\';
	case '\n': return 'n';
	case '\r': return 'r';
	case '\t': return 't';
	default: return 0;
	}
}

static bool is_plain(uint8_t c, enum escape_form form)
{
	if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
		return false;
	return c != ' ' || form != ESCAPE_BARE;
}

static void put_escaped(struct buf *out, uint8_t c, enum escape_form form)
{
	char letter = short_escape(c);

	if (letter != 0 && form != ESCAPE_BARE)
		buf_put(out, span_of((const char[]){'\\', letter}, 2));
	else if (form == ESCAPE_JSON)
		buf_printf(out, c < 0x80 ? "\\u%04x" : "\\\\x%02x", (unsigned int)c);
	else
		buf_printf(out, "\\x%02x", (unsigned int)c);
}

static void put_text(struct buf *out, struct span s, enum escape_form form)
{
	size_t start = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (is_plain(s.p[i], form))
			continue;
		buf_put(out, span_of(s.p + start, i - start));
		put_escaped(out, s.p[i], form);
		start = i + 1;
	}
	buf_put(out, span_of(s.p + start, s.n - start));
}

/* A value, cut at its limit. */
static void put_value(struct buf *out, const struct log_field *f, enum escape_form form)
{
	size_t len =
		f->text_len == SIZE_MAX ? strnlen(f->text, LOG_FIELD_TEXT_MAX + 1) : f->text_len;
	bool cut = len > LOG_FIELD_TEXT_MAX;

	put_text(out, span_of(f->text, cut ? LOG_FIELD_TEXT_MAX : len), form);
	if (cut)
		buf_put_str(out, "...");
}

static bool is_absent(const struct log_field *f)
{
	return f->form != LOG_NUMBER && f->text == NULL;
}

static void put_text_field(struct buf *out, const struct log_field *f)
{
	buf_put_str(out, f->key);
	buf_put_u8(out, '=');
	switch (f->form) {
	case LOG_NUMBER: buf_printf(out, "%" PRIu64, f->number); return;
	case LOG_BARE: put_value(out, f, ESCAPE_BARE); return;
	case LOG_QUOTED: break;
	}
	buf_put_u8(out, '"');
	put_value(out, f, ESCAPE_QUOTED);
	buf_put_u8(out, '"');
}

void log_line_text(const struct log_event *e, struct buf *out)
{
	char time[STR_TIME_MAX];
	bool first = true;

	buf_printf(out, "%s\t%s\t%s\t", str_format_time(e->wall_us, time), log_level_name(e->level),
	           log_scope_name(e->scope));
	put_text(out, span_str(e->message), ESCAPE_QUOTED);
	buf_put_u8(out, '\t');
	for (size_t i = 0; i < e->field_count; i++) {
		if (is_absent(&e->fields[i]))
			continue;
		if (!first)
			buf_put_u8(out, ' ');
		put_text_field(out, &e->fields[i]);
		first = false;
	}
	buf_put_u8(out, '\n');
}

static void put_json_field(struct buf *out, const struct log_field *f)
{
	buf_put_str(out, ",\"");
	put_text(out, span_str(f->key), ESCAPE_JSON);
	buf_put_str(out, "\":");
	if (f->form == LOG_NUMBER) {
		buf_printf(out, "%" PRIu64, f->number);
		return;
	}
	buf_put_u8(out, '"');
	put_value(out, f, ESCAPE_JSON);
	buf_put_u8(out, '"');
}

void log_line_json(const struct log_event *e, struct buf *out)
{
	const char *root = e->scope == LOG_SCOPE_ACCESS ? "" : "ztunnel::";
	char time[STR_TIME_MAX];

	buf_printf(out, "{\"level\":\"%s\",\"time\":\"%s\",\"scope\":\"%s%s\",\"message\":\"",
	           log_level_name(e->level), str_format_time(e->wall_us, time), root,
	           log_scope_name(e->scope));
	put_text(out, span_str(e->message), ESCAPE_JSON);
	buf_put_u8(out, '"');
	for (size_t i = 0; i < e->field_count; i++)
		if (!is_absent(&e->fields[i]))
			put_json_field(out, &e->fields[i]);
	buf_put_str(out, "}\n");
}
