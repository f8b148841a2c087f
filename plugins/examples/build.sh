#!/usr/bin/env bash
# Builds the example plugins from source, each beside its source:
#
#   plugins/examples/build.sh [-o DIR] [LANGUAGE...]    # of rust, go and assemblyscript; all of them by default
#
# -o DIR puts them under DIR instead, as DIR/<case>/<language>/<case>.wasm.
set -euo pipefail
examples=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$examples/../.." && pwd)
out=$examples

fail() { echo "build.sh: $*" >&2; exit 1; }

# The target of CASE's module, in the folder of LANGUAGE.
place() { mkdir -p "$out/$1/$2" && echo "$out/$1/$2/$1.wasm"; }

# --- Rust: plain cargo. What would depend on the machine's paths is taken out, so that one compiler makes the same bytes
# everywhere: the names of files in panics here, and the rest in rustc.sh.

wasm_target=wasm32-unknown-unknown
distribution_source=/usr/lib/rustlib/src/rust # Debian's rust-web-src

has_wasm_target() { command -v cargo >/dev/null && [ -d "$(rustc --print target-libdir --target $wasm_target 2>/dev/null)" ]; }

find_rust() {
	rustc=rustc cargo=(cargo build --release --locked --target $wasm_target)
	has_wasm_target && return
	if command -v rustup >/dev/null && rustup target add $wasm_target && has_wasm_target; then return; fi
	[ -x /usr/bin/cargo ] && [ -d $distribution_source ] ||
		fail "no Rust for WebAssembly: install rustup and run 'rustup target add $wasm_target', or on Debian: apt-get install rustc-web cargo-web rust-web-src lld"
	# A compiler without a standard library for WebAssembly builds that too.
	export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld
	rustc=/usr/bin/rustc
	cargo=(/usr/bin/cargo "${cargo[@]:1}" -Zbuild-std=std,panic_abort)
	if [ -d $distribution_source/library/vendor ]; then
		cargo+=(--config 'source.crates-io.replace-with="distribution"'
			--config "source.distribution.directory=\"$distribution_source/library/vendor\"")
	fi
}

build_rust() {
	local sysroot commit to flags
	find_rust
	sysroot=$($rustc --print sysroot)
	commit=$($rustc -vV | sed -n 's/^commit-hash: //p')
	flags=("--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
		"--remap-path-prefix=$sysroot/lib/rustlib/src/rust=/rustc/$commit"
		"--remap-path-prefix=$distribution_source=/rustc/$commit"
		"--remap-path-prefix=$root/=")
	CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && echo "${flags[*]}")
	export CARGO_ENCODED_RUSTFLAGS RUSTC_WRAPPER=$examples/rustc.sh
	unset RUSTFLAGS CARGO_BUILD_RUSTFLAGS
	(cd "$examples/$1/rust" && "${cargo[@]}" --target-dir target)
	to=$(place "$1" rust)
	cp "$examples/$1/rust/target/$wasm_target/release/$1.wasm" "$to"
	chmod 644 "$to"
	$rustc --version >"$to.toolchain" # another compiler makes other bytes
}

# --- Go

build_go() {
	command -v go >/dev/null || fail "no Go: install it from https://go.dev/dl"
	local to
	to=$(place "$1" go)
	(cd "$examples/$1/go" && GOOS=wasip1 GOARCH=wasm CGO_ENABLED=0 GOWORK=off GOFLAGS= \
		go build -buildmode=c-shared -trimpath -buildvcs=false -ldflags=-w -o "$to" .)
}

# --- AssemblyScript

build_assemblyscript() {
	command -v npm >/dev/null || fail "no npm: install Node.js 20 or later from https://nodejs.org"
	local to
	to=$(place "$1" assemblyscript)
	(cd "$examples/$1/assemblyscript" &&
		{ [ -d node_modules ] || npm ci --silent --no-audit --no-fund; } &&
		npm run --silent build -- --outFile "$to")
}

if [ "${1:-}" = -o ]; then
	[ -n "${2:-}" ] || fail "-o wants a folder"
	mkdir -p "$2" && out=$(cd "$2" && pwd)
	shift 2
fi
[ $# -gt 0 ] || set -- rust go assemblyscript
for language; do
	case $language in
	rust | go | assemblyscript) ;;
	*) fail "there are no examples in '$language', only in rust, go and assemblyscript" ;;
	esac
	for source in "$examples"/*/"$language"; do
		[ -d "$source" ] || fail "no example in $language was found"
		case_name=$(basename "$(dirname "$source")")
		"build_$language" "$case_name"
		echo "built $case_name in $language: $(wc -c <"$out/$case_name/$language/$case_name.wasm") bytes"
	done
done
