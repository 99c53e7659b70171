# SPDX-License-Identifier: Apache-2.0
"""Our Kubernetes client over real sockets against an API server that is strict about what it is sent.

Needs no lab: both are on the loopback of this machine.
"""
import json
import os
import subprocess
import threading

import pytest

import api_server
import certs
from ztunnel import wait_until

pytestmark = pytest.mark.asan

PODS = "/api/v1/pods"
MINE = "fieldSelector=spec.nodeName%3Dnode-a"
SECONDS = 30  # until a line must have come: a busy machine is slow


class Probe:
    """k8s_probe, its lines and its orders."""

    def __init__(self, server, folder, selector=MINE):
        program = os.path.join(os.environ.get("CULVERT_BUILD", "build"),
                               "tests", "unit", "common", "k8s", "k8s_probe")
        self.process = subprocess.Popen(
            [program, "127.0.0.1", str(server.port), str(folder), PODS, selector],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines, self.at = [], 0
        self.news = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self.news:
                self.lines.append(line.rstrip("\n"))
                self.news.notify_all()

    def expect(self, start):
        """The next line that starts so; those in between are passed over."""
        def found():
            for i in range(self.at, len(self.lines)):
                if self.lines[i].startswith(start):
                    self.at = i + 1
                    return self.lines[i]
            return None
        with self.news:
            line = self.news.wait_for(found, SECONDS)
        assert line, f"no {start!r} in {self.lines[self.at:]} (all: {self.lines[-20:]})"
        return line

    def ask(self, order):
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        _, cause, status, retry_after, body = self.expect("answer").split(" ", 4)
        return cause, int(status), int(retry_after), json.loads(body) if body else None

    def close(self):
        self.process.stdin.close()
        status = self.process.wait(SECONDS)
        self.reader.join(5)
        said = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        assert (status, said) == (0, "")


@pytest.fixture(name="scene")
def _scene(tmp_path):
    authority = certs.Authority.new("API server lab")
    server = api_server.ApiServer(authority, str(tmp_path), {PODS: "Pod"})
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    (folder / "ca.crt").write_bytes(authority.pem())
    (folder / "token").write_text("token-1\n")
    server.tokens = {"token-1"}
    probes = []

    def start(selector=MINE):
        probes.append(Probe(server, folder, selector))
        return probes[-1]
    scene = type("Scene", (), {"server": server, "folder": folder, "start": staticmethod(start),
                               "authority": authority})
    try:
        yield scene
        for probe in probes:
            probe.close()
        assert server.violations == []
    finally:
        for probe in probes:
            probe.process.kill()
            probe.process.wait()
        server.close()


def synced(scene):
    """A client that has all and watches."""
    probe = scene.start()
    probe.expect("synced")
    wait_until(scene.server.watching)
    return probe


def put(scene, name, version, node="node-a"):
    scene.server.put(PODS, "demo", name, metadata={"labels": {"v": version}},
                     spec={"nodeName": node})


def test_what_is_there_and_what_changes_is_told(scene):
    put(scene, "one", "1")
    put(scene, "elsewhere", "1", node="node-b")
    probe = scene.start()
    probe.expect("connected")
    probe.expect("relist")
    probe.expect("object demo/one 1")
    probe.expect("synced")
    put(scene, "two", "1")
    probe.expect("object demo/two 1")
    put(scene, "one", "2")
    probe.expect("object demo/one 2")
    scene.server.delete(PODS, "demo", "two")
    probe.expect("deleted demo/two")
    assert not [line for line in probe.lines if "elsewhere" in line]
    assert scene.server.accepted == 1


def test_many_come_in_pages(scene):
    for i in range(1203):
        put(scene, f"pod-{i:04}", "1")
    probe = synced(scene)
    told = [line for line in probe.lines if line.startswith("object")]
    assert len(told) == len(set(told)) == 1203
    assert len([r for r in scene.server.requests if "limit=500" in r[1]]) == 3


def test_a_watch_that_ends_or_breaks_goes_on_from_its_bookmark(scene):
    put(scene, "one", "1")
    probe = synced(scene)
    put(scene, "foreign", "1", node="node-b")  # only a bookmark tells of this version
    scene.server.bookmark()
    marked = scene.server.version
    scene.server.compact()  # so that any older version would be gone
    scene.server.oldest = marked
    scene.server.end_watches()
    put(scene, "two", "1")
    probe.expect("object demo/two 1")
    assert f"resourceVersion={marked}" in scene.server.requests[-1][1]
    scene.server.end_watches(b'{"type":"ADDED","object":{"metadata":{')  # half an event
    put(scene, "three", "1")
    probe.expect("object demo/three 1")
    scene.server.drop()
    probe.expect("disconnected")
    put(scene, "four", "1")
    probe.expect("connected")
    probe.expect("object demo/four 1")
    assert probe.lines.count("relist") == 1


def test_a_version_that_is_gone_means_listing_anew(scene):
    put(scene, "one", "1")
    probe = synced(scene)
    scene.server.stop_listening()
    probe.expect("disconnected")
    scene.server.put(PODS, "demo", "two", metadata={}, spec={"nodeName": "node-a"})
    scene.server.delete(PODS, "demo", "one")
    scene.server.compact()
    probe.expect("disconnected DIAL_REFUSED")  # an attempt meanwhile
    scene.server.listen_again()
    probe.expect("relist")
    probe.expect("object demo/two")
    probe.expect("synced")
    assert probe.lines.count("relist") == 2


def test_goaway_moves_to_another_connection(scene):
    probe = synced(scene)
    scene.server.goaway()
    probe.expect("disconnected")
    probe.expect("connected")
    put(scene, "one", "1")
    probe.expect("object demo/one 1")
    assert scene.server.accepted == 2
    assert probe.lines.count("relist") == 1


def test_the_token_of_the_moment_is_shown(scene):
    probe = synced(scene)
    (scene.folder / "token").write_text("token-2")
    scene.server.tokens = {"token-2"}
    assert probe.ask(f"GET {PODS}?limit=1")[:2] == ("OK", 200)
    scene.server.tokens = {"token-3"}
    cause, status, _, body = probe.ask(f"GET {PODS}?limit=1")
    assert (cause, status, body["message"]) == ("OK", 401, "Unauthorized")
    scene.server.end_watches()
    probe.expect("failed HTTP status 401: Unauthorized")
    (scene.folder / "token").write_text("token-3")
    put(scene, "one", "1")
    probe.expect("object demo/one 1")


def test_refusals_are_asked_again_later(scene):
    scene.server.refusals.extend([(403, None), (429, 2), (503, None)])
    probe = scene.start()
    probe.expect("failed HTTP status 403: refused with 403")
    probe.expect("failed HTTP status 429")
    probe.expect("failed HTTP status 503")
    probe.expect("synced")
    wait_until(scene.server.watching)
    scene.server.refusals.append((429, 3))
    assert probe.ask(f"GET {PODS}?limit=1")[:3] == ("OK", 429, 3000)


def test_patches_and_posts_arrive(scene):
    put(scene, "one", "1")
    probe = synced(scene)
    patch = {"metadata": {"annotations": {"ambient.istio.io/redirection": "enabled"}}}
    path = "/api/v1/namespaces/demo/pods/one"
    cause, status, _, body = probe.ask(f"PATCH {path}/status {json.dumps(patch)}")
    assert (cause, status) == ("OK", 200)
    assert body["metadata"]["annotations"] == patch["metadata"]["annotations"]
    assert body["metadata"]["labels"] == {"v": "1"}
    assert probe.ask(f"GET {path}")[3] == body
    assert probe.ask(f"GET {path}-not")[:2] == ("OK", 404)
    review = {"kind": "TokenReview", "spec": {"token": "token-1"}}
    cause, status, _, body = probe.ask("POST /apis/authentication.k8s.io/v1/tokenreviews "
                                       + json.dumps(review))
    assert (cause, status, body["status"]) == ("OK", 201, {"authenticated": True})
    event = {"kind": "Event", "reason": "Enrolled", "message": "x" * 30000}
    assert probe.ask("POST /api/v1/namespaces/demo/events " + json.dumps(event))[1] == 201
    assert scene.server.events == [event]


def test_silence_ends_at_the_deadline(scene):
    probe = synced(scene)
    scene.server.silent = True
    assert probe.ask(f"GET {PODS}?limit=1")[:2] == ("ANSWER_TIMEOUT", 0)
    scene.server.silent = False
    assert probe.ask(f"GET {PODS}?limit=1")[:2] == ("OK", 200)


def test_only_the_server_we_were_told_of_is_asked(scene):
    stranger = certs.Authority.new("somebody else")
    good = (scene.folder / "ca.crt").read_bytes()
    (scene.folder / "ca.crt").write_bytes(stranger.pem())
    probe = scene.start()
    probe.expect("disconnected TLS_UNTRUSTED")
    assert scene.server.requests == []
    (scene.folder / "ca.crt").write_bytes(b"nothing of use\n")
    probe.expect("disconnected PARSE")
    (scene.folder / "ca.crt").write_bytes(good)
    probe.expect("synced")
