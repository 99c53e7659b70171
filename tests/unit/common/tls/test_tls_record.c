/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include "common/base/buf.h"
#include "common/base/check.h"
#include "common/tls/tls_record.h"
#include "common/tls/tls_session.h"
#include "tests/unit/common/tls/test_pair.h"
#include "tests/unit/common/tls/test_peer.h"
#include "tests/unit/common/tls/test_pki.h"

#define ALICE "spiffe://cluster.local/ns/demo/sa/alice"
#define BOB   "spiffe://cluster.local/ns/demo/sa/bob"

enum { PIPE = 4 * 1024 * 1024 };

static struct test_pki root;

static int set_up(void **state)
{
	(void)state;
	assert_int_equal(tls_global_init(), ERR_OK);
	test_pki_init(&root, "root");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	test_pki_fini(&root);
	tls_global_fini();
	return 0;
}

static const char *const expect_bob[] = {BOB};
static const struct tls_expect bob_only = {.identities = expect_bob, .identity_count = 1};

static void every_size_survives_sealing_and_opening(void **state)
{
	static uint8_t plain[16384];
	struct test_pair p;

	(void)state;
	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (uint8_t)(i * 31 + i / 256);
	test_pair_init(&p, &root, ALICE, BOB);
	for (size_t n = 1; n <= sizeof(plain); n += n < 70 ? 1 : n < 16300 ? 61 : 1) {
		test_put_sealed(p.c, &p.to_s, span_of(plain, n));
		test_expect_plain(p.s, &p.to_s, span_of(plain, n));
	}
	test_pair_fini(&p);
}

/* A session of ours established with a peer that is wolfSSL through and through. */
struct mixed {
	struct tls_session *s;
	struct test_peer peer;
	struct buf in; /* for s */
};

static void mixed_init(struct mixed *x, enum tls_role ours, const char *suite)
{
	struct tls_config *cfg = test_pki_config(&root, ALICE);
	struct test_peer_options opt = {.role = ours == TLS_CLIENT ? TLS_SERVER : TLS_CLIENT,
	                                .alpn = "h2",
	                                .suites = suite};
	struct test_material m;

	test_pki_issue(&root, &(struct test_leaf){.uris = {BOB}}, &m);
	opt.material = &m;
	x->s = tls_session_new(cfg, ours, &bob_only);
	buf_init(&x->in, PIPE);
	test_peer_init(&x->peer, &opt);
	assert_int_equal(test_peer_run(&x->peer, x->s, &x->in), ERR_OK);
	assert_true(tls_session_established(x->s));
	test_material_fini(&m);
	tls_config_unref(cfg);
}

static void mixed_fini(struct mixed *x)
{
	tls_session_free(x->s);
	test_peer_fini(&x->peer);
	buf_fini(&x->in);
}

/* Some bytes each way; the octets of peer.out are for us. */
static void mixed_talk(struct mixed *x)
{
	char got[8];
	struct tls_opened o;

	test_peer_write(&x->peer, span_str("hello"));
	buf_put(&x->in, buf_span(&x->peer.out));
	buf_clear(&x->peer.out);
	do {
		assert_int_equal(test_open_front(x->s, &x->in, &o), ERR_OK);
		assert_int_equal(tls_session_pending(x->s, &x->peer.in), ERR_OK);
	} while (o.kind == TLS_OPENED_NOTHING);
	assert_int_equal(o.n, 5);
	assert_memory_equal(o.p, "hello", 5);
	test_put_sealed(x->s, &x->peer.in, span_str("world"));
	assert_int_equal(test_peer_read(&x->peer, got, sizeof(got)), 5);
	assert_memory_equal(got, "world", 5);
	buf_put(&x->in, buf_span(&x->peer.out));
	buf_clear(&x->peer.out);
}

static void keys_change_in_both_directions(void **state)
{
	static const char *const suites[] = {"TLS13-AES256-GCM-SHA384", "TLS13-AES128-GCM-SHA256"};

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct mixed x;

		mixed_init(&x, i % 2 == 0 ? TLS_CLIENT : TLS_SERVER, suites[i / 2]);
		mixed_talk(&x);
		for (int round = 0; round < 3; round++) {
			test_peer_key_update(&x.peer); /* asks us to change ours, too */
			mixed_talk(&x);
			tls_session_key_update(x.s, true);
			assert_int_equal(tls_session_pending(x.s, &x.peer.in), ERR_OK);
			mixed_talk(&x);
			tls_session_cool(x.s);
			mixed_talk(&x);
		}
		mixed_fini(&x);
	}
}

static void close_notify_goes_both_ways(void **state)
{
	struct tls_opened o;
	struct mixed x;
	char octet;

	(void)state;
	mixed_init(&x, TLS_SERVER, NULL);
	mixed_talk(&x);
	test_peer_close(&x.peer);
	assert_int_equal(test_open_front(x.s, &x.peer.out, &o), ERR_OK);
	assert_int_equal(o.kind, TLS_OPENED_CLOSE);
	assert_int_equal(tls_session_close_notify(x.s, &x.peer.in), ERR_OK);
	assert_int_equal(test_peer_read(&x.peer, &octet, 1), 0);
	assert_int_equal(x.peer.error, WOLFSSL_ERROR_ZERO_RETURN);
	assert_int_equal(tls_session_close_notify(x.s, &x.peer.in), ERR_OK);
	assert_int_equal(x.peer.in.n, 0);
	mixed_fini(&x);
}

/*
 * Our sessions never say such things, so the receiver is put on a direction of known secret by a handshake whose
 * secrets the test hears: the rogue peer is wolfSSL with a secret callback.
 */
struct rogue {
	struct tls_session *s;
	struct test_peer peer;
	struct tls_direction d;  /* the peer's sending side */
	struct tls_direction rx; /* the peer's receiving side, as it was at the start */
	struct buf rest;
};

static int hear_secret(WOLFSSL *ssl, int id, const unsigned char *secret, int n, void *arg)
{
	struct rogue *r = arg;
	int sending = wolfSSL_is_server(ssl) ? SERVER_TRAFFIC_SECRET : CLIENT_TRAFFIC_SECRET;

	if (id == SERVER_TRAFFIC_SECRET || id == CLIENT_TRAFFIC_SECRET)
		assert_int_equal(tls_direction_init(id == sending ? &r->d : &r->rx,
		                                    span_of(secret, (size_t)n)),
		                 ERR_OK);
	return 0;
}

static void rogue_init(struct rogue *r, enum tls_role ours)
{
	struct tls_config *cfg = test_pki_config(&root, ALICE);
	struct test_peer_options opt = {.role = ours == TLS_CLIENT ? TLS_SERVER : TLS_CLIENT,
	                                .alpn = "h2"};
	struct test_material m;

	memset(r, 0, sizeof(*r));
	test_pki_issue(&root, &(struct test_leaf){.uris = {BOB}}, &m);
	opt.material = &m;
	r->s = tls_session_new(cfg, ours, &bob_only);
	buf_init(&r->rest, PIPE);
	test_peer_init(&r->peer, &opt);
	wolfSSL_set_tls13_secret_cb(r->peer.ssl, hear_secret, r);
	assert_int_equal(test_peer_run(&r->peer, r->s, &r->rest), ERR_OK);
	assert_true(tls_session_established(r->s));
	test_material_fini(&m);
	tls_config_unref(cfg);
}

static void rogue_fini(struct rogue *r)
{
	tls_direction_fini(&r->d);
	tls_direction_fini(&r->rx);
	tls_session_free(r->s);
	test_peer_fini(&r->peer);
	buf_fini(&r->rest);
}

/* Seal content of that type and let the session open it. */
static enum err say(struct rogue *r, int type, const void *content, size_t n)
{
	static uint8_t record[TLS_RECORD_MAX + 1024];
	struct tls_opened o;
	size_t len = 0;

	if (n > 0)
		memcpy(record + TLS_RECORD_HEAD, content, n);
	assert_int_equal(tls_record_seal(&r->d, (enum tls_content)type, record, n, &len), ERR_OK);
	return tls_session_open(r->s, record, len, &o);
}

static void the_session_is_dead(struct rogue *r, int alert)
{
	struct tls_opened o;
	uint8_t record[64] = {0};
	char octet;
	size_t len;

	assert_int_not_equal(tls_session_open(r->s, record, sizeof(record), &o), ERR_OK);
	assert_int_not_equal(tls_session_seal(r->s, record, 1, &len), ERR_OK);
	assert_false(tls_session_established(r->s));
	buf_clear(&r->peer.in);
	assert_int_equal(tls_session_pending(r->s, &r->peer.in), ERR_OK);
	if (alert == 0) {
		assert_int_equal(r->peer.in.n, 0);
		return;
	}
	assert_true(r->peer.in.n > 0);
	assert_true(test_peer_read(&r->peer, &octet, 1) <= 0);
	assert_int_equal(r->peer.alert, alert);
	assert_false(tls_session_wants_send(r->s));
}

static void content_that_may_not_be_there_is_refused(void **state)
{
	static const uint8_t half_update[] = {24, 0, 0};
	static const struct {
		const char *content;
		size_t n;
		int type;
		int alert;
	} cases[] = {
		{"\x01", 1, TLS_CONTENT_CHANGE_CIPHER_SPEC, unexpected_message},
		{"x", 1, 99, unexpected_message},
		{"", 0, 0, unexpected_message},                     /* only padding */
		{"\0\0\0\0", 4, 0, unexpected_message},             /* only padding */
		{"", 0, TLS_CONTENT_HANDSHAKE, unexpected_message}, /* empty fragment */
		{"", 0, TLS_CONTENT_ALERT, decode_error},
		{"\x01", 1, TLS_CONTENT_ALERT, decode_error},
		{"\x01\x00\x00", 3, TLS_CONTENT_ALERT, decode_error},
		{"\x18\0\0\1\2", 5, TLS_CONTENT_HANDSHAKE, decode_error}, /* KeyUpdate of 2 */
		{"\x18\0\0\0", 4, TLS_CONTENT_HANDSHAKE, decode_error},   /* empty KeyUpdate */
		{"\x18\0\0\2\0\0", 6, TLS_CONTENT_HANDSHAKE, decode_error},
		{"\x18\0\0\1\0\x18\0\0\1\0", 10, TLS_CONTENT_HANDSHAKE, unexpected_message},
		{"\x18\0\0\1\0\x18", 6, TLS_CONTENT_HANDSHAKE, unexpected_message},
		{"\x01\0\0\1\0", 5, TLS_CONTENT_HANDSHAKE, unexpected_message}, /* ClientHello */
		{"\x0d\0\0\1\0", 5, TLS_CONTENT_HANDSHAKE,
	         unexpected_message}, /* CertificateRequest */
		{"\x04\xff\xff\xff", 4, TLS_CONTENT_HANDSHAKE, decode_error}, /* 16 MB */
		{"\x04\0\0\1\0", 5, TLS_CONTENT_HANDSHAKE, 0},                /* ticket: see role */
	};

	(void)state;
	for (int role = TLS_CLIENT; role <= TLS_SERVER; role++) {
		for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
			int alert = cases[i].alert;
			struct rogue r;

			if (alert == 0)
				alert = role == TLS_CLIENT ? decode_error : unexpected_message;
			rogue_init(&r, role);
			assert_int_equal(say(&r, cases[i].type, cases[i].content, cases[i].n),
			                 ERR_TLS);
			the_session_is_dead(&r, alert);
			rogue_fini(&r);
		}
	}
	for (int i = 0; i < 1; i++) { /* a message may not be cut by another type of record */
		struct rogue r;

		rogue_init(&r, TLS_CLIENT);
		assert_int_equal(say(&r, TLS_CONTENT_HANDSHAKE, half_update, 3), ERR_OK);
		assert_int_equal(say(&r, TLS_CONTENT_DATA, "x", 1), ERR_TLS);
		the_session_is_dead(&r, unexpected_message);
		rogue_fini(&r);
	}
}

static void tickets_are_read_and_forgotten(void **state)
{
	static const uint8_t ticket[] = {4, 0, 0, 18, 0, 0, 1, 0, 1, 2, 3,
	                                 4, 1, 9, 0,  4, 7, 7, 7, 7, 0, 0};
	struct rogue r;

	(void)state;
	rogue_init(&r, TLS_CLIENT);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(say(&r, TLS_CONTENT_HANDSHAKE, ticket, sizeof(ticket)), ERR_OK);
		assert_int_equal(say(&r, TLS_CONTENT_HANDSHAKE, ticket, 7),
		                 ERR_OK); /* in two records */
		assert_int_equal(say(&r, TLS_CONTENT_HANDSHAKE, ticket + 7, sizeof(ticket) - 7),
		                 ERR_OK);
		assert_int_equal(say(&r, TLS_CONTENT_DATA, "x", 1), ERR_OK);
	}
	tls_session_cool(r.s);
	assert_true(tls_session_bytes(r.s) < 1024);
	rogue_fini(&r);
}

static void fatal_alerts_end_the_session_without_an_answer(void **state)
{
	struct rogue r;

	(void)state;
	rogue_init(&r, TLS_SERVER);
	assert_int_equal(say(&r, TLS_CONTENT_ALERT, "\x01\x5a", 2), ERR_OK); /* user_canceled */
	assert_int_equal(say(&r, TLS_CONTENT_ALERT, "\x02\x14", 2), ERR_TLS_ALERT);
	the_session_is_dead(&r, 0);
	rogue_fini(&r);
}

static void floods_of_records_without_data_are_refused(void **state)
{
	static const uint8_t update[] = {24, 0, 0, 1, 0}, asking[] = {24, 0, 0, 1, 1};
	enum err e = ERR_OK;
	struct rogue r;

	(void)state;
	for (int kind = 0; kind < 3; kind++) {
		int said = 0;

		rogue_init(&r, TLS_SERVER);
		for (e = ERR_OK; e == ERR_OK && said < 100; said++) {
			if (kind == 0) {
				e = say(&r, TLS_CONTENT_DATA, "", 0);
				continue;
			}
			e = say(&r, TLS_CONTENT_HANDSHAKE, kind == 1 ? update : asking, 5);
			assert_int_equal(tls_direction_update(&r.d), ERR_OK);
		}
		assert_int_equal(e, ERR_TLS);
		assert_int_equal(said, 33);
		rogue_fini(&r);
	}
	/* but with data between them they may go on */
	rogue_init(&r, TLS_SERVER);
	for (int i = 0; i < 200; i++) {
		assert_int_equal(say(&r, TLS_CONTENT_HANDSHAKE, update, 5), ERR_OK);
		assert_int_equal(tls_direction_update(&r.d), ERR_OK);
		assert_int_equal(say(&r, TLS_CONTENT_DATA, "x", 1), ERR_OK);
	}
	rogue_fini(&r);
}

static void damaged_records_are_refused(void **state)
{
	static const struct {
		size_t plain, cut, flip;
	} cases[] = {{10, 0, 0},  {10, 0, 1},   {10, 0, 5},  {10, 0, 31},
	             {10, 1, 99}, {10, 16, 99}, {10, 26, 99}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t record[64] = {0};
		struct tls_opened o;
		struct rogue r;
		size_t len = 0;
		int alert;

		rogue_init(&r, TLS_SERVER);
		assert_int_equal(
			tls_record_seal(&r.d, TLS_CONTENT_DATA, record, cases[i].plain, &len),
			ERR_OK);
		len -= cases[i].cut;
		record[4] = (uint8_t)(len - TLS_RECORD_HEAD);
		if (cases[i].flip < len)
			record[cases[i].flip] ^= 1;
		alert = cases[i].flip == 0 ? unexpected_message : bad_record_mac;
		assert_int_equal(tls_session_open(r.s, record, len, &o), ERR_TLS);
		the_session_is_dead(&r, alert);
		rogue_fini(&r);
	}
}

static void a_record_of_nothing_but_a_tag_is_refused(void **state)
{
	uint8_t record[TLS_RECORD_HEAD + 16] = {23, 3, 3, 0, 16};
	struct tls_opened o;
	struct rogue r;
	uint8_t nonce[TLS_AEAD_NONCE];

	(void)state;
	rogue_init(&r, TLS_SERVER);
	/* make the tag right: a whole record first, so that the key is there */
	assert_int_equal(say(&r, TLS_CONTENT_DATA, "x", 1), ERR_OK);
	memcpy(nonce, r.d.iv, sizeof(nonce));
	nonce[TLS_AEAD_NONCE - 1] ^= 1;
	tls_aead_seal(r.d.key, nonce, span_of(record, TLS_RECORD_HEAD), record + TLS_RECORD_HEAD,
	              0);
	assert_int_equal(tls_session_open(r.s, record, sizeof(record), &o), ERR_TLS);
	the_session_is_dead(&r, bad_record_mac);
	rogue_fini(&r);
}

static void a_replayed_or_skipped_record_is_refused(void **state)
{
	struct test_pair p;
	struct tls_opened o;
	uint8_t copy[64];
	size_t len;

	(void)state;
	test_pair_init(&p, &root, ALICE, BOB);
	test_put_sealed(p.c, &p.to_s, span_str("one"));
	len = p.to_s.n;
	memcpy(copy, p.to_s.p, len);
	test_expect_plain(p.s, &p.to_s, span_str("one"));
	assert_int_equal(tls_session_open(p.s, copy, len, &o), ERR_TLS);
	test_pair_fini(&p);

	test_pair_init(&p, &root, ALICE, BOB);
	test_put_sealed(p.c, &p.to_s, span_str("one"));
	buf_clear(&p.to_s);
	test_put_sealed(p.c, &p.to_s, span_str("two"));
	assert_int_equal(test_open_front(p.s, &p.to_s, &o), ERR_TLS);
	test_pair_fini(&p);
}

static void too_long_records_are_refused_by_their_header(void **state)
{
	uint8_t head[5] = {23, 3, 3, (16384 + 256) >> 8, 0};
	size_t len = 7;

	(void)state;
	assert_int_equal(tls_record_len(span_of(head, 5), &len), ERR_OK);
	assert_int_equal(len, 0); /* not all there */
	head[4] = 1;
	assert_int_equal(tls_record_len(span_of(head, 5), &len), ERR_TLS);
	assert_int_equal(tls_record_len(span_str("GET /"), &len), ERR_TLS);
	assert_int_equal(tls_record_len(span_of(head, 4), &len), ERR_OK);
	assert_int_equal(len, 0);
}

static void a_spent_key_seals_nothing_more(void **state)
{
	uint8_t record[64];
	struct rogue r;
	size_t len;

	(void)state;
	rogue_init(&r, TLS_SERVER);
	r.d.seq = TLS_KEY_RECORDS_MAX - 1;
	assert_int_equal(tls_record_seal(&r.d, TLS_CONTENT_DATA, record, 1, &len), ERR_OK);
	assert_int_equal(tls_record_seal(&r.d, TLS_CONTENT_DATA, record, 1, &len), ERR_TLS);
	assert_int_equal(tls_direction_update(&r.d), ERR_OK);
	assert_int_equal(tls_record_seal(&r.d, TLS_CONTENT_DATA, record, 1, &len), ERR_OK);
	rogue_fini(&r);
}

static void a_cool_session_holds_less_than_a_kilobyte(void **state)
{
	struct test_pair p;

	(void)state;
	test_pair_init(&p, &root, ALICE, BOB);
	test_put_sealed(p.c, &p.to_s, span_str("x"));
	test_expect_plain(p.s, &p.to_s, span_str("x"));
	tls_session_cool(p.c);
	tls_session_cool(p.s);
	assert_true(tls_session_bytes(p.c) < 1024);
	assert_true(tls_session_bytes(p.s) < 1024);
	test_put_sealed(p.c, &p.to_s, span_str("y")); /* and goes on where it was */
	test_expect_plain(p.s, &p.to_s, span_str("y"));
	test_pair_fini(&p);
}

static void the_key_changes_by_itself_before_its_records_run_out(void **state)
{
	uint8_t record[TLS_RECORD_HEAD + 1 + TLS_RECORD_TAIL];
	struct tls_record_inner inner;
	enum tls_alert alert;
	struct rogue r;
	struct buf out;
	size_t len = 0;

	(void)state;
	rogue_init(&r, TLS_SERVER);
	buf_init(&out, PIPE);
	for (unsigned int i = 0; i < TLS_KEY_RECORDS_SOFT; i++) {
		if (tls_session_wants_send(r.s) || tls_session_seal(r.s, record, 1, &len) != ERR_OK)
			fail_msg("record %u", i);
	}
	assert_true(tls_session_wants_send(r.s));
	assert_int_equal(tls_session_pending(r.s, &out), ERR_OK);
	assert_false(tls_session_wants_send(r.s));
	/* the peer, having followed so far, finds a KeyUpdate and then records under the next key */
	r.rx.seq = TLS_KEY_RECORDS_SOFT;
	assert_int_equal(tls_record_open(&r.rx, out.p, out.n, &inner, &alert), ERR_OK);
	assert_int_equal(inner.type, TLS_CONTENT_HANDSHAKE);
	assert_int_equal(inner.n, 5);
	assert_memory_equal(inner.p, "\x18\0\0\1\0", 5);
	assert_int_equal(tls_direction_update(&r.rx), ERR_OK);
	record[TLS_RECORD_HEAD] = 'x';
	assert_int_equal(tls_session_seal(r.s, record, 1, &len), ERR_OK);
	assert_int_equal(tls_record_open(&r.rx, record, len, &inner, &alert), ERR_OK);
	assert_int_equal(inner.p[0], 'x');
	buf_fini(&out);
	rogue_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_size_survives_sealing_and_opening),
		cmocka_unit_test(keys_change_in_both_directions),
		cmocka_unit_test(close_notify_goes_both_ways),
		cmocka_unit_test(content_that_may_not_be_there_is_refused),
		cmocka_unit_test(tickets_are_read_and_forgotten),
		cmocka_unit_test(fatal_alerts_end_the_session_without_an_answer),
		cmocka_unit_test(floods_of_records_without_data_are_refused),
		cmocka_unit_test(damaged_records_are_refused),
		cmocka_unit_test(a_record_of_nothing_but_a_tag_is_refused),
		cmocka_unit_test(a_replayed_or_skipped_record_is_refused),
		cmocka_unit_test(too_long_records_are_refused_by_their_header),
		cmocka_unit_test(a_spent_key_seals_nothing_more),
		cmocka_unit_test(the_key_changes_by_itself_before_its_records_run_out),
		cmocka_unit_test(a_cool_session_holds_less_than_a_kilobyte),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
