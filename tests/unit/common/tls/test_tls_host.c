/* SPDX-License-Identifier: Apache-2.0 */
/* Servers known by name or address: what a certificate names, and handshakes that rest on it. */
#include "common/tls/tls_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "common/tls/tls_session.h"
#include "tests/unit/common/tls/test_pki.h"

#define HOST "istiod.istio-system.svc"

static struct test_pki root, other;

/* --- names ------------------------------------------------------------------------------------------ */

/* "d:name" a dNSName, "u:name" a URI, "4:.." and "6:.." an iPAddress of as many octets; separated by blanks. */
static size_t make_names(const char *text, uint8_t *out)
{
	size_t n = 0;

	while (*text) {
		size_t len = strcspn(text, " ") - 2;

		out[n++] = text[0] == 'd' ? 0x82 : text[0] == 'u' ? 0x86 : 0x87;
		out[n++] = (uint8_t)len;
		memcpy(out + n, text + 2, len);
		n += len;
		text += 2 + len;
		text += *text == ' ';
	}
	return n;
}

static void a_host_is_named_by_its_own_kind_of_name_only(void **state)
{
	static const struct {
		const char *names, *host;
		bool named;
	} cases[] = {
		{"d:istiod.svc", "istiod.svc", true},
		{"d:IstioD.svc", "istiod.SVC", true},
		{"d:a.svc d:b.svc", "b.svc", true},
		{"d:istiod.svc", "xistiod.svc", false},
		{"d:istiod.svc", "istiod.svc.evil", false},
		{"u:istiod.svc", "istiod.svc", false},
		{"d:*.example.org", "a.example.org", true},
		{"d:*.example.org", "a.b.example.org", false},
		{"d:*.example.org", "example.org", false},
		{"d:*.example.org", ".example.org", false},
		{"d:*.org", "example.org", false},
		{"d:*", "localhost", false},
		{"d:a*.example.org", "ab.example.org", false},
		{"d:*.*.org", "a.b.org", false},
		{"4:\x0a\x01\x02\x03", "10.1.2.3", true},
		{"4:\x0a\x01\x02\x03", "10.1.2.4", false},
		{"d:10.1.2.3", "10.1.2.3", false},
		{"d:*.1.2.3", "10.1.2.3", false},
		{"6:\xfd\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01",
	         "fd01:101:101:101:101:101:101:101", true},
		{"4:\xfd\x01\x01\x01", "fd01:101:101:101:101:101:101:101", false},
		{"", "istiod.svc", false},
		{"d:x", "", false},
	};
	uint8_t der[256];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = make_names(cases[i].names, der);

		if (tls_host_named(span_of(der, n), cases[i].host) != cases[i].named)
			fail_msg("\"%s\" and host \"%s\"", cases[i].names, cases[i].host);
	}
}

static void a_nul_in_a_name_hides_nothing(void **state)
{
	static const uint8_t der[] = {0x82, 12,  'a', '.', 's', 'v', 'c',
	                              0,    '.', 'e', 'v', 'i', 'l', 0};

	(void)state;
	assert_false(tls_host_named(span_of(der, sizeof(der)), "a.svc"));
}

/* --- handshakes --------------------------------------------------------------------------------------- */

static struct tls_config *config(enum tls_kind kind, const struct test_material *m,
                                 struct span roots)
{
	struct tls_material view = {.kind = kind};
	struct tls_config *c = NULL;
	char why[200];

	if (kind == TLS_HOST_SERVER) {
		view.chain_pem = buf_span(&m->chain);
		view.key_pem = buf_span(&m->key);
	} else {
		view.roots_pem = roots;
	}
	if (tls_config_new(&view, &c, why, sizeof(why)) != ERR_OK)
		fail_msg("%s", why);
	assert_int_equal(tls_config_kind(c), kind);
	assert_string_equal(tls_config_identity(c), "");
	return c;
}

static enum err step(struct tls_session *s, struct buf *in, struct buf *out)
{
	size_t used = 0;
	enum err e = tls_session_handshake(s, buf_span(in), &used, out);

	buf_consume(in, used);
	return e;
}

/* What the client makes of the server; both ends are checked when it is content. */
static enum err shake(struct tls_config *client, struct tls_config *server,
                      const char *const *hosts, unsigned int host_count)
{
	const struct tls_expect by_host = {.hosts = hosts, .host_count = host_count};
	const struct tls_expect any = {0};
	struct tls_session *c = tls_session_new(client, TLS_CLIENT, &by_host);
	struct tls_session *s = tls_session_new(server, TLS_SERVER, &any);
	struct buf to_c, to_s;
	enum err e = ERR_OK, at_server = ERR_OK;

	buf_init(&to_c, 1 << 20);
	buf_init(&to_s, 1 << 20);
	for (int i = 0; i < 10 && e == ERR_OK && at_server == ERR_OK; i++) {
		e = step(c, &to_c, &to_s);
		if (e == ERR_OK && !tls_session_established(s))
			at_server = step(s, &to_s, &to_c);
		if (tls_session_established(c) && tls_session_established(s))
			break;
	}
	if (e == ERR_OK) {
		assert_int_equal(at_server, ERR_OK);
		assert_true(tls_session_established(c));
		assert_string_equal(tls_session_peer(c), hosts[host_count - 1]);
		assert_string_equal(tls_session_peer(s), "");
	}
	tls_session_free(c);
	tls_session_free(s);
	buf_fini(&to_c);
	buf_fini(&to_s);
	return e;
}

static void a_server_is_believed_for_the_name_its_certificate_has(void **state)
{
	static const char *const right[] = {"istiod.other.svc", HOST}, *const wrong[] = {
									       "istiod.svc"};
	struct test_material m;
	struct tls_config *server, *client, *stranger;

	(void)state;
	test_pki_issue(&root, &(struct test_leaf){.dns = HOST, .intermediates = 1}, &m);
	server = config(TLS_HOST_SERVER, &m, span_str(""));
	client = config(TLS_HOST_CLIENT, NULL, buf_span(&m.roots));
	stranger = config(TLS_HOST_CLIENT, NULL, buf_span(&other.pem));
	assert_int_equal(shake(client, server, right, 2), ERR_OK);
	assert_int_equal(shake(client, server, wrong, 1), ERR_TLS_WRONG_IDENTITY);
	assert_int_equal(shake(stranger, server, right, 2), ERR_TLS_UNTRUSTED);
	tls_config_unref(server);
	tls_config_unref(client);
	tls_config_unref(stranger);
	test_material_fini(&m);
}

static void whoever_names_no_host_trusts_nobody(void **state)
{
	struct test_material m;
	struct tls_config *server, *client;

	(void)state;
	test_pki_issue(&root, &(struct test_leaf){.dns = HOST}, &m);
	server = config(TLS_HOST_SERVER, &m, span_str(""));
	client = config(TLS_HOST_CLIENT, NULL, buf_span(&m.roots));
	assert_int_equal(shake(client, server, NULL, 0), ERR_TLS_NO_SPIFFE);
	tls_config_unref(server);
	tls_config_unref(client);
	test_material_fini(&m);
}

static void usage_and_dates_count_as_for_every_certificate(void **state)
{
	static const char *const hosts[] = {HOST};
	static const struct {
		struct test_leaf leaf;
		enum err e;
	} cases[] = {
		{{.dns = HOST, .ext_client = true}, ERR_TLS_BAD_USAGE},
		{{.dns = HOST, .is_ca = true}, ERR_TLS_BAD_USAGE},
		{{.dns = HOST, .not_before_in_s = TEST_PKI_DAY_S / 2}, ERR_TLS_NOT_YET_VALID},
		{{.dns = HOST, .no_key_usage = true}, ERR_OK},
		{{.dns = HOST, .no_ext = true}, ERR_OK},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct test_material m;
		struct tls_config *server, *client;

		test_pki_issue(&root, &cases[i].leaf, &m);
		server = config(TLS_HOST_SERVER, &m, span_str(""));
		client = config(TLS_HOST_CLIENT, NULL, buf_span(&m.roots));
		assert_int_equal(shake(client, server, hosts, 1), cases[i].e);
		tls_config_unref(server);
		tls_config_unref(client);
		test_material_fini(&m);
	}
}

/* A workload's certificate is no ticket into the control plane, nor the other way round. */
static void a_mesh_certificate_is_no_servers(void **state)
{
	static const char *const hosts[] = {HOST};
	struct test_material m;
	struct tls_config *server, *client;

	(void)state;
	test_pki_issue(&root, &(struct test_leaf){.uris = {"spiffe://td/ns/a/sa/b"}}, &m);
	server = config(TLS_HOST_SERVER, &m, span_str(""));
	client = config(TLS_HOST_CLIENT, NULL, buf_span(&m.roots));
	assert_int_equal(shake(client, server, hosts, 1), ERR_TLS_WRONG_IDENTITY);
	tls_config_unref(server);
	tls_config_unref(client);
	test_material_fini(&m);
}

static int set_up(void **state)
{
	(void)state;
	if (tls_global_init() != ERR_OK)
		return -1;
	test_pki_init(&root, "root");
	test_pki_init(&other, "other");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	test_pki_fini(&root);
	test_pki_fini(&other);
	tls_global_fini();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_host_is_named_by_its_own_kind_of_name_only),
		cmocka_unit_test(a_nul_in_a_name_hides_nothing),
		cmocka_unit_test(a_server_is_believed_for_the_name_its_certificate_has),
		cmocka_unit_test(whoever_names_no_host_trusts_nobody),
		cmocka_unit_test(usage_and_dates_count_as_for_every_certificate),
		cmocka_unit_test(a_mesh_certificate_is_no_servers),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
