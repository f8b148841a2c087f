package postgres

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"eshost/host/event"
)

func TestWatermarkWaitsForTheHoldersItFound(t *testing.T) {
	t.Parallel()
	var w watermark
	w.restart(10)
	for i, step := range []struct {
		highWater event.Position
		holders   []string
		want      event.Position
	}{
		{10, nil, 10},
		{12, []string{"3/1"}, 10},               // may have drawn 11
		{15, []string{"3/1", "4/1"}, 10},        // 4/1 drew nothing below 13
		{15, []string{"4/1"}, 12},               // 3/1 has ended: all up to the scan before 4/1 is final
		{18, []string{"4/1", "3/2"}, 12},        // the same session's next transaction is another
		{18, []string{"3/2"}, 15},               //
		{20, nil, 20},                           //
		{25, []string{"5/1", "6/1"}, 20},        //
		{25, []string{"6/1"}, 20},               // found by the same scan
		{25, []string{"6/1", "7/1", "8/1"}, 20}, //
		{30, []string{"7/1"}, 25},               //
		{30, []string{}, 30},                    //
	} {
		if got := w.scan(step.highWater, step.holders); got != step.want {
			t.Errorf("scan %d: the mark is %d, want %d", i, got, step.want)
		}
	}
}

func TestWatermarkFollowsRenamedHolders(t *testing.T) {
	t.Parallel()
	var w watermark
	w.restart(0)
	w.scan(5, []string{"3/1"})
	w.scan(9, []string{"3/1", "4/1"})
	if got := w.scan(12, []string{"4/1", "-1/700"}); got != 0 {
		t.Errorf("3/1 was prepared as -1/700: the mark is %d, want 0", got)
	}
	w.scan(12, []string{"4/1"})
	if got := w.scan(15, []string{"4/1", "-1/701"}); got != 5 { // the look saw it under both names
		t.Errorf("4/1 was prepared as -1/701 meanwhile: the mark is %d, want 5", got)
	}
	if got := w.scan(15, []string{"-1/701"}); got != 5 {
		t.Errorf("4/1 is -1/701 now: the mark is %d, want 5", got)
	}
	if got := w.scan(15, nil); got != 15 {
		t.Errorf("all have ended: the mark is %d, want 15", got)
	}
}

func TestWatermarkNamesWhoHoldsIt(t *testing.T) {
	t.Parallel()
	var w watermark
	w.scan(5, []string{"3/1"})
	w.scan(9, []string{"3/1", "4/1"})
	if got := w.blockers(9); len(got) != 2 {
		t.Errorf("below 9 may come events of %v", got)
	}
	if got := w.blockers(5); len(got) != 1 || got[0] != "3/1" {
		t.Errorf("at or below 5 may come events of %v", got)
	}
}

// simulation is a server with writers, by the rules that doc.go relies on.
type simulation struct {
	random    *rand.Rand
	sequence  event.Position
	writers   []*writer
	committed map[event.Position]bool
	names     int
}

type writer struct {
	names []string // more than one while a look may see it under both
	drawn []event.Position
}

// step lets one writer do one thing.
func (s *simulation) step() {
	switch n := s.random.IntN(10); {
	case n < 3 && len(s.writers) < 8: // takes the lock
		s.names++
		s.writers = append(s.writers, &writer{names: []string{fmt.Sprintf("%d/%d", s.random.IntN(8)+1, s.names)}})
	case len(s.writers) == 0:
	case n < 7:
		s.sequence++
		w := s.writers[s.random.IntN(len(s.writers))]
		w.drawn = append(w.drawn, s.sequence)
	case n < 8: // is prepared, under a new name as old servers did
		s.names++
		w := s.writers[s.random.IntN(len(s.writers))]
		if !isPrepared(w.names[0]) {
			w.names = []string{fmt.Sprintf("-1/%d", s.names), w.names[0]}
		}
	default: // ends
		i := s.random.IntN(len(s.writers))
		if n < 9 {
			for _, p := range s.writers[i].drawn {
				s.committed[p] = true
			}
		}
		s.writers = append(s.writers[:i], s.writers[i+1:]...)
	}
}

// look lists the holders; a writer that was prepared during the look shows twice.
func (s *simulation) look() []string {
	var ids []string
	for _, w := range s.writers {
		if len(w.names) == 2 && s.random.IntN(2) == 0 {
			ids = append(ids, w.names[1])
		}
		ids = append(ids, w.names[0])
		w.names = w.names[:1]
	}
	return ids
}

// TestWatermarkLosesNothing lets writers do as they please between the statements of a poll, and checks
// that what is published is final.
func TestWatermarkLosesNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		s := &simulation{random: rand.New(rand.NewPCG(seed, 1)), committed: make(map[event.Position]bool)}
		var w watermark
		seen := make(map[event.Position]bool)
		var published event.Position
		for range 400 {
			for range s.random.IntN(5) {
				s.step()
			}
			highWater := s.sequence
			for range s.random.IntN(3) {
				s.step()
			}
			holders := s.look()
			mark := w.scan(highWater, holders)
			if mark < published {
				t.Fatalf("seed %d: the mark fell from %d to %d", seed, published, mark)
			}
			for range s.random.IntN(3) {
				s.step()
			}
			for p := published + 1; p <= mark; p++ { // the reader's snapshot
				seen[p] = s.committed[p]
			}
			published = mark
			if len(holders) == 0 && mark != highWater {
				t.Fatalf("seed %d: nobody holds the lock, and the mark is %d of %d", seed, mark, highWater)
			}
		}
		for len(s.writers) > 0 {
			s.step()
		}
		for p := event.Position(1); p <= published; p++ {
			if s.committed[p] != seen[p] {
				t.Fatalf("seed %d: the event at %d was committed after the watermark had passed it", seed, p)
			}
		}
		if published == 0 {
			t.Errorf("seed %d: the mark never moved", seed)
		}
	}
}
