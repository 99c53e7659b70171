# SPDX-License-Identifier: Apache-2.0
"""What a ztunnel tells about itself: metrics, access log lines, admin pages."""
import http.client
import json
import re
import socket

import netns

ADMIN_PORT, METRICS_PORT, READY_PORT = 15000, 15020, 15021

_SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?\s+(\S+)')
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_FIELD = re.compile(r'([a-z_.]+)=("(?:[^"\\]|\\.)*"|\S+)')


def unescape(text):
    return re.sub(r"\\(.)", lambda m: "\n" if m.group(1) == "n" else m.group(1), text)


class Metrics:
    """One scrape of the Prometheus text."""

    def __init__(self, text):
        self.text = text
        self.samples = []
        for line in text.splitlines():
            if line.startswith("#") or not line.strip():
                continue
            m = _SAMPLE.match(line)
            if not m:
                raise ValueError(f"not a metrics line: {line!r}")
            labels = {k: unescape(v) for k, v in _LABEL.findall(m.group(2) or "")}
            self.samples.append((m.group(1), labels, float(m.group(3))))

    def find(self, name, **want):
        return [(labels, value) for n, labels, value in self.samples
                if n == name and all(labels.get(k) == v for k, v in want.items())]

    def total(self, name, **want):
        return sum(value for _, value in self.find(name, **want))


def parse_access(line):
    """One access-log line of either format as a dict, or None for any other line."""
    line = line.rstrip("\n")
    if line.startswith("{"):
        try:
            fields = json.loads(line)
        except ValueError:
            return None
        scope = fields.get("scope", "")
        return fields if scope in ("access", "ztunnel::access") else None
    parts = line.split("\t")
    if len(parts) < 5 or parts[2] != "access":
        return None
    fields = {"time": parts[0], "level": parts[1], "scope": parts[2], "message": parts[3]}
    for key, value in _FIELD.findall(parts[4]):
        fields[key] = unescape(value[1:-1]) if value.startswith('"') else value
    for key in ("bytes_sent", "bytes_recv"):
        if key in fields:
            fields[key] = int(fields[key])
    return fields


class Http(http.client.HTTPConnection):
    """An HTTP connection made inside a network namespace."""

    def __init__(self, namespace, host, port, timeout=10):
        super().__init__(host, port, timeout=timeout)
        self.namespace = namespace

    def connect(self):
        with netns.entered(self.namespace):
            self.sock = socket.create_connection((self.host, self.port), self.timeout)


def request(namespace, port, path, method="GET", host="127.0.0.1", headers=None, body=None):
    """Returns (status, headers, text)."""
    conn = Http(namespace, host, port)
    try:
        conn.request(method, path, body=body, headers=headers or {})
        answer = conn.getresponse()
        text = answer.read().decode(errors="replace")
        return answer.status, dict((k.lower(), v) for k, v in answer.getheaders()), text
    finally:
        conn.close()
