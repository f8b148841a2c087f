package plugin

import (
	"encoding/binary"
	"encoding/json"

	"eshost/abi"
	"eshost/host/event"
)

// Manifest is what a module says about itself. Nothing of it is binding.
type Manifest struct {
	Name        string   `json:"name,omitempty"`
	Version     string   `json:"version,omitempty"`
	Events      []string `json:"events,omitempty"`
	Collections []string `json:"collections,omitempty"`
}

const (
	maxManifest  = 64 << 10
	manifestHint = `the custom section ` + abi.ManifestSection + ` holds {"name": "...", "version": "...", "events": ["..."], "collections": ["..."]}`
)

// readManifest finds and decodes the manifest's custom section. It returns nil where there is none. The module's
// structure has been checked before.
func readManifest(wasm []byte) (*Manifest, error) {
	section := customSection(wasm, abi.ManifestSection)
	if section == nil {
		return nil, nil
	}
	if len(section) > maxManifest {
		return nil, refuse(ErrManifest, "", "the manifest has %d bytes, at most %d are allowed", len(section), maxManifest)
	}
	if !event.ValidJSON(section) {
		return nil, refuse(ErrManifest, manifestHint, "the manifest is not JSON")
	}
	m := new(Manifest)
	if err := json.Unmarshal(section, m); err != nil {
		return nil, refuse(ErrManifest, manifestHint, "the manifest does not fit: %s", printable(err.Error(), maxMessage))
	}
	m.Name, m.Version = printable(m.Name, maxName), printable(m.Version, maxName)
	for _, list := range [][]string{m.Events, m.Collections} {
		for i := range list {
			list[i] = printable(list[i], maxName)
		}
	}
	return m, nil
}

// customSection returns the content of the first custom section of a name, or nil.
func customSection(wasm []byte, name string) []byte {
	for at := headerSize; at < len(wasm); {
		id := wasm[at]
		size, n := binary.Uvarint(wasm[at+1:])
		from := at + 1 + n
		if n <= 0 || size > uint64(len(wasm)-from) {
			return nil
		}
		at = from + int(size)
		if id != 0 {
			continue
		}
		section := wasm[from:at]
		length, n := binary.Uvarint(section)
		if n > 0 && length <= uint64(len(section)-n) && string(section[n:n+int(length)]) == name {
			return section[n+int(length):]
		}
	}
	return nil
}
