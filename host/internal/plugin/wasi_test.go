package plugin_test

import (
	"context"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"eshost/host/event"
	"eshost/host/internal/plugin"
)

// TestWASIIsComplete compares what is served with what wazero knows of preview 1.
func TestWASIIsComplete(t *testing.T) {
	t.Parallel()
	r := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigInterpreter())
	defer r.Close(t.Context())
	code, err := wasi_snapshot_preview1.NewBuilder(r).Compile(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	served := plugin.WASIFunctions()
	for name, f := range code.ExportedFunctions() {
		if want := plugin.Signature(f.ParamTypes(), f.ResultTypes()); served[name] != want {
			t.Errorf("%s is served as %q, want %q", name, served[name], want)
		}
		delete(served, name)
	}
	for name := range served {
		t.Errorf("%s is served and unknown", name)
	}
}

func TestRandomnessComesFromTheEvent(t *testing.T) {
	t.Parallel()
	e := newEngine(t, plugin.EngineOptions{})
	m := load(t, e, "wasi", plugin.Spec{})
	draw := func(in *plugin.Instance, id string) string {
		ev := newEvent("r")
		ev.ID = id
		if err := in.Handle(t.Context(), ev, 1, newMemory()); err != nil {
			t.Fatal(err)
		}
		return read(t, in, buffer{4096, 48})
	}
	one, two := instance(t, m), instance(t, m)
	start := read(t, one, buffer{4000, 8})
	if start != read(t, two, buffer{4000, 8}) || start == strings.Repeat("\x00", 8) {
		t.Errorf("two instances started with %x and %x", start, read(t, two, buffer{4000, 8}))
	}
	first := draw(one, "a")
	if errno := binary.LittleEndian.Uint32([]byte(first)); errno != 0 {
		t.Fatalf("random_get returned %d", errno)
	}
	other := draw(one, "b")
	if again := draw(two, "b"); again != other {
		t.Errorf("the same event got %x and %x", other, again)
	}
	if again := draw(one, "a"); again != first || first == other {
		t.Errorf("got %x, then %x; another event %x", first, again, other)
	}
}

func TestClocksStand(t *testing.T) {
	t.Parallel()
	in := start(t, "wasi", plugin.EngineOptions{}, plugin.Spec{})
	ev := newEvent("c")
	for range 2 {
		began := time.Now()
		if err := in.Handle(t.Context(), ev, 1, newMemory()); err != nil {
			t.Fatal(err)
		}
		if time.Since(began) > time.Minute {
			t.Error("waiting an hour took an hour")
		}
		u32 := func(at uint32) uint32 { v, _ := in.Memory().ReadUint32Le(at); return v }
		u64 := func(at uint32) uint64 { v, _ := in.Memory().ReadUint64Le(at); return v }
		if u32(4096) != 0 || u32(4100) != 0 || u32(4144) != 0 || u32(4152) != 0 || u32(4148) != 28 {
			t.Errorf("errors %d %d %d %d %d", u32(4096), u32(4100), u32(4144), u32(4152), u32(4148))
		}
		if u64(4104) != uint64(ev.Time.UnixNano()) {
			t.Errorf("the wall clock shows %d, the event's time is %d", u64(4104), ev.Time.UnixNano())
		}
		if u64(4112) != 1e9 || u64(4120)-u64(4112) != uint64(time.Hour) {
			t.Errorf("the monotonic clock shows %d, an hour later %d", u64(4112), u64(4120))
		}
		if u64(4136) != 1000 {
			t.Errorf("the resolution is %d", u64(4136))
		}
	}
}

func TestThereAreNoFiles(t *testing.T) {
	t.Parallel()
	in := start(t, "wasi", plugin.EngineOptions{}, plugin.Spec{})
	if err := in.Handle(t.Context(), newEvent("f"), 1, newMemory()); err != nil {
		t.Fatal(err)
	}
	for i, want := range []uint32{8, 8, 0, 8, 0, 0, 0, 0, 28} {
		if got, _ := in.Memory().ReadUint32Le(4096 + 4*uint32(i)); got != want {
			t.Errorf("call %d returned %d, want %d", i, got, want)
		}
	}
	if got := read(t, in, buffer{4208, 16}); got != strings.Repeat("\x00", 16) {
		t.Errorf("there are arguments or an environment: %x", got)
	}
}

func TestStandardOutputIsLogged(t *testing.T) {
	t.Parallel()
	var l logs
	in := start(t, "wasi", plugin.EngineOptions{Logger: l.logger()}, plugin.Spec{Name: "printer"})
	for _, data := range []string{"w", "p"} {
		if err := in.Handle(t.Context(), newEvent(data), 1, newMemory()); err != nil {
			t.Fatal(err)
		}
	}
	want := "level=INFO msg=hello plugin=printer position=7\nlevel=INFO msg=hel plugin=printer position=7\n"
	if l.String() != want {
		t.Errorf("logged %q, want %q", l.String(), want)
	}
}

func TestWritingTheSameMemoryAgainAndAgain(t *testing.T) {
	t.Parallel()
	in := start(t, "wasi", plugin.EngineOptions{}, plugin.Spec{})
	if err := in.Handle(t.Context(), newEvent("m"), 1, newMemory()); err != nil {
		t.Fatal(err)
	}
	if written, _ := in.Memory().ReadUint32Le(4100); written != 64<<10 {
		t.Errorf("2 GiB asked for, %d bytes written", written)
	}
	if in.FuelUsed() < 64<<10 {
		t.Errorf("that used %d units of fuel", in.FuelUsed())
	}
}

func TestHowGuestsEnd(t *testing.T) {
	t.Parallel()
	m := load(t, newEngine(t, plugin.EngineOptions{}), "wasi", plugin.Spec{})
	for name, test := range map[string]struct{ data, text, stack string }{
		"exit":           {"e", "it called exit(3)", "wasi_snapshot_preview1.proc_exit\nhandle"},
		"go panic":       {"g", "panic: it broke (main.go:42)", "runtime.gopanic (panic.go:1)\nmain.handle (main.go:42)"},
		"abort":          {"a", "broke (a.ts:12:7)", "env.abort\nhandle"},
		"abort, no text": {"A", "abort", "env.abort\nhandle"},
	} {
		t.Run(name, func(t *testing.T) {
			in := instance(t, m)
			f := failure(t, in.Handle(t.Context(), newEvent(test.data), 1, newMemory()), event.FailTrap, test.text)
			if f.Message != test.text || f.Stack != test.stack {
				t.Errorf("got %q and the stack %q", f.Message, f.Stack)
			}
		})
	}
}

// TestGoModule runs what Go's own compiler makes: its runtime asks WASI for more than any other.
func TestGoModule(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("compiles a Go program")
	}
	wasm := buildGo(t, "testdata/goguest")
	cache := t.TempDir() + "/cache"
	var l logs
	e := newEngine(t, plugin.EngineOptions{Logger: l.logger(), CacheDir: cache})
	m, err := e.Load(t.Context(), wasm, plugin.Spec{Name: "go", Limits: plugin.Limits{Time: 10 * time.Second, Memory: 64 << 20, InitTime: time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close(context.Background())
	handle := func(data string) (*plugin.Instance, error) {
		in := instance(t, m)
		return in, in.Handle(t.Context(), newEvent(data), 1, newMemory())
	}
	if _, err := handle("print"); err != nil || !strings.Contains(l.String(), `msg="the time is 2026-01-02T03:04:05.000006Z"`) {
		t.Errorf("got %v, logged %q", err, l.String())
	}
	if _, err := handle("sleep"); err != nil {
		t.Error(err)
	}
	_, err = handle("panic")
	f := failure(t, err, event.FailTrap, "panic: the account is gone (main.go:")
	if !strings.Contains(f.Stack, "main.handle (main.go:") {
		t.Errorf("the stack is %q", f.Stack)
	}
	_, err = handle("nil")
	failure(t, err, event.FailTrap, "nil pointer")
	_, err = handle("deadlock")
	failure(t, err, event.FailTrap, "deadlock")
	_, err = handle("exit")
	failure(t, err, event.FailTrap, "it called exit(5)")
	_, err = handle("recurse")
	failure(t, err, event.FailBudget, "out of memory (main.go:")
	_, err = handle("memory")
	failure(t, err, event.FailBudget, "out of memory")
	if strings.Contains(l.String(), "\x1b") {
		t.Error("an escape sequence was logged")
	}
}
