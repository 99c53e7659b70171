/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ca_files - certificates somebody else keeps in files: PEM chain, key and roots, read again when they change.
 */
#ifndef COMMON_IDENTITY_CA_FILES_H
#define COMMON_IDENTITY_CA_FILES_H

#include "common/base/err.h"
#include "common/identity/ca_client.h"

/* All borrowed for the call. */
struct ca_files_options {
	/*
	 * A directory with <ns>/<sa>/{cert-chain.pem,key.pem,root-cert.pem} for each identity; or NULL, and the one
	 * triple below serves the one identity its certificate names.
	 */
	const char *dir;
	const char *chain, *key, *roots;
};

/* Nothing is read yet. Errs: ERR_CONFIG with the why, ERR_MEMORY. */
MUST_CHECK enum err ca_files_new(struct loop *loop, const struct ca_files_options *opt,
                                 struct ca_client **ret_ca, char *why, size_t why_len);

#endif
