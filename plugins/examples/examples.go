// Package examples carries the small example modules inside the binary, so that the demo runs anywhere.
package examples

import _ "embed"

// BalancesAssemblyScript is plugins/examples/balances written in AssemblyScript.
//
//go:embed balances/assemblyscript/balances.wasm
var BalancesAssemblyScript []byte

// BalancesRust is plugins/examples/balances written in Rust.
//
//go:embed balances/rust/balances.wasm
var BalancesRust []byte

// BalancesGo is where `plugins/examples/build.sh balances/go` puts the Go module, which is too large to carry.
const BalancesGo = "plugins/examples/balances/go/balances.wasm"
