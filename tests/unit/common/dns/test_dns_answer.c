/* SPDX-License-Identifier: Apache-2.0 */
#include "common/dns/dns_answer.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/dns/dns_msg.h"
#include "tests/unit/common/mesh/mesh_text.h"

static const char world[] =
	"workloads:\n"
	"- {uid: c//Pod/ns1/h1, name: h1, namespace: ns1, workloadIps: [10.2.0.1, \"fd02::1\", 10.2.9.9], "
	"services: {ns1/headless.ns1.svc.cluster.local: {}, ns1/v4less.ns1.svc.cluster.local: {}}}\n"
	"- {uid: c//Pod/ns1/h2, name: h2, namespace: ns1, workloadIps: [10.2.0.2], services: "
	"{ns1/headless.ns1.svc.cluster.local: {}}}\n"
	"- {uid: c//Pod/ns1/sick, name: sick, namespace: ns1, workloadIps: [10.2.0.3], status: Unhealthy, "
	"services: {ns1/headless.ns1.svc.cluster.local: {}}}\n"
	"- {uid: c//Pod/ns1/far, name: far, namespace: ns1, workloadIps: [10.2.0.4], network: net2, "
	"services: {ns1/headless.ns1.svc.cluster.local: {}}}\n"
	"services:\n"
	"- {name: web, namespace: ns1, hostname: web.ns1.svc.cluster.local, vips: [/10.1.0.1, "
	"\"/fd01::1\", net2/10.1.9.1], ports: {80: 80}}\n"
	"- {name: web, namespace: ns2, hostname: web.ns2.svc.cluster.local, vips: [/10.1.0.2], ports: "
	"{80: 80}}\n"
	"- {name: Mixed, namespace: ns1, hostname: Mixed.Example.com, vips: [/10.1.0.3], ports: {80: 80}}\n"
	"- {name: wild, namespace: ns1, hostname: \"*.wild.example.com\", vips: [/10.1.0.4], ports: {80: "
	"80}}\n"
	"- {name: wilder, namespace: ns1, hostname: \"*.b.wild.example.com\", vips: [/10.1.0.5], ports: "
	"{80: 80}}\n"
	"- {name: exact, namespace: ns1, hostname: x.wild.example.com, vips: [/10.1.0.6], ports: {80: 80}}\n"
	"- {name: hidden, namespace: ns2, hostname: hidden.example.com, vips: [/10.1.0.7], ports: {80: 80}, "
	"visibility: Namespace}\n"
	"- {name: headless, namespace: ns1, hostname: headless.ns1.svc.cluster.local, vips: [], ports: {80: "
	"80}}\n"
	"- {name: v4less, namespace: ns1, hostname: v4less.ns1.svc.cluster.local, vips: [], ports: {80: "
	"80}, ipFamilies: IPv6}\n"
	"- {name: empty, namespace: ns1, hostname: empty.ns1.svc.cluster.local, vips: [], ports: {80: "
	"80}}\n"
	"- {name: novip, namespace: ns1, hostname: novip.example.com, vips: [], ports: {80: 80}}\n"
	"- {name: cidr, namespace: ns1, hostname: cidr.example.com, vips: [], cidrVips: [{network: \"\", cidr: 10.9.0.0/16}], ports: {80: 80}}\n"
	"- {name: far, namespace: ns1, hostname: far.example.com, vips: [net2/10.1.9.2], ports: {80: 80}}\n"
	"- {name: v6, namespace: ns1, hostname: v6.example.com, vips: [\"/fd01::6\"], ports: {80: 80}}\n"
	"- {name: both, namespace: ns3, hostname: both.example.com, vips: [/10.3.0.3], ports: {80: 80}}\n"
	"- {name: both, namespace: ns4, hostname: both.example.com, vips: [/10.3.0.4], ports: {80: 80}}\n"
	"- {name: canon, namespace: ns3, hostname: canon.example.com, vips: [/10.3.1.3], ports: {80: 80}}\n"
	"- {name: canon, namespace: ns4, hostname: canon.example.com, vips: [/10.3.1.4], ports: {80: 80}, "
	"canonical: true}\n"
	"- {name: ext, namespace: ns1, hostname: www.google.com, vips: [/10.1.0.9], ports: {80: 80}}\n"
	"- {name: one, namespace: ns1, hostname: single, vips: [/10.1.0.10], ports: {80: 80}}\n";

struct row {
	const char *what;
	const char *ns, *name;
	const char *expected; /* "-": forwarded; else addresses sorted, "" for none */
	const char *alias;    /* NULL: none */
	bool v6;
};

/* What a shared ztunnel with cluster domain cluster.local answers pods (contract 9.2 to 9.4). */
static const struct row rows[] = {
	{"whole name", "ns1", "web.ns1.svc.cluster.local", "10.1.0.1", NULL, false},
	{"whole name, AAAA", "ns1", "web.ns1.svc.cluster.local", "fd01::1", NULL, true},
	{"any case", "ns1", "WEB.Ns1.svc.CLUSTER.local", "10.1.0.1", NULL, false},
	{"a mesh that writes capitals", "ns1", "mixed.example.COM", "10.1.0.3", NULL, false},
	{"one label", "ns1", "web", "10.1.0.1", NULL, false},
	{"one label is of the client's namespace", "ns2", "web", "10.1.0.2", NULL, false},
	{"one label, nobody there", "ns3", "web", "-", NULL, false},
	{"one label that is a host", "ns2", "single", "10.1.0.10", NULL, false},
	{"two labels", "ns2", "web.ns1", "10.1.0.1", NULL, false},
	{"three labels with svc", "ns2", "web.ns1.svc", "10.1.0.1", NULL, false},
	{"three labels without", "ns2", "web.ns1.foo", "-", NULL, false},
	{"four labels are no service", "ns2", "a.web.ns1.svc", "-", NULL, false},
	{"a namespace that is not", "ns1", "web.nsx", "-", NULL, false},
	{"namespace and service the wrong way round", "ns1", "ns1.web", "-", NULL, false},
	{"search domain of the namespace", "ns1", "web.ns1.svc.cluster.local.ns1.svc.cluster.local",
         "10.1.0.1", "web.ns1.svc.cluster.local", false},
	{"search domain svc.domain", "ns1", "web.ns2.svc.cluster.local.svc.cluster.local",
         "10.1.0.2", "web.ns2.svc.cluster.local", false},
	{"search domain domain", "ns1", "web.ns2.svc.cluster.local.cluster.local", "10.1.0.2",
         "web.ns2.svc.cluster.local", false},
	{"stripped, then a short form", "ns1", "web.ns2.ns1.svc.cluster.local", "10.1.0.2",
         "web.ns2", false},
	{"the search domain of another namespace", "ns1", "www.google.com.ns2.svc.cluster.local",
         "-", NULL, false},
	{"an external host", "ns1", "www.google.com", "10.1.0.9", NULL, false},
	{"an external host with search domain", "ns1", "www.google.com.ns1.svc.cluster.local",
         "10.1.0.9", "www.google.com", false},
	{"an external host with search domain, in capitals", "ns1",
         "WWW.Google.com.ns1.SVC.cluster.local", "10.1.0.9", "WWW.Google.com", false},
	{"an external host with the last search domain", "ns1", "www.google.com.cluster.local",
         "10.1.0.9", "www.google.com", false},
	{"wildcard", "ns1", "a.wild.example.com", "10.1.0.4", NULL, false},
	{"wildcard over several labels", "ns1", "d.c.a.wild.example.com", "10.1.0.4", NULL, false},
	{"the longest wildcard wins", "ns1", "a.b.wild.example.com", "10.1.0.5", NULL, false},
	{"an exact host before a wildcard", "ns1", "x.wild.example.com", "10.1.0.6", NULL, false},
	{"a wildcard is not its own suffix", "ns1", "wild.example.com", "-", NULL, false},
	{"wildcard after stripping makes no alias", "ns1",
         "a.wild.example.com.ns1.svc.cluster.local", "10.1.0.4", NULL, false},
	{"not visible", "ns1", "hidden.example.com", "-", NULL, false},
	{"visible in its namespace", "ns2", "hidden.example.com", "10.1.0.7", NULL, false},
	{"headless: healthy endpoints of our network", "ns1", "headless.ns1.svc.cluster.local",
         "10.2.0.1 10.2.0.2", NULL, false},
	{"headless, the other family", "ns1", "headless", "fd02::1", NULL, true},
	{"headless, restricted to IPv6", "ns1", "v4less", "", NULL, false},
	{"headless, restricted to IPv6, AAAA", "ns1", "v4less", "fd02::1", NULL, true},
	{"headless without endpoints", "ns1", "empty", "", NULL, false},
	{"no address and not of Kubernetes", "ns1", "novip.example.com", "-", NULL, false},
	{"only a range of addresses", "ns1", "cidr.example.com", "-", NULL, false},
	{"an address of another network", "ns1", "far.example.com", "", NULL, false},
	{"no address of that family", "ns1", "v6.example.com", "", NULL, false},
	{"no address of that family, AAAA", "ns1", "mixed.example.com", "", NULL, true},
	{"same host twice, own namespace", "ns4", "both.example.com", "10.3.0.4", NULL, false},
	{"same host twice, the first", "ns1", "both.example.com", "10.3.0.3", NULL, false},
	{"same host twice, canonical", "ns1", "canon.example.com", "10.3.1.4", NULL, false},
	{"own namespace before canonical", "ns3", "canon.example.com", "10.3.1.3", NULL, false},
	{"nobody", "ns1", "www.bing.com", "-", NULL, false},
	{"nobody, with search domain", "ns1", "www.bing.com.ns1.svc.cluster.local", "-", NULL,
         false},
	{"a search domain alone", "ns1", "ns1.svc.cluster.local", "-", NULL, false},
	{"the root", "ns1", ".", "-", NULL, false},
	{"a dot inside a label", "ns1", "web\\.ns1.svc.cluster.local", "-", NULL, false},
	{"an octet no host has", "ns1", "we\\000b", "-", NULL, false},
	{"a pod of a headless service", "ns1", "h1.headless.ns1.svc.cluster.local", "-", NULL,
         false},
};

struct bench {
	struct mesh *mesh;
	struct dns_zone zone;
	struct rand dice;
	struct ip addrs[DNS_ADDRS_MAX];
};

static struct bench *bench_new(const char *text)
{
	struct bench *b = mem_new(sizeof(*b));

	b->mesh = mesh_of(text);
	assert_int_equal(dns_zone_init(&b->zone, "Cluster.Local."), ERR_OK);
	b->zone.ipv6 = true;
	rand_init(&b->dice, 1);
	return b;
}

static void bench_free(struct bench *b)
{
	mesh_unref(b->mesh);
	free(b);
}

static int by_ip(const void *a, const void *b)
{
	return ip_cmp(a, b);
}

/* "-", or the addresses as text, sorted. */
static void ask(struct bench *b, const struct row *r, char *out, size_t out_len,
                struct dns_answer *ret_answer)
{
	struct dns_asker asker = {.mesh = b->mesh, .namespace = r->ns, .network = ""};
	struct dns_name name;
	char text[IP_TEXT_MAX];
	size_t n = 0;

	*ret_answer = (struct dns_answer){.addrs = b->addrs};
	assert_int_equal(dns_name_parse(span_str(r->name), &name), ERR_OK);
	if (dns_answer(&b->zone, &asker, &name, r->v6 ? DNS_TYPE_AAAA : DNS_TYPE_A, &b->dice,
	               ret_answer) == DNS_FORWARD) {
		(void)snprintf(out, out_len, "-");
		return;
	}
	qsort(b->addrs, ret_answer->addr_count, sizeof(b->addrs[0]), by_ip);
	out[0] = '\0';
	for (size_t i = 0; i < ret_answer->addr_count; i++)
		n += (size_t)snprintf(out + n, out_len - n, "%s%s", i > 0 ? " " : "",
		                      ip_format(&b->addrs[i], text));
}

static void check_row(struct bench *b, const struct row *r)
{
	char got[256], alias[DNS_TEXT_MAX] = "";
	struct dns_answer a;

	ask(b, r, got, sizeof(got), &a);
	if (strcmp(got, r->expected) != 0)
		fail_msg("%s: %s from %s gave \"%s\", not \"%s\"", r->what, r->name, r->ns, got,
		         r->expected);
	if (got[0] == '-')
		return;
	if (a.alias.len > 0)
		(void)dns_name_format(&a.alias, alias);
	if (strcmp(alias, r->alias != NULL ? r->alias : "") != 0)
		fail_msg("%s: alias \"%s\"", r->what, alias);
}

static void names_are_found_as_pods_write_them(void **state)
{
	struct bench *b = bench_new(world);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_row(b, &rows[i]);
	bench_free(b);
}

static void the_preferred_namespace_breaks_the_last_tie(void **state)
{
	struct bench *b = bench_new(world);

	(void)state;
	b->zone.prefered_namespace = "ns4";
	check_row(b,
	          &(struct row){"preferred", "ns1", "both.example.com", "10.3.0.4", NULL, false});
	b->zone.prefered_namespace = "ns3";
	check_row(b,
	          &(struct row){"canonical", "ns1", "canon.example.com", "10.3.1.4", NULL, false});
	bench_free(b);
}

static void without_ipv6_a_known_host_has_no_aaaa_and_an_unknown_one_is_forwarded(void **state)
{
	struct bench *b = bench_new(world);

	(void)state;
	b->zone.ipv6 = false;
	check_row(b, &(struct row){"known", "ns1", "web", "", NULL, true});
	check_row(b, &(struct row){"unknown", "ns1", "www.bing.com", "-", NULL, true});
	check_row(b, &(struct row){"IPv4", "ns1", "web", "10.1.0.1", NULL, false});
	bench_free(b);
}

static void search_domains_of_resolv_conf_replace_those_of_the_namespace(void **state)
{
	struct bench *b = bench_new(world);

	(void)state;
	assert_int_equal(dns_domain_parse(span_str("corp.example."), &b->zone.search[0]), ERR_OK);
	b->zone.search_count = 1;
	check_row(b, &(struct row){"theirs", "ns1", "www.google.com.corp.example", "10.1.0.9",
	                           "www.google.com", false});
	check_row(b, &(struct row){"ours", "ns1", "www.google.com.ns1.svc.cluster.local", "-", NULL,
	                           false});
	bench_free(b);
}

static void another_type_is_never_ours(void **state)
{
	struct bench *b = bench_new(world);
	struct dns_asker asker = {.mesh = b->mesh, .namespace = "ns1", .network = ""};
	struct dns_answer a = {.addrs = b->addrs};
	struct dns_name name;

	(void)state;
	assert_int_equal(dns_name_parse(span_str("web"), &name), ERR_OK);
	for (unsigned int type = 0; type < 300; type++) {
		if (type == DNS_TYPE_A || type == DNS_TYPE_AAAA)
			continue;
		assert_int_equal(dns_answer(&b->zone, &asker, &name, (uint16_t)type, &b->dice, &a),
		                 DNS_FORWARD);
	}
	bench_free(b);
}

static void network_of_the_client_chooses_among_addresses(void **state)
{
	struct bench *b = bench_new(world);
	struct dns_asker asker = {.mesh = b->mesh, .namespace = "ns1", .network = "net2"};
	struct dns_answer a = {.addrs = b->addrs};
	struct dns_name name;
	struct ip expected = ip_of("10.1.9.1");

	(void)state;
	assert_int_equal(dns_name_parse(span_str("web"), &name), ERR_OK);
	assert_int_equal(dns_answer(&b->zone, &asker, &name, DNS_TYPE_A, &b->dice, &a), DNS_LOCAL);
	assert_int_equal(a.addr_count, 1);
	assert_true(ip_eq(&b->addrs[0], &expected));
	bench_free(b);
}

/* A headless service of count pods 10.x.y.z. */
static struct bench *crowd(unsigned int count)
{
	struct buf text;
	struct bench *b;

	buf_init(&text, 1 << 20);
	buf_put_str(&text, "workloads:\n");
	for (unsigned int i = 0; i < count; i++)
		buf_printf(&text,
		           "- {uid: p%u, namespace: ns1, workloadIps: [10.0.%u.%u], services: "
		           "{ns1/crowd.ns1.svc.cluster.local: {}}}\n",
		           i, i / 256, i % 256);
	buf_put_str(&text, "services:\n- {name: crowd, namespace: ns1, hostname: "
	                   "crowd.ns1.svc.cluster.local, vips: [], ports: {80: 80}}\n");
	buf_put_u8(&text, 0);
	b = bench_new((const char *)text.p);
	buf_fini(&text);
	return b;
}

static void addresses_come_in_any_order_and_each_may_be_first(void **state)
{
	struct bench *b = crowd(4);
	struct dns_asker asker = {.mesh = b->mesh, .namespace = "ns1", .network = ""};
	struct dns_answer a = {.addrs = b->addrs};
	struct dns_name name;
	unsigned int first[4] = {0};

	(void)state;
	assert_int_equal(dns_name_parse(span_str("crowd"), &name), ERR_OK);
	for (unsigned int i = 0; i < 400; i++) {
		assert_int_equal(dns_answer(&b->zone, &asker, &name, DNS_TYPE_A, &b->dice, &a),
		                 DNS_LOCAL);
		assert_int_equal(a.addr_count, 4);
		first[b->addrs[0].bytes[3]]++;
	}
	for (unsigned int i = 0; i < 4; i++)
		assert_in_range(first[i], 60, 140);
	bench_free(b);
}

static void of_too_many_endpoints_a_lot_decides_and_none_is_given_twice(void **state)
{
	struct bench *b = crowd(DNS_ADDRS_MAX + 500);
	struct dns_asker asker = {.mesh = b->mesh, .namespace = "ns1", .network = ""};
	struct dns_answer a = {.addrs = b->addrs};
	struct dns_name name;
	bool late = false;

	(void)state;
	assert_int_equal(dns_name_parse(span_str("crowd"), &name), ERR_OK);
	assert_int_equal(dns_answer(&b->zone, &asker, &name, DNS_TYPE_A, &b->dice, &a), DNS_LOCAL);
	assert_int_equal(a.addr_count, DNS_ADDRS_MAX);
	qsort(b->addrs, a.addr_count, sizeof(b->addrs[0]), by_ip);
	for (size_t i = 0; i < a.addr_count; i++) {
		assert_true(i == 0 || !ip_eq(&b->addrs[i], &b->addrs[i - 1]));
		late = late || b->addrs[i].bytes[2] >= DNS_ADDRS_MAX / 256;
	}
	assert_true(late); /* those behind the limit have their chance */
	bench_free(b);
}

static void a_zone_needs_a_domain(void **state)
{
	struct dns_zone z;

	(void)state;
	assert_int_equal(dns_zone_init(&z, ""), ERR_PARSE);
	assert_int_equal(dns_zone_init(&z, "."), ERR_PARSE);
	assert_int_equal(dns_zone_init(&z, "a..b"), ERR_PARSE);
	assert_int_equal(dns_zone_init(&z, "mesh.example"), ERR_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_found_as_pods_write_them),
		cmocka_unit_test(the_preferred_namespace_breaks_the_last_tie),
		cmocka_unit_test(
			without_ipv6_a_known_host_has_no_aaaa_and_an_unknown_one_is_forwarded),
		cmocka_unit_test(search_domains_of_resolv_conf_replace_those_of_the_namespace),
		cmocka_unit_test(another_type_is_never_ours),
		cmocka_unit_test(network_of_the_client_chooses_among_addresses),
		cmocka_unit_test(addresses_come_in_any_order_and_each_may_be_first),
		cmocka_unit_test(of_too_many_endpoints_a_lot_decides_and_none_is_given_twice),
		cmocka_unit_test(a_zone_needs_a_domain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
