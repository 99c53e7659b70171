/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mesh/mesh_yaml.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/mesh/mesh_table.h"
#include "common/mesh/yaml_tree.h"
#include "tests/unit/common/mesh/mesh_text.h"

/* Parse what must be refused, return what was said (to be freed). */
static char *refusal(const char *text, enum err expected)
{
	struct mesh *m = NULL;
	struct buf messages;
	char *said;

	buf_init(&messages, 1 << 20);
	assert_int_equal(mesh_yaml_parse(span_str(text), "mesh.yaml", &messages, &m), expected);
	assert_null(m);
	said = strndup(messages.p ? (const char *)messages.p : "", messages.n);
	buf_fini(&messages);
	return said;
}

static void assert_refused(const char *text, const char *expected)
{
	char *said = refusal(text, ERR_CONFIG);

	if (strcmp(said, expected) != 0) {
		print_error("--- expected\n%s--- said\n%s", expected, said);
		fail();
	}
	free(said);
}

/* The file of contract 1.5. */
static const char whole_file[] =
	"workloads:\n"
	"- uid: cluster1//Pod/default/web-1\n"
	"  name: web-1\n"
	"  namespace: default\n"
	"  workloadIps: [\"10.1.0.7\", \"fd00::7\"]\n"
	"  serviceAccount: web\n"
	"  trustDomain: example.org\n"
	"  protocol: HBONE\n"
	"  networkMode: Standard\n"
	"  network: \"\"\n"
	"  node: node-a\n"
	"  hostname: \"\"\n"
	"  waypoint:\n"
	"    destination: default/waypoint.default.svc.cluster.local\n"
	"    hboneMtlsPort: 15008\n"
	"  networkGateway: {destination: \"net2/203.0.113.4\", hboneMtlsPort: 15443}\n"
	"  applicationTunnel: {protocol: PROXY, port: 15088}\n"
	"  nativeTunnel: false\n"
	"  workloadName: web\n"
	"  workloadType: deployment\n"
	"  canonicalName: web\n"
	"  canonicalRevision: v1\n"
	"  clusterId: Kubernetes\n"
	"  locality: {region: r1, zone: z1, subzone: \"\"}\n"
	"  status: Healthy\n"
	"  authorizationPolicies: [\"default/only-web\"]\n"
	"  capacity: 3\n"
	"  services:\n"
	"    \"default/web.default.svc.cluster.local\": {80: 8080}\n"
	"  netns: pod-a\n"
	"  virtualInterfaces: br0, br1\n"
	"  dnsCapture: false\n"
	"services:\n"
	"- name: web\n"
	"  namespace: default\n"
	"  hostname: web.default.svc.cluster.local\n"
	"  vips: [\"/10.96.0.10\"]\n"
	"  cidrVips: [{network: \"\", cidr: 192.0.2.0/24}]\n"
	"  ports: {80: 8080, 79: 0}\n"
	"  endpoints: {}\n"
	"  subjectAltNames: [\"spiffe://cluster.local/ns/default/sa/web\"]\n"
	"  waypoint: {destination: \"/10.96.0.99\", hboneMtlsPort: 15008}\n"
	"  weightedWaypoints:\n"
	"  - {destination: {destination: \"/10.96.0.99\", hboneMtlsPort: 15008}, weight: 90}\n"
	"  loadBalancer: {mode: Failover, routingPreferences: [Network, Region, Zone], "
	"healthPolicy: OnlyHealthy}\n"
	"  ipFamilies: Dual\n"
	"  canonical: true\n"
	"  visibility: Public\n"
	"policies:\n"
	"- name: only-web\n"
	"  namespace: default\n"
	"  scope: WorkloadSelector\n"
	"  action: Allow\n"
	"  dryRun: false\n"
	"  rules:\n"
	"  - - - principals: [!Exact cluster.local/ns/default/sa/web, {Prefix: x}, !Presence []]\n"
	"        notPrincipals: []\n"
	"        namespaces: []\n"
	"        notNamespaces: []\n"
	"        serviceAccounts: [{namespace: default, serviceAccount: web}]\n"
	"        notServiceAccounts: []\n"
	"        sourceIps: [10.0.0.0/8]\n"
	"        notSourceIps: []\n"
	"        destinationIps: []\n"
	"        notDestinationIps: []\n"
	"        destinationPorts: [8080]\n"
	"        notDestinationPorts: []\n";

static void every_key_of_the_contract_is_read(void **state)
{
	struct mesh *m = mesh_of(whole_file);
	const struct workload *w = m->workloads[0];
	const struct service *s = m->services[0];
	const struct policy *p = m->policies[0];
	const struct match *x = &p->rules[0].clauses[0].matches[0];

	(void)state;
	assert_string_equal(w->uid, "cluster1//Pod/default/web-1");
	assert_string_equal(w->identity, "spiffe://example.org/ns/default/sa/web");
	assert_int_equal(w->ip_count, 2);
	assert_int_equal(w->ips[1].family, IP_V6);
	assert_int_equal(w->protocol, TUNNEL_HBONE);
	assert_int_equal(w->waypoint.kind, GATEWAY_HOSTNAME);
	assert_string_equal(w->waypoint.hostname, "waypoint.default.svc.cluster.local");
	assert_int_equal(w->network_gateway.kind, GATEWAY_ADDRESS);
	assert_string_equal(w->network_gateway.network, "net2");
	assert_int_equal(w->network_gateway.hbone_mtls_port, 15443);
	assert_true(w->app_tunnel.present);
	assert_int_equal(w->app_tunnel.port, 15088);
	assert_string_equal(w->locality.zone, "z1");
	assert_int_equal(w->capacity, 3);
	assert_int_equal(w->policy_count, 1);
	assert_ptr_equal(w->policies[0], p);
	assert_ptr_equal(w->memberships[0].service, s);
	assert_string_equal(w->netns, "pod-a");
	assert_string_equal(w->virtual_interfaces, "br0, br1");
	assert_false(w->dns_capture);
	assert_int_equal(s->ports.n, 2);
	assert_int_equal(s->ports.v[0].service_port, 79);
	assert_int_equal(port_map_find(&s->ports, 80)->target_port, 8080);
	assert_null(port_map_find(&s->ports, 81));
	assert_int_equal(s->endpoint_count, 1);
	assert_int_equal(s->cidr_vips[0].prefix.len, 24);
	assert_int_equal(s->weighted_waypoints[0].weight, 90);
	assert_int_equal(s->load_balancer.mode, LB_FAILOVER);
	assert_int_equal(s->load_balancer.preferences[0], SCOPE_NETWORK);
	assert_int_equal(s->ip_families, FAMILIES_DUAL);
	assert_true(s->canonical);
	assert_int_equal(s->identity_count, 1);
	assert_int_equal(p->pos.line, 50);
	assert_int_equal(p->rules[0].pos.line, 56);
	assert_int_equal(x->principals.n, 3);
	assert_int_equal(x->principals.v[1].kind, MATCH_PREFIX);
	assert_int_equal(x->principals.v[2].kind, MATCH_PRESENCE);
	assert_int_equal(x->destination_ports.v[0], 8080);
	assert_string_equal(x->service_accounts.v[0].service_account, "web");
	mesh_unref(m);
}

static void defaults_are_those_of_the_decision(void **state)
{
	struct mesh *m = mesh_of("workloads: [{namespace: ns1, workloadIps: [], services: {}, "
	                         "waypoint: null, applicationTunnel: ~}]");
	const struct workload *w = m->workloads[0];

	(void)state;
	assert_string_equal(w->identity, "spiffe://cluster.local/ns/ns1/sa/default");
	assert_int_equal(w->capacity, 1);
	assert_int_equal(w->protocol, TUNNEL_NONE);
	assert_string_equal(w->cluster_id, "");
	assert_int_equal(w->waypoint.kind, GATEWAY_NONE);
	assert_false(w->app_tunnel.present);
	mesh_unref(m);
}

static void json_is_yaml(void **state)
{
	struct mesh *m =
		mesh_of("{\"workloads\":[{\"namespace\":\"a\",\"workloadIps\":[\"10.0.0.1\"],"
	                "\"services\":{\"a/b\":{\"80\":8080}},\"capacity\":2}],\"policies\":"
	                "[{\"name\":\"p\",\"namespace\":\"a\",\"scope\":\"Global\",\"action\":"
	                "\"Deny\",\"rules\":[[[{\"principals\":[{\"Exact\":\"x\"},"
	                "{\"Presence\":[]}]}]]]}]}");

	(void)state;
	assert_int_equal(m->workloads[0]->memberships[0].ports.v[0].target_port, 8080);
	assert_int_equal(m->policies[0]->rules[0].clauses[0].matches[0].principals.n, 2);
	mesh_unref(m);
}

static void an_unknown_key_is_placed_and_a_near_one_offered(void **state)
{
	(void)state;
	assert_refused(
		"workloads:\n- namespace: a\n  workloadIps: []\n  services: {}\n  nmae: web\n",
		"mesh.yaml:5:3: error: workloads[0].nmae: unknown key, did you mean \"name\"?\n"
		"     5 |   nmae: web\n"
		"       |   ^\n");
	assert_refused("frobnicate: 1\n",
	               "mesh.yaml:1:1: error: frobnicate: unknown key; remove it, or check its "
	               "indentation\n"
	               "     1 | frobnicate: 1\n"
	               "       | ^\n");
}

static void a_missing_key_is_named(void **state)
{
	(void)state;
	assert_refused("workloads:\n- namespace: a\n  services: {}\n",
	               "mesh.yaml:2:3: error: workloads[0].workloadIps: this key is required and "
	               "missing; add it\n"
	               "     2 | - namespace: a\n"
	               "       |   ^\n");
}

static void a_duplicate_key_is_refused(void **state)
{
	(void)state;
	assert_refused("workloads:\n- namespace: a\n  namespace: b\n",
	               "mesh.yaml:3:3: error: namespace: this key is here twice, first at line 2; "
	               "remove one\n"
	               "     3 |   namespace: b\n"
	               "       |   ^\n");
}

static void all_mistakes_come_in_one_run(void **state)
{
	char *said =
		refusal("workloads:\n"
	                "- {namespace: 5, workloadIps: [10.0.0.300], services: [], capacity: -1}\n"
	                "policies:\n"
	                "- {name: p, namespace: a, scope: Namspace, action: Permit, rules: {}}\n",
	                ERR_CONFIG);

	(void)state;
	assert_non_null(strstr(said, ":2:15: error: workloads[0].namespace: expected text, found a "
	                             "number; write \"5\" in quotes\n"));
	assert_non_null(
		strstr(said, "workloads[0].workloadIps[0]: \"10.0.0.300\" is not an IP address"));
	assert_non_null(strstr(said, "workloads[0].services: expected a map, such as {key: value}, "
	                             "found a list\n"));
	assert_non_null(strstr(said, "workloads[0].capacity: expected a whole number"));
	assert_non_null(strstr(said, "policies[0].scope: unknown value \"Namspace\", did you mean "
	                             "\"Namespace\"?\n"));
	assert_non_null(strstr(said,
	                       "policies[0].action: unknown value \"Permit\"; use one of Allow, "
	                       "Deny\n"));
	assert_non_null(strstr(said, "policies[0].rules: expected a list"));
	free(said);
}

static const struct {
	const char *text, *words;
} wrong_rows[] = {
	{"workloads: 5", "workloads: expected a list, such as [a, b], found a number"},
	{"[]", "expected a map, such as {key: value}, found a list"},
	{"workloads: [{namespace: , workloadIps: [], services: {}}]",
         "expected text, found nothing; write \"\" for an empty one"},
	{"workloads: [{namespace: true, workloadIps: [], services: {}}]",
         "found true or false; write \"true\" in quotes"},
	{"workloads: [{namespace: a, workloadIps: [], services: {x: {}}}]",
         "\"x\" is not of the form \"namespace/hostname\""},
	{"workloads: [{namespace: a, workloadIps: [], services: {a/b: {0: 1}}}]",
         "services.a/b.0: 0 is not a port to connect to"},
	{"workloads: [{namespace: a, workloadIps: [], services: {a/b: {http: 1}}}]",
         "expected a number from 0 to 65535, found text"},
	{"workloads: [{namespace: a, workloadIps: [], services: {a/b: {80: 70000}}}]",
         "expected a whole number from 0 to 65535"},
	{"workloads: [{namespace: a, workloadIps: [], services: {a/b: {80: \"81\"}}}]",
         "found text; remove the quotes"},
	{"workloads: [{namespace: a, workloadIps: [], services: {}, waypoint: {destination: x}}]",
         "\"x\" is not of the form"},
	{"workloads: [{namespace: a, workloadIps: [], services: {}, waypoint: {destination: "
         "/x}}]",
         "must not be empty"},
	{"workloads: [{namespace: a, workloadIps: [], services: {}, nativeTunnel: \"true\"}]",
         "expected true or false, found text"},
	{"workloads: [{namespace: a, workloadIps: [], services: {}, name: !Exact x}]",
         "the tag !Exact means nothing here; remove it"},
	{"services: [{name: a, namespace: a, hostname: a, vips: [10.0.0.1], ports: {}}]",
         "\"10.0.0.1\" is not of the form \"network/ip\""},
	{"services: [{name: a, namespace: a, hostname: a, vips: [], ports: {}, loadBalancer: "
         "{mode: Strict}}]",
         "loadBalancer.healthPolicy: this key is required"},
	{"services: [{name: a, namespace: a, hostname: a, vips: [], ports: {}, endpoints: {x: "
         "1}}]",
         "endpoints come from the workloads"},
	{"services: [{name: a, namespace: a, hostname: a, vips: [], ports: {}, cidrVips: "
         "[{cidr: 10.0.0.0/33}]}]",
         "\"10.0.0.0/33\" is not an address range"},
	{"policies: [{name: a, namespace: a, scope: Global, action: Deny, rules: "
         "[[[{principals: [x]}]]]}]",
         "expected a string match; write !Exact x"},
	{"policies: [{name: a, namespace: a, scope: Global, action: Deny, rules: "
         "[[[{principals: [!Exactly x]}]]]}]",
         "expected a string match; write !Exact x"},
	{"policies: [{name: a, namespace: a, scope: Global, action: Deny, rules: "
         "[[[{principals: [!Presence x]}]]]}]",
         "Presence takes no text; write []"},
	{"policies: [{name: a, namespace: a, scope: Global, action: Deny, rules: "
         "[[[{sourceIps: [10.0.0.0/8x]}]]]}]",
         "rules[0][0][0].sourceIps[0]: \"10.0.0.0/8x\" is not an address or a range"},
	{"workloads: [{uid: x, namespace: a, workloadIps: [], services: {}}, {uid: x, namespace: "
         "b, workloadIps: [], services: {}}]",
         "workloads[1]: has the same uid as workloads[0] at line 1; give each its own"},
	{"a: &x 1", "anchors (&x) and aliases (*x) are not supported"},
	{"a: *x", "anchors (&x) and aliases (*x) are not supported"},
	{"--- {}\n--- {}\n", "a second document"},
	{"", "the file is empty"},
	{"workloads: [", "not valid YAML: "},
	{"{[a]: b}", "a key must be a text"},
	{"a: \"\\0\"", "a NUL inside a text"},
	{"a: \xff", "not UTF-8 text"},
};

static void wrong_values_are_refused_in_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong_rows); i++) {
		char *said = refusal(wrong_rows[i].text, ERR_CONFIG);

		if (!strstr(said, wrong_rows[i].words))
			fail_msg("row %zu: expected \"%s\" in:\n%s", i, wrong_rows[i].words, said);
		free(said);
	}
}

static void errors_are_bounded_and_the_rest_counted(void **state)
{
	char text[4096] = "";
	size_t lines = 0;

	(void)state;
	for (int i = 0; i < 50; i++)
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "key%d: 1\n", i);

	char *said = refusal(text, ERR_CONFIG);

	for (const char *p = said; (p = strstr(p, ": error: ")); p++)
		lines++;
	assert_int_equal(lines, YAML_ERRORS_MAX);
	assert_non_null(strstr(said, "mesh.yaml: 30 more errors\n"));
	free(said);
}

static void limits_hold(void **state)
{
	char *deep = calloc(1, 2 * YAML_DEPTH_MAX + 3);
	char *longer = malloc(YAML_SCALAR_LEN_MAX + 16);
	char *said;

	(void)state;
	memset(deep, '[', YAML_DEPTH_MAX + 1);
	memset(deep + YAML_DEPTH_MAX + 1, ']', YAML_DEPTH_MAX + 1);
	said = refusal(deep, ERR_LIMIT);
	assert_non_null(strstr(said, "values nested deeper than 32"));
	free(said);
	memset(longer, 'a', YAML_SCALAR_LEN_MAX + 1);
	longer[YAML_SCALAR_LEN_MAX + 1] = '\0';
	said = refusal(longer, ERR_LIMIT);
	assert_non_null(strstr(said, "a text longer than 2048"));
	free(said);
	free(deep);
	free(longer);
}

static void hostile_bytes_are_not_echoed(void **state)
{
	char *said = refusal("\"a\\x1b[31m\\u2028\": 1\n\t\x7f: 2\n", ERR_CONFIG);

	(void)state;
	for (const char *p = said; *p; p++)
		assert_true(*p == '\n' || (*p >= 0x20 && *p < 0x7f));
	free(said);
}

static void a_long_line_is_shown_around_the_caret(void **state)
{
	char text[2048] = "workloads: []\nservices: []\npolicies: [";
	char *said, *caret, *line;

	(void)state;
	(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%500s5]\n", "");
	said = refusal(text, ERR_CONFIG);
	caret = strchr(said, '^');
	assert_non_null(caret);
	line = strstr(said, "     3 | ");
	assert_non_null(line);
	/* what the caret points at, one line up, is the 5 */
	assert_int_equal(line[caret - (strchr(line, '\n') + 1)], '5');
	free(said);
}

static void what_parses_but_does_nothing_is_warned_about(void **state)
{
	static const char text[] =
		"workloads:\n- {namespace: a, workloadIps: [], services: {a/none: {}}, "
		"authorizationPolicies: [a/none]}\n"
		"services:\n- {name: a, namespace: a, hostname: a, vips: [], ports: {}, "
		"subjectAltNames: [web]}\n"
		"policies:\n- {name: p, namespace: a, scope: Global, action: Deny, rules: []}\n"
		"- {name: q, namespace: a, scope: Global, action: Allow, rules: [[[{}]]]}\n"
		"- {name: r, namespace: a, scope: Global, action: Allow, rules: [[[{principals: "
		"[!Exact spiffe://x]}]]]}\n";
	static const char *const words[] = {
		"warning: workloads[0]: there is no policy \"a/none\"; it is skipped",
		"warning: workloads[0]: there is no service \"none\" in namespace \"a\"",
		"warning: services[0].subjectAltNames[0]: not of the form spiffe://",
		"warning: policies[0]: a Deny policy without rules does nothing",
		"warning: policies[1].rules[0][0][0]: a match without a condition never matches",
		"warning: policies[2].rules[0][0][0].principals: a principal is compared without",
	};
	struct mesh *m = NULL;
	struct buf messages;

	(void)state;
	buf_init(&messages, 1 << 20);
	assert_int_equal(mesh_yaml_parse(span_str(text), "mesh.yaml", &messages, &m), ERR_OK);
	buf_put_u8(&messages, 0);
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (!strstr((const char *)messages.p, words[i]))
			fail_msg("\"%s\" is not in:\n%s", words[i], (const char *)messages.p);
	}
	buf_fini(&messages);
	mesh_unref(m);
}

static void a_file_is_read_and_an_absent_one_named(void **state)
{
	char path[] = "/tmp/test_mesh_yaml.XXXXXX";
	int fd = mkstemp(path);
	struct mesh *m = NULL;
	struct buf messages;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, whole_file, sizeof(whole_file) - 1), sizeof(whole_file) - 1);
	(void)close(fd);
	buf_init(&messages, 1 << 16);
	assert_int_equal(mesh_yaml_load(path, &messages, &m), ERR_OK);
	assert_string_equal(m->source, path);
	mesh_unref(m);
	(void)unlink(path);
	assert_int_equal(mesh_yaml_load("/nonexistent/mesh.yaml", &messages, &m), ERR_SYSTEM);
	buf_put_u8(&messages, 0);
	assert_string_equal((const char *)messages.p,
	                    "/nonexistent/mesh.yaml: error: No such file or directory; check "
	                    "LOCAL_XDS_PATH\n");
	buf_clear(&messages);
	assert_int_equal(mesh_yaml_load("/", &messages, &m), ERR_SYSTEM);
	buf_fini(&messages);
}

static void assert_not_loaded(const char *path, enum err expected, const char *words)
{
	struct mesh *m = NULL;
	struct buf messages;

	buf_init(&messages, 1 << 16);
	assert_int_equal(mesh_yaml_load(path, &messages, &m), expected);
	assert_null(m);
	buf_put_u8(&messages, 0);
	if (!strstr((const char *)messages.p, words))
		fail_msg("%s: %s", path, (const char *)messages.p);
	buf_fini(&messages);
}

static void a_file_that_cannot_be_read_is_named_with_the_reason(void **state)
{
	char path[] = "/tmp/test_mesh_yaml.XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_not_loaded(path, ERR_CONFIG, "the file is empty");
	assert_int_equal(ftruncate(fd, (off_t)MESH_YAML_FILE_MAX + 1), 0);
	assert_not_loaded(path, ERR_LIMIT, "larger than 67108864 octets");
	(void)close(fd);
	(void)unlink(path);
	assert_not_loaded("/", ERR_SYSTEM, "not a file; check LOCAL_XDS_PATH");
	assert_not_loaded("/proc/self/mem", ERR_SYSTEM, "Input/output error; check");
}

static void a_text_larger_than_a_file_may_be_is_not_looked_at(void **state)
{
	struct mesh *m = NULL;
	struct buf messages;

	(void)state;
	buf_init(&messages, 1 << 16);
	assert_int_equal(
		mesh_yaml_parse(span_of("", (size_t)MESH_YAML_FILE_MAX + 1), "x", &messages, &m),
		ERR_LIMIT);
	buf_put_u8(&messages, 0);
	assert_string_equal((const char *)messages.p, "x: error: larger than 67108864 octets; "
	                                              "split it over several nodes\n");
	buf_fini(&messages);
}

static void scalars_have_the_core_schemas_types(void **state)
{
	static const struct {
		const char *text;
		enum yaml_type type;
	} rows[] = {
		{"", YAML_TYPE_NULL},         {"~", YAML_TYPE_NULL},
		{"null", YAML_TYPE_NULL},     {"nULL", YAML_TYPE_TEXT},
		{"true", YAML_TYPE_BOOL},     {"yes", YAML_TYPE_TEXT},
		{"no", YAML_TYPE_TEXT},       {"12", YAML_TYPE_NUMBER},
		{"-12", YAML_TYPE_NUMBER},    {"0x1F", YAML_TYPE_NUMBER},
		{"0o17", YAML_TYPE_NUMBER},   {"0x", YAML_TYPE_TEXT},
		{"1.5", YAML_TYPE_NUMBER},    {".5", YAML_TYPE_NUMBER},
		{".", YAML_TYPE_TEXT},        {"1e3", YAML_TYPE_NUMBER},
		{"1e", YAML_TYPE_TEXT},       {".inf", YAML_TYPE_NUMBER},
		{"10.0.0.1", YAML_TYPE_TEXT}, {"v1", YAML_TYPE_TEXT},
		{"12:30", YAML_TYPE_TEXT},    {"+1", YAML_TYPE_NUMBER},
		{"1E+3", YAML_TYPE_NUMBER},   {"1e-3", YAML_TYPE_NUMBER},
		{"1.5e3x", YAML_TYPE_TEXT},   {"-.inf", YAML_TYPE_NUMBER},
		{"0o18", YAML_TYPE_TEXT},     {"0xfg", YAML_TYPE_TEXT},
		{"-", YAML_TYPE_TEXT},        {"1.", YAML_TYPE_NUMBER},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct yaml_node n = {
			.kind = YAML_SCALAR, .plain = true, .text = span_str(rows[i].text)};

		if (yaml_scalar_type(&n) != rows[i].type)
			fail_msg("\"%s\"", rows[i].text);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_of_the_contract_is_read),
		cmocka_unit_test(defaults_are_those_of_the_decision),
		cmocka_unit_test(json_is_yaml),
		cmocka_unit_test(an_unknown_key_is_placed_and_a_near_one_offered),
		cmocka_unit_test(a_missing_key_is_named),
		cmocka_unit_test(a_duplicate_key_is_refused),
		cmocka_unit_test(all_mistakes_come_in_one_run),
		cmocka_unit_test(wrong_values_are_refused_in_words),
		cmocka_unit_test(errors_are_bounded_and_the_rest_counted),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(hostile_bytes_are_not_echoed),
		cmocka_unit_test(a_long_line_is_shown_around_the_caret),
		cmocka_unit_test(what_parses_but_does_nothing_is_warned_about),
		cmocka_unit_test(a_file_is_read_and_an_absent_one_named),
		cmocka_unit_test(a_file_that_cannot_be_read_is_named_with_the_reason),
		cmocka_unit_test(a_text_larger_than_a_file_may_be_is_not_looked_at),
		cmocka_unit_test(scalars_have_the_core_schemas_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
