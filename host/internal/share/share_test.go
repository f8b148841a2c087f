package share

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
)

func all(string) bool { return true }

func hostsOf(n int) []Host {
	hosts := make([]Host, n)
	for i := range hosts {
		hosts[i] = Host{ID: fmt.Sprintf("host-%d", i), Weight: 1, Runs: all}
	}
	return hosts
}

func unitsOf(n int) []Unit {
	units := make([]Unit, n)
	for i := range units {
		units[i] = Unit{ID: int64(i + 1), Plugin: fmt.Sprintf("p%d", i), Weight: 1}
	}
	return units
}

// own makes an assignment the owners.
func own(units []Unit, assigned map[int64]string) {
	for i := range units {
		units[i].Owner = assigned[units[i].ID]
	}
}

func loadsOf(units []Unit, assigned map[int64]string) map[string]float64 {
	loads := make(map[string]float64)
	for _, u := range units {
		loads[assigned[u.ID]] += u.Weight
	}
	return loads
}

func moves(before, after map[int64]string) int {
	n := 0
	for id, host := range after {
		if before[id] != "" && before[id] != host {
			n++
		}
	}
	return n
}

func TestEven(t *testing.T) {
	t.Parallel()
	for hosts := 1; hosts <= 5; hosts++ {
		for n := range 40 {
			units := unitsOf(n)
			loads := loadsOf(units, Assign(hostsOf(hosts), units))
			for host, load := range loads {
				if least, most := float64(n/hosts), float64((n+hosts-1)/hosts); load < least || load > most {
					t.Errorf("%d units on %d hosts: %s has %g", n, hosts, host, load)
				}
			}
		}
	}
}

// TestFewMoves holds joining and leaving to the moves that are needed.
func TestFewMoves(t *testing.T) {
	t.Parallel()
	units := unitsOf(30)
	two := Assign(hostsOf(2), units)
	own(units, two)
	three := Assign(hostsOf(3), units)
	if n := moves(two, three); n != 10 {
		t.Errorf("a third host joined: %d units moved, 10 are its share", n)
	}
	for id, host := range three {
		if host != two[id] && host != "host-2" {
			t.Errorf("unit %d moved between hosts that were there before", id)
		}
	}
	own(units, three)
	left := Assign(hostsOf(2), units)
	for id, host := range left {
		if three[id] != "host-2" && host != three[id] {
			t.Errorf("a host left: unit %d moved, which was not its", id)
		}
	}
	own(units, left)
	if n := moves(left, Assign(hostsOf(2), units)); n != 0 {
		t.Errorf("nothing has changed, and %d units moved", n)
	}
}

func TestByWeight(t *testing.T) {
	t.Parallel()
	hosts := hostsOf(3)
	hosts[1].Weight = 2
	units := unitsOf(40)
	loads := loadsOf(units, Assign(hosts, units))
	if loads["host-0"] != 10 || loads["host-1"] != 20 || loads["host-2"] != 10 {
		t.Errorf("loads by weights 1, 2, 1: %v", loads)
	}
	units[3].Weight = 8
	loads = loadsOf(units, Assign(hostsOf(2), units))
	if d := loads["host-0"] - loads["host-1"]; d < -1 || d > 1 {
		t.Errorf("loads with one heavy plugin: %v", loads)
	}
}

func TestOnlyWhereDeclared(t *testing.T) {
	t.Parallel()
	hosts := hostsOf(3)
	hosts[0].Runs = func(p string) bool { return p == "p0" }
	hosts[1].Runs = func(p string) bool { return p != "p9" }
	hosts[2].Runs = func(p string) bool { return p != "p9" }
	units := unitsOf(10)
	units[1].Owner = "host-0" // which does not declare it any more
	assigned := Assign(hosts, units)
	if _, ok := assigned[10]; ok {
		t.Error("p9 went to a host that does not declare it")
	}
	for id, host := range assigned {
		if host == "host-0" && id != 1 {
			t.Errorf("unit %d went to a host that does not declare it", id)
		}
	}
	if assigned[1] != "host-0" {
		t.Errorf("p0 is on %s: host-0 has nothing else", assigned[1])
	}
}

func TestGroupsStayTogether(t *testing.T) {
	t.Parallel()
	units := unitsOf(12)
	own(units, Assign(hostsOf(3), units))
	for i := range 6 {
		units[i].Group = 7
	}
	assigned := Assign(hostsOf(3), units)
	for i := range 6 {
		if assigned[units[i].ID] != units[0].Owner {
			t.Errorf("unit %d of the group is on %s, the first one on %s", i, assigned[units[i].ID], units[0].Owner)
		}
	}
	if loads := loadsOf(units, assigned); loads[units[0].Owner] != 6 {
		t.Errorf("who has the group keeps more: %v", loads)
	}
}

// TestRandom holds random worlds to the properties of the package's documentation.
func TestRandom(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		hosts, units := randomWorld(rng)
		assigned := Assign(hosts, units)
		shuffled, mixed := append([]Host(nil), hosts...), append([]Unit(nil), units...)
		rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		rng.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		if !maps.Equal(assigned, Assign(shuffled, mixed)) {
			t.Fatalf("seed %d: the order of hosts or units matters", seed)
		}
		checkEven(t, seed, hosts, units, assigned)
		own(units, assigned)
		if again := Assign(hosts, units); !maps.Equal(assigned, again) {
			t.Fatalf("seed %d: assigned again it changes: %v, %v", seed, assigned, again)
		}
	}
}

func randomWorld(rng *rand.Rand) ([]Host, []Unit) {
	hosts := hostsOf(1 + rng.IntN(5))
	weights := []float64{0.5, 1, 1, 1, 3}
	for i := range hosts {
		hosts[i].Weight = weights[rng.IntN(len(weights))]
		if rng.IntN(4) == 0 {
			odd := rng.IntN(2)
			hosts[i].Runs = func(p string) bool { return int(p[len(p)-1])%2 == odd }
		}
	}
	units := unitsOf(rng.IntN(30))
	for i := range units {
		units[i].Weight = weights[rng.IntN(len(weights))]
		units[i].Owner = fmt.Sprintf("host-%d", rng.IntN(7))
		if rng.IntN(5) == 0 {
			units[i].Group, units[i].Plugin = 1, "p1"
		}
	}
	return hosts, units
}

// checkEven finds a unit outside of groups whose move would even out the loads, or that could run and does not.
func checkEven(t *testing.T, seed uint64, hosts []Host, units []Unit, assigned map[int64]string) {
	t.Helper()
	loads := loadsOf(units, assigned)
	byID := make(map[string]Host)
	for _, h := range hosts {
		byID[h.ID] = h
	}
	together := make(map[int64]string)
	for _, u := range units {
		at, ok := assigned[u.ID]
		for _, h := range hosts {
			if !h.Runs(u.Plugin) {
				continue
			}
			if !ok {
				t.Fatalf("seed %d: unit %d is left out, %s runs it", seed, u.ID, h.ID)
			}
			stay := cost(loads[at]-u.Weight, u.Weight, byID[at].Weight)
			if u.Group == 0 && h.ID != at && less(cost(loads[h.ID], u.Weight, h.Weight), stay) {
				t.Fatalf("seed %d: unit %d is better on %s than on %s: %v", seed, u.ID, h.ID, at, loads)
			}
		}
		if ok && !byID[at].Runs(u.Plugin) {
			t.Fatalf("seed %d: unit %d is on %s, which does not run it", seed, u.ID, at)
		}
		if u.Group != 0 && ok {
			if before := together[u.Group]; before != "" && before != at {
				t.Fatalf("seed %d: a group is on %s and on %s", seed, before, at)
			}
			together[u.Group] = at
		}
	}
}
