/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ca_client - one face for everything certificates come from: a CA that signs requests, or files somebody
 * else keeps fresh. Control thread only.
 */
#ifndef COMMON_IDENTITY_CA_CLIENT_H
#define COMMON_IDENTITY_CA_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/identity/file_mark.h"
#include "common/io/loop.h"

enum {
	CA_CHAIN_MAX = 64 * 1024,  /* octets of PEM */
	CA_ROOTS_MAX = 256 * 1024, /* octets of PEM */
	CA_KEY_MAX = 16 * 1024,    /* octets of PEM */
	CA_WHY_MAX = 256,          /* octets of a reason, with the NUL */
	CA_PATH_MAX = 1024,        /* octets of a path, with the NUL */
	CA_MARKS = 3,              /* files that can be behind an identity */
};

struct ca_client;
struct ca_request;
typedef void ca_done_fn(struct ca_request *r);

/*
 * ca_request - one identity's material on its way.
 *
 * Own:  embedded by the asker; stays valid until done.
 * Call: done() runs once per fetch, from loop_turn(), never inside ca_client_fetch.
 * Res:  err, and when ERR_OK the three PEM texts; readable inside done(), which ends with ca_request_fini.
 */
struct ca_request {
	ca_done_fn *done;
	const char *identity; /* borrowed until done */
	uint64_t ttl_s;       /* wished lifetime; the CA may shorten it */
	enum err err;         /* ERR_CA, ERR_IDENTITY, ERR_CANCELLED, ... */
	char why[CA_WHY_MAX]; /* when err: a sentence for people */
	struct buf chain_pem; /* leaf first */
	struct buf key_pem;
	struct buf roots_pem;
	bool pending; /* true from fetch until done() */
	bool marked;  /* private to the client: marks are set */
	struct file_mark
		marks[CA_MARKS]; /* private to the client: of its files when they were last read */
	struct op op;            /* private to the client */
	struct ca_client *ca;    /* private to the client */
};

/* Wipe and free the texts; harmless on a zeroed one. */
void ca_request_fini(struct ca_request *r);

/* What a kind of client implements. */
struct ca_client_ops {
	const char *name; /* for logs: "dev", "files" */
	void (*fetch)(struct ca_client *ca, struct ca_request *r);
	void (*cancel)(struct ca_client *ca, struct ca_request *r);
	/* Has what is behind the identity changed since last fetched it? NULL: never by itself. */
	bool (*changed)(struct ca_client *ca, const struct ca_request *last);
	void (*free)(struct ca_client *ca);
};

/* First member of every kind of client. */
struct ca_client {
	const struct ca_client_ops *ops;
	struct loop *loop; /* borrowed */
};

/* identity is borrowed until done. r was zeroed by its owner before its first use. */
void ca_client_fetch(struct ca_client *ca, struct ca_request *r, const char *identity,
                     uint64_t ttl_s, ca_done_fn *done);
/* Ask for an early end; done() still runs, with ERR_CANCELLED unless it was over. Harmless when not pending. */
void ca_client_cancel(struct ca_client *ca, struct ca_request *r);
/* last: of a fetch that is over; false for one that never began. */
bool ca_client_changed(struct ca_client *ca, const struct ca_request *last);
void ca_client_free(struct ca_client *ca); /* no request may be pending: CHECKed by the kinds */

/* For the kinds: end r at the next step of the loop; r->why says more when e is not ERR_OK. */
void ca_request_finish(struct ca_client *ca, struct ca_request *r, enum err e);

#endif
