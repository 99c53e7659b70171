/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop_suite - what common/io/loop.h promises, as tests every implementation has to pass.
 */
#ifndef TESTS_UNIT_COMMON_IO_LOOP_SUITE_H
#define TESTS_UNIT_COMMON_IO_LOOP_SUITE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/netaddr.h"
#include "common/io/loop.h"

/* How the tests make sockets and reach the far ends of them, for one implementation. Results as in sim.h. */
struct bed {
	const char *name;
	struct loop *(*new_loop)(const struct loop_options *opt);
	void (*pair)(struct loop *loop, int ret_fds[2]);
	int (*listen)(struct loop *loop, struct endpoint *ret_ep);
	int (*socket)(struct loop *loop);
	int (*udp)(struct loop *loop,
	           struct endpoint *ret_ep); /* it hears where datagrams were sent to */
	/* Where a connect waits for an answer that does not come. What has to be closed afterwards goes to ret_fds. */
	void (*dead_end)(struct loop *loop, struct endpoint *ret_ep, int ret_fds[2]);
	ssize_t (*write)(struct loop *loop, int fd, const void *mem, size_t n);
	ssize_t (*read)(struct loop *loop, int fd, void *mem, size_t n);
};

/* Runs all; returns how many failed. */
int loop_suite_run(const struct bed *bed);
/* The part about datagrams. */
int dgram_suite_run(const struct bed *bed);

#endif
