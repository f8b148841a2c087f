package torture

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// fault is one thing that happens.
type fault struct {
	kind  string
	at    time.Duration // after the writers have begun
	lasts time.Duration
	node  int // which host; -1 where it is not about one
	n     int // what else there is to choose
}

func (f fault) String() string {
	s := fmt.Sprintf("%s for %s", f.kind, f.lasts.Round(time.Millisecond))
	if f.node >= 0 {
		s += fmt.Sprintf(" of h%d", f.node+1)
	}
	return s
}

// draw draws the faults of a run. The same seed draws the same ones. Two faults never have one target at the
// same time: what a host is, its link and the database are targets of their own.
func draw(rng *rand.Rand, kinds []faultKind, lasts time.Duration) []fault {
	var plan []fault
	free := map[string]time.Duration{} // from when on, by target
	once := map[string]bool{}
	total := 0
	for _, k := range kinds {
		total += k.weight
	}
	for at := 500 * time.Millisecond; at < lasts; at += 150*time.Millisecond + time.Duration(rng.Int64N(int64(900*time.Millisecond))) {
		k := pick(rng, kinds, total)
		f := fault{kind: k.name, at: at, node: -1, n: rng.IntN(1 << 20), lasts: k.least + time.Duration(rng.Int64N(int64(k.most-k.least)+1))}
		target := k.target
		if k.ofHost {
			f.node = rng.IntN(hosts)
			target = fmt.Sprintf("%s %d", k.target, f.node)
		}
		if free[target] > at || k.once && once[k.name] {
			continue
		}
		once[k.name] = true
		free[target] = at + f.lasts + 300*time.Millisecond
		plan = append(plan, f)
	}
	return plan
}

func pick(rng *rand.Rand, kinds []faultKind, total int) faultKind {
	n := rng.IntN(total)
	for _, k := range kinds {
		if n -= k.weight; n < 0 {
			return k
		}
	}
	panic("the weights do not add up")
}

// TestPlan holds the draw to what makes a failing seed worth something: the same faults again.
func TestPlan(t *testing.T) {
	t.Parallel()
	for _, store := range []string{"sqlite", "postgres"} {
		drawn := map[string]bool{}
		for seed := range uint64(40) {
			plan := func() []fault {
				return draw(rand.New(rand.NewPCG(seed, 1)), kindsOf(store, fillable, settable), 30*time.Second)
			}
			one, two := plan(), plan()
			if !slices.Equal(one, two) {
				t.Fatalf("seed %d draws other faults the second time", seed)
			}
			for _, f := range one {
				drawn[f.kind] = true
			}
		}
		for _, k := range kindsOf(store, fillable, settable) {
			if !drawn[k.name] {
				t.Errorf("%s: no seed of 40 draws %q", store, k.name)
			}
		}
	}
}
