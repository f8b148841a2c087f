#!/usr/bin/env bash
# Builds the benchmark's guests, each beside its source as guest.wasm:
#
#   host/bench/guests/build.sh [-o DIR] [LANGUAGE...]    # of assemblyscript, rust and go; all of them by default
#
# -o DIR puts them under DIR instead, as DIR/<language>/guest.wasm.
# A language whose toolchain is missing is left out with a word about it, and the benchmark leaves it out too.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)

# build_LANGUAGE OUT builds one guest.

build_go() {
	(cd "$here/go" && GOOS=wasip1 GOARCH=wasm CGO_ENABLED=0 GOFLAGS= \
		go build -buildmode=c-shared -trimpath -buildvcs=false -ldflags=-w -o "$1" .)
}

build_rust() { "$root/sdk/rust/build.sh" "$here/rust" "$1"; }

build_assemblyscript() {
	command -v npm >/dev/null || { echo "no npm: install Node.js 20 or later from https://nodejs.org" >&2; return 1; }
	[ -d "$root/sdk/assemblyscript/node_modules" ] || (cd "$root/sdk/assemblyscript" && npm ci --silent --no-audit --no-fund)
	node "$root/sdk/assemblyscript/test/build.js" "$here/assemblyscript/guest.ts" "$1"
}

out=$here
if [ "${1:-}" = -o ]; then
	[ -n "${2:-}" ] || { echo "host/bench/guests/build.sh: -o wants a folder" >&2; exit 2; }
	mkdir -p "$2" && out=$(cd "$2" && pwd)
	shift 2
fi
[ $# -gt 0 ] || set -- assemblyscript rust go
for language; do
	case $language in
	assemblyscript | rust | go) ;;
	*) echo "host/bench/guests/build.sh: there is no guest in '$language', only in assemblyscript, rust and go" >&2; exit 2 ;;
	esac
	module=$out/$language/guest.wasm
	mkdir -p "$out/$language"
	rm -f "$module" "$module.toolchain"
	if "build_$language" "$module"; then
		echo "built the benchmark's guest in $language: $(wc -c <"$module") bytes"
	else
		echo "host/bench/guests/build.sh: the guest in $language could not be built, and is not measured" >&2
	fi
done
