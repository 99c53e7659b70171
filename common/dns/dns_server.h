/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_server - answers the DNS questions of one pod, over UDP and TCP, from the mesh or through a forwarder. Contract 9. Drives; one per pod
 * and worker.
 *
 * What bounds it: queries on their way (a flood is answered with nothing: the newest are dropped), TCP clients (the
 * longest idle one goes), octets of an answer not yet taken, 5 s for a TCP client that says nothing.
 */
#ifndef COMMON_DNS_DNS_SERVER_H
#define COMMON_DNS_DNS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/dns/dns_answer.h"
#include "common/dns/dns_ask.h"
#include "common/io/loop.h"
#include "common/telemetry/metrics.h"

struct dns_server;

enum {
	DNS_QUERIES_MAX = 512,    /* of one server: at 4 ms each some hundred thousand a second */
	DNS_QUERY_LEN_MAX = 4096, /* octets: questions are short, and reading one must be */
	DNS_TCP_CLIENTS_MAX = 32, /* of one server */
	DNS_PIPELINE_MAX = 8,     /* queries of one TCP client; more wait unread */
	DNS_TCP_IDLE_MS = 5000,   /* contract 9.1 */
	DNS_WHO_WAIT_MS = 5000,   /* for the mesh to know the pod, contract 9.1 */
};

/*
 * Whose questions these are: the workload of the pod in the newest mesh. Called for each query, the answer is used at once and
 * not kept. false: the pod is not known (yet).
 */
typedef bool dns_who_fn(void *arg, struct dns_asker *ret_asker,
                        const struct workload **ret_workload);
/* dns_server_stop has ended. */
typedef void dns_stopped_fn(void *arg);

struct dns_server_options {
	int udp_fd; /* taken; -1: none. With IP_RECVORIGDSTADDR and IPV6_RECVORIGDSTADDR when raw_fd are used */
	int tcp_fd; /* taken; -1: none. Listens */
	/*
	 * Raw sockets (IPPROTO_RAW) for IPv4 and IPv6, taken, or -1: answers over UDP leave through them with the address that was
	 * asked as their source. Without them answers leave through udp_fd.
	 */
	int raw_fd[2];
	const struct dns_zone *zone; /* borrowed until stopped, as all below */
	struct dns_forwarder
		*forwarder;            /* NULL: what would be forwarded is answered with SERVFAIL */
	struct metrics_shard *metrics; /* NULL: nothing is counted */
	dns_who_fn *who;
	dns_stopped_fn *stopped;
	void *arg;              /* of who and stopped */
	uint64_t seed;          /* of the dice that shuffle; 0: from the system */
	size_t queries_max;     /* 0: DNS_QUERIES_MAX */
	size_t tcp_clients_max; /* 0: DNS_TCP_CLIENTS_MAX */
};

struct dns_server *dns_server_new(struct loop *loop, const struct dns_server_options *opt);
/*
 * Take no new questions; those on their way are answered as long as grace_ms lasts, 0: not at all. stopped() runs from the loop when the
 * last op has landed and all is freed. Calling again may only shorten.
 */
void dns_server_stop(struct dns_server *s, uint64_t grace_ms);
/* Queries on their way: for tests and drains. */
size_t dns_server_pending(const struct dns_server *s);

#endif
