/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/io/mailbox.h"
#include "tests/sim/sim.h"

enum { SENDERS = 4, LETTERS = 5000 };

struct numbered {
	struct letter letter;
	unsigned int sender;
	unsigned int number;
};

static unsigned int next_number[SENDERS];
static unsigned int received;

static void on_numbered(struct letter *l)
{
	struct numbered *n = container_of(l, struct numbered, letter);

	assert_int_equal(n->number, next_number[n->sender]);
	next_number[n->sender]++;
	received++;
	free(n);
}

struct sender {
	pthread_t thread;
	struct mailbox *mail;
	unsigned int id;
};

static void post(struct mailbox *mail, unsigned int sender, unsigned int number)
{
	struct numbered *n = mem_new(sizeof(*n));

	n->sender = sender;
	n->number = number;
	mailbox_post(mail, &n->letter, on_numbered);
}

static void *send_all(void *arg)
{
	struct sender *s = arg;

	for (unsigned int i = 0; i < LETTERS; i++)
		post(s->mail, s->id, i);
	return NULL;
}

static void reset(void)
{
	received = 0;
	for (unsigned int i = 0; i < SENDERS; i++)
		next_number[i] = 0;
}

static void land(struct loop *loop, struct mailbox *mail)
{
	mailbox_stop(mail);
	for (unsigned int i = 0; i < 2 && loop_pending(loop) > 0; i++)
		loop_turn(loop, 1000);
	assert_int_equal(loop_pending(loop), 0);
	mailbox_free(mail);
	loop_free(loop);
}

static void letters_of_each_sender_arrive_in_order(void **state)
{
	struct sender senders[SENDERS];
	struct mailbox *mail = NULL;
	struct loop *loop = NULL;

	(void)state;
	reset();
	assert_int_equal(loop_uring_new(NULL, &loop), ERR_OK);
	assert_int_equal(mailbox_new(loop, &mail), ERR_OK);
	for (unsigned int i = 0; i < SENDERS; i++) {
		senders[i] = (struct sender){.mail = mail, .id = i};
		assert_int_equal(pthread_create(&senders[i].thread, NULL, send_all, &senders[i]),
		                 0);
	}
	while (received < SENDERS * LETTERS)
		loop_turn(loop, -1); /* a lost wake-up would hang here */
	for (unsigned int i = 0; i < SENDERS; i++)
		assert_int_equal(pthread_join(senders[i].thread, NULL), 0);
	land(loop, mail);
}

static void stopping_delivers_what_was_posted(void **state)
{
	struct mailbox *mail = NULL;
	struct loop *loop = NULL;

	(void)state;
	reset();
	assert_int_equal(loop_uring_new(NULL, &loop), ERR_OK);
	assert_int_equal(mailbox_new(loop, &mail), ERR_OK);
	loop_turn(loop, 0);
	for (unsigned int i = 0; i < 10; i++)
		post(mail, 0, i);
	assert_int_equal(received, 0); /* not inside post */
	land(loop, mail);
	assert_int_equal(received, 10);
}

static void a_mailbox_works_on_the_simulator(void **state)
{
	struct loop *loop = sim_new(NULL);
	struct mailbox *mail = NULL;

	(void)state;
	reset();
	assert_int_equal(mailbox_new(loop, &mail), ERR_OK);
	post(mail, 0, 0);
	post(mail, 0, 1);
	assert_true(sim_settle(loop, 100));
	assert_int_equal(received, 2);
	land(loop, mail);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(letters_of_each_sender_arrive_in_order),
		cmocka_unit_test(stopping_delivers_what_was_posted),
		cmocka_unit_test(a_mailbox_works_on_the_simulator),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
