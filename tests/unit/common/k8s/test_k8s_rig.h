/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_k8s_rig - a k8s_client with one watch, and an API server that does as a script says, on one simulated loop.
 */
#ifndef TESTS_UNIT_COMMON_K8S_TEST_K8S_RIG_H
#define TESTS_UNIT_COMMON_K8S_TEST_K8S_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/k8s/k8s_client.h"
#include "tests/sim/sim.h"
#include "tests/unit/common/tls/test_pki.h"

#define HOST "kubernetes.default.svc"
#define POD(name, rv) \
	"{\"kind\":\"Pod\",\"metadata\":{\"name\":\"" name "\",\"resourceVersion\":\"" rv "\"}}"
#define LIST(rv, more, items)                                                     \
	"{\"kind\":\"PodList\",\"metadata\":{\"resourceVersion\":\"" rv "\"" more \
	"},\"items\":[" items "]}"
#define EVENT(type, object) "{\"type\":\"" type "\",\"object\":" object "}\n"
#define SELECTOR            "fieldSelector=spec.nodeName%3Dn"

enum {
	SEEDS = 12,
	TURNS_MAX = 400000,
	CONNS_MAX = 64,
	REQUESTS_MAX = 128,
	HANDSHAKE_MS = 10000,
	BIG = 200 * 1024,
	HOUR_MS = 3600 * 1000,
};

struct fixture;

struct conn {
	struct h2_conn h2;
	struct fixture *f;
	bool up, landed;
};

/* A request as the server got it. */
struct request {
	struct conn *conn;
	int32_t id;
	char method[8], path[512], token[64], type[48];
	size_t body_n;
	uint64_t at_ms;
	bool whole, reset;
};

typedef void script_fn(struct fixture *f, struct request *r);

struct fixture {
	struct loop *loop;
	struct h2_events scratch;
	struct k8s_config config;
	struct k8s_client client;
	struct k8s_watch pods;
	struct dns_forwarder nameserver;
	struct dns_resolver *resolver;
	struct list asks;
	bool nameless; /* the name server says nothing */
	unsigned int asked;
	struct tls_config *tls;
	int listener;
	script_fn *script;
	struct conn conn[CONNS_MAX];
	struct request request[REQUESTS_MAX];
	unsigned int conns, requests, live, opened, connected, disconnected, failed, landed;
	enum err cause;
	char why[K8S_CONFIG_WHY_MAX], failure[K8S_WHY_MAX], told[2048], body[BIG];
	bool watched;
};

struct call {
	struct k8s_call call;
	unsigned int answered;
	struct k8s_answer answer;
	char body[256];
};

extern struct test_pki rig_root, rig_stranger;
/* Good; of a root nobody told us about; of another name. */
extern struct tls_config *rig_server_tls, *rig_stranger_tls, *rig_misnamed_tls;
extern const struct endpoint rig_where;

/* Group fixtures. */
int rig_set_up(void **state);
int rig_tear_down(void **state);
/* token or ca.crt. */
void rig_put_file(const char *name, struct span text);

struct fixture *rig_start(uint64_t seed, script_fn *script, bool listening);
void rig_finish(struct fixture *f);
void rig_step(struct fixture *f);
void rig_run_ms(struct fixture *f, uint64_t ms);
void rig_listen(struct fixture *f);
/* Before the first step: the server is known by its name alone. */
void rig_by_name(struct fixture *f);

/* The server's hands. */
void rig_begin(struct request *r, const char *status, const char *retry_after);
void rig_say(struct request *r, const char *text);
void rig_end(struct request *r);
void rig_reply(struct request *r, const char *status, const char *retry_after, const char *body);
bool rig_is_watch(const struct request *r);
/* A list of one, then a watch that stays. */
void rig_well_behaved(struct fixture *f, struct request *r);
struct request *rig_last(struct fixture *f);

enum err rig_call(struct fixture *f, struct call *x, enum k8s_verb verb, const char *body);

#define UNTIL(f, cond)                                                                 \
	do {                                                                           \
		for (unsigned int i_ = 0; i_ < TURNS_MAX && !(cond); i_++)             \
			rig_step(f);                                                   \
		if (!(cond))                                                           \
			fail_msg("never: %s (%s; %s)", #cond, (f)->why, (f)->failure); \
	} while (0)

#define FOR_SEEDS(seed) for (uint64_t seed = 1; seed <= SEEDS; seed++)

#endif
