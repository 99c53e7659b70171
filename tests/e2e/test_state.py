# SPDX-License-Identifier: Apache-2.0
"""The state file: read again when it changes, refused with a position, last good kept."""
import os
import re
import subprocess

import pytest
import yaml

import netns
import talk
import world
from ztunnel import binary, wait_until

PORT = 8080

BAD_FILES = {
    "an unknown key": (lambda text: text.replace("  serviceAccount:", "  serviceAcount:", 1),
                       "serviceAcount"),
    "no YAML at all": (lambda text: text + "\nworkloads: [unclosed", ""),
    "a wrong address": (
        lambda text: text.replace("workloadIps:\n  - 10.", "workloadIps:\n  - ten.", 1),
        "workloadIps"),
    "an unknown protocol": (lambda text: text.replace("protocol: HBONE", "protocol: HBOEN", 1),
                            "HBOEN"),
}


@pytest.fixture(autouse=True)
def echo(mesh):
    with talk.Server(mesh.server, PORT, talk.echo):
        yield


@pytest.mark.asan
@pytest.mark.parametrize("what", BAD_FILES)
def test_a_bad_file_is_refused_with_its_position_and_the_last_good_state_stays(calm, what):
    spoil, named = BAD_FILES[what]
    zt = calm.b.ztunnel
    before, mark = zt.config_dump()["workloads"], zt.log_size()
    text = yaml.safe_dump(world.state(calm.lab, calm.b), sort_keys=False)
    spoiled = spoil(text)
    assert spoiled != text
    world.write(calm.b.state_path, spoiled)
    position = re.compile(re.escape(os.path.basename(calm.b.state_path)) + r":\d+:\d+")
    wait_until(lambda: position.search(zt.log_text(mark)), 15, "the log names file:line:column")
    assert named in zt.log_text(mark)
    assert zt.config_dump()["workloads"] == before
    assert talk.served(calm.client, calm.server.ip4, PORT)
    failed = zt.metrics().total("culvert_config_reloads_total", result="failed")
    assert failed >= 1


@pytest.mark.asan
def test_a_change_takes_effect_without_a_signal(calm):
    calm.lab.policies = [world.policy("shut", "default", "Deny", [{"destinationPorts": [PORT]}])]
    calm.lab.write_state()
    wait_until(lambda: not talk.served(calm.client, calm.server.ip4, PORT), 15,
               "the policy of the changed file is in force")


def test_sighup_reads_the_file_again(calm):
    reloads = calm.b.ztunnel.metrics().total("culvert_config_reloads_total", result="ok")
    calm.b.ztunnel.reload()
    wait_until(lambda: calm.b.ztunnel.metrics().total("culvert_config_reloads_total",
                                                      result="ok") > reloads, 15,
               "the reload is counted")


def test_a_first_file_that_is_bad_stops_the_start_with_its_position(mesh, tmp_path):
    path = tmp_path / "first.yaml"
    path.write_text("workloads:\n- name: x\n  namespase: default\n")
    done = start_alone(mesh, LOCAL_XDS_PATH=str(path))
    assert done.returncode not in (0, None) and done.returncode > 0
    assert "first.yaml:3:3" in done.stdout and "namespase" in done.stdout


@pytest.mark.parametrize("change, words", [
    ({"CULVERT_CA_INSECURE_DEV": None}, "CULVERT_CA_INSECURE_DEV"),
    ({"CULVERT_CA": None}, "CULVERT_CA"),
    ({"ZTUNNEL_WORKER_THREADS": "many"}, "ZTUNNEL_WORKER_THREADS"),
    ({"SECRET_TTL": "soon"}, "SECRET_TTL"),
    ({"IPV6_ENABLED": "yes"}, "IPV6_ENABLED"),
    ({"XDS_ADDRESS": "https://istiod:15012"}, "XDS_ADDRESS"),
    ({"FAKE_CA": "true"}, "FAKE_CA"),
    ({"LOCAL_XDS": "workloads: []"}, "LOCAL_XDS"),
])
def test_a_setting_that_cannot_be_honoured_stops_the_start_by_name(mesh, change, words):
    done = start_alone(mesh, **change)
    assert done.returncode > 0
    assert words in done.stdout


def start_alone(mesh, **change):
    """A ztunnel in the namespace of the off-mesh host, with a changed environment."""
    env = mesh.a.ztunnel.environment()
    env.update({"CULVERT_BPF_ROOT": mesh.a.bpf_root + "-alone"})
    for name, value in change.items():
        env[name] = value
        if value is None:
            del env[name]
    with netns.entered(mesh.ext.netns):
        return subprocess.run([binary(), "proxy"], env=env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=20, check=False)


@pytest.mark.parametrize("argument, status", [("version", 0), ("help", 0), ("dance", 1)])
def test_the_command_line_is_as_the_contract_says(argument, status):
    done = subprocess.run([binary(), argument], capture_output=True, text=True, timeout=20,
                          check=False)
    assert done.returncode == status
    assert done.stdout or done.stderr


def test_a_port_that_is_taken_stops_the_start_and_is_named(mesh):
    with mesh.ext.listen(15020):
        done = start_alone(mesh)
    assert done.returncode > 0 and "15020" in done.stdout
