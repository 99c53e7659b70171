/* SPDX-License-Identifier: Apache-2.0 */
#include "ztunnel/capture/original_dst.h"

#include <errno.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <netinet/in.h>
#include <sys/socket.h>

static enum err failure(int errnum)
{
	return errnum == ENOTCONN || errnum == ECONNRESET ? ERR_RESET : ERR_SYSTEM;
}

enum err listener_original_dst(int fd, struct endpoint *ret_src, struct endpoint *ret_dst)
{
	struct sockaddr_storage src, dst;
	socklen_t src_len = sizeof(src), dst_len = sizeof(dst);

	if (getpeername(fd, (struct sockaddr *)&src, &src_len) != 0 ||
	    getsockname(fd, (struct sockaddr *)&dst, &dst_len) != 0)
		return failure(errno);
	*ret_src = endpoint_of_sockaddr(&src);
	*ret_dst = endpoint_of_sockaddr(&dst);
	return ERR_OK;
}

enum err listener_redirected_dst(int fd, struct endpoint *ret_src, struct endpoint *ret_dst)
{
	enum err e = listener_original_dst(fd, ret_src, ret_dst);
	struct sockaddr_storage dst = {0};
	socklen_t len = sizeof(dst);

	if (e == ERR_OK && (getsockopt(fd, SOL_IP, SO_ORIGINAL_DST, &dst, &len) == 0 ||
	                    getsockopt(fd, SOL_IPV6, IP6T_SO_ORIGINAL_DST, &dst, &len) == 0))
		*ret_dst = endpoint_of_sockaddr(&dst);
	return e;
}
