/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/proxy/pod_dns.h"

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/dns/dns_server.h"
#include "ztunnel/proxy/pod_proxy.h"

static struct proxy_worker *worker_of(const struct pod_dns *d)
{
	return d->pod->worker;
}

/* --- what servers and forwarder need ---------------------------------------------------------- */

static bool who_asks(void *arg, struct dns_asker *ret_asker, const struct workload **ret_workload)
{
	const struct pod_dns *d = ((struct pod_dns_server *)arg)->owner;
	const struct workload *self = pod_proxy_workload(d->pod);

	*ret_workload = self;
	*ret_asker = (struct dns_asker){.mesh = worker_of(d)->mesh,
	                                .namespace = d->pod->pod->namespace,
	                                .network = worker_of(d)->options->network};
	return self != NULL;
}

/* A socket inside the pod, past the capture of its questions. */
static void open_socket(struct dns_sockets *s, struct loop *loop, struct dns_socket_ask *ask,
                        op_done_fn *done)
{
	const struct pod_dns *d = container_of(s, struct pod_dns, sockets);
	const struct proxy_worker *w = worker_of(d);

	loop_post(loop, &ask->op,
	          steward_resolver_socket(w->options->steward, &d->pod->pod->enrolled, ask->family,
	                                  ask->type),
	          done);
}

static void on_stopped(void *arg)
{
	struct pod_dns_server *server = arg;
	struct pod_dns *d = server->owner;

	server->server = NULL;
	d->running--;
	if (d->running > 0)
		return;
	dns_upstream_free(d->upstream);
	d->upstream = NULL;
	pod_proxy_look_again(d->pod);
}

/* --- life -------------------------------------------------------------------------------------- */

static bool is_mine(const struct pod_proxy *pod)
{
	return pod->pod->id % pod->worker->options->workers == pod->worker->index;
}

static void start_family(struct pod_dns *d, bool v6)
{
	struct steward_pod *enrolled = &d->pod->pod->enrolled;
	struct proxy_worker *w = worker_of(d);
	struct dns_server_options opt = {
		.udp_fd = steward_pod_take_dns(enrolled, v6 ? STEWARD_DNS_UDP6 : STEWARD_DNS_UDP4),
		.tcp_fd = steward_pod_take_dns(enrolled, v6 ? STEWARD_DNS_TCP6 : STEWARD_DNS_TCP4),
		.raw_fd = {-1, -1},
		.zone = w->options->dns_zone,
		.forwarder = dns_upstream_forwarder(d->upstream),
		.metrics = w->shard,
		.who = who_asks,
		.stopped = on_stopped,
		.arg = &d->servers[v6],
		.seed = rand_u64(&w->dice),
	};

	opt.raw_fd[v6] =
		steward_pod_take_dns(enrolled, v6 ? STEWARD_DNS_REPLY6 : STEWARD_DNS_REPLY4);
	if (opt.udp_fd < 0 && opt.tcp_fd < 0)
		return; /* a pod without this family */
	d->servers[v6].owner = d;
	d->servers[v6].server = dns_server_new(w->loop, &opt);
	d->running++;
}

void pod_dns_start(struct pod_dns *d, struct pod_proxy *pod)
{
	const struct proxy_options *options = pod->worker->options;

	*d = (struct pod_dns){.pod = pod, .sockets = {.open = open_socket}};
	if (!is_mine(pod) || !steward_pod_has_dns(&pod->pod->enrolled))
		return;
	d->upstream = dns_upstream_new(
		pod->worker->loop,
		&(struct dns_upstream_options){.sockets = &d->sockets, .config = options->resolv});
	start_family(d, false);
	start_family(d, true);
}

static void stop(struct pod_dns *d, uint64_t grace_ms)
{
	for (size_t i = 0; i < POD_DNS_SERVERS; i++) {
		if (d->servers[i].server != NULL)
			dns_server_stop(d->servers[i].server, grace_ms);
	}
}

void pod_dns_drain(struct pod_dns *d)
{
	stop(d, POD_DNS_GRACE_MS);
}

void pod_dns_cut(struct pod_dns *d)
{
	stop(d, 0);
}

bool pod_dns_is_over(const struct pod_dns *d)
{
	return d->running == 0;
}
