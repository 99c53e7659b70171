/* SPDX-License-Identifier: Apache-2.0 */
#include "common/daemon/mesh_file.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

void mesh_file_check(struct buf *errors)
{
	struct stat st;

	if (stat(MESH_FILE, &st) == 0)
		buf_put_str(errors,
		            MESH_FILE ": not read here yet, and passing over it would change what "
		                      "it asks for: remove it and use the single variables of "
		                      "docs/settings.md\n");
	else if (errno != ENOENT && errno != ENOTDIR)
		buf_printf(errors,
		           MESH_FILE ": cannot tell whether there is one: %s: let this process see "
		                     "it, or start it in another working directory\n",
		           strerror(errno));
}
