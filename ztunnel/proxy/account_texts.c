/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/proxy/account_texts.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/span.h"

struct account_texts {
	uint32_t refs;
	uint32_t len;               /* octets of bytes */
	uint16_t at[ACCOUNT_TEXTS]; /* where each begins, plus 1; 0: there is none */
	char bytes[];               /* the texts, each with its NUL */
};

static size_t room_for(const char *const texts[ACCOUNT_TEXTS])
{
	size_t room = 0;

	for (unsigned int i = 0; i < ACCOUNT_TEXTS; i++)
		room += texts[i] == NULL || texts[i][0] == '\0' ? 0 : strlen(texts[i]) + 1;
	return room;
}

static struct account_texts *build(const char *const texts[ACCOUNT_TEXTS])
{
	size_t room = room_for(texts), at = 0;
	struct account_texts *t;

	if (room > ACCOUNT_TEXT_LEN_MAX)
		return NULL;
	t = calloc(1, sizeof(*t) + room);
	if (t == NULL)
		return NULL;
	t->refs = 1;
	t->len = (uint32_t)room;
	for (unsigned int i = 0; i < ACCOUNT_TEXTS; i++) {
		size_t n = texts[i] == NULL || texts[i][0] == '\0' ? 0 : strlen(texts[i]) + 1;

		if (n == 0)
			continue;
		t->at[i] = (uint16_t)(at + 1);
		memcpy(t->bytes + at, texts[i], n);
		at += n;
	}
	return t;
}

static bool same(const struct account_texts *a, const struct account_texts *b)
{
	return a->len == b->len && memcmp(a->at, b->at, sizeof(a->at)) == 0 &&
	       memcmp(a->bytes, b->bytes, a->len) == 0;
}

/* FNV-1a: a peer who makes collisions only makes its own blocks unshared. */
static struct account_texts **slot_of(struct account_cache *c, const struct account_texts *t)
{
	uint32_t hash = 2166136261U;

	for (uint32_t i = 0; i < t->len; i++)
		hash = (hash ^ (uint8_t)t->bytes[i]) * 16777619U;
	return &c->slots[hash % ACCOUNT_CACHE_SLOTS];
}

struct account_texts *account_texts_get(struct account_cache *c,
                                        const char *const texts[ACCOUNT_TEXTS])
{
	struct account_texts *fresh = build(texts), **slot;

	if (fresh == NULL)
		return NULL;
	slot = slot_of(c, fresh);
	if (*slot == NULL || !same(*slot, fresh)) {
		account_texts_unref(*slot);
		*slot = fresh;
	} else {
		free(fresh);
	}
	(*slot)->refs++;
	return *slot;
}

void account_texts_unref(struct account_texts *t)
{
	if (t != NULL && --t->refs == 0)
		free(t);
}

const char *account_text(const struct account_texts *t, unsigned int i)
{
	return t == NULL || t->at[i] == 0 ? NULL : t->bytes + t->at[i] - 1;
}

void account_cache_fini(struct account_cache *c)
{
	for (unsigned int i = 0; i < ACCOUNT_CACHE_SLOTS; i++)
		account_texts_unref(c->slots[i]);
}
