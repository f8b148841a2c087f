package delivery

import (
	"bytes"
	"encoding/json"
)

// topLevel returns the raw value under a name in a JSON object, the last one if there are several, or
// nil. Metadata was checked when it was stored; of what is no JSON object the answer is nil or some
// bytes of it. json.Unmarshal would cost ten times as much, for each event.
func topLevel(object []byte, name string) (found []byte) {
	b := object
	next := func() byte { // the next byte that is not white space
		b = bytes.TrimLeft(b, " \t\r\n")
		if len(b) == 0 {
			return 0
		}
		return b[0]
	}
	if next() != '{' {
		return nil
	}
	for {
		b = b[1:] // { or ,
		if next() != '"' {
			return found // }, or no JSON
		}
		key := b[:stringEnd(b)]
		b = b[len(key):]
		if next() != ':' {
			return nil
		}
		b = b[1:]
		next()
		value := b[:valueEnd(b)]
		if b = b[len(value):]; len(value) == 0 {
			return nil
		}
		if isString(key, name) {
			found = value
		}
		switch next() {
		case ',':
		case '}':
			return found
		default:
			return nil
		}
	}
}

// isString reports whether a JSON string is a text.
func isString(raw []byte, text string) bool {
	if bytes.IndexByte(raw, '\\') < 0 {
		return len(raw) == len(text)+2 && string(raw[1:len(raw)-1]) == text
	}
	var s string
	return json.Unmarshal(raw, &s) == nil && s == text
}

// stringEnd returns where the string that b begins with ends, len(b) if it does not.
func stringEnd(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

// valueEnd returns where the value that b begins with ends.
func valueEnd(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i += stringEnd(b[i:]) - 1
			if depth == 0 {
				return min(i+1, len(b))
			}
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
	return len(b)
}
