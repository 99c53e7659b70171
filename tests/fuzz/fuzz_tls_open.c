/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an authenticated peer may say after the handshake: content of any type, sealed under the right key, and
 * now and then octets that are not.
 *
 * Input: for each record one octet of content type, two of length (high bit: damage it), the content. Type 0 is
 * padding: the content then brings its own.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include "common/base/rd.h"
#include "common/tls/tls_record.h"
#include "common/tls/tls_session.h"
#include "tests/unit/common/tls/test_peer.h"
#include "tests/unit/common/tls/test_pki.h"

#define BOB "spiffe://cluster.local/ns/demo/sa/bob"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static struct tls_config *cfg;
static struct test_material material;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static struct test_pki pki;

	(void)argc;
	(void)argv;
	if (tls_global_init() != ERR_OK)
		abort();
	test_pki_init(&pki, "fuzz");
	cfg = test_pki_config(&pki, BOB);
	test_pki_issue(&pki, &(struct test_leaf){.uris = {BOB}}, &material);
	test_pki_fini(&pki);
	return 0;
}

static int hear_secret(WOLFSSL *ssl, int id, const unsigned char *secret, int n, void *arg)
{
	const int wanted = wolfSSL_is_server(ssl) ? SERVER_TRAFFIC_SECRET : CLIENT_TRAFFIC_SECRET;

	if (id != wanted)
		return 0;
	return tls_direction_init(arg, span_of(secret, (size_t)n)) == ERR_OK ? 0 : -1;
}

/* Say every record of the input. */
static void say(struct tls_session *s, struct tls_direction *d, struct span in)
{
	static uint8_t record[TLS_RECORD_MAX];
	struct rd r = rd_of(in);
	struct buf out;
	enum err e = ERR_OK;

	buf_init(&out, 65536);
	while (rd_left(&r) > 3 && e == ERR_OK) {
		const uint8_t type = rd_u8(&r);
		const uint16_t word = rd_u16(&r);
		struct tls_opened o;
		size_t n = word & 0x7fff, len = 0;

		if (n > 16384)
			n = 16384;
		if (n > rd_left(&r))
			n = rd_left(&r);
		memcpy(record + TLS_RECORD_HEAD, rd_bytes(&r, n).p, n);
		if (tls_record_seal(d, (enum tls_content)type, record, n, &len) != ERR_OK)
			abort();
		if ((word & 0x8000) != 0)
			record[len - 1 - n % 16] ^= 1;
		e = tls_session_open(s, record, len, &o);
		if (e == ERR_OK && (word & 0x8000) != 0 && o.kind != TLS_OPENED_CLOSE)
			abort(); /* a damaged record was taken */
		if (e == ERR_OK && o.kind == TLS_OPENED_DATA &&
		    (o.p < record || o.p + o.n > record + len ||
		     (type != TLS_CONTENT_DATA && type != 0)))
			abort();
		if (tls_session_pending(s, &out) == ERR_OK)
			buf_clear(&out);
		/* a KeyUpdate alone in its record was heard: so change ours, as such a peer does */
		if (e == ERR_OK && type == TLS_CONTENT_HANDSHAKE && n == 5 && word == 5)
			e = tls_direction_update(d);
	}
	buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const char *const ids[] = {BOB};
	const struct tls_expect expect = {.identities = ids, .identity_count = 1};
	struct test_peer_options opt = {.material = &material, .alpn = "h2"};
	struct tls_direction d = {0};
	struct tls_session *s;
	struct test_peer peer;
	struct buf rest;
	enum tls_role ours;

	if (n < 2)
		return 0;
	ours = (p[0] & 1) != 0 ? TLS_CLIENT : TLS_SERVER;
	opt.role = ours == TLS_CLIENT ? TLS_SERVER : TLS_CLIENT;
	s = tls_session_new(cfg, ours, &expect);
	buf_init(&rest, 1024 * 1024);
	test_peer_init(&peer, &opt);
	wolfSSL_set_tls13_secret_cb(peer.ssl, hear_secret, &d);
	if (test_peer_run(&peer, s, &rest) != ERR_OK || !tls_session_established(s))
		abort();
	say(s, &d, span_of(p + 1, n - 1));
	tls_direction_fini(&d);
	tls_session_free(s);
	test_peer_fini(&peer);
	buf_fini(&rest);
	return 0;
}
