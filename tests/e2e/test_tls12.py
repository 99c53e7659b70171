# SPDX-License-Identifier: Apache-2.0
"""TLS12_ENABLED=true: peers that have no TLS 1.3 are served; those that have it still speak it."""
import ssl

import pytest

import certs
import hbone_peer
import talk
import world
from ztunnel import wait_until

PORT = 8080
ZTUNNEL_ENV = {"TLS12_ENABLED": "true"}


@pytest.fixture(scope="module", autouse=True)
def server(mesh):
    with talk.Server(mesh.server, PORT, talk.echo) as made:
        yield made


def tls_of(mesh, version):
    tls = hbone_peer.context_as(mesh.lab, world.identity("default", "client"))
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    tls.maximum_version = version
    return tls


@pytest.mark.asan
@pytest.mark.parametrize("version, said", [(ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
                                           (ssl.TLSVersion.TLSv1_3, "TLSv1.3")])
def test_a_client_is_served_in_the_best_version_both_speak(mesh, version, said):
    with hbone_peer.Tunnel(mesh.ext, mesh.server.ip4, tls_of(mesh, version)) as tunnel:
        assert tunnel.tls.version() == said
        stream, status = tunnel.connect(f"{mesh.server.ip4}:{PORT}")
        assert status == 200
        text = bytes(range(256)) * 1000
        for at in range(0, len(text), 16000):
            tunnel.send(stream, text[at:at + 16000])
            assert tunnel.body(stream, min(at + 16000, len(text))) == text[:at + 16000]


def test_a_client_of_tls_1_2_without_certificate_is_refused(mesh):
    tls = hbone_peer.context_as(mesh.lab)
    tls.minimum_version = tls.maximum_version = ssl.TLSVersion.TLSv1_2
    assert hbone_peer.is_refused(mesh.ext, mesh.server.ip4, tls) is True


def test_our_own_tunnels_are_not_of_the_old_version(mesh):
    assert talk.served(mesh.client, mesh.server.ip4, PORT, timeout=20)


@pytest.mark.asan
def test_our_client_speaks_tls_1_2_with_a_server_that_has_no_better(calm):
    """A pod's address answers on 15008 in TLS 1.2; the preface of HTTP/2 arrives whole."""
    old = calm.b.pod("old", enrolled=True)  # node a is told so; on node b nothing holds it
    root = certs.Authority.load(calm.lab.ca_path)
    heard = []
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    tls.set_alpn_protocols(["h2"])
    paths = certs.write_leaf(calm.lab.dir, "old", root.leaf([old.identity]))
    tls.load_cert_chain(paths[1], paths[0])

    def serve(conn):
        with tls.wrap_socket(conn, server_side=True) as made:
            heard.append((made.version(), made.recv(100)[:14]))
    with hbone_peer.standing_in(calm, old, serve):
        assert talk.refused(calm.client, old.ip4, PORT, b"hello")
        wait_until(lambda: heard, 20, "the server was asked")
    assert heard[0] == ("TLSv1.2", b"PRI * HTTP/2.0")
