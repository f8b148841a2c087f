package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"eshost/host"
	"eshost/host/event"
	"eshost/host/store"
)

// TestRebuildWaitsForParked rebuilds a plugin that emits while some of its events are parked: nobody would emit what they
// come to if the new generation took over, so it waits, and everybody is told why, until they are retried.
func TestRebuildWaitsForParked(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		const section = "events = [\"Asked\"]\nallow = [\"emit\"]\nretry.attempts = 1\n"
		p := newProject(t, storeURL, "h", plugin{"relay", relayModule(t), section}) // without its type every event is rejected
		s := openStore(t, storeURL)
		const questions = 10
		for i := range questions {
			a := oneEvent(fmt.Sprint("question-", i), "Asked", []byte("{}"))
			if err := s.Append(t.Context(), []store.AppendRequest{{Streams: []store.StreamAppend{a}}})[0].Err; err != nil {
				t.Fatal(err)
			}
		}
		h := p.host()
		h.ready()
		finished(t, s, "relay")
		rebuild := p.start(nil, "rebuild", "relay")
		const why = "10 events wait behind failed ones in the live generation, and the plugin emits events: retry or skip them first"
		eventually(t, "rebuild says why it waits", func() error {
			if !strings.Contains(rebuild.stderr.String(), why) {
				return errors.New(rebuild.stderr.String())
			}
			return nil
		})
		if out := p.must("status"); !strings.Contains(out, "relay is rebuilt: generation 2 is at ") || !strings.Contains(out, why) {
			t.Errorf("status says\n%s", out)
		}
		rebuild.signal(syscall.SIGINT)
		if code := rebuild.wait(); code != 130 || !strings.Contains(rebuild.stderr.String(), "the host goes on building generation 2") {
			t.Errorf("an interrupted rebuild: exit code %d, %s", code, rebuild.stderr.String())
		}
		if code, _, errs := p.run("", "rebuild", "relay"); code != exitFailed || !strings.Contains(errs, "generation 2 is being built already") {
			t.Errorf("a second rebuild: exit code %d, %s", code, errs)
		}
		awaitGenerations(t, s, "relay", "1 live, 2 building")

		before := string(read(t, filepath.Join(p.dir, "hosts.toml")))
		p.put("hosts.toml", []byte(before+"[plugins.relay.config]\ntype = \"Answered\"\n"))
		p.must("reload")
		p.must("parked", "retry", "relay", "--all", "--wait", "60s")
		awaitGenerations(t, s, "relay", "1 retired, 2 live")
		eventually(t, "what is parked in the new generation is retried", func() error {
			p.run("", "parked", "retry", "relay", "--all")
			all, err := s.Plugins(t.Context())
			if err == nil && all[0].Waiting > 0 {
				err = fmt.Errorf("%d events wait", all[0].Waiting)
			}
			return err
		})
		settledChain(t, s, "relay")
		answers := 0
		for _, e := range wholeLog(t, s) {
			if e.Type == "Answered" {
				answers++
			}
		}
		if answers != questions {
			t.Errorf("%d answers to %d questions", answers, questions)
		}
		h.stop()
	})
}

// TestRebuildWithTwoHosts rebuilds while a second host waits for the plugin: that one never touches the generation that
// was live before, and goes on with the new one.
func TestRebuildWithTwoHosts(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		section := plugin{"balances", balancesModule(t, "assemblyscript"), bankTypes}
		p := newProject(t, storeURL, "first", section)
		p.put("louder.wasm", louder(t))
		s := openStore(t, storeURL)
		stopFeed := feed(t, s, newSource("", newSeed(t)))
		first := p.host()
		first.ready()
		awaitShares(t, s, map[string]int{"first": 1})
		second := newProject(t, storeURL, "second", section).host()
		listener := second.ready()
		eventually(t, "the second one waits", func() error { return saysOf(listener, "first") })
		p.must("rebuild", "balances", "--module", "louder.wasm")
		old, err := s.Generations(t.Context(), "balances")
		if err != nil || len(old) != 2 {
			t.Fatalf("%d generations, %v", len(old), err)
		}
		first.stop()
		awaitShares(t, s, map[string]int{"second": 1})
		stopFeed()
		settled(t, s, "balances")
		compareDocuments(t, "balances", documents(t, s, "balances", "balances"), loud(modelOf(t, s).balances))
		all, err := s.Generations(t.Context(), "balances")
		if err != nil || len(all) != 2 || all[1].Position != old[1].Position || all[1].Owner != nil {
			t.Errorf("the generations are %+v, %v", all, err)
		}
		second.stop()
	})
}

// TestDiffAndProject compares modules over a log that a host has handled, and looks back: what project says of now is what
// the host has made, and each difference is one that a rebuild would make.
func TestDiffAndProject(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		p := newProject(t, storeURL, "h", plugin{"balances", balancesModule(t, "assemblyscript"), bankTypes})
		p.put("louder.wasm", louder(t))
		s := openStore(t, storeURL)
		appendBank(t, s, newSeed(t), 2000)
		h := p.host()
		h.ready()
		settled(t, s, "balances")
		made := documents(t, s, "balances", "balances")

		if out := p.must("diff", "balances", "--module", balancesModule(t, "rust")); !strings.Contains(out, fmt.Sprintf("0 documents differ, %d the same", len(made))) {
			t.Errorf("the same in another language: %s", out)
		}
		code, out, errs := p.run("", "diff", "balances", "--module", "louder.wasm", "--json")
		var diff struct {
			Same      int
			Documents []struct {
				Change, Key   string
				Before, After json.RawMessage
				Since         struct {
					Position event.Position
					Stream   string
				}
			}
		}
		if err := json.Unmarshal([]byte(out), &diff); err != nil || code != exitFailed {
			t.Fatalf("diff: exit code %d, %v, %s", code, err, errs)
		}
		before, after := map[string]string{}, map[string]string{}
		for _, d := range diff.Documents {
			before[d.Key], after[d.Key] = string(d.Before), string(d.After)
			if d.Change != "changed" || d.Since.Stream != d.Key || d.Since.Position == 0 {
				t.Errorf("%+v", d)
			}
		}
		compareDocuments(t, "before", before, made)
		compareDocuments(t, "after", after, loud(made))

		// As it was in the middle: the model of the events until then.
		middle := headOf(t, s) / 2
		for at, want := range map[event.Position]map[string]string{headOf(t, s): made, middle: nil} {
			got := map[string]string{}
			for line := range strings.Lines(p.must("project", "--plugin", "balances", "--until", fmt.Sprint(at), "balances")) {
				var d struct {
					Key  string
					Data json.RawMessage
				}
				if err := json.Unmarshal([]byte(line), &d); err != nil {
					t.Fatal(err)
				}
				got[d.Key] = string(d.Data)
			}
			if want == nil {
				if len(got) == 0 || len(got) >= len(made) && fmt.Sprint(got) == fmt.Sprint(made) {
					t.Errorf("%d documents at %d", len(got), at)
				}
				continue
			}
			compareDocuments(t, fmt.Sprint("at ", at), got, want)
		}
		if now := generations(t, s, "balances"); now != "1 live" {
			t.Errorf("the generations are %s", now)
		}
		h.stop()
	})
}

// TestRebuildBesideEdits has a plugin paused and an event edited while it is rebuilt, in a host inside the test: the pause
// stays and does not stop the build for good, and the edit counts in the new generation.
func TestRebuildBesideEdits(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		p := newProject(t, storeURL, "h", plugin{"balances", balancesModule(t, "assemblyscript"), bankTypes + "\nretry.attempts = 1"})
		p.put("louder.wasm", louder(t))
		p.write("mended.json", `{"amount":5}`)
		s := openStore(t, storeURL)
		appendBank(t, s, newSeed(t), 500)
		wrong := oneEvent("acc-wrong", "Deposited", []byte(`{"amount":"five"}`))
		if err := s.Append(t.Context(), []store.AppendRequest{{Streams: []store.StreamAppend{wrong}}})[0].Err; err != nil {
			t.Fatal(err)
		}
		stop := runHost(t, p.config(), host.Options{})
		finished(t, s, "balances")
		p.must("pause", "balances", "--why", "to look at it", "--wait", "60s")
		p.must("rebuild", "balances", "--module", "louder.wasm", "--wait", "60s")
		if all, err := s.Plugins(t.Context()); err != nil || all[0].Number != 2 || all[0].Pause == nil || all[0].Parked != 1 {
			t.Errorf("after the rebuild of a paused plugin: %+v, %v", all, err)
		}
		p.must("resume", "balances", "--wait", "60s")
		p.must("parked", "edit", "balances", "acc-wrong", "--data", "mended.json", "--why", "the amount was text", "--wait", "60s")
		p.must("rebuild", "balances", "--module", balancesModule(t, "assemblyscript"), "--wait", "60s")
		settled(t, s, "balances")
		if got := documents(t, s, "balances", "balances")["acc-wrong"]; !strings.Contains(got, `"balance":5,`) {
			t.Errorf("the edited event made %s", got)
		}
		p.must("rebuild", "balances", "--rollback", "--wait", "60s")
		settled(t, s, "balances")
		if got := documents(t, s, "balances", "balances")["acc-wrong"]; !strings.Contains(got, `"BALANCE":5,`) {
			t.Errorf("gone back to, the edited event made %s", got)
		}
		stop()
	})
}
