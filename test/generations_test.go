package test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite"

	"eshost/host"
	"eshost/host/event"
	"eshost/host/store"
)

const bankTypes = `events = ["AccountOpened", "Deposited", "Withdrawn"]`

// louder is another version of the module balances: its documents say "BALANCE" where the first one's say "balance".
func louder(t *testing.T) []byte {
	t.Helper()
	wasm := read(t, balancesModule(t, "assemblyscript"))
	other := bytes.ReplaceAll(wasm, wide("balance"), wide("BALANCE"))
	other = bytes.ReplaceAll(other, wide("BALANCEs"), wide("balances")) // the collection's name
	if bytes.Equal(wasm, other) {
		t.Fatal("the module has no such text in it")
	}
	return other
}

// wide is a text as AssemblyScript has it in memory.
func wide(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return b
}

// loud is a model's documents as louder makes them.
func loud(documents map[string]string) map[string]string {
	all := make(map[string]string, len(documents))
	for key, d := range documents {
		all[key] = strings.ReplaceAll(d, `"balance"`, `"BALANCE"`)
	}
	return all
}

// viewer reads a plugin's documents through the SQL view, as people's own tools do.
type viewer struct {
	stop context.CancelFunc
	done chan struct{}

	mu    sync.Mutex
	looks int
	kinds []string // of the documents in the view, each time they changed: balance or BALANCE
	wrong error
}

// view polls read_models until it is stopped, and holds every look to documents of one kind only.
func view(t *testing.T, storeURL string) *viewer {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	v := &viewer{stop: cancel, done: make(chan struct{})}
	look := viewOf(t, storeURL)
	go func() {
		defer close(v.done)
		for ctx.Err() == nil {
			quiet, loud, err := look(ctx)
			if v.saw(ctx, quiet, loud, err); err != nil {
				return
			}
			pause(ctx, time.Millisecond)
		}
	}()
	t.Cleanup(func() { cancel(); <-v.done })
	return v
}

func viewOf(t *testing.T, storeURL string) func(ctx context.Context) (quiet, loud int, err error) {
	t.Helper()
	const query = `SELECT coalesce(sum(CASE WHEN %[1]s THEN 1 ELSE 0 END), 0), coalesce(sum(CASE WHEN %[2]s THEN 1 ELSE 0 END), 0) FROM %[3]sread_models WHERE plugin = 'balances'`
	if path, ok := strings.CutPrefix(storeURL, "sqlite:"); ok {
		db, err := sql.Open("sqlite", "file:"+path+"?mode=ro&_pragma=busy_timeout(20000)")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		text := fmt.Sprintf(query, `instr(data, '"balance"') > 0`, `instr(data, '"BALANCE"') > 0`, "")
		return func(ctx context.Context) (quiet, loud int, err error) {
			err = db.QueryRowContext(ctx, text).Scan(&quiet, &loud)
			return quiet, loud, err
		}
	}
	conn, err := pgx.Connect(t.Context(), storeURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	text := fmt.Sprintf(query, `position('"balance"' IN data::text) > 0`, `position('"BALANCE"' IN data::text) > 0`, "eshost.")
	return func(ctx context.Context) (quiet, loud int, err error) {
		err = conn.QueryRow(ctx, text).Scan(&quiet, &loud)
		return quiet, loud, err
	}
}

func (v *viewer) saw(ctx context.Context, quiet, loud int, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.looks++
	kind := "balance"
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		v.wrong = err
		return
	case quiet > 0 && loud > 0:
		v.wrong = fmt.Errorf("a look saw %d documents of one generation and %d of the other", quiet, loud)
	case quiet+loud == 0 && len(v.kinds) > 0:
		v.wrong = errors.New("a look saw no documents, after there had been some")
	case quiet+loud == 0:
		return
	case loud > 0:
		kind = "BALANCE"
	}
	if len(v.kinds) == 0 || v.kinds[len(v.kinds)-1] != kind {
		v.kinds = append(v.kinds, kind)
	}
}

// end waits for a last look and returns which kinds of documents were there, one after the other.
func (v *viewer) end(t *testing.T) string {
	t.Helper()
	looks := func() int {
		v.mu.Lock()
		defer v.mu.Unlock()
		return v.looks
	}
	for before := looks(); ; {
		select {
		case <-v.done: // it has failed
		case <-time.After(10 * time.Millisecond):
			if looks() < before+2 { // the next one may have begun before
				continue
			}
		}
		break
	}
	v.stop()
	<-v.done
	if v.wrong != nil {
		t.Error(v.wrong)
	}
	t.Logf("%d looks at the view saw %v", v.looks, v.kinds)
	return strings.Join(v.kinds, " ")
}

// generations are a plugin's, the oldest first, such as "1 retired, 2 live".
func generations(t *testing.T, s store.Store, plugin string) string {
	t.Helper()
	all, err := s.Generations(t.Context(), plugin)
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, g := range all {
		text = fmt.Sprintf("%d %s, ", g.Number, g.State) + text
	}
	return strings.TrimSuffix(text, ", ")
}

func awaitGenerations(t *testing.T, s store.Store, plugin, want string) {
	t.Helper()
	eventually(t, "the generations are "+want, func() error {
		if now := generations(t, s, plugin); now != want {
			return fmt.Errorf("they are %s", now)
		}
		return nil
	})
}

// TestRebuild builds a read model anew while events come in, with the same module and with another one, goes back and
// forward again, and drops what is kept. Readers see one generation or the other and never both.
func TestRebuild(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		p := newProject(t, storeURL, "h", plugin{"balances", balancesModule(t, "assemblyscript"), bankTypes})
		p.put("louder.wasm", louder(t))
		s := openStore(t, storeURL)
		stopFeed := feed(t, s, newSource("", newSeed(t)))
		h := p.host()
		h.ready()
		eventually(t, "there are events", func() error {
			if headOf(t, s) < 200 {
				return errors.New("too few")
			}
			return nil
		})
		v := view(t, storeURL)

		out := p.must("rebuild", "balances")
		if !strings.Contains(out, "balances: generation 2 is live, at position ") {
			t.Errorf("rebuild says %q", out)
		}
		awaitGenerations(t, s, "balances", "1 retired, 2 live")

		var report struct {
			Plugin     string
			Generation int
			State      string
			Checkpoint event.Position
		}
		if err := json.Unmarshal([]byte(p.must("rebuild", "balances", "--module", "louder.wasm", "--why", "louder", "--json")), &report); err != nil {
			t.Fatal(err)
		}
		if report.Plugin != "balances" || report.Generation != 3 || report.State != "live" || report.Checkpoint == 0 {
			t.Errorf("rebuild --json says %+v", report)
		}
		if out := p.must("status"); !strings.Contains(out, "balances keeps generation 2, retired since") {
			t.Errorf("status says\n%s", out)
		}
		p.must("rebuild", "balances", "--rollback")
		awaitGenerations(t, s, "balances", "1 retired, 2 live, 3 retired")
		h.kill() // what was gone back to is what is gone on with
		h = p.host()
		h.ready()
		out = p.must("rebuild", "balances", "--rollback", "--wait", "60s")
		if !strings.Contains(out, "generation 3 is live again, from position ") {
			t.Errorf("rebuild --rollback says %q", out)
		}
		stopFeed()
		settled(t, s, "balances")
		m := modelOf(t, s)
		compareDocuments(t, "after going forward", documents(t, s, "balances", "balances"), loud(m.balances))

		p.must("rebuild", "balances", "--rollback", "--generation", "1")
		settled(t, s, "balances")
		compareDocuments(t, "after going back", documents(t, s, "balances", "balances"), m.balances)
		if seen := v.end(t); seen != "balance BALANCE balance BALANCE balance" {
			t.Errorf("the view had %s", seen)
		}
		p.must("rebuild", "balances", "--drop-old")
		awaitGenerations(t, s, "balances", "1 live")
		if code, _, errs := p.run("", "rebuild", "balances", "--rollback"); code != exitFailed || !strings.Contains(errs, "no retired generation to go back to") {
			t.Errorf("rollback to nothing: exit code %d, %s", code, errs)
		}
		h.stop()
		t.Logf("%d events", m.events)
	})
}

// slowly is a section that takes its time with each event, so that a build can be looked at.
const slowly = bankTypes + "\nbatch = 5\nlanes = 1"

// TestCrashWhileRebuilding kills the host again and again while it builds: the build goes on, readers have the old
// generation until it is done, and the result is what it must be.
func TestCrashWhileRebuilding(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		seed := newSeed(t)
		rng := newRand(seed, 9000)
		p := newProject(t, storeURL, "h", plugin{"balances", balancesModule(t, "assemblyscript"), slowly})
		p.put("louder.wasm", louder(t))
		s := openStore(t, storeURL)
		stopFeed := feed(t, s, newSource("", seed))
		h := p.host()
		h.ready()
		appendBank(t, s, seed, 3000)
		settledNow(t, s, "balances")
		v := view(t, storeURL)
		if out := p.must("rebuild", "balances", "--module", "louder.wasm", "--detach"); !strings.Contains(out, "generation 2 is being built") && !strings.Contains(out, "generation 2 is live") {
			t.Errorf("rebuild --detach says %q", out)
		}
		inTheMiddle := 0
		for range 3 {
			pause(t.Context(), upTo(rng, 300*time.Millisecond))
			h.kill()
			if strings.Contains(generations(t, s, "balances"), "building") {
				inTheMiddle++
			}
			h = p.host()
			h.ready()
		}
		stopFeed()
		awaitGenerations(t, s, "balances", "1 retired, 2 live")
		settled(t, s, "balances")
		m := modelOf(t, s)
		compareDocuments(t, "balances", documents(t, s, "balances", "balances"), loud(m.balances))
		if seen := v.end(t); seen != "balance BALANCE" {
			t.Errorf("the view had %s", seen)
		}
		h.stop()
		t.Logf("%d of 3 kills came while it was built", inTheMiddle)
	})
}

// appendBank appends many events at once.
func appendBank(t *testing.T, s store.Store, seed uint64, n int) {
	t.Helper()
	src := newSource("more-", seed)
	for n > 0 {
		var req store.AppendRequest
		for range min(n, 500) {
			req.Streams = append(req.Streams, src.next())
		}
		n -= len(req.Streams)
		if err := s.Append(t.Context(), []store.AppendRequest{req})[0].Err; err != nil {
			t.Fatal(err)
		}
	}
}

// settledNow waits until a plugin has handled what there is now, whatever comes meanwhile.
func settledNow(t *testing.T, s store.Store, plugin string) {
	t.Helper()
	head := headOf(t, s)
	eventually(t, "the plugin handles what there is", func() error {
		g, err := s.FindPlugin(t.Context(), plugin)
		if err == nil && g.Position < head {
			err = fmt.Errorf("it is at %d of %d", g.Position, head)
		}
		return err
	})
}

// TestChangeRebuilds has on_change = "rebuild": a new module builds the read model anew, put in place while the host runs
// and while it does not; the module before goes on with the old one until then. keep_old ends what is kept.
func TestChangeRebuilds(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		p := newProject(t, storeURL, "h", plugin{"balances", "module.wasm", bankTypes + "\non_change = \"rebuild\"\nkeep_old = \"1ms\""})
		first, second := read(t, balancesModule(t, "assemblyscript")), louder(t)
		p.put("module.wasm", first)
		s := openStore(t, storeURL)
		stopFeed := feed(t, s, newSource("", newSeed(t)))
		h := p.host()
		h.ready()
		settledNow(t, s, "balances")
		appendBank(t, s, 1, 500)
		v := view(t, storeURL)
		p.put("module.wasm", second)
		awaitGenerations(t, s, "balances", "2 live") // the first one is kept for no time
		h.stop()
		p.put("module.wasm", first)
		h = p.host()
		h.ready()
		awaitGenerations(t, s, "balances", "3 live")
		stopFeed()
		settled(t, s, "balances")
		compareDocuments(t, "balances", documents(t, s, "balances", "balances"), modelOf(t, s).balances)
		if seen := v.end(t); seen != "balance BALANCE balance" {
			t.Errorf("the view had %s", seen)
		}
		h.stop()
	})
}

// TestRollbackOfPinned changes a pinned module and its pin, which rebuilds the read model, and goes back: the pin is for
// the module in the file, not for the one that made the earlier read model. It is gone on with after a restart.
func TestRollbackOfPinned(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		first, second := read(t, balancesModule(t, "assemblyscript")), louder(t)
		pin := func(wasm []byte) string { return fmt.Sprintf("sha256 = %q", digest(wasm)) }
		p := newProject(t, storeURL, "h", plugin{"balances", "module.wasm", bankTypes + "\non_change = \"rebuild\"\n" + pin(first)})
		p.put("module.wasm", first)
		s := openStore(t, storeURL)
		appendBank(t, s, 1, 500)
		h := p.host()
		h.ready()
		settledNow(t, s, "balances")
		m := modelOf(t, s)
		running := func(wasm []byte) {
			t.Helper()
			awaitStatus(t, h.ready(), "the module runs", func(st host.Status) error {
				if len(st.Plugins) != 1 || st.Plugins[0].Digest != digest(wasm) {
					return fmt.Errorf("not %s: %+v", digest(wasm), st.Plugins)
				}
				return nil
			})
		}

		toml := string(read(t, filepath.Join(p.dir, "hosts.toml")))
		p.put("module.wasm", second)
		p.put("hosts.toml", []byte(strings.Replace(toml, pin(first), pin(second), 1)))
		awaitGenerations(t, s, "balances", "1 retired, 2 live")
		running(second)
		compareDocuments(t, "rebuilt", documents(t, s, "balances", "balances"), loud(m.balances))

		p.must("rebuild", "balances", "--rollback")
		awaitGenerations(t, s, "balances", "1 live, 2 retired")
		running(first)
		h.stop()
		h = p.host()
		h.ready()
		running(first)
		settledNow(t, s, "balances")
		compareDocuments(t, "gone back", documents(t, s, "balances", "balances"), m.balances)

		p.must("rebuild", "balances", "--rollback") // forward again
		running(second)
		compareDocuments(t, "gone forward", documents(t, s, "balances", "balances"), loud(m.balances))
		h.stop()
	})
}

// TestRebuildEmitsOnce rebuilds a plugin that emits events, goes back and forward, while it gets more to do: each of its
// events is there once.
func TestRebuildEmitsOnce(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		p := newProject(t, storeURL, "h", relay(t, "relay", "Asked", "Answered", "batch = 7"))
		s := openStore(t, storeURL)
		asked := 0
		ask := func(n int) {
			for range n {
				asked++
				a := oneEvent(fmt.Sprint("question-", asked), "Asked", []byte("{}"))
				if err := s.Append(t.Context(), []store.AppendRequest{{Streams: []store.StreamAppend{a}}})[0].Err; err != nil {
					t.Fatal(err)
				}
			}
		}
		ask(100)
		h := p.host()
		h.ready()
		for _, args := range [][]string{{}, {"--rollback"}, {}, {"--rollback"}, {"--rollback"}, {"--drop-old"}, {}} {
			ask(20)
			p.must(append([]string{"rebuild", "relay", "--wait", "60s"}, args...)...)
			ask(20)
		}
		settledChain(t, s, "relay")
		h.stop()
		answers := map[string]int{}
		for _, e := range wholeLog(t, s) {
			if e.Type == "Answered" {
				answers[e.Stream]++
			}
		}
		for stream, n := range answers {
			if n != 1 {
				t.Errorf("%s has %d answers", stream, n)
			}
		}
		if len(answers) != asked {
			t.Errorf("%d of %d questions are answered", len(answers), asked)
		}
	})
}

// TestRebuildIsRefused asks for what cannot be done.
func TestRebuildIsRefused(t *testing.T) {
	t.Parallel()
	module := balancesModule(t, "assemblyscript")
	p := newProject(t, newDatabase(t, "sqlite"), "h", plugin{"balances", module, bankTypes + fmt.Sprintf("\nsha256 = %q", digest(read(t, module)))})
	p.put("louder.wasm", louder(t))
	p.put("broken.wasm", []byte("no module"))
	h := p.host()
	h.ready()
	eventually(t, "the plugin has started", func() error {
		if code, _, errs := p.run("", "read", "balances", "balances"); code != 0 {
			return errors.New(errs)
		}
		return nil
	})
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{exitFailed, "change the pin to sha256 = ", []string{"balances", "--module", "louder.wasm"}},
		{exitInput, "broken.wasm", []string{"balances", "--module", "broken.wasm"}},
		{exitMissing, "missing.wasm", []string{"balances", "--module", "missing.wasm"}},
		{exitInput, "no plugin", []string{"nobody"}},
		{exitFailed, "no retired generation 7", []string{"balances", "--rollback", "--generation", "7"}},
		{exitFailed, "no retired generation to drop", []string{"balances", "--drop-old"}},
		{exitFailed, "the live one cannot be dropped", []string{"balances", "--drop-old", "--generation", "1"}},
		{exitInput, "do not go together", []string{"balances", "--drop-old", "--rollback"}},
	} {
		code, _, errs := p.run("", append([]string{"rebuild"}, c.args...)...)
		if code != c.code || !strings.Contains(errs, c.want) {
			t.Errorf("rebuild %v: exit code %d, %s", c.args, code, errs)
		}
	}
	h.stop()
	if code, _, errs := p.run("", "rebuild", "balances", "--wait", "10ms"); code != exitFailed || !strings.Contains(errs, "no host runs plugin") {
		t.Errorf("rebuild without a host: exit code %d, %s", code, errs)
	}
}
