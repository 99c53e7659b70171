# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# say - how the scripts of tests/ talk to whoever started them. Sourced.

# say TEXT: one line of progress.
say() { printf '== %s\n' "$*"; }

# die TEXT: what went wrong, where, and what to do; ends the script.
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# elapsed START: whole seconds since $SECONDS was START.
elapsed() { printf '%d s' $((SECONDS - $1)); }
