package test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"eshost/host/bank"
	"eshost/host/store"
)

// TestIdlePluginTakesLittleMemory holds a plugin in AssemblyScript that has worked and has nothing to do to half a MiB
// of the host's resident set, in the real binary. More than a MiB would be too much.
func TestIdlePluginTakesLittleMemory(t *testing.T) {
	t.Parallel()
	const few, many = 5, 105
	const accounts, events = 125, 250 // which are one batch
	with := make(map[int]int64)
	for _, n := range []int{few, many} {
		storeURL := newDatabase(t, "sqlite")
		s := openStore(t, storeURL)
		b := bank.New(accounts, 1)
		for range events / accounts {
			req := store.AppendRequest{}
			for range accounts {
				req.Streams = append(req.Streams, b.Next())
			}
			if res := s.Append(t.Context(), []store.AppendRequest{req})[0]; res.Err != nil {
				t.Fatal(res.Err)
			}
		}
		p := newProject(t, storeURL, "memory", memoryPlugins(t, n)...)
		host := p.host()
		eventually(t, "every plugin at the end", func() error {
			plugins, err := s.Plugins(t.Context())
			if err != nil {
				return err
			}
			behind := n - len(plugins)
			for _, p := range plugins {
				if p.Position < events {
					behind++
				}
			}
			if behind > 0 {
				return fmt.Errorf("%d plugins are not there", behind)
			}
			return nil
		})
		// What the plugins have let go of is given back some seconds after they have come to rest.
		most := with[few] + (many-few)<<19
		eventually(t, "the memory of idle plugins", func() error {
			if with[n] = residentOf(t, host.cmd.Process.Pid); n == many && with[n] >= most {
				return fmt.Errorf("%d MiB with %d plugins, %d MiB with %d", with[n]>>20, n, with[few]>>20, few)
			}
			return nil
		})
		host.stop()
	}
	t.Logf("%d KiB for each of %d idle plugins", (with[many]-with[few])>>10/(many-few), many-few)
}

// memoryPlugins are plugins with ten modules that do the same, each with a custom section of its own.
func memoryPlugins(t *testing.T, n int) []plugin {
	t.Helper()
	wasm, err := os.ReadFile(balancesModule(t, "assemblyscript"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	plugins := make([]plugin, n)
	for i := range plugins {
		name := fmt.Sprintf("variant%d", i%10)
		path := filepath.Join(dir, name+".wasm")
		section := append([]byte{0, byte(1 + len(name)), byte(len(name))}, name...)
		if err := os.WriteFile(path, append(bytes.Clone(wasm), section...), 0o600); err != nil {
			t.Fatal(err)
		}
		plugins[i] = plugin{fmt.Sprintf("p%03d", i), path, ""}
	}
	return plugins
}

// residentOf is the resident set of a process, in bytes.
func residentOf(t *testing.T, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatalf("no resident set of process %d", pid)
	return 0
}
