/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/uring_setup.h"

#include <errno.h>
#include <liburing.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/check.h"

enum { CQ_PER_SQ = 4 }; /* a turn's submissions, multishot accepts and what completes meanwhile */

static const uint8_t allowed_ops[] = {
	IORING_OP_ACCEPT,  IORING_OP_CONNECT,  IORING_OP_RECV,         IORING_OP_RECVMSG,
	IORING_OP_SENDMSG, IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL,
};

enum { ALLOWED_SQE_FLAGS = IOSQE_BUFFER_SELECT | IOSQE_CQE_SKIP_SUCCESS };

enum err uring_create(struct io_uring *ring, unsigned int entries)
{
	/* best first; the last is what any kernel with provided-buffer rings takes */
	static const unsigned int flags[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
		IORING_SETUP_SUBMIT_ALL,
		0,
	};
	int rc = -EINVAL;

	for (size_t i = 0; i < ARRAY_LEN(flags) && rc == -EINVAL; i++) {
		struct io_uring_params params = {
			.flags = flags[i] | IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE |
		                 IORING_SETUP_CLAMP,
			.cq_entries = entries * CQ_PER_SQ,
		};

		rc = io_uring_queue_init_params(entries, ring, &params);
		if (rc == 0 && !(params.features & IORING_FEAT_EXT_ARG)) {
			io_uring_queue_exit(
				ring); /* no timed waits: older than anything we support */
			rc = -ENOSYS;
		}
	}
	if (rc == 0)
		return ERR_OK;
	errno = -rc;
	return ERR_SYSTEM;
}

/* liburing 2.3 declares wrappers for these two and does not export them. */
static int ring_register(struct io_uring *ring, unsigned int opcode, void *arg, unsigned int count)
{
	return (int)syscall(__NR_io_uring_register, ring->ring_fd, opcode, arg, count);
}

static bool restrict_ring(struct io_uring *ring)
{
	struct io_uring_restriction list[ARRAY_LEN(allowed_ops) + 1];

	memset(list, 0, sizeof(list));
	for (size_t i = 0; i < ARRAY_LEN(allowed_ops); i++) {
		list[i].opcode = IORING_RESTRICTION_SQE_OP;
		list[i].sqe_op = allowed_ops[i];
	}
	list[ARRAY_LEN(allowed_ops)].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
	list[ARRAY_LEN(allowed_ops)].sqe_flags = ALLOWED_SQE_FLAGS;
	return ring_register(ring, IORING_REGISTER_RESTRICTIONS, list, ARRAY_LEN(list)) == 0;
}

enum err uring_enable(struct io_uring *ring, bool *ret_restricted)
{
	bool restricted = restrict_ring(ring);

	if (ring_register(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0) != 0)
		return ERR_SYSTEM;
	*ret_restricted = restricted;
	return ERR_OK;
}
