/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a change of policies costs a worker with many live connections: how long the loop is kept from others at a time,
 * and how much it takes in all. Orientation only: run it twice.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/mesh/authz.h"
#include "common/mesh/mesh_table.h"
#include "common/mesh/mesh_yaml.h"
#include "ztunnel/proxy/live_table.h"

enum { CONNECTIONS = 50000, PEERS = 500 };

struct conn {
	struct live live;
	const struct mesh *mesh;
	char *identity;
	unsigned int denied;
};

static void on_judge(struct live *l)
{
	struct conn *c = container_of(l, struct conn, live);
	struct local_workload_key key = {"demo", "server", "server", ""};
	struct authz_facts facts = {
		.source_ip = l->src.ip, .destination = l->actual_dst, .identity = c->identity};
	struct authz_answer a;

	authz_check(c->mesh, mesh_local_workload(c->mesh, &key), &facts, &a);
	c->denied += a.verdict == AUTHZ_DENY;
}

/* Each policy denies ten principals nobody has, at a port. */
static struct mesh *make_mesh(unsigned int policies)
{
	struct mesh *m = NULL;
	struct buf text, messages;

	buf_init(&text, 64 << 20);
	buf_init(&messages, 1 << 20);
	buf_put_str(&text, "workloads:\n- {uid: s, name: server, namespace: demo, serviceAccount: "
	                   "server, workloadIps: [10.0.0.2], services: {}}\nservices: []\n");
	buf_put_str(&text, policies == 0 ? "policies: []\n" : "policies:\n");
	for (unsigned int i = 0; i < policies; i++) {
		buf_printf(&text,
		           "- {name: p%u, namespace: demo, scope: Namespace, action: Deny, "
		           "rules: [[[{destinationPorts: [8080], principals: [",
		           i);
		for (unsigned int k = 0; k < 10; k++)
			buf_printf(&text, "%s{Exact: cluster.local/ns/other/sa/p%u-%u}",
			           k == 0 ? "" : ", ", i, k);
		buf_put_str(&text, "]}]]]}\n");
	}
	CHECK(mesh_yaml_parse(buf_span(&text), "bench", &messages, &m) == ERR_OK);
	buf_fini(&text);
	buf_fini(&messages);
	return m;
}

static void measure(struct live_table *t, struct conn *conns, unsigned int policies)
{
	struct mesh *m = make_mesh(policies);
	uint64_t all = 0, longest = 0, parts = 0;
	bool more = true;

	for (size_t i = 0; i < CONNECTIONS; i++)
		conns[i].mesh = m;
	live_judge_begin(t);
	while (more) {
		uint64_t start = clock_thread_ns(), took;

		more = live_judge_some(t);
		took = clock_thread_ns() - start;
		all += took;
		longest = took > longest ? took : longest;
		parts++;
	}
	printf("%10u %10llu %14.1f %14.1f %12.1f\n", policies, (unsigned long long)parts,
	       (double)all / 1e3 / (double)parts, (double)longest / 1e3, (double)all / 1e6);
	mesh_unref(m);
}

int main(void)
{
	static const unsigned int policies[] = {0, 1, 10, 100, 1000};
	struct conn *conns = mem_new(CONNECTIONS * sizeof(*conns));
	struct live_table t;

	live_table_init(&t);
	for (size_t i = 0; i < CONNECTIONS; i++) {
		struct conn *c = &conns[i];

		CHECK(asprintf(&c->identity, "spiffe://cluster.local/ns/demo/sa/client-%zu",
		               i % PEERS) > 0);
		c->live.judge = on_judge;
		c->live.actual_dst.port = 8080;
		c->live.src.ip = (struct ip){.family = IP_V4, .bytes = {10, 1, (uint8_t)i, 1}};
		live_add(&t, &c->live);
	}
	printf("%d live connections, judged %d at a time\n", CONNECTIONS, LIVE_JUDGED_MAX);
	printf("%10s %10s %14s %14s %12s\n", "policies", "parts", "us per part", "us, longest",
	       "ms in all");
	for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++)
		measure(&t, conns, policies[i]);
	for (size_t i = 0; i < CONNECTIONS; i++) {
		live_remove(&t, &conns[i].live);
		free(conns[i].identity);
	}
	live_table_fini(&t);
	free(conns);
	return 0;
}
