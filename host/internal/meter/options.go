package meter

import "math"

// The names this package takes for itself. A module that uses them is refused.
const (
	// ImportModule is the module the host provides Refuel and Overflow in.
	ImportModule = "eshost_meter"
	// Refuel, of type () -> (), is called when the fuel global has dropped below zero. The host adds fuel to the global
	// and returns, or traps.
	Refuel = "refuel"
	// Overflow, of type () -> (), is called when the call stack is exhausted. The host traps; were it to return, the
	// guest would trap on an unreachable instruction.
	Overflow = "overflow"
	// FuelGlobal is the name of the exported mutable i64 with the fuel that is left. It starts at zero, so the first
	// charge asks for fuel; the host may also set it before a call.
	FuelGlobal = "__eshost_fuel"

	reservedPrefix = "__eshost_"
)

// Options bound what a module may be and may do. The zero value of a field means its default.
type Options struct {
	// MaxMemoryPages caps the linear memory, in pages of 64 KiB. A module that starts with more is refused; growing
	// past it returns -1 to the guest.
	// Defaults to 512 (32 MiB).
	MaxMemoryPages uint32
	// MaxTableElements caps the elements of each table, and of all tables together at the start.
	// Defaults to 100,000.
	MaxTableElements uint32
	// MaxStack caps the call stack, in bytes of native stack as estimated from each function's locals and code.
	// Defaults to 16 MiB.
	MaxStack int64

	// MaxModuleSize caps the module, in bytes.
	// Defaults to 32 MiB.
	MaxModuleSize int
	// MaxFunctions caps the functions a module defines.
	// Defaults to 100,000.
	MaxFunctions int
	// MaxFunctionSize caps one function's body, in bytes.
	// Defaults to 1 MiB.
	MaxFunctionSize int
	// MaxLocals caps one function's parameters and locals together.
	// Defaults to 20,000.
	MaxLocals int
	// MaxParams caps the parameters and, apart, the results of one function type.
	// Defaults to 1,000.
	MaxParams int
	// MaxComplexity caps, for one function, its locals times its blocks (a loop counting once for each loop around it
	// and itself), plus its branches and the values that they, calls and blocks hand on, plus the square of its size in
	// units of 362 bytes and the square of its blocks in units of 11. The engine's compile time grows with this number,
	// by some 10 µs: without it 4.5 KB of 300 nested loops over 300 locals take 13 seconds, and one straight function of
	// 1 MB a minute. Real code stays below 60,000.
	// Defaults to 200,000, which bounds one function to a second or two.
	MaxComplexity int
	// MaxTotalComplexity caps the sum of that number over all functions. Real modules stay below 1,000,000.
	// Defaults to 4,000,000.
	MaxTotalComplexity int
	// MaxNesting caps how deep blocks, loops and ifs nest in a function.
	// Defaults to 10,000.
	MaxNesting int
	// MaxBranchTargets caps the labels of one br_table.
	// Defaults to 50,000.
	MaxBranchTargets int
	// MaxTypes caps the function types.
	// Defaults to 20,000.
	MaxTypes int
	// MaxTypeValues caps the parameters and results of all function types together.
	// Defaults to 100,000.
	MaxTypeValues int
	// MaxImports caps the imports.
	// Defaults to 1,000.
	MaxImports int
	// MaxExports caps the exports.
	// Defaults to 10,000.
	MaxExports int
	// MaxGlobals caps the globals.
	// Defaults to 20,000.
	MaxGlobals int
	// MaxTables caps the tables.
	// Defaults to 16.
	MaxTables int
	// MaxElements caps the entries of all element segments together.
	// Defaults to 200,000.
	MaxElements int
	// MaxSegments caps the data segments and, apart, the element segments.
	// Defaults to 100,000.
	MaxSegments int

	// bulkChunk is the most bytes of memory that one instruction fills or copies, a multiple of 16. Tests make it small.
	// Defaults to 1 MiB.
	bulkChunk uint32
	// allowImports admits imported memories, tables and globals: the specification tests need them.
	allowImports bool
}

func (o Options) withDefaults() Options {
	setDefault(&o.MaxMemoryPages, 512)
	setDefault(&o.MaxTableElements, 100_000)
	setDefault(&o.MaxStack, 16<<20)
	setDefault(&o.MaxModuleSize, 32<<20)
	o.MaxModuleSize = min(o.MaxModuleSize, math.MaxInt32) // offsets are kept in 32 bits
	setDefault(&o.MaxFunctions, 100_000)
	setDefault(&o.MaxFunctionSize, 1<<20)
	setDefault(&o.MaxLocals, 20_000)
	setDefault(&o.MaxParams, 1_000)
	setDefault(&o.MaxComplexity, 200_000)
	setDefault(&o.MaxTotalComplexity, 4_000_000)
	setDefault(&o.MaxNesting, 10_000)
	setDefault(&o.MaxBranchTargets, 50_000)
	setDefault(&o.MaxTypes, 20_000)
	setDefault(&o.MaxTypeValues, 100_000)
	setDefault(&o.MaxImports, 1_000)
	setDefault(&o.MaxExports, 10_000)
	setDefault(&o.MaxGlobals, 20_000)
	setDefault(&o.MaxTables, 16)
	setDefault(&o.MaxElements, 200_000)
	setDefault(&o.MaxSegments, 100_000)
	setDefault(&o.bulkChunk, 1<<20)
	return o
}

func setDefault[T int | int64 | uint32](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}
