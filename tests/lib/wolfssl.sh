#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# wolfssl - our own static wolfSSL in build/deps/wolfssl, from the distribution's source package.
#
# The release and its hash stand in wolfssl.pin, the configuration in wolfssl.flags; it is built
# again only when one of them changes. The source comes from the newest suite of the archive this
# machine already uses, through an apt configuration of our own under build/deps/apt: the machine's
# configuration is read, never written. Why not the packaged library: docs/decisions/0002.
#
# WOLFSSL_PREFIX=/some/prefix uses that installation instead (5.9.2 or newer, static library).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=tests/lib/say.sh
. "$root/tests/lib/say.sh"
deps=$root/build/deps
apt=$deps/apt
prefix=$deps/wolfssl
log=$root/build/log/wolfssl.log
pins=$root/tests/lib/wolfssl.pin
flags=$root/tests/lib/wolfssl.flags
least_hex=$((0x05009002)) # 5.9.2

check_prefix() {
	local header=$1/include/wolfssl/version.h hex
	if [ ! -r "$header" ] || [ ! -r "$1/lib/libwolfssl.a" ]; then
		die "WOLFSSL_PREFIX=$1: no include/wolfssl/version.h or no lib/libwolfssl.a there;" \
			"name the prefix of a static wolfSSL 5.9.2 or newer"
	fi
	hex=$(sed -n 's/^#define LIBWOLFSSL_VERSION_HEX *\(0x[0-9a-fA-F]*\).*/\1/p' "$header")
	[ $((hex)) -ge $least_hex ] ||
		die "WOLFSSL_PREFIX=$1 is wolfSSL ${hex:-of unknown version}; 5.9.2 (0x05009002) is the least"
	say "wolfSSL: using $1"
}

configure_args() {
	local arch line
	arch=$(dpkg --print-architecture)
	while IFS= read -r line; do
		case $line in
		'' | '#'*) ;;
		"$arch":*) printf '%s\n' "${line#*:}" ;;
		[a-z0-9]*:-*) ;;
		*) printf '%s\n' "$line" ;;
		esac
	done <"$flags"
}

# private_apt COMMAND...: the tool with lists, caches and sources of our own.
private_apt() {
	local tool=$1
	shift
	"$tool" -q -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$apt/parts" \
		-o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt/cache" \
		-o Acquire::Retries=3 -o Acquire::Languages=none -o APT::Sandbox::User=root "$@"
}

pinned_hash() { awk -v v="$1" '$1 == v { print $2 }' "$pins"; }
pinned_versions() { awk '!/^#/ && NF == 2 { print $1 }' "$pins"; }

# have_tarball VERSION: is the right one here already?
have_tarball() {
	printf '%s  %s\n' "$(pinned_hash "$1")" "$deps/wolfssl_$1.orig.tar.gz" |
		sha256sum --check --status 2>/dev/null
}

find_tarball() {
	local version
	for version in $(pinned_versions | tac); do
		if have_tarball "$version"; then
			printf '%s\n' "$version"
			return 0
		fi
	done
	return 1
}

# fetch_from SUITE: leave a pinned tarball in build/deps, or fail. The suite's index may be ahead of
# or behind its files, so what counts is whether a tarball of the right hash arrived.
fetch_from() {
	local suite=$1 source version offered
	rm -rf "$apt"
	mkdir -p "$apt/parts" "$apt/lists/partial" "$apt/cache/archives/partial"
	/usr/bin/python3 "$root/tests/lib/archive_source.py" "$suite" >"$apt/parts/wolfssl.sources" ||
		return 1
	private_apt apt-get update >>"$log" 2>&1 || true
	offered=$(private_apt apt-cache showsrc wolfssl 2>>"$log" | sed -n 's/^Version: //p' | sort -u)
	printf '   %s offers: %s\n' "$suite" "${offered:-nothing}" | tr '\n' ' '
	printf '\n'
	for source in $offered; do
		version=${source%-*}
		version=${version#*:}
		[ -n "$(pinned_hash "$version")" ] || continue
		(cd "$deps" && private_apt apt-get source --download-only --tar-only \
			"wolfssl=$source" >>"$log" 2>&1) || true
		! have_tarball "$version" || return 0
		[ ! -e "$deps/wolfssl_$version.orig.tar.gz" ] ||
			printf '   the archive serves wolfssl_%s.orig.tar.gz with another hash than the pinned one\n' "$version"
	done
	return 1
}

fetch() {
	local suite
	for suite in sid testing; do
		say "wolfSSL: looking for the source package in suite $suite"
		! fetch_from "$suite" || return 0
	done
	die "wolfSSL: none of the releases in tests/lib/wolfssl.pin ($(pinned_versions | tr '\n' ' ')) could be" \
		"fetched from this machine's Debian archive; details in build/log/wolfssl.log." \
		"What helps: put wolfssl_VERSION.orig.tar.gz of a pinned release into build/deps/; or add a newer" \
		"release with its SHA-256 to the pin file; or set WOLFSSL_PREFIX to an installed 5.9.2 or newer"
}

build() {
	local version=$1 source=$deps/wolfssl-src stage=$deps/wolfssl-stage args
	mapfile -t args < <(configure_args)
	rm -rf "$source" "$stage"
	mkdir -p "$source"
	tar -xf "$deps/wolfssl_$version.orig.tar.gz" -C "$source" --strip-components=1
	(
		cd "$source"
		autoreconf -fi
		./configure --prefix="$prefix" "${args[@]}"
		make -j"$(nproc)"
		make DESTDIR="$stage" install
	) >>"$log" 2>&1 || {
		tail -n 20 "$log" >&2
		die "wolfSSL $version did not build; the end of $log stands above"
	}
	rm -rf "$prefix"
	mv "$stage$prefix" "$prefix"
	rm -rf "$source" "$stage"
}

if [ -n "${WOLFSSL_PREFIX:-}" ]; then
	check_prefix "$WOLFSSL_PREFIX"
	exit 0
fi
mkdir -p "$deps" "$root/build/log"
stamp="$(grep -hv '^#' "$pins" "$flags" | sha256sum | cut -c1-64) $(dpkg --print-architecture)"
if [ -r "$prefix/stamp" ] && [ "$(cat "$prefix/stamp")" = "$stamp" ]; then
	say "wolfSSL: built already (build/deps/wolfssl)"
	exit 0
fi
start=$SECONDS
: >"$log"
version=$(find_tarball) || { fetch; version=$(find_tarball); }
say "wolfSSL $version: building with $(nproc) jobs, about a minute"
build "$version"
printf '%s\n' "$stamp" >"$prefix/stamp"
say "wolfSSL $version: built in $(elapsed "$start")"
