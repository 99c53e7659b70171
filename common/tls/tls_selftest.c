/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proof, at every start, that this TLS library with these settings refuses what it must: libraries that did
 * not have been shipped. Everything happens in memory, against a careless client that is wolfSSL alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include "common/base/clock.h"
#include "common/base/rand.h"
#include "common/tls/pem_msg.h"
#include "common/tls/tls_config.h"
#include "common/tls/tls_key.h"
#include "common/tls/tls_record.h"
#include "common/tls/tls_session.h"
#include "common/tls/x509_msg.h"

enum {
	SERIAL_LEN = 16,
	PIPE_MAX = 256 * 1024,
	STEPS_MAX = 8, /* flights; a handshake takes three */
	HOUR_S = 3600,
};

static char identity[] = "spiffe://self.test/ns/self/sa/test";
static char alpn_h2[] = "h2";

/* A root, a server of ours under it, and the client's material of one case. */
struct bench {
	struct tls_key *root_key, *client_key;
	struct buf root_name, empty_name, root_spki, client_spki;
	struct buf root_der, root_pem;
	struct buf client_der, client_key_pem;
	struct tls_config *server;
};

struct self_case {
	const char *name;
	bool no_cert, clone_root, two_uris, expired;
	enum err want, or_else; /* what our side must say; or_else: is as good */
};

static const struct self_case cases[] = {
	{.name = "a good client", .want = ERR_OK, .or_else = ERR_OK},
	{.name = "a client without certificate",
         .no_cert = true,
         .want = ERR_TLS_NO_CERT,
         .or_else = ERR_TLS_NO_CERT},
	{.name = "a forged clone of the root",
         .clone_root = true,
         .want = ERR_TLS_BAD_SIGNATURE,
         .or_else = ERR_TLS_UNTRUSTED},
	{.name = "a certificate with two identities",
         .two_uris = true,
         .want = ERR_TLS_MANY_SPIFFE,
         .or_else = ERR_TLS_MANY_SPIFFE},
	{.name = "an expired certificate",
         .expired = true,
         .want = ERR_TLS_EXPIRED,
         .or_else = ERR_TLS_EXPIRED},
};

/* The careless client. */
struct rogue {
	WOLFSSL_CTX *ctx;
	WOLFSSL *ssl;
	struct buf in, out;
};

static int rogue_recv(WOLFSSL *ssl, char *to, int n, void *arg)
{
	struct rogue *r = arg;
	const size_t take = r->in.n < (size_t)n ? r->in.n : (size_t)n;

	(void)ssl;
	if (take == 0)
		return WOLFSSL_CBIO_ERR_WANT_READ;
	memcpy(to, r->in.p, take);
	buf_consume(&r->in, take);
	return (int)take;
}

static int rogue_send(WOLFSSL *ssl, char *from, int n, void *arg)
{
	struct rogue *r = arg;

	(void)ssl;
	buf_put(&r->out, span_of(from, (size_t)n));
	return n;
}

static bool rogue_init(struct rogue *r, const struct bench *b, const struct self_case *c)
{
	buf_init(&r->in, PIPE_MAX);
	buf_init(&r->out, PIPE_MAX);
	r->ssl = NULL;
	r->ctx = wolfSSL_CTX_new(wolfTLSv1_3_client_method());
	if (r->ctx == NULL)
		return false;
	wolfSSL_CTX_set_verify(r->ctx, WOLFSSL_VERIFY_NONE, NULL);
	if (!c->no_cert &&
	    (wolfSSL_CTX_use_certificate_buffer(r->ctx, b->client_der.p, (long)b->client_der.n,
	                                        WOLFSSL_FILETYPE_ASN1) != WOLFSSL_SUCCESS ||
	     wolfSSL_CTX_use_PrivateKey_buffer(r->ctx, b->client_key_pem.p,
	                                       (long)b->client_key_pem.n,
	                                       WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS))
		return false;
	r->ssl = wolfSSL_new(r->ctx);
	if (r->ssl == NULL)
		return false;
	wolfSSL_SSLSetIORecv(r->ssl, rogue_recv);
	wolfSSL_SSLSetIOSend(r->ssl, rogue_send);
	wolfSSL_SetIOReadCtx(r->ssl, r);
	wolfSSL_SetIOWriteCtx(r->ssl, r);
	return wolfSSL_UseALPN(r->ssl, alpn_h2, 2, WOLFSSL_ALPN_FAILED_ON_MISMATCH) ==
	       WOLFSSL_SUCCESS;
}

static void rogue_fini(struct rogue *r)
{
	wolfSSL_free(r->ssl);
	wolfSSL_CTX_free(r->ctx);
	buf_fini(&r->in);
	buf_fini(&r->out);
}

static void make_serial(uint8_t serial[SERIAL_LEN])
{
	rand_system_bytes(serial, SERIAL_LEN);
	serial[0] = (uint8_t)((serial[0] & 0x7f) | 0x40);
}

static enum err make_root(struct bench *b)
{
	uint8_t serial[SERIAL_LEN];
	struct x509_spec spec = {
		.serial = span_of(serial, sizeof(serial)),
		.not_before = clock_wall_s() - HOUR_S,
		.not_after = clock_wall_s() + HOUR_S,
		.is_ca = true,
	};
	enum err e = tls_key_new(&b->root_key);

	make_serial(serial);
	x509_put_name(&b->root_name, "Culvert", "self-test root");
	x509_put_name(&b->empty_name, NULL, NULL);
	if (e == ERR_OK)
		e = tls_key_put_spki(b->root_key, &b->root_spki);
	spec.issuer = buf_span(&b->root_name);
	spec.subject = buf_span(&b->root_name);
	spec.spki = buf_span(&b->root_spki);
	if (e == ERR_OK)
		e = tls_key_issue(b->root_key, &spec, &b->root_der);
	pem_put(&b->root_pem, "CERTIFICATE", buf_span(&b->root_der));
	return e == ERR_OK ? buf_status(&b->root_pem) : e;
}

/* The names, serial number and signature of the root around another key. */
static enum err forge(struct bench *b, struct x509_spec *spec)
{
	struct x509_facts root;
	struct buf tbs;
	enum err e = x509_parse(buf_span(&b->root_der), &root);

	if (e != ERR_OK)
		return e;
	buf_init(&tbs, X509_DER_MAX);
	spec->subject = root.subject;
	spec->issuer = root.issuer;
	spec->serial = root.serial;
	x509_put_tbs(&tbs, spec);
	x509_put_signed(&b->client_der, buf_span(&tbs), root.signature);
	buf_fini(&tbs);
	return buf_status(&b->client_der);
}

static enum err make_leaf(struct bench *b, const struct self_case *c)
{
	const struct span uris[] = {span_str(identity),
	                            span_str("spiffe://self.test/ns/self/sa/x")};
	uint8_t serial[SERIAL_LEN];
	struct x509_spec spec = {
		.serial = span_of(serial, sizeof(serial)),
		.issuer = buf_span(&b->root_name),
		.subject = buf_span(&b->empty_name),
		.spki = buf_span(&b->client_spki),
		.not_before = clock_wall_s() - HOUR_S,
		.not_after = clock_wall_s() + (c->expired ? -60 : HOUR_S),
		.ext_server = true,
		.ext_client = true,
		.uris = uris,
		.uri_count = c->two_uris ? 2 : 1,
	};

	make_serial(serial);
	buf_clear(&b->client_der);
	if (c->clone_root)
		return forge(b, &spec);
	return tls_key_issue(b->root_key, &spec, &b->client_der);
}

static enum err make_server(struct bench *b, char *why, size_t why_len)
{
	struct buf pem;
	enum err e = tls_key_new(&b->client_key);

	buf_init(&pem, PIPE_MAX);
	if (e == ERR_OK)
		e = tls_key_put_spki(b->client_key, &b->client_spki);
	if (e == ERR_OK)
		e = tls_key_put_pem(b->client_key, &b->client_key_pem);
	if (e == ERR_OK)
		e = make_leaf(b, &cases[0]);
	pem_put(&pem, "CERTIFICATE", buf_span(&b->client_der));
	if (e == ERR_OK)
		e = buf_status(&pem);
	if (e == ERR_OK) {
		const struct tls_material m = {.chain_pem = buf_span(&pem),
		                               .key_pem = buf_span(&b->client_key_pem),
		                               .roots_pem = buf_span(&b->root_pem)};

		e = tls_config_new(&m, &b->server, why, why_len);
	}
	buf_fini(&pem);
	return e;
}

static struct buf *const *bench_bufs(struct bench *b, struct buf *list[8])
{
	list[0] = &b->root_name;
	list[1] = &b->empty_name;
	list[2] = &b->root_spki;
	list[3] = &b->client_spki;
	list[4] = &b->root_der;
	list[5] = &b->root_pem;
	list[6] = &b->client_der;
	list[7] = &b->client_key_pem;
	return list;
}

static void bench_init(struct bench *b)
{
	struct buf *list[8];

	memset(b, 0, sizeof(*b));
	(void)bench_bufs(b, list);
	for (unsigned int i = 0; i < 8; i++)
		buf_init(list[i], PIPE_MAX);
}

static void bench_fini(struct bench *b)
{
	struct buf *list[8];

	(void)bench_bufs(b, list);
	for (unsigned int i = 0; i < 8; i++)
		buf_wipe_fini(list[i]);
	tls_key_free(b->root_key);
	tls_key_free(b->client_key);
	tls_config_unref(b->server);
}

/* What our server says to the careless client. ERR_OK: it accepted. */
static enum err meet(const struct bench *b, const struct self_case *c)
{
	const struct tls_expect nobody = {0};
	struct tls_session *s = tls_session_new(b->server, TLS_SERVER, &nobody);
	enum err e = ERR_INTERNAL;
	struct rogue r;

	if (!rogue_init(&r, b, c) || s == NULL)
		goto out;
	e = ERR_OK;
	for (int i = 0; i < STEPS_MAX && e == ERR_OK && !tls_session_established(s); i++) {
		size_t used = 0;

		(void)wolfSSL_connect(r.ssl);
		e = tls_session_handshake(s, buf_span(&r.out), &used, &r.in);
		buf_consume(&r.out, used);
	}
	if (e == ERR_OK && !tls_session_established(s))
		e = ERR_INTERNAL;
out:
	rogue_fini(&r);
	tls_session_free(s);
	return e;
}

/* A record with a right tag and nothing else, not even a content type. */
static bool tag_only_is_refused(void)
{
	const uint8_t secret[48] = {1};
	uint8_t record[TLS_RECORD_HEAD + TLS_AEAD_TAG] = {TLS_CONTENT_DATA, 3, 3, 0, TLS_AEAD_TAG};
	struct tls_direction tx, rx;
	struct tls_record_inner inner;
	enum tls_alert alert;
	uint8_t first[TLS_RECORD_HEAD + TLS_RECORD_TAIL + 1], nonce[TLS_AEAD_NONCE];
	bool refused = false;
	size_t len;

	if (tls_direction_init(&tx, span_of(secret, sizeof(secret))) != ERR_OK ||
	    tls_direction_init(&rx, span_of(secret, sizeof(secret))) != ERR_OK)
		return false;
	first[TLS_RECORD_HEAD] = 'x';
	if (tls_record_seal(&tx, TLS_CONTENT_DATA, first, 1, &len) == ERR_OK &&
	    tls_record_open(&rx, first, len, &inner, &alert) == ERR_OK) {
		memcpy(nonce, tx.iv, sizeof(nonce));
		nonce[TLS_AEAD_NONCE - 1] ^= 1; /* record number 1 */
		tls_aead_seal(tx.key, nonce, span_of(record, TLS_RECORD_HEAD),
		              record + TLS_RECORD_HEAD, 0);
		refused = tls_record_open(&rx, record, sizeof(record), &inner, &alert) == ERR_TLS;
	}
	tls_direction_fini(&tx);
	tls_direction_fini(&rx);
	return refused;
}

static enum err run_cases(struct bench *b, char *why, size_t why_len)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct self_case *c = &cases[i];
		enum err got = make_leaf(b, c);

		if (got == ERR_OK)
			got = meet(b, c);
		if (got == c->want || got == c->or_else)
			continue;
		(void)snprintf(why, why_len, "%s: expected %s, got %s", c->name,
		               err_info(c->want)->name, err_info(got)->name);
		return ERR_TLS_SELF_TEST;
	}
	if (tag_only_is_refused())
		return ERR_OK;
	(void)snprintf(why, why_len, "a record of nothing but a tag was accepted");
	return ERR_TLS_SELF_TEST;
}

enum err tls_self_test(char *why, size_t why_len)
{
	struct bench b;
	enum err e;

	(void)snprintf(why, why_len, "%s", "");
	bench_init(&b);
	e = make_root(&b);
	if (e == ERR_OK)
		e = make_server(&b, why, why_len);
	if (e == ERR_OK) {
		e = run_cases(&b, why, why_len);
	} else {
		if (why_len > 0 && why[0] == '\0')
			(void)snprintf(why, why_len, "no test certificates: %s",
			               err_info(e)->words);
		e = ERR_TLS_SELF_TEST;
	}
	bench_fini(&b);
	return e;
}
