/* SPDX-License-Identifier: Apache-2.0 */
/*
 * k8s_config - where the API server is and what we show it, as a pod is given them: two variables, three files.
 * Kubernetes documentation: "Accessing the Kubernetes API from a Pod". Reads files, no socket.
 *
 * Token and authorities are read anew whenever they are needed, for the kubelet replaces both under our feet.
 */
#ifndef COMMON_K8S_K8S_CONFIG_H
#define COMMON_K8S_K8S_CONFIG_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/netaddr.h"

enum {
	K8S_FOLDER_MAX = 256,   /* octets of the folder's path, with the NUL */
	K8S_HOST_MAX = 254,     /* a name of 253 and the NUL */
	K8S_NAMESPACE_MAX = 64, /* a DNS label of 63 and the NUL */
	K8S_TOKEN_MAX =
		8 << 10, /* octets; a bound token has about 1200, and heads are sent in 16 KiB */
	K8S_CA_MAX = 1 << 20, /* octets of the authorities' file */
	K8S_CONFIG_WHY_MAX = 512,
};

#define K8S_FOLDER "/var/run/secrets/kubernetes.io/serviceaccount"

struct k8s_config {
	struct endpoint server;           /* of IP_NONE when it has a name */
	char name[K8S_HOST_MAX];          /* to be looked up; "" when it has an address */
	char authority[K8S_HOST_MAX + 6]; /* ":authority" of requests */
	char host[K8S_HOST_MAX];          /* whom its certificate must name */
	char folder[K8S_FOLDER_MAX];      /* of token, ca.crt, namespace */
	char space[K8S_NAMESPACE_MAX];    /* our own namespace; "" when there is no such file */
};

/* NULL or "": as in a pod. Borrowed for the call. */
struct k8s_config_source {
	const char *host, *port; /* KUBERNETES_SERVICE_HOST, _PORT */
	const char *tls_name;    /* whom the certificate must name; as in a pod: host */
	const char *folder;      /* K8S_FOLDER */
};

/*
 * Reads the environment where from does not say it, and the namespace; token and authorities are not looked at yet.
 * why: for people, NUL-terminated, at least K8S_CONFIG_WHY_MAX octets, also below.
 * Errs: ERR_CONFIG; *ret is then of no use
 */
MUST_CHECK enum err k8s_config_load(const struct k8s_config_source *from, struct k8s_config *ret,
                                    char *why);

/*
 * Append the token, without the blanks around it. out: end it with buf_wipe_fini.
 * Errs: ERR_CONFIG when there is none, or none that may stand in a head; ERR_LIMIT, ERR_SYSTEM
 */
MUST_CHECK enum err k8s_config_token(const struct k8s_config *c, struct buf *out, char *why);
/* Append the authorities' PEM, as it is in the file. Errs: ERR_CONFIG when it is empty; ERR_LIMIT, ERR_SYSTEM */
MUST_CHECK enum err k8s_config_ca(const struct k8s_config *c, struct buf *out, char *why);

#endif
