/* SPDX-License-Identifier: Apache-2.0 */
/*
 * app - the whole node proxy: owns everything, builds it in order, stops it in reverse. Contract 12.
 */
#ifndef ZTUNNEL_APP_H
#define ZTUNNEL_APP_H

#include "common/daemon/args.h"
#include "common/daemon/settings.h"

struct app;

/* Run until told to stop. settings, args: borrowed. The process's exit status. */
int app_run(const struct settings *settings, const struct args *args);

#endif
