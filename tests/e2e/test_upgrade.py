# SPDX-License-Identifier: Apache-2.0
"""Two instances at once on one node: the new one starts while the old one serves, and nobody notices."""
import threading
import time

import pytest

import talk
import telemetry
import ztunnel
from ztunnel import wait_until

PORT = 8080
CALLERS = 3


class Successor(ztunnel.Ztunnel):
    """A second ztunnel of a node. moved: with host ports of its own, as in a namespace of its own."""

    def __init__(self, node, moved=0, **extra_env):
        super().__init__(node, dict(node.ztunnel.extra_env, **extra_env))
        self.log_path += f".successor-{time.monotonic_ns()}"
        self.moved = moved
        if moved:
            self.extra_env.update({
                "CULVERT_ADMIN_PORT": str(telemetry.ADMIN_PORT + moved),
                "CULVERT_STATS_PORT": str(telemetry.METRICS_PORT + moved),
                "CULVERT_READY_PORT": str(telemetry.READY_PORT + moved)})

    def get(self, path, port=telemetry.ADMIN_PORT, **more):
        return super().get(path, port + self.moved, **more)


class Callers:
    """Threads that connect, speak and hang up without a pause; failures: what did not work."""

    def __init__(self, calls):
        self.calls, self.rounds, self.failures = calls, [0] * len(calls) * CALLERS, []
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(n,), daemon=True)
                        for n in range(len(self.rounds))]
        for thread in self.threads:
            thread.start()

    def _run(self, number):
        place, address = self.calls[number % len(self.calls)]
        while not self.stop.is_set():
            try:
                talk.ask(place, address, PORT, timeout=20)
                self.rounds[number] += 1
            except (OSError, AssertionError) as error:
                self.failures.append((place.name, address, repr(error)))

    def more(self):
        """Waits until every one of them has called again, several times."""
        before = list(self.rounds)
        wait_until(lambda: all(now > was + 3 for now, was in zip(self.rounds, before)), 30,
                   "every caller goes on calling")

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(30)


@pytest.fixture
def calls(calm):
    """Outbound and inbound calls of enrolled pods, through tunnels and in plaintext."""
    with talk.Server(calm.server, PORT, talk.echo), talk.Server(calm.ext, PORT, talk.echo):
        yield [(calm.client, calm.server.ip4), (calm.client, calm.server.ip6),
               (calm.client, calm.ext.ip4), (calm.ext, calm.server.ip4)]
    for node in (calm.a, calm.b):
        node.ztunnel.end()


def accepted_by(zt):
    """How many connections came to its own listeners; streams of tunnels that are up come to nobody's."""
    opened = zt.metrics().find("istio_tcp_connections_opened_total")
    return sum(value for labels, value in opened if labels["reporter"] == "source"
               or labels["connection_security_policy"] == "unknown")


@pytest.mark.asan
@pytest.mark.limit(120)
@pytest.mark.parametrize("side", ["a", "b"])
def test_an_upgrade_with_both_instances_at_once_fails_no_new_connection(calm, calls, side):
    node = getattr(calm, side)
    old, new = node.ztunnel, Successor(node, moved=100)
    callers = Callers(calls)
    try:
        callers.more()
        new.start()
        wait_until(lambda: accepted_by(new) > 0, 30, "the new instance has new connections")
        callers.more()
        assert old.running(), "the old instance was to serve on"
        before = accepted_by(old)
        callers.more()
        assert accepted_by(old) == before, "the old instance still gets new connections"
        assert old.terminate() == 0
        callers.more()
    finally:
        callers.end()
        new.end()
    assert callers.failures == []
    assert not new.sanitizer_reports()


@pytest.mark.limit(120)
def test_an_instance_told_to_take_over_starts_beside_the_one_that_has_the_ports(calm, calls):
    old, new = calm.a.ztunnel, Successor(calm.a, CULVERT_TAKE_OVER="true")
    callers = Callers(calls)
    try:
        new.start(wait=False)
        wait_until(lambda: new.log_text().count("pod enrolled") == 2, 30, "it has both pods")
        callers.more()
        assert old.running() and new.running()
        assert old.terminate() == 0
        held = wait_until(lambda: new.metrics().total("workload_manager_active_proxy_count"), 30,
                          "the pages are the new instance's")
        assert held == 2 and new.config_dump()["workloads"]
        callers.more()
    finally:
        callers.end()
        new.end()
    assert callers.failures == []


@pytest.mark.asan
@pytest.mark.limit(120)
@pytest.mark.parametrize("workers", ["1", "2", "3"])
def test_when_the_new_instance_dies_the_old_one_takes_its_pods_back(calm, calls, workers):
    old = calm.a.ztunnel
    new = Successor(calm.a, moved=100, ZTUNNEL_WORKER_THREADS=workers)
    try:
        new.start()
        wait_until(lambda: talk.served(calm.client, calm.ext.ip4, PORT) and accepted_by(new) > 0,
                   30, "the new instance has new connections")
        new.kill()
        for address in (calm.server.ip4, calm.server.ip6, calm.ext.ip4):
            wait_until(lambda: talk.served(calm.client, address, PORT), 30,
                       "the pod is served again")
        mark = old.log_size()
        for _ in range(10):
            talk.ask(calm.client, calm.ext.ip4, PORT)
        wait_until(lambda: len(old.access_log(mark, direction="outbound")) >= 10, 10,
                   "all ten went through the old instance")
        assert "took pods back" in old.log_text()
    finally:
        new.end()
    assert old.terminate() == 0
    assert not talk.served(calm.client, calm.ext.ip4, PORT, timeout=2), "stopped is closed"
