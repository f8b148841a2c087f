package sandbox

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

// row is one case in the table.
type row struct {
	group   int
	name    string
	outcome string
	pause   time.Duration // 0 where nothing ran beside it
	heap    int64         // how much larger the heap is afterwards, in bytes
}

// report collects the rows of a run.
type report struct {
	mu   sync.Mutex
	rows []row
}

func (r *report) add(one row) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows = append(r.rows, one)
}

func (r *report) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.SortStableFunc(r.rows, func(a, b row) int { return a.group - b.group })
	var out strings.Builder
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "group\tcase\thealthy's longest pause\theap after\thow it ended")
	for _, one := range r.rows {
		pause, heap := "-", "-"
		if one.pause > 0 {
			pause, heap = one.pause.Round(100*time.Microsecond).String(), fmt.Sprintf("%+.1f MiB", float64(one.heap)/(1<<20))
		}
		outcome, _, _ := strings.Cut(strings.ReplaceAll(one.outcome, os.TempDir(), "…"), "\n")
		if len(outcome) > 150 {
			outcome = outcome[:150] + "…"
		}
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\n", one.group, one.name, pause, heap, outcome)
	}
	_ = table.Flush() // into memory
	return out.String()
}

// heapTolerance is how much larger the heap may be after a case than before. The events that the feeder has appended
// meanwhile are in it; an instance that is kept alive by mistake, or its compiled code's data, is more where it matters: cases
// that grow their memory grow it to 64 MiB.
const heapTolerance = 24 << 20

// heap is how much is reachable, after a collection.
func heap() int64 {
	runtime.GC()
	debug.FreeOSMemory() // collects again: what finalizers have let go of
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// resident is the process's memory as the kernel counts it, or 0 where it does not say.
func resident() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(b), &size, &pages); err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// measured runs a case beside the healthy plugin and adds its row. The case returns how it ended; keeps is what may stay,
// in bytes.
func (w *world) measured(t *testing.T, r *report, group int, name string, keeps int64, run func() string) {
	t.Helper()
	w.t = t
	w.goesOn()
	before := heap()
	began := time.Now()
	outcome := run()
	w.goesOn()
	pause := w.longestPause(began)
	grown := heap() - before
	if grown > heapTolerance+keeps {
		t.Errorf("the heap has grown by %d bytes, tolerated are %d", grown, heapTolerance+keeps)
	}
	if p := w.stored(healthy); p.Retrying+p.Parked > 0 {
		t.Errorf("events of the healthy plugin failed: %+v", p)
	}
	r.add(row{group, name, outcome, pause, grown})
}
