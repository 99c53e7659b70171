/* SPDX-License-Identifier: Apache-2.0 */
/* Every key, given a value of every shape that is not its own, is refused at its place and by its name. */
#include <stdlib.h>

#include "common/base/check.h"
#include "tests/unit/common/mesh/mesh_text.h"

enum shape { TEXT, CHOICE, BOOLEAN, NUMBER, LIST, MAP };

#define WORKLOAD "workloads: [{namespace: a, workloadIps: [], services: {}, "
#define SERVICE  "services: [{name: a, namespace: a, hostname: a, vips: [], ports: {}, "
#define POLICY   "policies: [{name: a, namespace: a, scope: Global, action: Deny, "
#define MATCH    POLICY "rules: [[[{"

static const struct {
	const char *before, *key, *after;
	enum shape shape;
} keys[] = {
	{"", "workloads", "", LIST},
	{"", "services", "", LIST},
	{"", "policies", "", LIST},
	{"workloads: [{workloadIps: [], services: {}, ", "namespace", "}]", TEXT},
	{"workloads: [{namespace: a, services: {}, ", "workloadIps", "}]", LIST},
	{"workloads: [{namespace: a, workloadIps: [], ", "services", "}]", MAP},
	{WORKLOAD, "uid", "}]", TEXT},
	{WORKLOAD, "name", "}]", TEXT},
	{WORKLOAD, "serviceAccount", "}]", TEXT},
	{WORKLOAD, "trustDomain", "}]", TEXT},
	{WORKLOAD, "protocol", "}]", CHOICE},
	{WORKLOAD, "networkMode", "}]", CHOICE},
	{WORKLOAD, "network", "}]", TEXT},
	{WORKLOAD, "node", "}]", TEXT},
	{WORKLOAD, "hostname", "}]", TEXT},
	{WORKLOAD, "waypoint", "}]", MAP},
	{WORKLOAD "waypoint: {", "destination", "}}]", CHOICE},
	{WORKLOAD "waypoint: {destination: a/b, ", "hboneMtlsPort", "}}]", NUMBER},
	{WORKLOAD, "networkGateway", "}]", MAP},
	{WORKLOAD, "applicationTunnel", "}]", MAP},
	{WORKLOAD "applicationTunnel: {", "protocol", "}}]", CHOICE},
	{WORKLOAD "applicationTunnel: {protocol: PROXY, ", "port", "}}]", NUMBER},
	{WORKLOAD, "nativeTunnel", "}]", BOOLEAN},
	{WORKLOAD, "workloadName", "}]", TEXT},
	{WORKLOAD, "workloadType", "}]", TEXT},
	{WORKLOAD, "canonicalName", "}]", TEXT},
	{WORKLOAD, "canonicalRevision", "}]", TEXT},
	{WORKLOAD, "clusterId", "}]", TEXT},
	{WORKLOAD, "locality", "}]", MAP},
	{WORKLOAD "locality: {", "region", "}}]", TEXT},
	{WORKLOAD "locality: {", "zone", "}}]", TEXT},
	{WORKLOAD "locality: {", "subzone", "}}]", TEXT},
	{WORKLOAD, "status", "}]", CHOICE},
	{WORKLOAD, "authorizationPolicies", "}]", LIST},
	{WORKLOAD, "capacity", "}]", NUMBER},
	{WORKLOAD, "netns", "}]", TEXT},
	{"services: [{namespace: a, hostname: a, vips: [], ports: {}, ", "name", "}]", TEXT},
	{"services: [{name: a, hostname: a, vips: [], ports: {}, ", "namespace", "}]", TEXT},
	{"services: [{name: a, namespace: a, vips: [], ports: {}, ", "hostname", "}]", TEXT},
	{"services: [{name: a, namespace: a, hostname: a, ports: {}, ", "vips", "}]", LIST},
	{"services: [{name: a, namespace: a, hostname: a, vips: [], ", "ports", "}]", MAP},
	{SERVICE, "cidrVips", "}]", LIST},
	{SERVICE "cidrVips: [{", "network", ", cidr: 10.0.0.0/8}]}]", TEXT},
	{SERVICE "cidrVips: [{", "cidr", "}]}]", CHOICE},
	{SERVICE, "endpoints", "}]", MAP},
	{SERVICE, "subjectAltNames", "}]", LIST},
	{SERVICE, "waypoint", "}]", MAP},
	{SERVICE, "weightedWaypoints", "}]", LIST},
	{SERVICE "weightedWaypoints: [{destination: {destination: a/b}, ", "weight", "}]}]",
         NUMBER},
	{SERVICE "weightedWaypoints: [{weight: 1, ", "destination", "}]}]", MAP},
	{SERVICE, "loadBalancer", "}]", MAP},
	{SERVICE "loadBalancer: {routingPreferences: [], healthPolicy: AllowAll, ", "mode", "}}]",
         CHOICE},
	{SERVICE "loadBalancer: {mode: Strict, healthPolicy: AllowAll, ", "routingPreferences",
         "}}]", LIST},
	{SERVICE "loadBalancer: {mode: Strict, routingPreferences: [], ", "healthPolicy", "}}]",
         CHOICE},
	{SERVICE, "ipFamilies", "}]", CHOICE},
	{SERVICE, "canonical", "}]", BOOLEAN},
	{SERVICE, "visibility", "}]", CHOICE},
	{"policies: [{namespace: a, scope: Global, action: Deny, rules: [], ", "name", "}]", TEXT},
	{"policies: [{name: a, scope: Global, action: Deny, rules: [], ", "namespace", "}]", TEXT},
	{"policies: [{name: a, namespace: a, action: Deny, rules: [], ", "scope", "}]", CHOICE},
	{"policies: [{name: a, namespace: a, scope: Global, rules: [], ", "action", "}]", CHOICE},
	{POLICY, "rules", "}]", LIST},
	{POLICY "rules: [], ", "dryRun", "}]", BOOLEAN},
	{MATCH, "principals", "}]]]}]", LIST},
	{MATCH, "notPrincipals", "}]]]}]", LIST},
	{MATCH, "namespaces", "}]]]}]", LIST},
	{MATCH, "notNamespaces", "}]]]}]", LIST},
	{MATCH, "serviceAccounts", "}]]]}]", LIST},
	{MATCH, "notServiceAccounts", "}]]]}]", LIST},
	{MATCH "serviceAccounts: [{serviceAccount: a, ", "namespace", "}]}]]]}]", TEXT},
	{MATCH "serviceAccounts: [{namespace: a, ", "serviceAccount", "}]}]]]}]", TEXT},
	{MATCH, "sourceIps", "}]]]}]", LIST},
	{MATCH, "notSourceIps", "}]]]}]", LIST},
	{MATCH, "destinationIps", "}]]]}]", LIST},
	{MATCH, "notDestinationIps", "}]]]}]", LIST},
	{MATCH, "destinationPorts", "}]]]}]", LIST},
	{MATCH, "notDestinationPorts", "}]]]}]", LIST},
	{MATCH "principals: [{", "Exact", "}]}]]]}]", TEXT},
	{MATCH "principals: [{", "Presence", "}]}]]]}]", LIST},
};

/* Values, and which shapes they are good for; what is empty would be right by luck. */
static const struct {
	const char *text;
	unsigned int fits; /* bits of enum shape */
} values[] = {
	{"[[], {}]", 0},
	{"{frobnicated: 1}", 0},
	{"!Odd x", 0},
	{"0x1f", 0},
	{"-1", 0},
	{"4294967296", 0},
	{"70000", 0},
	{"1.5", 0},
	{"\"17\"", 1U << TEXT},
	{"true", 1U << BOOLEAN},
	{"False", 1U << BOOLEAN},
	{"frobnicated", 1U << TEXT},
	{"[frobnicated]", 1U << LIST},
};

static bool fits(size_t key, size_t value)
{
	if (keys[key].shape == NUMBER && strcmp(values[value].text, "70000") == 0)
		return strcmp(keys[key].key, "capacity") == 0 ||
		       strcmp(keys[key].key, "weight") == 0;
	return values[value].fits & 1U << keys[key].shape;
}

static void assert_refused_by_name(const char *text, const char *key)
{
	struct mesh *m = NULL;
	struct buf messages;

	buf_init(&messages, 1 << 20);
	if (mesh_yaml_parse(span_str(text), "mesh.yaml", &messages, &m) != ERR_CONFIG)
		fail_msg("not refused: %s", text);
	buf_put_u8(&messages, 0);
	if (!strstr((const char *)messages.p, key) ||
	    !strstr((const char *)messages.p, ": error: ") || messages.p[10] == '0')
		fail_msg("%s\nis refused without naming %s:\n%s", text, key,
		         (const char *)messages.p);
	buf_fini(&messages);
}

static void every_key_refuses_values_of_another_shape_by_name(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		for (size_t k = 0; k < ARRAY_LEN(values); k++) {
			char text[512];

			if (fits(i, k))
				continue;
			(void)snprintf(text, sizeof(text), "%s%s: %s%s\n", keys[i].before,
			               keys[i].key, values[k].text, keys[i].after);
			assert_refused_by_name(text, keys[i].key);
		}
	}
}

/* Elements of the lists, by what is wrong with them. */
static const struct {
	const char *text, *words;
} element_rows[] = {
	{WORKLOAD "authorizationPolicies: [[]]}]",
         "authorizationPolicies[0]: expected a single value"},
	{"workloads: [{namespace: a, workloadIps: [5], services: {}}]",
         "workloadIps[0]: expected text"},
	{"workloads: [{namespace: a, workloadIps: [], services: {5: {}}}]",
         "services.5: expected text"},
	{"workloads: [{namespace: a, workloadIps: [], services: {\"\": {}}}]",
         "\"\" is not of the form \"namespace/hostname\""},
	{"workloads: [{namespace: a, workloadIps: [], services: {/h: {}}}]",
         "\"/h\" is not of the form"},
	{"workloads: [{namespace: a, workloadIps: [], services: {n/: {}}}]",
         "\"n/\" is not of the form"},
	{"workloads: [{namespace: a, workloadIps: [], services: {a/b/c: {}}}]",
         "\"a/b/c\" is not of the form"},
	{"workloads: [{namespace: a, workloadIps: [], services: {a/b: []}}]",
         "a/b: expected a map"},
	{"services: [{name: a, namespace: a, hostname: a, vips: [], ports: {80: 1, 080: 2}}]",
         "port 80 is here twice; remove one"},
	{"services: [{name: a, namespace: a, hostname: a, vips: [n/x], ports: {}}]",
         "\"x\" is not an IP address; write \"network/ip\""},
	{SERVICE "waypoint: {destination: n/}}]", "must not be empty"},
	{SERVICE "subjectAltNames: [5]}]", "subjectAltNames[0]: expected text"},
	{SERVICE
         "loadBalancer: {mode: Strict, healthPolicy: AllowAll, routingPreferences: [Node, Node, "
         "Node, Node, Node, Node, Node, Node, Node, Node, Node, Node, Node, Node, Node, Node, "
         "Node]}}]",
         "more than 16 preferences"},
	{MATCH "principals: [{Exact: a, Prefix: b}]}]]]}]", "expected a string match"},
	{MATCH "principals: [!Exact {a: b}]}]]]}]", "expected a single value, found a map"},
	{MATCH "principals: [!<tag:x> a]}]]]}]", "expected a string match"},
	{MATCH "principals: [!<tag:x> {Exact: a}]}]]]}]", "expected a string match"},
	{MATCH "principals: [!Presence \"\"]}]]]}]", "Presence takes no text"},
	{MATCH "principals: [!Presence [a]]}]]]}]", "Presence takes no text"},
	{MATCH "principals: [{Presence: x}]}]]]}]", "Presence takes no text"},
	{MATCH "sourceIps: [5]}]]]}]", "sourceIps[0]: expected text"},
	{MATCH "sourceIps: [10.0.0.0/33]}]]]}]", "is not an address or a range"},
	{MATCH "destinationPorts: [70000]}]]]}]", "whole number from 0 to 65535"},
	{POLICY "rules: [[[[]]]]}]", "rules[0][0][0]: expected a map"},
	{POLICY "rules: [[x]]}]", "rules[0][0]: expected a list"},
	{POLICY "rules: [x]}]", "rules[0]: expected a list"},
	{"policies: [x]", "policies[0]: expected a map"},
	{"\"\": 1", "unknown key; remove it"},
	{"a: &x [1]", "anchors (&x)"},
	{"a: &x {b: 1}", "anchors (&x)"},
	{"{a: 1, a: 2}", "this key is here twice"},
	{"b: 1\na: 1\nb: 2\nb: 3\n", "this key is here twice, first at line 3"},
	{"a: 'b", "while scanning a quoted scalar"},
	{"a: b: c", "not valid YAML: mapping values are not allowed"},
};

static void every_element_is_refused_for_what_is_wrong_with_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(element_rows); i++)
		assert_refused_by_name(element_rows[i].text, element_rows[i].words);
}

/* And what looks odd but is right. */
static void other_ways_to_write_the_same_are_taken(void **state)
{
	struct mesh *m = mesh_of(
		WORKLOAD
		"name: !!str 5, node: ! 6, network: !!str n, capacity: !!int 7, nativeTunnel: "
		"True}]\nservices: [{name: a, namespace: a, hostname: a, vips: [], ports: {}, "
		"endpoints: {}, subjectAltNames: [\"\"]}]\npolicies: [{name: a, namespace: a, "
		"scope: Global, action: Deny, rules: [[[{principals: [{Presence: ~}, {Presence: "
		"null}, {Presence: {}}, !Presence , !Exact 5, {Exact: \"\"}]}]]]}]\n");
	const struct string_matches *list =
		&m->policies[0]->rules[0].clauses[0].matches[0].principals;

	(void)state;
	assert_string_equal(m->workloads[0]->name, "5");
	assert_string_equal(m->workloads[0]->node, "6");
	assert_int_equal(m->workloads[0]->capacity, 7);
	assert_true(m->workloads[0]->native_tunnel);
	assert_int_equal(list->n, 6);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(list->v[i].kind, MATCH_PRESENCE);
	assert_int_equal(list->v[4].kind, MATCH_EXACT);
	mesh_unref(m);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_refuses_values_of_another_shape_by_name),
		cmocka_unit_test(every_element_is_refused_for_what_is_wrong_with_it),
		cmocka_unit_test(other_ways_to_write_the_same_are_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
