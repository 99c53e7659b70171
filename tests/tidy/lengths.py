#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""lengths - a function fits a page: 70 lines, 4 levels, 6 arguments; a file is 900 lines.

A table inside a function is data: its lines and braces do not count.

What must be longer stands in lengths-exempt.txt as `file: function or *: reason`.
"""

import re

import tree

LINES_MAX = 70
LEVELS_MAX = 4
ARGUMENTS_MAX = 6
FILE_LINES_MAX = 900

HEAD = re.compile(r"([A-Za-z_]\w*)[ \t\n]*\(([^;{}]*)\)[ \t\n]*$")
TABLE = re.compile(r"=\s*(?:\([^(){};]*\)\s*)?\{")
NOT_NAMES = {"if", "for", "while", "switch", "return", "sizeof", "defined"}


def without_directives(text):
    """Preprocessor lines emptied, continuation lines with them."""
    out, inside = [], False
    for line in text.split("\n"):
        directive = inside or line.lstrip().startswith("#")
        out.append("" if directive else line)
        inside = directive and line.endswith("\\")
    return "\n".join(out)


def arguments(text):
    """How many parameters a list has; commas inside parentheses do not count."""
    if text.strip() in ("", "void"):
        return 0
    depth = 0
    count = 1
    for letter in text:
        depth += (letter in "([") - (letter in ")]")
        count += letter == "," and depth == 0
    return count


def parameter_list(head):
    """(name, parameters) when this text before a brace is the head of a function."""
    head = re.sub(r"__attribute__\s*\(\(.*?\)\)", "", head, flags=re.S).rstrip()
    if not head.endswith(")"):
        return None
    depth = 0
    for index in range(len(head) - 1, -1, -1):
        depth += (head[index] == ")") - (head[index] == "(")
        if depth == 0:
            name = re.search(r"([A-Za-z_]\w*)\s*$", head[:index])
            if not name or name.group(1) in NOT_NAMES:
                return None
            return name.group(1), head[index + 1:-1]
    return None


def without_tables(text):
    """Initializers with braces emptied, and their lines taken out: `= {...}`, `= (struct x){...}`."""
    out, at = [], 0
    for match in TABLE.finditer(text):
        if match.start() < at:
            continue
        end, depth = match.end() - 1, 0
        while end < len(text):
            depth += (text[end] == "{") - (text[end] == "}")
            end += 1
            if depth == 0:
                break
        out.append(text[at:match.end() - 1] + "0")
        at = end
    return "".join(out) + text[at:]


def functions(text):
    """Yield (name, first line, lines, deepest level, arguments) of each definition."""
    plain = without_directives(tree.without_noise(text))
    depth, start, head, mark = 0, 0, None, 0
    for index, letter in enumerate(plain):
        if letter == "{":
            if depth == 0:
                before = plain[mark:index]
                head = parameter_list(before)
                start = mark + len(before) - len(before.lstrip())
            depth += 1
        elif letter == "}":
            depth = max(0, depth - 1)
            if depth == 0:
                if head:
                    code = without_tables(plain[start:index + 1])
                    yield (head[0], plain.count("\n", 0, start) + 1, code.count("\n") + 1,
                           deepest_level(code), arguments(head[1]))
                head, mark = None, index + 1
        elif letter == ";" and depth == 0:
            mark = index + 1


def deepest_level(code):
    depth = deepest = 0
    for letter in code:
        depth += (letter == "{") - (letter == "}")
        deepest = max(deepest, depth - 1)
    return deepest


def exemptions(text):
    kept = set()
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            name, what, reason = (part.strip() for part in line.split(":", 2))
            if reason:
                kept.add((name, what))
    return kept


def check_file(name, text, kept=frozenset()):
    lines = text.count("\n")
    if lines > FILE_LINES_MAX and (name, "*") not in kept:
        yield "%s:1: %d lines; is it still one idea? (%d is the most)" % (name, lines, FILE_LINES_MAX)
    for function, line, length, levels, count in functions(text):
        if (name, function) in kept:
            continue
        if length > LINES_MAX:
            yield "%s:%d: %s has %d lines (%d is a page)" % (name, line, function, length, LINES_MAX)
        if levels > LEVELS_MAX:
            yield "%s:%d: %s nests %d levels deep (%d is the most)" % (name, line, function, levels, LEVELS_MAX)
        if count > ARGUMENTS_MAX:
            yield "%s:%d: %s takes %d arguments (%d is the most)" % (name, line, function, count, ARGUMENTS_MAX)


def problems(root=tree.ROOT):
    kept = exemptions(tree.read("tests/tidy/lengths-exempt.txt"))
    found = []
    for name in tree.c_files(root):
        found += check_file(name, tree.read(name, root), kept)
    return found


if __name__ == "__main__":
    tree.finish("lengths", problems())
