#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the way through a pair of ztunnels against direct connections and other mTLS pairs.

All variants run in one lab, interleaved point by point; figures are medians over the rounds, bytes
are counted where they arrive, processor time is that of the proxies alone. Compare within a run
only.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lab"))
sys.path.insert(0, HERE)

import lab as lab_room
import peers
import ztunnel
from ztunnel import LabError

# name, mode of the load tool, connections, unit of the rate
POINTS = (
    ("bulk, 1 stream", "upload", 1, "Gb/s"),
    ("bulk, 8 streams", "upload", 8, "Gb/s"),
    ("1 KB ping-pong, 1 connection", "pingpong", 1, "req/s"),
    ("1 KB ping-pong, 16 connections", "pingpong", 16, "req/s"),
    ("1 KB ping-pong, 64 connections", "pingpong", 64, "req/s"),
    ("new connections, 16 at a time", "churn", 16, "conn/s"),
)
CPU_UNIT = {"upload": ("core-s/GB", 1e9), "pingpong": ("us/req", 1), "churn": ("us/conn", 1)}
IDLE_POINT = "idle connections, memory"
SUITES = {"128": "TLS_AES_128_GCM_SHA256", "256": "TLS_AES_256_GCM_SHA384"}
FOREIGN_CPU_MAX = 0.08  # of the machine; a figure taken with more is marked
CLIENT_PORTS = {"net/ipv4/ip_local_port_range": "10240 60999", "net/ipv4/tcp_tw_reuse": 1}
SETTLE_SECONDS = 1.0


class Bench:
    def __init__(self, options, lab):
        self.options = options
        self.lab = lab
        self.rows = []
        self.servers = {}
        a, b = lab.node("a"), lab.node("b")
        self.variants = list(self._variants(a, b))
        for variant in self.variants:
            for pod in (variant.client, variant.server):
                lab_room.netns.sysctl(pod.netns, CLIENT_PORTS)
            if variant.server.name not in self.servers:
                self.servers[variant.server.name] = self._serve(variant.server)

    def _variants(self, a, b):
        wanted = self.options.variants
        plain = a.pod("client", enrolled=False), b.pod("server", enrolled=False)
        if "direct" in wanted:
            yield peers.Variant(*plain)
        if "culvert" in wanted:
            yield peers.OurPair(a.pod("mesh-client"), b.pod("mesh-server"))
        for name, kind in (("haproxy", peers.HaproxyPair), ("nginx", peers.NginxPair)):
            if name in wanted:
                yield kind(*plain, SUITES[self.options.cipher], self.lab.dir)
        if self.options.ztunnel:
            yield peers.OtherZtunnelPair(a.pod("other-client", enrolled=False, in_mesh=False),
                                         b.pod("other-server", enrolled=False, in_mesh=False),
                                         self.options.ztunnel, self.lab.dir)

    def _serve(self, pod):
        process = pod.popen([self.options.load, "serve", "--address", "::",
                             "--port", str(peers.APP_PORT)])
        pod.wait_listening(peers.APP_PORT)
        return process

    def load(self, variant, mode, connections, *more):
        address, port = variant.target
        server = self.servers[variant.server.name].pid
        cpu = ",".join(str(p) for p in [server] + variant.pids())
        return [self.options.load, mode, "--address", address, "--port", str(port),
                "--connections", str(connections), "--cpu", cpu, *more]

    def measure(self, round_number, variant, point):
        name, mode, connections, _ = point
        argv = self.load(variant, mode, connections, "--seconds", str(self.options.seconds))
        done = variant.client.run(argv, timeout=self.options.seconds * 2 + 90)
        got = json.loads(done.stdout)
        server = self.servers[variant.server.name].pid
        proxies_us = sum(us for pid, us in got["cpu_us"].items() if int(pid) != server)
        ours_us = got["own_us"] + sum(got["cpu_us"].values())
        window_us = got["seconds"] * 1e6 * os.cpu_count()
        units = got["bytes"] if mode == "upload" else got["completed"]
        if units == 0:
            raise LabError(f"{variant.name}: nothing arrived in '{name}'")
        per_second = units / got["seconds"]
        cpu_unit = CPU_UNIT[mode][1]
        self.rows.append({
            "round": round_number, "point": name, "variant": variant.name,
            "rate": per_second * 8 / 1e9 if mode == "upload" else per_second,
            "cpu": proxies_us / units * cpu_unit / (1e6 if mode == "upload" else 1),
            "p50_us": got["p50_us"], "p99_us": got["p99_us"], "errors": got["errors"],
            "foreign": max(0.0, (got["machine_busy_us"] - ours_us) / window_us)})

    def measure_idle(self, round_number, variant):
        """PSS of fresh proxies: what a connection that has nothing to say costs."""
        if not variant.pids():
            return
        self._hold(variant, 1, lambda: None)
        time.sleep(SETTLE_SECONDS)
        before = self._pss_kb(variant)
        count = self.options.idle
        grown = self._hold(variant, count, lambda: self._pss_kb(variant) - before)
        self.rows.append({"round": round_number, "point": IDLE_POINT, "variant": variant.name,
                          "rate": grown / count, "cpu": None, "p50_us": 0, "p99_us": 0,
                          "errors": 0, "foreign": 0.0})

    def _pss_kb(self, variant):
        return sum(ztunnel.memory_kb(pid, "Pss") for pid in variant.pids())

    def _hold(self, variant, count, look):
        holder = variant.client.popen(self.load(variant, "idle", count), text=True,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            if json.loads(holder.stdout.readline() or "{}").get("held") != count:
                raise LabError(f"{variant.name}: {count} idle connections did not come through")
            time.sleep(SETTLE_SECONDS)
            return look()
        finally:
            holder.stdin.close()
            holder.wait(30)
            holder.stdout.close()

    def run(self):
        for number in range(1, self.options.rounds + 1):
            say(f"round {number} of {self.options.rounds}: idle connections")
            for variant in self.variants:
                if number > 1:
                    variant.stop()
                variant.start()
                self.measure_idle(number, variant)
            for at, point in enumerate(POINTS):
                say(f"round {number} of {self.options.rounds}: {point[0]}")
                shift = (number + at) % len(self.variants)
                for variant in self.variants[shift:] + self.variants[:shift]:
                    self.measure(number, variant, point)


def say(text):
    print(text, file=sys.stderr, flush=True)


def medians(rows):
    """{(point, variant): row of medians}, in the order measured."""
    groups = {}
    for row in rows:
        groups.setdefault((row["point"], row["variant"]), []).append(row)
    result = {}
    for key, group in groups.items():
        middle = {k: statistics.median(r[k] for r in group)
                  for k in ("rate", "p50_us", "p99_us", "foreign")}
        costs = [r["cpu"] for r in group if r["cpu"] is not None]
        middle["cpu"] = statistics.median(costs) if costs else None
        middle["errors"] = sum(r["errors"] for r in group)
        middle["lowest"], middle["highest"] = (f(r["rate"] for r in group) for f in (min, max))
        result[key] = middle
    return result


def number(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def print_table(result, variants):
    for name, mode, _, unit in POINTS + ((IDLE_POINT, None, 0, "kB each"),):
        cpu_unit = CPU_UNIT[mode][0] if mode else ""
        print(f"\n{name}\n  {'':10} {unit:>12} {'(lowest-highest)':>20} "
              f"{'proxies ' + cpu_unit:>18} {'p50 us':>9} {'p99 us':>9}")
        for variant in variants:
            row = result.get((name, variant.name))
            if not row:
                continue
            spread = f"({number(row['lowest'])}-{number(row['highest'])})"
            latency = [number(row[k]) if row[k] else "-" for k in ("p50_us", "p99_us")]
            notes = []
            if row["errors"]:
                notes.append(f"{row['errors']:.0f} errors")
            if row["foreign"] > FOREIGN_CPU_MAX:
                notes.append(f"void: {row['foreign']:.0%} of the machine was used by others")
            print(f"  {variant.name:10} {number(row['rate']):>12} {spread:>20} "
                  f"{number(row['cpu']):>18} {latency[0]:>9} {latency[1]:>9}  {', '.join(notes)}")


# point, figure, what better means, the aim against the better of the pairs
AIMS = (
    ("bulk, 1 stream", "rate", max, "at least", 1.5),
    ("bulk, 1 stream", "cpu", min, "at most", 0.65),
    ("bulk, 8 streams", "rate", max, "at least", 1.5),
    ("bulk, 8 streams", "cpu", min, "at most", 0.65),
    ("1 KB ping-pong, 64 connections", "rate", max, "at least", 2.0),
    ("1 KB ping-pong, 64 connections", "cpu", min, "at most", 0.4),
    ("new connections, 16 at a time", "cpu", min, "at most", 0.15),
)
IDLE_AIM_KB = 4.0


def print_aims(result):
    """How culvert stands against the better of the HAProxy and nginx pairs."""
    pairs = [v for v in ("haproxy", "nginx") if (POINTS[0][0], v) in result]
    if (POINTS[0][0], "culvert") not in result or not pairs:
        return
    print("\nculvert against the better of " + " and ".join(pairs))
    for point, figure, best, word, aim in AIMS:
        other = best(result[(point, v)][figure] for v in pairs)
        if not other:
            continue
        ratio = result[(point, "culvert")][figure] / other
        met = ratio >= aim if word == "at least" else ratio <= aim
        print(f"  {point + ', ' + figure:40} {ratio:6.2f}x   aim: {word} {aim}x   "
              f"{'met' if met else 'missed'}")
    held = result[(IDLE_POINT, "culvert")]["rate"]
    print(f"  {IDLE_POINT:40} {held:6.2f} kB  aim: at most {IDLE_AIM_KB:g} kB   "
          f"{'met' if held <= IDLE_AIM_KB else 'missed'}")


def conditions(options, variants):
    commit = subprocess.run(["git", "-C", HERE, "rev-parse", "HEAD"], capture_output=True,
                            text=True, check=False).stdout.strip()
    return {"kernel": platform.release(), "cpus": os.cpu_count(), "commit": commit,
            "rounds": options.rounds, "seconds": options.seconds, "idle": options.idle,
            "suite of the pairs": SUITES[options.cipher], "pinned": False,
            "versions": {v.name: v.version for v in variants if v.version}}


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--idle", type=int, default=2000, help="idle connections held")
    parser.add_argument("--smoke", action="store_true", help="one short round: does it work")
    parser.add_argument("--json", metavar="FILE", help="write every row and the medians")
    parser.add_argument("--variants", default="direct,culvert,haproxy,nginx")
    parser.add_argument("--cipher", choices=SUITES, default="256",
                        help="AES-GCM key size of the pairs (culvert prefers 256)")
    parser.add_argument("--ztunnel", metavar="PATH", help="measure another ztunnel's binary too")
    parser.add_argument("--load", metavar="PATH", help="the load generator, if not in the build")
    options = parser.parse_args()
    options.variants = options.variants.split(",")
    unknown = set(options.variants) - {"direct", "culvert", "haproxy", "nginx"}
    if unknown:
        parser.error(f"unknown variants: {', '.join(sorted(unknown))}")
    if not 1 <= options.idle <= peers.CONNECTIONS_MAX:
        parser.error(f"--idle must be from 1 to {peers.CONNECTIONS_MAX}")
    if options.smoke:
        options.rounds, options.seconds, options.idle = 1, 0.3, 100
    build = os.path.join(ztunnel.ROOT, os.environ.get("CULVERT_BUILD", "build"))
    options.load = os.path.abspath(options.load or os.path.join(build, "tests/bench/load"))
    if not os.access(options.load, os.X_OK):
        parser.error(f"there is no load generator at {options.load}; build it, or say --load PATH")
    return options


def main():
    options = parse()
    lab_room.end_on_signals()
    if "culvert" in options.variants:
        ztunnel.binary()
    with lab_room.Lab(ztunnel_env={"ZTUNNEL_WORKER_THREADS": "1"}) as lab:
        lab_room.ensure_bpffs()
        bench = Bench(options, lab)
        bench.run()
        result = medians(bench.rows)
        facts = conditions(options, bench.variants)
        print(json.dumps(facts, indent=1))
        print_table(result, bench.variants)
        print_aims(result)
    if options.json:
        nested = [{"point": p, "variant": v, **row} for (p, v), row in result.items()]
        with open(options.json, "w", encoding="ascii") as f:
            json.dump({"conditions": facts, "medians": nested, "rows": bench.rows}, f, indent=1)
            f.write("\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as error:
        sys.exit(f"bench: {error}")
