package test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"eshost/host"
	"eshost/host/config"
	"eshost/host/event"
	"eshost/host/store"
)

// hostConfig is a hosts.toml that has been read.
type hostConfig = config.Config

// settled waits until the plugins have handled the whole log, and fails if anything is parked.
func settled(t *testing.T, s store.Store, plugins ...string) {
	t.Helper()
	for _, p := range finished(t, s, plugins...) {
		if p.Parked > 0 {
			t.Errorf("%s: %d sequences are parked; the first: %+v", p.Plugin, p.Parked, *p.FirstFailure)
		}
	}
}

// finished waits until the plugins have handled the whole log and nothing of it is retried any more.
func finished(t *testing.T, s store.Store, plugins ...string) []store.PluginStatus {
	t.Helper()
	floor, err := host.Floor(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	tail := s.Tail(floor)
	defer tail.Close()
	var done []store.PluginStatus
	eventually(t, "the plugins reach the end", func() error {
		state, err := tail.Poll(t.Context(), 1)
		if err != nil {
			return err
		}
		if state.Watermark < state.Head {
			return fmt.Errorf("the watermark is %d of %d", state.Watermark, state.Head)
		}
		done, err = at(t, s, state.Head, plugins)
		return err
	})
	return done
}

// at returns the plugins' states if they have all handled everything up to a position.
func at(t *testing.T, s store.Store, head event.Position, names []string) ([]store.PluginStatus, error) {
	all, err := s.Plugins(t.Context())
	if err != nil {
		return nil, err
	}
	var found []store.PluginStatus
	for _, p := range all {
		if !slices.Contains(names, p.Plugin) {
			continue
		}
		if p.Position < head || p.Retrying > 0 {
			return nil, fmt.Errorf("%s is at %d of %d, retries %d sequences, is %s: %s", p.Plugin, p.Position, head, p.Retrying, p.Condition.State, p.Condition.Reason)
		}
		found = append(found, p)
	}
	if len(found) < len(names) {
		return nil, errors.New("not all of them have started")
	}
	return found, nil
}

// documents returns a whole collection by key.
func documents(t *testing.T, s store.Store, plugin, collection string) map[string]string {
	t.Helper()
	g, err := s.FindPlugin(t.Context(), plugin)
	if err != nil {
		t.Fatalf("plugin %s: %v", plugin, err)
	}
	all := map[string]string{}
	o := store.ScanOptions{Collection: collection, Limit: 1000}
	for {
		page, err := s.Scan(t.Context(), g.ID, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range page {
			all[d.Key] = string(d.Data)
			o.After = d.Key
		}
		if len(page) < o.Limit {
			return all
		}
	}
}

// compareDocuments reports every document that is not as it must be, the first ones with their text.
func compareDocuments(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	wrong := 0
	keys := maps.Clone(want)
	maps.Copy(keys, got)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if got[key] == want[key] {
			continue
		}
		if wrong++; wrong <= 5 {
			t.Errorf("%s: document %q is %q, must be %q", what, key, got[key], want[key])
		}
	}
	if wrong > 5 {
		t.Errorf("%s: %d of %d documents are wrong", what, wrong, len(want))
	}
}
