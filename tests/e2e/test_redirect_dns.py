# SPDX-License-Identifier: Apache-2.0
"""Whose questions to resolvers are captured, and what inner devices bring: the real capture under a probe.

The identifiers in front of the claims are those of the acceptance matrix. The probe answers whatever it is asked
with who asked whom, so that an answer also tells whether it was captured.
"""
import contextlib
import socket
import struct
import threading
import types

import lab as lab_room
import netns
import pytest
from probe import Greeter, Probe, echoes, enrolled, greeting

pytestmark = pytest.mark.asan

DNS = 53
PORT = 8080
DNS_PROXY = 15053
MARK = 36  # SO_MARK


class Resolver:
    """Answers datagrams with b"real" and the port they came to; TCP as well."""

    def __init__(self, place, port=DNS):
        self.asked_by = []
        with place.entered():
            self.udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self.udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        # to answer from the address that was asked, IPv4 and IPv6
        self.udp.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO
        self.udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        self.udp.bind(("::", port))
        self.tcp = place.listen(port)
        threading.Thread(target=self._datagrams, daemon=True).start()
        threading.Thread(target=self._connections, daemon=True).start()

    def _datagrams(self):
        with contextlib.suppress(OSError):
            while True:
                data, control, _, who = self.udp.recvmsg(2048, 256)
                if data == b"stop":
                    return
                self.asked_by.append(who[:2])
                self.udp.sendmsg([b"real"], control, 0, who)

    def _connections(self):
        with contextlib.suppress(OSError):
            while True:
                conn, who = self.tcp.accept()
                self.asked_by.append(who[:2])
                with contextlib.suppress(OSError):
                    conn.sendall(b"real")
                conn.close()

    def close(self):
        self.udp.close()
        self.tcp.shutdown(socket.SHUT_RDWR)
        self.tcp.close()


@pytest.fixture(scope="module")
def world():
    """one is enrolled, plain is not; ext is off the mesh and a resolver."""
    lab_room.ensure_bpffs()
    with lab_room.Lab() as lab:
        a = lab.node("a")
        w = types.SimpleNamespace(lab=lab, a=a, one=a.pod("one"), plain=a.pod("plain"),
                                  ext=lab.host("ext"))
        w.resolver = Resolver(w.ext)
        w.server = Greeter(w.ext, PORT)
        with w.one.entered():
            w.early = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        w.early.connect((w.ext.ip4, DNS))
        assert asked(w.early) == b"real"
        w.pa = Probe(a)
        w.pa.enroll(w.one)
        yield w


@pytest.fixture(autouse=True)
def unread(world):
    world.pa.seen()
    world.resolver.asked_by.clear()


def addresses(place):
    return (place.ip4, place.ip6)


def only(conns):
    assert len(conns) == 1, conns
    return conns[0]


def datagram_socket(place, dst, prepare=None):
    family = socket.AF_INET6 if ":" in dst else socket.AF_INET
    with place.entered():
        s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(5)
    if prepare:
        prepare(s)
    return s


def asked(s, question=b"who?"):
    """What a connected socket is answered."""
    s.settimeout(5)
    s.send(question)
    return s.recv(2048)


def text_of(address, port):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def said(src, src_port, dst):
    return f"{text_of(src, src_port)} asked {text_of(dst, DNS)}\n".encode()


def is_answered(place, dst, timeout=1):
    with contextlib.closing(datagram_socket(place, dst)) as s:
        s.settimeout(timeout)
        s.connect((dst, DNS))
        s.send(b"anyone?")
        try:
            return bool(s.recv(100))
        except OSError:
            return False


# -- datagrams ----------------------------------------------------------------------------

def test_D1_D3_an_unconnected_question_is_captured_and_answered_by_the_resolver_asked(world):
    for src, dst in zip(addresses(world.one), addresses(world.ext)):
        with contextlib.closing(datagram_socket(world.one, dst)) as s:
            s.sendto(b"who?", (dst, DNS))
            answer, who = s.recvfrom(2048)
            assert who[:2] == (dst, DNS)
            assert answer == said(src, s.getsockname()[1], dst)
        caught = only(world.pa.seen())
        assert (caught.kind, caught.src, caught.dst, caught.dst_port) == ("dns-udp", src, dst, DNS)
    assert world.resolver.asked_by == []


def test_D2_D4_a_connected_question_is_captured_and_its_names_are_true(world):
    for src, dst in zip(addresses(world.one), addresses(world.ext)):
        with contextlib.closing(datagram_socket(world.one, dst)) as s:
            s.connect((dst, DNS))
            assert s.getpeername()[:2] == (dst, DNS)
            assert s.getsockname()[0] == src
            assert asked(s) == said(src, s.getsockname()[1], dst)
        assert only(world.pa.seen()).kind == "dns-udp"


def test_D5_a_mapped_question_is_captured_as_v4(world):
    with world.one.entered():
        s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.settimeout(5)
    s.sendto(b"who?", (f"::ffff:{world.ext.ip4}", DNS))
    answer, who = s.recvfrom(2048)
    assert who[:2] == (f"::ffff:{world.ext.ip4}", DNS)
    assert answer == said(world.one.ip4, s.getsockname()[1], world.ext.ip4)
    s.close()


def test_D6_one_socket_asking_three_resolvers_hears_each_by_its_own_name(world):
    resolvers = [world.ext.ip4, "198.51.100.7", "10.96.0.10"]
    with contextlib.closing(datagram_socket(world.one, world.ext.ip4)) as s:
        for r in resolvers:
            s.sendto(b"who?", (r, DNS))
        heard = {}
        for _ in resolvers:
            answer, who = s.recvfrom(2048)
            heard[who[0]] = answer
        port = s.getsockname()[1]
    assert heard == {r: said(world.one.ip4, port, r) for r in resolvers}


def test_D7_a_question_by_TCP_is_captured_and_its_names_are_true(world):
    for src, dst in zip(addresses(world.one), addresses(world.ext)):
        with contextlib.closing(world.one.connect(dst, DNS)) as conn:
            assert conn.getpeername()[:2] == (dst, DNS)
            assert conn.recv(2048) == said(src, conn.getsockname()[1], dst)
        assert only(world.pa.seen()).kind == "dns-tcp"
    assert world.resolver.asked_by == []


def test_D8_datagrams_to_other_ports_are_untouched(world):
    other = Resolver(world.ext, 5353)
    for src, dst in zip(addresses(world.one), addresses(world.ext)):
        with contextlib.closing(datagram_socket(world.one, dst)) as s:
            s.connect((dst, 5353))
            assert asked(s) == b"real"
    other.close()
    assert world.pa.seen() == []


def test_D9_a_pod_that_is_not_enrolled_asks_undisturbed(world):
    for src, dst in zip(addresses(world.plain), addresses(world.ext)):
        with contextlib.closing(datagram_socket(world.plain, dst)) as s:
            s.connect((dst, DNS))
            assert asked(s) == b"real"
    assert world.pa.seen() == []


def test_D10_a_question_of_a_device_bound_socket_is_captured(world):
    def bind(s):
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
    for src, dst in zip(addresses(world.one), addresses(world.ext)):
        with contextlib.closing(datagram_socket(world.one, dst, bind)) as s:
            s.connect((dst, DNS))
            assert asked(s) == said(src, s.getsockname()[1], dst)
        assert only(world.pa.seen()).kind == "dns-udp"


def test_a_socket_connected_before_enrollment_is_captured_from_then_on(world):
    local = world.early.getsockname()
    assert asked(world.early) == said(world.one.ip4, local[1], world.ext.ip4)
    assert world.early.getsockname() == local
    assert only(world.pa.seen()).kind == "dns-udp"


def test_a_bound_source_port_and_address_stay(world):
    for src, dst in zip(addresses(world.one), addresses(world.ext)):
        with contextlib.closing(datagram_socket(
                world.one, dst, lambda s, src=src: s.bind((src, 40053)))) as s:
            s.connect((dst, DNS))
            assert asked(s) == said(src, 40053, dst)


def test_marks_of_an_application_do_not_matter(world):
    def marked(mark):
        return lambda s: s.setsockopt(socket.SOL_SOCKET, MARK, struct.pack("I", mark))
    for mark in (0x539, 0x111, 0x1, 0xABC00000, 0xFFF):
        for src, dst in zip(addresses(world.one), addresses(world.ext)):
            with contextlib.closing(datagram_socket(world.one, dst, marked(mark))) as s:
                s.connect((dst, DNS))
                assert asked(s) == said(src, s.getsockname()[1], dst), hex(mark)


def test_the_proxys_own_questions_are_not_captured(world):
    for how in ("udp", "tcp"):
        for dst in addresses(world.ext):
            reply = world.pa.done(f"resolve {world.one.netns} {how} {text_of(dst, DNS)}")
            assert reply["got"] == "real"
    assert world.pa.seen() == []
    assert {who[0].removeprefix("::ffff:") for who in world.resolver.asked_by} == set(
        addresses(world.one))


def test_strict_reverse_path_filters_stop_neither_questions_nor_the_proxys_own(world):
    pod = world.a.pod("strict")
    netns.sysctl(pod.netns, {f"net/ipv4/conf/{d}/rp_filter": 1
                             for d in ("all", "default", "lo", "eth0")})
    with enrolled(world, pod):
        for dst in addresses(world.ext):
            assert is_captured(pod, dst)
        for how in ("udp", "tcp"):
            reply = world.pa.done(f"resolve {pod.netns} {how} {text_of(world.ext.ip4, DNS)}")
            assert reply["got"] == "real"


def test_conntrack_that_drops_the_invalid_does_not_hurt(world):
    world.one.run(["nft", "-f", "-"], input=(
        "table inet strict {\n"
        " chain in { type filter hook input priority 0; ct state invalid drop; }\n"
        " chain out { type filter hook output priority 0; ct state invalid drop; }\n}\n"))
    try:
        for dst in addresses(world.ext):
            assert is_captured(world.one, dst)
    finally:
        world.one.run(["nft", "delete", "table", "inet", "strict"])


def test_questions_by_a_device_that_came_after_enrollment_are_captured(world):
    pod, beyond = world.a.pod("grows"), lab_room.Place(world.lab, "beyond")
    resolver = Resolver(beyond)
    with enrolled(world, pod):
        netns.ip(f"link add net1 type veth peer name eth0 netns {beyond.netns}\n"
                 "link set net1 up\naddr add 192.168.79.1/24 dev net1\n", pod.netns)
        netns.ip("link set eth0 up\naddr add 192.168.79.2/24 dev eth0\n", beyond.netns)
        world.pa.seen()  # the probe has looked at its namespaces since
        assert is_captured(pod, "192.168.79.2")
    resolver.close()


# -- resolvers inside the pod ----------------------------------------------------------------

def test_a_resolver_inside_the_pod_is_its_own_and_others(world):
    inner = Resolver(world.one)  # port 53 of every address: nothing of ours is in its way
    try:
        for dst in ("127.0.0.1", "127.0.0.53", "::1", world.one.ip4, world.one.ip6):
            with contextlib.closing(datagram_socket(world.one, dst)) as s:
                s.connect((dst, DNS))
                assert asked(s) == b"real", dst
        for dst in addresses(world.one):
            with contextlib.closing(datagram_socket(world.ext, dst)) as s:
                s.connect((dst, DNS))
                assert asked(s) == b"real", dst
        assert world.pa.seen() == []
        for src, dst in zip(addresses(world.one), addresses(world.ext)):
            with contextlib.closing(datagram_socket(world.one, dst)) as s:
                s.connect((dst, DNS))
                assert asked(s) == said(src, s.getsockname()[1], dst)
    finally:
        inner.close()


def test_the_proxy_answers_at_its_port_on_loopback_and_nowhere_else(world):
    for dst in ("127.0.0.1", "::1"):
        with contextlib.closing(datagram_socket(world.one, dst)) as s:
            s.connect((dst, DNS_PROXY))
            assert b" asked " in asked(s)
        with contextlib.closing(world.one.connect(dst, DNS_PROXY)) as conn:
            assert b" asked " in conn.recv(2048)
    world.pa.seen()
    for dst in addresses(world.one):
        with contextlib.closing(datagram_socket(world.ext, dst)) as s:
            s.connect((dst, DNS_PROXY))
            s.send(b"anyone?")
            with pytest.raises(ConnectionRefusedError):
                s.recv(100)
    assert world.pa.seen() == []


def is_captured(pod, dst):
    with contextlib.closing(datagram_socket(pod, dst)) as s:
        s.connect((dst, DNS))
        by_udp = asked(s) != b"real"
    with contextlib.closing(pod.connect(dst, DNS)) as conn:
        by_tcp = conn.recv(2048) != b"real"
    assert by_udp == by_tcp
    return by_udp


def test_a_port_15053_taken_by_the_application_does_not_matter(world):
    pod = world.a.pod("taken")
    held = [datagram_socket(pod, "127.0.0.1", lambda s: s.bind(("127.0.0.1", DNS_PROXY))),
            pod.listen(DNS_PROXY, "127.0.0.1")]
    with enrolled(world, pod):
        for dst in addresses(world.ext):
            assert is_captured(pod, dst)
    for s in held:
        s.close()


def test_a_pod_without_an_IPv6_loopback_is_captured(world):
    pod = world.a.pod("no-loopback6")
    netns.ip("addr del ::1/128 dev lo\n", pod.netns)
    with enrolled(world, pod):
        for dst in addresses(world.ext):
            assert is_captured(pod, dst)


def test_with_IPv6_switched_off_on_loopback_v4_is_captured_and_v6_does_not_leave(world):
    pod = world.a.pod("lo-off")
    netns.sysctl(pod.netns, {"net/ipv6/conf/lo/disable_ipv6": 1})
    with enrolled(world, pod):
        assert is_captured(pod, world.ext.ip4)
        with contextlib.closing(datagram_socket(pod, world.ext.ip6)) as s:
            s.settimeout(1)
            with pytest.raises(OSError):
                s.connect((world.ext.ip6, DNS))
                s.send(b"anyone?")
                s.recv(100)
        with pytest.raises(OSError):
            pod.connect(world.ext.ip6, PORT, 1)
    assert (pod.ip6, DNS) not in world.resolver.asked_by
    assert not any(who[0] == pod.ip6 for who in world.resolver.asked_by)
    assert not is_captured(pod, world.ext.ip6)


def test_without_IPv6_v4_is_captured(world):
    pod = world.a.pod("four")
    netns.sysctl(pod.netns, {"net/ipv6/conf/all/disable_ipv6": 1})
    with enrolled(world, pod):
        assert is_captured(pod, world.ext.ip4)


def test_a_proxy_told_to_do_without_IPv6_captures_v4_and_lets_no_v6_past(world):
    pod = world.a.pod("v4-proxy")
    node = types.SimpleNamespace(bpf_root=f"{world.a.bpf_root}-v4", popen=world.a.popen)
    p = Probe(node, v4only=True)
    server = Greeter(pod, PORT)
    p.enroll(pod)
    try:
        assert is_captured(pod, world.ext.ip4)
        with contextlib.closing(pod.connect(world.ext.ip4, PORT)) as conn:
            greeting(conn)
        with contextlib.closing(world.ext.connect(pod.ip4, PORT)) as conn:
            greeting(conn)
        assert [c.kind for c in p.seen()] == ["dns-udp", "dns-tcp", "out", "inplain"]
        for place, dst in ((pod, world.ext.ip6), (world.ext, pod.ip6)):
            with pytest.raises(OSError):
                place.connect(dst, PORT, 1)
        assert not is_answered(pod, world.ext.ip6)
    finally:
        p.release(pod)
        p.kill()
        server.close()
    assert not any(who[0] == pod.ip6 for who in world.resolver.asked_by)


@pytest.mark.parametrize(("guard", "clsact"), [("off", False), ("count", True), ("off", True)])
def test_questions_are_captured_whatever_the_guard_does_and_by_clsact_too(world, guard, clsact):
    pod = world.a.pod(f"guard-{guard}-{clsact}")
    node = types.SimpleNamespace(bpf_root=f"{world.a.bpf_root}-{guard}-{clsact}",
                                 popen=world.a.popen)
    p = Probe(node, guard=guard, clsact=clsact)
    p.enroll(pod)
    for dst in addresses(world.ext):
        assert is_captured(pod, dst)
        reply = p.done(f"resolve {pod.netns} udp {text_of(dst, DNS)}")
        assert reply["got"] == "real"
    p.release(pod)
    for dst in addresses(world.ext):
        assert not is_captured(pod, dst)
    p.kill()


# -- on and off ---------------------------------------------------------------------------------

def test_a_pod_that_opted_out_asks_its_resolvers_itself(world):
    pod = world.a.pod("opted-out")
    with enrolled(world, pod, "nodns"):
        for dst in addresses(world.ext):
            with contextlib.closing(datagram_socket(pod, dst)) as s:
                s.connect((dst, DNS))
                assert asked(s) == b"real"
            with contextlib.closing(pod.connect(dst, DNS)) as conn:
                assert conn.recv(2048) == b"real"
            assert only(world.pa.seen()).kind == "out"  # TCP to port 53 is TCP as any other


def test_opting_out_and_in_takes_effect_in_a_running_pod(world):
    pod = world.a.pod("changes")
    with enrolled(world, pod):
        for _ in range(2):
            assert is_captured(pod, world.ext.ip4)
            world.pa.enroll(pod, "nodns replace")
            assert not is_captured(pod, world.ext.ip4)
            assert not is_captured(pod, world.ext.ip6)
            world.pa.enroll(pod, "replace")
            assert is_captured(pod, world.ext.ip6)


def test_after_release_questions_go_to_the_resolver_and_nothing_is_left(world):
    pod = world.a.pod("leaver")
    with enrolled(world, pod):
        assert is_captured(pod, world.ext.ip4)
    for dst in addresses(world.ext):
        assert not is_captured(pod, dst)
    for table in ("udp", "udp6", "raw", "raw6"):
        with pod.entered(), open(f"/proc/thread-self/net/{table}", encoding="ascii") as f:
            assert len(f.readlines()) <= 2, table  # the heading, and a socket of this test


def test_uncapture_opens_the_way_at_once(world):
    pod = world.a.pod("going")
    world.pa.enroll(pod)
    assert is_captured(pod, world.ext.ip4)
    world.pa.done(f"uncapture {pod.netns}")
    for dst in addresses(world.ext):
        assert not is_captured(pod, dst)
    world.pa.release(pod)


# -- the proxy goes away --------------------------------------------------------------------------

def test_X_without_a_proxy_questions_are_not_answered_and_the_next_proxy_answers(world):
    world.pa.kill()
    for dst in addresses(world.ext):
        assert not is_answered(world.one, dst)
    with pytest.raises(OSError):
        world.one.connect(world.ext.ip6, DNS, 2)
    assert world.resolver.asked_by == []  # closed, not open
    world.pa = Probe(world.a)
    world.pa.enroll(world.one)
    for dst in addresses(world.ext):
        assert is_captured(world.one, dst)


def test_a_handover_sends_every_new_question_to_the_new_proxy(world):
    old = world.pa
    world.pa = Probe(world.a)
    world.pa.enroll(world.one)
    for _ in range(16):
        assert is_captured(world.one, world.ext.ip4)
    assert old.seen() == []
    assert len(world.pa.seen()) == 32
    old.kill()
    assert is_captured(world.one, world.ext.ip6)


def test_a_dead_proxys_capture_of_a_pod_nobody_wants_is_swept(world):
    pod = world.a.pod("orphan")
    world.pa.enroll(pod)
    world.pa.kill()
    world.pa = Probe(world.a)
    world.pa.enroll(world.one)
    assert not is_answered(pod, world.ext.ip4)
    assert world.pa.done("sweep")["swept"] == 1
    assert not is_captured(pod, world.ext.ip4)


# -- inner devices: bridges of nested machines ------------------------------------------------------

INNER = "inner0"


@pytest.fixture
def nested(world):
    """A pod that routes for a machine of its own, behind device inner0."""
    pod = world.a.pod("host-of-one")
    inner = lab_room.Place(world.lab, "inner")
    netns.ip(f"link add {INNER} type veth peer name eth0 netns {inner.netns}\n"
             f"link set {INNER} up\naddr add 192.168.77.1/24 dev {INNER}\n"
             f"addr add fd00:77:1::1/64 dev {INNER} nodad\n", pod.netns)
    netns.ip("link set eth0 up\naddr add 192.168.77.2/24 dev eth0\n"
             "addr add fd00:77:1::2/64 dev eth0 nodad\n"
             "route add default via 192.168.77.1\nroute add default via fd00:77:1::1\n",
             inner.netns)
    netns.sysctl(pod.netns, lab_room.FORWARDING)
    inner.ip4, inner.ip6 = "192.168.77.2", "fd00:77:1::2"
    yield types.SimpleNamespace(pod=pod, inner=inner)
    netns.ip(f"link del {INNER}\n", pod.netns)
    netns.delete(inner.netns)
    netns.delete(pod.netns)


def test_V1_what_an_undeclared_device_brings_is_dropped_by_the_guard(world, nested):
    with enrolled(world, nested.pod):
        hits = world.pa.ask("counts")["guard_hits"]
        with world.lab.captured(world.a) as packets:
            with pytest.raises(OSError):
                nested.inner.connect(world.ext.ip4, PORT, 1)
        assert world.pa.ask("counts")["guard_hits"] > hits
        assert not any(p.src == nested.inner.ip4 for p in packets)
        assert world.pa.seen() == []


def assert_nested_is_captured(world, nested):
    for src, dst in zip(addresses(nested.inner), addresses(world.ext)):
        with contextlib.closing(nested.inner.connect(dst, PORT)) as conn:
            seen_as = greeting(conn)
            assert echoes(conn)
        caught = only(world.pa.seen())
        assert (caught.kind, caught.src, caught.dst) == ("out", src, dst)  # V2
        assert seen_as[0] in addresses(nested.pod)
        with contextlib.closing(datagram_socket(nested.inner, dst)) as s:  # V3
            s.connect((dst, DNS))
            assert asked(s) == said(src, s.getsockname()[1], dst)
        with contextlib.closing(nested.inner.connect(dst, DNS)) as conn:
            assert conn.recv(2048) == said(src, conn.getsockname()[1], dst)
        assert {c.kind for c in world.pa.seen()} == {"dns-udp", "dns-tcp"}


def test_V2_V3_V4_what_a_declared_device_brings_is_the_pods_own(world, nested):
    with enrolled(world, nested.pod, f"virt={INNER}"):
        assert_nested_is_captured(world, nested)
        for src, dst in zip(addresses(nested.pod), addresses(world.ext)):  # V4
            with contextlib.closing(nested.pod.connect(dst, PORT)) as conn:
                greeting(conn)
            caught = only(world.pa.seen())
            assert (caught.kind, caught.src) == ("out", src)


def test_a_declared_device_may_come_after_enrollment(world):
    pod = world.a.pod("expects-one")
    with enrolled(world, pod, f"virt={INNER}"):
        inner = lab_room.Place(world.lab, "late-inner")
        netns.sysctl(pod.netns, lab_room.FORWARDING)
        netns.ip(f"link add {INNER} type veth peer name eth0 netns {inner.netns}\n"
                 f"link set {INNER} up\naddr add 192.168.78.1/24 dev {INNER}\n", pod.netns)
        netns.ip("link set eth0 up\naddr add 192.168.78.2/24 dev eth0\n"
                 "route add default via 192.168.78.1\n", inner.netns)
        world.pa.seen()  # the probe has looked at its namespaces since
        with contextlib.closing(inner.connect(world.ext.ip4, PORT)) as conn:
            greeting(conn)
        assert only(world.pa.seen()).kind == "out"


def test_a_device_name_that_cannot_be_one_is_refused(world):
    pod = world.a.pod("misnamed")
    reply = world.pa.ask(f"enroll {pod.netns} virt={'x' * 16}")
    assert reply["error"] == "CONFIG"
    assert "inner device" in reply["why"]
