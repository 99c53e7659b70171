/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mesh/authz.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "common/mesh/authz_match.h"
#include "common/mesh/mesh_table.h"
#include "tests/unit/common/mesh/mesh_text.h"

#define WORKLOAD(extra)                                                                 \
	"workloads:\n"                                                                  \
	"- {uid: w, name: w, namespace: default, serviceAccount: server, workloadIps: " \
	"[10.0.0.2], services: {}" extra "}\n"

#define ALICE "spiffe://cluster.local/ns/default/sa/alice"
#define BOB   "spiffe://other.domain/ns/apps/sa/bob"

/* One question; peer NULL is plaintext. */
struct question {
	const char *peer;
	const char *source;
	const char *destination;
};

static const struct question from_alice = {ALICE, "10.0.0.1", "10.0.0.2:8080"};
static const struct question from_bob = {BOB, "10.9.0.1", "10.0.0.2:8080"};
static const struct question from_nobody = {NULL, "10.0.0.1", "10.0.0.2:8080"};

static struct authz_answer ask(const struct mesh *m, const struct question *q)
{
	struct authz_facts facts = {
		.source_ip = ip_of(q->source),
		.destination = endpoint_of(q->destination),
		.identity = q->peer,
	};
	struct authz_answer a;
	const struct workload *w = mesh_workload_by_uid(m, "w");

	assert_non_null(w);
	authz_check(m, w, &facts, &a);
	return a;
}

static bool allowed(const char *mesh_text, const struct question *q)
{
	struct mesh *m = mesh_of(mesh_text);
	bool yes = ask(m, q).verdict == AUTHZ_ALLOW;

	mesh_unref(m);
	return yes;
}

/* A mesh whose single global policy has one rule of one clause of one match. */
static bool matches(const char *match, const struct question *q)
{
	char text[2048];

	(void)snprintf(
		text, sizeof(text),
		"%spolicies:\n- {name: p, namespace: x, scope: Global, action: Allow, rules: "
		"[[[{%s}]]]}\n",
		WORKLOAD(""), match);
	return allowed(text, q);
}

static void zero_is_deny(void **state)
{
	struct authz_answer a = {0};

	(void)state;
	assert_int_equal(a.verdict, AUTHZ_DENY);
}

static void no_policy_allows(void **state)
{
	(void)state;
	assert_true(allowed(WORKLOAD(""), &from_nobody));
}

/* Contract 8.3, one row per kind and its opposite. */
static const struct question low_port = {ALICE, "10.0.0.1", "10.0.0.2:80"};
static const struct question v6 = {ALICE, "fd00::1", "[fd00::2]:8080"};
static const struct {
	const char *match;
	const struct question *q;
	bool yes;
} field_rows[] = {
	{"principals: [!Exact cluster.local/ns/default/sa/alice]", &from_alice, true},
	{"principals: [!Exact cluster.local/ns/default/sa/alice]", &from_bob, false},
	{"principals: [!Exact cluster.local/ns/default/sa/alice]", &from_nobody, false},
	{"principals: [!Exact x, !Suffix /sa/alice]", &from_alice, true},
	{"principals: [!Prefix cluster.local/]", &from_alice, true},
	{"principals: [!Prefix cluster.local/]", &from_bob, false},
	{"principals: [!Prefix \"\"]", &from_nobody, false},
	{"principals: [!Presence []]", &from_bob, true},
	{"principals: [!Presence []]", &from_nobody, false},
	{"principals: [!Exact spiffe://cluster.local/ns/default/sa/alice]", &from_alice, false},
	{"principals: [!Exact CLUSTER.local/ns/default/sa/alice]", &from_alice, false},
	{"notPrincipals: [!Exact cluster.local/ns/default/sa/alice]", &from_alice, false},
	{"notPrincipals: [!Exact cluster.local/ns/default/sa/alice]", &from_bob, true},
	{"notPrincipals: [!Exact cluster.local/ns/default/sa/alice]", &from_nobody, true},
	{"notPrincipals: [!Presence []]", &from_nobody, true},
	{"notPrincipals: [!Presence []]", &from_alice, false},
	{"namespaces: [!Exact default]", &from_alice, true},
	{"namespaces: [!Exact default]", &from_bob, false},
	{"namespaces: [!Exact default]", &from_nobody, false},
	{"namespaces: [!Presence []]", &from_alice, true},
	{"namespaces: [!Presence []]", &from_nobody, false},
	{"notNamespaces: [!Exact default]", &from_alice, false},
	{"notNamespaces: [!Exact default]", &from_bob, true},
	{"notNamespaces: [!Exact default]", &from_nobody, true},
	{"serviceAccounts: [{namespace: default, serviceAccount: alice}]", &from_alice, true},
	{"serviceAccounts: [{namespace: apps, serviceAccount: bob}]", &from_bob, true},
	{"serviceAccounts: [{namespace: default, serviceAccount: bob}]", &from_bob, false},
	{"serviceAccounts: [{namespace: default, serviceAccount: alice}]", &from_nobody, false},
	{"notServiceAccounts: [{namespace: apps, serviceAccount: bob}]", &from_bob, false},
	{"notServiceAccounts: [{namespace: apps, serviceAccount: bob}]", &from_nobody, true},
	{"sourceIps: [10.0.0.0/24]", &from_alice, true},
	{"sourceIps: [10.0.0.0/24]", &from_bob, false},
	{"sourceIps: [10.0.0.1]", &from_nobody, true},
	{"sourceIps: [10.0.0.0/24]", &v6, false},
	{"sourceIps: [\"fd00::/8\"]", &v6, true},
	{"sourceIps: [0.0.0.0/0]", &v6, false},
	{"notSourceIps: [10.0.0.0/24]", &from_alice, false},
	{"notSourceIps: [10.0.0.0/24]", &from_bob, true},
	{"destinationIps: [10.0.0.2]", &from_alice, true},
	{"destinationIps: [10.0.0.3]", &from_alice, false},
	{"notDestinationIps: [10.0.0.2]", &from_alice, false},
	{"notDestinationIps: [10.0.0.3]", &from_alice, true},
	{"destinationPorts: [8080]", &from_alice, true},
	{"destinationPorts: [8080]", &low_port, false},
	{"destinationPorts: [80, 8080]", &low_port, true},
	{"notDestinationPorts: [8080]", &from_alice, false},
	{"notDestinationPorts: [8080]", &low_port, true},
	/* all lists of a match are ANDed, within a list any will do */
	{"namespaces: [!Exact default], destinationPorts: [8080]", &from_alice, true},
	{"namespaces: [!Exact default], destinationPorts: [80]", &from_alice, false},
	{"namespaces: [!Exact default], notDestinationPorts: [8080]", &from_alice, false},
};

static void each_field_decides_as_the_contract_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(field_rows); i++) {
		if (matches(field_rows[i].match, field_rows[i].q) != field_rows[i].yes)
			fail_msg("row %zu: %s", i, field_rows[i].match);
	}
}

/* OR of AND of OR of AND, and the empty edges of contract 8.3 and 8.6. */
static void nesting_and_empty_edges(void **state)
{
	static const struct {
		const char *rules;
		bool yes;
	} rows[] = {
		{"[]", false},
		{"[[]]", true},
		{"[[[]]]", true},
		{"[[[{}]]]", false},
		{"[[[{}, {}]]]", false},
		{"[[[{}, {destinationPorts: [8080]}]]]", true},
		{"[[[{principals: [], sourceIps: []}]]]", false},
		{"[[[], [{}]]]", false},
		{"[[[{destinationPorts: [1]}, {destinationPorts: [8080]}]]]", true},
		{"[[[{destinationPorts: [1]}], [{destinationPorts: [8080]}]]]", false},
		{"[[[{destinationPorts: [8080]}], [{namespaces: [!Exact default]}]]]", true},
		{"[[[{destinationPorts: [1]}]], [[{destinationPorts: [8080]}]]]", true},
		{"[[[{destinationPorts: [1]}]], [[{destinationPorts: [2]}]]]", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[1024];

		for (int deny = 0; deny < 2; deny++) {
			(void)snprintf(
				text, sizeof(text),
				"%spolicies:\n- {name: p, namespace: x, scope: Global, action: %s, "
				"rules: %s}\n",
				WORKLOAD(""), deny ? "Deny" : "Allow", rows[i].rules);
			if (allowed(text, &from_alice) != (deny ? !rows[i].yes : rows[i].yes))
				fail_msg("row %zu, deny %d: %s", i, deny, rows[i].rules);
		}
	}
}

static void string_matches_hold_as_named(void **state)
{
	static const struct {
		enum string_match_kind kind;
		const char *pattern, *text;
		bool yes;
	} rows[] = {
		{MATCH_EXACT, "abc", "abc", true},  {MATCH_EXACT, "abc", "abcd", false},
		{MATCH_EXACT, "", "", true},        {MATCH_PREFIX, "ab", "abc", true},
		{MATCH_PREFIX, "abc", "ab", false}, {MATCH_PREFIX, "bc", "abc", false},
		{MATCH_SUFFIX, "bc", "abc", true},  {MATCH_SUFFIX, "abc", "bc", false},
		{MATCH_SUFFIX, "ab", "abc", false}, {MATCH_PRESENCE, "", "x", true},
		{MATCH_PRESENCE, "", "", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct string_match m = {rows[i].kind, span_str(rows[i].pattern)};

		assert_int_equal(string_match_holds(&m, span_str(rows[i].text)), rows[i].yes);
	}
}

#define POLICY(name, scope, action, match)                                         \
	"- {name: " name ", namespace: default, scope: " scope ", action: " action \
	", rules: [[[{" match "}]]]}\n"

static void deny_comes_before_allow_and_names_itself(void **state)
{
	struct mesh *m =
		mesh_of(WORKLOAD("") "policies:\n" POLICY("a", "Namespace", "Allow",
	                                                  "destinationPorts: [8080]")
	                        POLICY("d", "Global", "Deny", "principals: [!Suffix alice]"));
	char words[AUTHZ_WORDS_MAX];
	struct authz_answer a = ask(m, &from_alice);

	(void)state;
	assert_int_equal(a.verdict, AUTHZ_DENY);
	assert_int_equal(a.cause, ERR_POLICY_DENY);
	assert_string_equal(authz_words(&a, words), "explicitly denied by: default/d, rule 1");
	assert_string_equal(authz_where(m, a.policy, a.rule, words), "rule 1 at mesh.yaml:5");
	a = ask(m, &from_bob);
	assert_int_equal(a.verdict, AUTHZ_ALLOW);
	assert_string_equal(a.policy->name, "a");
	assert_string_equal(authz_words(&a, words), "allowed by: default/a, rule 1");
	mesh_unref(m);
}

static void an_unmet_allow_denies_in_the_contracts_words(void **state)
{
	struct mesh *m = mesh_of(WORKLOAD("") "policies:\n" POLICY("a", "Namespace", "Allow",
	                                                           "destinationPorts: [1]"));
	char words[AUTHZ_WORDS_MAX];
	struct authz_answer a = ask(m, &from_alice);

	(void)state;
	assert_int_equal(a.cause, ERR_POLICY_NO_ALLOW);
	assert_null(a.policy);
	assert_string_equal(authz_words(&a, words), "allow policies exist, but none allowed");
	assert_string_equal(authz_where(m, a.policy, a.rule, words), "");
	mesh_unref(m);
}

static void only_policies_in_scope_count(void **state)
{
	static const char elsewhere[] = WORKLOAD(
		"") "policies:\n- {name: d, namespace: other, scope: Namespace, action: Deny, "
		    "rules: [[]]}\n- {name: s, namespace: default, scope: WorkloadSelector, "
		    "action: Deny, rules: [[]]}\n";
	static const char selected[] = WORKLOAD(
		", authorizationPolicies: [other/s, default/missing]") "policies:\n- {name: s, namespace: "
								       "other, scope: WorkloadSelector, action: "
								       "Deny, rules: [[]]}\n";

	(void)state;
	assert_true(allowed(elsewhere, &from_alice));
	assert_false(allowed(selected, &from_alice));
}

/* Contract 8.5: STRICT arrives as a DENY of whoever has no principal. */
static void strict_denies_plaintext_only(void **state)
{
	static const char text[] = WORKLOAD(
		", authorizationPolicies: [istio-system/istio_converted_static_strict]") "policies:\n- {name: istio_converted_static_strict, namespace: istio-system, scope: "
											 "WorkloadSelector, action: Deny, rules: [[[{notPrincipals: [!Presence []]}]]]}\n";

	(void)state;
	assert_true(allowed(text, &from_alice));
	assert_true(allowed(text, &from_bob));
	assert_false(allowed(text, &from_nobody));
}

static void a_port_exempt_from_strict_takes_plaintext(void **state)
{
	static const char text[] = WORKLOAD(
		", authorizationPolicies: [default/c]") "policies:\n- {name: c, namespace: default, scope: WorkloadSelector, action: Deny, rules: "
							"[[[{notPrincipals: [!Presence []]}], [{notDestinationPorts: [9090]}]]]}\n";
	static const struct question exempt = {NULL, "10.0.0.1", "10.0.0.2:9090"};

	(void)state;
	assert_true(allowed(text, &exempt));
	assert_false(allowed(text, &from_nobody));
	assert_true(allowed(text, &from_alice));
}

static void dry_run_is_noted_without_effect(void **state)
{
	struct mesh *m = mesh_of(WORKLOAD(
		"") "policies:\n- {name: d, namespace: default, scope: Namespace, action: Deny, "
	            "dryRun: true, rules: [[]]}\n- {name: a, namespace: default, scope: Namespace, "
	            "action: Allow, dryRun: true, rules: []}\n");
	struct authz_answer a = ask(m, &from_alice);

	(void)state;
	assert_int_equal(a.verdict, AUTHZ_ALLOW);
	assert_int_equal(a.note_count, 2);
	assert_string_equal(a.notes[0].policy->name, "d");
	assert_null(a.notes[1].policy); /* no dry-run ALLOW would have matched */
	mesh_unref(m);
}

/* count dry-run policies, every so many of them of everywhere; returns how many notes, whether more are said to be. */
static size_t notes_of(int count, int every, bool *ret_cut)
{
	char text[8192];
	size_t at = (size_t)snprintf(
		text, sizeof(text), "%s",
		WORKLOAD(
			", authorizationPolicies: [default/d3, default/d0, default/d2]") "policies:\n");

	for (int i = 0; i < count; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at,
		                       "- {name: d%d, namespace: default, scope: %s, action: Deny, "
		                       "dryRun: true, rules: [[]]}\n",
		                       i, i % every == 0 ? "Global" : "Namespace");
	struct mesh *m = mesh_of(text);
	struct authz_answer a = ask(m, &from_nobody);

	assert_int_equal(a.verdict, AUTHZ_ALLOW);
	*ret_cut = a.notes_cut;
	mesh_unref(m);
	return a.note_count;
}

/* More dry runs than anyone reads are not listed, but said to exist; a policy that applies twice is noted once. */
static void dry_runs_are_listed_to_a_limit(void **state)
{
	(void)state;
	for (int every = 1; every <= 2; every++) {
		bool cut;

		assert_int_equal(notes_of(AUTHZ_NOTES_MAX, every, &cut), AUTHZ_NOTES_MAX);
		assert_false(cut);
		assert_int_equal(notes_of(AUTHZ_NOTES_MAX + 1, every, &cut), AUTHZ_NOTES_MAX);
		assert_true(cut);
	}
}

static void dry_run_lines_say_what_would_have_been(void **state)
{
	struct policy p = {.key = "a/p", .action = POLICY_DENY};
	struct authz_note n = {.policy = &p, .rule = 1};
	char words[AUTHZ_WORDS_MAX];

	(void)state;
	assert_string_equal(authz_note_words(&n, words),
	                    "dry-run: would be denied by: a/p, rule 2");
	p.action = POLICY_ALLOW;
	assert_string_equal(authz_note_words(&n, words),
	                    "dry-run: would be allowed by: a/p, rule 2");
	n.policy = NULL;
	assert_string_equal(
		authz_note_words(&n, words),
		"dry-run: would be denied: dry-run allow policies exist, but none would "
		"allow");
}

/* A pod the mesh does not know is judged by what applies to everyone in its namespace. */
static void a_workload_of_no_mesh_is_judged_by_its_namespace(void **state)
{
	struct mesh *m = mesh_of(WORKLOAD("") "policies:\n" POLICY("d", "Namespace", "Deny",
	                                                           "destinationPorts: [8080]"));
	struct workload stranger = {.uid = "stranger", .namespace = "default"};
	struct authz_facts facts = {.source_ip = ip_of("10.0.0.1"),
	                            .destination = endpoint_of("10.0.0.2:8080")};
	struct authz_answer a;
	char words[AUTHZ_WORDS_MAX];

	(void)state;
	authz_check(m, &stranger, &facts, &a);
	assert_int_equal(a.verdict, AUTHZ_DENY);
	stranger.namespace = "other";
	authz_check(m, &stranger, &facts, &a);
	assert_int_equal(a.verdict, AUTHZ_ALLOW);
	assert_string_equal(authz_words(&a, words), "allowed: no allow policy applies");
	mesh_unref(m);
	/* nor is one without a uid taken for another without one */
	m = mesh_of(
		"workloads: [{namespace: default, workloadIps: [], services: {}}]\npolicies:\n" POLICY(
			"d", "Namespace", "Deny", "destinationPorts: [8080]"));
	stranger.uid = "";
	authz_check(m, &stranger, &facts, &a);
	assert_int_equal(a.verdict, AUTHZ_ALLOW);
	mesh_unref(m);
}

/* A control plane's rules have no line in any file. */
static void a_rule_of_no_file_is_known_by_its_number(void **state)
{
	static const struct rule rules[2];
	struct policy p = {.key = "a/p", .rules = rules, .rule_count = 2};
	struct mesh *m = mesh_of(WORKLOAD(""));
	char words[AUTHZ_WORDS_MAX];

	(void)state;
	assert_string_equal(authz_where(m, &p, 1, words), "rule 2");
	mesh_unref(m);
}

/* 8.4, the superset: an older snapshot of the workload is judged by the current mesh's list. */
static void the_workloads_policies_are_those_of_the_mesh_given(void **state)
{
	struct mesh *before = mesh_of(WORKLOAD(""));
	struct mesh *after = mesh_of(WORKLOAD(
		", authorizationPolicies: [default/s]") "policies:\n- {name: s, namespace: default, "
	                                                "scope: WorkloadSelector, action: Deny, "
	                                                "rules: [[]]}\n");
	struct authz_facts facts = {.source_ip = ip_of("10.0.0.1"),
	                            .destination = endpoint_of("10.0.0.2:80")};
	struct authz_answer a;

	(void)state;
	authz_check(after, mesh_workload_by_uid(before, "w"), &facts, &a);
	assert_int_equal(a.verdict, AUTHZ_DENY);
	mesh_unref(before);
	mesh_unref(after);
}

static void an_identity_of_another_form_is_denied(void **state)
{
	static const char *const odd[] = {
		"spiffe://td/ns/x/sa/",
		"spiffe://td/ns//sa/y",
		"spiffe:///ns/x/sa/y",
		"spiffe://td/x/y",
		"https://td/ns/x/sa/y",
		"spiffe://td/ns/x/sa/y/z",
		"",
		"spiffe://td/sa/x/ns/y",
		"spiffe://td/ns/x/xx/y",
		"spiffe://td/ns/x/sa/y\x7f",
		"spiffe://td/ns/x y/sa/z",
		"spiffe://",
	};
	char words[AUTHZ_WORDS_MAX], longer[IDENTITY_TEXT_MAX + 64] = "spiffe://td/ns/x/sa/";
	struct mesh *m = mesh_of(WORKLOAD(""));

	(void)state;
	memset(longer + strlen(longer), 'y', IDENTITY_TEXT_MAX);
	assert_int_equal(ask(m, &(struct question){longer, "10.0.0.1", "10.0.0.2:80"}).verdict,
	                 AUTHZ_DENY);
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		struct question q = {odd[i], "10.0.0.1", "10.0.0.2:80"};
		struct authz_answer a = ask(m, &q);

		assert_int_equal(a.verdict, AUTHZ_DENY);
		assert_non_null(strstr(authz_words(&a, words), "identity is not"));
	}
	mesh_unref(m);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(zero_is_deny),
		cmocka_unit_test(no_policy_allows),
		cmocka_unit_test(each_field_decides_as_the_contract_says),
		cmocka_unit_test(nesting_and_empty_edges),
		cmocka_unit_test(string_matches_hold_as_named),
		cmocka_unit_test(deny_comes_before_allow_and_names_itself),
		cmocka_unit_test(an_unmet_allow_denies_in_the_contracts_words),
		cmocka_unit_test(only_policies_in_scope_count),
		cmocka_unit_test(strict_denies_plaintext_only),
		cmocka_unit_test(a_port_exempt_from_strict_takes_plaintext),
		cmocka_unit_test(dry_run_is_noted_without_effect),
		cmocka_unit_test(dry_runs_are_listed_to_a_limit),
		cmocka_unit_test(dry_run_lines_say_what_would_have_been),
		cmocka_unit_test(a_workload_of_no_mesh_is_judged_by_its_namespace),
		cmocka_unit_test(a_rule_of_no_file_is_known_by_its_number),
		cmocka_unit_test(the_workloads_policies_are_those_of_the_mesh_given),
		cmocka_unit_test(an_identity_of_another_form_is_denied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
