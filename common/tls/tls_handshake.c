/* SPDX-License-Identifier: Apache-2.0 */
#include "common/tls/tls_handshake.h"

#include <stdlib.h>
#include <string.h>

#include <wolfssl/error-ssl.h>
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/tls/revocation.h"
#include "common/tls/tls12.h"
#include "common/tls/tls_config_impl.h"
#include "common/tls/tls_verify.h"

/* Of a handshake that may turn out to be one of TLS 1.2: what its keys are made from. */
struct tls12_facts {
	struct buf flight[2]; /* the first octets of the client, of the server */
	uint8_t master[TLS12_MASTER];
	bool have_master;
};

static char alpn_h2[] = "h2"; /* the library's face wants it writable; it is only read */

struct tls_handshake {
	WOLFSSL *ssl;
	struct tls_config *cfg;
	enum tls_role role;
	struct tls_expect expect;
	struct span in;  /* of this step */
	size_t used;     /* octets taken from in */
	size_t total;    /* octets taken in all steps */
	struct buf *out; /* of this step */
	enum err cause; /* the first thing that went wrong, more exact than what the library says */
	struct tls_traffic traffic;
	bool have_client, have_server; /* secrets */
	struct tls12_facts *v12;       /* NULL: TLS 1.2 is not spoken */
	char *peer;                    /* not NULL: our verification accepted it */
	struct peer_chain *chain;      /* to find it revoked later; NULL: nothing is kept */
};

static void fail(struct tls_handshake *h, enum err e)
{
	if (h->cause == ERR_OK)
		h->cause = e;
}

/* Keep the beginning of what one side says. */
static void note_flight(struct tls_handshake *h, enum tls_role who, struct span bytes)
{
	struct buf *flight = h->v12 == NULL ? NULL : &h->v12->flight[who];

	if (flight == NULL || flight->n == TLS12_FLIGHT_MAX)
		return;
	if (bytes.n > TLS12_FLIGHT_MAX - flight->n)
		bytes.n = TLS12_FLIGHT_MAX - flight->n;
	buf_put(flight, bytes);
}

static int on_recv(WOLFSSL *ssl, char *p, int n, void *arg)
{
	struct tls_handshake *h = arg;
	const size_t left = h->in.n - h->used;
	size_t take = n < 0 ? 0 : (size_t)n;

	(void)ssl;
	if (take > left)
		take = left;
	if (take == 0)
		return WOLFSSL_CBIO_ERR_WANT_READ;
	if (h->total + take > TLS_HANDSHAKE_IN_MAX) {
		fail(h, ERR_TLS);
		return WOLFSSL_CBIO_ERR_GENERAL;
	}
	memcpy(p, h->in.p + h->used, take);
	note_flight(h, h->role == TLS_CLIENT ? TLS_SERVER : TLS_CLIENT, span_of(p, take));
	h->used += take;
	h->total += take;
	return (int)take;
}

static int on_send(WOLFSSL *ssl, char *p, int n, void *arg)
{
	struct tls_handshake *h = arg;

	(void)ssl;
	buf_put(h->out, span_of(p, (size_t)n));
	note_flight(h, h->role, span_of(p, (size_t)n));
	if (buf_status(h->out) == ERR_OK)
		return n;
	fail(h, ERR_LIMIT);
	return WOLFSSL_CBIO_ERR_GENERAL;
}

static int on_secret(WOLFSSL *ssl, int id, const unsigned char *secret, int secret_len, void *arg)
{
	struct tls_handshake *h = arg;
	uint8_t *to;

	(void)ssl;
	if (id != CLIENT_TRAFFIC_SECRET && id != SERVER_TRAFFIC_SECRET)
		return 0;
	if (secret_len <= 0 || secret_len > TLS_SECRET_MAX)
		return -1;
	to = id == CLIENT_TRAFFIC_SECRET ? h->traffic.client : h->traffic.server;
	memcpy(to, secret, (size_t)secret_len);
	h->traffic.len = (size_t)secret_len;
	if (id == CLIENT_TRAFFIC_SECRET)
		h->have_client = true;
	else
		h->have_server = true;
	return 0;
}

#ifndef WOLFSSL_NO_TLS12
/* The master secret of TLS 1.2. */
static int on_master(WOLFSSL *ssl, void *secret, int secret_len, void *arg)
{
	struct tls_handshake *h = arg;

	(void)ssl;
	if (h->v12 == NULL || secret_len != TLS12_MASTER)
		return -1;
	memcpy(h->v12->master, secret, TLS12_MASTER);
	h->v12->have_master = true;
	return 0;
}

static bool set_up_12(struct tls_handshake *h)
{
	h->v12 = calloc(1, sizeof(*h->v12));
	if (h->v12 == NULL)
		return false;
	for (int i = 0; i < 2; i++)
		buf_init(&h->v12->flight[i], TLS12_FLIGHT_MAX);
	return wolfSSL_set_secret_cb(h->ssl, on_master, h) == WOLFSSL_SUCCESS;
}
#else
static bool set_up_12(struct tls_handshake *h)
{
	(void)h;
	return false; /* tls_policy_check refused this before */
}
#endif

static void forget_12(struct tls_handshake *h)
{
	if (h->v12 == NULL)
		return;
	for (int i = 0; i < 2; i++)
		buf_fini(&h->v12->flight[i]);
	mem_wipe(h->v12, sizeof(*h->v12));
	free(h->v12);
	h->v12 = NULL;
}

/* Over, and it was TLS 1.2: its keys take the place of the secrets. */
static enum err take_keys_12(struct tls_handshake *h)
{
	struct tls12_hello client, server;
	enum err e;

	if (h->v12 == NULL || !h->v12->have_master || h->have_client || h->have_server)
		return ERR_TLS;
	e = tls12_read_hello(buf_span(&h->v12->flight[TLS_CLIENT]), false, &client);
	if (e == ERR_OK)
		e = tls12_read_hello(buf_span(&h->v12->flight[TLS_SERVER]), true, &server);
	if (e == ERR_OK)
		e = tls12_keys(&client, &server, h->v12->master, &h->traffic);
	h->have_client = e == ERR_OK;
	h->have_server = e == ERR_OK;
	return e;
}

/* What the library says is wrong with a certificate. */
static enum err of_certificate_error(int error)
{
	switch (error) {
	case ASN_NO_SIGNER_E:
	case ASN_SELF_SIGNED_E: return ERR_TLS_UNTRUSTED;
	case ASN_AFTER_DATE_E: return ERR_TLS_EXPIRED;
	case ASN_BEFORE_DATE_E: return ERR_TLS_NOT_YET_VALID;
	case ASN_SIG_CONFIRM_E:
	case ASN_SIG_HASH_E:
	case ASN_SIG_OID_E:
	case ASN_SIG_KEY_E:
	case VERIFY_CERT_ERROR: return ERR_TLS_BAD_SIGNATURE;
	case ASN_PATHLEN_SIZE_E:
	case ASN_PATHLEN_INV_E:
	case ASN_NAME_INVALID_E:
	case ASN_CRIT_EXT_E:
	case KEYUSAGE_E:
	case EXTKEYUSAGE_E:
	case KEYUSE_SIGNATURE_E:
	case EXTKEYUSE_AUTH_E: return ERR_TLS_BAD_USAGE;
	case CRL_CERT_REVOKED: return ERR_TLS_REVOKED;
	case MAX_CHAIN_ERROR: return ERR_TLS_CHAIN_LEN;
	case MEMORY_E: return ERR_MEMORY;
	default: return ERR_TLS;
	}
}

static enum err of_handshake_error(const struct tls_handshake *h, int error)
{
	WOLFSSL_ALERT_HISTORY alerts;

	if (wolfSSL_get_alert_history(h->ssl, &alerts) == WOLFSSL_SUCCESS &&
	    alerts.last_rx.code >= 0)
		return ERR_TLS_ALERT;
	switch (error) {
	case NO_PEER_CERT: return ERR_TLS_NO_CERT;
	case NO_PEER_VERIFY:
	case SIG_VERIFY_E:
	case VERIFY_SIGN_ERROR:
	case BAD_CERTIFICATE_STATUS_ERROR: return ERR_TLS_BAD_SIGNATURE;
	case UNKNOWN_ALPN_PROTOCOL_NAME_E: return ERR_TLS_ALPN;
	default: return of_certificate_error(error);
	}
}

/* The certificates as presented. Errs: ERR_TLS_NO_CERT, ERR_TLS_CHAIN_LEN */
static enum err presented(const WOLFSSL_X509_STORE_CTX *store, struct span chain[TLS_CHAIN_MAX],
                          unsigned int *ret_count)
{
	if (store->totalCerts < 1)
		return ERR_TLS_NO_CERT;
	if (store->totalCerts > TLS_CHAIN_MAX)
		return ERR_TLS_CHAIN_LEN;
	for (int i = 0; i < store->totalCerts; i++)
		chain[i] = span_of(store->certs[i].buffer, store->certs[i].length);
	*ret_count = (unsigned int)store->totalCerts;
	return ERR_OK;
}

/* Our own verification. ret_identity: a view into the leaf. */
static enum err judge(const struct tls_handshake *h, const WOLFSSL_X509_STORE_CTX *store,
                      struct span *ret_identity)
{
	const struct tls_policy *policy = tls_config_policy(h->cfg);
	struct span chain[TLS_CHAIN_MAX];
	unsigned int count = 0;
	enum err e;
	struct tls_verify_rule rule = {
		.role = h->role,
		.now_s = clock_wall_s(),
		.expect = &h->expect,
		.trust_domain = span_str(tls_config_trust_domain(h->cfg)),
		.aliases = policy->aliases,
		.alias_count = policy->alias_count,
	};

	e = presented(store, chain, &count);
	if (e != ERR_OK)
		return e;
	rule.roots = tls_config_root_names(h->cfg, &rule.root_count);
	return tls_verify_chain(&rule, chain, count, ret_identity);
}

/* Revocation lists, where there are any: refuse what they name, and keep what is needed to find it named later. */
static enum err check_revocation(struct tls_handshake *h, const WOLFSSL_X509_STORE_CTX *store)
{
	struct revocation *r = tls_config_policy(h->cfg)->revocation;
	struct span certs[TLS_CHAIN_MAX];
	struct revocation_chain chain = {.certs = certs};
	enum err e;

	if (r == NULL)
		return ERR_OK;
	e = presented(store, certs, &chain.cert_count);
	if (e != ERR_OK)
		return e;
	chain.roots = tls_config_roots(h->cfg, &chain.root_count);
	if (revocation_revokes(r, &chain))
		return ERR_TLS_REVOKED;
	peer_chain_free(h->chain);
	h->chain = peer_chain_new(r, &chain);
	return ERR_OK;
}

static enum err accept_peer(struct tls_handshake *h, struct span identity)
{
	free(h->peer);
	h->peer = strndup((const char *)identity.p, identity.n);
	return h->peer == NULL ? ERR_MEMORY : ERR_OK;
}

/* Why the library refused: what it says, unless that is vague and ours knows better. */
static enum err reason(const struct tls_handshake *h, const WOLFSSL_X509_STORE_CTX *store)
{
	enum err e = of_certificate_error(store->error), own;
	struct span identity;

	if (e != ERR_TLS)
		return e;
	own = judge(h, store, &identity);
	return own == ERR_OK ? ERR_TLS : own;
}

/* Runs for every certificate the library refuses and for the leaf it accepts. 0 refuses. */
static int on_verify(int accepted, WOLFSSL_X509_STORE_CTX *store)
{
	struct tls_handshake *h = store->userCtx;
	struct span identity;
	enum err e;

	if (h == NULL)
		return 0;
	if (accepted != 1) {
		e = reason(h, store);
		fail(h, e == ERR_PARSE || e == ERR_LIMIT ? ERR_TLS : e);
		return 0;
	}
	e = judge(h, store, &identity);
	if (e == ERR_OK)
		e = check_revocation(h, store);
	if (e == ERR_OK)
		e = accept_peer(h, identity);
	if (e != ERR_OK)
		fail(h, e == ERR_PARSE || e == ERR_LIMIT ? ERR_TLS : e);
	return h->cause == ERR_OK ? 1 : 0;
}

static bool set_up(struct tls_handshake *h)
{
	h->ssl = wolfSSL_new(tls_config_library(h->cfg, h->role));
	if (h->ssl == NULL)
		return false;
	wolfSSL_SSLSetIORecv(h->ssl, on_recv);
	wolfSSL_SSLSetIOSend(h->ssl, on_send);
	wolfSSL_SetIOReadCtx(h->ssl, h);
	wolfSSL_SetIOWriteCtx(h->ssl, h);
	if (tls_config_kind(h->cfg) == TLS_HOST_SERVER)
		wolfSSL_set_verify(h->ssl, WOLFSSL_VERIFY_NONE, NULL); /* nothing is asked for */
	else
		wolfSSL_set_verify(h->ssl,
		                   WOLFSSL_VERIFY_PEER | WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT,
		                   on_verify);
	wolfSSL_SetCertCbCtx(h->ssl, h);
	if (tls_config_speaks_12(h->cfg) && !set_up_12(h))
		return false;
	return wolfSSL_set_tls13_secret_cb(h->ssl, on_secret, h) == WOLFSSL_SUCCESS &&
	       wolfSSL_UseALPN(h->ssl, alpn_h2, sizeof(alpn_h2) - 1,
	                       WOLFSSL_ALPN_FAILED_ON_MISMATCH) == WOLFSSL_SUCCESS;
}

struct tls_handshake *tls_handshake_new(struct tls_config *cfg, enum tls_role role,
                                        const struct tls_expect *expect)
{
	const enum tls_kind kind = tls_config_kind(cfg);
	struct tls_handshake *h = calloc(1, sizeof(*h));

	CHECK(kind == TLS_MESH || (kind == TLS_HOST_SERVER) == (role == TLS_SERVER));
	CHECK(expect->host_count == 0 || kind == TLS_HOST_CLIENT);
	if (h == NULL)
		return NULL;
	h->cfg = cfg;
	h->role = role;
	h->expect = *expect;
	if (set_up(h))
		return h;
	tls_handshake_free(h);
	return NULL;
}

void tls_handshake_free(struct tls_handshake *h)
{
	if (h == NULL)
		return;
	wolfSSL_free(h->ssl);
	free(h->peer);
	peer_chain_free(h->chain);
	forget_12(h);
	mem_wipe(h, sizeof(*h));
	free(h);
}

/* The library is content; are we? */
static enum err check_end(struct tls_handshake *h)
{
	char *name = NULL;
	unsigned short name_len = 0;
	const int alpn = wolfSSL_ALPN_GetProtocol(h->ssl, &name, &name_len);
	const bool is_h2 = alpn == WOLFSSL_SUCCESS && name_len == 2 && memcmp(name, "h2", 2) == 0;

	if (h->cause != ERR_OK)
		return h->cause;
	if (h->peer == NULL && tls_config_kind(h->cfg) == TLS_HOST_SERVER)
		h->peer = strdup(""); /* whoever it is */
	if (h->peer == NULL)
		return ERR_TLS_NO_CERT;
	if (!h->have_client || !h->have_server)
		return ERR_TLS;
	/* a client that offers no ALPN at all is accepted, contract 5.1 */
	if (!is_h2 && (h->role == TLS_CLIENT || alpn == WOLFSSL_SUCCESS))
		return ERR_TLS_ALPN;
	return ERR_OK;
}

enum err tls_handshake_step(struct tls_handshake *h, struct span in, size_t *ret_used,
                            struct buf *out, bool *ret_done)
{
	int ret, error;

	h->in = in;
	h->used = 0;
	h->out = out;
	*ret_done = false;
	ret = h->role == TLS_CLIENT ? wolfSSL_connect(h->ssl) : wolfSSL_accept(h->ssl);
	error = ret == WOLFSSL_SUCCESS ? 0 : wolfSSL_get_error(h->ssl, ret);
	*ret_used = h->used;
	h->in = span_of(NULL, 0);
	h->out = NULL;
	if (ret == WOLFSSL_SUCCESS) {
		*ret_done = true;
		if (wolfSSL_GetVersion(h->ssl) != WOLFSSL_TLSV1_3 && take_keys_12(h) != ERR_OK)
			return h->cause == ERR_OK ? ERR_TLS : h->cause;
		return check_end(h);
	}
	if (h->cause != ERR_OK)
		return h->cause;
	if (error == WOLFSSL_ERROR_WANT_READ)
		return ERR_OK;
	return of_handshake_error(h, error);
}

const struct tls_traffic *tls_handshake_traffic(const struct tls_handshake *h)
{
	return &h->traffic;
}

char *tls_handshake_take_peer(struct tls_handshake *h)
{
	char *peer = h->peer;

	h->peer = NULL;
	return peer;
}

struct peer_chain *tls_handshake_take_chain(struct tls_handshake *h)
{
	struct peer_chain *chain = h->chain;

	h->chain = NULL;
	return chain;
}
