/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/common/hbone/hbone_lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "tests/unit/common/tls/test_pki.h"

#define CAROL "spiffe://cluster.local/ns/demo/sa/carol"

const char *const lab_bob = TEST_BOB;

struct tls_config *lab_alice(void)
{
	return test_alice;
}

int lab_set_up(void **state)
{
	return test_two_set_up(state);
}

int lab_tear_down(void **state)
{
	return test_two_tear_down(state);
}

/* --- the servers ------------------------------------------------------------------------------ */

static struct lab_peer *peer_of(struct hbone_server *s)
{
	return container_of(s, struct lab_peer, server);
}

static void on_ready(struct hbone_server *s)
{
	assert_int_equal(peer_of(s)->ready++, 0);
	assert_string_equal(hbone_server_peer(s), TEST_ALICE);
}

static void on_request(struct hbone_server *s, int32_t id, const struct hbone_request *req)
{
	struct lab_peer *p = peer_of(s);

	assert_int_equal(p->ended, 0);
	p->lab->request(p, id, req);
}

static void on_malformed(struct hbone_server *s, enum err cause)
{
	(void)cause;
	peer_of(s)->malformed++;
}

static void on_ended(struct hbone_server *s, enum err cause)
{
	struct lab_peer *p = peer_of(s);

	assert_int_equal(p->ended++, 0);
	assert_int_equal(s->conn.carrier.count, 0);
	p->cause = cause;
	p->lab->peer_cause = cause;
}

static void free_peer(struct loop_retired *r)
{
	free(container_of(r, struct lab_peer, retired));
}

static void on_landed(struct hbone_server *s)
{
	struct lab_peer *p = peer_of(s);

	assert_int_equal(p->ended, 1);
	hbone_server_fini(s);
	list_remove(&p->link);
	p->lab->peers_over++;
	loop_retire(p->lab->loop, &p->retired, free_peer);
}

static const struct hbone_server_owner server_owner = {
	.ready = on_ready,
	.request = on_request,
	.malformed = on_malformed,
	.ended = on_ended,
	.landed = on_landed,
};

void lab_serve(struct lab *l, int fd, void *arg)
{
	const struct tls_expect anybody = {.identity_count = 0};
	struct hbone_server_setup setup = {.owner = &server_owner,
	                                   .options = &l->server_h2,
	                                   .scratch = &l->scratch,
	                                   .handshake_ms = LAB_HANDSHAKE_MS};
	struct lab_peer *p;

	if (l->mute) {
		assert_in_range(l->muted_count, 0, 15);
		l->muted[l->muted_count++] = fd;
		return;
	}
	p = mem_new(sizeof(*p));
	p->lab = l;
	p->arg = arg;
	list_push(&l->peers, &p->link);
	l->peers_made++;
	hbone_server_start(&p->server, l->loop, fd, tls_session_new(test_bob, TLS_SERVER, &anybody),
	                   &setup);
}

static void on_accepted(struct op *op)
{
	struct lab *l = container_of(op, struct lab, accept);
	int32_t res = op->res;

	if (res >= 0)
		lab_serve(l, res, NULL);
	if (!op->pending && res >= 0)
		loop_accept(l->loop, op, l->listener, on_accepted);
}

/* --- the pool's owner -------------------------------------------------------------------------- */

struct dial {
	struct op op;
	struct timer deadline;
	struct lab *lab;
	struct hbone_dial *asked;
	int fd;
	bool late, cancelled;
	struct loop_retired retired;
};

static struct lab *lab_of(struct hbone_pool *p)
{
	return container_of(p, struct lab, pool);
}

static void free_dial(struct loop_retired *r)
{
	free(container_of(r, struct dial, retired));
}

static void on_connected(struct op *op)
{
	struct dial *d = container_of(op, struct dial, op);
	enum err e = op->res == 0 ? ERR_OK : err_of_connect(-op->res);

	timer_disarm(&d->deadline);
	if (d->cancelled)
		e = ERR_CANCELLED;
	else if (d->late && e != ERR_OK)
		e = ERR_DIAL_TIMEOUT;
	if (e != ERR_OK)
		loop_close(d->lab->loop, d->fd);
	d->asked->impl = NULL;
	hbone_dial_done(&d->lab->pool, d->asked, e == ERR_OK ? d->fd : -1, e);
	loop_retire(d->lab->loop, &d->retired, free_dial);
}

static void on_deadline(struct timer *t)
{
	struct dial *d = container_of(t, struct dial, deadline);

	d->late = true;
	loop_cancel(d->lab->loop, &d->op);
}

static bool dial(struct hbone_pool *p, struct hbone_dial *asked)
{
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(&asked->to, false, &ss);
	struct dial *d;

	if (lab_of(p)->no_dial_memory)
		return false;
	d = mem_new(sizeof(*d));
	d->lab = lab_of(p);
	d->asked = asked;
	asked->impl = d;
	d->lab->dials++;
	d->fd = sim_socket(d->lab->loop);
	timer_init(&d->deadline, on_deadline);
	timer_arm(d->lab->loop, &d->deadline, LAB_DIAL_MS);
	loop_connect(d->lab->loop, &d->op, d->fd, (struct sockaddr *)&ss, len, on_connected);
	return true;
}

static void dial_cancel(struct hbone_pool *p, struct hbone_dial *asked)
{
	struct dial *d = asked->impl;

	assert_non_null(d);
	d->cancelled = true;
	loop_cancel(lab_of(p)->loop, &d->op);
}

static void opened(struct hbone_pool *p, enum err cause, uint64_t took_ms)
{
	struct lab *l = lab_of(p);

	(void)took_ms;
	l->open_cause = cause;
	if (cause == ERR_OK)
		l->opened++;
	else
		l->failed++;
}

static void closed(struct hbone_pool *p, enum err cause)
{
	lab_of(p)->closed++;
	lab_of(p)->close_cause = cause;
	assert_true(lab_of(p)->closed <= lab_of(p)->opened);
}

static void stopped(struct hbone_pool *p)
{
	assert_false(lab_of(p)->stopped);
	lab_of(p)->stopped = true;
}

static const struct hbone_pool_owner pool_owner = {
	.dial = dial,
	.dial_cancel = dial_cancel,
	.opened = opened,
	.closed = closed,
	.stopped = stopped,
};

/* --- the lab ------------------------------------------------------------------------------------ */

static struct h2_options h2_options_of(const struct lab_options *opt, bool server)
{
	return (struct h2_options){
		.stream_window = opt->stream_window != 0 ? opt->stream_window : 1024 * 1024,
		.conn_window = 4 * 1024 * 1024,
		.frame_len_max = 1024 * 1024,
		.header_list_max = 16384,
		.streams_max = !server                    ? 0
	                       : opt->server_streams != 0 ? opt->server_streams
	                                                  : 200,
	};
}

static void make_head(struct lab *l)
{
	struct http_authority authority = {.ip = l->at.ip, .port = 8080};
	struct hbone_ask ask = {.authority = &authority, .client = l->at};

	hbone_fields_init(&l->head);
	assert_int_equal(hbone_request_build(&ask, &l->head), ERR_OK);
}

void lab_init(struct lab *l, const struct lab_options *opt, lab_request_fn *request)
{
	struct hbone_pool_options pool = {
		.h2 = h2_options_of(opt, false),
		.streams_max = opt->pool_streams != 0 ? opt->pool_streams : 100,
		.idle_ms = LAB_IDLE_MS,
		.handshake_ms = LAB_HANDSHAKE_MS,
		.answer_ms = LAB_ANSWER_MS,
		.own_port = 15008,
	};

	memset(l, 0, sizeof(*l));
	l->loop = sim_new(&opt->sim);
	h2_events_init(&l->scratch);
	list_init(&l->peers);
	l->server_h2 = h2_options_of(opt, true);
	l->mute = opt->mute;
	l->request = request;
	l->at = (struct endpoint){.ip = {.family = IP_V4, .bytes = {10, 0, 0, 2}}, .port = 15008};
	l->listener = -1;
	if (opt->black_hole)
		sim_black_hole(l->loop, &l->at);
	if (!opt->nobody_listens) {
		l->listener = sim_listen(l->loop, &l->at, 0);
		loop_accept(l->loop, &l->accept, l->listener, on_accepted);
	}
	hbone_pool_init(&l->pool, l->loop, &l->scratch, &pool, &pool_owner);
	make_head(l);
}

static void call_as(struct lab *l, struct hbone_call *call, const struct hbone_call_owner *owner,
                    const char *expected)
{
	const char *const identities[] = {expected};
	struct hbone_key key = {.config = test_alice,
	                        .source_ip = {.family = IP_V4, .bytes = {10, 0, 0, 1}},
	                        .to = l->at,
	                        .identities = identities,
	                        .identity_count = 1};

	hbone_call_start(call, &l->pool, &key, l->head.field, l->head.count, owner);
}

void lab_call(struct lab *l, struct hbone_call *call, const struct hbone_call_owner *owner)
{
	call_as(l, call, owner, TEST_BOB);
}

void lab_call_other(struct lab *l, struct hbone_call *call, const struct hbone_call_owner *owner)
{
	call_as(l, call, owner, CAROL);
}

void lab_turns(struct lab *l, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		(void)sim_turn(l->loop);
}

void lab_until(struct lab *l, const unsigned int *n, unsigned int at_least)
{
	for (unsigned int i = 0; i < LAB_TURNS_MAX && *n < at_least; i++)
		(void)sim_turn(l->loop);
	assert_true(*n >= at_least);
}

void lab_until_ms(struct lab *l, uint64_t now_ms)
{
	while (loop_now_ms(l->loop) < now_ms && sim_turn(l->loop))
		;
}

struct lab_peer *lab_first_peer(struct lab *l)
{
	assert_false(list_empty(&l->peers));
	return list_entry(l->peers.next, struct lab_peer, link);
}

void lab_stop(struct lab *l)
{
	if (!l->pool.stopping)
		hbone_pool_stop(&l->pool);
	for (unsigned int i = 0; i < LAB_TURNS_MAX && !l->stopped; i++)
		(void)sim_turn(l->loop);
	assert_true(l->stopped);
	assert_int_equal(hbone_pool_tunnels(&l->pool), 0);
	assert_int_equal(l->opened, l->closed);
}

void lab_fini(struct lab *l)
{
	lab_stop(l);
	loop_cancel(l->loop, &l->accept);
	for (unsigned int i = 0; i < LAB_TURNS_MAX && l->accept.pending; i++)
		(void)sim_turn(l->loop);
	if (l->listener >= 0)
		loop_close(l->loop, l->listener);
	for (unsigned int i = 0; i < l->muted_count; i++)
		loop_close(l->loop, l->muted[i]);
	list_for_each (it, &l->peers)
		hbone_server_close(&list_entry(it, struct lab_peer, link)->server, ERR_DRAINED);
	lab_until(l, &l->peers_over, l->peers_made);
	assert_true(sim_settle(l->loop, LAB_TURNS_MAX));
	hbone_pool_fini(&l->pool);
	hbone_fields_fini(&l->head);
	h2_events_fini(&l->scratch);
	assert_int_equal(sim_open_sockets(l->loop), 0);
	assert_int_equal(loop_pending(l->loop), 0);
	assert_int_equal(iobuf_pool_bytes_in_use(loop_iobufs(l->loop)), 0);
	loop_free(l->loop);
}
