/* SPDX-License-Identifier: Apache-2.0 */
/*
 * authz - may this connection reach this workload: layer 4 authorization. Pure. Contract 8.
 */
#ifndef COMMON_MESH_AUTHZ_H
#define COMMON_MESH_AUTHZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/netaddr.h"
#include "common/mesh/mesh.h"

/* Zero denies: forgotten memory never lets anyone in. */
enum authz_verdict { AUTHZ_DENY = 0, AUTHZ_ALLOW = 1 };

struct authz_facts {
	struct ip source_ip;         /* the TCP peer */
	struct endpoint destination; /* the upstream: target port, never 15008 */
	const char *
		identity; /* "spiffe://td/ns/x/sa/y" of the TLS peer; NULL: plaintext, nobody proved */
};

/* A dry-run policy's opinion: to be logged, without effect. */
struct authz_note {
	const struct policy *policy; /* NULL: dry-run ALLOW policies exist and none matched */
	size_t rule;                 /* of policy, the first that holds, from 0 */
};

enum {
	AUTHZ_NOTES_MAX = 32,  /* dry runs are few */
	AUTHZ_WORDS_MAX = 512, /* two Kubernetes names, the end of a path, numbers */
};

struct authz_answer {
	enum authz_verdict verdict;
	enum err cause;              /* ERR_OK, ERR_POLICY_DENY or ERR_POLICY_NO_ALLOW */
	const struct policy *policy; /* that decided; NULL: none applied, or none allowed */
	size_t rule;                 /* of policy, from 0 */
	struct authz_note notes[AUTHZ_NOTES_MAX]; /* what was denied lists no dry-run ALLOW */
	size_t note_count;
	bool notes_cut; /* there are more than were listed */
};

/*
 * dst: the local workload; it is looked up again by uid, so that its policies are those of m even if dst is of
 *      an older mesh; with the uid "" it is taken as it is. An identity that is not of the contract's form is denied: neither
 *      "nobody" nor somebody a policy could name.
 */
void authz_check(const struct mesh *m, const struct workload *dst, const struct authz_facts *facts,
                 struct authz_answer *ret_answer);
/* The same by asking every rule of every policy: for tests and measurements. */
void authz_check_plainly(const struct mesh *m, const struct workload *dst,
                         const struct authz_facts *facts, struct authz_answer *ret_answer);

/*
 * "explicitly denied by: ns/name, rule 2" (rules from 1), "allow policies exist, but none allowed", "allowed by:
 * ..."; returns out.
 */
const char *authz_words(const struct authz_answer *a, char out[AUTHZ_WORDS_MAX]);
/* "dry-run: would be denied by: ns/name, rule 2" and the like; returns out. */
const char *authz_note_words(const struct authz_note *n, char out[AUTHZ_WORDS_MAX]);
/* Where a rule is written: "rule 2 at mesh.yaml:14" (rules from 1), "" for policy NULL; returns out. */
const char *authz_where(const struct mesh *m, const struct policy *policy, size_t rule,
                        char out[AUTHZ_WORDS_MAX]);

#endif
