/* SPDX-License-Identifier: Apache-2.0 */
#include "common/codec/json_write.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "common/base/check.h"

void json_write_init(struct json_write *w, struct buf *out, bool pretty)
{
	*w = (struct json_write){.out = out, .pretty = pretty};
}

static void newline(struct json_write *w)
{
	if (!w->pretty)
		return;
	buf_put_u8(w->out, '\n');
	for (unsigned int i = 0; i < w->depth; i++)
		buf_put_str(w->out, "  ");
}

/* What goes in front of any value: nothing after a key, else the comma. */
static void before_value(struct json_write *w)
{
	if (w->after_key) {
		w->after_key = false;
		return;
	}
	if (w->depth == 0)
		return;
	CHECK(w->kind[w->depth - 1] == '[');
	if (w->filled[w->depth - 1])
		buf_put_u8(w->out, ',');
	w->filled[w->depth - 1] = true;
	newline(w);
}

static void open_level(struct json_write *w, uint8_t kind)
{
	before_value(w);
	CHECK(w->depth < JSON_WRITE_DEPTH_MAX);
	w->kind[w->depth] = kind;
	w->filled[w->depth] = false;
	w->depth++;
	buf_put_u8(w->out, kind);
}

static void close_level(struct json_write *w, uint8_t kind)
{
	CHECK(w->depth > 0 && w->kind[w->depth - 1] == kind && !w->after_key);
	w->depth--;
	if (w->filled[w->depth])
		newline(w);
	buf_put_u8(w->out, kind == '{' ? '}' : ']');
}

void json_object_open(struct json_write *w)
{
	open_level(w, '{');
}

void json_object_close(struct json_write *w)
{
	close_level(w, '{');
}

void json_array_open(struct json_write *w)
{
	open_level(w, '[');
}

void json_array_close(struct json_write *w)
{
	close_level(w, '[');
}

/* Octets of the well-formed UTF-8 sequence at p, or 0 (RFC 3629 section 4). */
static size_t utf8_len(const uint8_t *p, size_t n)
{
	static const struct {
		uint8_t lead_min, lead_max, second_min, second_max, len;
	} rows[] = {
		{0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
		{0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3},
		{0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
		{0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (p[0] < rows[i].lead_min || p[0] > rows[i].lead_max)
			continue;
		if (n < rows[i].len || p[1] < rows[i].second_min || p[1] > rows[i].second_max)
			return 0;
		for (size_t k = 2; k < rows[i].len; k++) {
			if ((p[k] & 0xc0) != 0x80)
				return 0;
		}
		return rows[i].len;
	}
	return 0;
}

static bool is_plain(uint8_t c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void put_escaped(struct buf *out, uint8_t c)
{
	switch (c) {
	case '"': buf_put_str(out, "\\\""); break;
	case '\\': buf_put_str(out, "\\\\"); break;
	case '\n': buf_put_str(out, "\\n"); break;
	case '\r': buf_put_str(out, "\\r"); break;
	case '\t': buf_put_str(out, "\\t"); break;
	default: buf_printf(out, "\\u%04x", c); break;
	}
}

static void put_text(struct buf *out, struct span s)
{
	size_t i = 0;

	buf_put_u8(out, '"');
	while (i < s.n) {
		size_t start = i;

		while (i < s.n && is_plain(s.p[i]))
			i++;
		buf_put(out, span_of(s.p + start, i - start));
		if (i == s.n)
			break;
		if (s.p[i] < 0x80) {
			put_escaped(out, s.p[i++]);
			continue;
		}
		size_t len = utf8_len(s.p + i, s.n - i);

		if (len == 0)
			buf_put_str(out, "\\ufffd");
		else
			buf_put(out, span_of(s.p + i, len));
		i += len == 0 ? 1 : len;
	}
	buf_put_u8(out, '"');
}

void json_key(struct json_write *w, const char *key)
{
	CHECK(w->depth > 0 && w->kind[w->depth - 1] == '{' && !w->after_key);
	if (w->filled[w->depth - 1])
		buf_put_u8(w->out, ',');
	w->filled[w->depth - 1] = true;
	newline(w);
	put_text(w->out, span_str(key));
	buf_put_str(w->out, w->pretty ? ": " : ":");
	w->after_key = true;
}

void json_span(struct json_write *w, struct span text)
{
	before_value(w);
	put_text(w->out, text);
}

void json_str(struct json_write *w, const char *text)
{
	json_span(w, span_str(text));
}

void json_int(struct json_write *w, int64_t v)
{
	before_value(w);
	buf_printf(w->out, "%" PRId64, v);
}

void json_uint(struct json_write *w, uint64_t v)
{
	before_value(w);
	buf_printf(w->out, "%" PRIu64, v);
}

void json_double(struct json_write *w, double v)
{
	before_value(w);
	if (isfinite(v))
		buf_printf(w->out, "%.17g", v);
	else
		buf_put_str(w->out, "null");
}

void json_bool(struct json_write *w, bool v)
{
	before_value(w);
	buf_put_str(w->out, v ? "true" : "false");
}

void json_none(struct json_write *w)
{
	before_value(w);
	buf_put_str(w->out, "null");
}

void json_kv_str(struct json_write *w, const char *key, const char *text)
{
	json_key(w, key);
	json_str(w, text);
}

void json_kv_int(struct json_write *w, const char *key, int64_t v)
{
	json_key(w, key);
	json_int(w, v);
}

void json_kv_uint(struct json_write *w, const char *key, uint64_t v)
{
	json_key(w, key);
	json_uint(w, v);
}

void json_kv_bool(struct json_write *w, const char *key, bool v)
{
	json_key(w, key);
	json_bool(w, v);
}

bool json_write_complete(const struct json_write *w)
{
	return w->depth == 0 && !w->after_key;
}
