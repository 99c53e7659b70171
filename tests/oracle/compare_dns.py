#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Compares common/dns/dns_msg with dnspython on messages drawn from a seed.

    compare_dns.py PROBE [--messages N] [--seed N]

PROBE is the program built from dns_probe.c. What dnspython writes must be read alike; what we write dnspython must
read as what was meant; of damaged messages, what dnspython accepts we accept, and what it refuses for the
message's own form (headers, names, pointers, EDNS) we refuse. Contents of records are nobody's business here.
"""
import argparse
import collections
import random
import subprocess
import sys

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

TYPES = (1, 2, 5, 6, 12, 15, 16, 28, 33, 35, 43, 48, 64, 65, 99, 255, 257, 999, 65280)
FORM = (dns.message.ShortHeader, dns.name.BadPointer, dns.name.BadLabelType, dns.name.NameTooLong,
        dns.message.BadEDNS)


class Difference(Exception):
    pass


def check(what, ours, theirs):
    if ours != theirs:
        raise Difference("%s: we say %r, dnspython %r" % (what, ours, theirs))


class Comparison:
    def __init__(self, probe, seed):
        self.dice = random.Random(seed)
        self.seen = collections.Counter()
        # pylint: disable-next=consider-using-with
        self.probe = subprocess.Popen([probe], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *words):
        self.probe.stdin.write(" ".join(words) + "\n")
        self.probe.stdin.flush()
        answer = self.probe.stdout.readline()
        if not answer:
            raise Difference("the probe died at: " + " ".join(words)[:2000])
        return answer.rstrip("\n")

    # ---- what is drawn

    def label(self):
        d = self.dice
        if d.random() < 0.15:
            return bytes(d.randrange(256) for _ in range(d.randint(1, 63)))
        return "".join(d.choice("abcXYZ019-_") for _ in range(d.choice((1, 3, 8, 20, 63)))).encode()

    def name(self):
        labels = []
        for _ in range(self.dice.choice((0, 1, 2, 3, 5, 9, 30))):
            label = self.label()
            if sum(len(x) + 1 for x in labels) + len(label) + 2 <= 255:
                labels.append(label)
        return dns.name.Name(labels + [b""])

    def query(self):
        d = self.dice
        q = dns.message.make_query(self.name(), d.choice(TYPES), d.choice((1, 1, 1, 3, 255)))
        q.id = d.randrange(65536)
        q.flags = d.choice((0, dns.flags.RD)) | d.choice((0, dns.flags.CD)) | d.choice((0, dns.flags.AD))
        if d.random() < 0.5:
            options = [dns.edns.GenericOption(d.randrange(65536), bytes(d.randrange(40)))
                       for _ in range(d.choice((0, 0, 1, 3)))]
            q.use_edns(0, d.choice((0, dns.flags.DO)), d.choice((0, 512, 1232, 4096, 65535)), options=options)
        return q

    def response(self):
        d = self.dice
        r = dns.message.make_response(self.query())
        base = self.name()
        for section in (r.answer, r.authority, r.additional):
            for _ in range(d.choice((0, 1, 3))):
                owner = d.choice((base, self.name(), r.question[0].name))
                target = d.choice((base, r.question[0].name)).to_text()
                kind, text = d.choice((("A", "192.0.2.%d" % d.randrange(256)), ("AAAA", "fd00::%x" % d.randrange(9999)),
                                       ("CNAME", target), ("MX", "10 " + target), ("TXT", '"some text"'),
                                       ("SOA", target + " . 1 2 3 4 5"), ("SRV", "1 2 3 " + target)))
                section.append(dns.rrset.from_text(owner, d.randrange(2 ** 31), "IN", kind, text))
        return r

    # ---- what is compared

    def reads_queries_alike(self):
        q = self.query()
        words = self.ask("read", q.to_wire().hex()).split(" ")
        check("verdict", words[0], "ask")
        check("name", dns.name.from_text(words[1]).to_wire(), q.question[0].name.to_wire())  # with its case
        edns = q.edns >= 0
        check("fields", words[2:], [str(int(x)) for x in (
            q.question[0].rdtype, q.question[0].rdclass, bool(q.flags & dns.flags.RD), bool(q.flags & dns.flags.CD),
            edns, max(512, q.payload) if edns else 512, bool(q.ednsflags & dns.flags.DO), False)])

    def writes_what_was_meant(self):
        d = self.dice
        q = self.query()
        v6 = d.random() < 0.5
        addrs = ["fd00::%x" % (i + 1) if v6 else "10.0.%d.%d" % (i // 256, i % 256)
                 for i in range(d.choice((0, 1, 3, 40, 300)))]
        alias = self.name() if d.random() < 0.4 else None
        if alias is not None and alias.to_text(True) in ("", "@", ".", "-"):  # "-" is the probe's word for none
            alias = None
        limit = d.choice((512, 1232, 4096, 65535))
        text = alias.to_text(True) if alias else "-"
        if " " in text:
            return
        wire = bytes.fromhex(self.ask("write", q.to_wire().hex(), str(limit), text, ",".join(addrs) or "-"))
        r = dns.message.from_wire(wire, one_rr_per_rrset=True)
        check("length", len(wire) <= limit, True)
        check("id", r.id, q.id)
        check("flags", r.flags & ~dns.flags.TC, dns.flags.QR | dns.flags.AA | dns.flags.RA |
              (q.flags & (dns.flags.RD | dns.flags.CD)))
        check("question", r.question[0].to_text(), q.question[0].to_text())
        check("EDNS", (r.edns, r.payload if r.edns >= 0 else 0, r.ednsflags & dns.flags.DO),
              (q.edns, max(512, q.payload) if q.edns >= 0 else 0, q.ednsflags & dns.flags.DO))
        got = [(x.name.to_wire(), x.ttl, x[0].to_text()) for x in r.answer]
        wanted = [] if alias is None else [(q.question[0].name.to_wire(), 30, None)]
        owner = alias or q.question[0].name
        wanted += [(owner.to_wire(), 30, a) for a in addrs]
        if alias is not None and got:
            check("alias", r.answer[0][0].target.to_wire(), alias.to_wire())
            got[0] = got[0][:2] + (None,)
        check("records", got, wanted[:len(got)])
        check("TC", bool(r.flags & dns.flags.TC), len(got) < len(wanted))
        self.seen["cut" if len(got) < len(wanted) else "whole"] += 1

    def walks_answers_alike(self):
        r = self.response()
        got = self.ask("records", r.to_wire(max_size=65535).hex()).split("\t")
        check("end", got.pop(), "end")
        wanted = [(i, x.name.to_wire(), int(x.rdtype), int(x.rdclass), x.ttl)
                  for i, section in ((1, r.answer), (2, r.authority), (3, r.additional)) for x in section]
        if r.edns >= 0:
            wanted.append((3, b"\0", 41, max(512, r.payload), r.ednsflags))
        ours = []
        for item in got:
            section, name, *rest = item.split(" ")
            ours.append((int(section), dns.name.from_text(name).to_wire()) + tuple(map(int, rest)))
        if r.edns >= 0:  # its size is between the two of them
            ours[-1] = ours[-1][:3] + (wanted[-1][3],) + ours[-1][4:]
        check("records", [x[1:] for x in sorted(ours, key=repr)], [x[1:] for x in sorted(wanted, key=repr)])

    def shortens_to_something_readable(self):
        r = self.response()
        for i in range(60):
            r.answer.append(dns.rrset.from_text("r%d.example." % i, 60, "IN", "A", "192.0.2.1"))
        limit = self.dice.choice((512, 700, 1232))
        wire = bytes.fromhex(self.ask("shorten", r.to_wire(max_size=65535).hex(), str(limit)))
        s = dns.message.from_wire(wire, one_rr_per_rrset=True)
        check("length", len(wire) <= limit, True)
        check("EDNS", s.edns, r.edns)
        check("answers", [x.to_text() for x in s.answer], [x.to_text() for x in r.answer[:len(s.answer)]])
        check("TC", bool(s.flags & dns.flags.TC), len(s.answer) < len(r.answer) or len(s.authority) < len(r.authority))

    def damage(self, wire):
        d = self.dice
        wire = bytearray(wire)
        for _ in range(d.choice((1, 1, 2, 4))):
            what = d.random()
            if what < 0.4:
                wire = wire[:d.randrange(len(wire) + 1)]
            elif what < 0.7 and wire:
                wire[d.randrange(len(wire))] = d.choice((0, 1, 0x3f, 0x40, 0x80, 0xc0, 0xff, d.randrange(256)))
            elif what < 0.85 and len(wire) > 14:
                at = d.randrange(12, len(wire) - 1)
                wire[at:at + 2] = bytes((0xc0, d.randrange(len(wire) % 256 + 1)))
            else:
                wire += bytes((0, 0, 41, 2, 0, 0, 0, 0, 0, 0, 0))
        return bytes(wire)

    def judges_damage_alike(self):
        wire = self.damage(self.query().to_wire())
        ours = self.ask("read", wire.hex())
        verdict = ours.split(" ", maxsplit=1)[0]
        if len(wire) >= 12 and (wire[2] & 0xf8 or wire[4:6] != b"\0\1"):
            check("another opcode, a response, or not one question", verdict != "ask", True)
            return
        try:
            q = dns.message.from_wire(wire, ignore_trailing=True)
            version_0 = (q.ednsflags >> 16 & 0xff) == 0
            check("accepted by dnspython: " + wire.hex(), verdict, "ask" if version_0 else "refuse")
            self.seen["accepted"] += 1
        except FORM:
            check("refused by dnspython: " + wire.hex(), verdict in ("refuse", "drop"), True)
            self.seen["refused"] += 1
        except dns.exception.DNSException:
            self.seen["contents"] += 1  # perhaps inside a record, which we do not read


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("probe")
    parser.add_argument("--messages", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.randrange(2 ** 32))
    options = parser.parse_args()
    print("seed", options.seed, flush=True)
    c = Comparison(options.probe, options.seed)
    claims = (c.reads_queries_alike, c.writes_what_was_meant, c.walks_answers_alike,
              c.shortens_to_something_readable, c.judges_damage_alike)
    for i in range(options.messages):
        claim = claims[i % len(claims)]
        try:
            claim()
        except Difference as difference:
            sys.exit("%s, message %d of seed %d: %s" % (claim.__name__, i, options.seed, difference))
    print(options.messages, "messages;", dict(c.seen))
    if options.messages >= 1000 and min(c.seen[x] for x in ("cut", "whole", "accepted", "refused")) < 10:
        sys.exit("too few of one kind to prove anything")


if __name__ == "__main__":
    main()
