package tail

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"eshost/host/event"
)

// part is one of n partitions by the event's id, which the fake log makes from its position.
func part(i, n int) event.Partition {
	return event.Partition{Index: i, Of: n, Key: func(e *event.Event) string { return e.ID }}
}

// TestPartitionsFromTheRing has events wake the partition that wants them, and each of them in one partition only.
func TestPartitionsFromTheRing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const of, events = 4, 200
		l := &fakeLog{}
		tail := running(t, l, Options{MinPoll: time.Millisecond, Quiet: time.Hour})
		ctx, stop := context.WithCancel(t.Context())
		heard := make(chan event.Position, events)
		for i := range of {
			r := tail.NewReader(event.Filter{Types: []string{"A"}, Partition: part(i, of)})
			go func() {
				defer r.Close()
				for after := event.Position(0); ; {
					b, err := r.Next(ctx, after, 10, 0)
					if err != nil {
						return
					}
					for j := range b.Events {
						if event.PartitionOf(b.Events[j].ID, of) != i {
							t.Errorf("partition %d got event %s", i, b.Events[j].ID)
						}
						heard <- b.Events[j].Position
					}
					after = b.UpTo
				}
			}()
		}
		time.Sleep(time.Second)
		for p := range event.Position(events / 2) {
			l.append("A", "B")
			tail.Wake()
			time.Sleep(2 * time.Millisecond)
			synctest.Wait()
			select {
			case got := <-heard:
				if got != 2*p+1 {
					t.Errorf("event %d was heard of in the place of %d", got, 2*p+1)
				}
			default:
				t.Errorf("nobody heard of event %d", 2*p+1)
			}
		}
		if len(l.reads) > 0 || len(heard) > 0 {
			t.Errorf("the store was asked: %+v, and %d events came twice", l.reads, len(heard))
		}
		stop()
	})
}

// TestPartitionsCatchUp reads from the store: every event in one partition, no step without events in between, and no
// more statements than it takes to read the log once for each partition.
func TestPartitionsCatchUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const events, of = 10_000, 4
		l := &fakeLog{}
		for range events {
			l.append("A")
		}
		tail := running(t, l, Options{RingEvents: 1})
		seen := make([]int, events+1)
		for i := range of {
			r := tail.NewReader(event.Filter{Types: []string{"A"}, Partition: part(i, of)})
			for after := event.Position(0); after < events; {
				b, err := r.Next(t.Context(), after, 500, 0)
				if err != nil {
					t.Fatal(err)
				}
				if len(b.Events) == 0 && b.UpTo < events || len(b.Events) > 500 || b.UpTo <= after {
					t.Errorf("partition %d: after %d there are %d events up to %d", i, after, len(b.Events), b.UpTo)
				}
				for j := range b.Events {
					seen[b.Events[j].Position]++
				}
				after = b.UpTo
			}
			r.Close()
		}
		if i := slices.IndexFunc(seen[1:], func(n int) bool { return n != 1 }); i >= 0 {
			t.Errorf("event %d was handed out %d times", i+1, seen[i+1])
		}
		if most := of * (events/(500*of) + 5) * 2; len(l.reads) > most {
			t.Errorf("%d statements, %d would do", len(l.reads), most)
		}
		for _, o := range l.reads {
			if o.Filter.Partition.Of != 0 {
				t.Fatalf("the store is asked for a partition: %+v", o)
			}
		}
	})
}

// TestPartitionCatchesUpOverOthers has a log in which only the last event is the partition's: the reader comes to it in
// few steps, and in some all the same where that takes long.
func TestPartitionCatchesUpOverOthers(t *testing.T) {
	for _, takes := range []time.Duration{0, 200 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			const events = 10_000
			l := &fakeLog{readTakes: takes}
			for range events {
				l.append("A")
			}
			tail := running(t, l, Options{RingEvents: 1})
			last := event.Partition{Index: 0, Of: 2, Key: func(e *event.Event) string {
				if e.ID == fmt.Sprint(events) {
					return "account-7" // is in partition 0
				}
				return "account-8" // in partition 1
			}}
			r := tail.NewReader(event.Filter{Partition: last})
			defer r.Close()
			steps := 0
			for after := event.Position(0); after < events; steps++ {
				b, err := r.Next(t.Context(), after, 100, 0)
				if err != nil {
					t.Fatal(err)
				}
				if b.UpTo == events && positions(b) != "10000 up to 10000" {
					t.Errorf("it ends with %s", positions(b))
				}
				after = b.UpTo
			}
			if reads := len(l.reads); takes == 0 && steps != 1 || takes > 0 && (steps < 10 || steps > reads/3+1) {
				t.Errorf("%d steps and %d reads of %v", steps, reads, takes)
			}
		})
	}
}

func TestBehindOfPartitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &fakeLog{}
		tail := running(t, l, Options{})
		time.Sleep(time.Second)
		for range 100 {
			l.append("A", "B")
		}
		tail.Wake()
		time.Sleep(time.Second)
		all := int64(0)
		for i := range 3 {
			f := event.Filter{Types: []string{"A"}, Partition: part(i, 3)}
			n := tail.Behind(50, f)
			if want := int64(len(l.between(50, 200, f))); n != want || n == 0 {
				t.Errorf("partition %d is %d events behind, want %d", i, n, want)
			}
			all += n
		}
		if all != 75 {
			t.Errorf("all of them are %d events behind", all)
		}
	})
}
