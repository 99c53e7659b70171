/* SPDX-License-Identifier: Apache-2.0 */
#include "common/tls/x509_msg.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/hash.h>

#include "common/tls/der_msg.h"

#define OID(...)                                                                       \
	{                                                                              \
		(const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}) \
	}

static const struct span oid_basic_constraints = OID(0x55, 0x1d, 0x13);
static const struct span oid_key_usage = OID(0x55, 0x1d, 0x0f);
static const struct span oid_ext_key_usage = OID(0x55, 0x1d, 0x25);
static const struct span oid_subject_alt_name = OID(0x55, 0x1d, 0x11);
static const struct span oid_subject_key_id = OID(0x55, 0x1d, 0x0e);
static const struct span oid_authority_key_id = OID(0x55, 0x1d, 0x23);
static const struct span oid_any_usage = OID(0x55, 0x1d, 0x25, 0x00);
static const struct span oid_server_auth = OID(0x2b, 6, 1, 5, 5, 7, 3, 1);
static const struct span oid_client_auth = OID(0x2b, 6, 1, 5, 5, 7, 3, 2);
static const struct span oid_ecdsa_sha256 = OID(0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2);
static const struct span oid_organisation = OID(0x55, 4, 10);
static const struct span oid_common_name = OID(0x55, 4, 3);
static const struct span oid_extension_request = OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 14);

enum {
	SAN_DNS = DER_CONTEXT + 2,
	SAN_URI = DER_CONTEXT + 6,
	USAGE_DIGITAL_SIGNATURE = 0x80, /* bit 0, RFC 5280 4.2.1.3 */
	USAGE_CERT_SIGN = 0x04,
	USAGE_CRL_SIGN = 0x02,
};

static void read_basic_constraints(struct rd *r, struct x509_facts *f)
{
	struct rd seq = rd_of(der_get(r, DER_SEQUENCE));
	struct span path_len;

	if (rd_left(&seq) > 0 && seq.p[0] == DER_BOOLEAN)
		f->is_ca = der_bool(&seq);
	(void)der_maybe(&seq, DER_INTEGER, &path_len);
	if (rd_failed(&seq) || rd_left(&seq) != 0)
		rd_fail(r);
}

static void read_key_usage(struct rd *r, struct x509_facts *f)
{
	struct span bits = der_get(r, DER_BIT_STRING);

	if (bits.n < 2 || bits.n > 3 || bits.p[0] > 7) {
		rd_fail(r);
		return;
	}
	f->has_key_usage = true;
	f->may_sign = (bits.p[1] & USAGE_DIGITAL_SIGNATURE) != 0;
	f->may_sign_certs = (bits.p[1] & USAGE_CERT_SIGN) != 0;
}

static void read_ext_key_usage(struct rd *r, struct x509_facts *f)
{
	struct rd seq = rd_of(der_get(r, DER_SEQUENCE));

	if (rd_left(&seq) == 0)
		rd_fail(&seq);
	f->has_ext_key_usage = true;
	while (rd_left(&seq) > 0) {
		struct span oid = der_get(&seq, DER_OID);
		bool any = span_eq(oid, oid_any_usage);

		f->may_serve |= any || span_eq(oid, oid_server_auth);
		f->may_client |= any || span_eq(oid, oid_client_auth);
	}
	if (rd_failed(&seq))
		rd_fail(r);
}

static void read_subject_alt_name(struct rd *r, struct x509_facts *f)
{
	struct rd seq = rd_of(der_get(r, DER_SEQUENCE));

	if (rd_left(&seq) == 0)
		rd_fail(&seq);
	f->alt_names = span_of(seq.p, rd_left(&seq));
	while (rd_left(&seq) > 0) {
		uint8_t tag = 0;
		struct span name = der_any(&seq, &tag);

		if (rd_failed(&seq) || tag != SAN_URI)
			continue;
		if (f->uri_count == 0)
			f->uri = name;
		f->uri_count++;
	}
	if (rd_failed(&seq))
		rd_fail(r);
}

static void read_key_id(struct rd *r, struct x509_facts *f)
{
	f->key_id = der_get(r, DER_OCTET_STRING);
	f->has_key_id = true;
}

static const struct {
	const struct span *oid;
	void (*read)(struct rd *r, struct x509_facts *f);
} readers[] = {
	{&oid_basic_constraints, read_basic_constraints},
	{&oid_key_usage, read_key_usage},
	{&oid_ext_key_usage, read_ext_key_usage},
	{&oid_subject_alt_name, read_subject_alt_name},
	{&oid_subject_key_id, read_key_id},
};

/* One Extension; seen has a bit for each of readers[]. */
static void read_extension(struct rd *list, unsigned int *seen, struct x509_facts *f)
{
	struct rd ext = rd_of(der_get(list, DER_SEQUENCE));
	struct span oid = der_get(&ext, DER_OID);
	struct rd value;

	if (rd_left(&ext) > 0 && ext.p[0] == DER_BOOLEAN)
		(void)der_bool(&ext); /* wolfSSL refuses critical ones that it does not know */
	value = rd_of(der_get(&ext, DER_OCTET_STRING));
	for (unsigned int i = 0; i < sizeof(readers) / sizeof(readers[0]); i++) {
		if (!span_eq(oid, *readers[i].oid))
			continue;
		if ((*seen & 1u << i) != 0)
			rd_fail(&value);
		*seen |= 1u << i;
		readers[i].read(&value, f);
		if (rd_failed(&value) || rd_left(&value) != 0)
			rd_fail(list);
	}
	if (rd_failed(&ext) || rd_left(&ext) != 0)
		rd_fail(list);
}

static void read_tbs(struct rd *r, struct x509_facts *f)
{
	struct rd version = rd_of(der_get(r, DER_CONTEXT_CONSTRUCTED + 0));
	struct rd validity, extensions;
	unsigned int seen = 0;
	struct span skip;

	if (!span_eq(der_get(&version, DER_INTEGER), span_of("\x02", 1)) || rd_left(&version) != 0)
		rd_fail(r);
	f->serial = der_get(r, DER_INTEGER);
	(void)der_get(r,
	              DER_SEQUENCE); /* signature algorithm: wolfSSL compares it with the outer */
	f->issuer = der_whole(r, DER_SEQUENCE);
	validity = rd_of(der_get(r, DER_SEQUENCE));
	f->not_before = der_time(&validity);
	f->not_after = der_time(&validity);
	f->subject = der_whole(r, DER_SEQUENCE);
	f->spki = der_whole(r, DER_SEQUENCE);
	(void)der_maybe(r, DER_CONTEXT + 1, &skip); /* unique ids */
	(void)der_maybe(r, DER_CONTEXT + 2, &skip);
	if (rd_left(r) > 0) {
		struct rd outer = rd_of(der_get(r, DER_CONTEXT_CONSTRUCTED + 3));

		extensions = rd_of(der_get(&outer, DER_SEQUENCE));
		while (rd_left(&extensions) > 0)
			read_extension(&extensions, &seen, f);
		if (rd_failed(&extensions) || rd_failed(&outer) || rd_left(&outer) != 0)
			rd_fail(r);
	}
	if (rd_failed(&validity) || rd_left(&validity) != 0 || f->serial.n == 0 ||
	    f->serial.n > X509_SERIAL_MAX + 1)
		rd_fail(r);
}

enum err x509_signed_parse(struct span der, struct x509_signed *ret)
{
	struct rd all = rd_of(der), outer = rd_of(der_get(&all, DER_SEQUENCE));
	struct x509_signed s = {.tbs = der_whole(&outer, DER_SEQUENCE)};
	struct span bits;

	s.algorithm = der_whole(&outer, DER_SEQUENCE);
	bits = der_get(&outer, DER_BIT_STRING);
	if (rd_failed(&all) || rd_left(&all) != 0 || rd_failed(&outer) || rd_left(&outer) != 0 ||
	    bits.n < 2 || bits.p[0] != 0)
		return ERR_PARSE;
	s.signature = span_of(bits.p + 1, bits.n - 1);
	*ret = s;
	return ERR_OK;
}

enum err x509_parse(struct span der, struct x509_facts *ret)
{
	struct x509_signed frame;
	struct x509_facts f;
	struct rd all, tbs;
	enum err e;

	if (der.n > X509_DER_MAX)
		return ERR_LIMIT;
	e = x509_signed_parse(der, &frame);
	if (e != ERR_OK)
		return e;
	f = (struct x509_facts){
		.tbs = frame.tbs, .algorithm = frame.algorithm, .signature = frame.signature};
	all = rd_of(f.tbs);
	tbs = rd_of(der_get(&all, DER_SEQUENCE));
	read_tbs(&tbs, &f);
	if (rd_failed(&tbs) || rd_left(&tbs) != 0)
		return ERR_PARSE;
	*ret = f;
	return ERR_OK;
}

static void put_algorithm(struct buf *b)
{
	size_t seq = der_begin(b, DER_SEQUENCE);

	der_put(b, DER_OID, oid_ecdsa_sha256);
	der_end(b, seq);
}

/* Open an Extension up to inside its OCTET STRING; closed by end_extension. */
struct extension_marks {
	size_t seq, octets;
};

static struct extension_marks begin_extension(struct buf *b, struct span oid, bool critical)
{
	struct extension_marks m = {.seq = der_begin(b, DER_SEQUENCE)};

	der_put(b, DER_OID, oid);
	if (critical)
		der_put_bool(b, true);
	m.octets = der_begin(b, DER_OCTET_STRING);
	return m;
}

static void end_extension(struct buf *b, struct extension_marks m)
{
	der_end(b, m.octets);
	der_end(b, m.seq);
}

static void put_basic_constraints(struct buf *b, bool is_ca)
{
	struct extension_marks m = begin_extension(b, oid_basic_constraints, true);
	size_t seq = der_begin(b, DER_SEQUENCE);

	if (is_ca)
		der_put_bool(b, true);
	der_end(b, seq);
	end_extension(b, m);
}

static void put_key_usage(struct buf *b, const struct x509_spec *spec)
{
	struct extension_marks m = begin_extension(b, oid_key_usage, true);
	uint8_t bits[2] = {0, 0};

	if (!spec->no_digital_signature)
		bits[1] |= USAGE_DIGITAL_SIGNATURE;
	if (spec->is_ca)
		bits[1] |= USAGE_CERT_SIGN | USAGE_CRL_SIGN;
	if (bits[1] == 0)
		bits[1] = 0x20; /* keyEncipherment: a usage list may not be empty */
	while ((bits[1] >> bits[0] & 1) == 0)
		bits[0]++; /* unused bits, X.690 11.2.2 */
	der_put(b, DER_BIT_STRING, span_of(bits, sizeof(bits)));
	end_extension(b, m);
}

static void put_ext_key_usage(struct buf *b, bool server, bool client)
{
	struct extension_marks m = begin_extension(b, oid_ext_key_usage, false);
	size_t seq = der_begin(b, DER_SEQUENCE);

	if (server)
		der_put(b, DER_OID, oid_server_auth);
	if (client)
		der_put(b, DER_OID, oid_client_auth);
	der_end(b, seq);
	end_extension(b, m);
}

static void put_subject_alt_name(struct buf *b, const struct span *uris, unsigned int count,
                                 const char *dns, bool critical)
{
	struct extension_marks m = begin_extension(b, oid_subject_alt_name, critical);
	size_t seq = der_begin(b, DER_SEQUENCE);

	if (dns != NULL)
		der_put(b, SAN_DNS, span_str(dns));
	for (unsigned int i = 0; i < count; i++)
		der_put(b, SAN_URI, uris[i]);
	der_end(b, seq);
	end_extension(b, m);
}

static void put_key_ids(struct buf *b, const struct x509_spec *spec)
{
	struct extension_marks m;
	size_t seq;

	if (spec->issuer_key_id.n > 0) {
		m = begin_extension(b, oid_authority_key_id, false);
		seq = der_begin(b, DER_SEQUENCE);
		der_put(b, DER_CONTEXT + 0, spec->issuer_key_id);
		der_end(b, seq);
		end_extension(b, m);
	}
	if (spec->key_id.n > 0) {
		m = begin_extension(b, oid_subject_key_id, false);
		der_put(b, DER_OCTET_STRING, spec->key_id);
		end_extension(b, m);
	}
}

static void put_extensions(struct buf *b, const struct x509_spec *spec)
{
	const bool no_subject = spec->subject.n <= 2; /* an empty SEQUENCE */
	size_t outer = der_begin(b, DER_CONTEXT_CONSTRUCTED + 3);
	size_t seq = der_begin(b, DER_SEQUENCE);

	put_basic_constraints(b, spec->is_ca);
	if (!spec->no_key_usage)
		put_key_usage(b, spec);
	if (spec->ext_server || spec->ext_client)
		put_ext_key_usage(b, spec->ext_server, spec->ext_client);
	put_key_ids(b, spec);
	if (spec->uri_count > 0 || spec->dns != NULL)
		put_subject_alt_name(b, spec->uris, spec->uri_count, spec->dns, no_subject);
	der_end(b, seq);
	der_end(b, outer);
}

void x509_put_tbs(struct buf *b, const struct x509_spec *spec)
{
	size_t tbs = der_begin(b, DER_SEQUENCE), mark;

	mark = der_begin(b, DER_CONTEXT_CONSTRUCTED + 0);
	der_put_small(b, 2); /* version 3 */
	der_end(b, mark);
	der_put_unsigned(b, spec->serial);
	put_algorithm(b);
	buf_put(b, spec->issuer);
	mark = der_begin(b, DER_SEQUENCE);
	der_put_time(b, spec->not_before);
	der_put_time(b, spec->not_after);
	der_end(b, mark);
	buf_put(b, spec->subject);
	buf_put(b, spec->spki);
	put_extensions(b, spec);
	der_end(b, tbs);
}

void x509_put_signed(struct buf *b, struct span tbs, struct span signature)
{
	size_t seq = der_begin(b, DER_SEQUENCE), bits;

	buf_put(b, tbs);
	put_algorithm(b);
	bits = der_begin(b, DER_BIT_STRING);
	buf_put_u8(b, 0);
	buf_put(b, signature);
	der_end(b, bits);
	der_end(b, seq);
}

static void put_name_part(struct buf *b, struct span oid, const char *text)
{
	size_t set = der_begin(b, DER_SET);
	size_t seq = der_begin(b, DER_SEQUENCE);

	der_put(b, DER_OID, oid);
	der_put(b, DER_UTF8_STRING, span_str(text));
	der_end(b, seq);
	der_end(b, set);
}

void x509_put_name(struct buf *b, const char *organisation, const char *common_name)
{
	size_t seq = der_begin(b, DER_SEQUENCE);

	if (organisation != NULL)
		put_name_part(b, oid_organisation, organisation);
	if (common_name != NULL)
		put_name_part(b, oid_common_name, common_name);
	der_end(b, seq);
}

void x509_put_request(struct buf *b, struct span spki, struct span uri)
{
	size_t info = der_begin(b, DER_SEQUENCE), attributes, attribute, values, extensions;

	der_put_small(b, 0);
	x509_put_name(b, NULL, NULL);
	buf_put(b, spki);
	attributes = der_begin(b, DER_CONTEXT_CONSTRUCTED + 0);
	attribute = der_begin(b, DER_SEQUENCE);
	der_put(b, DER_OID, oid_extension_request);
	values = der_begin(b, DER_SET);
	extensions = der_begin(b, DER_SEQUENCE);
	put_subject_alt_name(b, &uri, 1, NULL, true);
	der_end(b, extensions);
	der_end(b, values);
	der_end(b, attribute);
	der_end(b, attributes);
	der_end(b, info);
}

enum err x509_key_id(struct span spki, uint8_t *out)
{
	struct rd all = rd_of(spki), seq = rd_of(der_get(&all, DER_SEQUENCE));
	struct span bits;

	(void)der_get(&seq, DER_SEQUENCE);
	bits = der_get(&seq, DER_BIT_STRING);
	if (rd_failed(&all) || rd_failed(&seq) || bits.n < 2)
		return ERR_PARSE;
	return wc_ShaHash(bits.p + 1, (word32)(bits.n - 1), out) == 0 ? ERR_OK : ERR_TLS;
}

void x509_serial_decimal(struct span serial, char *out, size_t out_len)
{
	uint8_t digits[64] = {0}; /* least significant first; 21 octets need 51 */
	size_t used = 1, n = 0;

	if (out_len == 0)
		return;
	for (size_t i = 0; i < serial.n && i <= X509_SERIAL_MAX; i++) {
		unsigned int carry = serial.p[i];

		for (size_t d = 0; d < used; d++) {
			carry += digits[d] * 256u;
			digits[d] = (uint8_t)(carry % 10);
			carry /= 10;
		}
		for (; carry > 0; carry /= 10)
			digits[used++] = (uint8_t)(carry % 10);
	}
	while (used > 0 && n + 1 < out_len)
		out[n++] = (char)('0' + digits[--used]);
	out[n] = '\0';
}
