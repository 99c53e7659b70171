# SPDX-License-Identifier: Apache-2.0
"""A reader of the PROXY protocol, version 2, that forgives nothing; and a server that starts with it."""
import collections
import ipaddress
import struct

import talk

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
PROXY = 0x21  # version 2, command PROXY
OVER = {0x11: ("4", 4), 0x21: ("6", 16)}  # TCP over IPv4, over IPv6
TLV_IDENTITY = 0xD0

Header = collections.namedtuple("Header", "family source destination tlvs")


def read(conn):
    """Takes exactly one header off the connection; ValueError when anything of it is amiss."""
    head = talk.read_exactly(conn, 16)
    command, family, length = struct.unpack_from("!BBH", head, 12)
    if head[:12] != SIGNATURE or command != PROXY or family not in OVER:
        raise ValueError(f"not the start of a header: {head!r}")
    name, size = OVER[family]
    rest = talk.read_exactly(conn, length)
    if length < 2 * size + 4:
        raise ValueError(f"{length} bytes are too few for two addresses")
    ends = [ipaddress.ip_address(rest[i * size:(i + 1) * size]) for i in range(2)]
    ports = struct.unpack_from("!HH", rest, 2 * size)
    tlvs, at = {}, 2 * size + 4
    while at < length:
        if length - at < 3:
            raise ValueError("a TLV without its length")
        kind, n = struct.unpack_from("!BH", rest, at)
        value = rest[at + 3:at + 3 + n]
        if len(value) != n or kind in tlvs:
            raise ValueError(f"TLV {kind:#x} is cut short or there twice")
        tlvs[kind] = value
        at += 3 + n
    return Header(name, (str(ends[0]), ports[0]), (str(ends[1]), ports[1]), tlvs)


class Server(talk.Server):
    """Echoes what follows a header; `headers` has those it read, or what was wrong with them."""

    def __init__(self, place, port, address, greeting=b""):
        self.headers = []
        self.greeting = greeting
        super().__init__(place, port, self._serve, address)

    def _serve(self, conn):
        conn.sendall(self.greeting)
        try:
            self.headers.append(read(conn))
        except (ValueError, ConnectionError) as error:
            self.headers.append(error)
            return
        talk.echo(conn)
