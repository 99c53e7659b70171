/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mesh/mesh_arena.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"

enum {
	CHUNK_LEN = 64 * 1024, /* a small mesh fits one */
	ALIGN = 16,
	TEXTS_START = 256, /* slots of the first text table, a power of two */
};

struct chunk {
	struct chunk *next;
	size_t used, cap;
	uint8_t mem[] __attribute__((aligned(ALIGN)));
};

struct text {
	const char *p;
	size_t n;
	uint64_t hash;
};

struct mesh_arena {
	struct chunk *chunks; /* the newest first */
	size_t bytes;
	struct text *texts; /* open addressing, p NULL = free */
	size_t text_count, text_cap;
};

struct mesh_arena *mesh_arena_new(void)
{
	struct mesh_arena *a = mem_new(sizeof(*a));

	a->text_cap = TEXTS_START;
	a->texts = mem_new(a->text_cap * sizeof(*a->texts));
	return a;
}

void mesh_arena_free(struct mesh_arena *a)
{
	if (!a)
		return;
	for (struct chunk *c = a->chunks; c;) {
		struct chunk *next = c->next;

		free(c);
		c = next;
	}
	free(a->texts);
	free(a);
}

static struct chunk *chunk_new(struct mesh_arena *a, size_t cap)
{
	struct chunk *c = mem_new(sizeof(*c) + cap);

	c->cap = cap;
	a->bytes += sizeof(*c) + cap;
	return c;
}

void *mesh_arena_alloc(struct mesh_arena *a, size_t size)
{
	CHECK(size <= SIZE_MAX / 2);
	size_t room = (size + ALIGN - 1) / ALIGN * ALIGN;

	if (room == 0)
		room = ALIGN;
	if (room > CHUNK_LEN / 4 && a->chunks) { /* a chunk of its own, behind the current one */
		struct chunk *own = chunk_new(a, room);

		own->used = room;
		own->next = a->chunks->next;
		a->chunks->next = own;
		return own->mem;
	}
	if (!a->chunks || a->chunks->cap - a->chunks->used < room) {
		struct chunk *c = chunk_new(a, room > CHUNK_LEN ? room : CHUNK_LEN);

		c->next = a->chunks;
		a->chunks = c;
	}
	void *p = a->chunks->mem + a->chunks->used;

	a->chunks->used += room;
	return p;
}

/* FNV-1a, mixed at the end. Texts come from whoever configures the mesh, not from peers. */
static uint64_t text_hash(struct span s)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ s.p[i]) * 0x100000001b3u;
	return h ^ (h >> 29);
}

static struct text *text_slot(struct text *texts, size_t cap, struct span s, uint64_t hash)
{
	for (size_t i = (size_t)hash & (cap - 1);; i = (i + 1) & (cap - 1)) {
		struct text *t = &texts[i];

		if (!t->p || (t->hash == hash && t->n == s.n && memcmp(t->p, s.p, s.n) == 0))
			return t;
	}
}

static void texts_grow(struct mesh_arena *a)
{
	size_t cap = a->text_cap * 2;
	struct text *texts = mem_new(cap * sizeof(*texts));

	for (size_t i = 0; i < a->text_cap; i++) {
		const struct text *t = &a->texts[i];

		if (t->p)
			*text_slot(texts, cap, span_of(t->p, t->n), t->hash) = *t;
	}
	free(a->texts);
	a->texts = texts;
	a->text_cap = cap;
}

const char *mesh_arena_intern(struct mesh_arena *a, struct span text)
{
	if (text.n == 0)
		return "";
	if (a->text_count * 2 >= a->text_cap)
		texts_grow(a);

	uint64_t hash = text_hash(text);
	struct text *t = text_slot(a->texts, a->text_cap, text, hash);

	if (!t->p) {
		char *copy = mesh_arena_alloc(a, text.n + 1);

		memcpy(copy, text.p, text.n);
		*t = (struct text){.p = copy, .n = text.n, .hash = hash};
		a->text_count++;
	}
	return t->p;
}

size_t mesh_arena_bytes(const struct mesh_arena *a)
{
	return a->bytes;
}
