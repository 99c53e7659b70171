#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# cppcheck over the product. Argument: how many jobs.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
cache=build/cppcheck
mkdir -p "$cache"
rooms=()
for room in common ztunnel waypoint; do
	[ ! -d "$room" ] || rooms+=("$room")
done
exec cppcheck -j"${1:-2}" --cppcheck-build-dir="$cache" --std=c11 --language=c \
	--enable=warning,performance,portability --inline-suppr --error-exitcode=1 --quiet \
	--suppress=missingIncludeSystem --suppress=missingInclude --library=posix,gnu \
	--suppressions-list=tests/tidy/cppcheck-suppressions.txt \
	--template='{file}:{line}: {severity}: {message} [{id}]' -D_GNU_SOURCE -D__x86_64__ -I. "${rooms[@]}"
