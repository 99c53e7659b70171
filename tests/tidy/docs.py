#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""docs.py DOCGEN write|check: docs/{errors,metrics,settings}.md as docgen prints them."""
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
docgen, verb = sys.argv[1], sys.argv[2]
stale = []
for page in ("errors", "metrics", "settings"):
    want = subprocess.run([docgen, page], check=True, stdout=subprocess.PIPE).stdout
    path = ROOT / "docs" / (page + ".md")
    if verb == "write":
        path.write_bytes(want)
    elif not path.exists() or path.read_bytes() != want:
        stale.append(str(path.relative_to(ROOT)))
if stale:
    sys.exit("stale: " + " ".join(stale) + ": run \"ninja docs\" and commit what it writes")
