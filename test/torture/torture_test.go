package torture

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// outcome is what became of one run.
type outcome struct {
	o         options
	dir       string // where the run's files are, if it found anything
	drawn     map[string]int
	events    int
	handOvers int
	sights    int // of a read model in Redis, each other than the one before
	took      time.Duration
	found     verdict
}

// torture makes one run.
func torture(t *testing.T, o options) outcome {
	t.Helper()
	out := outcome{o: o}
	began := time.Now()
	w, err := newWorld(t, o)
	if err != nil {
		t.Fatalf("seed %d on %s: build the world: %v", o.seed, o.store, err)
	}
	defer w.close()
	plan := draw(w.rand(1), kindsOf(o.store, w.has()...), o.lasts)
	out.drawn = map[string]int{}
	for _, f := range plan {
		out.drawn[f.kind]++
	}
	stop, blind := w.write(), w.watchRedis()
	w.happen(t.Context(), plan)
	w.note("every fault is over")
	if err := w.heal(t.Context()); err != nil {
		t.Errorf("heal: %v", err)
	}
	stop()
	w.note("the writers have stopped")
	if err := w.settle(t.Context()); err != nil {
		w.find(stuck, "%s after the last fault: %v", w.o.patience, err)
	} else {
		w.note("settled")
		w.forget(t.Context())
	}
	blind()
	r, err := w.read(t.Context())
	if err != nil {
		w.find(stuck, "read what is left behind: %v", err)
	} else {
		for k, examples := range r.check() {
			for _, example := range examples {
				w.find(k, "%s", example)
			}
		}
		out.events, out.handOvers, out.sights = len(r.log), handOvers(r), sights(r)
	}
	for _, n := range w.nodes {
		n.stop(w.o.patience)
	}
	out.found, out.dir, out.took = w.found, w.dir, time.Since(began)
	return out
}

// forget flushes Redis while nothing happens any more, and waits until what was lost is there again.
func (w *world) forget(ctx context.Context) {
	if err := flushRedis(ctx, w, fault{}); err != nil {
		w.find(stuck, "flush Redis: %v", err)
		return
	}
	w.note("Redis is flushed at rest")
	if err := w.settle(ctx); err != nil {
		w.find(stuck, "%s after Redis was flushed: %v", w.o.patience, err)
		return
	}
	w.note("settled again")
}

// handOvers counts how often a plugin got another owner.
func handOvers(r *record) int {
	n := 0
	last := map[int64]string{}
	for _, s := range r.leases {
		if s.owner != "" && s.owner != last[s.generation] {
			if last[s.generation] != "" {
				n++
			}
			last[s.generation] = s.owner
		}
	}
	return n
}

// sights counts how often a reader saw a read model in Redis that it had not seen so yet.
func sights(r *record) int {
	n := 0
	for i := range r.plugins {
		for _, s := range r.plugins[i].seen {
			if len(s.meta) > 0 {
				n++
			}
		}
	}
	return n
}

// TestTorture makes as many runs as ESHOST_TORTURE_SEEDS says on each store, from ESHOST_SEED on; each draws
// faults for as long as ESHOST_TORTURE_TIME says. With ESHOST_TORTURE_CLOCK the hosts' clocks jump too.
func TestTorture(t *testing.T) {
	t.Parallel()
	first := setting(t, "ESHOST_SEED", uint64(time.Now().UnixNano()%1_000_000))
	seeds := setting(t, "ESHOST_TORTURE_SEEDS", 1)
	lasts := duration(t, "ESHOST_TORTURE_TIME", 12*time.Second)
	binary, clocks, clock := eshost(t), os.Getenv("ESHOST_TORTURE_CLOCK") != "", ""
	if clocks {
		binary, clock = clocked(t), " ESHOST_TORTURE_CLOCK=1"
	}
	for _, store := range []string{"postgres", "sqlite"} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			var runs []outcome
			for seed := first; seed < first+seeds; seed++ {
				out := torture(t, options{seed: seed, store: store, binary: binary, reference: eshost(t), clocks: clocks, lasts: lasts, keep: os.Getenv("ESHOST_TORTURE_KEEP")})
				runs = append(runs, out)
				if !out.found.flawless() {
					t.Errorf("seed %d found:\n%srun it again with: ESHOST_SEED=%d ESHOST_TORTURE_TIME=%s%s go test ./test/torture -run 'TestTorture/%s' -v\nits files are in %s",
						seed, out.found, seed, lasts, clock, store, out.dir)
				}
				t.Logf("seed %d: %d events, %d hand-overs, %d sights of Redis, %d faults in %s; found: %s", seed, out.events, out.handOvers, out.sights, sum(out.drawn), out.took.Round(time.Second), out.found)
			}
			t.Logf("%s\n%s", store, table(runs))
		})
	}
}

func sum(m map[string]int) int {
	n := 0
	for _, v := range m {
		n += v
	}
	return n
}

// table sums runs up.
func table(runs []outcome) string {
	drawn, found := map[string]int{}, map[kind]int{}
	var events, handOvers, sights, faulty int
	for _, r := range runs {
		for k, n := range r.drawn {
			drawn[k] += n
		}
		for k, examples := range r.found {
			found[k] += len(examples)
		}
		if !r.found.flawless() {
			faulty++
		}
		events += r.events
		handOvers += r.handOvers
		sights += r.sights
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| seeds | faults | events | hand-overs | sights of Redis | seeds that found something |\n| ---: | ---: | ---: | ---: | ---: | ---: |\n| %d | %d | %d | %d | %d | %d |\n\n",
		len(runs), sum(drawn), events, handOvers, sights, faulty)
	b.WriteString("| fault | drawn |\n| --- | ---: |\n")
	for _, k := range slices.Sorted(maps.Keys(drawn)) {
		fmt.Fprintf(&b, "| %s | %d |\n", k, drawn[k])
	}
	b.WriteString("\n| found | times |\n| --- | ---: |\n")
	for _, k := range allKindsFound {
		fmt.Fprintf(&b, "| %s | %d |\n", k, found[k])
	}
	return b.String()
}
