/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/identity/cert_set.h"
#include "common/identity/cert_table.h"
#include "tests/sim/sim.h"
#include "tests/unit/common/tls/test_pki.h"

#define ALICE "spiffe://cluster.local/ns/demo/sa/alice"
#define BOB   "spiffe://cluster.local/ns/demo/sa/bob"

enum {
	HOUR_S = 3600,
	DAY_S = 86400,
	HELD_MAX = 64,
	TURNS = 10000,
};

/* A CA that does as the test says. */
struct fake_ca {
	struct ca_client client;
	struct test_pki pki;
	bool broken;  /* refuses every request */
	bool silent;  /* answers only when told */
	bool touched; /* what ca_client_changed says */
	struct test_leaf
		leaf; /* what it issues; its first URI is the identity asked for unless set */
	struct test_pki *key_of; /* not NULL: the key is another one */
	struct ca_request *held[HELD_MAX];
	unsigned int held_count, held_most;
	unsigned int asked, cancelled;
};

struct world {
	struct loop *loop;
	struct fake_ca ca;
	struct snapshot_cell *cell;
	struct cert_table *table;
	int64_t epoch_s; /* wall time at loop time 0 */
};

static struct world *world;

static int64_t fake_wall(void *arg)
{
	struct world *w = arg;

	return w->epoch_s + (int64_t)(loop_now_ms(w->loop) / 1000);
}

static void fake_answer(struct fake_ca *ca, struct ca_request *r)
{
	/* test_pki counts from the real clock, the table from the simulated one */
	const int64_t ahead = fake_wall(world) - clock_wall_s();
	struct test_leaf leaf = ca->leaf;
	struct test_material m;

	if (ca->broken) {
		(void)snprintf(r->why, sizeof(r->why), "the fake is broken");
		ca_request_finish(&ca->client, r, ERR_CA);
		return;
	}
	if (leaf.uris[0] == NULL)
		leaf.uris[0] = r->identity;
	leaf.not_before_in_s = ahead + (leaf.not_before_in_s != 0 ? leaf.not_before_in_s : -30);
	if (leaf.not_before_in_s == 0)
		leaf.not_before_in_s = -1; /* 0 would mean an hour ago */
	leaf.not_after_in_s = ahead + (leaf.not_after_in_s != 0 ? leaf.not_after_in_s : DAY_S);
	test_pki_issue(&ca->pki, &leaf, &m);
	buf_put(&r->chain_pem, buf_span(&m.chain));
	if (ca->key_of != NULL)
		assert_int_equal(tls_key_put_pem(ca->key_of->key, &r->key_pem), ERR_OK);
	else
		buf_put(&r->key_pem, buf_span(&m.key));
	buf_put(&r->roots_pem, buf_span(&m.roots));
	test_material_fini(&m);
	ca_request_finish(&ca->client, r, ERR_OK);
}

static void fake_fetch(struct ca_client *client, struct ca_request *r)
{
	struct fake_ca *ca = container_of(client, struct fake_ca, client);

	ca->asked++;
	ca->touched = false;
	r->marked = true;
	if (!ca->silent) {
		fake_answer(ca, r);
		return;
	}
	ca->held[ca->held_count++] = r;
	if (ca->held_count > ca->held_most)
		ca->held_most = ca->held_count;
}

static void fake_cancel(struct ca_client *client, struct ca_request *r)
{
	struct fake_ca *ca = container_of(client, struct fake_ca, client);

	ca->cancelled++;
	for (unsigned int i = 0; i < ca->held_count; i++) {
		if (ca->held[i] != r)
			continue;
		ca->held[i] = ca->held[--ca->held_count];
		ca_request_finish(client, r, ERR_CANCELLED);
		return;
	}
}

static bool fake_changed(struct ca_client *client, const struct ca_request *last)
{
	(void)last;
	return container_of(client, struct fake_ca, client)->touched;
}

static void fake_free(struct ca_client *client)
{
	(void)client;
}

static const struct ca_client_ops fake_ops = {
	.name = "fake",
	.fetch = fake_fetch,
	.cancel = fake_cancel,
	.changed = fake_changed,
	.free = fake_free,
};

static int set_up(void **state)
{
	struct cert_table_options opt = {.ttl_s = DAY_S, .seed = 7, .wall_s = fake_wall};

	assert_int_equal(tls_global_init(), ERR_OK);
	world = calloc(1, sizeof(*world));
	world->loop = sim_new(NULL);
	world->epoch_s = clock_wall_s();
	world->ca.client = (struct ca_client){.ops = &fake_ops, .loop = world->loop};
	test_pki_init(&world->ca.pki, "fake");
	world->cell = snapshot_cell_new();
	opt.wall_arg = world;
	world->table = cert_table_new(world->loop, &world->ca.client, world->cell, &opt);
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	cert_table_stop(w->table);
	for (int i = 0; i < 100 && !cert_table_idle(w->table); i++)
		(void)sim_turn(w->loop);
	cert_table_free(w->table);
	snapshot_cell_free(w->cell);
	test_pki_fini(&w->ca.pki);
	loop_free(w->loop);
	free(w);
	tls_global_fini();
	return 0;
}

/* Let ms pass, second by second. */
static void pass(struct world *w, uint64_t ms)
{
	const uint64_t end = loop_now_ms(w->loop) + ms;

	while (loop_now_ms(w->loop) < end) {
		uint64_t left = end - loop_now_ms(w->loop);

		sim_advance(w->loop, left < 1000 ? left : 1000);
		for (int i = 0; i < 6; i++)
			loop_turn(w->loop, 0);
	}
}

static const struct cert_entry *entry(struct world *w, const char *identity)
{
	return cert_set_find(cert_table_set(w->table), identity);
}

static void a_wanted_identity_becomes_available_to_workers(void **state)
{
	struct world *w = *state;
	struct snapshot *held = NULL;
	const struct cert_entry *e = NULL;
	struct tls_config *cfg = NULL;
	uint64_t generation = 0;
	struct cert_set *set;

	assert_int_equal(cert_table_want(w->table, BOB), ERR_OK);
	assert_int_equal(cert_table_want(w->table, ALICE), ERR_OK);
	pass(w, 100);
	assert_true(snapshot_refresh(w->cell, &generation, &held));
	set = container_of(held, struct cert_set, snap);
	assert_int_equal(set->count, 2);
	assert_string_equal(set->entries[0].identity, ALICE);
	assert_int_equal(cert_set_config(set, BOB, &cfg, &e), ERR_OK);
	assert_string_equal(tls_config_identity(cfg), BOB);
	assert_int_equal(e->state, CERT_AVAILABLE);
	assert_int_equal(cert_set_config(set, BOB "x", &cfg, &e), ERR_IDENTITY);
	assert_null(e);
	snapshot_unref(held);
}

static void what_is_not_an_identity_is_not_wanted(void **state)
{
	struct world *w = *state;

	assert_int_equal(cert_table_want(w->table, "bob"), ERR_PARSE);
	assert_int_equal(cert_table_want(w->table, "spiffe://td/ns/a/sa/../b"), ERR_PARSE);
	assert_int_equal(cert_table_stats(w->table).identities, 0);
}

static void renewal_comes_at_half_life_and_swaps_whole(void **state)
{
	struct world *w = *state;
	const struct tls_config *first;

	assert_int_equal(cert_table_want(w->table, BOB), ERR_OK);
	pass(w, 100);
	first = entry(w, BOB)->cfg;
	pass(w, (uint64_t)DAY_S * 1000 * 44 / 100);
	assert_int_equal(w->ca.asked, 1);
	assert_ptr_equal(entry(w, BOB)->cfg, first);
	pass(w, (uint64_t)DAY_S * 1000 * 12 / 100);
	assert_int_equal(w->ca.asked, 2);
	assert_ptr_not_equal(entry(w, BOB)->cfg, first);
}

static void a_valid_certificate_survives_every_failure_until_it_ends(void **state)
{
	struct world *w = *state;
	const struct tls_config *first;
	char text[300];

	assert_int_equal(cert_table_want(w->table, BOB), ERR_OK);
	pass(w, 100);
	first = entry(w, BOB)->cfg;
	w->ca.broken = true;
	pass(w, (uint64_t)DAY_S * 990);
	assert_true(w->ca.asked > 50);
	assert_int_equal(entry(w, BOB)->state, CERT_AVAILABLE);
	assert_ptr_equal(entry(w, BOB)->cfg, first);
	pass(w, (uint64_t)DAY_S * 20);
	assert_int_equal(entry(w, BOB)->state, CERT_UNAVAILABLE);
	assert_null(entry(w, BOB)->cfg);
	assert_string_equal(cert_entry_state_text(entry(w, BOB), text, sizeof(text)),
	                    "Unavailable: the fake is broken");
	w->ca.broken = false;
	pass(w, 200 * 1000);
	assert_int_equal(entry(w, BOB)->state, CERT_AVAILABLE);
}

static void failures_back_off_and_a_success_starts_over(void **state)
{
	struct world *w = *state;

	w->ca.broken = true;
	assert_int_equal(cert_table_want(w->table, BOB), ERR_OK);
	pass(w, 20 * 1000); /* about 1 + 2 + 4 + 8 seconds */
	assert_in_range(w->ca.asked, 4, 6);
	pass(w, 600 * 1000);
	assert_in_range(w->ca.asked, 9, 14);
	w->ca.broken = false;
	pass(w, 200 * 1000);
	assert_int_equal(entry(w, BOB)->state, CERT_AVAILABLE);
	assert_int_equal(cert_table_stats(w->table).available, 1);
}

static void what_a_ca_may_not_return_is_refused_and_the_old_kept(void **state)
{
	struct world *w = *state;
	const struct tls_config *first;
	const struct {
		struct test_leaf leaf;
		bool other_key;
	} bad[] = {
		{{.uris = {ALICE}}, false},
		{{.uris = {BOB, ALICE}}, false},
		{{.dns = "bob"}, false},
		{{.not_before_in_s = -DAY_S, .not_after_in_s = -5}, false},
		{{.not_before_in_s = HOUR_S}, false},
		{{.uris = {NULL}}, true},
	};

	assert_int_equal(cert_table_want(w->table, BOB), ERR_OK);
	pass(w, 100);
	first = entry(w, BOB)->cfg;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const uint64_t refused = cert_table_stats(w->table).refused;

		w->ca.leaf = bad[i].leaf;
		if (bad[i].leaf.dns != NULL) /* no URI at all */
			w->ca.leaf.raw_uri = "urn:nobody", w->ca.leaf.raw_uri_len = 10,
			w->ca.leaf.uris[0] = NULL;
		w->ca.key_of = bad[i].other_key ? &w->ca.pki : NULL;
		w->ca.touched = true;
		pass(w, 4000);
		assert_true(cert_table_stats(w->table).refused > refused);
		assert_ptr_equal(entry(w, BOB)->cfg, first);
		assert_int_equal(entry(w, BOB)->state, CERT_AVAILABLE);
	}
}

static void a_change_behind_the_ca_is_fetched_at_once(void **state)
{
	struct world *w = *state;
	const struct tls_config *first;

	assert_int_equal(cert_table_want(w->table, BOB), ERR_OK);
	pass(w, 100);
	first = entry(w, BOB)->cfg;
	w->ca.touched = true;
	pass(w, 5000);
	assert_int_equal(w->ca.asked, 2);
	assert_ptr_not_equal(entry(w, BOB)->cfg, first);
}

static void one_fetch_per_identity_and_eight_at_once(void **state)
{
	struct world *w = *state;
	char identity[80];

	w->ca.silent = true;
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 20; i++) {
			(void)snprintf(identity, sizeof(identity), "spiffe://td/ns/demo/sa/s%d", i);
			assert_int_equal(cert_table_want(w->table, identity), ERR_OK);
		}
		pass(w, 60 * 1000);
	}
	assert_int_equal(w->ca.asked, CERT_FETCHES_MAX);
	assert_int_equal(w->ca.held_most, CERT_FETCHES_MAX);
	while (w->ca.held_count > 0) {
		fake_answer(&w->ca, w->ca.held[--w->ca.held_count]);
		pass(w, 10);
	}
	assert_int_equal(w->ca.asked, 20);
	assert_true(w->ca.held_most <= CERT_FETCHES_MAX);
	assert_int_equal(cert_table_stats(w->table).available, 20);
}

static void who_is_waited_for_goes_first(void **state)
{
	struct world *w = *state;
	char identity[80];

	w->ca.silent = true;
	for (int i = 0; i < 12; i++) {
		(void)snprintf(identity, sizeof(identity), "spiffe://td/ns/demo/sa/s%d", i);
		assert_int_equal(cert_table_want(w->table, identity), ERR_OK);
	}
	pass(w, 10);
	/* the last of them is queued behind three others; somebody waits for it now */
	cert_table_hurry(w->table, identity);
	cert_table_hurry(w->table, "spiffe://td/ns/demo/sa/nobody");
	fake_answer(&w->ca, w->ca.held[--w->ca.held_count]);
	pass(w, 10);
	assert_string_equal(w->ca.held[w->ca.held_count - 1]->identity, identity);
	assert_int_equal(w->ca.asked, CERT_FETCHES_MAX + 1);
	cert_table_hurry(w->table, identity); /* it is on its way: asked once */
	pass(w, 10);
	assert_int_equal(w->ca.asked, CERT_FETCHES_MAX + 1);
}

/* Its turn comes with the back-off; nobody who waits can hurry a CA that refuses. */
static void who_failed_is_not_hurried(void **state)
{
	struct world *w = *state;

	w->ca.broken = true;
	assert_int_equal(cert_table_want(w->table, BOB), ERR_OK);
	pass(w, 100);
	assert_int_equal(entry(w, BOB)->state, CERT_UNAVAILABLE);
	for (int i = 0; i < 10; i++)
		cert_table_hurry(w->table, BOB);
	pass(w, 100);
	assert_int_equal(w->ca.asked, 1);
}

static void forgetting_drops_the_entry_and_what_is_in_flight(void **state)
{
	struct world *w = *state;

	w->ca.silent = true;
	assert_int_equal(cert_table_want(w->table, BOB), ERR_OK);
	assert_int_equal(cert_table_want(w->table, BOB), ERR_OK);
	cert_table_forget(w->table, BOB);
	pass(w, 10);
	assert_non_null(entry(w, BOB));
	cert_table_forget(w->table, BOB);
	assert_int_equal(w->ca.cancelled, 1);
	pass(w, 10);
	assert_null(entry(w, BOB));
	assert_true(cert_table_idle(w->table));
	/* wanted again, it starts anew */
	w->ca.silent = false;
	assert_int_equal(cert_table_want(w->table, BOB), ERR_OK);
	pass(w, 10);
	assert_int_equal(entry(w, BOB)->state, CERT_AVAILABLE);
}

static void a_certificate_ends_on_time_even_when_the_ca_says_nothing(void **state)
{
	struct world *w = *state;

	assert_int_equal(cert_table_want(w->table, BOB), ERR_OK);
	pass(w, 100);
	w->ca.silent = true;
	pass(w, (uint64_t)DAY_S * 1000 + 10000);
	assert_int_equal(w->ca.asked, 2);
	assert_int_equal(entry(w, BOB)->state, CERT_UNAVAILABLE);
}

int main(void)
{
#define WORLD(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WORLD(a_wanted_identity_becomes_available_to_workers),
		WORLD(what_is_not_an_identity_is_not_wanted),
		WORLD(renewal_comes_at_half_life_and_swaps_whole),
		WORLD(a_valid_certificate_survives_every_failure_until_it_ends),
		WORLD(failures_back_off_and_a_success_starts_over),
		WORLD(what_a_ca_may_not_return_is_refused_and_the_old_kept),
		WORLD(a_change_behind_the_ca_is_fetched_at_once),
		WORLD(one_fetch_per_identity_and_eight_at_once),
		WORLD(who_is_waited_for_goes_first),
		WORLD(who_failed_is_not_hurried),
		WORLD(forgetting_drops_the_entry_and_what_is_in_flight),
		WORLD(a_certificate_ends_on_time_even_when_the_ca_says_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
