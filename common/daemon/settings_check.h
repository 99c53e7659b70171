/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settings_check - what one variable alone cannot tell, and forms that need a closer look. Pure. Contract 1.3.
 */
#ifndef COMMON_DAEMON_SETTINGS_CHECK_H
#define COMMON_DAEMON_SETTINGS_CHECK_H

#include "common/daemon/settings.h"

/* A line to errors for each mistake. */
void settings_check(const struct settings *s, struct buf *errors);
/* XDS_HEADER_<name>, CA_HEADER_<name>: whether name and value may stand in a request. */
void settings_check_prefixed(struct span name, struct span value, struct buf *errors);

#endif
