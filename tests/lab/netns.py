# SPDX-License-Identifier: Apache-2.0
"""Network namespaces: make them, enter them, find who lives in them.

Nothing here uses `ip netns exec`: it remounts /sys, and bpffs and cgroups vanish from view.
"""
import contextlib
import ctypes
import os
import signal
import subprocess
import time

CLONE_NEWNET = 0x40000000
NETNS_DIR = "/run/netns"

_libc = ctypes.CDLL(None, use_errno=True)


def path_of(name):
    return f"{NETNS_DIR}/{name}"


def _setns(fd):
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        err = ctypes.get_errno()
        raise OSError(err, f"setns: {os.strerror(err)}")


@contextlib.contextmanager
def entered(name):
    """Puts the calling thread into a namespace for the length of the block.

    Sockets, processes and threads made inside stay there afterwards.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(path_of(name), os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _setns(home)
    finally:
        os.close(home)


def ip(lines, netns=None):
    """Runs `ip` commands (one per line) in one batch."""
    argv = ["ip"] + (["-n", netns] if netns else []) + ["-batch", "-"]
    done = subprocess.run(argv, input=lines, text=True, capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"ip failed in {netns or 'the own namespace'}: "
                           f"{done.stderr.strip()}\n{lines}")


def add(name):
    ip(f"netns add {name}\n")


def inode(name):
    st = os.stat(path_of(name))
    return (st.st_dev, st.st_ino)


def sysctl(name, settings):
    """Writes sysctls of a namespace; a key the kernel does not have is an error."""
    with entered(name):
        for key, value in settings.items():
            with open(f"/proc/sys/{key}", "w", encoding="ascii") as f:
                f.write(str(value))


def listed(prefix):
    try:
        return sorted(n for n in os.listdir(NETNS_DIR) if n.startswith(prefix))
    except FileNotFoundError:
        return []


def pids(names):
    """Processes with a thread in one of the namespaces; never the caller itself."""
    wanted = set()
    for name in names:
        with contextlib.suppress(OSError):
            wanted.add(inode(name))
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            st = os.stat(f"/proc/{entry}/ns/net")
            if (st.st_dev, st.st_ino) in wanted:
                found.append(int(entry))
    return found


def kill_dwellers(names, grace=2.0):
    """Kills every process that still lives in the namespaces and waits until they are gone."""
    deadline = time.monotonic() + grace
    while True:
        left = pids(names)
        if not left or time.monotonic() > deadline:
            return left
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
        reap_children()


def reap_children():
    """Collects zombies among children nobody waits for any more."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass


def delete(name):
    """Removes the name; the namespace itself goes with its last socket and process."""
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
