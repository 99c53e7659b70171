/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cert_table - a certificate for every identity this node needs: fetched once, renewed at half life with
 * jitter, kept while valid whatever a CA says. Control thread only; workers read the cert_set it publishes.
 * Contract 4.5, 4.6.
 */
#ifndef COMMON_IDENTITY_CERT_TABLE_H
#define COMMON_IDENTITY_CERT_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/identity/ca_client.h"
#include "common/identity/cert_set.h"
#include "common/io/loop.h"

enum {
	CERT_IDENTITIES_MAX =
		4096, /* service accounts on one node; kubelets stop at a few hundred pods */
	CERT_FETCHES_MAX = 8, /* signing calls in flight, contract 4.5 */
};

struct cert_table;

struct cert_table_options {
	uint64_t ttl_s; /* SECRET_TTL; 0: 86400 */
	const struct tls_policy
		*tls;     /* of every tls_config; borrowed, outlives them; NULL: the default */
	uint64_t poll_ms; /* how often the CA client is asked whether something changed; 0: 2000 */
	uint64_t seed;    /* of the jitter, for tests; 0: from the system */
	/* What time it is, for tests; NULL: the wall clock. */
	int64_t (*wall_s)(void *arg);
	void *wall_arg;
};

/* Counts since the start, for metrics. */
struct cert_table_stats {
	uint64_t fetched, failed, refused; /* refused: the CA answered with what we may not use */
	uint32_t identities, available;
};

/*
 * ca:   borrowed, outlives the table
 * cell: receives a struct cert_set after every change; borrowed
 * NULL when out of memory.
 */
struct cert_table *cert_table_new(struct loop *loop, struct ca_client *ca,
                                  struct snapshot_cell *cell, const struct cert_table_options *opt);
/* Cancel what is in flight; free once cert_table_idle(). */
void cert_table_stop(struct cert_table *t);
bool cert_table_idle(const struct cert_table *t);
void cert_table_free(struct cert_table *t);

/*
 * This node needs the identity. Counted: each want is undone by one forget; the last forget drops the entry.
 * Errs: ERR_PARSE when it is not a SPIFFE id, ERR_LIMIT.
 */
MUST_CHECK enum err cert_table_want(struct cert_table *t, const char *identity);
void cert_table_forget(struct cert_table *t, const char *identity);

/*
 * A connection waits for this identity's first certificate: it goes before those that are only prepared or renewed.
 * Harmless for one that is not wanted, has one, or failed already.
 */
void cert_table_hurry(struct cert_table *t, const char *identity);

/* The set last published; borrowed until the next turn. For config_dump. */
const struct cert_set *cert_table_set(const struct cert_table *t);
struct cert_table_stats cert_table_stats(const struct cert_table *t);

#endif
