/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/pods/pods_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"

static void destroy(struct snapshot *s)
{
	struct pod *pod = container_of(s, struct pod, snapshot);

	steward_pod_fini(&pod->enrolled);
	free(pod);
}

/* Copy text to *at and move *at behind its NUL. */
static const char *place(char **at, const char *text)
{
	size_t n = strlen(text) + 1;
	char *here = *at;

	memcpy(here, text, n);
	*at += n;
	return here;
}

static bool texts_fit(const struct pod_wanted *w)
{
	const char *const all[] = {w->uid,          w->name, w->namespace, w->service_account,
	                           w->trust_domain, w->netns};

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		if (strnlen(all[i], POD_TEXT_MAX) == POD_TEXT_MAX)
			return false;
	}
	return true;
}

enum err pod_new(uint32_t id, const struct pod_wanted *wanted, const struct steward_pod *enrolled,
                 struct pod **ret_pod)
{
	struct steward_pod taken = *enrolled;
	char identity[4 * POD_TEXT_MAX];
	struct pod *pod;
	size_t room;
	char *at;

	if (!texts_fit(wanted)) {
		steward_pod_fini(&taken);
		return ERR_LIMIT;
	}
	(void)snprintf(identity, sizeof(identity), "spiffe://%s/ns/%s/sa/%s", wanted->trust_domain,
	               wanted->namespace, wanted->service_account);
	room = 7 + strlen(wanted->uid) + strlen(wanted->name) + strlen(wanted->namespace) +
	       strlen(wanted->service_account) + strlen(wanted->trust_domain) +
	       strlen(wanted->netns) + strlen(identity);
	pod = mem_new(sizeof(*pod) + room);
	at = (char *)(pod + 1);
	snapshot_init(&pod->snapshot, destroy);
	list_init(&pod->link);
	pod->id = id;
	pod->flags = wanted->flags;
	pod->uid = place(&at, wanted->uid);
	pod->name = place(&at, wanted->name);
	pod->namespace = place(&at, wanted->namespace);
	pod->service_account = place(&at, wanted->service_account);
	pod->trust_domain = place(&at, wanted->trust_domain);
	pod->identity = place(&at, identity);
	pod->netns = place(&at, wanted->netns);
	pod->enrolled = taken;
	*ret_pod = pod;
	return ERR_OK;
}

struct pod *pod_ref(struct pod *pod)
{
	(void)snapshot_ref(&pod->snapshot);
	return pod;
}

void pod_unref(struct pod *pod)
{
	if (pod != NULL)
		snapshot_unref(&pod->snapshot);
}

bool pod_is_idle(const struct pod *pod)
{
	return atomic_load_explicit(&pod->snapshot.refs, memory_order_acquire) == 1;
}

bool pod_matches(const struct pod *pod, const struct pod_wanted *wanted)
{
	return pod->flags == wanted->flags && strcmp(pod->uid, wanted->uid) == 0 &&
	       strcmp(pod->name, wanted->name) == 0 &&
	       strcmp(pod->namespace, wanted->namespace) == 0 &&
	       strcmp(pod->service_account, wanted->service_account) == 0 &&
	       strcmp(pod->trust_domain, wanted->trust_domain) == 0 &&
	       strcmp(pod->netns, wanted->netns) == 0;
}

void pods_table_init(struct pods_table *t)
{
	list_init(&t->pods);
	t->count = 0;
}

void pods_table_add(struct pods_table *t, struct pod *pod)
{
	list_push(&t->pods, &pod->link);
	t->count++;
}

void pods_table_remove(struct pods_table *t, struct pod *pod)
{
	list_remove(&pod->link);
	t->count--;
}

struct pod *pods_table_find(const struct pods_table *t, const char *uid)
{
	for (const struct list *it = t->pods.next; it != &t->pods; it = it->next) {
		struct pod *pod = pod_of_link((struct list *)(uintptr_t)it);

		if (strcmp(pod->uid, uid) == 0)
			return pod;
	}
	return NULL;
}
