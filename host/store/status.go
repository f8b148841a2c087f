package store

import (
	"time"

	"eshost/host/event"
)

// PartitionStatus is what the store knows of one partition of a generation.
type PartitionStatus struct {
	Generation
	Condition Condition
	Owner     *Host  // nil if nobody owns it
	Digest    string // of the module that made its last commit
	UpdatedAt time.Time
	Retrying  int // sequences
	Parked    int // sequences
	Waiting   int // events in both
}

// Owned reports whether a live host has the partition. Only then is its condition of today.
func (p *PartitionStatus) Owned() bool { return p.Owner != nil && p.Owner.Live }

// PluginStatus is what the store knows of a plugin: of all partitions of its live generation together. Position is the
// lowest of them, Owner and Digest are those of the first one.
type PluginStatus struct {
	Generation
	// Condition is the one of the first partition that does not run, or else of the first.
	Condition Condition
	Owner     *Host // nil if nobody owns it
	Digest    string
	UpdatedAt time.Time
	Retrying  int // sequences
	Parked    int // sequences
	Waiting   int // events in both
	// FirstFailure is the sequence that failed at the lowest position, if any.
	FirstFailure *Sequence
	// Pause is a person's, nil if nobody paused it.
	Pause *Pause
	// Partitions has at least one, in order.
	Partitions []PartitionStatus
}

// FirstFree returns the first partition that no live host has, nil if there is none.
func (p *PluginStatus) FirstFree() *PartitionStatus {
	for i := range p.Partitions {
		if !p.Partitions[i].Owned() {
			return &p.Partitions[i]
		}
	}
	return nil
}

// GenerationStatus is what the store knows of one build of a read model, of all its partitions together. See PluginStatus.
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
	// RetiredFor is how long ago RetiredAt is, by the database's clock.
	RetiredFor time.Duration
	// Partitions has at least one, in order.
	Partitions []PartitionStatus
}

// JoinPlugins makes one status of each plugin's partitions. Drivers give it one row a partition, which has that partition
// and FirstFailure and Pause, in the order of plugins and partitions.
func JoinPlugins(rows []PluginStatus) []PluginStatus {
	var all []PluginStatus
	for _, r := range rows {
		if len(all) == 0 || all[len(all)-1].Partitions[0].Root != r.Partitions[0].Root {
			all = append(all, r)
			continue
		}
		p := &all[len(all)-1]
		p.Partitions = append(p.Partitions, r.Partitions...)
		if f := r.FirstFailure; f != nil && (p.FirstFailure == nil || f.Position < p.FirstFailure.Position) {
			p.FirstFailure = f
		}
	}
	for i := range all {
		p := &all[i]
		whole := join(p.Partitions)
		p.Generation, p.Condition, p.Owner, p.Digest, p.UpdatedAt = whole.Generation, whole.Condition, whole.Owner, whole.Digest, whole.UpdatedAt
		p.Retrying, p.Parked, p.Waiting = whole.Retrying, whole.Parked, whole.Waiting
	}
	return all
}

// JoinGenerations makes one status of each generation's partitions. Drivers give it one row a partition, which has that
// partition and all that a GenerationStatus has beside it, in the order of generations and partitions.
func JoinGenerations(rows []GenerationStatus) []GenerationStatus {
	var all []GenerationStatus
	for _, r := range rows {
		if len(all) == 0 || all[len(all)-1].Partitions[0].Root != r.Partitions[0].Root {
			all = append(all, r)
			continue
		}
		g := &all[len(all)-1]
		g.Partitions = append(g.Partitions, r.Partitions...)
	}
	for i := range all {
		g := &all[i]
		whole := join(g.Partitions)
		g.Generation, g.Condition, g.Owner, g.Digest = whole.Generation, whole.Condition, whole.Owner, whole.Digest
		g.Retrying, g.Parked, g.Waiting = whole.Retrying, whole.Parked, whole.Waiting
	}
	return all
}

// join is what all partitions of a generation are together.
func join(partitions []PartitionStatus) PartitionStatus {
	whole := partitions[0]
	for _, p := range partitions[1:] {
		whole.Position = min(whole.Position, p.Position)
		if whole.Condition.State == Running && p.Condition.State != Running {
			whole.Condition = p.Condition
		}
		if p.UpdatedAt.After(whole.UpdatedAt) {
			whole.UpdatedAt = p.UpdatedAt
		}
		whole.Retrying += p.Retrying
		whole.Parked += p.Parked
		whole.Waiting += p.Waiting
	}
	return whole
}
