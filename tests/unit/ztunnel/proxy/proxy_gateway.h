/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_gateway - the gateway of another network, for tests: ends outer tunnels and passes the bytes of each stream on to
 * one address.
 */
#ifndef TESTS_UNIT_ZTUNNEL_PROXY_PROXY_GATEWAY_H
#define TESTS_UNIT_ZTUNNEL_PROXY_PROXY_GATEWAY_H

#include "common/base/netaddr.h"
#include "common/h2/h2_session.h"
#include "common/io/loop.h"
#include "common/tls/tls_config.h"

/* All borrowed until gateway_stop. */
struct gateway_options {
	struct loop *loop;
	struct tls_config *config;
	struct endpoint at, to;
	struct h2_options h2;
};

void gateway_start(const struct gateway_options *opt);
/* Takes no more. What is open ends as its two sides do; gateway_idle says when, and then gateway_fini. */
void gateway_stop(void);
bool gateway_idle(void);
void gateway_fini(void);

#endif
