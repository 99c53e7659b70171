/* SPDX-License-Identifier: Apache-2.0 */
/*
 * original_dst - who called whom, of a connection accepted on a captured pod's listener.
 *
 * Capture never rewrites an address, so the socket's own names are the original ones.
 */
#ifndef ZTUNNEL_CAPTURE_ORIGINAL_DST_H
#define ZTUNNEL_CAPTURE_ORIGINAL_DST_H

#include "common/base/err.h"
#include "common/base/netaddr.h"

/*
 * fd:   accepted
 * src:  the peer; dst: where it wanted to go. IPv4-mapped addresses are unmapped.
 * Errs: ERR_RESET the peer is gone already, ERR_SYSTEM; nothing is written
 */
MUST_CHECK enum err listener_original_dst(int fd, struct endpoint *ret_src,
                                          struct endpoint *ret_dst);

/*
 * The same where a rule of netfilter redirected the connection to the listener: what connection tracking remembers,
 * else the socket's own names.
 */
MUST_CHECK enum err listener_redirected_dst(int fd, struct endpoint *ret_src,
                                            struct endpoint *ret_dst);

#endif
