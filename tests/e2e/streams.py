# SPDX-License-Identifier: Apache-2.0
"""Thousands of short connections, each with a pattern of its own and an ending of its own.

    streams.py serve PORT
    streams.py call ADDRESS PORT COUNT AT_ONCE SEED     prints one line of JSON

Whoever receives an octet that is not its connection's, or a FIN before the last octet, says so.
"""
import hashlib
import json
import random
import select
import socket
import struct
import sys
import time

HEAD = struct.Struct(">QIIIB")  # id, octets up, octets down, where to cut, ending
REPORT = (1 << 64) - 1          # an id: tell what went wrong so far
CHUNK = 16384

BOTH, CLIENT_RESETS, SERVER_RESETS, CLIENT_FIRST, SERVER_FIRST, CLIENT_LEAVES = range(6)
WHOLE = (BOTH, CLIENT_FIRST, SERVER_FIRST)


def pattern(number, side, size):
    return hashlib.shake_128(b"%d%s" % (number, side)).digest(size) if size else b""


def reset(conn):
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class End:
    """One end of a connection: what it has to say, what it has to hear."""

    def __init__(self, conn, say, hear, plan):
        self.conn, self.say, self.hear = conn, say, hear
        self.said = self.heard = 0
        self.finned = self.waits = self.over = False
        self.seen = None
        self.number, self.ending, self.cut = plan
        conn.setblocking(False)

    def write(self):
        """True when there is more to say later."""
        while self.said < len(self.say):
            try:
                self.said += self.conn.send(self.say[self.said:self.said + CHUNK])
            except BlockingIOError:
                return True
            except OSError:  # told once: a read would find an end now
                self.said = len(self.say)
                self.seen = self.seen or "reset"
        if not self.finned:
            self.finned = True
            try:
                self.conn.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        return False

    def read(self):
        """What is wrong, or None. self.seen says how it ended, once it did."""
        while self.seen is None:
            try:
                data = self.conn.recv(CHUNK)
            except BlockingIOError:
                return None
            except OSError:
                self.seen = "reset"
                return None
            if not data:
                self.seen = "fin"
                return None
            if self.hear[self.heard:self.heard + len(data)] != data:
                return f"octets of another connection at {self.heard} of {self.number}"
            self.heard += len(data)
        return None


class Server:
    def __init__(self, port):
        self.listener = socket.create_server(("::", port), family=socket.AF_INET6, backlog=4096,
                                             dualstack_ipv6=True)
        self.listener.setblocking(False)
        self.waiting = select.epoll()
        self.waiting.register(self.listener, select.EPOLLIN)
        self.heads, self.ends = {}, {}
        self.failures, self.served = [], 0

    def run(self):
        while True:
            for fd, _ in self.waiting.poll():
                if fd == self.listener.fileno():
                    conn, _ = self.listener.accept()
                    conn.setblocking(False)
                    self.heads[conn.fileno()] = (conn, b"")
                    self.waiting.register(conn, select.EPOLLIN)
                elif fd in self.heads:
                    self.take_head(fd)
                else:
                    self.step(fd)

    def drop(self, fd, conn):
        self.waiting.unregister(fd)
        conn.close()

    def take_head(self, fd):
        conn, got = self.heads.pop(fd)
        try:
            data = conn.recv(HEAD.size - len(got))
        except OSError:
            data = b""
        got += data
        if not data:
            self.drop(fd, conn)
            return
        if len(got) < HEAD.size:
            self.heads[fd] = (conn, got)
            return
        number, up, down, cut, ending = HEAD.unpack(got)
        if number == REPORT:
            conn.setblocking(True)
            conn.sendall(json.dumps({"served": self.served, "failures": self.failures}).encode())
            self.drop(fd, conn)
            return
        self.served += 1
        say = pattern(number, b"s", down)
        if ending == SERVER_RESETS:
            say = say[:cut]
        self.ends[fd] = End(conn, say, pattern(number, b"c", up), (number, ending, cut))
        self.step(fd)

    def step(self, fd):
        end = self.ends[fd]
        wrong = end.read()
        wait_first = end.ending in (CLIENT_FIRST, CLIENT_LEAVES) and end.seen is None
        more = False
        if end.ending == SERVER_RESETS:
            more = end.said < len(end.say) and self.say_part(end)
            if not more:
                reset(end.conn)
                end.over = True
        elif not wait_first:
            more = end.write()
        if wrong is None and end.seen == "fin" and end.ending in WHOLE and \
                end.heard != len(end.hear):
            wrong = f"a FIN after {end.heard} of {len(end.hear)} octets of {end.number}"
        if wrong is None and end.seen == "fin" and end.ending == CLIENT_RESETS:
            wrong = f"a FIN where {end.number} was reset"
        if wrong is None and end.seen == "reset" and end.ending in WHOLE:
            wrong = f"a reset of {end.number}, which ended in order"
        if wrong:
            self.failures.append(wrong)
        if wrong or end.over or (end.seen is not None and not more):
            del self.ends[fd]
            self.drop(fd, end.conn)
        else:
            self.waiting.modify(fd, (0 if end.seen else select.EPOLLIN)
                                | (select.EPOLLOUT if more else 0))

    @staticmethod
    def say_part(end):
        try:
            end.said += end.conn.send(end.say[end.said:end.said + CHUNK])
        except BlockingIOError:
            return True
        except OSError:
            end.seen = end.seen or "reset"
            return False
        return end.said < len(end.say)


class Client:
    def __init__(self, address, port, count, at_once, seed):
        self.where = (address, port)
        self.left, self.at_once = count, at_once
        self.dice = random.Random(seed)
        self.next_number = seed * 1000000
        self.waiting = select.epoll()
        self.ends = {}
        self.failures, self.endings = [], {}

    def open(self):
        self.left -= 1
        self.next_number += 1
        ending = self.dice.choice((BOTH, BOTH, CLIENT_RESETS, SERVER_RESETS, CLIENT_FIRST,
                                   SERVER_FIRST, CLIENT_LEAVES))
        sizes = (0, 1, 200, 5000, 20000, 40000)
        up, down = self.dice.choice(sizes), self.dice.choice(sizes)
        if self.dice.random() < 0.01:
            up = down = 300000
        cut = self.dice.randrange(down + 1) if ending == SERVER_RESETS else 0
        say = pattern(self.next_number, b"c", up)
        if ending == CLIENT_RESETS:
            cut = self.dice.randrange(up + 1)
            say = say[:cut]
        head = HEAD.pack(self.next_number, up, down, cut, ending)
        conn = socket.socket(socket.AF_INET6 if ":" in self.where[0] else socket.AF_INET)
        conn.setblocking(False)
        conn.connect_ex(self.where)
        end = End(conn, head + say, pattern(self.next_number, b"s", down),
                  (self.next_number, ending, cut))
        end.began = time.monotonic()
        self.ends[conn.fileno()] = end
        self.waiting.register(conn, select.EPOLLOUT)
        self.endings[ending] = self.endings.get(ending, 0) + 1

    def judge(self, end):
        if end.ending in WHOLE and (end.seen, end.heard) != ("fin", len(end.hear)):
            return f"{end.seen} after {end.heard} of {len(end.hear)} octets of {end.number}"
        if end.ending == SERVER_RESETS and end.seen == "fin":
            return f"a FIN where {end.number} was reset"
        return None

    def step(self, fd, events):
        end = self.ends[fd]
        wrong, more = None, False
        if end.ending in (CLIENT_RESETS, CLIENT_LEAVES):
            more = Server.say_part(end) if end.said < len(end.say) else False
            if not more:
                if end.ending == CLIENT_RESETS:
                    reset(end.conn)
                end.over = True
        else:
            if end.ending != SERVER_FIRST or end.seen is not None or end.said < HEAD.size:
                more = end.write() if end.ending != SERVER_FIRST or end.seen else \
                    self.write_head(end)
            if not events & select.EPOLLOUT or end.said >= HEAD.size:
                wrong = end.read()
            if end.seen and end.ending == SERVER_FIRST:
                more = end.write()
        done = end.over or (end.seen is not None and not more)
        if done and not wrong and not end.over:
            wrong = self.judge(end)
        if wrong:
            self.failures.append(wrong)
        if done or wrong:
            del self.ends[fd]
            self.waiting.unregister(fd)
            end.conn.close()
        else:
            self.waiting.modify(fd, (0 if end.seen else select.EPOLLIN)
                                | (select.EPOLLOUT if more else 0))

    @staticmethod
    def write_head(end):
        """The server is to speak and end first; then the rest follows."""
        try:
            end.said += end.conn.send(end.say[end.said:HEAD.size])
        except BlockingIOError:
            return True
        except OSError:
            end.seen = end.seen or "reset"
        return end.said < HEAD.size

    def run(self):
        deadline = time.monotonic() + 100
        while (self.left or self.ends) and time.monotonic() < deadline:
            while self.left and len(self.ends) < self.at_once:
                self.open()
            for fd, events in self.waiting.poll(1):
                self.step(fd, events)
        self.failures += [f"{e.number} (ending {e.ending}) never ended: said {e.said} of "
                          f"{len(e.say)}, heard {e.heard} of {len(e.hear)}, {e.seen}"
                          for e in self.ends.values()]
        return {"failures": self.failures[:20], "failed": len(self.failures),
                "endings": self.endings, "server": self.report()}

    def report(self):
        with socket.create_connection(self.where, 20) as conn:
            conn.sendall(HEAD.pack(REPORT, 0, 0, 0, 0))
            text = b""
            while True:
                part = conn.recv(65536)
                if not part:
                    return json.loads(text)
                text += part


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        Server(int(sys.argv[2])).run()
    else:
        print(json.dumps(Client(sys.argv[2], *map(int, sys.argv[3:7])).run()))
