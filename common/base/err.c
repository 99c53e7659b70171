/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/err.h"

#include <errno.h>

static const struct err_info table[ERR_COUNT] = {
#define ERR(name, blame, http, h2, flag, words) \
	[ERR_##name] = {#name, words, flag, BLAME_##blame, http, h2},
#include "common/base/err.def"
#undef ERR
};

const struct err_info *err_info(enum err e)
{
	return (unsigned int)e < ERR_COUNT ? &table[e] : &table[ERR_INTERNAL];
}

enum err err_of_connect(int errnum)
{
	switch (errnum) {
	case ECONNREFUSED: return ERR_DIAL_REFUSED;
	case ETIMEDOUT: return ERR_DIAL_TIMEOUT;
	case ENETUNREACH:
	case EHOSTUNREACH: return ERR_DIAL_UNREACHABLE;
	default: return ERR_DIAL;
	}
}
