/* SPDX-License-Identifier: Apache-2.0 */
/*
 * socks_client - one SOCKS client, from its greeting until its destination is an address; and the word it is owed when
 * that cannot be reached. Contract 7.8, decision 62.
 */
#ifndef ZTUNNEL_PROXY_SOCKS_CLIENT_H
#define ZTUNNEL_PROXY_SOCKS_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/netaddr.h"
#include "common/codec/socks5_codec.h"
#include "common/dns/dns_resolver.h"
#include "common/io/loop.h"
#include "common/io/timer.h"

struct pod_socks;

struct socks_client {
	struct list link; /* the owner's */
	struct pod_socks *owner;
	struct endpoint src;
	int fd; /* -1: an outbound connection has it */
	struct socks5_reader reader;
	struct op rx;
	struct op_msg tx;
	struct iovec iov;
	uint8_t said[SOCKS5_REPLY_LEN];
	struct timer deadline, look;
	struct dns_lookup lookup;
	bool asked; /* its request is here */
	bool resolving;
	bool last;   /* what is being said is the last word */
	bool ending; /* ops are landing */
	struct loop_retired retired;
};

/* fd is taken on success. Errs: ERR_MEMORY, ERR_SYSTEM */
MUST_CHECK enum err socks_client_start(struct pod_socks *s, int fd);
/* End it now. */
void socks_client_cut(struct socks_client *c);

#endif
