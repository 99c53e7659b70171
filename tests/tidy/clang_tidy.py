#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""clang_tidy - .clang-tidy over product files, two at a time, with a memory.

Usage: clang_tidy.py BUILD FILE...   BUILD holds compile_commands.json of a clang build.

A file is read again only when it, a header of the project it can reach, its command or .clang-tidy
changed since it was last clean (remembered under build/clang-tidy/).
"""

import concurrent.futures
import hashlib
import json
import os
import re
import subprocess
import sys

import tree

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"([^"]+)"', re.M)
FINDING = re.compile(r"^\S+:\d+:\d+: error: ", re.M)
GENERATED = re.compile(r"^\S+\.skel\.h:")
MEMORY = tree.ROOT / "build" / "clang-tidy"


def commands(build):
    """{file relative to the root: its compile command}"""
    table = {}
    for row in json.loads((tree.ROOT / build / "compile_commands.json").read_text(encoding="utf-8")):
        path = os.path.realpath(os.path.join(row["directory"], row["file"]))
        table[os.path.relpath(path, os.path.realpath(tree.ROOT))] = row["command"]
    return table


def reachable(name, build, seen):
    """Project headers this file includes, at any depth (generated ones are looked up in BUILD)."""
    for header in INCLUDE.findall(tree.read(name)):
        folder = os.path.dirname(name)
        for place in (header, os.path.join(folder, header), os.path.join(build, header)):
            if place not in seen and (tree.ROOT / place).is_file():
                seen.add(place)
                reachable(place, build, seen)
                break
    return seen


def fingerprint(name, build, command):
    digest = hashlib.sha256((command + tree.read(".clang-tidy")).encode())
    for part in [name] + sorted(reachable(name, build, set())):
        digest.update(part.encode() + b"\0" + (tree.ROOT / part).read_bytes())
    return digest.hexdigest()


def findings(said):
    """Errors that are ours: what the analyzer follows into a skeleton is bpftool's."""
    return [line for line in said.splitlines() if FINDING.match(line) and not GENERATED.match(line)]


def check(name, build, command):
    """(name, clean, what clang-tidy said)"""
    note = MEMORY / name.replace("/", "_")
    now = fingerprint(name, build, command)
    if note.exists() and note.read_text(encoding="utf-8") == now:
        return name, True, ""
    done = subprocess.run(["clang-tidy", "--quiet", "-p", build, name], cwd=tree.ROOT,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    said = done.stdout.decode(errors="replace")
    clean = done.returncode == 0 or (bool(FINDING.search(said)) and not findings(said))
    if clean:
        note.write_text(now, encoding="utf-8")
    return name, clean, said


def main(build, names):
    MEMORY.mkdir(parents=True, exist_ok=True)
    table = commands(build)
    missing = [n for n in names if n not in table]
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        work = [pool.submit(check, n, build, table[n]) for n in names if n in table]
        for job in concurrent.futures.as_completed(work):
            name, clean, said = job.result()
            if not clean:
                bad += 1
                print("-- %s\n%s" % (name, said), flush=True)
    for name in missing:
        print("%s: not part of the build; no meson.build names it" % name)
    print("clang-tidy: %d files, %d with findings" % (len(names), bad))
    return 1 if bad or missing else 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: clang_tidy.py BUILD FILE...")
    sys.exit(main(sys.argv[1], sys.argv[2:]))
