/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture_link - programs attached through pinned links, so that they outlive us and are replaced in place. Drives.
 */
#ifndef ZTUNNEL_CAPTURE_CAPTURE_LINK_H
#define ZTUNNEL_CAPTURE_CAPTURE_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "ztunnel/capture/why.h"

/* What the kernel calls a program's text; the same for the same program over the same types. */
struct program_tag {
	uint8_t bytes[8];
};

MUST_CHECK enum err link_program_tag(int prog_fd, struct program_tag *ret_tag, char why[WHY_MAX]);

enum link_state {
	LINK_ABSENT,  /* not pinned */
	LINK_CURRENT, /* runs this program */
	LINK_OLD,     /* runs another one */
	LINK_DEAD,    /* what it was attached to is gone */
};

/* tag may be NULL: any program is current. */
enum link_state link_look(const char *path, const struct program_tag *tag);

/* Where a program goes. */
struct link_target {
	int attach_type;  /* enum bpf_attach_type */
	int fd;           /* cgroup or namespace; unused for a device */
	uint32_t ifindex; /* of a device in the calling thread's namespace, or 0 */
};

/*
 * Attach prog_fd at target through a link pinned at path; a link that is there gets the program instead, without
 * a moment between. Returns 0 or -errno, -EINVAL also when the kernel has no such attachment.
 */
int link_put(const char *path, int prog_fd, const struct link_target *target);
/* Detach now, also if someone else holds the link, and unpin. Idempotent. */
void link_drop(const char *path);

enum {
	LINK_TCX_EGRESS =
		47, /* BPF_TCX_EGRESS, of Linux 6.6: newer than the headers we build with */
};

#endif
