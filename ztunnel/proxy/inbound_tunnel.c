/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/proxy/inbound_tunnel.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "ztunnel/proxy/account.h"
#include "ztunnel/proxy/inbound.h"

static struct inbound_tunnel *of_server(struct hbone_server *s)
{
	return container_of(s, struct inbound_tunnel, server);
}

static struct inbound_tunnel *of_pod_conn(struct pod_conn *c)
{
	return container_of(c, struct inbound_tunnel, conn);
}

static void give_place(struct inbound_tunnel *t)
{
	if (t->place != NULL)
		handshakes_give(&t->pod->worker->handshakes, t->place);
	t->place = NULL;
}

static void on_ready(struct hbone_server *s)
{
	struct inbound_tunnel *t = of_server(s);
	struct proxy_worker *w = t->pod->worker;
	uint64_t took_ms = loop_now_ms(w->loop) - t->started_ms;

	t->verified = true;
	give_place(t);
	metrics_add_for(w->shard, METRIC_TLS_HANDSHAKES, METRIC_LABELS("server"), 1);
	metrics_observe(w->shard, METRIC_TLS_HANDSHAKE_DURATION, METRIC_LABELS("server"),
	                took_ms * 1000000);
	if (hbone_server_untracked(s))
		metrics_add_for(w->shard, METRIC_CRL_UNTRACKED_CONNECTIONS,
		                METRIC_LABELS("destination"), 1);
}

static void on_request(struct hbone_server *s, int32_t stream_id, const struct hbone_request *req)
{
	inbound_start_hbone(of_server(s), stream_id, req);
}

static void on_malformed(struct hbone_server *s, enum err cause)
{
	struct inbound_tunnel *t = of_server(s);

	account_refused(t->pod->worker->shard, ACCESS_INBOUND, &t->src, &t->dst, cause, NULL);
}

static void on_ended(struct hbone_server *s, enum err cause)
{
	struct inbound_tunnel *t = of_server(s);
	struct metrics_shard *shard = t->pod->worker->shard;

	if (t->verified && cause != ERR_OK) {
		metrics_add_for(shard, METRIC_H2_CONNECTION_ERRORS,
		                METRIC_LABELS(err_info(cause)->name), 1);
	} else if (!t->verified) {
		enum err told = cause == ERR_OK ? ERR_EOF : cause;

		metrics_add_for(shard, METRIC_TLS_HANDSHAKE_FAILURES,
		                METRIC_LABELS("server", err_info(told)->name), 1);
		if (cause == ERR_TLS_REVOKED)
			metrics_add_for(shard, METRIC_CRL_POLICY_REJECTIONS,
			                METRIC_LABELS("destination"), 1);
		account_refused(shard, ACCESS_INBOUND, &t->src, &t->dst, told, NULL);
	}
}

static void free_tunnel(struct loop_retired *r)
{
	free(container_of(r, struct inbound_tunnel, retired));
}

static void tunnel_gone(struct inbound_tunnel *t)
{
	struct proxy_worker *w = t->pod->worker;

	timer_disarm(&t->look);
	give_place(t);
	metrics_gauge_add_for(w->shard, METRIC_TCP_SOCKETS_OPEN, METRIC_LABELS("destination"), -1);
	pod_proxy_remove(t->pod, &t->conn);
	loop_retire(w->loop, &t->retired, free_tunnel);
}

static void on_landed(struct hbone_server *s)
{
	struct inbound_tunnel *t = of_server(s);

	hbone_server_fini(s);
	tunnel_gone(t);
}

static const struct hbone_server_owner server_owner = {
	.ready = on_ready,
	.request = on_request,
	.malformed = on_malformed,
	.ended = on_ended,
	.landed = on_landed,
};

/* No server runs yet: close what was accepted. */
static void give_up(struct inbound_tunnel *t, enum err cause)
{
	struct proxy_worker *w = t->pod->worker;

	loop_reset_close(w->loop, t->fd);
	t->fd = -1;
	account_refused(w->shard, ACCESS_INBOUND, &t->src, &t->dst, cause, NULL);
	tunnel_gone(t);
}

/* Start TLS as soon as the pod's certificate is there. */
static void try_start(struct inbound_tunnel *t)
{
	struct proxy_worker *w = t->pod->worker;
	struct tls_config *config = proxy_worker_config(w, t->pod->pod->identity);
	const struct tls_expect anybody = {.identity_count = 0}; /* of our trust domain */
	struct hbone_server_setup setup = {.owner = &server_owner,
	                                   .options = &w->options->server_h2,
	                                   .scratch = &w->scratch,
	                                   .handshake_ms = w->options->pool.handshake_ms,
	                                   .gate = &w->gate};
	struct tls_session *tls;

	if (config == NULL) {
		if (loop_now_ms(w->loop) >= t->give_up_ms ||
		    proxy_worker_cert_failed(w, t->pod->pod->identity))
			give_up(t, ERR_IDENTITY);
		else
			timer_arm(w->loop, &t->look, PROXY_LOCAL_LOOK_MS);
		return;
	}
	tls = tls_session_new(config, TLS_SERVER, &anybody);
	if (tls == NULL) {
		give_up(t, ERR_MEMORY);
		return;
	}
	hbone_server_start(&t->server, w->loop, t->fd, tls, &setup);
	t->fd = -1;
}

static void on_look(struct timer *timer)
{
	try_start(container_of(timer, struct inbound_tunnel, look));
}

static void tunnel_cut(struct pod_conn *c, enum err cause)
{
	struct inbound_tunnel *t = of_pod_conn(c);

	if (t->fd >= 0)
		give_up(t, cause);
	else
		hbone_server_close(&t->server, cause);
}

static bool tunnel_revoked(struct pod_conn *c)
{
	struct inbound_tunnel *t = of_pod_conn(c);

	return t->verified && hbone_server_revoked(&t->server);
}

void inbound_tunnel_drain(struct pod_conn *c)
{
	struct inbound_tunnel *t = of_pod_conn(c);

	if (t->fd >= 0)
		give_up(t, ERR_DRAINED);
	else
		hbone_server_drain(&t->server);
}

/* No place among the unfinished handshakes. Counted; the log hears of it in sum, once a second. */
static void turn_away(struct pod_proxy *pod, int fd)
{
	const char *name = err_info(ERR_TLS_HANDSHAKES)->name;

	metrics_add_for(pod->worker->shard, METRIC_TLS_HANDSHAKE_FAILURES,
	                METRIC_LABELS("server", name), 1);
	metrics_add_for(pod->worker->shard, METRIC_CONNECTIONS_REFUSED, METRIC_LABELS(name), 1);
	loop_reset_close(pod->worker->loop, fd);
}

enum err inbound_tunnel_start(struct pod_proxy *pod, int fd, const struct endpoint *src,
                              const struct endpoint *dst)
{
	struct handshake_source *place = handshakes_take(&pod->worker->handshakes, &src->ip);
	struct inbound_tunnel *t;

	if (place == NULL) {
		turn_away(pod, fd);
		return ERR_OK;
	}
	t = calloc(1, sizeof(*t));
	if (t == NULL) {
		handshakes_give(&pod->worker->handshakes, place);
		return ERR_MEMORY;
	}
	t->place = place;
	t->conn.cut = tunnel_cut;
	t->conn.revoked = tunnel_revoked;
	t->pod = pod;
	t->fd = fd;
	t->src = *src;
	t->dst = *dst;
	t->started_ms = loop_now_ms(pod->worker->loop);
	t->give_up_ms = t->started_ms + PROXY_LOCAL_WAIT_MS;
	timer_init(&t->look, on_look);
	metrics_gauge_add_for(pod->worker->shard, METRIC_TCP_SOCKETS_OPEN,
	                      METRIC_LABELS("destination"), 1);
	pod_proxy_add(pod, &pod->tunnels, &t->conn);
	try_start(t);
	return ERR_OK;
}
