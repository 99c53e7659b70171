/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_pki - certificate authorities and leaves for tests, good ones and every kind of bad one. Failures abort
 * the test.
 */
#ifndef TESTS_UNIT_COMMON_TLS_TEST_PKI_H
#define TESTS_UNIT_COMMON_TLS_TEST_PKI_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/tls/tls_config.h"
#include "common/tls/tls_key.h"

enum { TEST_PKI_DAY_S = 86400 };

struct test_pki {
	struct tls_key *key;
	struct buf name; /* DER */
	struct buf der;
	struct buf pem;
};

/* A self-signed root. */
void test_pki_init(struct test_pki *pki, const char *common_name);
void test_pki_fini(struct test_pki *pki);
/* An authority signed by another. */
void test_pki_init_under(struct test_pki *pki, struct test_pki *signer, const char *common_name);
/* Serial number and issuer of certificate i of a PEM text; copied into buffers of the test's life. */
struct span test_pki_serial(const struct buf *pem, unsigned int i);

/* A revocation list to order; all zero but the serials is a good one. */
struct test_crl {
	const struct span *serials;
	size_t count;
	struct test_pki *forger; /* signs in place of the issuer */
	bool expired;            /* nextUpdate is past */
	bool version_1;
	bool delta, indirect, unknown_critical, entry_of_another, numbered;
};
/* Append it as PEM; or, pem false, as DER. */
void test_pki_crl(struct test_pki *issuer, const struct test_crl *crl, bool pem, struct buf *out);

/* A leaf to order; all zero but one URI is a good one, valid from an hour ago until tomorrow. */
struct test_leaf {
	const char *uris[3];
	const char *raw_uri; /* instead of uris: raw_uri_len octets, which may hold a NUL */
	size_t raw_uri_len;
	int64_t not_before_in_s; /* 0: an hour ago */
	int64_t not_after_in_s;  /* 0: tomorrow */
	bool is_ca;
	bool no_key_usage;
	bool no_digital_signature;
	bool ext_server, ext_client; /* neither: both */
	bool no_ext;                 /* no extended key usage at all */
	const char *dns;
	unsigned int intermediates; /* between the root and it */
	bool hide_intermediates;    /* they exist but are not in the chain */
	bool clone_root; /* root's subject, serial and signature, but our own key and names */
};

struct test_material {
	struct buf chain, key, roots;
};

void test_pki_issue(struct test_pki *pki, const struct test_leaf *leaf, struct test_material *ret);
void test_material_fini(struct test_material *m);
struct tls_material test_material_view(const struct test_material *m);

/* A config for one identity. */
struct tls_config *test_pki_config(struct test_pki *pki, const char *identity);

/* Two of one root, for tests of connections: alice calls, bob answers. Made and ended by a group's set-up and tear-down. */
#define TEST_ALICE "spiffe://cluster.local/ns/demo/sa/alice"
#define TEST_BOB   "spiffe://cluster.local/ns/demo/sa/bob"
extern struct tls_config *test_alice, *test_bob;
int test_two_set_up(void **state);
int test_two_tear_down(void **state);

#endif
