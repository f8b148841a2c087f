package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"eshost/abi/abitest"
	"eshost/host/event"
)

// TestExamplesRebuildFromSource builds the modules that are committed anew. AssemblyScript's compiler is pinned,
// so its bytes must be the same; Rust's bytes must be if the compiler is the recorded one, and another one's
// module must do the same.
func TestExamplesRebuildFromSource(t *testing.T) {
	t.Parallel()
	for _, language := range []string{"assemblyscript", "rust"} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			// Where a toolchain is missing build.sh says which, and how to get it.
			if out, err := exec.Command(filepath.Join(root, "plugins", "examples", "build.sh"), "-o", dir, language).CombinedOutput(); err != nil {
				t.Fatalf("build.sh %s: %v\n%s", language, err, out)
			}
			committed, err := filepath.Glob(filepath.Join(root, "plugins", "examples", "*", language, "*.wasm"))
			if err != nil || len(committed) == 0 {
				t.Fatalf("no committed module was found: %v", err)
			}
			for _, path := range committed {
				relative, err := filepath.Rel(filepath.Join(root, "plugins", "examples"), path)
				if err != nil {
					t.Fatal(err)
				}
				compareModules(t, path, filepath.Join(dir, relative))
			}
		})
	}
}

func compareModules(t *testing.T, committed, built string) {
	t.Helper()
	was, is := read(t, committed), read(t, built)
	if bytes.Equal(was, is) {
		return
	}
	if recorded, err := os.ReadFile(committed + ".toolchain"); err == nil {
		if compiler := read(t, built+".toolchain"); !bytes.Equal(compiler, recorded) {
			t.Logf("%s was built by %s, here is %s: comparing what the modules do", committed, recorded, compiler)
			example := filepath.Base(filepath.Dir(filepath.Dir(committed)))
			compareDocuments(t, built, madeOf(t, example, is), madeOf(t, example, was))
			return
		}
	}
	t.Errorf("%s is not what its source makes (%d bytes, built anew %d): run plugins/examples/build.sh and commit the module", committed, len(was), len(is))
}

// madeOf is what a module makes of its example's test data: documents, emitted events, and what failed.
func madeOf(t *testing.T, example string, wasm []byte) map[string]string {
	t.Helper()
	m := abitest.Load(t, wasm)
	made := map[string]string{}
	for i, l := range exampleLines[struct {
		Stream, Type string
		Time         time.Time
		Data         json.RawMessage
	}](t, example, "events.ndjson") {
		e := event.Event{Position: event.Position(i + 1), Version: 1, ID: "test", Stream: l.Stream, Type: l.Type, Time: l.Time, Data: l.Data,
			Metadata: []byte("{}"), ContentType: "application/json"}
		if err := m.Deliver(&e, 1); err != nil {
			made[fmt.Sprintf("event %d", i+1)] = err.Error()
		}
	}
	for key, document := range m.Documents {
		made[key.Collection+"/"+key.Key] = document
	}
	for i, e := range m.Emitted {
		made[fmt.Sprintf("emitted %d", i)] = emittedLine(e.Stream, e.Type, e.Data, e.Metadata)
	}
	if len(m.Documents) == 0 {
		t.Errorf("the module of %s made nothing", example)
	}
	return made
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
