#!/usr/bin/env bash
# Builds a plugin's crate so that one compiler makes the same bytes on every machine:
#
#   sdk/rust/build.sh CRATE OUT.wasm
#
# It is plain `cargo build --release --locked --target wasm32-unknown-unknown`, but what cargo and rustc take from the
# machine's paths is taken out again: the names of files in panics here, and the rest in rustc.sh. Where no standard library
# for WebAssembly is installed or can be downloaded, the one in Debian's source package is built. The compiler's version is
# written to OUT.wasm.toolchain.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
target=wasm32-unknown-unknown
debian_source=/usr/lib/rustlib/src/rust

[ $# = 2 ] || { echo "usage: build.sh CRATE OUT.wasm" >&2; exit 2; }
crate=$(cd "$1" && pwd)
out=$2

has_target() { command -v cargo >/dev/null && [ -d "$(rustc --print target-libdir --target $target 2>/dev/null)" ]; }

export RUSTC=rustc
cargo=(cargo build)
made=target
if ! has_target && ! { command -v rustup >/dev/null && rustup target add $target && has_target; }; then
	if [ ! -x /usr/bin/cargo ] || [ ! -d $debian_source ]; then
		echo "sdk/rust/build.sh: no Rust for WebAssembly: install https://rustup.rs and run 'rustup target add $target'," \
			"or on Debian: apt-get install rustc-web cargo-web rust-web-src lld" >&2
		exit 3
	fi
	export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld
	cargo=(/usr/bin/cargo build -Zbuild-std=std,panic_abort)
	made=$here/target/plugins # of all crates, so that the standard library is built once
	# Debian has the crates that the standard library needs. A plugin with crates of its own needs the network anyway.
	if [ -d $debian_source/library/vendor ] && ! grep -q '^source = "registry' "$crate/Cargo.lock" 2>/dev/null; then
		cargo+=(--config 'source.crates-io.replace-with="debian"' --config "source.debian.directory=\"$debian_source/library/vendor\"")
	fi
fi

commit=$($RUSTC -vV | sed -n 's/^commit-hash: //p')
flags=("--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
	"--remap-path-prefix=$($RUSTC --print sysroot)/lib/rustlib/src/rust=/rustc/$commit"
	"--remap-path-prefix=$debian_source=/rustc/$commit"
	"--remap-path-prefix=$root/=")
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && echo "${flags[*]}")
export CARGO_ENCODED_RUSTFLAGS RUSTC_WRAPPER=$here/rustc.sh

mkdir -p "$(dirname "$out")"
out=$(cd "$(dirname "$out")" && pwd)/$(basename "$out")
cd "$crate"
name=$(sed -n 's/^name = "\(.*\)"/\1/p' Cargo.toml | head -1)
"${cargo[@]}" --release --locked --target $target --target-dir "$made"
cp "$made/$target/release/${name//-/_}.wasm" "$out"
chmod 644 "$out"
$RUSTC --version >"$out.toolchain"
