package sqlite_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/store"
	"eshost/host/store/sqlite"
)

// TestLogWentBack: a restored backup is noticed by its end, or by another event where the mark is.
func TestLogWentBack(t *testing.T) {
	t.Parallel()
	for name, change := range map[string][]string{
		"shorter": {"DELETE FROM events WHERE position = 3", "UPDATE sqlite_sequence SET seq = 2 WHERE name = 'events'"},
		"emptied": {"DELETE FROM events", "DELETE FROM sqlite_sequence"},
		"other events": {"DELETE FROM events WHERE position = 3", "UPDATE sqlite_sequence SET seq = 2 WHERE name = 'events'",
			"INSERT INTO events (stream, version, type) VALUES ('b', 1, 'T'), ('b', 2, 'T')"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "es.db")
			s := open(t, file, sqlite.Options{})
			tail := s.Tail(0)
			defer tail.Close()
			for _, id := range []string{"1", "2", "3"} {
				if err := appendOne(t.Context(), s, "a", id, nil); err != nil {
					t.Fatal(err)
				}
			}
			if state, err := tail.Poll(t.Context(), 10); err != nil || state.Watermark != 3 {
				t.Fatalf("got %+v (%v)", state, err)
			}
			db := raw(t, file)
			for _, st := range change {
				execute(t, db, st)
			}
			for range 2 { // it does not go away by asking again
				if _, err := tail.Poll(t.Context(), 10); !errors.Is(err, store.ErrLogWentBack) {
					t.Errorf("got %v", err)
				}
			}
		})
	}
}

// TestDeletedEnd: deleting the newest event is no going back; its position is not used again.
func TestDeletedEnd(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "es.db")
	s := open(t, file, sqlite.Options{})
	tail := s.Tail(0)
	defer tail.Close()
	for i, id := range []string{"1", "2"} {
		if err := appendOne(t.Context(), s, "a", id, nil); err != nil {
			t.Fatal(err)
		}
		state, err := tail.Poll(t.Context(), 10)
		if err != nil || state.Watermark != event.Position(i+1) {
			t.Fatalf("got %+v (%v)", state, err)
		}
		execute(t, raw(t, file), "DELETE FROM events")
	}
}

// TestAdHocSQL: people read the log and the read models with plain SQL, and may insert with it.
func TestAdHocSQL(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "es.db")
	s := open(t, file, sqlite.Options{})
	at := time.Date(1969, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
	res := s.Append(t.Context(), []store.AppendRequest{{Streams: []store.StreamAppend{{Stream: "a", StreamType: "account", Expected: store.NoStream, Events: []store.NewEvent{
		{ID: "1", Type: "Deposited", Data: []byte(`{"amount": 7}`), Metadata: []byte(`{"user":"u"}`), Time: at},
		{ID: "2", Type: "Deposited", Data: []byte(`{"amount": 35}`), ContentType: "application/cloudevents+json", Time: time.Date(2026, 5, 1, 12, 0, 0, 1000, time.UTC)},
		{ID: "3", Type: "Signed", Data: []byte{0xff, 0}, ContentType: "image/png"},
	}}}}})
	if res[0].Err != nil {
		t.Fatal(res[0].Err)
	}
	g, err := s.EnsurePlugin(t.Context(), "balances", 0, 1, "stream")
	if err != nil {
		t.Fatal(err)
	}
	lease, err := s.Acquire(t.Context(), g.ID, "host")
	if err != nil {
		t.Fatal(err)
	}
	err = s.Commit(t.Context(), store.Commit{Generation: g.ID, Owner: "host", Epoch: lease.Epoch, Position: 2, Digest: "d",
		Documents: []event.DocumentWrite{{Collection: "balance", Key: "a", Data: []byte(`{"sum":42}`), Position: 2}}})
	if err != nil {
		t.Fatal(err)
	}
	db := raw(t, file)
	for query, want := range map[string]string{
		"SELECT sum(data->>'amount') FROM event_log WHERE type = 'Deposited'":                 "42",
		"SELECT metadata->>'user' FROM event_log WHERE position = 1":                          "u",
		"SELECT group_concat(time, ' ') FROM event_log WHERE type = 'Deposited'":              "1969-12-31T23:59:59.999999Z 2026-05-01T12:00:00.000001Z",
		"SELECT hex(data) FROM event_log WHERE id = '3'":                                      "FF00",
		"SELECT typeof(data) || stream || stream_type || version FROM event_log WHERE id='2'": "textaaccount2",
		"SELECT plugin || collection || key || (data->>'sum') || position FROM read_models":   "balancesbalancea422",
	} {
		var got string
		if err := db.QueryRow(query).Scan(&got); err != nil || got != want {
			t.Errorf("%s: got %q (%v), want %q", query, got, err, want)
		}
	}
	execute(t, db, "INSERT INTO events (stream, stream_type, version, type, data) VALUES ('a', 'account', 4, 'Closed', CAST('{}' AS BLOB))")
	b, err := s.Read(t.Context(), store.ReadOptions{After: 3, UpTo: 10, Limit: 10})
	if err != nil || len(b.Events) != 1 {
		t.Fatalf("got %+v (%v)", b, err)
	}
	e := b.Events[0]
	if e.ID == "" || string(e.Metadata) != "{}" || e.ContentType != store.DefaultContentType || string(e.Data) != "{}" || time.Since(e.Time).Abs() > time.Minute {
		t.Errorf("inserted by hand: %+v", e)
	}
	if err := appendOne(t.Context(), s, "a", "5", nil); err != nil {
		t.Errorf("append after it: %v", err)
	}
}
