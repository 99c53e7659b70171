/* SPDX-License-Identifier: Apache-2.0 */
/* What our hello says, octet by octet, and which hellos our server refuses. RFC 8446 4.1.2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/check.h"
#include "common/base/rd.h"
#include "common/tls/tls_session.h"
#include "tests/unit/common/tls/test_peer.h"
#include "tests/unit/common/tls/test_pki.h"

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#define ALICE "spiffe://cluster.local/ns/demo/sa/alice"
#define BOB   "spiffe://cluster.local/ns/demo/sa/bob"

enum {
	PIPE = 1024 * 1024,
	EXTENSIONS_MAX = 32,
	EXT_SERVER_NAME = 0,
	EXT_GROUPS = 10,
	EXT_ALPN = 16,
	EXT_SESSION_TICKET = 35,
	EXT_PRE_SHARED_KEY = 41,
	EXT_EARLY_DATA = 42,
	EXT_VERSIONS = 43,
	EXT_COOKIE = 44,
	EXT_POST_HANDSHAKE_AUTH = 49,
	EXT_KEY_SHARE = 51,
	GROUP_X25519 = 0x001d,
	GROUP_P256 = 0x0017,
	GROUP_P384 = 0x0018,
	GROUP_X25519MLKEM768 = 0x11ec,
};

static struct test_pki root;
static const char *const expect_bob[] = {BOB};
static const struct tls_expect bob_only = {.identities = expect_bob, .identity_count = 1};
static const struct tls_expect anybody = {0};

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

static struct tls_config *config_of(const char *identity, const struct tls_policy *policy)
{
	struct tls_config *cfg = NULL;
	struct tls_material view;
	struct test_material m;
	char why[200] = "";

	test_pki_issue(&root, &(struct test_leaf){.uris = {identity}}, &m);
	view = test_material_view(&m);
	view.policy = policy;
	assert_int_equal(tls_config_new(&view, &cfg, why, sizeof(why)), ERR_OK);
	test_material_fini(&m);
	return cfg;
}

/* Our first flight. */
static void first_flight(const struct tls_policy *policy, struct buf *out)
{
	struct tls_config *cfg = config_of(ALICE, policy);
	struct tls_session *s = tls_session_new(cfg, TLS_CLIENT, &bob_only);
	size_t used = 0;

	assert_int_equal(tls_session_handshake(s, span_of(NULL, 0), &used, out), ERR_OK);
	tls_session_free(s);
	tls_config_unref(cfg);
}

struct hello {
	struct span session_id, suites, compression;
	uint16_t version;
	unsigned int count;
	struct {
		uint16_t type;
		struct span content;
	} ext[EXTENSIONS_MAX];
};

static void read_hello(const struct buf *flight, struct hello *h)
{
	struct rd r = rd_of(buf_span(flight)), body, list;
	size_t len;

	*h = (struct hello){0};
	assert_int_equal(rd_u8(&r), 22); /* one record with one handshake message */
	rd_skip(&r, 2);
	len = rd_u16(&r);
	assert_int_equal(len, rd_left(&r));
	assert_int_equal(rd_u8(&r), 1); /* ClientHello */
	body = rd_of(rd_bytes(&r, rd_u24(&r)));
	assert_int_equal(rd_left(&r), 0);
	h->version = rd_u16(&body);
	rd_skip(&body, 32);
	h->session_id = rd_bytes(&body, rd_u8(&body));
	h->suites = rd_bytes(&body, rd_u16(&body));
	h->compression = rd_bytes(&body, rd_u8(&body));
	list = rd_of(rd_bytes(&body, rd_u16(&body)));
	while (rd_left(&list) > 0) {
		assert_true(h->count < EXTENSIONS_MAX);
		h->ext[h->count].type = rd_u16(&list);
		h->ext[h->count].content = rd_bytes(&list, rd_u16(&list));
		h->count++;
	}
	assert_false(rd_failed(&list) || rd_failed(&body) || rd_failed(&r));
	assert_int_equal(rd_left(&body), 0);
}

static bool has_extension(const struct hello *h, uint16_t type)
{
	for (unsigned int i = 0; i < h->count; i++) {
		if (h->ext[i].type == type)
			return true;
	}
	return false;
}

static struct span extension(const struct hello *h, uint16_t type)
{
	struct span content = {0};

	for (unsigned int i = 0; i < h->count; i++) {
		if (h->ext[i].type == type)
			content = h->ext[i].content;
	}
	assert_true(has_extension(h, type));
	return content;
}

static void expect_numbers(struct rd r, const uint16_t *numbers, size_t count)
{
	assert_int_equal(rd_left(&r), 2 * count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(rd_u16(&r), numbers[i]);
}

static void our_hello_offers_two_suites_one_version_h2_and_no_name(void **state)
{
	static const uint16_t suites[] = {0x1302, 0x1301}; /* AES-256-GCM first */
	static const uint16_t groups[] = {GROUP_X25519, GROUP_P256, GROUP_P384,
	                                  GROUP_X25519MLKEM768};
	static const uint16_t absent[] = {EXT_SERVER_NAME,    EXT_SESSION_TICKET,
	                                  EXT_PRE_SHARED_KEY, EXT_EARLY_DATA,
	                                  EXT_COOKIE,         EXT_POST_HANDSHAKE_AUTH};
	struct buf flight;
	struct hello h;
	struct rd r;

	(void)state;
	buf_init(&flight, PIPE);
	first_flight(NULL, &flight);
	read_hello(&flight, &h);
	assert_int_equal(h.version, 0x0303); /* legacy_version, 4.1.2 */
	expect_numbers(rd_of(h.suites), suites, ARRAY_LEN(suites));
	assert_true(span_eq(h.compression, span_of("\0", 1)));
	assert_true(span_eq(extension(&h, EXT_VERSIONS), span_of("\x02\x03\x04", 3)));
	assert_true(span_eq(extension(&h, EXT_ALPN), span_of("\0\x03\x02h2", 5)));
	r = rd_of(extension(&h, EXT_GROUPS));
	assert_int_equal(rd_u16(&r), 2 * ARRAY_LEN(groups));
	expect_numbers(r, groups, ARRAY_LEN(groups));
	for (size_t i = 0; i < ARRAY_LEN(absent); i++)
		assert_false(has_extension(&h, absent[i]));
	buf_fini(&flight);
}

static void our_hello_under_the_pqc_policy_offers_the_hybrid_alone(void **state)
{
	const struct tls_policy pqc = {.pqc_only = true};
	static const uint16_t groups[] = {GROUP_X25519MLKEM768};
	struct buf flight;
	struct hello h;
	struct rd r;
	size_t len;

	(void)state;
	buf_init(&flight, PIPE);
	first_flight(&pqc, &flight);
	read_hello(&flight, &h);
	r = rd_of(extension(&h, EXT_GROUPS));
	assert_int_equal(rd_u16(&r), 2);
	expect_numbers(r, groups, 1);
	r = rd_of(extension(&h, EXT_KEY_SHARE));
	len = rd_u16(&r);
	assert_int_equal(len, rd_left(&r));
	assert_int_equal(rd_u16(&r), GROUP_X25519MLKEM768);
	len = rd_u16(&r);
	assert_int_equal(len, rd_left(&r)); /* one share and no other */
	buf_fini(&flight);
}

/* Our server's answer to a first flight. */
static enum err serve(const struct tls_policy *policy, const struct buf *flight, struct buf *out)
{
	struct tls_config *cfg = config_of(BOB, policy);
	struct tls_session *s = tls_session_new(cfg, TLS_SERVER, &anybody);
	size_t used = 0;
	enum err e = tls_session_handshake(s, buf_span(flight), &used, out);

	tls_session_free(s);
	tls_config_unref(cfg);
	return e;
}

static uint8_t *within(struct buf *flight, struct span part)
{
	return flight->p + (part.p - flight->p);
}

/* Fatal alerts (the library may say it twice), and nothing of a handshake. */
static void expect_alert(const struct buf *out)
{
	assert_true(out->n > 0 && out->n % 7 == 0);
	for (size_t at = 0; at < out->n; at += 7) {
		assert_int_equal(out->p[at], 21);
		assert_int_equal(out->p[at + 5], 2);
	}
}

static void a_client_with_neither_of_our_suites_is_refused(void **state)
{
	static const uint8_t others[][4] = {
		{0x13, 0x03, 0x13, 0x03}, /* ChaCha20-Poly1305 */
		{0x13, 0x04, 0x13, 0x05}, /* AES-128-CCM, the short one too */
		{0xc0, 0x2b, 0xc0, 0x2f}, /* ECDHE with AES-128-GCM of TLS 1.2 */
		{0x00, 0x00, 0x00, 0xff}, /* nothing */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		struct buf flight, out;
		struct hello h;

		buf_init(&flight, PIPE);
		buf_init(&out, PIPE);
		first_flight(NULL, &flight);
		read_hello(&flight, &h);
		assert_int_equal(h.suites.n, 4);
		memcpy(within(&flight, h.suites), others[i], 4);
		assert_int_equal(serve(NULL, &flight, &out), ERR_TLS);
		expect_alert(&out);
		buf_fini(&flight);
		buf_fini(&out);
	}
}

/* The version is where TLS 1.3 says it; a hello that does not is one of TLS 1.2 (4.2.1). */
static void a_client_of_another_version_is_refused(void **state)
{
	static const uint8_t versions[][2] = {{3, 3}, {3, 2}, {3, 1}, {3, 0}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(versions) + 1; i++) {
		struct buf flight, out;
		struct hello h;

		buf_init(&flight, PIPE);
		buf_init(&out, PIPE);
		first_flight(NULL, &flight);
		read_hello(&flight, &h);
		if (i < ARRAY_LEN(versions))
			memcpy(within(&flight, extension(&h, EXT_VERSIONS)) + 1, versions[i], 2);
		else /* an extension nobody knows in its place */
			within(&flight, extension(&h, EXT_VERSIONS))[-4] = 0xfa;
		assert_int_not_equal(serve(NULL, &flight, &out), ERR_OK);
		expect_alert(&out);
		buf_fini(&flight);
		buf_fini(&out);
	}
}

/* Two of ours, joined until neither has anything to say. Returns the first error of either. */
static enum err join(const struct tls_policy *client, const struct tls_policy *server)
{
	struct tls_config *cfg[2] = {config_of(ALICE, client), config_of(BOB, server)};
	struct tls_session *s[2] = {tls_session_new(cfg[0], TLS_CLIENT, &bob_only),
	                            tls_session_new(cfg[1], TLS_SERVER, &anybody)};
	enum err e = ERR_OK;
	struct buf in[2];

	buf_init(&in[0], PIPE);
	buf_init(&in[1], PIPE);
	for (int i = 0; i < 12 && e == ERR_OK; i++) {
		size_t used = 0;

		e = tls_session_handshake(s[i % 2], buf_span(&in[i % 2]), &used, &in[!(i % 2)]);
		buf_consume(&in[i % 2], used);
	}
	if (e == ERR_OK)
		assert_true(tls_session_established(s[0]) && tls_session_established(s[1]));
	for (int i = 0; i < 2; i++) {
		tls_session_free(s[i]);
		tls_config_unref(cfg[i]);
		buf_fini(&in[i]);
	}
	return e;
}

/* A peer that knows one group meets ours, which is under the policy. */
static enum err meet_pqc(enum tls_role ours, int group)
{
	const struct tls_policy pqc = {.pqc_only = true};
	struct tls_config *cfg = config_of(ALICE, &pqc);
	struct tls_session *s = tls_session_new(cfg, ours, &bob_only);
	struct test_material m;
	struct test_peer peer;
	struct buf rest;
	enum err e;

	test_pki_issue(&root, &(struct test_leaf){.uris = {BOB}}, &m);
	buf_init(&rest, PIPE);
	test_peer_init(&peer, &(struct test_peer_options){.role = ours == TLS_CLIENT ? TLS_SERVER
	                                                                             : TLS_CLIENT,
	                                                  .material = &m,
	                                                  .alpn = "h2",
	                                                  .group = group});
	e = test_peer_run(&peer, s, &rest);
	assert_true(e != ERR_OK || tls_session_established(s));
	test_peer_fini(&peer);
	test_material_fini(&m);
	buf_fini(&rest);
	tls_session_free(s);
	tls_config_unref(cfg);
	return e;
}

static void the_pqc_policy_accepts_the_hybrid_and_refuses_all_else_in_both_roles(void **state)
{
	static const int classical[] = {WOLFSSL_ECC_X25519, WOLFSSL_ECC_SECP256R1,
	                                WOLFSSL_ECC_SECP384R1};
	const struct tls_policy pqc = {.pqc_only = true};

	(void)state;
	assert_int_equal(join(&pqc, &pqc), ERR_OK);
	assert_int_equal(join(&pqc, NULL), ERR_OK); /* both know it */
	assert_int_equal(join(NULL, &pqc), ERR_OK); /* by a second hello */
	for (int role = TLS_CLIENT; role <= TLS_SERVER; role++) {
		assert_int_equal(meet_pqc(role, WOLFSSL_X25519MLKEM768), ERR_OK);
		for (size_t i = 0; i < ARRAY_LEN(classical); i++)
			assert_int_not_equal(meet_pqc(role, classical[i]), ERR_OK);
	}
}

static bool groups_missing;
int __real_wolfSSL_CTX_set_groups(WOLFSSL_CTX *ctx, int *groups, int count);
int __wrap_wolfSSL_CTX_set_groups(WOLFSSL_CTX *ctx, int *groups, int count);

int __wrap_wolfSSL_CTX_set_groups(WOLFSSL_CTX *ctx, int *groups, int count)
{
	return groups_missing ? -1 : __real_wolfSSL_CTX_set_groups(ctx, groups, count);
}

static void a_library_without_the_hybrid_is_found_before_anything_starts(void **state)
{
	const struct tls_policy pqc = {.pqc_only = true};
	char why[200] = "";

	(void)state;
	assert_int_equal(tls_policy_check(&pqc, why, sizeof(why)), ERR_OK);
	groups_missing = true;
	assert_int_equal(tls_policy_check(&pqc, why, sizeof(why)), ERR_TLS);
	assert_non_null(strstr(why, "key exchange group"));
	groups_missing = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(our_hello_offers_two_suites_one_version_h2_and_no_name),
		cmocka_unit_test(our_hello_under_the_pqc_policy_offers_the_hybrid_alone),
		cmocka_unit_test(a_client_with_neither_of_our_suites_is_refused),
		cmocka_unit_test(a_client_of_another_version_is_refused),
		cmocka_unit_test(
			the_pqc_policy_accepts_the_hybrid_and_refuses_all_else_in_both_roles),
		cmocka_unit_test(a_library_without_the_hybrid_is_found_before_anything_starts),
	};

	return cmocka_run_group_tests_name("tls_hello", tests, set_up, tear_down);
}
