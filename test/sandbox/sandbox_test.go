package sandbox

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestSandbox is the suite. Cases run one after another, so that each is measured alone.
func TestSandbox(t *testing.T) {
	r := new(report)
	t.Cleanup(func() { t.Logf("\n%s", r) })
	for _, source := range sources(t) {
		want := expect(t, source)
		name := strings.TrimSuffix(filepath.Base(source), ".wat")
		t.Run(name, func(t *testing.T) {
			handling(t, r, want, read(t, strings.TrimSuffix(source, ".wat")+".wasm"))
		})
	}
}
