# SPDX-License-Identifier: Apache-2.0
"""A nameserver for tests, told what to say, and the questions of a client's machine asked by hand."""
import contextlib
import socket
import struct
import threading

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rrset

PORT = 53


class Nameserver:
    """Answers over UDP and TCP on every address of a place.

    records: (name, type) to a list of RRsets of the answer; a name without any is NXDOMAIN
    scripts: name to a function of the query's octets, which returns the octets to send, or None for silence
    seen:    (client address, octets, whether it came by TCP) of every question
    """

    def __init__(self, place):
        self.records, self.scripts, self.seen = {}, {}, []
        self.place = place
        self.start()

    def start(self):
        with self.place.entered():
            self.udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self.udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.udp.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO: answer from where it was asked
        self.udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        self.udp.bind(("::", PORT))
        self.tcp = self.place.listen(PORT)
        self.threads = [threading.Thread(target=self._datagrams, args=(self.udp,), daemon=True),
                        threading.Thread(target=self._connections, args=(self.tcp,), daemon=True)]
        for thread in self.threads:
            thread.start()

    def stop(self):
        """From here on nothing listens."""
        for s in (self.udp, self.tcp):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(5)
        self.udp.close()
        self.tcp.close()

    def answers(self, name, kind, *values, ttl=300):
        """name has these values; several calls with different kinds add up to a chain or a mix."""
        name = name.rstrip(".") + "."
        self.records.setdefault((name.lower(), kind), []).append(
            dns.rrset.from_text(name, ttl, "IN", kind, *values))

    def asked(self, name=None):
        """The questions for a name since the last clear, as messages."""
        messages = []
        for _, octets, _ in self.seen:
            with contextlib.suppress(dns.exception.DNSException, ValueError):
                messages.append(dns.message.from_wire(octets))
        return [m for m in messages
                if name is None or (m.question and m.question[0].name.to_text().lower()
                                    == name.rstrip(".").lower() + ".")]

    # -- how it is done -----------------------------------------------------------

    def _answer(self, octets, client, by_tcp):
        self.seen.append((client, octets, by_tcp))
        try:
            return self._make(octets, by_tcp)
        except (dns.exception.DNSException, ValueError):
            return None  # what cannot be read is not answered

    def _make(self, octets, by_tcp):
        query = dns.message.from_wire(octets)
        name = query.question[0].name.to_text().lower() if query.question else "."
        if name.rstrip(".") in self.scripts:
            return self.scripts[name.rstrip(".")](octets)
        reply = dns.message.make_response(query, recursion_available=True)
        kind = dns.rdatatype.to_text(query.question[0].rdtype)
        self._chase(reply, name, kind)
        try:
            return reply.to_wire(max_size=65535 if by_tcp else max(512, query.payload or 512))
        except dns.exception.TooBig:
            cut = dns.message.make_response(query, recursion_available=True)
            cut.flags |= dns.flags.TC
            return cut.to_wire()

    def _chase(self, reply, name, kind):
        known = any(n == name for n, _ in self.records)
        found = self.records.get((name, kind), [])
        alias = self.records.get((name, "CNAME"), [])
        reply.answer += found or alias
        if not found and alias:
            self._chase(reply, alias[0][0].target.to_text().lower(), kind)
        elif not known:
            reply.set_rcode(dns.rcode.NXDOMAIN)
            reply.authority.append(dns.rrset.from_text(
                "test.", 60, "IN", "SOA", "ns.test. admin.test. 1 2 3 4 5"))

    def _datagrams(self, udp):
        with contextlib.suppress(OSError):
            while True:
                data, control, _, who = udp.recvmsg(65536, 256)
                if not data:
                    return
                reply = self._answer(data, who[0].removeprefix("::ffff:"), False)
                if reply is not None:
                    udp.sendmsg([reply], control, 0, who)

    def _connections(self, tcp):
        with contextlib.suppress(OSError):
            while True:
                conn, who = tcp.accept()
                threading.Thread(target=self._serve, args=(conn, who), daemon=True).start()

    def _serve(self, conn, who):
        with contextlib.suppress(OSError, struct.error), conn:
            while True:
                (n,) = struct.unpack("!H", conn.recv(2, socket.MSG_WAITALL))
                data = conn.recv(n, socket.MSG_WAITALL)
                reply = self._answer(data, who[0].removeprefix("::ffff:"), True)
                if reply is None:
                    return
                conn.sendall(struct.pack("!H", len(reply)) + reply)


def ask(place, name, kind="A", server="10.96.0.10", tcp=False, payload=None, timeout=10, **more):
    """One question from a place; the whole answer."""
    query = dns.message.make_query(name, kind, use_edns=payload is not None,
                                   payload=payload or 0, **more)
    with place.entered():
        if tcp:
            return dns.query.tcp(query, server, timeout)
        return dns.query.udp(query, server, timeout)


def addresses(reply):
    """Every address in an answer."""
    return [r.address for rrset in reply.answer if rrset.rdtype in (dns.rdatatype.A,
                                                                    dns.rdatatype.AAAA)
            for r in rrset]


def is_authoritative(reply):
    return bool(reply.flags & dns.flags.AA)


def is_truncated(reply):
    return bool(reply.flags & dns.flags.TC)


def run_with(place, resolv_conf, argv, **more):
    """A program of the place that finds this resolv.conf in /etc."""
    return place.run(["unshare", "-m", "sh", "-c",
                      'mount --bind "$0" /etc/resolv.conf && exec "$@"', resolv_conf, *argv],
                     **more)
