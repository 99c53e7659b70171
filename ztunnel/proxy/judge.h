/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge - asks the policies about one inbound connection, and logs and counts what they say. Contract 8.2, 8.4.
 */
#ifndef ZTUNNEL_PROXY_JUDGE_H
#define ZTUNNEL_PROXY_JUDGE_H

#include "common/base/err.h"
#include "common/base/netaddr.h"
#include "ztunnel/proxy/pod_proxy.h"

/* All borrowed. */
struct judge_query {
	const struct pod_proxy *pod;
	const struct endpoint *src; /* the TCP peer */
	const struct endpoint *dst; /* the application: target port, never 15008 */
	const char *identity;       /* of the TLS peer; NULL: plaintext */
};

/*
 * May it begin? self: the pod's workload in the worker's present mesh.
 *
 * words: the reason of a refusal, the caller's to free; NULL when allowed or without memory
 * Errs:  ERR_POLICY_DENY, ERR_POLICY_NO_ALLOW
 */
MUST_CHECK enum err judge_new(const struct judge_query *q, const struct workload *self,
                              char **words);
/*
 * May it go on, after the mesh changed? An allowance is not logged again. A workload that is no longer known only loses
 * its connections to a policy that denies them: what allowed them may have gone with it (decision 0040).
 *
 * Errs: ERR_POLICY_CHANGED; words as above
 */
MUST_CHECK enum err judge_again(const struct judge_query *q, char **words);

#endif
