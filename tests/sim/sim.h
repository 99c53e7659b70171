/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim - a loop without a kernel: sockets in memory, a clock that moves only when nothing else can, and completions
 * in any legal order, cut into any legal pieces, as the seed decides. The same seed gives the same run.
 *
 * The loop is driven with sim_turn (or loop_turn) and behaves as common/io/loop.h says. The far ends of the
 * sockets can be other code under test on the same loop, or the test itself through sim_read and sim_write.
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/netaddr.h"
#include "common/io/loop.h"

struct sim_options {
	uint64_t seed;
	size_t socket_bytes;     /* what one direction of a connection holds; 0: 65536 */
	size_t iobuf_bytes_max;  /* the loop's buffer budget; 0: 64 MiB */
	uint64_t start_ms;       /* loop_now_ms at the start; 0: 1000 */
	uint64_t connect_ms_max; /* a connect takes 0..this, by seed */
	unsigned int
		enobufs_of_1000; /* how many of 1000 provided-buffer receives fail with -ENOBUFS */
	/* how many of 1000 accepts fail with -EMFILE, -ENFILE, -ENOBUFS or -ENOMEM; the connection goes on waiting */
	unsigned int no_accept_of_1000;
	bool whole; /* no cutting: reads and writes are as long as they can be */
	bool eager; /* everything ready completes in the same turn, oldest first */
};

enum {
	SIM_FD_FIRST =
		1 << 20, /* no real descriptor is that large: close(2) by mistake closes nothing */
	SIM_TIMEOUT_MS =
		127000, /* until a connect into a black hole fails, as Linux does by default */
};

/* opt may be NULL. Free with loop_free(). */
struct loop *sim_new(const struct sim_options *opt);

/* One turn. false when nothing was ready, no timer is armed and nothing is queued: nothing will ever happen. */
bool sim_turn(struct loop *loop);
/* Turns until nothing happens any more, at most turns_max of them; false when that was not enough. */
bool sim_settle(struct loop *loop, unsigned int turns_max);
/* Move the clock; timers run in the next turn. */
void sim_advance(struct loop *loop, uint64_t ms);

/* Two connected sockets. */
void sim_pair(struct loop *loop, int ret_fds[2]);
/* A socket to give to loop_connect. */
int sim_socket(struct loop *loop);
/* A listening socket. Connects to another address are refused. backlog 0: 128; beyond it connects wait. */
int sim_listen(struct loop *loop, const struct endpoint *ep, unsigned int backlog);
/* Connects to ep are never answered. */
void sim_black_hole(struct loop *loop, const struct endpoint *ep);

/*
 * The test's own hands on a socket, at once and uncut: bytes, 0 for end of stream (read), or -EAGAIN, -EPIPE,
 * -ECONNRESET. Use loop_shutdown, loop_close and loop_reset_close for the rest; the latter two end with the turn.
 */
ssize_t sim_write(struct loop *loop, int fd, const void *mem, size_t n);
ssize_t sim_read(struct loop *loop, int fd, void *mem, size_t n);
/* A connection of a listener, or -EAGAIN. */
int sim_accept(struct loop *loop, int fd);

/*
 * A UDP socket at ep; NULL: at an address of its own. catch_all: it also receives what is sent to addresses nobody
 * has, as a captured pod's listener does. No datagram is lost but to a full queue.
 */
int sim_udp(struct loop *loop, const struct endpoint *ep, bool catch_all);
/* The test's own hands: at once. from NULL: the socket's own address. recv gives -EAGAIN when there is nothing. */
ssize_t sim_udp_send(struct loop *loop, int fd, const struct endpoint *from,
                     const struct endpoint *to, const void *mem, size_t n);
ssize_t sim_udp_recv(struct loop *loop, int fd, void *mem, size_t n, struct endpoint *ret_from);

/* Who a socket is connected to, or comes from: false when it is not connected. */
bool sim_peer(struct loop *loop, int fd, struct endpoint *ret_ep);
/* Its own end; of an unconnected socket the one it will connect from. */
struct endpoint sim_local(struct loop *loop, int fd);
/* Sockets not closed. A test of teardown ends with 0. */
size_t sim_open_sockets(const struct loop *loop);

#endif
