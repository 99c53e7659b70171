/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_peer - the other end of a session under test: wolfSSL alone, without any of our code, and as careless as
 * a test wants it to be.
 */
#ifndef TESTS_UNIT_COMMON_TLS_TEST_PEER_H
#define TESTS_UNIT_COMMON_TLS_TEST_PEER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/span.h"
#include "common/tls/tls_session.h"
#include "tests/unit/common/tls/test_pki.h"

struct test_peer_options {
	enum tls_role role;                   /* of the peer */
	const struct test_material *material; /* NULL: no certificate */
	const char *alpn;                     /* NULL: none offered */
	const char *suites;                   /* NULL: ours */
	int group;                            /* 0: the library's choice */
};

struct test_peer {
	void *ctx, *ssl;
	enum tls_role role;
	struct buf in;  /* for the peer to read */
	struct buf out; /* the peer wrote */
	bool done;
	int error; /* of the library, when the handshake failed */
	int alert; /* received, or -1 */
};

void test_peer_init(struct test_peer *p, const struct test_peer_options *opt);
void test_peer_fini(struct test_peer *p);
/* Advance the handshake with what is in p->in. */
void test_peer_step(struct test_peer *p);
void test_peer_write(struct test_peer *p, struct span plain);
/* Plain bytes read, or < 0: nothing, or an error. */
int test_peer_read(struct test_peer *p, void *to, size_t n);
/* Send a KeyUpdate that asks for another. */
void test_peer_key_update(struct test_peer *p);
void test_peer_close(struct test_peer *p);

/* Run both until neither has anything to say. Returns what the session answered last. */
enum err test_peer_run(struct test_peer *p, struct tls_session *s, struct buf *rest);

#endif
