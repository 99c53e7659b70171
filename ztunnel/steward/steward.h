/* SPDX-License-Identifier: Apache-2.0 */
/*
 * steward - everything that needs privilege, as a closed list of requests. Drives.
 *
 * Capture of a pod (eBPF, routes, rules, sysctls), listeners inside it and prepared sockets inside it
 * are asked for here and nowhere else. Every request is asynchronous: its struct is embedded in the
 * waiter, done() runs from a later step of the caller's loop, never inside the call. Today the
 * steward lives in this process; no caller would change if it became another one.
 *
 * Threads: steward_socket() from any worker with that worker's loop; all else from one control thread.
 */
#ifndef ZTUNNEL_STEWARD_STEWARD_H
#define ZTUNNEL_STEWARD_STEWARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/netaddr.h"
#include "common/io/loop.h"
#include "ztunnel/steward/spoof_ports.h"

enum {
	STEWARD_WORKERS_MAX =
		64, /* listener slots of a pod in the kernel are laid out for as many */
	STEWARD_ADDRS_MAX =
		16, /* addresses of one pod; real ones have one or two and link-locals */
	STEWARD_VIRTS_MAX = 16, /* inner devices of one pod */
	STEWARD_WHY_MAX = 256,  /* what went wrong, where, what to do: text with a NUL */
};

/* The ports of the listeners inside a pod, and the ports no one may be proxied to (contract 1.1). */
enum {
	PORT_OUT = 15001,
	PORT_INPLAIN = 15006,
	PORT_HBONE = 15008,
	PORT_DNS = 15053,
	PORT_SOCKS = 15080, /* contract 7.8 */
};

enum steward_listener {
	LISTENER_OUT,     /* what the pod's applications open */
	LISTENER_INPLAIN, /* what others open to the pod without HBONE */
	LISTENER_HBONE,   /* what others open to port 15008 of the pod */
	LISTENER_KINDS,
};

/*
 * Sockets of a pod's DNS proxy. One set per pod, for one worker: questions are few, and the cache of their answers is
 * the pod's. A question captured on its way to a resolver arrives on UDP with the resolver as its IP_ORIGDSTADDR
 * (IPV6_ORIGDSTADDR), on TCP as the accepted socket's own name.
 */
enum steward_dns {
	STEWARD_DNS_UDP4, /* bound to loopback: also answers who asks there, from there */
	STEWARD_DNS_TCP4, /* listening */
	STEWARD_DNS_REPLY4, /* raw, with headers: an answer to a captured question leaves as the resolver's */
	STEWARD_DNS_UDP6,
	STEWARD_DNS_TCP6,
	STEWARD_DNS_REPLY6,
	STEWARD_DNS_SOCKETS,
};

/* Where a pod's applications speak SOCKS. One set per pod, for the worker that has its names resolved. */
enum steward_socks {
	STEWARD_SOCKS4, /* listening on 127.0.0.1 */
	STEWARD_SOCKS6, /* on ::1 */
	STEWARD_SOCKS_LISTENERS,
};

/* How an enrolled pod is treated. */
enum {
	STEWARD_POD_NO_INBOUND = 1u << 0, /* ingress mode: what arrives is not captured */
	STEWARD_POD_NO_GUARD = 1u << 1,   /* no leak guard on this pod's uplink */
	STEWARD_POD_NO_DNS = 1u << 2,     /* questions to resolvers are not captured */
	STEWARD_POD_OWN = 1u << 3,        /* the proxy's own namespace, of steward_own_pod() */
};

/* The leak guard: a second line that sees SYNs leaving a pod which are not the proxy's. */
enum steward_guard { GUARD_OFF, GUARD_COUNT, GUARD_ENFORCE };

struct steward_keepalive {
	bool enabled;
	uint32_t idle_s, interval_s, probes; /* contract 7.1: 180, 180, 9 */
	bool user_timeout;                   /* also TCP_USER_TIMEOUT = idle + interval * probes */
};

struct steward_options {
	const char
		*pin_root; /* directory for pins, made when missing; on a bpffs, which is mounted at
	                            /sys/fs/bpf or else on pin_root itself when there is none */
	const char *
		cgroup_root; /* root of cgroup v2; NULL: found in /proc/self/mounts, else mounted */
	const char *node_netns; /* path of the node's network namespace; NULL: the caller's own */
	uint32_t workers;       /* 1..STEWARD_WORKERS_MAX */
	enum steward_guard guard;
	bool guard_by_clsact; /* as before Linux 6.6, also where tcx is to be had */
	bool without_capture; /* the own namespace is all there is, and somebody else's rules lead to its listeners */
	bool without_ipv6; /* listen on IPv4 only */
	bool without_port_reuse; /* listeners after the first of a port have any port: slots lead to them */
	uint32_t mark;           /* of connections to the world, for rules of others; 0: none */
	bool dns;                /* capture questions to resolvers */
	struct endpoint dns_at4,
		dns_at6; /* where the DNS proxy is bound; port 0: loopback, PORT_DNS */
	bool socks;      /* listen for SOCKS clients on the loopback of pods */
	struct steward_keepalive keepalive;
};

struct steward;

/*
 * Load and attach what is needed once per node, reusing what an earlier process left pinned.
 *
 * opt:  borrowed for the call
 * why:  filled on failure
 * Errs: ERR_CONFIG for options, ERR_SYSTEM for the kernel's refusal; nothing new is left behind
 */
MUST_CHECK enum err steward_start(const struct steward_options *opt, struct steward **ret_steward,
                                  char why[STEWARD_WHY_MAX]);
/*
 * Ask nothing of it any more. Everything stays pinned, so enrolled pods are closed, not open. Turn the control thread's
 * loop until steward_stopped(), then free.
 */
void steward_stop(struct steward *s);
bool steward_stopped(const struct steward *s);
void steward_free(struct steward *s);

/* What capture did on this node since it was first started, over all processes. For metrics. */
struct steward_counts {
	uint64_t steered;                      /* connects of pods sent to the proxy */
	uint64_t to_out, to_inplain, to_hbone; /* connections given to a listener */
	uint64_t to_dns;     /* datagrams and connections given to the DNS proxy */
	uint64_t passed;     /* probes, and the proxy's own to an application */
	uint64_t refused;    /* no proxy was there */
	uint64_t guard_hits; /* SYNs that left, or would have, past the proxy */
};
void steward_counts(const struct steward *s, struct steward_counts *ret_counts);

/* What was asked of the steward and refused, since this process started. */
enum steward_request {
	STEWARD_ENROLL,
	STEWARD_UNENROLL,
	STEWARD_SWEEP,
	STEWARD_SOCKET,
	STEWARD_RESOLVER,
	STEWARD_REQUESTS,
};
/* reason: the kernel's for a socket ("EMFILE"), else the name of the error ("SYSTEM"). */
typedef void steward_refused_fn(void *arg, const char *request, const char *reason, uint64_t count);
void steward_refused_each(const struct steward *s, steward_refused_fn *fn, void *arg);

/* An enrolled pod. Immutable once handed out, but for the listeners, each of which one worker takes. */
struct steward_pod {
	uint64_t cookie;               /* of the network namespace; never reused before a reboot */
	uint64_t netns_dev, netns_ino; /* which namespace, as a restarted pod's differs */
	int netns_fd;
	uint32_t flags; /* STEWARD_POD_* */
	uint16_t workers;
	uint16_t addr_count;
	struct ip addrs[STEWARD_ADDRS_MAX]; /* at enrollment, without loopback; global ones first */
	int *listeners;                     /* private */
	int dns[STEWARD_DNS_SOCKETS];       /* private */
	int socks[STEWARD_SOCKS_LISTENERS]; /* private */
};

/*
 * The listener of that kind for that worker: a non-blocking listening descriptor, from now on the
 * caller's to close. -1 when it was taken before. Accepted sockets already have TCP_NODELAY and, but for
 * HBONE, the keepalive of contract 7.1.
 */
int steward_pod_take_listener(struct steward_pod *pod, enum steward_listener kind,
                              unsigned int worker);
/* The same of the DNS proxy's sockets, by one worker. -1: taken, or the pod has not this family, or no DNS capture. */
int steward_pod_take_dns(struct steward_pod *pod, enum steward_dns which);
/* Whether it has any, before the first is taken: its questions are captured. */
bool steward_pod_has_dns(const struct steward_pod *pod);
/* The listener for SOCKS clients, by one worker. -1: taken, or there is none, or somebody else has the port. */
int steward_pod_take_socks(struct steward_pod *pod, enum steward_socks which);
/* Close what was not taken, and the namespace. Any thread. */
void steward_pod_fini(struct steward_pod *pod);

/*
 * The namespace of this process as a pod that is not captured: a listener for tunnels for each worker, and without
 * capture those of the other kinds; no mark on its sockets beside capture, and nobody is shown another's address.
 * *ret_pod is the caller's.
 *
 * Errs: ERR_SYSTEM
 */
MUST_CHECK enum err steward_own_pod(const struct steward *s, struct steward_pod *ret_pod,
                                    char why[STEWARD_WHY_MAX]);

struct steward_enroll_req {
	struct op op;
	const char *netns; /* borrowed until done: an absolute path, or a name under /run/netns */
	uint32_t flags;    /* STEWARD_POD_* */
	bool replace; /* it may be enrolled already: the new listeners take over, without a gap */
	const char *const *
		virts; /* borrowed until done: inner devices (bridges of nested machines), whose traffic
	                             is the pod's own; they may come later */
	size_t virt_count;          /* at most STEWARD_VIRTS_MAX */
	struct steward_pod ret_pod; /* the caller's when ret_err is ERR_OK */
	enum err ret_err;
	char ret_why[STEWARD_WHY_MAX];
};

/*
 * Open listeners inside the namespace and capture it: inbound first, then outbound. Connections that exist
 * are not touched. A namespace which an earlier process had captured is taken over. From then on the pod's
 * addresses are followed as they change, on this loop, which must be the control thread's.
 *
 * Errs (ret_err): ERR_CONFIG no such namespace, the node's own, or enrolled here and not to be replaced; ERR_SYSTEM. What was done is undone, so
 *       a pod is never half captured; one taken over from an earlier process stays closed instead.
 */
void steward_enroll(struct steward *s, struct loop *loop, struct steward_enroll_req *req,
                    op_done_fn *done);

struct steward_unenroll_req {
	struct op op;
	uint64_t cookie;
	enum err ret_err;
	char ret_why[STEWARD_WHY_MAX];
};

/* First half of un-enrolling: new connections, both ways, are the application's own again. */
void steward_uncapture(struct steward *s, struct loop *loop, struct steward_unenroll_req *req,
                       op_done_fn *done);
/*
 * Second half, when the pod's last proxied connection is over or was given up: guard, rules, routes,
 * sysctls and pins go. Implies the first half. A pod that is not known, or whose namespace is gone: fine.
 */
void steward_release(struct steward *s, struct loop *loop, struct steward_unenroll_req *req,
                     op_done_fn *done);

struct steward_sweep_req {
	struct op op;
	const char *const
		*keep; /* borrowed until done: netns of pods that are wanted, as enrolled */
	size_t keep_count;
	uint32_t ret_swept; /* how many pods were cleaned up */
	enum err ret_err;
	char ret_why[STEWARD_WHY_MAX];
};

/*
 * Un-enroll, at once, what earlier processes left captured: every pod under the pin root that this process
 * has not enrolled and that is not in keep; and what is left of namespaces that are gone.
 */
void steward_sweep(struct steward *s, struct loop *loop, struct steward_sweep_req *req,
                   op_done_fn *done);

/*
 * Take back the enrolled pods whose listener slots stand empty: a successor took them and died. Cheap, but a system
 * call a pod: ask when steward_counts.refused has grown. How many pods.
 */
uint32_t steward_reclaim(struct steward *s);
/* Hold no listener any more: those the workers took are the last ones. At the start of a drain. */
void steward_let_go(struct steward *s);

enum steward_socket {
	SOCKET_UPSTREAM, /* to the world, from the pod's own address; never captured */
	SOCKET_APP,      /* to the pod's own application, seen as coming from the client */
};

struct steward_socket_req {
	struct op op;
	enum steward_socket kind;
	const struct steward_pod *pod; /* borrowed until done */
	struct endpoint
		dst; /* where the caller will connect it: gives the family; APP: also the port */
	struct ip client; /* APP: whom to appear as; IP_NONE, or dst's own address: nobody */
	struct spoof_ports
		*ports; /* APP with client: the worker's own table for this pod; borrowed */
	int ret_fd;     /* the caller's when ret_err is ERR_OK: non-blocking, not yet connected */
	uint16_t
		ret_port; /* to spoof_ports_release() with client when the connection is over; 0: none */
	int ret_errno; /* of ERR_SYSTEM */
	enum err ret_err;
};

/*
 * A socket inside the pod's namespace, ready for loop_connect: TCP_NODELAY, keepalive per contract 7.1.
 * A connect that ends with -EADDRNOTAVAIL or -EADDRINUSE after ret_port != 0 met a port in TIME_WAIT: ask for
 * a fresh socket, at most SPOOF_TRIES_MAX times, releasing the port only afterwards.
 *
 * Errs (ret_err): ERR_OVERLOAD no port or descriptor left, ERR_MEMORY, ERR_SYSTEM
 */
void steward_socket(const struct steward *s, struct loop *loop, struct steward_socket_req *req,
                    op_done_fn *done);
/*
 * A socket inside the pod's namespace to ask a resolver by, not captured. At once, for a library that asks for it within
 * a call: were the steward another process, a few would be kept ready here.
 *
 * family: AF_INET, AF_INET6; type: SOCK_DGRAM, SOCK_STREAM
 * Returns a non-blocking descriptor, or -errno
 */
int steward_resolver_socket(const struct steward *s, const struct steward_pod *pod, int family,
                            int type);

#endif
