/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions of ours with OpenSSL's s_client and s_server over loopback: an implementation that is not wolfSSL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/tls/pem_msg.h"
#include "common/tls/tls_session.h"
#include "tests/unit/common/tls/test_pki.h"

#define ALICE "spiffe://cluster.local/ns/demo/sa/alice"
#define BOB   "spiffe://cluster.local/ns/demo/sa/bob"

enum {
	PIPE = 4 * 1024 * 1024,
	PATIENCE_MS = 10000, /* a deadline for a hung program, not a measure */
};

static struct test_pki root;
static char dir[64];

static void write_file(const char *name, struct span text)
{
	char path[128];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text.p, 1, text.n, f), text.n);
	assert_int_equal(fclose(f), 0);
}

static int set_up(void **state)
{
	struct test_material m;
	struct pem_block block;
	struct span rest;

	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	assert_int_equal(tls_global_init(), ERR_OK);
	(void)snprintf(dir, sizeof(dir), "/tmp/culvert-test-openssl-XXXXXX");
	assert_non_null(mkdtemp(dir));
	test_pki_init(&root, "root");
	test_pki_issue(&root, &(struct test_leaf){.uris = {BOB}, .intermediates = 1}, &m);
	write_file("leaf.pem", buf_span(&m.chain)); /* openssl takes the first of it */
	rest = buf_span(&m.chain);
	assert_int_equal(pem_next(&rest, &block), ERR_OK);
	write_file("chain.pem", rest);
	write_file("key.pem", buf_span(&m.key));
	write_file("roots.pem", buf_span(&m.roots));
	test_material_fini(&m);
	return 0;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	test_pki_fini(&root);
	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
	tls_global_fini();
	return 0;
}

/* A running openssl with its standard input and output. */
struct program {
	pid_t pid;
	int to, from;
};

/* command: of sh, which becomes the program. */
static void start(struct program *p, const char *command)
{
	int in[2], out[2];

	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	p->pid = fork();
	assert_true(p->pid >= 0);
	if (p->pid == 0) {
		if (chdir(dir) != 0)
			_exit(126);
		(void)dup2(in[0], 0);
		(void)dup2(out[1], 1);
		(void)dup2(out[1], 2);
		for (int fd = 3; fd < 256; fd++)
			(void)close(fd);
		(void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	(void)close(in[0]);
	(void)close(out[1]);
	p->to = in[1];
	p->from = out[0];
}

static void stop(struct program *p)
{
	(void)close(p->to);
	(void)close(p->from);
	(void)kill(p->pid, SIGKILL);
	(void)waitpid(p->pid, NULL, 0);
}

/* Read the program's output until it has said so. */
static void expect_output(struct program *p, const char *words)
{
	const uint64_t end = clock_mono_ms() + PATIENCE_MS;
	char text[65536];
	size_t n = 0;

	for (;;) {
		struct pollfd fd = {.fd = p->from, .events = POLLIN};
		ssize_t got;

		text[n] = '\0';
		if (strstr(text, words) != NULL)
			return;
		if (clock_mono_ms() > end || n == sizeof(text) - 1)
			fail_msg("openssl never said \"%s\" but: %s", words, text);
		if (poll(&fd, 1, 100) <= 0)
			continue;
		got = read(p->from, text + n, sizeof(text) - 1 - n);
		if (got <= 0)
			fail_msg("openssl ended without \"%s\": %s", words, text);
		n += (size_t)got;
	}
}

static void send_buf(int fd, struct buf *b)
{
	while (b->n > 0) {
		ssize_t n = write(fd, b->p, b->n);

		assert_true(n > 0);
		buf_consume(b, (size_t)n);
	}
}

static void recv_buf(int fd, struct buf *b)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint8_t bytes[4096];
	ssize_t n;

	assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
	n = read(fd, bytes, sizeof(bytes));
	assert_true(n > 0);
	buf_put(b, span_of(bytes, (size_t)n));
}

static void shake(struct tls_session *s, int fd, struct buf *in)
{
	struct buf out;

	buf_init(&out, PIPE);
	for (;;) {
		size_t used = 0;

		assert_int_equal(tls_session_handshake(s, buf_span(in), &used, &out), ERR_OK);
		buf_consume(in, used);
		send_buf(fd, &out);
		if (tls_session_established(s))
			break;
		recv_buf(fd, in);
	}
	buf_fini(&out);
}

static void say(struct tls_session *s, int fd, const char *words)
{
	uint8_t record[256];
	size_t n = strlen(words), len = 0;

	memcpy(record + TLS_RECORD_HEAD, words, n);
	assert_int_equal(tls_session_seal(s, record, n, &len), ERR_OK);
	assert_int_equal(write(fd, record, len), len);
}

/* Open records until application bytes contain the words; tickets and key updates are handled on the way. */
static void hear(struct tls_session *s, int fd, struct buf *in, const char *words)
{
	struct buf out;
	bool heard = false;

	buf_init(&out, PIPE);
	while (!heard) {
		struct tls_opened o;
		size_t len = 0;

		assert_int_equal(tls_record_len(buf_span(in), &len), ERR_OK);
		if (len == 0) {
			recv_buf(fd, in);
			continue;
		}
		assert_int_equal(tls_session_open(s, in->p, len, &o), ERR_OK);
		assert_int_not_equal(o.kind, TLS_OPENED_CLOSE);
		if (o.kind == TLS_OPENED_DATA)
			heard = memmem(o.p, o.n, words, strlen(words)) != NULL;
		buf_consume(in, len);
		assert_int_equal(tls_session_pending(s, &out), ERR_OK);
		send_buf(fd, &out);
	}
	buf_fini(&out);
}

/* One record, which changes the keys and asks for ours. */
static void hear_key_update(struct tls_session *s, int fd, struct buf *in)
{
	struct tls_opened o;
	struct buf out;
	size_t len = 0;

	buf_init(&out, PIPE);
	for (;;) {
		assert_int_equal(tls_record_len(buf_span(in), &len), ERR_OK);
		if (len > 0)
			break;
		recv_buf(fd, in);
	}
	assert_int_equal(tls_session_open(s, in->p, len, &o), ERR_OK);
	assert_int_equal(o.kind, TLS_OPENED_NOTHING);
	assert_true(o.want_send);
	buf_consume(in, len);
	assert_int_equal(tls_session_pending(s, &out), ERR_OK);
	assert_false(tls_session_wants_send(s));
	send_buf(fd, &out);
	buf_fini(&out);
}

static int listen_anywhere(uint16_t *ret_port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	*ret_port = ntohs(a.sin_port);
	return fd;
}

static void openssl_as_client_talks_to_our_server(void **state)
{
	const struct tls_expect nobody = {0};
	struct tls_config *cfg = test_pki_config(&root, ALICE);
	char command[256];
	uint16_t port = 0;
	int listener = listen_anywhere(&port), fd;
	struct tls_session *s = tls_session_new(cfg, TLS_SERVER, &nobody);
	struct program p;
	struct buf in;

	(void)state;
	buf_init(&in, PIPE);
	(void)snprintf(
		command, sizeof(command),
		"exec openssl s_client -connect 127.0.0.1:%u -cert leaf.pem -cert_chain chain.pem "
		"-key key.pem -CAfile roots.pem -alpn h2 -verify_return_error -verify 4",
		port);
	start(&p, command);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	shake(s, fd, &in);
	assert_string_equal(tls_session_peer(s), BOB);
	expect_output(&p, "ALPN protocol: h2");
	assert_int_equal(write(p.to, "hello from openssl\n", 19), 19);
	hear(s, fd, &in, "hello from openssl");
	/* "K" has s_client update its keys and ask for ours */
	assert_int_equal(write(p.to, "K\n", 2), 2);
	expect_output(&p, "KEYUPDATE");
	assert_int_equal(write(p.to, "after the update\n", 17), 17);
	hear(s, fd, &in, "after the update");
	say(s, fd, "our words under new keys\n");
	expect_output(&p, "our words under new keys");
	stop(&p);
	(void)close(fd);
	(void)close(listener);
	tls_session_free(s);
	tls_config_unref(cfg);
	buf_fini(&in);
}

static int dial(uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
	                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	                        .sin_port = htons(port)};
	const uint64_t end = clock_mono_ms() + PATIENCE_MS;

	for (;;) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		assert_true(fd >= 0);
		if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
			return fd;
		(void)close(fd);
		assert_true(clock_mono_ms() < end);
		(void)usleep(10000);
	}
}

static void our_client_talks_to_openssl_as_server(void **state)
{
	static const char *const bob[] = {BOB};
	const struct tls_expect expect = {.identities = bob, .identity_count = 1};
	struct tls_config *cfg = test_pki_config(&root, ALICE);
	struct tls_session *s = tls_session_new(cfg, TLS_CLIENT, &expect);
	char command[256];
	uint16_t port = 0;
	struct program p;
	struct buf in;
	int fd = listen_anywhere(&port);

	(void)state;
	(void)close(fd); /* the port is free now */
	buf_init(&in, PIPE);
	(void)snprintf(
		command, sizeof(command),
		"exec openssl s_server -accept %u -cert leaf.pem -cert_chain chain.pem -key key.pem "
		"-CAfile roots.pem -Verify 4 -verify_return_error -alpn h2 -tls1_3",
		port);
	start(&p, command);
	fd = dial(port);
	shake(s, fd, &in);
	assert_string_equal(tls_session_peer(s), BOB);
	assert_int_equal(write(p.to, "hello from the server\n", 22), 22);
	hear(s, fd, &in, "hello from the server"); /* two tickets come first */
	say(s, fd, "hello from us\n");
	expect_output(&p, "hello from us");
	tls_session_cool(s);
	assert_int_equal(write(p.to, "K\n", 2), 2); /* update and ask */
	hear_key_update(s, fd, &in);
	assert_int_equal(write(p.to, "after the update\n", 17), 17);
	hear(s, fd, &in, "after the update");
	say(s, fd, "our words under new keys\n");
	expect_output(&p, "our words under new keys");
	stop(&p);
	(void)close(fd);
	tls_session_free(s);
	tls_config_unref(cfg);
	buf_fini(&in);
}

static struct tls_config *config_under(const struct tls_policy *policy)
{
	struct tls_config *cfg = NULL;
	struct tls_material view;
	struct test_material m;
	char why[200] = "";

	test_pki_issue(&root, &(struct test_leaf){.uris = {ALICE}}, &m);
	view = test_material_view(&m);
	view.policy = policy;
	if (tls_config_new(&view, &cfg, why, sizeof(why)) != ERR_OK)
		fail_msg("%s", why);
	test_material_fini(&m);
	return cfg;
}

/* Our server against an s_client with these options; returns what the handshake came to. */
static enum err meet_client(const char *options, const struct tls_policy *policy)
{
	const struct tls_expect nobody = {0};
	struct tls_config *cfg = config_under(policy);
	struct tls_session *s = tls_session_new(cfg, TLS_SERVER, &nobody);
	enum err e = ERR_OK;
	struct buf in, out;
	char command[512];
	uint16_t port = 0;
	struct program p;
	int listener = listen_anywhere(&port), fd;

	buf_init(&in, PIPE);
	buf_init(&out, PIPE);
	(void)snprintf(command, sizeof(command),
	               "exec openssl s_client -connect 127.0.0.1:%u -cert leaf.pem -cert_chain "
	               "chain.pem -key key.pem -CAfile roots.pem -alpn h2 %s",
	               port, options);
	start(&p, command);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	while (e == ERR_OK && !tls_session_established(s)) {
		size_t used = 0;

		recv_buf(fd, &in);
		e = tls_session_handshake(s, buf_span(&in), &used, &out);
		buf_consume(&in, used);
		send_buf(fd, &out);
	}
	stop(&p);
	(void)close(fd);
	(void)close(listener);
	buf_fini(&in);
	buf_fini(&out);
	tls_session_free(s);
	tls_config_unref(cfg);
	return e;
}

static void openssl_with_another_suite_or_version_is_refused(void **state)
{
	static const char *const refused[] = {
		"-tls1_3 -ciphersuites TLS_CHACHA20_POLY1305_SHA256",
		"-tls1_3 -ciphersuites TLS_AES_128_CCM_SHA256",
		"-tls1_2",
		"-tls1_3 -groups P-521",
	};
	static const char *const served[] = {
		"-tls1_3 -ciphersuites TLS_AES_256_GCM_SHA384",
		"-tls1_3 -ciphersuites TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256",
		"-groups P-521:P-384",
		"-no_ticket -servername some.name",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		assert_int_not_equal(meet_client(refused[i], NULL), ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(served); i++)
		assert_int_equal(meet_client(served[i], NULL), ERR_OK);
}

/* A server that makes no tickets, and one that makes many. */
static void our_client_needs_no_tickets_and_is_not_troubled_by_many(void **state)
{
	static const char *const bob[] = {BOB};
	static const char *const options[] = {"-num_tickets 0", "-no_ticket", "-num_tickets 20"};
	const struct tls_expect expect = {.identities = bob, .identity_count = 1};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		struct tls_config *cfg = test_pki_config(&root, ALICE);
		struct tls_session *s = tls_session_new(cfg, TLS_CLIENT, &expect);
		char command[512];
		uint16_t port = 0;
		struct program p;
		struct buf in;
		int fd = listen_anywhere(&port);

		(void)close(fd);
		buf_init(&in, PIPE);
		(void)snprintf(command, sizeof(command),
		               "exec openssl s_server -accept %u -cert leaf.pem -cert_chain "
		               "chain.pem -key key.pem -CAfile roots.pem -Verify 4 -alpn h2 %s",
		               port, options[i]);
		start(&p, command);
		fd = dial(port);
		shake(s, fd, &in);
		assert_int_equal(write(p.to, "behind the tickets\n", 19), 19);
		hear(s, fd, &in, "behind the tickets");
		say(s, fd, "hello from us\n");
		expect_output(&p, "hello from us");
		stop(&p);
		(void)close(fd);
		tls_session_free(s);
		tls_config_unref(cfg);
		buf_fini(&in);
	}
}

static const struct tls_policy with_12 = {.tls12 = true};

static void openssl_as_client_speaks_tls_1_2_with_us_where_that_is_enabled(void **state)
{
	static const char *const suites[] = {"ECDHE-ECDSA-AES128-GCM-SHA256",
	                                     "ECDHE-ECDSA-AES256-GCM-SHA384"};
	const struct tls_expect nobody = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(suites); i++) {
		struct tls_config *cfg = config_under(&with_12);
		struct tls_session *s = tls_session_new(cfg, TLS_SERVER, &nobody);
		char command[512];
		uint16_t port = 0;
		struct program p;
		struct buf in;
		int listener = listen_anywhere(&port), fd;

		buf_init(&in, PIPE);
		(void)snprintf(command, sizeof(command),
		               "exec openssl s_client -connect 127.0.0.1:%u -cert leaf.pem "
		               "-cert_chain chain.pem -key key.pem -CAfile roots.pem -alpn h2 "
		               "-verify_return_error -verify 4 -tls1_2 -cipher %s",
		               port, suites[i]);
		start(&p, command);
		fd = accept(listener, NULL, NULL);
		shake(s, fd, &in);
		assert_string_equal(tls_session_peer(s), BOB);
		expect_output(&p, "Extended master secret: yes");
		for (int round = 0; round < 5; round++) {
			assert_int_equal(write(p.to, "hello from openssl\n", 19), 19);
			hear(s, fd, &in, "hello from openssl");
			say(s, fd, "hello from us\n");
			expect_output(&p, "hello from us");
			tls_session_cool(s);
			tls_session_key_update(s, true); /* means nothing here */
			assert_false(tls_session_wants_send(s));
		}
		/* "R" has s_client begin a renegotiation */
		assert_int_equal(write(p.to, "R\n", 2), 2);
		for (;;) {
			struct tls_opened o;
			struct buf out;
			size_t len = 0;

			assert_int_equal(tls_record_len(buf_span(&in), &len), ERR_OK);
			if (len == 0) {
				recv_buf(fd, &in);
				continue;
			}
			assert_int_equal(tls_session_open(s, in.p, len, &o), ERR_TLS);
			buf_init(&out, PIPE);
			assert_int_equal(tls_session_pending(s, &out), ERR_OK);
			assert_true(out.n > 0);
			send_buf(fd, &out);
			buf_fini(&out);
			break;
		}
		expect_output(&p, "unexpected message");
		stop(&p);
		(void)close(fd);
		(void)close(listener);
		tls_session_free(s);
		tls_config_unref(cfg);
		buf_fini(&in);
	}
}

static void we_as_client_speak_tls_1_2_with_openssl_where_that_is_enabled(void **state)
{
	static const char *const bob[] = {BOB};
	const struct tls_expect expect = {.identities = bob, .identity_count = 1};

	(void)state;
	for (int enabled = 0; enabled < 2; enabled++) {
		struct tls_config *cfg = config_under(enabled == 1 ? &with_12 : NULL);
		struct tls_session *s = tls_session_new(cfg, TLS_CLIENT, &expect);
		char command[512];
		uint16_t port = 0;
		struct program p;
		struct buf in, out;
		int fd = listen_anywhere(&port);
		enum err e = ERR_OK;

		(void)close(fd);
		buf_init(&in, PIPE);
		buf_init(&out, PIPE);
		(void)snprintf(command, sizeof(command),
		               "exec openssl s_server -accept %u -cert leaf.pem -cert_chain "
		               "chain.pem -key key.pem -CAfile roots.pem -Verify 4 "
		               "-verify_return_error -alpn h2 -tls1_2",
		               port);
		start(&p, command);
		fd = dial(port);
		if (enabled == 1) {
			shake(s, fd, &in);
			assert_string_equal(tls_session_peer(s), BOB);
			assert_int_equal(write(p.to, "hello from the server\n", 22), 22);
			hear(s, fd, &in, "hello from the server");
			say(s, fd, "hello from us\n");
			expect_output(&p, "hello from us");
		} else {
			while (e == ERR_OK) {
				size_t used = 0;

				e = tls_session_handshake(s, buf_span(&in), &used, &out);
				buf_consume(&in, used);
				send_buf(fd, &out);
				if (e == ERR_OK)
					recv_buf(fd, &in);
			}
			assert_false(tls_session_established(s));
		}
		stop(&p);
		(void)close(fd);
		tls_session_free(s);
		tls_config_unref(cfg);
		buf_fini(&in);
		buf_fini(&out);
	}
}

static void what_is_weaker_than_our_suites_of_tls_1_2_is_refused(void **state)
{
	static const char *const refused[] = {
		"-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA256",
		"-tls1_2 -cipher ECDHE-ECDSA-AES256-SHA",
		"-tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305",
		"-tls1_2 -cipher ECDHE-ECDSA-AES128-CCM",
		"-tls1_1 -cipher ALL:@SECLEVEL=0",
	};
	const struct tls_policy pqc = {.tls12 = true, .pqc_only = true};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		assert_int_not_equal(meet_client(refused[i], &with_12), ERR_OK);
	assert_int_equal(meet_client("-tls1_2", &with_12), ERR_OK);
	assert_int_equal(meet_client("-tls1_3", &with_12), ERR_OK);
	assert_int_not_equal(meet_client("-tls1_2", &pqc), ERR_OK);
}

/* A command in the directory of this test; its failure fails the test. */
static void run(const char *command)
{
	char text[1024];

	(void)snprintf(text, sizeof(text), "cd %s && { %s ; } 2>run.log", dir, command);
	if (system(text) != 0)
		fail_msg("this failed: %s", command);
}

static struct buf read_file(const char *name)
{
	char path[128];
	struct buf b;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "r");
	assert_non_null(f);
	buf_init(&b, PIPE);
	buf_added(&b, fread(buf_reserve(&b, 65536), 1, 65536, f));
	assert_int_equal(fclose(f), 0);
	return b;
}

/* Two sessions that both show and trust this. */
static void shake_with_files(const char *chain_name, const char *key_name, const char *roots_name)
{
	static const char *const expected[] = {BOB};
	const struct tls_expect bob = {.identities = expected, .identity_count = 1};
	const struct tls_expect any = {0};
	struct buf chain = read_file(chain_name), key = read_file(key_name);
	struct buf roots = read_file(roots_name), to_c, to_s;
	const struct tls_material m = {.chain_pem = buf_span(&chain),
	                               .key_pem = buf_span(&key),
	                               .roots_pem = buf_span(&roots)};
	struct tls_config *cfg = NULL;
	struct tls_session *c, *s;
	char why[200];

	if (tls_config_new(&m, &cfg, why, sizeof(why)) != ERR_OK)
		fail_msg("%s", why);
	c = tls_session_new(cfg, TLS_CLIENT, &bob);
	s = tls_session_new(cfg, TLS_SERVER, &any);
	buf_init(&to_c, PIPE);
	buf_init(&to_s, PIPE);
	for (int i = 0; i < 6; i++) {
		size_t used = 0;

		assert_int_equal(tls_session_handshake(c, buf_span(&to_c), &used, &to_s), ERR_OK);
		buf_consume(&to_c, used);
		assert_int_equal(tls_session_handshake(s, buf_span(&to_s), &used, &to_c), ERR_OK);
		buf_consume(&to_s, used);
	}
	assert_string_equal(tls_session_peer(c), BOB);
	assert_string_equal(tls_session_peer(s), BOB);
	tls_session_free(c);
	tls_session_free(s);
	tls_config_unref(cfg);
	buf_fini(&chain);
	buf_fini(&key);
	buf_fini(&roots);
	buf_fini(&to_c);
	buf_fini(&to_s);
}

/*
 * Istio's own authority signs with an RSA key of 2048 bits unless told otherwise, and the proxies of its gateways have
 * RSA keys: chains of both kinds of key, and leaves of both, are read, verified and shown.
 */
static void chains_of_rsa_authorities_are_verified(void **state)
{
	static const char *const leaf_keys[] = {"-newkey rsa:2048",
	                                        "-newkey ec -pkeyopt ec_paramgen_curve:P-256"};

	(void)state;
	run("openssl req -x509 -newkey rsa:2048 -nodes -keyout rsa-root.key -out rsa-root.pem -days 2"
	    " -subj /O=cluster.local -addext keyUsage=critical,keyCertSign,cRLSign");
	run("openssl req -newkey rsa:4096 -nodes -keyout rsa-mid.key -out rsa-mid.csr -subj /O=mid");
	run("printf 'basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign\n' >mid.ext &&"
	    " openssl x509 -req -in rsa-mid.csr -CA rsa-root.pem -CAkey rsa-root.key"
	    " -set_serial 7 -days 2 -extfile mid.ext -sha384 -out rsa-mid.pem");
	for (size_t i = 0; i < 2; i++) {
		char command[512];

		(void)snprintf(command, sizeof(command),
		               "openssl req %s -nodes -keyout rsa-leaf.key -out rsa-leaf.csr"
		               " -subj /O=cluster.local",
		               leaf_keys[i]);
		run(command);
		run("printf 'subjectAltName=URI:" BOB "\nkeyUsage=critical,digitalSignature\n"
		    "extendedKeyUsage=serverAuth,clientAuth\n' >leaf.ext");
		/* signed by the root, whose name it shares as Istio's test certificates do; then by the other */
		run("openssl x509 -req -in rsa-leaf.csr -CA rsa-root.pem -CAkey rsa-root.key"
		    " -set_serial 8 -days 1 -extfile leaf.ext -out rsa-chain.pem");
		shake_with_files("rsa-chain.pem", "rsa-leaf.key", "rsa-root.pem");
		run("openssl x509 -req -in rsa-leaf.csr -CA rsa-mid.pem -CAkey rsa-mid.key"
		    " -set_serial 9 -days 1 -extfile leaf.ext -out rsa-chain.pem &&"
		    " cat rsa-mid.pem >>rsa-chain.pem");
		shake_with_files("rsa-chain.pem", "rsa-leaf.key", "rsa-root.pem");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chains_of_rsa_authorities_are_verified),
		cmocka_unit_test(openssl_as_client_talks_to_our_server),
		cmocka_unit_test(our_client_talks_to_openssl_as_server),
		cmocka_unit_test(openssl_with_another_suite_or_version_is_refused),
		cmocka_unit_test(openssl_as_client_speaks_tls_1_2_with_us_where_that_is_enabled),
		cmocka_unit_test(we_as_client_speak_tls_1_2_with_openssl_where_that_is_enabled),
		cmocka_unit_test(what_is_weaker_than_our_suites_of_tls_1_2_is_refused),
		cmocka_unit_test(our_client_needs_no_tickets_and_is_not_troubled_by_many),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
