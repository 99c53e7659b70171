/* SPDX-License-Identifier: Apache-2.0 */
#include "common/k8s/k8s_json.h"

#include <stdio.h>
#include <string.h>

/* jansson recurses as deep as it is told to, so that is judged first. */
static bool shallow(struct span text)
{
	unsigned int depth = 0;
	bool quoted = false;

	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = text.p[i];

		if (quoted) {
			if (c == '\\')
				i++;
			else if (c == '"')
				quoted = false;
			continue;
		}
		if (c == '"')
			quoted = true;
		else if ((c == '{' || c == '[') && ++depth > K8S_JSON_DEPTH_MAX)
			return false;
		else if ((c == '}' || c == ']') && depth > 0)
			depth--;
	}
	return true;
}

enum err k8s_json_parse(struct span text, json_t **ret_object, char *why)
{
	json_error_t at;
	json_t *v;

	if (!shallow(text)) {
		(void)snprintf(why, K8S_JSON_WHY_MAX, "more than %d levels deep",
		               K8S_JSON_DEPTH_MAX);
		return ERR_LIMIT;
	}
	v = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES, &at);
	if (v == NULL) {
		(void)snprintf(why, K8S_JSON_WHY_MAX, "octet %d: %.120s", at.position, at.text);
		return json_error_code(&at) == json_error_out_of_memory ? ERR_MEMORY : ERR_PARSE;
	}
	if (!json_is_object(v)) {
		json_decref(v);
		(void)snprintf(why, K8S_JSON_WHY_MAX, "not a JSON object");
		return ERR_PARSE;
	}
	why[0] = '\0';
	*ret_object = v;
	return ERR_OK;
}

const json_t *k8s_json_at(const json_t *object, const char *path)
{
	while (object != NULL) {
		const char *dot = strchr(path, '.');

		if (dot == NULL)
			return json_object_get(object, path);
		object = json_object_getn(object, path, (size_t)(dot - path));
		path = dot + 1;
	}
	return NULL;
}

const char *k8s_json_text(const json_t *object, const char *path)
{
	const char *text = json_string_value(k8s_json_at(object, path));

	return text ? text : "";
}
