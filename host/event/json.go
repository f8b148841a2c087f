package event

import (
	"encoding/json"
	"unicode/utf8"
)

// MaxJSONDepth is how deeply arrays and objects may nest. Databases parse with a stack of their own.
const MaxJSONDepth = 256

// ValidJSON reports whether b is one JSON value in UTF-8 that every database we write to accepts as
// text and that is not nested deeper than MaxJSONDepth.
func ValidJSON(b []byte) bool {
	return utf8.Valid(b) && shallow(b) && json.Valid(b)
}

func shallow(b []byte) bool {
	depth, inString := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inString:
			if c == '\\' {
				i++
			} else if c == '"' {
				inString = false
			}
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			if depth++; depth > MaxJSONDepth {
				return false
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return true
}
