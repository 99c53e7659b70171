/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_config - Istio's ProxyConfig, out of the mesh configuration or by itself: what of it concerns us. Pure.
 * Contract 1.3.1. YAML or JSON; keys that are none of ours are passed over.
 */
#ifndef COMMON_DAEMON_PROXY_CONFIG_H
#define COMMON_DAEMON_PROXY_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/span.h"

enum {
	SETTINGS_METADATA_MAX = 128,
	PROXY_CONFIG_TEXT_MAX =
		1024 * 1024, /* of the whole; a mesh configuration carries root certificates */
};

struct settings_metadata {
	char *name; /* without ISTIO_META_ */
	char *value;
};

struct proxy_config {
	char *discovery_address; /* NULL: not said */
	int64_t concurrency;     /* -1: not said; 0: all cores */
	uint16_t admin_port;     /* 0: not said */
	uint16_t stats_port;     /* 0: not said */
	struct settings_metadata metadata[SETTINGS_METADATA_MAX];
	size_t metadata_count;
};

enum proxy_config_kind {
	PROXY_CONFIG_ALONE,   /* the keys stand at the top */
	PROXY_CONFIG_OF_MESH, /* they stand under defaultConfig */
};

void proxy_config_init(struct proxy_config *pc); /* nothing is said */
void proxy_config_fini(struct proxy_config *pc);
/*
 * What text says wins over what pc says; metadata is united.
 *
 * source: what to call the text in messages
 * errors: gets a message for each mistake, compiler style
 * Errs: ERR_CONFIG, ERR_LIMIT: pc holds what was understood, and is not to be used
 */
MUST_CHECK enum err proxy_config_merge(struct proxy_config *pc, enum proxy_config_kind kind,
                                       const char *source, struct span text, struct buf *errors);

/* Keep name and value, replacing an earlier value of the name. Errs: ERR_LIMIT */
MUST_CHECK enum err metadata_put(struct settings_metadata *list, size_t *count, struct span name,
                                 struct span value);

#endif
