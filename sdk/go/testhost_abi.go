//go:build !wasip1

package eshost

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// The host's side of the ABI's functions, with the limits of abi/ABI.md.

const (
	maxCollection = 128
	maxKey        = 1024
	maxDocument   = 1 << 20
	maxScan       = 1000
	maxEmitData   = 1 << 20
	maxMetadata   = 256 << 10
	maxEventName  = 512
	maxDepth      = 256
)

func (h *TestHost) stateGet(collection, key string) ([]byte, Errno) {
	if errno := checkNames(collection, key); errno != 0 {
		return nil, errno
	}
	if written, ok := h.written[name{collection, key}]; ok {
		if written == nil {
			return nil, ErrNotFound
		}
		return []byte(*written), 0
	}
	if data, ok := h.documents[name{collection, key}]; ok {
		return []byte(data), 0
	}
	return nil, ErrNotFound
}

func (h *TestHost) stateSet(collection, key string, data []byte) Errno {
	if errno := checkNames(collection, key); errno != 0 {
		return errno
	}
	if len(data) > maxDocument {
		return ErrTooLarge
	}
	if !validJSON(data) {
		return ErrInvalid
	}
	text := string(data)
	h.written[name{collection, key}] = &text
	return 0
}

func (h *TestHost) stateDelete(collection, key string) Errno {
	if errno := checkNames(collection, key); errno != 0 {
		return errno
	}
	h.written[name{collection, key}] = nil
	return 0
}

func (h *TestHost) stateScan(collection, prefix, after string, limit uint32) ([]byte, Errno) {
	switch {
	case len(collection) > maxCollection || len(prefix) > maxKey || len(after) > maxKey || int32(limit) > maxScan:
		return nil, ErrTooLarge
	case collection == "" || int32(limit) < 1 || !validNames(collection, prefix, after):
		return nil, ErrInvalid
	}
	docs := h.Documents(collection)
	for n, data := range h.written {
		if n.collection == collection && data != nil {
			docs[n.key] = *data
		} else if n.collection == collection {
			delete(docs, n.key)
		}
	}
	var keys []string
	for key := range docs {
		if strings.HasPrefix(key, prefix) && key > after {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	keys = keys[:min(len(keys), int(limit))]
	list := binary.LittleEndian.AppendUint32(nil, uint32(len(keys)))
	for _, key := range keys {
		list = binary.LittleEndian.AppendUint32(list, uint32(len(key)))
		list = binary.LittleEndian.AppendUint32(list, uint32(len(docs[key])))
		list = append(append(list, key...), docs[key]...)
	}
	return list, 0
}

func (h *TestHost) emit(argument []byte) Errno {
	slot := func(i int) []byte {
		at := 16 + 8*i
		offset, size := binary.LittleEndian.Uint32(argument[at:]), binary.LittleEndian.Uint32(argument[at+4:])
		return bytes.Clone(argument[offset : offset+size])
	}
	e := NewEvent{
		Stream: string(slot(0)), StreamType: string(slot(1)), Type: string(slot(2)),
		Data: slot(3), Metadata: slot(4), ContentType: string(slot(5)),
	}
	if errno := checkEmitted(&e); errno != 0 {
		return errno
	}
	h.emits = append(h.emits, e)
	return 0
}

func checkEmitted(e *NewEvent) Errno {
	isJSON := e.ContentType == "" || e.ContentType == "application/json"
	isObject := bytes.HasPrefix(bytes.TrimLeft(e.Metadata, " \t\r\n"), []byte("{")) && validJSON(e.Metadata)
	switch {
	case len(e.Data) > maxEmitData || len(e.Metadata) > maxMetadata,
		max(len(e.Stream), len(e.StreamType), len(e.Type), len(e.ContentType)) > maxEventName:
		return ErrTooLarge
	case e.Stream == "" || e.Type == "" || !validNames(e.Stream, e.StreamType, e.Type, e.ContentType),
		isJSON && !validJSON(e.Data),
		len(e.Metadata) > 0 && !isObject:
		return ErrInvalid
	}
	return 0
}

func (h *TestHost) configGet(key string) ([]byte, Errno) {
	if len(key) > maxKey {
		return nil, ErrTooLarge
	}
	value, ok := h.Config[key]
	if !ok {
		return nil, ErrNotFound
	}
	return []byte(value), 0
}

func checkNames(collection, key string) Errno {
	switch {
	case len(collection) > maxCollection || len(key) > maxKey:
		return ErrTooLarge
	case collection == "" || key == "" || !validNames(collection, key):
		return ErrInvalid
	}
	return 0
}

func validNames(names ...string) bool {
	for _, name := range names {
		if !utf8.ValidString(name) || strings.Contains(name, "\x00") {
			return false
		}
	}
	return true
}

func validJSON(data []byte) bool {
	depth, inText := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inText && c == '\\':
			i++
		case c == '"':
			inText = !inText
		case inText:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return false
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return utf8.Valid(data) && json.Valid(data)
}
