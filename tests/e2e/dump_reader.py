# SPDX-License-Identifier: Apache-2.0
"""A config_dump read as strictly as istioctl's Go structs do, and the views istioctl makes of it (contract 11.2, 11.3)."""
import base64
import datetime
import re


class Wrong(Exception):
    """A member of the dump is not what a reader expects; the text says where."""


def text(value, where):
    if not isinstance(value, str):
        raise Wrong(f"{where}: {value!r} is no text")


def filled(value, where):
    text(value, where)
    if not value:
        raise Wrong(f"{where}: is empty")


def boolean(value, where):
    if not isinstance(value, bool):
        raise Wrong(f"{where}: {value!r} is neither true nor false")


def number(value, where):
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Wrong(f"{where}: {value!r} is no whole number")


def maybe(check):
    def run(value, where):
        if value is not None:
            check(value, where)
    return run


def one_of(*words):
    def run(value, where):
        if value not in words:
            raise Wrong(f"{where}: {value!r} is none of {words}")
    return run


def matching(pattern):
    def run(value, where):
        text(value, where)
        if not re.fullmatch(pattern, value):
            raise Wrong(f"{where}: {value!r} does not look like {pattern}")
    return run


def each(check):
    """An array, never null."""
    def run(value, where):
        if not isinstance(value, list):
            raise Wrong(f"{where}: {value!r} is no array")
        for n, item in enumerate(value):
            check(item, f"{where}[{n}]")
    return run


def map_of(key, check):
    def run(value, where):
        if not isinstance(value, dict):
            raise Wrong(f"{where}: {value!r} is no object")
        for k, v in value.items():
            key(k, f"{where}: key")
            check(v, f"{where}.{k}")
    return run


def struct(always, sometimes=()):
    """An object with these members and no others: what a Go struct would pass over is a mistake here."""
    sometimes = dict(sometimes)

    def run(value, where):
        if not isinstance(value, dict):
            raise Wrong(f"{where}: {value!r} is no object")
        for key in always:
            if key not in value:
                raise Wrong(f"{where}: {key} is missing")
        for key, item in value.items():
            check = always.get(key) or sometimes.get(key)
            if check is None:
                raise Wrong(f"{where}: {key} is not a known member")
            check(item, f"{where}.{key}")
    return run


address = matching(r"(\d+\.){3}\d+|[0-9a-f:]+")
cidr = matching(r"((\d+\.){3}\d+|[0-9a-f:]+)/\d+")
endpoint = matching(r"(\d+\.){3}\d+:\d+|\[[0-9a-f:]+\]:\d+")
# Always a text: "network/ip" or "namespace/hostname"; istioctl fails on the whole dump otherwise.
destination = matching(r"[^/]*/[^/]+")
gateway = struct({"destination": destination, "hboneMtlsPort": number})
ports = map_of(matching(r"\d+"), number)
when = matching(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
status = one_of("Healthy", "Unhealthy")

workload = struct({
    "workloadIps": each(address), "protocol": one_of("HBONE", "TCP"),
    "networkMode": one_of("Standard", "HostNetwork"), "name": text, "namespace": text,
    "status": status, "clusterId": text, "capacity": number,
}, {
    "uid": filled, "trustDomain": filled, "serviceAccount": filled, "network": filled,
    "workloadName": filled, "workloadType": filled, "canonicalName": filled,
    "canonicalRevision": filled, "hostname": filled, "node": filled, "nativeTunnel": boolean,
    "waypoint": gateway, "networkGateway": gateway,
    "applicationTunnel": struct({"protocol": one_of("NONE", "PROXY")}, {"port": maybe(number)}),
    "authorizationPolicies": each(filled),
    "locality": struct({}, {"region": text, "zone": text, "subzone": text}),
    "services": each(destination),
    "netns": filled,  # ours: what the file asked to capture
})
SCOPES = one_of("Region", "Zone", "Subzone", "Node", "Cluster", "Network")
service = struct({
    "name": text, "namespace": text, "hostname": filled, "vips": each(destination),
    "ports": ports,
    "endpoints": map_of(text, struct({"workloadUid": text, "port": ports, "status": status})),
    "subjectAltNames": each(filled), "canonical": boolean,
    "visibility": one_of("Public", "Namespace"),
}, {
    "cidrVips": each(struct({"network": text, "cidr": cidr})), "waypoint": gateway,
    "weightedWaypoints": each(struct({"destination": gateway, "weight": number})),
    "loadBalancer": struct({"routingPreferences": each(SCOPES),
                            "mode": one_of("Standard", "Strict", "Failover", "Passthrough"),
                            "healthPolicy": one_of("OnlyHealthy", "AllowAll")}),
    "ipFamilies": one_of("Dual", "IPv4", "IPv6"),
})


def string_match(value, where):
    if not isinstance(value, dict) or len(value) != 1:
        raise Wrong(f"{where}: {value!r} is no object of one member")
    (kind, what), = value.items()
    one_of("Exact", "Prefix", "Suffix", "Presence")(kind, where)
    if kind == "Presence":
        if what != []:
            raise Wrong(f"{where}: Presence is {what!r}, not []")
    else:
        text(what, where)


_account = struct({"namespace": text, "serviceAccount": text})
_lists = {"principals": string_match, "namespaces": string_match, "serviceAccounts": _account,
          "sourceIps": cidr, "destinationIps": cidr, "destinationPorts": number}
match = struct({}, {prefix(name): each(check) for name, check in _lists.items() for prefix in
                    (str, lambda n: "not" + n[0].upper() + n[1:])})
policy = struct({"name": filled, "namespace": text,
                 "scope": one_of("Global", "Namespace", "WorkloadSelector"),
                 "action": one_of("Allow", "Deny"), "rules": each(each(each(match)))},
                {"dryRun": boolean})


def encoded_pem(value, where):
    text(value, where)
    if not base64.b64decode(value, validate=True).startswith(b"-----BEGIN CERTIFICATE-----"):
        raise Wrong(f"{where}: is not the base64 of a PEM")


certificate = struct({"pem": encoded_pem, "serialNumber": matching(r"\d+"), "validFrom": when,
                      "expirationTime": when})
identity = struct({"identity": matching(r"spiffe://[^/]*/ns/[^/]+/sa/[^/]+"),
                   "state": matching(r"Available|Initializing|Unavailable: .+"),
                   "certChain": each(certificate), "rootCerts": each(certificate)})
connection = struct({"src": endpoint, "originalDst": maybe(text), "actualDst": endpoint,
                     "protocol": one_of("HBONE", "TCP", "DOUBLEHBONE")},
                    {"authorization": filled})  # ours
held = struct({"state": one_of("Up", "Pending"),
               "info": struct({"name": text, "namespace": text, "serviceAccount": text})},
              {"connections": struct({"inbound": each(connection),
                                      "outbound": each(connection)})})
anything = lambda value, where: None
version = struct({k: text for k in ("version", "gitRevision", "rustVersion", "buildProfile",
                                    "buildStatus", "istioVersion", "cryptoProvider")},
                 {"compiler": text})  # ours
dump = struct({
    "workloads": each(workload), "services": each(service), "policies": each(policy),
    "stagedServices": map_of(text, anything),
    "staticConfig": struct({"workloads": each(anything), "policies": each(anything),
                            "services": each(anything)}),
    "version": version, "config": map_of(filled, anything), "certificates": each(identity),
    "workloadState": map_of(filled, held),
})


def ordered(values, where):
    if list(values) != sorted(values):
        raise Wrong(f"{where}: is not sorted")


def check(value):
    """Raises Wrong at the first thing that is not as promised."""
    dump(value, "dump")
    ordered([w.get("uid", "") for w in value["workloads"]], "workloads")
    ordered([s["hostname"] for s in value["services"]], "services")
    ordered([c["identity"] for c in value["certificates"]], "certificates")
    for uid, state in value["workloadState"].items():
        if (state["state"] == "Up") != ("connections" in state):
            raise Wrong(f"workloadState.{uid}: connections are for those that are Up")


# -- the views -------------------------------------------------------------------

def waypoint_of(value, entry):
    """istioctl compares the destination with namespace/hostname and with every VIP."""
    if "waypoint" not in entry:
        return "None"
    wanted = entry["waypoint"]["destination"]
    for s in value["services"]:
        if wanted == f"{s['namespace']}/{s['hostname']}" or wanted in s["vips"]:
            return s["name"]
    return "NA"


def workloads(value):
    return {w["name"]: (w["namespace"], ",".join(w["workloadIps"]) or w.get("hostname", ""),
                        w.get("node", ""), waypoint_of(value, w), w["protocol"])
            for w in value["workloads"]}


def services(value):
    by_uid = {w.get("uid"): w for w in value["workloads"]}
    found = {}
    for s in value["services"]:
        ends = s["endpoints"].values()
        healthy = sum(by_uid.get(e["workloadUid"], {}).get("status") == "Healthy" for e in ends)
        vips = ",".join(v.split("/", 1)[1] for v in s["vips"])
        found[s["name"]] = (s["namespace"], vips, waypoint_of(value, s), f"{healthy}/{len(ends)}")
    return found


def certificates(value):
    rows = []
    for held_by in value["certificates"]:
        kinds = ["Leaf"] + ["Intermediate"] * (len(held_by["certChain"]) - 1)
        for kind, cert in list(zip(kinds, held_by["certChain"])) + \
                [("Root", c) for c in held_by["rootCerts"]]:
            begin, end = (datetime.datetime.strptime(cert[k], "%Y-%m-%dT%H:%M:%SZ")
                          for k in ("validFrom", "expirationTime"))
            valid = begin <= datetime.datetime.utcnow() < end
            rows.append((held_by["identity"], kind, held_by["state"], valid,
                         int(cert["serialNumber"])))
    return rows


def connections(value):
    """(pod, direction, from, to, protocol), addresses as names where they are known."""
    names = {}
    for w in value["workloads"]:
        if w["workloadIps"]:
            names.setdefault(w["workloadIps"][0], f"{w['name']}.{w['namespace']}")
    for s in value["services"]:
        if s["vips"]:
            names[s["vips"][0].split("/", 1)[1]] = s["hostname"]

    def named(where):
        host, port = where.rsplit(":", 1)
        return f"{names.get(host.strip('[]'), host)}:{port}"
    return [(f"{state['info']['name']}.{state['info']['namespace']}", way, named(c["src"]),
             named(c["actualDst"]), c["protocol"])
            for state in value["workloadState"].values() if state["state"] == "Up"
            for way in ("inbound", "outbound") for c in state["connections"][way]]
