/* SPDX-License-Identifier: Apache-2.0 */
/*
 * datagram - captured UDP: where a datagram wanted to go, and an answer that comes from there. Pure.
 *
 * An answer has to come from the address and port that were asked. No socket of ours is bound to them (an application
 * may be), so it leaves by a raw socket, with its headers written here: RFC 791, RFC 8200, RFC 768.
 */
#ifndef ZTUNNEL_CAPTURE_DATAGRAM_H
#define ZTUNNEL_CAPTURE_DATAGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/base/netaddr.h"
#include "common/base/span.h"

enum {
	DATAGRAM_HEAD_MAX = 48,     /* of IPv6 and UDP */
	DATAGRAM_BYTES_MAX = 65488, /* of payload: what IPv6 takes over loopback in one packet */
	DATAGRAM_CONTROL_MAX = 128, /* what the kernel says beside one datagram */
};

/*
 * The destination a received datagram had, out of its control messages (IP_ORIGDSTADDR, IPV6_ORIGDSTADDR). False
 * when they do not say.
 */
bool datagram_original_dst(const struct msghdr *msg, struct endpoint *ret_dst);

/*
 * Write the headers of a datagram, checksum included: head and payload together are what a raw socket sends.
 *
 * from, to: of one family
 * Returns their length; 0 when the families differ or the payload is longer than DATAGRAM_BYTES_MAX
 */
size_t datagram_head(const struct endpoint *from, const struct endpoint *to, struct span payload,
                     uint8_t head[DATAGRAM_HEAD_MAX]);

#endif
