/* SPDX-License-Identifier: Apache-2.0 */
/* What holds of all policies, tried on random ones. A failure names the world's seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/mesh/authz_sets.h"
#include "common/mesh/balance.h"
#include "tests/unit/common/mesh/authz_world.h"

enum { WORLDS = 500 };

static bool same_answer(const struct authz_answer *a, const struct authz_answer *b)
{
	if (a->verdict != b->verdict || a->cause != b->cause || a->policy != b->policy ||
	    a->rule != b->rule || a->note_count != b->note_count || a->notes_cut != b->notes_cut)
		return false;
	for (size_t i = 0; i < a->note_count; i++) {
		if (a->notes[i].policy != b->notes[i].policy ||
		    a->notes[i].rule != b->notes[i].rule)
			return false;
	}
	return true;
}

/* Contract 8.2 and 8.3 say what every rule means; the index may only be faster. */
static void an_index_answers_as_asking_every_rule_does(void **state)
{
	size_t verdicts[2] = {0}, notes = 0, indexed = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= WORLDS; seed++) {
		uint64_t dice = seed;
		struct world w;

		world_init(&w, &dice);
		struct mesh *m = world_mesh(&w);

		indexed += m->workloads[0]->policy_set->indexed;
		for (int i = 0; i < WORLD_QUESTIONS; i++) {
			struct authz_facts q = world_question(&dice);
			struct authz_answer fast, plain;

			authz_check(m, m->workloads[0], &q, &fast);
			authz_check_plainly(m, m->workloads[0], &q, &plain);
			if (!same_answer(&fast, &plain))
				fail_msg("seed %d, question %d", (int)seed, i);
			verdicts[fast.verdict]++;
			notes += fast.note_count;
		}
		mesh_unref(m);
		world_fini(&w);
	}
	assert_true(verdicts[AUTHZ_DENY] > WORLDS && verdicts[AUTHZ_ALLOW] > WORLDS);
	assert_true(notes > WORLDS && indexed > WORLDS / 2); /* or the worlds prove little */
}

enum relation { SAME, NOT_WIDER };

/* Ask both worlds the same questions; the second must answer the same, or allow nothing more. */
static void compare(const struct world *first, const struct world *second, enum relation relation,
                    uint64_t seed)
{
	struct mesh *before = world_mesh(first), *after = world_mesh(second);
	uint64_t dice = seed * 7919;

	for (int i = 0; i < WORLD_QUESTIONS; i++) {
		struct authz_facts q = world_question(&dice);
		bool then = world_allows(before, &q), now = world_allows(after, &q);

		if (relation == SAME ? then != now : now && !then)
			fail_msg("seed %d, question %d: allowed %d, then %d", (int)seed, i, then,
			         now);
	}
	mesh_unref(before);
	mesh_unref(after);
}

static void rewriting_changes_nothing(enum rewrite how)
{
	for (uint64_t seed = 1; seed <= WORLDS; seed++) {
		uint64_t dice = seed;
		struct world w, other;

		world_init(&w, &dice);
		other = world_rewritten(&w, how, &dice);
		compare(&w, &other, SAME, seed);
		world_fini(&w);
	}
}

static void the_order_of_policies_rules_clauses_matches_and_values_never_matters(void **state)
{
	(void)state;
	rewriting_changes_nothing(REWRITE_SHUFFLE);
}

static void saying_something_twice_changes_nothing(void **state)
{
	(void)state;
	rewriting_changes_nothing(REWRITE_DOUBLE);
}

static void a_list_split_into_two_matches_of_a_clause_means_the_same(void **state)
{
	(void)state;
	rewriting_changes_nothing(REWRITE_SPLIT);
}

static void adding_a_deny_policy_never_lets_anyone_in(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= WORLDS; seed++) {
		uint64_t dice = seed;
		struct world w, more;

		world_init(&w, &dice);
		more = w;
		world_add(&more, POLICY_DENY, &dice);
		compare(&w, &more, NOT_WIDER, seed);
		world_fini(&w);
	}
}

static void taking_away_one_of_several_allow_policies_never_lets_anyone_in(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= WORLDS; seed++) {
		uint64_t dice = seed;
		struct world w, more;

		world_init(&w, &dice);
		world_add(&w, POLICY_ALLOW, &dice);
		w.policies[w.policy_count - 1].scope = POLICY_GLOBAL; /* one is sure to stay */
		more = w;
		world_add(&more, POLICY_ALLOW, &dice);
		compare(&more, &w, NOT_WIDER, seed);
		world_fini(&w);
	}
}

static void the_first_allow_policy_never_lets_anyone_in(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= WORLDS; seed++) {
		uint64_t dice = seed;
		struct world w, more;

		world_init(&w, &dice);
		for (size_t i = 0; i < w.policy_count; i++)
			w.policies[i].action = POLICY_DENY;
		more = w;
		world_add(&more, POLICY_ALLOW, &dice);
		compare(&w, &more, NOT_WIDER, seed);
		world_fini(&w);
	}
}

static void dry_run_policies_never_change_a_verdict(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= WORLDS; seed++) {
		uint64_t dice = seed;
		struct world w, without;

		world_init(&w, &dice);
		without = w;
		without.policy_count = 0;
		for (size_t i = 0; i < w.policy_count; i++) {
			if (!w.policies[i].dry_run)
				without.policies[without.policy_count++] = w.policies[i];
		}
		compare(&w, &without, SAME, seed);
		world_fini(&w);
	}
}

static void a_match_that_is_not_understood_never_lets_anyone_in(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= WORLDS; seed++) {
		uint64_t dice = seed;
		struct world w, garbled;

		world_init(&w, &dice);
		garbled = world_rewritten(&w, REWRITE_GARBLE, &dice);
		compare(&w, &garbled, NOT_WIDER, seed);
		world_fini(&w);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_index_answers_as_asking_every_rule_does),
		cmocka_unit_test(
			the_order_of_policies_rules_clauses_matches_and_values_never_matters),
		cmocka_unit_test(saying_something_twice_changes_nothing),
		cmocka_unit_test(a_list_split_into_two_matches_of_a_clause_means_the_same),
		cmocka_unit_test(adding_a_deny_policy_never_lets_anyone_in),
		cmocka_unit_test(taking_away_one_of_several_allow_policies_never_lets_anyone_in),
		cmocka_unit_test(the_first_allow_policy_never_lets_anyone_in),
		cmocka_unit_test(dry_run_policies_never_change_a_verdict),
		cmocka_unit_test(a_match_that_is_not_understood_never_lets_anyone_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
