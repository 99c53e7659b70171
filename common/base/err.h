/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err - the one error type of the product. Pure. Rows live in err.def.
 */
#ifndef COMMON_BASE_ERR_H
#define COMMON_BASE_ERR_H

#include <stdint.h>

#define MUST_CHECK __attribute__((warn_unused_result))

enum err {
#define ERR(name, blame, http, h2, flag, words) ERR_##name,
#include "common/base/err.def"
#undef ERR
	ERR_COUNT, /* not an error: how many there are */
};

/* Who has to act when this happens. */
enum err_blame {
	BLAME_NONE,
	BLAME_LOCAL,   /* this proxy or its machine */
	BLAME_PEER,    /* the other end of a connection */
	BLAME_POLICY,  /* an administrator's decision */
	BLAME_CONFIG,  /* what we were told about the world */
	BLAME_CONTROL, /* a control plane or CA */
};

struct err_info {
	const char *name;  /* "DIAL_REFUSED" */
	const char *words; /* for people */
	const char *flag;  /* response_flags label */
	enum err_blame blame;
	uint16_t http_status;
	uint32_t h2_code;
};

/* The row of e. Never NULL; a value outside the table is ERR_INTERNAL's row. */
const struct err_info *err_info(enum err e);

/* A connect(2) errno (positive) as an error: refused, unreachable, timed out, or DIAL. */
enum err err_of_connect(int errnum);

#endif
