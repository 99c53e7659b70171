/* SPDX-License-Identifier: Apache-2.0 */
#include "common/grpc/grpc_codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { LEN_MAX = 100000 };

static void put(struct buf *b, const void *p, uint32_t n)
{
	uint8_t prefix[GRPC_PREFIX];

	grpc_prefix(n, prefix);
	buf_put(b, span_of(prefix, sizeof(prefix)));
	buf_put(b, span_of(p, n));
}

/* Feed in pieces of at most n octets; "1:len:first,..." of every message is compared. */
static void messages_arrive_whole_in_any_pieces(void **state)
{
	static uint8_t big[LEN_MAX];
	struct buf wire;

	(void)state;
	memset(big, 'b', sizeof(big));
	buf_init(&wire, 1 << 20);
	put(&wire, "", 0);
	put(&wire, "a", 1);
	put(&wire, big, sizeof(big));
	put(&wire, "", 0);
	put(&wire, "zz", 2);
	for (size_t piece = 1; piece < 2 * LEN_MAX; piece = piece * 3 + 1) {
		static const uint32_t lens[] = {0, 1, LEN_MAX, 0, 2};
		struct grpc_reader r;
		unsigned int got = 0;

		grpc_reader_init(&r, LEN_MAX);
		for (size_t at = 0; at < wire.n; at += piece) {
			struct span in =
				span_of(wire.p + at, wire.n - at < piece ? wire.n - at : piece);

			while (in.n > 0) {
				bool whole;

				assert_int_equal(grpc_reader_feed(&r, &in, &whole), ERR_OK);
				if (!whole)
					continue;
				assert_true(got < 5);
				assert_int_equal(r.message.n, lens[got]);
				assert_true(grpc_reader_between(&r));
				got++;
			}
		}
		assert_int_equal(got, 5);
		grpc_reader_fini(&r);
	}
	buf_fini(&wire);
}

static enum err feed(const char *bytes, size_t n, uint32_t len_max)
{
	struct span in = span_of(bytes, n);
	struct grpc_reader r;
	bool whole;
	enum err e;

	grpc_reader_init(&r, len_max);
	e = grpc_reader_feed(&r, &in, &whole);
	if (e == ERR_OK && !whole)
		assert_int_equal(grpc_reader_between(&r), n == 0);
	grpc_reader_fini(&r);
	return e;
}

static void what_is_no_message_is_refused_by_its_reason(void **state)
{
	(void)state;
	assert_int_equal(feed("\1\0\0\0\0", 5, 10), ERR_UNSUPPORTED);
	assert_int_equal(feed("\2\0\0\0\0", 5, 10), ERR_PARSE);
	assert_int_equal(feed("\x81\0\0\0\0", 5, 10), ERR_PARSE);
	assert_int_equal(feed("\0\0\0\0\x0b", 5, 10), ERR_LIMIT);
	assert_int_equal(feed("\0\xff\xff\xff\xff", 5, GRPC_MESSAGE_MAX), ERR_LIMIT);
	assert_int_equal(feed("\0\0\0\0\x0a", 5, 10), ERR_OK);
	assert_int_equal(feed("\0\0", 2, 10), ERR_OK);
	assert_int_equal(feed("", 0, 10), ERR_OK);
}

/* The length is the peer's word: memory follows what came, not what was promised. */
static void a_promise_takes_no_memory(void **state)
{
	const char promise[] = {0, 0x0c, 0, 0, 0, 'x'};
	struct span in = span_of(promise, sizeof(promise));
	struct grpc_reader r;
	bool whole;

	(void)state;
	grpc_reader_init(&r, GRPC_MESSAGE_MAX);
	assert_int_equal(grpc_reader_feed(&r, &in, &whole), ERR_OK);
	assert_false(whole);
	assert_true(r.message.cap < 4096);
	grpc_reader_fini(&r);
}

static void a_big_message_leaves_no_big_buffer(void **state)
{
	static uint8_t wire[GRPC_PREFIX + LEN_MAX + 1];
	struct span in = span_of(wire, sizeof(wire));
	struct grpc_reader r;
	bool whole;

	(void)state;
	grpc_prefix(LEN_MAX, wire);
	grpc_reader_init(&r, LEN_MAX);
	assert_int_equal(grpc_reader_feed(&r, &in, &whole), ERR_OK);
	assert_true(whole);
	assert_int_equal(in.n, 1);
	assert_int_equal(grpc_reader_feed(&r, &in, &whole), ERR_OK);
	assert_int_equal(r.message.cap, 0);
	grpc_reader_fini(&r);
}

static void timeouts_have_eight_digits_at_most_and_are_never_shortened(void **state)
{
	static const struct {
		uint64_t ms;
		const char *text;
	} cases[] = {
		{0, "0m"},
		{1, "1m"},
		{99999999, "99999999m"},
		{100000000, "100000S"},
		{100000001, "100001S"},
		{UINT64_C(99999999) * 1000, "99999999S"},
		{UINT64_C(99999999) * 1000 + 1, "1666667M"},
		{UINT64_MAX, "99999999H"},
	};
	char out[GRPC_TIMEOUT_TEXT];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(grpc_timeout_text(cases[i].ms, out), cases[i].text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_arrive_whole_in_any_pieces),
		cmocka_unit_test(what_is_no_message_is_refused_by_its_reason),
		cmocka_unit_test(a_promise_takes_no_memory),
		cmocka_unit_test(a_big_message_leaves_no_big_buffer),
		cmocka_unit_test(timeouts_have_eight_digits_at_most_and_are_never_shortened),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
