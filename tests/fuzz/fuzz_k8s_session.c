/* SPDX-License-Identifier: Apache-2.0 */
/* Any answers in any pieces: no object is told that has no list or watch around it, and asking always works. */
#include "common/base/check.h"
#include "common/k8s/k8s_session.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static bool relisted;

static void on_event(struct k8s_session *s, enum k8s_event kind, const json_t *object)
{
	CHECK((object != NULL) == (kind == K8S_OBJECT || kind == K8S_DELETED));
	if (kind == K8S_RELIST)
		relisted = true;
	CHECK(relisted);
	CHECK(kind != K8S_DELETED || s->synced);
	CHECK(object == NULL || json_is_object(object));
}

/* Each answer: an octet for its status, one for its end, then a body up to an octet of 0x00. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const unsigned int statuses[] = {200, 200, 200, 410, 500};
	struct k8s_session s;

	relisted = false;
	k8s_session_init(&s, "/api/v1/pods", "", on_event);
	while (n >= 2) {
		unsigned int status = statuses[p[0] % 5];
		enum err cause = p[1] % 4 == 0 ? ERR_RESET : ERR_OK;
		size_t piece = p[1] / 4 + 1;
		struct buf out;

		buf_init(&out, 65536);
		k8s_session_request(&s, n, &out);
		CHECK(buf_status(&out) == ERR_OK);
		buf_fini(&out);
		k8s_session_status(&s, status);
		for (p += 2, n -= 2; n > 0 && *p != 0;) {
			size_t part = 0;

			while (part < piece && part < n && p[part] != 0)
				part++;
			(void)!k8s_session_body(&s, span_of(p, part));
			p += part;
			n -= part;
		}
		(void)k8s_session_end(&s, cause);
		if (n > 0) {
			p++;
			n--;
		}
	}
	k8s_session_fini(&s);
	return 0;
}
