/* SPDX-License-Identifier: Apache-2.0 */
/*
 * authz_atom - the single conditions matches are made of ("the port is 8080", "the principal begins with td/"),
 * and 64-bit keys under which an index files rules by them. Pure.
 *
 * Equal atoms have equal keys; unequal ones may too. So a key only ever says which rules to ask, never what they
 * answer: who can make keys collide makes us slower, down to asking every rule, and nothing else.
 */
#ifndef COMMON_MESH_AUTHZ_ATOM_H
#define COMMON_MESH_AUTHZ_ATOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/mesh/authz_match.h"

/* The lists of a match: the positive ones, then the negative ones in the same order. */
enum atom_field {
	ATOM_PORTS,
	ATOM_ACCOUNTS,
	ATOM_PRINCIPALS,
	ATOM_NAMESPACES,
	ATOM_SOURCES,
	ATOM_DESTINATIONS,
	ATOM_POSITIVES, /* how many; here the negative ones begin */
	ATOM_NOT_PORTS = ATOM_POSITIVES,
	ATOM_NOT_ACCOUNTS,
	ATOM_NOT_PRINCIPALS,
	ATOM_NOT_NAMESPACES,
	ATOM_NOT_SOURCES,
	ATOM_NOT_DESTINATIONS,
	ATOM_FIELDS,
};

/* One value of one list. */
struct atom {
	const struct match *match; /* borrowed */
	enum atom_field field;
	uint32_t value; /* its place in the list */
};

size_t atom_count(const struct match *m, enum atom_field field);
/* Of the value, whichever sign its list has. */
uint64_t atom_key(const struct atom *a);
/* Exactly the same condition. */
bool atom_same(const struct atom *a, const struct atom *b);
/* The value is true of peer; what that means for the match is the list's sign. */
bool atom_holds(const struct atom *a, const struct authz_peer *peer);
/* The text the value is a pattern of, NULL for the fields that hold none. */
const struct string_match *atom_text(const struct atom *a);
/* Bits of the value of an address field. */
unsigned int atom_prefix_len(const struct atom *a);
/* A guess at how many of all peers it is true of: 1 for something exact, up to ATOM_BREADTH_MAX for everybody. */
enum { ATOM_BREADTH_MAX = 1 << 12 };
uint32_t atom_breadth(const struct atom *a);

/* ---- the keys of what is true of a peer ---- */

uint64_t atom_key_port(uint16_t port);
uint64_t atom_key_account(struct span namespace, struct span service_account);
/* field: ATOM_SOURCES or ATOM_DESTINATIONS; bits of ip beyond len do not count */
uint64_t atom_key_prefix(enum atom_field field, const struct ip *ip, unsigned int len);

/* A running hash over a text, forwards for exact texts and prefixes, backwards for suffixes. */
enum { ATOM_RUN_PRIME = 435 }; /* the low part of FNV's prime, which is 2^40 + this */
static inline uint64_t atom_run_start(void)
{
	return 0xcbf29ce484222325u;
}
static inline uint64_t atom_run_add(uint64_t run, uint8_t octet)
{
	return (run ^ octet) * (((uint64_t)1 << 40) + ATOM_RUN_PRIME);
}
/* field: ATOM_PRINCIPALS or ATOM_NAMESPACES; n: the octets in run */
uint64_t atom_key_text(enum atom_field field, enum string_match_kind kind, uint64_t run, size_t n);

static inline unsigned int atom_full_len(const struct ip *ip)
{
	return ip->family == IP_V4 ? 32 : 128;
}

#endif
