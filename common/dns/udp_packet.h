/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp_packet - a UDP datagram with its IP header, for a raw socket that answers in another's name. Pure. RFC 768, 791, 8200.
 */
#ifndef COMMON_DNS_UDP_PACKET_H
#define COMMON_DNS_UDP_PACKET_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/netaddr.h"
#include "common/base/span.h"

enum {
	UDP_PACKET_HEAD_MAX = 48,                      /* IPv6 and UDP */
	UDP_PAYLOAD_MAX = 65535 - UDP_PACKET_HEAD_MAX, /* what fits into either family */
};

/*
 * Put the packet into out, which is empty. The IPv4 header's checksum, length and id are left for the kernel to fill in, as raw(7) says.
 * Errs: ERR_LIMIT too long; ERR_CONFIG from and to are not of one family
 */
MUST_CHECK enum err udp_packet_write(const struct endpoint *from, const struct endpoint *to,
                                     struct span payload, struct buf *out);

#endif
