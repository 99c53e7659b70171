# SPDX-License-Identifier: Apache-2.0
"""What is measured: each variant says where the client dials and which processes stand between.

HAProxy and nginx run as mTLS pairs: one in the client's pod, one in the server's, TLS 1.3 only,
the same suite and curve for all, P-256 SPIFFE certificates verified on both sides, one thread
each, a full handshake for every connection as ztunnels do (none resumes sessions).
"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))

import certs
import world
from ztunnel import LabError, wait_until

APP_PORT = 8080
CONNECTIONS_MAX = 8000  # two descriptors each: within a usual hard limit of 20000
SERVER_DNS_NAME = "server.bench.lab"


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(p) for p in f.read().split()]


def tool_version(argv):
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise LabError(f"{argv[0]} is not installed") from None
    return (done.stdout + done.stderr).splitlines()[0].strip()


class Variant:
    """client and server are pods; target is what the client dials."""

    name = "direct"
    version = ""

    def __init__(self, client, server):
        self.client = client
        self.server = server

    @property
    def target(self):
        return self.server.ip4, APP_PORT

    def start(self):
        pass

    def stop(self):
        pass

    def pids(self):
        return []


class OurPair(Variant):
    """The two ztunnels of the lab; their pods are enrolled."""

    name = "culvert"

    def start(self):
        self.client.lab.write_state()
        for pod in (self.client, self.server):
            pod.node.ztunnel.start(wait=False)
        for pod in (self.client, self.server):
            pod.node.ztunnel.wait_ready()
        self.client.lab.apply()

    def stop(self):
        for pod in (self.client, self.server):
            pod.node.ztunnel.end()

    def pids(self):
        return [pod.node.ztunnel.process.pid for pod in (self.client, self.server)]


class TlsPair(Variant):
    """Two proxies of a distribution; subclasses write the configuration."""

    local_port = 0
    tls_port = 0

    def __init__(self, client, server, suite, directory):
        super().__init__(client, server)
        self.suite = suite
        self.dir = os.path.join(directory, self.name)
        self.processes = []
        os.makedirs(self.dir, exist_ok=True)
        authority = certs.Authority.new("bench")
        self.root = os.path.join(self.dir, "root.crt")
        with open(self.root, "wb") as f:
            f.write(authority.pem())
        for stem, account, dns in (("client", "client", []), ("server", "server",
                                                              [SERVER_DNS_NAME])):
            leaf = authority.leaf([world.identity("bench", account)], dns=dns)
            certs.write_leaf(self.dir, stem, leaf)

    @property
    def target(self):
        return "127.0.0.1", self.local_port

    def file(self, name):
        return os.path.join(self.dir, name)

    def start(self):
        self.processes = []
        for pod, side, port in ((self.server, "server", self.tls_port),
                                (self.client, "client", self.local_port)):
            path = self.file(side + ".conf")
            world.write(path, self.configuration(side))
            with open(self.file(side + ".log"), "ab") as log:
                self.processes.append(pod.popen(self.command(side, path), stdout=log, stderr=log))
            self._wait_up(pod, side, port)

    def _wait_up(self, pod, side, port):
        process = self.processes[-1]
        wait_until(lambda: process.poll() is not None or pod.is_listening(port), 20,
                   f"{self.name} listens on port {port} in {pod.name}")
        if process.poll() is not None:
            with open(self.file(side + ".log"), encoding="utf-8", errors="replace") as f:
                raise LabError(f"{self.name} ended with {process.returncode}: {f.read()[-2000:]}")

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def pids(self):
        return [p for process in self.processes for p in [process.pid] + children(process.pid)]


class HaproxyPair(TlsPair):
    name = "haproxy"
    local_port, tls_port = 19001, 15443

    def __init__(self, *args):
        super().__init__(*args)
        self.version = tool_version(["haproxy", "-v"])

    def command(self, _side, path):
        return ["haproxy", "-db", "-f", path]

    def configuration(self, side):
        common = (f"global\n  nbthread 1\n  maxconn {CONNECTIONS_MAX}\n"
                  "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n"
                  f"  timeout server 1h\n  maxconn {CONNECTIONS_MAX}\nfrontend in\n")
        tls = (f"ssl verify required ca-file {self.root} crt {self.file(side + '.pem')} "
               f"ssl-min-ver TLSv1.3 ciphersuites {self.suite} ")
        if side == "server":
            return (common + f"  bind {self.server.ip4}:{self.tls_port} backlog 4096 {tls}"
                    f"curves X25519 no-tls-tickets\n  default_backend out\n"
                    f"backend out\n  server app 127.0.0.1:{APP_PORT}\n")
        return (common + f"  bind 127.0.0.1:{self.local_port} backlog 4096\n"
                f"  default_backend out\nbackend out\n"
                f"  server peer {self.server.ip4}:{self.tls_port} {tls}no-ssl-reuse\n")


class NginxPair(TlsPair):
    name = "nginx"
    local_port, tls_port = 19002, 15444

    def __init__(self, *args):
        super().__init__(*args)
        self.version = tool_version(["nginx", "-v"])

    def command(self, _side, path):
        return ["nginx", "-p", self.dir, "-e", "stderr", "-c", path]

    def configuration(self, side):
        head = ("load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n"
                "user root;\ndaemon off;\nworker_processes 1;\n"
                f"pid {self.file(side + '.pid')};\nerror_log stderr warn;\n"
                f"events {{ worker_connections {2 * CONNECTIONS_MAX}; }}\n"
                "stream {\n  tcp_nodelay on;\n  server {\n")
        cert, key = self.file(side + ".crt"), self.file(side + ".key")
        if side == "server":
            return head + (f"    listen {self.server.ip4}:{self.tls_port} ssl backlog=4096;\n"
                           f"    ssl_certificate {cert};\n    ssl_certificate_key {key};\n"
                           f"    ssl_client_certificate {self.root};\n    ssl_verify_client on;\n"
                           f"    ssl_protocols TLSv1.3;\n    ssl_ecdh_curve X25519;\n"
                           f"    ssl_conf_command Ciphersuites {self.suite};\n"
                           f"    ssl_session_tickets off;\n    ssl_session_cache off;\n"
                           f"    proxy_pass 127.0.0.1:{APP_PORT};\n  }}\n}}\n")
        return head + (f"    listen 127.0.0.1:{self.local_port} backlog=4096;\n"
                       f"    proxy_pass {self.server.ip4}:{self.tls_port};\n    proxy_ssl on;\n"
                       f"    proxy_ssl_certificate {cert};\n"
                       f"    proxy_ssl_certificate_key {key};\n"
                       f"    proxy_ssl_trusted_certificate {self.root};\n"
                       f"    proxy_ssl_verify on;\n    proxy_ssl_name {SERVER_DNS_NAME};\n"
                       f"    proxy_ssl_protocols TLSv1.3;\n    proxy_ssl_session_reuse off;\n"
                       f"    proxy_ssl_conf_command Ciphersuites {self.suite};\n  }}\n}}\n")


REDIRECT_RULES = """
table inet bench {
  chain out {
    type nat hook output priority -100;
    meta mark & 0xfff == 0x539 accept
    oifname "lo" accept
    meta l4proto tcp redirect to :15001
  }
  chain in {
    type nat hook prerouting priority -100;
    iifname "lo" accept
    tcp dport 15008 accept
    meta l4proto tcp redirect to :15006
  }
}
"""


class OtherZtunnelPair(Variant):
    """Another ztunnel's binary: one dedicated process in each pod, traffic redirected to it."""

    def __init__(self, client, server, path, directory):
        super().__init__(client, server)
        self.name = "other"
        self.path = os.path.abspath(path)
        self.version = tool_version([self.path, "version"])
        self.dir = directory
        self.state = os.path.join(directory, "other.yaml")
        self.processes = []

    def _workload(self, pod):
        return {"uid": pod.uid, "name": pod.name, "namespace": pod.namespace,
                "workloadIps": pod.addresses, "serviceAccount": pod.account,
                "trustDomain": world.TRUST_DOMAIN, "protocol": "HBONE",
                "node": pod.node.full_name, "services": {}}

    def start(self):
        world.write(self.state, {"workloads": [self._workload(self.client),
                                               self._workload(self.server)]})
        self.processes = []
        for pod in (self.client, self.server):
            env = {"PATH": os.environ["PATH"], "PROXY_MODE": "dedicated", "FAKE_CA": "true",
                   "PROXY_WORKLOAD_INFO": f"{pod.namespace}/{pod.name}/{pod.account}",
                   "XDS_ADDRESS": "", "LOCAL_XDS_PATH": self.state, "NODE_NAME":
                   pod.node.full_name, "ZTUNNEL_WORKER_THREADS": "1", "PACKET_MARK": "1337",
                   "ISTIO_META_DNS_CAPTURE": "false", "RUST_LOG": "info"}
            with open(os.path.join(self.dir, f"other-{pod.name}.log"), "ab") as log:
                process = pod.popen([self.path, "proxy"], stdout=log, stderr=log, env=env,
                                    cwd="/")
            self.processes.append(process)
            self._wait_ready(pod, process)
            pod.run(["nft", "-f", "-"], input=REDIRECT_RULES)

    def _wait_ready(self, pod, process):
        import telemetry
        def ready():
            if process.poll() is not None:
                return True
            return telemetry.request(pod.netns, 15021, "/healthz/ready")[0] == 200
        wait_until(ready, 30, f"{self.path} is ready in {pod.name}")
        if process.poll() is not None:
            raise LabError(f"{self.path} ended with {process.returncode} in {pod.name}; "
                           f"see {self.dir}")

    def stop(self):
        for pod in (self.client, self.server):
            pod.run(["nft", "delete", "table", "inet", "bench"], check=False)
        for process in self.processes:
            process.kill()
            process.wait()

    def pids(self):
        return [process.pid for process in self.processes]
