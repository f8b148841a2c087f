package abitest

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero/api"

	"eshost/abi"
	"eshost/host/event"
)

const (
	reservedPrefix = "__eshost_"
	reservedModule = "eshost_meter"
	maxManifest    = 64 << 10
)

// shapeChecks look at a module without running it.
func shapeChecks() []check {
	return []check{
		{"a core module", "Core WebAssembly 2.0 only: i32 and i64 in every signature, no component model, no WASI of the module's own making.", true, (*kit).compiles},
		{"imports are known", "An unknown import is refused with its name when the module is loaded.", true, (*kit).importsKnown},
		{"memory is exported", "| `memory` | memory | |", true, (*kit).memoryExported},
		{"memory is the module's own", "**The guest owns its memory.**", true, (*kit).memoryOwned},
		{"eshost_abi_v1 is exported", "never; its presence says which ABI the module speaks", true, (*kit).markerExported},
		{"eshost_inbox is exported", "| `eshost_inbox` | `(min i32) -> i32` |", true, exported(abi.ExportInbox, "i", "i", true)},
		{"handle is exported", "| `handle` | `(len i32) -> i32` |", true, exported(abi.ExportHandle, "i", "i", true)},
		{"_initialize has its type", "| `_initialize` | `() -> ()` | optional;", true, exported(abi.ExportInitialize, "", "", false)},
		{"eshost_init has its type", "| `eshost_init` | `() -> i32` | optional;", true, exported(abi.ExportInit, "", "i", false)},
		{"no reserved names", "Names beginning with `__eshost_` and the import module `eshost_meter` are the host's own. A module that uses them is refused.", true, (*kit).reservedNames},
		{"the manifest can be read", "A custom section `eshost.manifest` may hold a JSON object that describes the module and can be read without running it:", false, (*kit).manifestReads},
	}
}

func (k *kit) compiles() error {
	const want = "a module in the binary format, version 1"
	switch {
	case bytes.HasPrefix(bytes.TrimSpace(k.wasm), []byte("(module")):
		return differs(want, "WebAssembly text")
	case !bytes.HasPrefix(k.wasm, []byte("\x00asm")):
		return differs(want, "%d bytes that begin with %q", len(k.wasm), k.wasm[:min(len(k.wasm), 4)])
	case len(k.wasm) >= 8 && k.wasm[6] == 1 && k.wasm[7] == 0:
		return differs(want, "a component")
	}
	m, err := open(context.Background(), k.wasm)
	if err != nil {
		return differs("a module that is valid and asks for at most "+fmt.Sprint(maxMemoryPages/16)+" MiB", "%v", err)
	}
	m.limit = k.options.Time
	k.module = m
	k.samples = k.sampleEvents()
	return nil
}

func (k *kit) importsKnown() error {
	for _, f := range k.module.compiled.ImportedFunctions() {
		module, name, _ := f.Import()
		if module == reservedModule {
			continue // told by its own check
		}
		i := slices.IndexFunc(k.module.served, func(s function) bool { return s.module == module && s.name == name })
		if i < 0 {
			return differs("imports that abi/ABI.md lists", "%s.%s", module, name)
		}
		want, is := signature(k.module.served[i].params, k.module.served[i].results), signature(f.ParamTypes(), f.ResultTypes())
		if want != is {
			return differs(module+"."+name+" as "+want, "%s", is)
		}
	}
	return nil
}

func (k *kit) memoryExported() error {
	if k.module.compiled.ExportedMemories()[abi.ExportMemory] == nil {
		return differs("an exported memory of this name", "%s", k.listExports())
	}
	return nil
}

func (k *kit) memoryOwned() error {
	for _, memory := range k.module.compiled.ImportedMemories() {
		module, name, _ := memory.Import()
		return differs("a memory that the module defines", "one that it imports as %s.%s", module, name)
	}
	return nil
}

var otherMarker = regexp.MustCompile(`^eshost_abi_v[0-9]+$`)

func (k *kit) markerExported() error {
	for name := range k.module.compiled.ExportedFunctions() {
		if otherMarker.MatchString(name) && k.module.compiled.ExportedFunctions()[abi.ExportMarker] == nil {
			return differs(abi.ExportMarker+", for version 1", "%s", name)
		}
	}
	return exported(abi.ExportMarker, "", "", true)(k)
}

func exported(name, params, results string, required bool) func(*kit) error {
	want := signature(types(params), types(results))
	return func(k *kit) error {
		f, ok := k.module.compiled.ExportedFunctions()[name]
		switch {
		case !ok && required:
			return differs(name+" "+want, "no such export among %s", k.listExports())
		case !ok:
			return skip("not exported, and need not be")
		}
		if is := signature(f.ParamTypes(), f.ResultTypes()); is != want {
			return differs(name+" "+want, "%s %s", name, is)
		}
		return nil
	}
}

func (k *kit) listExports() string { return "the exports " + strings.Join(k.module.Exports(), ", ") }

func (k *kit) reservedNames() error {
	for _, name := range exportNames(k.wasm) {
		if strings.HasPrefix(name, reservedPrefix) {
			return differs("no export that begins with "+reservedPrefix, "%s", name)
		}
	}
	for _, f := range k.module.compiled.ImportedFunctions() {
		if module, name, _ := f.Import(); module == reservedModule || strings.HasPrefix(name, reservedPrefix) {
			return differs("no import of the host's own names", "%s.%s", module, name)
		}
	}
	return nil
}

// exportNames lists all exports of a valid module, those that wazero does not tell of too.
func exportNames(wasm []byte) []string {
	const exportSection = 7
	number := func(b []byte) (uint64, []byte) {
		n, size := binary.Uvarint(b)
		return n, b[size:]
	}
	for rest := wasm[8:]; len(rest) > 0; {
		id := rest[0]
		size, section := number(rest[1:])
		rest = section[size:]
		if id != exportSection {
			continue
		}
		count, list := number(section)
		names := make([]string, 0, count)
		for range count {
			var length uint64
			length, list = number(list)
			names = append(names, string(list[:length]))
			_, list = number(list[length+1:]) // behind the kind
		}
		return names
	}
	return nil
}

type manifest struct {
	Name, Version       string
	Events, Collections []string
}

func (k *kit) manifestReads() error {
	section := k.module.Manifest()
	if section == nil {
		return skip("the module has none, and needs none")
	}
	const want = `{"name": "...", "version": "...", "events": ["..."], "collections": ["..."]}`
	if len(section) > maxManifest {
		return differs("at most 64 KiB", "%d bytes", len(section))
	}
	if !event.ValidJSON(section) {
		return differs(want, "%q, which is not JSON", shorten(string(section)))
	}
	var m *manifest
	if err := json.Unmarshal(section, &m); err != nil || m == nil {
		return differs(want, "%q", shorten(string(section)))
	}
	return nil
}

// manifest is what the module says about itself, if it can be read.
func (k *kit) manifest() manifest {
	var m manifest
	if json.Unmarshal(k.module.Manifest(), &m) != nil {
		return manifest{}
	}
	return m
}

// types spells value types: i is i32.
func types(short string) []api.ValueType { return slices.Repeat([]api.ValueType{i32}, len(short)) }

// signature spells a function's type: (i32, i32) -> i64.
func signature(params, results []api.ValueType) string {
	list := func(ts []api.ValueType) string {
		names := make([]string, len(ts))
		for i, t := range ts {
			names[i] = api.ValueTypeName(t)
		}
		return strings.Join(names, ", ")
	}
	if len(results) == 1 {
		return "(" + list(params) + ") -> " + list(results)
	}
	return "(" + list(params) + ") -> (" + list(results) + ")"
}
