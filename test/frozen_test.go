package test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"eshost/host"
	"eshost/host/store"
)

// TestFrozenHost stops one of two hosts for longer than its lease: the other one takes over what it had, and what the
// first then still wants to commit is refused (invariant 2). When it is back it gets its share again.
func TestFrozenHost(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		seed := newSeed(t)
		s := openStore(t, storeURL)
		src := newSource("", seed)
		src.slow = true
		stopFeed := feed(t, s, src)

		first := impatient(newProject(t, storeURL, "first", splitPlugins(t)...)).host()
		firstListener := first.ready()
		awaitShares(t, s, map[string]int{"first": splitUnits})
		second := impatient(newProject(t, storeURL, "second", splitPlugins(t)...)).host()
		secondListener := second.ready()
		awaitShares(t, s, map[string]int{"first": splitUnits / 2, "second": splitUnits / 2})
		eventually(t, "each says what the other one runs", func() error {
			return errors.Join(saysOf(firstListener, "second"), saysOf(secondListener, "first"))
		})

		freeze(t, first, s)
		awaitShares(t, s, map[string]int{"second": splitUnits})
		pause(t.Context(), upTo(newRand(seed, 9000), time.Second))
		first.signal(syscall.SIGCONT)
		awaitShares(t, s, map[string]int{"first": splitUnits / 2, "second": splitUnits / 2})
		stopFeed()
		m := checkBank(t, s)
		second.stop()
		awaitShares(t, s, map[string]int{"first": splitUnits}) // a host that stops gives its leases back
		first.stop()
		t.Logf("%d events", m.events)
	})
}

// impatient has a project's host lose its leases soon.
func impatient(p *project) *project {
	toml := string(read(p.t, filepath.Join(p.dir, "hosts.toml")))
	p.write("hosts.toml", strings.Replace(toml, "[host]\n", "[host]\nlease_ttl = \"3s\"\n", 1))
	return p
}

// saysOf fails unless a host names another one as who runs a part of what it does not run.
func saysOf(listener, other string) error {
	status, err := hostStatus(listener)
	if err != nil {
		return err
	}
	for _, p := range status.Plugins {
		why := p.State + ": " + p.Reason
		for _, part := range p.Partitions {
			why += "\n" + part.State + ": " + part.Reason
		}
		if strings.Contains(why, fmt.Sprintf("waiting: run by host %q", other)) {
			return nil
		}
	}
	return fmt.Errorf("no plugin is said to be run by %s: %+v", other, status.Plugins)
}

func hostStatus(listener string) (*host.Status, error) {
	res, err := http.Get(listener + "/v1/status")
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var status host.Status
	return &status, json.NewDecoder(res.Body).Decode(&status)
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
