/* SPDX-License-Identifier: Apache-2.0 */
#include "common/dns/dns_resolver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/dns/dns_msg.h"
#include "tests/sim/sim.h"

/* A forwarder that knows one address of each family for every name, behind an alias; or nothing. */
struct lab {
	struct dns_forwarder face;
	struct loop *loop;
	struct dns_resolver *resolver;
	struct list asks;
	unsigned int asked;
	enum dns_rcode rcode;
	bool silent, empty;
};

static void fake_ask(struct dns_forwarder *f, struct dns_ask *a)
{
	struct lab *l = container_of(f, struct lab, face);

	l->asked++;
	a->ret_err = ERR_OK;
	list_push(&l->asks, &a->link);
}

static void fake_cancel(struct dns_forwarder *f, struct dns_ask *a)
{
	(void)f;
	a->ret_err = ERR_CANCELLED;
}

static void answer_all(struct lab *l)
{
	static const struct ip v4 = {.family = IP_V4, .bytes = {192, 0, 2, 1}};
	static const struct ip v6 = {.family = IP_V6, .bytes = {0xfd, 0, 1}};
	struct list *n;

	while ((n = list_shift(&l->asks)) != NULL) {
		struct dns_ask *a = list_entry(n, struct dns_ask, link);
		struct dns_reply r = {.rcode = l->rcode, .addr_count = l->empty ? 0 : 1};
		struct dns_query q;
		struct buf out;

		buf_init(&out, DNS_MSG_MAX);
		assert_int_equal(dns_query_read(a->query, &q), DNS_ASK);
		r.addrs = q.type == DNS_TYPE_A ? &v4 : &v6;
		assert_int_equal(dns_name_parse(span_str("Real.example.net"), &r.alias), ERR_OK);
		assert_int_equal(dns_reply_write(&q, &r, DNS_UDP_LEN, &out), ERR_OK);
		if (a->ret_err == ERR_OK && l->silent)
			a->ret_err = ERR_DNS;
		a->ret_answer = a->ret_err == ERR_OK ? buf_span(&out) : span_of(NULL, 0);
		a->done(a);
		buf_fini(&out);
	}
}

static struct lab *lab_new(bool ipv6, size_t names_max)
{
	struct lab *l = mem_new(sizeof(*l));

	l->face = (struct dns_forwarder){.ask = fake_ask, .cancel = fake_cancel};
	list_init(&l->asks);
	l->loop = sim_new(NULL);
	l->resolver = dns_resolver_new(
		l->loop, &(struct dns_resolver_options){
				 .forwarder = &l->face, .ipv6 = ipv6, .names_max = names_max});
	return l;
}

static void lab_free(struct lab *l)
{
	dns_resolver_free(l->resolver);
	answer_all(l);
	loop_turn(l->loop, 0);
	assert_int_equal(loop_pending(l->loop), 0);
	loop_free(l->loop);
	free(l);
}

struct waiter {
	struct dns_lookup lookup;
	unsigned int calls;
};

static void on_found(struct dns_lookup *l)
{
	container_of(l, struct waiter, lookup)->calls++;
}

static void start(struct lab *l, struct waiter *w, const char *name)
{
	w->calls = 0;
	dns_lookup_start(&w->lookup, l->resolver, name, on_found);
	assert_int_equal(w->calls, 0); /* never inside */
}

static void finish(struct lab *l, struct waiter *w, enum err expected)
{
	loop_turn(l->loop, 0);
	answer_all(l);
	loop_turn(l->loop, 0);
	loop_turn(l->loop, 0);
	assert_int_equal(w->calls, 1);
	assert_int_equal(w->lookup.ret_err, expected);
}

static void both_families_are_found_through_an_alias_and_remembered(void **state)
{
	struct lab *l = lab_new(true, 0);
	struct waiter *w = mem_new(sizeof(*w));

	(void)state;
	start(l, w, "Db.Example.org");
	finish(l, w, ERR_OK);
	assert_int_equal(w->lookup.ret_count, 2);
	assert_int_equal(w->lookup.ret_addrs[0].family, IP_V4);
	assert_int_equal(w->lookup.ret_addrs[1].family, IP_V6);
	assert_int_equal(l->asked, 2);
	start(l, w, "db.example.ORG.");
	finish(l, w, ERR_OK);
	assert_int_equal(l->asked, 2);
	sim_advance(l->loop, 30000); /* the TTL */
	loop_turn(l->loop, 0);
	start(l, w, "db.example.org");
	finish(l, w, ERR_OK);
	assert_int_equal(l->asked, 4);
	free(w);
	lab_free(l);
}

static void without_ipv6_only_ipv4_is_asked_for(void **state)
{
	struct lab *l = lab_new(false, 0);
	struct waiter *w = mem_new(sizeof(*w));

	(void)state;
	start(l, w, "db.example.org");
	finish(l, w, ERR_OK);
	assert_int_equal(l->asked, 1);
	assert_int_equal(w->lookup.ret_count, 1);
	free(w);
	lab_free(l);
}

static void any_number_of_waiters_share_one_question_and_one_may_leave(void **state)
{
	enum { MANY = 20 };
	struct lab *l = lab_new(true, 0);
	struct waiter *w = mem_new(MANY * sizeof(*w));

	(void)state;
	for (unsigned int i = 0; i < MANY; i++)
		start(l, &w[i], "db.example.org");
	dns_lookup_cancel(&w[7].lookup);
	assert_int_equal(w[7].calls, 0);
	for (unsigned int i = 0; i < 2; i++)
		loop_turn(l->loop, 0);
	assert_int_equal(w[7].calls, 1);
	assert_int_equal(w[7].lookup.ret_err, ERR_CANCELLED);
	answer_all(l);
	for (unsigned int i = 0; i < 3; i++)
		loop_turn(l->loop, 0);
	for (unsigned int i = 0; i < MANY; i++)
		assert_int_equal(w[i].calls, 1);
	assert_int_equal(w[0].lookup.ret_err, ERR_OK);
	assert_int_equal(l->asked, 2);
	free(w);
	lab_free(l);
}

static void a_name_without_address_is_an_error_and_asked_again_soon(void **state)
{
	static const struct {
		enum dns_rcode rcode;
		bool silent, empty;
		uint64_t again_ms;
	} cases[] = {
		{DNS_NXDOMAIN, false, true, 5000},
		{DNS_NOERROR, false, true, 5000},
		{DNS_NOERROR, true, false, 1000},
		{DNS_SERVFAIL, false, true, 1000},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct lab *l = lab_new(true, 0);
		struct waiter *w = mem_new(sizeof(*w));

		l->rcode = cases[i].rcode;
		l->silent = cases[i].silent;
		l->empty = cases[i].empty;
		start(l, w, "db.example.org");
		finish(l, w, ERR_RESOLVE);
		assert_int_equal(w->lookup.ret_count, 0);
		sim_advance(l->loop, cases[i].again_ms - 1);
		loop_turn(l->loop, 0);
		start(l, w, "db.example.org");
		finish(l, w, ERR_RESOLVE);
		assert_int_equal(l->asked, 2);
		sim_advance(l->loop, 1);
		loop_turn(l->loop, 0);
		start(l, w, "db.example.org");
		finish(l, w, ERR_RESOLVE);
		assert_int_equal(l->asked, 4);
		free(w);
		lab_free(l);
	}
}

static void what_is_no_name_is_refused_at_once(void **state)
{
	static const char *const bad[] = {"", ".", "a..b", "\\"};
	struct lab *l = lab_new(true, 0);
	struct waiter *w = mem_new(sizeof(*w));

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		start(l, w, bad[i]);
		finish(l, w, ERR_PARSE);
	}
	assert_int_equal(l->asked, 0);
	free(w);
	lab_free(l);
}

static void the_longest_unused_name_makes_room_but_not_one_being_asked_for(void **state)
{
	struct lab *l = lab_new(false, 2);
	struct waiter *w = mem_new(3 * sizeof(*w));

	(void)state;
	start(l, &w[0], "a.example");
	start(l, &w[1], "b.example");
	start(l, &w[2], "c.example"); /* both are on their way */
	loop_turn(l->loop, 0);
	assert_int_equal(w[2].lookup.ret_err, ERR_OVERLOAD);
	finish(l, &w[0], ERR_OK);
	start(l, &w[2], "c.example");
	finish(l, &w[2], ERR_OK); /* in the place of a */
	assert_int_equal(l->asked, 3);
	start(l, &w[1], "b.example");
	finish(l, &w[1], ERR_OK);
	assert_int_equal(l->asked, 3);
	start(l, &w[0], "a.example");
	finish(l, &w[0], ERR_OK);
	assert_int_equal(l->asked, 4);
	free(w);
	lab_free(l);
}

static void freed_with_questions_on_their_way_nothing_is_left(void **state)
{
	struct lab *l = lab_new(true, 0);
	struct waiter *w = mem_new(sizeof(*w));

	(void)state;
	start(l, w, "db.example.org");
	dns_lookup_cancel(&w->lookup);
	loop_turn(l->loop, 0);
	assert_int_equal(w->calls, 1);
	free(w);
	lab_free(l); /* the sanitizer tells the rest */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_families_are_found_through_an_alias_and_remembered),
		cmocka_unit_test(without_ipv6_only_ipv4_is_asked_for),
		cmocka_unit_test(any_number_of_waiters_share_one_question_and_one_may_leave),
		cmocka_unit_test(a_name_without_address_is_an_error_and_asked_again_soon),
		cmocka_unit_test(what_is_no_name_is_refused_at_once),
		cmocka_unit_test(the_longest_unused_name_makes_room_but_not_one_being_asked_for),
		cmocka_unit_test(freed_with_questions_on_their_way_nothing_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
