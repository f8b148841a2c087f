// Package meter rewrites WebAssembly modules so that the host can interrupt and account for what they do.
package meter
