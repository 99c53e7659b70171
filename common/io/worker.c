/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/worker.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/str.h"

enum {
	WORKER_NAME_MAX = 16, /* with the NUL, as Linux has it */
	WORKER_LAND_MS =
		10000, /* ops that were cancelled land within a turn or two; this is for a stuck machine */
};

struct worker {
	char name[WORKER_NAME_MAX];
	pthread_t thread;
	struct loop_options opt;
	enum err (*init)(struct worker *w, void *arg);
	void *arg;
	sem_t started;     /* status, loop and mailbox are set when posted */
	enum err status;   /* of the start */
	struct loop *loop; /* owned by the thread */
	struct mailbox *
		mail; /* owned; outlives the thread, as the last sender may still be in mailbox_post */
	struct letter stop;
};

/* Turn until nothing is in flight, so that everything can be freed. */
static void land(struct worker *w)
{
	uint64_t give_up_ms = loop_now_ms(w->loop) + WORKER_LAND_MS;

	mailbox_stop(w->mail);
	while (loop_pending(w->loop) > 0 && loop_now_ms(w->loop) < give_up_ms)
		loop_turn(w->loop, 100);
	loop_free(w->loop); /* CHECKs that all have landed */
}

static enum err set_up(struct worker *w)
{
	enum err e = loop_uring_new(&w->opt, &w->loop);

	if (e != ERR_OK)
		return e;
	e = mailbox_new(w->loop, &w->mail);
	if (e != ERR_OK) {
		loop_free(w->loop);
		return e;
	}
	if (w->init != NULL)
		e = w->init(w, w->arg);
	if (e != ERR_OK)
		land(w);
	return e;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	enum err e = set_up(w);

	w->status = e;
	CHECK(sem_post(&w->started) == 0);
	if (e != ERR_OK)
		return NULL;
	loop_run(w->loop);
	land(w);
	return NULL;
}

/* With every signal blocked: they belong to the main thread's signalfd. */
static int make_thread(struct worker *w)
{
	sigset_t all, before;
	int rc;

	CHECK(sigfillset(&all) == 0);
	CHECK(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
	rc = pthread_create(&w->thread, NULL, worker_main, w);
	CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
	if (rc == 0)
		(void)pthread_setname_np(w->thread, w->name);
	return rc;
}

static void worker_free(struct worker *w)
{
	mailbox_free(w->mail);
	CHECK(sem_destroy(&w->started) == 0);
	free(w);
}

enum err worker_start(const char *name, const struct loop_options *opt,
                      enum err (*init)(struct worker *w, void *arg), void *arg,
                      struct worker **ret_worker)
{
	struct worker *w = mem_new(sizeof(*w));
	enum err e;

	(void)str_copy(w->name, sizeof(w->name), span_str(name));
	if (opt != NULL)
		w->opt = *opt;
	w->init = init;
	w->arg = arg;
	CHECK(sem_init(&w->started, 0, 0) == 0);
	if (make_thread(w) != 0) {
		worker_free(w);
		return ERR_SYSTEM;
	}
	while (sem_wait(&w->started) != 0)
		continue; /* EINTR */
	e = w->status;
	if (e != ERR_OK) {
		CHECK(pthread_join(w->thread, NULL) == 0);
		worker_free(w);
		return e;
	}
	*ret_worker = w;
	return ERR_OK;
}

struct loop *worker_loop(struct worker *w)
{
	return w->loop;
}

struct mailbox *worker_mailbox(struct worker *w)
{
	return w->mail;
}

static void on_stop(struct letter *l)
{
	loop_stop(container_of(l, struct worker, stop)->loop);
}

void worker_join(struct worker *w)
{
	mailbox_post(w->mail, &w->stop, on_stop);
	CHECK(pthread_join(w->thread, NULL) == 0);
	worker_free(w);
}
