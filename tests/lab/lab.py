#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The lab: nodes and pods as network namespaces, a wire between them, a ztunnel on each node.

    pod eth0 -veth- node -veth- bridge -veth- node -veth- pod eth0
                            (namespace "wire")
                               |
                          host off the mesh

Pods are routed, so the wire carries pod addresses. Nothing is made in the machine's own namespace.
All names begin with cvt-<run>-. As a program: `lab.py list`, `lab.py down`.
"""
import argparse
import atexit
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import capture
import netns
import world
import ztunnel
from ztunnel import LabError, wait_until

STATE_DIR = "/run/culvert-lab"
BPFFS = "/sys/fs/bpf"
NAME_PREFIX = "cvt-"
RUN_NAME = re.compile(r"cvt-([0-9a-f]{5,})-")
POD_PORT_NAME = "eth0"
NODES_MAX = 100
FORWARDING = {"net/ipv4/ip_forward": 1, "net/ipv6/conf/all/forwarding": 1}
QUIET_LINKS = {"net/ipv6/conf/default/accept_dad": 0, "net/ipv6/conf/all/accept_dad": 0,
               "net/ipv6/conf/default/accept_ra": 0}


# -- places: anything with a network namespace of its own ---------------------

class Place:
    def __init__(self, lab, name):
        self.lab = lab
        self.name = name
        self.netns = f"{lab.prefix}{name}"
        self.processes = []
        lab.places.append(self)
        netns.add(self.netns)
        netns.sysctl(self.netns, QUIET_LINKS)
        netns.ip("link set lo up\n", self.netns)

    @property
    def netns_path(self):
        return netns.path_of(self.netns)

    def entered(self):
        """with place.entered(): sockets and processes made here live in the place."""
        return netns.entered(self.netns)

    def popen(self, argv, **more):
        """Starts a program in the place; the lab ends it at the latest when it goes down."""
        more.setdefault("stdin", subprocess.DEVNULL)
        more.setdefault("start_new_session", True)
        with self.entered():
            process = subprocess.Popen(argv, **more)
        self.processes.append(process)
        return process

    def run(self, argv, timeout=60, check=True, **more):
        """Runs a program to its end and returns it with stdout and stderr as text."""
        more.setdefault("stdin", subprocess.DEVNULL if "input" not in more else None)
        if more["stdin"] is None:
            del more["stdin"]
        with self.entered():
            done = subprocess.run(argv, timeout=timeout, check=False, text=True,
                                  capture_output=True, **more)
        if check and done.returncode != 0:
            raise LabError(f"{argv[0]} in {self.name} ended with {done.returncode}: "
                           f"{done.stderr.strip() or done.stdout.strip()}")
        return done

    def connect(self, address, port, timeout=10):
        with self.entered():
            return socket.create_connection((address, port), timeout)

    def listen(self, port, address="::", backlog=512):
        """A listening socket; "::" takes IPv4 as well."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with self.entered():
            s = socket.socket(family, socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.bind((address, port))
        s.listen(backlog)
        return s

    def is_listening(self, port):
        """Whether some program of the place listens on a TCP port."""
        wanted = f":{port:04X}"
        with self.entered():
            for table in ("tcp", "tcp6"):
                with open(f"/proc/thread-self/net/{table}", encoding="ascii") as f:
                    for fields in map(str.split, f):
                        if fields[3] == "0A" and fields[1].endswith(wanted):
                            return True
        return False

    def wait_listening(self, port, timeout=20):
        wait_until(lambda: self.is_listening(port), timeout,
                   f"something in {self.name} listens on port {port}")

    def ip(self, *words):
        """Output of an `ip` command about the place."""
        return subprocess.run(["ip", "-n", self.netns, *words], check=True, text=True,
                              capture_output=True).stdout


class Pod(Place):
    """namespace/account make its identity; enrolled says whether ztunnel should hold it."""

    def __init__(self, node, name, namespace="default", account=None, enrolled=True,
                 workload=None, in_mesh=True):
        super().__init__(node.lab, name)
        self.node = node
        self.namespace = namespace
        self.account = account or name
        self.workload = workload or name
        self.enrolled = enrolled
        self.in_mesh = in_mesh
        self.healthy = True
        self.services = {}
        self.policies = []
        self.more = {}  # further keys of its entry in the state, as the file spells them
        number = node.next_pod()
        self.ip4 = f"10.{node.number}.0.{number}"
        self.ip6 = f"fd00:{node.number}::{number:x}"
        self.port = f"to-{number}"
        self._link()
        node.lab.pods.append(self)

    @property
    def addresses(self):
        return [self.ip4, self.ip6]

    @property
    def uid(self):
        return f"{world.CLUSTER}//Pod/{self.namespace}/{self.name}"

    @property
    def identity(self):
        return world.identity(self.namespace, self.account)

    def _link(self):
        node = self.node
        netns.ip(f"link add {self.port} type veth peer name {POD_PORT_NAME} netns {self.netns}\n"
                 f"link set {self.port} up\n"
                 f"addr add {node.gateway4}/32 dev {self.port}\n"
                 f"addr add {node.gateway6}/128 dev {self.port} nodad\n"
                 f"route add {self.ip4}/32 dev {self.port} src {node.gateway4}\n"
                 f"route add {self.ip6}/128 dev {self.port} src {node.gateway6}\n", node.netns)
        netns.ip(f"link set {POD_PORT_NAME} up\n"
                 f"addr add {self.ip4}/32 dev {POD_PORT_NAME}\n"
                 f"addr add {self.ip6}/128 dev {POD_PORT_NAME} nodad\n"
                 f"route add {node.gateway4}/32 dev {POD_PORT_NAME} scope link\n"
                 f"route add default via {node.gateway4} src {self.ip4}\n"
                 f"route add {node.gateway6}/128 dev {POD_PORT_NAME}\n"
                 f"route add default via {node.gateway6} src {self.ip6}\n", self.netns)


class Host(Place):
    """A machine on the wire that has never heard of the mesh."""

    def __init__(self, lab, name):
        super().__init__(lab, name)
        number = 101 + len(lab.hosts)
        self.ip4 = f"172.31.77.{number}"
        self.ip6 = f"fd00:77::{number:x}"
        lab.plug(self, f"to-{name}", self.ip4, self.ip6)
        lab.hosts.append(self)
        for node in lab.nodes.values():
            netns.ip(node.route_from_wire(), self.netns)


class Node(Place):
    """Carries pods and one ztunnel."""

    def __init__(self, lab, name):
        super().__init__(lab, name)
        self.number = len(lab.nodes) + 1
        if self.number > NODES_MAX:
            raise LabError(f"the lab's addressing ends at {NODES_MAX} nodes")
        self.full_name = f"node-{name}"
        self.ip4 = f"172.31.77.{self.number}"
        self.ip6 = f"fd00:77::{self.number:x}"
        self.gateway4 = f"10.{self.number}.0.1"
        self.gateway6 = f"fd00:{self.number}::1"
        self.wire_port = f"to-{name}"
        self.pod_count = 0
        self.state_path = os.path.join(lab.dir, f"state-{name}.yaml")
        self.run_dir = os.path.join(lab.dir, f"run-{name}")
        self.bpf_root = f"{BPFFS}/{lab.prefix}{name}"
        netns.sysctl(self.netns, FORWARDING)
        lab.plug(self, self.wire_port, self.ip4, self.ip6)
        for other in list(lab.nodes.values()) + lab.hosts:
            netns.ip(self.route_from_wire(), other.netns)
        for other in lab.nodes.values():
            netns.ip(other.route_from_wire(), self.netns)
        lab.nodes[name] = self
        self.ztunnel = ztunnel.Ztunnel(self)

    def route_from_wire(self):
        return (f"route add 10.{self.number}.0.0/16 via {self.ip4}\n"
                f"route add fd00:{self.number}::/64 via {self.ip6}\n")

    def next_pod(self):
        self.pod_count += 1
        return self.pod_count + 1

    def pod(self, name, **more):
        return Pod(self, name, **more)


# -- the lab --------------------------------------------------------------------

class Lab:
    """Use as a context manager: whatever happens inside, nothing is left behind."""

    def __init__(self, ztunnel_path=None, ztunnel_env=None):
        require_root()
        sweep()
        self.run_id = f"{os.getpid():x}{int(time.time() * 10) & 0xFFF:03x}"
        self.prefix = f"{NAME_PREFIX}{self.run_id}-"
        self.dir = f"{STATE_DIR}/{self.run_id}"
        self.ztunnel_path = ztunnel_path
        self.ztunnel_env = dict(ztunnel_env or {})
        self.places, self.pods, self.hosts = [], [], []
        self.nodes = {}
        self.services, self.policies = [], []
        self.workloads = []  # of whom the lab has no place: gateways, names
        self.captures = []
        self.is_up = True
        _make_run_dir(self.dir)
        atexit.register(self.down)
        try:
            self._make_wire()
        except BaseException:
            self.down()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.down()

    def _make_wire(self):
        self.wire = Place(self, "wire")
        netns.ip("link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n"
                 "link set br0 up\n", self.wire.netns)

    def plug(self, place, port, ip4, ip6):
        """Joins a place to the bridge."""
        netns.ip(f"link add {port} type veth peer name {POD_PORT_NAME} netns {place.netns}\n"
                 f"link set {port} master br0 up\n", self.wire.netns)
        netns.ip(f"link set {POD_PORT_NAME} up\n"
                 f"addr add {ip4}/24 dev {POD_PORT_NAME}\n"
                 f"addr add {ip6}/64 dev {POD_PORT_NAME} nodad\n", place.netns)

    def node(self, name):
        return Node(self, name)

    def host(self, name):
        return Host(self, name)

    @property
    def ca_path(self):
        """The development root all nodes share; made when first asked for."""
        path = os.path.join(self.dir, "dev-ca.pem")
        if not os.path.exists(path):
            import certs
            certs.Authority.new().write(path)
        return path

    # -- what the mesh knows ----------------------------------------------------

    def service(self, name, vips, ports, pods, namespace="default"):
        """ports: {service port: target port}; pods become its endpoints."""
        entry = world.service(name, namespace, vips, ports)
        self.services.append(entry)
        for pod in pods:
            pod.services[f"{namespace}/{entry['hostname']}"] = ports
        return entry

    def workload(self, uid, **entry):
        """A workload without a pod."""
        made = {"uid": uid, "name": uid, "namespace": "default", "workloadIps": [],
                "trustDomain": world.TRUST_DOMAIN, "clusterId": world.CLUSTER, "services": {},
                **entry}
        self.workloads.append(made)
        return made

    def write_state(self):
        for node in self.nodes.values():
            world.write(node.state_path, world.state(self, node))

    def apply(self, timeout=30):
        """Writes the state files and waits until every running ztunnel acts on them."""
        self.write_state()
        for node in self.nodes.values():
            node.ztunnel.reload()
        for node in self.nodes.values():
            if node.ztunnel.running():
                self._wait_applied(node, timeout)

    def _wait_applied(self, node, timeout):
        def applied():
            missing = world.difference(node.ztunnel.config_dump(), self)
            if missing:
                raise LabError(missing)
            held = node.ztunnel.metrics().total("workload_manager_active_proxy_count")
            if held != self._enrolled_on(node):
                raise LabError(f"{held} pods are held in place of {self._enrolled_on(node)}")
            return True
        wait_until(applied, timeout, f"ztunnel of node {node.name} acts on the new state")

    def _enrolled_on(self, node):
        return sum(1 for pod in self.pods if pod.node is node and pod.enrolled and pod.in_mesh)

    def start(self):
        """Writes the state and starts a ztunnel on every node."""
        ensure_bpffs()
        self.write_state()
        for node in self.nodes.values():
            node.ztunnel.start(wait=False)
        for node in self.nodes.values():
            node.ztunnel.wait_ready()
            self._wait_applied(node, ztunnel.READY_TIMEOUT)

    # -- the wire -----------------------------------------------------------------

    @contextlib.contextmanager
    def captured(self, node, expression="tcp"):
        """Captures a node's link; the list yielded holds the packets after the block."""
        packets = []
        taken = self.capture(node, expression)
        try:
            yield packets
            packets += taken.stop()
        finally:
            taken.abandon()

    def capture(self, node, expression="tcp"):
        path = os.path.join(self.dir, f"wire-{len(self.captures)}.pcap")
        taken = capture.Capture(self.wire.netns, node.wire_port, path, expression)
        self.captures.append(taken)
        return taken

    # -- the end --------------------------------------------------------------------

    def sanitizer_reports(self):
        reports = {n.name: n.ztunnel.sanitizer_reports() for n in self.nodes.values()}
        return {name: text for name, text in reports.items() if text}

    def stop_ztunnels(self):
        """Orderly end of the ztunnels; leak checkers report then."""
        running = [n.ztunnel for n in self.nodes.values() if n.ztunnel.running()]
        for z in running:
            z.process.send_signal(signal.SIGTERM)
        for z in running:
            z.end()

    def hand_over(self):
        """Leaves everything up and no longer owned by this process; see `lab.py down`."""
        _write_owner(self.dir, None)
        self.is_up = False

    def down(self):
        """Ends and removes everything; harmless when repeated."""
        if not self.is_up:
            return
        self.is_up = False
        for taken in self.captures:
            taken.abandon()
        for node in self.nodes.values():
            with contextlib.suppress(Exception):
                if node.ztunnel.running():
                    node.ztunnel.kill()
        for place in self.places:
            for process in place.processes:
                if process.poll() is None:
                    process.kill()
                with contextlib.suppress(Exception):
                    process.wait(5)
        remove_run(self.run_id)
        atexit.unregister(self.down)


# -- leftovers --------------------------------------------------------------------------

def require_root():
    if os.geteuid() != 0:
        raise LabError("the lab makes network namespaces and needs root; try sudo")


def ensure_bpffs():
    """Mounts bpffs where everybody expects it, if nobody did; it stays mounted."""
    with open("/proc/mounts", encoding="ascii", errors="replace") as f:
        if any(line.split()[1] == BPFFS and line.split()[2] == "bpf" for line in f):
            return
    done = subprocess.run(["mount", "-t", "bpf", "bpf", BPFFS], capture_output=True,
                          text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"cannot mount bpffs at {BPFFS}: {done.stderr.strip()}")


def _start_time(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
        return f.read().rsplit(")", 1)[1].split()[19]


def _write_owner(directory, pid):
    owner = {"pid": pid, "start": _start_time(pid) if pid else None}
    with open(os.path.join(directory, "owner.json"), "w", encoding="ascii") as f:
        json.dump(owner, f)


def _make_run_dir(directory):
    """Appears complete or not at all: a run without an owner is swept by anybody."""
    fresh = os.path.join(STATE_DIR, "." + os.path.basename(directory))
    for _ in range(10):
        with contextlib.suppress(FileNotFoundError):  # somebody removed the empty STATE_DIR
            os.makedirs(fresh, mode=0o700)
            break
    _write_owner(fresh, os.getpid())
    os.rename(fresh, directory)


def owner_of(run_id):
    """"alive", "kept" (left up on purpose) or "dead"."""
    try:
        with open(f"{STATE_DIR}/{run_id}/owner.json", encoding="ascii") as f:
            owner = json.load(f)
    except (OSError, ValueError):
        return "dead"
    if owner["pid"] is None:
        return "kept"
    try:
        return "alive" if _start_time(owner["pid"]) == owner["start"] else "dead"
    except OSError:
        return "dead"


def runs():
    """Every run this machine knows of, also those of which only namespaces are left."""
    found = set()
    with contextlib.suppress(FileNotFoundError):
        found.update(n for n in os.listdir(STATE_DIR) if not n.startswith("."))
    for directory in (netns.NETNS_DIR, BPFFS):
        with contextlib.suppress(OSError):
            found.update(m.group(1) for m in map(RUN_NAME.match, os.listdir(directory)) if m)
    return sorted(found)


def remove_run(run_id):
    """Kills who lives in the run's namespaces, then removes namespaces, pins and files."""
    prefix = f"{NAME_PREFIX}{run_id}-"
    names = netns.listed(prefix)
    left = netns.kill_dwellers(names)
    for name in names:
        netns.delete(name)
    with contextlib.suppress(OSError):
        for name in os.listdir(BPFFS):
            if name.startswith(prefix):
                ztunnel.remove_pins(f"{BPFFS}/{name}")
    shutil.rmtree(f"{STATE_DIR}/{run_id}", ignore_errors=True)
    with contextlib.suppress(OSError):
        os.rmdir(STATE_DIR)
    if left:
        raise LabError(f"processes {left} of run {run_id} would not die")


def sweep():
    """Removes what earlier runs left behind when they crashed."""
    with contextlib.suppress(FileNotFoundError):
        for run_id in os.listdir(STATE_DIR):
            if not run_id.startswith(".") and owner_of(run_id) == "dead":
                remove_run(run_id)


def end_on_signals():
    """Makes SIGTERM and SIGHUP unwind the stack as SIGINT does, so that labs go down."""
    def leave(number, _frame):
        raise SystemExit(128 + number)
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGHUP, leave)


def main():
    parser = argparse.ArgumentParser(description="List or take down labs.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="runs that exist, and whether somebody owns them")
    down = commands.add_parser("down", help="take down kept and crashed runs")
    down.add_argument("run", nargs="*", help="only these runs, even when their owner is alive")
    options = parser.parse_args()
    require_root()
    if options.command == "list":
        for run_id in runs():
            print(f"{run_id}\t{owner_of(run_id)}\t{len(netns.listed(NAME_PREFIX + run_id + '-'))}"
                  " namespaces")
        return 0
    for run_id in options.run or [r for r in runs() if owner_of(r) != "alive"]:
        remove_run(run_id)
        print(f"took down {run_id}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as error:
        sys.exit(f"lab: {error}")
