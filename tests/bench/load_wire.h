/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load_wire - what the load client and its server agree on, and the readings both take.
 *
 * The first byte of a connection says what it is for; the server answers it with one byte when it
 * is ready, so that whatever sits between has finished its handshakes before a clock starts.
 */
#ifndef TESTS_BENCH_LOAD_WIRE_H
#define TESTS_BENCH_LOAD_WIRE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

enum load_mode {
	LOAD_UPLOAD = 'U',   /* client sends zeros, then LOAD_END, gets a struct load_receipt */
	LOAD_DOWNLOAD = 'D', /* server sends until the client closes */
	LOAD_PINGPONG = 'P', /* the server answers every whole message with one as long */
	LOAD_CHURN = 'C',    /* the ready byte is the whole answer; the server closes */
	LOAD_IDLE = 'I',     /* nothing more */
};

enum {
	LOAD_READY = 'r',
	LOAD_END = 'e',               /* not a half-close: not every proxy of TLS passes one on */
	LOAD_CHUNK_SIZE = 256 * 1024, /* of one send or receive in bulk */
	LOAD_MESSAGE_MAX = 64 * 1024, /* longest message of a ping-pong */
	LOAD_PIDS_MAX = 16,
};

/* The opening of a connection: 8 bytes, host order (both ends are one machine). */
struct load_hello {
	uint32_t mode;
	uint32_t message_size;
};

/* What the receiver counted. */
struct load_receipt {
	uint64_t bytes;
	uint64_t first_ns; /* CLOCK_MONOTONIC of the first byte after the hello */
	uint64_t last_ns;
};

/* Latencies: 32 steps to an octave, from 1 ns on. */
struct load_histogram {
	uint64_t count;
	uint64_t max_ns;
	uint64_t slots[64 * 32];
};

/* Processor time of other processes, and of the whole machine. */
struct load_cpu {
	unsigned int pid_count;
	pid_t pids[LOAD_PIDS_MAX];
	uint64_t used_us[LOAD_PIDS_MAX];
	uint64_t machine_busy_us;
};

uint64_t load_now_ns(void);

void load_histogram_add(struct load_histogram *h, uint64_t ns);

/* part: 0..1; returns the upper end of the step the quantile falls in, in ns */
uint64_t load_histogram_quantile(const struct load_histogram *h, double part);

/* list: pids joined by commas, or NULL; false when it is not one */
bool load_cpu_parse(struct load_cpu *cpu, const char *list);

/* Reads the clocks of all named processes, threads included, dead threads too. */
void load_cpu_read(struct load_cpu *cpu);

/* Ends the program with a message: a load tool has nobody to hand an error to. */
__attribute__((noreturn, format(printf, 1, 2))) void load_die(const char *format, ...);

/* Parses an IPv4 or IPv6 address; dies when it is neither. */
socklen_t load_address(const char *text, uint16_t port, struct sockaddr_storage *ret_address);

/* Raises the soft limit of descriptors to the hard one. */
void load_raise_descriptor_limit(void);

/* Serves until it is killed. */
void load_serve(const struct sockaddr_storage *address, socklen_t address_len);

#endif
