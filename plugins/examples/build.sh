#!/usr/bin/env bash
# Builds the example plugins from source, each beside its source:
#
#   plugins/examples/build.sh [-o DIR] [[CASE/]LANGUAGE...]    # of rust, go, assemblyscript and c; all of them by default
#
# A language alone stands for every case that is written in it, orders/rust for one of them.
# -o DIR puts them under DIR instead, as DIR/<case>/<language>/<case>.wasm. Not every case is written in every language.
set -euo pipefail
examples=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$examples/../.." && pwd)
out=$examples

# fail CODE TEXT: 2 is wrong use, 3 something that is missing.
fail() { echo "plugins/examples/build.sh: $2" >&2; exit "$1"; }

# build_LANGUAGE CASE OUT builds one example.

build_rust() { "$root/sdk/rust/build.sh" "$examples/$1/rust" "$2"; }

build_go() {
	command -v go >/dev/null || fail 3 "no Go: install it from https://go.dev/dl"
	(cd "$examples/$1/go" && GOOS=wasip1 GOARCH=wasm CGO_ENABLED=0 GOWORK=off GOFLAGS= \
		go build -buildmode=c-shared -trimpath -buildvcs=false -ldflags=-w -o "$2" .)
}

build_assemblyscript() {
	command -v npm >/dev/null || fail 3 "no npm: install Node.js 20 or later from https://nodejs.org"
	(cd "$examples/$1/assemblyscript" &&
		{ [ -d node_modules ] || npm ci --silent --no-audit --no-fund; } &&
		npm run --silent build -- --outFile "$2")
}

build_c() {
	command -v clang >/dev/null && command -v wasm-ld >/dev/null && clang --print-targets | grep -qw wasm32 ||
		fail 3 "no clang and wasm-ld for WebAssembly: apt-get install clang lld, or see https://llvm.org"
	clang --target=wasm32 -std=c11 -Os -Wall -Wextra -Werror -ffreestanding -nostdlib \
		-Wl,--no-entry -Wl,--stack-first -Wl,--strip-debug -o "$2" "$examples/$1/c/"*.c
}

if [ "${1:-}" = -o ]; then
	[ -n "${2:-}" ] || fail 2 "-o wants a folder"
	mkdir -p "$2" && out=$(cd "$2" && pwd)
	shift 2
fi
[ $# -gt 0 ] || set -- rust go assemblyscript c
for what; do
	language=${what##*/}
	case $what in
	*/*) cases=${what%/*} ;;
	*) cases='*' ;;
	esac
	case $language in
	rust | go | assemblyscript | c) ;;
	*) fail 2 "there are no examples in '$language', only in rust, go, assemblyscript and c" ;;
	esac
	for source in "$examples"/$cases/"$language"; do
		[ -d "$source" ] || fail 2 "there is no example $what"
		name=$(basename "$(dirname "$source")")
		module=$out/$name/$language/$name.wasm
		mkdir -p "$(dirname "$module")"
		"build_$language" "$name" "$module"
		echo "built $name in $language: $(wc -c <"$module") bytes"
	done
done
