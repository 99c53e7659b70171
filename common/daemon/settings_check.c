/* SPDX-License-Identifier: Apache-2.0 */
#include "common/daemon/settings_check.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/netaddr.h"
#include "common/base/str.h"

static bool is_given(const char *text)
{
	return text != NULL && text[0] != '\0';
}

static void check_sources(const struct settings *s, struct buf *errors)
{
	if (is_given(s->local_xds) && is_given(s->local_xds_path))
		buf_put_str(errors, "LOCAL_XDS, LOCAL_XDS_PATH: both are set: unset one\n");
	if (!is_given(s->local_xds) && !is_given(s->local_xds_path))
		buf_put_str(errors,
		            "LOCAL_XDS_PATH: not set: name the YAML file with the workloads, "
		            "services and policies\n");
	if (!s->is_set[SETTING_OF_ca])
		buf_put_str(errors, "CULVERT_CA: not set: \"files\" for certificates from "
		                    "CULVERT_CERT_DIR, or \"dev\" for a development CA\n");
	else if (s->ca == SETTING_CA_FILES && !is_given(s->cert_dir))
		buf_put_str(errors,
		            "CULVERT_CERT_DIR: not set: CULVERT_CA=files needs the directory "
		            "of the certificates\n");
	else if (s->ca == SETTING_CA_DEV && !s->ca_insecure_dev)
		buf_put_str(errors,
		            "CULVERT_CA_INSECURE_DEV: must be true with CULVERT_CA=dev: with a "
		            "development CA whoever reads its key can be anybody\n");
	else if (s->ca == SETTING_CA_DEV && !is_given(s->ca_dev_key))
		buf_put_str(errors,
		            "CULVERT_CA_DEV_KEY: not set: CULVERT_CA=dev needs the path of the "
		            "key all nodes share\n");
	if (s->admin_port == s->stats_port || s->admin_port == s->ready_port ||
	    s->stats_port == s->ready_port)
		buf_put_str(errors,
		            "CULVERT_ADMIN_PORT, CULVERT_STATS_PORT, CULVERT_READY_PORT: two "
		            "are the same: give each its own\n");
}

static bool is_alnum(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* RFC 9110 5.6.2 */
static bool is_token(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!is_alnum(s.p[i]) && strchr("!#$%&'*+-.^_`|~", s.p[i]) == NULL)
			return false;
	}
	return s.n > 0;
}

/* RFC 9110 5.5: visible octets, with spaces and tabs between them. */
static bool is_field_value(struct span s)
{
	struct span trimmed = str_trim(s);

	for (size_t i = 0; i < s.n; i++) {
		if ((s.p[i] < 0x20 && s.p[i] != '\t') || s.p[i] == 0x7f)
			return false;
	}
	return trimmed.n == s.n;
}

void settings_check_prefixed(struct span name, struct span value, struct buf *errors)
{
	static const char *const prefixes[] = {"XDS_HEADER_", "CA_HEADER_"};

	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
		size_t n = strlen(prefixes[i]);

		if (name.n < n || memcmp(name.p, prefixes[i], n) != 0)
			continue;
		if (!is_token(span_of(name.p + n, name.n - n)))
			buf_printf(
				errors,
				"%s*: what follows in a variable's name is no name of a header\n",
				prefixes[i]);
		else if (!is_field_value(value))
			buf_printf(errors, "%.*s: the value cannot stand in a header\n",
			           (int)name.n, (const char *)name.p);
	}
}

/* A name or an address; an IPv6 one in brackets. */
static bool is_host(struct span s)
{
	struct ip ip;

	if (s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']')
		return ip_parse(span_of(s.p + 1, s.n - 2), &ip) == ERR_OK && ip.family == IP_V6;
	for (size_t i = 0; i < s.n; i++) {
		if (!is_alnum(s.p[i]) && strchr("-._", s.p[i]) == NULL)
			return false;
	}
	return s.n > 0;
}

/* "https://host:15012", "host:15012", "http://host". */
static bool is_address(const char *text)
{
	const char *scheme = strstr(text, "://");
	struct span rest = span_str(scheme == NULL ? text : scheme + 3);
	const uint8_t *colon = rest.n == 0 ? NULL : memrchr(rest.p, ':', rest.n);
	uint64_t port;

	if (scheme != NULL && strncmp(text, "https://", 8) != 0 && strncmp(text, "http://", 7) != 0)
		return false;
	if (rest.n > 0 && rest.p[rest.n - 1] == '/')
		rest.n--;
	if (colon == NULL || memchr(colon, ']', (size_t)(rest.p + rest.n - colon)) != NULL)
		return is_host(rest);
	return is_host(span_of(rest.p, (size_t)(colon - rest.p))) &&
	       str_parse_u64(span_of(colon + 1, (size_t)(rest.p + rest.n - colon - 1)), UINT16_MAX,
	                     &port) == ERR_OK &&
	       port > 0;
}

static void check_address(const char *name, const char *text, struct buf *errors)
{
	if (is_given(text) && !is_address(text))
		buf_printf(errors,
		           "%s: not understood: it must be host:port, with https:// or http:// in "
		           "front if wanted\n",
		           name);
}

/* There is no client for a control plane yet: what asks for one must not be passed over. */
static void check_control_plane(const struct settings *s, struct buf *errors)
{
	const char *capture = s->dns_capture;

	check_address("XDS_ADDRESS", s->xds_address, errors);
	check_address("CA_ADDRESS", s->ca_address, errors);
	check_address("discoveryAddress of ProxyConfig", s->discovery_address, errors);
	if (!s->is_set[SETTING_OF_xds_address] && is_given(s->discovery_address))
		buf_put_str(errors,
		            "discoveryAddress of ProxyConfig: not supported here. There is no xDS "
		            "client yet: use LOCAL_XDS_PATH, and XDS_ADDRESS= (empty) to start "
		            "without a control plane\n");
	if (s->xds_on_demand && (capture == NULL || str_eq_nocase(span_str(capture), "true")))
		buf_put_str(errors, "XDS_ON_DEMAND: must be false while the DNS proxy is on: set "
		                    "ISTIO_META_DNS_CAPTURE=false or unset it\n");
}

/* "namespace/name/service-account", none of them empty. */
static bool is_workload(const char *text)
{
	struct span rest = span_str(text == NULL ? "" : text);
	unsigned int parts = 0;

	for (; rest.p != NULL && parts < 2; parts++) {
		if (str_split(&rest, '/').n == 0)
			return false;
	}
	return parts == 2 && rest.p != NULL && rest.n > 0;
}

static void check_mode(const struct settings *s, struct buf *errors)
{
	if (s->proxy_mode != SETTING_MODE_DEDICATED)
		return;
	if (!is_workload(s->proxy_workload_info))
		buf_put_str(errors, "PROXY_WORKLOAD_INFO: PROXY_MODE=dedicated needs it, as "
		                    "namespace/name/service-account\n");
	if (s->is_set[SETTING_OF_orig_src] && s->orig_src)
		buf_put_str(errors, "ENABLE_ORIG_SRC: not supported in dedicated mode: unset it\n");
}

void settings_check(const struct settings *s, struct buf *errors)
{
	check_mode(s, errors);
	check_sources(s, errors);
	check_control_plane(s, errors);
}
