#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares common/mesh/authz with authz_oracle.py on random policies and connections.

    compare_authz.py DRIVER [--decisions N] [--seed N]

DRIVER is the program built from authz_answers.c. Without a seed a new one is drawn; it is printed, and
the same seed asks the same questions. Then the oracle is broken in every way it knows, and each
must show as a difference: a comparison that could not fail would prove nothing.
"""
import argparse
import json
import random
import subprocess
import sys

import authz_oracle

QUESTIONS = 50  # of each mesh
SELF_CHECK_MESHES = 400
DOMAINS = ("cluster.local", "other.domain", "Cluster.local")
NAMESPACES = ("default", "apps", "app", "Default", "istio-system", "ns")
ACCOUNTS = ("alice", "bob", "ali", "Alice", "sa")
ADDRESSES = ("10.0.0.1", "10.0.0.2", "10.1.2.3", "192.168.7.9", "203.0.113.77", "fd00::1",
             "fd00::2:1", "2001:db8::5")
PORTS = (80, 443, 8080, 15008, 65535)
ODD_IDENTITIES = ("spiffe://td/ns/x/sa/", "spiffe://td/ns//sa/y", "spiffe:///ns/x/sa/y", "x",
                  "spiffe://td/ns/x/sa/y/z", "https://td/ns/x/sa/y", "spiffe://td/sa/x/ns/y",
                  "SPIFFE://td/ns/x/sa/y", "spiffe://td/ns/x")


class World:
    """Policies, workloads and questions out of one random number generator."""

    def __init__(self, dice):
        self.dice = dice
        self.namespaces = dice.sample(NAMESPACES, 3)
        self.policies = [self.policy(i) for i in range(dice.choice((0, 1, 2, 3, 5, 8, 20)))]
        names = [p["namespace"] + "/" + p["name"] for p in self.policies] + ["default/missing"]
        self.workloads = [
            {"uid": "w%d" % i, "name": "w%d" % i, "namespace": dice.choice(self.namespaces),
             "workloadIps": [], "services": {},
             "authorizationPolicies": dice.sample(names, dice.randint(0, min(4, len(names))))}
            for i in range(3)]

    def principal(self):
        d = self.dice
        return "%s/ns/%s/sa/%s" % (d.choice(DOMAINS), d.choice(NAMESPACES), d.choice(ACCOUNTS))

    def text_match(self, text):
        kind = self.dice.choice(("Exact", "Exact", "Prefix", "Suffix", "Presence"))
        if kind == "Presence":
            return {kind: []}
        cut = self.dice.randint(0, len(text))
        if kind == "Prefix":
            text = text[:cut]
        elif kind == "Suffix":
            text = text[cut:]
        elif self.dice.random() < 0.1:
            text = self.dice.choice(("", text + "x", text[:-1], "spiffe://" + text, "*"))
        return {kind: text}

    def cidr(self):
        address = self.dice.choice(ADDRESSES)
        full = 128 if ":" in address else 32
        length = self.dice.choice((0, 1, 7, 8, 9, 16, 24, 31, 32, 33, 63, 64, 65, 127, 128, None))
        return address if length is None or length > full else "%s/%d" % (address, length)

    def value(self, field):
        if field == "principals":
            return self.text_match(self.principal())
        if field == "namespaces":
            return self.text_match(self.dice.choice(NAMESPACES))
        if field == "serviceAccounts":
            return {"namespace": self.dice.choice(NAMESPACES),
                    "serviceAccount": self.dice.choice(ACCOUNTS)}
        if field.endswith("Ips"):
            return self.cidr()
        return self.dice.choice(PORTS)

    def match(self):
        d = self.dice
        made = {}
        for field in d.sample(authz_oracle.FIELDS, d.choice((0, 1, 1, 1, 2, 2, 3))):
            key = authz_oracle.negative(field) if d.random() < 0.35 else field
            made[key] = [self.value(field) for _ in range(d.choice((0, 1, 1, 2, 3)))]
        return made

    def rule(self):
        d = self.dice
        return [[self.match() for _ in range(d.choice((0, 1, 1, 2, 3)))]
                for _ in range(d.choice((0, 1, 1, 1, 2, 3)))]

    def policy(self, number):
        d = self.dice
        return {"name": "p%d" % number, "namespace": d.choice(self.namespaces),
                "scope": d.choice(("Global", "Namespace", "Namespace", "WorkloadSelector")),
                "action": d.choice(("Allow", "Deny")), "dryRun": d.random() < 0.2,
                "rules": [self.rule() for _ in range(d.choice((0, 1, 1, 2, 4)))]}

    def question(self):
        d = self.dice
        identity = "spiffe://" + self.principal()
        if d.random() < 0.3:
            identity = None
        elif d.random() < 0.03:
            identity = d.choice(ODD_IDENTITIES)
        return (d.choice(self.workloads), d.choice(ADDRESSES), d.choice(ADDRESSES),
                d.choice(PORTS), identity)

    def state_file(self):
        return json.dumps({"workloads": self.workloads, "policies": self.policies, "services": []})


def script(worlds):
    """What the driver reads."""
    out = []
    for world, questions in worlds:
        text = world.state_file()
        out.append("mesh %d\n%s\n" % (len(text), text))
        for workload, source, destination, port, identity in questions:
            place = "[%s]:%d" % (destination, port) if ":" in destination else "%s:%d" % (
                destination, port)
            out.append("ask %s %s %s %s\n" % (workload["uid"], source, place, identity or "-"))
    return "".join(out)


def as_line(answer):
    verdict, why, decided, notes = answer
    words = [verdict, why]
    for policy in [decided] + notes:
        words += ("-", "-") if policy is None else (policy[0], str(policy[1]))
    return " ".join(words)


def differences(oracle, worlds, lines):
    """(world, question, what the oracle says, what the driver said) wherever they differ."""
    at = 0
    for world, questions in worlds:
        for question in questions:
            conn = authz_oracle.Connection(*question[1:])
            expected = as_line(oracle.decide(world.policies, question[0], conn))
            if expected != lines[at]:
                yield world, question, expected, lines[at]
            at += 1


def self_check(worlds, lines):
    """Every misreading of the contract is noticed; returns the names of those that are not."""
    return [broken.__name__ for broken in authz_oracle.MISREADINGS
            if next(differences(broken(), worlds[:SELF_CHECK_MESHES], lines), None) is None]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("driver")
    parser.add_argument("--decisions", type=int, default=100000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    print("seed %d" % options.seed, flush=True)
    dice = random.Random(options.seed)
    worlds = []
    for _ in range(-(-options.decisions // QUESTIONS)):
        world = World(dice)
        worlds.append((world, [world.question() for _ in range(QUESTIONS)]))
    run = subprocess.run([options.driver], input=script(worlds), stdout=subprocess.PIPE,
                         encoding="utf-8", check=False)
    lines = run.stdout.splitlines()
    if run.returncode != 0 or len(lines) != len(worlds) * QUESTIONS:
        sys.exit("the driver ended with status %d after %d answers" % (run.returncode, len(lines)))
    found = list(differences(authz_oracle.Oracle(), worlds, lines))
    for world, question, expected, got in found[:3]:
        print("%s\nto %s\n  oracle: %s\n  mesh:   %s" % (world.state_file(), question, expected, got))
    allowed = sum(line.startswith("allow") for line in lines)
    print("%d decisions, %d allowed, %d differences" % (len(lines), allowed, len(found)))
    unnoticed = self_check(worlds, lines)
    print("%d misreadings of the contract tried, not noticed: %s" % (
        len(authz_oracle.MISREADINGS), ", ".join(unnoticed) or "none"))
    sys.exit(1 if found or unnoticed else 0)


if __name__ == "__main__":
    main()
