# SPDX-License-Identifier: Apache-2.0
"""Options of the sockets another process holds, read from duplicates of its descriptors."""
import collections
import contextlib
import ctypes
import os
import socket

SYS_PIDFD_GETFD = 438  # the same on every architecture since Linux 5.6

Held = collections.namedtuple("Held", "local remote keepalive idle interval probes user_timeout "
                                      "nodelay")

TCP_USER_TIMEOUT = 18  # linux/tcp.h
_libc = ctypes.CDLL(None, use_errno=True)


def _duplicate(pidfd, number):
    fd = _libc.syscall(SYS_PIDFD_GETFD, pidfd, number, 0)
    if fd < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return fd


def _plain(address):
    return address[0].removeprefix("::ffff:"), address[1]


def _look(s):
    def number(level, name):
        return s.getsockopt(level, name)
    tcp = socket.IPPROTO_TCP
    return Held(_plain(s.getsockname()), _plain(s.getpeername()),
                bool(number(socket.SOL_SOCKET, socket.SO_KEEPALIVE)),
                number(tcp, socket.TCP_KEEPIDLE), number(tcp, socket.TCP_KEEPINTVL),
                number(tcp, socket.TCP_KEEPCNT), number(tcp, TCP_USER_TIMEOUT),
                bool(number(tcp, socket.TCP_NODELAY)))


def connected(pid):
    """Every connected TCP socket of a process."""
    found = []
    pidfd = os.pidfd_open(pid)
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if not os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
                    continue
                with socket.socket(fileno=_duplicate(pidfd, int(name))) as s:
                    if s.type == socket.SOCK_STREAM and s.family in (socket.AF_INET,
                                                                     socket.AF_INET6):
                        found.append(_look(s))
    finally:
        os.close(pidfd)
    return found
