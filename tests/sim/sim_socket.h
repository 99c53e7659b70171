/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_socket - TCP as two sockets see it, in memory: bounded buffers, half-close, resets, listeners. Private to
 * tests/sim; knows nothing of loops, time or dice.
 */
#ifndef TESTS_SIM_SIM_SOCKET_H
#define TESTS_SIM_SIM_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/base/netaddr.h"

struct sim_socket;

enum { SIM_BLACK_HOLES_MAX = 8 };

struct sim_net {
	struct sim_socket *
		*sockets; /* by fd - SIM_FD_FIRST; NULL once closed: numbers are not used again */
	size_t count;
	size_t cap;
	size_t open_count; /* sockets somebody has a descriptor of */
	size_t bytes_max;  /* of one direction */
	uint16_t next_port;
	struct endpoint black_holes[SIM_BLACK_HOLES_MAX];
	size_t black_hole_count;
};

void sim_net_init(struct sim_net *net, size_t bytes_max);
void sim_net_fini(struct sim_net *net);

int sim_net_socket(struct sim_net *net);
void sim_net_pair(struct sim_net *net, int ret_fds[2]);
int sim_net_listen(struct sim_net *net, const struct endpoint *ep, unsigned int backlog);
void sim_net_black_hole(struct sim_net *net, const struct endpoint *ep);
bool sim_net_is_black_hole(const struct sim_net *net, const struct endpoint *ep);
/* 0, -ECONNREFUSED, -EISCONN, or -EAGAIN while the backlog is full. */
int sim_net_connect(struct sim_net *net, int fd, const struct endpoint *to);
/* A descriptor, -EAGAIN, or -EINVAL when fd does not listen. */
int sim_net_accept(struct sim_net *net, int fd);

/* Octets that can be read; 0 also at the end of the stream. */
size_t sim_net_readable(const struct sim_net *net, int fd);
/* Octets, 0 at the end, -EAGAIN, -ECONNRESET once, -ENOTCONN. With n 0: what a read would say, without data. */
ssize_t sim_net_read(struct sim_net *net, int fd, void *mem, size_t n);
/* Room for octets, 0 when full, -EPIPE or -ECONNRESET. */
ssize_t sim_net_writable(struct sim_net *net, int fd);
/* n is not more than sim_net_writable() said. Returns n. */
ssize_t sim_net_write(struct sim_net *net, int fd, const void *mem, size_t n);
/* poll(2) events that hold now. */
short sim_net_poll(const struct sim_net *net, int fd);

void sim_net_shutdown(struct sim_net *net, int fd, int how);
/* As Linux: unread data turns an orderly end into a reset. */
void sim_net_close(struct sim_net *net, int fd, bool reset);
bool sim_net_peer(const struct sim_net *net, int fd, struct endpoint *ret_ep);
struct endpoint sim_net_local(const struct sim_net *net, int fd);

#endif
