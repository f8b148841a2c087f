package store

import (
	"time"

	"eshost/host/event"
)

// GenerationState says what a generation is for.
type GenerationState string

const (
	// Live is the one generation that readers of the plugin see.
	Live GenerationState = "live"
	// Building generations are on their way to become the live one. A plugin has at most one.
	Building GenerationState = "building"
	// Retired generations were live and are kept to go back to.
	Retired GenerationState = "retired"
	// Dropping generations have lost some of their documents already and can only be dropped.
	Dropping GenerationState = "dropping"
)

// GenerationStatus is what the store knows of one build of a read model.
type GenerationStatus struct {
	Generation
	State GenerationState
	// Module is the digest of the stored module that it is built with; empty means the declared one.
	Module string
	// HeldUntil is the position up to which emitted events are held back: another generation has emitted them.
	HeldUntil event.Position
	Condition Condition
	Owner     *Host  // nil if nobody owns it
	Digest    string // of the module that made its last commit
	Retrying  int    // sequences
	Parked    int    // sequences
	Waiting   int    // events in both
	CreatedAt time.Time
	RetiredAt time.Time // zero unless it is retired
}

// Switch makes another of a plugin's generations the live one.
type Switch struct {
	Plugin string
	// From is the live generation and To the one that becomes it. Both leases must be the caller's.
	From, FromEpoch, To, ToEpoch int64
	// HeldUntil is To's from now on.
	HeldUntil event.Position
	// StandIn is the module that the plugin runs from now on.
	StandIn StandIn
	// Answers settle the requests that the switch carries out.
	Answers []Answer
}

// StandIn is a stored module that runs in the place of a plugin's declared one, for as long as that one's digest stays
// what it was. The zero value is none.
type StandIn struct {
	Digest    string // of the stored module
	InsteadOf string // digest of the declared module
}
