# SPDX-License-Identifier: Apache-2.0
"""A root is replaced, and a trust domain has a second name, while traffic flows.

Node a has its certificates from files, node b from the development CA: both ways of having them rotate.
"""
import os
import ssl
import threading

import pytest

import certs
import hbone_peer
import talk
import world
from ztunnel import wait_until

PORT = 8080
ALIAS = "old.example"
ZTUNNEL_ENV = {"TRUST_DOMAIN_ALIASES": f"{ALIAS}, third.example"}


def cert_dir(mesh):
    return os.path.join(mesh.lab.dir, "certs")


def write_files(mesh, issuer, *roots):
    """New certificates for node a's pods, and whom they are to trust."""
    for pod in (mesh.client, mesh.other):
        place = os.path.join(cert_dir(mesh), pod.namespace, pod.account)
        os.makedirs(place, exist_ok=True)
        key, chain = issuer.leaf([pod.identity], key_id=True)
        for name, content in (("cert-chain.pem", chain), ("key.pem", key),
                              ("root-cert.pem", b"".join(r.pem() for r in roots))):
            with open(os.path.join(place, name + ".new"), "wb") as f:
                f.write(content)
            os.replace(os.path.join(place, name + ".new"), os.path.join(place, name))


def prepare(mesh):
    mesh.a.ztunnel.extra_env.update(CULVERT_CA="files", CULVERT_CERT_DIR=cert_dir(mesh))
    root = certs.Authority.load(mesh.lab.ca_path)
    write_files(mesh, root, root)


@pytest.fixture(scope="module", autouse=True)
def server(mesh):
    with talk.Server(mesh.server, PORT, talk.echo) as made:
        yield made


class Traffic:
    """One connection that never stops talking, and new ones all the time, each by a new pair."""

    def __init__(self, mesh):
        self.mesh = mesh
        self.conn = mesh.client.connect(mesh.server.ip4, PORT, 20)
        self.rounds = self.opened = 0
        self.failures = []
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=run, daemon=True) for run in (self._talk, self._open)]
        for thread in self.threads:
            thread.start()

    def _talk(self):
        try:
            while not self.stop.wait(0.02):
                self.conn.sendall(b"still there?")
                talk.read_exactly(self.conn, 12)
                self.rounds += 1
        except OSError as error:
            self.failures.append(f"live connection: {error!r}")

    def _open(self):
        while not self.stop.wait(0.05):
            place = (self.mesh.client, self.mesh.other)[self.opened % 2]
            try:
                talk.ask(place, self.mesh.server.ip4, PORT, timeout=20)
                self.opened += 1
            except (OSError, AssertionError) as error:
                self.failures.append(f"new connection of {place.name}: {error!r}")

    def close(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(30)
        self.conn.close()


def in_use(mesh):
    """(identity, issued by, number of roots) of every certificate of both nodes."""
    return {(c["identity"], c["certChain"][0]["serialNumber"], len(c["rootCerts"]))
            for node in (mesh.a, mesh.b) for c in node.ztunnel.config_dump()["certificates"]
            if c["certChain"]}


def roll(mesh, issuer, *roots):
    """Every pod gets a new certificate of issuer and trusts these roots; waits until all use them."""
    before = {identity: serial for identity, serial, _ in in_use(mesh)}
    write_files(mesh, issuer, *roots)
    issuer.write(mesh.lab.ca_path + ".new", *[r for r in roots if r is not issuer])
    os.replace(mesh.lab.ca_path + ".new", mesh.lab.ca_path)

    def done():
        now = in_use(mesh)
        return len(now) == len(before) and all(
            before[i] != serial and count == len(roots) for i, serial, count in now)
    wait_until(done, 60, f"every pod has a new certificate and {len(roots)} roots")


@pytest.mark.asan
@pytest.mark.limit(240)
def test_a_root_is_replaced_and_no_connection_notices(mesh):
    old = certs.Authority.load(mesh.lab.ca_path)
    new = certs.Authority.new()
    assert new.cert.subject == old.cert.subject, "told apart by their keys alone"
    traffic = Traffic(mesh)
    try:
        for issuer, roots in ((old, (old, new)), (new, (new, old)), (new, (new,))):
            roll(mesh, issuer, *roots)
            opened, rounds = traffic.opened, traffic.rounds
            wait_until(lambda o=opened, r=rounds: traffic.failures
                       or traffic.opened > o + 4 and traffic.rounds > r + 4, 60, "traffic goes on")
            assert traffic.failures == []
    finally:
        traffic.close()
    tls = hbone_peer.context(mesh.lab.dir, new.pem(),
                             old.leaf([world.identity("default", "client")], key_id=True))
    assert hbone_peer.is_refused(mesh.ext, mesh.server.ip4, tls) is True
    tls = hbone_peer.context(mesh.lab.dir, new.pem(),
                             new.leaf([world.identity("default", "client")], key_id=True))
    with hbone_peer.Tunnel(mesh.ext, mesh.server.ip4, tls) as tunnel:
        assert tunnel.connect(f"{mesh.server.ip4}:{PORT}")[1] == 200


def peer_of(mesh, domain):
    return hbone_peer.context_as(mesh.lab, f"spiffe://{domain}/ns/default/sa/client", key_id=True)


@pytest.mark.parametrize("domain", [ALIAS, "third.example"])
def test_a_client_of_an_alias_domain_is_served(mesh, domain):
    with hbone_peer.Tunnel(mesh.ext, mesh.server.ip4, peer_of(mesh, domain)) as tunnel:
        assert tunnel.connect(f"{mesh.server.ip4}:{PORT}")[1] == 200


def test_a_client_of_a_domain_that_is_no_alias_is_refused(mesh):
    tls = peer_of(mesh, "evil.example")
    assert hbone_peer.is_refused(mesh.ext, mesh.server.ip4, tls) is True


@pytest.mark.parametrize("denied, expected", [(ALIAS, 401), ("cluster.local", 200)])
def test_policies_see_the_domain_that_was_shown(calm, denied, expected):
    calm.lab.policies = [world.policy("by-name", "default", "Deny", [
        {"principals": world.exact(f"{denied}/ns/default/sa/client")}])]
    calm.lab.apply()
    with hbone_peer.Tunnel(calm.ext, calm.server.ip4, peer_of(calm, ALIAS)) as tunnel:
        assert tunnel.connect(f"{calm.server.ip4}:{PORT}")[1] == expected


@pytest.mark.parametrize("domain, account, accepted", [
    (ALIAS, "", True), (ALIAS, "somebody-else", False), ("evil.example", "", False)])
def test_a_server_of_an_alias_domain_is_accepted_for_the_same_account(calm, domain, account,
                                                                      accepted):
    """A pod's address answers on 15008 with an identity in another trust domain."""
    name = f"twin{len(calm.lab.places)}"
    twin = calm.b.pod(name, enrolled=True)  # node a is told so; on node b nothing holds it
    root = certs.Authority.load(calm.lab.ca_path)
    heard = []
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.set_alpn_protocols(["h2"])
    paths = certs.write_leaf(calm.lab.dir, "twin", root.leaf(
        [f"spiffe://{domain}/ns/default/sa/{account or name}"], key_id=True))
    tls.load_cert_chain(paths[1], paths[0])

    def serve(conn):
        try:
            heard.append(tls.wrap_socket(conn, server_side=True).recv(100)[:3])
        except OSError:
            heard.append(b"")
    with hbone_peer.standing_in(calm, twin, serve):
        assert talk.refused(calm.client, twin.ip4, PORT, b"hello")
        wait_until(lambda: heard, 20, "the server was asked")
    assert heard[0] == (b"PRI" if accepted else b"")
