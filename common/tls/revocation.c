/* SPDX-License-Identifier: Apache-2.0 */
#include "common/tls/revocation.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/list.h"
#include "common/base/mem.h"
#include "common/tls/tls_config.h"
#include "common/tls/tls_signature.h"
#include "common/tls/x509_msg.h"

enum {
	ISSUER_CANDIDATES_MAX = 8, /* keys of one name: two or three in a rotation */
};

/* One authority's name and key, shared by all chains that end in it. */
struct issuer {
	struct list link;
	size_t refs; /* under the lock */
	size_t name_len, spki_len;
	uint8_t octets[]; /* name, then key */
};

struct revocation {
	struct snapshot_cell *cell; /* of struct crl_set */
	pthread_mutex_t lock;       /* of the issuers */
	struct list issuers;
};

/* A certificate of a chain and who signed it, borrowed. */
struct link {
	struct span issuer, spki, serial;
};

struct kept {
	struct issuer *issuer; /* a reference */
	uint8_t serial_len;
	uint8_t serial[X509_SERIAL_MAX + 1];
};

struct peer_chain {
	struct revocation *revocation;
	unsigned int count;
	struct kept kept[];
};

struct revocation *revocation_new(void)
{
	struct revocation *r = mem_new(sizeof(*r));

	r->cell = snapshot_cell_new();
	CHECK(pthread_mutex_init(&r->lock, NULL) == 0);
	list_init(&r->issuers);
	return r;
}

void revocation_free(struct revocation *r)
{
	if (r == NULL)
		return;
	CHECK(list_empty(&r->issuers));
	snapshot_cell_free(r->cell);
	(void)pthread_mutex_destroy(&r->lock);
	free(r);
}

void revocation_publish(struct revocation *r, struct crl_set *set)
{
	snapshot_publish(r->cell, crl_set_snapshot(set));
}

/* A reference of the lists in force; NULL before the first. */
static struct crl_set *current(struct revocation *r)
{
	uint64_t never = UINT64_MAX; /* no generation: the present one is always newer */
	struct snapshot *held = NULL;

	(void)snapshot_refresh(r->cell, &never, &held);
	return crl_set_of(held);
}

/* --- who signed what -------------------------------------------------------------------------- */

static bool signed_by(const struct x509_facts *cert, struct span spki)
{
	struct tls_digest digest;

	return tls_digest_of(cert->algorithm, cert->tbs, &digest) == ERR_OK &&
	       tls_signature_good(&digest, cert->signature, spki);
}

/* The key that signed cert among those of its issuer's name; empty: none of them. */
static struct span key_among(const struct x509_facts *cert, const struct span *keys,
                             unsigned int count)
{
	if (count == 1)
		return keys[0]; /* the handshake has checked the signature */
	for (unsigned int i = 0; i < count; i++) {
		if (signed_by(cert, keys[i]))
			return keys[i];
	}
	return span_of(NULL, 0);
}

static void add_candidate(struct span der, struct span name, struct span *keys, unsigned int *n)
{
	struct x509_facts f;

	if (*n < ISSUER_CANDIDATES_MAX && x509_parse(der, &f) == ERR_OK &&
	    span_eq(f.subject, name)) {
		for (unsigned int i = 0; i < *n; i++) {
			if (span_eq(keys[i], f.spki))
				return; /* the root itself, presented once more */
		}
		keys[(*n)++] = f.spki;
	}
}

/* Each certificate of the chain, a root's own left out, with its issuer. Returns how many. */
static unsigned int links_of(const struct revocation_chain *chain, struct link links[TLS_CHAIN_MAX])
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < chain->cert_count && i < TLS_CHAIN_MAX; i++) {
		struct span keys[ISSUER_CANDIDATES_MAX], key;
		unsigned int key_count = 0;
		struct x509_facts f;

		if (x509_parse(chain->certs[i], &f) != ERR_OK)
			break;
		if (i > 0 && span_eq(f.subject, f.issuer))
			continue;
		for (unsigned int k = 0; k < chain->root_count; k++)
			add_candidate(chain->roots[k], f.issuer, keys, &key_count);
		if (i + 1 < chain->cert_count)
			add_candidate(chain->certs[i + 1], f.issuer, keys, &key_count);
		key = key_among(&f, keys, key_count);
		if (key.n > 0)
			links[n++] =
				(struct link){.issuer = f.issuer, .spki = key, .serial = f.serial};
	}
	return n;
}

static bool is_revoked(struct crl_set *set, const struct link *l)
{
	const struct crl_query q = {
		.issuer = l->issuer, .issuer_spki = l->spki, .serial = l->serial};

	return crl_set_revokes(set, &q);
}

bool revocation_revokes(struct revocation *r, const struct revocation_chain *chain)
{
	struct crl_set *set = current(r);
	struct link links[TLS_CHAIN_MAX];
	bool revoked = false;
	unsigned int n;

	if (set == NULL)
		return false;
	n = crl_set_lists(set) == 0 ? 0 : links_of(chain, links);
	for (unsigned int i = 0; i < n && !revoked; i++)
		revoked = is_revoked(set, &links[i]);
	crl_set_unref(set);
	return revoked;
}

/* --- what is kept ----------------------------------------------------------------------------- */

static struct span issuer_name(const struct issuer *is)
{
	return span_of(is->octets, is->name_len);
}

static struct span issuer_spki(const struct issuer *is)
{
	return span_of(is->octets + is->name_len, is->spki_len);
}

/* A reference of the shared one; NULL without memory. Under the lock. */
static struct issuer *issuer_get(struct revocation *r, const struct link *l)
{
	struct issuer *is;

	list_for_each (it, &r->issuers) {
		is = list_entry(it, struct issuer, link);
		if (span_eq(issuer_name(is), l->issuer) && span_eq(issuer_spki(is), l->spki)) {
			is->refs++;
			return is;
		}
	}
	is = malloc(sizeof(*is) + l->issuer.n + l->spki.n);
	if (is == NULL)
		return NULL;
	*is = (struct issuer){.refs = 1, .name_len = l->issuer.n, .spki_len = l->spki.n};
	memcpy(is->octets, l->issuer.p, l->issuer.n);
	memcpy(is->octets + l->issuer.n, l->spki.p, l->spki.n);
	list_push(&r->issuers, &is->link);
	return is;
}

static void issuer_put(struct issuer *is)
{
	if (--is->refs > 0)
		return;
	list_remove(&is->link);
	free(is);
}

struct peer_chain *peer_chain_new(struct revocation *r, const struct revocation_chain *chain)
{
	struct link links[TLS_CHAIN_MAX];
	const unsigned int n = links_of(chain, links);
	struct peer_chain *c = malloc(sizeof(*c) + n * sizeof(c->kept[0]));
	bool whole = true;

	if (c == NULL)
		return NULL;
	c->revocation = r;
	c->count = 0;
	CHECK(pthread_mutex_lock(&r->lock) == 0);
	for (unsigned int i = 0; i < n && whole; i++) {
		struct kept *k = &c->kept[c->count];

		k->issuer = issuer_get(r, &links[i]);
		k->serial_len = (uint8_t)links[i].serial.n;
		memcpy(k->serial, links[i].serial.p, k->serial_len);
		whole = k->issuer != NULL;
		c->count += whole;
	}
	CHECK(pthread_mutex_unlock(&r->lock) == 0);
	if (whole)
		return c;
	peer_chain_free(c);
	return NULL;
}

void peer_chain_free(struct peer_chain *c)
{
	if (c == NULL)
		return;
	CHECK(pthread_mutex_lock(&c->revocation->lock) == 0);
	for (unsigned int i = 0; i < c->count; i++)
		issuer_put(c->kept[i].issuer);
	CHECK(pthread_mutex_unlock(&c->revocation->lock) == 0);
	free(c);
}

bool peer_chain_revoked(const struct peer_chain *c)
{
	struct crl_set *set = current(c->revocation);
	bool revoked = false;

	if (set == NULL)
		return false;
	for (unsigned int i = 0; i < c->count && !revoked; i++) {
		const struct kept *k = &c->kept[i];
		const struct link l = {.issuer = issuer_name(k->issuer),
		                       .spki = issuer_spki(k->issuer),
		                       .serial = span_of(k->serial, k->serial_len)};

		revoked = is_revoked(set, &l);
	}
	crl_set_unref(set);
	return revoked;
}

size_t peer_chain_bytes(const struct peer_chain *c)
{
	return c == NULL ? 0 : sizeof(*c) + c->count * sizeof(c->kept[0]);
}
