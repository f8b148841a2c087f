package sandbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"eshost/abi"
	"eshost/host"
	"eshost/host/event"
	"eshost/host/store"
)

// secret is what no guest but its owner's may see. It is 16 bytes, which 18_secrets.wat knows.
const secret = "hunter2-canary-x"

// secrets puts the secret everywhere near: into the environment, into the configuration, the events and the documents of the
// plugin beside it, and into memory that Go has given back and will use again.
func secrets(t *testing.T, r *report) {
	t.Setenv("DB_PASSWORD", secret)
	want := expect(t, "testdata/18_secrets.wat")
	want.secret = []byte(secret)
	for i := range want.secret {
		want.secret[i] ^= 0x5a
	}
	for range 20 {
		_ = bytes.Repeat([]byte(secret), 256<<10)
	}
	runtime.GC()
	handling(t, r, want, read(t, "testdata/18_secrets.wasm"), func(w *world) {
		w.append("account-secret", store.NewEvent{Type: "AccountOpened", Data: fmt.Appendf(nil, `{"owner":%q,"currency":"EUR"}`, secret)})
		w.goesOn()
		if got := w.documentsOf(healthy)["balances/account-secret"]; !strings.Contains(got, secret) {
			t.Fatalf("the secret is not in the other plugin's document: %q", got)
		}
	})
}

// wildPointers calls every function of the ABI with addresses and lengths that are wrong.
func wildPointers(t *testing.T, r *report) {
	// Function by function: its parameters, p for a pointer, n for the length behind it, others as they are.
	functions := map[string]string{
		abi.FuncStateGet: "pnpnpn", abi.FuncStateSet: "pnpnpn", abi.FuncStateDelete: "pnpn", abi.FuncStateScan: "pnpnpn1pn",
		abi.FuncEmit: "pn", abi.FuncLog: "1pn", abi.FuncFail: "pn", abi.FuncConfigGet: "pnpn", abi.FuncResultRead: "pn0",
	}
	results := map[string][]byte{
		abi.FuncStateGet: {1, 0x7e}, abi.FuncStateScan: {1, 0x7e}, abi.FuncConfigGet: {1, 0x7e},
		abi.FuncLog: {0}, abi.FuncFail: {0},
	}
	for _, c := range []struct {
		name    string
		ptr, ln int32
		few     bool
	}{
		{"0xFFFFFFFF and 0xFFFFFFFF", -1, -1, false},
		{"a pointer and a length that overflow", -16, 32, false},
		{"one byte too many", 65535, 2, true},
		{"no length, outside", -1, 0, true},
	} {
		for function, params := range functions {
			if c.few && function != abi.FuncStateSet && function != abi.FuncStateScan {
				continue // package plugin has every function
			}
			var body []byte
			for _, p := range params {
				v := int32(p - '0')
				switch p {
				case 'p':
					v = c.ptr
				case 'n':
					v = c.ln
				}
				body = append(append(body, 0x41), signedLEB(v)...)
			}
			result := results[function]
			if result == nil {
				result = []byte{1, 0x7f}
			}
			body = append(body, 0x10, 0)
			if result[0] == 1 {
				body = append(body, 0x1a)
			}
			typ := append(append(append([]byte{0x60}, leb(uint64(len(params)))...), bytes.Repeat([]byte{0x7f}, len(params))...), result...)
			wasm := built{types: [][]byte{typ}, imports: []imported{{abi.Module, function, 2}}, handle: append(body, 0x41, 0)}.bytes()
			want := expectation{group: 9, name: function + ": " + c.name, outcome: "fails", kind: "protocol",
				says: "it gave the host a pointer or length outside its memory", events: 1, data: 2, attempts: 2, toml: []string{wholeGrant}}
			t.Run(function+" "+c.name, func(t *testing.T) { handling(t, r, want, wasm, nil) })
		}
	}
}

func signedLEB(v int32) []byte {
	var out []byte
	for {
		b := byte(v) & 0x7f
		v >>= 7
		if v == 0 && b&0x40 == 0 || v == -1 && b&0x40 != 0 {
			return append(out, b)
		}
		out = append(out, b|0x80)
	}
}

// spinning holds guests that never end to what they may do to others: whatever they spin in, the healthy plugin handles a
// hundred events meanwhile, and a stop of the host stops them.
func spinning(t *testing.T) {
	for _, name := range []string{"06_loop", "06_exponential", "06_copy_whole", "06_host_work", "12_log_flood"} {
		t.Run(name, func(t *testing.T) {
			want := expect(t, "testdata/"+name+".wat")
			var toml []string
			for _, line := range want.toml {
				if !strings.Contains(line, "limits.time") {
					toml = append(toml, line)
				}
			}
			want.toml = append(toml, `limits.time = "10m"`)
			var others []module
			for i := range 3 {
				others = append(others, module{fmt.Sprintf("bad%d", i), read(t, "testdata/"+name+".wasm"), want.section()})
			}
			w := newWorld(t, others...)
			w.append("bad", store.NewEvent{Type: "Bad", Data: []byte("{}")})
			w.goesOn()
			before := w.handled()
			w.until("the healthy plugin handles a hundred events beside three guests that spin", func() bool { return w.handled() >= before+100 })
			for i := range 3 {
				if p := w.stored(fmt.Sprintf("bad%d", i)); p.Position != 0 {
					t.Errorf("a guest that spins has a checkpoint at %d", p.Position)
				}
			}
		})
	}
}

// replacedFile swaps a module's file for another and back while hosts read it. Whatever a host got, the digest it
// reports is that of the bytes it runs.
func replacedFile(t *testing.T, w *world, r *report) {
	versions := map[string][]byte{}
	for _, answer := range []string{"one", "two"} {
		wasm := built{custom: 200_000, exports: []string{answer}}.bytes()
		sum := sha256.Sum256(wasm)
		versions[hex.EncodeToString(sum[:])] = wasm
	}
	path := filepath.Join(t.TempDir(), "bad.wasm")
	first := true
	for _, wasm := range versions {
		if first {
			write(t, path, wasm)
		}
		first = false
	}
	stop := make(chan struct{})
	var swapper sync.WaitGroup
	swapper.Go(func() {
		for i := 0; ; i++ {
			for _, wasm := range versions {
				select {
				case <-stop:
					return
				default:
				}
				if err := os.WriteFile(path+"~", wasm, 0o600); err == nil {
					err = os.Rename(path+"~", path)
					if err != nil {
						t.Error(err)
					}
				}
			}
		}
	})
	w.measured(t, r, 20, "the file is replaced while hosts read it", 0, func() string {
		seen := make(map[string]int)
		for range 60 {
			info, err := host.CheckModule(t.Context(), path, 32<<20)
			if err != nil {
				t.Fatal(err)
			}
			wasm := versions[info.Digest]
			if wasm == nil {
				t.Fatalf("digest %s is neither file's", info.Digest)
			}
			for _, name := range info.Exports {
				if (name == "one" || name == "two") && !bytes.Contains(wasm, []byte(name)) {
					t.Errorf("digest %s is not that of the module that exports %s", info.Digest, name)
				}
			}
			seen[info.Digest]++
		}
		return fmt.Sprintf("%d digests seen, each with its own exports", len(seen))
	})
	close(stop)
	swapper.Wait()
}

// tamperedCache changes every file of the compile cache in turn: a host that starts uses none of it, and runs.
func tamperedCache(t *testing.T, r *report) {
	cache := filepath.Join(t.TempDir(), "cache")
	url := "sqlite:" + filepath.Join(t.TempDir(), "events.db")
	dir := project(t, url, module{healthy, read(t, filepath.Join(root, "plugins/examples/balances/rust/balances.wasm")), ""})
	toml := strings.Replace(string(read(t, filepath.Join(dir, "hosts.toml"))), filepath.Join(files.Dir(), "cache"), cache, 1)
	write(t, filepath.Join(dir, "hosts.toml"), []byte(toml))
	position := event.Position(0)
	runOne := func() string {
		log := new(lines)
		reached := make(chan event.Position, 100)
		h, err := open(t, dir, host.Options{Logger: log.logger(), Committed: func(_ string, p event.Position) { reached <- p }})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- h.Run(ctx) }()
		recorded, err := h.Append(ctx, store.AppendRequest{Streams: []store.StreamAppend{{Stream: "a", Expected: store.AnyVersion,
			Events: []store.NewEvent{{Type: "Deposited", Data: []byte(`{"amount":1}`)}}}}})
		if err != nil {
			t.Fatal(err)
		}
		for position < recorded[0].Position {
			position = <-reached
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		return log.String()
	}
	runOne()
	for _, at := range []float64{0, 0.001, 0.01, 0.5, 0.999, 1} {
		err := filepath.WalkDir(cache, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || d.Name() == "sha256" {
				return err
			}
			b := read(t, path)
			b[int(at*float64(len(b)-1))] ^= 0x55
			return os.WriteFile(path, b, 0o600)
		})
		if err != nil {
			t.Fatal(err)
		}
		if log := runOne(); !strings.Contains(log, "is not what was put there") {
			t.Errorf("a byte changed at %v: the log says nothing", at)
		}
	}
	r.add(row{group: 20, name: "a byte of the compile cache changed", outcome: "found, compiled anew, logged; the plugin runs"})
	if err := os.Chmod(cache, 0o777); err != nil {
		t.Fatal(err)
	}
	if h, err := open(t, dir, host.Options{}); err == nil {
		_ = h.Close()
		t.Error("a cache that others can write to was used")
	} else {
		r.add(row{group: 20, name: "a compile cache that others can write to", outcome: err.Error()})
	}
}
