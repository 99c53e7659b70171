#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""compatibility - docs/compatibility.md lists every capability, and says `holds` only with a test.

A row is | id | capability | tests | state |, the state `holds` or `not yet: why`. The tests of a row
that holds are names (several with commas between) that stand in a file under tests/.
"""

import re

import tree

PAGE = "docs/compatibility.md"
IDS = ["Z-%d" % n for n in range(1, 133)] + ["W-%d" % n for n in range(1, 151)]
ROW = re.compile(r"^\| *([ZW]-\d+) *\|(.*)\|([^|]*)\|([^|]*)\|\s*$", re.M)
NOT_YET = re.compile(r"^not yet: \S")


def rows(text):
    for match in ROW.finditer(text):
        yield tuple(cell.strip() for cell in match.groups())


def test_words(root):
    """Every word of every test file: what a row may name."""
    words = set()
    for name in tree.files(root):
        if name.startswith("tests/") and not name.startswith(("tests/tidy/", "tests/fuzz/corpus/")):
            words.update(re.findall(r"[A-Za-z_]\w+", tree.read(name, root)))
    return words


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
        if state == "holds":
            names = [n.strip().strip("`") for n in tests.split(",")]
            for name in names:
                if name not in known:
                    yield "%s: %s holds by a test named %r, and tests/ has none" % (PAGE, row, name)
        elif not NOT_YET.match(state):
            yield "%s: %s: the state is `holds` or `not yet: why`, not %r" % (PAGE, row, state)
    for row in IDS:
        if row not in seen:
            yield "%s: %s is missing" % (PAGE, row)


def problems(root=tree.ROOT):
    return list(check(tree.read(PAGE, root), test_words(root)))


if __name__ == "__main__":
    tree.finish("compatibility", problems())
