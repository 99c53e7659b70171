#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The demonstration: two nodes, two pods, one mesh, told as it happens.

Every claim is checked; the first that does not hold ends the demonstration with status 1.
"""
import argparse
import os
import subprocess
import sys
import textwrap
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import apps
import capture
import lab as lab_room
import world
import ztunnel
from ztunnel import LabError, wait_until

PORT = 8080
CURL_SECONDS = 3
RETRY_SECONDS = 20
WIDTH = 96


class ClaimFailed(RuntimeError):
    pass


class Voice:
    """Headings, sentences, quotes; colour only for a terminal."""

    def __init__(self, out):
        self.out = out
        self.colour = out.isatty() and not os.environ.get("NO_COLOR")
        self.step_count = 0

    def _paint(self, code, text):
        return f"\033[{code}m{text}\033[0m" if self.colour else text

    def say(self, text=""):
        for line in textwrap.wrap(text, WIDTH) or [""]:
            print(line, file=self.out, flush=True)

    def step(self, title):
        self.step_count += 1
        print(file=self.out)
        print(self._paint("1", f"{self.step_count}. {title}"), file=self.out, flush=True)

    def quote(self, text):
        for line in text.rstrip("\n").splitlines():
            print(self._paint("2", "   | ") + line, file=self.out, flush=True)

    def claim(self, holds, text, otherwise):
        if not holds:
            raise ClaimFailed(f"{text}: this does not hold. {otherwise}")
        print("   " + self._paint("32", "ok") + f"  {text}", file=self.out, flush=True)


class Demo:
    def __init__(self, lab, voice):
        self.lab = lab
        self.voice = voice
        self.a, self.b = lab.node("a"), lab.node("b")
        self.client = self.a.pod("client", enrolled=False)
        self.server = self.b.pod("server", enrolled=False)
        self.server.popen([sys.executable, os.path.join(ztunnel.ROOT, "tests/lab/apps.py"),
                           "whoami", str(PORT)],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.server.wait_listening(PORT)
        self.url = f"http://{self.server.ip4}:{PORT}/vault?user=alice"
        self.spoken = [apps.SECRET.encode(), b"user=alice", b"HTTP/1.1"]

    # -- what the application does --------------------------------------------------

    def ask(self):
        """The application's one request; returns (worked, what came back or why not)."""
        done = self.client.run(["curl", "-sS", "--max-time", str(CURL_SECONDS), self.url],
                               check=False)
        return done.returncode == 0, (done.stdout or done.stderr).strip()

    def ask_captured(self):
        """The request with a capture of node a's link to the wire."""
        with self.lab.captured(self.a) as packets:
            answer = self.ask()
        pair = capture.between(packets, self.client.addresses, self.server.addresses)
        return answer, pair

    def ask_until_served(self):
        return wait_until(lambda: (lambda worked, text: worked and text)(*self.ask()),
                          RETRY_SECONDS, "the request is served")

    def show_request(self, answer):
        self.voice.quote(f"client$ curl {self.url}\n{answer[1]}")

    # -- the steps --------------------------------------------------------------------

    def plaintext(self):
        self.voice.step("Before: the request crosses the wire in the clear")
        answer, packets = self.ask_captured()
        self.show_request(answer)
        self.voice.claim(answer[0], "the request was served", answer[1])
        readable = [s for s in self.spoken
                    if any(s in data for data in capture.streams(packets).values())]
        found = capture.leaks(packets, self.spoken)
        self.voice.say(f"   tcpdump on the link between the nodes saw {len(packets)} packets on "
                       f"port {PORT}, and in them:")
        self.voice.quote("\n".join(s.decode() for s in readable))
        self.voice.claim(len(readable) == len(self.spoken) and found,
                         "anybody on the wire can read it", f"readable: {readable}")

    def start_ztunnels(self):
        self.voice.step("One ztunnel starts on each node; the pods are not enrolled yet")
        self.lab.start()
        answer = self.ask()
        self.voice.claim(answer[0], "the pods go on as before", answer[1])

    def enroll(self):
        self.voice.step("Enroll both pods: `netns:` and `protocol: HBONE` in the state file")
        self.client.enrolled = self.server.enrolled = True
        self.lab.apply()
        held = [n.ztunnel.metrics().total("workload_manager_active_proxy_count")
                for n in (self.a, self.b)]
        self.voice.claim(held == [1, 1], "each ztunnel holds its pod; no process was restarted",
                         f"pods held: {held}")

    def encrypted(self):
        self.voice.step("The same request again")
        self.marks = [n.ztunnel.log_size() for n in (self.a, self.b)]
        answer, packets = self.ask_captured()
        self.show_request(answer)
        self.voice.claim(answer[0], "the request was served, application and command unchanged",
                         answer[1])
        streams = capture.streams(packets)
        carried = sum(len(p.payload) for p in packets)
        found = capture.leaks(packets, self.spoken)
        self.voice.claim(streams and not found,
                         f"the wire shows {len(packets)} packets on port 15008, {carried} bytes "
                         "of TLS and no byte of the application", "; ".join(found)
                         or "nothing at all was captured")
        self.voice.claim(f"you are {self.client.ip4};" in answer[1],
                         f"the server still sees the client's own address, {self.client.ip4}",
                         answer[1])

    def identities(self):
        self.voice.step("Who spoke to whom: proved by certificates on both sides")
        out = self.a.ztunnel.wait_access(self.marks[0], direction="outbound")
        into = self.b.ztunnel.wait_access(self.marks[1], direction="inbound")
        for node, line in ((self.a, out), (self.b, into)):
            self.voice.quote(f"node {node.name}: {line['src.identity']}\n"
                             f"     to: {line['dst.identity']}")
        expected = (self.client.identity, self.server.identity)
        self.voice.claim(all((line["src.identity"], line["dst.identity"]) == expected
                             for line in (out, into)), "both sides agree", f"{out}, {into}")

    def telemetry(self):
        self.voice.step("What operators get: one access-log line and metrics")
        line = [text for text in self.b.ztunnel.log_text(self.marks[1]).splitlines()
                if "\taccess\t" in text][-1]
        self.voice.quote("\n".join(textwrap.wrap(line.replace("\t", "  "), WIDTH - 6)))
        want = {"reporter": "destination", "connection_security_policy": "mutual_tls",
                "source_principal": self.client.identity}
        name = "istio_tcp_connections_opened_total"
        wait_until(lambda: self.b.ztunnel.metrics().find(name, **want), RETRY_SECONDS,
                   f"{name} counts the connection")
        opened = self.b.ztunnel.metrics().total(name, **want)
        moved = [self.b.ztunnel.metrics().total(f"istio_tcp_{way}_bytes_total", **want)
                 for way in ("received", "sent")]
        labels = ", ".join(f'{k}="{v}"' for k, v in want.items())
        self.voice.quote("\n".join(textwrap.wrap(f"{name}{{{labels}, ...}} {opened:g}",
                                                 WIDTH - 6)))
        self.voice.claim(opened >= 1 and all(moved), f"{opened:g} connection, {moved[0]:g} bytes "
                         f"received, {moved[1]:g} sent, mutual_tls", f"{opened}, {moved}")

    def policy(self):
        self.voice.step("A policy: deny this client, by changing the file")
        principal = f"{world.TRUST_DOMAIN}/ns/default/sa/client"
        self.voice.quote("policies:\n- name: no-client\n  action: Deny\n"
                         f"  rules: [[[{{principals: [{{Exact: {principal}}}]}}]]]")
        self.lab.policies = [world.policy("no-client", "default", "Deny",
                                          [{"principals": world.exact(principal)}])]
        self.lab.apply()
        mark = self.b.ztunnel.log_size()
        answer = self.ask()
        self.show_request(answer)
        self.voice.claim(not answer[0], "the request is refused", answer[1])
        line = self.b.ztunnel.wait_access(mark, direction="inbound")
        self.voice.claim("error" in line, "the log says why", f"{line}")
        self.voice.quote(f'error="{line.get("error")}"')
        self.lab.policies = []
        self.lab.apply()
        self.voice.claim(self.ask_until_served(), "without the policy it is served again", "")

    def crash(self):
        self.voice.step("kill -9: the pod is closed, nothing leaks")
        self.a.ztunnel.kill()
        answer, packets = self.ask_captured()
        self.show_request(answer)
        self.voice.claim(not answer[0], "the request fails", answer[1])
        opened = [p for p in packets if p.payload or p.flags & capture.FLAG_SYN]
        self.voice.claim(not opened, "no packet of it reached the wire",
                         f"{len(opened)} packets to ports {sorted({p.dport for p in opened})}")

    def recover(self):
        self.voice.step("ztunnel starts again")
        self.a.ztunnel.start()
        answer = self.ask_until_served()
        self.voice.quote(answer)
        self.voice.claim(True, "new connections work; the pod was not touched", "")

    def run(self):
        for step in (self.plaintext, self.start_ztunnels, self.enroll, self.encrypted,
                     self.identities, self.telemetry, self.policy, self.crash, self.recover):
            step()


def explain(demo, voice):
    """How to look around in a lab that stays up."""
    lab, client, server = demo.lab, demo.client, demo.server
    inside = "nsenter --net=/run/netns/"
    here = os.path.join(ztunnel.ROOT, "tests", "lab", "lab.py")
    voice.say()
    voice.say("The lab stays up. To look around:")
    for what, command in (
            ("the request again", f"{inside}{client.netns} curl {demo.url}"),
            ("a shell in the server's pod", f"{inside}{server.netns} bash"),
            ("the wire", f"{inside}{lab.wire.netns} tcpdump -ni {demo.a.wire_port} -X tcp"),
            ("what node a knows", f"{inside}{demo.a.netns} curl -s localhost:15000/config_dump"),
            ("metrics of node b", f"{inside}{demo.b.netns} curl -s localhost:15020/metrics"),
            ("the log of node b", f"tail -f {demo.b.ztunnel.log_path}"),
            ("change the mesh of node b (read again at once)", f"$EDITOR {demo.b.state_path}"),
            ("take it all down", f"{here} down {lab.run_id}")):
        print(f"  # {what}\n  {command}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", action="store_true",
                        help="leave the lab up and say how to explore")
    options = parser.parse_args()
    lab_room.end_on_signals()
    ztunnel.binary()
    voice = Voice(sys.stdout)
    began = time.monotonic()
    with lab_room.Lab() as lab:
        voice.say("Two nodes, one pod each, one wire between them; all of it in network "
                  "namespaces of this machine.")
        demo = Demo(lab, voice)
        voice.quote(f"node a: pod client {demo.client.ip4}      node b: pod server "
                    f"{demo.server.ip4}")
        try:
            demo.run()
        except (ClaimFailed, LabError) as error:
            voice.say()
            for node in lab.nodes.values():
                print(f"--- end of the log of ztunnel on node {node.name}\n{node.ztunnel.tail(15)}",
                      file=sys.stderr)
            print(f"\ndemo: FAILED at step {voice.step_count}: {error}", file=sys.stderr)
            return 1
        voice.say()
        voice.say(f"All claims held, in {time.monotonic() - began:.0f} seconds.")
        if options.keep:
            explain(demo, voice)
            lab.hand_over()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as error:
        sys.exit(f"demo: {error}")
