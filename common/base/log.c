/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Process-wide state on purpose: stdout is one per process, every thread writes to it, and a line about a failure
 * must be possible where no struct app is at hand. The state is the filter, the queue and its writer.
 */
#include "common/base/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/log_filter.h"
#include "common/base/log_line.h"
#include "common/base/span.h"

enum {
	LOG_QUEUE_LINES = 10000, /* contract 10.3 */
	LOG_BATCH_LINES = 64,    /* contract 10.3 */
};

struct log_line {
	uint8_t *p; /* owned */
	size_t n;
};

static struct {
	pthread_mutex_t lock; /* guards all below but dropped and levels */
	pthread_cond_t wake;  /* the writer waits here */
	pthread_t writer;
	bool running;
	bool stopping;
	bool writer_sleeps;
	bool json;
	int fd;
	struct log_line *queue; /* ring of LOG_QUEUE_LINES while running */
	size_t head;
	size_t count;
	struct log_filter filter;
	bool filter_set;
	_Atomic uint64_t dropped;
	_Atomic uint8_t
		levels[LOG_SCOPE_COUNT]; /* what filter says, plus 1; 0: not set, LOG_INFO */
} logger = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .fd = -1};

static void lock(void)
{
	CHECK(pthread_mutex_lock(&logger.lock) == 0);
}

static void unlock(void)
{
	CHECK(pthread_mutex_unlock(&logger.lock) == 0);
}

/* false when the descriptor is broken. A non-blocking one is waited for. */
static bool write_some(int fd, const struct iovec *iov, int count, size_t *ret_n)
{
	ssize_t n = writev(fd, iov, count);

	while (n < 0 && (errno == EINTR || errno == EAGAIN)) {
		struct pollfd p = {.fd = fd, .events = POLLOUT};

		if (errno == EAGAIN && poll(&p, 1, -1) < 0 && errno != EINTR)
			return false;
		n = writev(fd, iov, count);
	}
	if (n < 0)
		return false;
	*ret_n = (size_t)n;
	return true;
}

/* Write the lines of a batch; returns how many could not be. */
static size_t write_batch(int fd, const struct log_line *lines, size_t count)
{
	struct iovec iov[LOG_BATCH_LINES];
	size_t first = 0;

	for (size_t i = 0; i < count; i++)
		iov[i] = (struct iovec){.iov_base = lines[i].p, .iov_len = lines[i].n};
	while (first < count) {
		size_t n;

		if (!write_some(fd, iov + first, (int)(count - first), &n))
			return count - first;
		while (first < count && n >= iov[first].iov_len)
			n -= iov[first++].iov_len;
		if (first < count) {
			iov[first].iov_base = (uint8_t *)iov[first].iov_base + n;
			iov[first].iov_len -= n;
		}
	}
	return 0;
}

/* Under the lock: move up to a batch out of the queue, waiting for the first line. 0 means: stop. */
static size_t take_batch(struct log_line *lines)
{
	size_t n = 0;

	while (logger.count == 0 && !logger.stopping) {
		logger.writer_sleeps = true;
		CHECK(pthread_cond_wait(&logger.wake, &logger.lock) == 0);
	}
	logger.writer_sleeps = false;
	while (n < LOG_BATCH_LINES && logger.count > 0) {
		lines[n++] = logger.queue[logger.head];
		logger.head = (logger.head + 1) % LOG_QUEUE_LINES;
		logger.count--;
	}
	return n;
}

static void *writer_main(void *arg)
{
	struct log_line lines[LOG_BATCH_LINES];
	int fd = logger.fd; /* written before this thread was made */

	(void)arg;
	for (;;) {
		size_t n, lost;

		lock();
		n = take_batch(lines);
		unlock();
		if (n == 0)
			return NULL;
		lost = write_batch(fd, lines, n);
		(void)atomic_fetch_add_explicit(&logger.dropped, lost, memory_order_relaxed);
		for (size_t i = 0; i < n; i++)
			free(lines[i].p);
	}
}

/* With every signal blocked: a write to a closed pipe must give EPIPE here, and handlers run elsewhere. */
static bool start_writer(void)
{
	sigset_t all, before;
	int rc;

	CHECK(sigfillset(&all) == 0);
	CHECK(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
	rc = pthread_create(&logger.writer, NULL, writer_main, NULL);
	CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
	if (rc == 0)
		(void)pthread_setname_np(logger.writer, "log");
	return rc == 0;
}

enum err log_start(int fd, bool json)
{
	enum err e = ERR_OK;

	lock();
	CHECK(!logger.running);
	logger.queue = calloc(LOG_QUEUE_LINES, sizeof(*logger.queue));
	logger.fd = fd;
	logger.json = json;
	logger.stopping = false;
	logger.head = 0;
	logger.count = 0;
	atomic_store_explicit(&logger.dropped, 0, memory_order_relaxed);
	if (logger.queue == NULL || !start_writer()) {
		free(logger.queue);
		logger.queue = NULL;
		e = ERR_SYSTEM;
	}
	logger.running = e == ERR_OK;
	unlock();
	return e;
}

void log_stop(void)
{
	lock();
	if (!logger.running || logger.stopping) {
		unlock();
		return;
	}
	logger.stopping = true;
	CHECK(pthread_cond_signal(&logger.wake) == 0);
	unlock();
	CHECK(pthread_join(logger.writer, NULL) == 0);
	lock();
	logger.running = false;
	free(logger.queue);
	logger.queue = NULL;
	unlock();
}

uint64_t log_dropped(void)
{
	return atomic_load_explicit(&logger.dropped, memory_order_relaxed);
}

enum err log_filter_set(const char *text, const char **ret_bad, size_t *ret_bad_len)
{
	struct log_filter filter;
	struct span bad;

	if (log_filter_parse(span_str(text), &filter, &bad) != ERR_OK) {
		*ret_bad = (const char *)bad.p;
		*ret_bad_len = bad.n;
		return ERR_PARSE;
	}
	lock();
	logger.filter = filter;
	logger.filter_set = true;
	for (enum log_scope scope = 0; scope < LOG_SCOPE_COUNT; scope++) {
		uint8_t level = (uint8_t)(log_filter_level(&filter, scope) + 1);

		atomic_store_explicit(&logger.levels[scope], level, memory_order_relaxed);
	}
	unlock();
	return ERR_OK;
}

size_t log_filter_text(char *out, size_t out_len)
{
	struct log_filter filter;

	lock();
	if (logger.filter_set)
		filter = logger.filter;
	else
		log_filter_init(&filter);
	unlock();
	return log_filter_format(&filter, out, out_len);
}

bool log_enabled(enum log_scope scope, enum log_level level)
{
	uint8_t set = atomic_load_explicit(&logger.levels[scope], memory_order_relaxed);

	return level <= (set == 0 ? LOG_INFO : (enum log_level)(set - 1)) && level != LOG_OFF;
}

/* Takes line. Under the lock. */
static void enqueue(struct log_line line)
{
	if (logger.count == LOG_QUEUE_LINES) {
		free(line.p);
		(void)atomic_fetch_add_explicit(&logger.dropped, 1, memory_order_relaxed);
		return;
	}
	logger.queue[(logger.head + logger.count) % LOG_QUEUE_LINES] = line;
	logger.count++;
	if (logger.writer_sleeps) {
		logger.writer_sleeps = false;
		CHECK(pthread_cond_signal(&logger.wake) == 0);
	}
}

void log_write(enum log_scope scope, enum log_level level, const char *message,
               const struct log_field *fields, size_t field_count)
{
	const struct log_event event = {
		.wall_us = clock_wall_us(),
		.scope = scope,
		.level = level,
		.message = message,
		.fields = fields,
		.field_count = field_count,
	};
	struct buf out;
	bool json;

	/* before log_start and after log_stop lines are text, for whoever reads stderr */
	lock();
	json = logger.running && logger.json;
	unlock();
	buf_init(&out, LOG_LINE_MAX);
	if (json)
		log_line_json(&event, &out);
	else
		log_line_text(&event, &out);

	lock();
	if (logger.running && !logger.stopping && !out.failed) {
		enqueue((struct log_line){.p = out.p, .n = out.n});
		unlock();
		return;
	}
	unlock();
	if (out.failed)
		(void)atomic_fetch_add_explicit(&logger.dropped, 1, memory_order_relaxed);
	else
		(void)write_batch(STDERR_FILENO, &(struct log_line){.p = out.p, .n = out.n}, 1);
	buf_fini(&out);
}
