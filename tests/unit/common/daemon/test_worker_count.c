/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/daemon/worker_count.h"

static void the_rule_of_the_contract_holds(void **state)
{
	static const struct {
		const char *wish, *limit, *request;
		uint32_t cpu_limit, logical, want;
	} rows[] = {
		/* nothing said: max(2, request, a quarter of the cores) */
		{NULL, NULL, NULL, 0, 1, 2},
		{NULL, NULL, NULL, 0, 8, 2},
		{NULL, NULL, NULL, 0, 9, 3},
		{NULL, NULL, NULL, 32, 4, 8},
		{NULL, NULL, "5500m", 0, 8, 6},
		/* a limit: max(limit, request) */
		{NULL, "1", NULL, 0, 64, 1},
		{NULL, "1.2", "500m", 0, 64, 2},
		{NULL, "2", "3", 0, 64, 3},
		/* a number, all cores, a share */
		{"7", "2", "3", 0, 4, 7},
		{"0", NULL, NULL, 0, 6, 6},
		{"0", NULL, NULL, 12, 6, 12},
		{"0", "3", NULL, 12, 6, 3},
		{"50%", NULL, NULL, 0, 5, 3},
		{"1%", NULL, NULL, 0, 4, 1},
		{"0.5%", NULL, NULL, 0, 1, 1},
		{"100%", "4", NULL, 0, 64, 4},
		/* never more than there are slots for */
		{"0", NULL, NULL, 0, 1000, WORKERS_MAX},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct worker_inputs in = {
			.cpu_limit = rows[i].cpu_limit,
			.logical_cpus = rows[i].logical,
		};

		if (rows[i].wish != NULL)
			assert_int_equal(worker_wish_parse(span_str(rows[i].wish), &in.wish),
			                 ERR_OK);
		if (rows[i].limit != NULL)
			assert_int_equal(
				cpu_quantity_parse(span_str(rows[i].limit), &in.limit_cpus),
				ERR_OK);
		if (rows[i].request != NULL)
			assert_int_equal(
				cpu_quantity_parse(span_str(rows[i].request), &in.request_cpus),
				ERR_OK);
		assert_int_equal(worker_count(&in), rows[i].want);
	}
}

static void quantities_round_up_to_whole_cpus(void **state)
{
	static const struct {
		const char *text;
		uint32_t want; /* 0: refused */
	} rows[] = {
		{"2", 2},      {"1.5", 2},   {"500m", 1}, {"1000m", 1},
		{"1001m", 2},  {".5", 1},    {"1.0", 1},  {"1.0001", 2},
		{"0.0001", 1}, {"0", 0},     {"0m", 0},   {"0.0", 0},
		{"", 0},       {"m", 0},     {"1.", 0},   {".", 0},
		{"-1", 0},     {"+1", 0},    {"1.5m", 0}, {"1e3", 0},
		{"2Ki", 0},    {"1.5.1", 0}, {" 1", 0},   {"99999999999999999999", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t cpus = 0;
		enum err err = cpu_quantity_parse(span_str(rows[i].text), &cpus);

		assert_int_equal(err, rows[i].want > 0 ? ERR_OK : ERR_PARSE);
		assert_int_equal(cpus, rows[i].want);
	}
}

static void wishes_out_of_range_are_refused(void **state)
{
	static const char *const bad[] = {"",    "%",    "0%",   "100.1%", "-1", "65",
	                                  "1.5", "50 %", "50%%", "a",      "+4", "0.0%"};
	struct worker_wish w;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(worker_wish_parse(span_str(bad[i]), &w), ERR_PARSE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rule_of_the_contract_holds),
		cmocka_unit_test(quantities_round_up_to_whole_cpus),
		cmocka_unit_test(wishes_out_of_range_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
