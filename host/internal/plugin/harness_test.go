package plugin_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"eshost/host/event"
	"eshost/host/internal/meter"
	"eshost/host/internal/plugin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// theMeter wires the real rewriter in, as package host does.
func theMeter() plugin.Meter {
	return plugin.Meter{
		Rewrite: func(wasm []byte, memoryPages uint32) ([]byte, error) {
			out, _, err := meter.Rewrite(wasm, meter.Options{MaxMemoryPages: memoryPages})
			return out, err
		},
		Module: meter.ImportModule, Refuel: meter.Refuel, Overflow: meter.Overflow, Fuel: meter.FuelGlobal,
	}
}

func newEngine(t testing.TB, o plugin.EngineOptions) *plugin.Engine {
	t.Helper()
	if o.Meter.Rewrite == nil {
		o.Meter = theMeter()
	}
	e, err := plugin.NewEngine(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return e
}

func guest(t testing.TB, name string) []byte {
	t.Helper()
	wasm, err := os.ReadFile(filepath.Join("testdata", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

func load(t testing.TB, e *plugin.Engine, name string, spec plugin.Spec) *plugin.Module {
	t.Helper()
	if spec.Name == "" {
		spec.Name = "test"
	}
	if spec.Grants == nil {
		spec.Grants = plugin.Grants()
	}
	m, err := e.Load(t.Context(), guest(t, name), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close(context.Background()) })
	return m
}

func instance(t testing.TB, m *plugin.Module) *plugin.Instance {
	t.Helper()
	in, err := m.NewInstance(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := in.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return in
}

// start loads a module into an engine of its own and makes an instance.
func start(t testing.TB, name string, o plugin.EngineOptions, spec plugin.Spec) *plugin.Instance {
	t.Helper()
	return instance(t, load(t, newEngine(t, o), name, spec))
}

func newEvent(data string) *event.Event {
	return &event.Event{
		Position: 7, Stream: "account-1", StreamType: "account", ID: "e7", Type: "Deposited",
		Data: []byte(data), Metadata: []byte("{}"), ContentType: "application/json",
		Time: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC),
	}
}

func failure(t testing.TB, err error, kind event.FailureKind, text string) *event.Failure {
	t.Helper()
	var f *event.Failure
	if !errors.As(err, &f) {
		t.Fatalf("got %v, want a failure", err)
	}
	if f.Kind != kind || !strings.Contains(f.Message, text) {
		t.Fatalf("got %q, want %s with %q", f, kind, text)
	}
	return f
}

// memory is an Effects that keeps documents in a map, as delivery's overlay does.
type memory struct {
	docs    map[string][]byte // collection, 0, key
	writes  int
	emitted []event.Emitted
	get     func(ctx context.Context) error // before each Get
}

var _ plugin.Effects = (*memory)(nil)

func newMemory(docs ...string) *memory {
	m := &memory{docs: make(map[string][]byte)}
	for i := 0; i+2 < len(docs); i += 3 {
		m.docs[docs[i]+"\x00"+docs[i+1]] = []byte(docs[i+2])
	}
	return m
}

func (m *memory) Get(ctx context.Context, collection, key []byte) ([]byte, bool, error) {
	if m.get != nil {
		if err := m.get(ctx); err != nil {
			return nil, false, err
		}
	}
	v, ok := m.docs[string(collection)+"\x00"+string(key)]
	return v, ok, nil
}

func (m *memory) Set(collection, key, value []byte) error {
	m.writes++
	m.docs[string(collection)+"\x00"+string(key)] = bytes.Clone(value)
	return nil
}

func (m *memory) Delete(collection, key []byte) error {
	m.writes++
	delete(m.docs, string(collection)+"\x00"+string(key))
	return nil
}

func (m *memory) Scan(_ context.Context, collection, prefix, after []byte, limit int) ([]event.Document, error) {
	var out []event.Document
	for _, name := range slices.Sorted(maps.Keys(m.docs)) {
		coll, key, _ := strings.Cut(name, "\x00")
		if coll == string(collection) && strings.HasPrefix(key, string(prefix)) && key > string(after) && len(out) < limit {
			out = append(out, event.Document{Collection: coll, Key: key, Data: m.docs[name]})
		}
	}
	return out, nil
}

func (m *memory) Emit(e event.Emitted) error {
	m.emitted = append(m.emitted, e)
	return nil
}

// logs collects what is logged, a line a record.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logs) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// The functions that forward.wat calls, in its order.
const (
	callGet = iota
	callSet
	callDelete
	callScan
	callEmit
	callLog
	callFail
	callConfig
	callRead
)

// script is a list of host calls for forward.wat. Byte arguments are put behind the calls, in the event's data.
type script struct {
	calls []byte
	bytes []byte
	n     int
	fix   []int // where in calls an address is relative to bytes
}

// buffer is an argument: that much room at an address that is free in forward.wat.
type buffer struct{ at, size uint32 }

const free = 0x200000

// call adds a host call. A string or []byte becomes a pointer and a length, a buffer likewise, an int stays.
func (s *script) call(function int, args ...any) *script {
	s.calls = binary.LittleEndian.AppendUint32(s.calls, uint32(function))
	end := len(s.calls) + 36
	put := func(v uint32) { s.calls = binary.LittleEndian.AppendUint32(s.calls, v) }
	for _, a := range args {
		switch a := a.(type) {
		case string:
			s.fix = append(s.fix, len(s.calls))
			put(uint32(len(s.bytes)))
			put(uint32(len(a)))
			s.bytes = append(s.bytes, a...)
		case []byte:
			s.fix = append(s.fix, len(s.calls))
			put(uint32(len(s.bytes)))
			put(uint32(len(a)))
			s.bytes = append(s.bytes, a...)
		case buffer:
			put(a.at)
			put(a.size)
		case int:
			put(uint32(a))
		default:
			panic(fmt.Sprintf("argument of type %T", a))
		}
	}
	for len(s.calls) < end {
		put(0)
	}
	s.n++
	return s
}

// event makes the event that runs the script and ends with a status.
func (s *script) event(status int) *event.Event {
	e := newEvent("")
	e.Version = int64(status)
	data := binary.LittleEndian.AppendUint32(nil, uint32(s.n))
	base := 0x10000 + 96 + len(e.ID) + len(e.Type) + len(e.Stream) + len(e.StreamType) + 4 + len(s.calls)
	data = append(data, s.calls...)
	for _, at := range s.fix {
		relative := binary.LittleEndian.Uint32(s.calls[at:])
		binary.LittleEndian.PutUint32(data[4+at:], uint32(base)+relative)
	}
	e.Data = append(data, s.bytes...)
	return e
}

// results are what the script's calls returned.
func (s *script) results(in *plugin.Instance) []int64 {
	out := make([]int64, s.n)
	for i := range out {
		v, _ := in.Memory().ReadUint64Le(0x8000 + 8*uint32(i))
		out[i] = int64(v)
	}
	return out
}

func wantResults(t testing.TB, in *plugin.Instance, s *script, want ...int64) {
	t.Helper()
	if got := s.results(in); !slices.Equal(got, want) {
		t.Fatalf("the calls returned %v, want %v", got, want)
	}
}

func read(t testing.TB, in *plugin.Instance, b buffer) string {
	t.Helper()
	got, ok := in.Memory().Read(b.at, b.size)
	if !ok {
		t.Fatal("outside memory")
	}
	return string(got)
}

// buildGo compiles a Go guest.
func buildGo(t *testing.T, dir string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "guest.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-o", out, "./"+dir)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", dir, err, text)
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}
