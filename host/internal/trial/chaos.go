package trial

import (
	"bytes"
	"context"
	"math/rand/v2"

	"eshost/host/event"
)

// Difference is the first thing that came out differently where instances came and went.
type Difference struct {
	// Event is the one whose handling differed.
	Event *event.Event
	// Collection and Key name the document that differs; they are empty where something else does.
	Collection, Key string
	// Emitted says that the events it emitted differ.
	Emitted bool
	// Steady is what one instance made of it, Chaos what several did: the document, the emitted event, or how the event
	// ended. It is empty for a document or an emitted event that was not there.
	Steady, Chaos string
}

// ChaosResult is what a comparison found.
type ChaosResult struct {
	Seed uint64
	// Runs is how often all events were handled: a few events are handled several times.
	Runs int
	// Thrown is how many instances were thrown away, Turns how often the turn went to another one that was there.
	Thrown, Turns int
	// Difference is nil where there was none.
	Difference *Difference
}

const (
	enoughEvents = 200 // events that give chances enough to meet every pair of neighbours apart
	maxRuns      = 10
	oftenThrown  = 4    // turns, one of which throws an instance away
	maxThrown    = 2000 // instances, about: making one takes up to milliseconds
)

// Chaos runs the events on one instance, and beside it on instances that are thrown away and take turns between events as
// the seed has it, until something differs. Every instance of a host comes and goes like that, so what they make must
// depend on documents and the event alone.
func Chaos(ctx context.Context, m Module, events []event.Event, o Options, seed uint64) (*ChaosResult, error) {
	r := &ChaosResult{Seed: seed}
	for r.Runs == 0 || r.Runs < maxRuns && r.Runs*len(events) < enoughEvents {
		c := &chaos{random: rand.New(rand.NewPCG(seed, uint64(r.Runs))), rarity: max(oftenThrown, len(events)/maxThrown)}
		r.Runs++
		var err error
		r.Difference, err = compare(ctx, newWorld(m, o, nil), newWorld(m, o, c), events)
		r.Thrown += c.thrown
		r.Turns += c.took
		if err != nil || r.Difference != nil {
			return r, err
		}
	}
	return r, nil
}

// compare runs both worlds side by side to the first difference.
func compare(ctx context.Context, steady, chaos *world, events []event.Event) (*Difference, error) {
	defer steady.close()
	defer chaos.close()
	for i := range events {
		a, err := steady.handle(ctx, &events[i])
		if err != nil {
			return nil, err
		}
		b, err := chaos.handle(ctx, &events[i])
		if err != nil {
			return nil, err
		}
		if d := firstDifference(steady, chaos, &a, &b); d != nil {
			d.Event = &events[i]
			return d, nil
		}
	}
	return nil, nil
}

// firstDifference compares what the last event did. Everything before it was equal.
func firstDifference(steady, chaos *world, a, b *Outcome) *Difference {
	if x, y := ending(a), ending(b); x != y {
		return &Difference{Steady: x, Chaos: y}
	}
	for _, wrote := range [][]change{steady.wrote, chaos.wrote} {
		for _, w := range wrote {
			x, _ := steady.docs.get(w.collection, w.key)
			y, _ := chaos.docs.get(w.collection, w.key)
			if !bytes.Equal(x, y) {
				return &Difference{Collection: w.collection, Key: w.key, Steady: string(x), Chaos: string(y)}
			}
		}
	}
	x, y := steady.emitted[steady.emittedFrom:], chaos.emitted[chaos.emittedFrom:]
	for i := range max(len(x), len(y)) {
		if p, q := shown(x, i), shown(y, i); p != q {
			return &Difference{Emitted: true, Steady: p, Chaos: q}
		}
	}
	return nil
}

// ending is how an event ended, in words. The text of a failure may tell instances apart and is not compared.
func ending(o *Outcome) string {
	switch {
	case o.Failure != nil:
		return "failed (" + string(o.Failure.Kind) + ")"
	case o.Behind != 0:
		return "waits"
	}
	return "handled"
}

// shown is all of an emitted event, "" where there is none.
func shown(list []event.Emitted, i int) string {
	if i >= len(list) {
		return ""
	}
	e := &list[i]
	return e.Type + " to " + e.Stream + " (" + e.StreamType + ", " + e.ContentType + ", id " + e.ID + ") " + string(e.Data) + " " + string(e.Metadata)
}
