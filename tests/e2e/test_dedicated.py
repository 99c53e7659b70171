# SPDX-License-Identifier: Apache-2.0
"""PROXY_MODE=dedicated: a ztunnel inside one pod, led to by rules that the test makes."""
import os
import socket
import subprocess

import pytest

import netns
import talk
import telemetry
import world
import ztunnel
from ztunnel import wait_until

PORT = 8080
MARK = 1337
RULES = f"""
table inet lead {{
    chain out {{
        type nat hook output priority -100;
        meta mark & 0xfff == {MARK} return
        oifname "lo" return
        meta l4proto tcp redirect to :15001
    }}
    chain in {{
        type nat hook prerouting priority -100;
        tcp dport {{ 15000, 15008, 15020, 15021 }} return
        meta l4proto tcp redirect to :15006
    }}
}}
"""


class Dedicated(ztunnel.Ztunnel):
    """A ztunnel in a pod's own namespace; the node's stays away from the pod."""

    def __init__(self, pod, **more):
        super().__init__(pod.node, {
            "PROXY_MODE": "dedicated", "PACKET_MARK": str(MARK),
            "PROXY_WORKLOAD_INFO": f"{pod.namespace}/{pod.name}/{pod.account}", **more})
        self.pod = pod
        self.log_path = os.path.join(pod.lab.dir, f"ztunnel-in-{pod.name}.log")

    def start(self, wait=True):
        with open(self.log_path, "ab") as log, netns.entered(self.pod.netns):
            self.process = subprocess.Popen([ztunnel.binary(), "proxy"], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, env=self.environment(),
                                            cwd="/", start_new_session=True)
        self.wait_ready()

    def get(self, path, port=telemetry.ADMIN_PORT, **more):
        return telemetry.request(self.pod.netns, port, path, **more)


@pytest.fixture(scope="module")
def own(mesh):
    """Pod plain of node a has a proxy of its own, and speaks HBONE as all others."""
    pod = mesh.plain
    for node in (mesh.a, mesh.b):
        state = world.state(mesh.lab, node)
        for entry in state["workloads"]:
            if entry["name"] == pod.name:
                entry["protocol"] = "HBONE"
        world.write(node.state_path, state)
        node.ztunnel.reload()
    wait_until(lambda: all(w["protocol"] == "HBONE" for w in
                           mesh.b.ztunnel.config_dump()["workloads"] if w["name"] == pod.name),
               20, "node b knows")
    proxy = Dedicated(pod, UNSTABLE_ENABLE_SOCKS5="true")
    proxy.start()
    pod.run(["nft", "-f", "-"], input=RULES)
    with talk.Server(mesh.server, PORT, talk.echo), talk.Server(pod, PORT, talk.echo), \
            talk.Server(mesh.ext, PORT, talk.echo):
        yield proxy
    proxy.end()
    assert not proxy.sanitizer_reports()


@pytest.mark.asan
@pytest.mark.parametrize("family", ["ip4", "ip6"])
def test_what_the_application_opens_is_redirected_and_goes_by_tunnel(mesh, own, family):
    mark, there = own.log_size(), mesh.b.ztunnel.log_size()
    address = getattr(mesh.server, family)
    wait_until(lambda: talk.served(mesh.plain, address, PORT), 30, "it is served")
    line = own.wait_access(mark, direction="outbound")
    assert line["src.identity"] == mesh.plain.identity
    assert line["dst.identity"] == mesh.server.identity
    seen = mesh.b.ztunnel.wait_access(there, direction="inbound")
    assert seen["src.identity"] == mesh.plain.identity


def test_what_is_outside_the_mesh_is_passed_through(mesh, own):
    mark = own.log_size()
    for address in (mesh.ext.ip4, mesh.ext.ip6):
        talk.ask(mesh.plain, address, PORT)
    line = own.wait_access(mark, direction="outbound", **{"dst.addr": f"{mesh.ext.ip4}:{PORT}"})
    assert "dst.identity" not in line


@pytest.mark.asan
@pytest.mark.parametrize("family", ["ip4", "ip6"])
def test_tunnels_of_others_reach_the_application(mesh, own, family):
    mark = own.log_size()
    talk.ask(mesh.server, getattr(mesh.plain, family), PORT)
    line = own.wait_access(mark, direction="inbound")
    assert line["src.identity"] == mesh.server.identity and "dst.hbone_addr" in line


def test_plaintext_from_outside_is_redirected_and_reaches_the_application(mesh, own):
    mark = own.log_size()
    talk.ask(mesh.ext, mesh.plain.ip4, PORT)
    line = own.wait_access(mark, direction="inbound")
    assert line["dst.addr"] == f"{mesh.plain.ip4}:{PORT}" and "src.identity" not in line


@pytest.mark.parametrize("at", ["127.0.0.1", "::1"])
def test_a_dedicated_proxy_serves_socks_clients(mesh, own, at):
    mark = own.log_size()
    with mesh.plain.connect(at, 15080) as conn:
        conn.settimeout(20)
        conn.sendall(b"\5\1\0\5\1\0\1" + socket.inet_aton(mesh.server.ip4)
                     + PORT.to_bytes(2, "big") + b"marco")
        assert talk.read_exactly(conn, 17) == b"\5\0\5\0\0\1\0\0\0\0\0\0marco"
    own.wait_access(mark, direction="outbound", **{"dst.hbone_addr": f"{mesh.server.ip4}:{PORT}"})


def test_the_ports_of_a_dedicated_proxy_lead_nowhere(mesh, own):
    for port in (15001, 15006):
        assert talk.refused(mesh.plain, mesh.plain.ip4, port, b"x")


def test_a_dedicated_proxy_says_so_and_loads_nothing_into_the_kernel(mesh, own):
    dump = own.config_dump()
    assert dump["config"]["proxyMode"] == "dedicated"
    assert [c["identity"] for c in dump["certificates"]] == [mesh.plain.identity]
    links = [os.readlink(f"/proc/{own.process.pid}/fd/{fd}")
             for fd in os.listdir(f"/proc/{own.process.pid}/fd")]
    assert not [link for link in links if "bpf" in link]
    assert own.ready() == (200, "ready\n")
