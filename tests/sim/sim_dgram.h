/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_dgram - UDP in memory: sockets at an address, datagrams whole or not at all, a bounded queue that drops. Private to
 * tests/sim; knows nothing of loops, time or dice.
 */
#ifndef TESTS_SIM_SIM_DGRAM_H
#define TESTS_SIM_SIM_DGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/base/netaddr.h"
#include "common/base/span.h"

struct sim_dgram_socket;

enum {
	SIM_DGRAM_FD_FIRST = 1 << 24, /* apart from those of sim_socket */
	SIM_DGRAM_QUEUE_MAX = 1024,   /* datagrams a socket holds; more are lost */
};

struct sim_dgrams {
	struct sim_dgram_socket **sockets; /* by fd - SIM_DGRAM_FD_FIRST; NULL once closed */
	size_t count;
	size_t cap;
	size_t open_count;
	uint16_t next_port;
};

struct sim_dgram_way {
	struct endpoint from, to;
	bool cut;
};

static inline bool sim_dgram_is(int fd)
{
	return fd >= SIM_DGRAM_FD_FIRST;
}

void sim_dgrams_fini(struct sim_dgrams *net);
/* ep: where it is bound to; of IP_NONE: an address of its own. catch_all: it also gets what nobody else is bound to. */
int sim_dgram_socket(struct sim_dgrams *net, const struct endpoint *ep, bool catch_all);
/* A datagram's octets: a longer one is cut. -EAGAIN. */
ssize_t sim_dgram_recv(struct sim_dgrams *net, int fd, void *mem, size_t n,
                       struct sim_dgram_way *ret_way);
/* from NULL: the socket's own address. Lost when nobody is there. */
ssize_t sim_dgram_send(struct sim_dgrams *net, int fd, const struct endpoint *from,
                       const struct endpoint *to, struct span mem);
bool sim_dgram_readable(const struct sim_dgrams *net, int fd);
void sim_dgram_close(struct sim_dgrams *net, int fd);

#endif
