#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""layers - who may include whom. The tables are the arrows of docs/architecture.md.

Three laws: a pure file never includes common/io; a third-party header appears in one room;
no room includes what its row does not name.
"""

import re

import tree

# room -> rooms it may include besides itself. A row may name one header instead.
ARROWS = {
    "bpf": [],
    "common/base": [],
    "common/codec": ["common/base"],
    "common/io": ["common/base"],
    "common/http": ["common/base", "common/codec"],
    "common/tls": ["common/base", "common/codec", "common/io"],
    "common/h1": ["common/base", "common/http", "common/io", "common/tls"],
    "common/h2": ["common/base", "common/http", "common/io", "common/tls"],
    "common/mesh": ["common/base", "common/codec"],
    "common/identity": ["common/base", "common/codec", "common/io", "common/tls"],
    "common/hbone": ["common/base", "common/codec", "common/http", "common/h2", "common/io", "common/tls"],
    "common/relay": ["common/base", "common/h2", "common/hbone", "common/io"],
    "common/telemetry": ["common/base", "common/codec", "common/mesh"],
    "common/dns": ["common/base", "common/io", "common/mesh", "common/telemetry"],
    "common/admin": ["common/base", "common/codec", "common/http", "common/io", "common/telemetry"],
    "common/daemon": ["common/base", "common/codec", "common/io", "common/mesh/yaml_report.h", "common/mesh/yaml_tree.h"],
    "common/grpc": ["common/base", "common/codec", "common/h2", "common/http", "common/io", "common/tls"],
    "common/xds": ["common/base", "common/grpc", "common/io", "common/proto", "common/tls"],
    "common/k8s": ["common/base", "common/codec", "common/dns", "common/h1", "common/h2", "common/http", "common/io", "common/tls"],
    "common/proto": ["common/base", "common/mesh"],
    "ztunnel/capture": ["common/base", "bpf/capture_shared.h"],  # and the skeletons, see THIRD_PARTY
    "ztunnel/steward": ["common/base", "common/io", "ztunnel/capture", "bpf/capture_shared.h"],
    "ztunnel/pods": ["common/base", "common/io", "common/mesh", "ztunnel/capture", "ztunnel/steward"],
    "ztunnel/proxy": ["common", "ztunnel/capture", "ztunnel/pods", "ztunnel/steward"],
    "ztunnel": ["common", "ztunnel"],
    "waypoint": ["common", "waypoint"],
}

# third-party header (a pattern) -> the rooms that may include it.
THIRD_PARTY = {
    r"wolfssl/": ["common/tls"],
    r"nghttp2/": ["common/h2"],
    r"(liburing\.h|liburing/|linux/io_uring\.h)": ["common/io"],
    r"(bpf/(bpf|libbpf|btf)\.h|linux/bpf\.h)": ["bpf", "ztunnel/capture"],
    r"bpf/bpf_": ["bpf"],
    r"bpf/[a-z_]+\.skel\.h": ["ztunnel/capture"],
    r"(netlink/|linux/rtnetlink\.h|linux/netlink\.h|linux/fib_rules\.h)": ["ztunnel/capture", "ztunnel/steward"],
    r"ares\.h": ["common/dns"],
    r"yaml\.h": ["common/mesh"],
    r"jansson\.h": ["common/k8s"],
    r"(intel-ipsec-mb\.h|ipsec-mb\.h)": ["common/tls"],
    r"gcrypt\.h": ["common/tls"],
    r"zstd\.h": ["common/codec"],
    r"brotli/": ["common/codec"],
    r"zlib\.h": ["common/codec"],
    r"cmocka\.h": [],
    r"protobuf-c/": ["common/proto"],
}

# Rooms where a file may drive sockets; elsewhere only the last word of a name allows it.
DRIVING_ROOMS = ("common/io", "common/relay", "common/daemon", "ztunnel/proxy", "ztunnel/steward")
DRIVING_NAME = re.compile(r"(_conn|_client|_server|_pool|_end)\.[ch]$|/(app|main)\.[ch]$")

# Files that drive though their name does not say so.
DRIVING_FILES = {
    "ztunnel/pods/pods_static.h": "asks the steward for each pod of the file and retries on the loop",
    "ztunnel/pods/pods_static.c": "the same",
    "common/identity/cert_table.h": "fetches and renews on timers; its pure halves are cert_schedule and cert_set",
    "common/identity/cert_table.c": "the same",
    "common/identity/crl_file.h": "looks at its file on a timer; what it reads is judged by crl_set",
    "common/identity/crl_file.c": "the same",
    "common/dns/dns_ask.h": "the seam between those who ask and who forwards",
    "common/dns/dns_upstream.h": "asks nameservers; its pure halves are dns_cache and dns_msg",
    "common/dns/dns_upstream.c": "the same",
    "common/dns/dns_channel.h": "c-ares on the loop",
    "common/dns/dns_channel.c": "the same",
    "common/dns/dns_stock.h": "sockets made ahead of need",
    "common/dns/dns_stock.c": "the same",
    "common/dns/dns_resolver.h": "asks through a forwarder",
    "common/dns/dns_resolver.c": "the same",
    "common/dns/resolv_watch.h": "reads a file on a timer; its pure half is resolv_conf",
    "common/dns/resolv_watch.c": "the same",
    "common/tls/tls_gate.h": "counts the turns of a loop",
    "common/tls/tls_gate.c": "the same",
    "ztunnel/app_identity.c": "hears from the workers by mailbox",
    "ztunnel/local_state.h": "reads the state file again on a timer",
    "ztunnel/local_state.c": "the same",
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+([<"])([^>"]+)[>"]', re.M)


def room_of(name):
    """The room a product file belongs to, or None for what has no arrows (tests)."""
    parts = name.split("/")
    if parts[0] in ("ztunnel", "waypoint", "common") and len(parts) > 2:
        return "/".join(parts[:2])
    if parts[0] in ("bpf", "ztunnel", "waypoint"):
        return parts[0]
    return None


def allowed(room, target):
    if target.startswith(room + "/"):
        return True
    return any(target == arrow or target.startswith(arrow + "/") for arrow in ARROWS.get(room, ()))


def drives(name, room):
    return room in DRIVING_ROOMS or name in DRIVING_FILES or bool(DRIVING_NAME.search(name))


def includes(text):
    """Yield (line, quote or bracket, header). A commented include is not one."""
    plain = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group(0).count("\n"), text, flags=re.S)
    for match in INCLUDE.finditer(plain):
        yield plain.count("\n", 0, match.start(2)) + 1, match.group(1), match.group(2)


def third_party_problem(room, header):
    for pattern, rooms in THIRD_PARTY.items():
        if re.match(pattern, header):
            if room not in rooms:
                return "third-party header %s belongs in %s" % (header, " or ".join(rooms) or "tests")
            return None
    return None


def check_file(name, text):
    room = room_of(name)
    if room is None:
        if not name.startswith(("tests/bpf/", "tests/unit/ztunnel/")):
            for line, _, header in includes(text):
                if header == "bpf/capture_shared.h":
                    yield "%s:%d: the map contract is for ztunnel/capture and its tests only" % (name, line)
        return
    if room not in ARROWS:
        yield "%s:1: room %s has no row in tests/tidy/layers.py" % (name, room)
        return
    for line, mark, header in includes(text):
        problem = third_party_problem(room, header)
        if problem:
            yield "%s:%d: %s" % (name, line, problem)
        own = header.startswith(("common/", "ztunnel/", "waypoint/", "bpf/capture", "tests/"))
        if mark == '"' and own and not header.endswith(".skel.h") and not allowed(room, header):
            yield "%s:%d: %s may not include %s" % (name, line, room, header)
        if mark == '"' and header.startswith("common/io/") and not drives(name, room):
            yield "%s:%d: a pure file may not include %s" % (name, line, header)


def problems(root=tree.ROOT):
    found = []
    for name in tree.files(root):
        if name.endswith((".c", ".h", ".def")):
            found += check_file(name, tree.read(name, root))
    return found


if __name__ == "__main__":
    tree.finish("layers", problems())
