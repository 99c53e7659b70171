/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/proxy/pod_dial.h"

#include <errno.h>

#include "common/base/check.h"

static void ask_socket(struct pod_dial *d);

static void give_port_back(struct pod_dial *d)
{
	struct endpoint from = {.ip = d->req.client, .port = d->ret_port};

	if (d->ret_port != 0)
		spoof_ports_release(d->req.ports, &from, d->req.dst.port);
	d->ret_port = 0;
}

static void finish(struct pod_dial *d, enum err cause)
{
	CHECK(!d->finished);
	d->finished = true;
	timer_disarm(&d->deadline);
	if (cause != ERR_OK) {
		if (d->ret_fd >= 0)
			loop_reset_close(d->loop, d->ret_fd); /* it may just have connected */
		d->ret_fd = -1;
		give_port_back(d);
	}
	d->ret_err = cause;
	d->done(d);
}

static enum err given_up(const struct pod_dial *d)
{
	if (d->cancelled)
		return ERR_CANCELLED;
	return d->expired ? ERR_DIAL_TIMEOUT : ERR_OK;
}

/* The port we chose met a connection in TIME_WAIT: a fresh socket gets another one. */
static bool port_collided(const struct pod_dial *d, int errnum)
{
	return d->ret_port != 0 && (errnum == EADDRNOTAVAIL || errnum == EADDRINUSE) &&
	       d->tries < SPOOF_TRIES_MAX;
}

static void on_connected(struct op *op)
{
	struct pod_dial *d = container_of(op, struct pod_dial, connect);
	enum err up = given_up(d);

	if (op->res == 0) {
		finish(d, d->cancelled ? ERR_CANCELLED : ERR_OK);
	} else if (up != ERR_OK) {
		finish(d, up);
	} else if (port_collided(d, -op->res)) {
		loop_close(d->loop, d->ret_fd);
		d->ret_fd = -1;
		give_port_back(d);
		ask_socket(d);
	} else {
		finish(d, err_of_connect(-op->res));
	}
}

static void on_socket(struct op *op)
{
	struct pod_dial *d = container_of(op, struct pod_dial, req.op);
	enum err up = given_up(d);
	struct sockaddr_storage ss;
	socklen_t len;

	if (d->req.ret_err != ERR_OK) {
		finish(d, d->req.ret_err);
		return;
	}
	d->ret_fd = d->req.ret_fd;
	d->ret_port = d->req.ret_port;
	if (up != ERR_OK) {
		finish(d, up);
		return;
	}
	len = endpoint_to_sockaddr(&d->req.dst, false, &ss);
	loop_connect(d->loop, &d->connect, d->ret_fd, (struct sockaddr *)&ss, len, on_connected);
}

static void ask_socket(struct pod_dial *d)
{
	d->tries++;
	steward_socket(d->steward, d->loop, &d->req, on_socket);
}

static void on_deadline(struct timer *t)
{
	struct pod_dial *d = container_of(t, struct pod_dial, deadline);

	d->expired = true;
	loop_cancel(d->loop, &d->connect);
}

void pod_dial_start(struct pod_dial *d, struct loop *loop, const struct pod_dial_query *q,
                    pod_dial_fn *done)
{
	*d = (struct pod_dial){.ret_fd = -1, .steward = q->steward, .loop = loop, .done = done};
	d->req.kind = q->kind;
	d->req.pod = q->pod;
	d->req.dst = q->to;
	d->req.client = q->client;
	d->req.ports = q->ports;
	timer_init(&d->deadline, on_deadline);
	timer_arm(loop, &d->deadline, q->timeout_ms);
	ask_socket(d);
}

void pod_dial_cancel(struct pod_dial *d)
{
	if (d->done == NULL || d->finished)
		return;
	d->cancelled = true;
	loop_cancel(d->loop, &d->connect);
}
