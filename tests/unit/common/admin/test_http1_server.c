/* SPDX-License-Identifier: Apache-2.0 */
/* The server on a real loop, from blocking sockets of another thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/admin/admin_server.h"
#include "common/admin/http1_server.h"
#include "common/base/check.h"
#include "common/io/listener.h"
#include "common/io/worker.h"

enum { CONNS = 4, BIG = 8 * 1024 * 1024, SHORT_MS = 150, LONG_MS = 60000 };

struct serving {
	struct http1_server_options opt;
	struct http1_server *server;
	struct endpoint ep;
	struct worker *worker;
	struct letter letter;
	_Atomic bool stopped;
	_Atomic int refused;
	_Atomic int asked_later, answered_later, abandoned;
};

static void later(void *arg, struct http1_response *res)
{
	struct serving *s = arg;

	if (res == NULL) {
		atomic_fetch_add(&s->abandoned, 1);
		return;
	}
	buf_put_str(&res->body, "in good time");
	atomic_fetch_add(&s->answered_later, 1);
}

static void handle(void *arg, const struct h1_request *req, struct http1_response *res)
{
	struct serving *s = arg;

	if (span_eq_str(req->path, "/later") || span_eq_str(req->path, "/much-later")) {
		res->later_ms = span_eq_str(req->path, "/later") ? 1 : LONG_MS;
		res->later = later;
		res->later_arg = s;
		atomic_fetch_add(&s->asked_later, 1);
		return;
	}
	if (!span_eq_str(req->path, "/big")) {
		buf_put(&res->body, req->path);
		return;
	}
	for (size_t i = 0; i < BIG / 64; i++)
		buf_put(&res->body,
		        span_of("0123456789012345678901234567890123456789012345678901234567890123",
		                64));
}

static void on_refused(void *arg)
{
	struct serving *s = arg;

	atomic_fetch_add(&s->refused, 1);
}

static enum err init(struct worker *w, void *arg)
{
	struct serving *s = arg;
	const struct endpoint any = {.ip = {.family = IP_V4, .bytes = {127, 0, 0, 1}}};
	int fd;

	if (listener_open(&any, NULL, &fd) != ERR_OK || listener_endpoint(fd, &s->ep) != ERR_OK)
		return ERR_SYSTEM;
	s->server = http1_server_new(worker_loop(w), &s->opt);
	http1_server_start(s->server, fd);
	return ERR_OK;
}

static void on_stopped(void *arg)
{
	struct serving *s = arg;

	atomic_store(&s->stopped, true);
}

static void on_stop_letter(struct letter *l)
{
	struct serving *s = container_of(l, struct serving, letter);

	http1_server_stop(s->server, on_stopped, s);
}

static void start(struct serving *s, uint32_t header_ms, uint32_t idle_ms)
{
	*s = (struct serving){
		.opt =
			{
				.name = "test",
				.handler = handle,
				.arg = s,
				.conns_max = CONNS,
				.header_timeout_ms = header_ms,
				.idle_timeout_ms = idle_ms,
				.write_timeout_ms = LONG_MS,
				.on_refused = on_refused,
			},
	};
	assert_int_equal(worker_start("test-http1", NULL, init, s, &s->worker), ERR_OK);
}

static void stop(struct serving *s)
{
	mailbox_post(worker_mailbox(s->worker), &s->letter, on_stop_letter);
	while (!atomic_load(&s->stopped))
		(void)usleep(1000);
	worker_join(s->worker);
}

static int dial(const struct serving *s)
{
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(&s->ep, false, &ss);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&ss, len), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Everything until the end of the stream. */
static const char *hear_all(int fd)
{
	static char text[65536];
	size_t n = 0;
	ssize_t got;

	while ((got = read(fd, text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)got;
	text[n] = '\0';
	return text;
}

/* One answer whose body is want. */
static void hear_body(int fd, const char *want)
{
	char text[2048] = "";
	size_t n = 0;

	while (strstr(text, "\r\n\r\n") == NULL ||
	       strlen(strstr(text, "\r\n\r\n") + 4) < strlen(want)) {
		ssize_t got = read(fd, text + n, sizeof(text) - 1 - n);

		assert_true(got > 0);
		n += (size_t)got;
		text[n] = '\0';
	}
	assert_string_equal(strstr(text, "\r\n\r\n") + 4, want);
}

static void one_connection_carries_many_requests(void **state)
{
	struct serving s;
	int fd;

	(void)state;
	start(&s, LONG_MS, LONG_MS);
	fd = dial(&s);
	for (int i = 0; i < 3; i++) {
		say(fd, "GET /hello HTTP/1.1\r\nHo");
		say(fd, "st: a\r\n\r\n");
		hear_body(fd, "/hello");
	}
	(void)close(fd);
	stop(&s);
}

static void requests_sent_at_once_are_answered_in_order_after_a_half_close(void **state)
{
	struct serving s;
	const char *text;
	int fd;

	(void)state;
	start(&s, LONG_MS, LONG_MS);
	fd = dial(&s);
	say(fd, "GET /one HTTP/1.1\r\nHost: a\r\n\r\nPOST /two HTTP/1.1\r\nHost: a\r\n"
	        "Content-Length: 3\r\n\r\nxyzHEAD /three HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	text = hear_all(fd);
	assert_non_null(strstr(text, "/one"));
	assert_non_null(strstr(text, "/two"));
	assert_true(strstr(text, "/one") < strstr(text, "/two"));
	assert_null(strstr(text, "/three"));
	assert_non_null(strstr(strstr(text, "/two"), "Content-Length: 6"));
	(void)close(fd);
	stop(&s);
}

static void a_bad_request_is_answered_and_ends_the_connection(void **state)
{
	struct serving s;
	int fd;

	(void)state;
	start(&s, LONG_MS, LONG_MS);
	fd = dial(&s);
	say(fd, "NONSENSE\r\n\r\nmore that nobody reads");
	assert_non_null(strstr(hear_all(fd), "HTTP/1.1 400 Bad Request\r\n"));
	(void)close(fd);
	stop(&s);
}

static void a_trickled_request_times_out(void **state)
{
	struct serving s;
	const char *text = "GET /";
	int fd;

	(void)state;
	start(&s, SHORT_MS, LONG_MS);
	fd = dial(&s);
	for (int i = 0; i < 5; i++) {
		if (send(fd, text + i, 1, MSG_NOSIGNAL) != 1)
			break;
		(void)usleep(SHORT_MS * 1000 / 4);
	}
	assert_non_null(strstr(hear_all(fd), "HTTP/1.1 408 Request Timeout\r\n"));
	(void)close(fd);
	stop(&s);
}

static void silence_is_ended_without_a_word(void **state)
{
	struct serving s;
	int fd, idle;

	(void)state;
	start(&s, SHORT_MS, SHORT_MS);
	fd = dial(&s);
	assert_string_equal(hear_all(fd), "");
	(void)close(fd);
	idle = dial(&s);
	say(idle, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
	hear_body(idle, "/x");
	assert_string_equal(hear_all(idle), "");
	(void)close(idle);
	stop(&s);
}

static void who_does_not_read_holds_up_nobody(void **state)
{
	struct serving s;
	int slow, fast;

	(void)state;
	start(&s, LONG_MS, LONG_MS);
	slow = dial(&s);
	say(slow, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
	fast = dial(&s);
	for (int i = 0; i < 3; i++) {
		say(fast, "GET /quick HTTP/1.1\r\nHost: a\r\n\r\n");
		hear_body(fast, "/quick");
	}
	(void)close(fast);
	stop(&s); /* with the big answer still in flight */
	(void)close(slow);
}

static void a_big_answer_arrives_whole(void **state)
{
	struct serving s;
	static char chunk[65536];
	size_t total = 0;
	ssize_t got;
	int fd;

	(void)state;
	start(&s, LONG_MS, LONG_MS);
	fd = dial(&s);
	say(fd, "GET /big HTTP/1.0\r\n\r\n");
	while ((got = read(fd, chunk, sizeof(chunk))) > 0)
		total += (size_t)got;
	assert_int_equal(got, 0);
	assert_true(total > BIG && total < BIG + 1024);
	(void)close(fd);
	stop(&s);
}

static void the_longest_idle_connection_makes_room(void **state)
{
	struct serving s;
	int fds[CONNS], extra;

	(void)state;
	start(&s, LONG_MS, LONG_MS);
	for (int i = 0; i < CONNS; i++) {
		fds[i] = dial(&s);
		say(fds[i], "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
		hear_body(fds[i], "/x");
	}
	extra = dial(&s);
	say(extra, "GET /new HTTP/1.1\r\nHost: a\r\n\r\n");
	hear_body(extra, "/new");
	assert_string_equal(hear_all(fds[0]), "");
	say(fds[1], "GET /still HTTP/1.1\r\nHost: a\r\n\r\n");
	hear_body(fds[1], "/still");
	assert_int_equal(atomic_load(&s.refused), 1);
	for (int i = 0; i < CONNS; i++)
		(void)close(fds[i]);
	(void)close(extra);
	stop(&s);
}

static void an_answer_may_take_time_and_the_next_request_waits_for_it(void **state)
{
	const char *first, *text;
	struct serving s;
	int fd;

	(void)state;
	start(&s, LONG_MS, LONG_MS);
	fd = dial(&s);
	say(fd, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n"
	        "GET /next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	text = hear_all(fd);
	first = strstr(text, "\r\n\r\nin good time");
	assert_non_null(first);
	assert_non_null(strstr(first, "\r\n\r\n/next"));
	(void)close(fd);
	stop(&s);
	assert_int_equal(atomic_load(&s.answered_later), 1);
	assert_int_equal(atomic_load(&s.abandoned), 0);
}

static void an_answer_nobody_will_hear_is_given_up_once(void **state)
{
	struct serving s;
	int fd;

	(void)state;
	start(&s, LONG_MS, LONG_MS);
	fd = dial(&s);
	say(fd, "GET /much-later HTTP/1.1\r\nHost: x\r\n\r\n");
	while (atomic_load(&s.asked_later) == 0)
		(void)usleep(1000);
	stop(&s);
	(void)close(fd);
	assert_int_equal(atomic_load(&s.answered_later), 0);
	assert_int_equal(atomic_load(&s.abandoned), 1);
}

struct admin_run {
	struct worker *worker;
	struct admin *admin;
	struct http1_server *server;
	uint16_t port;
	struct letter letter;
	_Atomic bool stopped;
};

static enum err admin_init(struct worker *w, void *arg)
{
	struct admin_run *r = arg;

	return admin_start(r->admin, worker_loop(w), r->port, true, &r->server);
}

static void on_admin_stopped(void *arg)
{
	struct admin_run *r = arg;

	atomic_store(&r->stopped, true);
}

static void on_admin_letter(struct letter *l)
{
	struct admin_run *r = container_of(l, struct admin_run, letter);

	http1_server_stop(r->server, on_admin_stopped, r);
}

static void admin_answers_on_loopback_and_refuses_foreign_hosts(void **state)
{
	struct admin_run r = {
		.admin = admin_new(
			&(struct admin_options){.product = "x", .log_filter_default = "info"}),
	};
	const struct endpoint any = {.ip = {.family = IP_V4, .bytes = {127, 0, 0, 1}}};
	struct serving at;
	int fd;

	(void)state;
	assert_int_equal(listener_open(&any, NULL, &fd), ERR_OK);
	assert_int_equal(listener_endpoint(fd, &at.ep), ERR_OK);
	(void)close(fd);
	r.port = at.ep.port;
	assert_int_equal(worker_start("test-admin", NULL, admin_init, &r, &r.worker), ERR_OK);
	fd = dial(&at);
	say(fd, "GET /config_dump HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
	assert_non_null(strstr(hear_all(fd), "application/json"));
	(void)close(fd);
	fd = dial(&at);
	say(fd, "GET /config_dump HTTP/1.1\r\nHost: evil.example\r\n\r\n");
	assert_non_null(strstr(hear_all(fd), "HTTP/1.1 403 Forbidden\r\n"));
	(void)close(fd);
	mailbox_post(worker_mailbox(r.worker), &r.letter, on_admin_letter);
	while (!atomic_load(&r.stopped))
		(void)usleep(1000);
	worker_join(r.worker);
	admin_free(r.admin);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_connection_carries_many_requests),
		cmocka_unit_test(requests_sent_at_once_are_answered_in_order_after_a_half_close),
		cmocka_unit_test(a_bad_request_is_answered_and_ends_the_connection),
		cmocka_unit_test(a_trickled_request_times_out),
		cmocka_unit_test(silence_is_ended_without_a_word),
		cmocka_unit_test(who_does_not_read_holds_up_nobody),
		cmocka_unit_test(a_big_answer_arrives_whole),
		cmocka_unit_test(the_longest_idle_connection_makes_room),
		cmocka_unit_test(an_answer_may_take_time_and_the_next_request_waits_for_it),
		cmocka_unit_test(an_answer_nobody_will_hear_is_given_up_once),
		cmocka_unit_test(admin_answers_on_loopback_and_refuses_foreign_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
