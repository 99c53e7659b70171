# SPDX-License-Identifier: Apache-2.0
"""One ztunnel process on one node of the lab."""
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time

import netns
import telemetry

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

SANITIZER_MARKS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:",
                   "WARNING: ThreadSanitizer", "ERROR: UndefinedBehaviorSanitizer")

READY_TIMEOUT = 60  # generous: sanitizer builds on a busy machine


class LabError(RuntimeError):
    """Something of the lab is not as it should be; the text says what and what to do."""


def wait_until(condition, timeout=20, what="the condition", interval=0.02):
    """Returns the first true value of condition(); raises when the time is over."""
    deadline = time.monotonic() + timeout
    failure = None
    while True:
        try:
            value = condition()
            if value:
                return value
            failure = None
        except (OSError, ValueError, KeyError, LabError) as error:
            failure = error
        if time.monotonic() > deadline:
            raise LabError(f"gave up after {timeout} s waiting until {what}"
                           + (f" (last: {failure})" if failure else ""))
        time.sleep(interval)


def binary():
    """The ztunnel under test: CULVERT_ZTUNNEL, or ztunnel/ztunnel of CULVERT_BUILD."""
    build = os.environ.get("CULVERT_BUILD", "build")
    path = os.environ.get("CULVERT_ZTUNNEL", os.path.join(ROOT, build, "ztunnel", "ztunnel"))
    if not os.access(path, os.X_OK):
        raise LabError(f"there is no ztunnel at {path}; build it first (meson setup build && "
                       "ninja -C build), or name another with CULVERT_BUILD or CULVERT_ZTUNNEL")
    return os.path.abspath(path)


def cgroup_root():
    """The root of the unified hierarchy as this machine mounts it."""
    with open("/proc/mounts", encoding="ascii", errors="replace") as f:
        for line in f:
            fields = line.split()
            if fields[2] == "cgroup2":
                return fields[1]
    raise LabError("no cgroup2 hierarchy is mounted; try: "
                   "mkdir -p /run/cgroup2 && mount -t cgroup2 none /run/cgroup2")


def cpu_seconds(pid):
    """User plus system time of a process with all its threads."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_kb(pid, key):
    """A line of smaps_rollup, for example Rss or Pss, in kB."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        for line in f:
            if line.startswith(key + ":"):
                return int(line.split()[1])
    raise LabError(f"/proc/{pid}/smaps_rollup has no {key}")


class Ztunnel:
    """Started, watched and ended by the lab; restarts append to the same log."""

    def __init__(self, node, extra_env=None):
        self.node = node
        self.extra_env = dict(extra_env or {})
        self.cwd = "/"
        self.process = None
        self.log_path = os.path.join(node.lab.dir, f"ztunnel-{node.name}.log")

    # -- life ---------------------------------------------------------------

    def environment(self):
        lab, node = self.node.lab, self.node
        env = {k: v for k, v in os.environ.items()
               if k in ("PATH", "LD_LIBRARY_PATH") or k.endswith("SAN_OPTIONS")}
        env.update({
            "NODE_NAME": node.full_name,
            "XDS_ADDRESS": "",
            "LOCAL_XDS_PATH": node.state_path,
            "CULVERT_CA": "dev",
            "CULVERT_CA_INSECURE_DEV": "true",
            "CULVERT_CA_DEV_KEY": lab.ca_path,
            "CULVERT_BPF_ROOT": node.bpf_root,
            "CULVERT_CGROUP_ROOT": cgroup_root(),
            "ZTUNNEL_WORKER_THREADS": "2",  # so that what workers share is exercised
            "RUST_LOG": "info",
            "TERMINATION_GRACE_PERIOD_SECONDS": "15",
        })
        env.update(lab.ztunnel_env)
        env.update(self.extra_env)
        return env

    def start(self, wait=True):
        if self.running():
            raise LabError(f"ztunnel of node {self.node.name} is already running")
        os.makedirs(self.node.run_dir, exist_ok=True)
        os.makedirs(self.node.bpf_root, exist_ok=True)
        with open(self.log_path, "ab") as log, netns.entered(self.node.netns):
            self.process = subprocess.Popen([self.node.lab.ztunnel_path or binary(), "proxy"],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=self.environment(), cwd=self.cwd,
                                            start_new_session=True)
        if wait:
            self.wait_ready()

    def running(self):
        return self.process is not None and self.process.poll() is None

    def wait_ready(self, timeout=READY_TIMEOUT):
        try:
            wait_until(lambda: not self.running() or self.ready()[0] == 200, timeout,
                       f"ztunnel of node {self.node.name} is ready")
        except LabError as error:
            raise LabError(f"{error}; its log ends:\n{self.tail(15)}") from None
        if not self.running():
            raise LabError(f"ztunnel of node {self.node.name} ended with status "
                           f"{self.process.returncode}; its log ends:\n{self.tail(15)}")

    def ready(self):
        status, _, text = self.get("/healthz/ready", telemetry.READY_PORT)
        return status, text

    def kill(self):
        """SIGKILL: the crash case."""
        self.process.kill()
        self.process.wait()

    def terminate(self, timeout=60):
        """SIGTERM; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def end(self):
        """Whatever its state, afterwards it is gone."""
        if not self.running():
            return
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(20)
        if self.process.poll() is None:
            self.kill()

    @contextlib.contextmanager
    def restarted(self, **env):
        """Runs with more in its environment for a while; connections do not survive it."""
        before = dict(self.extra_env)
        self.end()
        self.extra_env.update(env)
        try:
            self.start()
            yield self
        finally:
            self.end()
            self.extra_env = before
            self.start()

    def reload(self):
        if self.running():
            self.process.send_signal(signal.SIGHUP)

    # -- what it tells --------------------------------------------------------

    def get(self, path, port=telemetry.ADMIN_PORT, **more):
        return telemetry.request(self.node.netns, port, path, **more)

    def metrics(self):
        status, _, text = self.get("/metrics", telemetry.METRICS_PORT)
        if status != 200:
            raise LabError(f"/metrics of node {self.node.name} answered {status}")
        return telemetry.Metrics(text)

    def config_dump(self):
        status, _, text = self.get("/config_dump")
        if status != 200:
            raise LabError(f"/config_dump of node {self.node.name} answered {status}")
        return json.loads(text)

    def log_size(self):
        try:
            return os.path.getsize(self.log_path)
        except FileNotFoundError:
            return 0

    def log_text(self, since=0):
        try:
            with open(self.log_path, "rb") as f:
                f.seek(since)
                return f.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def tail(self, lines=20):
        return "\n".join(self.log_text().splitlines()[-lines:])

    def access_log(self, since=0, **want):
        """Access-log lines as dicts, filtered by fields (dots of field names as __)."""
        found = []
        for line in self.log_text(since).splitlines():
            fields = telemetry.parse_access(line)
            if fields and all(fields.get(k.replace("__", ".")) == v for k, v in want.items()):
                found.append(fields)
        return found

    def wait_access(self, since=0, timeout=20, **want):
        """The first matching access-log line, waited for."""
        what = f"node {self.node.name} logs a connection with {want}"
        return wait_until(lambda: self.access_log(since, **want), timeout, what)[0]

    def sanitizer_reports(self):
        text = self.log_text()
        at = [text.find(mark) for mark in SANITIZER_MARKS if mark in text]
        return text[min(at):][:4000] if at else ""

    # -- what it uses -----------------------------------------------------------

    def rss_kb(self):
        return memory_kb(self.process.pid, "Rss")

    def pss_kb(self):
        return memory_kb(self.process.pid, "Pss")

    def pins(self):
        """Everything pinned below the node's BPF root, as relative paths."""
        found = []
        for base, dirs, files in os.walk(self.node.bpf_root):
            found += [os.path.relpath(os.path.join(base, f), self.node.bpf_root)
                      for f in dirs + files]
        return sorted(found)


def remove_pins(path):
    """Removes a directory of pins; unpinning is what detaches the programs."""
    if path.startswith("/sys/fs/bpf/") and re.search(r"/cvt-[0-9a-z]+", path):
        shutil.rmtree(path, ignore_errors=True)
