package delivery

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "run only this seed of the random test")
	seedsFlag = flag.Int("seeds", 100, "how many seeds the random test runs")
)

// TestRandom lets runners with random options live and die on a store where anything may fail, and
// holds every commit they make to the model.
func TestRandom(t *testing.T) {
	if *seedFlag != 0 {
		runSeed(t, *seedFlag)
		return
	}
	for seed := range uint64(*seedsFlag) {
		t.Run(fmt.Sprintf("seed=%d", seed+1), func(t *testing.T) { t.Parallel(); runSeed(t, seed+1) })
	}
}

func runSeed(t *testing.T, seed uint64) {
	synctest.Test(t, func(t *testing.T) {
		sc := newScenario(t, seed)
		sc.run()
		sc.verify()
		if t.Failed() {
			t.Logf("again: go test -run TestRandom ./host/internal/delivery -args -seed=%d", seed)
		}
	})
}

// scenario is one seed's world.
type scenario struct {
	t       testing.TB
	seed    uint64
	r       *rand.Rand
	log     *fakeLog
	stores  []*fakeStore // by partition
	order   Order        // of all hosts; nil if each has its own
	script  script
	filter  event.Filter
	ways    map[string]*way // by host
	modules []*scriptModule
	runners []*Runner
	written int
	nosy    float64 // how often somebody asks for something
	calm    bool    // no module comes after the first one
	lawless bool    // runners do not know that there are other partitions

	mu      sync.Mutex // guards trouble and runners
	trouble *rand.Rand
	rate    float64 // of calls that fail
	slow    time.Duration
}

func newScenario(t testing.TB, seed uint64) *scenario {
	r := dice(seed, "scenario")
	sc := &scenario{t: t, seed: seed, r: r, log: newFakeLog(), ways: make(map[string]*way), trouble: dice(seed, "trouble")}
	sc.stores = newFakePartitions(t, sc.log, 1)
	sc.script = script{
		seed:    seed,
		steps:   1 + r.IntN(pick(r, 3, 5, 20)),
		keys:    1 + r.IntN(30),
		shared:  pick(r, 0, 0.01, 0.1, 0.5),
		fails:   pick(r, 0, 0.01, 0.05, 0.3),
		scans:   pick(r, 0, 0, 0.02, 0.2),
		emits:   pick(r, 0, 0.1),
		refused: pick(r, 0, 0, 0.3),
		peeks:   pick(r, 0, 0, 0.02, 0.3), failingPeeks: pick(r, 0, 0.5),
	}
	sc.log.types["typed"] = "of another kind"
	if r.IntN(2) == 0 {
		sc.filter.Types = []string{"Done", "Echo"}
	}
	sc.nosy = pick(r, 0, 0.1, 1)
	sc.rate, sc.slow = pick(r, 0, 0.002, 0.02, 0.1), pick(r, 0, 100*time.Microsecond, 5*time.Millisecond)
	if parts := dice(seed, "partitions"); parts.IntN(2) == 0 {
		sc.split(2+parts.IntN(3), pick(parts, ByStream, ByMetadata("tenant")))
		sc.script.strays = pick(parts, 0, 0, 0.01)
	}
	return sc
}

// split makes it several partitions.
func (sc *scenario) split(n int, order Order) {
	sc.stores = newFakePartitions(sc.t, sc.log, n)
	sc.order, sc.script.order = order, order
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

func (sc *scenario) run() {
	holes := dice(sc.seed, "holes") // the log's lock guards them
	sc.log.hole = func() int { return max(0, holes.IntN(6)-3) }
	sc.write(sc.r.IntN(300))
	for _, st := range sc.stores {
		st.fault = sc.fault
	}
	stop := sc.forward()
	defer stop()
	for life := range 1 + sc.r.IntN(4) {
		if sc.r.IntN(2) == 0 && !sc.calm {
			sc.script.version++ // a new module
		}
		sc.live(life)
	}
	sc.settle()
	for _, st := range sc.stores {
		st.late.Wait()
	}
}

// write appends events of random streams.
func (sc *scenario) write(n int) {
	streams := 1 + sc.r.IntN(20)
	for range n {
		sc.written++
		id := fmt.Sprintf("e%d", sc.written)
		sc.log.append(event.Event{
			ID: id, Stream: sc.stream(streams), Type: pick(sc.r, "Done", "Done", "Seen"),
			Metadata: fmt.Appendf(nil, `{"tenant":"t%d"}`, sc.r.IntN(4)),
		})
	}
}

func (sc *scenario) stream(of int) string {
	n := sc.r.IntN(of)
	if sc.order == nil {
		return fmt.Sprintf("s%d", n)
	}
	return fmt.Sprintf("t%d/s%d", n%7, n)
}

// fault decides what goes wrong with a call.
func (sc *scenario) fault(call string) fault {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	f := fault{}
	if sc.slow > 0 && sc.trouble.IntN(3) == 0 {
		f.before, f.after = time.Duration(sc.trouble.Int64N(int64(sc.slow))), time.Duration(sc.trouble.Int64N(int64(sc.slow)))
	}
	if sc.trouble.Float64() >= sc.rate {
		return f
	}
	f.kind = pick(sc.trouble, failsBefore, failsBefore, failsAfter, landsLate, leaseExpires)
	if f.kind == landsLate && call != "Commit" {
		f.kind = failsAfter // of a read or a lease nobody hears the late answer
	}
	return f
}

// live runs one or two hosts for a while.
func (sc *scenario) live(life int) {
	var hosts []func()
	for i := range 1 + sc.r.IntN(2) {
		hosts = append(hosts, sc.start(fmt.Sprintf("host%d.%d", life, i)))
	}
	for range sc.r.IntN(6) {
		time.Sleep(time.Duration(sc.r.Int64N(int64(3 * time.Second))))
		sc.write(sc.r.IntN(100))
		sc.meddle()
		if sc.r.IntN(3) == 0 {
			sc.expire(pick(sc.r, sc.stores...))
		}
	}
	for _, stop := range hosts {
		stop()
	}
}

// expire makes a lease free for others.
func (sc *scenario) expire(st *fakeStore) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.expired = true
}

// start starts a host and returns what stops it, gently or not.
func (sc *scenario) start(name string) (stop func()) {
	ctx, cancel := context.WithCancel(sc.t.Context())
	var done sync.WaitGroup
	for _, st := range sc.stores {
		runner := sc.newRunner(name, st)
		done.Go(func() { deliver(ctx, runner) })
	}
	return func() {
		if sc.r.IntN(2) == 0 { // the process dies: nothing of it reaches the store from now on
			for _, st := range sc.stores {
				st.mu.Lock()
				st.dead[name], st.expired = true, true
				st.mu.Unlock()
			}
		}
		cancel()
		done.Wait()
		for _, st := range sc.stores {
			st.checkQuiet(name)
			sc.expire(st)
		}
	}
}

// newRunner makes a host's runner for a partition. All of one host are alike.
func (sc *scenario) newRunner(name string, st *fakeStore) *Runner {
	r := dice(sc.seed, name)
	o := Options{
		Plugin:        "p",
		Generation:    st.generation,
		Root:          st.root,
		Partition:     st.partition,
		Partitions:    len(sc.stores),
		HostID:        name,
		Order:         pick(r, ByStream, ByStream, ByStream, ByAll, ByMetadata("tenant")),
		Lanes:         1 + r.IntN(8),
		LaneWork:      1,
		MaxBatch:      pick(r, 1, 2, 7, 100, 1000),
		MaxBatchBytes: pick(r, 1, 1000, 10_000, 1<<20, 16<<20),
		Attempts:      1 + r.IntN(6),
		FirstBackoff:  pick(r, time.Millisecond, 100*time.Millisecond),
		MaxBackoff:    pick(r, time.Second, 10*time.Second),
		MaxParked:     pick(r, 1, 3, 50, 10_000),
		CacheBytes:    pick(r, 1, 1000, 100_000, 32<<20),
		Idle:          pick(r, time.Nanosecond, time.Millisecond, 5*time.Second),
		Grace:         pick(r, time.Nanosecond, time.Millisecond, 10*time.Second),
	}
	s := sc.script
	if sc.order != nil {
		o.Order = sc.order
	}
	if sc.lawless {
		o.Partitions = 1
	}
	filter := sc.filterOf(st.partition)
	m := &scriptModule{t: sc.t, s: &s, at: fmt.Sprint(name, "/", st.partition), slow: pick(r, 1000, time.Millisecond, 10*time.Millisecond, 300*time.Millisecond), spends: pick(r, 0, 0.1), startFails: pick(r, 0, 0, 0.2)}
	sc.modules = append(sc.modules, m)
	feed := &fakeFeed{log: sc.log, filter: filter, fault: sc.fault, cut: func(limit int) int { return 1 + r.IntN(limit) }}
	runner := NewRunner(st, feed, m, o)
	sc.ways[name] = &way{Options: runner.o, script: &s}
	sc.mu.Lock()
	sc.runners = append(sc.runners, runner)
	sc.mu.Unlock()
	return runner
}

func (sc *scenario) filterOf(partition int) event.Filter {
	f := sc.filter
	if len(sc.stores) > 1 {
		f.Partition = event.Partition{Index: partition, Of: len(sc.stores), Key: sc.order}
	}
	return f
}

// settle lets a sound host on a sound store get as far as it can, and then one with a module that
// can handle everything: now nothing may be left.
func (sc *scenario) settle() {
	sc.mu.Lock()
	sc.rate = 0
	sc.mu.Unlock()
	sc.stores[0].ask(store.Request{Action: store.AskResume, Who: "ada"})
	stop := sc.start("patient")
	stuck := func(st *fakeStore) bool {
		waiting := 0
		for key, q := range st.sequences {
			if q.State == store.Retrying {
				return false
			}
			waiting += len(st.queues[key])
		}
		return (st.position == sc.log.head() || waiting >= sc.ways["patient"].MaxParked) && st.paused == nil && st.answered()
	}
	if !sc.eventually(stuck) {
		sc.t.Errorf("the host stands still at %s", sc.standing())
	}
	stop()
	sc.script.version++
	sc.script.fails, sc.script.refused, sc.script.strays = 0, 0, 0
	stop = sc.start("mended")
	mended := func(st *fakeStore) bool {
		return st.position == sc.log.head() && len(st.sequences) == 0 && st.answered()
	}
	if !sc.eventually(mended) {
		sc.t.Errorf("the mended module stands still at %s", sc.standing())
	}
	stop()
}

// eventually waits until something holds for all partitions at the same time.
func (sc *scenario) eventually(holds func(*fakeStore) bool) bool {
	return eventually(time.Hour, func() bool {
		sc.stores[0].mu.Lock() // it is the lock of all of them
		defer sc.stores[0].mu.Unlock()
		return !slices.ContainsFunc(sc.stores, func(st *fakeStore) bool { return !holds(st) })
	})
}

// standing says how far the partitions are.
func (sc *scenario) standing() (text string) {
	for _, st := range sc.stores {
		text += fmt.Sprintf("%d of %d with sequences %v; ", st.position, sc.log.head(), st.sequences)
	}
	return text
}

// meddle has people ask for things, some of them for what is not so any more when it is their turn.
func (sc *scenario) meddle() {
	for sc.r.Float64() < sc.nosy*0.85 {
		st := pick(sc.r, sc.stores...)
		req := store.Request{Action: pick(sc.r, store.AskRetry, store.AskSkip, store.AskSkip, store.AskEdit, store.AskEdit, store.AskPause, store.AskResume, store.AskResume), Who: "ada", Why: "because"}
		st.mu.Lock()
		for _, key := range slices.Sorted(maps.Keys(st.sequences)) {
			if q := st.sequences[key]; req.Position == 0 || sc.r.IntN(3) == 0 {
				req.Key, req.Position = key, q.Position
			}
		}
		st.mu.Unlock()
		switch {
		case req.Action == store.AskPause || req.Action == store.AskResume:
			st = sc.stores[0]
			req.Key, req.Position = "", 0
		case req.Action == store.AskRetry && sc.r.IntN(4) == 0:
			req.Key, req.Position = "", 0
		case req.Position == 0 && sc.r.IntN(5) > 0:
			continue
		case req.Position == 0 || sc.r.IntN(10) == 0:
			req.Position++
		}
		if req.Action == store.AskEdit {
			req.Data = fmt.Appendf(nil, `{"edit":%d}`, sc.r.IntN(1000))
		}
		st.ask(req)
	}
}

// forward does what a host does: it reads what is pending, and hands it to whoever may be the owner.
func (sc *scenario) forward() (stop func()) {
	r := dice(sc.seed, "forward")
	ctx, cancel := context.WithCancel(sc.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for pause(ctx, time.Duration(1+r.Int64N(int64(time.Second)))) {
			var list []store.Request
			for _, st := range sc.stores {
				list = append(list, st.pending()...)
			}
			by := sc.stores[0].pausedBy()
			if r.IntN(2) == 0 {
				pause(ctx, time.Duration(1+r.Int64N(int64(100*time.Millisecond)))) // what was read is old by now
			}
			sc.mu.Lock()
			runners := slices.Clone(sc.runners)
			sc.mu.Unlock()
			for _, req := range list {
				for _, runner := range runners {
					if runner.o.Partition == req.Partition {
						runner.Do(req)
					}
				}
			}
			for _, runner := range runners {
				runner.SetPaused(by)
			}
		}
	}()
	return func() { cancel(); <-done }
}

// verify holds every partition to a model of its own: nothing that others do may show.
func (sc *scenario) verify() {
	docs := make(map[string]string)
	for _, st := range sc.stores {
		m := sc.verifyPartition(st)
		if sc.t.Failed() {
			return
		}
		for id, value := range m.docs {
			docs[id] = string(value)
		}
	}
	if got := sc.documents(); !maps.Equal(got, docs) {
		sc.t.Errorf("the documents are\n  %v\nmust be\n  %v", got, docs)
	}
	for _, mod := range sc.modules {
		if n := mod.open.Load(); n != 0 {
			sc.t.Errorf("%d instances of %s were never closed", n, mod.at)
		}
	}
}

func (sc *scenario) verifyPartition(st *fakeStore) *model {
	m := newModel(sc.t, sc.log, sc.filterOf(st.partition))
	m.requests = st.requests
	if left := st.pending(); len(left) > 0 {
		sc.t.Errorf("nobody has answered %+v", left)
	}
	for i := range st.applied {
		c := &st.applied[i]
		m.follow(c, sc.ways[c.host])
		if sc.t.Failed() {
			sc.t.Logf("partition %d of %d, by %+v, script %+v", st.partition, len(sc.stores), sc.ways[c.host].Options, *sc.ways[c.host].script)
			return m
		}
	}
	for _, e := range sc.log.between(0, m.position, m.filter) {
		want := 1
		if m.skipped[e.Position] {
			want = 0
		}
		if n := m.handled[e.Position]; n != want {
			sc.t.Errorf("event %d was applied %d times, want %d", e.Position, n, want)
		}
	}
	return m
}

// documents returns what is stored, by id.
func (sc *scenario) documents() map[string]string {
	docs := make(map[string]string)
	for id, d := range sc.stores[0].docs {
		docs[id] = string(d.Data)
	}
	return docs
}
