/* SPDX-License-Identifier: Apache-2.0 */
/*
 * own_pod - the proxy's own namespace as if it were a pod, with a listener for tunnels and without capture. Contract 12.6.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/mem.h"
#include "common/io/listener.h"
#include "ztunnel/steward/steward_internal.h"

static const uint16_t ports[LISTENER_KINDS] = {
	[LISTENER_OUT] = PORT_OUT,
	[LISTENER_INPLAIN] = PORT_INPLAIN,
	[LISTENER_HBONE] = PORT_HBONE,
};

static enum err open_listener(const struct steward *s, uint16_t port, int *ret_fd,
                              char why[WHY_MAX])
{
	const struct endpoint at = {
		.ip = {.family = s->opt.without_ipv6 ? IP_V4 : IP_NONE},
		.port = port,
	};
	const struct listener_options shared = {.reuse_port = true};
	const int on = 1;

	if (listener_open(&at, &shared, ret_fd) != ERR_OK)
		return why_not(
			why, ERR_SYSTEM,
			"cannot listen on port %d for the proxy's own pod: %s (free it, or unset "
			"POD_NAME to do without)",
			(int)PORT_HBONE, strerror(errno));
	(void)setsockopt(*ret_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return ERR_OK;
}

enum err steward_own_pod(const struct steward *s, struct steward_pod *ret_pod,
                         char why[STEWARD_WHY_MAX])
{
	size_t count = (size_t)LISTENER_KINDS * s->opt.workers;
	struct steward_pod pod = {
		.netns_dev = s->node.dev,
		.netns_ino = s->node.ino,
		.netns_fd = fcntl(s->home, F_DUPFD_CLOEXEC, 0),
		.flags = STEWARD_POD_OWN,
		.workers = (uint16_t)s->opt.workers,
		.listeners = mem_new(count * sizeof(int)),
	};
	enum err e = ERR_OK;

	memset(pod.listeners, 0xff, count * sizeof(int)); /* all -1 */
	memset(pod.dns, 0xff, sizeof(pod.dns));
	memset(pod.socks, 0xff, sizeof(pod.socks));
	if (pod.netns_fd < 0)
		e = why_not(why, ERR_SYSTEM, "cannot hold the own netns: %s", strerror(errno));
	for (size_t i = 0; i < count && e == ERR_OK; i++) {
		size_t kind = i / s->opt.workers;

		if (kind == LISTENER_HBONE || s->capture == NULL)
			e = open_listener(s, ports[kind], &pod.listeners[i], why);
	}
	if (e == ERR_OK && s->capture == NULL)
		open_socks(s, &pod, "own");
	if (e == ERR_OK)
		*ret_pod = pod;
	else
		steward_pod_fini(&pod);
	return e;
}
