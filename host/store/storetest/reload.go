package storetest

import (
	"testing"

	"eshost/host/event"
	"eshost/host/store"
)

var reloadCases = []testCase{
	{"history", reloadHistory},
}

func reloadHistory(t *testing.T, db *database) {
	s := db.open(t)
	if list, err := s.Reloads(t.Context(), "p", 10); err != nil || len(list) != 0 {
		t.Errorf("a plugin without a history has %+v (%v)", list, err)
	}
	want := []store.Reload{
		{Plugin: "p", Digest: "aa", Position: 3, Host: "h1"},
		{Plugin: "p", Refused: "cannot be read: \u201cno\u201d", Position: 4, Host: "h2"},
		{Plugin: "p", Digest: "bb", Position: event.Position(1) << 40, Host: "h1"},
	}
	check(t, s.RecordReload(t.Context(), store.Reload{Plugin: "other", Digest: "cc", Host: "h1"}))
	for _, r := range want {
		check(t, s.RecordReload(t.Context(), r))
	}
	got, err := s.Reloads(t.Context(), "p", 10)
	check(t, err)
	if len(got) != len(want) {
		t.Fatalf("got %+v", got)
	}
	for i, r := range got {
		if r.ID == 0 || r.At.IsZero() || i > 0 && (r.ID >= got[i-1].ID || r.At.After(got[i-1].At)) {
			t.Errorf("reload %d is %+v", i, r)
		}
		r.ID, r.At = 0, want[0].At
		if r != want[len(want)-1-i] {
			t.Errorf("reload %d is %+v", i, r)
		}
	}
	if got, err = s.Reloads(t.Context(), "p", 1); err != nil || len(got) != 1 || got[0].Digest != "bb" {
		t.Errorf("the newest is %+v (%v)", got, err)
	}
}
