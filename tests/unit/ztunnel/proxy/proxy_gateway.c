/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/ztunnel/proxy/proxy_gateway.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/hbone/hbone_server.h"
#include "common/relay/hbone_end.h"
#include "common/relay/relay.h"
#include "common/relay/socket_end.h"
#include "tests/sim/sim.h"
#include "tests/unit/ztunnel/proxy/proxy_lab.h"

enum { HANDSHAKE_MS = 10000 };

static struct {
	struct gateway_options opt;
	struct h2_events scratch;
	struct op accept;
	int listener;
	unsigned int open; /* tunnels and streams */
	bool stopping;
} gw;

struct gateway_tunnel {
	struct hbone_server server;
	struct loop_retired retired;
};

struct gateway_stream {
	struct hbone_end tunnel;
	struct socket_end socket;
	struct relay relay;
	struct op connect;
	int fd;
	bool broken; /* before the connect was over */
	struct loop_retired retired;
};

/* --- streams ----------------------------------------------------------------------------------- */

static void free_stream(struct loop_retired *r)
{
	free(container_of(r, struct gateway_stream, retired));
	gw.open--;
}

static void on_moved(struct relay *r, bool a_to_b, size_t n)
{
	(void)r;
	(void)a_to_b;
	(void)n;
}

static void on_done(struct relay *r, enum err cause)
{
	struct gateway_stream *s = container_of(r, struct gateway_stream, relay);

	(void)cause;
	loop_retire(gw.opt.loop, &s->retired, free_stream);
}

static const struct relay_owner relay_owner = {.moved = on_moved, .done = on_done};

static void on_broken(struct hbone_end *h, enum err cause)
{
	(void)cause;
	container_of(h, struct gateway_stream, tunnel)->broken = true;
}

static void on_connected(struct op *op)
{
	struct gateway_stream *s = container_of(op, struct gateway_stream, connect);

	if (op->res == 0 && !s->broken) {
		socket_end_init(&s->socket, gw.opt.loop, s->fd);
		relay_start(&s->relay, &s->tunnel.end, &s->socket.end, &relay_owner);
		return;
	}
	hbone_stream_reset(&s->tunnel.stream, err_info(ERR_DIAL)->h2_code);
	hbone_end_fini(&s->tunnel);
	loop_close(gw.opt.loop, s->fd);
	loop_retire(gw.opt.loop, &s->retired, free_stream);
}

static void on_request(struct hbone_server *server, int32_t id, const struct hbone_request *req)
{
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(&gw.opt.to, false, &ss);
	struct gateway_stream *s;

	assert_true(req->authority.is_name && !req->has_network);
	plab_safe++;
	s = mem_new(sizeof(*s));
	s->fd = sim_socket(gw.opt.loop);
	gw.open++;
	hbone_end_attach(&s->tunnel, gw.opt.loop, &server->conn.carrier, id, on_broken);
	assert_int_equal(hbone_server_grant(&s->tunnel.stream, NULL), ERR_OK);
	loop_connect(gw.opt.loop, &s->connect, s->fd, (struct sockaddr *)&ss, len, on_connected);
	plab_safe--;
}

/* --- tunnels ----------------------------------------------------------------------------------- */

static void on_ready(struct hbone_server *s)
{
	(void)s;
}

static void on_malformed(struct hbone_server *s, enum err cause)
{
	(void)s;
	fail_msg("a malformed request: %s", err_info(cause)->name);
}

static void on_ended(struct hbone_server *s, enum err cause)
{
	(void)s;
	(void)cause;
}

static void free_tunnel(struct loop_retired *r)
{
	free(container_of(r, struct gateway_tunnel, retired));
	gw.open--;
}

static void on_landed(struct hbone_server *s)
{
	hbone_server_fini(s);
	loop_retire(gw.opt.loop, &container_of(s, struct gateway_tunnel, server)->retired,
	            free_tunnel);
}

static const struct hbone_server_owner server_owner = {.ready = on_ready,
                                                       .request = on_request,
                                                       .malformed = on_malformed,
                                                       .ended = on_ended,
                                                       .landed = on_landed};

static void on_accepted(struct op *op)
{
	static const struct tls_expect anybody;
	struct hbone_server_setup setup = {.owner = &server_owner,
	                                   .options = &gw.opt.h2,
	                                   .scratch = &gw.scratch,
	                                   .handshake_ms = HANDSHAKE_MS};
	struct gateway_tunnel *t;

	if (op->res < 0)
		return;
	plab_safe++;
	t = mem_new(sizeof(*t));
	gw.open++;
	hbone_server_start(&t->server, gw.opt.loop, op->res,
	                   tls_session_new(gw.opt.config, TLS_SERVER, &anybody), &setup);
	plab_safe--;
	if (!op->pending && !gw.stopping)
		loop_accept(gw.opt.loop, op, gw.listener, on_accepted);
}

void gateway_start(const struct gateway_options *opt)
{
	memset(&gw, 0, sizeof(gw));
	gw.opt = *opt;
	h2_events_init(&gw.scratch);
	gw.listener = sim_listen(opt->loop, &opt->at, 0);
	loop_accept(opt->loop, &gw.accept, gw.listener, on_accepted);
}

void gateway_stop(void)
{
	gw.stopping = true;
	loop_cancel(gw.opt.loop, &gw.accept);
}

bool gateway_idle(void)
{
	return gw.open == 0 && !gw.accept.pending;
}

void gateway_fini(void)
{
	loop_close(gw.opt.loop, gw.listener);
	h2_events_fini(&gw.scratch);
}
