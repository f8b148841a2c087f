package meter

import "encoding/binary"

var _ = binary.LittleEndian

// Import is one import of the original module.
type Import struct {
	Module, Name string
	Kind         string // "function", "table", "memory" or "global"
	Type         string // "(i32, i32) -> i32", "mut i64"; empty for tables and memories
}

// Export is one export of the original module.
type Export struct {
	Name string
	Kind string
	Type string
}

type Info struct {
	Imports                   []Import
	Exports                   []Export
	OriginalSize, MeteredSize int
}
