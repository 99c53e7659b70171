/* SPDX-License-Identifier: Apache-2.0 */
/* How many of a thousand rules a decision asks: that they are filed, not only that they are found. */
#include <stdlib.h>

#include "common/base/check.h"
#include "common/mesh/authz.h"
#include "common/mesh/authz_match.h"
#include "common/mesh/mesh_table.h"
#include "tests/unit/common/mesh/mesh_text.h"

bool __real_rule_holds(const struct rule *r, enum policy_action action,
                       const struct authz_peer *peer);
bool __wrap_rule_holds(const struct rule *r, enum policy_action action,
                       const struct authz_peer *peer);

static unsigned int asked;

bool __wrap_rule_holds(const struct rule *r, enum policy_action action,
                       const struct authz_peer *peer)
{
	asked++;
	return __real_rule_holds(r, action, peer);
}

#define CLIENT "spiffe://cluster.local/ns/default/sa/client"

enum { RULES = 1000, RULE_TEXT_MAX = 256 };

/* A rule: what stands before its number, and behind it; and how often the peers below may be asked about all. */
static const struct {
	const char *before, *after;
	unsigned int plaintext_most, mtls_most;
} kinds[] = {
	{"[{principals: [!Exact td/ns/a/sa/a", "]}]", 0, 0},
	{"[{principals: [!Exact cluster.local/ns/default/sa/client, !Exact a", "]}]", 0, 1},
	{"[{principals: [!Prefix cluster.local/ns/a", "/]}]", 0, 0},
	{"[{principals: [!Suffix /sa/a", "]}]", 0, 0},
	{"[{namespaces: [!Exact a", "]}]", 0, 0},
	{"[{namespaces: [!Prefix a", "]}]", 0, 0},
	{"[{namespaces: [!Suffix a", "]}]", 0, 0},
	{"[{serviceAccounts: [{namespace: default, serviceAccount: a", "}]}]", 0, 0},
	{"[{sourceIps: [\"fd00::", "/120\"]}]", 0, 0},
	{"[{destinationIps: [\"fd00::", "\"]}]", 0, 0},
	{"[{destinationPorts: [1", "]}]", 0, 0},
	/* the rarer of two needs, in one match, or in two clauses */
	{"[{destinationPorts: [80], principals: [!Exact a", "]}]", 0, 0},
	{"[{principals: [!Exact a", "], destinationPorts: [80]}]", 0, 0},
	{"[{destinationPorts: [80]}], [{sourceIps: [\"fd00::", "\"]}]", 0, 0},
	{"[{sourceIps: [0.0.0.0/0], namespaces: [!Exact a", "]}]", 0, 0},
	/* every match of a clause by its own */
	{"[{sourceIps: [\"fd00::9\"]}, {namespaces: [!Exact a", "]}]", 0, 0},
	/* no identity, as STRICT is written, by port */
	{"[{notPrincipals: [!Presence []], destinationPorts: [1", "]}]", 0, 0},
	{"[{notNamespaces: [!Presence []], notDestinationPorts: [80, 1", "]}]", 0, 0},
	/* an identity, and negations */
	{"[{principals: [!Presence []], notNamespaces: [!Exact default, !Exact a", "]}]", 0, 0},
	{"[{namespaces: [!Presence []], notDestinationPorts: [80, 1", "]}]", 0, 0},
	{"[{serviceAccounts: [{namespace: default, serviceAccount: client}], notSourceIps: "
         "[10.0.0.0/8, \"fd00::",
         "\"]}]", 0, RULES},
	/* negations only, one of them shared and true of the peers */
	{"[{notSourceIps: [10.0.0.0/8, \"fd00::", "\"]}]", 0, 0},
	{"[{notDestinationIps: [10.0.0.0/31, \"fd00::", "\"]}]", 0, 0},
	{"[{notDestinationPorts: [1", ", 80]}]", 0, 0},
	{"[{notNamespaces: [!Prefix \"\"]}], [{notNamespaces: [!Exact a", "]}]", 0, 0},
	/* what can hold for nobody, and the same in a thousand words */
	{"[{}], [{namespaces: [!Exact a", "]}]", 0, 0},
	{"[{notSourceIps: [10.0.0.1], notDestinationIps: [10.0.0.2]}, {destinationPorts: [79]}], []",
         NULL, 1, 1},
};

static struct mesh *mesh_of_kind(size_t kind)
{
	size_t room = (RULES + 2) * RULE_TEXT_MAX;
	char *text = malloc(room), *at = text;

	assert_non_null(text);
	at += snprintf(
		at, room,
		"workloads: [{uid: w, namespace: default, workloadIps: [], services: {}}]\n"
		"policies:\n- {name: p, namespace: a, scope: Global, action: Deny, rules: [");
	for (int i = 0; i < RULES; i++) {
		const char *after = kinds[kind].after;

		at += snprintf(at, RULE_TEXT_MAX, "[%s", kinds[kind].before);
		if (after)
			at += snprintf(at, RULE_TEXT_MAX, "%d%s", 1000 + i, after);
		at += snprintf(at, RULE_TEXT_MAX, "],\n");
	}
	(void)snprintf(at, RULE_TEXT_MAX, "]}\n");
	struct mesh *m = mesh_of(text);

	free(text);
	return m;
}

static unsigned int asked_by(const struct mesh *m, const char *identity)
{
	struct authz_facts facts = {.source_ip = ip_of("10.0.0.1"),
	                            .destination = endpoint_of("10.0.0.1:80"),
	                            .identity = identity};
	struct authz_answer a;

	asked = 0;
	authz_check(m, m->workloads[0], &facts, &a);
	return asked;
}

static void of_a_thousand_rules_hardly_any_is_asked(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct mesh *m = mesh_of_kind(i);
		unsigned int plaintext = asked_by(m, NULL), mtls = asked_by(m, CLIENT);

		if (plaintext > kinds[i].plaintext_most || mtls > kinds[i].mtls_most)
			fail_msg("%s%s: plaintext asks %u, mTLS %u", kinds[i].before,
			         kinds[i].after ? kinds[i].after : "", plaintext, mtls);
		mesh_unref(m);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_a_thousand_rules_hardly_any_is_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
