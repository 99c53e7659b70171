/* SPDX-License-Identifier: Apache-2.0 */
/* A server before it knows its client, fed with anything in pieces of any size; then a client with its server. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/tls/tls_session.h"
#include "tests/unit/common/tls/test_pki.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static struct tls_config *cfg;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static struct test_pki pki;

	(void)argc;
	(void)argv;
	if (tls_global_init() != ERR_OK)
		abort();
	test_pki_init(&pki, "fuzz");
	cfg = test_pki_config(&pki, "spiffe://cluster.local/ns/demo/sa/bob");
	test_pki_fini(&pki);
	return 0;
}

static void feed(struct tls_session *s, const uint8_t *p, size_t n, size_t piece)
{
	struct buf out;
	enum err e = ERR_OK;

	buf_init(&out, 1024 * 1024);
	while (e == ERR_OK && n > 0) {
		size_t used = 0, now = n < piece ? n : piece;

		e = tls_session_handshake(s, span_of(p, now), &used, &out);
		if (used > now)
			abort();
		if (used == 0)
			break;
		p += used;
		n -= used;
		buf_clear(&out);
	}
	if (tls_session_established(s))
		abort(); /* nobody can: the keys are fresh each time */
	buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const char *const ids[] = {"spiffe://cluster.local/ns/demo/sa/bob"};
	const struct tls_expect expect = {.identities = ids, .identity_count = 1};
	struct tls_session *s;
	struct buf out;
	size_t used = 0;

	if (n < 2)
		return 0;
	s = tls_session_new(cfg, (p[0] & 1) != 0 ? TLS_CLIENT : TLS_SERVER, &expect);
	if (s == NULL)
		abort();
	buf_init(&out, 1024 * 1024);
	(void)(tls_session_handshake(s, span_of(NULL, 0), &used, &out) == ERR_OK);
	buf_fini(&out);
	feed(s, p + 1, n - 1, (size_t)(p[0] >> 1) + 1);
	tls_session_free(s);
	return 0;
}
