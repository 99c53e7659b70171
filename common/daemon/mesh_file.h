/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mesh_file - the file with the mesh-wide half of ProxyConfig. Contract 1.3.1.
 */
#ifndef COMMON_DAEMON_MESH_FILE_H
#define COMMON_DAEMON_MESH_FILE_H

#include "common/base/buf.h"

#define MESH_FILE "./etc/istio/config/mesh"

/*
 * What stands in MESH_FILE, seen from the working directory; nothing when there is surely no such file. text is
 * initialised here, and the caller's to fini also on failure. Errs: ERR_CONFIG: a line was added to errors
 */
MUST_CHECK enum err mesh_file_read(struct buf *text, struct buf *errors);

#endif
