# SPDX-License-Identifier: Apache-2.0
"""What was on the wire: runs tcpdump on a link of the lab and reads the packets back.

The reader is our own (Ethernet, IPv4, IPv6, TCP; classic pcap files), so that the proof does not
rest on somebody else's idea of what is interesting.
"""
import collections
import os
import signal
import struct
import subprocess
import time

import netns

ETH_IPV4 = 0x0800
ETH_IPV6 = 0x86DD
PROTO_TCP = 6
HBONE_PORT = 15008

Packet = collections.namedtuple("Packet", "time src sport dst dport flags seq payload")

FLAG_FIN, FLAG_SYN, FLAG_RST, FLAG_ACK = 0x01, 0x02, 0x04, 0x10


class Capture:
    """tcpdump on one interface of one namespace; stop() returns the TCP packets."""

    def __init__(self, namespace, interface, path, expression="tcp"):
        self.path = path
        self.log = open(path + ".log", "wb+")
        argv = ["tcpdump", "-i", interface, "-n", "-U", "--immediate-mode", "-B", "65536",
                "-s", "262144", "-Z", "root", "-w", path, expression]
        with netns.entered(namespace):
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL,
                                            stdout=self.log, stderr=self.log)
        self._wait_listening()

    def _text(self):
        with open(self.path + ".log", "rb") as f:
            return f.read().decode(errors="replace")

    def _wait_listening(self):
        deadline = time.monotonic() + 20
        while "listening on" not in self._text():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"tcpdump did not start: {self._text().strip()}")
            time.sleep(0.01)

    def stop(self, settle=0.3):
        """Ends the capture after the last packets had time to arrive."""
        if self.process.poll() is None:
            time.sleep(settle)
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
        if "\n0 packets dropped by kernel" not in self._text():
            raise RuntimeError(f"the capture is not complete: {self._text().strip()}")
        return read(self.path)

    def abandon(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()


def _records(path):
    with open(path, "rb") as f:
        blob = f.read()
    if len(blob) < 24:
        return
    magic = struct.unpack_from("<I", blob)[0]
    if magic not in (0xA1B2C3D4, 0xA1B23C4D):
        raise ValueError(f"{path} is not a little-endian pcap file")
    fraction = 1e-9 if magic == 0xA1B23C4D else 1e-6
    link = struct.unpack_from("<I", blob, 20)[0]
    if link != 1:
        raise ValueError(f"{path}: link type {link} is not Ethernet")
    at = 24
    while at + 16 <= len(blob):
        sec, frac, caplen, wirelen = struct.unpack_from("<IIII", blob, at)
        at += 16
        if caplen != wirelen:
            raise ValueError(f"{path}: a packet of {wirelen} bytes was cut to {caplen}")
        if at + caplen > len(blob):
            return  # tcpdump was killed in the middle of a record
        yield sec + frac * fraction, memoryview(blob)[at:at + caplen]
        at += caplen


def _text_of(raw):
    import ipaddress
    return str(ipaddress.ip_address(bytes(raw)))


def _tcp(when, src, dst, segment):
    sport, dport, seq, _ack, offset, flags = struct.unpack_from("!HHIIBB", segment)
    payload = bytes(segment[(offset >> 4) * 4:])
    return Packet(when, _text_of(src), sport, _text_of(dst), dport, flags, seq, payload)


def _parse(when, frame):
    ethertype = struct.unpack_from("!H", frame, 12)[0]
    packet = frame[14:]
    if ethertype == ETH_IPV4:
        total = struct.unpack_from("!H", packet, 2)[0] or len(packet)
        if packet[9] != PROTO_TCP:
            return None
        return _tcp(when, packet[12:16], packet[16:20], packet[(packet[0] & 15) * 4:total])
    if ethertype == ETH_IPV6:
        length = struct.unpack_from("!H", packet, 4)[0] or len(packet) - 40
        if packet[6] != PROTO_TCP:
            return None
        return _tcp(when, packet[8:24], packet[24:40], packet[40:40 + length])
    return None


def read(path):
    """Every TCP packet of a capture file."""
    return [p for p in (_parse(when, frame) for when, frame in _records(path)) if p]


def between(packets, one, other):
    """The packets that travel between two sets of addresses, either way."""
    one, other = set(one), set(other)
    return [p for p in packets
            if (p.src in one and p.dst in other) or (p.src in other and p.dst in one)]


def streams(packets):
    """The byte stream of each direction of each connection, by sequence number."""
    segments = collections.defaultdict(dict)
    for p in packets:
        if p.payload:
            segments[(p.src, p.sport, p.dst, p.dport)].setdefault(p.seq, p.payload)
    joined = {}
    for flow, parts in segments.items():
        base = min(parts, key=lambda seq: ((seq - next(iter(parts))) + 2**31) % 2**32)
        out = bytearray()
        for seq in sorted(parts, key=lambda s: (s - base) % 2**32):
            offset = (seq - base) % 2**32
            out[offset:offset + len(parts[seq])] = parts[seq]
        joined[flow] = bytes(out)
    return joined


def leaks(packets, secrets):
    """What should not be seen between enrolled pods: other ports, application bytes, non-TLS.

    packets: of the pair in question, see between()
    secrets: byte strings the applications exchanged
    Returns one sentence per finding; an empty list is the proof.
    """
    found = []
    ports = {p.dport if p.flags & (FLAG_SYN | FLAG_ACK) == FLAG_SYN else None for p in packets}
    for port in sorted(p for p in ports if p is not None and p != HBONE_PORT):
        found.append(f"a connection to port {port} was opened on the wire")
    strange = {(p.src, p.sport, p.dst, p.dport) for p in packets
               if HBONE_PORT not in (p.sport, p.dport)}
    for src, sport, dst, dport in sorted(strange):
        found.append(f"a packet from {src}:{sport} to {dst}:{dport} is not on port {HBONE_PORT}")
    for flow, data in streams(packets).items():
        src, sport, dst, dport = flow
        for secret in secrets:
            if secret in data:
                found.append(f"application bytes {secret[:32]!r} are readable "
                             f"from {src}:{sport} to {dst}:{dport}")
        if HBONE_PORT in (sport, dport) and not looks_like_tls(data):
            found.append(f"the stream from {src}:{sport} to {dst}:{dport} is not TLS")
    return found


def looks_like_tls(data):
    """Whether a stream is TLS records from its first byte to its last complete one."""
    at = 0
    while at + 5 <= len(data):
        kind, version, length = struct.unpack_from("!BHH", data, at)
        if kind not in (20, 21, 22, 23) or version not in (0x0301, 0x0303) or length > 16640:
            return False
        at += 5 + length
    return at > 0


def remove(path):
    for name in (path, path + ".log"):
        if os.path.exists(name):
            os.unlink(name)
