package redismodel_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"eshost/host/event"
	"eshost/host/internal/delivery"
	"eshost/host/internal/redismodel"
	"eshost/host/store"
	"eshost/host/store/sqlite"
)

// restore puts the log back to what it was in a copy.
func (w *world) restore(copied string) {
	w.t.Helper()
	var err error
	w.store, err = sqlite.Open(w.t.Context(), copied, sqlite.Options{})
	check(w.t, err)
}

// backup copies the log as it is now.
func (w *world) backup() string {
	w.t.Helper()
	to := filepath.Join(w.t.TempDir(), "backup.db")
	check(w.t, w.store.Close())
	b, err := os.ReadFile(w.file)
	check(w.t, err)
	check(w.t, os.WriteFile(to, b, 0o600))
	w.store, err = sqlite.Open(w.t.Context(), w.file, sqlite.Options{})
	check(w.t, err)
	return to
}

// TestALogThatWasSetBack restores the database to an earlier moment under a read model that is further, and lets other
// things happen then: what is kept of the read model is of the log as it is now.
func TestALogThatWasSetBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lost, after int  // events that only the first log has, and that only the second one has
		types       bool // the plugin wants none of those that are lost
		sessions    int  // in the second log, before the read model is looked at
	}{
		"shorter":                                     {lost: 10, after: 3},
		"shorter, more sessions":                      {lost: 10, after: 3, sessions: 9},
		"grown beyond":                                {lost: 10, after: 30},
		"grown beyond, more sessions":                 {lost: 10, after: 30, sessions: 9},
		"just as long":                                {lost: 10, after: 10},
		"nothing of the plugin's lost":                {lost: 10, after: 30, types: true},
		"nothing of the plugin's lost, more sessions": {lost: 10, after: 30, types: true, sessions: 9},
		"nothing lost":                                {lost: 0, after: 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			h := handler{&sync.Map{}}
			o := w.options()
			if c.types {
				o.Filter.Types = []string{"T"}
				w.types = o.Filter.Types
			}
			for i := range 20 {
				w.append("s", "+c/k"+strconv.Itoa(i%5))
			}
			_, stop := w.run(w.model(o), "h1", h)
			w.documents(w.head())
			stop()
			copied := w.backup()
			for range c.lost {
				w.appendType("s", "+c/lost", map[bool]string{false: "T", true: "Other"}[c.types])
			}
			_, stop = w.run(w.model(o), "h1", h)
			w.documents(w.head())
			stop()
			check(t, w.store.Close())
			w.restore(copied)
			w.n += 1000 // other ids
			for i := range c.after {
				w.append("s", "+c/new"+strconv.Itoa(i%5))
			}
			for range c.sessions {
				l, err := w.store.Acquire(t.Context(), w.gen.ID, "h1")
				check(t, err)
				check(t, w.store.Release(t.Context(), w.gen.ID, l.Epoch))
			}
			r, _ := w.run(w.model(o), "h1", h)
			eventually(t, "it is opened", func() bool { return r.Status().Epoch != 0 })
			compare(t, w.documents(w.head()), w.want())
		})
	}
}

// TestALossAtRest loses a read model for which nothing happens any more: it is there again without a further event.
func TestALossAtRest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 10 {
		w.append("s", "+c/k"+strconv.Itoa(i%3))
	}
	o := w.options()
	o.Look = 10 * time.Millisecond
	w.run(w.model(o), "h1", handler{})
	compare(t, w.documents(w.head()), w.want())
	for _, lose := range []func(){w.redis.flush, func() { w.redis.Kill(); w.redis.Start() }, w.redis.flush} {
		lose()
		compare(t, w.documents(w.head()), w.want())
	}
}

// TestItGoesOnWhereItWas opens a whole read model again, and does not begin anew.
func TestItGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	anew := 0
	o := w.options()
	o.BegunAnew = func(int64) { anew++ }
	for range 10 {
		w.append("s", "+c/k")
	}
	for range 4 {
		_, stop := w.run(w.model(o), "h1", handler{})
		w.append("s", "+c/k")
		compare(t, w.documents(w.head()), w.want())
		stop()
	}
	if anew != 1 {
		t.Errorf("it was begun %d times", anew)
	}
	m := w.model(o)
	check(t, m.Reset(t.Context(), w.acquire(m, "h1").Epoch))
	w.run(m, "h1", handler{})
	compare(t, w.documents(w.head()), w.want())
}

// TestClustersKeepItInOneSlot runs on a cluster, which refuses a script whose keys are in several slots.
func TestClustersKeepItInOneSlot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.redis = startRedis(t, "cluster-enabled", "yes")
	check(t, w.redis.db.Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", 0, 16383).Err())
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{w.redis.Addr()}})
	t.Cleanup(func() { check(t, cluster.Close()) })
	eventually(t, "the cluster is up", func() bool {
		return strings.Contains(cluster.ClusterInfo(context.Background()).Val(), "cluster_state:ok")
	})
	for range 30 {
		w.append("s", "+c/k +d/k -c/other")
	}
	w.append("t", "fail")
	w.run(redismodel.New(w.store, w.store, cluster, w.options()), "h1", handler{&sync.Map{}})
	compare(t, w.documents(w.head()), w.want())
	check(t, cluster.FlushAll(t.Context()).Err())
	w.append("s", "+c/k")
	compare(t, w.documents(w.head()), w.want())
}

// TestAStopGivesTheLeaseBack stops a runner that cannot reach Redis, which has the lease all the same.
func TestAStopGivesTheLeaseBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.redis.Kill()
	r, stop := w.run(w.model(w.options()), "h1", handler{})
	eventually(t, "it backs off", func() bool { return r.Status().State == delivery.BackingOff })
	plugins, err := w.store.Plugins(t.Context())
	check(t, err)
	if p := plugins[0]; p.Owner == nil || p.Condition.State != store.BackingOff {
		t.Errorf("the database says %+v of %+v", p.Condition, p.Owner)
	}
	stop()
	if _, err := w.store.Acquire(t.Context(), w.gen.ID, "h2"); err != nil {
		t.Errorf("the next owner: %v", err)
	}
}

// TestRedisAway says why nothing moves while Redis does not answer, and goes on when it does.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.append("s", "+c/k")
	o := w.options()
	o.Timeout = time.Second
	_, stop := w.run(w.model(o), "h1", handler{})
	defer stop()
	w.documents(w.head())
	w.redis.Pause()
	w.append("s", "+c/k")
	eventually(t, "the database says why", func() bool {
		plugins, err := w.store.Plugins(t.Context())
		check(t, err)
		c := plugins[0].Condition
		return c.State == store.BackingOff && strings.Contains(c.Reason, "Redis")
	})
	w.redis.Resume()
	compare(t, w.documents(w.head()), w.want())
	eventually(t, "it runs", func() bool {
		plugins, err := w.store.Plugins(t.Context())
		check(t, err)
		return plugins[0].Condition.State == store.Running && plugins[0].Condition.Reason == "" && plugins[0].Position == event.Position(w.n)
	})
}
