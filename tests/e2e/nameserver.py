# SPDX-License-Identifier: Apache-2.0
"""A name server of the test's own, in a place of the lab."""
import contextlib
import socket
import threading

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


class NameServer:
    """Answers for `names`, {name: [address, ...]}; what else is asked for does not exist.

    asked: every question, as (name, type)
    """

    def __init__(self, place, names, ttl=60, address="127.0.0.1"):
        self.names = names
        self.ttl = ttl
        self.asked = []
        self.silent = False
        with place.entered():
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 53))
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        with contextlib.suppress(OSError, ValueError):
            while True:
                data, peer = self.socket.recvfrom(4096)
                if not data:
                    return
                answer = self._answer(dns.message.from_wire(data))
                if not self.silent:
                    self.socket.sendto(answer.to_wire(), peer)

    def _answer(self, query):
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        answer = dns.message.make_response(query, recursion_available=True)
        if name not in self.names:
            answer.set_rcode(dns.rcode.NXDOMAIN)
            return answer
        found = [a for a in self.names[name] if (":" in a) == (kind == "AAAA")]
        if found and kind in ("A", "AAAA"):
            answer.answer.append(dns.rrset.from_text_list(question.name, self.ttl, "IN", kind,
                                                          found))
        return answer

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(5)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
