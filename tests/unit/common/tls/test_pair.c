/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/common/tls/test_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { PIPE = 4 * 1024 * 1024 };

static const struct tls_expect nobody = {0};

void test_pair_init(struct test_pair *p, struct test_pki *pki, const char *client_id,
                    const char *server_id)
{
	struct tls_config *client = test_pki_config(pki, client_id);
	struct tls_config *server = test_pki_config(pki, server_id);
	const char *const expected[] = {"spiffe://cluster.local/ns/demo/sa/mallory", server_id};
	const struct tls_expect expect = {.identities = expected, .identity_count = 2};

	p->c = tls_session_new(client, TLS_CLIENT, &expect);
	p->s = tls_session_new(server, TLS_SERVER, &nobody);
	assert_non_null(p->c);
	assert_non_null(p->s);
	tls_config_unref(client);
	tls_config_unref(server);
	buf_init(&p->to_c, PIPE);
	buf_init(&p->to_s, PIPE);
	for (int i = 0; i < 6; i++) {
		size_t used = 0;

		assert_int_equal(tls_session_handshake(p->c, buf_span(&p->to_c), &used, &p->to_s),
		                 ERR_OK);
		buf_consume(&p->to_c, used);
		assert_int_equal(tls_session_handshake(p->s, buf_span(&p->to_s), &used, &p->to_c),
		                 ERR_OK);
		buf_consume(&p->to_s, used);
	}
	assert_true(tls_session_established(p->c));
	assert_true(tls_session_established(p->s));
}

void test_pair_fini(struct test_pair *p)
{
	tls_session_free(p->c);
	tls_session_free(p->s);
	buf_fini(&p->to_c);
	buf_fini(&p->to_s);
}

void test_put_sealed(struct tls_session *s, struct buf *to, struct span plain)
{
	uint8_t *record = buf_reserve(to, TLS_RECORD_HEAD + plain.n + TLS_RECORD_TAIL);
	size_t len = 0;

	assert_non_null(record);
	memcpy(record + TLS_RECORD_HEAD, plain.p, plain.n);
	assert_int_equal(tls_session_seal(s, record, plain.n, &len), ERR_OK);
	assert_true(len <= TLS_RECORD_HEAD + plain.n + TLS_RECORD_TAIL);
	buf_added(to, len);
}

/* Open the record at the front of from, which keeps its memory until the next call. */
enum err test_open_front(struct tls_session *s, struct buf *from, struct tls_opened *ret)
{
	static uint8_t record[TLS_RECORD_MAX];
	size_t len = 0;

	assert_int_equal(tls_record_len(buf_span(from), &len), ERR_OK);
	assert_true(len > 0);
	memcpy(record, from->p, len);
	buf_consume(from, len);
	return tls_session_open(s, record, len, ret);
}

void test_expect_plain(struct tls_session *s, struct buf *from, struct span plain)
{
	struct tls_opened o;

	assert_int_equal(test_open_front(s, from, &o), ERR_OK);
	assert_int_equal(o.kind, TLS_OPENED_DATA);
	assert_int_equal(o.n, plain.n);
	assert_memory_equal(o.p, plain.p, plain.n);
}
