#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""compatibility - docs/compatibility.md lists every capability, and says `holds` only with a test.

A row is | id | capability | tests | state |, the state `holds`, `not yet: why` or `not yet: why; partly by
test, ...`. The tests of a row, several with commas between, are test functions under tests/, tests
that a meson.build there registers, or fuzz targets.
"""

import re

import tree

PAGE = "docs/compatibility.md"
IDS = ["Z-%d" % n for n in range(1, 133)] + ["W-%d" % n for n in range(1, 151)]
ROW = re.compile(r"^\| *([ZW]-\d+) *\|(.*)\|([^|]*)\|([^|]*)\|\s*$", re.M)
NOT_YET = re.compile(r"^not yet: \S")
PARTLY = re.compile(r"; partly by (.*)$")

# A function of cmocka's or pytest's, by the form of its definition.
FUNCTIONS = {
    ".c": re.compile(r"^static void (\w+)\(void \*\*", re.M),
    ".py": re.compile(r"^def (test_\w+)\(", re.M),
    "meson.build": re.compile(r"^ *test\('(\w+)'", re.M),
}
FUZZ_TARGET = re.compile(r"^tests/fuzz/(fuzz_\w+)\.c$")


def rows(text):
    for match in ROW.finditer(text):
        yield tuple(cell.strip() for cell in match.groups())


def test_names(root):
    """What a row may name."""
    names = set()
    for name in tree.files(root):
        if not name.startswith("tests/") or name.startswith("tests/tidy/"):
            continue
        names.update(FUZZ_TARGET.findall(name))
        for ending, pattern in FUNCTIONS.items():
            if name.endswith(ending):
                names.update(pattern.findall(tree.read(name, root)))
    return names


def split(tests):
    return [n.strip().strip("`") for n in tests.split(",")]


def check(text, known):
    seen = set()
    for row, capability, tests, state in rows(text):
        if row in seen:
            yield "%s: %s stands twice" % (PAGE, row)
        seen.add(row)
        if row not in IDS:
            yield "%s: %s is no row of the checklists" % (PAGE, row)
        if not capability:
            yield "%s: %s names no capability" % (PAGE, row)
        partly = PARTLY.search(state)
        if state == "holds":
            names = split(tests)
        elif not NOT_YET.match(state):
            yield "%s: %s: the state is `holds` or `not yet: why`, not %r" % (PAGE, row, state)
            names = []
        else:
            names = split(partly.group(1)) if partly else []
        for name in names:
            if name not in known:
                yield "%s: %s names a test %r, and tests/ has none" % (PAGE, row, name)
    for row in IDS:
        if row not in seen:
            yield "%s: %s is missing" % (PAGE, row)


def problems(root=tree.ROOT):
    return list(check(tree.read(PAGE, root), test_names(root)))


if __name__ == "__main__":
    tree.finish("compatibility", problems())
