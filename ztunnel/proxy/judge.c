/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/proxy/judge.h"

#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/mesh/authz.h"

static void ask(const struct judge_query *q, const struct workload *self,
                struct authz_answer *answer)
{
	struct authz_facts facts = {
		.source_ip = q->src->ip, .destination = *q->dst, .identity = q->identity};

	authz_check(q->pod->worker->mesh, self, &facts, answer);
}

/* Contract 8.2: what a dry-run policy would have done. */
static void log_note(const struct judge_query *q, const struct authz_note *n, enum log_level level)
{
	char words[AUTHZ_WORDS_MAX], where[AUTHZ_WORDS_MAX], src[ENDPOINT_TEXT_MAX];

	log_at(LOG_SCOPE_STATE, level, authz_note_words(n, words),
	       LOG_S("policy", n->policy == NULL ? NULL : n->policy->key),
	       LOG_S("rule", authz_where(q->pod->worker->mesh, n->policy, n->rule, where)),
	       LOG_A("src.addr", endpoint_format(q->src, src)), LOG_S("src.identity", q->identity),
	       LOG_S("dst.workload", q->pod->pod->name));
}

static void log_verdict(const struct judge_query *q, const struct authz_answer *a)
{
	const struct proxy_worker *w = q->pod->worker;
	enum log_level level = w->options->authz_info ? LOG_INFO : LOG_DEBUG;
	char words[AUTHZ_WORDS_MAX], where[AUTHZ_WORDS_MAX], src[ENDPOINT_TEXT_MAX];

	if (!log_enabled(LOG_SCOPE_STATE, level))
		return;
	log_at(LOG_SCOPE_STATE, level, a->verdict == AUTHZ_ALLOW ? "allowed" : "denied",
	       LOG_S("policy", a->policy == NULL ? NULL : a->policy->key),
	       LOG_S("rule", authz_where(w->mesh, a->policy, a->rule, where)),
	       LOG_S("reason", authz_words(a, words)),
	       LOG_A("src.addr", endpoint_format(q->src, src)), LOG_S("src.identity", q->identity),
	       LOG_S("dst.workload", q->pod->pod->name));
	for (size_t i = 0; i < a->note_count; i++)
		log_note(q, &a->notes[i], level);
}

static void count_denial(const struct judge_query *q, const struct authz_answer *a)
{
	metrics_add_for(
		q->pod->worker->shard, METRIC_AUTHZ_DENIALS,
		METRIC_LABELS(err_info(a->cause)->name, a->policy == NULL ? NULL : a->policy->key),
		1);
}

enum err judge_new(const struct judge_query *q, const struct workload *self, char **words)
{
	char text[AUTHZ_WORDS_MAX];
	struct authz_answer a;

	*words = NULL;
	ask(q, self, &a);
	log_verdict(q, &a);
	if (a.verdict == AUTHZ_ALLOW)
		return ERR_OK;
	count_denial(q, &a);
	*words = strdup(authz_words(&a, text));
	return a.cause;
}

enum err judge_again(const struct judge_query *q, char **words)
{
	const struct workload *self = pod_proxy_workload(q->pod);
	struct workload stranger = {.uid = "", .namespace = q->pod->pod->namespace};
	char text[AUTHZ_WORDS_MAX];
	struct authz_answer a;

	*words = NULL;
	ask(q, self != NULL ? self : &stranger, &a);
	if (a.verdict == AUTHZ_ALLOW || (self == NULL && a.cause != ERR_POLICY_DENY))
		return ERR_OK;
	log_verdict(q, &a);
	count_denial(q, &a);
	if (asprintf(words, "%s: %s", err_info(ERR_POLICY_CHANGED)->words, authz_words(&a, text)) <
	    0)
		*words = NULL;
	return ERR_POLICY_CHANGED;
}
