# SPDX-License-Identifier: Apache-2.0
"""Which identities a node has certificates of: those of its own workloads, as long as there are any."""
import pytest

import world
from ztunnel import wait_until

# The pods of node a have certificates in any case; this is about what else does.
PODS = {world.identity("default", "client"), world.identity("elsewhere", "other")}


def identities(node):
    return {c["identity"] for c in node.ztunnel.config_dump()["certificates"]}


def workload(name, account, **more):
    """A workload that is told of but is no pod that was captured: it has no namespace of a network."""
    return dict({"uid": f"told//{name}", "name": name, "namespace": "default",
                 "serviceAccount": account, "trustDomain": world.TRUST_DOMAIN,
                 "workloadIps": [], "services": {}, "protocol": "HBONE"}, **more)


def tell(mesh, *workloads):
    state = world.state(mesh.lab, mesh.a)
    state["workloads"] += list(workloads)
    world.write(mesh.a.state_path, state)
    mesh.a.ztunnel.reload()
    want = {w["uid"] for w in workloads}
    wait_until(lambda: want == {w["uid"] for w in mesh.a.ztunnel.config_dump()["workloads"]
                                if w.get("uid", "").startswith("told//")}, 20, "node a is told")


@pytest.mark.asan
def test_a_certificate_is_fetched_as_soon_as_a_workload_of_this_node_is_heard_of(calm):
    here, there = calm.a.full_name, calm.b.full_name
    tell(calm, workload("soon", "soon", node=here),
         workload("plain", "plain", node=here, protocol="TCP"),
         workload("far", "far", node=there),
         workload("nowhere", "nowhere"))
    soon = world.identity("default", "soon")
    wait_until(lambda: soon in identities(calm.a), 20, "the certificate is there")
    wait_until(lambda: {c["state"] for c in calm.a.ztunnel.config_dump()["certificates"]}
               == {"Available"}, 20, "all are")
    assert identities(calm.a) == PODS | {soon}


@pytest.mark.asan
def test_a_certificate_is_forgotten_with_the_last_workload_of_its_identity(calm):
    here = calm.a.full_name
    shared = world.identity("default", "shared")
    tell(calm, workload("one", "shared", node=here), workload("two", "shared", node=here))
    wait_until(lambda: shared in identities(calm.a), 20, "the certificate is there")
    tell(calm, workload("two", "shared", node=here))
    assert shared in identities(calm.a)
    tell(calm)
    wait_until(lambda: identities(calm.a) == PODS, 20, "it is forgotten")


@pytest.mark.asan
def test_a_certificate_is_forgotten_when_the_last_pod_of_its_identity_goes(calm):
    calm.other.in_mesh = calm.other.enrolled = False
    calm.lab.apply()
    wait_until(lambda: identities(calm.a) == {world.identity("default", "client")}, 60,
               "the certificate of the pod that left is forgotten")
    calm.other.in_mesh = calm.other.enrolled = True
    calm.lab.apply()
    wait_until(lambda: identities(calm.a) == PODS, 60, "it is fetched again")
