# SPDX-License-Identifier: Apache-2.0
"""Programs people use work through the mesh unchanged."""
import json
import os
import shutil
import subprocess

import pytest

import apps
import talk


def program(name):
    path = shutil.which(name)
    assert path, f"{name} is not installed; tests/run installs what the tests need"
    return path


@pytest.mark.asan
@pytest.mark.parametrize("family", ["ip4", "ip6"])
def test_curl_is_served_and_the_server_sees_the_pod_s_address(mesh, family):
    server = mesh.server.popen(talk.APPS + ["whoami", "8080"])
    try:
        mesh.server.wait_listening(8080)
        address = getattr(mesh.server, family)
        url = f"http://[{address}]:8080/" if family == "ip6" else f"http://{address}:8080/"
        done = mesh.client.run([program("curl"), "-sS", "--max-time", "10", url])
        assert done.stdout == f"you are {getattr(mesh.client, family)}; {apps.SECRET}\n"
    finally:
        server.kill()
        server.wait()


def test_h2load_gets_every_response_from_nghttpd(mesh):
    root = os.path.join(mesh.lab.dir, "www")
    os.makedirs(root, exist_ok=True)
    with open(os.path.join(root, "page"), "wb") as f:
        f.write(b"x" * 10000)
    server = mesh.server.popen([program("nghttpd"), "--no-tls", "-d", root, "8443"])
    try:
        mesh.server.wait_listening(8443)
        done = mesh.client.run([program("h2load"), "-n", "5000", "-c", "10", "-m", "10",
                                f"http://{mesh.server.ip4}:8443/page"])
        assert "5000 succeeded, 0 failed, 0 errored, 0 timeout" in done.stdout
    finally:
        server.kill()
        server.wait()


@pytest.mark.parametrize("direction", ["up", "down", "both"])
def test_iperf3_moves_bytes_over_four_streams(mesh, direction):
    server = mesh.server.popen([program("iperf3"), "-s", "-1", "-p", "5201"],
                               stdout=subprocess.DEVNULL)
    try:
        mesh.server.wait_listening(5201)
        more = {"up": [], "down": ["-R"], "both": ["--bidir"]}[direction]
        done = mesh.client.run([program("iperf3"), "-c", mesh.server.ip4, "-p", "5201", "-t", "1",
                                "-P", "4", "-J", *more])
        assert json.loads(done.stdout)["end"]["sum_received"]["bytes"] > 1_000_000
    finally:
        server.kill()
        server.wait()


@pytest.mark.asan
def test_redis_answers_pipelines_big_values_and_subscriptions(mesh):
    server = mesh.server.popen([program("redis-server"), "--port", "6379", "--save", "",
                                "--protected-mode", "no", "--bind", "0.0.0.0", "::",
                                "--dir", mesh.lab.dir], stdout=subprocess.DEVNULL)
    redis = [program("redis-cli"), "-h", mesh.server.ip4]
    try:
        mesh.server.wait_listening(6379)
        assert mesh.client.run(redis + ["ping"]).stdout.strip() == "PONG"
        value = "v" * 2_000_000
        assert mesh.client.run(redis + ["-x", "set", "big"], input=value).stdout.strip() == "OK"
        assert mesh.client.run(redis + ["get", "big"]).stdout.strip() == value
        pipeline = "".join(f"SET key:{n} {n}\r\n" for n in range(5000))
        done = mesh.client.run(redis + ["--pipe"], input=pipeline)
        assert "errors: 0, replies: 5000" in done.stdout
        subscription(mesh, redis)
    finally:
        server.kill()
        server.wait()


def subscription(mesh, redis):
    """The server speaks without having been asked."""
    with mesh.client.connect(mesh.server.ip4, 6379) as conn:
        conn.settimeout(10)
        conn.sendall(b"SUBSCRIBE news\r\n")
        assert b"subscribe" in conn.recv(1000)
        assert mesh.other.run(redis + ["publish", "news", "hot"]).stdout.strip() == "1"
        assert b"hot" in conn.recv(1000)
