/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prepared_socket - sockets inside a pod, made the way the proxy needs them.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ztunnel/steward/steward_internal.h"

enum { LISTEN_BACKLOG = 4096 }; /* the kernel cuts it to net.core.somaxconn */

static const struct ip loopback4 = {.family = IP_V4, .bytes = {127, 0, 0, 1}};
static const struct ip loopback6 = {.family = IP_V6, .bytes = {[15] = 1}};

struct listener_shape {
	uint16_t port;
	bool transparent; /* its connections' local address is not the pod's own */
	bool keepalive;   /* HTTP/2 has its own */
};

static const struct listener_shape shapes[LISTENER_KINDS] = {
	[LISTENER_OUT] = {PORT_OUT, true, true},
	[LISTENER_INPLAIN] = {PORT_INPLAIN, false, true},
	[LISTENER_HBONE] = {PORT_HBONE, false, false},
};

static int set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) == 0 ? 0 : -errno;
}

/* Known to capture as ours, if there is any. 0 or -errno. */
static int own_socket(const struct steward *s, int fd, enum capture_ztsock_kind kind)
{
	return s->capture == NULL ? 0 : capture_table_own_socket(&s->capture->table, fd, kind);
}

static int set_keepalive(int fd, const struct steward_keepalive *k)
{
	int res;

	if (!k->enabled)
		return 0;
	res = set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	if (res == 0)
		res = set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, (int)k->idle_s);
	if (res == 0)
		res = set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, (int)k->interval_s);
	if (res == 0)
		res = set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, (int)k->probes);
	if (res == 0 && k->user_timeout)
		res = set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
		              (int)((k->idle_s + k->interval_s * k->probes) * 1000));
	return res;
}

static int set_transparent(int fd, int family)
{
	int res = set_int(fd, IPPROTO_IP, IP_TRANSPARENT, 1);

	if (res == 0 && family == AF_INET6)
		res = set_int(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 1);
	return res;
}

static int bind_to(int fd, const struct endpoint *at)
{
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(at, false, &ss);

	return bind(fd, (struct sockaddr *)&ss, len) == 0 ? 0 : -errno;
}

static int bind_any(int fd, int family, uint16_t port)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	int res = family == AF_INET6 ? bind(fd, (struct sockaddr *)&v6, sizeof(v6))
	                             : bind(fd, (struct sockaddr *)&v4, sizeof(v4));

	return res == 0 ? 0 : -errno;
}

static int listener_set_up(const struct steward *s, int fd, int family,
                           const struct listener_shape *shape)
{
	int res = set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);

	if (res == 0 && !s->opt.without_port_reuse)
		res = set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (res == 0 && family == AF_INET6)
		res = set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	if (res == 0 && shape->transparent)
		res = set_transparent(fd, family);
	if (res == 0)
		res = set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1); /* and so have accepted ones */
	if (res == 0 && shape->keepalive)
		res = set_keepalive(fd, &s->opt.keepalive);
	if (res == 0)
		res = own_socket(s, fd, CAPTURE_ZT_UPSTREAM);
	if (res == 0)
		res = bind_any(fd, family, shape->port);
	if (res == -EADDRINUSE)
		res = bind_any(fd, family, 0); /* an application has it; we are found by slot */
	if (res == 0 && listen(fd, LISTEN_BACKLOG) != 0)
		res = -errno;
	return res;
}

static int listener_open_as(const struct steward *s, int family, const struct listener_shape *shape)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int res;

	if (fd < 0)
		return -errno;
	res = listener_set_up(s, fd, family, shape);
	if (res != 0) {
		(void)close(fd);
		return res;
	}
	return fd;
}

int prepared_listener_open(const struct steward *s, enum steward_listener kind)
{
	int fd = s->opt.without_ipv6 ? -EAFNOSUPPORT : listener_open_as(s, AF_INET6, &shapes[kind]);

	if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL)
		fd = listener_open_as(s, AF_INET, &shapes[kind]); /* a pod without IPv6 */
	return fd;
}

/* Where the DNS proxy of that family is bound. */
static struct endpoint dns_at(const struct steward *s, int family)
{
	struct endpoint at = family == AF_INET6 ? s->opt.dns_at6 : s->opt.dns_at4;

	if (at.ip.family == IP_NONE)
		at.ip = family == AF_INET6 ? loopback6 : loopback4;
	if (at.port == 0)
		at.port = PORT_DNS;
	return at;
}

static int bind_dns(const struct steward *s, int fd, int family)
{
	struct endpoint at = dns_at(s, family);
	int res = bind_to(fd, &at);

	if (res != -EADDRINUSE)
		return res;
	at.port = 0; /* an application has it; we are found by slot */
	return bind_to(fd, &at);
}

/* A question's destination is told with it. Transparent, for a pod without ::1, and for TCP as any listener. */
static int dns_set_up(const struct steward *s, int fd, int family, int type)
{
	int res = 0;

	if (!s->opt.without_port_reuse)
		res = set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (res == 0 && type == SOCK_STREAM)
		res = set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (res == 0 && family == AF_INET6)
		res = set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (res == 0)
		res = set_transparent(fd, family);
	if (res == 0 && type == SOCK_DGRAM)
		res = family == AF_INET6 ? set_int(fd, IPPROTO_IPV6, IPV6_RECVORIGDSTADDR, 1)
		                         : set_int(fd, IPPROTO_IP, IP_RECVORIGDSTADDR, 1);
	if (res == 0 && type == SOCK_STREAM)
		res = set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (res == 0)
		res = own_socket(s, fd, CAPTURE_ZT_UPSTREAM);
	if (res == 0)
		res = bind_dns(s, fd, family);
	if (res == 0 && type == SOCK_STREAM && listen(fd, LISTEN_BACKLOG) != 0)
		res = -errno;
	return res;
}

int dns_socket_open(const struct steward *s, enum steward_dns which)
{
	static const struct {
		int family, type;
	} of[STEWARD_DNS_SOCKETS] = {
		[STEWARD_DNS_UDP4] = {AF_INET, SOCK_DGRAM},
		[STEWARD_DNS_TCP4] = {AF_INET, SOCK_STREAM},
		[STEWARD_DNS_REPLY4] = {AF_INET, SOCK_RAW},
		[STEWARD_DNS_UDP6] = {AF_INET6, SOCK_DGRAM},
		[STEWARD_DNS_TCP6] = {AF_INET6, SOCK_STREAM},
		[STEWARD_DNS_REPLY6] = {AF_INET6, SOCK_RAW},
	};
	int family = of[which].family, type = of[which].type;
	int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC,
	                type == SOCK_RAW ? IPPROTO_RAW : 0);
	int res = 0;

	if (fd < 0)
		return -errno;
	if (type != SOCK_RAW)
		res = dns_set_up(s, fd, family, type);
	if (res != 0) {
		(void)close(fd);
		return res;
	}
	return fd;
}

/* A successor listens beside us until we let go. */
static int socks_set_up(const struct steward *s, int fd, const struct endpoint *at)
{
	int res = set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);

	if (res == 0 && !s->opt.without_port_reuse)
		res = set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (res == 0 && at->ip.family == IP_V6)
		res = set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (res == 0)
		res = set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (res == 0)
		res = set_keepalive(fd, &s->opt.keepalive);
	if (res == 0)
		res = own_socket(s, fd, CAPTURE_ZT_UPSTREAM);
	if (res == 0)
		res = bind_to(fd, at);
	if (res == 0 && listen(fd, LISTEN_BACKLOG) != 0)
		res = -errno;
	return res;
}

int socks_listener_open(const struct steward *s, enum steward_socks which)
{
	bool v6 = which == STEWARD_SOCKS6;
	const struct endpoint at = {.ip = v6 ? loopback6 : loopback4, .port = PORT_SOCKS};
	int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int res;

	if (fd < 0)
		return -errno;
	res = socks_set_up(s, fd, &at);
	if (res != 0) {
		(void)close(fd);
		return res;
	}
	return fd;
}

int upstream_open(const struct steward *s, int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int res;

	if (fd < 0)
		return -errno;
	res = set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (res == 0)
		res = set_keepalive(fd, &s->opt.keepalive);
	if (res == 0 && s->opt.mark != 0)
		res = set_int(fd, SOL_SOCKET, SO_MARK, (int)s->opt.mark);
	if (res != 0) {
		(void)close(fd);
		return res;
	}
	return fd;
}

/* Make fd appear as client:port. 0 or -errno. */
static int spoof(int fd, const struct ip *client, uint16_t port)
{
	struct endpoint as = {.ip = *client, .port = port};
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(&as, false, &ss);
	int res = set_int(fd, SOL_SOCKET, SO_MARK, CAPTURE_MARK);

	if (res == 0)
		res = client->family == IP_V6 ? set_int(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 1)
		                              : set_int(fd, IPPROTO_IP, IP_TRANSPARENT, 1);
	if (res == 0)
		res = set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (res == 0 && bind(fd, (struct sockaddr *)&ss, len) != 0)
		res = -errno;
	return res;
}

static void release_port(const struct steward_socket_req *req, uint16_t port)
{
	struct endpoint client = {.ip = req->client, .port = port};

	spoof_ports_release(req->ports, &client, req->dst.port);
}

/* A spoofed socket, trying other ports while the chosen one is bound by someone else. */
static int open_spoofed(const struct steward *s, struct steward_socket_req *req, int family)
{
	int res = -EADDRNOTAVAIL;

	for (int i = 0; i < SPOOF_TRIES_MAX; i++) {
		uint16_t port;
		int fd;

		if (spoof_ports_pick(req->ports, &req->client, req->dst.port, &port) != ERR_OK)
			return -EADDRNOTAVAIL;
		fd = upstream_open(s, family);
		res = fd < 0 ? fd : spoof(fd, &req->client, port);
		if (res == 0) {
			req->ret_port = port;
			return fd;
		}
		if (fd >= 0)
			(void)close(fd);
		release_port(req, port);
		if (res != -EADDRINUSE && res != -EADDRNOTAVAIL)
			return res;
	}
	return res;
}

static int open_kind(const struct steward *s, struct steward_socket_req *req)
{
	int family = req->dst.ip.family == IP_V6 ? AF_INET6 : AF_INET;
	bool own = (req->pod->flags & STEWARD_POD_OWN) != 0;
	bool spoofed = !own && req->kind == SOCKET_APP &&
	               req->client.family == req->dst.ip.family &&
	               !ip_eq(&req->client, &req->dst.ip);

	int fd = spoofed ? open_spoofed(s, req, family) : upstream_open(s, family);

	if (own && s->capture != NULL && fd >= 0)
		(void)set_int(fd, SOL_SOCKET, SO_MARK, 0);
	return fd;
}

static enum err err_of_errno(int errnum)
{
	switch (errnum) {
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case EADDRINUSE:
	case EADDRNOTAVAIL: return ERR_OVERLOAD;
	case ENOMEM: return ERR_MEMORY;
	default: return ERR_SYSTEM;
	}
}

static int open_in_pod(const struct steward *s, struct steward_socket_req *req)
{
	enum capture_ztsock_kind kind =
		req->kind == SOCKET_APP ? CAPTURE_ZT_APP : CAPTURE_ZT_UPSTREAM;
	int res = netns_enter(req->pod->netns_fd);
	int fd;

	if (res < 0)
		return res;
	fd = open_kind(s, req);
	netns_leave(s->home);
	if (fd < 0)
		return fd;
	res = own_socket(s, fd, kind);
	if (res == 0)
		return fd;
	(void)close(fd);
	if (req->ret_port != 0)
		release_port(req, req->ret_port);
	req->ret_port = 0;
	return res;
}

void steward_socket(const struct steward *s, struct loop *loop, struct steward_socket_req *req,
                    op_done_fn *done)
{
	int fd;

	req->ret_port = 0;
	fd = open_in_pod(s, req);
	req->ret_fd = fd >= 0 ? fd : -1;
	req->ret_errno = fd >= 0 ? 0 : -fd;
	req->ret_err = fd >= 0 ? ERR_OK : err_of_errno(-fd);
	if (fd < 0)
		refusals_note_errno(s->refusals, STEWARD_SOCKET, -fd);
	loop_post(loop, &req->op, fd >= 0 ? 0 : fd, done);
}

static int resolver_open(const struct steward *s, int family, int type)
{
	int fd, res;

	if (type == SOCK_STREAM)
		return upstream_open(s, family);
	fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	res = s->opt.mark == 0 ? 0 : set_int(fd, SOL_SOCKET, SO_MARK, (int)s->opt.mark);
	if (res != 0) {
		(void)close(fd);
		return res;
	}
	return fd;
}

static int open_resolver(const struct steward *s, const struct steward_pod *pod, int family,
                         int type)
{
	int res = netns_enter(pod->netns_fd);
	int fd;

	if (res < 0)
		return res;
	fd = resolver_open(s, family, type);
	netns_leave(s->home);
	if (fd < 0)
		return fd;
	res = own_socket(s, fd, CAPTURE_ZT_UPSTREAM);
	if (res == 0)
		return fd;
	(void)close(fd);
	return res;
}

int steward_resolver_socket(const struct steward *s, const struct steward_pod *pod, int family,
                            int type)
{
	int fd = open_resolver(s, pod, family, type);

	if (fd < 0)
		refusals_note_errno(s->refusals, STEWARD_RESOLVER, -fd);
	return fd;
}
