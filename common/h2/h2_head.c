/* SPDX-License-Identifier: Apache-2.0 */
#include "common/h2/h2_head.h"

#include <stdlib.h>
#include <string.h>

#include <nghttp2/nghttp2.h>

#include "common/base/check.h"

enum { BYTES_FIRST = 512 }; /* holds a usual HBONE head */

enum pseudo {
	PSEUDO_METHOD = 1 << 0,
	PSEUDO_SCHEME = 1 << 1,
	PSEUDO_AUTHORITY = 1 << 2,
	PSEUDO_PATH = 1 << 3,
	PSEUDO_PROTOCOL = 1 << 4,
	PSEUDO_STATUS = 1 << 5,
};

struct h2_head_builder {
	enum h2_role role;
	bool trailers;
	uint32_t size_max;
	uint32_t size; /* as SETTINGS_MAX_HEADER_LIST_SIZE counts */
	uint32_t count;
	unsigned int seen; /* enum pseudo */
	bool regular_seen;
	struct {
		uint32_t name_len, value_len;
	} at[H2_FIELDS_MAX];
	uint8_t *bytes; /* names and values, one behind the other */
	uint32_t used, cap;
};

struct h2_head_builder *h2_head_builder_new(enum h2_role role, uint32_t size_max)
{
	struct h2_head_builder *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->role = role;
	b->size_max = size_max;
	return b;
}

struct h2_head_builder *h2_head_builder_new_trailers(uint32_t size_max)
{
	struct h2_head_builder *b = h2_head_builder_new(H2_SERVER, size_max);

	if (b)
		b->trailers = true;
	return b;
}

void h2_head_builder_free(struct h2_head_builder *b)
{
	if (!b)
		return;
	free(b->bytes);
	free(b);
}

static unsigned int pseudo_of(enum h2_role role, struct span name)
{
	static const struct {
		const char *name;
		enum h2_role receiver;
		unsigned int bit;
	} known[] = {
		{":method", H2_SERVER, PSEUDO_METHOD},       {":scheme", H2_SERVER, PSEUDO_SCHEME},
		{":authority", H2_SERVER, PSEUDO_AUTHORITY}, {":path", H2_SERVER, PSEUDO_PATH},
		{":protocol", H2_SERVER, PSEUDO_PROTOCOL},   {":status", H2_CLIENT, PSEUDO_STATUS},
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (known[i].receiver == role && span_eq_str(name, known[i].name))
			return known[i].bit;
	}
	return 0;
}

/* RFC 9113 8.2.2: fields that speak about an HTTP/1 connection. */
static bool connection_specific(struct span name, struct span value)
{
	static const char *const names[] = {"connection", "keep-alive", "proxy-connection",
	                                    "transfer-encoding", "upgrade"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (span_eq_str(name, names[i]))
			return true;
	}
	return span_eq_str(name, "te") && !span_eq_str(value, "trailers");
}

static bool status_valid(struct span v)
{
	if (v.n != 3 || v.p[0] < '1' || v.p[0] > '9')
		return false;
	for (size_t i = 1; i < 3; i++) {
		if (v.p[i] < '0' || v.p[i] > '9')
			return false;
	}
	return !span_eq_str(v, "101"); /* 8.6: no upgrade in HTTP/2 */
}

static bool pseudo_valid(struct h2_head_builder *b, struct span name, struct span value)
{
	unsigned int bit = b->trailers ? 0 : pseudo_of(b->role, name);

	if (bit == 0 || (b->seen & bit) || b->regular_seen)
		return false;
	b->seen |= bit;
	if (bit == PSEUDO_STATUS)
		return status_valid(value);
	return value.n > 0 || bit == PSEUDO_AUTHORITY;
}

static bool field_valid(struct h2_head_builder *b, struct span name, struct span value)
{
	/* the checker takes no empty text; an empty value is legal */
	if (name.n == 0 || !nghttp2_check_header_name(name.p, name.n))
		return false;
	if (value.n > 0 && !nghttp2_check_header_value_rfc9113(value.p, value.n))
		return false;
	if (name.p[0] == ':')
		return pseudo_valid(b, name, value);
	b->regular_seen = true;
	return !connection_specific(name, value);
}

static bool bytes_add(struct h2_head_builder *b, struct span s)
{
	if (s.n > b->cap - b->used) {
		uint32_t cap = b->cap ? b->cap : BYTES_FIRST;
		uint8_t *grown;

		while (cap - b->used < s.n)
			cap *= 2; /* size_max bounds it long before it wraps */
		grown = realloc(b->bytes, cap);
		if (!grown)
			return false;
		b->bytes = grown;
		b->cap = cap;
	}
	if (s.n)
		memcpy(b->bytes + b->used, s.p, s.n);
	b->used += (uint32_t)s.n;
	return true;
}

enum err h2_head_builder_add(struct h2_head_builder *b, struct span name, struct span value)
{
	uint32_t left = b->size_max - b->size;

	if (b->count == H2_FIELDS_MAX || left < H2_FIELD_OVERHEAD)
		return ERR_LIMIT;
	left -= H2_FIELD_OVERHEAD;
	if (name.n > left || value.n > left - name.n)
		return ERR_LIMIT;
	if (!field_valid(b, name, value))
		return ERR_H2;
	if (!bytes_add(b, name) || !bytes_add(b, value))
		return ERR_MEMORY;
	b->at[b->count].name_len = (uint32_t)name.n;
	b->at[b->count].value_len = (uint32_t)value.n;
	b->count++;
	b->size += (uint32_t)(name.n + value.n) + H2_FIELD_OVERHEAD;
	return ERR_OK;
}

static struct span copy_at(uint8_t **at, struct span s)
{
	struct span copy = span_of(*at, s.n);

	if (s.n)
		memcpy(*at, s.p, s.n);
	*at += s.n;
	return copy;
}

/* One block of memory: the head, its fields, their octets. */
enum err h2_head_builder_finish(struct h2_head_builder *b, struct h2_head **ret_head)
{
	unsigned int must = b->role == H2_SERVER ? PSEUDO_METHOD : PSEUDO_STATUS;
	struct h2_head *h;
	uint8_t *p;

	if (!b->trailers && !(b->seen & must))
		return ERR_H2;
	h = malloc(sizeof(*h) + b->count * sizeof(struct h2_field) + b->used);
	if (!h)
		return ERR_MEMORY;
	h->count = b->count;
	h->fields = (struct h2_field *)(void *)(h + 1);
	p = (uint8_t *)(h->fields + b->count);
	if (b->used > 0)
		memcpy(p, b->bytes, b->used); /* trailers may hold no field at all */
	for (uint32_t i = 0; i < b->count; i++) {
		h->fields[i].name = span_of(p, b->at[i].name_len);
		p += b->at[i].name_len;
		h->fields[i].value = span_of(p, b->at[i].value_len);
		p += b->at[i].value_len;
	}
	*ret_head = h;
	return ERR_OK;
}

struct h2_head *h2_head_copy(const struct h2_field *fields, unsigned int count)
{
	size_t bytes = 0;
	struct h2_head *h;
	uint8_t *p;

	for (unsigned int i = 0; i < count; i++)
		bytes += fields[i].name.n + fields[i].value.n;
	h = malloc(sizeof(*h) + count * sizeof(struct h2_field) + bytes);
	if (!h)
		return NULL;
	h->count = count;
	h->fields = (struct h2_field *)(void *)(h + 1);
	p = (uint8_t *)(h->fields + count);
	for (unsigned int i = 0; i < count; i++) {
		h->fields[i].name = copy_at(&p, fields[i].name);
		h->fields[i].value = copy_at(&p, fields[i].value);
	}
	return h;
}

const struct h2_field *h2_head_find(const struct h2_head *h, const char *name)
{
	for (uint32_t i = 0; i < h->count; i++) {
		if (span_eq_str(h->fields[i].name, name))
			return &h->fields[i];
	}
	return NULL;
}

void h2_head_free(struct h2_head *h)
{
	free(h);
}
