/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/check.h"
#include "common/codec/socks5_codec.h"

#define OCTETS(text)                                                \
	{                                                           \
		.p = (const uint8_t *)(text), .n = sizeof(text) - 1 \
	}
#define HELLO "\x05\x01\x00"

/* The last step, and how many octets it took, in pieces of at most piece. */
static enum socks5_step talk(struct socks5_reader *r, struct span in, size_t piece,
                             size_t *ret_used)
{
	enum socks5_step step = SOCKS5_MORE;
	size_t used = 0;

	socks5_reader_init(r);
	while (used < in.n && (step == SOCKS5_MORE || step == SOCKS5_GREETED)) {
		size_t len;
		uint8_t *room = socks5_reader_room(r, &len);

		len = len < piece ? len : piece;
		len = len < in.n - used ? len : in.n - used;
		memcpy(room, in.p + used, len);
		used += len;
		step = socks5_reader_put(r, len);
	}
	*ret_used = used;
	return step;
}

static const struct {
	struct span said;
	const char *to, *name;
} good[] = {
	{OCTETS(HELLO "\x05\x01\x00\x01\x0a\x00\x00\x01\x00\x50"), "10.0.0.1:80", ""},
	{OCTETS("\x05\x03\x02\x00\x01\x05\x01\x00\x01\x0a\x00\x00\x01\xff\xff"), "10.0.0.1:65535",
         ""},
	{OCTETS(HELLO "\x05\x01\x00\x04\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x1f\x90"),
         "[fd00::1]:8080", ""},
	{OCTETS(HELLO "\x05\x01\x00\x04\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\x01\0\x50"),
         "10.0.0.1:80", ""},
	{OCTETS(HELLO "\x05\x01\x00\x03\x03web\x00\x50"), NULL, "web"},
	{OCTETS(HELLO "\x05\x01\x00\x03\x08"
                      "10.0.0.1\x00\x50"),
         "10.0.0.1:80", ""},
	{OCTETS(HELLO "\x05\x01\x00\x03\x07"
                      "fd00::1\x00\x50"),
         "[fd00::1]:80", ""},
};

static void a_request_is_read_in_pieces_of_any_size(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		for (size_t piece = 1; piece <= good[i].said.n; piece++) {
			struct socks5_reader r;
			struct endpoint to;
			size_t used;

			assert_int_equal(talk(&r, good[i].said, piece, &used), SOCKS5_ASKED);
			assert_int_equal(used, good[i].said.n);
			assert_string_equal(r.name, good[i].name);
			if (good[i].to == NULL) {
				assert_int_equal(r.to.ip.family, IP_NONE);
				assert_int_equal(r.to.port, 80);
			} else {
				assert_int_equal(endpoint_parse(span_str(good[i].to), &to), ERR_OK);
				assert_true(endpoint_eq(&r.to, &to));
			}
		}
	}
}

static void what_follows_the_request_is_left_in_the_socket(void **state)
{
	static const char said[] = HELLO "\x05\x01\x00\x03\x03web\x00\x50GET / HTTP/1.1";
	struct socks5_reader r;
	size_t used;

	(void)state;
	assert_int_equal(talk(&r, span_of(said, sizeof(said) - 1), SOCKS5_MESSAGE_MAX, &used),
	                 SOCKS5_ASKED);
	assert_string_equal(said + used, "GET / HTTP/1.1");
}

static void a_cut_client_is_never_done(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		for (size_t n = 0; n < good[i].said.n; n++) {
			struct socks5_reader r;
			enum socks5_step step;
			size_t used;

			step = talk(&r, span_of(good[i].said.p, n), 1, &used);
			assert_true(step == SOCKS5_MORE || step == SOCKS5_GREETED);
		}
	}
}

static void the_longest_name_fits_and_one_with_a_nul_does_not(void **state)
{
	uint8_t said[3 + SOCKS5_MESSAGE_MAX] = {5, 1, 0, 5, 1, 0, 3, 255};
	struct socks5_reader r;
	size_t used;

	(void)state;
	memset(said + 8, 'a', 255);
	said[sizeof(said) - 1] = 80;
	assert_int_equal(talk(&r, span_of(said, sizeof(said)), 7, &used), SOCKS5_ASKED);
	assert_int_equal(strlen(r.name), 255);
	said[100] = 0;
	assert_int_equal(talk(&r, span_of(said, sizeof(said)), 7, &used), SOCKS5_BAD_REQUEST);
	assert_int_equal(r.code, SOCKS5_FAILED);
}

static void what_we_do_not_do_is_answered_with_its_code(void **state)
{
	static const struct {
		struct span said;
		enum socks5_step step;
		enum socks5_code code;
	} rows[] = {
		{OCTETS("\x04\x01"), SOCKS5_STRANGER, SOCKS5_GRANTED},
		{OCTETS("GE"), SOCKS5_STRANGER, SOCKS5_GRANTED},
		{OCTETS("\x05\x00"), SOCKS5_NO_METHOD, SOCKS5_GRANTED},
		{OCTETS("\x05\x02\x01\x02"), SOCKS5_NO_METHOD, SOCKS5_GRANTED},
		{OCTETS(HELLO "\x04\x01\x00\x01"), SOCKS5_BAD_REQUEST, SOCKS5_FAILED},
		{OCTETS(HELLO "\x05\x02\x00\x01"), SOCKS5_BAD_REQUEST, SOCKS5_NO_SUCH_COMMAND},
		{OCTETS(HELLO "\x05\x03\x00\x01"), SOCKS5_BAD_REQUEST, SOCKS5_NO_SUCH_COMMAND},
		{OCTETS(HELLO "\x05\x01\x00\x02"), SOCKS5_BAD_REQUEST, SOCKS5_NO_SUCH_ADDRESS_TYPE},
		{OCTETS(HELLO "\x05\x01\x00\x03\x00\x00\x50"), SOCKS5_BAD_REQUEST, SOCKS5_FAILED},
		{OCTETS(HELLO "\x05\x01\x00\x01\x0a\x00\x00\x01\x00\x00"), SOCKS5_BAD_REQUEST,
	         SOCKS5_FAILED},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct socks5_reader r;
		size_t used;

		assert_int_equal(talk(&r, rows[i].said, 1, &used), rows[i].step);
		assert_int_equal(used, rows[i].said.n);
		assert_int_equal(r.code, rows[i].code);
	}
}

static void answers_are_the_rfcs(void **state)
{
	uint8_t choice[SOCKS5_CHOICE_LEN], reply[SOCKS5_REPLY_LEN];

	(void)state;
	socks5_choice_write(true, choice);
	assert_memory_equal(choice, "\x05\x00", 2);
	socks5_choice_write(false, choice);
	assert_memory_equal(choice, "\x05\xff", 2);
	socks5_reply_write(SOCKS5_REFUSED, reply);
	assert_memory_equal(reply, "\x05\x05\x00\x01\0\0\0\0\0\0", SOCKS5_REPLY_LEN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_read_in_pieces_of_any_size),
		cmocka_unit_test(what_follows_the_request_is_left_in_the_socket),
		cmocka_unit_test(a_cut_client_is_never_done),
		cmocka_unit_test(the_longest_name_fits_and_one_with_a_nul_does_not),
		cmocka_unit_test(what_we_do_not_do_is_answered_with_its_code),
		cmocka_unit_test(answers_are_the_rfcs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
