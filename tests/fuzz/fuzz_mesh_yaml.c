/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state file: whatever the octets, the loader refuses in printable words or gives a mesh that answers
 * questions, and whose staticConfig reads back to the same dump.
 */
#include <stdlib.h>

#include "common/base/check.h"
#include "common/mesh/authz.h"
#include "common/mesh/inbound_target.h"
#include "common/mesh/mesh_dump.h"
#include "common/mesh/mesh_yaml.h"
#include "common/mesh/next_hop.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUT_MAX = 4 * 1024 * 1024 };

/* With and without the indexes, which must not make a difference. */
static void judge(const struct mesh *m, const struct workload *w, const struct authz_facts *facts,
                  struct authz_answer *ret_answer)
{
	struct authz_answer plain;

	authz_check(m, w, facts, ret_answer);
	authz_check_plainly(m, w, facts, &plain);
	CHECK(plain.verdict == ret_answer->verdict && plain.policy == ret_answer->policy);
	CHECK(plain.rule == ret_answer->rule && plain.note_count == ret_answer->note_count);
}

static void ask(const struct mesh *m, const struct workload *w, const struct ip *ip)
{
	static const uint16_t own_ports[] = {15001, 15006, 15008};
	struct endpoint to = {.ip = *ip, .port = 80};
	struct next_hop_query q = {
		.mesh = m,
		.source = w,
		.client = to,
		.target = to,
		.network = w->network,
		.hbone_port = 15008,
		.own_ports = own_ports,
		.own_port_count = 3,
		.dice = w->pos.line,
	};
	struct inbound_query in = {.mesh = m, .local = w, .network = "", .local_ip = *ip, .ep = to};
	struct authz_facts facts = {.source_ip = *ip, .destination = to, .identity = w->identity};
	struct authz_answer answer;
	struct inbound_target target;
	struct next_hop hop;
	char words[AUTHZ_WORDS_MAX];

	next_hop_choose(&q, &hop);
	CHECK((hop.kind == NEXT_HOP_REFUSE) == (hop.cause != ERR_OK));
	CHECK((hop.kind == NEXT_HOP_HBONE) == (next_hop_identity_count(&hop) > 0));
	(void)next_hop_words(&hop, words);
	if (inbound_target_hbone(&in, &target) == ERR_OK)
		(void)inbound_target_service(&in, &target, "web");
	judge(m, w, &facts, &answer);
	facts.identity = NULL;
	judge(m, w, &facts, &answer);
	(void)authz_words(&answer, words);
	(void)authz_where(m, answer.policy, answer.rule, words);
}

static void ask_everything(const struct mesh *m)
{
	for (size_t i = 0; i < m->workload_count && i < 16; i++) {
		const struct workload *w = m->workloads[i];
		struct ip unknown = {.family = IP_V4, .bytes = {192, 0, 2, 1}};

		ask(m, w, &unknown);
		for (size_t k = 0; k < w->ip_count && k < 4; k++)
			ask(m, w, &w->ips[k]);
		for (size_t k = 0; k < m->service_count && k < 16; k++) {
			if (m->services[k]->vip_count > 0)
				ask(m, w, &m->services[k]->vips[0].prefix.ip);
		}
	}
}

static struct buf dump(const struct mesh *m, bool as_file)
{
	struct json_write w;
	struct buf out;

	buf_init(&out, OUT_MAX);
	json_write_init(&w, &out, false);
	if (as_file) {
		mesh_dump_static(m, &w);
	} else {
		json_object_open(&w);
		mesh_dump_members(m, &w);
		json_object_close(&w);
	}
	CHECK(json_write_complete(&w));
	return out;
}

static void read_back(const struct mesh *m)
{
	struct buf messages, file = dump(m, true), before = dump(m, false), after;
	struct mesh *again = NULL;

	buf_init(&messages, OUT_MAX);
	if (buf_status(&file) == ERR_OK && buf_status(&before) == ERR_OK) {
		CHECK(mesh_yaml_parse(buf_span(&file), "fuzz.yaml", &messages, &again) == ERR_OK);
		after = dump(again, false);
		CHECK(span_eq(buf_span(&before), buf_span(&after)));
		buf_fini(&after);
		mesh_unref(again);
	}
	buf_fini(&messages);
	buf_fini(&file);
	buf_fini(&before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mesh *m = NULL;
	struct buf messages;

	buf_init(&messages, OUT_MAX);
	if (mesh_yaml_parse(span_of(data, size), "fuzz.yaml", &messages, &m) == ERR_OK) {
		ask_everything(m);
		read_back(m);
		mesh_unref(m);
	} else {
		CHECK(messages.n > 0);
	}
	for (size_t i = 0; i < messages.n; i++)
		CHECK(messages.p[i] == '\n' || (messages.p[i] >= 0x20 && messages.p[i] < 0x7f));
	buf_fini(&messages);
	return 0;
}
