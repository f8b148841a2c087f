package plugin

import (
	"cmp"
	"slices"

	"github.com/tetratelabs/wazero/api"
)

// ServedFunction is a function that guests may import.
type ServedFunction struct {
	Module, Name    string
	Params, Results []api.ValueType
}

// ServedFunctions lists all but the meter's, in order.
func (e *Engine) ServedFunctions() []ServedFunction {
	var all []ServedFunction
	for module, funcs := range e.served {
		if module == e.opts.Meter.Module {
			continue
		}
		for _, f := range funcs {
			all = append(all, ServedFunction{module, f.name, f.params, f.results})
		}
	}
	slices.SortFunc(all, func(a, b ServedFunction) int { return cmp.Compare(a.Module+"."+a.Name, b.Module+"."+b.Name) })
	return all
}

// ReadManifest decodes the manifest of a module that is well formed.
func ReadManifest(wasm []byte) (*Manifest, error) { return readManifest(wasm) }
