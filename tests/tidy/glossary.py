#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""glossary - one word per thing, one thing per word.

docs/glossary.md is a table: | word | what it is | never |. Each word stands there once; a word of
the last column, and the names that say nothing, may not be part of a name in the product.
"""

import re

import tree

# No name may be built with these.
EMPTY_WORDS = {"util", "utils", "helper", "helpers", "manager", "managers"}
# No type may be called these, or end in one of the first two.
WEAK_ENDINGS = {"ctx", "data"}
WEAK_NAMES = WEAK_ENDINGS | {"info"}
# Names the reference implementation shows to users; we show the same.
CONTRACT_NAMES = {"READY_STATE_MANAGER", "READY_WORKLOAD_PROXY_MANAGER"}

ROW = re.compile(r"^\|([^|]*)\|([^|]*)\|([^|]*)\|\s*$", re.M)
IDENTIFIER = re.compile(r"(?<![\w.>])[A-Za-z_]\w*")
TYPE = re.compile(r"\b(?:struct|enum|union)\s+(\w+)\s*\{")


def entries(text):
    """Yield (word, meaning, [words never to use])."""
    for match in ROW.finditer(text):
        word, meaning, never = (cell.strip() for cell in match.groups())
        if word in ("word", "") or set(word) <= set("-: "):
            continue
        yield word, meaning, [n.strip() for n in never.split(",") if n.strip() not in ("", "-")]


def glossary_problems(text):
    seen = {}
    for word, meaning, never in entries(text):
        if word in seen:
            yield "docs/glossary.md: %s is defined twice" % word
        if not meaning:
            yield "docs/glossary.md: %s has no meaning" % word
        seen[word] = never
    for word, never in seen.items():
        for other in never:
            if other in seen:
                yield "docs/glossary.md: %s is a word of its own and refused under %s" % (other, word)


def words_of(identifier):
    return [w for w in identifier.lower().split("_") if w]


def check_file(name, text, refused):
    stem_words = words_of(name.rsplit("/", 1)[-1].split(".")[0])
    for word in stem_words:
        if word in EMPTY_WORDS:
            yield "%s:1: %s says nothing as part of a name" % (name, word)
    for number, line in enumerate(tree.without_noise(text).splitlines(), 1):
        if line.lstrip().startswith("#"):
            continue
        for match in IDENTIFIER.finditer(line):
            if match.group(0) in CONTRACT_NAMES:
                continue
            for word in words_of(match.group(0)):
                if word in EMPTY_WORDS:
                    yield "%s:%d: %s: %s says nothing as part of a name" % (name, number, match.group(0), word)
                elif word in refused:
                    yield "%s:%d: %s: the glossary says %s" % (name, number, match.group(0), refused[word])
        for match in TYPE.finditer(line):
            if match.group(1) in WEAK_NAMES or words_of(match.group(1))[-1] in WEAK_ENDINGS:
                yield "%s:%d: %s: a type needs a name that says what it is" % (name, number, match.group(1))


def problems(root=tree.ROOT):
    text = tree.read("docs/glossary.md", root)
    found = list(glossary_problems(text))
    refused = {other: word for word, _, never in entries(text) for other in never}
    for name in tree.c_files(root):
        if name.startswith(("common/", "ztunnel/", "waypoint/")):
            found += check_file(name, tree.read(name, root), refused)
    return found


if __name__ == "__main__":
    tree.finish("glossary", problems())
