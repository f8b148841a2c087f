package tail

import (
	"fmt"
	"testing"

	"eshost/host/event"
)

// BenchmarkNotify is what a poll of 1,000 events costs the tail with 1,000 readers that want none.
func BenchmarkNotify(b *testing.B) {
	tail := New(&fakeLog{}, Options{})
	for i := range 1000 {
		tail.NewReader(event.Filter{Types: []string{fmt.Sprint("none", i), "other", "another"}})
	}
	events := make([]event.Event, 1000)
	for i := range events {
		events[i] = event.Event{Position: event.Position(i + 1), Type: fmt.Sprint("type", i%10)}
	}
	b.ReportAllocs()
	for b.Loop() {
		tail.mu.Lock()
		tail.notify(types(events))
		tail.mu.Unlock()
	}
}

// BenchmarkCollect is what a reader pays for a batch of 256 out of a full ring.
func BenchmarkCollect(b *testing.B) {
	r := ring{maxEvents: 16384, maxBytes: 1 << 30}
	for at := event.Position(0); at < 16384; at += 64 {
		events := make([]event.Event, 64)
		for i := range events {
			events[i] = event.Event{Position: at + event.Position(i) + 1, Type: "A"}
		}
		r.add(events, at+64)
	}
	b.ReportAllocs()
	for b.Loop() {
		if batch := collect(r.after(8192), 8192, 16384, event.Filter{Types: []string{"A"}}, 256, 0); len(batch.Events) != 256 {
			b.Fatal(len(batch.Events))
		}
	}
}
