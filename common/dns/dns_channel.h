/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_channel - c-ares on our loop: whole queries to a fixed set of nameservers. Drives.
 */
#ifndef COMMON_DNS_DNS_CHANNEL_H
#define COMMON_DNS_DNS_CHANNEL_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/span.h"
#include "common/dns/dns_msg.h"
#include "common/dns/dns_stock.h"
#include "common/dns/resolv_conf.h"
#include "common/io/loop.h"

struct dns_channel;

struct dns_channel_answer {
	struct span msg; /* good inside the call; its id is not the query's. n 0: none */
	enum dns_rcode
		rcode; /* without msg and with ERR_OK: what the nameservers said, all of them */
	enum err err; /* ERR_DNS nobody answered, ERR_CANCELLED the channel was freed, ERR_MEMORY */
	bool starved; /* a socket was wanted that the stock did not have: worth another try */
};
/* May run inside dns_channel_send and dns_channel_free. */
typedef void dns_channel_fn(void *arg, const struct dns_channel_answer *answer);

/* port 0: 53. NULL: out of memory. stock: borrowed until the end. */
struct dns_channel *dns_channel_new(struct loop *loop, const struct resolv_conf *conf,
                                    uint16_t port, struct dns_stock *stock);
/* query is copied. fn runs once. */
void dns_channel_send(struct dns_channel *c, struct span query, dns_channel_fn *fn, void *arg);
/* Queries without an answer. */
size_t dns_channel_busy(const struct dns_channel *c);
/* Not from inside a dns_channel_fn. Sockets close as their ops land. */
void dns_channel_free(struct dns_channel *c);

#endif
