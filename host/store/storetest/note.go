package storetest

import (
	"testing"

	"eshost/host/event"
	"eshost/host/store"
)

var noteCases = []testCase{
	{"a checkpoint kept elsewhere is noted, forwards and backwards", notePosition},
	{"only the owner notes a checkpoint", noteGuard},
}

func notePosition(t *testing.T, db *database) {
	s := db.open(t)
	register(t, s, "h1", long)
	g := ensure(t, s, "p", 3)
	l := acquire(t, s, g.ID, "h1")
	for _, n := range []store.Note{{Position: 70, Digest: "aa"}, {Position: 5}, {Position: event.Position(1) << 40, Digest: "bb"}} {
		n.Generation, n.Epoch, n.Owner = g.ID, l.Epoch, "h1"
		check(t, s.NotePosition(t.Context(), n))
		if now, err := s.FindPlugin(t.Context(), "p"); err != nil || now.Position != n.Position {
			t.Errorf("after %+v it is at %d (%v)", n, now.Position, err)
		}
	}
	if o, err := s.Origin(t.Context(), g.ID); err != nil || o != (store.Origin{Start: 3, Elsewhere: true}) {
		t.Errorf("its origin is %+v (%v)", o, err)
	}
	next, err := s.BuildGeneration(t.Context(), leader(t, s, "p"), "p", 2, "")
	check(t, err)
	if o, err := s.Origin(t.Context(), next.ID); err != nil || o != (store.Origin{Start: 2}) {
		t.Errorf("the origin of the one that is built is %+v (%v)", o, err)
	}
	_, err = s.Origin(t.Context(), next.ID+100)
	wantError(t, err, store.ErrNotFound)
	plugins, err := s.Plugins(t.Context())
	check(t, err)
	if len(plugins) != 1 || plugins[0].Digest != "bb" {
		t.Errorf("got %+v, want the last digest that was noted", plugins)
	}
}

func noteGuard(t *testing.T, db *database) {
	s := db.open(t)
	register(t, s, "h1", long)
	g := ensure(t, s, "p", 3)
	stale := acquire(t, s, g.ID, "h1")
	now := acquire(t, s, g.ID, "h1")
	for what, n := range map[string]store.Note{
		"an earlier epoch":   {Generation: g.ID, Epoch: stale.Epoch, Owner: "h1"},
		"another host":       {Generation: g.ID, Epoch: now.Epoch, Owner: "h2"},
		"no host":            {Generation: g.ID, Epoch: now.Epoch},
		"no such generation": {Generation: g.ID + 1, Epoch: now.Epoch, Owner: "h1"},
	} {
		n.Position = 9
		t.Log(what)
		wantError(t, s.NotePosition(t.Context(), n), store.ErrLeaseLost)
	}
	check(t, s.Release(t.Context(), g.ID, now.Epoch))
	wantError(t, s.NotePosition(t.Context(), store.Note{Generation: g.ID, Epoch: now.Epoch, Owner: "h1", Position: 9}), store.ErrLeaseLost)
	if after, err := s.FindPlugin(t.Context(), "p"); err != nil || after.Position != 3 {
		t.Errorf("it is at %d (%v), want it at 3 as before", after.Position, err)
	}
}
