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
	// Merged partitions are those that a Repartition has put others in the place of. They are kept for the record of
	// which module made which positions, and appear nowhere else.
	Merged GenerationState = "merged"
)

// Leader is the host that has the first partition of a plugin's live generation: it does what concerns the plugin as a whole.
type Leader struct {
	Owner string
	Held  // of that partition, which is the generation's root
}

// Drop gives a generation up that is not live.
type Drop struct {
	Generation int64 // its root
	// By is who gives it up. Without it, it must be one that is being dropped already or has been retired for longer than
	// KeptFor, by the database's clock: then anybody may.
	By      Leader
	KeptFor time.Duration
	// Limit is the most documents to delete at once. Must be at least 1.
	Limit int
}

// Switch makes another of a plugin's generations the live one.
type Switch struct {
	Plugin string
	// Owner is the host that has all leases of both.
	Owner string
	// From is the live generation and To the one that becomes it: all partitions of each, the root first.
	From, To []Held
	// Rollback goes back to a generation that stands elsewhere.
	Rollback bool
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
