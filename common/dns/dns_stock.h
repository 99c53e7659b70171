/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_stock - sockets made ahead of need: c-ares wants one at once, while one inside a pod takes a request. Drives.
 */
#ifndef COMMON_DNS_DNS_STOCK_H
#define COMMON_DNS_DNS_STOCK_H

#include <stdbool.h>

#include "common/dns/dns_upstream.h"
#include "common/dns/resolv_conf.h"
#include "common/io/loop.h"

struct dns_stock;

/* Runs from the loop whenever the stock became full, or a socket could not be made. */
typedef void dns_stock_fn(void *arg);

struct dns_stock *dns_stock_new(struct loop *loop, struct dns_sockets *sockets,
                                dns_stock_fn *changed, void *arg);
/* One UDP and one TCP socket for every nameserver of conf, from now on. */
void dns_stock_fill(struct dns_stock *s, const struct resolv_conf *conf);
/* Close what is there, and make no more until the next dns_stock_fill. */
void dns_stock_empty(struct dns_stock *s);
/* Nothing is being made: what is here is all there will be for now. */
bool dns_stock_settled(const struct dns_stock *s);
/* A descriptor, the caller's, or -1; more are made to fill its place. */
int dns_stock_take(struct dns_stock *s, int family, int type);
/* changed() runs no more; frees itself when its last op has landed. */
void dns_stock_free(struct dns_stock *s);

#endif
