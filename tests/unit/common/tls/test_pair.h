/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_pair - two of our sessions joined by memory, established, and hands to seal and open with.
 */
#ifndef TESTS_UNIT_COMMON_TLS_TEST_PAIR_H
#define TESTS_UNIT_COMMON_TLS_TEST_PAIR_H

#include "common/base/buf.h"
#include "common/base/span.h"
#include "common/tls/tls_session.h"
#include "tests/unit/common/tls/test_pki.h"

struct test_pair {
	struct tls_session *c, *s;
	struct buf to_c, to_s;
};

void test_pair_init(struct test_pair *p, struct test_pki *pki, const char *client_id,
                    const char *server_id);
void test_pair_fini(struct test_pair *p);

/* Append one sealed record. */
void test_put_sealed(struct tls_session *s, struct buf *to, struct span plain);
/* Open the record at the front of from; what ret points at stays until the next call. */
enum err test_open_front(struct tls_session *s, struct buf *from, struct tls_opened *ret);
/* The record at the front of from holds exactly these octets. */
void test_expect_plain(struct tls_session *s, struct buf *from, struct span plain);

#endif
