# SPDX-License-Identifier: Apache-2.0
"""config_dump as istioctl reads it: a mesh with everything in it, and one with nothing."""
import copy

import pytest
import yaml

import dump_reader
import talk
import world
from ztunnel import wait_until

PORT = 8080
RICH = yaml.safe_load("""
workloads:
- {uid: rich/full, name: full, namespace: rich, workloadIps: ["10.250.0.7", "fd00:fa::7"], serviceAccount: web,
   trustDomain: cluster.local, protocol: HBONE, networkMode: Standard, network: net1, node: far-away,
   waypoint: {destination: rich/way.rich.svc.cluster.local, hboneMtlsPort: 15008},
   networkGateway: {destination: "net2/203.0.113.4", hboneMtlsPort: 15008},
   applicationTunnel: {protocol: PROXY, port: 15088}, nativeTunnel: true, workloadName: web, workloadType: cronjob,
   canonicalName: web, canonicalRevision: v1, clusterId: Kubernetes,
   locality: {region: r1, zone: z1, subzone: s1}, status: Unhealthy, authorizationPolicies: ["rich/all"], capacity: 3,
   services: {"rich/web.rich.svc.cluster.local": {80: 8080}}}
- {uid: rich/bare, namespace: rich, workloadIps: [], hostname: db.example.com, services: {},
   applicationTunnel: {protocol: PROXY}, waypoint: {destination: /10.251.0.99, hboneMtlsPort: 15008}}
- {uid: rich/host, name: host, namespace: rich, workloadIps: ["10.250.0.8"], networkMode: HostNetwork, services: {},
   waypoint: {destination: /10.251.0.98, hboneMtlsPort: 15008}}
services:
- {name: web, namespace: rich, hostname: web.rich.svc.cluster.local, vips: ["/10.251.0.10", "net1/fd00:fb::10"],
   cidrVips: [{network: "", cidr: 192.0.2.0/24}], ports: {80: 8080, 443: 0},
   subjectAltNames: ["spiffe://cluster.local/ns/rich/sa/web"],
   waypoint: {destination: /10.251.0.99, hboneMtlsPort: 15008},
   weightedWaypoints: [{destination: {destination: /10.251.0.99, hboneMtlsPort: 15008}, weight: 90}],
   loadBalancer: {mode: Failover, routingPreferences: [Network, Region, Zone, Subzone, Node, Cluster], healthPolicy: AllowAll},
   ipFamilies: Dual, canonical: true, visibility: Namespace}
- {name: way, namespace: rich, hostname: way.rich.svc.cluster.local, vips: ["/10.251.0.99"], ports: {15008: 15008}}
policies:
- {name: all, namespace: rich, scope: WorkloadSelector, action: Allow, dryRun: true, rules: [[[
    {principals: [{Exact: a}, {Prefix: b}, {Suffix: c}, {Presence: []}], notPrincipals: [{Exact: d}],
     namespaces: [{Exact: n}], notNamespaces: [{Presence: []}],
     serviceAccounts: [{namespace: n, serviceAccount: s}], notServiceAccounts: [{namespace: n, serviceAccount: t}],
     sourceIps: [10.0.0.0/8], notSourceIps: ["fd00::/8"], destinationIps: [10.0.0.1/32], notDestinationIps: [10.0.0.2/32],
     destinationPorts: [80], notDestinationPorts: [81]}]]]}
- {name: none, namespace: "", scope: Global, action: Deny, rules: []}
""")


@pytest.fixture
def rich(calm):
    """Node a is told of everything a file can say."""
    state = world.state(calm.lab, calm.a)
    for key, more in RICH.items():
        state[key] = state[key] + copy.deepcopy(more)
    world.write(calm.a.state_path, state)
    calm.a.ztunnel.reload()
    wait_until(lambda: any(p["name"] == "none" for p in calm.a.ztunnel.config_dump()["policies"]), 20,
               "the policies are there")
    wait_until(lambda: len(calm.a.ztunnel.config_dump()["certificates"]) >= 2, 20, "certificates")
    return calm


def test_a_strict_reader_takes_a_dump_of_everything(rich):
    dump = rich.a.ztunnel.config_dump()
    dump_reader.check(dump)
    full = next(w for w in dump["workloads"] if w["name"] == "full")
    assert set(full) == set(RICH["workloads"][0]) - {"services"} | {"services"}
    rules = next(p for p in dump["policies"] if p["name"] == "all")["rules"]
    assert set(rules[0][0][0]) == set(RICH["policies"][0]["rules"][0][0][0])


def test_the_views_of_istioctl_show_what_is_meant(rich):
    dump = rich.a.ztunnel.config_dump()
    shown = dump_reader.workloads(dump)
    assert shown["full"] == ("rich", "10.250.0.7,fd00:fa::7", "far-away", "way", "HBONE")
    assert shown[""] == ("rich", "db.example.com", "", "way", "TCP")
    assert shown["host"][3] == "NA", "a waypoint nobody knows"
    shown = dump_reader.services(dump)
    assert shown["web"] == ("rich", "10.251.0.10,fd00:fb::10", "way", "0/1")
    assert shown["way"] == ("rich", "10.251.0.99", "None", "0/0")
    rows = dump_reader.certificates(dump)
    for pod in (rich.client, rich.other):
        assert [r[1] for r in rows if r[0] == pod.identity] == ["Leaf", "Root"]
    assert all(state == "Available" and valid and serial > 0 for _, _, state, valid, serial in rows)


@pytest.mark.asan
def test_live_connections_are_listed_by_name_and_gone_when_they_end(calm):
    def listed(node):
        dump = node.ztunnel.config_dump()
        dump_reader.check(dump)
        return dump_reader.connections(dump)
    with talk.Server(calm.server, PORT, talk.echo), talk.Server(calm.ext, PORT, talk.echo):
        with calm.client.connect(calm.server.ip4, PORT) as conn, \
                calm.client.connect(calm.ext.ip4, PORT) as plain:
            for c in (conn, plain):
                c.sendall(b"x")
                talk.read_exactly(c, 1)
            source = conn.getsockname()[1]
            assert ("client.default", "outbound", f"client.default:{source}",
                    "server.default:15008", "HBONE") in listed(calm.a)
            assert any(way == "outbound" and protocol == "TCP" and to == f"{calm.ext.ip4}:8080"
                       for _, way, _, to, protocol in listed(calm.a))
            inbound = [c for c in listed(calm.b) if c[:2] == ("server.default", "inbound")]
            assert [(to, protocol) for _, _, _, to, protocol in inbound] == [
                ("server.default:8080", "HBONE")]
    for node in (calm.a, calm.b):
        wait_until(lambda: not listed(node), 20, "no connection is listed any more")


def test_a_strict_reader_takes_a_dump_of_nothing(calm):
    world.write(calm.a.state_path, "workloads: []\n")
    calm.a.ztunnel.reload()
    wait_until(lambda: not calm.a.ztunnel.config_dump()["workloads"], 20, "nothing is known")
    dump = calm.a.ztunnel.config_dump()
    dump_reader.check(dump)
    assert dump["services"] == dump["policies"] == []


@pytest.mark.parametrize("spoil", [
    lambda d: d.update(policies=None),
    lambda d: d["workloads"][0].update(waypoint={"destination": {"address": "x"}, "hboneMtlsPort": 1}),
    lambda d: d["workloads"][0].update(status="healthy"),
    lambda d: d["certificates"][0]["certChain"][0].update(serialNumber="0xff"),
    lambda d: d.pop("version"),
])
def test_the_reader_is_strict(mesh, spoil):
    dump = mesh.a.ztunnel.config_dump()
    spoil(dump)
    with pytest.raises(dump_reader.Wrong):
        dump_reader.check(dump)
