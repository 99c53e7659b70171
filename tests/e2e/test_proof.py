# SPDX-License-Identifier: Apache-2.0
"""What the wire between the nodes shows; and that the proof is able to fail."""
import pytest

import capture
import talk

PORT = 8080
WORDS = b"attack at dawn, by the northern gate"


def conversation(mesh, client, server):
    """Captures node a's link while client and server talk; returns the pair's packets."""
    with talk.Server(server, PORT, talk.echo):
        with mesh.lab.captured(mesh.a) as packets:
            for address in server.addresses:
                talk.ask(client, address, PORT, WORDS)
                talk.ask(client, address, PORT, WORDS * 100)
    return capture.between(packets, client.addresses, server.addresses)


@pytest.mark.asan
def test_between_enrolled_pods_the_wire_shows_port_15008_and_no_application_byte(mesh):
    packets = conversation(mesh, mesh.client, mesh.server)
    assert {p.src for p in packets} == set(mesh.client.addresses + mesh.server.addresses)
    assert capture.leaks(packets, [WORDS]) == []
    assert sum(len(p.payload) for p in packets) > 4 * len(WORDS)


def test_the_proof_reports_leaks_when_nothing_is_captured(mesh):
    packets = conversation(mesh, mesh.plain, mesh.plain_server)
    found = capture.leaks(packets, [WORDS])
    assert any(f"port {PORT}" in text for text in found)
    assert any("are readable" in text for text in found)


def test_the_proof_reports_plaintext_on_port_15008(mesh):
    with talk.Server(mesh.plain_server, capture.HBONE_PORT, talk.echo):
        with mesh.lab.captured(mesh.a) as packets:
            talk.ask(mesh.plain, mesh.plain_server.ip4, capture.HBONE_PORT, b"no TLS here")
    found = capture.leaks(capture.between(packets, mesh.plain.addresses,
                                          mesh.plain_server.addresses), [WORDS])
    assert any("is not TLS" in text for text in found)


def test_enrolling_is_what_closes_the_leak(calm):
    """The same pair, the same capture: only enrollment differs."""
    before = conversation(calm, calm.plain, calm.plain_server)
    calm.plain.enrolled = calm.plain_server.enrolled = True
    calm.lab.apply()
    after = conversation(calm, calm.plain, calm.plain_server)
    assert capture.leaks(before, [WORDS]) and capture.leaks(after, [WORDS]) == []


def test_pods_of_one_node_use_a_tunnel_too(mesh):
    with talk.Server(mesh.other, PORT, talk.echo):
        mark = mesh.a.ztunnel.log_size()
        talk.ask(mesh.client, mesh.other.ip4, PORT, WORDS)
    line = mesh.a.ztunnel.wait_access(mark, direction="outbound")
    assert line["dst.addr"] == f"{mesh.other.ip4}:{capture.HBONE_PORT}"
    assert line["dst.identity"] == mesh.other.identity
