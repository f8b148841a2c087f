package meter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// The specification's own tests ship inside wazero's module. Each is run twice side by side, as it is and metered, and
// both must do the same.

type specCommand struct {
	Type       string
	Line       int
	Name       string
	Filename   string
	As         string
	ModuleType string `json:"module_type"`
	Action     specAction
}

type specAction struct {
	Type, Field, Module string
	Args                []specValue
}

type specValue struct {
	Type     string
	LaneType string `json:"lane_type"`
	Value    any
}

type specCounts struct{ modules, refused, invalid, returns, traps, exhaustions int }

var specOptions = Options{
	MaxMemoryPages: 1 << 16, MaxTableElements: 1 << 27, MaxStack: 256 << 10, MaxLocals: 1 << 16, MaxComplexity: 1 << 30,
	MaxTotalComplexity: 1 << 30, allowImports: true, bulkChunk: 16,
}

func specDir(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		t.Fatalf("find wazero's module: %v", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "internal/integration_test/spectest")
}

func TestSpecification(t *testing.T) {
	dir := specDir(t)
	total := specCounts{}
	for version, features := range map[string]api.CoreFeatures{"v1": api.CoreFeaturesV1, "v2": api.CoreFeaturesV2} {
		files, err := filepath.Glob(filepath.Join(dir, version, "testdata", "*.json"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no specification tests in %s: %v", dir, err)
		}
		for _, file := range files {
			t.Run(version+"/"+strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
				runSpec(t, dir, file, features, &total)
			})
		}
	}
	t.Logf("%+v", total)
	// All there is in wazero v1.12.0: 780 modules of version 1 and 1,599 of version 2, none left out.
	floor := specCounts{modules: 2379, invalid: 4515, returns: 61522, traps: 2866, exhaustions: 30}
	if total.modules < floor.modules || total.invalid < floor.invalid || total.returns < floor.returns ||
		total.traps < floor.traps || total.exhaustions < floor.exhaustions || total.refused != 0 {
		t.Errorf("ran %+v, want at least %+v and none refused", total, floor)
	}
}

// world is one runtime with the modules of one test file.
type world struct {
	runtime wazero.Runtime
	named   map[string]api.Module
	last    api.Module
}

func newWorld(t *testing.T, dir string, features api.CoreFeatures) *world {
	config := wazero.NewRuntimeConfig().WithCoreFeatures(features)
	w := &world{
		runtime: newRuntime(t, &ledger{slice: 1 << 40, budget: ample}, config),
		named:   map[string]api.Module{},
	}
	if _, err := w.runtime.Instantiate(context.Background(), read(t, filepath.Join(dir, "testdata/spectest.wasm"))); err != nil {
		t.Fatal(err)
	}
	return w
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func runSpec(t *testing.T, dir, file string, features api.CoreFeatures, n *specCounts) {
	var script struct{ Commands []specCommand }
	if err := json.Unmarshal(read(t, file), &script); err != nil {
		t.Fatal(err)
	}
	plain, metered := newWorld(t, dir, features), newWorld(t, dir, features)
	for i, c := range script.Commands {
		at := fmt.Sprintf("%s:%d", filepath.Base(file), c.Line)
		var wasm []byte
		if strings.HasSuffix(c.Filename, ".wasm") {
			wasm = read(t, filepath.Join(filepath.Dir(file), c.Filename))
		}
		switch c.Type {
		case "module":
			registered := ""
			if next := i + 1; next < len(script.Commands) && script.Commands[next].Type == "register" {
				registered = script.Commands[next].As
			}
			n.modules++
			specModule(t, at, c, registered, wasm, plain, metered, n)
		case "register":
		case "action", "assert_return", "assert_trap":
			specAssert(t, at, c, plain, metered, n)
		case "assert_exhaustion":
			n.exhaustions++
			if _, err := metered.do(c.Action); !errors.Is(err, errOverflow) {
				t.Errorf("%s: %v, want an overflow", at, err)
			}
		case "assert_invalid", "assert_malformed":
			if wasm != nil {
				n.invalid++
				specInvalid(t, at, wasm, plain.runtime)
			}
		case "assert_uninstantiable", "assert_unlinkable":
			specUninstantiable(t, at, wasm, plain, metered)
		default:
			t.Fatalf("%s: unknown command %s", at, c.Type)
		}
	}
}

func specModule(t *testing.T, at string, c specCommand, registered string, wasm []byte, plain, metered *world, n *specCounts) {
	ctx := context.Background()
	out, _, err := Rewrite(wasm, specOptions)
	if err != nil {
		n.refused++
		t.Errorf("%s: rewrite: %v", at, err)
		out = wasm
	}
	for w, bytes := range map[*world][]byte{plain: wasm, metered: out} {
		mod, err := w.runtime.InstantiateWithConfig(ctx, bytes, wazero.NewModuleConfig().WithName(registered))
		if err != nil {
			t.Fatalf("%s: instantiate (metered %v): %v", at, w == metered, err)
		}
		w.last = mod
		if c.Name != "" {
			w.named[c.Name] = mod
		}
	}
}

func specAssert(t *testing.T, at string, c specCommand, plain, metered *world, n *specCounts) {
	want, wantErr := plain.do(c.Action)
	got, err := metered.do(c.Action)
	switch c.Type {
	case "assert_return":
		n.returns++
	case "assert_trap":
		n.traps++
	}
	if trap := c.Type == "assert_trap"; (wantErr != nil) != trap {
		t.Errorf("%s: the unmetered module gave %v", at, wantErr)
	}
	if !slices.Equal(got, want) || firstLine(err) != firstLine(wantErr) {
		t.Errorf("%s %s: metered gives %x %s, unmetered %x %s", at, c.Action.Field, got, firstLine(err), want, firstLine(wantErr))
	}
}

func firstLine(err error) string {
	if err == nil {
		return ""
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// specInvalid: the rewriter need not see what is wrong with a module, but it must never make it valid.
func specInvalid(t *testing.T, at string, wasm []byte, r wazero.Runtime) {
	ctx := context.Background()
	out, _, err := Rewrite(wasm, specOptions)
	if err != nil {
		if e := (*Error)(nil); !errors.As(err, &e) {
			t.Errorf("%s: %T is no *Error", at, err)
		}
		return
	}
	if c, err := r.CompileModule(ctx, wasm); err == nil { // wazero is laxer than the specification here and there
		_ = c.Close(ctx)
	} else if c, err := r.CompileModule(ctx, out); err == nil {
		_ = c.Close(ctx)
		t.Errorf("%s: an invalid module became valid", at)
	}
}

func specUninstantiable(t *testing.T, at string, wasm []byte, plain, metered *world) {
	out, _, err := Rewrite(wasm, specOptions)
	if err != nil {
		t.Errorf("%s: rewrite: %v", at, err)
		return
	}
	config := wazero.NewModuleConfig().WithName("")
	_, wantErr := plain.runtime.InstantiateWithConfig(context.Background(), wasm, config)
	_, err = metered.runtime.InstantiateWithConfig(context.Background(), out, config)
	if (err == nil) != (wantErr == nil) {
		t.Errorf("%s: metered: %v, unmetered: %v", at, err, wantErr)
	}
}

func (w *world) do(a specAction) ([]uint64, error) {
	mod := w.last
	if a.Module != "" {
		mod = w.named[a.Module]
	}
	if a.Type == "get" {
		return []uint64{mod.ExportedGlobal(a.Field).Get()}, nil
	}
	var args []uint64
	for _, v := range a.Args {
		args = append(args, v.words()...)
	}
	return mod.ExportedFunction(a.Field).Call(context.Background(), args...)
}

// words turns a value of the script into wazero's representation.
func (v specValue) words() []uint64 {
	if v.Type == "v128" {
		width, _ := strconv.Atoi(v.LaneType[1:])
		var words [2]uint64
		for i, lane := range v.Value.([]any) {
			bit := i * width
			words[bit/64] |= parseBits(lane.(string), width) << (bit % 64)
		}
		return words[:]
	}
	s, _ := v.Value.(string)
	if s == "null" || v.Value == nil {
		return []uint64{0}
	}
	if v.Type == "externref" { // 0 is null in wazero
		return []uint64{parseBits(s, 64) + 1}
	}
	width, _ := strconv.Atoi(v.Type[1:])
	return []uint64{parseBits(s, width)}
}

func parseBits(s string, width int) uint64 {
	switch {
	case strings.HasPrefix(s, "nan") && width == 32:
		return 0x7fc00000
	case strings.HasPrefix(s, "nan"):
		return 0x7ff8000000000000
	case strings.HasPrefix(s, "-"):
		v, _ := strconv.ParseInt(s, 10, 64)
		return uint64(v) & (^uint64(0) >> (64 - width))
	}
	v, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return v
}
