/* SPDX-License-Identifier: Apache-2.0 */
/*
 * k8s_json - an object of the Kubernetes API as jansson reads it, with limits on what a peer may make us hold. Pure.
 * RFC 8259; UTF-8, no duplicate keys.
 */
#ifndef COMMON_K8S_K8S_JSON_H
#define COMMON_K8S_K8S_JSON_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "common/base/err.h"
#include "common/base/span.h"

enum {
	K8S_JSON_DEPTH_MAX = 64, /* a pod needs 12, a custom resource's schema rarely 30 */
	K8S_JSON_WHY_MAX = 160,
};

/*
 * One JSON object; *ret_object is the caller's (json_decref).
 * Errs: ERR_PARSE (no JSON, no object, a key twice), ERR_LIMIT (too deep), ERR_MEMORY. why: for people, NUL-terminated,
 *       at least K8S_JSON_WHY_MAX octets.
 */
MUST_CHECK enum err k8s_json_parse(struct span text, json_t **ret_object, char *why);

/* The value at a path of keys ("metadata.name"); NULL when there is none. Borrowed. */
const json_t *k8s_json_at(const json_t *object, const char *path);
/* Its text, or "" when it is missing or no text. Borrowed. */
const char *k8s_json_text(const json_t *object, const char *path);

#endif
