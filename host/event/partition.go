package event

import (
	"slices"
	"strings"
)

// Partition says which events one of a plugin's partitions handles. The zero Partition handles all.
type Partition struct {
	// Index is the partition's number, from 0, and Of how many there are; 0 and 1 mean that there is but one.
	Index, Of int
	// Key gives an event's ordering key. Only a Partition of several needs it.
	Key func(*Event) string
}

// Has reports whether the partition handles e.
func (p Partition) Has(e *Event) bool {
	return p.Of <= 1 || PartitionOf(p.Key(e), p.Of) == p.Index
}

// Own leaves out what other partitions handle, in place: the events must be the caller's alone.
func (p Partition) Own(events []Event) []Event {
	if p.Of <= 1 {
		return events
	}
	return slices.DeleteFunc(events, func(e Event) bool { return !p.Has(&e) })
}

// PartitionOf returns in which of n partitions, from 0, the events of an ordering key are: FNV-1a (64 bits) of the key's
// segment, modulo n.
//
// It is fixed for ever: what a partition has handled, and what waits in it, is stored by its number.
func PartitionOf(key string, n int) int {
	if n <= 1 {
		return 0
	}
	h := uint64(14695981039346656037)
	for _, c := range []byte(Segment(key)) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return int(h % uint64(n))
}

// Segment returns the part of an ordering key, or of a document's key, before its first "/": all of it if it has none.
// Like the hash it is fixed for ever.
func Segment(key string) string {
	segment, _, _ := strings.Cut(key, "/")
	return segment
}
