package plugin

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"eshost/abi"
)

const headerSize = 8

// checkHeader tells apart what people put where a module belongs.
func checkHeader(wasm []byte) error {
	switch {
	case len(wasm) == 0:
		return refuse(ErrNotModule, "build the module again", "the file is empty")
	case bytes.HasPrefix(bytes.TrimSpace(wasm), []byte("(module")):
		return refuse(ErrNotModule, "compile it first: wat2wasm", "the file is WebAssembly text, not a module")
	case !bytes.HasPrefix(wasm, []byte("\x00asm")):
		return refuse(ErrNotModule, "name the .wasm file that the build writes",
			"the file is not a WebAssembly module: it begins with %q, not with \"\\x00asm\"", wasm[:min(len(wasm), 4)])
	case len(wasm) < headerSize:
		return refuse(ErrNotModule, "copy or build it again", "the module ends after %d bytes", len(wasm))
	case wasm[6] == 1 && wasm[7] == 0:
		return refuse(ErrComponent, "build a core module instead: Rust's target wasm32-unknown-unknown, Go's GOOS=wasip1 -buildmode=c-shared",
			"the file is a WebAssembly component, this host runs core modules")
	case !bytes.Equal(wasm[4:headerSize], []byte{1, 0, 0, 0}):
		return refuse(ErrNotModule, "", "the module has the unknown binary version %x, this host knows version 1", wasm[4:headerSize])
	}
	return nil
}

// guestExports says which of the optional exports a module has.
type guestExports struct {
	initialize, init bool
}

func (e *Engine) checkExports(code wazero.CompiledModule) (guestExports, error) {
	funcs := code.ExportedFunctions()
	if err := checkMarker(funcs); err != nil {
		return guestExports{}, err
	}
	if code.ExportedMemories()[abi.ExportMemory] == nil {
		return guestExports{}, missing(funcs, "its memory as "+strconv.Quote(abi.ExportMemory))
	}
	var found guestExports
	for _, want := range []struct {
		name, params, results string
		found                 *bool // nil where the export is required
	}{
		{abi.ExportMarker, "", "", nil},
		{abi.ExportInbox, "i", "i", nil},
		{abi.ExportHandle, "i", "i", nil},
		{abi.ExportInitialize, "", "", &found.initialize},
		{abi.ExportInit, "", "i", &found.init},
	} {
		f, ok := funcs[want.name]
		if want.found != nil {
			*want.found = ok
		}
		if !ok && want.found != nil {
			continue
		}
		wanted := signature(types(want.params), types(want.results))
		if !ok {
			return found, missing(funcs, "the function "+want.name+" "+wanted)
		}
		if is := signature(f.ParamTypes(), f.ResultTypes()); is != wanted {
			return found, refuse(ErrExport, "use an eshost SDK, or see abi/ABI.md", "the module exports %s as %s, it must be %s", want.name, is, wanted)
		}
	}
	return found, nil
}

var versionMarker = regexp.MustCompile(`^eshost_(?:abi_)?v([0-9]+)$`)

// checkMarker finds a module that was made for another version of the ABI, or for several.
func checkMarker(funcs map[string]api.FunctionDefinition) error {
	var others []string
	for name := range funcs {
		if v := versionMarker.FindStringSubmatch(name); v != nil && name != abi.ExportMarker {
			others = append(others, name)
		}
	}
	if len(others) == 0 {
		return nil
	}
	slices.Sort(others)
	if funcs[abi.ExportMarker] == nil {
		return otherVersion(versionMarker.FindStringSubmatch(others[0])[1])
	}
	return refuse(ErrABIVersion, "build it with one SDK, which leaves one marker",
		"the module exports the markers %s and %s; a module speaks one version of the ABI, this host serves version 1", abi.ExportMarker, printable(others[0], maxName))
}

func otherVersion(v string) error {
	return refuse(ErrABIVersion, "use a host that serves it, or build the module with an SDK for version 1",
		"the module speaks version %s of the ABI, this host serves version 1", printable(v, 20))
}

func missing(funcs map[string]api.FunctionDefinition, what string) error {
	hint := "use an eshost SDK, or see abi/ABI.md for what a module exports"
	if funcs["_start"] != nil && funcs[abi.ExportInitialize] == nil {
		hint = "the module is a program with a main; build a library: Go with -buildmode=c-shared, Rust with crate-type cdylib, C with -mexec-model=reactor"
	}
	return refuse(ErrExport, hint, "the module does not export %s", what)
}

func (e *Engine) checkImports(code wazero.CompiledModule) error {
	for _, f := range code.ImportedFunctions() {
		module, name, _ := f.Import()
		if module == e.opts.Meter.Module {
			continue // the rewriter's own; it refuses modules that bring them along
		}
		known := e.served[module][name]
		if known == nil {
			return e.unknownImport(module, name)
		}
		is, wanted := signature(f.ParamTypes(), f.ResultTypes()), signature(known.params, known.results)
		if is != wanted {
			return refuse(ErrImport, "use an SDK made for this version, or see abi/ABI.md",
				"the module imports %s.%s as %s, it is %s", module, name, is, wanted)
		}
	}
	return nil
}

func (e *Engine) unknownImport(module, name string) error {
	if v := versionMarker.FindStringSubmatch(module); v != nil && module != abi.Module {
		return otherVersion(v[1])
	}
	return refuse(ErrImport, e.importHint(module, name), "the module imports %s.%s, which this host does not have", printable(module, maxName), printable(name, maxName))
}

// importHint says where an import that nobody serves usually comes from.
func (e *Engine) importHint(module, name string) string {
	known := e.served.names(module)
	switch {
	case strings.HasPrefix(module, "__wbindgen"):
		return "it comes from wasm-bindgen: leave out crates and features made for browsers (getrandom's js, chrono's wasmbind)"
	case module == "wasi_unstable" || strings.HasPrefix(module, "wasi:"):
		return "build for WASI preview 1 (wasip1), the only one served"
	case module == "env" && !slices.Contains(known, name):
		return "a symbol was left undefined when the module was linked; only AssemblyScript's abort and seed are served from env"
	case len(known) > 0:
		if near := nearest(name, known); near != "" {
			return fmt.Sprintf("did you mean %s.%s?", module, near)
		}
		return module + " has " + strings.Join(known, ", ")
	}
	return fmt.Sprintf("functions are served from %s, wasi_snapshot_preview1 and env; plugins and other modules cannot be imported", abi.Module)
}

// nearest returns the candidate that a few typing mistakes away, or "".
func nearest(name string, candidates []string) string {
	best, at := "", 4
	for _, c := range candidates {
		if d := distance(name, c); d < at {
			best, at = c, d
		}
	}
	return best
}

// distance is how many single-character changes turn a into b. Long names are never near.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
