# SPDX-License-Identifier: Apache-2.0
"""Policies of the file decide who reaches a pod, from the moment the file changes."""
import re

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


TRIAL_DENY = dict(world.policy("trial-deny", "default", "Deny", [{"destinationPorts": [PORT]}]),
                  dryRun=True)
TRIAL_ALLOW = dict(world.policy("trial-allow", "default", "Allow",
                                [{"principals": world.exact(OTHER)}]), dryRun=True)
VERDICTS = (  # of each kind of line: the words, and its policy
    (r"dry-run: would be denied by: default/trial-deny, rule 1", "default/trial-deny"),
    (r"dry-run: would be denied: dry-run allow policies exist, but none would allow", None),
    (r"allowed", None),
)


def verdict_lines(zt, since, level, words, policy):
    """Lines about a decision: of scope state, at this level, with these words and this policy."""
    found = []
    for line in zt.log_text(since).splitlines():
        named = re.search(r"policy=\"?([^ \"]+)", line)
        if (re.search(rf"\b{level}\b.*\bstate\b.*\b{words}", line, re.IGNORECASE)
                and (named.group(1) if named else None) == policy):
            found.append(line)
    return found


@pytest.mark.asan
def test_a_dry_run_policy_logs_what_it_would_have_done(calm):
    calm.lab.policies = [TRIAL_DENY, TRIAL_ALLOW]
    calm.lab.apply()
    zt = calm.b.ztunnel
    mark = zt.log_size()
    assert talk.served(calm.client, calm.server.ip4, PORT)
    assert "dry-run:" not in zt.log_text(mark)  # decisions are of no interest until asked for
    assert zt.get("/logging?level=info,state=debug", method="POST")[0] == 200
    try:
        mark = zt.log_size()
        assert talk.served(calm.client, calm.server.ip4, PORT)
        for words, policy in VERDICTS:
            wait_until(lambda: verdict_lines(zt, mark, "debug", words, policy), 10, words)
        assert "at " in verdict_lines(zt, mark, "debug", *VERDICTS[0])[0]  # which line of the file
        mark = zt.log_size()
        assert talk.served(calm.other, calm.server.ip4, PORT)
        wait_until(lambda: verdict_lines(zt, mark, "debug", "dry-run: would be allowed by: "
                                         "default/trial-allow, rule 1", "default/trial-allow"),
                   10, "the dry-run policy that would allow is named")
    finally:
        zt.get("/logging?level=info&reset", method="POST")


def test_decisions_are_logged_at_info_when_asked_for(calm):
    calm.lab.policies = [TRIAL_DENY, world.policy("the-policy", "default", "Deny",
                                                  [{"principals": world.exact(OTHER)}])]
    calm.lab.apply()
    zt = calm.b.ztunnel
    zt.end()
    zt.extra_env["AUTHZ_POLICY_INFO_LOGGING"] = "true"
    try:
        zt.start()
        mark = zt.log_size()
        wait_until(lambda: talk.served(calm.client, calm.server.ip4, PORT), 10, "it serves again")
        wait_until(lambda: verdict_lines(zt, mark, "info", VERDICTS[0][0], VERDICTS[0][1]), 10,
                   "what the dry-run policy would have done is logged at info")
        assert not talk.served(calm.other, calm.server.ip4, PORT)
        wait_until(lambda: verdict_lines(zt, mark, "info", "denied", "default/the-policy"), 10,
                   "the denial is logged at info")
    finally:
        del zt.extra_env["AUTHZ_POLICY_INFO_LOGGING"]
        zt.end()
        zt.start()


def test_config_dump_says_by_which_rule_a_connection_is_allowed(calm):
    def told():
        states = calm.b.ztunnel.config_dump()["workloadState"].values()
        shown = next(s for s in states if s["info"]["name"] == calm.server.name)
        return [c["authorization"] for c in shown["connections"]["inbound"]]
    with calm.client.connect(calm.server.ip4, PORT) as conn:
        conn.sendall(b"hello")
        talk.read_exactly(conn, 5)
        assert told() == ["allowed: no allow policy applies"]
        rule(calm, "Allow", {"principals": world.exact(CLIENT)})
        wait_until(lambda: told() == ["allowed by: default/the-policy, rule 1"], 10,
                   "the rule is named")
        conn.sendall(b"still here")
        talk.read_exactly(conn, 10)


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
    assert line["level"] == "error"
    assert line["error"].endswith("explicitly denied by: default/the-policy, rule 1")
    wait_until(lambda: calm.b.ztunnel.metrics().total(name, **want) == before + 1, 10,
               "the denial is counted")
