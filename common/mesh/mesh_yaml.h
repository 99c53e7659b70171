/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh_yaml - the local state file (LOCAL_XDS_PATH, LOCAL_XDS) into a sealed mesh. Contract 1.5.
 *
 * Strict: unknown, duplicate and missing keys and wrong types are refused, all in one run, each as
 * "file:line:column: error: path.to.key: what is wrong, what to do" with the line and a caret beneath.
 * mesh_yaml_parse is pure; mesh_yaml_load reads one file.
 */
#ifndef COMMON_MESH_MESH_YAML_H
#define COMMON_MESH_MESH_YAML_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/mesh/mesh.h"

/* 100,000 workloads of 600 octets, the largest mesh istiod is known for, with room. */
enum { MESH_YAML_FILE_MAX = 64 * 1024 * 1024 };

/*
 * source:   how messages name the text ("mesh.yaml", "LOCAL_XDS")
 * messages: errors, and warnings also on success, are appended, lines ending in '\n'
 * Errs: ERR_CONFIG (messages say what), ERR_LIMIT (larger than the limits; messages say which), ERR_SYSTEM (the
 *       file cannot be read; messages say why)
 */
MUST_CHECK enum err mesh_yaml_parse(struct span text, const char *source, struct buf *messages,
                                    struct mesh **ret_mesh);
MUST_CHECK enum err mesh_yaml_load(const char *path, struct buf *messages, struct mesh **ret_mesh);

#endif
