package eventjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"

	"eshost/host/event"
)

// member is one name and value of a JSON object. raw is the value's own bytes.
type member struct {
	name string
	raw  []byte
}

// maxMembers bounds an event's own keys; what lies inside its data is not counted.
const maxMembers = 256

// parseObject checks that b is one JSON object and returns its members in order.
func parseObject(b []byte) ([]member, error) {
	if !event.ValidJSON(b) {
		return nil, whyInvalid(b)
	}
	if first := skipSpace(b, 0); b[first] != '{' {
		return nil, errors.New("must be a JSON object")
	}
	list := make([]member, 0, 8)
	for m := range members(b) {
		if len(list) == maxMembers {
			return nil, fmt.Errorf("has more than %d keys", maxMembers)
		}
		if slices.ContainsFunc(list, func(other member) bool { return other.name == m.name }) {
			return nil, fmt.Errorf("key %q occurs twice", m.name)
		}
		list = append(list, m)
	}
	return list, nil
}

func whyInvalid(b []byte) error {
	var raw json.RawMessage
	err := json.Unmarshal(b, &raw)
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("not JSON: %w, at byte %d", err, syntax.Offset)
	case err != nil:
		return fmt.Errorf("not JSON: %w", err)
	}
	return fmt.Errorf("must be UTF-8 and nested at most %d deep", event.MaxJSONDepth)
}

// members walks a valid JSON object. It exists because encoding/json keeps neither the order of
// members nor those that occur twice.
func members(b []byte) iter.Seq[member] {
	return func(yield func(member) bool) {
		i := skipSpace(b, skipSpace(b, 0)+1)
		for b[i] != '}' {
			end := skipString(b, i)
			name := unquote(b[i:end])
			i = skipSpace(b, skipSpace(b, end)+1)
			end = skipValue(b, i)
			if !yield(member{name, b[i:end:end]}) {
				return
			}
			if i = skipSpace(b, end); b[i] == ',' {
				i = skipSpace(b, i+1)
			}
		}
	}
}

func unquote(b []byte) string {
	if bytes.IndexByte(b, '\\') < 0 {
		return string(b[1 : len(b)-1])
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return string(b) // cannot be: the whole object was valid
	}
	return s
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n') {
		i++
	}
	return i
}

func skipString(b []byte, i int) int {
	for i++; b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i + 1
}

func skipValue(b []byte, i int) int {
	depth := 0
	for ; i < len(b); i++ {
		switch b[i] {
		case '"':
			if i = skipString(b, i); depth == 0 {
				return i
			}
			i--
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
	}
	return i
}
