package redis

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"eshost/host/event"
	"eshost/test/redistest"
)

// listenTo subscribes to a plugin's changes as an application does.
func listenTo(t *testing.T, url, plugin string) func() map[string]any {
	t.Helper()
	o, err := Connect(url, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	c := goredis.NewClient(o)
	sub := c.Subscribe(context.Background(), "eshost:changes:"+plugin)
	t.Cleanup(func() { sub.Close(); c.Close() })
	if _, err := sub.Receive(context.Background()); err != nil { // that it listens
		t.Fatal(err)
	}
	return func() map[string]any {
		t.Helper()
		m, err := sub.ReceiveMessage(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal([]byte(m.Payload), &got); err != nil {
			t.Fatal(err)
		}
		if got["scope"] != "db1" || got["plugin"] != plugin {
			t.Errorf("%v is of another scope or plugin", got)
		}
		delete(got, "scope")
		delete(got, "plugin")
		return got
	}
}

func expect(t *testing.T, got, want map[string]any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func withChanges(o *Options) { o.Changes = true }

func manyWrites(n int) []event.DocumentWrite {
	writes := make([]event.DocumentWrite, n)
	for i := range writes {
		writes[i] = event.DocumentWrite{Collection: fmt.Sprintf("c%d", i%2), Key: fmt.Sprint(i), Position: event.Position(i), Data: []byte("{}")}
	}
	return writes
}

func TestChangesAreTold(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	h := newHost(t, "a", s.URL(), withChanges)
	h.await(OK, "")
	next := listenTo(t, s.URL(), "balances")

	h.client.Changed("balances", 7, []event.DocumentWrite{
		{Collection: "balances", Key: "ada", Position: 6, Data: []byte(`{"secret":1}`)},
		{Collection: "balances", Key: "bob \"x\"\n", Position: 7},
	})
	h.client.Changed("other", 8, manyWrites(1))
	h.client.Changed("balances", 9, nil)
	h.client.Changed("balances", 500, manyWrites(maxNamed+1))
	expect(t, next(), map[string]any{"collection": "balances", "key": "ada", "position": 6.0})
	expect(t, next(), map[string]any{"collection": "balances", "key": "bob \"x\"\n", "position": 7.0, "deleted": true})
	expect(t, next(), map[string]any{"position": 500.0, "many": true, "collections": []any{"c0", "c1"}})
	h.client.Reset("balances")
	expect(t, next(), map[string]any{"reset": true})
	eventually(t, "all are counted", func() error {
		if n := h.client.Status().Changed; n != 5 {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
}

func TestChangesAreOffUnlessAskedFor(t *testing.T) {
	t.Parallel()
	h := newHost(t, "a", redistest.Start(t).URL())
	h.await(OK, "")
	h.client.Changed("balances", 7, manyWrites(5))
	h.client.Reset("balances")
	if next, _ := h.client.feed.take(); next != nil {
		t.Errorf("%d messages wait", len(next))
	}
}

// TestLostChangesAreToldAsLost: readers learn that something is missing, and the host's memory stays bounded.
func TestLostChangesAreToldAsLost(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	h := newHost(t, "a", s.URL(), withChanges)
	h.await(OK, "")
	s.Kill()
	h.await(Failing, "")
	begun := time.Now()
	const commits = 10_000
	for i := range commits {
		h.client.Changed("balances", event.Position(i), manyWrites(10))
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("commits waited %s for Redis", took)
	}
	h.client.feed.mu.Lock()
	waiting := len(h.client.feed.queue)
	h.client.feed.mu.Unlock()
	if waiting > maxWaiting {
		t.Errorf("%d messages wait", waiting)
	}
	s.Start()
	next := listenTo(t, s.URL(), "balances")
	// What is told may be behind what is lost, but that something is lost is told.
	for {
		h.client.Changed("balances", commits, manyWrites(1))
		if got := next(); got["reset"] == true {
			break
		}
		if t.Context().Err() != nil {
			t.Fatal("no reset")
		}
	}
	if h.client.Status().Dropped == 0 {
		t.Error("nothing counts as dropped")
	}
}
