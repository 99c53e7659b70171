/* SPDX-License-Identifier: Apache-2.0 */
#include "common/codec/pprof_codec.h"

#include "common/base/span.h"

/* Fields of the messages, by their numbers in profile.proto. */
enum { TYPE_TYPE = 1, TYPE_UNIT = 2 };
enum { SAMPLE_LOCATION = 1, SAMPLE_VALUE = 2, SAMPLE_LABEL = 3 };
enum { LABEL_KEY = 1, LABEL_TEXT = 2 };
enum { MAPPING_ID = 1, MAPPING_START, MAPPING_LIMIT, MAPPING_OFFSET, MAPPING_FILE };
enum { LOCATION_ID = 1, LOCATION_MAPPING = 2, LOCATION_ADDRESS = 3 };
enum {
	PROFILE_SAMPLE_TYPE = 1,
	PROFILE_SAMPLE = 2,
	PROFILE_MAPPING = 3,
	PROFILE_LOCATION = 4,
	PROFILE_TEXT = 6,
	PROFILE_TIME = 9,
	PROFILE_DURATION = 10,
	PROFILE_PERIOD_TYPE = 11,
	PROFILE_PERIOD = 12,
};

/* The first places of the table of texts; then files, then threads. */
static const char *const words[] = {"", "samples", "count", "cpu", "nanoseconds", "thread"};
enum { WORD_SAMPLES = 1, WORD_COUNT, WORD_CPU, WORD_NANOSECONDS, WORD_THREAD, WORDS };

enum { VARINT = 0, LENGTH = 2, MESSAGE_LEN_MAX = 128 };

static void put_varint(struct buf *out, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_put_u8(out, (uint8_t)(v | 0x80));
	buf_put_u8(out, (uint8_t)v);
}

static void put_number(struct buf *out, unsigned int field, uint64_t v)
{
	put_varint(out, field << 3 | VARINT);
	put_varint(out, v);
}

static void put_bytes(struct buf *out, unsigned int field, struct span s)
{
	put_varint(out, field << 3 | LENGTH);
	put_varint(out, s.n);
	buf_put(out, s);
}

/* Put what part holds as a message, and empty it for the next. */
static void put_message(struct buf *out, unsigned int field, struct buf *part)
{
	put_bytes(out, field, buf_span(part));
	buf_clear(part);
}

static void put_type(struct buf *out, unsigned int field, struct buf *part, uint64_t type,
                     uint64_t unit)
{
	put_number(part, TYPE_TYPE, type);
	put_number(part, TYPE_UNIT, unit);
	put_message(out, field, part);
}

static void put_mappings(const struct pprof *p, struct buf *out, struct buf *part)
{
	for (size_t i = 0; i < p->mapping_count; i++) {
		put_number(part, MAPPING_ID, i + 1);
		put_number(part, MAPPING_START, p->mappings[i].start);
		put_number(part, MAPPING_LIMIT, p->mappings[i].end);
		put_number(part, MAPPING_OFFSET, p->mappings[i].offset);
		put_number(part, MAPPING_FILE, WORDS + i);
		put_message(out, PROFILE_MAPPING, part);
	}
}

/* The id of the mapping an address lies in; 0: in none. */
static uint64_t mapping_of(const struct pprof *p, uint64_t address)
{
	size_t from = 0, to = p->mapping_count;

	while (from < to) {
		size_t mid = from + (to - from) / 2;

		if (address >= p->mappings[mid].end)
			from = mid + 1;
		else
			to = mid;
	}
	return from < p->mapping_count && address >= p->mappings[from].start ? from + 1 : 0;
}

/* A location a sample: their ids are the samples' places, which is all pprof asks of them. */
static void put_samples(const struct pprof *p, struct buf *out, struct buf *part, struct buf *label)
{
	for (size_t i = 0; i < p->sample_count; i++) {
		const struct pprof_sample *s = &p->samples[i];

		put_number(part, SAMPLE_LOCATION, i + 1);
		put_number(part, SAMPLE_VALUE, s->count);
		put_number(part, SAMPLE_VALUE, s->count * p->period_ns);
		put_number(label, LABEL_KEY, WORD_THREAD);
		put_number(label, LABEL_TEXT, WORDS + p->mapping_count + s->thread);
		put_bytes(part, SAMPLE_LABEL, buf_span(label));
		buf_clear(label);
		put_message(out, PROFILE_SAMPLE, part);
	}
	for (size_t i = 0; i < p->sample_count; i++) {
		put_number(part, LOCATION_ID, i + 1);
		put_number(part, LOCATION_MAPPING, mapping_of(p, p->samples[i].address));
		put_number(part, LOCATION_ADDRESS, p->samples[i].address);
		put_message(out, PROFILE_LOCATION, part);
	}
}

static void put_texts(const struct pprof *p, struct buf *out)
{
	for (size_t i = 0; i < WORDS; i++)
		put_bytes(out, PROFILE_TEXT, span_str(words[i]));
	for (size_t i = 0; i < p->mapping_count; i++)
		put_bytes(out, PROFILE_TEXT, span_str(p->mappings[i].file));
	for (size_t i = 0; i < p->thread_count; i++)
		put_bytes(out, PROFILE_TEXT, span_str(p->threads[i]));
}

void pprof_write(const struct pprof *p, struct buf *out)
{
	struct buf part, label;

	buf_init(&part, MESSAGE_LEN_MAX);
	buf_init(&label, MESSAGE_LEN_MAX);
	put_type(out, PROFILE_SAMPLE_TYPE, &part, WORD_SAMPLES, WORD_COUNT);
	put_type(out, PROFILE_SAMPLE_TYPE, &part, WORD_CPU, WORD_NANOSECONDS);
	put_samples(p, out, &part, &label);
	put_mappings(p, out, &part);
	put_texts(p, out);
	put_number(out, PROFILE_TIME, (uint64_t)p->began_ns);
	put_number(out, PROFILE_DURATION, p->duration_ns);
	put_type(out, PROFILE_PERIOD_TYPE, &part, WORD_CPU, WORD_NANOSECONDS);
	put_number(out, PROFILE_PERIOD, p->period_ns);
	buf_fini(&part);
	buf_fini(&label);
}
