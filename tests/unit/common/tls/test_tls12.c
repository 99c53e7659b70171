/* SPDX-License-Identifier: Apache-2.0 */
/* TLS 1.2 from strings: hellos, the extended master secret, records. Against OpenSSL: test_tls_openssl.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/check.h"
#include "common/tls/tls12.h"
#include "common/tls/tls_record.h"

enum { SEED_STEP = 7 };

static const uint8_t key_bytes[32] = {1, 2, 3, 4, 5}, salt_bytes[4] = {9, 8, 7, 6};

static int set_up(void **state)
{
	(void)state;
	assert_int_equal(tls_global_init(), ERR_OK);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tls_global_fini();
	return 0;
}

/* --- hellos ------------------------------------------------------------------------------------ */

static void put_u16(struct buf *b, unsigned int v)
{
	buf_put_u8(b, (uint8_t)(v >> 8));
	buf_put_u8(b, (uint8_t)v);
}

static void put_hello(struct buf *b, bool server, uint16_t suite, bool with_secret)
{
	struct buf body;

	buf_init(&body, 1024);
	put_u16(&body, 0x0303);
	for (uint8_t i = 0; i < TLS12_RANDOM; i++)
		buf_put_u8(&body, (uint8_t)(i * SEED_STEP + server));
	buf_put_u8(&body, 3); /* session */
	buf_put_str(&body, "abc");
	if (!server)
		put_u16(&body, 2);
	put_u16(&body, suite);
	if (!server)
		buf_put_u8(&body, 1);
	buf_put_u8(&body, 0); /* compression */
	put_u16(&body, with_secret ? 10 : 6);
	put_u16(&body, 0xff01); /* renegotiation_info */
	put_u16(&body, 2);
	put_u16(&body, 0);
	if (with_secret) {
		put_u16(&body, 23);
		put_u16(&body, 0);
	}
	buf_put_u8(b, 22);
	put_u16(b, 0x0301);
	put_u16(b, (unsigned int)body.n + 4);
	buf_put_u8(b, server ? 2 : 1);
	buf_put_u8(b, 0);
	put_u16(b, (unsigned int)body.n);
	buf_put(b, buf_span(&body));
	buf_fini(&body);
}

static void a_hello_tells_its_random_suite_and_extended_master_secret(void **state)
{
	struct tls12_hello h;
	struct buf b;

	(void)state;
	for (int server = 0; server < 2; server++) {
		for (int with = 0; with < 2; with++) {
			buf_init(&b, 1024);
			put_hello(&b, server, 0xc02b, with);
			buf_put_str(&b, "what follows is not looked at");
			assert_int_equal(tls12_read_hello(buf_span(&b), server, &h), ERR_OK);
			assert_int_equal(h.has_master_secret, with);
			assert_int_equal(h.suite, server ? 0xc02b : 0);
			assert_int_equal(h.random[1], SEED_STEP + server);
			assert_int_equal(tls12_read_hello(buf_span(&b), !server, &h), ERR_TLS);
			buf_fini(&b);
		}
	}
}

static void a_hello_that_is_cut_or_of_another_version_is_refused(void **state)
{
	struct tls12_hello h;
	struct buf b;

	(void)state;
	buf_init(&b, 1024);
	put_hello(&b, true, 0xc02b, true);
	for (size_t n = 0; n < b.n; n++)
		assert_int_equal(tls12_read_hello(span_of(b.p, n), true, &h), ERR_TLS);
	b.p[10] = 2; /* TLS 1.1 */
	assert_int_equal(tls12_read_hello(buf_span(&b), true, &h), ERR_TLS);
	buf_fini(&b);
}

/* --- keys -------------------------------------------------------------------------------------- */

static void keys_are_those_of_the_suite_and_need_the_extended_master_secret(void **state)
{
	static const struct {
		uint16_t suite;
		size_t len;
	} good[] = {{0xc02b, 16}, {0xc02f, 16}, {0xc02c, 32}, {0xc030, 32}};
	static const uint16_t bad[] = {0xc023, 0xc009, 0xcca9, 0x009c, 0xc0ac, 0x1301, 0};
	const uint8_t master[TLS12_MASTER] = {42};
	struct tls12_hello client = {.has_master_secret = true};
	struct tls12_hello server = {.has_master_secret = true};
	struct tls_traffic t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		server.suite = good[i].suite;
		memset(&t, 0, sizeof(t));
		assert_int_equal(tls12_keys(&client, &server, master, &t), ERR_OK);
		assert_true(t.v12);
		assert_int_equal(t.len, good[i].len);
		assert_memory_not_equal(t.client, t.server, t.len);
		client.has_master_secret = false;
		assert_int_equal(tls12_keys(&client, &server, master, &t), ERR_TLS);
		client.has_master_secret = true;
		server.has_master_secret = false;
		assert_int_equal(tls12_keys(&client, &server, master, &t), ERR_TLS);
		server.has_master_secret = true;
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		server.suite = bad[i];
		assert_int_equal(tls12_keys(&client, &server, master, &t), ERR_TLS);
	}
}

/* --- records ----------------------------------------------------------------------------------- */

struct ends {
	struct tls_direction tx, rx;
};

static void ends_init(struct ends *e, size_t key_len)
{
	const struct span key = span_of(key_bytes, key_len), salt = span_of(salt_bytes, 4);

	assert_int_equal(tls_direction_init_12(&e->tx, key, salt), ERR_OK);
	assert_int_equal(tls_direction_init_12(&e->rx, key, salt), ERR_OK);
}

static void ends_fini(struct ends *e)
{
	tls_direction_fini(&e->tx);
	tls_direction_fini(&e->rx);
}

static uint8_t record[TLS_RECORD_MAX + 64];

static size_t seal(struct ends *e, enum tls_content type, size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++)
		record[TLS_RECORD_HEAD + i] = (uint8_t)(i * 31);
	record[TLS_RECORD_HEAD + n + TLS_RECORD_TAIL] = 0x5a; /* behind the room */
	assert_int_equal(tls_record_seal(&e->tx, type, record, n, &len), ERR_OK);
	assert_int_equal(len, TLS_RECORD_HEAD + n + TLS_RECORD_TAIL);
	assert_int_equal(record[len], 0x5a);
	return len;
}

static enum err open_it(struct ends *e, size_t len, struct tls_record_inner *in)
{
	enum tls_alert alert = TLS_ALERT_CLOSE_NOTIFY;
	enum err err = tls_record_open(&e->rx, record, len, in, &alert);

	assert_true(err == ERR_OK || alert != TLS_ALERT_CLOSE_NOTIFY);
	return err;
}

static void records_of_every_size_come_back_as_they_went(void **state)
{
	static const size_t sizes[] = {0, 1, 2, 15, 16, 17, 100, 4096, 16383, 16384};
	struct tls_record_inner in;
	struct ends e;

	(void)state;
	for (size_t key_len = 16; key_len <= 32; key_len += 16) {
		ends_init(&e, key_len);
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
			size_t len = seal(&e, TLS_CONTENT_DATA, sizes[i]);

			assert_int_equal(record[0], TLS_CONTENT_DATA);
			assert_int_equal(open_it(&e, len, &in), ERR_OK);
			assert_int_equal(in.type, TLS_CONTENT_DATA);
			assert_int_equal(in.n, sizes[i]);
			for (size_t k = 0; k < in.n; k++)
				assert_int_equal(in.p[k], (uint8_t)(k * 31));
			if (i == 4) {
				tls_direction_cool(&e.tx);
				tls_direction_cool(&e.rx);
			}
		}
		ends_fini(&e);
	}
}

static void no_two_records_have_one_nonce(void **state)
{
	uint8_t seen[50][TLS12_EXPLICIT];
	struct ends e;

	(void)state;
	ends_init(&e, 16);
	for (size_t i = 0; i < ARRAY_LEN(seen); i++) {
		(void)seal(&e, i % 2 == 0 ? TLS_CONTENT_DATA : TLS_CONTENT_ALERT, 10);
		memcpy(seen[i], record + TLS_RECORD_HEAD, TLS12_EXPLICIT);
		for (size_t k = 0; k < i; k++)
			assert_memory_not_equal(seen[i], seen[k], TLS12_EXPLICIT);
	}
	ends_fini(&e);
}

static void a_record_with_any_octet_changed_is_refused(void **state)
{
	struct tls_record_inner in;
	struct ends e;
	size_t len;

	(void)state;
	ends_init(&e, 32);
	len = seal(&e, TLS_CONTENT_DATA, 40);
	for (size_t i = 0; i < len; i++) {
		uint8_t kept[128];

		memcpy(kept, record, len);
		record[i] ^= 1;
		assert_int_not_equal(open_it(&e, len, &in), ERR_OK);
		memcpy(record, kept, len);
	}
	assert_int_equal(open_it(&e, len, &in), ERR_OK);
	ends_fini(&e);
}

static void a_record_again_or_out_of_order_is_refused(void **state)
{
	struct tls_record_inner in;
	uint8_t kept[128];
	struct ends e;
	size_t len;

	(void)state;
	ends_init(&e, 16);
	len = seal(&e, TLS_CONTENT_DATA, 20);
	memcpy(kept, record, len);
	assert_int_equal(open_it(&e, len, &in), ERR_OK);
	memcpy(record, kept, len);
	assert_int_not_equal(open_it(&e, len, &in), ERR_OK);
	(void)seal(&e, TLS_CONTENT_DATA, 20);
	len = seal(&e, TLS_CONTENT_DATA, 20); /* the one before it is lost */
	assert_int_not_equal(open_it(&e, len, &in), ERR_OK);
	ends_fini(&e);
}

static void a_record_that_is_too_short_too_long_or_of_no_kind_is_refused(void **state)
{
	struct tls_record_inner in;
	struct ends e;
	size_t len;

	(void)state;
	ends_init(&e, 16);
	for (len = 0; len < TLS_RECORD_HEAD + TLS12_EXPLICIT + TLS_AEAD_TAG; len++) {
		memset(record, 0, sizeof(record));
		record[0] = TLS_CONTENT_DATA;
		record[1] = record[2] = 3;
		record[4] = (uint8_t)(len < TLS_RECORD_HEAD ? 0 : len - TLS_RECORD_HEAD);
		assert_int_not_equal(open_it(&e, len, &in), ERR_OK);
	}
	len = TLS_RECORD_HEAD + TLS12_EXPLICIT + TLS_AEAD_TAG + 16385;
	record[3] = (uint8_t)((len - TLS_RECORD_HEAD) >> 8);
	record[4] = (uint8_t)(len - TLS_RECORD_HEAD);
	assert_int_not_equal(open_it(&e, len, &in), ERR_OK);
	len = seal(&e, TLS_CONTENT_DATA, 4);
	record[0] = TLS_CONTENT_CHANGE_CIPHER_SPEC;
	assert_int_not_equal(open_it(&e, len, &in), ERR_OK);
	ends_fini(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hello_tells_its_random_suite_and_extended_master_secret),
		cmocka_unit_test(a_hello_that_is_cut_or_of_another_version_is_refused),
		cmocka_unit_test(keys_are_those_of_the_suite_and_need_the_extended_master_secret),
		cmocka_unit_test(records_of_every_size_come_back_as_they_went),
		cmocka_unit_test(no_two_records_have_one_nonce),
		cmocka_unit_test(a_record_with_any_octet_changed_is_refused),
		cmocka_unit_test(a_record_again_or_out_of_order_is_refused),
		cmocka_unit_test(a_record_that_is_too_short_too_long_or_of_no_kind_is_refused),
	};

	return cmocka_run_group_tests_name("tls12", tests, set_up, tear_down);
}
