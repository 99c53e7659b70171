/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/map.h"

#include <stdlib.h>
#include <string.h>

static uint64_t rotl(uint64_t x, unsigned int k)
{
	return x << k | x >> (64 - k);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

/* Up to 8 octets, little-endian. */
static uint64_t word_of(const uint8_t *p, size_t n)
{
	uint64_t w = 0;

	for (size_t i = 0; i < n; i++)
		w |= (uint64_t)p[i] << (8 * i);
	return w;
}

uint64_t map_hash(const uint64_t seed[2], struct span bytes)
{
	uint64_t v[4] = {
		seed[0] ^ UINT64_C(0x736f6d6570736575),
		seed[1] ^ UINT64_C(0x646f72616e646f6d),
		seed[0] ^ UINT64_C(0x6c7967656e657261),
		seed[1] ^ UINT64_C(0x7465646279746573),
	};
	size_t whole = bytes.n / 8 * 8;
	uint64_t w;

	for (size_t i = 0; i < whole; i += 8) {
		w = word_of(bytes.p + i, 8);
		v[3] ^= w;
		sip_round(v);
		v[0] ^= w;
	}
	w = (uint64_t)bytes.n << 56;
	if (whole < bytes.n)
		w |= word_of(bytes.p + whole, bytes.n - whole);
	v[3] ^= w;
	sip_round(v);
	v[0] ^= w;
	v[2] ^= 0xff;
	for (unsigned int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void map_init(struct map *m, const uint8_t seed[16])
{
	*m = (struct map){.mask = MAP_EMBEDDED - 1};
	m->seed[0] = word_of(seed, 8);
	m->seed[1] = word_of(seed + 8, 8);
}

void map_fini(struct map *m)
{
	free(m->heap);
	*m = (struct map){.mask = MAP_EMBEDDED - 1};
}

static struct map_node *const *bucket_read(const struct map *m, uint64_t hash)
{
	return (m->heap != NULL ? m->heap : m->embedded) + (hash & m->mask);
}

static struct map_node **bucket_of(struct map *m, uint64_t hash)
{
	return (m->heap != NULL ? m->heap : m->embedded) + (hash & m->mask);
}

/* Where the pointer to the matching node is stored, or to the NULL that ends its chain. */
static struct map_node **place_of(struct map *m, uint64_t hash, struct span key)
{
	struct map_node **at = bucket_of(m, hash);

	while (*at != NULL && ((*at)->hash != hash || !span_eq((*at)->key, key)))
		at = &(*at)->next;
	return at;
}

struct map_node *map_get(const struct map *m, struct span key)
{
	uint64_t hash = map_hash(m->seed, key);
	struct map_node *n = *bucket_read(m, hash);

	while (n != NULL && (n->hash != hash || !span_eq(n->key, key)))
		n = n->next;
	return n;
}

static void map_grow(struct map *m)
{
	size_t old = m->mask + 1, wide = old * 2;
	struct map_node **from = m->heap != NULL ? m->heap : m->embedded;
	struct map_node **to = calloc(wide, sizeof(struct map_node *));

	if (to == NULL)
		return;
	for (size_t i = 0; i < old; i++) {
		while (from[i] != NULL) {
			struct map_node *n = from[i];

			from[i] = n->next;
			n->next = to[n->hash & (wide - 1)];
			to[n->hash & (wide - 1)] = n;
		}
	}
	free(m->heap);
	m->heap = to;
	m->mask = wide - 1;
}

struct map_node *map_put(struct map *m, struct map_node *node, struct span key)
{
	struct map_node *old = map_remove(m, key);
	struct map_node **at;

	if (m->count > m->mask)
		map_grow(m);
	node->hash = map_hash(m->seed, key);
	node->key = key;
	at = bucket_of(m, node->hash);
	node->next = *at;
	*at = node;
	m->count++;
	return old;
}

struct map_node *map_remove(struct map *m, struct span key)
{
	struct map_node **at = place_of(m, map_hash(m->seed, key), key);
	struct map_node *n = *at;

	if (n == NULL)
		return NULL;
	*at = n->next;
	n->next = NULL;
	m->count--;
	return n;
}

struct map_node *map_next(const struct map *m, const struct map_node *after)
{
	struct map_node *const *buckets = m->heap != NULL ? m->heap : m->embedded;
	size_t i = 0;

	if (after != NULL) {
		if (after->next != NULL)
			return after->next;
		i = (after->hash & m->mask) + 1;
	}
	for (; i <= m->mask; i++)
		if (buckets[i] != NULL)
			return buckets[i];
	return NULL;
}
