/* SPDX-License-Identifier: Apache-2.0 */
#include "common/tls/x509_crl_msg.h"

#include "common/base/check.h"
#include "common/tls/der_msg.h"
#include "common/tls/x509_msg.h"

#define CE(n)                                                            \
	{                                                                \
		(const uint8_t[]){0x55, 0x1d, (n)}, sizeof("\0\0\0") - 1 \
	}

/* id-ce N, RFC 5280 5.2 and 5.3 */
static const struct span oid_crl_number = CE(20);
static const struct span oid_reason = CE(21);
static const struct span oid_invalidity_date = CE(24);
static const struct span oid_delta = CE(27);
static const struct span oid_distribution_point = CE(28);
static const struct span oid_certificate_issuer = CE(29);
static const struct span oid_authority_key_id = CE(35);

enum {
	DP_ATTRIBUTE_ONLY = DER_CONTEXT + 5,
	DP_INDIRECT = DER_CONTEXT + 4,
	DP_PARTS_MAX = 6,
	EXTENSIONS_MAX = 32, /* of a list or an entry; real ones have three */
};

static const char why_der[] = "it is not a well-formed version 1 or 2 list";
static const char why_delta[] =
	"it is a delta list, which says only what changed; the complete list is needed";
static const char why_indirect[] =
	"it is an indirect list, which speaks for other issuers; each issuer's own list is needed";
static const char why_critical[] = "it has a critical extension that is not known here";
static const char why_long[] = "it is longer than 12 MiB";

/* What a list may say, and why it is not accepted: NULL as long as it is. */
struct reading {
	const char *why;
	enum err err;
};

static void refuse(struct reading *g, enum err e, const char *why)
{
	if (g->err != ERR_OK)
		return;
	g->err = e;
	g->why = why;
}

struct extension {
	struct span oid;
	struct span value;
	bool critical;
};

static struct extension read_extension(struct rd *list)
{
	struct rd ext = rd_of(der_get(list, DER_SEQUENCE));
	struct extension x = {.oid = der_get(&ext, DER_OID)};

	if (rd_left(&ext) > 0 && ext.p[0] == DER_BOOLEAN)
		x.critical = der_bool(&ext);
	x.value = der_get(&ext, DER_OCTET_STRING);
	if (rd_failed(&ext) || rd_left(&ext) != 0)
		rd_fail(list);
	return x;
}

/* IssuingDistributionPoint, 5.2.5: a part of the issuer's certificates is as good as all, for what is listed. */
static void read_distribution_point(struct span value, struct reading *g)
{
	struct rd all = rd_of(value), seq = rd_of(der_get(&all, DER_SEQUENCE));

	for (unsigned int i = 0; rd_left(&seq) > 0 && i < DP_PARTS_MAX; i++) {
		uint8_t tag = 0;
		struct span part = der_any(&seq, &tag);

		if (tag == DP_INDIRECT && part.n == 1 && part.p[0] != 0)
			refuse(g, ERR_UNSUPPORTED, why_indirect);
		if (tag == DP_ATTRIBUTE_ONLY && part.n == 1 && part.p[0] != 0)
			refuse(g, ERR_UNSUPPORTED, "it lists attribute certificates only");
	}
	if (rd_failed(&seq) || rd_failed(&all) || rd_left(&all) != 0 || rd_left(&seq) != 0)
		refuse(g, ERR_PARSE, why_der);
}

static void judge_list_extension(const struct extension *x, struct reading *g)
{
	if (span_eq(x->oid, oid_delta))
		refuse(g, ERR_UNSUPPORTED, why_delta);
	else if (span_eq(x->oid, oid_distribution_point))
		read_distribution_point(x->value, g);
	else if (x->critical && !span_eq(x->oid, oid_crl_number) &&
	         !span_eq(x->oid, oid_authority_key_id))
		refuse(g, ERR_UNSUPPORTED, why_critical);
}

static void judge_entry_extension(const struct extension *x, struct reading *g)
{
	if (span_eq(x->oid, oid_certificate_issuer))
		refuse(g, ERR_UNSUPPORTED, why_indirect);
	else if (x->critical && !span_eq(x->oid, oid_reason) &&
	         !span_eq(x->oid, oid_invalidity_date))
		refuse(g, ERR_UNSUPPORTED, why_critical);
}

/* Extensions, each judged. */
static void read_extensions(struct rd *seq, struct reading *g,
                            void (*judge)(const struct extension *x, struct reading *g))
{
	if (rd_left(seq) == 0)
		rd_fail(seq); /* a SEQUENCE SIZE (1..MAX) */
	for (unsigned int i = 0; rd_left(seq) > 0; i++) {
		struct extension x = read_extension(seq);

		if (i >= EXTENSIONS_MAX)
			rd_fail(seq);
		if (!rd_failed(seq))
			judge(&x, g);
	}
}

static bool is_serial(struct span s)
{
	return s.n > 0 && s.n <= X509_SERIAL_MAX + 1;
}

static void read_entry(struct rd *list, bool v2, struct reading *g)
{
	struct rd entry = rd_of(der_get(list, DER_SEQUENCE));

	if (!is_serial(der_get(&entry, DER_INTEGER)))
		rd_fail(&entry);
	(void)der_time(&entry);
	if (rd_left(&entry) > 0) {
		struct rd seq = rd_of(der_get(&entry, DER_SEQUENCE));

		read_extensions(&seq, g, judge_entry_extension);
		if (rd_failed(&seq) || !v2)
			rd_fail(&entry);
	}
	if (rd_failed(&entry) || rd_left(&entry) != 0)
		rd_fail(list);
}

static void read_entries(struct rd *tbs, bool v2, struct x509_crl *crl, struct reading *g)
{
	struct rd list;

	if (!der_maybe(tbs, DER_SEQUENCE, &crl->entries))
		return;
	list = rd_of(crl->entries);
	while (rd_left(&list) > 0) {
		read_entry(&list, v2, g);
		crl->count++;
	}
	if (rd_failed(&list))
		rd_fail(tbs);
}

static void read_tbs(struct rd *tbs, struct x509_crl *crl, struct reading *g)
{
	struct span version = {0}, outer;
	bool v2 = der_maybe(tbs, DER_INTEGER, &version);

	if (v2 && !span_eq(version, span_of("\x01", 1)))
		rd_fail(tbs);
	if (!span_eq(der_whole(tbs, DER_SEQUENCE), crl->algorithm)) /* 5.1.2.2 */
		rd_fail(tbs);
	crl->issuer = der_whole(tbs, DER_SEQUENCE);
	crl->this_update = der_time(tbs);
	if (rd_left(tbs) > 0 && (tbs->p[0] == DER_UTC_TIME || tbs->p[0] == DER_GENERALIZED_TIME))
		crl->next_update = der_time(tbs);
	read_entries(tbs, v2, crl, g);
	if (der_maybe(tbs, DER_CONTEXT_CONSTRUCTED + 0, &outer)) {
		struct rd all = rd_of(outer), seq = rd_of(der_get(&all, DER_SEQUENCE));

		read_extensions(&seq, g, judge_list_extension);
		if (rd_failed(&seq) || rd_failed(&all) || rd_left(&all) != 0 || !v2)
			rd_fail(tbs);
	}
}

enum err x509_crl_parse(struct span der, struct x509_crl *ret, const char **ret_why)
{
	struct reading g = {.err = ERR_OK};
	struct x509_signed frame;
	struct x509_crl crl;
	struct rd all, tbs;
	enum err e;

	*ret_why = der.n > CRL_DER_MAX ? why_long : why_der;
	if (der.n > CRL_DER_MAX)
		return ERR_LIMIT;
	e = x509_signed_parse(der, &frame);
	if (e != ERR_OK)
		return e;
	crl = (struct x509_crl){
		.tbs = frame.tbs, .algorithm = frame.algorithm, .signature = frame.signature};
	all = rd_of(crl.tbs);
	tbs = rd_of(der_get(&all, DER_SEQUENCE));
	read_tbs(&tbs, &crl, &g);
	if (rd_failed(&tbs) || rd_left(&tbs) != 0)
		return ERR_PARSE;
	if (g.err != ERR_OK) {
		*ret_why = g.why;
		return g.err;
	}
	*ret = crl;
	return ERR_OK;
}

struct span x509_serial_plain(struct span s)
{
	while (s.n > 1 && s.p[0] == 0)
		s = span_of(s.p + 1, s.n - 1);
	return s;
}

bool x509_crl_next(struct rd *rest, struct span *ret_serial)
{
	struct rd entry;

	if (rd_left(rest) == 0)
		return false;
	entry = rd_of(der_get(rest, DER_SEQUENCE));
	*ret_serial = x509_serial_plain(der_get(&entry, DER_INTEGER));
	CHECK(!rd_failed(&entry)); /* x509_crl_parse looked at each */
	return true;
}
