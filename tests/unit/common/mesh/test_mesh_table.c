/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mesh/mesh_table.h"

#include "common/base/check.h"
#include "common/mesh/balance.h"
#include "common/mesh/mesh_arena.h"
#include "tests/unit/common/mesh/mesh_text.h"

#define W(uid, ip, rest) \
	"- {uid: " uid ", name: n, namespace: a, workloadIps: [" ip "], services: {}" rest "}\n"

static const char *uid_at(const struct mesh *m, const char *network, const char *ip)
{
	struct ip at = ip_of(ip);
	const struct workload *w = mesh_workload_by_ip(m, network, &at);

	return w ? w->uid : NULL;
}

/* Contract 3.9: overlapping_workload_ip. */
static void a_shared_address_goes_to_the_highest_rank(void **state)
{
	static const struct {
		const char *workloads, *winner;
	} rows[] = {
		{W("c//Pod/a/x", "10.0.0.1", ", protocol: HBONE") W("other", "10.0.0.1", ""),
	         "c//Pod/a/x"},
		{W("c//Pod/a/x", "10.0.0.1", "") W("other", "10.0.0.1", ", protocol: HBONE"),
	         "c//Pod/a/x"},
		{W("other", "10.0.0.1", ", protocol: HBONE") W("plain", "10.0.0.1", ""), "other"},
		{W("c//Pod/a/x", "10.0.0.1", "") W("c//Pod/a/y", "10.0.0.1", ", protocol: HBONE"),
	         "c//Pod/a/y"},
		{W("one", "10.0.0.1", "") W("two", "10.0.0.1", ""), "two"},
		{W("c//Pod/a/x", "10.0.0.1", ", networkMode: HostNetwork") W("two", "10.0.0.1", ""),
	         "two"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[1024];
		struct mesh *m;

		(void)snprintf(text, sizeof(text), "workloads:\n%s", rows[i].workloads);
		m = mesh_of(text);
		assert_string_equal(uid_at(m, "", "10.0.0.1"), rows[i].winner);
		mesh_unref(m);
	}
}

static void workloads_are_found_by_address_network_uid_and_hostname(void **state)
{
	struct mesh *m = mesh_of("workloads:\n" W("x", "10.0.0.1, \"fd00::1\"", "") W(
		"y", "10.0.0.1", ", network: net2, hostname: y.example"));

	(void)state;
	assert_string_equal(uid_at(m, "", "10.0.0.1"), "x");
	assert_string_equal(uid_at(m, "", "fd00::1"), "x");
	assert_string_equal(uid_at(m, "net2", "10.0.0.1"), "y");
	assert_null(uid_at(m, "net3", "10.0.0.1"));
	assert_null(uid_at(m, "", "10.0.0.2"));
	assert_string_equal(mesh_workload_by_uid(m, "y")->uid, "y");
	assert_null(mesh_workload_by_uid(m, "z"));
	assert_string_equal(mesh_workload_by_hostname(m, "a", "y.example")->uid, "y");
	assert_null(mesh_workload_by_hostname(m, "b", "y.example"));
	assert_null(mesh_workload_by_hostname(m, "a", ""));
	mesh_unref(m);
}

static void the_local_workload_matches_all_of_its_key(void **state)
{
	struct mesh *m = mesh_of("workloads:\n" W("x", "", ", serviceAccount: s, node: n1") W(
		"y", "", ", serviceAccount: s, node: n2") W("z", "", ""));
	static const struct {
		struct local_workload_key key;
		const char *uid;
	} rows[] = {
		{{"a", "n", "s", "n1"}, "x"},  {{"a", "n", "s", "n2"}, "y"},
		{{"a", "n", "s", "n3"}, NULL}, {{"a", "n", "s", ""}, "y"},
		{{"a", "n", "s", NULL}, "y"},  {{"a", "n", "default", NULL}, "z"},
		{{"a", "o", "s", NULL}, NULL}, {{"b", "n", "s", NULL}, NULL},
		{{"a", "n", "t", NULL}, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct workload *w = mesh_local_workload(m, &rows[i].key);

		if (rows[i].uid)
			assert_string_equal(w->uid, rows[i].uid);
		else
			assert_null(w);
	}
	mesh_unref(m);
}

#define S(ns, host, vips, rest)                                           \
	"- {name: n, namespace: " ns ", hostname: " host ", vips: [" vips \
	"], ports: {80: 8080}" rest "}\n"
#define CIDR(list) ", cidrVips: [" list "]"

/* "ns/host" of the service behind a VIP. */
static const char *service_at(const struct mesh *m, const char *network, const char *ip,
                              const char *client_ns)
{
	static char text[128];
	struct ip at = ip_of(ip);
	const struct service *s = mesh_service_by_vip(m, network, &at, client_ns);

	if (!s)
		return "none";
	(void)snprintf(text, sizeof(text), "%s/%s", s->namespace, s->hostname);
	return text;
}

struct vip_row {
	const char *services, *network, *ip, *client_ns, *expected;
};

/* The `services` row of contract 13.1. */
static const struct vip_row vip_rows[] = {
	/* shared_vip_different_namespaces */
	{S("a", "x", "/10.1.0.1", "") S("b", "y", "/10.1.0.1", ""), "", "10.1.0.1", "b", "b/y"},
	{S("a", "x", "/10.1.0.1", "") S("b", "y", "/10.1.0.1", ""), "", "10.1.0.1", "c", "a/x"},
	{S("a", "x", "/10.1.0.1", "") S("b", "y", "/10.1.0.1", ", canonical: true"), "", "10.1.0.1",
         "c", "b/y"},
	{S("a", "x", "/10.1.0.1", "") S("b", "y", "/10.1.0.1", ", canonical: true"), "", "10.1.0.1",
         "a", "a/x"},
	/* namespace_visibility_vip */
	{S("a", "x", "/10.1.0.1", ", visibility: Namespace"), "", "10.1.0.1", "b", "none"},
	{S("a", "x", "/10.1.0.1", ", visibility: Namespace"), "", "10.1.0.1", "a", "a/x"},
	{S("a", "x", "/10.1.0.1", ", visibility: Namespace"), "", "10.1.0.1", NULL, "a/x"},
	/* visibility_filtered_exact_vip_falls_through_to_cidr */
	{S("a", "x", "/10.1.0.1", ", visibility: Namespace")
                 S("b", "y", "", CIDR("{cidr: 10.0.0.0/8}")),
         "", "10.1.0.1", "b", "b/y"},
	/* cidr_match_v4, v6 */
	{S("a", "x", "", CIDR("{cidr: 10.1.0.0/16}")), "", "10.1.2.3", "a", "a/x"},
	{S("a", "x", "", CIDR("{cidr: 10.1.0.0/16}")), "", "10.2.2.3", "a", "none"},
	{S("a", "x", "", CIDR("{cidr: 0.0.0.0/0}")), "", "10.2.2.3", "a", "a/x"},
	{S("a", "x", "", CIDR("{cidr: 10.1.2.128/25}")), "", "10.1.2.127", "a", "none"},
	{S("a", "x", "", CIDR("{cidr: \"fd00:1::/33\"}")), "", "fd00:1:7fff::1", "a", "a/x"},
	{S("a", "x", "", CIDR("{cidr: \"fd00:1::/33\"}")), "", "fd00:1:8000::1", "a", "none"},
	/* longest_prefix_match */
	{S("a", "x", "", CIDR("{cidr: 10.0.0.0/8}")) S("a", "y", "", CIDR("{cidr: 10.1.0.0/16}")),
         "", "10.1.0.1", "a", "a/y"},
	{S("a", "y", "", CIDR("{cidr: 10.1.0.0/16}")) S("a", "x", "", CIDR("{cidr: 10.0.0.0/8}")),
         "", "10.1.0.1", "a", "a/y"},
	{S("a", "x", "", CIDR("{cidr: \"fd00::/8\"}"))
                 S("a", "y", "", CIDR("{cidr: \"fd00::/64\"}")),
         "", "fd00::5", "a", "a/y"},
	/* dual_stack_cidr, cidr_family_mismatch, exact_v4_with_cidr_v6 */
	{S("a", "x", "", CIDR("{cidr: 10.0.0.0/8}, {cidr: \"fd00::/8\"}")), "", "fd00::5", "a",
         "a/x"},
	{S("a", "x", "", CIDR("{cidr: 0.0.0.0/0}")), "", "fd00::5", "a", "none"},
	{S("a", "x", "", CIDR("{cidr: \"::/0\"}")), "", "10.0.0.1", "a", "none"},
	{S("a", "x", "/10.1.0.1", CIDR("{cidr: \"fd00::/8\"}")), "", "fd00::5", "a", "a/x"},
	/* exact_match_priority_over_cidr */
	{S("b", "x", "/10.1.0.1", "") S("a", "y", "", CIDR("{cidr: 10.1.0.0/16}")), "", "10.1.0.1",
         "a", "b/x"},
	/* cidr_network_scoping */
	{S("a", "x", "", CIDR("{network: n2, cidr: 10.1.0.0/16}")), "", "10.1.0.1", "a", "none"},
	{S("a", "x", "", CIDR("{network: n2, cidr: 10.1.0.0/16}")), "n2", "10.1.0.1", "a", "a/x"},
	{S("a", "x", "n2/10.1.0.1", ""), "", "10.1.0.1", "a", "none"},
	/* overlapping_cidr_different_namespaces */
	{S("a", "x", "", CIDR("{cidr: 10.1.0.0/16}")) S("b", "y", "", CIDR("{cidr: 10.1.0.0/16}")),
         "", "10.1.0.1", "b", "b/y"},
	/* cidr_namespace_preferred_over_cidr_specificity */
	{S("a", "x", "", CIDR("{cidr: 10.1.0.1/32}")) S("b", "y", "", CIDR("{cidr: 10.0.0.0/8}")),
         "", "10.1.0.1", "b", "b/y"},
	{S("a", "x", "", CIDR("{cidr: 10.1.0.0/16}"))
                 S("b", "y", "", CIDR("{cidr: 10.1.0.0/16}") ", canonical: true"),
         "", "10.1.0.1", "c", "b/y"},
};

static void vips_lead_to_the_preferred_service(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vip_rows); i++) {
		char text[1024];
		struct mesh *m;

		(void)snprintf(text, sizeof(text), "services:\n%s", vip_rows[i].services);
		m = mesh_of(text);
		if (strcmp(service_at(m, vip_rows[i].network, vip_rows[i].ip,
		                      vip_rows[i].client_ns),
		           vip_rows[i].expected) != 0)
			fail_msg("row %zu", i);
		mesh_unref(m);
	}
}

static void hostnames_lead_to_the_visible_then_own_then_canonical_service(void **state)
{
	struct mesh *m = mesh_of("services:\n" S("a", "h", "", ", visibility: Namespace")
	                                 S("b", "h", "", "") S("c", "h", "", ", canonical: true"));

	(void)state;
	assert_string_equal(mesh_service_by_hostname(m, "h", "a")->namespace, "a");
	assert_string_equal(mesh_service_by_hostname(m, "h", "b")->namespace, "b");
	assert_string_equal(mesh_service_by_hostname(m, "h", "z")->namespace, "c");
	assert_null(mesh_service_by_hostname(m, "i", "z"));
	assert_string_equal(mesh_service_by_key(m, "b", "h")->namespace, "b");
	assert_null(mesh_service_by_key(m, "d", "h"));
	mesh_unref(m);
}

/* unhealthy_workloads, staged_services_cleanup */
static void endpoints_are_joined_by_health_and_the_rest_staged(void **state)
{
	struct mesh *m = mesh_of(
		"workloads:\n"
		"- {uid: up, namespace: a, workloadIps: [10.0.0.1], services: {a/h: {}, a/all: {}, a/gone: "
		"{80: 81}}}\n"
		"- {uid: down, namespace: a, workloadIps: [10.0.0.2], status: Unhealthy, services: {a/h: "
		"{}, a/all: {}}}\n"
		"services:\n" S("a", "h", "", "")
			S("a", "all", "",
	                  ", loadBalancer: {mode: Standard, routingPreferences: [], healthPolicy: "
	                  "AllowAll}"));
	size_t staged;
	const struct staged_endpoint *v = mesh_staged_endpoints(m, &staged);

	(void)state;
	assert_int_equal(mesh_service_by_key(m, "a", "h")->endpoint_count, 1);
	assert_int_equal(mesh_service_by_key(m, "a", "all")->endpoint_count, 2);
	assert_int_equal(staged, 1);
	assert_string_equal(v[0].membership->hostname, "gone");
	assert_string_equal(v[0].workload->uid, "up");
	assert_non_null(
		mesh_membership(mesh_workload_by_uid(m, "down"), mesh_service_by_key(m, "a", "h")));
	mesh_unref(m);
}

/* rbac_change_scope: the index follows the scope. */
static void policies_are_indexed_by_scope(void **state)
{
	struct mesh *m = mesh_of(
		"policies:\n"
		"- {name: g, namespace: a, scope: Global, action: Deny, rules: [[]]}\n"
		"- {name: n, namespace: a, scope: Namespace, action: Deny, rules: [[]]}\n"
		"- {name: o, namespace: a, scope: Namespace, action: Deny, rules: [[]]}\n"
		"- {name: s, namespace: a, scope: WorkloadSelector, action: Deny, rules: [[]]}\n");

	(void)state;
	assert_int_equal(mesh_policies_of_namespace(m, "").n, 1);
	assert_string_equal(mesh_policies_of_namespace(m, "").v[0]->name, "g");
	assert_int_equal(mesh_policies_of_namespace(m, "a").n, 2);
	assert_int_equal(mesh_policies_of_namespace(m, "b").n, 0);
	assert_string_equal(mesh_policy_by_key(m, "a/s")->name, "s");
	assert_null(mesh_policy_by_key(m, "a/t"));
	mesh_unref(m);
}

/* The prefix search against the obvious one. */
static void prefix_search_agrees_with_a_linear_scan(void **state)
{
	uint64_t dice = 7;

	(void)state;
	for (unsigned int t = 0; t < 50; t++) {
		struct mesh *m = mesh_new("");
		enum { SERVICES = 40 };

		for (unsigned int i = 0; i < SERVICES; i++) {
			struct service *s = mesh_service_new(m);
			struct network_prefix *p = mesh_alloc(m, sizeof(*p));
			char text[64], name[16];

			(void)snprintf(text, sizeof(text), "10.%u.%u.%u/%u",
			               (unsigned int)dice_below(&dice, 2),
			               (unsigned int)dice_below(&dice, 4),
			               (unsigned int)dice_below(&dice, 256),
			               (unsigned int)dice_below(&dice, 33));
			(void)snprintf(name, sizeof(name), "s%u", i);
			p->network = "";
			assert_int_equal(prefix_parse(span_str(text), &p->prefix), ERR_OK);
			s->hostname = mesh_intern(m, span_str(name));
			s->namespace = dice_below(&dice, 2) ? "a" : "b";
			s->canonical = dice_below(&dice, 2);
			s->cidr_vips = p;
			s->cidr_vip_count = 1;
			mesh_add_service(m, s);
		}
		mesh_seal(m);
		for (unsigned int k = 0; k < 100; k++) {
			char text[IP_TEXT_MAX];
			const struct service *best = NULL;
			int best_rank = -1;
			struct ip ip;

			(void)snprintf(text, sizeof(text), "10.%u.%u.%u",
			               (unsigned int)dice_below(&dice, 2),
			               (unsigned int)dice_below(&dice, 4),
			               (unsigned int)dice_below(&dice, 256));
			ip = ip_of(text);
			for (unsigned int i = 0; i < SERVICES; i++) {
				const struct service *s = m->services[i];
				int rank = (s->namespace[0] == 'a' ? 10000 : 0) +
				           s->cidr_vips->prefix.len * 10 + s->canonical;

				if (prefix_contains(&s->cidr_vips->prefix, &ip) &&
				    rank > best_rank) {
					best = s;
					best_rank = rank;
				}
			}
			assert_ptr_equal(mesh_service_by_vip(m, "", &ip, "a"), best);
		}
		mesh_unref(m);
	}
}

static void an_arena_takes_any_size_in_any_order(void **state)
{
	static const size_t sizes[] = {100000, 0, 1,     16,    17,      16385,
	                               60000,  5, 65536, 65537, 1000000, 3};
	struct mesh_arena *a = mesh_arena_new();
	uint8_t *p[ARRAY_LEN(sizes)];
	size_t total = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		p[i] = mesh_arena_alloc(a, sizes[i]);
		assert_int_equal((uintptr_t)p[i] % 16, 0);
		for (size_t k = 0; k < sizes[i]; k++)
			assert_int_equal(p[i][k], 0);
		memset(p[i], (int)i + 1, sizes[i]);
		total += sizes[i];
	}
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) { /* none lies in another */
		for (size_t k = 0; k < sizes[i]; k++)
			assert_int_equal(p[i][k], i + 1);
	}
	assert_true(mesh_arena_bytes(a) >= total);
	mesh_arena_free(a);
	mesh_arena_free(NULL);
}

static void equal_texts_are_kept_once(void **state)
{
	struct mesh *m = mesh_new("");
	const char *first = mesh_intern(m, span_str("text"));
	char name[16];

	(void)state;
	for (int i = 0; i < 5000; i++) { /* through several growths of the table */
		(void)snprintf(name, sizeof(name), "n%d", i);
		assert_string_equal(mesh_intern(m, span_str(name)), name);
	}
	assert_ptr_equal(mesh_intern(m, span_str("text")), first);
	mesh_unref(m);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_shared_address_goes_to_the_highest_rank),
		cmocka_unit_test(workloads_are_found_by_address_network_uid_and_hostname),
		cmocka_unit_test(the_local_workload_matches_all_of_its_key),
		cmocka_unit_test(vips_lead_to_the_preferred_service),
		cmocka_unit_test(hostnames_lead_to_the_visible_then_own_then_canonical_service),
		cmocka_unit_test(endpoints_are_joined_by_health_and_the_rest_staged),
		cmocka_unit_test(policies_are_indexed_by_scope),
		cmocka_unit_test(prefix_search_agrees_with_a_linear_scan),
		cmocka_unit_test(an_arena_takes_any_size_in_any_order),
		cmocka_unit_test(equal_texts_are_kept_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
