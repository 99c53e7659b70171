/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/common/tls/test_peer.h"

#include <stdio.h>
#include <stdlib.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

enum { PIPE_MAX = 4 * 1024 * 1024 };

static int on_recv(WOLFSSL *ssl, char *to, int n, void *arg)
{
	struct test_peer *p = arg;
	size_t take = p->in.n < (size_t)n ? p->in.n : (size_t)n;

	(void)ssl;
	if (take == 0)
		return WOLFSSL_CBIO_ERR_WANT_READ;
	memcpy(to, p->in.p, take);
	buf_consume(&p->in, take);
	return (int)take;
}

static int on_send(WOLFSSL *ssl, char *from, int n, void *arg)
{
	struct test_peer *p = arg;

	(void)ssl;
	buf_put(&p->out, span_of(from, (size_t)n));
	return n;
}

static int accept_all(int accepted, WOLFSSL_X509_STORE_CTX *store)
{
	(void)accepted;
	(void)store;
	return 1;
}

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	(void)fprintf(stderr, "test_peer: %s failed\n", what);
	abort();
}

static void load(WOLFSSL_CTX *ctx, const struct test_peer_options *opt)
{
	const struct test_material *m = opt->material;
	int groups[1] = {opt->group};

	if (m != NULL) {
		must(wolfSSL_CTX_use_certificate_chain_buffer(ctx, m->chain.p, (long)m->chain.n) ==
		             1,
		     "chain");
		must(wolfSSL_CTX_use_PrivateKey_buffer(ctx, m->key.p, (long)m->key.n,
		                                       WOLFSSL_FILETYPE_PEM) == 1,
		     "key");
	}
	if (opt->suites != NULL)
		must(wolfSSL_CTX_set_cipher_list(ctx, opt->suites) == 1, "suites");
	if (opt->group != 0)
		must(wolfSSL_CTX_set_groups(ctx, groups, 1) == 1, "groups");
}

void test_peer_init(struct test_peer *p, const struct test_peer_options *opt)
{
	WOLFSSL_CTX *ctx = wolfSSL_CTX_new(opt->role == TLS_CLIENT ? wolfTLSv1_3_client_method()
	                                                           : wolfTLSv1_3_server_method());
	WOLFSSL *ssl;
	char alpn[32];

	must(ctx != NULL, "context");
	load(ctx, opt);
	ssl = wolfSSL_new(ctx);
	must(ssl != NULL, "object");
	*p = (struct test_peer){.ctx = ctx, .ssl = ssl, .role = opt->role, .alert = -1};
	buf_init(&p->in, PIPE_MAX);
	buf_init(&p->out, PIPE_MAX);
	wolfSSL_SSLSetIORecv(ssl, on_recv);
	wolfSSL_SSLSetIOSend(ssl, on_send);
	wolfSSL_SetIOReadCtx(ssl, p);
	wolfSSL_SetIOWriteCtx(ssl, p);
	wolfSSL_set_verify(ssl, WOLFSSL_VERIFY_PEER, accept_all);
	if (opt->alpn != NULL) {
		(void)snprintf(alpn, sizeof(alpn), "%s", opt->alpn);
		must(wolfSSL_UseALPN(ssl, alpn, (unsigned int)strlen(alpn),
		                     WOLFSSL_ALPN_CONTINUE_ON_MISMATCH) == 1,
		     "alpn");
	}
}

void test_peer_fini(struct test_peer *p)
{
	wolfSSL_free(p->ssl);
	wolfSSL_CTX_free(p->ctx);
	buf_fini(&p->in);
	buf_fini(&p->out);
}

static void note_error(struct test_peer *p, int ret)
{
	WOLFSSL_ALERT_HISTORY history;
	int error = wolfSSL_get_error(p->ssl, ret);

	if (error != WOLFSSL_ERROR_WANT_READ)
		p->error = error;
	if (wolfSSL_get_alert_history(p->ssl, &history) == WOLFSSL_SUCCESS)
		p->alert = history.last_rx.code;
}

void test_peer_step(struct test_peer *p)
{
	int ret;

	if (p->done || p->error != 0)
		return;
	ret = p->role == TLS_CLIENT ? wolfSSL_connect(p->ssl) : wolfSSL_accept(p->ssl);
	if (ret == WOLFSSL_SUCCESS)
		p->done = true;
	else
		note_error(p, ret);
}

void test_peer_write(struct test_peer *p, struct span plain)
{
	must(wolfSSL_write(p->ssl, plain.p, (int)plain.n) == (int)plain.n, "write");
}

int test_peer_read(struct test_peer *p, void *to, size_t n)
{
	int ret = wolfSSL_read(p->ssl, to, (int)n);

	if (ret <= 0)
		note_error(p, ret);
	return ret;
}

void test_peer_key_update(struct test_peer *p)
{
	must(wolfSSL_update_keys(p->ssl) == WOLFSSL_SUCCESS, "key update");
}

void test_peer_close(struct test_peer *p)
{
	(void)wolfSSL_shutdown(p->ssl);
}

enum err test_peer_run(struct test_peer *p, struct tls_session *s, struct buf *rest)
{
	enum err e = ERR_OK;
	struct buf out;
	bool moved = true;

	buf_init(&out, PIPE_MAX);
	while (moved && e == ERR_OK) {
		size_t used = 0;

		test_peer_step(p);
		buf_put(rest, buf_span(&p->out));
		moved = p->out.n > 0;
		buf_clear(&p->out);
		e = tls_session_handshake(s, buf_span(rest), &used, &out);
		buf_consume(rest, used);
		moved |= out.n > 0 || used > 0;
		buf_put(&p->in, buf_span(&out));
		buf_clear(&out);
	}
	test_peer_step(p); /* an alert may be waiting */
	buf_fini(&out);
	return e;
}
