package share

import (
	"cmp"
	"hash/fnv"
	"slices"
)

// Host is one live host.
type Host struct {
	ID string
	// Weight is its share beside the others'. Must be above 0.
	Weight float64
	// Runs reports whether it can run a plugin.
	Runs func(plugin string) bool
}

// Unit is what one host owns at a time.
type Unit struct {
	ID     int64
	Plugin string
	// Weight is how much of a host it takes. Must be above 0.
	Weight float64
	// Owner is the ID of the host that owns it, empty if nobody does. One that is not among the hosts counts as nobody.
	Owner string
	// Group, if not 0, keeps units of the same number on one host: the owner of the first of them, if it has one.
	Group int64
}

// item is what moves as a whole.
type item struct {
	first  int64 // ID of its first unit
	weight float64
	runs   []bool // by index of the host: whether it can run the plugin
	at     int    // index of its host, -1 for none
}

// Assign returns the host of each unit by its ID. Units whose plugin no host runs are left out. The order of hosts and
// units does not matter.
func Assign(hosts []Host, units []Unit) map[int64]string {
	hosts = slices.SortedFunc(slices.Values(hosts), func(a, b Host) int { return cmp.Compare(a.ID, b.ID) })
	items, of := group(hosts, units)
	loads := make([]float64, len(hosts))
	var free []*item
	for _, it := range items {
		if it.at < 0 {
			free = append(free, it)
		} else {
			loads[it.at] += it.weight
		}
	}
	// The heavy ones first: the light ones even out what they leave.
	slices.SortFunc(free, func(a, b *item) int { return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.first, b.first)) })
	for _, it := range free {
		if to := cheapest(hosts, loads, it); to >= 0 {
			it.at = to
			loads[to] += it.weight
		}
	}
	even(hosts, loads, items)
	assigned := make(map[int64]string, len(units))
	for i := range units {
		if it := of[units[i].ID]; it.at >= 0 {
			assigned[units[i].ID] = hosts[it.at].ID
		}
	}
	return assigned
}

// group joins units that must stay together, and says which item each unit is in. Items are in the order of their first
// units' IDs.
func group(hosts []Host, units []Unit) ([]*item, map[int64]*item) {
	units = slices.SortedFunc(slices.Values(units), func(a, b Unit) int { return cmp.Compare(a.ID, b.ID) })
	var items []*item
	groups := make(map[int64]*item)
	of := make(map[int64]*item, len(units))
	for i := range units {
		u := &units[i]
		it := groups[u.Group]
		if it == nil || u.Group == 0 {
			it = &item{first: u.ID, runs: make([]bool, len(hosts)), at: -1}
			for j := range hosts {
				it.runs[j] = hosts[j].Runs(u.Plugin)
			}
			items = append(items, it)
			if u.Group != 0 {
				groups[u.Group] = it
			}
		}
		it.weight += u.Weight
		of[u.ID] = it
		if it.at < 0 {
			it.at = slices.IndexFunc(hosts, func(h Host) bool { return h.ID == u.Owner })
			if it.at >= 0 && !it.runs[it.at] {
				it.at = -1
			}
		}
	}
	return items, of
}

// cost is by how much a host's part of the imbalance grows when its load does: the sum of load²/weight over the hosts is
// least where loads are proportional to weights.
func cost(load, more, weight float64) float64 { return (2*load + more) * more / weight }

// cheapest is the host to which an item adds the least imbalance, -1 if none runs its plugin. Of equals the item's own
// hash decides, so that plugins do not all prefer the same host.
func cheapest(hosts []Host, loads []float64, it *item) int {
	best := -1
	for i, h := range hosts {
		if !it.runs[i] {
			continue
		}
		if best < 0 {
			best = i
			continue
		}
		a, b := cost(loads[i], it.weight, h.Weight), cost(loads[best], it.weight, hosts[best].Weight)
		if less(a, b) || !less(b, a) && rank(h.ID, it.first) > rank(hosts[best].ID, it.first) {
			best = i
		}
	}
	return best
}

// less ignores differences that only come of rounding.
func less(a, b float64) bool { return a < b-1e-9*(a+b) }

func rank(host string, unit int64) uint64 {
	f := fnv.New64a()
	_, _ = f.Write([]byte(host)) // never fails
	for range 8 {
		_, _ = f.Write([]byte{byte(unit)})
		unit >>= 8
	}
	return f.Sum64()
}

// even moves items one by one, each time the one that evens out the loads most, until none does. Each move makes the sum
// of load²/weight smaller, so it ends.
func even(hosts []Host, loads []float64, items []*item) {
	for {
		var best *item
		var to int
		var gain float64
		for _, it := range items {
			if it.at < 0 {
				continue
			}
			stay := cost(loads[it.at]-it.weight, it.weight, hosts[it.at].Weight)
			for i, h := range hosts {
				if i == it.at || !it.runs[i] {
					continue
				}
				if moved := cost(loads[i], it.weight, h.Weight); less(moved, stay) && less(gain, stay-moved) {
					best, to, gain = it, i, stay-moved
				}
			}
		}
		if best == nil {
			return
		}
		loads[best.at] -= best.weight
		loads[to] += best.weight
		best.at = to
	}
}
