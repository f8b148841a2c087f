package storetest

import (
	"fmt"
	"strings"
	"testing"

	"eshost/host/event"
	"eshost/host/store"
)

var divergedCases = []testCase{
	{"a log that grows bears every checkpoint out", divergedNot},
	{"a log that was set back and written to since", divergedRefilled},
	{"a log that was set back", divergedShorter},
	{"the same events again are the same log", divergedSame},
	{"a checkpoint that was moved by who knows nothing of marks", divergedUnknown},
	{"recover a read model from the beginning", recoverAnew},
	{"recover and keep the documents", recoverKeeping},
	{"recover what cannot be", recoverRefused},
}

// wantDiverged compares what the store says has diverged: plugin checkpoint had has.
func wantDiverged(t *testing.T, s store.Store, want ...string) {
	t.Helper()
	list, err := s.Diverged(t.Context())
	check(t, err)
	var got []string
	for _, d := range list {
		got = append(got, fmt.Sprintf("%s %d %v %v", d.Plugin, d.Checkpoint, d.Had, d.Has))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Fatalf("diverged are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func divergedNot(t *testing.T, db *database) {
	s := db.open(t)
	o := own(t, s, "p") // on an empty log
	wantDiverged(t, s)
	fill(t, s, "a", "a", 3)
	wantDiverged(t, s)
	o.commit(t, 2, nil)
	db.MakeHole(t)
	fill(t, s, "b", "b", 2)
	head := readAll(t, s)[4].Position
	o.commit(t, head-2, nil) // in the hole
	wantDiverged(t, s)
	o.commit(t, head-2, func(c *store.Commit) { // only a sequence moves
		c.Sequences = []store.Sequence{{Key: "a", State: store.Parked, Position: 1}}
	})
	wantDiverged(t, s)
	check(t, s.Release(t.Context(), o.ID, o.Epoch))
	o = own(t, s, "p")
	o.commit(t, head, nil)
	wantDiverged(t, s)
	for _, p := range []event.Position{2, head} {
		check(t, s.NotePosition(t.Context(), store.Note{Generation: o.ID, Epoch: o.Epoch, Owner: "owner of p", Position: p}))
		wantDiverged(t, s)
	}
}

// setBack has three plugins at 0, 2 and 5 of a log of five events, and then only the first two events.
func setBack(t *testing.T, db *database) (s store.Store, none, early, late *owned) {
	t.Helper()
	s = db.open(t)
	fill(t, s, "a", "a", 5)
	none, early, late = own(t, s, "none"), own(t, s, "early"), own(t, s, "late")
	early.commit(t, 2, nil)
	late.commit(t, 5, nil)
	for _, o := range []*owned{none, early, late} {
		check(t, s.Release(t.Context(), o.ID, o.Epoch))
	}
	db.SetBack(t, 2)
	return s, none, early, late
}

func divergedRefilled(t *testing.T, db *database) {
	s, none, early, late := setBack(t, db)
	fill(t, s, "b", "b", 10)
	wantDiverged(t, s, `late 5 "a-4" at 5 "b-2" at 5`)
	_, err := s.Acquire(t.Context(), late.ID, "owner of late")
	wantError(t, err, store.ErrLogWentBack)
	if text := err.Error(); !strings.Contains(text, `"late"`) || !strings.Contains(text, `"a-4" at 5`) || !strings.Contains(text, `"b-2" at 5`) {
		t.Errorf("the refusal says %q", text)
	}
	own(t, s, "early").commit(t, early.Position, nil)
	own(t, s, "none").commit(t, none.Position, nil)
}

func divergedShorter(t *testing.T, db *database) {
	s, _, _, late := setBack(t, db)
	wantDiverged(t, s, `late 5 "a-4" at 5 "a-1" at 2`)
	_, err := s.Acquire(t.Context(), late.ID, "owner of late")
	wantError(t, err, store.ErrLogWentBack)
	db.SetBack(t, 0)
	wantDiverged(t, s, `early 2 "a-1" at 2 none`, `late 5 "a-4" at 5 none`)
}

func divergedSame(t *testing.T, db *database) {
	s, _, _, late := setBack(t, db)
	mustAppend(t, s, one("a", store.AnyVersion, evs("a-2", "a-3", "a-4", "a-5")...))
	wantDiverged(t, s)
	_, err := s.Acquire(t.Context(), late.ID, "owner of late")
	check(t, err)
}

func divergedUnknown(t *testing.T, db *database) {
	s := db.open(t)
	fill(t, s, "a", "a", 5)
	o := own(t, s, "p")
	o.commit(t, 3, nil)
	db.MoveCheckpoint(t, "p", 5)
	wantDiverged(t, s)
	own(t, s, "p")
	db.SetBack(t, 4)
	fill(t, s, "b", "b", 5)
	wantDiverged(t, s, `p 5 "a-4" at 5 "b-0" at 5`) // taking the lease has marked it
}

// astray is a plugin with everything a plugin can have, two events behind whose checkpoint the log was set back.
func astray(t *testing.T, db *database) (store.Store, *owned) {
	t.Helper()
	s := db.open(t)
	fill(t, s, "a", "a", 5)
	o := own(t, s, "p")
	o.commit(t, 2, func(c *store.Commit) {
		c.Digest, c.Documents = "early", []event.DocumentWrite{set("c", "k", `1`, 2)}
		c.Replacements = []store.Replacement{{Plugin: "p", Position: 1, Data: []byte("{}"), Who: "ada", Why: "why"}}
	})
	o.commit(t, 5, func(c *store.Commit) {
		c.Digest, c.Documents = "late", []event.DocumentWrite{set("c", "l", `2`, 5)}
		c.Queue = []store.QueuedEvent{{Key: "a", Position: 4}}
		c.Sequences = []store.Sequence{{Key: "a", State: store.Parked, Position: 4}}
		c.Replacements = []store.Replacement{{Plugin: "p", Position: 5, Data: []byte("{}"), Who: "ada", Why: "why"}}
	})
	_, err := s.BuildGeneration(t.Context(), leader(t, s, "p"), "p", 0, "")
	check(t, err)
	db.SetBack(t, 3)
	fill(t, s, "b", "b", 4)
	return s, o
}

// wantBegun takes the lease of a plugin that was recovered, and has its former owner fenced.
func wantBegun(t *testing.T, s store.Store, former *owned, position event.Position, documents string) {
	t.Helper()
	wantDiverged(t, s)
	wantError(t, former.try(t.Context(), 7, nil), store.ErrLeaseLost)
	o := own(t, s, "p")
	if o.Position != position {
		t.Errorf("it goes on at %d, want %d", o.Position, position)
	}
	if got := documentsOf(t, s, o.ID); got != documents {
		t.Errorf("its documents are %q, want %q", got, documents)
	}
	waiting, err := s.Sequences(t.Context(), o.ID)
	check(t, err)
	if len(waiting) != 0 {
		t.Errorf("sequences are left: %+v", waiting)
	}
	all, err := s.Generations(t.Context(), "p")
	check(t, err)
	for _, g := range all {
		if g.ID != o.ID && g.State != store.Dropping {
			t.Errorf("generation %d is %s", g.Number, g.State)
		}
	}
	o.commit(t, 7, nil)
	wantDiverged(t, s)
}

func recoverAnew(t *testing.T, db *database) {
	s, o := astray(t, db)
	done, err := s.Recover(t.Context(), store.Recovery{Plugin: "p"})
	check(t, err)
	if done != (store.Recovered{Documents: 2, Sequences: 1, Replacements: 2}) {
		t.Errorf("it took away %+v", done)
	}
	wantBegun(t, s, o, 0, "")
	spans, err := s.Spans(t.Context(), o.ID)
	check(t, err)
	if len(spans) != 1 || spans[0].From != 0 || spans[0].To != 7 || spans[0].Digest != "d1" {
		t.Errorf("its spans are %+v", spans)
	}
}

func recoverKeeping(t *testing.T, db *database) {
	s, o := astray(t, db)
	done, err := s.Recover(t.Context(), store.Recovery{Plugin: "p", After: 3, Keep: true})
	check(t, err)
	if done != (store.Recovered{Position: 3, Sequences: 1, Replacements: 1}) {
		t.Errorf("it took away %+v", done)
	}
	wantBegun(t, s, o, 3, "k=1 l=2")
}

func recoverRefused(t *testing.T, db *database) {
	s, o := astray(t, db)
	before := contents(t, s, o.Generation)
	for _, r := range []store.Recovery{{Plugin: "p", After: 1}, {Plugin: "p", After: -1, Keep: true}, {Plugin: "p", After: 8, Keep: true}} {
		_, err := s.Recover(t.Context(), r)
		wantError(t, err, store.ErrInvalid)
	}
	_, err := s.Recover(t.Context(), store.Recovery{Plugin: "unknown"})
	wantError(t, err, store.ErrNotFound)
	if list, err := s.Diverged(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("diverged are %v, %v", list, err)
	}
	wantContents(t, s, o.Generation, before)
}

func documentsOf(t *testing.T, s store.Store, generation int64) string {
	t.Helper()
	all, err := s.Scan(t.Context(), generation, store.ScanOptions{Collection: "c", Limit: 10})
	check(t, err)
	var texts []string
	for _, d := range all {
		texts = append(texts, d.Key+"="+string(d.Data))
	}
	return strings.Join(texts, " ")
}
