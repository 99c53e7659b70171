#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""format - every C file is as clang-format writes it; names those that are not."""

import re
import subprocess

import tree


def problems(root=tree.ROOT, names=None):
    names = tree.c_files(root) if names is None else names
    if not names:
        return []
    done = subprocess.run(["clang-format", "--dry-run", "--Werror"] + names, cwd=root,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    lines = {}
    for name, line in re.findall(r"^(\S+?):(\d+):\d+: ", done.stdout.decode(errors="replace"), re.M):
        lines.setdefault(name, line)
    if done.returncode and not lines:
        return ["clang-format: " + done.stdout.decode(errors="replace").strip()]
    return ["%s:%s: clang-format would change this; run clang-format -i %s" % (n, l, n)
            for n, l in sorted(lines.items())]


if __name__ == "__main__":
    tree.finish("format", problems())
