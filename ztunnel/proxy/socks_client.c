/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/proxy/socks_client.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/dns/dns_answer.h"
#include "common/dns/dns_msg.h"
#include "ztunnel/capture/original_dst.h"
#include "ztunnel/proxy/outbound.h"
#include "ztunnel/proxy/pod_proxy.h"
#include "ztunnel/proxy/pod_socks.h"

static void client_read(struct socks_client *c);
static void client_resolve(struct socks_client *c);

static struct proxy_worker *worker_of(const struct socks_client *c)
{
	return c->owner->pod->worker;
}

/* --- the end ------------------------------------------------------------------------------- */

static void free_client(struct loop_retired *r)
{
	free(container_of(r, struct socks_client, retired));
}

static void client_landed(struct socks_client *c)
{
	struct pod_socks *s = c->owner;
	struct loop *loop = worker_of(c)->loop;

	if (!c->ending || c->rx.pending || c->tx.op.pending || c->resolving)
		return;
	if (c->fd >= 0 && c->last)
		loop_close(loop, c->fd);
	else if (c->fd >= 0)
		loop_reset_close(loop, c->fd);
	list_remove(&c->link);
	s->count--;
	loop_retire(loop, &c->retired, free_client);
	pod_socks_left(s);
}

static void client_end(struct socks_client *c)
{
	struct loop *loop = worker_of(c)->loop;

	if (c->ending)
		return;
	c->ending = true;
	timer_disarm(&c->deadline);
	timer_disarm(&c->look);
	loop_cancel(loop, &c->rx);
	loop_cancel(loop, &c->tx.op);
	if (c->resolving)
		dns_lookup_cancel(&c->lookup);
	client_landed(c);
}

void socks_client_cut(struct socks_client *c)
{
	client_end(c);
}

/* --- saying -------------------------------------------------------------------------------- */

static void on_said(struct op *op)
{
	struct socks_client *c = container_of(op, struct socks_client, tx.op);

	if (c->ending) {
		client_landed(c);
	} else if (c->last || op->res < (int32_t)c->iov.iov_len) {
		client_end(c);
	} else {
		client_read(c);
	}
}

/* What stands in said. Nothing is read meanwhile. */
static void say(struct socks_client *c, size_t n, bool last)
{
	c->last = last;
	c->iov = (struct iovec){.iov_base = c->said, .iov_len = n};
	loop_sendv(worker_of(c)->loop, &c->tx, c->fd, &c->iov, 1, on_said);
}

static void refuse(struct socks_client *c, enum socks5_code code)
{
	socks5_reply_write(code, c->said);
	say(c, SOCKS5_REPLY_LEN, true);
}

/* What is more exact than "general failure". */
static const struct {
	enum err cause;
	enum socks5_code code;
} codes[] = {
	{ERR_DIAL_REFUSED, SOCKS5_REFUSED},
	{ERR_DIAL_UNREACHABLE, SOCKS5_HOST_UNREACHABLE},
	{ERR_DIAL_TIMEOUT, SOCKS5_HOST_UNREACHABLE},
	{ERR_DIAL_HBONE_TIMEOUT, SOCKS5_HOST_UNREACHABLE},
	{ERR_NO_UPSTREAM, SOCKS5_HOST_UNREACHABLE},
	{ERR_NO_WAYPOINT, SOCKS5_HOST_UNREACHABLE},
	{ERR_NO_SERVICE, SOCKS5_HOST_UNREACHABLE},
	{ERR_RESOLVE, SOCKS5_HOST_UNREACHABLE},
	{ERR_NO_GATEWAY, SOCKS5_NETWORK_UNREACHABLE},
	{ERR_LOOP, SOCKS5_NOT_ALLOWED},
};

/* status: of ERR_HBONE_STATUS */
static enum socks5_code code_of(enum err cause, uint16_t status)
{
	if (cause == ERR_HBONE_STATUS && (status == 401 || status == 403))
		return SOCKS5_NOT_ALLOWED;
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		if (codes[i].cause == cause)
			return codes[i].code;
	}
	return SOCKS5_FAILED;
}

static struct socks_client *new_client(struct pod_socks *s, int fd);

/* The outbound connection reached nothing: fd is here again. */
static void on_refused(struct pod_proxy *pod, int fd, enum err cause, uint16_t status)
{
	struct socks_client *c = new_client(&pod->socks, fd);

	if (c == NULL)
		loop_reset_close(pod->worker->loop, fd);
	else
		refuse(c, code_of(cause, status));
}

static const uint8_t granted[SOCKS5_REPLY_LEN] = {5, SOCKS5_GRANTED, 0, 1};

static const struct outbound_front front = {
	.granted = {.p = granted, .n = sizeof(granted)},
	.refused = on_refused,
};

/* --- the destination ----------------------------------------------------------------------- */

/* As whom peers are to know the client: by the pod's address, as if it had been captured. */
static struct endpoint source_of(const struct socks_client *c)
{
	const struct steward_pod *pod = &c->owner->pod->pod->enrolled;
	struct endpoint src = c->src;

	for (size_t i = pod->addr_count; i-- > 0;) {
		if (pod->addrs[i].family == c->reader.to.ip.family)
			src.ip = pod->addrs[i]; /* the first of its family stays */
	}
	return src;
}

static void hand_over(struct socks_client *c)
{
	struct endpoint src = source_of(c);
	enum err e = outbound_start(c->owner->pod, c->fd, &src, &c->reader.to, &front);

	if (e != ERR_OK) {
		account_refused(worker_of(c)->shard, ACCESS_OUTBOUND, &src, &c->reader.to, e, NULL);
		refuse(c, code_of(e, 0));
		return;
	}
	c->fd = -1;
	client_end(c);
}

static void not_found(struct socks_client *c, enum err cause)
{
	log_at(LOG_SCOPE_PROXY, LOG_INFO, "a SOCKS client asked for a name without an address",
	       LOG_S("pod", c->owner->pod->pod->name), LOG_S("name", c->reader.name),
	       LOG_S("error", err_info(cause)->words));
	metrics_add_for(worker_of(c)->shard, METRIC_CONNECTIONS_REFUSED,
	                METRIC_LABELS(err_info(cause)->name), 1);
	refuse(c, code_of(cause, 0));
}

/* The first address of the client's family. */
static bool pick(struct socks_client *c, const struct ip *addrs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (addrs[i].family == c->src.ip.family) {
			c->reader.to.ip = addrs[i];
			return true;
		}
	}
	return false;
}

static void on_looked_up(struct dns_lookup *l)
{
	struct socks_client *c = container_of(l, struct socks_client, lookup);

	c->resolving = false;
	if (c->ending)
		client_landed(c);
	else if (l->ret_err == ERR_OK && pick(c, l->ret_addrs, l->ret_count))
		hand_over(c);
	else
		not_found(c, ERR_RESOLVE);
}

/* What the mesh says of the name. false: nothing. */
static bool ask_mesh(struct socks_client *c, struct ip *addrs, size_t *ret_count)
{
	struct proxy_worker *w = worker_of(c);
	struct dns_asker asker = {.mesh = w->mesh,
	                          .namespace = c->owner->pod->pod->namespace,
	                          .network = w->options->network};
	uint16_t type = c->src.ip.family == IP_V6 ? DNS_TYPE_AAAA : DNS_TYPE_A;
	struct dns_answer answer = {.addrs = addrs};
	struct dns_name name;

	if (dns_name_parse(span_str(c->reader.name), &name) != ERR_OK ||
	    dns_answer(w->options->dns_zone, &asker, &name, type, &w->dice, &answer) != DNS_LOCAL)
		return false;
	*ret_count = answer.addr_count;
	return true;
}

static void look_up(struct socks_client *c)
{
	struct ip *addrs = malloc(DNS_ADDRS_MAX * sizeof(*addrs));
	size_t count = 0;

	if (addrs == NULL) {
		refuse(c, SOCKS5_FAILED);
	} else if (!ask_mesh(c, addrs, &count)) {
		c->resolving = true;
		dns_lookup_start(&c->lookup, c->owner->resolver, c->reader.name, on_looked_up);
	} else if (pick(c, addrs, count)) {
		hand_over(c);
	} else {
		not_found(c, ERR_RESOLVE);
	}
	free(addrs);
}

/* What a name means depends on who asks: on a pod the mesh knows. */
static void client_resolve(struct socks_client *c)
{
	if (c->reader.to.ip.family != IP_NONE)
		hand_over(c);
	else if (pod_proxy_workload(c->owner->pod) != NULL)
		look_up(c);
	else
		timer_arm(worker_of(c)->loop, &c->look, POD_SOCKS_LOOK_MS);
}

/* --- reading ------------------------------------------------------------------------------- */

static void on_read(struct op *op)
{
	struct socks_client *c = container_of(op, struct socks_client, rx);

	if (c->ending) {
		client_landed(c);
		return;
	}
	if (op->res <= 0) {
		client_end(c);
		return;
	}
	switch (socks5_reader_put(&c->reader, (size_t)op->res)) {
	case SOCKS5_MORE: client_read(c); break;
	case SOCKS5_GREETED:
		socks5_choice_write(true, c->said);
		say(c, SOCKS5_CHOICE_LEN, false);
		break;
	case SOCKS5_ASKED:
		c->asked = true;
		client_resolve(c);
		break;
	case SOCKS5_NO_METHOD:
		socks5_choice_write(false, c->said);
		say(c, SOCKS5_CHOICE_LEN, true);
		break;
	case SOCKS5_BAD_REQUEST: refuse(c, c->reader.code); break;
	case SOCKS5_STRANGER: client_end(c); break;
	}
}

static void client_read(struct socks_client *c)
{
	size_t len;
	uint8_t *room = socks5_reader_room(&c->reader, &len);

	loop_recv(worker_of(c)->loop, &c->rx, c->fd, room, len, on_read);
}

/* --- life ---------------------------------------------------------------------------------- */

/* Who asked is told; who did not has had the time. */
static void on_deadline(struct timer *t)
{
	struct socks_client *c = container_of(t, struct socks_client, deadline);

	if (!c->asked || c->tx.op.pending) {
		client_end(c);
		return;
	}
	timer_arm(worker_of(c)->loop, &c->deadline, POD_SOCKS_WAIT_MS);
	timer_disarm(&c->look);
	if (c->resolving)
		dns_lookup_cancel(&c->lookup);
	else
		not_found(c, ERR_NO_WORKLOAD);
}

static void on_look(struct timer *t)
{
	client_resolve(container_of(t, struct socks_client, look));
}

static struct socks_client *new_client(struct pod_socks *s, int fd)
{
	struct socks_client *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->owner = s;
	c->fd = fd;
	socks5_reader_init(&c->reader);
	timer_init(&c->deadline, on_deadline);
	timer_init(&c->look, on_look);
	timer_arm(s->pod->worker->loop, &c->deadline, POD_SOCKS_WAIT_MS);
	list_push(&s->clients, &c->link);
	s->count++;
	return c;
}

enum err socks_client_start(struct pod_socks *s, int fd)
{
	struct endpoint src, dst;
	enum err e = listener_original_dst(fd, &src, &dst);
	struct socks_client *c;

	if (e != ERR_OK)
		return e;
	c = new_client(s, fd);
	if (c == NULL)
		return ERR_MEMORY;
	c->src = src;
	client_read(c);
	return ERR_OK;
}
