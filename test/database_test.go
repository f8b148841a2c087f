package test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"eshost/host"
	"eshost/test/pgtest"
)

// TestCrashOfDatabase takes the database away from a running host, in a clean way and in others, and gives
// it back: the host must say so, wait, and go on by itself with nothing lost and nothing applied twice.
func TestCrashOfDatabase(t *testing.T) {
	t.Parallel()
	seed := newSeed(t)
	server := pgtest.Private(t, pgtest.Options{})
	url := privateDatabase(t, server)
	s := openStore(t, url)
	p := newProject(t, url, "database", bankPlugins(t)...)
	stopFeed := feed(t, s, newSource("", seed))
	h := p.host()
	listener := h.ready()
	awaitReadiness(t, listener, http.StatusOK)

	rng := newRand(seed, 5000)
	for _, stop := range []func() error{server.Crash, server.Stop, server.Crash} {
		pause(t.Context(), upTo(rng, 500*time.Millisecond))
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		awaitReadiness(t, listener, http.StatusServiceUnavailable)
		if err := server.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		awaitReadiness(t, listener, http.StatusOK)
	}
	for range 10 {
		pause(t.Context(), upTo(rng, 300*time.Millisecond))
		terminateConnections(t, server.URL(), "eshost/database")
	}
	awaitReadiness(t, listener, http.StatusOK)
	stopFeed()
	m := checkBank(t, s)
	h.stop()
	t.Logf("%d events", m.events)
}

// TestReadyBetweenRarePolls has a host that is told to look at the log once in half a minute: it is ready between two looks.
func TestReadyBetweenRarePolls(t *testing.T) {
	t.Parallel()
	p := newProject(t, newDatabase(t, "sqlite"), "h", bankPlugins(t)[0])
	p.set("[store]", `poll_max = "30s"`)
	h := p.host()
	listener := h.ready()
	silent := 0.0
	awaitStatus(t, listener, "the log was not read for a while", func(s host.Status) error {
		if silent = s.Log.SilentSeconds; silent < 5.5 {
			return fmt.Errorf("%v seconds", silent)
		}
		return nil
	})
	awaitStatus(t, listener, "nothing is overdue", func(s host.Status) error {
		if s.Log.Overdue {
			return fmt.Errorf("after %v seconds", s.Log.SilentSeconds)
		}
		return nil
	})
	if code := answerOf(t, listener+"/readyz"); code != http.StatusOK {
		t.Errorf("/readyz answers %d when the log was last read %v seconds ago", code, silent)
	}
	h.stop()
}

// awaitReadiness waits until /readyz answers with a status.
func awaitReadiness(t *testing.T, listener string, want int) {
	t.Helper()
	eventually(t, fmt.Sprintf("/readyz answers %d", want), func() error {
		res, err := http.Get(listener + "/readyz")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err == nil && res.StatusCode != want {
			err = errors.New(res.Status + ": " + string(body))
		}
		return err
	})
}

// terminateConnections ends every connection of an application, whatever it is doing.
func terminateConnections(t *testing.T, url, application string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", application); err != nil {
		t.Fatal(err)
	}
}
