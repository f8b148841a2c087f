package test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"eshost/host"
	"eshost/host/store"
)

// TestTwoHosts runs two hosts with the same plugins on one database. The second waits; when the first stands
// still for longer than its lease the second takes over, and what the first then still wants to commit is
// refused (invariant 2).
func TestTwoHosts(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		seed := newSeed(t)
		s := openStore(t, storeURL)
		src := newSource("", seed)
		src.slow = true
		stopFeed := feed(t, s, src)

		first := newProject(t, storeURL, "first", bankPlugins(t)...).host()
		firstListener := first.ready()
		second := newProject(t, storeURL, "second", bankPlugins(t)...)
		awaitOwner(t, second, "first")
		secondHost := second.host()
		awaitState(t, secondHost.ready(), "waiting", `"first"`)
		awaitOwner(t, second, "first") // the second has not touched anything

		freeze(t, first, s)
		awaitOwner(t, second, "second")
		first.signal(syscall.SIGCONT)
		awaitState(t, firstListener, "waiting", `"second"`)
		eventually(t, "the first host is refused", func() error {
			if !strings.Contains(first.stderr.String(), "lost the lease") {
				return errors.New("it has not said so")
			}
			return nil
		})
		stopFeed()
		m := checkBank(t, s)
		secondHost.stop()
		awaitOwner(t, second, "first") // a host that stops gives its leases back
		first.stop()
		t.Logf("%d events", m.events)
	})
}

// freeze stops a process where it is, but not while it holds the database's only write lock.
func freeze(t *testing.T, p *process, s store.Store) {
	t.Helper()
	eventually(t, "stop the process outside of a commit", func() error {
		p.signal(syscall.SIGSTOP)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		probe := store.StreamAppend{Stream: "probe", Expected: store.AnyVersion, Events: []store.NewEvent{{Type: "Noted", Data: []byte("{}")}}}
		err := s.Append(ctx, []store.AppendRequest{{Streams: []store.StreamAppend{probe}}})[0].Err
		if err != nil {
			p.signal(syscall.SIGCONT)
		}
		return err
	})
}

// awaitOwner waits until status says that a host owns every plugin.
func awaitOwner(t *testing.T, p *project, name string) {
	t.Helper()
	eventually(t, name+" owns the plugins", func() error {
		var status struct {
			Plugins []struct {
				Name  string
				State string
				Owner *struct{ Name string }
			}
		}
		code, text, errs := p.run("", "status", "--json")
		if code != 0 {
			return fmt.Errorf("status: exit code %d: %s", code, errs)
		}
		if err := json.Unmarshal([]byte(text), &status); err != nil {
			return err
		}
		if len(status.Plugins) == 0 {
			return errors.New("there are none yet")
		}
		for _, pl := range status.Plugins {
			if pl.Owner == nil || pl.Owner.Name != name {
				return fmt.Errorf("%s is %s, owned by %v", pl.Name, pl.State, pl.Owner)
			}
		}
		return nil
	})
}

// awaitState waits until a running host says of every plugin what it does, and why.
func awaitState(t *testing.T, listener, state, why string) {
	t.Helper()
	eventually(t, "every plugin is "+state, func() error {
		res, err := http.Get(listener + "/v1/status")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		var status host.Status
		if err := json.NewDecoder(res.Body).Decode(&status); err != nil {
			return err
		}
		for _, p := range status.Plugins {
			if p.State != state || !strings.Contains(p.Reason, why) {
				return fmt.Errorf("%s is %s: %s", p.Name, p.State, p.Reason)
			}
		}
		return nil
	})
}
