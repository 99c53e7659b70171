/* SPDX-License-Identifier: Apache-2.0 */
#include "common/tls/tls_config.h"

#include <stdio.h>
#include <stdlib.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/version.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/tls/pem_msg.h"
#include "common/tls/tls_aead.h"
#include "common/tls/tls_config_impl.h"
#include "common/tls/tls_reason.h"
#include "common/tls/x509_msg.h"

enum {
	ROOTS_MAX = 64,       /* a bundle during a root rotation has two or three */
	HOST_ROOTS_MAX = 512, /* the operating system's has 150 */
	CERT_PEM_MAX = 2 * X509_DER_MAX,
	IDENTITY_TEXT = 320, /* what of a bad identity is worth showing */
};

struct cert {
	struct buf der;
	struct buf pem;
	struct x509_facts facts; /* views into der */
};

struct tls_config {
	struct snapshot snap;
	enum tls_kind kind;
	WOLFSSL_CTX *client, *server;
	struct cert chain[TLS_CHAIN_MAX];
	unsigned int chain_len;
	struct cert *roots;
	struct span *root_names, *root_ders;
	unsigned int root_count;
	const struct tls_policy *policy; /* borrowed, outlives us */
	char *identity;
	char *trust_domain;
};

static const struct tls_policy default_policy;

static void cert_fini(struct cert *c)
{
	buf_fini(&c->der);
	buf_fini(&c->pem);
}

static void config_free(struct tls_config *c)
{
	if (c == NULL)
		return;
	for (unsigned int i = 0; i < c->chain_len; i++)
		cert_fini(&c->chain[i]);
	for (unsigned int i = 0; i < c->root_count; i++)
		cert_fini(&c->roots[i]);
	wolfSSL_CTX_free(c->client);
	wolfSSL_CTX_free(c->server);
	free(c->roots);
	free(c->root_names);
	free(c->root_ders);
	free(c->identity);
	free(c->trust_domain);
	free(c);
}

static void config_destroy(struct snapshot *s)
{
	config_free(container_of(s, struct tls_config, snap));
}

/* One certificate block into to, which is then the caller's to fini, also on failure. */
static enum err read_cert(const struct pem_block *block, struct cert *to)
{
	enum err e;

	buf_init(&to->der, X509_DER_MAX);
	buf_init(&to->pem, CERT_PEM_MAX);
	e = pem_decode(block, &to->der);
	if (e == ERR_OK)
		e = x509_parse(buf_span(&to->der), &to->facts);
	if (e != ERR_OK)
		return e;
	pem_put(&to->pem, "CERTIFICATE", buf_span(&to->der));
	return buf_status(&to->pem);
}

/* Read every certificate of a text; *n counts what must be given back, also on failure. */
static enum err read_certs(struct span pem, const char *what, struct cert *to, unsigned int max,
                           unsigned int *n, const struct tls_reason *why)
{
	struct pem_block block;
	enum err e;

	if (pem.n > PEM_TEXT_MAX)
		return tls_reason_say(why, ERR_PARSE, "the %s is longer than %d octets", what,
		                      PEM_TEXT_MAX);
	for (;;) {
		e = pem_next(&pem, &block);
		if (e == ERR_EOF)
			break;
		if (e != ERR_OK)
			return tls_reason_say(why, ERR_PARSE, "a PEM block of the %s has no end",
			                      what);
		if (!span_eq_str(block.label, "CERTIFICATE"))
			continue;
		if (*n == max)
			return tls_reason_say(why, ERR_PARSE,
			                      "the %s has more than %u certificates", what, max);
		e = read_cert(&block, &to[(*n)++]);
		if (e != ERR_OK)
			return tls_reason_say(why, ERR_PARSE,
			                      "certificate %u of the %s is malformed", *n, what);
	}
	if (*n == 0)
		return tls_reason_say(why, ERR_PARSE, "the %s has no PEM block CERTIFICATE", what);
	return ERR_OK;
}

static enum err read_identity(struct tls_config *c, const struct tls_reason *why)
{
	const struct x509_facts *leaf = &c->chain[0].facts;
	char text[IDENTITY_TEXT];
	struct spiffe_id id;

	if (leaf->uri_count > 1)
		return tls_reason_say(why, ERR_TLS_MANY_SPIFFE,
		                      "the certificate names %u URIs; a workload has exactly one",
		                      leaf->uri_count);
	if (leaf->uri_count == 0)
		return tls_reason_say(why, ERR_TLS_NO_SPIFFE, "the certificate names no URI");
	if (spiffe_parse(leaf->uri, &id) != ERR_OK) {
		(void)str_copy(text, sizeof(text), leaf->uri);
		return tls_reason_say(why, ERR_TLS_NO_SPIFFE,
		                      "\"%s\" is not of the form spiffe://<td>/ns/<ns>/sa/<sa>",
		                      text);
	}
	c->identity = mem_str(leaf->uri);
	c->trust_domain = mem_str(id.trust_domain);
	return ERR_OK;
}

static enum err read_chain(struct tls_config *c, const struct tls_material *m,
                           const struct tls_reason *why)
{
	char when[STR_TIME_MAX];
	enum err e = read_certs(m->chain_pem, "certificate chain", c->chain, TLS_CHAIN_MAX,
	                        &c->chain_len, why);

	if (e == ERR_OK && tls_config_not_after(c) < clock_wall_s())
		return tls_reason_say(why, ERR_TLS_EXPIRED, "the certificate expired at %s",
		                      str_format_time_s(tls_config_not_after(c), when));
	return e;
}

static enum err read_roots(struct tls_config *c, const struct tls_material *m,
                           const struct tls_reason *why)
{
	const unsigned int max = m->kind == TLS_MESH ? ROOTS_MAX : HOST_ROOTS_MAX;
	enum err e;

	c->roots = calloc(max, sizeof(*c->roots));
	if (c->roots == NULL)
		return tls_reason_say(why, ERR_MEMORY, "out of memory");
	e = read_certs(m->roots_pem, "root bundle", c->roots, max, &c->root_count, why);
	if (e != ERR_OK)
		return e;
	c->root_names = calloc(c->root_count, sizeof(*c->root_names));
	c->root_ders = calloc(c->root_count, sizeof(*c->root_ders));
	if (c->root_names == NULL || c->root_ders == NULL)
		return tls_reason_say(why, ERR_MEMORY, "out of memory");
	for (unsigned int i = 0; i < c->root_count; i++) {
		c->root_names[i] = c->roots[i].facts.subject;
		c->root_ders[i] = buf_span(&c->roots[i].der);
	}
	return ERR_OK;
}

static enum err read_material(struct tls_config *c, const struct tls_material *m,
                              const struct tls_reason *why)
{
	enum err e = ERR_OK;

	if (m->kind != TLS_HOST_CLIENT)
		e = read_chain(c, m, why);
	if (e == ERR_OK && m->kind != TLS_HOST_SERVER)
		e = read_roots(c, m, why);
	if (e == ERR_OK && m->kind == TLS_MESH)
		return read_identity(c, why);
	c->identity = mem_str(span_str(""));
	c->trust_domain = mem_str(span_str(""));
	return e;
}

static enum err load_own(WOLFSSL_CTX *ctx, const struct tls_material *m,
                         const struct tls_reason *why)
{
	if (wolfSSL_CTX_use_certificate_chain_buffer(ctx, m->chain_pem.p, (long)m->chain_pem.n) !=
	    WOLFSSL_SUCCESS)
		return tls_reason_say(why, ERR_PARSE, "the certificate chain does not load");
	if (m->key_pem.n > PEM_TEXT_MAX ||
	    wolfSSL_CTX_use_PrivateKey_buffer(ctx, m->key_pem.p, (long)m->key_pem.n,
	                                      WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS)
		return tls_reason_say(why, ERR_PARSE,
		                      "the private key does not load: PKCS#8 or SEC1 PEM needed");
	if (wolfSSL_CTX_check_private_key(ctx) != WOLFSSL_SUCCESS)
		return tls_reason_say(why, ERR_TLS_BAD_SIGNATURE,
		                      "the private key is not that of the certificate");
	return ERR_OK;
}

/* The only place where trust and peer verification are set up (the callback comes with each session). */
static enum err load_trust(WOLFSSL_CTX *ctx, const struct tls_config *c,
                           const struct tls_reason *why)
{
	for (unsigned int i = 0; i < c->root_count; i++) {
		const struct buf *der = &c->roots[i].der;

		/* dates of a trust anchor are not judged: RFC 5280 6.1.1 d */
		if (wolfSSL_CTX_load_verify_buffer_ex(
			    ctx, der->p, (long)der->n, WOLFSSL_FILETYPE_ASN1, 0,
			    WOLFSSL_LOAD_FLAG_DATE_ERR_OKAY) != WOLFSSL_SUCCESS)
			return tls_reason_say(why, ERR_PARSE,
			                      "root %u of the bundle does not load as a CA", i + 1);
	}
	/* one more than we accept, so that our own verification refuses it with the right alert */
	wolfSSL_CTX_set_verify_depth(ctx, TLS_CHAIN_MAX + 1);
	return ERR_OK;
}

static bool speaks_12(const struct tls_policy *p)
{
	return p->tls12 && !p->pqc_only;
}

/* Without TLS 1.2 the methods are those of 1.3 alone: nothing of another version is looked at. */
static WOLFSSL_METHOD *method_of(const struct tls_policy *p, enum tls_role role)
{
#ifndef WOLFSSL_NO_TLS12
	if (speaks_12(p))
		return role == TLS_CLIENT ? wolfTLS_client_method() : wolfTLS_server_method();
#else
	(void)p;
#endif
	return role == TLS_CLIENT ? wolfTLSv1_3_client_method() : wolfTLSv1_3_server_method();
}

static enum err load_options(WOLFSSL_CTX *ctx, const struct tls_policy *policy,
                             const struct tls_reason *why)
{
	static const char suites_13[] = "TLS13-AES256-GCM-SHA384:TLS13-AES128-GCM-SHA256";
	static const char suites_12[] = "TLS13-AES256-GCM-SHA384:TLS13-AES128-GCM-SHA256:"
					"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
					"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256";
	static const int groups[] = {WOLFSSL_ECC_X25519, WOLFSSL_ECC_SECP256R1,
	                             WOLFSSL_ECC_SECP384R1, WOLFSSL_X25519MLKEM768};
	const unsigned int count = sizeof(groups) / sizeof(groups[0]);
	const unsigned int first = policy->pqc_only ? count - 1 : 0;
	int offered[sizeof(groups) / sizeof(groups[0])];

	memcpy(offered, groups, sizeof(groups));
	if (wolfSSL_CTX_set_cipher_list(ctx, speaks_12(policy) ? suites_12 : suites_13) !=
	    WOLFSSL_SUCCESS)
		return tls_reason_say(why, ERR_TLS, "this TLS library has no AES-GCM suites");
	if (wolfSSL_CTX_SetMinVersion(ctx, speaks_12(policy) ? WOLFSSL_TLSV1_2 : WOLFSSL_TLSV1_3) !=
	    WOLFSSL_SUCCESS)
		return tls_reason_say(why, ERR_TLS, "this TLS library was built without TLS 1.2");
#ifndef NO_SESSION_CACHE
	/* nobody resumes: each handshake proves the peer anew */
	(void)wolfSSL_CTX_set_session_cache_mode(ctx, WOLFSSL_SESS_CACHE_OFF);
#endif
	if (wolfSSL_CTX_set_groups(ctx, offered + first, (int)(count - first)) != WOLFSSL_SUCCESS)
		return tls_reason_say(why, ERR_TLS, "this TLS library lacks a key exchange group");
	return ERR_OK;
}

enum err tls_policy_check(const struct tls_policy *p, char *why_text, size_t why_len)
{
	const struct tls_reason why = tls_reason_to(why_text, why_len);
	WOLFSSL_CTX *ctx = wolfSSL_CTX_new(method_of(p, TLS_CLIENT));
	enum err e;

	if (ctx == NULL)
		return tls_reason_say(&why, ERR_MEMORY, "out of memory");
	e = load_options(ctx, p, &why);
	wolfSSL_CTX_free(ctx);
	return e;
}

static enum err load_library(WOLFSSL_CTX **ret_ctx, WOLFSSL_METHOD *method,
                             const struct tls_config *c, const struct tls_material *m,
                             const struct tls_reason *why)
{
	WOLFSSL_CTX *ctx = wolfSSL_CTX_new(method);
	enum err e;

	if (ctx == NULL)
		return tls_reason_say(why, ERR_MEMORY, "out of memory");
	*ret_ctx = ctx;
	e = c->kind == TLS_HOST_CLIENT ? ERR_OK : load_own(ctx, m, why);
	if (e == ERR_OK)
		e = load_trust(ctx, c, why);
	if (e == ERR_OK)
		e = load_options(ctx, c->policy, why);
	return e;
}

enum err tls_config_new(const struct tls_material *m, struct tls_config **ret_cfg, char *why_text,
                        size_t why_len)
{
	const struct tls_reason why = tls_reason_to(why_text, why_len);
	struct tls_config *c = calloc(1, sizeof(*c));
	enum err e;

	if (why_len > 0)
		why_text[0] = '\0';
	if (c == NULL)
		return tls_reason_say(&why, ERR_MEMORY, "out of memory");
	snapshot_init(&c->snap, config_destroy);
	c->kind = m->kind;
	c->policy = m->policy == NULL ? &default_policy : m->policy;
	e = read_material(c, m, &why);
	if (e == ERR_OK && c->kind != TLS_HOST_SERVER)
		e = load_library(&c->client, method_of(c->policy, TLS_CLIENT), c, m, &why);
	if (e == ERR_OK && c->kind != TLS_HOST_CLIENT)
		e = load_library(&c->server, method_of(c->policy, TLS_SERVER), c, m, &why);
	if (e == ERR_OK && c->kind == TLS_MESH && wolfSSL_CTX_mutual_auth(c->server, 1) != 0)
		e = tls_reason_say(&why, ERR_TLS,
		                   "this TLS library cannot demand client certificates");
	if (e != ERR_OK) {
		config_free(c);
		return e;
	}
	*ret_cfg = c;
	return ERR_OK;
}

struct tls_config *tls_config_ref(struct tls_config *c)
{
	(void)snapshot_ref(&c->snap);
	return c;
}

void tls_config_unref(struct tls_config *c)
{
	if (c != NULL)
		snapshot_unref(&c->snap);
}

enum tls_kind tls_config_kind(const struct tls_config *c)
{
	return c->kind;
}

const char *tls_config_identity(const struct tls_config *c)
{
	return c->identity;
}

const char *tls_config_trust_domain(const struct tls_config *c)
{
	return c->trust_domain;
}

/* The certificate is good for as long as every part of its chain is. */
int64_t tls_config_not_before(const struct tls_config *c)
{
	return c->chain[0].facts.not_before;
}

int64_t tls_config_not_after(const struct tls_config *c)
{
	int64_t end = c->chain[0].facts.not_after;

	for (unsigned int i = 1; i < c->chain_len; i++) {
		if (c->chain[i].facts.not_after < end)
			end = c->chain[i].facts.not_after;
	}
	return end;
}

static void cert_facts(const struct cert *c, struct tls_cert_facts *ret)
{
	x509_serial_decimal(c->facts.serial, ret->serial_decimal, sizeof(ret->serial_decimal));
	ret->not_before = c->facts.not_before;
	ret->not_after = c->facts.not_after;
	ret->pem = buf_span(&c->pem);
}

bool tls_config_chain_at(const struct tls_config *c, unsigned int i, struct tls_cert_facts *ret)
{
	if (i >= c->chain_len)
		return false;
	cert_facts(&c->chain[i], ret);
	return true;
}

bool tls_config_root_at(const struct tls_config *c, unsigned int i, struct tls_cert_facts *ret)
{
	if (i >= c->root_count)
		return false;
	cert_facts(&c->roots[i], ret);
	return true;
}

struct WOLFSSL_CTX *tls_config_library(const struct tls_config *c, enum tls_role role)
{
	return role == TLS_CLIENT ? c->client : c->server;
}

const struct span *tls_config_root_names(const struct tls_config *c, unsigned int *ret_count)
{
	*ret_count = c->root_count;
	return c->root_names;
}

const struct span *tls_config_roots(const struct tls_config *c, unsigned int *ret_count)
{
	*ret_count = c->root_count;
	return c->root_ders;
}

const struct tls_policy *tls_config_policy(const struct tls_config *c)
{
	return c->policy;
}

bool tls_config_speaks_12(const struct tls_config *c)
{
	return speaks_12(c->policy);
}

enum err tls_global_init(void)
{
	if (wolfSSL_Init() != WOLFSSL_SUCCESS)
		return ERR_TLS;
	tls_aead_global_init();
	return ERR_OK;
}

void tls_global_fini(void)
{
	tls_aead_global_fini();
	(void)wolfSSL_Cleanup();
}

const char *tls_provider(void)
{
	static const char *const texts[TLS_AEAD_PROVIDERS] = {
		[TLS_AEAD_WOLFCRYPT] = "wolfSSL " LIBWOLFSSL_VERSION_STRING,
		[TLS_AEAD_IPSEC_MB] = "wolfSSL " LIBWOLFSSL_VERSION_STRING " + ipsec-mb",
		[TLS_AEAD_GCRYPT] = "wolfSSL " LIBWOLFSSL_VERSION_STRING " + libgcrypt",
	};

	return texts[tls_aead_best()];
}
