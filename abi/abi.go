// Package abi defines the boundary between the host and its modules in constants and a codec.
// ABI.md, beside this file, is the text that binds; testdata holds golden vectors for other languages.
package abi

// Module is the name that version 1's functions are imported from.
const Module = "eshost_v1"

// Exports of a module.
const (
	ExportMemory     = "memory"
	ExportMarker     = "eshost_abi_v1"
	ExportInbox      = "eshost_inbox"
	ExportHandle     = "handle"
	ExportInitialize = "_initialize"
	ExportInit       = "eshost_init"
)

// ManifestSection is the custom section that describes a module.
const ManifestSection = "eshost.manifest"

// Imports of a module.
const (
	FuncStateGet    = "state_get"
	FuncStateSet    = "state_set"
	FuncStateDelete = "state_delete"
	FuncStateScan   = "state_scan"
	FuncEmit        = "emit"
	FuncLog         = "log"
	FuncFail        = "fail"
	FuncConfigGet   = "config_get"
	FuncResultRead  = "result_read"
)

// Grants a plugin can be given in hosts.toml's allow.
const (
	GrantState = "state"
	GrantEmit  = "emit"
	GrantLog   = "log"
)

// Members that the host gives the metadata of emitted events.
const (
	// MetaCausation is the id of the event whose handler emitted this one.
	MetaCausation = "causation_id"
	// MetaCorrelation is common to a chain of events: the handled event's, or that event's id where it has none.
	MetaCorrelation = "correlation_id"
	// MetaDepth counts the emitted events of a chain, from 1.
	MetaDepth = "causation_depth"
)

// Status is what handle returns.
type Status int32

const (
	StatusOK     Status = 0
	StatusRetry  Status = 1
	StatusReject Status = 2
)

// Errno is a negative answer of a host function.
type Errno int32

const (
	ErrnoNotFound Errno = -1
	ErrnoDenied   Errno = -2
	ErrnoTooLarge Errno = -3
	ErrnoQuota    Errno = -5
	ErrnoInvalid  Errno = -7
)

// Limits, in bytes unless said otherwise.
const (
	MaxCollection  = 128
	MaxKey         = 1024
	MaxDocument    = 1 << 20
	MaxWrites      = 10_000 // documents an event
	MaxWriteBytes  = 16 << 20
	MaxReads       = 20_000 // documents read an event, each scan counting one more
	MaxEmits       = 1_000  // emitted events an event
	MaxEmitData    = 1 << 20
	MaxEmitBytes   = 16 << 20
	MaxScan        = 1_000 // documents a scan
	MaxScanBytes   = 16 << 20
	MaxLogLine     = 1 << 10
	MaxFailText    = 4 << 10
	MinInboxBuffer = 4 << 10 // what the host asks for first
)
