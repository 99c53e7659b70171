/* SPDX-License-Identifier: Apache-2.0 */
/*
 * account_texts - the texts of a connection's log line as one counted block, shared by connections with equal ones:
 * those of a pair of workloads mostly are. Pure. One thread.
 */
#ifndef ZTUNNEL_PROXY_ACCOUNT_TEXTS_H
#define ZTUNNEL_PROXY_ACCOUNT_TEXTS_H

#include <stdint.h>

enum {
	ACCOUNT_TEXTS = 10,
	ACCOUNT_TEXT_LEN_MAX = 16 * 1024, /* three identities and names of Kubernetes' lengths */
	ACCOUNT_CACHE_SLOTS = 64,         /* blocks remembered for sharing: pairs that talk now */
};

struct account_texts;

/* Of one worker; zeroed is empty. */
struct account_cache {
	struct account_texts *slots[ACCOUNT_CACHE_SLOTS]; /* private: a reference each */
};

void account_cache_fini(struct account_cache *c);
/* texts: NULL or "" where there is none. One reference. NULL without memory, or when they are too long. */
struct account_texts *account_texts_get(struct account_cache *c,
                                        const char *const texts[ACCOUNT_TEXTS]);
void account_texts_unref(struct account_texts *t); /* NULL is allowed */
/* The i-th, or NULL; also of t == NULL. */
const char *account_text(const struct account_texts *t, unsigned int i);

#endif
