/* SPDX-License-Identifier: Apache-2.0 */
/* The corners of filing rules that random policies do not reach. */
#include "common/mesh/authz_index.h"

#include "common/base/check.h"
#include "common/mesh/authz_needs.h"
#include "common/mesh/authz_sets.h"
#include "tests/unit/common/mesh/mesh_text.h"

#define ACCOUNT(ns, sa)                                            \
	{                                                          \
		.v = &(const struct account_match){ns, sa}, .n = 1 \
	}

static const struct string_match exact_x = {MATCH_EXACT, {(const uint8_t *)"x", 1}};
static const struct string_match exact_y = {MATCH_EXACT, {(const uint8_t *)"y", 1}};
static const struct string_match prefix_x = {MATCH_PREFIX, {(const uint8_t *)"x", 1}};
static const struct prefix ten8 = {{IP_V4, {10}}, 8}, ten9 = {{IP_V4, {10}}, 9},
			   eleven8 = {{IP_V4, {11}}, 8};
static const uint16_t one = 1, two = 2;

static struct rule rule_of(struct clause *c, struct match *m)
{
	*c = (struct clause){.matches = m, .match_count = 1};
	return (struct rule){.clauses = c, .clause_count = 1};
}

/* Rules are filed once if they say the same; taking two for one would lose the second. */
static void only_rules_that_say_the_same_are_the_same(void **state)
{
	struct match matches[] = {
		{.destination_ports = {&one, 1}},
		{.destination_ports = {&two, 1}},
		{.not_destination_ports = {&one, 1}},
		{.principals = {&exact_x, 1}},
		{.principals = {&exact_y, 1}},
		{.principals = {&prefix_x, 1}},
		{.namespaces = {&exact_x, 1}},
		{.service_accounts = ACCOUNT("a", "b")},
		{.service_accounts = ACCOUNT("a", "c")},
		{.service_accounts = ACCOUNT("b", "b")},
		{.source_ips = {&ten8, 1}},
		{.source_ips = {&ten9, 1}},
		{.source_ips = {&eleven8, 1}},
		{.destination_ips = {&ten8, 1}},
		{.not_understood = true},
		{.not_understood = false},
	};
	struct clause a, b, both[2] = {{matches, 1}, {matches, 1}}, longer = {matches, 2};
	struct rule twice = {.clauses = both, .clause_count = 2};
	struct rule wide = {.clauses = &longer, .clause_count = 1};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(matches); i++) {
		for (size_t k = 0; k < ARRAY_LEN(matches); k++) {
			struct rule x = rule_of(&a, &matches[i]), y = rule_of(&b, &matches[k]);

			assert_int_equal(rule_same(&x, &y), i == k);
			if (i == k)
				assert_true(rule_hash(&x) == rule_hash(&y));
			else /* not needed for the answer, but for the time it takes */
				assert_true(rule_hash(&x) != rule_hash(&y));
		}
	}
	struct rule x = rule_of(&a, matches);

	assert_false(rule_same(&x, &twice));
	assert_false(rule_same(&x, &wide));

	/* not in the first clause, match or value, but behind it */
	struct clause other[2] = {{matches, 1}, {matches + 1, 1}};
	struct match pair[2] = {matches[0], matches[2]};
	struct clause other_wide = {pair, 2};
	static const uint16_t both_ports[] = {1, 2}, other_ports[] = {1, 3};
	struct match list = {.destination_ports = {both_ports, 2}};
	struct match other_list = {.destination_ports = {other_ports, 2}};

	assert_false(rule_same(&twice, &(struct rule){.clauses = other, .clause_count = 2}));
	assert_false(rule_same(&wide, &(struct rule){.clauses = &other_wide, .clause_count = 1}));
	x = rule_of(&a, &list);
	struct rule y = rule_of(&b, &other_list);

	assert_false(rule_same(&x, &y));
}

static void what_was_not_understood_is_not_empty(void **state)
{
	struct match nothing = {.not_understood = false}, garbled = {.not_understood = true};

	(void)state;
	assert_true(match_is_empty(&nothing));
	assert_false(match_is_empty(&garbled));
	assert_false(match_is_dead(&garbled, POLICY_DENY));
	assert_true(match_is_dead(&garbled, POLICY_ALLOW));
}

static const struct authz_peer from_td = {
	.identified = true,
	.id = {{(const uint8_t *)"td", 2},
               {(const uint8_t *)"n", 1},
               {(const uint8_t *)"s", 1},
               {(const uint8_t *)"td/ns/n/sa/s", 12}},
};

enum { RULES = 12 };

/* RULES rules, of which only the last holds for from_td; long_text: of the others' patterns. */
static struct mesh *mesh_of_rules(struct span long_text)
{
	struct mesh *m = mesh_new("");
	struct policy *p = mesh_policy_new(m);
	struct rule *rules = mesh_alloc(m, RULES * sizeof(*rules));

	for (size_t i = 0; i < RULES; i++) {
		struct string_match *v = mesh_alloc(m, sizeof(*v));
		struct match *match = mesh_alloc(m, sizeof(*match));
		struct clause *c = mesh_alloc(m, sizeof(*c));

		v->kind = i % 2 ? MATCH_PREFIX : MATCH_SUFFIX;
		v->text = i + 1 < RULES ? span_of(long_text.p, long_text.n - i) : span_str("td/");
		match->principals = (struct string_matches){v, 1};
		rules[i] = rule_of(c, match);
	}
	p->name = "p";
	p->namespace = "n";
	p->action = POLICY_DENY;
	p->rules = rules;
	p->rule_count = RULES;
	mesh_add_policy(m, p);
	return m;
}

/* Asks the set of everywhere's policies, with room for so many rules in indexes. */
static void ask_with_room(struct mesh *m, size_t room)
{
	struct policy_list all = {.v = (const struct policy *const *)m->policies, .n = 1};
	struct authz_sets *sets = authz_sets_new(m, all, room);
	const struct authz_set *set = authz_sets_of_namespace(sets, "");
	struct authz_part part = {POLICY_DENY, false};
	struct authz_hit hit;

	assert_int_equal(set->indexed, room >= RULES);
	assert_int_equal(authz_set_find(set, part, &from_td, &hit, 1), 1);
	assert_int_equal(hit.rule, RULES - 1);
	part.action = POLICY_ALLOW;
	assert_int_equal(authz_set_find(set, part, &from_td, &hit, 1), 0);
	assert_int_equal(authz_sets_of_namespace(sets, "n")->list.n, 0);
}

static void a_pattern_longer_than_any_identity_matches_nobody(void **state)
{
	static uint8_t text[IDENTITY_TEXT_MAX + 64];
	struct mesh *m = mesh_of_rules(span_of(text, sizeof(text)));

	(void)state;
	ask_with_room(m, RULES);
	mesh_unref(m);
}

static void beyond_the_room_for_indexes_every_rule_is_asked(void **state)
{
	struct mesh *m = mesh_of_rules(span_str("something of some length"));

	(void)state;
	ask_with_room(m, RULES - 1);
	ask_with_room(m, RULES);
	mesh_unref(m);
}

#define NINE_RULES                                                                                \
	"[[{destinationPorts: [1]}]], [[{destinationPorts: [2]}]], [[{destinationPorts: [3]}]], " \
	"[[{destinationPorts: [4]}]], [[{destinationPorts: [5]}]], [[{destinationPorts: [6]}]], " \
	"[[{destinationPorts: [7]}]], [[{destinationPorts: [8]}]], [[{destinationPorts: [9]}]]"

static const struct authz_set *set_of(const struct mesh *m, const char *uid)
{
	return mesh_workload_by_uid(m, uid)->policy_set;
}

/* The order of a list is the order of its answer, so only equal lists are one. */
static void workloads_with_the_same_list_share_a_set(void **state)
{
#define W(uid, list)                                                                            \
	"- {uid: " uid ", namespace: a, workloadIps: [], services: {}, authorizationPolicies: " \
	"[" list "]}\n"
	struct mesh *m = mesh_of(
		"workloads:\n" W("v", "a/p, a/q") W("none", "") W("w", "a/p") W("x", "a/p, a/q") W(
			"y", "a/q, a/p") W("z", "a/p")
			W("missing",
	                  "a/missing") "policies:\n- {name: p, namespace: a, scope: WorkloadSelector, action: Deny, rules: "
				       "[" NINE_RULES
				       "]}\n- {name: q, namespace: a, scope: WorkloadSelector, action: "
				       "Allow, rules: [[]]}\n");

	(void)state;
	assert_ptr_equal(set_of(m, "v"), set_of(m, "x"));
	assert_ptr_equal(set_of(m, "w"), set_of(m, "z"));
	assert_ptr_equal(set_of(m, "none"), set_of(m, "missing"));
	assert_ptr_not_equal(set_of(m, "v"), set_of(m, "w"));
	assert_ptr_not_equal(set_of(m, "v"), set_of(m, "y"));
	assert_int_equal(set_of(m, "none")->list.n, 0);
	for (size_t i = 0; i < m->workload_count; i++) {
		const struct workload *w = m->workloads[i];

		assert_int_equal(w->policy_set->list.n, w->policy_count);
		assert_memory_equal(w->policy_set->list.v, w->policies,
		                    w->policy_count * sizeof(*w->policies));
		assert_int_equal(w->policy_set->indexed, w->policy_count > 0);
	}
	mesh_unref(m);
}

/* Whichever way leads to them: the third rule of each is found by its key before the second in a group. */
static void of_each_policy_the_first_rule_that_holds_is_found(void **state)
{
	enum { POLICIES = 5 };
	char text[4096];
	size_t at = (size_t)snprintf(text, sizeof(text), "policies:\n");
	struct authz_peer peer = {.destination = {.port = 80},
	                          .id = {span_str(""), span_str(""), span_str(""), span_str("")}};
	struct authz_part part = {POLICY_DENY, true};
	struct authz_hit hits[AUTHZ_FIND_MAX];

	(void)state;
	for (int i = 0; i < POLICIES; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at,
		                       "- {name: p%d, namespace: a, scope: Global, action: Deny, "
		                       "dryRun: true, rules: [[[{destinationPorts: [1]}]], "
		                       "[[{notDestinationPorts: [%d]}]], [[{destinationPorts: "
		                       "[80]}]], [[{destinationPorts: [80, 81]}]]]}\n",
		                       i, 1000 + i);
	struct mesh *m = mesh_of(text);
	const struct authz_set *set = mesh_authz_of_namespace(m, "");

	assert_true(set->indexed);
	for (size_t want = 1; want <= POLICIES + 1; want++) {
		size_t n = authz_set_find(set, part, &peer, hits, want);

		assert_int_equal(n, want < POLICIES ? want : POLICIES);
		for (size_t i = 0; i < n; i++) {
			assert_ptr_equal(hits[i].policy, set->list.v[i]);
			assert_int_equal(hits[i].rule, 1);
		}
	}
	mesh_unref(m);
}

/* Who has no identity has the namespace "", so a pattern that fits it must be tried on plaintext (8.3). */
static void a_pattern_that_fits_no_namespace_is_asked_of_plaintext(void **state)
{
	static const char *const lists[] = {"!Exact x, !Exact \"\"", "!Exact x, !Prefix \"\"",
	                                    "!Suffix \"\", !Exact x", "!Presence [], !Exact \"\"",
	                                    "!Exact x, !Presence [], !Prefix \"\""};
	struct authz_peer plaintext = {
		.id = {span_str(""), span_str(""), span_str(""), span_str("")}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		char text[2048];
		struct authz_hit hit;

		(void)snprintf(text, sizeof(text),
		               "policies:\n- {name: p, namespace: a, scope: Global, action: Deny, "
		               "rules: [" NINE_RULES ", [[{namespaces: [%s]}]]]}\n",
		               lists[i]);
		struct mesh *m = mesh_of(text);
		const struct authz_set *set = mesh_authz_of_namespace(m, "");

		assert_true(set->indexed);
		if (authz_set_find(set, (struct authz_part){POLICY_DENY, false}, &plaintext, &hit,
		                   1) != 1)
			fail_msg("%s", lists[i]);
		assert_int_equal(hit.rule, 9);
		mesh_unref(m);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_rules_that_say_the_same_are_the_same),
		cmocka_unit_test(what_was_not_understood_is_not_empty),
		cmocka_unit_test(a_pattern_longer_than_any_identity_matches_nobody),
		cmocka_unit_test(workloads_with_the_same_list_share_a_set),
		cmocka_unit_test(of_each_policy_the_first_rule_that_holds_is_found),
		cmocka_unit_test(a_pattern_that_fits_no_namespace_is_asked_of_plaintext),
		cmocka_unit_test(beyond_the_room_for_indexes_every_rule_is_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
