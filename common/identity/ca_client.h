/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ca_client - where certificates come from: one face for the development CA, for files, and later for istiod and others.
 * Drives; control thread only. Contract 4.
 */
#ifndef COMMON_IDENTITY_CA_CLIENT_H
#define COMMON_IDENTITY_CA_CLIENT_H

#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/io/loop.h"

enum { CA_WHY_MAX = 256 };

/* One certificate being asked for. Embedded by the asker. */
struct ca_request {
	struct op op;         /* done() runs from a later turn, never inside ca_client_ask */
	const char *identity; /* "spiffe://td/ns/x/sa/y"; borrowed until done */
	uint64_t ttl_s;       /* asked for; the CA may shorten it */
	/* Results, of ERR_OK: PEM texts, the asker's to fini (the key with buf_wipe_fini). */
	struct buf ret_chain, ret_key, ret_roots;
	enum err ret_err;     /* ERR_CA, ERR_IDENTITY, ERR_SYSTEM */
	char ret_why[CA_WHY_MAX];
};

struct ca_client;
struct ca_client_ops {
	void (*ask)(struct ca_client *c, struct loop *loop, struct ca_request *req, op_done_fn *done);
	void (*free)(struct ca_client *c);
};
/* First member of every kind of client. */
struct ca_client {
	const struct ca_client_ops *ops;
};

static inline void ca_client_ask(struct ca_client *c, struct loop *loop, struct ca_request *req,
                                 op_done_fn *done)
{
	c->ops->ask(c, loop, req, done);
}

static inline void ca_client_free(struct ca_client *c)
{
	if (c != NULL)
		c->ops->free(c);
}

/*
 * The development CA: signs in this process with a root key in a file that the nodes of a lab share; made (0600) when
 * missing, by whichever node is first. Never for production: whoever reads the file can be anybody.
 * Errs: ERR_CONFIG, ERR_SYSTEM with why.
 */
MUST_CHECK enum err ca_dev_new(const char *key_path, const char *trust_domain, struct ca_client **ret_client,
                               char why[CA_WHY_MAX]);
/*
 * Certificates others put into files: <dir>/<namespace>.<service account>/{tls.crt,tls.key,ca.crt}, or
 * <dir>/{tls.crt,tls.key,ca.crt} where that is the identity asked for. Read at each ask.
 * Errs: ERR_CONFIG with why.
 */
MUST_CHECK enum err ca_files_new(const char *dir, struct ca_client **ret_client, char why[CA_WHY_MAX]);

#endif
