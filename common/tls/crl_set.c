/* SPDX-License-Identifier: Apache-2.0 */
#include "common/tls/crl_set.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/check.h"
#include "common/tls/pem_msg.h"
#include "common/tls/tls_reason.h"
#include "common/tls/tls_signature.h"
#include "common/tls/x509_crl_msg.h"
#include "common/tls/x509_msg.h"

enum {
	KEYS_MAX = 4, /* of one name whose verdict is remembered: old and new in a rotation */
};

static const char pem_mark[] = "-----BEGIN";

/* As it stands in the sorted table. */
struct serial {
	uint8_t len;
	uint8_t octets[X509_SERIAL_MAX + 1];
};

/* Whether a key made the list's signature. */
struct key_verdict {
	struct span spki; /* owned */
	bool good;
};

struct list_of_issuer {
	struct span issuer, signature; /* owned */
	struct tls_digest digest;
	struct serial *serials; /* sorted */
	size_t count;
	pthread_mutex_t
		lock; /* of what follows; held for a lookup, or for the one check of a key */
	struct key_verdict keys[KEYS_MAX];
	unsigned int key_count, key_next;
};

struct crl_set {
	struct snapshot snap;
	struct list_of_issuer *lists[CRL_LISTS_MAX];
	size_t list_count, serial_count;
	_Atomic uint64_t forged;
};

static void span_free(struct span s)
{
	free((void *)(uintptr_t)s.p);
}

static bool span_copy(struct span from, struct span *ret)
{
	uint8_t *p = malloc(from.n == 0 ? 1 : from.n);

	if (p == NULL)
		return false;
	if (from.n > 0)
		memcpy(p, from.p, from.n);
	*ret = span_of(p, from.n);
	return true;
}

static void list_free(struct list_of_issuer *l)
{
	for (unsigned int i = 0; i < l->key_count; i++)
		span_free(l->keys[i].spki);
	span_free(l->issuer);
	span_free(l->signature);
	free(l->serials);
	(void)pthread_mutex_destroy(&l->lock);
	free(l);
}

static void set_destroy(struct snapshot *snap)
{
	struct crl_set *s = container_of(snap, struct crl_set, snap);

	for (size_t i = 0; i < s->list_count; i++)
		list_free(s->lists[i]);
	free(s);
}

/* --- reading --------------------------------------------------------------------------------- */

static int compare_serials(const void *a, const void *b)
{
	const struct serial *x = a, *y = b;

	if (x->len != y->len)
		return x->len < y->len ? -1 : 1;
	return memcmp(x->octets, y->octets, x->len);
}

static struct serial serial_of(struct span s)
{
	const struct span plain = x509_serial_plain(s);
	struct serial out = {.len = (uint8_t)plain.n};

	CHECK(plain.n <= sizeof(out.octets));
	memcpy(out.octets, plain.p, plain.n);
	return out;
}

static bool fill_serials(struct list_of_issuer *l, const struct x509_crl *crl)
{
	struct rd rest = rd_of(crl->entries);
	struct span serial;

	l->serials = calloc(crl->count == 0 ? 1 : crl->count, sizeof(*l->serials));
	if (l->serials == NULL)
		return false;
	while (x509_crl_next(&rest, &serial))
		l->serials[l->count++] = serial_of(serial);
	qsort(l->serials, l->count, sizeof(*l->serials), compare_serials);
	return true;
}

static enum err add_list(struct crl_set *s, struct span der, const struct tls_reason *why)
{
	const unsigned int number = (unsigned int)s->list_count + 1;
	struct list_of_issuer *l;
	const char *reason = "";
	struct x509_crl crl;
	enum err e;

	if (s->list_count == CRL_LISTS_MAX)
		return tls_reason_say(why, ERR_LIMIT, "there are more than %d lists",
		                      CRL_LISTS_MAX);
	e = x509_crl_parse(der, &crl, &reason);
	if (e != ERR_OK)
		return tls_reason_say(why, e, "list %u is refused: %s", number, reason);
	l = calloc(1, sizeof(*l));
	if (l == NULL)
		return tls_reason_say(why, ERR_MEMORY, "out of memory");
	CHECK(pthread_mutex_init(&l->lock, NULL) == 0);
	s->lists[s->list_count++] = l;
	if (tls_digest_of(crl.algorithm, crl.tbs, &l->digest) != ERR_OK)
		return tls_reason_say(
			why, ERR_UNSUPPORTED,
			"list %u is signed with an algorithm that is not known here: ECDSA "
			"or RSA PKCS#1 with SHA-256, -384 or -512 is needed",
			number);
	if (!span_copy(crl.issuer, &l->issuer) || !span_copy(crl.signature, &l->signature) ||
	    !fill_serials(l, &crl))
		return tls_reason_say(why, ERR_MEMORY, "out of memory");
	s->serial_count += l->count;
	return ERR_OK;
}

static enum err add_pem(struct crl_set *s, struct span text, const struct tls_reason *why)
{
	struct pem_block block;
	struct buf der;
	enum err e;

	for (;;) {
		e = pem_next(&text, &block);
		if (e == ERR_EOF)
			return ERR_OK;
		if (e != ERR_OK)
			return tls_reason_say(why, ERR_PARSE, "a PEM block has no end");
		if (!span_eq_str(block.label, "X509 CRL"))
			continue;
		buf_init(&der, CRL_FILE_MAX);
		if (pem_decode_max(&block, CRL_FILE_MAX, &der) != ERR_OK)
			e = tls_reason_say(why, ERR_PARSE, "list %zu is not base64",
			                   s->list_count + 1);
		else
			e = add_list(s, buf_span(&der), why);
		buf_fini(&der);
		if (e != ERR_OK)
			return e;
	}
}

enum err crl_set_new(struct span text, struct crl_set **ret_set, char *why_text, size_t why_len)
{
	const struct tls_reason why = tls_reason_to(why_text, why_len);
	struct crl_set *s = calloc(1, sizeof(*s));
	enum err e = ERR_OK;

	if (s == NULL)
		return tls_reason_say(&why, ERR_MEMORY, "out of memory");
	snapshot_init(&s->snap, set_destroy);
	if (text.n > CRL_FILE_MAX)
		e = tls_reason_say(&why, ERR_LIMIT, "longer than %d octets", CRL_FILE_MAX);
	else if (text.n >= strlen(pem_mark) && memcmp(text.p, pem_mark, strlen(pem_mark)) == 0)
		e = add_pem(s, text, &why);
	else if (text.n > 0)
		e = add_list(s, text, &why);
	if (e != ERR_OK) {
		crl_set_unref(s);
		return e;
	}
	*ret_set = s;
	return ERR_OK;
}

void crl_set_unref(struct crl_set *s)
{
	if (s != NULL)
		snapshot_unref(&s->snap);
}

struct snapshot *crl_set_snapshot(struct crl_set *s)
{
	return &s->snap;
}

struct crl_set *crl_set_of(struct snapshot *snap)
{
	return snap == NULL ? NULL : container_of(snap, struct crl_set, snap);
}

size_t crl_set_lists(const struct crl_set *s)
{
	return s->list_count;
}

size_t crl_set_serials(const struct crl_set *s)
{
	return s->serial_count;
}

uint64_t crl_set_forged(const struct crl_set *s)
{
	return atomic_load_explicit(&s->forged, memory_order_relaxed);
}

/* --- asking ---------------------------------------------------------------------------------- */

static void remember(struct list_of_issuer *l, struct span spki, bool good)
{
	struct span copy;

	if (!span_copy(spki, &copy))
		return;
	if (l->key_count < KEYS_MAX) {
		l->keys[l->key_count++] = (struct key_verdict){.spki = copy, .good = good};
		return;
	}
	span_free(l->keys[l->key_next].spki);
	l->keys[l->key_next] = (struct key_verdict){.spki = copy, .good = good};
	l->key_next = (l->key_next + 1) % KEYS_MAX;
}

/* Did this key sign the list? */
static bool is_signed_by(struct crl_set *s, struct list_of_issuer *l, struct span spki)
{
	bool good = false, known = false;

	CHECK(pthread_mutex_lock(&l->lock) == 0);
	for (unsigned int i = 0; i < l->key_count && !known; i++) {
		known = span_eq(l->keys[i].spki, spki);
		good = known && l->keys[i].good;
	}
	if (!known) {
		good = tls_signature_good(&l->digest, l->signature, spki);
		remember(l, spki, good);
		if (!good)
			(void)atomic_fetch_add_explicit(&s->forged, 1, memory_order_relaxed);
	}
	CHECK(pthread_mutex_unlock(&l->lock) == 0);
	return good;
}

bool crl_set_revokes(struct crl_set *s, const struct crl_query *q)
{
	struct serial key;

	if (q->serial.n == 0 || q->serial.n > X509_SERIAL_MAX + 1)
		return false;
	key = serial_of(q->serial);
	for (size_t i = 0; i < s->list_count; i++) {
		struct list_of_issuer *l = s->lists[i];

		if (!span_eq(l->issuer, q->issuer))
			continue;
		/* A list of another key must be noticed, too: so the signature comes first. */
		if (is_signed_by(s, l, q->issuer_spki) &&
		    bsearch(&key, l->serials, l->count, sizeof(key), compare_serials) != NULL)
			return true;
	}
	return false;
}
