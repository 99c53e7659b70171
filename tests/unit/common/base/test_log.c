/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"

enum { THREADS = 4, LINES = 2000 };

/* Counts the lines that come out of a pipe until it ends. */
struct reader {
	pthread_t thread;
	int fd;
	uint64_t lines;
	uint64_t whole; /* that start with a time and end with the mark */
};

static void *read_lines(void *arg)
{
	struct reader *r = arg;
	char line[4096];
	size_t at = 0;
	char mem[4096];
	ssize_t n;

	while ((n = read(r->fd, mem, sizeof(mem))) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			if (mem[i] != '\n') {
				assert_true(at < sizeof(line));
				line[at++] = mem[i];
				continue;
			}
			r->lines++;
			r->whole += at > 20 && memcmp(line, "20", 2) == 0 &&
			            memcmp(line + at - 6, "mark=1", 6) == 0;
			at = 0;
		}
	}
	return NULL;
}

static void *write_lines(void *arg)
{
	(void)arg;
	for (unsigned int i = 0; i < LINES; i++)
		log_at(LOG_SCOPE_APP, LOG_INFO, "line", LOG_N("i", i), LOG_N("mark", 1));
	return NULL;
}

static void start_reader(struct reader *r, int fd)
{
	*r = (struct reader){.fd = fd};
	assert_int_equal(pthread_create(&r->thread, NULL, read_lines, r), 0);
}

static void lines_of_many_threads_come_out_whole(void **state)
{
	pthread_t writers[THREADS];
	struct reader r;
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	start_reader(&r, fds[0]);
	assert_int_equal(log_start(fds[1], false), ERR_OK);
	for (unsigned int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&writers[i], NULL, write_lines, NULL), 0);
	for (unsigned int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(writers[i], NULL), 0);
	log_stop();
	log_stop();
	assert_int_equal(close(fds[1]), 0);
	assert_int_equal(pthread_join(r.thread, NULL), 0);
	assert_int_equal(r.lines, THREADS * LINES);
	assert_int_equal(r.whole, r.lines);
	assert_int_equal(log_dropped(), 0);
	assert_int_equal(close(fds[0]), 0);
}

static void a_stuck_reader_costs_lines_not_time(void **state)
{
	struct reader r;
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(log_start(fds[1], false), ERR_OK);
	for (unsigned int i = 0; i < 10; i++)
		(void)write_lines(NULL); /* nobody reads, and yet we get here */
	assert_true(log_dropped() > 0);
	start_reader(&r, fds[0]);
	log_stop();
	assert_int_equal(close(fds[1]), 0);
	assert_int_equal(pthread_join(r.thread, NULL), 0);
	assert_int_equal(r.lines + log_dropped(), 10 * LINES);
	assert_int_equal(r.whole, r.lines);
	assert_int_equal(close(fds[0]), 0);
}

static void a_broken_pipe_is_survived_and_counted(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(close(fds[0]), 0);
	assert_int_equal(log_start(fds[1], true), ERR_OK);
	(void)write_lines(NULL);
	log_stop();
	assert_int_equal(log_dropped(), LINES);
	assert_int_equal(close(fds[1]), 0);
}

static void a_descriptor_that_does_not_block_loses_nothing(void **state)
{
	struct reader r;
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(log_start(fds[1], false), ERR_OK);
	(void)write_lines(NULL);
	start_reader(&r, fds[0]);
	log_stop();
	assert_int_equal(close(fds[1]), 0);
	assert_int_equal(pthread_join(r.thread, NULL), 0);
	assert_int_equal(r.lines, LINES);
	assert_int_equal(close(fds[0]), 0);
}

static void a_filter_holds_for_every_thread_and_a_bad_one_changes_nothing(void **state)
{
	const char *bad = NULL;
	size_t bad_len = 0;
	char text[64];

	(void)state;
	assert_true(log_enabled(LOG_SCOPE_PROXY, LOG_INFO));
	assert_false(log_enabled(LOG_SCOPE_PROXY, LOG_DEBUG));
	(void)log_filter_text(text, sizeof(text));
	assert_string_equal(text, "info");
	assert_int_equal(log_filter_set("warn,proxy=trace", &bad, &bad_len), ERR_OK);
	assert_true(log_enabled(LOG_SCOPE_PROXY, LOG_TRACE));
	assert_false(log_enabled(LOG_SCOPE_ACCESS, LOG_INFO));
	assert_int_equal(log_filter_set("off,proxy=loud", &bad, &bad_len), ERR_PARSE);
	assert_int_equal(bad_len, 10);
	assert_memory_equal(bad, "proxy=loud", 10);
	assert_true(log_enabled(LOG_SCOPE_PROXY, LOG_TRACE));
	(void)log_filter_text(text, sizeof(text));
	assert_string_equal(text, "proxy=trace,warn");
	assert_int_equal(log_filter_set("off", &bad, &bad_len), ERR_OK);
	assert_false(log_enabled(LOG_SCOPE_PROXY, LOG_ERROR));
	assert_false(log_enabled(LOG_SCOPE_PROXY, LOG_OFF));
	assert_int_equal(log_filter_set("", &bad, &bad_len), ERR_OK);
	assert_true(log_enabled(LOG_SCOPE_PROXY, LOG_INFO));
}

static void before_the_start_lines_go_to_stderr(void **state)
{
	int saved = dup(STDERR_FILENO), fds[2];
	char mem[256] = "";

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	log_at(LOG_SCOPE_APP, LOG_WARN, "early");
	log_at(LOG_SCOPE_APP, LOG_DEBUG, "not enabled");
	assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	assert_int_equal(close(saved) + close(fds[1]), 0);
	assert_true(read(fds[0], mem, sizeof(mem) - 1) > 0);
	assert_non_null(strstr(mem, "\twarn\tapp\tearly\t\n"));
	assert_null(strstr(mem, "not enabled"));
	assert_int_equal(close(fds[0]), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_filter_holds_for_every_thread_and_a_bad_one_changes_nothing),
		cmocka_unit_test(before_the_start_lines_go_to_stderr),
		cmocka_unit_test(lines_of_many_threads_come_out_whole),
		cmocka_unit_test(a_stuck_reader_costs_lines_not_time),
		cmocka_unit_test(a_broken_pipe_is_survived_and_counted),
		cmocka_unit_test(a_descriptor_that_does_not_block_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
