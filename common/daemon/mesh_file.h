/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh_file - the file with the mesh-wide half of ProxyConfig. Contract 1.3.1.
 * It is not read yet: where there is one, the start is refused, because passing over it would run something else
 * than was asked for.
 */
#ifndef COMMON_DAEMON_MESH_FILE_H
#define COMMON_DAEMON_MESH_FILE_H

#include "common/base/buf.h"

#define MESH_FILE "./etc/istio/config/mesh"

/* Adds a line to errors unless there is surely no file at MESH_FILE, seen from the working directory. */
void mesh_file_check(struct buf *errors);

#endif
