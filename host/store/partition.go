package store

import (
	"fmt"

	"eshost/host/event"
)

// Unit is what one host owns at a time: one partition of a plugin's live generation, or of one that is being built.
type Unit struct {
	Generation
	State GenerationState
	// Owner is the id of the host that has the lease, alive or not. Empty means that it is free.
	Owner string
	// OwnerLive reports whether that host's registration has not expired, by the database's clock.
	OwnerLive bool
	// PausedBy is who paused the plugin. Empty means nobody.
	PausedBy string
}

// Held is a lease that the caller of a change says it has.
type Held struct{ Generation, Epoch int64 }

// Repartition splits a plugin's live generation into another number of partitions, or by another order.
type Repartition struct {
	Plugin string
	// Owner is the host that has all leases of From, which are all partitions of the live generation.
	Owner string
	From  []Held
	// Position is where all of them stand, and all the new ones begin.
	Position   event.Position
	Partitions int
	OrderBy    string
	// Sequences and Queue take the place of all that the partitions had.
	Sequences []PlacedSequence
	Queue     []PlacedEvent
	// Digest is the module that handles the new partitions' next events; their first spans begin with it. Empty
	// where none was recorded yet.
	Digest string
}

// PlacedSequence is a sequence in the partition that it belongs to from now on.
type PlacedSequence struct {
	Partition int
	Sequence
}

// PlacedEvent is a queued event in the partition that its sequence belongs to from now on.
type PlacedEvent struct {
	Partition int
	QueuedEvent
}

// Placement is what one partition gets of a Repartition.
type Placement struct {
	Sequences []Sequence
	Queue     []QueuedEvent
}

// Placements returns what each of the new partitions gets. The Repartition must be valid.
func (r *Repartition) Placements() []Placement {
	all := make([]Placement, r.Partitions)
	for _, q := range r.Sequences {
		p := &all[q.Partition]
		p.Sequences = append(p.Sequences, q.Sequence)
	}
	for _, q := range r.Queue {
		p := &all[q.Partition]
		p.Queue = append(p.Queue, q.QueuedEvent)
	}
	return all
}

// ValidatePartitions reports what no generation can be split into, as ErrInvalid.
func ValidatePartitions(partitions int, orderBy string) error {
	if partitions < 1 {
		return &InvalidError{Field: "partitions", Reason: fmt.Sprintf("are %d, and must be at least 1", partitions)}
	}
	return validateName("order_by", orderBy, true)
}

// Validate reports what no driver would store, as ErrInvalid.
func (r *Repartition) Validate() error {
	if err := ValidatePartitions(r.Partitions, r.OrderBy); err != nil {
		return err
	}
	if err := validateOwner(r.Owner); err != nil {
		return err
	}
	misplaced := func(partition int) bool { return partition < 0 || partition >= r.Partitions }
	for _, q := range r.Sequences {
		if misplaced(q.Partition) {
			return &InvalidError{Field: "partition", Reason: fmt.Sprintf("%d of sequence %q is none of %d", q.Partition, q.Key, r.Partitions)}
		}
		if q.State == "" {
			return &InvalidError{Field: "state", Reason: fmt.Sprintf("of sequence %q is missing", q.Key)}
		}
	}
	for _, q := range r.Queue {
		if misplaced(q.Partition) {
			return &InvalidError{Field: "partition", Reason: fmt.Sprintf("%d of event %d is none of %d", q.Partition, q.Position, r.Partitions)}
		}
	}
	return nil
}

// Check reports why the change must not be made while the live generation's partitions are these, which the caller
// has locked: ErrLeaseLost or ErrCheckpointMoved.
//
// Invariant 2: nothing changes but under the leases of all that changes.
func (r *Repartition) Check(live []Unit) error {
	if !holdsAll(live, r.From, r.Owner) {
		return ErrLeaseLost
	}
	return standAt(r.Position, live)
}

// Check reports why the switch must not be made while the partitions of both generations are these, which the caller
// has locked: ErrLeaseLost or ErrCheckpointMoved.
func (w *Switch) Check(units []Unit) error {
	if err := validateOwner(w.Owner); err != nil {
		return err
	}
	var from, to []Unit
	for _, u := range units {
		switch {
		case u.State == Dropping:
			return ErrLeaseLost
		case len(w.From) > 0 && u.Root == w.From[0].Generation:
			from = append(from, u)
		default:
			to = append(to, u)
		}
	}
	if !holdsAll(from, w.From, w.Owner) || !holdsAll(to, w.To, w.Owner) {
		return ErrLeaseLost
	}
	if w.Rollback { // what was retired stands where it was left
		return nil
	}
	return standBeside(from, to)
}

// Validate reports what no driver would store, as ErrInvalid. What only a database can refuse is not among it.
func (c *Commit) Validate() error { return validateOwner(c.Owner) }

func validateOwner(owner string) error {
	if owner == "" {
		return &InvalidError{Field: "owner", Reason: "is missing"}
	}
	return nil
}

// holdsAll reports whether the leases are those of all units, and of no others.
func holdsAll(units []Unit, held []Held, owner string) bool {
	epochs := make(map[int64]int64, len(held))
	for _, h := range held {
		epochs[h.Generation] = h.Epoch
	}
	for _, u := range units {
		if epoch, ok := epochs[u.ID]; !ok || epoch != u.Epoch || u.Owner != owner {
			return false
		}
	}
	return len(units) > 0 && len(units) == len(held)
}

// standBeside reports whether each partition stands where the one that it takes the place of does.
func standBeside(from, to []Unit) error {
	at := make(map[int]event.Position, len(from))
	for _, u := range from {
		at[u.Partition] = u.Position
	}
	for _, u := range to {
		if p, ok := at[u.Partition]; !ok || p != u.Position || len(from) != len(to) {
			return fmt.Errorf("%w: partition %d of generation %d is at %d, not %d", ErrCheckpointMoved, u.Partition, u.Number, u.Position, p)
		}
	}
	return nil
}

func standAt(p event.Position, units []Unit) error {
	for _, u := range units {
		if u.Position != p {
			return fmt.Errorf("%w: partition %d of generation %d is at %d, not %d", ErrCheckpointMoved, u.Partition, u.Number, u.Position, p)
		}
	}
	return nil
}
