package sandbox

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestSandbox is the suite. Cases run one after another, so that each is measured alone.
func TestSandbox(t *testing.T) {
	r := new(report)
	before := resident()
	t.Cleanup(func() {
		heap()
		t.Logf("\n%s\nthe process has %+d MiB of memory more than before", r, (resident()-before)>>20)
	})
	for group, why := range map[int]string{
		5:  "a describe function that loops: there is none, the manifest is read without running code",
		13: "http: there is no http_fetch in the ABI",
		16: "http to the own host: there is no http_fetch in the ABI",
	} {
		r.add(row{group: group, name: "(left out)", outcome: why})
	}
	t.Run("refused", func(t *testing.T) {
		w := newWorld(t)
		w.measured(t, r, 0, "(nothing misbehaves)", 0, func() string {
			before := w.handled()
			w.until("the healthy plugin handles events", func() bool { return w.handled() >= before+200 })
			return ""
		})
		for _, c := range refusals(t) {
			t.Run(fmt.Sprintf("%02d %s", c.group, c.name), func(t *testing.T) { refuse(t, w, r, c) })
		}
		t.Run("01 flipped bits", func(t *testing.T) { flippedBits(t, w, r) })
		t.Run("20 pinned", func(t *testing.T) { pinned(t, w, r) })
		t.Run("20 replaced file", func(t *testing.T) { replacedFile(t, w, r) })
	})
	t.Run("started", func(t *testing.T) { cannotStart(t, r) })
	t.Run("spinning", spinning)
	t.Run("09_pointers", func(t *testing.T) { wildPointers(t, r) })
	t.Run("18_secrets", func(t *testing.T) { secrets(t, r) })
	t.Run("20_cache", func(t *testing.T) { tamperedCache(t, r) })
	t.Run("21_crash_loop", func(t *testing.T) { crashLoop(t, r) })
	t.Run("21_broken_reloads", func(t *testing.T) { brokenReloads(t, r) })
	t.Run("21_reload_in_flight", func(t *testing.T) { reloadInFlight(t, r) })
	for _, source := range sources(t) {
		want := expect(t, source)
		name := strings.TrimSuffix(filepath.Base(source), ".wat")
		if want.group == 18 {
			continue // it has a part of its own
		}
		t.Run(name, func(t *testing.T) {
			handling(t, r, want, read(t, strings.TrimSuffix(source, ".wat")+".wasm"), nil)
		})
	}
}
