# SPDX-License-Identifier: Apache-2.0
"""The DNS proxy with real clients: names of the mesh without any other nameserver, all others through one.

Pods believe their resolver to be RESOLVER, where nobody is. What the mesh does not know is asked of a nameserver
on the host ext, from inside the pod. Node b has DNS capture switched off.
"""
import contextlib
import ipaddress
import os
import re
import shutil
import signal
import socket
import subprocess
import threading

import dns.message
import dns.opcode
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

import dns_peer
import talk
import world
from dns_peer import addresses, ask, is_authoritative, is_truncated, run_with
from test_upgrade import Successor
from ztunnel import wait_until

PORT = 8080
RESOLVER, RESOLVER6 = "10.96.0.10", "fd00:96::a"
MANY = 256
ZTUNNEL_ENV = {"RUST_LOG": "info,dns=debug", "TERMINATION_GRACE_PERIOD_SECONDS": "11",
               "PREFERED_SERVICE_NAMESPACE": "favourite"}


def entry(name, hostname, vips, namespace="default", **more):
    return {**world.service(name, namespace, vips, {80: PORT}), "hostname": hostname, **more}


def prepare(mesh):
    lab = mesh.lab
    mesh.resolv = os.path.join(lab.dir, "resolv.conf")
    mesh.a.ztunnel.extra_env["CULVERT_RESOLV_CONF"] = mesh.resolv
    mesh.b.ztunnel.extra_env["ISTIO_META_DNS_CAPTURE"] = "false"
    mesh.upstream = dns_peer.Nameserver(mesh.ext)
    tell_upstream(mesh, mesh.ext.ip4)
    mesh.pod_resolv = os.path.join(lab.dir, "pod-resolv.conf")
    with open(mesh.pod_resolv, "w", encoding="ascii") as f:
        f.write("search default.svc.cluster.local svc.cluster.local cluster.local\n"
                f"nameserver {RESOLVER}\noptions ndots:5\n")
    lab.service("web", ["10.96.0.80", "fd00:96::80"], {80: PORT}, [mesh.server])
    lab.service("four", ["10.96.0.4"], {80: PORT}, [mesh.server])
    lab.service("web", ["10.96.0.81"], {80: PORT}, [mesh.server], namespace="elsewhere")
    lab.service("headless", [], {80: PORT}, [mesh.server, mesh.second])
    lab.service("many", [f"10.97.{i // 128}.{i % 128}" for i in range(MANY)], {80: PORT},
                [mesh.server])
    lab.services += [entry("api", "api.example.com", ["10.98.0.1"]),
                     entry("wild", "*.wild.example.com", ["10.98.0.2"]),
                     entry("mine", "shared.example.com", ["10.98.1.1"]),
                     entry("theirs", "shared.example.com", ["10.98.1.2"], "elsewhere"),
                     entry("third", "shared.example.com", ["10.98.1.3"], "third"),
                     entry("first", "one-of.example.com", ["10.98.2.1"], "third"),
                     entry("second", "one-of.example.com", ["10.98.2.2"], "favourite"),
                     entry("first", "canonical.example.com", ["10.98.3.1"], "third"),
                     entry("second", "canonical.example.com", ["10.98.3.2"], "fourth",
                           canonical=True),
                     entry("hidden", "hidden.example.com", ["10.98.4.1"], "elsewhere",
                           visibility="Namespace"),
                     {**entry("far", "far.example.com", []), "vips": ["other-network/10.98.5.1"]},
                     {**entry("both", "both.example.com", []),
                      "vips": ["other-network/10.98.5.2", "/10.98.5.3"]}]
    say = mesh.upstream.answers
    say("plain.test", "A", "192.0.2.1")
    say("plain.test", "AAAA", "2001:db8::1")
    say("fresh.test", "A", "192.0.2.1")
    say("fresh.test", "AAAA", "2001:db8::1")
    say("alias.test", "CNAME", "middle.test.")
    say("middle.test", "CNAME", "plain.test.")
    say("short-lived.test", "A", "192.0.2.2", ttl=100)
    say("text.test", "TXT", '"as it is"')
    say("text.test", "SRV", "1 2 3 plain.test.")
    say("text.test", "TYPE65280", r"\# 4 0a000001")
    say("crowd.test", "A", *[f"192.0.2.{i}" for i in range(1, 251)])
    mesh.upstream.scripts["broken.test"] = with_rcode(dns.rcode.SERVFAIL)
    mesh.upstream.scripts["refused.test"] = with_rcode(dns.rcode.REFUSED)
    mesh.upstream.scripts["silent.test"] = lambda _octets: None


def with_rcode(rcode):
    def script(octets):
        reply = dns.message.make_response(dns.message.from_wire(octets), recursion_available=True)
        reply.set_rcode(rcode)
        return reply.to_wire()
    return script


def tell_upstream(mesh, *servers, options="timeout:1 attempts:2"):
    fresh = mesh.resolv + ".new"
    with open(fresh, "w", encoding="ascii") as f:
        f.write("".join(f"nameserver {s}\n" for s in servers) + f"options {options}\n")
    os.replace(fresh, mesh.resolv)


@pytest.fixture(autouse=True)
def forget(mesh):
    mesh.upstream.seen.clear()


# -- names of the mesh ---------------------------------------------------------------------

@pytest.mark.asan
@pytest.mark.parametrize("name", ["web", "web.default", "web.default.svc",
                                  "web.default.svc.cluster.local", "WEB.Default.svc.cluster.LOCAL"])
def test_every_form_of_a_service_name_is_answered_for_both_families(mesh, name):
    for kind, vip in (("A", "10.96.0.80"), ("AAAA", "fd00:96::80")):
        for server in (RESOLVER, RESOLVER6):
            reply = ask(mesh.client, name, kind, server)
            assert addresses(reply) == [vip]
            assert [rrset.ttl for rrset in reply.answer] == [30]
            assert is_authoritative(reply)
            assert reply.question[0].name.to_text() == name + "."  # case as asked
    assert mesh.upstream.seen == []


def test_glibc_finds_services_by_its_search_list(mesh):
    for name in ("web", "web.default.svc.cluster.local"):
        text = run_with(mesh.client, mesh.pod_resolv, ["getent", "ahosts", name]).stdout
        assert {line.split()[0] for line in text.splitlines()} == {"10.96.0.80", "fd00:96::80"}
    text = run_with(mesh.client, mesh.pod_resolv, ["getent", "ahostsv4", "web.elsewhere"]).stdout
    assert text.split()[0] == "10.96.0.81"


def test_dig_and_host_find_services(mesh):
    text = run_with(mesh.client, mesh.pod_resolv, ["dig", "+search", "+short", "web"]).stdout
    assert text.split() == ["10.96.0.80"]
    for kind, says in (("A", "has address 10.96.0.80"), ("AAAA", "has IPv6 address fd00:96::80")):
        assert says in run_with(mesh.client, mesh.pod_resolv, ["host", "-t", kind, "web"]).stdout


@pytest.fixture(scope="module")
def musl_program(tmp_path_factory):
    """getaddrinfo by musl, which asks every nameserver for A and AAAA at once from one socket."""
    made = tmp_path_factory.mktemp("musl") / "lookup"
    code = ('#include <arpa/inet.h>\n#include <netdb.h>\n#include <stdio.h>\n'
            'int main(int c, char **v) {\n'
            'struct addrinfo *r, hints = {.ai_socktype = SOCK_STREAM};\nchar text[64];\n'
            'if (c != 2 || getaddrinfo(v[1], "80", &hints, &r)) return 1;\n'
            'for (; r; r = r->ai_next)\n'
            ' puts(inet_ntop(r->ai_family, r->ai_family == AF_INET ? (void *)&((struct sockaddr_in *)'
            'r->ai_addr)->sin_addr : (void *)&((struct sockaddr_in6 *)r->ai_addr)->sin6_addr,'
            ' text, sizeof(text)));\nreturn 0; }\n')
    subprocess.run(["musl-gcc", "-static", "-x", "c", "-", "-o", str(made)], input=code, text=True,
                   check=True)
    return str(made)


def test_musl_with_three_nameservers_finds_services_and_others(mesh, musl_program):
    path = mesh.pod_resolv + ".musl"
    with open(path, "w", encoding="ascii") as f:
        f.write("search default.svc.cluster.local svc.cluster.local cluster.local\n"
                f"nameserver {RESOLVER}\nnameserver 192.0.2.53\nnameserver {RESOLVER6}\n")
    for name, want in (("web", {"10.96.0.80", "fd00:96::80"}),
                       ("plain.test", {"192.0.2.1", "2001:db8::1"})):
        text = run_with(mesh.client, path, [musl_program, name]).stdout
        assert set(text.split()) == want


def test_the_namespace_of_who_asks_decides(mesh):
    assert addresses(ask(mesh.client, "web")) == ["10.96.0.80"]
    assert addresses(ask(mesh.other, "web")) == ["10.96.0.81"]  # in namespace elsewhere


def test_of_services_with_one_name_the_clients_the_canonical_the_prefered_answers(mesh):
    for pod, name, want in ((mesh.client, "shared", "10.98.1.1"), (mesh.other, "shared", "10.98.1.2"),
                            (mesh.client, "one-of", "10.98.2.2"),
                            (mesh.client, "canonical", "10.98.3.2")):
        assert addresses(ask(pod, f"{name}.example.com")) == [want]


def test_a_service_is_answered_only_where_it_is_visible(mesh):
    assert addresses(ask(mesh.other, "hidden.example.com")) == ["10.98.4.1"]
    assert ask(mesh.client, "hidden.example.com").rcode() == dns.rcode.NXDOMAIN
    assert len(mesh.upstream.asked("hidden.example.com")) == 1  # to the client it is a name as any other


def test_addresses_of_other_networks_are_not_answered(mesh):
    assert addresses(ask(mesh.client, "both.example.com")) == ["10.98.5.3"]
    reply = ask(mesh.client, "far.example.com")
    assert (reply.rcode(), reply.answer) == (dns.rcode.NOERROR, [])
    assert mesh.upstream.seen == []


def test_a_family_a_service_has_not_is_empty_and_asked_of_nobody(mesh):
    reply = ask(mesh.client, "four.default.svc.cluster.local", "AAAA")
    assert (reply.rcode(), reply.answer) == (dns.rcode.NOERROR, [])
    assert is_authoritative(reply)
    assert mesh.upstream.seen == []


def test_a_headless_service_is_its_endpoints(mesh):
    reply = ask(mesh.client, "headless.default.svc.cluster.local")
    assert sorted(addresses(reply)) == sorted([mesh.server.ip4, mesh.second.ip4])
    reply = ask(mesh.client, "headless", "AAAA")
    assert sorted(addresses(reply)) == sorted([mesh.server.ip6, mesh.second.ip6])


def test_a_search_domain_behind_a_name_of_the_world_is_taken_off_and_said_so(mesh):
    reply = ask(mesh.client, "api.example.com.default.svc.cluster.local")
    alias, records = reply.answer
    assert alias.rdtype == dns.rdatatype.CNAME
    assert alias[0].target.to_text() == "api.example.com."
    assert records.name.to_text() == "api.example.com."
    assert addresses(reply) == ["10.98.0.1"]
    text = run_with(mesh.client, mesh.pod_resolv, ["getent", "ahostsv4", "api.example.com"]).stdout
    assert text.split()[0] == "10.98.0.1"


def test_a_wildcard_service_answers_for_names_below_it(mesh):
    for name in ("a.wild.example.com", "a.b.wild.example.com"):
        reply = ask(mesh.client, name)
        assert addresses(reply) == ["10.98.0.2"]
        assert reply.answer[0].name.to_text() == name + "."


@pytest.mark.asan
def test_a_pod_reaches_a_service_by_name_through_the_mesh_with_no_nameserver_at_all(mesh):
    """From the question to the last byte: nobody but ztunnel answers, and the wire shows tunnels alone."""
    mesh.upstream.stop()
    try:
        with contextlib.ExitStack() as stack:
            app = mesh.server.popen(talk.APPS + ["whoami", str(PORT)])
            stack.callback(app.wait)
            stack.callback(app.kill)
            mesh.server.wait_listening(PORT)
            mark = mesh.a.ztunnel.log_size()
            packets = stack.enter_context(mesh.lab.captured(mesh.a, "udp port 53 or tcp"))
            done = run_with(mesh.client, mesh.pod_resolv,
                            ["curl", "-sS", "--max-time", "20",
                             "http://web.default.svc.cluster.local/"])
            assert mesh.client.ip4 in done.stdout or mesh.client.ip6 in done.stdout
            line = mesh.a.ztunnel.wait_access(mark, direction="outbound")
            assert line["dst.service"] == "web.default.svc.cluster.local"
            assert line["dst.identity"] == mesh.server.identity
        assert {p.dport for p in packets if p.src in mesh.client.addresses} == {15008}
    finally:
        mesh.upstream.start()


# -- all other names -----------------------------------------------------------------------

@pytest.mark.asan
def test_what_the_mesh_does_not_know_is_asked_from_inside_the_pod(mesh):
    for tcp in (False, True):
        for kind, want in (("A", "192.0.2.1"), ("AAAA", "2001:db8::1")):
            reply = ask(mesh.client, "fresh.test", kind, tcp=tcp)
            assert addresses(reply) == [want]
            assert not is_authoritative(reply)
    assert {client for client, _, _ in mesh.upstream.seen} == {mesh.client.ip4}
    assert {q.question[0].name.to_text() for q in mesh.upstream.asked()} == {"fresh.test."}


def test_forwarded_questions_carry_the_proxys_mark(mesh):
    mesh.client.run(["nft", "-f", "-"], input=(
        "table inet marks {\n chain out { type filter hook output priority 0;\n"
        "  oifname eth0 udp dport 53 meta mark & 0xfff == 0x539 counter name ours\n"
        "  oifname eth0 udp dport 53 meta mark & 0xfff != 0x539 counter name others\n }\n"
        " counter ours {}\n counter others {}\n}\n"))
    try:
        ask(mesh.client, "marked.test")
        text = mesh.client.run(["nft", "list", "counters", "table", "inet", "marks"]).stdout
    finally:
        mesh.client.run(["nft", "delete", "table", "inet", "marks"])
    packets = dict(re.findall(r"counter (\w+) \{\s+packets (\d+)", text))
    assert packets["ours"] == "1"
    assert packets["others"] == "1"  # the pod's own question, on its way to be turned round


def test_an_alias_is_passed_on_with_its_chain(mesh):
    reply = ask(mesh.client, "alias.test")
    assert [rrset.rdtype for rrset in reply.answer] == [dns.rdatatype.CNAME, dns.rdatatype.CNAME,
                                                        dns.rdatatype.A]
    assert addresses(reply) == ["192.0.2.1"]
    text = run_with(mesh.client, mesh.pod_resolv, ["getent", "ahostsv4", "alias.test"]).stdout
    assert text.split()[0] == "192.0.2.1"


def test_an_answer_is_remembered_and_its_ttl_counts_down(mesh):
    first = ask(mesh.client, "short-lived.test").answer[0].ttl
    assert first <= 100
    wait_until(lambda: ask(mesh.client, "short-lived.test").answer[0].ttl < first, 20,
               "the TTL counts down")
    assert len(mesh.upstream.asked("short-lived.test")) <= 1
    assert addresses(ask(mesh.other, "short-lived.test")) == ["192.0.2.2"]
    assert {c for c, _, _ in mesh.upstream.seen} >= {mesh.other.ip4}  # each pod has its own memory


@pytest.mark.parametrize("kind", ["TXT", "SRV", "TYPE65280", "MX"])
def test_other_types_pass_as_they_are(mesh, kind):
    reply = ask(mesh.client, "text.test", kind)
    want = mesh.upstream.records.get(("text.test.", kind), [])
    assert reply.answer == want
    assert [q.question[0].rdtype for q in mesh.upstream.asked("text.test")] == [
        dns.rdatatype.from_text(kind)]


def test_other_types_of_the_meshs_own_names_are_asked_too(mesh):
    reply = ask(mesh.client, "web.default.svc.cluster.local", "SRV")
    assert reply.rcode() == dns.rcode.NXDOMAIN
    assert len(mesh.upstream.asked("web.default.svc.cluster.local")) == 1


@pytest.mark.parametrize(("name", "rcode"), [("nobody.test", dns.rcode.NXDOMAIN),
                                             ("broken.test", dns.rcode.SERVFAIL),
                                             ("refused.test", dns.rcode.REFUSED)])
def test_what_a_nameserver_says_no_with_is_said_to_the_client(mesh, name, rcode):
    reply = ask(mesh.client, name, timeout=20)
    assert reply.rcode() in (rcode, dns.rcode.SERVFAIL)
    if rcode == dns.rcode.NXDOMAIN:
        assert reply.rcode() == rcode
        assert [r.rdtype for r in reply.authority] == [dns.rdatatype.SOA]


def test_a_nameserver_that_is_silent_ends_in_servfail(mesh):
    assert ask(mesh.client, "silent.test", timeout=30).rcode() == dns.rcode.SERVFAIL


@pytest.mark.limit(90)
def test_a_dead_nameserver_is_servfail_and_a_changed_resolv_conf_heals(mesh):
    tell_upstream(mesh, "192.0.2.254")
    try:
        wait_until(lambda: ask(mesh.client, "dead-1.test", timeout=30).rcode()
                   == dns.rcode.SERVFAIL, 40, "the new nameserver is asked, and is not there")
        assert addresses(ask(mesh.client, "web")) == ["10.96.0.80"]  # the mesh's own go on
    finally:
        tell_upstream(mesh, mesh.ext.ip4)
    wait_until(lambda: ask(mesh.client, "heal.test", timeout=30).rcode() == dns.rcode.NXDOMAIN, 40,
               "the old nameserver is asked again")


def test_an_opcode_that_is_no_query_does_not_hang(mesh):
    query = dns.message.make_query("plain.test", "SOA")
    query.set_opcode(dns.opcode.STATUS)
    with mesh.client.entered():
        reply = dns.query.udp(query, RESOLVER, 10)
    assert reply.rcode() in (dns.rcode.NOTIMP, dns.rcode.NOERROR, dns.rcode.SERVFAIL)


# -- sizes -----------------------------------------------------------------------------------

def test_a_large_answer_is_whole_by_tcp_and_cut_by_udp(mesh):
    reply = ask(mesh.client, "many", tcp=True)
    assert len(set(addresses(reply))) == MANY
    assert not is_truncated(reply)
    for payload, length in ((None, 512), (512, 512), (1232, 1232), (4096, 4096)):
        reply = ask(mesh.client, "many", payload=payload)
        complete = len(addresses(reply)) == MANY
        assert is_truncated(reply) != complete
        assert len(reply.to_wire(max_size=65535)) <= length
        assert bool(reply.edns >= 0) == (payload is not None)
    reply = ask(mesh.client, "many", payload=65000)
    assert len(set(addresses(reply))) == MANY  # one datagram


def test_dig_goes_on_by_tcp_after_a_cut_answer(mesh):
    text = mesh.client.run(["dig", f"@{RESOLVER}", "+noedns", "+short",
                            "many.default.svc.cluster.local"]).stdout
    assert len(text.split()) == MANY


def test_a_large_answer_of_a_nameserver_arrives_whole(mesh):
    for tcp, payload in ((True, None), (False, 65000)):
        assert len(addresses(ask(mesh.client, "crowd.test", tcp=tcp, payload=payload))) == 250
    assert is_truncated(ask(mesh.client, "crowd.test"))


def test_several_questions_by_one_tcp_connection_are_answered(mesh):
    with mesh.client.connect(RESOLVER, 53) as conn:
        assert conn.getpeername() == (RESOLVER, 53)
        queries = [dns.message.make_query(n, "A") for n in ("web", "plain.test", "four", "alias.test")]
        for q in queries:
            dns.query.send_tcp(conn, q)
        conn.setblocking(True)
        got = {}
        for _ in queries:
            reply, _ = dns.query.receive_tcp(conn)
            got[reply.id] = addresses(reply)
    assert [got[q.id] for q in queries] == [["10.96.0.80"], ["192.0.2.1"], ["10.96.0.4"],
                                            ["192.0.2.1"]]


@pytest.mark.asan
def test_many_clients_at_once_each_get_their_answer(mesh):
    failures = []

    def client(number):
        try:
            for i in range(20):
                name, want = (("web", "10.96.0.80"), ("plain.test", "192.0.2.1"),
                              ("four", "10.96.0.4"))[(number + i) % 3]
                assert addresses(ask(mesh.client, name)) == [want]
        except Exception as error:  # noqa: BLE001 any failure counts
            failures.append(error)
    threads = [threading.Thread(target=client, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert failures == []


@pytest.mark.asan
def test_broken_questions_do_no_harm(mesh):
    for octets in (b"", b"x", b"\0" * 11, b"\xff" * 12, b"\0" * 512, os.urandom(400),
                   b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01"):
        with mesh.client.entered():
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.sendto(octets, (RESOLVER, 53))
        s.close()
        with mesh.client.connect(RESOLVER, 53) as conn:
            conn.sendall(octets)
    assert addresses(ask(mesh.client, "web")) == ["10.96.0.80"]


# -- who is served ------------------------------------------------------------------------------

def test_a_pod_that_opted_out_asks_its_resolver_itself(calm):
    calm.other.more["dnsCapture"] = False
    calm.lab.apply()
    try:
        reply = ask(calm.other, "web.default.svc.cluster.local", server=calm.ext.ip4)
        assert reply.rcode() == dns.rcode.NXDOMAIN
        assert len(calm.upstream.asked("web.default.svc.cluster.local")) == 1
    finally:
        del calm.other.more["dnsCapture"]
        calm.lab.apply()
    assert addresses(ask(calm.other, "web.default", server=calm.ext.ip4)) == ["10.96.0.80"]


def test_with_capture_switched_off_a_nodes_pods_ask_themselves(mesh):
    reply = ask(mesh.server, "web.default.svc.cluster.local", server=mesh.ext.ip4)
    assert reply.rcode() == dns.rcode.NXDOMAIN
    assert addresses(ask(mesh.server, "plain.test", server=mesh.ext.ip6)) == ["192.0.2.1"]


def test_the_proxy_answers_at_its_own_address_in_the_pod(mesh):
    for server in ("127.0.0.1", "::1"):
        for tcp in (False, True):
            query = dns.message.make_query("web", "A")
            with mesh.client.entered():
                how = dns.query.tcp if tcp else dns.query.udp
                assert addresses(how(query, server, 10, port=15053)) == ["10.96.0.80"]


def bound_in(pod, *tables):
    """(address, port) pairs TCP listens at, or UDP is bound to, inside a pod."""
    found = set()
    for table in tables:
        with pod.entered(), open(f"/proc/thread-self/net/{table}", encoding="ascii") as f:
            for fields in map(str.split, f):
                if fields[1] == "local_address" or (table.startswith("tcp") and fields[3] != "0A"):
                    continue
                host, port = fields[1].split(":")
                words = [bytes.fromhex(host[i:i + 8])[::-1] for i in range(0, len(host), 8)]
                found.add((str(ipaddress.ip_address(b"".join(words))), int(port, 16)))
    return found


def test_a_pod_has_the_listeners_of_the_contract_and_no_others(mesh):
    pod = mesh.a.pod("bare")
    before = bound_in(pod, "tcp", "tcp6", "udp", "udp6")
    mesh.lab.apply()
    tcp, udp = bound_in(pod, "tcp", "tcp6"), bound_in(pod, "udp", "udp6")
    assert before == set()
    assert tcp == {("::", 15001), ("::", 15006), ("::", 15008), ("127.0.0.1", 15053), ("::1", 15053)}
    assert udp == {("127.0.0.1", 15053), ("::1", 15053)}
    without = mesh.b.pod("bare-without-dns")
    mesh.lab.apply()
    assert bound_in(without, "tcp", "tcp6") == {("::", 15001), ("::", 15006), ("::", 15008)}
    assert bound_in(without, "udp", "udp6") == set()
    pod.enrolled = without.enrolled = False
    mesh.lab.apply()


# -- what is told ----------------------------------------------------------------------------------

def test_questions_are_counted(mesh):
    before = mesh.a.ztunnel.metrics()
    ask(mesh.client, "web")
    ask(mesh.client, "counted.test", tcp=True)
    labels = {"source_canonical_service": "client", "source_canonical_revision": "v1"}

    def grown(name, **more):
        want = {**labels, **more}
        return mesh.a.ztunnel.metrics().total(name, **want) - before.total(name, **want)
    wait_until(lambda: grown("istio_dns_requests_total", request_query_type="A",
                             request_protocol="udp") == 1, 20, "the question by UDP is counted")
    assert grown("istio_dns_requests_total", request_query_type="A", request_protocol="tcp") == 1
    assert grown("istio_dns_upstream_requests_total", request_protocol="tcp") == 1
    assert grown("istio_dns_upstream_failures_total") == 0
    assert grown("istio_dns_upstream_request_duration_seconds_count") == 1


def test_a_question_is_logged_at_debug(mesh):
    mark = mesh.a.ztunnel.log_size()
    ask(mesh.client, "headless", "AAAA")

    def logged():
        return [line for line in mesh.a.ztunnel.log_text(mark).splitlines() if "\tdns\t" in line]
    wait_until(logged, 20, "the question is logged")
    for field in ('src.workload="client"', 'src.namespace="default"', 'query="AAAA"',
                  'domain="headless"', "endpoints=2", "debug"):
        assert field in logged()[0]


# -- beginnings and ends -----------------------------------------------------------------------------

def test_a_question_on_its_way_when_the_proxy_is_told_to_stop_is_answered(calm):
    release = threading.Event()
    asked = threading.Event()

    def late(octets):
        asked.set()
        release.wait(10)
        reply = dns.message.make_response(dns.message.from_wire(octets))
        reply.set_rcode(dns.rcode.NXDOMAIN)
        return reply.to_wire()
    calm.upstream.scripts["late.test"] = late
    got = []
    thread = threading.Thread(target=lambda: got.append(ask(calm.client, "late.test", timeout=20)))
    thread.start()
    assert asked.wait(10)
    zt = calm.a.ztunnel
    mark = zt.log_size()
    zt.process.send_signal(signal.SIGTERM)
    wait_until(lambda: "shutting down" in zt.log_text(mark), 10, "the drain has begun")
    release.set()
    thread.join()
    assert [r.rcode() for r in got] == [dns.rcode.NXDOMAIN]
    assert zt.process.wait(30) == 0
    with pytest.raises(Exception, match="timed out|refused"):
        ask(calm.client, "web", timeout=1)  # closed without a proxy
    zt.start()
    calm.lab.apply()
    assert addresses(ask(calm.client, "web")) == ["10.96.0.80"]


class Askers:
    """Threads that ask without a pause, each question once; failures: what was not answered right."""

    def __init__(self, pod):
        self.pod, self.rounds, self.failures = pod, [0, 0, 0, 0], []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(n,), daemon=True)
                        for n in range(len(self.rounds))]
        for thread in self.threads:
            thread.start()

    def _run(self, number):
        name, want = (("web", "10.96.0.80"), ("plain.test", "192.0.2.1"))[number % 2]
        while not self.over.is_set():
            try:
                assert addresses(ask(self.pod, name, tcp=number >= 2)) == [want]
                self.rounds[number] += 1
            except Exception as error:  # noqa: BLE001 any failure counts
                self.failures.append((name, repr(error)))

    def more(self):
        before = list(self.rounds)
        wait_until(lambda: all(now > was + 10 for now, was in zip(self.rounds, before)), 30,
                   "every asker goes on asking")

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join(30)


@pytest.mark.asan
@pytest.mark.limit(120)
def test_an_upgrade_leaves_no_question_unanswered(calm):
    old, new = calm.a.ztunnel, Successor(calm.a, moved=100)
    askers = Askers(calm.client)
    try:
        askers.more()
        new.start()
        wait_until(lambda: new.metrics().total("istio_dns_requests_total") > 0, 30,
                   "the new instance is asked")
        askers.more()
        assert old.terminate() == 0
        askers.more()
    finally:
        askers.end()
        new.end()
    assert askers.failures == []
    assert not new.sanitizer_reports()
    old.start()
    calm.lab.apply()


def test_when_the_new_instance_dies_the_old_one_answers_again(calm):
    old, new = calm.a.ztunnel, Successor(calm.a, moved=100)
    new.start()
    assert addresses(ask(calm.client, "web")) == ["10.96.0.80"]
    new.kill()

    def answered():
        with contextlib.suppress(Exception):
            return addresses(ask(calm.client, "web", timeout=1)) == ["10.96.0.80"]
        return False
    wait_until(answered, 20, "the old instance has its pods back")
    assert addresses(ask(calm.client, "web", server=RESOLVER6)) == ["10.96.0.80"]
    assert addresses(ask(calm.client, "web", tcp=True)) == ["10.96.0.80"]
    assert old.running()


def test_after_a_crash_the_next_one_answers(calm):
    calm.a.ztunnel.kill()
    with pytest.raises(Exception, match="timed out|refused"):
        ask(calm.client, "web", timeout=1)
    calm.a.ztunnel.start()
    calm.lab.apply()
    for server in (RESOLVER, RESOLVER6):
        assert addresses(ask(calm.client, "web", server=server)) == ["10.96.0.80"]


def test_the_tools_are_there():
    """What these tests are made with; a missing one is a failure, not a skip."""
    for tool in ("dig", "host", "getent", "curl", "musl-gcc"):
        assert shutil.which(tool), tool
