# SPDX-License-Identifier: Apache-2.0
"""COMPLIANCE_POLICY=pqc: tunnels by the post-quantum key exchange, and by no other."""
import pytest

import hbone_peer
import talk
import world
from ztunnel import wait_until

PORT = 8080
ZTUNNEL_ENV = {"COMPLIANCE_POLICY": "pqc"}


@pytest.fixture(scope="module", autouse=True)
def server(mesh):
    with talk.Server(mesh.server, PORT, talk.echo) as made:
        yield made


@pytest.mark.asan
def test_two_nodes_under_the_pqc_policy_talk_through_a_tunnel(mesh):
    mark = mesh.b.ztunnel.log_size()
    wait_until(lambda: talk.served(mesh.client, mesh.server.ip4, PORT), 20, "the server is reached")
    line = mesh.b.ztunnel.wait_access(mark, direction="inbound")
    assert line["src.identity"] == mesh.client.identity


def test_a_peer_without_the_post_quantum_group_is_refused(mesh):
    """The client's library knows the classical groups only."""
    tls = hbone_peer.context_as(mesh.lab, world.identity("default", "client"))
    assert hbone_peer.is_refused(mesh.ext, mesh.server.ip4, tls) is True
