/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/io/timer.h"
#include "common/io/worker.h"

static sem_t answered;
static pthread_t ran_on;
static char ran_name[32];
static bool ran_with_signals_blocked;

static void on_ask(struct letter *l)
{
	sigset_t mask;

	(void)l;
	ran_on = pthread_self();
	assert_int_equal(pthread_getname_np(ran_on, ran_name, sizeof(ran_name)), 0);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
	ran_with_signals_blocked = sigismember(&mask, SIGTERM) == 1;
	assert_int_equal(sem_post(&answered), 0);
}

static void letters_run_on_the_worker(void **state)
{
	struct worker *w = NULL;
	struct letter ask;

	(void)state;
	assert_int_equal(sem_init(&answered, 0, 0), 0);
	assert_int_equal(worker_start("a-name-longer-than-it-may-be", NULL, NULL, NULL, &w),
	                 ERR_OK);
	mailbox_post(worker_mailbox(w), &ask, on_ask);
	assert_int_equal(sem_wait(&answered), 0);
	assert_false(pthread_equal(ran_on, pthread_self()));
	assert_string_equal(ran_name, "a-name-longer-t");
	assert_true(ran_with_signals_blocked);
	worker_join(w);
}

struct beat {
	struct timer timer;
	struct loop *loop;
	unsigned int count;
};

static void on_beat(struct timer *t)
{
	struct beat *b = container_of(t, struct beat, timer);

	if (++b->count == 5)
		assert_int_equal(sem_post(&answered), 0);
	timer_arm(b->loop, t, 1);
}

static enum err start_beating(struct worker *w, void *arg)
{
	struct beat *b = arg;

	b->loop = worker_loop(w);
	timer_init(&b->timer, on_beat);
	timer_arm(b->loop, &b->timer, 0);
	return ERR_OK;
}

static void init_runs_on_the_loop_before_it_turns(void **state)
{
	struct beat beat = {.count = 0};
	struct worker *w = NULL;

	(void)state;
	assert_int_equal(sem_init(&answered, 0, 0), 0);
	assert_int_equal(worker_start("beat", NULL, start_beating, &beat, &w), ERR_OK);
	assert_int_equal(sem_wait(&answered), 0);
	worker_join(w);
	assert_true(beat.count >= 5);
}

static enum err refuse(struct worker *w, void *arg)
{
	(void)w;
	(void)arg;
	return ERR_CONFIG;
}

static void a_failing_init_is_the_failure_of_start(void **state)
{
	struct worker *w = NULL;

	(void)state;
	assert_int_equal(worker_start("refuse", NULL, refuse, NULL, &w), ERR_CONFIG);
	assert_null(w);
}

static void workers_come_and_go(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 100; i++) {
		const struct loop_options opt = {.ring_entries = 8, .slots = 1, .smalls = 1};
		struct worker *w = NULL;

		assert_int_equal(worker_start("short", &opt, NULL, NULL, &w), ERR_OK);
		worker_join(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(letters_run_on_the_worker),
		cmocka_unit_test(init_runs_on_the_loop_before_it_turns),
		cmocka_unit_test(a_failing_init_is_the_failure_of_start),
		cmocka_unit_test(workers_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
