package storetest

import (
	"fmt"
	"slices"
	"testing"

	"eshost/host/event"
	"eshost/host/store"
)

// split is a plugin in partitions whose leases a host has.
type split struct {
	s      store.Store
	plugin string
	owner  string
	parts  []store.Generation // with the lease's epoch
}

// splitUp makes a plugin in partitions and takes its leases.
func splitUp(t *testing.T, s store.Store, plugin string, partitions int) *split {
	t.Helper()
	g, err := s.EnsurePlugin(t.Context(), plugin, 0, partitions, "stream")
	check(t, err)
	p := &split{s: s, plugin: plugin, owner: "owner of " + plugin}
	register(t, s, p.owner, long)
	p.take(t, g.Root)
	return p
}

// take takes the leases of all partitions of a generation.
func (p *split) take(t *testing.T, root int64) {
	t.Helper()
	parts, err := p.s.Partitions(t.Context(), root)
	check(t, err)
	for i := range parts {
		parts[i].Epoch = acquire(t, p.s, parts[i].ID, p.owner).Epoch
	}
	p.parts = parts
}

func (p *split) held() []store.Held {
	var all []store.Held
	for _, g := range p.parts {
		all = append(all, store.Held{Generation: g.ID, Epoch: g.Epoch})
	}
	return all
}

func (p *split) root() store.Generation { return p.parts[0] }

// commit moves one partition's checkpoint with what change adds.
func (p *split) commit(t *testing.T, partition int, to event.Position, change func(*store.Commit)) {
	t.Helper()
	check(t, p.try(t, partition, to, change))
	p.parts[partition].Position = to
}

func (p *split) try(t *testing.T, partition int, to event.Position, change func(*store.Commit)) error {
	t.Helper()
	g := p.parts[partition]
	c := store.Commit{Generation: g.ID, Root: g.Root, Owner: p.owner, Epoch: g.Epoch, Expected: g.Position, Position: to, Digest: "d1"}
	if change != nil {
		change(&c)
	}
	return p.s.Commit(t.Context(), c)
}

// moveAll moves every partition to a position.
func (p *split) moveAll(t *testing.T, to event.Position) {
	t.Helper()
	for i := range p.parts {
		p.commit(t, i, to, nil)
	}
}

// contents is everything of the plugin that a change of its partitions may touch.
func (p *split) contents(t *testing.T) string {
	t.Helper()
	out := fmt.Sprintln(partitionsOf(t, p.s, p.plugin))
	for _, u := range unitsOf(t, p.s, p.plugin) {
		out += fmt.Sprintf("unit %d %s of %q\n%s", u.Partition, u.State, u.Owner, contents(t, p.s, u.Generation))
	}
	return out
}

func partitionsOf(t *testing.T, s store.Store, plugin string) []store.Generation {
	t.Helper()
	g, err := s.FindPlugin(t.Context(), plugin)
	check(t, err)
	parts, err := s.Partitions(t.Context(), g.Root)
	check(t, err)
	return parts
}

func unitsOf(t *testing.T, s store.Store, plugin string) []store.Unit {
	t.Helper()
	units, err := s.Units(t.Context())
	check(t, err)
	return slices.DeleteFunc(units, func(u store.Unit) bool { return u.Plugin != plugin })
}

// parkedAt parks a sequence with these events.
func parkedAt(key string, positions ...event.Position) func(*store.Commit) {
	return func(c *store.Commit) {
		for _, at := range positions {
			c.Queue = append(c.Queue, store.QueuedEvent{Key: key, Position: at})
		}
		c.Sequences = append(c.Sequences, store.Sequence{Key: key, State: store.Parked, Position: positions[0]})
	}
}

func keysOf(sequences []store.Sequence) string {
	var all string
	for _, q := range sequences {
		all += q.Key + " "
	}
	return all
}
