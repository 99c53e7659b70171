# SPDX-License-Identifier: Apache-2.0
"""Revocation lists: who is revoked gets no tunnel, and loses the one it has; nobody else does."""
import os

import pytest

import certs
import hbone_peer
import talk
import world
from ztunnel import wait_until

PORT = 8080
GOOD = world.identity("default", "client")
REJECTED = "istio_crl_policy_rejections_total"


def crl_path(mesh, node):
    return os.path.join(mesh.lab.dir, f"crl-{node.name}.pem")


def prepare(mesh):
    """Node a starts without its file, node b with one that says nothing useful."""
    for node in (mesh.a, mesh.b):
        node.ztunnel.extra_env["CRL_PATH"] = crl_path(mesh, node)
    with open(crl_path(mesh, mesh.b), "wb") as f:
        f.write(b"-----BEGIN garbage")


@pytest.fixture(scope="module")
def authority(mesh):
    return certs.Authority.load(mesh.lab.ca_path)


@pytest.fixture(scope="module", autouse=True)
def servers(mesh):
    with talk.Server(mesh.server, PORT, talk.echo), talk.Server(mesh.second, PORT, talk.echo):
        yield


def tls_of(mesh, authority, leaf):
    return hbone_peer.context(mesh.lab.dir, authority.pem(), leaf)


def loads(node, result="ok"):
    return node.ztunnel.metrics().total("culvert_crl_loads_total", result=result)


def publish(mesh, node, text, result="ok"):
    """Replaces a node's list and waits until the node has looked at it."""
    before = loads(node, result)
    fresh = crl_path(mesh, node) + ".new"
    with open(fresh, "wb") as f:
        f.write(text)
    os.replace(fresh, crl_path(mesh, node))
    wait_until(lambda: loads(node, result) > before, 30,
               f"node {node.name} has read its list ({result})")


@pytest.fixture(autouse=True)
def nobody_revoked(mesh, authority):
    yield
    for node in (mesh.a, mesh.b):
        publish(mesh, node, authority.crl([]))


def serial(mesh, node, pod):
    for entry in node.ztunnel.config_dump()["certificates"]:
        if entry["identity"] == pod.identity:
            return int(entry["certChain"][0]["serialNumber"])
    raise AssertionError(f"no certificate of {pod.identity}")


def rejections(node, reporter):
    return node.ztunnel.metrics().total(REJECTED, reporter=reporter)


def say(conn, text=b"still here"):
    conn.sendall(text)
    assert talk.read_exactly(conn, len(text)) == text


def test_a_missing_and_a_bad_list_refuse_nobody_and_are_told(mesh, authority):
    assert talk.served(mesh.client, mesh.server.ip4, PORT, timeout=20)
    for node in (mesh.a, mesh.b):
        wait_until(lambda n=node: "NO peer is refused as revoked" in n.ztunnel.log_text(), 20,
                   "the log tells of it")
        assert loads(node, "failed") >= 1 and loads(node) == 0
    publish(mesh, mesh.a, authority.crl([1, 2, 3]))  # it appears
    publish(mesh, mesh.b, authority.crl([1]))        # it becomes good
    assert mesh.a.ztunnel.metrics().total("culvert_crl_serials") == 3


@pytest.mark.asan
def test_a_revoked_client_is_refused_and_another_is_not(mesh, authority):
    bad, good = authority.leaf([GOOD]), authority.leaf([GOOD])
    publish(mesh, mesh.b, authority.crl([certs.serial_of(bad)]))
    before, mark = rejections(mesh.b, "destination"), mesh.b.ztunnel.log_size()
    assert hbone_peer.is_refused(mesh.ext, mesh.server.ip4, tls_of(mesh, authority, bad)) is True
    wait_until(lambda: rejections(mesh.b, "destination") == before + 1, 20, "it is counted")
    words = hbone_peer.error_words()["TLS_REVOKED"]
    wait_until(lambda: words in mesh.b.ztunnel.log_text(mark), 20, f'the log says "{words}"')
    with hbone_peer.Tunnel(mesh.ext, mesh.server.ip4, tls_of(mesh, authority, good)) as tunnel:
        assert tunnel.connect(f"{mesh.server.ip4}:{PORT}")[1] == 200


def test_a_list_that_another_authority_signed_revokes_nobody(mesh, authority):
    leaf = authority.leaf([GOOD])
    stranger = certs.Authority.new()
    publish(mesh, mesh.b, authority.crl([certs.serial_of(leaf)], signer=stranger))
    with hbone_peer.Tunnel(mesh.ext, mesh.server.ip4, tls_of(mesh, authority, leaf)) as tunnel:
        assert tunnel.connect(f"{mesh.server.ip4}:{PORT}")[1] == 200
    wait_until(lambda: mesh.b.ztunnel.metrics().total("culvert_crl_signature_mismatches_total") > 0,
               20, "the forgery is counted")


@pytest.mark.asan
def test_a_revoked_server_is_refused_before_and_cut_while_it_talks(mesh, authority):
    with mesh.client.connect(mesh.server.ip4, PORT) as doomed, \
            mesh.client.connect(mesh.second.ip4, PORT) as spared:
        say(doomed)
        say(spared)
        before, mark = rejections(mesh.a, "source"), mesh.a.ztunnel.log_size()
        publish(mesh, mesh.a, authority.crl([serial(mesh, mesh.b, mesh.server)]))
        assert talk.ending(doomed, 30) in ("fin", "reset")
        line = mesh.a.ztunnel.wait_access(mark, direction="outbound")
        assert hbone_peer.error_words()["TLS_REVOKED"] in line["error"]
        failed = mesh.a.ztunnel.metrics().total("istio_tcp_connections_failed_total",
                                                response_flags="CERT_REVOKED")
        assert failed >= 1
        wait_until(lambda: rejections(mesh.a, "source") > before, 20, "it is counted")
        say(spared)
        mark = mesh.a.ztunnel.log_size()
        assert not talk.served(mesh.client, mesh.server.ip4, PORT, timeout=20)
        line = mesh.a.ztunnel.wait_access(mark, direction="outbound")
        assert hbone_peer.error_words()["TLS_REVOKED"] in line["error"]
        say(spared)
    publish(mesh, mesh.a, authority.crl([]))
    assert talk.served(mesh.client, mesh.server.ip4, PORT, timeout=20)


@pytest.mark.asan
def test_a_live_tunnel_of_a_revoked_client_is_closed_and_others_stay(mesh, authority):
    bad, good = authority.leaf([GOOD]), authority.leaf([GOOD])
    with hbone_peer.Tunnel(mesh.ext, mesh.server.ip4, tls_of(mesh, authority, bad)) as doomed, \
            hbone_peer.Tunnel(mesh.ext, mesh.server.ip4, tls_of(mesh, authority, good)) as spared:
        streams = [doomed.connect(f"{mesh.server.ip4}:{PORT}")[0] for _ in range(3)]
        kept, status = spared.connect(f"{mesh.server.ip4}:{PORT}")
        assert status == 200
        mark = mesh.b.ztunnel.log_size()
        publish(mesh, mesh.b, authority.crl([certs.serial_of(bad)]))
        with pytest.raises(ConnectionError):
            while True:
                doomed.pump()
        assert doomed.terminated == 0, "GOAWAY NO_ERROR"
        assert all(doomed.ended.get(s, "").startswith("reset") for s in streams)
        words = hbone_peer.error_words()["TLS_REVOKED"]
        wait_until(lambda: len([line for line in mesh.b.ztunnel.access_log(
            mark, direction="inbound") if words in line.get("error", "")]) == 3, 20,
            "each stream is logged as revoked")
        spared.send(kept, b"still here")
        assert spared.body(kept, 10) == b"still here"


def test_a_reload_of_a_bad_list_keeps_the_one_before(mesh, authority):
    bad = authority.leaf([GOOD])
    publish(mesh, mesh.b, authority.crl([certs.serial_of(bad)]))
    for text in (b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", b"no list"):
        publish(mesh, mesh.b, text, "failed")
        tls = tls_of(mesh, authority, bad)
        assert hbone_peer.is_refused(mesh.ext, mesh.server.ip4, tls) is True
    failed = loads(mesh.b, "failed")
    os.unlink(crl_path(mesh, mesh.b))
    wait_until(lambda: loads(mesh.b, "failed") > failed, 30, "the file is missed")
    assert hbone_peer.is_refused(mesh.ext, mesh.server.ip4, tls_of(mesh, authority, bad)) is True
    publish(mesh, mesh.b, b"")  # empty: nobody is revoked
    with hbone_peer.Tunnel(mesh.ext, mesh.server.ip4, tls_of(mesh, authority, bad)) as tunnel:
        assert tunnel.connect(f"{mesh.server.ip4}:{PORT}")[1] == 200
