/* SPDX-License-Identifier: Apache-2.0 */
#include "common/dns/dns_label.h"

#include <stddef.h>

#include "common/base/check.h"

static const struct {
	uint16_t type;
	const char *text;
} types[] = {
	{1, "A"},     {2, "NS"},     {5, "CNAME"},  {6, "SOA"},   {12, "PTR"},    {13, "HINFO"},
	{15, "MX"},   {16, "TXT"},   {28, "AAAA"},  {33, "SRV"},  {35, "NAPTR"},  {39, "DNAME"},
	{43, "DS"},   {44, "SSHFP"}, {46, "RRSIG"}, {47, "NSEC"}, {48, "DNSKEY"}, {50, "NSEC3"},
	{52, "TLSA"}, {64, "SVCB"},  {65, "HTTPS"}, {99, "SPF"},  {251, "IXFR"},  {252, "AXFR"},
	{255, "ANY"}, {257, "CAA"},
};

static const char *const rcodes[] = {
	"NOERROR",  "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP",  "REFUSED",
	"YXDOMAIN", "YXRRSET", "NXRRSET",  "NOTAUTH",  "NOTZONE", "DSOTYPENI",
};

const char *dns_type_label(uint16_t type)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (types[i].type == type)
			return types[i].text;
	return "OTHER";
}

const char *dns_rcode_label(enum dns_rcode rcode)
{
	return (size_t)rcode < ARRAY_LEN(rcodes) ? rcodes[rcode] : "OTHER";
}
