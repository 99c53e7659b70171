# SPDX-License-Identifier: Apache-2.0
"""Settings that only a running ztunnel can show to be honoured."""
import contextlib
import os

import pytest

import talk
from ztunnel import wait_until

PORT = 8080


@contextlib.contextmanager
def restarted(node, cwd="/", **env):
    """The node's ztunnel with a changed environment; as before afterwards."""
    zt, before = node.ztunnel, dict(node.ztunnel.extra_env)
    zt.end()
    zt.extra_env.update(env)
    zt.cwd = cwd
    try:
        zt.start()
        yield zt
    finally:
        zt.extra_env, zt.cwd = before, "/"
        zt.end()
        zt.start()


def workers(zt):
    return int(zt.metrics().total("culvert_workers"))


@pytest.fixture
def echo(calm):
    with talk.Server(calm.server, PORT, talk.echo), talk.Server(calm.ext, PORT, talk.echo):
        yield


def test_the_mesh_file_is_read_and_proxy_config_and_variables_win_over_it(calm, tmp_path):
    directory = tmp_path / "etc" / "istio" / "config"
    directory.mkdir(parents=True)
    os.chmod(tmp_path, 0o755)
    (directory / "mesh").write_text(
        "rootNamespace: istio-system\n"
        "defaultConfig:\n"
        "  discoveryAddress: istiod.istio-system.svc:15012\n"
        "  concurrency: 3\n"
        "  proxyMetadata:\n"
        "    ISTIO_META_CLUSTER_ID: from-file\n"
        "    COLOUR: from-file\n")
    with restarted(calm.a, str(tmp_path), ZTUNNEL_WORKER_THREADS="") as zt:
        assert workers(zt) == 3
        config = zt.config_dump()["config"]
        assert config["clusterId"] == "from-file"
        assert config["proxyMetadata"] == {"CLUSTER_ID": "from-file", "COLOUR": "from-file"}
    with restarted(calm.a, str(tmp_path), ZTUNNEL_WORKER_THREADS="", ISTIO_META_CLUSTER_ID="env",
                   PROXY_CONFIG="{concurrency: 1, proxyMetadata: {COLOUR: own}}") as zt:
        assert workers(zt) == 1
        config = zt.config_dump()["config"]
        assert config["proxyMetadata"] == {"CLUSTER_ID": "env", "COLOUR": "own"}
    with restarted(calm.a, str(tmp_path), ZTUNNEL_WORKER_THREADS="2",
                   PROXY_CONFIG="concurrency: 1") as zt:
        assert workers(zt) == 2


RULES = """
table inet theirs {
    chain output {
        type nat hook output priority -100;
        meta l4proto tcp oifname "eth0" meta mark & 0xfff != %d redirect to :15001
    }
}
"""


@pytest.mark.parametrize("mark, setting", [(1337, {}), (1000, {"PACKET_MARK": "1000"})])
def test_rules_that_spare_the_mark_do_not_capture_our_connections_again(calm, echo, mark, setting):
    with restarted(calm.a, **setting), contextlib.ExitStack() as stack:
        calm.client.run(["nft", "-f", "-"], input=RULES % mark)
        stack.callback(calm.client.run, ["nft", "flush", "ruleset"])
        for address in (calm.server.ip4, calm.server.ip6, calm.ext.ip4, calm.ext.ip6):
            wait_until(lambda: talk.served(calm.client, address, PORT), 30, f"{address} is served")
        calm.client.run(["nft", "delete", "table", "inet", "theirs"])
        calm.client.run(["nft", "-f", "-"], input=RULES % (mark + 1))
        assert not talk.served(calm.client, calm.ext.ip4, PORT, timeout=2), "the mark is another one"


def test_a_mark_that_would_be_captured_is_refused_by_name(calm):
    zt = calm.a.ztunnel
    zt.end()
    zt.extra_env["PACKET_MARK"] = str(0x5111)
    mark = zt.log_size()
    try:
        zt.start(wait=False)
        assert zt.process.wait(30) != 0
    finally:
        del zt.extra_env["PACKET_MARK"]
    assert "PACKET_MARK 20753" in zt.log_text(mark)


def test_without_shared_ports_in_pods_every_worker_is_found_all_the_same(calm, echo):
    with restarted(calm.a, INPOD_PORT_REUSE="false", ZTUNNEL_WORKER_THREADS="3") as zt:
        bound = [line.split()[3] for line in
                 calm.client.run(["ss", "-Hltn"]).stdout.splitlines()]
        assert sum(b.endswith(":15001") for b in bound) == 1
        wait_until(lambda: talk.served(calm.client, calm.server.ip4, PORT), 30, "it is served")
        mark = zt.log_size()
        for _ in range(30):
            talk.ask(calm.client, calm.ext.ip4, PORT)
        wait_until(lambda: len(zt.access_log(mark, direction="outbound")) >= 30, 10,
                   "all were proxied, by whichever worker")
