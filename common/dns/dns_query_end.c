/* SPDX-License-Identifier: Apache-2.0 */
#include "common/dns/dns_query_end.h"

#include <stdlib.h>

#include "common/base/log.h"
#include "common/dns/dns_label.h"
#include "common/dns/udp_packet.h"

/* For the line in the log and the counters. */
struct verdict {
	const struct workload *workload; /* NULL: not known */
	const char *result;
	size_t endpoints;
};

static void count(const struct dns_query_end *e, enum metric id, const struct workload *w)
{
	struct metrics_shard *shard = e->judge->opt->metrics;

	if (shard != NULL)
		metrics_add_for(shard, id,
		                METRIC_LABELS(dns_type_label(e->query.type), e->tcp ? "tcp" : "udp",
		                              w != NULL ? w->canonical_name : NULL,
		                              w != NULL ? w->canonical_revision : NULL),
		                1);
}

static void report(const struct dns_query_end *e, const struct verdict *v)
{
	char domain[DNS_TEXT_MAX];

	if (!log_enabled(LOG_SCOPE_DNS, LOG_DEBUG))
		return;
	log_at(LOG_SCOPE_DNS, LOG_DEBUG, "dns query",
	       LOG_S("src.workload", v->workload != NULL ? v->workload->name : NULL),
	       LOG_S("src.namespace", v->workload != NULL ? v->workload->namespace : NULL),
	       LOG_S("query", dns_type_label(e->query.type)),
	       LOG_S("domain", dns_name_format(&e->query.name, domain)), LOG_S("result", v->result),
	       LOG_N("endpoints", v->endpoints));
}

static size_t room(const struct dns_query_end *e)
{
	if (e->tcp)
		return DNS_MSG_MAX;
	return e->query.udp_len_max < UDP_PAYLOAD_MAX ? e->query.udp_len_max : UDP_PAYLOAD_MAX;
}

static void reply(struct dns_query_end *e, const struct dns_reply *r)
{
	buf_clear(&e->out);
	if (dns_reply_write(&e->query, r, room(e), &e->out) != ERR_OK)
		buf_clear(&e->out); /* no memory for it: silence, and the client asks again */
}

static void refuse(struct dns_query_end *e, enum dns_rcode rcode)
{
	reply(e, &(struct dns_reply){.rcode = rcode});
}

/* ---- forwarding ---- */

static struct verdict who(const struct dns_query_end *e, struct dns_asker *ret_asker)
{
	struct verdict v = {.workload = NULL};
	const struct dns_server_options *o = e->judge->opt;

	if (!o->who(o->arg, ret_asker, &v.workload))
		v.workload = NULL;
	return v;
}

static void settle_forwarded(struct dns_query_end *e)
{
	struct span answer = e->ask.ret_answer;
	struct dns_asker asker;
	struct verdict v = who(e, &asker);

	if (e->ask.ret_err != ERR_OK) {
		count(e, METRIC_DNS_UPSTREAM_FAILURES, v.workload);
		v.result = err_info(e->ask.ret_err)->name;
		refuse(e, DNS_SERVFAIL);
	} else {
		v.result = dns_rcode_label(dns_msg_rcode(answer));
		buf_put(&e->out, answer);
		if (buf_status(&e->out) == ERR_OK)
			e->out.n = dns_msg_shorten(e->out.p, e->out.n, room(e));
		else
			buf_clear(&e->out);
	}
	report(e, &v);
}

static void on_forwarded(struct dns_ask *a)
{
	struct dns_query_end *e = container_of(a, struct dns_query_end, ask);
	struct metrics_shard *shard = e->judge->opt->metrics;
	struct dns_asker asker;
	struct verdict v = who(e, &asker);

	e->forwarding = false;
	if (a->ret_err == ERR_CANCELLED) {
		buf_clear(&e->out);
	} else {
		if (shard != NULL)
			metrics_observe(
				shard, METRIC_DNS_UPSTREAM_REQUEST_DURATION,
				METRIC_LABELS(
					dns_type_label(e->query.type), e->tcp ? "tcp" : "udp",
					v.workload != NULL ? v.workload->canonical_name : NULL,
					v.workload != NULL ? v.workload->canonical_revision : NULL),
				loop_now_ns(e->judge->loop) - e->started_ns);
		settle_forwarded(e);
	}
	e->done(e);
}

static enum dns_query_state forward(struct dns_query_end *e, const struct verdict *v)
{
	if (e->judge->opt->forwarder == NULL) {
		refuse(e, DNS_SERVFAIL);
		return DNS_QUERY_DONE;
	}
	count(e, METRIC_DNS_UPSTREAM_REQUESTS, v->workload);
	e->ask.query = e->msg;
	e->ask.done = on_forwarded;
	e->forwarding = true;
	dns_ask(e->judge->opt->forwarder, &e->ask);
	return DNS_QUERY_FLIES;
}

/* ---- the whole ---- */

void dns_query_end_init(struct dns_query_end *e, struct dns_judge *judge)
{
	e->judge = judge;
	e->forwarding = false;
	e->started_ns = loop_now_ns(judge->loop);
	e->deadline_ms = loop_now_ms(judge->loop) + DNS_WHO_WAIT_MS;
	e->ask = (struct dns_ask){.done = on_forwarded};
	list_init(&e->parked);
	buf_init(&e->out, DNS_MSG_MAX);
}

/* From the mesh, if it knows the name. */
static enum dns_query_state answer(struct dns_query_end *e, const struct dns_asker *asker,
                                   struct verdict *v)
{
	struct dns_judge *j = e->judge;
	struct dns_answer a;

	if (j->addrs == NULL)
		j->addrs = malloc(DNS_ADDRS_MAX * sizeof(*j->addrs));
	if (j->addrs == NULL) {
		refuse(e, DNS_SERVFAIL);
		return DNS_QUERY_DONE;
	}
	a = (struct dns_answer){.addrs = j->addrs};
	if (e->query.qclass != DNS_CLASS_IN ||
	    dns_answer(j->opt->zone, asker, &e->query.name, e->query.type, &j->dice, &a) ==
	            DNS_FORWARD)
		return forward(e, v);
	reply(e, &(struct dns_reply){.authoritative = true,
	                             .alias = a.alias,
	                             .addrs = j->addrs,
	                             .addr_count = a.addr_count});
	v->result = a.addr_count > 0 ? "ok" : "nodata";
	v->endpoints = a.addr_count;
	report(e, v);
	return DNS_QUERY_DONE;
}

enum dns_query_state dns_query_end_run(struct dns_query_end *e)
{
	enum dns_verdict verdict = dns_query_read(e->msg, &e->query);
	struct dns_asker asker = {.mesh = NULL};
	struct verdict v;

	if (verdict == DNS_DROP)
		return DNS_QUERY_DONE;
	if (verdict == DNS_REFUSE) {
		refuse(e, e->query.refusal);
		return DNS_QUERY_DONE;
	}
	v = who(e, &asker);
	if (v.workload == NULL && loop_now_ms(e->judge->loop) < e->deadline_ms)
		return DNS_QUERY_PARKED;
	count(e, METRIC_DNS_REQUESTS, v.workload);
	if (v.workload == NULL) {
		v.result = err_info(ERR_NO_WORKLOAD)->name;
		refuse(e, DNS_SERVFAIL);
		report(e, &v);
		return DNS_QUERY_DONE;
	}
	return verdict == DNS_OPAQUE ? forward(e, &v) : answer(e, &asker, &v);
}

void dns_query_end_cancel(struct dns_query_end *e)
{
	if (e->forwarding)
		dns_ask_cancel(e->judge->opt->forwarder, &e->ask);
}

void dns_query_end_fini(struct dns_query_end *e)
{
	CHECK(!e->forwarding);
	list_remove(&e->parked);
	buf_fini(&e->out);
}
