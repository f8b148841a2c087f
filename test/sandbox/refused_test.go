package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"eshost/host"
)

// refusal is a module that must be refused when it is loaded.
type refusal struct {
	group int
	name  string
	wasm  []byte
	more  string // further lines of its section
	says  []string
}

const wholeGrant = `allow = ["state", "log", "emit"]`

// loaded is the position a plugin's checkpoint is at before its module is replaced by a bad one.
const loaded = 5

func refusals(t *testing.T) []refusal {
	good := read(t, filepath.Join(root, "plugins/examples/balances/rust/balances.wasm"))
	all := []refusal{
		{group: 1, name: "empty", wasm: nil, says: []string{"the file is empty"}},
		{group: 1, name: "cut in half", wasm: good[:len(good)/2], says: []string{"malformed module", "offset"}},
		{group: 1, name: "one byte short", wasm: good[:len(good)-1], says: []string{"malformed module"}},
		{group: 1, name: "ELF", wasm: []byte("\x7fELF\x02\x01\x01\x00"), says: []string{"not a WebAssembly module"}},
		{group: 1, name: "component", wasm: []byte("\x00asm\x0d\x00\x01\x00\x00\x00"), says: []string{"component"}},
		{group: 1, name: "text", wasm: []byte("(module)"), says: []string{"WebAssembly text"}},
		{group: 2, name: "33 MiB", wasm: built{custom: 33 << 20}.bytes(), says: []string{"the limit is 33554432"}},
		{group: 3, name: "duplicate exports", wasm: built{exports: []string{"handle"}}.bytes(), says: []string{`duplicates name "handle"`}},
		{group: 8, name: "4 GiB of memory at the start", wasm: built{memory: []uint64{65536}}.bytes(), says: []string{"65536 pages", "the limit is 512"}},
		{group: 8, name: "table of 100,000,000", wasm: built{tables: [][]uint64{{100_000_000}}}.bytes(), says: []string{"100000000 elements", "the limit is 100000"}},
		{group: 8, name: "16 tables of 100,000", wasm: built{tables: slices.Repeat([][]uint64{{100_000}}, 16)}.bytes(), says: []string{"200000 elements", "the limit is 100000"}},
		{group: 8, name: "2^20 functions", wasm: built{functions: []function{{times: 1 << 20}}}.bytes(), says: []string{"functions", "the limit is 100000"}},
		{group: 8, name: "2^20 locals in 5 bytes", wasm: built{functions: []function{{locals: 1 << 20}}}.bytes(), says: []string{"1048576 locals", "the limit is 20000"}},
		{group: 8, name: "2^20 globals", wasm: built{globals: 1 << 20}.bytes(), says: []string{"globals", "the limit is 20000"}},
		{group: 8, name: "br_table of 2^20 labels", wasm: built{functions: []function{{body: branchTable(1 << 20)}}}.bytes(), says: []string{"the limit is"}},
		{group: 8, name: "100 br_tables of 50,000 labels", wasm: built{functions: []function{{body: branchTable(49_999), times: 100}}}.bytes(), says: []string{"complexity", "the limit is"}},
		{group: 8, name: "300 nested loops over 300 locals", wasm: built{functions: []function{{locals: 300, body: nested(300, 1)}}}.bytes(), says: []string{"complexity", "the limit is"}},
		{group: 8, name: "8,000 blocks in a row", wasm: built{functions: []function{{body: bytes.Repeat([]byte{0x02, 0x40, 0x41, 0, 0x0d, 0, end}, 8000)}}}.bytes(), says: []string{"complexity", "the limit is"}},
		{group: 8, name: "100,000 blocks deep", wasm: built{functions: []function{{body: slices.Concat(bytes.Repeat([]byte{0x02, 0x40}, 100_000), bytes.Repeat([]byte{end}, 100_000))}}}.bytes(), says: []string{"nest more than 10000 deep"}},
		{group: 8, name: "1 MB of straight code in a function", wasm: built{functions: []function{{body: stores(85_000)}}}.bytes(), says: []string{"complexity", "the limit is"}},
		{group: 8, name: "20,000 types of 1,000 parameters", wasm: built{types: [][]byte{slices.Concat([]byte{0x60}, vector(1000, bytes.Repeat([]byte{0x7f}, 1000)), []byte{0})}, typeCount: 19_000}.bytes(), says: []string{"parameters and results", "the limit is 100000"}},
		{group: 17, name: "exports the fuel", wasm: built{globals: 1, fuel: "__eshost_fuel"}.bytes(), says: []string{"reserved name", "__eshost_fuel"}},
		{group: 17, name: "exports another name of the host's", wasm: built{exports: []string{"__eshost_anything"}}.bytes(), says: []string{"reserved name", "__eshost_anything"}},
		{group: 17, name: "imports refuel", wasm: built{imports: []imported{{"eshost_meter", "refuel", 0}}}.bytes(), says: []string{"reserved name", "eshost_meter"}},
		{group: 17, name: "imports the fuel from itself", wasm: built{imports: []imported{{"env", "__eshost_fuel", 0}}}.bytes(), says: []string{"reserved name", "__eshost_fuel"}},
		{group: 17, name: "sets the global behind its last", wasm: built{globals: 1, functions: []function{{body: []byte{0x42, 0, 0x24, 1}}}}.bytes(), says: []string{"malformed module", "global 1, there are 1"}},
		{group: 17, name: "calls the function behind its last", wasm: built{functions: []function{{body: []byte{0x10, 4}}}}.bytes(), says: []string{"malformed module", "call of function 4, there are 4"}},
	}
	return append(all, shared3and4(t)...)
}

// shared3and4 are the modules of groups 3 and 4 that package plugin has: what each must be told is in its source's head.
func shared3and4(t *testing.T) []refusal {
	var all []refusal
	for name, group := range map[string]int{
		"no_memory": 3, "no_marker": 3, "no_handle": 3, "no_inbox": 3, "hidden_memory": 3, "handle_type": 3, "inbox_type": 3,
		"init_type": 3, "initialize_type": 3, "marker_type": 3, "import_type": 3, "two_markers": 3, "marker_v2": 3, "import_v2": 3, "command": 3,
		"unknown_function": 4, "unknown_module": 4, "not_allowed": 4, "other_plugin": 4, "undefined_symbol": 4,
		"imported_memory": 4, "imported_table": 4, "imported_global": 4, "wasi_old": 4, "wasm_bindgen": 4, "large_memory": 8,
	} {
		base := filepath.Join(root, "host/internal/plugin/testdata/bad", name)
		one := refusal{group: group, name: strings.ReplaceAll(name, "_", " "), wasm: read(t, base+".wasm"), more: `allow = ["state"]`}
		for line := range strings.Lines(string(read(t, base+".wat"))) {
			if says, ok := strings.CutPrefix(strings.TrimSpace(line), ";; error: "); ok {
				one.says = []string{says}
			}
		}
		if one.says == nil {
			t.Errorf("%s does not say what its error is", base)
		}
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b refusal) int { return strings.Compare(a.name, b.name) })
	return all
}

// refuse opens a host with a bad module, on a store that knows the plugin, beside a host that runs.
func refuse(t *testing.T, w *world, r *report, c refusal) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "events.db")
	placePlugin(t, url)
	dir := project(t, url, module{"bad", c.wasm, c.more})
	w.measured(t, r, c.group, c.name, 0, func() string {
		began := time.Now()
		h, err := open(t, dir, host.Options{})
		if err == nil {
			_ = h.Close()
			t.Fatal("the module was accepted")
		}
		wantRefusal(t, err, c.says)
		if at := checkpoint(t, url); at != loaded {
			t.Errorf("the checkpoint is at %d, was at %d", at, loaded)
		}
		_, text, _ := strings.Cut(err.Error(), "bad.wasm: ")
		return fmt.Sprintf("refused after %v: %s", time.Since(began).Round(time.Millisecond), text)
	})
}

func wantRefusal(t *testing.T, err error, says []string) {
	t.Helper()
	var hinted interface{ Hint() string }
	if !errors.Is(err, host.ErrModule) || !errors.As(err, &hinted) || hinted.Hint() == "" {
		t.Errorf("%T with no kind or no hint: %v", err, err)
	}
	for _, text := range append(says, `plugin "bad"`, "bad.wasm") {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("the error does not say %q: %v", text, err)
		}
	}
}

func placePlugin(t *testing.T, url string) {
	t.Helper()
	s, err := host.OpenStore(t.Context(), url, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.EnsurePlugin(t.Context(), "bad", loaded, 1, "stream"); err != nil {
		t.Fatal(err)
	}
}

func checkpoint(t *testing.T, url string) int64 {
	t.Helper()
	s, err := host.OpenStore(t.Context(), url, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	gen, err := s.FindPlugin(t.Context(), "bad")
	if err != nil {
		t.Fatal(err)
	}
	return int64(gen.Position)
}

// flippedBits checks modules with one bit changed. Each is refused with a reason or is another module that is valid; none of
// them hurts.
func flippedBits(t *testing.T, w *world, r *report) {
	good := read(t, filepath.Join(root, "host/internal/plugin/testdata/behave.wasm"))
	path := filepath.Join(t.TempDir(), "bad.wasm")
	rng := rand.New(rand.NewPCG(1, 2))
	w.measured(t, r, 1, "250 modules with one bit flipped", 0, func() string {
		accepted := 0
		for range 250 {
			wasm := bytes.Clone(good)
			wasm[rng.IntN(len(wasm))] ^= 1 << rng.IntN(8)
			write(t, path, wasm)
			_, err := host.CheckModule(t.Context(), path, 32<<20)
			if err == nil {
				accepted++
			} else if !errors.Is(err, host.ErrModule) {
				t.Errorf("an error of another kind: %v", err)
			}
		}
		if accepted == 0 || accepted > 200 {
			t.Errorf("%d of 250 were accepted", accepted)
		}
		return fmt.Sprintf("%d refused, %d are valid all the same", 250-accepted, accepted)
	})
}
