#!/usr/bin/env bash
# build.sh lets cargo call this instead of rustc. Cargo gives each crate a hash of the folder it lies in, which ends up in
# names and decides the order of functions; the package's name and version in its place make the same module anywhere.
exec "${@/#metadata=*/metadata=${CARGO_PKG_NAME:-}-${CARGO_PKG_VERSION:-}}"
