/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cert_table - a certificate for each identity of this node: obtained, renewed at half its life, kept while valid
 * whatever happens to its renewal. Control thread; workers read the published cert_set. Contract 4.5, 11.2.
 */
#ifndef COMMON_IDENTITY_CERT_TABLE_H
#define COMMON_IDENTITY_CERT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/snapshot.h"
#include "common/identity/ca_client.h"
#include "common/io/loop.h"
#include "common/tls/tls_config.h"

/* What workers see: immutable, counted, sorted by identity. */
struct cert_set;
struct cert_set *cert_set_of(struct snapshot *s); /* of the cell's value */
/* Borrowed while the set is held; NULL when there is none now. */
struct tls_config *cert_set_find(const struct cert_set *set, const char *identity);

enum cert_state { CERT_INITIALIZING, CERT_AVAILABLE, CERT_UNAVAILABLE };

/* What happened to one identity, for metrics and the log. why: "" on success. */
struct cert_event {
	const char *identity;
	enum err result;               /* ERR_OK: a new certificate is in use */
	const char *why;
	int64_t not_before, not_after; /* of the certificate in use; 0: none */
};

struct cert_table_options {
	uint64_t ttl_s;
	void (*event)(void *arg, const struct cert_event *ev); /* may be NULL */
	void *arg;
};

struct cert_table;

/* ca, cell: borrowed until cert_table_free. The cell receives struct cert_set values. */
struct cert_table *cert_table_new(struct loop *loop, struct ca_client *ca, struct snapshot_cell *cell,
                                  const struct cert_table_options *opt);
/* Counted: the identity is needed (once more). The first call starts asking for it. */
void cert_table_want(struct cert_table *t, const char *identity);
/* Needed once less; at none it is forgotten, and an answer in flight discarded. */
void cert_table_forget(struct cert_table *t, const char *identity);

/* One entry, for config_dump: i-th by identity; false past the end. Borrowed until the loop turns. */
struct cert_entry_facts {
	const char *identity;
	enum cert_state state;
	const char *why;            /* of UNAVAILABLE */
	struct tls_config *config;  /* NULL when there is none */
};
bool cert_table_at(const struct cert_table *t, size_t i, struct cert_entry_facts *ret);

/* Ask nothing more; free once cert_table_stopped(). */
void cert_table_stop(struct cert_table *t);
bool cert_table_stopped(const struct cert_table *t);
void cert_table_free(struct cert_table *t);

#endif
