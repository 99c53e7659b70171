/* SPDX-License-Identifier: Apache-2.0 */
/*
 * local_state - the world as the local file (LOCAL_XDS_PATH) or text (LOCAL_XDS) tells it: read at the start, read again
 * when the file changed or on request. A file that does not parse changes nothing: the last good state stays.
 */
#ifndef ZTUNNEL_LOCAL_STATE_H
#define ZTUNNEL_LOCAL_STATE_H

#include <stdbool.h>
#include <sys/stat.h>

#include "common/base/err.h"
#include "common/io/loop.h"
#include "common/io/timer.h"
#include "common/mesh/mesh.h"
#include "common/telemetry/metrics.h"

/* Looking is cheap and works for files replaced by rename, symlink or mount alike. */
enum { LOCAL_STATE_LOOK_MS = 250 };

struct local_state {
	struct loop *loop;
	struct metrics_shard *shard;
	const char *path; /* NULL: text, or nothing */
	struct stat seen; /* of the file that was read last, good or bad */
	struct timer look;
	/* A new good state; a reference is lent for the call. Not called for the first one. */
	void (*changed)(struct local_state *s, struct mesh *mesh);
};

/*
 * Read path, or text, or (both NULL or empty) the empty mesh, and watch path from now on. Errors are logged, line by line.
 * Errs: ERR_CONFIG, ERR_LIMIT, ERR_SYSTEM: the first state must be good
 */
MUST_CHECK enum err local_state_start(struct local_state *s, struct loop *loop,
                                      struct metrics_shard *shard, const char *path,
                                      const char *text, struct mesh **ret_mesh);
/* Read again now (SIGHUP), whether it changed or not. */
void local_state_reload(struct local_state *s);
void local_state_stop(struct local_state *s);

#endif
