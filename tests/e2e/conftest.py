# SPDX-License-Identifier: Apache-2.0
"""End to end: every module has a lab of its own, with a ztunnel on each of two nodes.

CULVERT_BUILD names the build directory (default: build), CULVERT_E2E_MB the size of the big
transfers. Tests marked `asan` make sense with a sanitizer build too; any report of a sanitizer
fails the module in which it appeared.
"""
import copy
import os
import signal
import sys
import types

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lab"))
sys.path.insert(0, HERE)

import lab as lab_room
import ztunnel

# The most important claims first.
ORDER = ("test_bytes.py", "test_proof.py", "test_crash.py", "test_peers.py", "test_revocation.py",
         "test_rotation.py", "test_policy.py", "test_routes.py", "test_waypoints.py",
         "test_networks.py", "test_names.py", "test_wire.py", "test_closing.py", "test_apps.py",
         "test_enroll.py", "test_leave.py", "test_drain.py", "test_telemetry.py", "test_state.py", "test_redirect.py",
         "test_redirect_dns.py", "test_dns.py")
TEST_SECONDS = 60
LOG_LINES_SHOWN = 40


def pytest_configure(config):
    config.addinivalue_line("markers", "asan: also run against the sanitizer build")
    config.addinivalue_line("markers", "limit(seconds): how long the test may take at most")


def pytest_collection_modifyitems(items):
    def place(item):
        name = item.path.name
        return ORDER.index(name) if name in ORDER else len(ORDER)
    items.sort(key=place)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows what the ztunnels said last."""
    outcome = yield
    report = outcome.get_result()
    world = getattr(item, "funcargs", {}).get("mesh")
    if report.failed and world is not None:
        for node in world.lab.nodes.values():
            report.sections.append((f"log of ztunnel on node {node.name}",
                                    node.ztunnel.tail(LOG_LINES_SHOWN)))


@pytest.fixture(autouse=True)
def bounded(request):
    """No test waits for ever."""
    marker = request.node.get_closest_marker("limit")
    seconds = marker.args[0] if marker else TEST_SECONDS

    def late(_number, _frame):
        raise TimeoutError(f"the test was not over after {seconds} s")
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def build_mesh(lab):
    """Two nodes; on a: client, other, plain; on b: server, second, plain_server; ext off them."""
    a, b = lab.node("a"), lab.node("b")
    mesh = types.SimpleNamespace(lab=lab, a=a, b=b)
    mesh.client = a.pod("client")
    mesh.other = a.pod("other", namespace="elsewhere")
    mesh.plain = a.pod("plain", enrolled=False)
    mesh.server = b.pod("server")
    mesh.second = b.pod("second")
    mesh.plain_server = b.pod("plain-server", enrolled=False)
    mesh.ext = lab.host("ext")
    return mesh


@pytest.fixture(scope="module")
def mesh(request):
    """The module's lab; a module's ZTUNNEL_ENV adds to the environment of its ztunnels."""
    env = getattr(request.module, "ZTUNNEL_ENV", {})
    with lab_room.Lab(ztunnel_env=env) as lab:
        made = build_mesh(lab)
        prepare = getattr(request.module, "prepare", None)
        if prepare:
            prepare(made)
        lab.start()
        yield made
        lab.stop_ztunnels()
        reports = lab.sanitizer_reports()
        assert not reports, "\n".join(f"node {n}: {text}" for n, text in reports.items())


@pytest.fixture
def calm(mesh):
    """For tests that change the mesh: puts pods, services and policies back afterwards."""
    lab = mesh.lab
    pods = [(p, p.enrolled, p.in_mesh, p.healthy, list(p.policies), dict(p.services),
             dict(p.more)) for p in lab.pods]
    services, policies = copy.deepcopy(lab.services), list(lab.policies)
    workloads = list(lab.workloads)
    yield mesh
    lab.services, lab.policies, lab.workloads = services, policies, workloads
    known = [entry[0] for entry in pods]
    for pod in lab.pods:
        if pod not in known:
            pod.in_mesh = pod.enrolled = False
    for (pod, pod.enrolled, pod.in_mesh, pod.healthy, pod.policies, pod.services,
         pod.more) in pods:
        pass
    for node in (mesh.a, mesh.b):
        if not node.ztunnel.running():
            node.ztunnel.start()
    lab.apply()


@pytest.fixture(scope="session")
def slow_build():
    """Whether the ztunnel under test carries sanitizers: sizes are cut then."""
    with open(ztunnel.binary(), "rb") as f:
        text = f.read()
    return b"__asan_init" in text or b"__tsan_init" in text


@pytest.fixture(scope="session")
def big_bytes(slow_build):
    """Size of a big transfer, per direction."""
    megabytes = int(os.environ.get("CULVERT_E2E_MB", "64" if slow_build else "1024"))
    return megabytes << 20
