/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_tcp_conn - one TCP client of a dns_server: pipelined questions, each with two octets of length in front. RFC 7766. Drives.
 *
 * What it holds is bounded: one question being read, DNS_PIPELINE_MAX on their way; with that many nothing is read. Answers leave in the
 * order they are ready. It ends when the client has, when nothing went either way for DNS_TCP_IDLE_MS, or at nonsense.
 */
#ifndef COMMON_DNS_DNS_TCP_CONN_H
#define COMMON_DNS_DNS_TCP_CONN_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/list.h"
#include "common/dns/dns_query_end.h"
#include "common/io/loop.h"

struct dns_tcp_conn;

/* Whom it belongs to. */
struct dns_tcp_owner {
	/* May another question begin? One that may counts until query_ends(). */
	bool (*query_begins)(struct dns_tcp_owner *o);
	void (*query_ends)(struct dns_tcp_owner *o);
	/* Run e again until it is not parked any more; then, if it is done, call its done(). */
	void (*park)(struct dns_tcp_owner *o, struct dns_query_end *e);
	/* It is gone but for its memory. Never inside dns_tcp_conn_new. */
	void (*conn_ended)(struct dns_tcp_owner *o, struct dns_tcp_conn *c);
	struct dns_judge *judge;
};

/* fd is taken. NULL: out of memory, and fd is closed. */
struct dns_tcp_conn *dns_tcp_conn_new(struct dns_tcp_owner *owner, int fd);
struct list *dns_tcp_conn_link(struct dns_tcp_conn *c); /* for the owner's list */
struct dns_tcp_conn *dns_tcp_conn_of(struct list *link);
bool dns_tcp_conn_idle(const struct dns_tcp_conn *c); /* nothing on its way */
/* Read no more; end when what is on its way has been answered. */
void dns_tcp_conn_drain(struct dns_tcp_conn *c);
void dns_tcp_conn_abort(struct dns_tcp_conn *c);

#endif
