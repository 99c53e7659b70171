/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture_probe - the smallest proxy that uses the real capture: for tests/e2e/test_redirect.py.
 *
 * Enrolls namespaces through the steward, accepts on their listeners, says who called whom and passes bytes on
 * in plain: from OUT to the destination, or to its port 15008 when the address was named as "mesh"; from INPLAIN and
 * from 15008 to the application, under the client's address. Commands come on stdin, answers and connections go to
 * stdout, one JSON object per line.
 *
 *   capture_probe <pin root> <workers> <off|count|enforce> [clsact] [v4only]
 *   > enroll <netns> [noinbound] [nodns] [replace] [virt=<device>...] | uncapture <netns> | release <netns>
 *   > sweep [<netns>...] | mesh <ip> | resolve <netns> <udp|tcp> <ip:port> | counts | live | quit
 *
 * A question to a resolver, which may be any bytes, is answered with who asked whom. "resolve" asks one as the proxy
 * would, and says what came back.
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/check.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/dns/udp_packet.h"
#include "common/io/loop.h"
#include "common/io/mailbox.h"
#include "ztunnel/capture/original_dst.h"
#include "ztunnel/steward/steward.h"

enum {
	LINE_MAX_LEN = 4096,
	KEEP_MAX = 64,
	MESH_MAX = 16,
	RELAY_STACK = 64 * 1024,
	RELAY_BUF = 16 * 1024,
	HELLO_LEN = 2, /* what a probe tells the other on 15008: the port that was asked for */
};

static const char *const kind_names[LISTENER_KINDS] = {"out", "inplain", "hbone"};

struct probe {
	struct loop *loop;
	struct steward *steward;
	struct mailbox *mailbox;
	struct op stdin_op;
	char line[LINE_MAX_LEN];
	size_t line_len;
	struct list pods;
	struct ip mesh[MESH_MAX];
	size_t mesh_count;
	unsigned int live;
	unsigned int workers;
};

struct acceptor {
	struct op op;
	struct pod *pod;
	enum steward_listener kind;
	unsigned int worker;
	int fd;
};

struct pod;

/* One of a pod's DNS sockets, and the raw one its answers leave by. */
struct questions {
	struct op op;             /* of the listener */
	struct op_dgram datagram; /* of the others */
	uint8_t bytes[2048];
	struct pod *pod;
	int fd, reply_fd;
	bool tcp;
};

struct pod {
	struct list link;
	struct probe *probe;
	char netns[256];
	char words[LINE_MAX_LEN];
	const char *virts[KEEP_MAX];
	struct questions questions[4];
	struct steward_enroll_req enroll;
	struct steward_unenroll_req unenroll;
	struct acceptor *acceptors;
	struct spoof_ports *ports; /* per worker */
};

/* One proxied connection. */
struct conn {
	struct letter letter;
	struct probe *probe;
	struct pod *pod;
	struct steward_socket_req sock;
	struct op connect, hello_op;
	uint8_t hello[HELLO_LEN]; /* from another probe */
	enum steward_listener kind;
	unsigned int worker;
	unsigned int tries;
	int down, up;
	bool to_hbone, noted;
	struct endpoint src, dst, dial;
};

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vprintf(fmt, args);
	va_end(args);
	(void)putchar('\n');
	(void)fflush(stdout);
}

/* -- relay: one thread per connection, as simple as it can be ---------------- */

static bool send_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

		if (sent < 0 && errno == EAGAIN) {
			struct pollfd w = {.fd = fd, .events = POLLOUT};

			(void)poll(&w, 1, -1);
			continue;
		}
		if (sent <= 0)
			return false;
		p += sent;
		n -= (size_t)sent;
	}
	return true;
}

/* 1: more may come; 0: the end, passed on; -1: broken. */
static int pump(int from, int to)
{
	char buf[RELAY_BUF];
	ssize_t n = recv(from, buf, sizeof(buf), MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN ? 1 : -1;
	if (n == 0) {
		(void)shutdown(to, SHUT_WR);
		return 0;
	}
	return send_all(to, buf, (size_t)n) ? 1 : -1;
}

static void reset(int fd)
{
	struct linger now = {.l_onoff = 1};

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	(void)close(fd);
}

static void on_relayed(struct letter *l)
{
	struct conn *c = container_of(l, struct conn, letter);
	struct endpoint spoofed = {.ip = c->sock.client, .port = c->sock.ret_port};
	struct spoof_ports *ports = &c->pod->ports[c->worker];

	if (c->noted)
		spoof_ports_release(ports, &c->src, c->dst.port);
	if (c->sock.ret_port != 0)
		spoof_ports_release(ports, &spoofed, c->dial.port);
	c->probe->live--;
	free(c);
}

static void *relay(void *arg)
{
	struct conn *c = arg;
	struct pollfd w[2] = {{.fd = c->down, .events = POLLIN}, {.fd = c->up, .events = POLLIN}};
	int res[2] = {1, 1};

	while (res[0] == 1 || res[1] == 1) {
		if (poll(w, 2, -1) < 0)
			continue;
		for (int i = 0; i < 2; i++) {
			if (w[i].fd < 0 || w[i].revents == 0)
				continue;
			res[i] = pump(w[i].fd, i == 0 ? c->up : c->down);
			if (res[i] != 1)
				w[i].fd = -1;
		}
		if (res[0] < 0 || res[1] < 0)
			break;
	}
	if (res[0] < 0 || res[1] < 0) {
		reset(c->down);
		reset(c->up);
	} else {
		(void)close(c->down);
		(void)close(c->up);
	}
	mailbox_post(c->probe->mailbox, &c->letter, on_relayed);
	return NULL;
}

static void relay_start(struct conn *c)
{
	pthread_attr_t attr;
	pthread_t thread;

	CHECK(pthread_attr_init(&attr) == 0);
	CHECK(pthread_attr_setstacksize(&attr, RELAY_STACK) == 0);
	CHECK(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) == 0);
	CHECK(pthread_create(&thread, &attr, relay, c) == 0);
	(void)pthread_attr_destroy(&attr);
}

/* -- a connection: dial, then relay ------------------------------------------ */

static void dial(struct conn *c);

static void give_up(struct conn *c, const char *what, int errnum)
{
	say("{\"event\": \"failed\", \"what\": \"%s\", \"error\": \"%s\"}", what, strerror(errnum));
	reset(c->down);
	on_relayed(&c->letter);
}

static void drop_socket(struct conn *c)
{
	struct endpoint spoofed = {.ip = c->sock.client, .port = c->sock.ret_port};

	(void)close(c->up);
	if (c->sock.ret_port != 0)
		spoof_ports_release(&c->pod->ports[c->worker], &spoofed, c->dial.port);
	c->sock.ret_port = 0;
}

static void on_connected(struct op *op)
{
	struct conn *c = container_of(op, struct conn, connect);
	uint8_t hello[HELLO_LEN] = {(uint8_t)(c->dst.port >> 8), (uint8_t)c->dst.port};

	if (op->res < 0) {
		bool in_use = op->res == -EADDRNOTAVAIL || op->res == -EADDRINUSE;

		in_use = in_use && c->sock.ret_port != 0;
		drop_socket(c);
		if (in_use && ++c->tries < SPOOF_TRIES_MAX)
			dial(c);
		else
			give_up(c, "connect", -op->res);
		return;
	}
	if (c->to_hbone && !send_all(c->up, (char *)hello, sizeof(hello))) {
		drop_socket(c);
		give_up(c, "hello", EPIPE);
		return;
	}
	relay_start(c);
}

static void on_socket(struct op *op)
{
	struct conn *c = container_of(op, struct conn, sock.op);
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(&c->dial, false, &ss);

	if (c->sock.ret_err != ERR_OK) {
		give_up(c, "socket", c->sock.ret_errno);
		return;
	}
	c->up = c->sock.ret_fd;
	loop_connect(c->probe->loop, &c->connect, c->up, (struct sockaddr *)&ss, len, on_connected);
}

static void dial(struct conn *c)
{
	c->sock.kind = c->kind == LISTENER_OUT ? SOCKET_UPSTREAM : SOCKET_APP;
	c->sock.pod = &c->pod->enroll.ret_pod;
	c->sock.dst = c->dial;
	c->sock.client = c->kind == LISTENER_OUT ? (struct ip){0} : c->src.ip;
	c->sock.ports = &c->pod->ports[c->worker];
	steward_socket(c->probe->steward, c->probe->loop, &c->sock, on_socket);
}

static bool is_proxy_port(uint16_t port)
{
	return port == PORT_OUT || port == PORT_INPLAIN || port == PORT_HBONE;
}

static bool is_mesh(const struct probe *p, const struct ip *ip)
{
	for (size_t i = 0; i < p->mesh_count; i++) {
		if (ip_eq(&p->mesh[i], ip))
			return true;
	}
	return false;
}

/* Where to, or false: refused. */
static bool route(struct conn *c)
{
	c->dial = c->dst;
	switch (c->kind) {
	case LISTENER_OUT:
		if (ip_is_loopback(&c->dst.ip) && is_proxy_port(c->dst.port))
			return false;
		c->to_hbone = is_mesh(c->probe, &c->dst.ip);
		if (c->to_hbone)
			c->dial.port = PORT_HBONE;
		return true;
	case LISTENER_INPLAIN: return !is_proxy_port(c->dst.port);
	case LISTENER_HBONE:
		c->dial.port = (uint16_t)(c->hello[0] << 8 | c->hello[1]);
		return !is_proxy_port(c->dial.port);
	case LISTENER_KINDS: break;
	}
	return false;
}

static void go(struct conn *c)
{
	if (route(c))
		dial(c);
	else
		give_up(c, "loop", ELOOP);
}

static void on_hello(struct op *op)
{
	struct conn *c = container_of(op, struct conn, hello_op);

	if (op->res == HELLO_LEN)
		go(c);
	else
		give_up(c, "hello", EPROTO);
}

static void on_accept(struct op *op)
{
	struct acceptor *a = container_of(op, struct acceptor, op);
	struct probe *p = a->pod->probe;
	char src[ENDPOINT_TEXT_MAX], dst[ENDPOINT_TEXT_MAX];
	struct conn *c;

	if (op->res < 0) {
		if (!op->pending) {
			(void)close(a->fd);
			a->fd = -1;
		}
		return;
	}
	c = mem_new(sizeof(*c));
	*c = (struct conn){.probe = p,
	                   .pod = a->pod,
	                   .kind = a->kind,
	                   .worker = a->worker,
	                   .down = op->res,
	                   .up = -1};
	p->live++;
	if (listener_original_dst(c->down, &c->src, &c->dst) != ERR_OK) {
		give_up(c, "names", ENOTCONN);
		return;
	}
	say("{\"event\": \"conn\", \"kind\": \"%s\", \"worker\": %u, \"netns\": \"%s\", \"src\": \"%s\", "
	    "\"dst\": \"%s\"}",
	    kind_names[c->kind], c->worker, a->pod->netns, endpoint_format(&c->src, src),
	    endpoint_format(&c->dst, dst));
	if (c->kind == LISTENER_INPLAIN) {
		CHECK(spoof_ports_note(&a->pod->ports[c->worker], &c->src, c->dst.port) == ERR_OK);
		c->noted = true;
	}
	if (c->kind == LISTENER_HBONE)
		loop_recv(p->loop, &c->hello_op, c->down, c->hello, sizeof(c->hello), on_hello);
	else
		go(c);
}

/* -- questions to resolvers --------------------------------------------------- */

static size_t answer_text(const struct questions *q, const struct endpoint *src,
                          const struct endpoint *dst, char *text, size_t len)
{
	char from[ENDPOINT_TEXT_MAX], to[ENDPOINT_TEXT_MAX];

	(void)endpoint_format(src, from);
	(void)endpoint_format(dst, to);
	say("{\"event\": \"conn\", \"kind\": \"dns-%s\", \"worker\": 0, \"netns\": \"%s\", "
	    "\"src\": \"%s\", \"dst\": \"%s\"}",
	    q->tcp ? "tcp" : "udp", q->pod->netns, from, to);
	return (size_t)snprintf(text, len, "%s asked %s\n", from, to);
}

/* As the resolver that was asked, or from loopback as ourselves. */
static void answer_datagram(const struct questions *q, const struct endpoint *src,
                            const struct endpoint *dst, struct span text)
{
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(src, false, &ss);
	struct buf packet;

	if (ip_is_loopback(&dst->ip)) {
		(void)sendto(q->fd, text.p, text.n, 0, (struct sockaddr *)&ss, len);
		return;
	}
	if (ss.ss_family == AF_INET6)
		((struct sockaddr_in6 *)(void *)&ss)->sin6_port =
			0; /* of a raw socket: a protocol */
	buf_init(&packet, 65536);
	CHECK(udp_packet_write(dst, src, text, &packet) == ERR_OK);
	if (sendto(q->reply_fd, packet.p, packet.n, 0, (struct sockaddr *)&ss, len) < 0)
		say("{\"event\": \"failed\", \"what\": \"answer\", \"error\": \"%s\"}",
		    strerror(errno));
	buf_fini(&packet);
}

static void on_datagram(struct op *op)
{
	struct questions *q = container_of(op_dgram_of(op), struct questions, datagram);
	struct endpoint src, dst;
	char text[256];

	if (op->res < 0) {
		(void)close(q->fd);
		return;
	}
	src = op_dgram_from(&q->datagram);
	dst = op_dgram_to(&q->datagram);
	if (dst.ip.family != IP_NONE)
		answer_datagram(q, &src, &dst,
		                span_of((const uint8_t *)text,
		                        answer_text(q, &src, &dst, text, sizeof(text))));
	loop_recv_dgram(q->pod->probe->loop, &q->datagram, q->fd, q->bytes, sizeof(q->bytes),
	                on_datagram);
}

static void take_connections(const struct questions *q)
{
	for (;;) {
		int fd = accept4(q->fd, NULL, NULL, SOCK_CLOEXEC);
		struct endpoint src, dst;
		char text[256];

		if (fd < 0)
			return;
		if (listener_original_dst(fd, &src, &dst) == ERR_OK)
			(void)send_all(fd, text, answer_text(q, &src, &dst, text, sizeof(text)));
		(void)close(fd);
	}
}

static void on_question(struct op *op)
{
	struct questions *q = container_of(op, struct questions, op);

	if (op->res < 0) {
		(void)close(q->fd);
		return;
	}
	take_connections(q);
	loop_poll(q->pod->probe->loop, &q->op, q->fd, POLLIN, on_question);
}

static void take_questions(struct pod *pod)
{
	static const struct {
		enum steward_dns socket, reply;
		bool tcp;
	} kinds[] = {
		{STEWARD_DNS_UDP4, STEWARD_DNS_REPLY4, false},
		{STEWARD_DNS_TCP4, STEWARD_DNS_TCP4, true},
		{STEWARD_DNS_UDP6, STEWARD_DNS_REPLY6, false},
		{STEWARD_DNS_TCP6, STEWARD_DNS_TCP6, true},
	};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct questions *q = &pod->questions[i];

		q->pod = pod;
		q->tcp = kinds[i].tcp;
		q->fd = steward_pod_take_dns(&pod->enroll.ret_pod, kinds[i].socket);
		q->reply_fd = steward_pod_take_dns(&pod->enroll.ret_pod, kinds[i].reply);
		if (q->fd >= 0 && q->tcp)
			loop_poll(pod->probe->loop, &q->op, q->fd, POLLIN, on_question);
		else if (q->fd >= 0)
			loop_recv_dgram(pod->probe->loop, &q->datagram, q->fd, q->bytes,
			                sizeof(q->bytes), on_datagram);
	}
}

static struct pod *pod_find(struct probe *p, const char *netns);

/* Ask a resolver from inside a pod, as the proxy; blocking, as a probe may. */
static void resolve(struct probe *p, const char *netns, char *rest)
{
	const char *how = strtok_r(NULL, " ", &rest), *to = strtok_r(NULL, " ", &rest);
	struct pod *pod = pod_find(p, netns);
	struct endpoint at;
	struct sockaddr_storage ss;
	struct pollfd w = {.events = POLLIN};
	char got[256] = "";
	socklen_t len;
	ssize_t n = -1;

	CHECK(how != NULL && to != NULL && pod != NULL);
	CHECK(endpoint_parse(span_str(to), &at) == ERR_OK);
	len = endpoint_to_sockaddr(&at, false, &ss);
	w.fd = steward_resolver_socket(p->steward, &pod->enroll.ret_pod, ss.ss_family,
	                               strcmp(how, "tcp") == 0 ? SOCK_STREAM : SOCK_DGRAM);
	CHECK(w.fd >= 0);
	(void)connect(w.fd, (struct sockaddr *)&ss, len);
	w.events = POLLOUT;
	(void)poll(&w, 1, 5000);
	if (send(w.fd, "who", 3, MSG_NOSIGNAL) == 3) {
		w.events = POLLIN;
		(void)poll(&w, 1, 5000);
		n = recv(w.fd, got, sizeof(got) - 1, MSG_DONTWAIT);
	}
	got[n > 0 ? n : 0] = '\0';
	got[strcspn(got, "\n")] = '\0';
	say("{\"event\": \"resolve\", \"error\": \"%s\", \"got\": \"%s\"}",
	    n < 0 ? strerror(errno) : "OK", got);
	(void)close(w.fd);
}

/* -- commands ---------------------------------------------------------------- */

static struct pod *pod_find(struct probe *p, const char *netns)
{
	list_for_each (it, &p->pods) {
		struct pod *pod = list_entry(it, struct pod, link);

		if (strcmp(pod->netns, netns) == 0)
			return pod;
	}
	return NULL;
}

static void answer(const char *what, const char *netns, enum err e, char *why)
{
	/* quotes are all in it that JSON minds */
	for (char *p = strchr(why, '"'); p != NULL; p = strchr(p, '"'))
		*p = '\'';
	say("{\"event\": \"%s\", \"netns\": \"%s\", \"error\": \"%s\", \"why\": \"%s\"}", what,
	    netns, err_info(e)->name, why);
}

static void accept_all(struct pod *pod)
{
	unsigned int workers = pod->probe->workers;
	uint64_t seed;

	CHECK(getrandom(&seed, sizeof(seed), 0) == sizeof(seed));
	pod->acceptors = mem_new(LISTENER_KINDS * workers * sizeof(*pod->acceptors));
	pod->ports = mem_new(workers * sizeof(*pod->ports));
	for (unsigned int w = 0; w < workers; w++)
		spoof_ports_init(&pod->ports[w], w, workers, seed + w);
	for (unsigned int i = 0; i < LISTENER_KINDS * workers; i++) {
		struct acceptor *a = &pod->acceptors[i];

		a->pod = pod;
		a->kind = (enum steward_listener)(i / workers);
		a->worker = i % workers;
		a->fd = steward_pod_take_listener(&pod->enroll.ret_pod, a->kind, a->worker);
		CHECK(a->fd >= 0);
		loop_accept(pod->probe->loop, &a->op, a->fd, on_accept);
	}
}

static void stop_accepting(struct pod *pod)
{
	for (size_t i = 0; i < ARRAY_LEN(pod->questions); i++) {
		loop_cancel(pod->probe->loop, &pod->questions[i].op);
		loop_cancel(pod->probe->loop, &pod->questions[i].datagram.msg.op);
	}
	for (unsigned int i = 0; i < LISTENER_KINDS * pod->probe->workers; i++)
		loop_cancel(pod->probe->loop, &pod->acceptors[i].op);
	list_remove(&pod->link);
}

static void on_enrolled(struct op *op)
{
	struct pod *pod = container_of(op, struct pod, enroll.op);

	if (pod->enroll.ret_err == ERR_OK) {
		struct pod *old = pod_find(pod->probe, pod->netns);

		if (old != NULL)
			stop_accepting(old); /* replaced; its connections stay */
		accept_all(pod);
		take_questions(pod);
		list_push(&pod->probe->pods, &pod->link);
	}
	answer("enroll", pod->netns, pod->enroll.ret_err, pod->enroll.ret_why);
	if (pod->enroll.ret_err != ERR_OK)
		free(pod);
}

static void read_words(struct pod *pod)
{
	char *rest;

	pod->enroll.virts = pod->virts;
	for (char *word = strtok_r(pod->words, " ", &rest); word != NULL;
	     word = strtok_r(NULL, " ", &rest)) {
		if (strcmp(word, "noinbound") == 0)
			pod->enroll.flags |= STEWARD_POD_NO_INBOUND;
		else if (strcmp(word, "nodns") == 0)
			pod->enroll.flags |= STEWARD_POD_NO_DNS;
		else if (strcmp(word, "replace") == 0)
			pod->enroll.replace = true;
		else if (strncmp(word, "virt=", 5) == 0 && pod->enroll.virt_count < KEEP_MAX)
			pod->virts[pod->enroll.virt_count++] = word + 5;
	}
}

static void enroll(struct probe *p, const char *netns, const char *how)
{
	struct pod *pod = mem_new(sizeof(*pod));

	pod->probe = p;
	list_init(&pod->link);
	(void)snprintf(pod->netns, sizeof(pod->netns), "%s", netns);
	pod->enroll.netns = pod->netns;
	(void)snprintf(pod->words, sizeof(pod->words), "%s", how);
	read_words(pod);
	steward_enroll(p->steward, p->loop, &pod->enroll, on_enrolled);
}

static void on_uncaptured(struct op *op)
{
	struct pod *pod = container_of(op, struct pod, unenroll.op);

	for (unsigned int i = 0; i < LISTENER_KINDS * pod->probe->workers; i++)
		loop_cancel(pod->probe->loop, &pod->acceptors[i].op);
	answer("uncapture", pod->netns, pod->unenroll.ret_err, pod->unenroll.ret_why);
}

/* The pod itself stays in memory: connections point to it, and a probe is short-lived. */
static void on_released(struct op *op)
{
	struct pod *pod = container_of(op, struct pod, unenroll.op);

	stop_accepting(pod);
	answer("release", pod->netns, pod->unenroll.ret_err, pod->unenroll.ret_why);
}

static void unenroll(struct probe *p, const char *netns, bool release)
{
	struct pod *pod = pod_find(p, netns);

	if (pod == NULL) {
		answer(release ? "release" : "uncapture", netns, ERR_CONFIG,
		       (char[]){"not enrolled here"});
		return;
	}
	pod->unenroll.cookie = pod->enroll.ret_pod.cookie;
	if (release)
		steward_release(p->steward, p->loop, &pod->unenroll, on_released);
	else
		steward_uncapture(p->steward, p->loop, &pod->unenroll, on_uncaptured);
}

struct sweep {
	struct steward_sweep_req req;
	char line[LINE_MAX_LEN];
	const char *keep[KEEP_MAX];
};

static void on_swept(struct op *op)
{
	struct sweep *s = container_of(op, struct sweep, req.op);

	for (char *q = strchr(s->req.ret_why, '"'); q != NULL; q = strchr(q, '"'))
		*q = '\'';
	say("{\"event\": \"sweep\", \"swept\": %u, \"error\": \"%s\", \"why\": \"%s\"}",
	    s->req.ret_swept, err_info(s->req.ret_err)->name, s->req.ret_why);
	free(s);
}

static void sweep(struct probe *p, const char *names)
{
	struct sweep *s = mem_new(sizeof(*s));
	char *rest;

	(void)snprintf(s->line, sizeof(s->line), "%s", names);
	for (char *name = strtok_r(s->line, " ", &rest);
	     name != NULL && s->req.keep_count < KEEP_MAX; name = strtok_r(NULL, " ", &rest))
		s->keep[s->req.keep_count++] = name;
	s->req.keep = s->keep;
	steward_sweep(p->steward, p->loop, &s->req, on_swept);
}

static void mesh(struct probe *p, const char *text)
{
	CHECK(p->mesh_count < MESH_MAX);
	CHECK(ip_parse(span_str(text), &p->mesh[p->mesh_count]) == ERR_OK);
	p->mesh_count++;
	answer("mesh", text, ERR_OK, (char[]){""});
}

static void say_refused(void *arg, const char *request, const char *reason, uint64_t count)
{
	(void)arg;
	say("{\"event\": \"refused\", \"request\": \"%s\", \"reason\": \"%s\", \"count\": %llu}",
	    request, reason, (unsigned long long)count);
}

static void counts(struct probe *p)
{
	struct steward_counts n;

	steward_refused_each(p->steward, say_refused, NULL);
	steward_counts(p->steward, &n);
	say("{\"event\": \"counts\", \"steered\": %llu, \"passed\": %llu, \"refused\": %llu, "
	    "\"guard_hits\": %llu}",
	    (unsigned long long)n.steered, (unsigned long long)n.passed,
	    (unsigned long long)n.refused, (unsigned long long)n.guard_hits);
}

static void command(struct probe *p, char *line)
{
	char *rest = line;
	char *verb = strtok_r(rest, " ", &rest);
	char *first = strtok_r(NULL, " ", &rest);

	if (verb == NULL)
		return;
	if (strcmp(verb, "enroll") == 0 && first != NULL)
		enroll(p, first, rest);
	else if (strcmp(verb, "uncapture") == 0 && first != NULL)
		unenroll(p, first, false);
	else if (strcmp(verb, "release") == 0 && first != NULL)
		unenroll(p, first, true);
	else if (strcmp(verb, "sweep") == 0) {
		char names[LINE_MAX_LEN];

		(void)snprintf(names, sizeof(names), "%s %s", first == NULL ? "" : first, rest);
		sweep(p, names);
	} else if (strcmp(verb, "mesh") == 0 && first != NULL)
		mesh(p, first);
	else if (strcmp(verb, "resolve") == 0 && first != NULL)
		resolve(p, first, rest);
	else if (strcmp(verb, "counts") == 0)
		counts(p);
	else if (strcmp(verb, "live") == 0)
		say("{\"event\": \"live\", \"live\": %u}", p->live);
	else if (strcmp(verb, "quit") == 0)
		exit(0);
	else
		say("{\"event\": \"unknown\"}");
}

static void on_stdin(struct op *op)
{
	struct probe *p = container_of(op, struct probe, stdin_op);
	ssize_t n = read(0, p->line + p->line_len, sizeof(p->line) - 1 - p->line_len);
	char *end;

	if (n <= 0)
		exit(0);
	p->line_len += (size_t)n;
	p->line[p->line_len] = '\0';
	while ((end = strchr(p->line, '\n')) != NULL) {
		char line[LINE_MAX_LEN];

		*end = '\0';
		memcpy(line, p->line, (size_t)(end - p->line) + 1);
		p->line_len -= (size_t)(end + 1 - p->line);
		memmove(p->line, end + 1, p->line_len + 1);
		command(p, line);
	}
	loop_poll(p->loop, &p->stdin_op, 0, POLLIN, on_stdin);
}

static enum steward_guard guard_of(const char *text)
{
	if (strcmp(text, "off") == 0)
		return GUARD_OFF;
	return strcmp(text, "count") == 0 ? GUARD_COUNT : GUARD_ENFORCE;
}

int main(int argc, char **argv)
{
	struct probe *p = mem_new(sizeof(*p));
	struct steward_options opt = {.keepalive = {true, 180, 180, 9, false}};
	const char *bad;
	size_t bad_len;
	char why[STEWARD_WHY_MAX];

	if (argc < 4)
		return 2;
	(void)signal(SIGPIPE, SIG_IGN);
	CHECK(log_start(2, false) == ERR_OK);
	CHECK(log_filter_set("info", &bad, &bad_len) == ERR_OK);
	list_init(&p->pods);
	p->workers = (unsigned int)strtoul(argv[2], NULL, 10);
	opt.pin_root = argv[1];
	opt.workers = p->workers;
	opt.dns = true;
	opt.guard = guard_of(argv[3]);
	for (int i = 4; i < argc; i++) {
		opt.guard_by_clsact |= strcmp(argv[i], "clsact") == 0;
		opt.without_ipv6 |= strcmp(argv[i], "v4only") == 0;
	}
	CHECK(loop_uring_new(&(struct loop_options){0}, &p->loop) == ERR_OK);
	CHECK(mailbox_new(p->loop, &p->mailbox) == ERR_OK);
	if (steward_start(&opt, &p->steward, why) != ERR_OK) {
		say("{\"event\": \"start\", \"error\": \"%s\"}", why);
		return 1;
	}
	say("{\"event\": \"start\", \"error\": \"\"}");
	loop_poll(p->loop, &p->stdin_op, 0, POLLIN, on_stdin);
	loop_run(p->loop);
	return 0;
}
