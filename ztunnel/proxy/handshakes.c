/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/proxy/handshakes.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/rand.h"

struct handshake_source {
	struct map_node node;
	char text[IP_TEXT_MAX]; /* the key */
	unsigned int count;
};

void handshakes_init(struct handshakes *h)
{
	uint8_t seed[16];

	*h = (struct handshakes){0};
	rand_system_bytes(seed, sizeof(seed));
	map_init(&h->sources, seed);
}

void handshakes_fini(struct handshakes *h)
{
	CHECK(h->count == 0);
	map_fini(&h->sources);
}

/* The address's own, made when there is none. */
static struct handshake_source *source_of(struct handshakes *h, const struct ip *from)
{
	struct handshake_source *s;
	char text[IP_TEXT_MAX];
	struct map_node *node;

	node = map_get(&h->sources, span_str(ip_format(from, text)));
	if (node != NULL)
		return map_entry(node, struct handshake_source, node);
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return NULL;
	memcpy(s->text, text, sizeof(text));
	(void)map_put(&h->sources, &s->node, span_str(s->text));
	return s;
}

struct handshake_source *handshakes_take(struct handshakes *h, const struct ip *from)
{
	struct handshake_source *s = h->count < HANDSHAKES_MAX ? source_of(h, from) : NULL;

	if (s == NULL || s->count >= HANDSHAKES_OF_SOURCE_MAX) {
		h->refused++;
		return NULL;
	}
	s->count++;
	h->count++;
	return s;
}

void handshakes_give(struct handshakes *h, struct handshake_source *s)
{
	h->count--;
	if (--s->count > 0)
		return;
	(void)map_remove(&h->sources, span_str(s->text));
	free(s);
}
