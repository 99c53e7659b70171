/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hbone_talk - the two ends of a stream in the lab: one that asks, one that answers, both counting what they hear, for
 * tests.
 */
#ifndef TESTS_UNIT_COMMON_HBONE_HBONE_TALK_H
#define TESTS_UNIT_COMMON_HBONE_HBONE_TALK_H

#include "tests/unit/common/hbone/hbone_lab.h"

enum { TALK_MAX = 256 };

/* What an end of an open stream has heard. */
struct heard {
	struct hbone_stream s;
	size_t got, sent, untaken, put;
	unsigned int end, broken;
	enum err cause;
	bool hold; /* take nothing */
};

struct near_end {
	struct hbone_call call;
	struct heard h;
	unsigned int answered;
	enum err cause;
	bool cancelled;
};

enum talk_mode { TALK_GRANT, TALK_BANNER, TALK_SILENT, TALK_401, TALK_503 };

struct talk {
	struct lab lab;
	struct near_end near[TALK_MAX];
	struct heard far[TALK_MAX];
	unsigned int far_count, answered, ok;
	enum talk_mode mode;
	bool hold; /* far ends take nothing */
};

enum { TALK_BANNER_LEN = 500 };

void talk_init(struct talk *t, const struct lab_options *opt);
void talk_call(struct talk *t, unsigned int i);
/* n octets of the pattern. */
void heard_put(struct lab *l, struct heard *h, size_t n);
void heard_take(struct heard *h);
/* Reset what is still open on the near side, so that nothing keeps the servers. */
void talk_reset_all(struct talk *t);
/* talk_reset_all, then lab_fini; every ask was answered or cancelled, once. */
void talk_fini(struct talk *t);

#endif
