/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mesh/mesh_dump.h"

#include <jansson.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "tests/unit/common/mesh/mesh_text.h"

static const char rich[] =
	"workloads:\n"
	"- {uid: z, name: z, namespace: a, workloadIps: [], services: {}}\n"
	"- {uid: c//Pod/a/b, name: b, namespace: a, workloadIps: [10.0.0.1, \"fd00::1\"], protocol: HBONE, "
	"networkMode: HostNetwork, serviceAccount: s, trustDomain: td, network: n, node: no, hostname: h, "
	"waypoint: {destination: a/w}, networkGateway: {destination: /10.9.9.9, hboneMtlsPort: 15009}, "
	"applicationTunnel: {protocol: PROXY}, nativeTunnel: true, workloadName: wn, workloadType: "
	"deployment, canonicalName: cn, canonicalRevision: \"1\", clusterId: ci, locality: {region: r}, "
	"status: Unhealthy, authorizationPolicies: [a/p], capacity: 7, services: {a/s: {80: 8080}, a/gone: "
	"{1: 2}}, netns: ns0, virtualInterfaces: br0, dnsCapture: false}\n"
	"- {uid: up, name: up, namespace: a, workloadIps: [10.0.0.3], services: {a/s: {80: 81}, a/gone: "
	"{}}}\n"
	"services:\n"
	"- {name: t, namespace: a, hostname: t, vips: [], ports: {}}\n"
	"- {name: s, namespace: a, hostname: s, vips: [/10.1.0.1], cidrVips: [{cidr: 10.2.0.0/16}], ports: "
	"{80: 8080, 9: 0}, subjectAltNames: [spiffe://td/ns/a/sa/b], waypoint: {destination: /10.0.0.9}, "
	"weightedWaypoints: [{destination: {destination: a/w}, weight: 3}], loadBalancer: {mode: Failover, "
	"routingPreferences: [Network, Region], healthPolicy: OnlyHealthy}, ipFamilies: IPv6, canonical: "
	"true, visibility: Namespace}\n"
	"policies:\n"
	"- {name: q, namespace: a, scope: Global, action: Deny, rules: []}\n"
	"- {name: p, namespace: a, scope: WorkloadSelector, action: Allow, dryRun: true, rules: "
	"[[[{principals: [!Exact x, !Prefix y, !Suffix z, !Presence []], notPrincipals: [!Presence []], "
	"namespaces: [!Exact n], notNamespaces: [!Exact m], serviceAccounts: [{namespace: a, "
	"serviceAccount: b}], notServiceAccounts: [{namespace: c, serviceAccount: d}], sourceIps: "
	"[10.0.0.0/8], notSourceIps: [\"fd00::/8\"], destinationIps: [1.2.3.4], notDestinationIps: "
	"[4.3.2.1/32], destinationPorts: [80], notDestinationPorts: [81]}], []], []]}\n";

static char *dump_text(const struct mesh *m, bool pretty)
{
	struct json_write w;
	struct buf out;
	char *text;

	buf_init(&out, 1 << 20);
	json_write_init(&w, &out, pretty);
	json_object_open(&w);
	mesh_dump_members(m, &w);
	json_object_close(&w);
	assert_true(json_write_complete(&w));
	assert_int_equal(buf_status(&out), ERR_OK);
	text = strndup((const char *)out.p, out.n);
	buf_fini(&out);
	return text;
}

static json_t *dump_of(const struct mesh *m)
{
	char *text = dump_text(m, true);
	json_error_t why;
	json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &why);

	if (!root)
		fail_msg("%s at %d: %s", why.text, why.position, text);
	free(text);
	return root;
}

static void assert_json(json_t *part, const char *expected)
{
	char *text = json_dumps(part, JSON_COMPACT | JSON_ENCODE_ANY);

	assert_string_equal(text, expected);
	free(text);
}

static void an_empty_mesh_has_arrays_not_nulls(void **state)
{
	struct mesh *m = mesh_new("");
	char *text;

	(void)state;
	mesh_seal(m);
	text = dump_text(m, false);
	assert_string_equal(
		text, "{\"workloads\":[],\"services\":[],\"policies\":[],\"stagedServices\":{},"
		      "\"staticConfig\":{\"workloads\":[],\"policies\":[],\"services\":[]}}");
	free(text);
	mesh_unref(m);
}

static void workloads_are_sorted_and_leave_defaults_out(void **state)
{
	struct mesh *m = mesh_of(rich);
	json_t *root = dump_of(m), *v = json_object_get(root, "workloads");

	(void)state;
	assert_int_equal(json_array_size(v), 3);
	assert_json(
		json_array_get(v, 0),
		"{\"workloadIps\":[\"10.0.0.1\",\"fd00::1\"],\"waypoint\":{\"destination\":\"a/w\","
		"\"hboneMtlsPort\":15008},\"networkGateway\":{\"destination\":\"/10.9.9.9\","
		"\"hboneMtlsPort\":15009},\"protocol\":\"HBONE\",\"networkMode\":\"HostNetwork\","
		"\"uid\":\"c//Pod/a/b\",\"name\":\"b\",\"namespace\":\"a\",\"trustDomain\":\"td\","
		"\"serviceAccount\":\"s\",\"network\":\"n\",\"workloadName\":\"wn\",\"workloadType\":"
		"\"deployment\",\"canonicalName\":\"cn\",\"canonicalRevision\":\"1\",\"hostname\":\"h\","
		"\"node\":\"no\",\"nativeTunnel\":true,\"applicationTunnel\":{\"protocol\":\"PROXY\","
		"\"port\":null},\"status\":\"Unhealthy\",\"clusterId\":\"ci\",\"capacity\":7,"
		"\"authorizationPolicies\":[\"a/p\"],\"locality\":{\"region\":\"r\",\"zone\":\"\","
		"\"subzone\":\"\"},\"services\":[\"a/s\",\"a/gone\"],\"netns\":\"ns0\","
		"\"virtualInterfaces\":\"br0\",\"dnsCapture\":false}");
	assert_json(
		json_array_get(v, 2),
		"{\"workloadIps\":[],\"protocol\":\"TCP\",\"networkMode\":\"Standard\",\"uid\":\"z\","
		"\"name\":\"z\",\"namespace\":\"a\",\"status\":\"Healthy\",\"clusterId\":\"\","
		"\"capacity\":1}");
	json_decref(root);
	mesh_unref(m);
}

/* The other values, and the order of what is alike in part. */
static void what_is_set_is_written_and_order_is_total(void **state)
{
	struct mesh *m = mesh_of(
		"workloads:\n"
		"- {uid: w, namespace: a, workloadIps: [], applicationTunnel: {protocol: NONE, port: 5}, "
		"locality: {zone: z}, services: {b/s: {}, a/t: {}, a/s: {}}}\n"
		"- {uid: v, namespace: a, workloadIps: [], locality: {subzone: s}, services: {a/s: {}}}\n"
		"services:\n"
		"- {name: h, namespace: b, hostname: h, vips: [], ports: {}, ipFamilies: IPv4}\n"
		"- {name: h, namespace: a, hostname: h, vips: [], ports: {}, ipFamilies: Dual, "
		"loadBalancer: {mode: Strict, routingPreferences: [], healthPolicy: AllowAll}}\n"
		"policies:\n"
		"- {name: p, namespace: b, scope: Global, action: Deny, rules: []}\n"
		"- {name: q, namespace: a, scope: Namespace, action: Deny, rules: []}\n"
		"- {name: p, namespace: a, scope: Global, action: Deny, rules: []}\n");
	static const char *const parts[] = {
		"{\"region\":\"\",\"zone\":\"\",\"subzone\":\"s\"}",
		"{\"protocol\":\"NONE\",\"port\":5}",
		"{\"region\":\"\",\"zone\":\"z\",\"subzone\":\"\"}",
		"\"healthPolicy\":\"AllowAll\"}",
		"\"ipFamilies\":\"Dual\"",
		"\"ipFamilies\":\"IPv4\"",
		"\"policies\":[{\"name\":\"p\",\"namespace\":\"a\"",
		",{\"name\":\"q\",\"namespace\":\"a\"",
		",{\"name\":\"p\",\"namespace\":\"b\"",
		"\"stagedServices\":{\"a/s\":{\"v\":",
		"},\"a/t\":{\"w\":",
		"},\"b/s\":{\"w\":",
	};
	char *text = dump_text(m, false), *at = text;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) { /* in this order */
		at = strstr(at, parts[i]);
		if (!at)
			fail_msg("%s is not, or not there, in %s", parts[i], text);
	}
	free(text);
	mesh_unref(m);
}

/* Whoever wonders why a policy denies more than it says finds it here. */
static void a_match_that_was_not_understood_is_marked(void **state)
{
	static const struct match match = {.not_understood = true};
	static const struct clause clause = {&match, 1};
	static const struct rule rules = {.clauses = &clause, .clause_count = 1};
	struct mesh *m = mesh_new("");
	struct policy *p = mesh_policy_new(m);
	char *text;

	(void)state;
	p->rules = &rules;
	p->rule_count = 1;
	mesh_add_policy(m, p);
	mesh_seal(m);
	text = dump_text(m, false);
	assert_non_null(strstr(text, "\"notDestinationPorts\":[],\"notUnderstood\":true}"));
	free(text);
	mesh_unref(m);
}

static void services_carry_their_healthy_endpoints(void **state)
{
	struct mesh *m = mesh_of(rich);
	json_t *root = dump_of(m), *v = json_object_get(root, "services");

	(void)state;
	assert_json(
		json_array_get(v, 0),
		"{\"name\":\"s\",\"namespace\":\"a\",\"hostname\":\"s\",\"vips\":[\"/10.1.0.1\"],"
		"\"cidrVips\":[{\"network\":\"\",\"cidr\":\"10.2.0.0/16\"}],\"ports\":{\"9\":0,\"80\":"
		"8080},\"endpoints\":{\"up\":{\"workloadUid\":\"up\",\"port\":{\"80\":81},\"status\":"
		"\"Healthy\"}},\"subjectAltNames\":[\"spiffe://td/ns/a/sa/b\"],\"waypoint\":"
		"{\"destination\":\"/10.0.0.9\",\"hboneMtlsPort\":15008},\"weightedWaypoints\":"
		"[{\"destination\":{\"destination\":\"a/w\",\"hboneMtlsPort\":15008},\"weight\":3}],"
		"\"loadBalancer\":{\"routingPreferences\":[\"Network\",\"Region\"],\"mode\":"
		"\"Failover\",\"healthPolicy\":\"OnlyHealthy\"},\"ipFamilies\":\"IPv6\",\"canonical\":"
		"true,\"visibility\":\"Namespace\"}");
	assert_json(
		json_array_get(v, 1),
		"{\"name\":\"t\",\"namespace\":\"a\",\"hostname\":\"t\",\"vips\":[],\"ports\":{},"
		"\"endpoints\":{},\"subjectAltNames\":[],\"canonical\":false,\"visibility\":"
		"\"Public\"}");
	assert_json(
		json_object_get(root, "stagedServices"),
		"{\"a/gone\":{\"c//Pod/a/b\":{\"workloadUid\":\"c//Pod/a/b\",\"port\":{\"1\":2},"
		"\"status\":\"Unhealthy\"},\"up\":{\"workloadUid\":\"up\",\"port\":{},\"status\":"
		"\"Healthy\"}}}");
	json_decref(root);
	mesh_unref(m);
}

static void policies_show_every_match(void **state)
{
	struct mesh *m = mesh_of(rich);
	json_t *root = dump_of(m), *v = json_object_get(root, "policies");

	(void)state;
	assert_json(
		json_array_get(v, 0),
		"{\"name\":\"p\",\"namespace\":\"a\",\"scope\":\"WorkloadSelector\",\"action\":"
		"\"Allow\",\"rules\":[[[{\"namespaces\":[{\"Exact\":\"n\"}],\"notNamespaces\":"
		"[{\"Exact\":\"m\"}],\"serviceAccounts\":[{\"namespace\":\"a\",\"serviceAccount\":"
		"\"b\"}],\"notServiceAccounts\":[{\"namespace\":\"c\",\"serviceAccount\":\"d\"}],"
		"\"principals\":[{\"Exact\":\"x\"},{\"Prefix\":\"y\"},{\"Suffix\":\"z\"},{\"Presence\":"
		"[]}],\"notPrincipals\":[{\"Presence\":[]}],\"sourceIps\":[\"10.0.0.0/8\"],"
		"\"notSourceIps\":[\"fd00::/8\"],\"destinationIps\":[\"1.2.3.4/32\"],"
		"\"notDestinationIps\":[\"4.3.2.1/32\"],\"destinationPorts\":[80],"
		"\"notDestinationPorts\":[81]}],[]],[]],\"dryRun\":true}");
	assert_json(json_array_get(v, 1),
	            "{\"name\":\"q\",\"namespace\":\"a\",\"scope\":\"Global\",\"action\":\"Deny\","
	            "\"rules\":[],\"dryRun\":false}");
	json_decref(root);
	mesh_unref(m);
}

static void static_config_read_back_gives_the_same_dump(void **state)
{
	struct mesh *m = mesh_of(rich), *again;
	json_t *root = dump_of(m);
	char *file = json_dumps(json_object_get(root, "staticConfig"), 0);
	char *before = dump_text(m, false), *after;

	(void)state;
	again = mesh_of(file);
	after = dump_text(again, false);
	assert_string_equal(before, after);
	free(before);
	free(after);
	free(file);
	json_decref(root);
	mesh_unref(m);
	mesh_unref(again);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_mesh_has_arrays_not_nulls),
		cmocka_unit_test(workloads_are_sorted_and_leave_defaults_out),
		cmocka_unit_test(what_is_set_is_written_and_order_is_total),
		cmocka_unit_test(a_match_that_was_not_understood_is_marked),
		cmocka_unit_test(services_carry_their_healthy_endpoints),
		cmocka_unit_test(policies_show_every_match),
		cmocka_unit_test(static_config_read_back_gives_the_same_dump),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
