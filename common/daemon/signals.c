/* SPDX-License-Identifier: Apache-2.0 */
#include "common/daemon/signals.h"

#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void signal_set(sigset_t *set)
{
	(void)sigemptyset(set);
	(void)sigaddset(set, SIGTERM);
	(void)sigaddset(set, SIGINT);
	(void)sigaddset(set, SIGHUP);
}

enum err signals_init(struct signals *s)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t set;

	*s = (struct signals){.fd = -1};
	signal_set(&set);
	if (sigaction(SIGPIPE, &ignore, NULL) != 0 || pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
		return ERR_SYSTEM;
	s->fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return s->fd < 0 ? ERR_SYSTEM : ERR_OK;
}

void signals_fini(struct signals *s)
{
	if (s->fd >= 0)
		(void)close(s->fd);
	s->fd = -1;
}

enum signal_ask signals_judge(struct signals *s, int signo)
{
	bool was_draining = s->draining;

	if (signo == SIGHUP)
		return SIGNAL_RELOAD;
	if (signo != SIGTERM && signo != SIGINT)
		return SIGNAL_NONE;
	s->draining = true;
	if (!was_draining)
		return SIGNAL_DRAIN;
	return signo == SIGINT ? SIGNAL_EXIT_NOW : SIGNAL_NONE;
}

enum signal_ask signals_next(struct signals *s)
{
	struct signalfd_siginfo si;

	while (read(s->fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		enum signal_ask ask = signals_judge(s, (int)si.ssi_signo);

		if (ask != SIGNAL_NONE)
			return ask;
	}
	return SIGNAL_NONE;
}
