#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""archive_source - this machine's own Debian archive, as a source-package entry for another suite.

archive_source.py SUITE prints a deb822 entry for apt: the location and the key of the first main
archive entry of /etc/apt (both forms of it are read), with the suite exchanged.
"""

import pathlib
import re
import sys


def deb822_entries(text):
    """Yield {field: value} of each stanza; values keep their continuation lines."""
    for stanza in re.split(r"\n[ \t]*\n", text):
        fields, name = {}, None
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in " \t" and name:
                fields[name] += "\n" + line
            elif ":" in line:
                name, value = line.split(":", 1)
                name = name.strip().lower()
                fields[name] = value.strip()
        if fields:
            yield fields


def one_line_entries(text):
    """Yield the same shape from lines such as: deb [signed-by=/k.gpg] http://host/debian suite main"""
    for line in text.splitlines():
        match = re.match(r"\s*(deb(?:-src)?)\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)", line)
        if not match:
            continue
        kind, options, uri, suite, components = match.groups()
        entry = {"types": kind, "uris": uri, "suites": suite, "components": components.strip()}
        for option in (options or "").split():
            name, _, value = option.partition("=")
            if name.lower() == "signed-by":
                entry["signed-by"] = value
        yield entry


def is_main_archive(entry, codenames):
    """Whether this is the distribution itself: not its security archive, nobody else's."""
    return (
        entry.get("enabled", "yes").lower() not in ("no", "false")
        and "main" in entry.get("components", "").split()
        and bool(codenames & set(entry.get("suites", "").split()))
        and bool(entry.get("uris", "").split())
    )


def read_entries(etc_apt):
    files = [etc_apt / "sources.list"] + sorted((etc_apt / "sources.list.d").glob("*"))
    for path in files:
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        if path.suffix == ".sources":
            yield from deb822_entries(text)
        elif path.suffix == ".list":
            yield from one_line_entries(text)


def source_entry(entry, suite):
    lines = ["Types: deb-src", "URIs: " + entry["uris"].split()[0], "Suites: " + suite, "Components: main"]
    if "signed-by" in entry:
        lines.append("Signed-By: " + entry["signed-by"])
    return "\n".join(lines) + "\n"


def codenames_of(os_release):
    match = re.search(r'^VERSION_CODENAME="?([a-z]+)', os_release, re.M)
    names = {"stable", "oldstable", "testing", "sid", "unstable"}
    if match:
        names.add(match.group(1))
    return names


def main(suite):
    os_release = pathlib.Path("/etc/os-release").read_text(encoding="utf-8")
    codenames = codenames_of(os_release)
    for entry in read_entries(pathlib.Path("/etc/apt")):
        if is_main_archive(entry, codenames):
            sys.stdout.write(source_entry(entry, suite))
            return 0
    sys.stderr.write(
        "error: /etc/apt names no Debian main archive for %s; add its sources entry, or set "
        "WOLFSSL_PREFIX to an installed wolfSSL\n" % ", ".join(sorted(codenames))
    )
    return 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: archive_source.py SUITE")
    sys.exit(main(sys.argv[1]))
