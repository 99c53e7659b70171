/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_config - one identity's certificate, key and trust, ready for sessions; immutable, counted, shared
 * between threads, swapped whole when a certificate rotates. TLS 1.3 only (contract 5.1, RFC 8446).
 */
#ifndef COMMON_TLS_TLS_CONFIG_H
#define COMMON_TLS_TLS_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/snapshot.h"
#include "common/base/span.h"
#include "common/tls/spiffe_msg.h"

enum {
	TLS_CHAIN_MAX = 4, /* certificates of a peer's chain, root excluded */
};

struct revocation;

/* What holds for every handshake of the process; the same for all configs, and outlives them. Zeroed: the default. */
struct tls_policy {
	bool pqc_only; /* COMPLIANCE_POLICY=pqc: X25519MLKEM768 and no other group (contract 5.2) */
	/* TLS12_ENABLED: TLS 1.2 as well, where the peer has no 1.3; with pqc_only 1.3 alone all the same, as 1.2 has no
	 * such group. */
	bool tls12;
	/* Trust domains that stand for our own, too: TRUST_DOMAIN_ALIASES. */
	const char *const *aliases;
	unsigned int alias_count;
	struct revocation *revocation; /* NULL: no lists are kept, and sessions keep no chain */
};

/* Can the TLS library of this build do what the policy asks? Errs: ERR_TLS with the why. */
MUST_CHECK enum err tls_policy_check(const struct tls_policy *p, char *why, size_t why_len);

/* What sessions of a config are for. */
enum tls_kind {
	TLS_MESH,        /* both roles, mutual, by SPIFFE id */
	TLS_HOST_CLIENT, /* client only: the server is known by name (tls_expect.hosts), we show nothing */
	TLS_HOST_SERVER, /* server only: known by name, clients show nothing and prove themselves above TLS */
};

/* All borrowed for the call, but for the policy. */
struct tls_material {
	enum tls_kind kind; /* a HOST_CLIENT has roots only, a HOST_SERVER everything but roots */
	struct span chain_pem;           /* leaf first, then intermediates */
	struct span key_pem;             /* PKCS#8 or SEC1; wiped by its owner */
	struct span roots_pem;           /* one or several */
	const struct tls_policy *policy; /* NULL: the default */
};

struct tls_config; /* starts with a struct snapshot */

/*
 * Errs: ERR_PARSE (what does not parse is in why), ERR_TLS_EXPIRED, ERR_TLS_BAD_SIGNATURE (key and leaf do
 *       not match), ERR_TLS_NO_SPIFFE / ERR_TLS_MANY_SPIFFE, ERR_MEMORY.
 * why: receives a sentence for people, always NUL-terminated.
 */
MUST_CHECK enum err tls_config_new(const struct tls_material *m, struct tls_config **ret_cfg,
                                   char *why, size_t why_len);
struct tls_config *tls_config_ref(struct tls_config *c);
void tls_config_unref(struct tls_config *c);

enum tls_kind tls_config_kind(const struct tls_config *c);
/* "spiffe://td/ns/x/sa/y" of the leaf; borrowed while c lives. "" unless it is of TLS_MESH, as is the next. */
const char *tls_config_identity(const struct tls_config *c);
const char *tls_config_trust_domain(const struct tls_config *c);
int64_t tls_config_not_before(const struct tls_config *c); /* seconds since the epoch */
int64_t tls_config_not_after(const struct tls_config *c);

/* For config_dump: certificate i of the chain, then of the roots. false past the end. */
struct tls_cert_facts {
	char serial_decimal[64];
	int64_t not_before, not_after;
	struct span pem; /* borrowed while the config lives */
};
bool tls_config_chain_at(const struct tls_config *c, unsigned int i, struct tls_cert_facts *ret);
bool tls_config_root_at(const struct tls_config *c, unsigned int i, struct tls_cert_facts *ret);

/* Process-wide set-up of the TLS library; once, before threads start. Errs: ERR_TLS. */
MUST_CHECK enum err tls_global_init(void);
void tls_global_fini(void);
/* The library and AEAD in use, for version and config_dump: "wolfSSL 5.9.2 + ipsec-mb 1.3". */
const char *tls_provider(void);

/*
 * Prove in memory that the library refuses a forged root clone, a missing certificate and a tag-only record
 * (design: under 100 ms). Errs: ERR_TLS_SELF_TEST with the failing case in why.
 */
MUST_CHECK enum err tls_self_test(char *why, size_t why_len);

#endif
