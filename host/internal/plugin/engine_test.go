package plugin_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"eshost/host/internal/plugin"
)

// countingMeter counts how many modules are rewritten, which is how many are compiled.
func countingMeter(n *atomic.Int32) plugin.Meter {
	m := theMeter()
	rewrite := m.Rewrite
	m.Rewrite = func(wasm []byte, pages uint32) ([]byte, error) {
		n.Add(1)
		return rewrite(wasm, pages)
	}
	return m
}

func TestCompiledModulesAreShared(t *testing.T) {
	t.Parallel()
	var compiled atomic.Int32
	e := newEngine(t, plugin.EngineOptions{Meter: countingMeter(&compiled)})
	var wg sync.WaitGroup
	modules := make([]*plugin.Module, 200)
	for i := range modules {
		wg.Go(func() {
			m, err := e.Load(t.Context(), guest(t, "empty"), plugin.Spec{Name: "test"})
			if err != nil {
				t.Error(err)
			}
			modules[i] = m
		})
	}
	wg.Wait()
	if n := compiled.Load(); n != 1 {
		t.Errorf("the module was compiled %d times", n)
	}
	small := load(t, e, "empty", plugin.Spec{Limits: plugin.Limits{Memory: 1 << 20}})
	if compiled.Load() != 2 || e.Compiled() != 2 {
		t.Errorf("with another memory limit it was compiled %d times, %d are held", compiled.Load(), e.Compiled())
	}
	in, err := modules[0].NewInstance(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range modules {
		_ = m.Close(t.Context())
		_ = m.Close(t.Context()) // the second time has no effect
	}
	if e.Compiled() != 2 {
		t.Error("the code of an open instance is gone")
	}
	if err := in.Handle(t.Context(), newEvent("x"), 1, newMemory()); err != nil {
		t.Errorf("an instance of a module that was closed: %v", err)
	}
	if err := in.Close(t.Context()); err != nil {
		t.Error(err)
	}
	_ = small.Close(t.Context())
	if n := e.Compiled(); n != 0 {
		t.Errorf("%d modules are held by nobody", n)
	}
}

func TestALoadThatGivesUpSpoilsNothing(t *testing.T) {
	t.Parallel()
	entered, goOn := make(chan struct{}), make(chan struct{})
	m := theMeter()
	rewrite := m.Rewrite
	var calls atomic.Int32
	m.Rewrite = func(wasm []byte, pages uint32) ([]byte, error) {
		if calls.Add(1) == 1 {
			close(entered)
			<-goOn
		}
		return rewrite(wasm, pages)
	}
	e := newEngine(t, plugin.EngineOptions{Meter: m})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := e.Load(ctx, guest(t, "forward"), plugin.Spec{Name: "first", Grants: plugin.Grants()}); !errors.Is(err, context.Canceled) {
			t.Errorf("the one that gave up got %v", err)
		}
	})
	<-entered
	wg.Go(func() {
		second, err := e.Load(t.Context(), guest(t, "forward"), plugin.Spec{Name: "second", Grants: plugin.Grants()})
		if err != nil {
			t.Errorf("the one that waited got %v", err)
			return
		}
		_ = second.Close(t.Context())
	})
	cancel()
	close(goOn)
	wg.Wait()
	if n := e.Compiled(); n != 0 {
		t.Errorf("%d modules are held by nobody", n)
	}
}

func TestEngineClose(t *testing.T) {
	t.Parallel()
	e := newEngine(t, plugin.EngineOptions{})
	m := load(t, e, "empty", plugin.Spec{})
	in, err := m.NewInstance(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "1 instances are still open") {
		t.Errorf("closed under an open instance: %v", err)
	}
	if err := in.Handle(t.Context(), newEvent("x"), 1, newMemory()); err != nil {
		t.Error(err)
	}
	_, _ = in.Close(t.Context()), m.Close(t.Context())
	if _, err := m.NewInstance(t.Context()); err == nil || !strings.Contains(err.Error(), "the module is closed") {
		t.Errorf("a closed module started: %v", err)
	}
	if err := in.Handle(t.Context(), newEvent("x"), 1, newMemory()); !errors.Is(err, plugin.ErrSpent) {
		t.Errorf("a closed instance answered %v", err)
	}
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := e.Load(t.Context(), guest(t, "empty"), plugin.Spec{Name: "test"}); err == nil {
		t.Error("a closed engine loads modules")
	}
}

func TestAnEngineNeedsAMeter(t *testing.T) {
	t.Parallel()
	if _, err := plugin.NewEngine(t.Context(), plugin.EngineOptions{}); err == nil {
		t.Error("there is an engine that does not meter")
	}
}

func TestMeterErrorsKeepTheirHint(t *testing.T) {
	t.Parallel()
	m := theMeter()
	m.Rewrite = func([]byte, uint32) ([]byte, error) {
		return nil, &plugin.Error{Err: errors.New("too many functions"), Hint: "use fewer"}
	}
	e := newEngine(t, plugin.EngineOptions{Meter: m})
	_, err := e.Load(t.Context(), guest(t, "empty"), plugin.Spec{Name: "test"})
	wantRefused(t, err, "", `load plugin "test": too many functions`, "use fewer")
}

func TestAPanicWhileLoadingIsARefusal(t *testing.T) {
	t.Parallel()
	m := theMeter()
	m.Rewrite = func(wasm []byte, _ uint32) ([]byte, error) { return wasm[len(wasm)+1:], nil }
	e := newEngine(t, plugin.EngineOptions{Meter: m})
	_, err := e.Load(t.Context(), guest(t, "empty"), plugin.Spec{Name: "test"})
	wantRefused(t, err, "not a WebAssembly module", "panic: runtime error: slice bounds", "report")
}

// cacheUser starts an engine with a cache, runs an event, and returns what the engine logged.
func cacheUser(t *testing.T, dir string) string {
	t.Helper()
	var l logs
	e, err := plugin.NewEngine(t.Context(), plugin.EngineOptions{Meter: theMeter(), CacheDir: dir, Logger: l.logger()})
	if err != nil {
		t.Fatal(err)
	}
	m, err := e.Load(t.Context(), guest(t, "behave"), plugin.Spec{Name: "test", Grants: plugin.Grants()})
	if err != nil {
		t.Fatal(err)
	}
	in, err := m.NewInstance(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fx := newMemory()
	if err := in.Handle(t.Context(), newEvent("x"), 1, fx); err != nil || fx.writes != 1 {
		t.Errorf("got %v", err)
	}
	if err := errors.Join(in.Close(t.Context()), m.Close(t.Context()), e.Close(t.Context())); err != nil {
		t.Error(err)
	}
	return l.String()
}

func TestCompileCache(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "deep", "cache")
	if log := cacheUser(t, dir); log != "" {
		t.Errorf("the first start logged %q", log)
	}
	files := cached(t, dir)
	if len(files) != 1 {
		t.Fatalf("the cache holds %q", files)
	}
	before, err := os.Stat(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if log := cacheUser(t, dir); log != "" {
		t.Errorf("the second start logged %q", log)
	}
	if after, err := os.Stat(files[0]); err != nil || !os.SameFile(before, after) || !after.ModTime().Equal(before.ModTime()) || len(cached(t, dir)) != 1 {
		t.Errorf("the second start did not use the cache: %v", err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder is %v, %v", info.Mode(), err)
	}
}

// TestDamagedCompileCache changes what is cached in ways that would end the process if it were used: wazero checks the
// machine code itself, not the offsets and counts before it.
func TestDamagedCompileCache(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "cache")
	cacheUser(t, dir)
	change := func(path string, change func([]byte) []byte) {
		b, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, change(b), 0o600)
		}
		if err != nil {
			t.Error(err)
		}
	}
	flip := func(at float64) func(string) {
		return func(file string) {
			change(file, func(b []byte) []byte { b[int(at*float64(len(b)-1))] ^= 0x40; return b })
		}
	}
	cases := map[string]func(file string){
		"cut":          func(file string) { change(file, func(b []byte) []byte { return b[:10] }) },
		"longer":       func(file string) { change(file, func(b []byte) []byte { return append(b, 0) }) },
		"empty":        func(file string) { change(file, func([]byte) []byte { return nil }) },
		"first bit":    flip(0),
		"machine code": flip(0.5),
		"last bit":     flip(1),
		"one more file": func(file string) {
			change(file, func(b []byte) []byte { _ = os.WriteFile(file+"1", b, 0o600); return b })
		},
		"offsets": func(file string) { change(file, func(b []byte) []byte { b[30] ^= 0xff; b[31] ^= 0xff; return b }) },
		"another's": func(file string) {
			if err := errors.Join(os.Rename(file, file+".bin"), os.Symlink(file+".bin", file)); err != nil {
				t.Error(err)
			}
		},
	}
	for name, spoil := range cases {
		files := cached(t, dir)
		if len(files) != 1 {
			t.Fatalf("%s: the cache holds %q", name, files)
		}
		spoil(files[0])
		if log := cacheUser(t, dir); !strings.Contains(log, "is not what was put there") {
			t.Errorf("%s: logged %q", name, log)
		}
		if log := cacheUser(t, dir); log != "" {
			t.Errorf("%s: the entry was not made anew: %q", name, log)
		}
	}
	for _, left := range glob(t, filepath.Join(dir, "*")) {
		if strings.HasPrefix(filepath.Base(left), "new-") {
			t.Errorf("left behind: %s", left)
		}
	}
}

func TestCompileTimeIsLimited(t *testing.T) {
	t.Parallel()
	e := newEngine(t, plugin.EngineOptions{CompileTime: 1})
	_, err := e.Load(t.Context(), guest(t, "behave"), plugin.Spec{Name: "test", Grants: plugin.Grants()})
	wantRefused(t, err, "takes too long to compile", "not compiled after 1ns", "smaller")
	if n := e.Compiled(); n != 0 {
		t.Errorf("%d modules are held by nobody", n)
	}
}

func cached(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && d.Name() != "sha256" {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestCompileCacheIsNotTrustedBlindly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(filepath.Join(dir, "open"), 0o700))
	must(os.Chmod(filepath.Join(dir, "open"), 0o777))
	must(os.Mkdir(filepath.Join(dir, "group"), 0o700))
	must(os.Chmod(filepath.Join(dir, "group"), 0o720))
	must(os.Mkdir(filepath.Join(dir, "target"), 0o700))
	must(os.Symlink(filepath.Join(dir, "target"), filepath.Join(dir, "link")))
	must(os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	tests := map[string]string{
		"open":     "others may write to it (mode 0777)",
		"group":    "others may write to it (mode 0720)",
		"link":     "symbolic link",
		"file":     "not a folder",
		"file/sub": "not a directory",
	}
	if os.Geteuid() == 0 {
		must(os.Mkdir(filepath.Join(dir, "foreign"), 0o700))
		must(os.Chown(filepath.Join(dir, "foreign"), 12345, 12345))
		tests["foreign"] = "belongs to another user"
	}
	for name, want := range tests {
		_, err := plugin.NewEngine(t.Context(), plugin.EngineOptions{Meter: theMeter(), CacheDir: filepath.Join(dir, name)})
		var e *plugin.Error
		kind := plugin.ErrCacheDir
		if name == "file/sub" {
			kind = plugin.ErrCacheWrite
		}
		if !errors.Is(err, kind) || !strings.Contains(err.Error(), want) || !errors.As(err, &e) || e.Hint == "" {
			t.Errorf("%s: got %v with the hint %q, want %q", name, err, e.Hint, want)
		}
	}
}
