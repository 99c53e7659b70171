/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include "common/base/buf.h"
#include "common/base/check.h"
#include "common/tls/tls_session.h"
#include "tests/unit/common/tls/test_pair.h"
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

static void two_sessions_agree_and_know_each_other(void **state)
{
	struct test_pair p;

	(void)state;
	test_pair_init(&p, &root, ALICE, BOB);
	assert_string_equal(tls_session_peer(p.c), BOB);
	assert_string_equal(tls_session_peer(p.s), ALICE);
	for (int i = 0; i < 3; i++) {
		test_put_sealed(p.c, &p.to_s, span_str("ping"));
		test_expect_plain(p.s, &p.to_s, span_str("ping"));
		test_put_sealed(p.s, &p.to_c, span_str("pong"));
		test_expect_plain(p.c, &p.to_c, span_str("pong"));
	}
	test_pair_fini(&p);
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
	test_put_sealed(c, &to_s, span_str("first"));
	test_put_sealed(c, &to_s, span_str("second"));
	assert_int_equal(tls_session_handshake(s, buf_span(&to_s), &used, &to_c), ERR_OK);
	assert_true(tls_session_established(s));
	buf_consume(&to_s, used);
	test_expect_plain(s, &to_s, span_str("first"));
	test_expect_plain(s, &to_s, span_str("second"));
	assert_int_equal(to_s.n, 0);
	tls_session_free(c);
	tls_session_free(s);
	tls_config_unref(client);
	tls_config_unref(server);
	buf_fini(&to_c);
	buf_fini(&to_s);
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
enum { THREADS = 4, HANDSHAKES = 20 };

struct shared {
	struct tls_config *client, *server;
};

/* Handshakes in memory with configs that other threads use, too. Returns how many were established. */
static void *shake_hands(void *arg)
{
	const struct shared *sh = arg;
	uintptr_t good = 0;

	for (int i = 0; i < HANDSHAKES; i++) {
		struct tls_session *c = tls_session_new(sh->client, TLS_CLIENT, &bob_only);
		struct tls_session *s = tls_session_new(sh->server, TLS_SERVER, &nobody);
		enum err e = ERR_OK;
		struct buf to_c, to_s;

		buf_init(&to_c, PIPE);
		buf_init(&to_s, PIPE);
		for (int k = 0; k < 4 && e == ERR_OK; k++) {
			size_t used = 0;

			e = tls_session_handshake(c, buf_span(&to_c), &used, &to_s);
			buf_consume(&to_c, used);
			if (e == ERR_OK)
				e = tls_session_handshake(s, buf_span(&to_s), &used, &to_c);
			buf_consume(&to_s, used);
		}
		good += tls_session_established(c) && tls_session_established(s);
		tls_session_free(c);
		tls_session_free(s);
		buf_fini(&to_c);
		buf_fini(&to_s);
	}
	return (void *)good;
}

static void one_config_serves_many_threads_at_once(void **state)
{
	struct shared sh = {.client = test_pki_config(&root, ALICE)};
	struct test_leaf leaf = {.uris = {BOB},
	                         .intermediates = 2}; /* the library remembers these */
	struct tls_material view;
	struct test_material m;
	pthread_t threads[THREADS];
	uintptr_t good = 0;
	char why[200];

	(void)state;
	test_pki_issue(&root, &leaf, &m);
	view = test_material_view(&m);
	assert_int_equal(tls_config_new(&view, &sh.server, why, sizeof(why)), ERR_OK);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, shake_hands, &sh), 0);
	for (int i = 0; i < THREADS; i++) {
		void *ret = NULL;

		assert_int_equal(pthread_join(threads[i], &ret), 0);
		good += (uintptr_t)ret;
	}
	assert_int_equal(good, THREADS * HANDSHAKES);
	tls_config_unref(sh.client);
	tls_config_unref(sh.server);
	test_material_fini(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_sessions_agree_and_know_each_other),
		cmocka_unit_test(handshake_bytes_may_come_one_at_a_time),
		cmocka_unit_test(data_right_behind_finished_stays_unconsumed),
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
		cmocka_unit_test(endless_handshake_input_is_cut_off),
		cmocka_unit_test(one_config_serves_many_threads_at_once),
		cmocka_unit_test(garbage_and_plain_http_are_refused),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
