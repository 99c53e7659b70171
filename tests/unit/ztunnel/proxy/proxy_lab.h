/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_lab - two proxies and the applications of their pods on one simulated loop, with a steward that only hands out
 * simulated sockets, for tests. Everything between an application's connect and the other's accept is the product.
 *
 *   application ⇄ outbound ⇄ TLS and HTTP/2 ⇄ inbound ⇄ application      PATH_HBONE
 *   the same with a gateway and a second tunnel within the first         PATH_FAR
 *   application ⇄ outbound ⇄ application                                 PATH_PLAIN_OUT
 *   application ⇄ inbound ⇄ application                                  PATH_PLAIN_IN
 */
#ifndef TESTS_UNIT_ZTUNNEL_PROXY_PROXY_LAB_H
#define TESTS_UNIT_ZTUNNEL_PROXY_PROXY_LAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/rand.h"
#include "tests/sim/sim.h"
#include "ztunnel/proxy/pod_proxy.h"
#include "ztunnel/proxy/proxy_worker.h"

enum {
	PLAB_PATHS_MAX = 8,
	PLAB_TURNS_MAX = 400000,
	PLAB_APP_PORT = 8080, /* of the first path; each has its own */
};

enum path_kind {
	PATH_HBONE,        /* between pods of the mesh */
	PATH_PLAIN_OUT,    /* from a pod to somebody off the mesh */
	PATH_PLAIN_IN,     /* from somebody off the mesh to a pod */
	PATH_HBONE_CLOSED, /* to a port of a pod of the mesh at which nobody listens */
	PATH_PLAIN_CLOSED, /* the same off the mesh */
	PATH_FAR,          /* to the same pod as a service of another network, through a gateway */
	PATH_KINDS,
};

/* What an application does; in the order of a life. */
enum plab_ending {
	END_ORDERLY,   /* sends all, half-closes, reads to the end, closes */
	END_AFTER_FIN, /* reads to the peer's end, only then sends all and closes */
	END_CLOSE,     /* sends all and closes whether or not anything arrived, read or not */
	END_RESET,     /* sends all and resets */
	END_FIN_RESET, /* sends all, half-closes, resets some turns later */
	END_MUTE,      /* connects and does nothing at all */
	END_KINDS,
};

enum plab_seen { SEEN_NOTHING, SEEN_FIN, SEEN_RESET };

/* One end of a connection, as its application has it. */
struct plab_app {
	int fd; /* -1: none yet, or closed */
	enum plab_ending ending;
	size_t total;       /* octets it wants to send */
	size_t read_max;    /* octets it reads at most; SIZE_MAX: all */
	unsigned int delay; /* turns before it begins, and before a late reset */
	unsigned int muted; /* turns it has been mute */
	size_t sent, got;
	enum plab_seen seen;
	bool finned; /* it ended its direction in order */
	bool reset;  /* it reset */
	bool closed;
};

struct plab_path {
	enum path_kind kind;
	struct op connect;
	bool connecting, refused; /* refused: the connect itself failed */
	uint16_t port;            /* the client's */
	struct plab_app app[2];   /* who connected; who accepted */
};

struct plab_options {
	struct sim_options sim;
	uint32_t stream_window;         /* 0: 1 MiB */
	unsigned int no_socket_of_1000; /* sockets the steward has none left for */
	unsigned int gone_of_1000;      /* connections that are gone before they are looked at */
	bool deny;                      /* policy lets nobody in */
	bool stranger;                  /* the server's pod is no workload that the mesh knows */
	bool black_hole;                /* nothing answers at port 15008 */
};

struct plab_node {
	struct proxy_worker worker;
	struct proxy_options options;
	struct pod *pod;
	struct pod_proxy *proxy;
	int listeners[LISTENER_KINDS];
};

struct plab {
	struct loop *loop;
	struct plab_options opt;
	struct rand dice;
	struct metrics *metrics;
	struct snapshot_cell *certs;
	struct mesh *mesh;
	struct plab_node node[2];     /* the client's, the server's */
	int listener[PLAB_PATHS_MAX]; /* of the applications that are called */
	struct plab_path path[PLAB_PATHS_MAX];
	unsigned int path_count;
	/* What the product told: each must balance. */
	unsigned int accepted,
		accepted_in; /* connections looked at, tunnels aside; of those, inbound */
	unsigned int opened[2], closed[2], turned_away[2]; /* accounts, by enum access_direction */
	int64_t gauges[METRIC_COUNT];                      /* sum of their steps */
	unsigned int pods_closed, idle_turns, accept_errors;
	unsigned int awaited; /* times a node told that a connection waits for a certificate */
};

/* The one there is: the fakes need to find it. */
extern struct plab plab;

int plab_set_up(void **state);
int plab_tear_down(void **state);

void plab_init(const struct plab_options *opt);
/* Drains both proxies, lets all end, asserts that nothing is left: no op, socket, buffer, account, port or gauge. */
void plab_fini(void);

/* An application connects. Set its and the other end's plan before the next turn. */
struct plab_path *plab_open(enum path_kind kind);
/* One turn of the applications and of the loop. */
void plab_turn(void);
/* Whether both ends are closed, or have seen all they ever will. */
bool plab_over(const struct plab_path *p);
/* Turns until every path is over; fails the test when that never comes. */
void plab_run(void);
/* Ends what applications still hold, mutely. */
void plab_close_apps(void);
/* No new connections at that node, and its proxy ends with its last one. */
void plab_drain(unsigned int node);
/* The certificates of both pods are now in this state. */
void plab_new_certs(enum cert_state state);
/* A mesh whose policies let nobody in, or everybody; as the control plane would send it. */
void plab_new_mesh(bool deny);

/* Work of the lab itself during which allocations do not fail. */
extern unsigned int plab_safe;

#endif
