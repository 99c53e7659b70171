# SPDX-License-Identifier: Apache-2.0
"""Policies of the file decide who reaches a pod, from the moment the file changes."""
import pytest

import talk
import world
from ztunnel import wait_until

PORT, OTHER_PORT = 8080, 8081
CLIENT = "cluster.local/ns/default/sa/client"
OTHER = "cluster.local/ns/elsewhere/sa/other"


@pytest.fixture(scope="module", autouse=True)
def servers(mesh):
    made = [talk.Server(mesh.server, port, talk.echo) for port in (PORT, OTHER_PORT)]
    yield made
    for server in made:
        server.close()


def rule(mesh, action, *matches, scope="Namespace"):
    mesh.lab.policies = [world.policy("the-policy", "default", action, matches, scope)]
    mesh.lab.apply()


def reached(mesh):
    """Who gets through: client, other and ext by the big port; client by the other port."""
    found = set()
    for name, place, port in (("client", mesh.client, PORT), ("other", mesh.other, PORT),
                              ("ext", mesh.ext, PORT), ("client, 8081", mesh.client, OTHER_PORT)):
        if talk.served(place, mesh.server.ip4, port, timeout=5):
            found.add(name)
    return found


EVERYBODY = {"client", "other", "ext", "client, 8081"}

CASES = {
    "deny a principal": ("Deny", [{"principals": world.exact(CLIENT)}], {"other", "ext"}),
    "allow a principal": ("Allow", [{"principals": world.exact(CLIENT)}],
                          {"client", "client, 8081"}),
    "deny a prefix of principals": (
        "Deny", [{"principals": [{"Prefix": "cluster.local/ns/default/"}]}], {"other", "ext"}),
    "allow a suffix of principals": (
        "Allow", [{"principals": [{"Suffix": "/sa/other"}]}], {"other"}),
    "deny a namespace": ("Deny", [{"namespaces": world.exact("elsewhere")}],
                         EVERYBODY - {"other"}),
    "allow a namespace": ("Allow", [{"namespaces": world.exact("elsewhere")}], {"other"}),
    "deny a port": ("Deny", [{"destinationPorts": [OTHER_PORT]}], EVERYBODY - {"client, 8081"}),
    "allow a port": ("Allow", [{"destinationPorts": [OTHER_PORT]}], {"client, 8081"}),
    "deny addresses": ("Deny", [{"sourceIps": ["172.31.77.0/24"]}], EVERYBODY - {"ext"}),
    "allow addresses": ("Allow", [{"sourceIps": ["172.31.77.0/24"]}], {"ext"}),
    "deny all but an address": ("Deny", [{"notSourceIps": ["10.1.0.0/16"]}],
                                EVERYBODY - {"ext"}),
    "both conditions of a match": (
        "Deny", [{"principals": world.exact(CLIENT), "destinationPorts": [OTHER_PORT]}],
        EVERYBODY - {"client, 8081"}),
    "either match of a clause": (
        "Deny", [{"principals": world.exact(OTHER)}, {"destinationPorts": [OTHER_PORT]}],
        {"client", "ext"}),
    "no plaintext": ("Deny", [{"notPrincipals": [{"Presence": []}]}], EVERYBODY - {"ext"}),
}


@pytest.mark.asan
@pytest.mark.parametrize("case", CASES)
def test_a_policy_decides_who_gets_through(calm, case):
    action, matches, expected = CASES[case]
    rule(calm, action, *matches)
    assert reached(calm) == expected


@pytest.mark.asan
def test_without_policy_everybody_gets_through_again(calm):
    rule(calm, "Deny", {"destinationPorts": [PORT]})
    assert reached(calm) == {"client, 8081"}
    calm.lab.policies = []
    calm.lab.apply()
    assert reached(calm) == EVERYBODY


def test_an_allow_policy_without_rules_denies_all(calm):
    calm.lab.policies = [{"name": "nothing", "namespace": "default", "scope": "Namespace",
                          "action": "Allow", "rules": []}]
    calm.lab.apply()
    assert reached(calm) == set()


def test_a_policy_of_another_namespace_does_not_matter(calm):
    calm.lab.policies = [world.policy("theirs", "elsewhere", "Deny",
                                      [{"destinationPorts": [PORT]}])]
    calm.lab.apply()
    assert reached(calm) == EVERYBODY


def test_a_selected_policy_concerns_only_the_workload_that_names_it(calm):
    calm.lab.policies = [world.policy("picked", "default", "Deny", [{"destinationPorts": [PORT]}],
                                      "WorkloadSelector")]
    calm.lab.apply()
    assert reached(calm) == EVERYBODY
    calm.server.policies = ["default/picked"]
    calm.lab.policies = list(calm.lab.policies)
    calm.lab.apply()
    wait_until(lambda: reached(calm) == {"client, 8081"}, 10, "the policy is in force")


def test_a_dry_run_policy_changes_nothing(calm):
    policy = world.policy("trial", "default", "Deny", [{"destinationPorts": [PORT]}])
    calm.lab.policies = [dict(policy, dryRun=True)]
    calm.lab.apply()
    assert reached(calm) == EVERYBODY


@pytest.mark.asan
@pytest.mark.parametrize("who", ["client", "ext"])
def test_a_new_policy_ends_a_live_connection_it_forbids_and_no_other(calm, who):
    doomed = getattr(calm, who).connect(calm.server.ip4, PORT)
    spared = calm.other.connect(calm.server.ip4, PORT)
    with doomed, spared:
        for conn in (doomed, spared):
            conn.sendall(b"hello")
            talk.read_exactly(conn, 5)
        rule(calm, "Deny", {"sourceIps": [getattr(calm, who).ip4 + "/32"]})
        assert talk.ending(doomed) in ("fin", "reset")
        spared.sendall(b"still here")
        talk.read_exactly(spared, 10)


def test_a_denial_is_logged_and_counted(calm):
    mark = calm.b.ztunnel.log_size()
    rule(calm, "Deny", {"principals": world.exact(CLIENT)})
    want = {"reporter": "destination", "response_flags": "DENY", "source_workload": "client"}
    name = "istio_tcp_connections_failed_total"
    before = calm.b.ztunnel.metrics().total(name, **want)
    assert not talk.served(calm.client, calm.server.ip4, PORT)
    line = calm.b.ztunnel.wait_access(mark, direction="inbound")
    assert line["level"] == "error" and "default/the-policy" in line["error"]
    wait_until(lambda: calm.b.ztunnel.metrics().total(name, **want) == before + 1, 10,
               "the denial is counted")
