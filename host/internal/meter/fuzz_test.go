package meter

import (
	"testing"

	"github.com/tetratelabs/wazero"
)

// FuzzRewrite: no input makes the rewriter panic, and what it accepts and wazero accepts is still valid afterwards, while
// what wazero refuses never becomes valid.
func FuzzRewrite(f *testing.F) {
	f.Add(everything().bytes())
	f.Add(down().bytes())
	for _, m := range runaways() {
		f.Add(m.bytes())
	}
	for _, m := range recursions() {
		if b := m.bytes(); len(b) < 1000 {
			f.Add(b)
		}
	}
	// With debug information on, wazero refuses an empty custom section at the very end, which is valid.
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithDebugInfoEnabled(false))
	f.Fuzz(func(t *testing.T, wasm []byte) {
		// Small limits keep wazero quick.
		out, _, err := Rewrite(wasm, Options{MaxLocals: 100, MaxComplexity: 2000, MaxTableElements: 1000})
		if err != nil {
			return
		}
		before, errBefore := r.CompileModule(ctx, wasm)
		after, errAfter := r.CompileModule(ctx, out)
		if (errBefore == nil) != (errAfter == nil) {
			t.Errorf("original: %v; rewritten: %v", errBefore, errAfter)
		}
		if errBefore == nil {
			_ = before.Close(ctx)
		}
		if errAfter == nil {
			_ = after.Close(ctx)
		}
	})
}
