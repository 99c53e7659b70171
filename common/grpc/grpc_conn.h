/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grpc_conn - what a client and a server of gRPC do alike on an HTTP/2 connection.
 */
#ifndef COMMON_GRPC_GRPC_CONN_H
#define COMMON_GRPC_GRPC_CONN_H

#include <stdint.h>

#include "common/base/err.h"
#include "common/base/span.h"
#include "common/h2/h2_conn.h"

/* Sensible for control traffic: windows that keep a push of many megabytes moving, PING as the contract asks (4.1). */
extern const struct h2_options grpc_client_options, grpc_server_options;

/* Queue one message, copied. Errs: ERR_MEMORY, ERR_H2_STREAM_RESET; the stream should then be reset. */
MUST_CHECK enum err grpc_conn_put(struct h2_conn *c, int32_t stream_id, struct span message);
/* One more field, of texts that are borrowed. Returns n + 1. */
unsigned int grpc_conn_field(struct h2_field *to, unsigned int n, const char *name,
                             const char *value);
/* Received octets were looked at: give their window back. */
void grpc_conn_taken(struct h2_conn *c, int32_t stream_id, size_t n);
/* End it: at once while it is not open yet, else with GOAWAY. */
void grpc_conn_close(struct h2_conn *c);

#endif
