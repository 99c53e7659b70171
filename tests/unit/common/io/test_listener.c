/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/io/listener.h"

static const struct endpoint v4 = {.ip = {.family = IP_V4, .bytes = {127, 0, 0, 1}}};

static void assert_reachable(const struct endpoint *ep)
{
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(ep, false, &ss);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&ss, len), 0);
	assert_int_equal(close(fd), 0);
}

static void a_listener_answers_where_it_says(void **state)
{
	struct endpoint at;
	int fd = -1;

	(void)state;
	assert_int_equal(listener_open(&v4, NULL, &fd), ERR_OK);
	assert_int_equal(listener_endpoint(fd, &at), ERR_OK);
	assert_true(ip_eq(&at.ip, &v4.ip));
	assert_true(at.port != 0);
	assert_reachable(&at);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(close(fd), 0);
}

static void the_wildcard_takes_both_families(void **state)
{
	const struct endpoint any = {.port = 0};
	struct endpoint at, near = v4;
	int fd = -1;

	(void)state;
	assert_int_equal(listener_open(&any, NULL, &fd), ERR_OK);
	assert_int_equal(listener_endpoint(fd, &at), ERR_OK);
	near.port = at.port;
	assert_reachable(&near);
	if (at.ip.family == IP_V6) {
		near.ip = (struct ip){.family = IP_V6, .bytes = {[15] = 1}};
		assert_reachable(&near);
	}
	assert_int_equal(close(fd), 0);
}

static void a_taken_port_is_refused_unless_shared(void **state)
{
	const struct listener_options share = {.reuse_port = true};
	struct endpoint at;
	int alone = -1, a = -1, b = -1, fd = -1;

	(void)state;
	assert_int_equal(listener_open(&v4, NULL, &alone), ERR_OK);
	assert_int_equal(listener_endpoint(alone, &at), ERR_OK);
	assert_int_equal(listener_open(&at, NULL, &fd), ERR_SYSTEM);
	assert_int_equal(errno, EADDRINUSE);
	assert_int_equal(fd, -1);
	assert_int_equal(listener_open(&v4, &share, &a), ERR_OK);
	assert_int_equal(listener_endpoint(a, &at), ERR_OK);
	assert_int_equal(listener_open(&at, &share, &b), ERR_OK);
	assert_int_equal(close(alone) + close(a) + close(b), 0);
}

static void an_address_of_somebody_else_is_refused(void **state)
{
	const struct endpoint ep = {.ip = {.family = IP_V4, .bytes = {192, 0, 2, 1}}};
	int fd = -1;

	(void)state;
	assert_int_equal(listener_open(&ep, NULL, &fd), ERR_SYSTEM);
	assert_int_equal(errno, EADDRNOTAVAIL);
	assert_int_equal(listener_endpoint(-1, &(struct endpoint){.port = 0}), ERR_SYSTEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_listener_answers_where_it_says),
		cmocka_unit_test(the_wildcard_takes_both_families),
		cmocka_unit_test(a_taken_port_is_refused_unless_shared),
		cmocka_unit_test(an_address_of_somebody_else_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
