# SPDX-License-Identifier: Apache-2.0
"""Who is captured, who is not, and how it ends: the real capture, without the rest of the proxy.

The identifiers in front of the claims are those of the acceptance matrix. Both address families are
meant wherever a test does not say otherwise.
"""
import contextlib
import errno
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import types

import capture
import lab as lab_room
import netns
import probe
import pytest
import ztunnel
from probe import Greeter, Probe, echoes, enrolled, greeting

pytestmark = pytest.mark.asan

PORT = 8080
MARK = 36  # SO_MARK
MPTCP = 262
RESETS = (ConnectionResetError, ConnectionRefusedError, BrokenPipeError)


@pytest.fixture(scope="module")
def world():
    """a: one, two enrolled, plain not; b: far enrolled; ext off the mesh. A probe on a and on b."""
    lab_room.ensure_bpffs()
    with lab_room.Lab() as lab:
        a, b = lab.node("a"), lab.node("b")
        w = types.SimpleNamespace(lab=lab, a=a, b=b)
        w.one, w.two, w.plain = a.pod("one"), a.pod("two"), a.pod("plain")
        w.far = b.pod("far")
        w.ext = lab.host("ext")
        w.servers = [Greeter(p, PORT) for p in (w.one, w.two, w.plain, w.far, w.ext, a, b)]
        w.before = {
            "out v4": connected(w.one, w.ext.ip4),
            "in v4": connected(w.ext, w.one.ip4),
            "out v6": connected(w.one, w.ext.ip6),
        }
        with w.one.entered():
            w.early = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        w.pa, w.pb = Probe(a), Probe(b)
        for pod in (w.one, w.two):
            w.pa.enroll(pod)
        w.pb.enroll(w.far)
        yield w


@pytest.fixture(autouse=True)
def unread(world):
    """What a failed test left unread is not the next one's."""
    world.pa.seen()
    world.pb.seen()


def connected(place, address, port=PORT):
    """A greeted connection and as whom the server greeted it."""
    conn = place.connect(address, port)
    return conn, greeting(conn)


def only(conns):
    assert len(conns) == 1, conns
    return conns[0]


def addresses(place):
    return (place.ip4, place.ip6)


def gateways(place):
    return (place.node.gateway4, place.node.gateway6)


def assert_captured(conn, kind, src, dst, port=PORT):
    assert (conn.kind, conn.src, conn.dst, conn.dst_port) == (kind, src, dst, port)


def is_reset(place, address, port):
    """The call ends in a reset or a close, before or after the handshake, without a byte."""
    try:
        with contextlib.closing(place.connect(address, port)) as conn:
            return conn.recv(1) == b""
    except RESETS:
        return True


def out_of(w, place, dst, port=PORT, family=None, proto=0, prepare=None):
    """A connection of pod one's to dst over a socket made by hand; what the probe saw of it."""
    family = family or (socket.AF_INET6 if ":" in dst else socket.AF_INET)
    with place.entered():
        s = socket.socket(family, socket.SOCK_STREAM, proto)
    s.settimeout(10)
    if prepare:
        prepare(s)
    s.connect((dst, port))
    greeting(s)
    return s, only(w.pa.seen())


# -- enrolling --------------------------------------------------------------------------

def test_E2_the_nodes_own_namespace_is_refused(world):
    reply = world.pa.ask(f"enroll {world.a.netns}")
    assert reply["error"] == "CONFIG"
    assert "node's own" in reply["why"]


def test_what_is_no_network_namespace_is_refused(world):
    for spec in ("/proc/self/ns/mnt", "/dev/null", "cvt-no-such", "/no/such/path"):
        assert world.pa.ask(f"enroll {spec}")["error"] == "CONFIG"


def test_a_namespace_is_enrolled_once(world):
    assert "already" in world.pa.ask(f"enroll {world.one.netns}")["why"]


def test_replacing_an_enrollment_leaves_no_moment_uncaptured(world):
    live, _ = connected(world.ext, world.two.ip4)
    live_out, _ = connected(world.two, world.ext.ip4)
    world.pa.seen()
    leaked, stop = [], threading.Event()

    def knock():
        while not stop.is_set():
            with contextlib.closing(world.two.connect(world.ext.ip4, PORT)) as conn:
                if greeting(conn)[1] == conn.getsockname()[1]:
                    leaked.append(conn)
    knocking = threading.Thread(target=knock)
    knocking.start()
    for _ in range(5):
        world.pa.enroll(world.two, "replace")
    stop.set()
    knocking.join()
    assert leaked == []
    assert echoes(live) and echoes(live_out)
    world.pa.seen()
    connected(world.ext, world.two.ip4)
    assert only(world.pa.seen()).kind == "inplain"


def test_E3_E4_E5_connections_from_before_survive(world):
    for name, (conn, _) in world.before.items():
        assert echoes(conn), name
    assert world.pa.seen() == []


def test_E6_a_socket_from_before_connecting_later_is_captured(world):
    world.early.connect((world.ext.ip4, PORT))
    greeting(world.early)
    assert_captured(only(world.pa.seen()), "out", world.one.ip4, world.ext.ip4)


# -- outbound ----------------------------------------------------------------------------

def test_O1_O2_a_connect_is_captured_and_tells_the_truth(world):
    for src, dst in zip(addresses(world.one), addresses(world.ext)):
        conn, seen_as = connected(world.one, dst)
        caught = only(world.pa.seen())
        assert_captured(caught, "out", src, dst)
        assert conn.getpeername()[:2] == (dst, PORT)
        assert conn.getsockname()[0] == src
        assert caught.src_port == conn.getsockname()[1]
        assert seen_as[0] == src
        assert echoes(conn)


def test_O3_O4_a_non_blocking_connect_is_captured(world):
    for dst in addresses(world.ext):
        family = socket.AF_INET6 if ":" in dst else socket.AF_INET
        with world.one.entered():
            s = socket.socket(family, socket.SOCK_STREAM)
        s.setblocking(False)
        assert s.connect_ex((dst, PORT)) == errno.EINPROGRESS
        s.settimeout(10)
        greeting(s)
        assert only(world.pa.seen()).dst == dst


def test_O5_a_mapped_address_is_captured_as_v4(world):
    conn, caught = out_of(world, world.one, f"::ffff:{world.ext.ip4}", family=socket.AF_INET6)
    assert_captured(caught, "out", world.one.ip4, world.ext.ip4)
    assert conn.getpeername()[0] == f"::ffff:{world.ext.ip4}"


def test_O6_fast_open_is_captured_with_its_payload(world):
    for dst in addresses(world.ext):
        family = socket.AF_INET6 if ":" in dst else socket.AF_INET
        with world.one.entered():
            s = socket.socket(family, socket.SOCK_STREAM)
        s.sendto(b"early", socket.MSG_FASTOPEN, (dst, PORT))
        greeting(s)
        assert s.recv(5) == b"early"
        assert only(world.pa.seen()).dst == dst


def test_O7_O8_mptcp_is_captured(world):
    for dst in addresses(world.ext):
        conn, caught = out_of(world, world.one, dst, proto=MPTCP)
        assert caught.dst == dst
        assert conn.getpeername()[0] == dst
        assert echoes(conn)


def test_O9_a_bound_socket_is_captured(world):
    for src, dst in zip(addresses(world.one), addresses(world.ext)):
        _, caught = out_of(world, world.one, dst, prepare=lambda s, src=src: s.bind((src, 0)))
        assert_captured(caught, "out", src, dst)


def test_O10_a_device_bound_socket_is_captured(world):
    def bind(s):
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
    for src, dst in zip(addresses(world.one), addresses(world.ext)):
        _, caught = out_of(world, world.one, dst, prepare=bind)
        assert_captured(caught, "out", src, dst)


def test_O11_a_device_bound_socket_without_privilege_is_captured(world):
    code = ("import socket, sys\n"
            "s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET)\n"
            "s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'eth0')\n"
            "s.settimeout(10)\n"
            "s.connect((sys.argv[1], int(sys.argv[2])))\n"
            "print(s.recv(100).decode(), end='')\n")
    for src, dst in zip(addresses(world.one), addresses(world.ext)):
        done = world.one.run([sys.executable, "-c", code, dst, str(PORT)], user=65534)
        assert done.stdout.split()[0] == src
        assert_captured(only(world.pa.seen()), "out", src, dst)


def test_O12_O13_a_mark_does_not_open_a_way_around(world):
    for mark in (0x539, 0x111, 0xABC00000, 0xFFF):
        _, caught = out_of(world, world.one, world.ext.ip4,
                           prepare=lambda s, m=mark: s.setsockopt(
                               socket.SOL_SOCKET, MARK, struct.pack("I", m)))
        assert_captured(caught, "out", world.one.ip4, world.ext.ip4)


def test_O14_O15_mesh_destinations_are_reached_on_15008(world):
    for src, dst in zip(addresses(world.one), addresses(world.far)):
        world.pa.done(f"mesh {dst}")
        _, seen_as = connected(world.one, dst)
        assert_captured(only(world.pa.seen()), "out", src, dst)
        assert_captured(only(world.pb.seen()), "hbone", src, dst, 15008)
        assert seen_as[0] == src  # the server sees the client's own address


def test_O16_a_neighbour_outside_the_mesh_is_captured_and_passed_through(world):
    for src, dst in zip(addresses(world.one), addresses(world.plain)):
        _, seen_as = connected(world.one, dst)
        assert_captured(only(world.pa.seen()), "out", src, dst)
        assert seen_as[0] == src


def test_O17_two_pods_of_one_node_meet_on_15008(world):
    for src, dst in zip(addresses(world.one), addresses(world.two)):
        world.pa.done(f"mesh {dst}")
        _, seen_as = connected(world.one, dst)
        out, hbone = world.pa.seen()
        assert_captured(out, "out", src, dst)
        assert_captured(hbone, "hbone", src, dst, 15008)
        assert hbone.netns == world.two.netns
        assert seen_as[0] == src


def test_O18_a_pod_that_is_not_enrolled_is_untouched(world):
    for src, dst in zip(addresses(world.plain), addresses(world.ext)):
        conn, seen_as = connected(world.plain, dst)
        assert seen_as == (src, conn.getsockname()[1])
    assert world.pa.seen() == []


def test_O19_O20_what_cannot_be_reached_ends_in_an_error(world):
    assert is_reset(world.one, world.ext.ip4, 9)
    assert is_reset(world.one, world.ext.ip6, 9)
    assert is_reset(world.one, "198.51.100.1", PORT)
    assert len(world.pa.seen()) == 3


# -- to itself -----------------------------------------------------------------------------

def test_S_a_pod_talks_to_itself_untouched(world):
    for dst in ("127.0.0.1", "::1", world.one.ip4, world.one.ip6):
        conn, seen_as = connected(world.one, dst)
        assert seen_as[1] == conn.getsockname()[1]
    server = Greeter(world.one, 8081, "127.0.0.1")
    connected(world.one, "127.0.0.1", 8081)
    server.close()
    assert world.pa.seen() == []


# -- inbound -------------------------------------------------------------------------------

def test_I1_I2_plaintext_is_captured_and_the_client_is_seen(world):
    for src, dst in zip(addresses(world.ext), addresses(world.one)):
        conn, seen_as = connected(world.ext, dst)
        caught = only(world.pa.seen())
        assert_captured(caught, "inplain", src, dst)
        assert caught.src_port == conn.getsockname()[1]
        assert seen_as[0] == src
        assert seen_as[1] != caught.src_port
        assert conn.getpeername()[:2] == (dst, PORT)
        assert echoes(conn)


def test_I3_I4_a_port_of_the_pods_address_is_served_one_of_loopback_is_not(world):
    servers = [Greeter(world.one, 8082, world.one.ip4), Greeter(world.one, 8083, "127.0.0.1")]
    assert connected(world.ext, world.one.ip4, 8082)[1][0] == world.ext.ip4
    assert is_reset(world.ext, world.one.ip4, 8083)
    for server in servers:
        server.close()
    assert len(world.pa.seen()) == 2


def test_I5_I6_a_closed_port_is_refused(world):
    for dst in addresses(world.one):
        assert is_reset(world.ext, dst, 9)
    assert len(world.pa.seen()) == 2


def test_I7_I8_the_proxys_own_ports_do_not_loop(world):
    live = world.pa.live()
    for port in (15001, 15006):
        for dst in addresses(world.one):
            assert is_reset(world.ext, dst, port)
            assert_captured(only(world.pa.seen()), "inplain",
                            world.ext.ip6 if ":" in dst else world.ext.ip4, dst, port)
    for port in (15001, 15006):
        assert is_reset(world.one, "127.0.0.1", port)
        assert is_reset(world.two, world.plain.ip4, port)
    for asked in (15001, 15006, 15008):  # by way of 15008
        with contextlib.closing(world.ext.connect(world.one.ip4, 15008)) as conn:
            conn.sendall(struct.pack("!H", asked))
            with pytest.raises(RESETS):
                conn.recv(1)
    world.pa.settle(live)
    assert len(world.pa.seen()) == 7


def test_I9_a_plain_neighbour_is_captured(world):
    for src, dst in zip(addresses(world.plain), addresses(world.one)):
        _, seen_as = connected(world.plain, dst)
        assert_captured(only(world.pa.seen()), "inplain", src, dst)
        assert seen_as[0] == src


def test_I10_no_spoofed_packet_leaves_the_pod(world):
    live = world.pa.live()
    path = f"{world.lab.dir}/spoof.pcap"
    taken = capture.Capture(world.a.netns, world.one.port, path)
    try:
        real = set()
        for dst in addresses(world.one):
            for _ in range(5):
                conn, _ = connected(world.ext, dst)
                real.add(conn.getsockname()[1])
                assert echoes(conn)
                conn.close()
        world.pa.settle(live)
        packets = taken.stop()
    finally:
        taken.abandon()
    seen = {p.sport for p in packets if p.src in addresses(world.ext)}
    seen |= {p.dport for p in packets if p.dst in addresses(world.ext)}
    assert seen - real - {PORT} == set()
    assert packets
    world.pa.seen()


# -- probes of the node ----------------------------------------------------------------------

def test_P1_P2_a_node_process_passes_to_its_pods(world):
    for src, dst in zip((world.a.gateway4, world.a.gateway6), addresses(world.one)):
        conn, seen_as = connected(world.a, dst)
        assert seen_as == (src, conn.getsockname()[1])
    assert world.pa.seen() == []


def test_P3_a_process_of_another_node_is_captured(world):
    for src, dst in zip(addresses(world.b), addresses(world.one)):
        connected(world.b, dst)
        assert_captured(only(world.pa.seen()), "inplain", src, dst)


@pytest.fixture
def node_port(world):
    """Port 30080 of node a leads to pod one, from the node's address."""
    rules = (f"table ip nodeport {{\n"
             f" chain pre {{ type nat hook prerouting priority -100;\n"
             f"  tcp dport 30080 dnat to {world.one.ip4}:{PORT}; }}\n"
             f" chain out {{ type nat hook output priority -100;\n"
             f"  tcp dport 30080 dnat to {world.one.ip4}:{PORT}; }}\n"
             f" chain post {{ type nat hook postrouting priority 100;\n"
             f"  ip daddr {world.one.ip4} ct status dnat masquerade; }}\n}}\n")
    world.a.run(["nft", "-f", "-"], input=rules)
    yield 30080
    world.a.run(["nft", "delete", "table", "ip", "nodeport"])


def test_P4_P5_node_port_traffic_is_captured_though_it_comes_from_the_node(world, node_port):
    connected(world.ext, world.a.ip4, node_port)
    assert_captured(only(world.pa.seen()), "inplain", world.a.gateway4, world.one.ip4)
    connected(world.a, world.a.ip4, node_port)
    assert_captured(only(world.pa.seen()), "inplain", world.a.gateway4, world.one.ip4)


# -- kernels and families ----------------------------------------------------------------------

def both_ways(world, pod, families=(0, 1)):
    """Traffic in and out of a pod of node a is captured."""
    for i in families:
        pod_ip, ext_ip = addresses(pod)[i], addresses(world.ext)[i]
        assert connected(world.ext, pod_ip)[1][0] == ext_ip
        assert_captured(only(world.pa.seen()), "inplain", ext_ip, pod_ip)
        assert connected(pod, ext_ip)[1][0] == pod_ip
        assert_captured(only(world.pa.seen()), "out", pod_ip, ext_ip)


def test_K1_strict_reverse_path_filters_do_not_hurt(world):
    netns.sysctl(world.one.netns, {f"net/ipv4/conf/{d}/rp_filter": 1
                                   for d in ("all", "default", "lo", "eth0")})
    both_ways(world, world.one)


def test_K2_conntrack_that_drops_the_invalid_does_not_hurt(world):
    world.one.run(["nft", "-f", "-"], input=(
        "table inet strict {\n"
        " chain in { type filter hook input priority 0; ct state invalid drop; }\n"
        " chain out { type filter hook output priority 0; ct state invalid drop; }\n}\n"))
    try:
        both_ways(world, world.one)
    finally:
        world.one.run(["nft", "delete", "table", "inet", "strict"])


def test_K3_K4_a_pod_without_ipv6_is_captured(world):
    pod = world.a.pod("four")
    netns.sysctl(pod.netns, {"net/ipv6/conf/all/disable_ipv6": 1})
    server = Greeter(pod, PORT, "0.0.0.0")
    with enrolled(world, pod):
        both_ways(world, pod, families=(0,))
    server.close()


def test_K6_K7_K8_a_pod_without_ipv4_is_captured_and_v4_stays_unreachable(world):
    pod = world.a.pod("six")
    netns.ip(f"addr del {pod.ip4}/32 dev eth0\nroute flush dev eth0\n", pod.netns)
    server = Greeter(pod, PORT)
    with enrolled(world, pod):
        both_ways(world, pod, families=(1,))
        with pytest.raises(OSError) as failed:
            pod.connect(world.ext.ip4, PORT)
        assert failed.value.errno == errno.ENETUNREACH
        assert world.pa.seen() == []
    server.close()


def test_K5_pins_of_a_namespace_that_is_gone_are_collected(world):
    name = f"{world.lab.prefix}gone"
    root = f"{world.lab.prefix}gone-pins"
    node = types.SimpleNamespace(bpf_root=f"{lab_room.BPFFS}/{root}", popen=world.a.popen)
    netns.add(name)
    netns.ip("link set lo up\n", name)
    first = Probe(node)
    first.done(f"enroll {name}")
    assert len(os.listdir(f"{node.bpf_root}/pods")) == 1
    first.kill()
    netns.delete(name)
    second = Probe(node)
    ztunnel.wait_until(lambda: second.done(f"sweep {name}") and
                        os.listdir(f"{node.bpf_root}/pods") == [], 20, "the pins are collected")
    second.kill()


def test_addresses_are_followed_as_they_come_and_go(world):
    pod = world.a.pod("mover")
    server = Greeter(pod, PORT)
    with enrolled(world, pod):
        both_ways(world, pod)
        pod.ip4, pod.ip6 = "10.1.0.77", "fd00:1::77"
        netns.ip(f"route add {pod.ip4}/32 dev {pod.port}\nroute add {pod.ip6}/128 dev {pod.port}\n",
                 world.a.netns)
        netns.ip(f"addr add {pod.ip4}/32 dev eth0\naddr add {pod.ip6}/128 dev eth0 nodad\n"
                 f"route replace default via {pod.node.gateway4} src {pod.ip4}\n"
                 f"route replace default via {pod.node.gateway6} src {pod.ip6}\n", pod.netns)
        time.sleep(0.2)
        both_ways(world, pod)
        for src, dst in zip((world.a.gateway4, world.a.gateway6), addresses(pod)):
            assert connected(world.a, dst)[1][0] == src  # the node passes to the new ones too
        for dst in addresses(pod):
            connected(pod, dst)  # and they are the pod's own
        assert world.pa.seen() == []
    server.close()


# -- cgroups ------------------------------------------------------------------------------------

def cgroup2_root():
    with open("/proc/self/mountinfo", encoding="ascii") as f:
        for line in f:
            if " - cgroup2 " in line:
                return line.split()[4]
    return None


@pytest.fixture
def nested_cgroup(world):
    path = os.path.join(cgroup2_root(), f"{world.lab.prefix}nest")
    inner = os.path.join(path, "inner")
    os.mkdir(path)
    os.mkdir(inner)
    yield inner
    os.rmdir(inner)
    os.rmdir(path)


def connect_from_cgroup(world, cgroup, wrapper=()):
    code = ("import os, socket, sys\n"
            "s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)\n"
            "print(s.recv(100).decode(), end='')\n")
    def join():
        with open(os.path.join(cgroup, "cgroup.procs"), "w", encoding="ascii") as f:
            f.write(str(os.getpid()))
    for src, dst in zip(addresses(world.one), addresses(world.ext)):
        world.one.run([*wrapper, sys.executable, "-c", code, dst, str(PORT)], preexec_fn=join)
        assert_captured(only(world.pa.seen()), "out", src, dst)


def test_C1_a_process_in_a_nested_cgroup_namespace_is_captured(world, nested_cgroup):
    connect_from_cgroup(world, nested_cgroup, wrapper=("unshare", "--cgroup"))


def test_C2_another_exclusive_program_below_does_not_hide_ours(world, nested_cgroup):
    build = os.path.dirname(os.path.dirname(os.path.dirname(probe.binary())))
    pin = f"{world.a.bpf_root}/other"
    subprocess.run(["bpftool", "prog", "load", f"{build}/bpf/capture_egress.bpf.o", pin],
                   check=True, capture_output=True)
    try:
        subprocess.run(["bpftool", "cgroup", "attach", nested_cgroup, "sock_ops", "pinned", pin],
                       check=True, capture_output=True)
        connect_from_cgroup(world, nested_cgroup)
    finally:
        os.unlink(pin)


# -- the guard ------------------------------------------------------------------------------------

def raw_syn(place, dst):
    head, segment = probe.tcp_syn(place.ip4, dst, 4444, PORT)
    with place.entered():
        s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    s.sendto(head + segment, (dst, 0))
    s.close()


def split_syn(place, dst):
    """A SYN cut before its flags, as a fragment of 8 octets and the rest."""
    head, segment = probe.tcp_syn(place.ip4, dst, 4445, PORT)
    with place.entered():
        s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    for offset, more, part in ((0, 0x2000, segment[:8]), (1, 0, segment[8:])):
        cut = head[:2] + struct.pack("!HHH", 20 + len(part), 9, more | offset) + head[8:]
        s.sendto(cut + part, (dst, 0))
    s.close()


def guard_hits(p):
    return p.ask("counts")["guard_hits"]


def test_G1_a_raw_syn_is_dropped_and_counted(world):
    with world.lab.captured(world.a) as packets:
        hits = guard_hits(world.pa)
        raw_syn(world.one, world.ext.ip4)
        split_syn(world.one, world.ext.ip4)
        raw_syn(world.plain, world.ext.ip4)
    assert guard_hits(world.pa) == hits + 3
    assert {p.src for p in packets if p.sport in (4444, 4445)} == {world.plain.ip4}


def test_the_guard_only_counts_when_told_so_and_works_by_clsact(world):
    pod = world.a.pod("counted")
    node = types.SimpleNamespace(bpf_root=f"{world.a.bpf_root}-count", popen=world.a.popen)
    for clsact in (False, True):
        p = Probe(node, guard="count", clsact=clsact)
        p.enroll(pod)
        with world.lab.captured(world.a) as packets:
            raw_syn(pod, world.ext.ip4)
        assert guard_hits(p) == 1 + clsact
        assert any(x.src == pod.ip4 and x.sport == 4444 for x in packets)
        p.release(pod)
        assert "culvert" not in tc_filters(pod) and "capture" not in tc_filters(pod)
        p.kill()
    p = Probe(node, guard="enforce", clsact=True)
    p.enroll(pod)
    with world.lab.captured(world.a) as packets:
        raw_syn(pod, world.ext.ip4)
        connected(pod, world.ext.ip4)
    assert not any(x.sport == 4444 for x in packets)
    p.release(pod)
    p.kill()


def tc_filters(pod):
    return subprocess.run(["tc", "-n", pod.netns, "filter", "show", "dev", "eth0", "egress"],
                          capture_output=True, text=True, check=False).stdout


def test_G2_a_link_local_destination_is_captured(world):
    text = world.a.ip("-6", "-o", "addr", "show", "dev", world.one.port, "scope", "link")
    link_local = text.split()[3].split("/")[0]
    with world.one.entered():
        s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        scope = socket.if_nametoindex("eth0")
    s.settimeout(10)
    s.connect((link_local, PORT, 0, scope))
    greeting(s)
    assert only(world.pa.seen()).dst == link_local


def test_ingress_mode_leaves_what_arrives_alone(world):
    pod = world.a.pod("gateway")
    server = Greeter(pod, PORT)
    with enrolled(world, pod, "noinbound"):
        conn, seen_as = connected(world.ext, pod.ip4)
        assert seen_as == (world.ext.ip4, conn.getsockname()[1])
        assert world.pa.seen() == []
        connected(pod, world.ext.ip4)
        assert only(world.pa.seen()).kind == "out"
    server.close()


# -- load -----------------------------------------------------------------------------------------

def test_M1_syncookies_do_not_hurt(world):
    every = (world.one, world.far, world.ext, world.a, world.b)
    for place in every:
        netns.sysctl(place.netns, {"net/ipv4/tcp_syncookies": 2})
    try:
        both_ways(world, world.one)
        for dst in addresses(world.far):
            connected(world.one, dst)  # through 15008
            assert only(world.pa.seen()).kind == "out"
            assert only(world.pb.seen()).kind == "hbone"
        for dst in addresses(world.one):
            connected(world.a, dst)
        assert world.pa.seen() == []
    finally:
        for place in every:
            netns.sysctl(place.netns, {"net/ipv4/tcp_syncookies": 1})


def test_M2_an_mptcp_listener_is_served(world):
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        with world.one.entered():
            s = socket.socket(family, socket.SOCK_STREAM, MPTCP)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((address, 8090))
        s.listen()
        server = Greeter(world.one, 8090, listener=s)
        dst = world.one.ip4 if family == socket.AF_INET else world.one.ip6
        for proto in (0, MPTCP):
            with world.ext.entered():
                c = socket.socket(family, socket.SOCK_STREAM, proto)
            c.settimeout(10)
            c.connect((dst, 8090))
            greeting(c)
            assert echoes(c)
            assert only(world.pa.seen()).kind == "inplain"
            c.close()
        connected(world.a, dst, 8090)[0].close()
        assert world.pa.seen() == []
        server.close()


class Answers:
    """A server in one thread for many connections: says the client's port, then closes."""

    def __init__(self, place, port):
        self.socket = place.listen(port, backlog=4096)
        self.held = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        with contextlib.suppress(OSError):
            while True:
                conn, peer = self.socket.accept()
                conn.sendall(struct.pack("!H", peer[1]))
                self.held.append(conn)

    def drop(self):
        while self.held:
            self.held.pop().close()


@pytest.mark.limit(90)
def test_M3_many_connections_of_one_client_get_ports_of_their_own(world):
    """Client ports are random, as on one kernel both sides' ephemeral ports come from one secret."""
    import random
    import resource
    count, live = 1500, world.pa.live()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    server = Answers(world.one, 8099)
    clients = []
    dice = random.Random(3)
    ports = iter(dice.sample(range(10240, 61000), 2 * count))
    while len(clients) < count:
        with world.ext.entered():
            s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        s.settimeout(20)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # another test's
            s.bind((world.ext.ip4, next(ports)))
            clients.append(s)
    for s in clients:
        s.connect((world.one.ip4, 8099))
    late = sum(not s.recv(2) for s in clients)
    spoofed = {c.getpeername()[1] for c in server.held}
    workers = {c.worker for c in world.pa.seen()}
    for s in clients:
        s.close()
    server.drop()
    world.pa.settle(live)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    server.socket.close()
    assert late == 0
    assert len(spoofed) == count
    assert workers == {0, 1}


@pytest.mark.limit(90)
def test_ports_in_time_wait_do_not_stop_a_busy_client(world):
    """More connections than the range has ports, one after the other, all closed by the client first."""
    live = world.pa.live()
    for _ in range(6000):
        s = world.ext.connect(world.one.ip4, PORT)
        greeting(s)
        s.close()
    world.pa.settle(live)
    assert len(world.pa.seen()) == 6000


# -- the proxy goes away ---------------------------------------------------------------------------

def link_id(world, pod_dir, name):
    done = subprocess.run(["bpftool", "-j", "link", "show", "pinned",
                           f"{world.a.bpf_root}/{pod_dir}{name}"], capture_output=True, check=True)
    import json
    found = json.loads(done.stdout)
    return (found[0] if isinstance(found, list) else found)["id"]


def all_links(world):
    pods = os.listdir(f"{world.a.bpf_root}/pods")
    links = {"": link_id(world, "", "link_sockops")}
    for pod in pods:
        for name in os.listdir(f"{world.a.bpf_root}/pods/{pod}"):
            if name == "link" or name.startswith("guard-"):
                links[pod, name] = link_id(world, f"pods/{pod}/", name)
    return links


def try_connect(place, dst, timeout=1.5):
    try:
        with contextlib.closing(place.connect(dst, PORT, timeout)) as conn:
            greeting(conn)
        return True
    except OSError:
        return False


@pytest.mark.limit(90)
def test_X_a_killed_proxy_leaves_its_pods_closed_and_a_new_one_takes_over(world):
    links = all_links(world)
    with world.lab.captured(world.a) as packets:
        world.pa.kill()
        assert not try_connect(world.one, world.ext.ip4)  # X1
        assert not try_connect(world.one, world.ext.ip6)  # X2
        for dst in addresses(world.one):
            assert not try_connect(world.ext, dst)  # X3
            assert try_connect(world.a, dst)  # X4: the node's probes
            assert try_connect(world.one, dst)  # X5: to itself
        assert try_connect(world.one, "127.0.0.1")
        assert try_connect(world.plain, world.ext.ip4)  # X6
    leaked = [p for p in packets if p.src in addresses(world.one)
              and p.flags & (capture.FLAG_SYN | capture.FLAG_ACK) == capture.FLAG_SYN]
    assert leaked == []

    with world.one.entered():
        waiting = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    waiting.setblocking(False)
    assert waiting.connect_ex((world.ext.ip4, PORT)) == errno.EINPROGRESS  # X7
    world.pa = Probe(world.a)
    for pod in (world.one, world.two):
        world.pa.enroll(pod)
    waiting.settimeout(20)
    greeting(waiting)
    assert_captured(only(world.pa.seen()), "out", world.one.ip4, world.ext.ip4)
    assert all_links(world) == links  # X8
    both_ways(world, world.one)


def test_X9_X10_a_handover_sends_everything_new_to_the_new_proxy(world):
    old = world.pa
    live, _ = connected(world.ext, world.one.ip4)
    live_out, _ = connected(world.one, world.ext.ip4)
    old.seen()
    world.pa = Probe(world.a)
    for pod in (world.one, world.two):
        world.pa.enroll(pod)
    for _ in range(16):
        connected(world.ext, world.one.ip4)[0].close()
        connected(world.one, world.ext.ip4)[0].close()
    assert old.seen() == []
    assert len(world.pa.seen()) == 32
    assert echoes(live) and echoes(live_out)
    live.close()
    live_out.close()
    old.settle()
    old.kill()
    both_ways(world, world.one)


def test_another_number_of_workers_takes_over_too(world):
    for workers in (1, 3, 2):
        world.pa.kill()
        world.pa = Probe(world.a, workers=workers)
        for pod in (world.one, world.two):
            world.pa.enroll(pod)
        both_ways(world, world.one)
        for _ in range(8):
            connected(world.ext, world.one.ip4)[0].close()
        for conn in world.pa.seen():
            assert conn.worker == (conn.src_port >> 1) % workers


# -- leaving ---------------------------------------------------------------------------------------

def traces(pod):
    """What capture leaves in a pod: rules, routes, changed sysctls."""
    found = [line for family in ("-4", "-6")
             for what in (("rule",), ("route", "show", "table", "all"))
             for line in pod.ip(family, *what).splitlines()
             if "0x111" in line or "proto 199" in line]
    with pod.entered():
        for path, default in (("ipv4/tcp_fwmark_accept", "0"), ("ipv4/fwmark_reflect", "0"),
                              ("ipv6/fwmark_reflect", "0"), ("ipv4/tcp_tw_reuse", "2"),
                              ("ipv4/conf/lo/accept_local", "0")):
            with open(f"/proc/sys/net/{path}", encoding="ascii") as f:
                value = f.read().strip()
                if value != default:
                    found.append(f"{path} = {value}")
    return found


def test_U_unenrolling_drains_and_leaves_nothing(world):
    pod = world.a.pod("leaver")
    server = Greeter(pod, PORT)
    pins = len(os.listdir(f"{world.a.bpf_root}/pods"))
    world.pa.enroll(pod)
    live, _ = connected(world.ext, pod.ip4)
    live_out, _ = connected(pod, world.ext.ip4)
    assert len(world.pa.seen()) == 2
    assert traces(pod)

    world.pa.done(f"uncapture {pod.netns}")
    conn, seen_as = connected(world.ext, pod.ip4)  # U1: new ones go past
    assert seen_as == (world.ext.ip4, conn.getsockname()[1])
    conn, seen_as = connected(pod, world.ext.ip4)
    assert seen_as == (pod.ip4, conn.getsockname()[1])
    assert world.pa.seen() == []
    assert echoes(live) and echoes(live_out)  # U2: old ones live

    live.close()
    live_out.close()
    world.pa.release(pod)
    assert traces(pod) == []  # U4
    assert len(os.listdir(f"{world.a.bpf_root}/pods")) == pins
    for src, dst in zip(addresses(pod), addresses(world.ext)):  # U5
        conn, seen_as = connected(pod, dst)
        assert seen_as == (src, conn.getsockname()[1])
    raw = guard_hits(world.pa)
    raw_syn(pod, world.ext.ip4)
    assert guard_hits(world.pa) == raw
    server.close()


def test_U3_rules_removed_at_once_break_live_connections_hence_the_drain(world):
    pod = world.a.pod("hasty")
    server = Greeter(pod, PORT)
    world.pa.enroll(pod)
    live, _ = connected(world.ext, pod.ip4)
    world.pa.seen()
    world.pa.release(pod)
    live.settimeout(1)
    with pytest.raises(OSError):
        echoes(live)
    live.close()
    server.close()


@pytest.mark.limit(90)
def test_what_a_dead_proxy_left_is_swept_by_the_next(world):
    pod = world.a.pod("orphan")
    server = Greeter(pod, PORT)
    world.pa.enroll(pod)
    world.pa.kill()
    world.pa = Probe(world.a)
    for enrolled_pod in (world.one, world.two):
        world.pa.enroll(enrolled_pod)

    assert world.pa.done(f"sweep {pod.netns}")["swept"] == 0  # wanted: stays closed
    assert not try_connect(pod, world.ext.ip4)
    assert not try_connect(world.ext, pod.ip4)

    assert world.pa.done("sweep")["swept"] == 1
    assert traces(pod) == []
    for src, dst in zip(addresses(pod), addresses(world.ext)):
        conn, seen_as = connected(pod, dst)
        assert seen_as == (src, conn.getsockname()[1])
    both_ways(world, world.one)
    server.close()


def test_a_new_pod_under_the_old_name_is_another_pod(world):
    name = world.lab.prefix + "reborn"
    netns.add(name)
    world.pa.done(f"enroll {name}")
    world.pa.done(f"release {name}")
    netns.delete(name)
    netns.add(name)
    world.pa.done(f"enroll {name}")
    world.pa.done(f"release {name}")
    netns.delete(name)


def test_a_failed_enrollment_leaves_nothing(world):
    """No descriptor is left half way through."""
    pod = world.a.pod("unlucky")
    pins = sorted(os.listdir(f"{world.a.bpf_root}/pods"))
    pid = world.pa.process.pid
    used = len(os.listdir(f"/proc/{pid}/fd"))
    for room in range(0, 60):
        subprocess.run(["prlimit", f"--nofile={used + room}:", "--pid", str(pid)], check=True)
        reply = world.pa.ask(f"enroll {pod.netns}")
        if reply["error"] == "OK":
            world.pa.release(pod)
            break
        failed = room + 1
        assert reply["why"], reply
        assert traces(pod) == [], room
        assert sorted(os.listdir(f"{world.a.bpf_root}/pods")) == pins, room
    subprocess.run(["prlimit", "--nofile=20000:", "--pid", str(pid)], check=True)
    assert reply["error"] == "OK", "it never had enough"
    world.pa.ask("counts")
    assert sum(n for (what, _), n in world.pa.refused.items() if what == "enroll") >= failed
    both_ways(world, world.one)


def test_a_socket_that_cannot_be_had_is_counted_and_the_next_one_is_there(world):
    """Descriptors run out between accepting a connection and dialing for it."""
    world.pa.settle()
    pid = world.pa.process.pid
    used = {int(fd) for fd in os.listdir(f"/proc/{pid}/fd")}
    free = next(fd for fd in range(len(used) + 1) if fd not in used)
    subprocess.run(["prlimit", f"--nofile={free + 1}:", "--pid", str(pid)], check=True)
    try:
        assert is_reset(world.one, world.ext.ip4, PORT)
        world.pa.ask("counts")
        assert world.pa.refused["socket", "EMFILE"] >= 1
    finally:
        subprocess.run(["prlimit", "--nofile=20000:", "--pid", str(pid)], check=True)
    world.pa.seen()
    both_ways(world, world.one)
