/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load - the load generator of the benchmarks: one thread, epoll, figures taken at the receiver.
 *
 *   load serve    --address A --port P
 *   load upload   --address A --port P --connections N --seconds S
 *   load download --address A --port P --connections N --seconds S
 *   load pingpong --address A --port P --connections N --seconds S --size BYTES
 *   load churn    --address A --port P --connections N --seconds S
 *   load idle     --address A --port P --connections N      (holds them until stdin ends)
 *
 * --cpu PID,PID,... also reads the processor time of these processes over the measured time.
 * The result is one line of JSON.
 */
#include "tests/bench/load_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	CONNECTIONS_MAX = 60000,
	EVENTS_MAX = 256,
	GREETING_TIMEOUT_MS = 20000,
	DRAIN_TIMEOUT_MS = 30000,
	IDLE_BATCH = 64, /* connections asked for at once when the count itself is the goal */
};

struct load_conn {
	int fd; /* -1 when there is none */
	uint32_t events;
	bool is_ready; /* the server has answered the hello */
	bool is_done;
	size_t sent;     /* of the hello, then of the message */
	size_t received; /* of the message or the receipt */
	uint64_t began_ns;
	struct load_receipt receipt;
};

struct load {
	/* what to do */
	enum load_mode mode;
	struct sockaddr_storage address;
	socklen_t address_len;
	unsigned int conn_count;
	uint32_t message_size;
	double seconds;
	/* how it goes */
	int epoll_fd;
	struct load_conn *conns;
	unsigned int ready_count;
	unsigned int done_count;
	uint64_t error_count;
	uint64_t completed;
	uint64_t bytes;
	bool is_counting;
	bool is_ending; /* upload: no more bytes, only the end */
	struct load_histogram latency;
	struct load_cpu cpu_before;
	struct load_cpu cpu_after;
	uint64_t own_us_before;
	uint64_t own_us_after;
	uint64_t start_ns;
	uint64_t end_ns;
	unsigned char chunk[LOAD_CHUNK_SIZE];
};

static uint64_t own_us(void)
{
	struct rusage used;

	(void)getrusage(RUSAGE_SELF, &used);
	return (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000U +
	       (uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

static void conn_watch(struct load *l, struct load_conn *c, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = c};

	if (c->events == events)
		return;
	if (epoll_ctl(l->epoll_fd, c->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &event) != 0)
		load_die("epoll_ctl: %s", strerror(errno));
	c->events = events;
}

static void conn_close(struct load_conn *c)
{
	if (c->fd >= 0)
		(void)close(c->fd);
	c->fd = -1;
	c->events = 0;
}

static void conn_open(struct load *l, struct load_conn *c)
{
	int on = 1;

	memset(c, 0, sizeof(*c));
	c->fd = socket(l->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		load_die("socket: %s", strerror(errno));
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	c->began_ns = load_now_ns();
	if (connect(c->fd, (struct sockaddr *)&l->address, l->address_len) != 0 &&
	    errno != EINPROGRESS)
		load_die("connect: %s", strerror(errno));
	conn_watch(l, c, EPOLLOUT);
}

/* A connection failed: nothing measured with it is worth reporting, but churn may count it. */
static void conn_fail(struct load *l, struct load_conn *c, const char *doing)
{
	if (l->mode != LOAD_CHURN)
		load_die("%s: %s", doing, errno ? strerror(errno) : "the connection was closed");
	l->error_count++;
	conn_close(c);
	conn_open(l, c);
}

static void conn_finish(struct load *l, struct load_conn *c)
{
	if (!c->is_done) {
		c->is_done = true;
		l->done_count++;
	}
	conn_close(c);
}

static void conn_say_hello(struct load *l, struct load_conn *c)
{
	struct load_hello hello = {.mode = l->mode, .message_size = l->message_size};
	int error = 0;
	socklen_t len = sizeof(error);

	(void)getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	errno = error;
	if (error != 0 || send(c->fd, &hello, sizeof(hello), MSG_NOSIGNAL) != sizeof(hello)) {
		conn_fail(l, c, "opening a connection");
		return;
	}
	c->sent = sizeof(hello);
	conn_watch(l, c, EPOLLIN);
}

/* -- ping-pong -------------------------------------------------------------- */

static void pingpong_send(struct load *l, struct load_conn *c)
{
	while (c->sent < l->message_size) {
		ssize_t sent = send(c->fd, l->chunk, l->message_size - c->sent, MSG_NOSIGNAL);

		if (sent < 0 && errno == EAGAIN) {
			conn_watch(l, c, EPOLLOUT);
			return;
		}
		if (sent < 0) {
			conn_fail(l, c, "sending a request");
			return;
		}
		c->sent += (size_t)sent;
	}
	conn_watch(l, c, EPOLLIN);
}

static void pingpong_begin(struct load *l, struct load_conn *c)
{
	c->sent = 0;
	c->received = 0;
	c->began_ns = load_now_ns();
	pingpong_send(l, c);
}

static void pingpong_receive(struct load *l, struct load_conn *c)
{
	ssize_t got = recv(c->fd, l->chunk, l->message_size - c->received, 0);

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0) {
		errno = got == 0 ? 0 : errno;
		conn_fail(l, c, "receiving a response");
		return;
	}
	c->received += (size_t)got;
	if (c->received < l->message_size)
		return;
	if (l->is_counting) {
		l->completed++;
		load_histogram_add(&l->latency, load_now_ns() - c->began_ns);
	}
	pingpong_begin(l, c);
}

/* -- bulk --------------------------------------------------------------------- */

static void upload_send(struct load *l, struct load_conn *c)
{
	static const unsigned char end = LOAD_END;
	const void *bytes = l->is_ending ? &end : l->chunk;
	ssize_t sent =
		send(c->fd, bytes, l->is_ending ? sizeof(end) : LOAD_CHUNK_SIZE, MSG_NOSIGNAL);

	if (sent < 0 && errno == EAGAIN)
		return;
	if (sent < 0)
		conn_fail(l, c, "sending");
	else if (l->is_ending)
		conn_watch(l, c, EPOLLIN);
}

static void upload_receipt(struct load *l, struct load_conn *c)
{
	ssize_t got = recv(c->fd, (unsigned char *)&c->receipt + c->received,
	                   sizeof(c->receipt) - c->received, 0);

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0) {
		errno = got == 0 ? 0 : errno;
		conn_fail(l, c, "waiting for the receiver's count");
		return;
	}
	c->received += (size_t)got;
	if (c->received == sizeof(c->receipt))
		conn_finish(l, c);
}

static void download_receive(struct load *l, struct load_conn *c)
{
	ssize_t got = recv(c->fd, l->chunk, LOAD_CHUNK_SIZE, 0);

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0) {
		errno = got == 0 ? 0 : errno;
		conn_fail(l, c, "receiving");
		return;
	}
	if (l->is_counting)
		l->bytes += (uint64_t)got;
}

/* -- churn ---------------------------------------------------------------------- */

/* The server closes after its answer: the connection counts when that has arrived too. */
static void churn_receive(struct load *l, struct load_conn *c)
{
	unsigned char byte;
	ssize_t got = recv(c->fd, &byte, sizeof(byte), 0);

	if (got < 0 && errno == EAGAIN)
		return;
	if (got != 0) {
		conn_fail(l, c, "waiting for the end");
		return;
	}
	if (l->is_counting) {
		l->completed++;
		load_histogram_add(&l->latency, c->receipt.first_ns - c->began_ns);
	}
	conn_close(c);
	conn_open(l, c);
}

/* -- all of them ------------------------------------------------------------------ */

static void conn_greeted(struct load *l, struct load_conn *c)
{
	unsigned char ready = 0;
	ssize_t got = recv(c->fd, &ready, sizeof(ready), 0);

	if (got < 0 && errno == EAGAIN)
		return;
	if (got != sizeof(ready) || ready != LOAD_READY) {
		errno = got == 0 ? 0 : errno;
		conn_fail(l, c, "waiting for the server");
		return;
	}
	c->is_ready = true;
	c->receipt.first_ns = load_now_ns();
	l->ready_count++;
	if (l->mode == LOAD_CHURN)
		churn_receive(l, c);
}

static void conn_run(struct load *l, struct load_conn *c)
{
	if (c->fd < 0)
		return;
	if (!c->is_ready && c->events == EPOLLOUT) {
		conn_say_hello(l, c);
		return;
	}
	if (!c->is_ready) {
		conn_greeted(l, c);
		return;
	}
	switch (l->mode) {
	case LOAD_UPLOAD:
		if (c->events == EPOLLOUT)
			upload_send(l, c);
		else
			upload_receipt(l, c);
		break;
	case LOAD_DOWNLOAD: download_receive(l, c); break;
	case LOAD_PINGPONG:
		if (c->events == EPOLLOUT)
			pingpong_send(l, c);
		else
			pingpong_receive(l, c);
		break;
	case LOAD_CHURN: churn_receive(l, c); break;
	case LOAD_IDLE:
		errno = 0;
		conn_fail(l, c, "holding an idle connection");
		break;
	}
}

/* One wait and what came of it; false when nothing happened for that long. */
static bool load_turn(struct load *l, int timeout_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int ready = epoll_wait(l->epoll_fd, events, EVENTS_MAX, timeout_ms);

	for (int i = 0; i < ready; i++)
		conn_run(l, events[i].data.ptr);
	return ready > 0;
}

static void load_open_all(struct load *l)
{
	unsigned int opened = 0;

	while (l->ready_count < l->conn_count) {
		while (opened < l->conn_count && opened < l->ready_count + IDLE_BATCH)
			conn_open(l, &l->conns[opened++]);
		if (!load_turn(l, GREETING_TIMEOUT_MS))
			load_die("only %u of %u connections came through", l->ready_count,
			         l->conn_count);
	}
}

static void load_run_for(struct load *l, double seconds)
{
	uint64_t end_ns = load_now_ns() + (uint64_t)(seconds * 1e9);

	for (uint64_t now = load_now_ns(); now < end_ns; now = load_now_ns())
		(void)load_turn(l, (int)((end_ns - now) / 1000000U) + 1);
}

static void load_count_from_here(struct load *l)
{
	l->is_counting = true;
	load_cpu_read(&l->cpu_before);
	l->own_us_before = own_us();
	l->start_ns = load_now_ns();
}

static void load_count_to_here(struct load *l)
{
	l->end_ns = load_now_ns();
	l->own_us_after = own_us();
	load_cpu_read(&l->cpu_after);
	l->is_counting = false;
}

/* The last byte counts where it arrives: say so, then wait for every receipt. */
static void load_collect_receipts(struct load *l)
{
	uint64_t first_ns = UINT64_MAX;
	uint64_t last_ns = 0;

	l->is_ending = true;
	while (l->done_count < l->conn_count)
		if (!load_turn(l, DRAIN_TIMEOUT_MS))
			load_die("only %u of %u receivers reported", l->done_count, l->conn_count);
	for (unsigned int i = 0; i < l->conn_count; i++) {
		const struct load_receipt *r = &l->conns[i].receipt;

		l->bytes += r->bytes;
		first_ns = r->first_ns < first_ns ? r->first_ns : first_ns;
		last_ns = r->last_ns > last_ns ? r->last_ns : last_ns;
	}
	load_count_to_here(l);
	l->start_ns = first_ns;
	l->end_ns = last_ns;
}

static void load_start_traffic(struct load *l)
{
	for (unsigned int i = 0; i < l->conn_count; i++) {
		if (l->mode == LOAD_UPLOAD)
			conn_watch(l, &l->conns[i], EPOLLOUT);
		else if (l->mode == LOAD_PINGPONG)
			pingpong_begin(l, &l->conns[i]);
	}
}

static void load_measure(struct load *l)
{
	if (l->mode == LOAD_CHURN) {
		for (unsigned int i = 0; i < l->conn_count; i++)
			conn_open(l, &l->conns[i]);
	} else {
		load_open_all(l);
	}
	if (l->mode == LOAD_UPLOAD)
		load_count_from_here(l);
	load_start_traffic(l);
	if (l->mode == LOAD_UPLOAD) {
		load_run_for(l, l->seconds);
		load_collect_receipts(l);
		return;
	}
	load_run_for(l, l->seconds / 5); /* until caches and windows are warm */
	load_count_from_here(l);
	load_run_for(l, l->seconds);
	load_count_to_here(l);
}

static void load_hold(struct load *l)
{
	char rest[64];

	load_open_all(l);
	(void)printf("{\"held\": %u}\n", l->ready_count);
	(void)fflush(stdout);
	while (read(STDIN_FILENO, rest, sizeof(rest)) > 0)
		;
}

static void load_report(const struct load *l)
{
	(void)printf("{\"seconds\": %.6f, \"bytes\": %llu, \"completed\": %llu, \"errors\": %llu, ",
	             (double)(l->end_ns - l->start_ns) / 1e9, (unsigned long long)l->bytes,
	             (unsigned long long)l->completed, (unsigned long long)l->error_count);
	(void)printf("\"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, ",
	             (double)load_histogram_quantile(&l->latency, 0.5) / 1e3,
	             (double)load_histogram_quantile(&l->latency, 0.9) / 1e3,
	             (double)load_histogram_quantile(&l->latency, 0.99) / 1e3,
	             (double)l->latency.max_ns / 1e3);
	(void)printf(
		"\"own_us\": %llu, \"machine_busy_us\": %llu, \"cpu_us\": {",
		(unsigned long long)(l->own_us_after - l->own_us_before),
		(unsigned long long)(l->cpu_after.machine_busy_us - l->cpu_before.machine_busy_us));
	for (unsigned int i = 0; i < l->cpu_after.pid_count; i++)
		(void)printf(
			"%s\"%d\": %llu", i ? ", " : "", (int)l->cpu_after.pids[i],
			(unsigned long long)(l->cpu_after.used_us[i] - l->cpu_before.used_us[i]));
	(void)printf("}}\n");
}

static const struct {
	const char *name;
	enum load_mode mode;
} MODES[] = {
	{"upload", LOAD_UPLOAD}, {"download", LOAD_DOWNLOAD}, {"pingpong", LOAD_PINGPONG},
	{"churn", LOAD_CHURN},   {"idle", LOAD_IDLE},
};

static enum load_mode mode_named(const char *name)
{
	for (size_t i = 0; i < sizeof(MODES) / sizeof(MODES[0]); i++)
		if (strcmp(MODES[i].name, name) == 0)
			return MODES[i].mode;
	load_die("%s is not a mode: serve, upload, download, pingpong, churn or idle", name);
}

static unsigned long number(const char *text, unsigned long max, const char *what)
{
	char *end = NULL;
	unsigned long value = strtoul(text, &end, 10);

	if (end == text || *end != '\0' || value == 0 || value > max)
		load_die("%s must be a number from 1 to %lu, not %s", what, max, text);
	return value;
}

static void load_parse(struct load *l, int argc, char **argv)
{
	static const struct option options[] = {
		{"address", required_argument, NULL, 'a'},
		{"port", required_argument, NULL, 'p'},
		{"connections", required_argument, NULL, 'c'},
		{"seconds", required_argument, NULL, 's'},
		{"size", required_argument, NULL, 'z'},
		{"cpu", required_argument, NULL, 'u'},
		{0},
	};
	const char *address = "127.0.0.1";
	unsigned long port = 0;

	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (option) {
		case 'a': address = optarg; break;
		case 'p': port = number(optarg, UINT16_MAX, "--port"); break;
		case 'c':
			l->conn_count =
				(unsigned int)number(optarg, CONNECTIONS_MAX, "--connections");
			break;
		case 's': l->seconds = strtod(optarg, NULL); break;
		case 'z':
			l->message_size = (uint32_t)number(optarg, LOAD_MESSAGE_MAX, "--size");
			break;
		case 'u':
			if (!load_cpu_parse(&l->cpu_before, optarg))
				load_die("--cpu takes at most %d pids joined by commas",
				         LOAD_PIDS_MAX);
			l->cpu_after = l->cpu_before;
			break;
		default: exit(2);
		}
	}
	if (port == 0 || !(l->seconds > 0 && l->seconds <= 3600))
		load_die("--port is required, and --seconds must be more than 0");
	l->address_len = load_address(address, (uint16_t)port, &l->address);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		load_die("say what to do: serve, upload, download, pingpong, churn or idle");

	struct load *l = calloc(1, sizeof(*l));
	if (!l)
		load_die("out of memory");
	l->conn_count = 1;
	l->message_size = 1024;
	l->seconds = 1;
	load_parse(l, argc - 1, argv + 1);
	load_raise_descriptor_limit();
	if (strcmp(argv[1], "serve") == 0)
		load_serve(&l->address, l->address_len);

	l->mode = mode_named(argv[1]);
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	l->conns = calloc(l->conn_count, sizeof(*l->conns));
	if (l->epoll_fd < 0 || !l->conns)
		load_die("cannot begin: %s", strerror(errno));
	if (l->mode == LOAD_IDLE) {
		load_hold(l);
	} else {
		load_measure(l);
		load_report(l);
	}
	for (unsigned int i = 0; i < l->conn_count; i++)
		conn_close(&l->conns[i]);
	(void)close(l->epoll_fd);
	free(l->conns);
	free(l);
	return 0;
}
