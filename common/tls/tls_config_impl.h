/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_config_impl - what tls_handshake needs of a tls_config. Private to this room.
 */
#ifndef COMMON_TLS_TLS_CONFIG_IMPL_H
#define COMMON_TLS_TLS_CONFIG_IMPL_H

#include "common/base/span.h"
#include "common/tls/tls_config.h"
#include "common/tls/tls_session.h"

struct WOLFSSL_CTX;

/* Borrowed while c lives; what is made from it takes its own reference. */
struct WOLFSSL_CTX *tls_config_library(const struct tls_config *c, enum tls_role role);
/* Subject Names of the roots; borrowed. */
const struct span *tls_config_root_names(const struct tls_config *c, unsigned int *ret_count);
/* The roots themselves, in DER; borrowed. */
const struct span *tls_config_roots(const struct tls_config *c, unsigned int *ret_count);
const struct tls_policy *tls_config_policy(const struct tls_config *c);
/* TLS 1.2 is spoken, too. */
bool tls_config_speaks_12(const struct tls_config *c);

#endif
