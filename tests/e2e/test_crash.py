# SPDX-License-Identifier: Apache-2.0
"""A ztunnel that dies leaves its pods closed, and its successor finds them."""
import contextlib

import pytest

import capture
import talk
from ztunnel import wait_until

PORT = 8080
WORDS = b"nobody may read this"
RESTART_SECONDS = 30  # a generous bound, not a claim about speed


@pytest.fixture(autouse=True)
def echo_servers(mesh):
    with contextlib.ExitStack() as stack:
        for place in (mesh.server, mesh.client, mesh.ext):
            stack.enter_context(talk.Server(place, PORT, talk.echo))
        yield


def try_all(place, addresses):
    for address in addresses:
        with contextlib.suppress(OSError):
            with place.connect(address, PORT, 1.5) as conn:
                conn.sendall(WORDS)
                conn.settimeout(1.5)
                yield conn.recv(100)


@pytest.mark.asan
def test_after_sigkill_nothing_leaves_an_enrolled_pod(calm):
    calm.a.ztunnel.kill()
    with calm.lab.captured(calm.a) as packets:
        answers = list(try_all(calm.client,
                               calm.server.addresses + [calm.ext.ip4, calm.ext.ip6]))
    sent = [p for p in packets if p.src in calm.client.addresses
            and (p.payload or p.flags & capture.FLAG_SYN)]
    assert not any(answers)
    assert not sent, f"packets left the pod: {[(p.dst, p.dport) for p in sent]}"


def test_after_sigkill_nothing_enters_an_enrolled_pod(calm):
    calm.a.ztunnel.kill()
    answers = list(try_all(calm.ext, calm.client.addresses))
    answers += list(try_all(calm.plain_server, calm.client.addresses))
    assert not any(answers), "the application answered a connection that nobody judged"


def test_after_sigkill_pods_that_are_not_enrolled_and_loopback_go_on(calm):
    calm.a.ztunnel.kill()
    assert talk.served(calm.plain, calm.ext.ip4, PORT)
    assert talk.served(calm.client, "127.0.0.1", PORT)
    assert talk.served(calm.client, calm.client.ip4, PORT)
    assert talk.served(calm.a, calm.client.ip4, PORT), "the node's probe no longer passes"


@pytest.mark.asan
@pytest.mark.parametrize("side", ["a", "b"])
def test_after_a_restart_new_connections_work(calm, side):
    node = getattr(calm, side)
    talk.ask(calm.client, calm.server.ip4, PORT)
    node.ztunnel.kill()
    assert not talk.served(calm.client, calm.server.ip4, PORT, timeout=1.5)
    node.ztunnel.start()
    for address in calm.server.addresses:
        wait_until(lambda: talk.served(calm.client, address, PORT), RESTART_SECONDS,
                   "a new connection works after the restart")


def test_a_restart_reuses_pins_and_leaves_no_second_set(calm):
    before = calm.a.ztunnel.pins()
    calm.a.ztunnel.kill()
    calm.a.ztunnel.start()
    calm.lab.apply()
    assert calm.a.ztunnel.pins() == before


def test_a_pod_that_vanished_while_ztunnel_was_dead_is_cleaned_up_by_the_next_start(calm):
    pod = calm.a.pod("shortlived")
    calm.lab.apply()
    with_pod = calm.a.ztunnel.pins()
    calm.a.ztunnel.kill()
    calm.lab.pods.remove(pod)
    remove_place(calm.lab, pod)
    calm.lab.write_state()
    calm.a.ztunnel.start()
    wait_until(lambda: len(calm.a.ztunnel.pins()) < len(with_pod), RESTART_SECONDS,
               "the pins of the vanished pod are gone")


def test_a_pod_unenrolled_while_ztunnel_was_dead_is_opened_by_the_next_start(calm):
    with_pod = calm.a.ztunnel.pins()
    calm.a.ztunnel.kill()
    calm.other.enrolled = False
    calm.lab.write_state()
    calm.a.ztunnel.start()
    calm.lab.apply()
    wait_until(lambda: talk.served(calm.other, calm.ext.ip4, PORT), RESTART_SECONDS,
               "the pod is open again")
    wait_until(lambda: len(calm.a.ztunnel.pins()) < len(with_pod), RESTART_SECONDS,
               "its pins are gone")
    rules = calm.other.ip("rule", "list") + calm.other.ip("-6", "rule", "list")
    assert "fwmark" not in rules


def remove_place(lab, place):
    import netns
    netns.kill_dwellers([place.netns])
    netns.delete(place.netns)
    lab.places.remove(place)
