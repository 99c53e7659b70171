# SPDX-License-Identifier: Apache-2.0
"""How the process starts, says that it is well, and ends."""
import contextlib
import ctypes
import fcntl
import http.client
import os
import re
import resource
import signal
import struct
import termios
import threading

import pytest

import hbone_peer
import netns
import pprof_reader
import talk
import telemetry
import world
from ztunnel import wait_until

PORT = 8080
ZTUNNEL_ENV = {"CULVERT_STALL_TIMEOUT": "1500ms"}
LAST_STREAM_MAX = (1 << 31) - 1
GOAWAY, DATA = 7, 0

PTRACE_CONT, PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 7, 17, 0x4206, 0x4207
WALL = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


@pytest.fixture(autouse=True)
def fresh(calm):
    """No test inherits a ztunnel that another one has asked to end."""
    yield
    for node in (calm.a, calm.b):
        said = node.ztunnel.log_text()
        if node.ztunnel.running() and said.rfind("shutting down") > said.rfind("ztunnel starts"):
            node.ztunnel.end()


def threads(zt):
    """Thread names by id."""
    found = {}
    for tid in os.listdir(f"/proc/{zt.process.pid}/task"):
        with open(f"/proc/{zt.process.pid}/task/{tid}/comm", encoding="ascii") as f:
            found[int(tid)] = f.read().strip()
    return found


@contextlib.contextmanager
def wedged(tid):
    """One thread, and only that one, stands still for the length of the block."""
    def trace(request):
        if libc.ptrace(request, tid, None, None) != 0:
            raise OSError(ctypes.get_errno(), "ptrace")
    trace(PTRACE_SEIZE)
    trace(PTRACE_INTERRUPT)
    os.waitpid(tid, WALL)
    try:
        yield
    finally:
        trace(PTRACE_DETACH)


def probe(zt):
    """Status and text of the readiness page, None while nobody answers it."""
    conn = telemetry.Http(zt.node.netns, "127.0.0.1", telemetry.READY_PORT, timeout=1)
    try:
        conn.request("GET", "/healthz/ready")
        answer = conn.getresponse()
        return answer.status, answer.read().decode()
    except OSError:
        return None
    finally:
        conn.close()


def test_a_worker_that_does_not_turn_makes_the_node_unready_until_it_turns_again(calm):
    zt = calm.a.ztunnel
    tid = next(t for t, name in threads(zt).items() if name == "ztunnel-1")
    assert probe(zt) == (200, "ready\n")
    with wedged(tid):
        wait_until(lambda: probe(zt) == (500, "not ready, stalled: worker 1\n"), 30,
                   "the other worker says so")
        assert zt.metrics().total("culvert_workers_stalled") == 1
        answers = {probe(zt) for _ in range(8)}
        assert (200, "ready\n") not in answers
    wait_until(lambda: probe(zt) == (200, "ready\n"), 30, "it is ready again")
    wait_until(lambda: zt.metrics().total("culvert_workers_stalled") == 0, 10, "and counted so")
    assert "a worker does not turn" in zt.log_text()


class Frames:
    """What a TLS connection carries, frame by frame, whatever HTTP/2 libraries think of it."""

    def __init__(self, tls):
        self.tls, self.buffer = tls, b""

    def _need(self, size):
        while len(self.buffer) < size:
            part = self.tls.recv(65536)
            if not part:
                raise ConnectionError("the peer closed the connection")
            self.buffer += part

    def next(self):
        """(type, flags, stream, payload)"""
        self._need(9)
        size = int.from_bytes(self.buffer[:3], "big")
        self._need(9 + size)
        kind, flags = self.buffer[3], self.buffer[4]
        stream = int.from_bytes(self.buffer[5:9], "big") & LAST_STREAM_MAX
        payload, self.buffer = self.buffer[9:9 + size], self.buffer[9 + size:]
        return kind, flags, stream, payload

    def until(self, wanted):
        while True:
            frame = self.next()
            if frame[0] == wanted:
                return frame


@pytest.mark.asan
def test_sigterm_sends_a_goaway_that_refuses_nothing_yet_and_then_the_last_one(calm):
    """RFC 9113 section 6.8: the first with the largest id, the second with the real one."""
    tls = hbone_peer.context_as(calm.lab, world.identity("default", "client"))
    zt = calm.b.ztunnel
    with talk.Server(calm.server, PORT, talk.echo), \
            hbone_peer.Tunnel(calm.ext, calm.server.ip4, tls) as tunnel:
        stream, status = tunnel.connect(f"{calm.server.ip4}:{PORT}")
        assert status == 200
        frames = Frames(tunnel.tls)
        zt.process.send_signal(signal.SIGTERM)
        first = struct.unpack("!II", frames.until(GOAWAY)[3][:8])
        assert first == (LAST_STREAM_MAX, 0), "the first one is a warning"
        late = tunnel.request([(":method", "CONNECT"), (":authority",
                                                       f"{calm.server.ip4}:{PORT}")])
        last = struct.unpack("!II", frames.until(GOAWAY)[3][:8])
        assert last == (late, 0), "what was on its way is served, and nothing above"
        tunnel.send(stream, b"still served")
        kind, _, of, payload = frames.until(DATA)
        assert (of, payload) == (stream, b"still served")
        for number in (stream, late):
            tunnel.h2.end_stream(number)
        tunnel.flush()
        with pytest.raises((ConnectionError, OSError)):
            while True:
                frames.next()
    assert zt.process.wait(30) == 0


@pytest.mark.asan
def test_a_second_sigint_ends_at_once_with_status_0(calm):
    zt = calm.a.ztunnel
    with talk.Server(calm.server, PORT, talk.echo):
        with calm.client.connect(calm.server.ip4, PORT) as conn:
            conn.sendall(b"x")
            talk.read_exactly(conn, 1)
            mark = zt.log_size()
            zt.process.send_signal(signal.SIGINT)
            wait_until(lambda: "shutting down" in zt.log_text(mark), 10, "the drain has begun")
            assert zt.running(), "there is a connection to wait for"
            zt.process.send_signal(signal.SIGINT)
            assert zt.process.wait(8) == 0, "the grace period is 10 s"
            assert talk.ending(conn) in ("fin", "reset")


def listeners(zt):
    """Address and port of every listening socket in the node's own namespace."""
    found = set()
    for line in zt.node.run(["ss", "-Hltn"]).stdout.splitlines():
        address, port = line.split()[3].rsplit(":", 1)
        found.add((address, int(port)))
    return found


@contextlib.contextmanager
def restarted(node, **env):
    """The node's ztunnel with a changed environment; as before afterwards."""
    zt, before = node.ztunnel, dict(node.ztunnel.extra_env)
    zt.end()
    zt.extra_env.update(env)
    try:
        zt.start()
        yield zt
    finally:
        zt.extra_env = before
        zt.end()
        zt.start()


@pytest.mark.parametrize("family", ["ip4", "ip6"])
def test_metrics_and_readiness_answer_other_hosts_and_admin_does_not(mesh, family):
    address = getattr(mesh.a, family)
    status, _, text = telemetry.request(mesh.ext.netns, telemetry.METRICS_PORT, "/metrics",
                                        host=address)
    assert status == 200 and text.endswith("# EOF\n")
    status, _, text = telemetry.request(mesh.ext.netns, telemetry.READY_PORT, "/healthz/ready",
                                        host=address)
    assert (status, text) == (200, "ready\n")
    for place in (mesh.ext, mesh.a):
        with pytest.raises(ConnectionRefusedError):
            telemetry.request(place.netns, telemetry.ADMIN_PORT, "/config_dump", host=address)


def test_without_ipv6_everything_is_bound_to_ipv4_and_ipv6_of_pods_is_refused(calm):
    with restarted(calm.a, IPV6_ENABLED="false") as zt, \
            talk.Server(calm.server, PORT, talk.echo), talk.Server(calm.ext, PORT, talk.echo) as ext:
        assert {("127.0.0.1", 15000), ("0.0.0.0", 15020), ("0.0.0.0", 15021)} == listeners(zt)
        wait_until(lambda: talk.served(calm.client, calm.server.ip4, PORT), 30, "IPv4 works")
        assert talk.served(calm.client, calm.ext.ip4, PORT)
        known = len(ext.peers)
        assert not talk.served(calm.client, calm.server.ip6, PORT, timeout=2)
        assert not talk.served(calm.client, calm.ext.ip6, PORT, timeout=2)
        assert len(ext.peers) == known, "it left past the proxy"


def test_without_an_ipv6_loopback_it_starts_and_serves_ipv6_all_the_same(calm):
    with contextlib.ExitStack() as stack:
        netns.sysctl(calm.a.netns, {"net/ipv6/conf/lo/disable_ipv6": 1})
        stack.callback(netns.sysctl, calm.a.netns, {"net/ipv6/conf/lo/disable_ipv6": 0})
        zt = stack.enter_context(restarted(calm.a))
        bound = listeners(zt)
        assert ("127.0.0.1", 15000) in bound and ("[::1]", 15000) not in bound
        assert "no IPv6 loopback" in zt.log_text()
        with talk.Server(calm.server, PORT, talk.echo):
            wait_until(lambda: talk.served(calm.client, calm.server.ip6, PORT), 30, "IPv6 works")


def test_ports_an_application_has_inside_a_pod_are_left_to_it_and_the_pod_is_served(calm):
    pod = calm.b.pod("busy")
    with contextlib.ExitStack() as stack:
        own = {port: stack.enter_context(talk.Server(pod, port, talk.named(f"own {port}")))
               for port in (15001, 15006, 15008, PORT)}
        calm.lab.apply()
        with calm.client.connect(pod.ip4, PORT) as conn:
            assert talk.read_all(conn) == b"own 8080"
        calm.b.ztunnel.wait_access(dst__hbone_addr=f"{pod.ip4}:{PORT}")
        for port in (15001, 15006, 15008):
            with pod.connect("127.0.0.1", port) as conn:
                assert talk.read_all(conn) == b"own %d" % port
        assert [len(own[port].peers) for port in (15001, 15006, 15008)] == [1, 1, 1]
        assert calm.b.ztunnel.metrics().total("workload_manager_pending_proxy_count") == 0


@pytest.mark.parametrize("env, count", [
    ({"ZTUNNEL_WORKER_THREADS": "3"}, 3),
    ({"ZTUNNEL_WORKER_THREADS": "50%", "ZTUNNEL_CPU_LIMIT": "8"}, 4),
])
def test_as_many_workers_run_as_asked_for_and_carry_names(calm, env, count):
    with restarted(calm.a, **env) as zt:
        names = sorted(name for name in threads(zt).values() if re.fullmatch(r"ztunnel-\d+", name))
        assert names == [f"ztunnel-{n}" for n in range(count)]


def test_the_limit_of_descriptors_is_raised_to_the_hard_one(calm):
    zt = calm.a.ztunnel
    zt.end()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    try:
        zt.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert resource.prlimit(zt.process.pid, resource.RLIMIT_NOFILE) == (hard, hard)
    assert zt.metrics().total("process_max_fds") == hard


@pytest.mark.asan
def test_while_nobody_reads_the_log_traffic_flows_and_the_lines_come_when_somebody_does(calm):
    """Up to the 10,000 lines the queue holds; what comes above is dropped and counted (decision 12)."""
    zt = calm.a.ztunnel
    zt.end()
    usual, zt.log_path = zt.log_path, os.path.join(calm.lab.dir, "log-pipe")
    os.mkfifo(zt.log_path)
    reader = os.open(zt.log_path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        zt.start(wait=False)
        fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
        with talk.Server(calm.server, PORT, talk.echo):
            wait_until(lambda: talk.served(calm.client, calm.server.ip4, PORT), 30, "it serves")
            for _ in range(300):
                talk.ask(calm.client, calm.server.ip4, PORT, timeout=10)
        waiting = struct.unpack("i", fcntl.ioctl(reader, termios.FIONREAD, b"\0" * 4))[0]
        assert 2048 < waiting <= 4096, "the pipe was full all the time"
        seen = b""

        def lines():
            nonlocal seen
            with contextlib.suppress(BlockingIOError):
                seen += os.read(reader, 65536)
            return seen.count(b'direction="outbound"')
        wait_until(lambda: lines() >= 301, 30, "every connection has its line", interval=0.001)
        assert zt.metrics().total("culvert_log_lines_dropped_total") == 0
    finally:
        zt.process.kill()
        zt.process.wait()
        os.close(reader)
        zt.log_path = usual


def profile(zt, query, timeout=30):
    conn = telemetry.Http(zt.node.netns, "127.0.0.1", telemetry.ADMIN_PORT, timeout=timeout)
    try:
        conn.request("GET", "/debug/pprof/profile" + query)
        answer = conn.getresponse()
        return answer.status, answer.read()
    finally:
        conn.close()


def test_a_profile_names_the_threads_that_worked_and_the_program_they_are_in(mesh):
    zt, stop = mesh.a.ztunnel, threading.Event()

    def work():
        while not stop.is_set():
            talk.ask(mesh.client, mesh.server.ip4, PORT)
    with talk.Server(mesh.server, PORT, talk.echo):
        worker = threading.Thread(target=work, daemon=True)
        worker.start()
        try:
            status, body = profile(zt, "?seconds=2&frequency=1000")
            assert probe(zt) == (200, "ready\n")
        finally:
            stop.set()
            worker.join(20)
    assert status == 200
    taken = pprof_reader.Profile(body)
    assert taken.types == [("samples", "count"), ("cpu", "nanoseconds")]
    assert taken.period_ns == 10 ** 6 and 1.9e9 < taken.duration_ns < 2e10
    assert samplers(zt) == 0
    assert any(thread.startswith("ztunnel-") for thread, *_ in taken.samples)
    assert any(file.endswith("/ztunnel") for _, file, *_ in taken.samples)
    assert all(count >= 1 and ns == count * 10 ** 6 for *_, count, ns in taken.samples)


@pytest.mark.parametrize("query", ["?seconds=0", "?seconds=301", "?frequency=1001", "?seconds=x"])
def test_a_profile_nobody_can_take_is_refused(mesh, query):
    status, text = profile(mesh.a.ztunnel, query)
    assert status == 400 and b"seconds is 1 to 300, frequency 1 to 1000" in text


@pytest.mark.asan
def test_one_profile_is_taken_at_a_time_and_a_drain_does_not_wait_for_it(calm):
    zt, first = calm.a.ztunnel, []
    waiting = threading.Thread(target=lambda: first.append(ends_early(zt)), daemon=True)
    waiting.start()
    wait_until(lambda: samplers(zt), 20, "the first one is being taken")
    assert profile(zt, "?seconds=1")[0] == 500
    assert zt.terminate() == 0
    waiting.join(20)
    assert first == [True]


def samplers(zt):
    """Descriptors of the kernel's sampler."""
    found = 0
    for fd in os.listdir(f"/proc/{zt.process.pid}/fd"):
        with contextlib.suppress(OSError):
            found += "perf_event" in os.readlink(f"/proc/{zt.process.pid}/fd/{fd}")
    return found


def ends_early(zt):
    try:
        return profile(zt, "?seconds=300", timeout=60)[0] != 200
    except (OSError, http.client.HTTPException):
        return True


def test_the_heap_is_not_profiled_and_says_so(mesh):
    assert mesh.a.ztunnel.get("/debug/pprof/heap")[::2] == (500, "heap profiles are not built in\n")
    for query in ("", "?activate=true"):
        assert mesh.a.ztunnel.get("/debug/pprof/heap/profiling" + query)[::2] == (
            200, "heap profiling active: false\n")
    assert mesh.a.ztunnel.get("/debug/pprof/nothing")[0] == 404
