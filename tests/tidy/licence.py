#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""licence - every source file says its licence on its first line (its second, after #!).

The kernel side is dual licensed so that the kernel takes it and everybody else can; GPL-2.0-only
alone may never be linked with wolfSSL's GPL-3.0, so it stands nowhere else.
"""

import re

import tree

OURS = "Apache-2.0"
KERNEL = "GPL-2.0-only OR BSD-2-Clause"
TEXTS = ("Apache-2.0", "GPL-2.0-only", "BSD-2-Clause", "GPL-3.0-or-later")
# What carries a line; the rest (prose, corpora, transcripts, fixtures) is covered by .reuse/dep5.
SOURCES = (".c", ".h", ".def", ".py", ".sh", ".build", "meson_options.txt", ".flags", ".pin", ".editorconfig",
           ".clang-tidy")
FULL_NAMES = ("tests/run", "tests/quickstart", ".ci/run", "tests/bench/run")
FREE = ("tests/fuzz/corpus/", "tests/transcripts/", "tests/fixtures/")
TAG = re.compile(r"SPDX-License-Identifier:\s*(.+?)\s*(?:\*/)?\s*$")


def is_source(name):
    return not name.startswith(FREE) and (name.endswith(SOURCES) or name in FULL_NAMES)


def expected(name):
    return KERNEL if name.startswith("bpf/") and name.endswith((".c", ".h")) else OURS


def check_file(name, text):
    lines = text.splitlines()[:2]
    if lines and lines[0].startswith("#!"):
        lines = lines[1:]
    tag = TAG.search(lines[0]) if lines else None
    if not tag:
        yield "%s:1: no SPDX-License-Identifier on the first line; %s is meant" % (name, expected(name))
    elif tag.group(1) != expected(name):
        yield "%s:1: licence %s; %s is meant here" % (name, tag.group(1), expected(name))


def problems(root=tree.ROOT):
    found = []
    names = tree.files(root)
    for name in names:
        if is_source(name):
            found += check_file(name, tree.read(name, root))
    for text in TEXTS:
        if "LICENSES/%s.txt" % text not in names:
            found.append("LICENSES/%s.txt is missing" % text)
    for name in ("LICENSE", "NOTICE"):
        if name not in names:
            found.append("%s is missing" % name)
    return found


if __name__ == "__main__":
    tree.finish("licence", problems())
