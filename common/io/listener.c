/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/listener.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static bool set_flag(int fd, int level, int name, bool value)
{
	int v = value;

	return setsockopt(fd, level, name, &v, sizeof(v)) == 0;
}

static bool prepare(int fd, const struct endpoint *ep, const struct listener_options *opt)
{
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(ep, false, &ss);
	int backlog = opt->backlog > 0 ? opt->backlog : INT_MAX;

	if (!set_flag(fd, SOL_SOCKET, SO_REUSEADDR, true))
		return false;
	if (opt->reuse_port && !set_flag(fd, SOL_SOCKET, SO_REUSEPORT, true))
		return false;
	if (ep->ip.family == IP_V6 && !set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY, opt->v6_only))
		return false;
	return bind(fd, (struct sockaddr *)&ss, len) == 0 && listen(fd, backlog) == 0;
}

static int open_socket(enum ip_family family)
{
	return socket(family == IP_V4 ? AF_INET : AF_INET6,
	              SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

enum err listener_open(const struct endpoint *ep, const struct listener_options *opt, int *ret_fd)
{
	static const struct listener_options defaults;
	struct endpoint at = *ep;
	int fd, saved;

	if (at.ip.family == IP_NONE)
		at.ip.family = IP_V6;
	fd = open_socket((enum ip_family)at.ip.family);
	if (fd < 0 && errno == EAFNOSUPPORT && ep->ip.family == IP_NONE) {
		at.ip.family = IP_V4;
		fd = open_socket(IP_V4);
	}
	if (fd < 0)
		return ERR_SYSTEM;
	if (prepare(fd, &at, opt != NULL ? opt : &defaults)) {
		*ret_fd = fd;
		return ERR_OK;
	}
	saved = errno;
	(void)close(fd);
	errno = saved;
	return ERR_SYSTEM;
}

enum err listener_endpoint(int fd, struct endpoint *ret_ep)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0)
		return ERR_SYSTEM;
	*ret_ep = endpoint_of_sockaddr(&ss);
	return ERR_OK;
}
