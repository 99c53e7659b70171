/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build_info - what this binary is: for `version`, the config dump and istio_build. Pure.
 */
#ifndef COMMON_DAEMON_BUILD_INFO_H
#define COMMON_DAEMON_BUILD_INFO_H

#include "common/codec/json_write.h"

struct build_info {
	const char *version;
	const char *
		git_revision; /* with "-dirty" behind it when files differ; "unknown" outside a repository */
	const char *compiler;
	const char *profile; /* meson's build type */
};

const struct build_info *build_info(void);
/* The value of "version" in the config dump (contract 11.2). istio_version, crypto: borrowed, may be "". */
void build_info_json(struct json_write *w, const char *istio_version, const char *crypto);

#endif
