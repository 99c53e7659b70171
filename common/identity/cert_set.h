/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cert_set - the identities of this node and what each can show, as one immutable snapshot: published by the
 * cert_table on the control thread, read by every worker. Pure.
 *
 * A worker keeps a generation and a held set and calls snapshot_refresh() once per turn.
 */
#ifndef COMMON_IDENTITY_CERT_SET_H
#define COMMON_IDENTITY_CERT_SET_H

#include <stddef.h>

#include "common/base/err.h"
#include "common/base/snapshot.h"
#include "common/tls/tls_config.h"

enum cert_state {
	CERT_INITIALIZING, /* asked for the first time; wait */
	CERT_AVAILABLE,    /* cfg is not NULL and has not expired when it was published */
	CERT_UNAVAILABLE, /* the last try failed and there is nothing to show: fail at once (contract 4.5) */
};

struct cert_entry {
	char *identity;
	enum cert_state state;
	struct tls_config *cfg; /* one reference; NULL unless available */
	char *why;              /* a sentence for people; NULL unless unavailable */
};

struct cert_set {
	struct snapshot snap;
	size_t count;
	struct cert_entry entries[]; /* sorted by identity, byte-wise */
};

/* NULL when the identity is not one of this node (or not yet known to be). Borrowed from the set. */
const struct cert_entry *cert_set_find(const struct cert_set *set, const char *identity);
/*
 * The config to shake hands with; borrowed from the set.
 * Errs: ERR_IDENTITY when there is none, with the entry (or NULL) in *ret_entry for the why
 */
MUST_CHECK enum err cert_set_config(const struct cert_set *set, const char *identity,
                                    struct tls_config **ret_cfg,
                                    const struct cert_entry **ret_entry);
/* "Available", "Initializing" or "Unavailable: <why>" (contract 11.2), with a NUL; cut to fit. Returns out. */
const char *cert_entry_state_text(const struct cert_entry *e, char *out, size_t out_len);

#endif
