# SPDX-License-Identifier: Apache-2.0
"""Pods join and leave the mesh while they run."""
import contextlib
import threading

import pytest

import capture
import lab as lab_room
import netns
import talk
from ztunnel import wait_until

PORT = 8080
CLEAN_SECONDS = 30


@pytest.fixture(autouse=True)
def echo_servers(mesh):
    with contextlib.ExitStack() as stack:
        for place in (mesh.plain, mesh.plain_server, mesh.server, mesh.ext):
            stack.enter_context(talk.Server(place, PORT, talk.echo))
        yield


def facts(pod):
    """What enrolling may touch in a pod's namespace."""
    settings = ("net/ipv4/tcp_fwmark_accept", "net/ipv4/fwmark_reflect", "net/ipv6/fwmark_reflect")
    found = {"rules": pod.ip("rule", "list"), "rules6": pod.ip("-6", "rule", "list"),
             "routes": pod.ip("route", "list", "table", "all"),
             "routes6": pod.ip("-6", "route", "list", "table", "all")}
    with pod.entered():
        for name in settings:
            with open(f"/proc/sys/{name}", encoding="ascii") as f:
                found[name] = f.read().strip()
        for table in ("tcp", "tcp6"):
            with open(f"/proc/thread-self/net/{table}", encoding="ascii") as f:
                found[table] = sorted(fields[1] for fields in map(str.split, f)
                                      if fields[3] == "0A")
    return found


@pytest.mark.asan
def test_enrolling_a_running_pod_leaves_its_existing_connections_alone(calm):
    out4 = calm.plain.connect(calm.plain_server.ip4, PORT)
    out6 = calm.plain.connect(calm.plain_server.ip6, PORT)
    into = calm.ext.connect(calm.plain.ip4, PORT)
    stop, failures = threading.Event(), []

    def chat(conn):
        try:
            while not stop.wait(0.02):
                conn.sendall(b"tick")
                talk.read_exactly(conn, 4)
        except OSError as error:
            failures.append(error)
    threads = [threading.Thread(target=chat, args=(c,), daemon=True) for c in (out4, out6, into)]
    for thread in threads:
        thread.start()
    calm.plain.enrolled = calm.plain_server.enrolled = True
    calm.lab.apply()
    with calm.lab.captured(calm.a) as packets:
        talk.ask(calm.plain, calm.plain_server.ip4, PORT, b"a new connection")
    stop.set()
    for thread in threads:
        thread.join(5)
    assert not failures
    opened = {p.dport for p in capture.between(packets, calm.plain.addresses,
                                               calm.plain_server.addresses)
              if p.flags & (capture.FLAG_SYN | capture.FLAG_ACK) == capture.FLAG_SYN}
    assert opened <= {capture.HBONE_PORT}
    assert not any(b"a new connection" in p.payload for p in packets)
    for conn in (out4, out6, into):
        conn.close()


@pytest.mark.asan
def test_unenrolling_leaves_nothing_in_the_pod_and_nothing_pinned(calm):
    wait_until(lambda: "0x111" not in facts(calm.plain)["rules"], CLEAN_SECONDS,
               "what another test enrolled is drained")
    before, pins = facts(calm.plain), calm.a.ztunnel.pins()
    calm.plain.enrolled = True
    calm.lab.apply()
    during = facts(calm.plain)
    assert during["rules"] != before["rules"] and during["tcp6"] != before["tcp6"]
    assert calm.a.ztunnel.pins() != pins
    talk.ask(calm.plain, calm.server.ip4, PORT)
    calm.plain.enrolled = False
    calm.lab.apply()
    wait_until(lambda: facts(calm.plain) == before, CLEAN_SECONDS,
               "the pod is as it was before it was enrolled")
    wait_until(lambda: calm.a.ztunnel.pins() == pins, CLEAN_SECONDS, "the pod's pins are gone")
    assert talk.served(calm.plain, calm.ext.ip4, PORT)
    assert talk.served(calm.ext, calm.plain.ip4, PORT)


def test_a_pod_can_join_and_leave_ten_times(calm):
    pins = calm.a.ztunnel.pins()
    for _ in range(10):
        calm.plain.enrolled = True
        calm.lab.apply()
        assert talk.served(calm.plain, calm.server.ip4, PORT)
        calm.plain.enrolled = False
        calm.lab.apply()
        assert talk.served(calm.plain, calm.ext.ip4, PORT)
    wait_until(lambda: calm.a.ztunnel.pins() == pins, CLEAN_SECONDS, "the pins are gone")


def test_a_pod_made_after_the_start_joins(calm):
    late = calm.b.pod("late")
    calm.lab.apply()
    with talk.Server(late, PORT, talk.echo):
        mark = calm.b.ztunnel.log_size()
        talk.ask(calm.client, late.ip4, PORT)
        line = calm.b.ztunnel.wait_access(mark, direction="inbound")
        assert line["dst.workload"] == "late"
        assert line["src.identity"] == calm.client.identity
    late.enrolled = False
    calm.lab.apply()


def test_a_pod_whose_namespace_is_missing_does_not_disturb_the_others(calm):
    ghost = calm.b.pod("ghost")
    calm.lab.apply()
    ghost.netns += "-not-there"
    calm.lab.write_state()
    calm.b.ztunnel.reload()
    wait_until(lambda: calm.b.ztunnel.metrics().total("workload_manager_pending_proxy_count") == 1,
               CLEAN_SECONDS, "the pod is counted as pending")
    assert talk.served(calm.client, calm.server.ip4, PORT)
    ghost.netns = ghost.netns.removesuffix("-not-there")
    ghost.enrolled = False


@pytest.mark.asan
def test_a_machine_inside_a_pod_speaks_through_the_pods_tunnels_when_its_device_is_named(calm):
    """A bridge of nested machines, as virtual machines have it."""
    pod, inner = calm.a.pod("host-of-one"), lab_room.Place(calm.lab, "inner")
    pod.more["virtualInterfaces"] = "other0, inner0"
    netns.sysctl(pod.netns, lab_room.FORWARDING)
    netns.ip(f"link add inner0 type veth peer name eth0 netns {inner.netns}\n"
             "link set inner0 up\naddr add 192.168.77.1/24 dev inner0\n", pod.netns)
    netns.ip("link set eth0 up\naddr add 192.168.77.2/24 dev eth0\n"
             "route add default via 192.168.77.1\n", inner.netns)
    calm.lab.apply()
    mark = calm.b.ztunnel.log_size()
    talk.ask(inner, calm.server.ip4, PORT)
    line = calm.b.ztunnel.wait_access(mark, direction="inbound")
    assert line["src.identity"] == pod.identity
    pod.enrolled = False
    calm.lab.apply()
