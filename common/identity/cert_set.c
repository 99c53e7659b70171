/* SPDX-License-Identifier: Apache-2.0 */
#include "common/identity/cert_set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *key, const void *entry)
{
	const struct cert_entry *e = entry;

	return strcmp(key, e->identity);
}

const struct cert_entry *cert_set_find(const struct cert_set *set, const char *identity)
{
	if (set == NULL || set->count == 0)
		return NULL;
	return bsearch(identity, set->entries, set->count, sizeof(set->entries[0]), compare);
}

enum err cert_set_config(const struct cert_set *set, const char *identity,
                         struct tls_config **ret_cfg, const struct cert_entry **ret_entry)
{
	const struct cert_entry *e = cert_set_find(set, identity);

	*ret_entry = e;
	if (e == NULL || e->cfg == NULL)
		return ERR_IDENTITY;
	*ret_cfg = e->cfg;
	return ERR_OK;
}

const char *cert_entry_state_text(const struct cert_entry *e, char *out, size_t out_len)
{
	switch (e->state) {
	case CERT_INITIALIZING: (void)snprintf(out, out_len, "Initializing"); break;
	case CERT_AVAILABLE: (void)snprintf(out, out_len, "Available"); break;
	case CERT_UNAVAILABLE:
		(void)snprintf(out, out_len, "Unavailable: %s", e->why == NULL ? "" : e->why);
		break;
	}
	return out;
}
