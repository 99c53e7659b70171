#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""banned - calls that have no place here; banned.txt lists them with what to use instead.

Usage: banned.py. A line `file: function: reason` in banned-exempt.txt lets one file keep one call.
"""

import re

import tree


def rules(text):
    """{function: (scope, advice)}"""
    table = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, scope, advice = line.split("\t")
            table[name] = (scope, advice)
    return table


def exemptions(text):
    kept = set()
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            name, function, reason = (part.strip() for part in line.split(":", 2))
            if reason:
                kept.add((name, function))
    return kept


def check_file(name, text, table, kept):
    call = re.compile(r"(?<![\w.>])(%s)[ \t]*\(" % "|".join(map(re.escape, table)))
    for number, line in enumerate(tree.without_noise(text).splitlines(), 1):
        for match in call.finditer(line):
            scope, advice = table[match.group(1)]
            if scope == "product" and name.startswith("tests/"):
                continue
            if (name, match.group(1)) not in kept:
                yield "%s:%d: %s() is banned; instead: %s" % (name, number, match.group(1), advice)


def problems(root=tree.ROOT):
    table = rules(tree.read("tests/tidy/banned.txt"))
    kept = exemptions(tree.read("tests/tidy/banned-exempt.txt"))
    found = []
    for name in tree.c_files(root):
        found += check_file(name, tree.read(name, root), table, kept)
    return found


if __name__ == "__main__":
    tree.finish("banned", problems())
