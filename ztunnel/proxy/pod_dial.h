/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pod_dial - a TCP connection made inside a pod's network namespace: asks the steward for the socket, connects it
 * within a deadline, and tries again with a fresh socket where a chosen source port turns out to be taken.
 */
#ifndef ZTUNNEL_PROXY_POD_DIAL_H
#define ZTUNNEL_PROXY_POD_DIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/netaddr.h"
#include "common/io/loop.h"
#include "common/io/timer.h"
#include "ztunnel/steward/steward.h"

struct pod_dial;
typedef void pod_dial_fn(struct pod_dial *d);

/* Embedded by the waiter; private but for the results, which are readable from done() on. */
struct pod_dial {
	int ret_fd; /* the waiter's when ret_err is ERR_OK */
	enum err ret_err;
	uint16_t
		ret_port; /* chosen source port, for spoof_ports_release after the connection; 0: none */
	const struct steward *steward;
	struct loop *loop;
	struct steward_socket_req req;
	struct op connect;
	struct timer deadline;
	pod_dial_fn *done;
	unsigned int tries;
	bool cancelled, expired, finished;
};

struct pod_dial_query {
	const struct steward *steward;
	const struct steward_pod *pod; /* borrowed until done, as is ports */
	enum steward_socket kind;
	struct endpoint to;
	struct ip client; /* SOCKET_APP: whom to appear as; IP_NONE: nobody */
	struct spoof_ports *ports;
	uint64_t timeout_ms;
};

/* done() runs once, from loop_turn(), never inside this call. Errs (ret_err): ERR_DIAL*, ERR_OVERLOAD, ERR_SYSTEM. */
void pod_dial_start(struct pod_dial *d, struct loop *loop, const struct pod_dial_query *q,
                    pod_dial_fn *done);
/* End early: done() follows soon with ERR_CANCELLED. Harmless when it is over. */
void pod_dial_cancel(struct pod_dial *d);

#endif
