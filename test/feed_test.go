package test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"eshost/host"
	"eshost/host/bank"
	"eshost/host/event"
	"eshost/host/store"
)

// source makes the events of bank accounts and, between them, events of other streams that the plugin
// journal fails to handle at first, or slowly.
type source struct {
	prefix string // of stream names and ids
	rng    *rand.Rand
	bank   *bank.Bank
	made   int
	slow   bool
}

func newSource(prefix string, seed uint64) *source {
	return &source{prefix: prefix, rng: newRand(seed, 3000), bank: bank.New(100, seed)}
}

func (s *source) next() store.StreamAppend {
	s.made++
	a := s.bank.Next()
	if s.rng.IntN(8) == 0 {
		a = store.StreamAppend{Stream: fmt.Sprintf("notes-%02d", s.rng.IntN(20)), Expected: store.AnyVersion, Events: []store.NewEvent{{Type: s.note(), Data: []byte("{}")}}}
	}
	a.Stream = s.prefix + a.Stream
	a.Events[0].ID = fmt.Sprintf("%s%d", s.prefix, s.made)
	return a
}

func (s *source) note() string {
	switch n := s.rng.IntN(4); {
	case n == 0:
		return "FailsOnce"
	case n == 1 && s.slow:
		return "Slow"
	}
	return "Noted"
}

// feed appends a source's events beside the test until it is stopped, whatever the database does meanwhile.
func feed(t *testing.T, s store.Store, src *source) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- src.feed(ctx, s) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("append: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func (s *source) feed(ctx context.Context, log store.Log) error {
	for ctx.Err() == nil {
		var req store.AppendRequest
		for range 1 + s.rng.IntN(20) {
			req.Streams = append(req.Streams, s.next())
		}
		for {
			err := log.Append(context.WithoutCancel(ctx), []store.AppendRequest{req})[0].Err
			if err == nil {
				break
			}
			if errors.Is(err, store.ErrVersionConflict) || errors.Is(err, store.ErrIDConflict) || errors.Is(err, store.ErrInvalid) {
				return err
			}
			if ctx.Err() != nil {
				return fmt.Errorf("stopped with events that may not be stored: %w", err)
			}
			pause(ctx, 20*time.Millisecond) // the ids make it safe to append them again
		}
		pause(ctx, upTo(s.rng, 100*time.Millisecond))
	}
	return nil
}

// line is an event as `eshost append` reads it.
func line(a store.StreamAppend) []byte {
	e := a.Events[0]
	b, err := json.Marshal(map[string]any{"stream": a.Stream, "type": e.Type, "id": e.ID, "data": json.RawMessage(e.Data)})
	if err != nil {
		panic(err) // the data is the test's own
	}
	return append(b, '\n')
}

// feedCommand does the same as feed through `eshost append -`.
func (p *project) feedCommand(src *source) (stop func()) {
	p.t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(p.t.Context())
	command := p.start(read, "append", "-")
	read.Close()
	done := make(chan error, 1)
	go func() {
		defer write.Close()
		done <- src.write(ctx, write)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			p.t.Errorf("write to eshost append: %v", err)
		}
		if code := command.wait(); code != 0 {
			p.t.Errorf("eshost append ended with code %d", code)
		}
	})
	p.t.Cleanup(stop)
	return stop
}

func (s *source) write(ctx context.Context, w io.Writer) error {
	for ctx.Err() == nil {
		if _, err := w.Write(line(s.next())); err != nil {
			return err
		}
		pause(ctx, upTo(s.rng, 20*time.Millisecond))
	}
	return nil
}

// model is what the plugins must have made of a log.
type model struct {
	events   int
	balances map[string]string
	journal  map[string]string
}

// modelOf reads the whole log of a store that nobody appends to any more.
func modelOf(t *testing.T, s store.Store) *model {
	t.Helper()
	m := &model{balances: map[string]string{}, journal: map[string]string{}}
	books := map[string]*bank.Account{}
	for _, e := range wholeLog(t, s) {
		m.events++
		m.journal[e.Stream] = fmt.Sprint(e.Version)
		var data struct {
			Owner  string
			Amount int64
		}
		if err := json.Unmarshal(e.Data, &data); err != nil {
			t.Fatalf("event %d: %v", e.Position, err)
		}
		sign := map[string]int64{"AccountOpened": 0, "Deposited": 1, "Withdrawn": -1}
		factor, ok := sign[e.Type]
		if !ok {
			continue
		}
		if books[e.Stream] == nil {
			books[e.Stream] = &bank.Account{}
		}
		a := books[e.Stream]
		a.Count++
		a.Balance += factor * data.Amount
		if e.Type == "AccountOpened" {
			a.Owner = data.Owner
		}
	}
	for stream, a := range books {
		m.balances[stream] = a.Document()
	}
	return m
}

func wholeLog(t *testing.T, s store.Store) []event.Event {
	t.Helper()
	floor, err := host.Floor(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	tail := s.Tail(floor)
	defer tail.Close()
	var all []event.Event
	eventually(t, "the log is final", func() error {
		state, err := tail.Poll(t.Context(), 1)
		if err == nil && state.Watermark < state.Head {
			err = fmt.Errorf("the watermark is %d of %d", state.Watermark, state.Head)
		}
		floor = state.Head
		return err
	})
	for after := event.Position(0); after < floor; {
		b, err := s.Read(t.Context(), store.ReadOptions{After: after, UpTo: floor, Limit: 5000})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b.Events...)
		after = b.UpTo
	}
	return all
}

// bankPlugins are balances in two languages and the journal of all streams.
func bankPlugins(t *testing.T) []plugin {
	t.Helper()
	const retry = "[plugins.%s.retry]\nattempts = 20\nbackoff = \"100ms..1s\"\n"
	const types = "events = [\"AccountOpened\", \"Deposited\", \"Withdrawn\"]"
	return []plugin{
		{"assemblyscript", balancesModule(t, "assemblyscript"), types},
		{"rust", balancesModule(t, "rust"), types},
		{"journal", journalModule(t), fmt.Sprintf(retry, "journal") + "[plugins.journal.limits]\ntime = \"10s\"\n"},
	}
}

// checkBank waits until bankPlugins have handled everything and compares what they made with the model.
func checkBank(t *testing.T, s store.Store) *model {
	t.Helper()
	settled(t, s, "assemblyscript", "rust", "journal")
	m := modelOf(t, s)
	compareDocuments(t, "assemblyscript", documents(t, s, "assemblyscript", "balances"), m.balances)
	compareDocuments(t, "rust", documents(t, s, "rust", "balances"), m.balances)
	compareDocuments(t, "journal", documents(t, s, "journal", "journal"), m.journal)
	return m
}
