# SPDX-License-Identifier: Apache-2.0
"""authz_oracle - who may reach a workload, read straight off the contract (8.1 to 8.3).

Written from the words of the contract alone, for comparison with common/mesh/authz; nothing is fast
here. A policy is a dict as in the state file. Of several policies that match, the one reported is the
first of: those of everywhere, those of the workload's namespace, those it names; and its first rule.
"""
import ipaddress
import re

IDENTITY = re.compile(r"spiffe://(([^/\s\x00-\x20\x7f]+)/ns/([^/\x00-\x20\x7f]+)/sa/([^/\x00-\x20\x7f]+))\Z")
FIELDS = ("principals", "namespaces", "serviceAccounts", "sourceIps", "destinationIps",
          "destinationPorts")


def negative(field):
    return "not" + field[0].upper() + field[1:]


class Connection:
    def __init__(self, source, destination, port, identity):
        self.source = ipaddress.ip_address(source)
        self.destination = ipaddress.ip_address(destination)
        self.port = port
        self.identity = identity
        found = IDENTITY.match(identity) if identity is not None else None
        self.identified = found is not None
        self.principal, self.namespace, self.account = "", "", None
        if found:
            self.principal, self.namespace = found.group(1), found.group(3)
            self.account = (found.group(3), found.group(4))


class Oracle:
    """One method per sentence of the contract, so that each can be misread on its own."""

    # 8.3 values

    def text_matches(self, match, text):
        (kind, value), = match.items()
        if kind == "Exact":
            return text == value
        if kind == "Prefix":
            return text.startswith(value)
        if kind == "Suffix":
            return text.endswith(value)
        return text != ""  # Presence

    def principal_matches(self, match, conn):
        return conn.identified and self.text_matches(match, conn.principal)

    def namespace_matches(self, match, conn):
        return self.text_matches(match, conn.namespace)

    def account_matches(self, match, conn):
        return conn.identified and (match["namespace"], match["serviceAccount"]) == conn.account

    def address_matches(self, cidr, address):
        network = ipaddress.ip_network(cidr, strict=False)
        return network.version == address.version and address in network

    def value_matches(self, field, value, conn):
        if field == "principals":
            return self.principal_matches(value, conn)
        if field == "namespaces":
            return self.namespace_matches(value, conn)
        if field == "serviceAccounts":
            return self.account_matches(value, conn)
        if field == "sourceIps":
            return self.address_matches(value, conn.source)
        if field == "destinationIps":
            return self.address_matches(value, conn.destination)
        return value == conn.port

    # 8.3 lists, matches, clauses, rules

    def positive_holds(self, field, values, conn):
        return any(self.value_matches(field, v, conn) for v in values)

    def negative_holds(self, field, values, conn):
        return not any(self.value_matches(field, v, conn) for v in values)

    def match_matches(self, match, conn):
        lists = [(f, match[f], self.positive_holds) for f in FIELDS if match.get(f)]
        lists += [(f, match[negative(f)], self.negative_holds) for f in FIELDS
                  if match.get(negative(f))]
        if not lists:
            return self.empty_match()
        return self.lists_hold(holds(f, values, conn) for f, values, holds in lists)

    def empty_match(self):
        return False  # skipped

    def lists_hold(self, results):
        return all(results)

    def clause_matches(self, clause, conn):
        if not clause:
            return self.empty_clause()
        return any(self.match_matches(m, conn) for m in clause)

    def empty_clause(self):
        return True

    def rule_matches(self, rule, conn):
        return all(self.clause_matches(c, conn) for c in rule)

    def policy_matches(self, policy, conn):
        """The number of its first rule that matches, or None."""
        for number, rule in enumerate(policy["rules"]):
            if self.rule_matches(rule, conn):
                return number
        return None

    # 8.1

    def key(self, policy):
        return policy["namespace"] + "/" + policy["name"]

    def applicable(self, policies, workload):
        named = {self.key(p): p for p in policies}
        lists = ([p for p in policies if p["scope"] == "Global"],
                 [p for p in policies if p["scope"] == "Namespace"
                  and p["namespace"] == workload["namespace"]],
                 [named[n] for n in workload["authorizationPolicies"] if n in named])
        found = []
        for one in lists:
            found += [p for p in one if p not in found]
        return found

    # 8.2

    def decide(self, policies, workload, conn):
        """(verdict, why, deciding policy's key and rule or None, notes of dry runs)."""
        if conn.identity is not None and not conn.identified:
            return "deny", "denied", None, []
        applied = self.applicable(policies, workload)
        matched = [(p, self.policy_matches(p, conn)) for p in applied]

        def of(action, dry_run):
            return [(p, rule) for p, rule in matched
                    if p["action"] == action and p.get("dryRun", False) == dry_run]

        def hits(entries):
            return [(self.key(p), rule) for p, rule in entries if rule is not None]

        return self.verdict(of, hits)

    def verdict(self, of, hits):
        notes = hits(of("Deny", True))
        denied = hits(of("Deny", False))
        if denied:
            return "deny", "denied", denied[0], notes
        if of("Allow", True):
            notes += hits(of("Allow", True)) or [None]
        if not of("Allow", False):
            return "allow", "fine", None, notes
        allowed = hits(of("Allow", False))
        if allowed:
            return "allow", "fine", allowed[0], notes
        return "deny", "not-allowed", None, notes


# ---- how it could be misread; the comparison must notice each -----------------------------------

class EmptyMatchHolds(Oracle):
    def empty_match(self):
        return True


class EmptyClauseFails(Oracle):
    def empty_clause(self):
        return False


class RuleWithoutClausesFails(Oracle):
    def rule_matches(self, rule, conn):
        return bool(rule) and super().rule_matches(rule, conn)


class PolicyWithoutRulesMatches(Oracle):
    def policy_matches(self, policy, conn):
        return super().policy_matches(policy, conn) if policy["rules"] else 0


class AnyListOfAMatchIsEnough(Oracle):
    def lists_hold(self, results):
        return any(results)


class AllMatchesOfAClauseAreNeeded(Oracle):
    def clause_matches(self, clause, conn):
        return all(self.match_matches(m, conn) for m in clause)


class AnyClauseOfARuleIsEnough(Oracle):
    def rule_matches(self, rule, conn):
        return not rule or any(self.clause_matches(c, conn) for c in rule)


class AllValuesAreNeeded(Oracle):
    def positive_holds(self, field, values, conn):
        return all(self.value_matches(field, v, conn) for v in values)


class OneValueMayMatchANegation(Oracle):
    def negative_holds(self, field, values, conn):
        return not all(self.value_matches(field, v, conn) for v in values)


class PlaintextFailsNegations(Oracle):
    def negative_holds(self, field, values, conn):
        who = field in ("principals", "namespaces", "serviceAccounts")
        return (conn.identified or not who) and super().negative_holds(field, values, conn)


class PlaintextHasAnEmptyPrincipal(Oracle):
    def principal_matches(self, match, conn):
        return self.text_matches(match, conn.principal)


class PlaintextHasNoNamespace(Oracle):
    def namespace_matches(self, match, conn):
        return conn.identified and self.text_matches(match, conn.namespace)


class PrincipalsKeepTheirScheme(Oracle):
    def principal_matches(self, match, conn):
        return conn.identified and self.text_matches(match, "spiffe://" + conn.principal)


class TextIgnoresCase(Oracle):
    def text_matches(self, match, text):
        (kind, value), = match.items()
        return super().text_matches({kind: value and value.lower()}, text.lower())


class PrefixIsAnywhere(Oracle):
    def text_matches(self, match, text):
        value = match.get("Prefix")
        return value in text if value is not None else super().text_matches(match, text)


class SuffixIsAnywhere(Oracle):
    def text_matches(self, match, text):
        value = match.get("Suffix")
        return value in text if value is not None else super().text_matches(match, text)


class AccountsOfAnyNamespace(Oracle):
    def account_matches(self, match, conn):
        return conn.identified and match["serviceAccount"] == conn.account[1]


class AddressesExactlyOnly(Oracle):
    def address_matches(self, cidr, address):
        return str(address) == cidr.split("/")[0]


class FamiliesAreMixed(Oracle):
    def address_matches(self, cidr, address):
        return cidr.endswith("/0") or super().address_matches(cidr, address)


class SourceForDestination(Oracle):
    def value_matches(self, field, value, conn):
        if field == "destinationIps":
            return self.address_matches(value, conn.source)
        return super().value_matches(field, value, conn)


class PortsDoNotMatter(Oracle):
    def value_matches(self, field, value, conn):
        return field == "destinationPorts" or super().value_matches(field, value, conn)


class GlobalPoliciesForgotten(Oracle):
    def applicable(self, policies, workload):
        return super().applicable([p for p in policies if p["scope"] != "Global"], workload)


class NamespacesOfOthers(Oracle):
    def applicable(self, policies, workload):
        return super().applicable([dict(p, namespace=workload["namespace"])
                                   if p["scope"] == "Namespace" else p for p in policies], workload)


class SelectedPoliciesForEveryone(Oracle):
    def applicable(self, policies, workload):
        return super().applicable(policies, dict(
            workload, authorizationPolicies=[self.key(p) for p in policies]))


class NamedPoliciesForgotten(Oracle):
    def applicable(self, policies, workload):
        return super().applicable(policies, dict(workload, authorizationPolicies=[]))


class AllowComesBeforeDeny(Oracle):
    def verdict(self, of, hits):
        allowed = hits(of("Allow", False))
        return ("allow", "fine", allowed[0], []) if allowed else super().verdict(of, hits)


class DryRunDenies(Oracle):
    def verdict(self, of, hits):
        tried = hits(of("Deny", True))
        return ("deny", "denied", tried[0], []) if tried else super().verdict(of, hits)


class DryRunAllowWantsToBeMet(Oracle):
    def verdict(self, of, hits):
        found = super().verdict(of, hits)
        unmet = None in found[3]
        return ("deny", "not-allowed", None, found[3]) if unmet else found


class NoAllowPolicyDenies(Oracle):
    def verdict(self, of, hits):
        found = super().verdict(of, hits)
        if found[0] == "allow" and found[2] is None:
            return "deny", "not-allowed", None, found[3]
        return found


class OddIdentitiesAreNobody(Oracle):
    def decide(self, policies, workload, conn):
        conn.identity = None if not conn.identified else conn.identity
        return super().decide(policies, workload, conn)


MISREADINGS = [c for c in list(globals().values())
               if isinstance(c, type) and issubclass(c, Oracle) and c is not Oracle]
