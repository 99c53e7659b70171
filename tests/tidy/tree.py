# SPDX-License-Identifier: Apache-2.0
"""tree - what every check of tests/tidy shares: the files of the project, C text without its noise."""

import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SKIPPED_FOLDERS = {".git", "build", "__pycache__"}


def files(root=ROOT):
    """Relative names of all files of the project; what git ignores is not part of it."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(command, cwd=root, stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, check=True)
        names = listing.stdout.decode().splitlines()
    except (OSError, subprocess.CalledProcessError):
        names = []
        for folder, folders, entries in os.walk(root):
            folders[:] = [f for f in folders if f not in SKIPPED_FOLDERS]
            names += [os.path.relpath(os.path.join(folder, e), root) for e in entries]
    return sorted(n for n in set(names) if (root / n).is_file())


def c_files(root=ROOT):
    return [n for n in files(root) if n.endswith((".c", ".h"))]


def read(name, root=ROOT):
    return (root / name).read_text(encoding="utf-8", errors="replace")


NOISE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def without_noise(text):
    """C text with comments gone and literals emptied; every line keeps its number."""
    def blank(match):
        found = match.group(0)
        lines = "\n" * found.count("\n")
        if found[0] in "\"'":
            return found[0] * 2 + lines
        return " " + lines
    return NOISE.sub(blank, text)


def report(title, problems):
    """Print what is wrong, compiler style; the exit status of the check."""
    for problem in problems:
        print(problem)
    if problems:
        print("%s: %d problem%s" % (title, len(problems), "" if len(problems) == 1 else "s"))
    return 1 if problems else 0


def finish(title, problems):
    sys.exit(report(title, problems))
