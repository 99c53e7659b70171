# SPDX-License-Identifier: Apache-2.0
"""The mesh as ztunnel's YAML state file tells it: workloads, services, policies."""
import os

import yaml

TRUST_DOMAIN = "cluster.local"
CLUSTER = "Kubernetes"


def identity(namespace, account):
    return f"spiffe://{TRUST_DOMAIN}/ns/{namespace}/sa/{account}"


def workload(pod, node):
    """One entry; `netns` only in the file of the pod's own node and only when it is enrolled."""
    entry = {
        "uid": pod.uid,
        "name": pod.name,
        "namespace": pod.namespace,
        "workloadIps": pod.addresses,
        "serviceAccount": pod.account,
        "trustDomain": TRUST_DOMAIN,
        "protocol": "HBONE" if pod.enrolled else "TCP",
        "node": pod.node.full_name,
        "workloadName": pod.workload,
        "workloadType": "deployment",
        "canonicalName": pod.workload,
        "canonicalRevision": "v1",
        "clusterId": CLUSTER,
        "status": "Healthy" if pod.healthy else "Unhealthy",
        "services": {key: dict(ports) for key, ports in pod.services.items()},
    }
    if pod.policies:
        entry["authorizationPolicies"] = list(pod.policies)
    if pod.enrolled and pod.node is node:
        entry["netns"] = pod.netns_path
    entry.update(pod.more)
    return entry


def service(name, namespace, vips, ports):
    return {
        "name": name,
        "namespace": namespace,
        "hostname": f"{name}.{namespace}.svc.cluster.local",
        "vips": ["/" + vip for vip in vips],
        "ports": dict(ports),
    }


def policy(name, namespace, action, matches, scope="Namespace"):
    """A policy of one rule with one clause; matches are ORed."""
    return {"name": name, "namespace": namespace, "scope": scope, "action": action,
            "rules": [[list(matches)]]}


def exact(*values):
    return [{"Exact": v} for v in values]


def state(lab, node):
    return {
        "workloads": [workload(pod, node) for pod in lab.pods if pod.in_mesh] + lab.workloads,
        "services": lab.services,
        "policies": lab.policies,
    }


class _WrittenOut(yaml.SafeDumper):
    """What stands twice in a state is written twice: the reader takes no aliases."""

    def ignore_aliases(self, data):
        return True


def write(path, content):
    """Replaces the file in one step, so that no reader ever meets half of it."""
    text = content if isinstance(content, str) else yaml.dump(content, Dumper=_WrittenOut,
                                                                    sort_keys=False)
    fresh = path + ".new"
    with open(fresh, "w", encoding="utf-8") as f:
        f.write(text)
    os.replace(fresh, path)


def _plain(value):
    """A form in which the file's and the dump's spelling of a policy are equal."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if v not in ([], None, False)}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return value


def _facts(entry):
    """What tests change about a workload beside its health."""
    return {key: _plain(entry[key]) for key in
            ("authorizationPolicies", "applicationTunnel", "node") if entry.get(key)}


def _waypoint(entry):
    return (entry.get("waypoint") or {}).get("destination")


def difference(dump, lab):
    """What a ztunnel's config_dump does not (yet) show of the lab's state; "" if nothing."""
    want = {pod.uid: "HBONE" if pod.enrolled else "TCP" for pod in lab.pods if pod.in_mesh}
    want.update((w["uid"], w.get("protocol", "TCP")) for w in lab.workloads)
    have = {w.get("uid"): w["protocol"] for w in dump["workloads"]}
    if want != have:
        return f"workloads: {have} in place of {want}"
    health = {pod.uid: pod.healthy for pod in lab.pods if pod.in_mesh}
    seen = {w["uid"]: w["status"] == "Healthy" for w in dump["workloads"] if w["uid"] in health}
    if health != seen:
        return f"workload status: {seen} in place of {health}"
    want = {pod.uid: _facts(workload(pod, pod.node)) for pod in lab.pods if pod.in_mesh}
    have = {w["uid"]: _facts(w) for w in dump["workloads"] if w["uid"] in want}
    if want != have:
        return f"workload facts: {have} in place of {want}"
    want = sorted(s["hostname"] for s in lab.services)
    have = sorted(s["hostname"] for s in dump["services"])
    if want != have:
        return f"services: {have} in place of {want}"
    want = {s["hostname"]: _waypoint(s) for s in lab.services}
    have = {s["hostname"]: _waypoint(s) for s in dump["services"]}
    if want != have:
        return f"waypoints of services: {have} in place of {want}"
    want = {pod.uid: _waypoint(pod.more) for pod in lab.pods if pod.in_mesh}
    have = {w["uid"]: _waypoint(w) for w in dump["workloads"] if w["uid"] in want}
    if want != have:
        return f"waypoints of workloads: {have} in place of {want}"
    key = lambda p: (p["namespace"], p["name"])
    want = [_plain(p) for p in sorted(lab.policies, key=key)]
    have = [_plain(p) for p in sorted(dump["policies"], key=key)]
    if want != have:
        return f"policies: {have} in place of {want}"
    return ""
