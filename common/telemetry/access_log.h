/* SPDX-License-Identifier: Apache-2.0 */
/*
 * access_log - the one line a connection leaves behind (contract 10.3). The writing is common/base/log's.
 *
 * How to use it: fill a struct access_record when the context of a connection is complete and call
 * access_log_opened(); when it ends set bytes, duration and cause and call access_log_complete(). Whoever
 * is turned away before that calls access_log_failed() with only src, dst, direction and cause.
 */
#ifndef COMMON_TELEMETRY_ACCESS_LOG_H
#define COMMON_TELEMETRY_ACCESS_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/netaddr.h"

enum access_direction { ACCESS_INBOUND, ACCESS_OUTBOUND };

/* Strings are borrowed for the call; NULL or "" leaves the field out. */
struct access_record {
	struct endpoint src;
	const char *src_workload; /* pod name, else canonical service */
	const char *src_namespace;
	const char *src_identity; /* only of a mutual TLS connection */
	const char *src_cluster;
	struct endpoint dst;        /* outbound: the next hop; inbound HBONE: our ip:15008 */
	const char *dst_hbone_addr; /* the CONNECT authority */
	const char *dst_service;    /* host name */
	const char *dst_workload;
	const char *dst_namespace;
	const char *dst_identity;
	const char *dst_cluster;
	enum access_direction direction;
	/* As the metrics count them: the log's point of view is worked out from the direction here. */
	uint64_t received_bytes; /* client to server */
	uint64_t sent_bytes;     /* server to client */
	uint64_t duration_ms;
	enum err cause;
	const char *
		cause_words; /* more exact than err_info(cause)->words ("explicitly denied by: ..."), or NULL */
};

/* "connection opened", at debug. */
void access_log_opened(const struct access_record *r);
/* "connection complete", at info, or at error when cause is not ERR_OK. */
void access_log_complete(const struct access_record *r);
/* "connection failed", at warn: early denials. */
void access_log_failed(const struct access_record *r);

enum { ACCESS_FIELDS_MAX = 17 };

/* What the fields of one line point into. */
struct access_line {
	struct log_field fields[ACCESS_FIELDS_MAX];
	size_t count;
	char src[ENDPOINT_TEXT_MAX];
	char dst[ENDPOINT_TEXT_MAX];
	char duration[24];
};

/* The fields of "connection complete", or of "connection opened", in order. Pure. */
void access_line_complete(const struct access_record *r, struct access_line *ret_line);
void access_line_opened(const struct access_record *r, struct access_line *ret_line);
void access_line_failed(const struct access_record *r, struct access_line *ret_line);

#endif
