#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# deps - bring in what the steps named on the command line need (build, lab, test; see packages.txt):
# distribution packages that are missing, then our own wolfSSL. A second run finds all in place and
# needs no network. Nothing else of the machine is changed: daemons that come with a package are
# not started.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=tests/lib/say.sh
. "$root/tests/lib/say.sh"
log=$root/build/log/deps.log
mkdir -p "$root/build/log"

[ $# -gt 0 ] || die "deps.sh: name at least one step of packages.txt: build, lab, test"
command -v dpkg-query >/dev/null || die "this set-up knows Debian only (no dpkg-query here);" \
	"install what tests/lib/packages.txt lists by hand"

wanted_packages() {
	local arch step package only wanted
	arch=$(dpkg --print-architecture)
	while read -r step package only; do
		for wanted in "$@"; do
			if [ "$step" = "$wanted" ] && [ "${only:-$arch}" = "$arch" ]; then
				printf '%s\n' "$package"
			fi
		done
	done < <(grep -v '^#' "$root/tests/lib/packages.txt")
}

missing_packages() {
	local have package
	have=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p')
	for package in $(wanted_packages "$@"); do
		grep -qxF -- "$package" <<<"$have" || printf '%s\n' "$package"
	done
}

# Daemons that come with a package ask this file whether they may start.
policy=/usr/sbin/policy-rc.d
refuse_starts() {
	if [ -e "$policy" ]; then
		mv "$policy" "$policy.culvert-saved"
	fi
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
}
allow_starts() {
	rm -f "$policy"
	if [ -e "$policy.culvert-saved" ]; then
		mv "$policy.culvert-saved" "$policy"
	fi
}

# A line now and then out of the many that apt-get writes.
progress() {
	local line count=0
	while IFS= read -r line; do
		case $line in
		'Setting up '*)
			count=$((count + 1))
			[ $((count % 25)) -ne 0 ] || printf '   %d packages set up\n' "$count"
			;;
		'Fetched '*) printf '   %s\n' "$line" ;;
		esac
	done
}

install_once() {
	DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 -o Acquire::Retries=3 \
		-o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold \
		install --no-install-recommends "$@" 2>&1 | tee -a "$log" | progress
}

update_lists() {
	say "package lists: apt-get update"
	apt-get -q -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 update >>"$log" 2>&1 ||
		printf '   some lists did not load (see %s); trying with what there is\n' "$log"
}

install_missing() {
	local missing start=$SECONDS
	mapfile -t missing < <(missing_packages "$@")
	if [ ${#missing[@]} -eq 0 ]; then
		say "packages for $*: all there"
		return 0
	fi
	[ "$(id -u)" -eq 0 ] || die "packages are missing and only root may install them: ${missing[*]}"
	say "packages for $*: installing ${#missing[@]} (${missing[*]})"
	update_lists
	trap allow_starts EXIT
	refuse_starts
	if ! install_once "${missing[@]}"; then
		printf '   apt-get failed; once more\n'
		update_lists
		install_once "${missing[@]}" || { tail -n 20 "$log" >&2
			die "apt-get install failed twice; the end of $log stands above"; }
	fi
	allow_starts
	trap - EXIT
	say "packages for $*: done in $(elapsed "$start")"
}

install_missing "$@"
"$root/tests/lib/wolfssl.sh"
