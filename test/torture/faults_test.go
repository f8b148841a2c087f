package torture

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	_ "modernc.org/sqlite" // for a transaction of somebody else's

	"eshost/host/store"
)

// faultKind is one way to make things go wrong.
type faultKind struct {
	name        string
	store       string // where it can happen; empty: everywhere
	target      string // what it happens to
	ofHost      bool   // the target is one host's
	once        bool   // in a run
	needs       need   // what not every run has
	weight      int
	least, most time.Duration
	do          func(ctx context.Context, w *world, f fault) error
}

// need is what a fault needs that not every run has.
type need string

const (
	fillable need = "a disk that can be filled"
	settable need = "hosts whose clocks can be set"
)

// kindsOf are the kinds that can be drawn.
func kindsOf(store string, has ...need) []faultKind {
	return slices.DeleteFunc(allKinds(), func(k faultKind) bool {
		return k.store != "" && k.store != store || k.needs != "" && !slices.Contains(has, k.needs)
	})
}

func allKinds() []faultKind {
	const ms = time.Millisecond
	return []faultKind{
		{name: "kill", target: "host", ofHost: true, weight: 12, least: 0, most: 1500 * ms, do: kill},
		{name: "stop and continue", target: "host", ofHost: true, weight: 10, least: ttl + 300*ms, most: ttl + 2000*ms, do: freeze},
		{name: "restart", target: "host", ofHost: true, weight: 6, least: 0, most: 500 * ms, do: restart},
		{name: "cut off", store: "postgres", target: "link", ofHost: true, weight: 6, least: 200 * ms, most: ttl + 1500*ms, do: cutOff},
		{name: "black hole", store: "postgres", target: "link", ofHost: true, weight: 6, least: 500 * ms, most: ttl + 1500*ms, do: blackHole},
		{name: "slow link", store: "postgres", target: "link", ofHost: true, weight: 5, least: 1000 * ms, most: 3000 * ms, do: slowLink},
		{name: "reset", store: "postgres", target: "link", ofHost: true, weight: 4, do: reset},
		{name: "cut off all", store: "postgres", target: "database", weight: 3, least: 200 * ms, most: 1500 * ms, do: cutOffAll},
		{name: "database crash", store: "postgres", target: "database", weight: 5, least: 0, most: 500 * ms, do: crashDatabase},
		{name: "failover", store: "postgres", target: "database", weight: 4, once: true, least: 0, most: 300 * ms, do: failover},
		{name: "sessions ended", store: "postgres", target: "database", weight: 4, do: endSessions},
		{name: "Redis flushed", target: "redis", weight: 5, do: flushRedis},
		{name: "Redis restarted", target: "redis", weight: 3, least: 0, most: 1000 * ms, do: restartRedis},
		{name: "Redis hangs", target: "redis", weight: 3, least: 300 * ms, most: 3000 * ms, do: hangRedis},
		{name: "cut off from Redis", target: "redis link", ofHost: true, weight: 6, least: 200 * ms, most: 3000 * ms, do: cutOffRedis},
		{name: "late to Redis", target: "host", ofHost: true, weight: 6, least: ttl + 600*ms, most: ttl + 2000*ms, do: lateToRedis},
		{name: "disk full", store: "sqlite", target: "database", needs: fillable, weight: 8, least: 300 * ms, most: 2500 * ms, do: fillDisk},
		{name: "database locked", store: "sqlite", target: "database", weight: 5, least: 200 * ms, most: 2000 * ms, do: lockDatabase},
		{name: "clock jump", store: "postgres", target: "clock", ofHost: true, needs: settable, weight: 8, do: jumpClock},
		{name: "reload", target: "modules", weight: 6, do: reload},
		{name: "repartition", target: "modules", weight: 4, do: repartition},
		{name: "rebuild", target: "rebuild", weight: 6, do: rebuild},
		{name: "pause and resume", target: "pause", weight: 4, least: 100 * ms, most: 1500 * ms, do: pauseAndResume},
		{name: "retry parked", target: "parked", weight: 4, do: retryParked},
		{name: "skip parked", target: "parked", weight: 6, do: skipParked},
	}
}

// happen lets a plan happen and returns when all of it is over.
func (w *world) happen(ctx context.Context, plan []fault) {
	byName := map[string]faultKind{}
	for _, k := range allKinds() {
		byName[k.name] = k
	}
	begin := time.Now()
	var all sync.WaitGroup
	for _, f := range plan {
		pause(ctx, f.at-time.Since(begin))
		all.Go(func() {
			w.note("%s", f)
			if err := byName[f.kind].do(ctx, w, f); err != nil {
				w.note("%s: %v", f.kind, err)
			}
			w.note("%s is over", f)
		})
	}
	all.Wait()
}

func kill(ctx context.Context, w *world, f fault) error {
	n := w.nodes[f.node]
	n.kill()
	pause(ctx, f.lasts)
	return n.start()
}

func freeze(ctx context.Context, w *world, f fault) error {
	n := w.nodes[f.node]
	n.signal(syscall.SIGSTOP)
	pause(ctx, f.lasts)
	n.signal(syscall.SIGCONT)
	return nil
}

func restart(ctx context.Context, w *world, f fault) error {
	n := w.nodes[f.node]
	n.stop(w.o.patience)
	pause(ctx, f.lasts)
	return n.start()
}

func cutOff(ctx context.Context, w *world, f fault) error {
	return w.nodes[f.node].link(ctx, cut, 0, f.lasts)
}

func blackHole(ctx context.Context, w *world, f fault) error {
	return w.nodes[f.node].link(ctx, hung, 0, f.lasts)
}

func slowLink(ctx context.Context, w *world, f fault) error {
	return w.nodes[f.node].link(ctx, passing, time.Duration(2+f.n%40)*time.Millisecond, f.lasts)
}

func (n *node) link(ctx context.Context, state link, delay, lasts time.Duration) error {
	n.database.set(state, delay)
	pause(ctx, lasts)
	n.database.set(passing, 0)
	return nil
}

func reset(_ context.Context, w *world, f fault) error {
	w.nodes[f.node].database.reset()
	return nil
}

func cutOffAll(ctx context.Context, w *world, f fault) error {
	var all sync.WaitGroup
	for _, n := range w.nodes {
		all.Go(func() { _ = n.link(ctx, cut, 0, f.lasts) })
	}
	all.Wait()
	return nil
}

func crashDatabase(ctx context.Context, w *world, f fault) error {
	s := w.server()
	if err := s.Crash(); err != nil {
		return err
	}
	pause(ctx, f.lasts)
	return s.Start(context.WithoutCancel(ctx))
}

// failover lets the standby take over. The old primary is gone for good.
func failover(ctx context.Context, w *world, f fault) error {
	if err := w.server().Crash(); err != nil {
		return err
	}
	pause(ctx, f.lasts)
	if err := w.standby.Promote(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	w.mu.Lock()
	w.primary, w.standby = w.standby, w.primary
	w.mu.Unlock()
	links := []*proxy{w.ours}
	for _, n := range w.nodes {
		links = append(links, n.database)
	}
	for _, p := range links {
		p.point(w.server().Address())
		p.reset()
	}
	return nil
}

// endSessions has the server end what it does for the hosts, as an administrator or a memory shortage would.
func endSessions(ctx context.Context, w *world, _ fault) error {
	conn, err := w.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'eshost/h%' AND random() < 0.7")
	return err
}

func flushRedis(_ context.Context, w *world, _ fault) error {
	if said := w.redis.Do("FLUSHALL"); said != "+OK" {
		return errors.New(said)
	}
	return nil
}

func restartRedis(ctx context.Context, w *world, f fault) error {
	w.redis.Kill()
	pause(ctx, f.lasts)
	w.redis.Start()
	return nil
}

func hangRedis(ctx context.Context, w *world, f fault) error {
	w.redis.Pause()
	pause(ctx, f.lasts)
	w.redis.Resume()
	return nil
}

// cutOffRedis cuts or hangs one host's link, or lets no answer back: what Redis has done the host is not told.
func cutOffRedis(ctx context.Context, w *world, f fault) error {
	n := w.nodes[f.node]
	n.redis.set([]link{cut, hung, mute}[f.n%3], 0)
	pause(ctx, f.lasts)
	n.redis.set(passing, 0)
	return nil
}

// lateToRedis holds back what a host says to Redis, and stops the host, until others have its plugins: what was said then
// arrives, and is nothing to Redis any more.
func lateToRedis(ctx context.Context, w *world, f fault) error {
	const soon = 200 * time.Millisecond // a commit is under way by then
	n := w.nodes[f.node]
	n.redis.set(hung, 0)
	pause(ctx, soon)
	n.signal(syscall.SIGSTOP)
	pause(ctx, f.lasts-2*soon)
	n.redis.set(passing, 0)
	pause(ctx, soon)
	n.signal(syscall.SIGCONT)
	return nil
}

func fillDisk(ctx context.Context, w *world, f fault) error {
	if err := w.disk.fill(); err != nil {
		return err
	}
	pause(ctx, f.lasts)
	return w.disk.empty()
}

// lockDatabase is another program's long transaction.
func lockDatabase(ctx context.Context, w *world, f fault) error {
	db, err := sql.Open("sqlite", w.disk.path("events.db")+"?_pragma=busy_timeout(3000)")
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	pause(ctx, f.lasts)
	_, err = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
	return err
}

func reload(_ context.Context, w *world, f fault) error {
	return w.swapModule([]string{"ledger", "balances", "book"}[f.n%3])
}

// repartition splits a plugin anew, as an operator does: in every host's file.
func repartition(_ context.Context, w *world, f fault) error {
	w.mu.Lock()
	n := 1 + f.n%4
	w.partitions = n
	w.mu.Unlock()
	w.note("parts is split into %d", n)
	return w.configureAll()
}

// asked runs a command that may find nobody to do it; the request it leaves behind is done later.
func (w *world) asked(ctx context.Context, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	_, err := w.command(ctx, args...)
	return err
}

func rebuild(ctx context.Context, w *world, f fault) error {
	var names []string
	for _, p := range w.plugins() {
		if p.rebuilt {
			names = append(names, p.name)
		}
	}
	return w.asked(ctx, "rebuild", names[f.n%len(names)], "--detach", "--wait", "1s")
}

func pauseAndResume(ctx context.Context, w *world, f fault) error {
	name := w.pluginNames()[f.n%len(w.pluginNames())]
	err := w.asked(ctx, "pause", name, "--why", "torture")
	pause(ctx, f.lasts)
	return errors.Join(err, w.asked(context.WithoutCancel(ctx), "resume", name))
}

func retryParked(ctx context.Context, w *world, f fault) error {
	return w.asked(ctx, "parked", "retry", []string{"ledger", "copy", "cached"}[f.n%3], "--all")
}

// skipParked skips what is parked first.
func skipParked(ctx context.Context, w *world, _ fault) error {
	key, err := w.firstParked(ctx, "ledger")
	if err != nil || key == "" {
		return err
	}
	return w.asked(ctx, "parked", "skip", "ledger", key, "--why", "torture")
}

// firstParked is the key of the sequence that has been parked for the longest; empty if there is none.
func (w *world) firstParked(ctx context.Context, plugin string) (string, error) {
	g, err := w.store.FindPlugin(ctx, plugin)
	if err != nil {
		return "", err
	}
	parked, err := w.store.ListSequences(ctx, g.ID, store.SequenceOptions{State: store.Parked, Limit: 1})
	if err != nil || len(parked) == 0 {
		return "", err
	}
	return parked[0].Key, nil
}

// heal ends every fault that may still be on, and every pause.
func (w *world) heal(ctx context.Context) error {
	for _, n := range w.nodes {
		if n.database != nil {
			n.database.set(passing, 0)
		}
		n.signal(syscall.SIGCONT)
		if err := n.start(); err != nil {
			return err
		}
	}
	if w.disk != nil {
		if err := w.disk.empty(); err != nil {
			return err
		}
	} else if err := w.server().Start(ctx); err != nil {
		return fmt.Errorf("start the database again: %w", err)
	}
	for _, name := range w.pluginNames() {
		if err := w.resume(ctx, name); err != nil {
			return fmt.Errorf("resume %s: %w", name, err)
		}
	}
	return nil
}

// resume ends a pause, and one that is still to come: a request that waits for its plugin's owner.
func (w *world) resume(ctx context.Context, plugin string) error {
	_, err := w.store.Ask(ctx, store.Request{Plugin: plugin, Action: store.AskResume, Who: "torture"})
	return err
}
