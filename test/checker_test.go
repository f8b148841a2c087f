package test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"eshost/host/event"
)

// entry is one event by its place in its stream.
type entry struct {
	stream  string
	version int64
}

// delivery is what a reader was given, in the order in which it was.
type delivery struct {
	entry
	position event.Position
}

// history is what really happened: the events whose transactions have committed, as their writers say.
type history struct {
	mu        sync.Mutex
	committed map[entry]bool
}

func (h *history) commit(events []entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.committed == nil {
		h.committed = make(map[entry]bool)
	}
	for _, e := range events {
		h.committed[e] = true
	}
}

func (h *history) size() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.committed)
}

// verdict is how a reader's deliveries differ from what happened.
type verdict struct {
	lost       int // committed and not delivered
	duplicated int // delivered more than once
	invented   int // delivered and not committed
	inverted   int // delivered after a later event of its stream
	disordered int // delivered after a higher position
	examples   []string
}

func (v *verdict) flawless() bool {
	return v.lost == 0 && v.duplicated == 0 && v.invented == 0 && v.inverted == 0 && v.disordered == 0
}

func (v *verdict) String() string {
	s := fmt.Sprintf("lost %d, duplicated %d, invented %d, out of order in a stream %d, out of position order %d",
		v.lost, v.duplicated, v.invented, v.inverted, v.disordered)
	if len(v.examples) > 0 {
		s += "; such as " + strings.Join(v.examples, ", ")
	}
	return s
}

func (v *verdict) count(n *int, format string, args ...any) {
	*n++
	if *n <= 3 {
		v.examples = append(v.examples, fmt.Sprintf(format, args...))
	}
}

// judge compares what a reader was given with what happened.
func (h *history) judge(deliveries []delivery) *verdict {
	h.mu.Lock()
	defer h.mu.Unlock()
	v := &verdict{}
	seen := make(map[entry]bool, len(deliveries))
	last := make(map[string]int64)
	var position event.Position
	for _, d := range deliveries {
		switch {
		case seen[d.entry]:
			v.count(&v.duplicated, "twice %v", d)
		case !h.committed[d.entry]:
			v.count(&v.invented, "invented %v", d)
		case d.version < last[d.stream]:
			v.count(&v.inverted, "%v after version %d", d, last[d.stream])
		}
		if d.position <= position {
			v.count(&v.disordered, "%v after position %d", d, position)
		}
		seen[d.entry] = true
		last[d.stream], position = max(last[d.stream], d.version), max(position, d.position)
	}
	for e := range h.committed {
		if !seen[e] {
			v.count(&v.lost, "lost %v", e)
		}
	}
	return v
}

// TestCheckerFinds holds the checker itself to finding each kind of fault.
func TestCheckerFinds(t *testing.T) {
	t.Parallel()
	var h history
	h.commit([]entry{{"a", 1}, {"a", 2}, {"b", 1}})
	a1, a2, b1 := delivery{entry{"a", 1}, 1}, delivery{entry{"a", 2}, 2}, delivery{entry{"b", 1}, 4}
	for _, c := range []struct {
		name string
		got  []delivery
		want verdict
	}{
		{"flawless", []delivery{a1, a2, b1}, verdict{}},
		{"another order of streams", []delivery{a1, {entry{"b", 1}, 2}, {entry{"a", 2}, 3}}, verdict{}},
		{"lost", []delivery{a1, b1}, verdict{lost: 1}},
		{"nothing", nil, verdict{lost: 3}},
		{"duplicated", []delivery{a1, a2, {entry{"a", 2}, 3}, b1}, verdict{duplicated: 1}},
		{"invented", []delivery{a1, a2, {entry{"a", 3}, 3}, b1}, verdict{invented: 1}},
		{"inverted", []delivery{{entry{"a", 2}, 1}, {entry{"a", 1}, 2}, b1}, verdict{inverted: 1}},
		{"disordered", []delivery{b1, a1, a2}, verdict{disordered: 2}},
	} {
		got := *h.judge(c.got)
		got.examples = nil
		if got.String() != c.want.String() {
			t.Errorf("%s: found %v, want %v", c.name, &got, &c.want)
		}
	}
}
