package main

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// A plugin of your own would unmarshal into a struct and marshal it again. This one is held to rules that three languages
// share, and encoding/json has other ones: it ignores the case of a struct's keys, repairs invalid UTF-8, and escapes <, > and &.

const maxDepth = 256

// object returns the fields of a JSON object, the last of each name, or false if data is none.
func object(data []byte) (map[string]json.RawMessage, bool) {
	var fields map[string]json.RawMessage
	if !utf8.Valid(data) || tooDeep(data) || json.Unmarshal(data, &fields) != nil {
		return nil, false
	}
	return fields, fields != nil // null is no error to Unmarshal
}

// tooDeep reports whether brackets nest deeper than they may.
func tooDeep(data []byte) bool {
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
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// text returns a field that is a string.
func text(field json.RawMessage) (s string, ok bool) {
	if len(field) == 0 || field[0] != '"' || json.Unmarshal(field, &s) != nil {
		return "", false
	}
	return s, true
}

// integer returns a field that is a number, written as an integer, of 64 bits.
func integer(field json.RawMessage) (int64, bool) {
	n, err := strconv.ParseInt(string(field), 10, 64)
	return n, err == nil
}

// appendText appends a string in JSON, with no more escapes than JSON asks for.
func appendText(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, `\b`...)
		case '\f':
			b = append(b, `\f`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			if c < 0x20 {
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			} else {
				b = append(b, c)
			}
		}
	}
	return append(b, '"')
}
