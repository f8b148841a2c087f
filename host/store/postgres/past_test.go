package postgres_test

import (
	"errors"
	"strings"
	"testing"

	"eshost/host/event"
	"eshost/host/store"
	"eshost/test/pgtest"
)

func TestTailRefusesALogThatWentBack(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := opened(t, url)
	w := connect(t, url)
	for i := 1; i <= 5; i++ {
		w.insert("w", i)
	}
	r := follow(t, s)
	r.want("w-1 w-2 w-3 w-4 w-5")

	w.exec(`SELECT setval('eshost.events_position_seq', 3)`)
	err := r.tryPoll(t.Context())
	if !errors.Is(err, store.ErrLogWentBack) || !strings.Contains(err.Error(), "stands at 3") {
		t.Errorf("after the sequence was set back: %v", err)
	}
	w.exec(`SELECT setval('eshost.events_position_seq', 9)`)
	if err := r.tryPoll(t.Context()); !errors.Is(err, store.ErrLogWentBack) {
		t.Errorf("a tail that has seen the log go back trusts it again: %v", err)
	}

	w.exec(`SELECT setval('eshost.events_position_seq', 4)`)
	for name, floor := range map[string]event.Position{"an event above the sequence": 0, "a floor above the sequence": 5} {
		tail := s.Tail(floor)
		if _, err := tail.Poll(t.Context(), 10); !errors.Is(err, store.ErrLogWentBack) {
			t.Errorf("%s: %v", name, err)
		}
		tail.Close()
	}
}

func TestTailSurvivesALostConnection(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := opened(t, url)
	r := follow(t, s)
	admin := connect(t, url)
	admin.insert("a", 1)
	r.want("a-1")
	w := begin(t, url)
	w.insert("w", 1)
	admin.insert("a", 2)
	r.stays("a-1")

	admin.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'eshost/` + t.Name() + `' AND datname = current_database()`)
	if err := r.tryPoll(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a poll on a broken connection: %v", err)
	}
	r.stays("a-1") // the new connection finds the old holder
	w.exec("COMMIT")
	r.want("a-1 w-1 a-2")
}

func TestTailNoticesThatThePastChangedMeanwhile(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(w *session){
		"the last event is gone":    func(w *session) { w.exec(`DELETE FROM eshost.events WHERE id = 'w-3'`) },
		"the last event is another": func(w *session) { w.exec(`UPDATE eshost.events SET id = 'other' WHERE id = 'w-3'`) },
		"a published hole is filled": func(w *session) {
			w.exec(`INSERT INTO eshost.events (position, stream, version, type) OVERRIDING SYSTEM VALUE VALUES (4, 'late', 1, 'T')`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := pgtest.Database(t)
			s := opened(t, url)
			r := follow(t, s)
			w := connect(t, url)
			for i := 1; i <= 3; i++ {
				w.insert("w", i)
			}
			w.exec("BEGIN")
			w.insert("hole", 1)
			w.exec("ROLLBACK")
			eventually(t, "the mark passes the hole", func() bool { r.poll(); return r.state.Watermark == 4 })
			change(w)
			terminate(w, "eshost/"+t.Name())
			eventually(t, "the tail refuses the log", func() bool {
				err := r.tryPoll(t.Context())
				return errors.Is(err, store.ErrLogWentBack)
			})
		})
	}
}

func TestTailNoticesALateCommitInAPublishedHole(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	s := opened(t, url)
	r := follow(t, s)
	w := connect(t, url)
	w.insert("w", 1)
	w.exec("BEGIN")
	w.insert("hole", 1)
	w.exec("ROLLBACK")
	eventually(t, "the hole is published", func() bool { r.poll(); return r.state.Watermark == 2 })
	w.exec("BEGIN")
	w.exec(`INSERT INTO eshost.events (position, stream, version, type) OVERRIDING SYSTEM VALUE VALUES (2, 'late', 1, 'T')`)
	other := connect(t, url)
	terminate(other, "eshost/"+t.Name())
	eventually(t, "the tail is back", func() bool { return r.tryPoll(t.Context()) == nil })
	other.insert("o", 1)
	r.want("w-1 o-1")
	w.exec("COMMIT")
	eventually(t, "the tail refuses the log", func() bool { return errors.Is(r.tryPoll(t.Context()), store.ErrLogWentBack) })
	if r.ids() != "w-1 o-1" {
		t.Errorf("the tail went on to %q", r.ids())
	}
}

func terminate(s *session, application string) {
	s.t.Helper()
	s.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND datname = current_database()`, application[:min(63, len(application))])
}
