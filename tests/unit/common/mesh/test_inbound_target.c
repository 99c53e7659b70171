/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mesh/inbound_target.h"

#include "common/base/check.h"
#include "common/mesh/mesh_table.h"
#include "tests/unit/common/mesh/mesh_text.h"

static const char world[] =
	"workloads:\n"
	"- {uid: pod, namespace: a, workloadIps: [10.0.0.2, \"fd00::2\"], services: {a/web.a: {80: 8080}, "
	"a/named: {}, a/loop: {80: 15008}, b/shared: {}}}\n"
	"- {uid: other, namespace: a, workloadIps: [10.0.0.3], services: {}}\n"
	"- {uid: behind, namespace: a, workloadIps: [10.0.0.4], waypoint: {destination: a/waypoint}, "
	"services: {}}\n"
	"- {uid: behind2, namespace: a, workloadIps: [10.0.0.5], waypoint: {destination: /10.0.0.9}, "
	"services: {}}\n"
	"- {uid: wp, namespace: a, workloadIps: [10.0.0.9], services: {a/waypoint: {}}}\n"
	"- {uid: tunnel, namespace: a, workloadIps: [10.0.0.10, \"fd00::10\"], applicationTunnel: "
	"{protocol: PROXY, port: 15088}, services: {}}\n"
	"- {uid: tunnel0, namespace: a, workloadIps: [10.0.0.11], applicationTunnel: {protocol: NONE}, "
	"services: {}}\n"
	"- {uid: dev, namespace: a, workloadIps: [127.0.0.2], services: {}}\n"
	"services:\n"
	"- {name: web, namespace: a, hostname: web.a, vips: [], ports: {80: 80}}\n"
	"- {name: v6, namespace: a, hostname: v6.a, vips: [elsewhere/10.9.0.1, \"/fd00::99\"], ports: {80: 80}}\n"
	"- {name: v4, namespace: a, hostname: v4.a, vips: [\"/fd00::98\", /10.9.0.2, /10.9.0.3], ports: {80: 80}}\n"
	"- {name: abroad, namespace: a, hostname: abroad.a, vips: [\"elsewhere/fd00::97\", elsewhere/10.9.0.4], "
	"ports: {80: 80}}\n"
	"- {name: named, namespace: a, hostname: named, vips: [], ports: {80: 0, 81: 8081}}\n"
	"- {name: loop, namespace: a, hostname: loop, vips: [], ports: {80: 80}}\n"
	"- {name: shared, namespace: b, hostname: shared, vips: [], ports: {80: 1}, canonical: true}\n"
	"- {name: shared, namespace: a, hostname: shared, vips: [], ports: {80: 2}}\n"
	"- {name: far, namespace: a, hostname: far, vips: [/10.1.0.1], ports: {80: 80}, waypoint: "
	"{destination: a/waypoint}}\n"
	"- {name: alone, namespace: a, hostname: alone, vips: [/10.1.0.2], ports: {80: 80}}\n"
	"- {name: half, namespace: a, hostname: half, vips: [/10.1.0.3], ports: {80: 80}, "
	"weightedWaypoints: [{destination: {destination: /10.0.0.77}, weight: 1}, {destination: "
	"{destination: /10.0.0.9}, weight: 1}]}\n"
	"- {name: waypoint, namespace: a, hostname: waypoint, vips: [], ports: {15008: 15008}}\n";

/* The ways a waypoint can be referred to and still not be this pod. */
static const char references[] =
	"workloads:\n"
	"- {uid: wp, namespace: a, workloadIps: [10.0.0.9], services: {a/waypoint: {81: 0}, a/gone: {}, "
	"a/listed: {}}}\n"
	"- {uid: none, namespace: a, workloadIps: [10.0.0.1], services: {}}\n"
	"- {uid: missing, namespace: a, workloadIps: [10.0.0.2], waypoint: {destination: a/missing}, "
	"services: {}}\n"
	"- {uid: not-its, namespace: a, workloadIps: [10.0.0.3], waypoint: {destination: a/other}, "
	"services: {}}\n"
	"- {uid: by-vip, namespace: a, workloadIps: [10.0.0.4], waypoint: {destination: /10.1.0.9}, "
	"services: {}}\n"
	"- {uid: by-other-vip, namespace: a, workloadIps: [10.0.0.5], waypoint: {destination: /10.1.0.8}, "
	"services: {}}\n"
	"- {uid: elsewhere, namespace: a, workloadIps: [10.0.0.6], waypoint: {destination: net2/10.0.0.9}, "
	"services: {}}\n"
	"services:\n"
	"- {name: waypoint, namespace: a, hostname: waypoint, vips: [/10.1.0.9], ports: {80: 8080, 81: 8081}}\n"
	"- {name: other, namespace: a, hostname: other, vips: [/10.1.0.8], ports: {80: 80}}\n"
	"- {name: listed, namespace: a, hostname: listed, vips: [], ports: {82: 8082}}\n";

static const uint16_t own_ports[] = {15001, 15006, 15008};

static struct inbound_query query(const struct mesh *m, const char *uid, const char *local_ip)
{
	return (struct inbound_query){
		.mesh = m,
		.local = mesh_workload_by_uid(m, uid),
		.network = "",
		.local_ip = ip_of(local_ip),
		.own_ports = own_ports,
		.own_port_count = ARRAY_LEN(own_ports),
		.localhost_app_tunnel = true,
	};
}

/* test_find_inbound_upstream, and addresses nobody may ask for. */
static void an_ip_authority_must_be_the_pods_own(void **state)
{
	static const struct {
		const char *uid, *local_ip, *authority;
		enum err expected;
	} rows[] = {
		{"pod", "10.0.0.2", "10.0.0.2:8080", ERR_OK},
		{"pod", "fd00::2", "[fd00::2]:8080", ERR_OK},
		{"pod", "10.0.0.2", "10.0.0.3:8080", ERR_HBONE_AUTHORITY},
		{"pod", "10.0.0.2", "[fd00::2]:8080", ERR_HBONE_AUTHORITY},
		{"pod", "10.0.0.2", "127.0.0.1:8080", ERR_HBONE_AUTHORITY},
		{"pod", "127.0.0.1", "127.0.0.1:8080", ERR_HBONE_AUTHORITY},
		{"pod", "10.0.0.2", "[::1]:8080", ERR_HBONE_AUTHORITY},
		{"pod", "10.0.0.2", "0.0.0.0:8080", ERR_HBONE_AUTHORITY},
		{"pod", "10.0.0.2", "[::]:8080", ERR_HBONE_AUTHORITY},
		{"pod", "10.0.0.2", "224.0.0.1:8080", ERR_HBONE_AUTHORITY},
		{"pod", "10.0.0.2", "[ff02::1]:8080", ERR_HBONE_AUTHORITY},
		{"pod", "10.0.0.2", "169.254.169.254:80", ERR_HBONE_AUTHORITY},
		{"pod", "10.0.0.2", "10.1.0.1:80", ERR_HBONE_AUTHORITY},
		{"pod", "10.0.0.2", "10.0.0.2:15001", ERR_LOOP},
		{"pod", "10.0.0.2", "10.0.0.2:15006", ERR_LOOP},
		{"pod", "10.0.0.2", "10.0.0.2:15008", ERR_LOOP},
		/* the waypoint of what is asked for, by workload, by service, by address, by weight */
		{"wp", "10.0.0.9", "10.0.0.4:80", ERR_OK},
		{"wp", "10.0.0.9", "10.0.0.5:80", ERR_OK},
		{"wp", "10.0.0.9", "10.1.0.1:80", ERR_OK},
		{"wp", "10.0.0.9", "10.1.0.3:80", ERR_OK},
		{"wp", "10.0.0.9", "10.1.0.2:80", ERR_HBONE_AUTHORITY},
		{"wp", "10.0.0.9", "10.0.0.3:80", ERR_HBONE_AUTHORITY},
		{"wp", "10.0.0.9", "127.0.0.1:80", ERR_HBONE_AUTHORITY},
		/* an application tunnel takes any address but the ones that mean something else */
		{"tunnel", "10.0.0.10", "10.1.0.2:80", ERR_OK},
		{"tunnel", "10.0.0.10", "127.0.0.1:80", ERR_HBONE_AUTHORITY},
		/* a workload that lives on loopback, as in development */
		{"dev", "127.0.0.2", "127.0.0.2:80", ERR_OK},
		{"dev", "127.0.0.2", "127.0.0.1:80", ERR_HBONE_AUTHORITY},
	};
	struct mesh *m = mesh_of(world);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct inbound_query q = query(m, rows[i].uid, rows[i].local_ip);
		struct inbound_target t = {0};
		enum err e;

		q.ep = endpoint_of(rows[i].authority);
		e = inbound_target_hbone(&q, &t);
		if (e != rows[i].expected)
			fail_msg("row %zu (%s): %s", i, rows[i].authority, err_info(e)->name);
		if (e == ERR_OK) /* whatever the authority says, the pod is where it goes */
			assert_true(ip_eq(&t.upstream.ip, &q.local_ip));
		else
			assert_int_equal(t.upstream.ip.family, IP_NONE);
	}
	mesh_unref(m);
}

static void only_the_waypoint_referred_to_may_take_it(void **state)
{
	static const struct {
		const char *authority;
		enum err expected;
	} rows[] = {
		{"10.0.0.1:80", ERR_HBONE_AUTHORITY}, {"10.0.0.2:80", ERR_HBONE_AUTHORITY},
		{"10.0.0.3:80", ERR_HBONE_AUTHORITY}, {"10.0.0.4:80", ERR_OK},
		{"10.0.0.5:80", ERR_HBONE_AUTHORITY}, {"10.0.0.6:80", ERR_HBONE_AUTHORITY},
		{"10.7.7.7:80", ERR_HBONE_AUTHORITY},
	};
	struct mesh *m = mesh_of(references);
	struct inbound_query q = query(m, "wp", "10.0.0.9");
	struct inbound_target t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		q.ep = endpoint_of(rows[i].authority);
		if (inbound_target_hbone(&q, &t) != rows[i].expected)
			fail_msg("%s", rows[i].authority);
	}
	q.ep = (struct endpoint){.port = 80}; /* no address at all */
	assert_int_equal(inbound_target_hbone(&q, &t), ERR_HBONE_AUTHORITY);
	q.ep = (struct endpoint){.ip = q.local_ip}; /* the right one, without a port */
	assert_int_equal(inbound_target_hbone(&q, &t), ERR_HBONE_AUTHORITY);
	mesh_unref(m);
}

/* 7.5: the authority's service, the one with the port, or none of those that are gone. */
static void the_service_counted_for_is_one_that_exists(void **state)
{
	struct mesh *m = mesh_of(references);
	struct inbound_query q = query(m, "wp", "10.0.0.9");
	struct inbound_target t;

	(void)state;
	q.is_host = true;
	q.host = "waypoint";
	q.port = 81; /* the endpoint says 0: the service knows the port */
	assert_int_equal(inbound_target_hbone(&q, &t), ERR_OK);
	assert_int_equal(t.upstream.port, 8081);
	assert_string_equal(inbound_target_service(&q, &t, "listed")->hostname, "waypoint");
	q.is_host = false;
	q.ep = endpoint_of("10.0.0.9:8082");
	assert_int_equal(inbound_target_hbone(&q, &t), ERR_OK);
	assert_string_equal(inbound_target_service(&q, &t, "gone")->hostname, "listed");
	q.local = NULL;
	assert_null(inbound_target_service(&q, &t, NULL));
	mesh_unref(m);
}

/* test_svc_hostname_port, test_svc_hostname_named_port */
static void a_host_authority_is_mapped_to_the_pods_port(void **state)
{
	static const struct {
		const char *host;
		uint16_t port, upstream_port;
		enum err expected;
	} rows[] = {
		{"web.a", 80, 8080, ERR_OK},        {"named", 81, 8081, ERR_OK},
		{"named", 80, 0, ERR_NO_SERVICE},   {"web.a", 81, 0, ERR_NO_SERVICE},
		{"unknown", 80, 0, ERR_NO_SERVICE}, {"loop", 80, 0, ERR_LOOP},
		{"shared", 80, 2, ERR_OK},
	};
	struct mesh *m = mesh_of(world);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct inbound_query q = query(m, "pod", "10.0.0.2");
		struct inbound_target t = {0};

		q.is_host = true;
		q.host = rows[i].host;
		q.port = rows[i].port;
		assert_int_equal(inbound_target_hbone(&q, &t), rows[i].expected);
		assert_int_equal(t.upstream.port, rows[i].upstream_port);
	}
	mesh_unref(m);
}

static void an_app_tunnel_is_reached_on_loopback_but_judged_by_the_pods_address(void **state)
{
	struct mesh *m = mesh_of(world);
	struct inbound_query q = query(m, "tunnel", "fd00::10");
	struct inbound_target t;
	char text[ENDPOINT_TEXT_MAX];

	(void)state;
	q.ep = endpoint_of("10.1.0.2:80");
	assert_int_equal(inbound_target_hbone(&q, &t), ERR_OK);
	assert_string_equal(endpoint_format(&t.upstream, text), "[fd00::10]:15088");
	assert_string_equal(endpoint_format(&t.connect, text), "[::1]:15088");
	assert_true(t.proxy_protocol && t.loopback);
	q.localhost_app_tunnel = false;
	assert_int_equal(inbound_target_hbone(&q, &t), ERR_OK);
	assert_string_equal(endpoint_format(&t.connect, text), "[fd00::10]:15088");
	assert_true(t.proxy_protocol && !t.loopback);
	q = query(m, "tunnel0", "10.0.0.11");
	q.ep = endpoint_of("10.1.0.2:80");
	assert_int_equal(inbound_target_hbone(&q, &t), ERR_OK);
	assert_string_equal(endpoint_format(&t.connect, text), "10.0.0.11:80");
	assert_false(t.proxy_protocol);
	mesh_unref(m);
}

/* test_build_inbound_request: what a PROXY header names. */
static void the_application_is_told_the_address_or_one_of_the_service(void **state)
{
	static const struct {
		const char *host, *told;
	} rows[] = {
		{"v6.a", "[fd00::99]:80"},   /* our network before IPv4 */
		{"v4.a", "10.9.0.2:80"},     /* then IPv4, then the first */
		{"abroad.a", "10.9.0.4:80"}, /* better one of another network than none */
	};
	struct mesh *m = mesh_of(world);
	struct inbound_query q = query(m, "tunnel", "10.0.0.10");
	struct inbound_target t;
	char text[ENDPOINT_TEXT_MAX];

	(void)state;
	q.ep = endpoint_of("10.1.0.2:80");
	assert_int_equal(inbound_target_hbone(&q, &t), ERR_OK);
	assert_string_equal(endpoint_format(&t.told, text), "10.1.0.2:80");
	q.ep = (struct endpoint){0};
	q.is_host = true;
	q.port = 80;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		q.host = rows[i].host;
		assert_int_equal(inbound_target_hbone(&q, &t), ERR_OK);
		assert_string_equal(endpoint_format(&t.told, text), rows[i].told);
		assert_string_equal(endpoint_format(&t.connect, text), "127.0.0.1:15088");
	}
	q.host = "web.a";
	assert_int_equal(inbound_target_hbone(&q, &t), ERR_NO_VIP);
	assert_int_equal(err_info(ERR_NO_VIP)->http_status, 503);
	q.local = mesh_workload_by_uid(m, "tunnel0"); /* who is told nothing needs no address */
	q.local_ip = ip_of("10.0.0.11");
	assert_int_equal(inbound_target_hbone(&q, &t), ERR_OK);
	mesh_unref(m);
}

/* The own-port check is of what was asked for, before the tunnel changes it. */
static void an_app_tunnel_does_not_hide_a_loop(void **state)
{
	struct mesh *m = mesh_of(world);
	struct inbound_query q = query(m, "tunnel", "10.0.0.10");
	struct inbound_target t;

	(void)state;
	q.ep = endpoint_of("10.0.0.10:15006");
	assert_int_equal(inbound_target_hbone(&q, &t), ERR_LOOP);
	mesh_unref(m);
}

static void plaintext_goes_where_it_was_sent_unless_to_us(void **state)
{
	struct mesh *m = mesh_of(world);
	struct inbound_query q = query(m, "pod", "10.0.0.2");
	struct inbound_target t;
	char text[ENDPOINT_TEXT_MAX];

	(void)state;
	q.ep = endpoint_of("10.0.0.2:8080");
	assert_int_equal(inbound_target_plain(&q, &t), ERR_OK);
	assert_string_equal(endpoint_format(&t.connect, text), "10.0.0.2:8080");
	q.ep.port = 15006;
	assert_int_equal(inbound_target_plain(&q, &t), ERR_LOOP);
	q.ep.port = 80;
	q.local = NULL;
	assert_int_equal(inbound_target_plain(&q, &t), ERR_NO_WORKLOAD);
	assert_int_equal(inbound_target_hbone(&q, &t), ERR_NO_WORKLOAD);
	mesh_unref(m);
}

static void telemetry_counts_for_the_right_service(void **state)
{
	struct mesh *m = mesh_of(world);
	struct inbound_query q = query(m, "pod", "10.0.0.2");
	struct inbound_target t;

	(void)state;
	q.ep = endpoint_of("10.0.0.2:8080");
	assert_int_equal(inbound_target_hbone(&q, &t), ERR_OK);
	assert_string_equal(inbound_target_service(&q, &t, NULL)->hostname, "web.a");
	assert_string_equal(inbound_target_service(&q, &t, "named")->hostname, "named");
	assert_string_equal(inbound_target_service(&q, &t, "nobody")->hostname, "web.a");
	q.ep.port = 9999;
	assert_int_equal(inbound_target_hbone(&q, &t), ERR_OK);
	assert_null(inbound_target_service(&q, &t, NULL));
	mesh_unref(m);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_ip_authority_must_be_the_pods_own),
		cmocka_unit_test(only_the_waypoint_referred_to_may_take_it),
		cmocka_unit_test(the_service_counted_for_is_one_that_exists),
		cmocka_unit_test(a_host_authority_is_mapped_to_the_pods_port),
		cmocka_unit_test(
			an_app_tunnel_is_reached_on_loopback_but_judged_by_the_pods_address),
		cmocka_unit_test(the_application_is_told_the_address_or_one_of_the_service),
		cmocka_unit_test(an_app_tunnel_does_not_hide_a_loop),
		cmocka_unit_test(plaintext_goes_where_it_was_sent_unless_to_us),
		cmocka_unit_test(telemetry_counts_for_the_right_service),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
