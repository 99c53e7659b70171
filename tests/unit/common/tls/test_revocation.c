/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions under revocation lists, several roots and trust-domain aliases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/check.h"
#include "common/tls/revocation.h"
#include "common/tls/tls_session.h"
#include "tests/unit/common/tls/test_pki.h"

#define ALICE "spiffe://cluster.local/ns/demo/sa/alice"
#define BOB   "spiffe://cluster.local/ns/demo/sa/bob"
#define OLD   "spiffe://old.example/ns/demo/sa/bob"
#define THIRD "spiffe://third.example/ns/demo/sa/bob"

enum { PIPE = 1024 * 1024 };

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

static struct tls_config *config_of(const struct test_material *m, const struct tls_policy *policy)
{
	struct tls_material view = test_material_view(m);
	struct tls_config *cfg = NULL;
	char why[200] = "";

	view.policy = policy;
	if (tls_config_new(&view, &cfg, why, sizeof(why)) != ERR_OK)
		fail_msg("%s", why);
	return cfg;
}

/* Two sessions, joined until neither has anything to say. */
struct pair {
	struct tls_session *s[2]; /* client, server */
	enum err e[2];
};

static void shake(struct pair *p, struct tls_config *client, struct tls_config *server,
                  const char *expected)
{
	const char *const ids[] = {expected};
	const struct tls_expect expect = {.identities = ids, .identity_count = 1}, any = {0};
	struct buf in[2];

	p->s[0] = tls_session_new(client, TLS_CLIENT, &expect);
	p->s[1] = tls_session_new(server, TLS_SERVER, &any);
	p->e[0] = p->e[1] = ERR_OK;
	buf_init(&in[0], PIPE);
	buf_init(&in[1], PIPE);
	for (int i = 0; i < 12; i++) {
		const int who = i % 2;
		size_t used = 0;

		if (p->e[who] != ERR_OK || tls_session_established(p->s[who]))
			continue;
		p->e[who] = tls_session_handshake(p->s[who], buf_span(&in[who]), &used, &in[!who]);
		buf_consume(&in[who], used);
	}
	buf_fini(&in[0]);
	buf_fini(&in[1]);
}

static void pair_fini(struct pair *p)
{
	tls_session_free(p->s[0]);
	tls_session_free(p->s[1]);
}

static void publish(struct revocation *r, struct test_pki *issuer, const struct span *serials,
                    size_t count)
{
	struct crl_set *set = NULL;
	struct buf text;
	char why[200] = "";

	buf_init(&text, PIPE);
	test_pki_crl(issuer, &(struct test_crl){.serials = serials, .count = count}, true, &text);
	assert_int_equal(crl_set_new(buf_span(&text), &set, why, sizeof(why)), ERR_OK);
	revocation_publish(r, set);
	buf_fini(&text);
}

/* Two nodes, each with lists of its own. */
struct world {
	struct revocation *r[2];
	struct tls_policy policy[2];
	struct test_material m[2];
	struct tls_config *cfg[2];
};

static void world_init(struct world *w, struct test_pki *signer)
{
	static const char *const ids[] = {ALICE, BOB};

	*w = (struct world){0};
	for (int i = 0; i < 2; i++) {
		w->r[i] = revocation_new();
		w->policy[i].revocation = w->r[i];
		test_pki_issue(signer, &(struct test_leaf){.uris = {ids[i]}}, &w->m[i]);
		if (signer != &root) {
			buf_put(&w->m[i].chain, buf_span(&signer->pem));
			buf_clear(&w->m[i].roots);
			buf_put(&w->m[i].roots, buf_span(&root.pem));
		}
		w->cfg[i] = config_of(&w->m[i], &w->policy[i]);
	}
}

static void world_fini(struct world *w)
{
	for (int i = 0; i < 2; i++) {
		tls_config_unref(w->cfg[i]);
		test_material_fini(&w->m[i]);
		revocation_free(w->r[i]);
	}
}

static void a_revoked_peer_is_refused_in_both_roles(void **state)
{
	struct world w;
	struct span serial;
	struct pair p;

	(void)state;
	world_init(&w, &root);
	serial = test_pki_serial(&w.m[1].chain, 0);
	publish(w.r[0], &root, &serial, 1); /* the client's node knows of the server */
	shake(&p, w.cfg[0], w.cfg[1], BOB);
	assert_int_equal(p.e[0], ERR_TLS_REVOKED);
	assert_false(tls_session_established(p.s[1]));
	pair_fini(&p);

	publish(w.r[0], &root, NULL, 0);
	serial = test_pki_serial(&w.m[0].chain, 0);
	publish(w.r[1], &root, &serial, 1); /* and the other way round */
	shake(&p, w.cfg[0], w.cfg[1], BOB);
	assert_int_equal(p.e[1], ERR_TLS_REVOKED);
	pair_fini(&p);

	publish(w.r[1], &root, NULL, 0);
	shake(&p, w.cfg[0], w.cfg[1], BOB);
	assert_int_equal(p.e[0], ERR_OK);
	assert_int_equal(p.e[1], ERR_OK);
	pair_fini(&p);
	world_fini(&w);
}

static void a_live_session_of_a_revoked_peer_is_found_and_others_are_not(void **state)
{
	struct world w;
	struct span serial;
	struct pair p;

	(void)state;
	world_init(&w, &root);
	shake(&p, w.cfg[0], w.cfg[1], BOB);
	assert_true(tls_session_established(p.s[0]) && tls_session_established(p.s[1]));
	assert_false(tls_session_untracked(p.s[0]));
	assert_int_equal(tls_session_recheck(p.s[0]), ERR_OK); /* before any list */
	serial = test_pki_serial(&w.m[1].chain, 0);
	publish(w.r[0], &root, &serial, 1);
	publish(w.r[1], &root, &serial, 1);
	assert_int_equal(tls_session_recheck(p.s[0]), ERR_TLS_REVOKED);
	assert_int_equal(tls_session_recheck(p.s[1]), ERR_OK); /* alice is not revoked */
	publish(w.r[0], &stranger, &serial, 1);
	assert_int_equal(tls_session_recheck(p.s[0]), ERR_OK); /* another issuer's list */
	pair_fini(&p);
	world_fini(&w);
}

/* The peer was verified, then the list came, then the handshake ended. */
static void a_list_that_comes_during_the_handshake_is_noticed(void **state)
{
	const char *const ids[] = {BOB};
	const struct tls_expect expect = {.identities = ids, .identity_count = 1}, any = {0};
	struct tls_session *c, *s;
	struct buf to_c, to_s;
	struct span serial;
	struct world w;
	size_t used = 0, first;
	enum err e;

	(void)state;
	world_init(&w, &root);
	c = tls_session_new(w.cfg[0], TLS_CLIENT, &expect);
	s = tls_session_new(w.cfg[1], TLS_SERVER, &any);
	buf_init(&to_c, PIPE);
	buf_init(&to_s, PIPE);
	assert_int_equal(tls_session_handshake(c, span_of(NULL, 0), &used, &to_s), ERR_OK);
	assert_int_equal(tls_session_handshake(s, buf_span(&to_s), &used, &to_c), ERR_OK);
	buf_clear(&to_s);
	assert_int_equal(tls_session_handshake(c, buf_span(&to_c), &used, &to_s), ERR_OK);
	assert_true(tls_session_established(c));
	/* certificate and its proof first, Finished later: the last record is it */
	first = to_s.n - 58;
	assert_int_equal(tls_session_handshake(s, span_of(to_s.p, first), &used, &to_c), ERR_OK);
	assert_false(tls_session_established(s));
	serial = test_pki_serial(&w.m[0].chain, 0);
	publish(w.r[1], &root, &serial, 1);
	e = tls_session_handshake(s, span_of(to_s.p + used, to_s.n - used), &used, &to_c);
	assert_int_equal(e, ERR_TLS_REVOKED);
	assert_false(tls_session_established(s));
	tls_session_free(c);
	tls_session_free(s);
	buf_fini(&to_c);
	buf_fini(&to_s);
	world_fini(&w);
}

static void a_revoked_intermediate_and_a_leaf_of_it_are_refused(void **state)
{
	struct test_pki middle;
	struct span serial;
	struct world w;
	struct pair p;

	(void)state;
	test_pki_init_under(&middle, &root, "middle");
	world_init(&w, &middle);
	shake(&p, w.cfg[0], w.cfg[1], BOB);
	assert_true(tls_session_established(p.s[0]) && tls_session_established(p.s[1]));
	serial =
		test_pki_serial(&w.m[1].chain, 1); /* of the intermediate, which the root revokes */
	publish(w.r[0], &root, &serial, 1);
	assert_int_equal(tls_session_recheck(p.s[0]), ERR_TLS_REVOKED);
	pair_fini(&p);
	shake(&p, w.cfg[0], w.cfg[1], BOB);
	assert_int_equal(p.e[0], ERR_TLS_REVOKED);
	pair_fini(&p);

	serial =
		test_pki_serial(&w.m[1].chain, 0); /* of the leaf, which the intermediate revokes */
	publish(w.r[0], &root, &serial, 1);
	shake(&p, w.cfg[0], w.cfg[1], BOB);
	assert_int_equal(p.e[0], ERR_OK); /* but the root has no say in that */
	pair_fini(&p);
	publish(w.r[0], &middle, &serial, 1);
	shake(&p, w.cfg[0], w.cfg[1], BOB);
	assert_int_equal(p.e[0], ERR_TLS_REVOKED);
	pair_fini(&p);
	test_pki_fini(&middle);
	world_fini(&w);
}

static void what_a_session_keeps_of_a_chain_is_small(void **state)
{
	struct test_pki middle;
	struct tls_config *plain[2];
	struct world w;
	struct pair p, q;

	(void)state;
	test_pki_init_under(&middle, &root, "middle");
	world_init(&w, &middle);
	plain[0] = config_of(&w.m[0], NULL);
	plain[1] = config_of(&w.m[1], NULL);
	shake(&p, w.cfg[0], w.cfg[1], BOB);
	shake(&q, plain[0], plain[1], BOB);
	tls_session_cool(p.s[0]);
	tls_session_cool(q.s[0]);
	assert_true(tls_session_bytes(p.s[0]) - tls_session_bytes(q.s[0]) <= 100);
	assert_false(tls_session_untracked(q.s[0])); /* without lists there is nothing to track */
	pair_fini(&p);
	pair_fini(&q);
	tls_config_unref(plain[0]);
	tls_config_unref(plain[1]);
	test_pki_fini(&middle);
	world_fini(&w);
}

/* A rotation: old, both, new. */
static void several_roots_are_all_trusted_and_none_that_left(void **state)
{
	struct test_material of_old, of_new;
	struct tls_config *old, *both, *only_new, *fresh;
	struct pair p;

	(void)state;
	test_pki_issue(&root, &(struct test_leaf){.uris = {BOB}}, &of_old);
	test_pki_issue(&stranger, &(struct test_leaf){.uris = {BOB}}, &of_new);
	old = config_of(&of_old, NULL);
	only_new = config_of(&of_new, NULL);
	buf_put(&of_old.roots, buf_span(&stranger.pem)); /* old leaf, both roots */
	both = config_of(&of_old, NULL);
	buf_put(&of_new.roots, buf_span(&root.pem)); /* new leaf, both roots */
	fresh = config_of(&of_new, NULL);

	shake(&p, old, both, BOB);
	assert_int_equal(p.e[0] | p.e[1], ERR_OK);
	pair_fini(&p);
	shake(&p, both, fresh, BOB);
	assert_int_equal(p.e[0] | p.e[1], ERR_OK);
	pair_fini(&p);
	shake(&p, fresh, both, BOB);
	assert_int_equal(p.e[0] | p.e[1], ERR_OK);
	pair_fini(&p);
	shake(&p, only_new, fresh, BOB);
	assert_int_equal(p.e[0] | p.e[1], ERR_OK);
	pair_fini(&p);
	shake(&p, only_new, both, BOB); /* whose leaf is of the root that left */
	assert_int_equal(p.e[0], ERR_TLS_UNTRUSTED);
	pair_fini(&p);
	tls_config_unref(old);
	tls_config_unref(both);
	tls_config_unref(only_new);
	tls_config_unref(fresh);
	test_material_fini(&of_old);
	test_material_fini(&of_new);
}

static struct tls_config *config_as(const char *identity, const struct tls_policy *policy)
{
	struct test_material m;
	struct tls_config *cfg;

	test_pki_issue(&root, &(struct test_leaf){.uris = {identity}}, &m);
	cfg = config_of(&m, policy);
	test_material_fini(&m);
	return cfg;
}

static void an_alias_domain_is_accepted_in_both_roles_when_it_is_set(void **state)
{
	static const char *const aliases[] = {"old.example"};
	const struct tls_policy with = {.aliases = aliases, .alias_count = 1};
	struct tls_config *alice = config_as(ALICE, &with), *old = config_as(OLD, &with);
	struct tls_config *plain = config_as(ALICE, NULL), *third = config_as(THIRD, &with);
	struct pair p;

	(void)state;
	/* out: bob of cluster.local is expected, bob of the alias answers; in: alice of the other domain comes */
	shake(&p, alice, old, BOB);
	assert_int_equal(p.e[0], ERR_OK);
	assert_string_equal(tls_session_peer(p.s[0]), OLD); /* as presented, for policies */
	pair_fini(&p);
	shake(&p, old, alice, ALICE);
	assert_int_equal(p.e[1], ERR_OK);
	assert_string_equal(tls_session_peer(p.s[1]), OLD);
	pair_fini(&p);

	shake(&p, plain, old, BOB); /* not set: not accepted */
	assert_int_equal(p.e[0], ERR_TLS_WRONG_IDENTITY);
	pair_fini(&p);
	shake(&p, old, plain, ALICE);
	assert_int_equal(p.e[1], ERR_TLS_TRUST_DOMAIN);
	pair_fini(&p);

	shake(&p, alice, third, BOB); /* neither ours nor an alias of it */
	assert_int_equal(p.e[0], ERR_TLS_WRONG_IDENTITY);
	pair_fini(&p);
	shake(&p, third, alice, ALICE);
	assert_int_equal(p.e[1], ERR_TLS_TRUST_DOMAIN);
	pair_fini(&p);
	shake(&p, alice, old, ALICE); /* the account must be the same in any case */
	assert_int_equal(p.e[0], ERR_TLS_WRONG_IDENTITY);
	pair_fini(&p);
	shake(&p, alice, old, THIRD); /* expected of a foreign domain: only that one will do */
	assert_int_equal(p.e[0], ERR_TLS_WRONG_IDENTITY);
	pair_fini(&p);
	tls_config_unref(alice);
	tls_config_unref(old);
	tls_config_unref(plain);
	tls_config_unref(third);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_revoked_peer_is_refused_in_both_roles),
		cmocka_unit_test(a_live_session_of_a_revoked_peer_is_found_and_others_are_not),
		cmocka_unit_test(a_list_that_comes_during_the_handshake_is_noticed),
		cmocka_unit_test(a_revoked_intermediate_and_a_leaf_of_it_are_refused),
		cmocka_unit_test(what_a_session_keeps_of_a_chain_is_small),
		cmocka_unit_test(several_roots_are_all_trusted_and_none_that_left),
		cmocka_unit_test(an_alias_domain_is_accepted_in_both_roles_when_it_is_set),
	};

	return cmocka_run_group_tests_name("revocation", tests, set_up, tear_down);
}
