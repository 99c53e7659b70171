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
#include "tests/unit/common/tls/test_peer.h"
#include "tests/unit/common/tls/test_pki.h"

#define ALICE   "spiffe://cluster.local/ns/demo/sa/alice"
#define BOB     "spiffe://cluster.local/ns/demo/sa/bob"
#define MALLORY "spiffe://cluster.local/ns/demo/sa/mallory"
#define FOREIGN "spiffe://other.org/ns/demo/sa/bob"

enum { PIPE = 4 * 1024 * 1024 };

static struct test_pki root, stranger;

static int set_up(void **state)
{
	(void)state;
	assert_int_equal(tls_global_init(), ERR_OK);
	test_pki_init(&root, "root");
	test_pki_init(&stranger, "stranger");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	test_pki_fini(&root);
	test_pki_fini(&stranger);
	tls_global_fini();
	return 0;
}

static const char *const expect_bob[] = {BOB};
static const struct tls_expect bob_only = {.identities = expect_bob, .identity_count = 1};
static const struct tls_expect nobody = {0};

/* Two of our sessions joined by memory. */
struct pair {
	struct tls_session *c, *s;
	struct buf to_c, to_s;
};

static void pair_init(struct pair *p, const char *client_id, const char *server_id)
{
	struct tls_config *client = test_pki_config(&root, client_id);
	struct tls_config *server = test_pki_config(&root, server_id);
	const char *const expected[] = {MALLORY, server_id};
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

static void pair_fini(struct pair *p)
{
	tls_session_free(p->c);
	tls_session_free(p->s);
	buf_fini(&p->to_c);
	buf_fini(&p->to_s);
}

static void put_sealed(struct tls_session *s, struct buf *to, struct span plain)
{
	uint8_t *record = buf_reserve(to, TLS_RECORD_HEAD + plain.n + TLS_RECORD_TAIL);
	size_t len = 0;

	assert_non_null(record);
	memcpy(record + TLS_RECORD_HEAD, plain.p, plain.n);
	assert_int_equal(tls_session_seal(s, record, plain.n, &len), ERR_OK);
	assert_int_equal(len, TLS_RECORD_HEAD + plain.n + TLS_RECORD_TAIL);
	buf_added(to, len);
}

/* Open the record at the front of from, which keeps its memory until the next call. */
static enum err open_front(struct tls_session *s, struct buf *from, struct tls_opened *ret)
{
	static uint8_t record[TLS_RECORD_MAX];
	size_t len = 0;

	assert_int_equal(tls_record_len(buf_span(from), &len), ERR_OK);
	assert_true(len > 0);
	memcpy(record, from->p, len);
	buf_consume(from, len);
	return tls_session_open(s, record, len, ret);
}

static void expect_plain(struct tls_session *s, struct buf *from, struct span plain)
{
	struct tls_opened o;

	assert_int_equal(open_front(s, from, &o), ERR_OK);
	assert_int_equal(o.kind, TLS_OPENED_DATA);
	assert_int_equal(o.n, plain.n);
	assert_memory_equal(o.p, plain.p, plain.n);
}

static void two_sessions_agree_and_know_each_other(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p, ALICE, BOB);
	assert_string_equal(tls_session_peer(p.c), BOB);
	assert_string_equal(tls_session_peer(p.s), ALICE);
	for (int i = 0; i < 3; i++) {
		put_sealed(p.c, &p.to_s, span_str("ping"));
		expect_plain(p.s, &p.to_s, span_str("ping"));
		put_sealed(p.s, &p.to_c, span_str("pong"));
		expect_plain(p.c, &p.to_c, span_str("pong"));
	}
	pair_fini(&p);
}

static void handshake_bytes_may_come_one_at_a_time(void **state)
{
	struct tls_config *client = test_pki_config(&root, ALICE);
	struct tls_config *server = test_pki_config(&root, BOB);
	struct tls_session *s[2] = {tls_session_new(client, TLS_CLIENT, &bob_only),
	                            tls_session_new(server, TLS_SERVER, &nobody)};
	struct buf in[2];
	size_t used = 0;

	(void)state;
	buf_init(&in[0], PIPE);
	buf_init(&in[1], PIPE);
	assert_int_equal(tls_session_handshake(s[0], span_of(NULL, 0), &used, &in[1]), ERR_OK);
	for (int turn = 1; in[0].n > 0 || in[1].n > 0; turn = !turn) {
		while (in[turn].n > 0) {
			assert_int_equal(tls_session_handshake(s[turn], span_of(in[turn].p, 1),
			                                       &used, &in[!turn]),
			                 ERR_OK);
			assert_int_equal(used, 1);
			buf_consume(&in[turn], 1);
		}
	}
	assert_true(tls_session_established(s[0]));
	assert_true(tls_session_established(s[1]));
	for (int i = 0; i < 2; i++) {
		tls_session_free(s[i]);
		buf_fini(&in[i]);
	}
	tls_config_unref(client);
	tls_config_unref(server);
}

static void data_right_behind_finished_stays_unconsumed(void **state)
{
	struct tls_config *client = test_pki_config(&root, ALICE);
	struct tls_config *server = test_pki_config(&root, BOB);
	struct tls_session *c = tls_session_new(client, TLS_CLIENT, &bob_only);
	struct tls_session *s = tls_session_new(server, TLS_SERVER, &nobody);
	struct buf to_c, to_s;
	size_t used = 0;

	(void)state;
	buf_init(&to_c, PIPE);
	buf_init(&to_s, PIPE);
	assert_int_equal(tls_session_handshake(c, span_of(NULL, 0), &used, &to_s), ERR_OK);
	assert_int_equal(tls_session_handshake(s, buf_span(&to_s), &used, &to_c), ERR_OK);
	assert_int_equal(used, to_s.n);
	buf_clear(&to_s);
	assert_int_equal(tls_session_handshake(c, buf_span(&to_c), &used, &to_s), ERR_OK);
	assert_true(tls_session_established(c));
	put_sealed(c, &to_s, span_str("first"));
	put_sealed(c, &to_s, span_str("second"));
	assert_int_equal(tls_session_handshake(s, buf_span(&to_s), &used, &to_c), ERR_OK);
	assert_true(tls_session_established(s));
	buf_consume(&to_s, used);
	expect_plain(s, &to_s, span_str("first"));
	expect_plain(s, &to_s, span_str("second"));
	assert_int_equal(to_s.n, 0);
	tls_session_free(c);
	tls_session_free(s);
	tls_config_unref(client);
	tls_config_unref(server);
	buf_fini(&to_c);
	buf_fini(&to_s);
}

static void every_size_survives_sealing_and_opening(void **state)
{
	static uint8_t plain[16384];
	struct pair p;

	(void)state;
	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (uint8_t)(i * 31 + i / 256);
	pair_init(&p, ALICE, BOB);
	for (size_t n = 1; n <= sizeof(plain); n += n < 70 ? 1 : n < 16300 ? 61 : 1) {
		put_sealed(p.c, &p.to_s, span_of(plain, n));
		expect_plain(p.s, &p.to_s, span_of(plain, n));
	}
	pair_fini(&p);
}

/* What our session answers to a peer of the other role. The alert the peer hears goes to ret_alert. */
static enum err meet(enum tls_role ours, const struct tls_expect *expect,
                     struct test_peer_options opt, int *ret_alert)
{
	struct tls_config *cfg = test_pki_config(&root, ALICE);
	struct tls_session *s = tls_session_new(cfg, ours, expect);
	struct test_peer peer;
	struct buf rest;
	enum err e;

	opt.role = ours == TLS_CLIENT ? TLS_SERVER : TLS_CLIENT;
	buf_init(&rest, PIPE);
	test_peer_init(&peer, &opt);
	e = test_peer_run(&peer, s, &rest);
	if (peer.done && peer.error == 0) {
		uint8_t octet;

		(void)test_peer_read(&peer, &octet, 1); /* a client learns of its refusal late */
	}
	if (e == ERR_OK)
		assert_true(tls_session_established(s));
	else
		assert_false(tls_session_established(s));
	if (ret_alert != NULL)
		*ret_alert = peer.alert;
	test_peer_fini(&peer);
	buf_fini(&rest);
	tls_session_free(s);
	tls_config_unref(cfg);
	return e;
}

static enum err meet_leaf(enum tls_role ours, struct test_pki *pki, struct test_leaf leaf)
{
	struct test_material m;
	int alert = -1;
	enum err e;

	test_pki_issue(pki, &leaf, &m);
	e = meet(ours, &bob_only, (struct test_peer_options){.material = &m, .alpn = "h2"}, &alert);
	if (e != ERR_OK)
		assert_true(alert > 0); /* the peer is told */
	test_material_fini(&m);
	return e;
}

static void a_good_peer_is_accepted_in_both_roles(void **state)
{
	(void)state;
	for (int role = TLS_CLIENT; role <= TLS_SERVER; role++) {
		assert_int_equal(meet_leaf(role, &root, (struct test_leaf){.uris = {BOB}}), ERR_OK);
		assert_int_equal(
			meet_leaf(role, &root, (struct test_leaf){.uris = {BOB}, .dns = "bob"}),
			ERR_OK);
		assert_int_equal(
			meet_leaf(role, &root, (struct test_leaf){.uris = {BOB}, .no_ext = true}),
			ERR_OK);
		assert_int_equal(meet_leaf(role, &root,
		                           (struct test_leaf){.uris = {BOB}, .intermediates = 3}),
		                 ERR_OK);
	}
}

static void each_bad_certificate_has_its_own_reason(void **state)
{
	static const struct {
		struct test_leaf leaf;
		enum err want;
	} cases[] = {
		{{.uris = {BOB}, .not_after_in_s = -60}, ERR_TLS_EXPIRED},
		{{.uris = {BOB}, .not_before_in_s = 3600}, ERR_TLS_NOT_YET_VALID},
		{{.uris = {BOB, MALLORY}}, ERR_TLS_MANY_SPIFFE},
		{{.uris = {BOB, BOB}}, ERR_TLS_MANY_SPIFFE},
		{{.dns = "bob.demo"}, ERR_TLS_NO_SPIFFE},
		{{.uris = {NULL}}, ERR_TLS_NO_SPIFFE},
		{{.uris = {"https://cluster.local/ns/demo/sa/bob"}}, ERR_TLS_NO_SPIFFE},
		{{.uris = {"spiffe://cluster.local/ns/demo/sa/bob/x"}}, ERR_TLS_NO_SPIFFE},
		{{.raw_uri = BOB "\0.evil", .raw_uri_len = sizeof(BOB) - 1 + 6}, ERR_TLS},
		{{.raw_uri = BOB "\0", .raw_uri_len = sizeof(BOB)}, ERR_TLS},
		{{.uris = {BOB}, .is_ca = true}, ERR_TLS_BAD_USAGE},
		{{.uris = {BOB}, .no_key_usage = true}, ERR_TLS_BAD_USAGE},
		{{.uris = {BOB}, .no_digital_signature = true}, ERR_TLS_BAD_USAGE},
		{{.uris = {BOB}, .intermediates = 4}, ERR_TLS_CHAIN_LEN},
		{{.uris = {BOB}, .intermediates = 1, .hide_intermediates = true},
	         ERR_TLS_UNTRUSTED},
	};

	(void)state;
	for (int role = TLS_CLIENT; role <= TLS_SERVER; role++) {
		for (size_t i = 0; i < ARRAY_LEN(cases); i++)
			assert_string_equal(err_info(meet_leaf(role, &root, cases[i].leaf))->name,
			                    err_info(cases[i].want)->name);
		assert_int_equal(meet_leaf(role, &stranger, (struct test_leaf){.uris = {BOB}}),
		                 ERR_TLS_UNTRUSTED);
	}
}

static void an_extended_usage_for_the_other_role_only_is_refused(void **state)
{
	(void)state;
	assert_int_equal(
		meet_leaf(TLS_SERVER, &root, (struct test_leaf){.uris = {BOB}, .ext_server = true}),
		ERR_TLS_BAD_USAGE);
	assert_int_equal(
		meet_leaf(TLS_SERVER, &root, (struct test_leaf){.uris = {BOB}, .ext_client = true}),
		ERR_OK);
	assert_int_equal(
		meet_leaf(TLS_CLIENT, &root, (struct test_leaf){.uris = {BOB}, .ext_client = true}),
		ERR_TLS_BAD_USAGE);
	assert_int_equal(
		meet_leaf(TLS_CLIENT, &root, (struct test_leaf){.uris = {BOB}, .ext_server = true}),
		ERR_OK);
}

static void a_forged_clone_of_the_root_is_refused(void **state)
{
	(void)state;
	for (int role = TLS_CLIENT; role <= TLS_SERVER; role++) {
		enum err e = meet_leaf(role, &root,
		                       (struct test_leaf){.uris = {BOB}, .clone_root = true});

		assert_true(e == ERR_TLS_BAD_SIGNATURE || e == ERR_TLS_UNTRUSTED);
		e = meet_leaf(role, &root,
		              (struct test_leaf){.uris = {BOB}, .clone_root = true, .is_ca = true});
		assert_true(e == ERR_TLS_BAD_SIGNATURE || e == ERR_TLS_UNTRUSTED ||
		            e == ERR_TLS_BAD_USAGE);
	}
}

static void a_remembered_intermediate_does_not_replace_a_presented_one(void **state)
{
	struct test_leaf leaf = {.uris = {BOB}, .intermediates = 1};
	struct tls_config *cfg = test_pki_config(&root, ALICE);
	struct test_material whole, bare;
	struct pem_end {
		size_t n;
	} cut;

	(void)state;
	test_pki_issue(&root, &leaf, &whole);
	bare = whole;
	cut.n = (size_t)((uint8_t *)memmem(whole.chain.p, whole.chain.n,
	                                   "-----END CERTIFICATE-----\n", 26) -
	                 whole.chain.p) +
	        26;
	bare.chain.n = cut.n;
	for (int i = 0; i < 2; i++) {
		struct test_peer_options opt = {.role = TLS_CLIENT, .alpn = "h2"};
		struct tls_session *s = tls_session_new(cfg, TLS_SERVER, &nobody);
		struct test_peer peer;
		struct buf rest;

		buf_init(&rest, PIPE);
		opt.material = i == 0 ? &whole : &bare;
		test_peer_init(&peer, &opt);
		assert_int_equal(test_peer_run(&peer, s, &rest),
		                 i == 0 ? ERR_OK : ERR_TLS_UNTRUSTED);
		test_peer_fini(&peer);
		buf_fini(&rest);
		tls_session_free(s);
	}
	test_material_fini(&whole);
	tls_config_unref(cfg);
}

static void a_client_without_certificate_is_refused(void **state)
{
	int alert = 0;

	(void)state;
	assert_int_equal(
		meet(TLS_SERVER, &nobody, (struct test_peer_options){.alpn = "h2"}, &alert),
		ERR_TLS_NO_CERT);
	assert_int_equal(alert, certificate_required);
}

static void a_server_accepts_only_its_own_trust_domain(void **state)
{
	(void)state;
	assert_int_equal(meet_leaf(TLS_SERVER, &root, (struct test_leaf){.uris = {FOREIGN}}),
	                 ERR_TLS_TRUST_DOMAIN);
}

static enum err meet_as_client(const char *identity, const struct tls_expect *expect)
{
	struct test_material m;
	enum err e;

	test_pki_issue(&root, &(struct test_leaf){.uris = {identity}}, &m);
	e = meet(TLS_CLIENT, expect, (struct test_peer_options){.material = &m, .alpn = "h2"},
	         NULL);
	test_material_fini(&m);
	return e;
}

static void a_client_accepts_only_who_it_expects(void **state)
{
	static const char *const foreign[] = {FOREIGN};
	const struct tls_expect other_domain = {.identities = foreign, .identity_count = 1};

	(void)state;
	assert_int_equal(meet_as_client(BOB, &bob_only), ERR_OK);
	assert_int_equal(meet_as_client(MALLORY, &bob_only), ERR_TLS_WRONG_IDENTITY);
	assert_int_equal(meet_as_client(BOB, &nobody), ERR_TLS_WRONG_IDENTITY);
	/* no trust domain rule in this direction, contract 5.5 */
	assert_int_equal(meet_as_client(FOREIGN, &other_domain), ERR_OK);
}

static void alpn_is_h2_or_for_a_client_nothing(void **state)
{
	struct test_material m;
	int alert = 0;

	(void)state;
	test_pki_issue(&root, &(struct test_leaf){.uris = {BOB}}, &m);
	assert_int_equal(
		meet(TLS_SERVER, &nobody, (struct test_peer_options){.material = &m}, NULL),
		ERR_OK);
	assert_int_equal(meet(TLS_SERVER, &nobody,
	                      (struct test_peer_options){.material = &m, .alpn = "http/1.1"},
	                      &alert),
	                 ERR_TLS_ALPN);
	assert_int_equal(alert, no_application_protocol);
	assert_int_equal(
		meet(TLS_CLIENT, &bob_only, (struct test_peer_options){.material = &m}, NULL),
		ERR_TLS_ALPN);
	test_material_fini(&m);
}

static void both_suites_and_every_group_work(void **state)
{
	static const char *const suites[] = {"TLS13-AES256-GCM-SHA384", "TLS13-AES128-GCM-SHA256"};
	static const int groups[] = {WOLFSSL_ECC_X25519, WOLFSSL_ECC_SECP256R1,
	                             WOLFSSL_ECC_SECP384R1, WOLFSSL_X25519MLKEM768};
	struct test_material m;

	(void)state;
	test_pki_issue(&root, &(struct test_leaf){.uris = {BOB}}, &m);
	for (int role = TLS_CLIENT; role <= TLS_SERVER; role++) {
		for (size_t g = 0; g < ARRAY_LEN(groups); g++) {
			struct test_peer_options opt = {.material = &m,
			                                .alpn = "h2",
			                                .suites = suites[g % 2],
			                                .group = groups[g]};

			assert_int_equal(meet(role, &bob_only, opt, NULL), ERR_OK);
		}
		assert_int_not_equal(
			meet(role, &bob_only,
		             (struct test_peer_options){
				     .material = &m, .alpn = "h2", .group = WOLFSSL_ECC_SECP521R1},
		             NULL),
			ERR_OK);
	}
	test_material_fini(&m);
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
		assert_int_equal(open_front(x->s, &x->in, &o), ERR_OK);
		assert_int_equal(tls_session_pending(x->s, &x->peer.in), ERR_OK);
	} while (o.kind == TLS_OPENED_NOTHING);
	assert_int_equal(o.n, 5);
	assert_memory_equal(o.p, "hello", 5);
	put_sealed(x->s, &x->peer.in, span_str("world"));
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
	assert_int_equal(open_front(x.s, &x.peer.out, &o), ERR_OK);
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
static int hear_secret(WOLFSSL *ssl, int id, const unsigned char *secret, int n, void *arg)
{
	struct tls_direction *d = arg;
	int wanted = wolfSSL_is_server(ssl) ? SERVER_TRAFFIC_SECRET : CLIENT_TRAFFIC_SECRET;

	if (id == wanted)
		assert_int_equal(tls_direction_init(d, span_of(secret, (size_t)n)), ERR_OK);
	return 0;
}

struct rogue {
	struct tls_session *s;
	struct test_peer peer;
	struct tls_direction d; /* the peer's sending side */
	struct buf rest;
};

static void rogue_init(struct rogue *r, enum tls_role ours)
{
	struct tls_config *cfg = test_pki_config(&root, ALICE);
	struct test_peer_options opt = {.role = ours == TLS_CLIENT ? TLS_SERVER : TLS_CLIENT,
	                                .alpn = "h2"};
	struct test_material m;

	memset(&r->d, 0, sizeof(r->d));
	test_pki_issue(&root, &(struct test_leaf){.uris = {BOB}}, &m);
	opt.material = &m;
	r->s = tls_session_new(cfg, ours, &bob_only);
	buf_init(&r->rest, PIPE);
	test_peer_init(&r->peer, &opt);
	wolfSSL_set_tls13_secret_cb(r->peer.ssl, hear_secret, &r->d);
	assert_int_equal(test_peer_run(&r->peer, r->s, &r->rest), ERR_OK);
	assert_true(tls_session_established(r->s));
	test_material_fini(&m);
	tls_config_unref(cfg);
}

static void rogue_fini(struct rogue *r)
{
	tls_direction_fini(&r->d);
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
	struct pair p;
	struct tls_opened o;
	uint8_t copy[64];
	size_t len;

	(void)state;
	pair_init(&p, ALICE, BOB);
	put_sealed(p.c, &p.to_s, span_str("one"));
	len = p.to_s.n;
	memcpy(copy, p.to_s.p, len);
	expect_plain(p.s, &p.to_s, span_str("one"));
	assert_int_equal(tls_session_open(p.s, copy, len, &o), ERR_TLS);
	pair_fini(&p);

	pair_init(&p, ALICE, BOB);
	put_sealed(p.c, &p.to_s, span_str("one"));
	buf_clear(&p.to_s);
	put_sealed(p.c, &p.to_s, span_str("two"));
	assert_int_equal(open_front(p.s, &p.to_s, &o), ERR_TLS);
	pair_fini(&p);
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

static void the_key_changes_by_itself_before_its_records_run_out(void **state)
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
	struct pair p;

	(void)state;
	pair_init(&p, ALICE, BOB);
	put_sealed(p.c, &p.to_s, span_str("x"));
	expect_plain(p.s, &p.to_s, span_str("x"));
	tls_session_cool(p.c);
	tls_session_cool(p.s);
	assert_true(tls_session_bytes(p.c) < 1024);
	assert_true(tls_session_bytes(p.s) < 1024);
	put_sealed(p.c, &p.to_s, span_str("y")); /* and goes on where it was */
	expect_plain(p.s, &p.to_s, span_str("y"));
	pair_fini(&p);
}

static void endless_handshake_input_is_cut_off(void **state)
{
	/* CCS records are tolerated and say nothing: the cheapest way to keep us reading */
	static const uint8_t ccs[] = {20, 3, 3, 0, 1, 1};
	struct tls_config *cfg = test_pki_config(&root, ALICE);
	struct tls_session *s = tls_session_new(cfg, TLS_SERVER, &nobody);
	struct buf out;
	size_t total = 0;
	enum err e = ERR_OK;

	(void)state;
	buf_init(&out, PIPE);
	while (e == ERR_OK && total <= TLS_HANDSHAKE_IN_MAX) {
		size_t used = 0;

		e = tls_session_handshake(s, span_of(ccs, sizeof(ccs)), &used, &out);
		total += used;
	}
	assert_int_not_equal(e, ERR_OK);
	tls_session_free(s);
	tls_config_unref(cfg);
	buf_fini(&out);
}

static void garbage_and_plain_http_are_refused(void **state)
{
	static const char *const texts[] = {
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
		"\x17\x03\x03\x00\x05hello",
		"\x15\x03\x03\x00\x02\x02\x28",
	};
	struct tls_config *cfg = test_pki_config(&root, ALICE);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct tls_session *s = tls_session_new(cfg, TLS_SERVER, &nobody);
		size_t used = 0, n = i < 2 ? strlen(texts[i]) : 5 + (size_t)texts[i][4];
		struct buf out;

		buf_init(&out, PIPE);
		assert_int_not_equal(tls_session_handshake(s, span_of(texts[i], n), &used, &out),
		                     ERR_OK);
		assert_false(tls_session_established(s));
		tls_session_free(s);
		buf_fini(&out);
	}
	tls_config_unref(cfg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_sessions_agree_and_know_each_other),
		cmocka_unit_test(handshake_bytes_may_come_one_at_a_time),
		cmocka_unit_test(data_right_behind_finished_stays_unconsumed),
		cmocka_unit_test(every_size_survives_sealing_and_opening),
		cmocka_unit_test(a_good_peer_is_accepted_in_both_roles),
		cmocka_unit_test(each_bad_certificate_has_its_own_reason),
		cmocka_unit_test(an_extended_usage_for_the_other_role_only_is_refused),
		cmocka_unit_test(a_forged_clone_of_the_root_is_refused),
		cmocka_unit_test(a_remembered_intermediate_does_not_replace_a_presented_one),
		cmocka_unit_test(a_client_without_certificate_is_refused),
		cmocka_unit_test(a_server_accepts_only_its_own_trust_domain),
		cmocka_unit_test(a_client_accepts_only_who_it_expects),
		cmocka_unit_test(alpn_is_h2_or_for_a_client_nothing),
		cmocka_unit_test(both_suites_and_every_group_work),
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
		cmocka_unit_test(the_key_changes_by_itself_before_its_records_run_out),
		cmocka_unit_test(a_cool_session_holds_less_than_a_kilobyte),
		cmocka_unit_test(endless_handshake_input_is_cut_off),
		cmocka_unit_test(garbage_and_plain_http_are_refused),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
