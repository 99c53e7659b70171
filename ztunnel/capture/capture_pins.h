/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture_pins - the directory of pinned maps and links, which outlives processes. Drives.
 *
 *   <root>/{pods_map,hostns,podip,passconn,ztsock,stats,link_sockops}
 *   <root>/pods/<cookie>/{cfg,own,virt,socks,state,link,guard-<ifindex>}
 */
#ifndef ZTUNNEL_CAPTURE_CAPTURE_PINS_H
#define ZTUNNEL_CAPTURE_CAPTURE_PINS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "ztunnel/capture/why.h"

enum { PIN_PATH_MAX = 512, PIN_ROOT_MAX = 400 };

/*
 * Make root a directory on a bpffs: under /sys/fs/bpf, mounting one there when that is none; elsewhere, mounting
 * one on root itself. Errs: ERR_CONFIG for the path, ERR_SYSTEM
 */
MUST_CHECK enum err pins_prepare(const char *root, char why[WHY_MAX]);

/* <root>/<name>, and <root>/pods/<cookie>[/<name>]; root was accepted by pins_prepare. Return path. */
const char *pins_path(const char *root, const char *name, char path[PIN_PATH_MAX]);
const char *pins_pod_path(const char *root, uint64_t cookie, const char *name,
                          char path[PIN_PATH_MAX]);
/* The cookie a directory entry under <root>/pods stands for. */
bool pins_cookie_of(const char *entry, uint64_t *ret_cookie);

/* Remove a pod's directory and all in it: what is attached only through it ends. Errs: ERR_SYSTEM */
MUST_CHECK enum err pins_remove_pod(const char *root, uint64_t cookie, char why[WHY_MAX]);

/* A descriptor of the root of cgroup v2: from path, or NULL: where it is mounted, or a mount of our own. */
MUST_CHECK enum err cgroup_root_open(const char *path, int *ret_fd, char why[WHY_MAX]);

#endif
