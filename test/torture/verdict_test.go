package torture

import (
	"fmt"
	"slices"
	"strings"
)

// kind is a way in which a run can be wrong.
type kind string

const (
	lost       kind = "lost"         // an event that was stored and is not in the log, or in the log and not applied
	duplicated kind = "duplicated"   // applied twice, or answered twice
	disordered kind = "out of order" // applied before an earlier one of its order
	stale      kind = "stale epoch"  // a change by who was not the owner, or a lease that was taken or kept against the rules
	diverged   kind = "diverged"     // a read model, a parked sequence or an answer that one instance would not have made
	invented   kind = "invented"     // in the log or a read model, and nobody sent it, or it was rolled back
	torn       kind = "left behind"  // what a failed event wrote or emitted
	apart      kind = "not together" // effects that another transaction stored than the one that moved the checkpoint
	stuck      kind = "stuck"        // what must come does not
	died       kind = "died"         // a host that ended unasked, or ended badly
	refused    kind = "refused"      // an append that must be taken
	wentBack   kind = "went back"    // an epoch or a checkpoint that fell
)

var allKindsFound = []kind{lost, duplicated, disordered, stale, diverged, invented, torn, apart, stuck, died, refused, wentBack}

// verdict counts what was found, with a few examples of each kind.
type verdict map[kind][]string

func (v verdict) add(k kind, format string, args ...any) {
	v[k] = append(v[k], fmt.Sprintf(format, args...))
}

func (v verdict) flawless() bool { return len(v) == 0 }

// kinds are the kinds that were found.
func (v verdict) kinds() []kind {
	return slices.DeleteFunc(slices.Clone(allKindsFound), func(k kind) bool { return len(v[k]) == 0 })
}

func (v verdict) String() string {
	if v.flawless() {
		return "nothing"
	}
	var b strings.Builder
	for _, k := range v.kinds() {
		const few = 4
		fmt.Fprintf(&b, "%s %d:\n", k, len(v[k]))
		for _, example := range v[k][:min(few, len(v[k]))] {
			fmt.Fprintf(&b, "    %s\n", example)
		}
	}
	return b.String()
}
