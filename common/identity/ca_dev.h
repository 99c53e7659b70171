/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ca_dev - a development certificate authority inside the process. Its root key lies in a file that the nodes of
 * a lab share: whoever reads that file can be anybody in the mesh. Insecure by nature; never for production.
 */
#ifndef COMMON_IDENTITY_CA_DEV_H
#define COMMON_IDENTITY_CA_DEV_H

#include <stdint.h>

#include "common/base/err.h"
#include "common/identity/ca_client.h"

/*
 * Open the CA whose key and root certificate lie in the file at path; made with mode 0600 when there is none. Several
 * nodes may start at once: one makes the file, the others find it whole.
 *
 * Further certificates behind its own are trusted, too, and a changed file is read again, so that the root can be
 * rotated: the old with the new certificate behind it, then the new with the old one, then the new alone.
 *
 * why: receives a sentence for people
 * Errs: ERR_CONFIG (the file is unsafe or malformed), ERR_SYSTEM, ERR_TLS, ERR_MEMORY
 */
MUST_CHECK enum err ca_dev_new(struct loop *loop, const char *path, struct ca_client **ret_ca,
                               char *why, size_t why_len);

#endif
