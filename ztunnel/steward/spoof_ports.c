/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/steward/spoof_ports.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

enum {
	FIRST_CAP = 64,
	PICK_TRIES = 16, /* random picks before the range is walked */
};

/* State of a slot is told by its count: 0 and !used: empty; 0 and used: deleted. */
struct spoof_port_entry {
	struct ip client;
	uint16_t port, dst_port;
	uint16_t count;
	bool used;
};

/* splitmix64 (Steele, Lea and Flood): one step of a sequence, and a good mixer of bits. */
static uint64_t mix(uint64_t v)
{
	v = (v ^ (v >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	v = (v ^ (v >> 27)) * UINT64_C(0x94d049bb133111eb);
	return v ^ (v >> 31);
}

void spoof_ports_init(struct spoof_ports *sp, unsigned int worker, unsigned int workers,
                      uint64_t seed)
{
	CHECK(workers > 0 && workers <= UINT16_MAX && worker < workers);
	*sp = (struct spoof_ports){.dice = seed,
	                           .hash_seed = mix(seed),
	                           .worker = (uint16_t)worker,
	                           .workers = (uint16_t)workers};
}

void spoof_ports_fini(struct spoof_ports *sp)
{
	free(sp->slots);
	sp->slots = NULL;
	sp->cap = sp->used = sp->live = 0;
	sp->upper_full.known = sp->lower_full.known = false;
}

static uint64_t roll(struct spoof_ports *sp)
{
	sp->dice += UINT64_C(0x9e3779b97f4a7c15);
	return mix(sp->dice);
}

/* Clients may choose addresses and ports to collide: the seed would have to be known. */
static size_t slot_of(const struct spoof_ports *sp, const struct ip *client, uint16_t port,
                      uint16_t dst_port)
{
	uint64_t a, b, h = (uint64_t)sp->worker << 32 | (uint64_t)port << 16 | dst_port;

	memcpy(&a, client->bytes, sizeof(a));
	memcpy(&b, client->bytes + sizeof(a), sizeof(b));
	h = mix(h ^ a);
	h = mix(h ^ b ^ sp->hash_seed);
	return (size_t)h & (sp->cap - 1);
}

static bool matches(const struct spoof_port_entry *e, const struct ip *client, uint16_t port,
                    uint16_t dst_port)
{
	return e->count > 0 && e->port == port && e->dst_port == dst_port &&
	       ip_eq(&e->client, client);
}

static struct spoof_port_entry *find(const struct spoof_ports *sp, const struct ip *client,
                                     uint16_t port, uint16_t dst_port)
{
	size_t i;

	if (sp->cap == 0)
		return NULL;
	i = slot_of(sp, client, port, dst_port);
	while (sp->slots[i].used) {
		if (matches(&sp->slots[i], client, port, dst_port))
			return &sp->slots[i];
		i = (i + 1) & (sp->cap - 1);
	}
	return NULL;
}

static void place(struct spoof_ports *sp, const struct spoof_port_entry *e)
{
	size_t i = slot_of(sp, &e->client, e->port, e->dst_port);

	while (sp->slots[i].count > 0)
		i = (i + 1) & (sp->cap - 1);
	if (!sp->slots[i].used)
		sp->used++;
	sp->slots[i] = *e;
	sp->live++;
}

/* Room for one more; deleted slots are dropped on the way. */
static enum err make_room(struct spoof_ports *sp)
{
	struct spoof_port_entry *old = sp->slots;
	size_t old_cap = sp->cap;
	size_t cap = FIRST_CAP;

	if ((sp->used + 1) * 4 <= sp->cap * 3)
		return ERR_OK;
	while (cap < (sp->live + 1) * 2)
		cap *= 2;
	sp->slots = calloc(cap, sizeof(*sp->slots));
	if (sp->slots == NULL) {
		sp->slots = old;
		return ERR_MEMORY;
	}
	sp->cap = cap;
	sp->used = sp->live = 0;
	for (size_t i = 0; i < old_cap; i++) {
		if (old[i].count > 0)
			place(sp, &old[i]);
	}
	free(old);
	return ERR_OK;
}

static enum err add(struct spoof_ports *sp, const struct ip *client, uint16_t port,
                    uint16_t dst_port)
{
	struct spoof_port_entry *e = find(sp, client, port, dst_port);
	enum err err;

	if (e != NULL) {
		if (e->count == UINT16_MAX)
			return ERR_MEMORY;
		e->count++;
		return ERR_OK;
	}
	err = make_room(sp);
	if (err == ERR_OK)
		place(sp, &(struct spoof_port_entry){.client = *client,
		                                     .port = port,
		                                     .dst_port = dst_port,
		                                     .count = 1,
		                                     .used = true});
	return err;
}

enum err spoof_ports_note(struct spoof_ports *sp, const struct endpoint *client, uint16_t dst_port)
{
	return add(sp, &client->ip, client->port, dst_port);
}

/* Ports of this worker in first..last come as pairs, (2k, 2k + 1) with k % workers == worker. */
struct range {
	uint32_t pair, pairs; /* first k, and how many */
	uint16_t first, last;
};

static struct range range_of(const struct spoof_ports *sp, uint16_t first, uint16_t last)
{
	uint32_t lowest = (uint32_t)first >> 1, highest = (uint32_t)last >> 1;
	uint32_t pair = lowest + (sp->worker + sp->workers - lowest % sp->workers) % sp->workers;

	return (struct range){.pair = pair,
	                      .pairs = pair > highest ? 0 : (highest - pair) / sp->workers + 1,
	                      .first = first,
	                      .last = last};
}

/* The i-th port of the range, i < 2 * pairs; 0 when it falls outside at an end. */
static uint16_t port_at(const struct spoof_ports *sp, const struct range *r, uint32_t i)
{
	uint32_t port = (r->pair + i / 2 * sp->workers) * 2 + i % 2;

	return port >= r->first && port <= r->last ? (uint16_t)port : 0;
}

static bool is_full(const struct spoof_ports_full *f, const struct ip *client, uint16_t dst_port)
{
	return f->known && f->dst_port == dst_port && ip_eq(&f->client, client);
}

/* A free port of the range, or 0, which is noted in full. */
static uint16_t pick_in(struct spoof_ports *sp, const struct range *r, const struct ip *client,
                        uint16_t dst_port, struct spoof_ports_full *full)
{
	uint32_t count = r->pairs * 2;
	uint32_t start;

	if (is_full(full, client, dst_port))
		return 0;
	for (int i = 0; i < PICK_TRIES && count > 0; i++) {
		uint16_t port = port_at(sp, r, (uint32_t)(roll(sp) % count));

		if (port != 0 && find(sp, client, port, dst_port) == NULL)
			return port;
	}
	start = count > 0 ? (uint32_t)(roll(sp) % count) : 0;
	for (uint32_t i = 0; i < count; i++) {
		uint16_t port = port_at(sp, r, (start + i) % count);

		if (port != 0 && find(sp, client, port, dst_port) == NULL)
			return port;
	}
	*full = (struct spoof_ports_full){.client = *client, .dst_port = dst_port, .known = true};
	return 0;
}

enum err spoof_ports_pick(struct spoof_ports *sp, const struct ip *client, uint16_t dst_port,
                          uint16_t *ret_port)
{
	struct range upper = range_of(sp, SPOOF_PORT_FIRST, SPOOF_PORT_LAST);
	struct range lower = range_of(sp, SPOOF_FALLBACK_FIRST, SPOOF_FALLBACK_LAST);
	uint16_t port = pick_in(sp, &upper, client, dst_port, &sp->upper_full);
	enum err e;

	if (port == 0)
		port = pick_in(sp, &lower, client, dst_port, &sp->lower_full);
	if (port == 0)
		return ERR_OVERLOAD;
	e = add(sp, client, port, dst_port);
	if (e == ERR_OK)
		*ret_port = port;
	return e;
}

void spoof_ports_release(struct spoof_ports *sp, const struct endpoint *client, uint16_t dst_port)
{
	struct spoof_port_entry *e = find(sp, &client->ip, client->port, dst_port);

	if (e == NULL)
		return;
	e->count--;
	if (e->count == 0) {
		sp->live--;
		sp->upper_full.known = sp->lower_full.known = false;
	}
	if (sp->live == 0)
		spoof_ports_fini(sp); /* an idle pod holds no memory */
}
