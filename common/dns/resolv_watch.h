/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolv_watch - reads resolv.conf, warns of lines that mean nothing, reads it again when it changed. Drives; belongs to the control thread.
 */
#ifndef COMMON_DNS_RESOLV_WATCH_H
#define COMMON_DNS_RESOLV_WATCH_H

#include "common/base/snapshot.h"
#include "common/dns/resolv_conf.h"
#include "common/io/loop.h"

struct resolv_watch;

enum { RESOLV_WATCH_MS = 5000 }; /* how long a change may go unnoticed */

/*
 * Read path now and publish it in cell as a struct resolv_conf, then again whenever the file has changed. A file that cannot be
 * read: a warning, and the last one that could stays; at first, an empty one is published.
 *
 * path: copied; NULL: /etc/resolv.conf
 * cell: borrowed until the end
 */
struct resolv_watch *resolv_watch_new(struct loop *loop, const char *path,
                                      struct snapshot_cell *cell);
/* Look now, as the timer would. */
void resolv_watch_check(struct resolv_watch *w);
void resolv_watch_free(struct resolv_watch *w);

#endif
