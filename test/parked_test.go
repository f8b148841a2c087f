package test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"eshost/host"
	"eshost/host/store"
)

// bankEvents appends events of one account after the other; a line is TYPE DATA.
func bankEvents(t *testing.T, s store.Store, account string, lines ...string) []store.Recorded {
	t.Helper()
	a := store.StreamAppend{Stream: account, StreamType: "account", Expected: store.AnyVersion}
	for _, line := range lines {
		kind, data, _ := strings.Cut(line, " ")
		a.Events = append(a.Events, store.NewEvent{Type: kind, Data: []byte(data), Metadata: []byte(`{"by":"test"}`)})
	}
	res := s.Append(t.Context(), []store.AppendRequest{{Streams: []store.StreamAppend{a}}})[0]
	if res.Err != nil {
		t.Fatal(res.Err)
	}
	return res.Events
}

const opened = `AccountOpened {"owner":"x","currency":"EUR"}`

// balance is what the read model of the plugin balances says of an account.
func balance(t *testing.T, s store.Store, account string) int64 {
	t.Helper()
	var doc struct{ Balance int64 }
	if text := documents(t, s, "balances", "balances")[account]; text != "" {
		if err := json.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
	}
	return doc.Balance
}

// bankProject declares balances, which refuses an amount that is no positive integer.
func bankProject(t *testing.T, storeURL string) *project {
	return newProject(t, storeURL, "h", plugin{"balances", balancesModule(t, "rust"), "[plugins.balances.retry]\nattempts = 2\nbackoff = \"1ms..5ms\""})
}

// wantRun runs a command that must end with a code and say all of some things.
func (p *project) wantRun(code int, says []string, args ...string) string {
	p.t.Helper()
	got, out, errs := p.run("", args...)
	if got != code {
		p.t.Errorf("eshost %s: exit code %d\n%s%s", strings.Join(args, " "), got, out, errs)
	}
	for _, part := range says {
		if !strings.Contains(out+errs, part) {
			p.t.Errorf("eshost %s does not say %q:\n%s%s", strings.Join(args, " "), part, out, errs)
		}
	}
	return out
}

// TestParked goes the whole way of a person with events that a plugin refuses, beside a running host: list, show,
// retry, edit, skip, the record.
func TestParked(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		p := bankProject(t, storeURL)
		s := openStore(t, storeURL)
		events := bankEvents(t, s, "acc-1", opened, `Deposited {"amount":"12"}`, `Deposited {"amount":5}`, `Withdrawn {"amount":1}`)
		bankEvents(t, s, "acc-2", opened, `Deposited {"amount":-7}`, `Deposited {"amount":3}`)
		bankEvents(t, s, "acc-3", opened, `Deposited {"amount":9}`)
		h := p.host()
		h.ready()
		finished(t, s, "balances")
		bad := events[1]

		var list host.ParkedPage
		if err := json.Unmarshal([]byte(p.must("parked", "list", "balances", "--json")), &list); err != nil {
			t.Fatal(err)
		}
		if n := len(list.Sequences); n != 2 || list.Sequences[0].Key != "acc-1" || list.Sequences[0].Position != bad.Position || list.Sequences[0].Waiting != 3 || list.Sequences[1].Waiting != 2 {
			t.Errorf("the list is %+v", list)
		}
		p.wantRun(0, []string{"acc-1", "parked", "amount must be a positive integer", "more sequences follow"}, "parked", "list", "balances", "--limit", "1")
		p.wantRun(0, []string{"acc-2"}, "parked", "list", "balances", "--after", fmt.Sprint(bad.Position))
		p.wantRun(0, []string{"nothing waits"}, "parked", "list", "balances", "--state", "retrying")

		var d host.ParkedDetail
		if err := json.Unmarshal([]byte(p.must("parked", "show", "balances", "acc-1", "--json")), &d); err != nil {
			t.Fatal(err)
		}
		if d.Position != bad.Position || d.State != "parked" || d.Kind != "reject" || len(d.Digest) != 64 || d.Waiting != 3 || len(d.Behind) != 2 || d.Behind[1].Type != "Withdrawn" ||
			!strings.Contains(string(d.Event), `"data":{"amount":"12"},"metadata":{"by":"test"}`) || d.Replaced != nil || len(d.Requests) != 0 {
			t.Errorf("the sequence is %+v with %s", d, d.Event)
		}
		p.wantRun(0, []string{bad.ID, `{"amount":"12"}`, "2 events wait behind it", "Withdrawn", "amount must be", d.Digest, "1 attempt", `{"by":"test"}`}, "parked", "show", "balances", "acc-1")
		p.wantRun(1, []string{"no event of key", "did you mean acc-1?"}, "parked", "show", "balances", "acc-l")

		// A retry changes nothing while nothing is mended.
		p.wantRun(0, []string{"is tried again at once"}, "parked", "retry", "balances", "acc-1")
		p.wantRun(0, []string{"2 failed events are tried again"}, "parked", "retry", "balances", "--all")
		finished(t, s, "balances")
		p.wantRun(1, []string{"no event of key"}, "parked", "retry", "balances", "acc-3")

		p.write("bad.json", `{"amount":`)
		p.write("good.json", `{"amount":12}`)
		p.wantRun(2, []string{"is no JSON"}, "parked", "edit", "balances", "acc-1", "--data", "bad.json", "--why", "it was text")
		p.wantRun(2, []string{"--why"}, "parked", "edit", "balances", "acc-1", "--data", "good.json")
		p.wantRun(1, []string{"the failed event of key"}, "parked", "edit", "balances", "acc-1", "--data", "good.json", "--why", "it was text", "--position", fmt.Sprint(bad.Position+1))
		p.wantRun(0, []string{"15 bytes before, 13 bytes from now on", "is done"}, "parked", "edit", "balances", "acc-1", "--data", "good.json", "--why", "it was text", "--who", "ada")
		finished(t, s, "balances")
		if got := balance(t, s, "acc-1"); got != 16 {
			t.Errorf("the balance of acc-1 is %d", got)
		}
		p.wantRun(2, []string{"--why"}, "parked", "skip", "balances", "acc-2")
		p.wantRun(0, []string{"skipped event"}, "parked", "skip", "balances", "acc-2", "--why", "a test event", "--who", "bob")
		finished(t, s, "balances")
		if got := balance(t, s, "acc-2"); got != 3 {
			t.Errorf("the balance of acc-2 is %d", got)
		}
		p.wantRun(0, []string{"nothing waits"}, "parked", "list", "balances")
		p.wantRun(0, []string{"ada", "it was text", "bob", "a test event", "skipped event"}, "parked", "log", "balances")
		if e := read1(t, s, bad); string(e) != `{"amount":"12"}` {
			t.Errorf("the log's event was changed: %s", e)
		}

		// A rebuild has the log as it is and the data that was put in the place of an event's: only the edit lasts.
		p.must("rebuild", "balances")
		p.wantRun(0, []string{"acc-2", "amount must be a positive integer"}, "parked", "list", "balances")
		if got := balance(t, s, "acc-1"); got != 16 {
			t.Errorf("after the rebuild the balance of acc-1 is %d", got)
		}
		h.stop()
	})
}

func read1(t *testing.T, s store.Store, r store.Recorded) []byte {
	t.Helper()
	b, err := s.Read(t.Context(), store.ReadOptions{After: r.Position - 1, UpTo: r.Position, Limit: 1})
	if err != nil || len(b.Events) != 1 {
		t.Fatalf("read event %d: %d events, %v", r.Position, len(b.Events), err)
	}
	return b.Events[0].Data
}

// TestParkedMended parks an event that takes longer than it may. Once the limit is raised, a retry is what it needs.
func TestParkedMended(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		const section = "[plugins.journal.retry]\nattempts = 2\nbackoff = \"1ms..5ms\"\n[plugins.journal.limits]\ntime = "
		s := openStore(t, storeURL)
		bankEvents(t, s, "a", `Sturdy 1`, `Slow 2`, `Sturdy 3`, `Sturdy 4`)
		h := newProject(t, storeURL, "h", plugin{"journal", journalModule(t), section + `"1ms"`}).host()
		h.ready()
		if st := finished(t, s, "journal"); st[0].Parked != 1 || st[0].Waiting != 3 || st[0].FirstFailure.Kind != "budget" {
			t.Fatalf("the plugin is %+v", st[0])
		}
		h.stop()
		p := newProject(t, storeURL, "h", plugin{"journal", journalModule(t), section + `"30s"`})
		h = p.host()
		h.ready()
		if st := finished(t, s, "journal"); st[0].Parked != 1 {
			t.Errorf("nobody has asked, and the plugin is %+v", st[0])
		}
		p.wantRun(0, []string{"is done"}, "parked", "retry", "journal", "a")
		settled(t, s, "journal") // which refuses all that is not in order
		if got := documents(t, s, "journal", "journal")["a"]; got != "4" {
			t.Errorf("the last version is %s", got)
		}
		h.stop()
	})
}

// TestAskWithoutHost asks while no host runs: it is kept, said so, and carried out by the next one. A pause lasts
// until it is ended, through a stop and a kill.
func TestAskWithoutHost(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		p := bankProject(t, storeURL)
		s := openStore(t, storeURL)
		bankEvents(t, s, "acc-1", opened, `Deposited {"amount":0}`, `Deposited {"amount":5}`)
		p.wantRun(1, []string{"was never started", "eshost run"}, "pause", "balances")
		h := p.host()
		h.ready()
		finished(t, s, "balances")
		h.stop()
		p.wantRun(0, []string{"is pending", "no host runs plugin"}, "parked", "skip", "balances", "acc-1", "--why", "a test event")
		p.wantRun(0, []string{`"state":"pending"`}, "pause", "balances", "--why", "a look", "--who", "ada", "--json")
		p.wantRun(1, []string{"none took it over within 100ms", "stays asked", "eshost parked log balances"}, "parked", "retry", "balances", "--all", "--wait", "100ms")
		if got := p.must("parked", "log", "balances"); strings.Count(got, "pending") != 3 {
			t.Errorf("the log is\n%s", got)
		}

		h = p.host()
		h.ready()
		eventually(t, "all is answered", func() error {
			left, err := s.PendingRequests(t.Context())
			if err == nil && len(left) > 0 {
				err = fmt.Errorf("%+v", left)
			}
			return err
		})
		bankEvents(t, s, "acc-1", `Deposited {"amount":7}`)
		paused := func() {
			t.Helper()
			p.wantRun(0, []string{"balances is paused: paused by ada: a look; let it go on with: eshost resume balances"}, "status")
		}
		paused()
		before, err := s.Plugins(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		h.kill()
		h = p.host()
		h.ready()
		eventually(t, "the next host has it", func() error {
			st, err := s.Plugins(t.Context())
			if err == nil && (st[0].Owner == nil || st[0].Owner.ID == before[0].Owner.ID || st[0].Condition.State != store.Paused) {
				err = fmt.Errorf("the plugin is %+v", st[0])
			}
			return err
		})
		paused()
		p.wantRun(1, []string{"is paused", "eshost resume balances"}, "wait", "balances", "--position", "head", "--timeout", "1m")
		if got := balance(t, s, "acc-1"); got != 0 {
			t.Errorf("the balance is %d in a pause", got)
		}
		p.wantRun(0, []string{"goes on from position"}, "resume", "balances")
		settled(t, s, "balances")
		if got := balance(t, s, "acc-1"); got != 12 {
			t.Errorf("the balance is %d", got)
		}
		h.stop()
	})
}

// TestParkedWhileKilled skips and edits event after event of many accounts while hosts are killed in between:
// every request is carried out once, and no event twice.
func TestParkedWhileKilled(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		rng := newRand(newSeed(t), 4100)
		p := bankProject(t, storeURL)
		s := openStore(t, storeURL)
		want := make(map[string]int64)
		const accounts = 12
		for i := range accounts {
			account := fmt.Sprint("acc-", i)
			lines := []string{opened}
			for range 6 {
				amount := int64(1 + rng.IntN(100))
				if rng.IntN(2) == 0 {
					lines = append(lines, fmt.Sprintf(`Deposited {"amount":%d}`, amount))
					want[account] += amount
				} else {
					lines = append(lines, fmt.Sprintf(`Deposited {"amount":"%d"}`, amount))
				}
			}
			bankEvents(t, s, account, lines...)
		}
		h := p.host()
		h.ready()
		asked := make(map[string]bool) // by key and position
		for deadline := time.Now().Add(patience); ; {
			g, err := s.FindPlugin(t.Context(), "balances")
			if err != nil {
				continue // not started yet
			}
			list, err := s.ListSequences(t.Context(), g.ID, store.SequenceOptions{State: store.Parked, Limit: 100})
			if err != nil {
				t.Fatal(err)
			}
			pending, err := s.PendingRequests(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			st, err := s.Plugins(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(st) == 1 && st[0].Position >= accounts*7 && st[0].Waiting == 0 && len(pending) == 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("the plugin is %+v, pending are %+v", st, pending)
			}
			for i := range list {
				q := &list[i]
				name := fmt.Sprint(q.Key, q.Position)
				if asked[name] {
					continue
				}
				asked[name] = true
				req := store.Request{Plugin: "balances", Action: store.AskSkip, Key: q.Key, Position: q.Position, Who: "ada", Why: "because"}
				if rng.IntN(2) == 0 {
					amount := int64(1 + rng.IntN(100))
					req.Action, req.Data = store.AskEdit, fmt.Appendf(nil, `{"amount":%d}`, amount)
					want[q.Key] += amount
				}
				if _, err := host.Ask(t.Context(), s, req); err != nil {
					t.Fatal(err)
				}
				for range rng.IntN(3) { // once more: it finds another event, or none
					if _, err := s.Ask(t.Context(), req); err != nil {
						t.Fatal(err)
					}
				}
			}
			if rng.IntN(40) == 0 {
				h.kill()
				h = p.host()
			}
			pause(t.Context(), upTo(rng, 100*time.Millisecond))
		}
		for account, amount := range want {
			if got := balance(t, s, account); got != amount {
				t.Errorf("the balance of %s is %d, want %d", account, got, amount)
			}
		}
		list, err := s.RequestLog(t.Context(), "balances", 10_000)
		if err != nil {
			t.Fatal(err)
		}
		edited, skipped := make(map[string]int), make(map[string]int)
		for _, r := range list {
			name := fmt.Sprint(r.Key, r.Position)
			switch {
			case r.State == store.Done && r.Action == store.AskSkip:
				skipped[name]++
			case r.State == store.Done:
				edited[name]++ // twice, if both were asked before it was tried again
			}
		}
		for name := range asked {
			if n := skipped[name]; n > 1 || n+edited[name] == 0 || n > 0 && edited[name] > 0 {
				t.Errorf("%s was skipped %d times and edited %d times", name, n, edited[name])
			}
		}
		t.Logf("%d events, %d requests", len(asked), len(list))
		h.ready()
		h.stop()
	})
}
