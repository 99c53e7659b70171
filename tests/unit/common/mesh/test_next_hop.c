/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mesh/next_hop.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/mesh/balance.h"
#include "common/mesh/mesh_table.h"
#include "tests/unit/common/mesh/mesh_text.h"

/* The world of contract 13.1's `outbound` row: 127.0.0.x stands for pods there, 10.0.0.x here. */
static const char world[] =
	"workloads:\n"
	"- {uid: c//Pod/a/me, name: me, namespace: a, serviceAccount: me, workloadIps: [10.0.0.1], "
	"protocol: HBONE, services: {}}\n"
	"- {uid: c//Pod/a/mesh, namespace: a, serviceAccount: web, workloadIps: [10.0.0.2, \"fd00::2\"], "
	"protocol: HBONE, services: {a/web: {80: 8080}, a/named: {}, a/six: {}}}\n"
	"- {uid: c//Pod/a/plain, namespace: a, workloadIps: [10.0.0.3], services: {a/plain: {}}}\n"
	"- {uid: c//Pod/a/host, namespace: a, workloadIps: [10.0.0.4], networkMode: HostNetwork, "
	"protocol: HBONE, services: {a/onhost: {}}}\n"
	"- {uid: c//Pod/a/behind, namespace: a, workloadIps: [10.0.0.5], protocol: HBONE, waypoint: "
	"{destination: a/waypoint}, services: {}}\n"
	"- {uid: c//Pod/a/behind2, namespace: a, workloadIps: [10.0.0.6], protocol: HBONE, waypoint: "
	"{destination: /10.0.0.9, hboneMtlsPort: 15009}, services: {}}\n"
	"- {uid: c//Pod/a/behind3, namespace: a, workloadIps: [10.0.0.7], protocol: HBONE, waypoint: "
	"{destination: a/nowhere}, services: {}}\n"
	"- {uid: c//Pod/a/wp, namespace: a, serviceAccount: wp, workloadIps: [10.0.0.9], protocol: "
	"HBONE, services: {a/waypoint: {15008: 15008}}}\n"
	"- {uid: c//Pod/a/far, namespace: a, workloadIps: [10.0.0.10], network: net2, protocol: HBONE, "
	"networkGateway: {destination: net2/1.2.3.4}, services: {a/far: {}}}\n"
	"- {uid: c//Pod/a/named, namespace: a, workloadIps: [], hostname: h.example, services: "
	"{a/byname: {}}}\n"
	"services:\n"
	"- {name: web, namespace: a, hostname: web, vips: [/10.1.0.1], ports: {80: 80}, "
	"subjectAltNames: [spiffe://td/ns/x/sa/y, not-spiffe]}\n"
	"- {name: plain, namespace: a, hostname: plain, vips: [/10.1.0.2], ports: {80: 8081}}\n"
	"- {name: empty, namespace: a, hostname: empty, vips: [/10.1.0.3], ports: {80: 80}}\n"
	"- {name: onhost, namespace: a, hostname: onhost, vips: [/10.1.0.4], ports: {80: 80}}\n"
	"- {name: waypoint, namespace: a, hostname: waypoint, vips: [/10.1.0.9], ports: {15008: "
	"15008}, subjectAltNames: [spiffe://td/ns/x/sa/gw]}\n"
	"- {name: waited, namespace: a, hostname: waited, vips: [/10.1.0.5], ports: {80: 80}, waypoint: "
	"{destination: /10.1.0.9}}\n"
	"- {name: lost, namespace: a, hostname: lost, vips: [/10.1.0.6], ports: {80: 80}, waypoint: "
	"{destination: /10.1.0.77}}\n"
	"- {name: pass, namespace: a, hostname: pass, vips: [/10.1.0.7], ports: {80: 80}, loadBalancer: "
	"{mode: Passthrough, routingPreferences: [], healthPolicy: OnlyHealthy}}\n"
	"- {name: passwp, namespace: a, hostname: passwp, vips: [/10.1.0.8], ports: {80: 80}, waypoint: "
	"{destination: a/waypoint}, loadBalancer: {mode: Passthrough, routingPreferences: [], "
	"healthPolicy: OnlyHealthy}}\n"
	"- {name: far, namespace: a, hostname: far, vips: [/10.1.0.10], ports: {80: 80}}\n"
	"- {name: named, namespace: a, hostname: named, vips: [/10.1.0.11], ports: {80: 0}}\n"
	"- {name: six, namespace: a, hostname: six, vips: [/10.1.0.12], ports: {80: 80}, ipFamilies: "
	"IPv6}\n"
	"- {name: byname, namespace: a, hostname: byname, vips: [/10.1.0.13], ports: {80: 80}}\n"
	"- {name: hidden, namespace: b, hostname: hidden, vips: [/10.1.0.14], ports: {80: 80}, "
	"visibility: Namespace}\n"
	"- {name: dual, namespace: a, hostname: dual, vips: [\"/fd01::1\"], ports: {80: 80}}\n";

/* What lacks an address, or has two meanings. */
static const char odd_world[] =
	"workloads:\n"
	"- {uid: me, namespace: a, workloadIps: [10.0.0.1], services: {}}\n"
	"- {uid: four, namespace: a, workloadIps: [10.0.0.2], protocol: HBONE, services: {a/four: {}, a/six: "
	"{}, a/wp6: {15008: 15008}, a/gw6: {15008: 15008}}}\n"
	"- {uid: there, namespace: a, workloadIps: [], network: net2, networkGateway: {destination: a/gw6}, "
	"services: {a/far: {}}}\n"
	"- {uid: named, namespace: a, hostname: wp.far, workloadIps: [], network: net2, services: {}}\n"
	"- {uid: twice, namespace: a, workloadIps: [10.0.0.50, 10.0.0.51], services: {a/twice: {}, a/waited: "
	"{}}}\n"
	"- {uid: wp, namespace: a, workloadIps: [10.0.0.9], protocol: HBONE, services: {}}\n"
	"services:\n"
	"- {name: four, namespace: a, hostname: four, vips: [/10.1.0.1], ports: {80: 80}, ipFamilies: IPv4}\n"
	"- {name: six, namespace: a, hostname: six, vips: [/10.1.0.2], ports: {80: 80}, ipFamilies: IPv6}\n"
	"- {name: wp6, namespace: a, hostname: wp6, vips: [], ports: {15008: 15008}, ipFamilies: IPv6}\n"
	"- {name: gw6, namespace: a, hostname: gw6, vips: [], ports: {15008: 15008}, ipFamilies: IPv6}\n"
	"- {name: behind, namespace: a, hostname: behind, vips: [/10.1.0.3], ports: {80: 80}, waypoint: "
	"{destination: a/wp6}}\n"
	"- {name: far, namespace: a, hostname: far, vips: [/10.1.0.4], ports: {80: 80}}\n"
	"- {name: astray, namespace: a, hostname: astray, vips: [/10.1.0.5], ports: {80: 80}, waypoint: "
	"{destination: a/wp.far}}\n"
	"- {name: empty, namespace: a, hostname: empty, vips: [/10.1.0.6], ports: {80: 80}, loadBalancer: "
	"{mode: Standard, routingPreferences: [], healthPolicy: AllowAll}}\n"
	"- {name: twice, namespace: a, hostname: twice, vips: [/10.0.0.50], ports: {80: 81}}\n"
	"- {name: waited, namespace: a, hostname: waited, vips: [/10.0.0.51], ports: {80: 80}, waypoint: "
	"{destination: /10.0.0.9}}\n";

static const uint16_t own_ports[] = {15001, 15006, 15008};

static struct next_hop choose(const struct mesh *m, const char *source, const char *target,
                              uint64_t dice)
{
	struct next_hop_query q = {
		.mesh = m,
		.source = mesh_workload_by_uid(m, source),
		.client = {.port = 40000},
		.target = endpoint_of(target),
		.network = "",
		.hbone_port = 15008,
		.own_ports = own_ports,
		.own_port_count = ARRAY_LEN(own_ports),
		.dice = dice,
	};
	struct next_hop hop;

	assert_non_null(q.source);
	q.client.ip = q.source->ips[0];
	next_hop_choose(&q, &hop);
	return hop;
}

static const struct {
	const char *target;
	enum next_hop_kind kind;
	enum err cause;
	const char *connect, *authority, *identity;
	enum next_hop_reason reason;
} target_rows[] = {
	/* build_request_unknown_dest */
	{"1.2.3.4:80", NEXT_HOP_PLAIN, ERR_OK, "1.2.3.4:80", NULL, NULL, NEXT_HOP_UNKNOWN_ADDRESS},
	/* known_dest_remote_node_hbone, _tcp */
	{"10.0.0.2:80", NEXT_HOP_HBONE, ERR_OK, "10.0.0.2:15008", "10.0.0.2:80",
         "spiffe://cluster.local/ns/a/sa/web", NEXT_HOP_WORKLOAD_ADDRESS},
	{"[fd00::2]:80", NEXT_HOP_HBONE, ERR_OK, "[fd00::2]:15008", "[fd00::2]:80",
         "spiffe://cluster.local/ns/a/sa/web", NEXT_HOP_WORKLOAD_ADDRESS},
	{"10.0.0.3:81", NEXT_HOP_PLAIN, ERR_OK, "10.0.0.3:81", NULL, NULL,
         NEXT_HOP_WORKLOAD_ADDRESS},
	/* target_port */
	{"10.1.0.1:80", NEXT_HOP_HBONE, ERR_OK, "10.0.0.2:15008", "10.0.0.2:8080",
         "spiffe://cluster.local/ns/a/sa/web", NEXT_HOP_SERVICE_ENDPOINT},
	{"10.1.0.2:80", NEXT_HOP_PLAIN, ERR_OK, "10.0.0.3:8081", NULL, NULL,
         NEXT_HOP_SERVICE_ENDPOINT},
	/* a port the service does not have, a service without endpoints, an unmapped named port */
	{"10.1.0.1:81", NEXT_HOP_REFUSE, ERR_NO_UPSTREAM, NULL, NULL, NULL, NEXT_HOP_NO_ENDPOINT},
	{"10.1.0.3:80", NEXT_HOP_REFUSE, ERR_NO_UPSTREAM, NULL, NULL, NULL, NEXT_HOP_NO_ENDPOINT},
	{"10.1.0.11:80", NEXT_HOP_REFUSE, ERR_NO_UPSTREAM, NULL, NULL, NULL, NEXT_HOP_NO_ENDPOINT},
	/* host_network: not known by address, reached through a service */
	{"10.0.0.4:80", NEXT_HOP_PLAIN, ERR_OK, "10.0.0.4:80", NULL, NULL,
         NEXT_HOP_UNKNOWN_ADDRESS},
	{"10.1.0.4:80", NEXT_HOP_HBONE, ERR_OK, "10.0.0.4:15008", "10.0.0.4:80",
         "spiffe://cluster.local/ns/a/sa/default", NEXT_HOP_SERVICE_ENDPOINT},
	/* destination_waypoint, by name and by address */
	{"10.0.0.5:80", NEXT_HOP_HBONE, ERR_OK, "10.0.0.9:15008", "10.0.0.5:80",
         "spiffe://cluster.local/ns/a/sa/wp", NEXT_HOP_WORKLOAD_WAYPOINT},
	{"10.0.0.6:80", NEXT_HOP_HBONE, ERR_OK, "10.0.0.9:15009", "10.0.0.6:80",
         "spiffe://cluster.local/ns/a/sa/wp", NEXT_HOP_WORKLOAD_WAYPOINT},
	{"10.0.0.7:80", NEXT_HOP_REFUSE, ERR_NO_WAYPOINT, NULL, NULL, NULL,
         NEXT_HOP_WAYPOINT_UNRESOLVED},
	/* destination_svc_waypoint */
	{"10.1.0.5:80", NEXT_HOP_HBONE, ERR_OK, "10.0.0.9:15008", "10.1.0.5:80",
         "spiffe://cluster.local/ns/a/sa/wp", NEXT_HOP_SERVICE_WAYPOINT},
	{"10.1.0.6:80", NEXT_HOP_REFUSE, ERR_NO_WAYPOINT, NULL, NULL, NULL,
         NEXT_HOP_WAYPOINT_UNRESOLVED},
	/* passthrough_svc, passthrough_svc_with_waypoint */
	{"10.1.0.7:80", NEXT_HOP_PLAIN, ERR_OK, "10.1.0.7:80", NULL, NULL,
         NEXT_HOP_PASSTHROUGH_SERVICE},
	{"10.1.0.8:80", NEXT_HOP_HBONE, ERR_OK, "10.0.0.9:15008", "10.1.0.8:80",
         "spiffe://cluster.local/ns/a/sa/wp", NEXT_HOP_SERVICE_WAYPOINT},
	/* wrong_network */
	{"10.0.0.10:80", NEXT_HOP_PLAIN, ERR_OK, "10.0.0.10:80", NULL, NULL,
         NEXT_HOP_UNKNOWN_ADDRESS},
	{"10.1.0.10:80", NEXT_HOP_REFUSE, ERR_NO_GATEWAY, NULL, NULL, NULL,
         NEXT_HOP_GATEWAY_UNRESOLVED},
	/* service_ip_families: the family allowed wins over the one asked with */
	{"10.1.0.12:80", NEXT_HOP_HBONE, ERR_OK, "[fd00::2]:15008", "[fd00::2]:80",
         "spiffe://cluster.local/ns/a/sa/web", NEXT_HOP_SERVICE_ENDPOINT},
	/* a service nobody here may see is no service */
	{"10.1.0.14:80", NEXT_HOP_PLAIN, ERR_OK, "10.1.0.14:80", NULL, NULL,
         NEXT_HOP_UNKNOWN_ADDRESS},
	/* malicious_calls_inpod */
	{"127.0.0.1:15001", NEXT_HOP_REFUSE, ERR_LOOP, NULL, NULL, NULL, NEXT_HOP_OWN_PORT},
	{"127.9.9.9:15008", NEXT_HOP_REFUSE, ERR_LOOP, NULL, NULL, NULL, NEXT_HOP_OWN_PORT},
	{"[::1]:15006", NEXT_HOP_REFUSE, ERR_LOOP, NULL, NULL, NULL, NEXT_HOP_OWN_PORT},
	{"127.0.0.1:80", NEXT_HOP_PLAIN, ERR_OK, "127.0.0.1:80", NULL, NULL,
         NEXT_HOP_UNKNOWN_ADDRESS},
};

static void each_target_gets_the_contracts_next_hop(void **state)
{
	struct mesh *m = mesh_of(world);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(target_rows); i++) {
		struct next_hop hop = choose(m, "c//Pod/a/me", target_rows[i].target, i);
		char text[ENDPOINT_TEXT_MAX], words[NEXT_HOP_WORDS_MAX];

		if (hop.kind != target_rows[i].kind || hop.cause != target_rows[i].cause ||
		    hop.reason != target_rows[i].reason)
			fail_msg("%s: %s", target_rows[i].target, next_hop_words(&hop, words));
		if (target_rows[i].connect)
			assert_string_equal(endpoint_format(&hop.connect, text),
			                    target_rows[i].connect);
		if (target_rows[i].authority)
			assert_string_equal(endpoint_format(&hop.authority, text),
			                    target_rows[i].authority);
		if (target_rows[i].identity)
			assert_string_equal(next_hop_identity(&hop, 0), target_rows[i].identity);
		else
			assert_int_equal(next_hop_identity_count(&hop), 0);
		assert_int_equal(hop.passthrough,
		                 hop.reason == NEXT_HOP_UNKNOWN_ADDRESS ||
		                         hop.reason == NEXT_HOP_PASSTHROUGH_SERVICE);
	}
	mesh_unref(m);
}

static void what_lacks_an_address_is_refused_and_two_meanings_are_one(void **state)
{
	static const struct {
		const char *target, *connect;
		enum next_hop_reason reason;
		const char *words;
	} rows[] = {
		{"10.1.0.1:80", "10.0.0.2:15008", NEXT_HOP_SERVICE_ENDPOINT,
	         "an endpoint of the service that speaks HBONE"},
		{"10.1.0.2:80", NULL, NEXT_HOP_NO_ADDRESS, "no address of a family the service"},
		{"10.1.0.3:80", NULL, NEXT_HOP_NO_ADDRESS, "service allows (a/wp6)"},
		{"10.1.0.4:80", NULL, NEXT_HOP_NO_ADDRESS, "service allows (a/gw6)"},
		{"10.1.0.5:80", NULL, NEXT_HOP_NO_SERVICE,
	         "only reached through a service (a/wp.far)"},
		{"10.1.0.6:80", NULL, NEXT_HOP_NO_ENDPOINT, "no healthy endpoint"},
		/* an address that is a workload's and a service's is the service's */
		{"10.0.0.50:80", "10.0.0.50:81", NEXT_HOP_SERVICE_ENDPOINT,
	         "an endpoint of the service outside the mesh: plain TCP"},
		{"10.0.0.51:80", "10.0.0.9:15008", NEXT_HOP_SERVICE_WAYPOINT,
	         "the service has a waypoint: HBONE to it (/10.0.0.9)"},
		{"10.0.0.9:80", "10.0.0.9:15008", NEXT_HOP_WORKLOAD_ADDRESS,
	         "the address of a workload that speaks HBONE"},
	};
	struct mesh *m = mesh_of(odd_world);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct next_hop hop = choose(m, "me", rows[i].target, i);
		char text[ENDPOINT_TEXT_MAX], words[NEXT_HOP_WORDS_MAX];

		if (hop.reason != rows[i].reason ||
		    !strstr(next_hop_words(&hop, words), rows[i].words))
			fail_msg("%s: %s", rows[i].target, next_hop_words(&hop, words));
		assert_int_equal(hop.kind == NEXT_HOP_REFUSE, rows[i].connect == NULL);
		if (rows[i].connect)
			assert_string_equal(endpoint_format(&hop.connect, text), rows[i].connect);
		assert_int_equal(next_hop_inner_identity_count(&hop), 0);
	}
	mesh_unref(m);
}

static void a_services_names_are_expected_beside_the_workloads(void **state)
{
	struct mesh *m = mesh_of(world);
	struct next_hop hop = choose(m, "c//Pod/a/me", "10.1.0.1:80", 0);

	(void)state;
	assert_int_equal(next_hop_identity_count(&hop), 2);
	assert_string_equal(next_hop_identity(&hop, 1), "spiffe://td/ns/x/sa/y");
	hop = choose(m, "c//Pod/a/me", "10.1.0.5:80", 0);
	assert_int_equal(next_hop_identity_count(&hop), 2);
	assert_string_equal(next_hop_identity(&hop, 1), "spiffe://td/ns/x/sa/gw");
	mesh_unref(m);
}

/* source_waypoint: the waypoint itself goes straight to the pod behind it. */
static void a_waypoint_does_not_call_itself(void **state)
{
	struct mesh *m = mesh_of(world);
	struct next_hop hop = choose(m, "c//Pod/a/wp", "10.0.0.5:80", 0);
	char text[ENDPOINT_TEXT_MAX];

	(void)state;
	assert_int_equal(hop.reason, NEXT_HOP_WORKLOAD_ADDRESS);
	assert_string_equal(endpoint_format(&hop.connect, text), "10.0.0.5:15008");
	hop = choose(m, "c//Pod/a/wp", "10.0.0.6:80", 0); /* referred to by address */
	assert_int_equal(hop.reason, NEXT_HOP_WORKLOAD_ADDRESS);
	mesh_unref(m);
}

/* destination_waypoint_mismatch_ip: the right identity from another address is no waypoint. */
static void the_waypoints_identity_from_elsewhere_still_goes_through_it(void **state)
{
	struct mesh *m = mesh_of(world);
	struct next_hop_query q = {.mesh = m,
	                           .source = mesh_workload_by_uid(m, "c//Pod/a/wp"),
	                           .client = endpoint_of("10.0.0.88:1"),
	                           .target = endpoint_of("10.0.0.5:80"),
	                           .network = "",
	                           .hbone_port = 15008};
	struct next_hop hop;

	(void)state;
	next_hop_choose(&q, &hop);
	assert_int_equal(hop.reason, NEXT_HOP_WORKLOAD_WAYPOINT);
	q.source = NULL;
	next_hop_choose(&q, &hop);
	assert_int_equal(hop.kind, NEXT_HOP_REFUSE);
	assert_int_equal(hop.cause, ERR_NO_WORKLOAD);
	mesh_unref(m);
}

/* test_sample_weighted_waypoint */
static void weighted_waypoints_share_by_weight(void **state)
{
	static const char text[] =
		"workloads:\n"
		"- {uid: me, namespace: a, workloadIps: [10.0.0.1], services: {}}\n"
		"- {uid: w1, namespace: a, workloadIps: [10.0.0.2], protocol: HBONE, services: {}}\n"
		"- {uid: w2, namespace: a, workloadIps: [10.0.0.3], protocol: HBONE, services: {}}\n"
		"services:\n"
		"- {name: s, namespace: a, hostname: s, vips: [/10.1.0.1], ports: {80: 80}, waypoint: "
		"{destination: /9.9.9.9}, weightedWaypoints: [{destination: {destination: /10.0.0.2}, "
		"weight: 90}, {destination: {destination: /10.0.0.3}, weight: 10}]}\n"
		"- {name: z, namespace: a, hostname: z, vips: [/10.1.0.2], ports: {80: 80}, waypoint: "
		"{destination: /10.0.0.3}, weightedWaypoints: [{destination: {destination: /10.0.0.2}, "
		"weight: 0}]}\n";
	struct mesh *m = mesh_of(text);
	unsigned int first = 0;

	(void)state;
	for (uint64_t dice = 0; dice < 10000; dice++) {
		struct next_hop hop = choose(m, "me", "10.1.0.1:80", dice);

		assert_int_equal(hop.reason, NEXT_HOP_SERVICE_WAYPOINT);
		first += strcmp(hop.dst->uid, "w1") == 0;
	}
	assert_in_range(first, 8880, 9120); /* four deviations; the dice are fixed */
	/* no weight at all: the plain waypoint */
	assert_string_equal(choose(m, "me", "10.1.0.2:80", 0).dst->uid, "w2");
	mesh_unref(m);
}

/* multiple_address_workload: the address asked for, then its family, then any. */
static void a_workload_is_reached_at_the_family_asked_with(void **state)
{
	struct mesh *m =
		mesh_of("workloads:\n"
	                "- {uid: me, namespace: a, workloadIps: [10.0.0.1], services: {}}\n"
	                "- {uid: w, namespace: a, workloadIps: [10.0.0.2, 10.0.0.3, \"fd00::2\"], "
	                "services: {a/s: {}}}\n"
	                "services:\n"
	                "- {name: s, namespace: a, hostname: s, vips: [/10.1.0.1, \"/fd01::1\"], "
	                "ports: {80: 80}}\n");
	static const char *const rows[][2] = {
		{"10.0.0.3:80", "10.0.0.3:80"},
		{"10.1.0.1:80", "10.0.0.2:80"},
		{"[fd01::1]:80", "[fd00::2]:80"},
	};
	char text[ENDPOINT_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct next_hop hop = choose(m, "me", rows[i][0], 0);

		assert_string_equal(endpoint_format(&hop.connect, text), rows[i][1]);
	}
	mesh_unref(m);
}

/* --- other networks ------------------------------------------------------------------------- */

/* Contract 13.1: build_request_double_hbone, failover_to_remote, wrong_network. */
static const char two_networks[] =
	"workloads:\n"
	"- {uid: me, namespace: a, workloadIps: [10.0.0.1], services: {}}\n"
	"- {uid: here, namespace: a, serviceAccount: near, workloadIps: [10.0.0.2], protocol: HBONE, "
	"services: {a/both.a.svc: {}}}\n"
	"- {uid: there, namespace: a, serviceAccount: far, workloadIps: [], network: net2, protocol: "
	"HBONE, networkGateway: {destination: net2/1.2.3.4, hboneMtlsPort: 15009}, services: "
	"{a/both.a.svc: {}, a/byip.a.svc: {}}}\n"
	"- {uid: there2, namespace: a, workloadIps: [10.0.0.2], network: net2, protocol: HBONE, "
	"networkGateway: {destination: istio-system/gw}, services: {a/byname.a.svc: {}}}\n"
	"- {uid: lost, namespace: a, workloadIps: [10.9.9.9], network: net2, protocol: HBONE, services: "
	"{a/lost.a.svc: {}}}\n"
	"- {uid: astray, namespace: a, workloadIps: [], network: net2, networkGateway: {destination: "
	"net2/9.9.9.9}, services: {a/astray.a.svc: {}}}\n"
	"- {uid: farwp, namespace: a, serviceAccount: wp, workloadIps: [], network: net2, protocol: "
	"HBONE, networkGateway: {destination: net2/1.2.3.4}, services: {a/wp: {}}}\n"
	"- {uid: NetworkGateway/net2/1.2.3.4/15009, namespace: istio-system, serviceAccount: gw, "
	"workloadIps: [1.2.3.4], network: net2, services: {istio-system/gw: {}}}\n"
	"- {uid: NetworkGateway/net3, namespace: istio-system, hostname: gw.example, workloadIps: [], "
	"network: net3, services: {}}\n"
	"- {uid: there3, namespace: a, workloadIps: [], network: net3, networkGateway: {destination: "
	"istio-system/gw.example, hboneMtlsPort: 15443}, services: {a/bydns.a.svc: {}}}\n"
	"- {uid: behindfar, namespace: a, workloadIps: [10.0.0.8], waypoint: {destination: a/wp}, "
	"services: {}}\n"
	"services:\n"
	"- {name: both, namespace: a, hostname: both.a.svc, vips: [/10.1.0.1], ports: {80: 8080}, "
	"subjectAltNames: [spiffe://td/ns/a/sa/far], loadBalancer: {mode: Failover, "
	"routingPreferences: [Network], healthPolicy: OnlyHealthy}}\n"
	"- {name: byip, namespace: a, hostname: byip.a.svc, vips: [/10.1.0.2], ports: {80: 8080}, "
	"subjectAltNames: [spiffe://td/ns/a/sa/far, spiffe://td/ns/a/sa/too]}\n"
	"- {name: byname, namespace: a, hostname: byname.a.svc, vips: [/10.1.0.3], ports: {80: 8080}}\n"
	"- {name: lost, namespace: a, hostname: lost.a.svc, vips: [/10.1.0.4], ports: {80: 80}}\n"
	"- {name: astray, namespace: a, hostname: astray.a.svc, vips: [/10.1.0.5], ports: {80: 80}}\n"
	"- {name: waited, namespace: a, hostname: waited.a.svc, vips: [/10.1.0.6], ports: {80: 80}, "
	"waypoint: {destination: a/wp}, subjectAltNames: [spiffe://td/ns/a/sa/not-me]}\n"
	"- {name: bydns, namespace: a, hostname: bydns.a.svc, vips: [/10.1.0.7], ports: {80: 80}}\n"
	"- {name: wp, namespace: a, hostname: wp, vips: [/10.1.0.9], ports: {15008: 15008}, "
	"subjectAltNames: [spiffe://td/ns/a/sa/wp]}\n"
	"- {name: gw, namespace: istio-system, hostname: gw, vips: [/10.1.0.10], ports: {15008: "
	"15018}, subjectAltNames: [spiffe://td/ns/x/sa/gwsvc]}\n";

static const struct {
	const char *target, *connect, *hostname, *authority_host, *inner;
	uint16_t authority_port, connect_port;
	enum next_hop_kind kind;
	enum err cause;
	enum next_hop_reason reason;
} network_rows[] = {
	/* the endpoint of the own network is preferred */
	{"10.1.0.1:80", "10.0.0.2:15008", .authority_port = 8080, .kind = NEXT_HOP_HBONE,
         .reason = NEXT_HOP_SERVICE_ENDPOINT},
	{"10.1.0.2:80", "1.2.3.4:15009", NULL, "byip.a.svc", "spiffe://td/ns/a/sa/far", 80, 0,
         NEXT_HOP_DOUBLE_HBONE, ERR_OK, NEXT_HOP_NETWORK_GATEWAY},
	/* a gateway by name: its service maps the port; nobody is expected at the inner end */
	{"10.1.0.3:80", "1.2.3.4:15018", NULL, "byname.a.svc", NULL, 80, 0, NEXT_HOP_DOUBLE_HBONE,
         ERR_OK, NEXT_HOP_NETWORK_GATEWAY},
	{"10.1.0.4:80", .kind = NEXT_HOP_REFUSE, .cause = ERR_NO_GATEWAY,
         .reason = NEXT_HOP_NO_GATEWAY},
	{"10.1.0.5:80", .kind = NEXT_HOP_REFUSE, .cause = ERR_NO_GATEWAY,
         .reason = NEXT_HOP_GATEWAY_UNRESOLVED},
	/* the waypoint is there: it ends the inner connection, so it is the one expected */
	{"10.1.0.6:80", "1.2.3.4:15008", NULL, "waited.a.svc", "spiffe://td/ns/a/sa/wp", 80, 0,
         NEXT_HOP_DOUBLE_HBONE, ERR_OK, NEXT_HOP_NETWORK_GATEWAY},
	/* a gateway known by a name only */
	{"10.1.0.7:80", NULL, "gw.example", "bydns.a.svc", NULL, 80, 15443, NEXT_HOP_DOUBLE_HBONE,
         ERR_OK, NEXT_HOP_NETWORK_GATEWAY},
	/* addresses of another network mean nothing here, and no service leads there */
	{"10.9.9.9:80", "10.9.9.9:80", .kind = NEXT_HOP_PLAIN, .reason = NEXT_HOP_UNKNOWN_ADDRESS},
	{"10.0.0.8:80", .kind = NEXT_HOP_REFUSE, .cause = ERR_NO_GATEWAY,
         .reason = NEXT_HOP_NO_SERVICE},
};

static void another_network_is_reached_through_its_gateway(void **state)
{
	struct mesh *m = mesh_of(two_networks);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(network_rows); i++) {
		struct next_hop hop = choose(m, "me", network_rows[i].target, i);
		char text[ENDPOINT_TEXT_MAX], words[NEXT_HOP_WORDS_MAX];

		if (hop.kind != network_rows[i].kind || hop.cause != network_rows[i].cause ||
		    hop.reason != network_rows[i].reason)
			fail_msg("%s: %s", network_rows[i].target, next_hop_words(&hop, words));
		if (hop.kind == NEXT_HOP_REFUSE)
			continue;
		if (network_rows[i].hostname)
			assert_string_equal(hop.hostname, network_rows[i].hostname);
		else
			assert_string_equal(endpoint_format(&hop.connect, text),
			                    network_rows[i].connect);
		if (network_rows[i].connect_port)
			assert_int_equal(hop.connect.port, network_rows[i].connect_port);
		if (hop.kind != NEXT_HOP_PLAIN)
			assert_int_equal(hop.authority.port, network_rows[i].authority_port);
		if (!network_rows[i].authority_host) {
			assert_null(hop.authority_host);
			continue;
		}
		assert_string_equal(hop.authority_host, network_rows[i].authority_host);
		if (network_rows[i].inner)
			assert_string_equal(next_hop_inner_identity(&hop, 0),
			                    network_rows[i].inner);
		else
			assert_int_equal(next_hop_inner_identity_count(&hop), 0);
	}
	mesh_unref(m);
}

static void the_gateway_and_who_is_behind_it_are_expected_apart(void **state)
{
	struct mesh *m = mesh_of(two_networks);
	struct next_hop hop = choose(m, "me", "10.1.0.2:80", 0);

	(void)state;
	assert_string_equal(hop.dst->uid, "NetworkGateway/net2/1.2.3.4/15009");
	assert_string_equal(hop.service->hostname, "byip.a.svc");
	assert_int_equal(next_hop_identity_count(&hop), 1);
	assert_string_equal(next_hop_identity(&hop, 0),
	                    "spiffe://cluster.local/ns/istio-system/sa/gw");
	assert_int_equal(next_hop_inner_identity_count(&hop), 2);
	hop = choose(m, "me", "10.1.0.3:80", 0);
	assert_int_equal(next_hop_identity_count(&hop), 2);
	assert_string_equal(next_hop_identity(&hop, 1), "spiffe://td/ns/x/sa/gwsvc");
	mesh_unref(m);
}

/* failover_to_remote: with the near endpoint gone the far one is taken, whatever the dice. */
static void a_service_fails_over_to_another_network(void **state)
{
	char *text = strdup(two_networks);
	char *near = strstr(text, "a/both.a.svc: {}}}"); /* that of `here` */
	struct mesh *m;

	(void)state;
	assert_non_null(near);
	memcpy(near, "a/gone", strlen("a/gone"));
	m = mesh_of(text);
	for (uint64_t dice = 0; dice < 50; dice++)
		assert_int_equal(choose(m, "me", "10.1.0.1:80", dice).kind, NEXT_HOP_DOUBLE_HBONE);
	mesh_unref(m);
	free(text);
}

/* --- host names --------------------------------------------------------------------------------- */

static void a_workload_with_only_a_name_is_left_to_be_resolved(void **state)
{
	struct mesh *m = mesh_of(
		"workloads:\n"
		"- {uid: me, namespace: a, workloadIps: [10.0.0.1], services: {}}\n"
		"- {uid: p, namespace: a, workloadIps: [], hostname: h.example, services: {a/plain: {}}}\n"
		"- {uid: h, namespace: a, workloadIps: [], hostname: m.example, protocol: HBONE, services: "
		"{a/mesh: {}}}\n"
		"services:\n"
		"- {name: plain, namespace: a, hostname: plain, vips: [/10.1.0.1], ports: {80: 81}}\n"
		"- {name: mesh, namespace: a, hostname: mesh, vips: [/10.1.0.2], ports: {80: 81}}\n");
	const struct ip ips[] = {endpoint_of("[fd00::1]:1").ip, endpoint_of("10.7.7.7:1").ip,
	                         endpoint_of("[fd00::2]:1").ip};
	const struct ip v6 = endpoint_of("[fd01::9]:1").ip, v4 = endpoint_of("10.1.0.2:1").ip;
	struct next_hop hop = choose(m, "me", "10.1.0.1:80", 0);
	char text[ENDPOINT_TEXT_MAX];

	(void)state;
	assert_int_equal(hop.kind, NEXT_HOP_PLAIN);
	assert_string_equal(hop.hostname, "h.example");
	assert_int_equal(next_hop_resolved(&hop, ips, 0, &v4, 0), ERR_RESOLVE);
	assert_int_equal(next_hop_resolved(&hop, ips, 3, &v4, 0), ERR_OK);
	assert_null(hop.hostname);
	assert_string_equal(endpoint_format(&hop.connect, text), "10.7.7.7:81");

	hop = choose(m, "me", "10.1.0.2:80", 0);
	assert_int_equal(hop.kind, NEXT_HOP_HBONE);
	assert_int_equal(next_hop_resolved(&hop, ips + 1, 1, &v6, 0),
	                 ERR_OK); /* the other family */
	assert_string_equal(endpoint_format(&hop.connect, text), "10.7.7.7:15008");
	assert_string_equal(endpoint_format(&hop.authority, text), "10.7.7.7:81");
	mesh_unref(m);
}

static void resolved_addresses_of_the_family_are_all_used(void **state)
{
	const struct ip ips[] = {endpoint_of("[fd00::1]:1").ip, endpoint_of("10.7.7.7:1").ip,
	                         endpoint_of("10.7.7.8:1").ip};
	const struct ip v4 = endpoint_of("10.1.0.2:1").ip;
	unsigned int seen[3] = {0};

	(void)state;
	for (uint64_t dice = 0; dice < 100; dice++) {
		struct next_hop hop = {.kind = NEXT_HOP_PLAIN, .hostname = "x"};

		assert_int_equal(next_hop_resolved(&hop, ips, 3, &v4, dice), ERR_OK);
		for (unsigned int i = 0; i < 3; i++)
			seen[i] += ip_eq(&hop.connect.ip, &ips[i]);
	}
	assert_int_equal(seen[0], 0);
	assert_in_range(seen[1], 30, 70);
	assert_int_equal(seen[1] + seen[2], 100);
}

/* A waypoint may be on a name only, too, and a network gateway is no way to a waypoint of the own network. */
static void a_waypoint_may_have_only_a_name(void **state)
{
	struct mesh *m = mesh_of(
		"workloads:\n"
		"- {uid: me, namespace: a, workloadIps: [10.0.0.1], services: {}}\n"
		"- {uid: wp, namespace: a, workloadIps: [], hostname: wp.example, protocol: HBONE, "
		"services: {}}\n"
		"services:\n"
		"- {name: s, namespace: a, hostname: s, vips: [/10.1.0.1], ports: {80: 81}, waypoint: "
		"{destination: a/wp.example}}\n");
	struct next_hop hop = choose(m, "me", "10.1.0.1:80", 0);
	const struct ip ip = endpoint_of("10.7.7.7:1").ip;
	char text[ENDPOINT_TEXT_MAX];

	(void)state;
	assert_int_equal(hop.reason, NEXT_HOP_SERVICE_WAYPOINT);
	assert_string_equal(hop.hostname, "wp.example");
	assert_int_equal(next_hop_resolved(&hop, &ip, 1, &hop.authority.ip, 0), ERR_OK);
	assert_string_equal(endpoint_format(&hop.connect, text), "10.7.7.7:15008");
	assert_string_equal(endpoint_format(&hop.authority, text), "10.1.0.1:80");
	mesh_unref(m);
}

static void words_say_where_and_why(void **state)
{
	struct mesh *m = mesh_of(world);
	char words[NEXT_HOP_WORDS_MAX];
	struct next_hop hop = choose(m, "c//Pod/a/me", "10.0.0.7:80", 0);

	(void)state;
	assert_string_equal(next_hop_words(&hop, words),
	                    "refused: the waypoint it must go through has no endpoint (a/nowhere)");
	hop = choose(m, "c//Pod/a/me", "10.0.0.2:80", 0);
	assert_string_equal(next_hop_words(&hop, words),
	                    "the address of a workload that speaks HBONE");
	mesh_unref(m);
}

/* Whatever the dice: nothing that should be encrypted is ever sent as it is. */
static void no_dice_turn_hbone_into_plaintext(void **state)
{
	static const char *const targets[] = {"10.1.0.1:80", "10.0.0.2:80", "10.0.0.5:80",
	                                      "10.1.0.5:80", "10.0.0.7:80", "10.1.0.6:80",
	                                      "10.1.0.3:80"};
	struct mesh *m = mesh_of(world);
	uint64_t dice = 3;

	(void)state;
	for (unsigned int i = 0; i < 2000; i++) {
		struct next_hop hop =
			choose(m, "c//Pod/a/me", targets[i % ARRAY_LEN(targets)], dice_roll(&dice));

		assert_int_not_equal(hop.kind, NEXT_HOP_PLAIN);
		if (hop.kind == NEXT_HOP_HBONE)
			assert_true(next_hop_identity_count(&hop) > 0);
	}
	mesh_unref(m);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_target_gets_the_contracts_next_hop),
		cmocka_unit_test(what_lacks_an_address_is_refused_and_two_meanings_are_one),
		cmocka_unit_test(a_services_names_are_expected_beside_the_workloads),
		cmocka_unit_test(a_waypoint_does_not_call_itself),
		cmocka_unit_test(the_waypoints_identity_from_elsewhere_still_goes_through_it),
		cmocka_unit_test(weighted_waypoints_share_by_weight),
		cmocka_unit_test(a_workload_is_reached_at_the_family_asked_with),
		cmocka_unit_test(another_network_is_reached_through_its_gateway),
		cmocka_unit_test(the_gateway_and_who_is_behind_it_are_expected_apart),
		cmocka_unit_test(a_service_fails_over_to_another_network),
		cmocka_unit_test(a_workload_with_only_a_name_is_left_to_be_resolved),
		cmocka_unit_test(resolved_addresses_of_the_family_are_all_used),
		cmocka_unit_test(a_waypoint_may_have_only_a_name),
		cmocka_unit_test(words_say_where_and_why),
		cmocka_unit_test(no_dice_turn_hbone_into_plaintext),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
