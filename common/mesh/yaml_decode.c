/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mesh/yaml_decode.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"

enum {
	PATH_MAX_LEN = 320,
	WORDS_LEN = 400,
	KEYS_MAX = 32, /* keys of our largest map, with room */
};

void yaml_enter(struct yaml_decode *d, struct span key, size_t index)
{
	CHECK(d->depth < YAML_DEPTH_MAX);
	d->steps[d->depth++] = (struct yaml_step){.key = key, .index = index};
}

void yaml_leave(struct yaml_decode *d)
{
	CHECK(d->depth > 0);
	d->depth--;
}

static const char *path_of(const struct yaml_decode *d, char out[PATH_MAX_LEN])
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < d->depth && n < PATH_MAX_LEN; i++) {
		const struct yaml_step *s = &d->steps[i];
		char shown[YAML_SHOWN_MAX];
		int put;

		if (s->key.p)
			put = snprintf(out + n, PATH_MAX_LEN - n, "%s%s", n ? "." : "",
			               yaml_shown(s->key, shown));
		else
			put = snprintf(out + n, PATH_MAX_LEN - n, "[%zu]", s->index);
		if (put < 0)
			break;
		n += (size_t)put;
	}
	return out;
}

static void report(struct yaml_decode *d, enum yaml_severity severity, struct source_pos pos,
                   const char *words)
{
	char path[PATH_MAX_LEN];

	yaml_report_at(d->report, severity, pos, path_of(d, path), "%s", words);
}

void yaml_error(struct yaml_decode *d, struct source_pos pos, const char *fmt, ...)
{
	char words[WORDS_LEN];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(words, sizeof(words), fmt, args);
	va_end(args);
	report(d, YAML_ERROR, pos, words);
}

void yaml_warning(struct yaml_decode *d, struct source_pos pos, const char *fmt, ...)
{
	char words[WORDS_LEN];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(words, sizeof(words), fmt, args);
	va_end(args);
	report(d, YAML_WARNING, pos, words);
}

/* What a node is, in words that fit "found ...". */
static const char *kind_words(const struct yaml_node *n)
{
	switch (n->kind) {
	case YAML_LIST: return "a list";
	case YAML_MAP: return "a map";
	case YAML_SCALAR: break;
	}
	switch (yaml_scalar_type(n)) {
	case YAML_TYPE_NULL: return "nothing";
	case YAML_TYPE_BOOL: return "true or false";
	case YAML_TYPE_NUMBER: return "a number";
	case YAML_TYPE_TEXT: return "text";
	}
	return "text";
}

bool yaml_is(struct yaml_decode *d, const struct yaml_node *n, enum yaml_kind kind)
{
	static const char *const expected[] = {
		[YAML_SCALAR] = "a single value",
		[YAML_LIST] = "a list, such as [a, b]",
		[YAML_MAP] = "a map, such as {key: value}",
	};
	char shown[YAML_SHOWN_MAX];

	if (n->tag) {
		yaml_error(d, n->pos, "the tag %s means nothing here; remove it",
		           yaml_shown(span_str(n->tag), shown));
		return false;
	}
	if (n->kind == kind)
		return true;
	yaml_error(d, n->pos, "expected %s, found %s", expected[kind], kind_words(n));
	return false;
}

bool yaml_get_text(struct yaml_decode *d, const struct yaml_node *n, struct span *ret_text)
{
	char shown[YAML_SHOWN_MAX];

	if (!yaml_is(d, n, YAML_SCALAR))
		return false;
	if (yaml_scalar_type(n) == YAML_TYPE_NULL) {
		yaml_error(d, n->pos, "expected text, found nothing; write \"\" for an empty one");
		return false;
	}
	if (yaml_scalar_type(n) != YAML_TYPE_TEXT) {
		yaml_error(d, n->pos, "expected text, found %s; write \"%s\" in quotes",
		           kind_words(n), yaml_shown(n->text, shown));
		return false;
	}
	*ret_text = n->text;
	return true;
}

bool yaml_get_number(struct yaml_decode *d, const struct yaml_node *n, uint32_t max,
                     uint32_t *ret_v)
{
	uint64_t v = 0;

	if (!yaml_is(d, n, YAML_SCALAR))
		return false;
	if (yaml_scalar_type(n) != YAML_TYPE_NUMBER) {
		yaml_error(d, n->pos, "expected a number from 0 to %u, found %s%s", max,
		           kind_words(n), n->plain ? "" : "; remove the quotes");
		return false;
	}
	for (size_t i = 0; i < n->text.n; i++) {
		uint8_t c = n->text.p[i];

		v = c >= '0' && c <= '9' ? v * 10 + (uint64_t)(c - '0') : UINT64_MAX;
		if (v > max) {
			yaml_error(d, n->pos, "expected a whole number from 0 to %u", max);
			return false;
		}
	}
	*ret_v = (uint32_t)v;
	return true;
}

bool yaml_get_choice(struct yaml_decode *d, const struct yaml_node *n, const char *const *names,
                     size_t name_count, unsigned int *ret_choice)
{
	char all[WORDS_LEN / 2] = "", shown[YAML_SHOWN_MAX];
	struct span text;
	size_t at = 0;

	if (!yaml_get_text(d, n, &text))
		return false;
	for (unsigned int i = 0; i < name_count; i++) {
		if (span_eq_str(text, names[i])) {
			*ret_choice = i;
			return true;
		}
		if (at < sizeof(all))
			at += (size_t)snprintf(all + at, sizeof(all) - at, "%s%s", i ? ", " : "",
			                       names[i]);
	}

	const char *near = yaml_nearest(text, names, name_count);

	if (near)
		yaml_error(d, n->pos, "unknown value \"%s\", did you mean \"%s\"?",
		           yaml_shown(text, shown), near);
	else
		yaml_error(d, n->pos, "unknown value \"%s\"; use one of %s",
		           yaml_shown(text, shown), all);
	return false;
}

void yaml_field_text(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	struct span text;

	if (yaml_get_text(d, n, &text))
		*(const char **)out = mesh_intern(d->mesh, text);
}

void yaml_field_bool(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	if (!yaml_is(d, n, YAML_SCALAR))
		return;
	if (yaml_scalar_type(n) == YAML_TYPE_BOOL)
		*(bool *)out = n->text.p[0] == 't' || n->text.p[0] == 'T';
	else
		yaml_error(d, n->pos, "expected true or false, found %s", kind_words(n));
}

void yaml_field_u16(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	uint32_t v;

	if (yaml_get_number(d, n, UINT16_MAX, &v))
		*(uint16_t *)out = (uint16_t)v;
}

void yaml_field_u32(struct yaml_decode *d, const struct yaml_node *n, void *out)
{
	uint32_t v;

	if (yaml_get_number(d, n, UINT32_MAX, &v))
		*(uint32_t *)out = v;
}

static void report_unknown(struct yaml_decode *d, const struct yaml_node *key,
                           const struct yaml_field *fields, size_t field_count)
{
	const char *names[KEYS_MAX];

	CHECK(field_count <= KEYS_MAX);
	for (size_t i = 0; i < field_count; i++)
		names[i] = fields[i].key;

	const char *near = yaml_nearest(key->text, names, field_count);

	if (near)
		yaml_error(d, key->pos, "unknown key, did you mean \"%s\"?", near);
	else
		yaml_error(d, key->pos, "unknown key; remove it, or check its indentation");
}

static bool is_null(const struct yaml_node *n)
{
	return n->kind == YAML_SCALAR && yaml_scalar_type(n) == YAML_TYPE_NULL;
}

static bool has_key(const struct yaml_node *map, const char *key)
{
	for (const struct yaml_node *c = map->first; c; c = c->next) {
		if (span_eq_str(c->key->text, key))
			return true;
	}
	return false;
}

void yaml_decode_map(struct yaml_decode *d, const struct yaml_node *n,
                     const struct yaml_field *fields, size_t field_count, void *out)
{
	if (!yaml_is(d, n, YAML_MAP))
		return;
	for (const struct yaml_node *c = n->first; c; c = c->next) {
		const struct yaml_field *f = NULL;

		for (size_t i = 0; i < field_count && !f; i++) {
			if (span_eq_str(c->key->text, fields[i].key))
				f = &fields[i];
		}
		yaml_enter(d, c->key->text, 0);
		if (!f)
			report_unknown(d, c->key, fields, field_count);
		else if (f->required || !is_null(c))
			f->fn(d, c, (char *)out + f->offset);
		yaml_leave(d);
	}
	for (size_t i = 0; i < field_count; i++) {
		if (!fields[i].required || has_key(n, fields[i].key))
			continue;
		yaml_enter(d, span_str(fields[i].key), 0);
		yaml_error(d, n->pos, "this key is required and missing; add it");
		yaml_leave(d);
	}
}

void *yaml_decode_list(struct yaml_decode *d, const struct yaml_node *n, size_t element_size,
                       yaml_field_fn *fn, size_t *ret_count)
{
	size_t i = 0;

	*ret_count = 0;
	if (!yaml_is(d, n, YAML_LIST))
		return NULL;

	char *v = mesh_alloc(d->mesh, n->count * element_size);

	for (const struct yaml_node *c = n->first; c; c = c->next, i++) {
		yaml_enter(d, span_of(NULL, 0), i);
		fn(d, c, v + i * element_size);
		yaml_leave(d);
	}
	*ret_count = n->count;
	return v;
}
