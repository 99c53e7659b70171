/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pods_table - the pods captured on this node. Pure.
 *
 * A struct pod is immutable and counted: the table holds one reference while the pod is wanted, each
 * worker one while it serves it, each proxied connection one while it lives. A pod is drained when only
 * the table's own is left.
 */
#ifndef ZTUNNEL_PODS_PODS_TABLE_H
#define ZTUNNEL_PODS_PODS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/snapshot.h"
#include "ztunnel/steward/steward.h"

enum {
	POD_TEXT_MAX = 512
}; /* each text of a pod; Kubernetes names end at 253, SPIFFE IDs at 2048 */

/* A pod as some source of enrollment wants it; all texts borrowed, none NULL but where it says so. */
struct pod_wanted {
	const char *uid; /* identifies the pod across changes */
	const char *name, *namespace, *service_account, *trust_domain;
	const char *netns; /* absolute path, or a name under /run/netns */
	uint32_t flags;    /* STEWARD_POD_* */
	const char *virts; /* inner devices, with commas between; NULL: none */
};

struct pod {
	struct snapshot snapshot; /* counted by pod_ref and pod_unref */
	struct list link;         /* private to the table */
	uint32_t id;              /* unique in this process, never reused */
	uint32_t flags;           /* STEWARD_POD_* */
	const char *uid, *name, *namespace, *service_account, *trust_domain;
	const char *identity; /* "spiffe://<trust domain>/ns/<namespace>/sa/<service account>" */
	const char *netns;    /* as it was named to us */
	struct steward_pod enrolled; /* cookie, namespace, addresses, listeners */
};

/*
 * wanted:   copied
 * enrolled: taken, also on failure
 * Errs:     ERR_LIMIT a text is too long
 */
MUST_CHECK enum err pod_new(uint32_t id, const struct pod_wanted *wanted,
                            const struct steward_pod *enrolled, struct pod **ret_pod);
struct pod *pod_ref(struct pod *pod);
void pod_unref(struct pod *pod); /* any thread; the last one closes the namespace */
/* Nobody but the caller holds it. */
bool pod_is_idle(const struct pod *pod);
/* Whether it is what is wanted, but for the namespace's age: the same texts, the same flags. */
bool pod_matches(const struct pod *pod, const struct pod_wanted *wanted);

struct pods_table {
	struct list pods; /* private */
	size_t count;
};

void pods_table_init(struct pods_table *t);
void pods_table_add(struct pods_table *t, struct pod *pod); /* takes the caller's reference */
/* Gives the table's reference to the caller. */
void pods_table_remove(struct pods_table *t, struct pod *pod);
/* Borrowed, or NULL. */
struct pod *pods_table_find(const struct pods_table *t, const char *uid);

#define pods_table_each(it, t) list_for_each (it, &(t)->pods)
#define pod_of_link(it)        list_entry(it, struct pod, link)

#endif
