/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mesh/balance.h"

#include "common/base/check.h"
#include "common/mesh/mesh_table.h"
#include "tests/unit/common/mesh/mesh_text.h"

#define SOURCE                                                                                       \
	"workloads:\n"                                                                               \
	"- {uid: me, namespace: a, workloadIps: [10.0.0.1], services: {}, node: n1, clusterId: c1, " \
	"network: w1, locality: {region: r1, zone: z1, subzone: s1}}\n"
#define E(uid, ports, rest)                                                                       \
	"- {uid: " uid ", namespace: a, workloadIps: [10.0.0.2], services: {a/h: " ports "}" rest \
	"}\n"
#define PLACE(region, zone, network) \
	", network: " network ", locality: {region: " region ", zone: " zone "}"
#define SERVICE(ports, rest) \
	"services:\n- {name: h, namespace: a, hostname: h, vips: [], ports: {" ports "}" rest "}\n"
#define LB(mode, scopes)                                                \
	", loadBalancer: {mode: " mode ", routingPreferences: [" scopes \
	"], healthPolicy: OnlyHealthy}"

/* Which endpoints are ever picked, as their uids joined in the order of the file; "" for none. */
static const char *picked(const char *text, uint16_t port, enum balance_use use)
{
	static char all[128];
	struct mesh *m = mesh_of(text);
	const struct service *s = mesh_service_by_key(m, "a", "h");
	bool seen[16] = {false};

	for (uint64_t dice = 0; dice < 400; dice++) {
		struct balance_query q = {s, mesh_workload_by_uid(m, "me"), port, use, dice};
		struct balance_pick pick;

		if (balance_pick(&q, &pick) == ERR_OK)
			seen[pick.endpoint - s->endpoints] = true;
	}
	all[0] = '\0';
	for (size_t i = 0; i < s->endpoint_count; i++) {
		if (seen[i])
			(void)snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s",
			               s->endpoints[i].workload->uid);
	}
	mesh_unref(m);
	return all;
}

static const struct {
	const char *text, *who;
} mode_rows[] = {
	/* no load balancer: everyone */
	{SOURCE E("x", "{}", "") E("y", "{}", "") SERVICE("80: 80", ""), "xy"},
	/* capacity 0 is never chosen */
	{SOURCE E("x", "{}", ", capacity: 0") E("y", "{}", "") SERVICE("80: 80", ""), "y"},
	{SOURCE E("x", "{}", ", capacity: 0") SERVICE("80: 80", ""), ""},
	/* an address, a host name, or a gateway on another network is needed */
	{SOURCE "- {uid: x, namespace: a, workloadIps: [], services: {a/h: {}}}\n"
                "- {uid: y, namespace: a, workloadIps: [], hostname: y, services: {a/h: {}}}\n"
                "- {uid: z, namespace: a, workloadIps: [], network: w2, networkGateway: "
                "{destination: w2/1.2.3.4}, services: {a/h: {}}}\n"
                "- {uid: v, namespace: a, workloadIps: [], network: w1, networkGateway: "
                "{destination: w2/1.2.3.4}, services: {a/h: {}}}\n" SERVICE("80: 80", ""),
         "yz"},
	/* ports: unlisted, named and mapped, named and unmapped */
	{SOURCE E("x", "{80: 1}", "") SERVICE("81: 81", ""), ""},
	{SOURCE E("x", "{80: 1}", "") E("y", "{}", "") SERVICE("80: 0", ""), "x"},
	/* STRICT: every preference */
	{SOURCE E("x", "{}", PLACE("r1", "z1", "w1")) E("y", "{}", PLACE("r1", "z2", "w1"))
                 E("z", "{}", "") SERVICE("80: 80", LB("Strict", "Region, Zone")),
         "x"},
	{SOURCE E("y", "{}", PLACE("r1", "z2", "w1"))
                 SERVICE("80: 80", LB("Strict", "Region, Zone")),
         ""},
	/* ZONE alone does not imply REGION */
	{SOURCE E("x", "{}", PLACE("r9", "z1", "w1")) SERVICE("80: 80", LB("Strict", "Zone")), "x"},
	/* FAILOVER: the most leading preferences, whoever is left */
	{SOURCE E("x", "{}", PLACE("r1", "z1", "w1")) E("y", "{}", PLACE("r1", "z2", "w1"))
                 SERVICE("80: 80", LB("Failover", "Region, Zone")),
         "x"},
	{SOURCE E("y", "{}", PLACE("r1", "z2", "w1")) E("z", "{}", PLACE("r2", "z1", "w1"))
                 SERVICE("80: 80", LB("Failover", "Region, Zone")),
         "y"},
	{SOURCE E("y", "{}", PLACE("r3", "z2", "w1")) E("z", "{}", PLACE("r2", "z1", "w1"))
                 SERVICE("80: 80", LB("Failover", "Region, Zone")),
         "yz"},
	/* a leading NETWORK beats everything, and does not stop the count when it misses */
	{SOURCE E("x", "{}", PLACE("r9", "z9", "w1")) E("y", "{}", PLACE("r1", "z1", "w2"))
                 SERVICE("80: 80", LB("Failover", "Network, Region, Zone")),
         "x"},
	{SOURCE E("x", "{}", PLACE("r9", "z9", "w2")) E("y", "{}", PLACE("r1", "z1", "w2"))
                 SERVICE("80: 80", LB("Failover", "Network, Region, Zone")),
         "y"},
	{SOURCE E("x", "{}", PLACE("r1", "z9", "w1")) E("y", "{}", PLACE("r1", "z1", "w1"))
                 SERVICE("80: 80", LB("Failover", "Network, Region, Zone")),
         "y"},
	/* Standard ignores the preferences; a subzone counts like the others */
	{SOURCE E("x", "{}", "") E("y", "{}", ", locality: {region: r1}")
                 SERVICE("80: 80", LB("Standard", "Region")),
         "xy"},
	{SOURCE E("x", "{}", ", locality: {subzone: s1}") E("y", "{}", ", locality: {subzone: s2}")
                 SERVICE("80: 80", LB("Strict", "Subzone")),
         "x"},
	/* elsewhere NETWORK is a preference like any other */
	{SOURCE E("x", "{}", PLACE("r1", "z1", "w2")) E("y", "{}", PLACE("r9", "z1", "w1"))
                 SERVICE("80: 80", LB("Failover", "Region, Network")),
         "x"},
	/* both empty is a match */
	{"workloads:\n- {uid: me, namespace: a, workloadIps: [10.0.0.1], services: {}}\n" E(
		 "x", "{}", "") SERVICE("80: 80", LB("Strict", "Region, Node, Cluster")),
         "x"},
	{SOURCE E("x", "{}", ", node: n1") E("y", "{}", ", node: n2")
                 SERVICE("80: 80", LB("Failover", "Node")),
         "x"},
	{SOURCE E("x", "{}", ", clusterId: c2") E("y", "{}", ", clusterId: c1")
                 SERVICE("80: 80", LB("Strict", "Cluster")),
         "y"},
};

static void modes_and_ranks_choose_whom_the_contract_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(mode_rows); i++) {
		if (strcmp(picked(mode_rows[i].text, 80, BALANCE_STANDARD), mode_rows[i].who) != 0)
			fail_msg("row %zu: picked \"%s\", not \"%s\"", i,
			         picked(mode_rows[i].text, 80, BALANCE_STANDARD), mode_rows[i].who);
	}
}

/* find_upstream_port_mappings: endpoint, service, app tunnel. */
static void the_port_is_the_endpoints_then_the_services_then_the_tunnels(void **state)
{
	static const struct {
		const char *text;
		enum balance_use use;
		uint16_t port, expected; /* 0: nobody */
	} rows[] = {
		{SOURCE E("x", "{80: 1234}", "") SERVICE("80: 8080", ""), BALANCE_STANDARD, 80,
	         1234},
		{SOURCE E("x", "{}", "") SERVICE("80: 8080", ""), BALANCE_STANDARD, 80, 8080},
		{SOURCE E("x", "{80: 0}", "") SERVICE("80: 8080", ""), BALANCE_STANDARD, 80, 8080},
		{SOURCE E("x", "{}", "") SERVICE("80: 0", ""), BALANCE_STANDARD, 80, 0},
		{SOURCE E("x", "{}", "") SERVICE("", ""), BALANCE_WAYPOINT, 15008, 0},
		{SOURCE E("x", "{15008: 15008}", "") SERVICE("", ""), BALANCE_WAYPOINT, 15008,
	         15008},
		{SOURCE E("x", "{}", "") SERVICE("15008: 15009", ""), BALANCE_WAYPOINT, 15008,
	         15009},
		{SOURCE E("x", "{}", ", applicationTunnel: {protocol: PROXY, port: 15088}")
	                 SERVICE("", ""),
	         BALANCE_WAYPOINT, 15008, 15008},
		{SOURCE E("x", "{}", ", applicationTunnel: {protocol: PROXY}") SERVICE("", ""),
	         BALANCE_WAYPOINT, 15008, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct mesh *m = mesh_of(rows[i].text);
		struct balance_query q = {mesh_service_by_key(m, "a", "h"),
		                          mesh_workload_by_uid(m, "me"), rows[i].port, rows[i].use,
		                          i};
		struct balance_pick pick = {0};
		enum err e = balance_pick(&q, &pick);

		assert_int_equal(e, rows[i].expected ? ERR_OK : ERR_NO_UPSTREAM);
		assert_int_equal(pick.port, rows[i].expected);
		mesh_unref(m);
	}
}

/* The share of each endpoint against its capacity, chi-squared over the dice. */
static void picks_follow_the_capacities(void **state)
{
	static const double capacity[] = {1, 2, 5, 12};
	enum { DRAWS = 20000 };
	struct mesh *m = mesh_of(SOURCE E("x", "{}", "") E("y", "{}", ", capacity: 2") E(
		"z", "{}", ", capacity: 5") E("v", "{}", ", capacity: 12") SERVICE("80: 80", ""));
	const struct service *s = mesh_service_by_key(m, "a", "h");
	unsigned int count[4] = {0};
	double chi2 = 0;

	(void)state;
	for (uint64_t dice = 0; dice < DRAWS; dice++) {
		struct balance_query q = {s, mesh_workload_by_uid(m, "me"), 80, BALANCE_STANDARD,
		                          dice};
		struct balance_pick pick;

		assert_int_equal(balance_pick(&q, &pick), ERR_OK);
		count[pick.endpoint - s->endpoints]++;
	}
	for (size_t i = 0; i < 4; i++) {
		double expected = DRAWS * capacity[i] / 20;

		chi2 += (count[i] - expected) * (count[i] - expected) / expected;
	}
	assert_true(chi2 <
	            16.3); /* three degrees of freedom, one in a thousand; the dice are fixed */
	mesh_unref(m);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(modes_and_ranks_choose_whom_the_contract_says),
		cmocka_unit_test(the_port_is_the_endpoints_then_the_services_then_the_tunnels),
		cmocka_unit_test(picks_follow_the_capacities),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
